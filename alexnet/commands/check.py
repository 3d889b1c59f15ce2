"""`alexnet check`."""

import json
from functools import partial
from pathlib import Path

from alexnet.commands.options.data import Check
from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.features.check import check_store, sheet
from alexnet.features.label_errors import (
    Suspect,
    describe_suspects,
    refuse_existing,
    suspected_labels,
    write_corrections,
)
from alexnet.files.atomic import write_atomically
from alexnet.files.outputs import refuse_foreign
from alexnet.files.schema import to_json
from alexnet.measure.run import Run
from alexnet.report.drawing import png_of
from alexnet.terminal import progress, say
from alexnet.text import counted


def run(options: Check) -> None:
    if options.write is not None and options.run is None:
        raise UsageError(f"--write {options.write}: lists suspect labels; name the run that finds them with --run.")
    if options.write is not None:
        refuse_existing(options.write)
    store = Store.open(options.store)
    place = options.sheet or options.store.resolve().with_name(options.store.resolve().name + ".check.png")
    if options.sheet or place.exists():
        refuse_foreign(place, "check", "--sheet")
    with progress("pictures") as report:
        checked = check_store(store, report)
    suspects = None if options.run is None else suspects_of(options.run, store, options.write)
    if options.json:
        found = {} if suspects is None else {"suspect_labels": list(map(to_json, suspects))}
        print(json.dumps(checked.as_json() | found, indent=1))
    else:
        print(checked.describe())
        if suspects is not None:
            print("\n" + describe_suspects(suspects, sum(map(len, store.splits.values()))))
    if len(checked.odd) or len(checked.pairs):
        write_atomically(place, png_of(sheet(checked.pool, checked.odd, checked.pairs), "check"))
        say(str(place))
    if faults := sum(remark.fault for remark in checked.remarks):
        raise UserError(f"{options.store}: {counted(faults, 'fault')}. Prepare it again, or restore it from a copy.")


def suspects_of(run: Path, store: Store, file: Path | None) -> list[Suspect]:
    with progress("pictures") as report:
        suspects = suspected_labels(Run.open(run), store, partial(report, "features"))
    if file is not None:
        write_corrections(suspects, file)
        say(str(file))
    return suspects
