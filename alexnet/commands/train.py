"""`alexnet train`."""

from alexnet.commands.options.training import Train
from alexnet.data.store.read import Store
from alexnet.data.store.ready import ready_store
from alexnet.errors import UsageError
from alexnet.features.linear_head import train_linear_head
from alexnet.nets.table import with_width
from alexnet.parallel import traffic
from alexnet.parallel.launch import launched
from alexnet.train import loop
from alexnet.train.checks import balanced_weights, check_options, with_kept_weights
from alexnet.train.options import TrainOptions


def run(options: Train) -> None:
    training = TrainOptions(**vars(options.options))
    with launched(**training.launch) as team:
        network = check_options(training)
        if options.show_traffic and team.leads:
            network = with_width(network, training.width)
            print(traffic.describe(network, team.grid, training.input_size), flush=True)
        store = ready_store(options.store, options.out) if team.alone else Store.open(options.store)
        if options.balance and not team.alone:
            raise UsageError("--balance: works in one process only. Leave it out under torchrun.")
        weights = {"sample_weights": balanced_weights(store.splits["train"].labels)} if options.balance else {}
        if training.head == "linear":
            train_linear_head(store, options.out, training, resume=options.resume, **weights)
        else:
            training = with_kept_weights(training, store, options.out)
            loop.train(store, options.out, training, resume=options.resume, team=team, **weights)
    if team.leads:
        print(options.out)
