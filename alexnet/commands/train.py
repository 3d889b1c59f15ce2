"""`alexnet train`."""

from alexnet.commands.options.training import Train
from alexnet.data.store.read import Store
from alexnet.data.store.ready import ready_store
from alexnet.errors import UsageError
from alexnet.features.linear_head import train_linear_head
from alexnet.nets.table import with_width
from alexnet.parallel import traffic
from alexnet.parallel.launch import launched
from alexnet.runs.folder import RunFolder
from alexnet.terminal import progress, say
from alexnet.train import loop
from alexnet.train.checks import balanced_weights, check_options, with_decided_defaults
from alexnet.train.options import TrainOptions


def run(options: Train) -> None:
    training = TrainOptions(**vars(options.options))
    with launched(**training.launch) as team:
        network = check_options(training)
        if options.show_traffic and team.leads:
            network = with_width(network, training.width)
            print(traffic.describe(network, team.grid, training.input_size), flush=True)
        store = ready_store(options.store, options.out, side_of(training)) if team.alone else Store.open(options.store)
        if options.find_learning_rate:
            suggest_learning_rate(store, options, training)
            return
        if options.balance and not team.alone:
            raise UsageError("--balance: works in one process only. Leave it out under torchrun.")
        weights = balanced_weights(store.splits["train"].labels) if options.balance else None
        if training.head == "linear":
            train_linear_head(store, options.out, training, resume=options.resume, sample_weights=weights)
        else:
            training = with_decided_defaults(training, store, options.out, alone=team.alone)
            loop.train(store, options.out, training, resume=options.resume, team=team, sample_weights=weights)
    if team.leads:
        print(options.out)


def side_of(training: TrainOptions) -> int:
    """The side of the records that the training takes: with the network of another run, that of its records."""
    inherits = training.start_from and not training.net and not training.table and training.input_size is None
    return RunFolder.open(training.start_from).inputs.side if inherits and training.start_from else 256


def suggest_learning_rate(store: Store, options: Train, training: TrainOptions) -> None:
    from alexnet.train.find_learning_rate import find_learning_rate, write_sweep  # matplotlib, which no training needs

    with progress("updates") as report:
        sweep = find_learning_rate(store, training, report)
    for path in write_sweep(sweep, options.out, store, training):
        say(str(path))
    print(f"--learning-rate {sweep.suggested:.2g}")
