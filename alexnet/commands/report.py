"""`alexnet report`."""

from functools import partial

from alexnet.commands.options.measuring import Report
from alexnet.data.store.read import Store
from alexnet.measure.overlap import training_store
from alexnet.measure.run import Run
from alexnet.report.run import write_report
from alexnet.terminal import progress, say


def run(options: Report) -> None:
    opened = Run.open(options.run_folder, **vars(options.compute))
    store = Store.open(options.store) if options.store else training_store(opened.folder)
    with progress("pictures") as report:
        print(write_report(opened, store, split=options.split, progress=partial(report, options.split), say=say))
