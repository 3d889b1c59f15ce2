"""`alexnet transfer`."""

from typing import Any

from alexnet.commands.options.features import Transfer
from alexnet.data.sources.labelme import is_labelme
from alexnet.features.probes import require_scikit_learn
from alexnet.features.report import describe_precisions, describe_transfer, write_transfer, write_voc
from alexnet.features.transfer import TransferPlan
from alexnet.measure.run import Run
from alexnet.terminal import progress


def run(options: Transfer) -> None:
    require_scikit_learn()
    opened = Run.open(options.run_folder, **vars(options.compute))
    with progress("steps") as report:
        if is_labelme(options.store):
            written = write_voc(opened, options.store, options.out, options.layers, options.views, seed=options.seed)
            describe: Any = describe_precisions
        else:
            plan = TransferPlan(
                layers=options.layers,
                kinds=options.probes,
                per_class=options.per_class,
                beside=options.beside,
                folds=options.folds,
                views=options.views,
                epochs=options.epochs,
                seed=options.seed,
            )
            written = write_transfer(opened, options.store, options.out, plan, seen=options.seen, progress=report)
            describe = describe_transfer
    print(describe(written))
    print(options.out / "transfer.json")
