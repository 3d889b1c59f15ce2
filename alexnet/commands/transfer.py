"""`alexnet transfer`."""

from alexnet.commands.options.features import Transfer
from alexnet.data.sources.labelme import is_labelme
from alexnet.features.report import describe_precisions, describe_transfer, write_transfer, write_voc
from alexnet.measure.run import Run
from alexnet.terminal import progress


def run(options: Transfer) -> None:
    opened, study = Run.open(options.run_folder, **vars(options.compute)), options.options
    with progress("steps") as report:
        if is_labelme(options.store):
            written = write_voc(opened, options.store, options.out, study.layers, study.views, seed=study.seed)
            described = describe_precisions(written)
        else:
            written = write_transfer(opened, options.store, options.out, study, seen=options.seen, progress=report)
            described = describe_transfer(written)
    print(described)
    print(options.out / "transfer.json")
