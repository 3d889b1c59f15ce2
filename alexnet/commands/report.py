"""`alexnet report`."""

from functools import partial
from pathlib import Path

from alexnet.commands.options.measuring import Report
from alexnet.data.store.description import is_store
from alexnet.data.store.read import Store
from alexnet.measure.run import Run
from alexnet.report.run import write_report
from alexnet.terminal import progress, say


def run(options: Report) -> None:
    opened = Run.open(options.run_folder, **vars(options.compute))
    trained_on = Path(opened.config.get("data", {}).get("path", ""))
    path = options.store or (trained_on if is_store(trained_on) else None)
    store = None if path is None else Store.open(path)
    with progress("pictures") as report:
        print(write_report(opened, store, split=options.split, progress=partial(report, options.split), say=say))
