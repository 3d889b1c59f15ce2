"""`alexnet check`."""

import json

from alexnet.commands.options.data import Check
from alexnet.data.store.read import Store
from alexnet.drawing import png_of
from alexnet.errors import UsageError, UserError
from alexnet.features.check import check_store, sheet
from alexnet.features.suspects import (
    describe_suspects,
    find_suspects,
    refuse_existing,
    refuse_unfit,
    suspect_sheet,
    write_corrections,
)
from alexnet.files.atomic import write_atomically
from alexnet.files.outputs import refuse_foreign
from alexnet.files.schema import to_json
from alexnet.measure.run import Run
from alexnet.terminal import progress, say
from alexnet.text import counted


def run(options: Check) -> None:
    if options.write is not None and options.run is None:
        raise UsageError(f"--write {options.write}: lists suspect pictures; name the run that finds them with --run.")
    if options.write is not None:
        refuse_existing(options.write)
    store, opened = Store.open(options.store), None if options.run is None else Run.open(options.run)
    if opened is not None:
        refuse_unfit(opened, store)
    beside = options.store.resolve()
    place = options.sheet or beside.with_name(beside.name + ".check.png")
    if options.sheet or place.exists():
        refuse_foreign(place, "check", "--sheet")
    suspect_place = beside.with_name(beside.name + ".suspects.png")
    if options.write is not None:
        suspect_place = options.write.with_name(options.write.stem + ".suspects.png")
    if opened is not None and suspect_place.exists():
        refuse_foreign(suspect_place, "suspects", "--write")
    with progress("pictures") as report:
        checked = check_store(store, report)
    faults, suspects = sum(remark.fault for remark in checked.remarks), None
    if opened is not None and not checked.damaged:
        with progress("pictures") as report:
            suspects = find_suspects(opened, store, checked, report)
        if options.write is not None:
            write_corrections(suspects, options.write)
            say(str(options.write))
        if (drawn := suspect_sheet(suspects, checked.pool)) is not None:
            write_atomically(suspect_place, png_of(drawn, "suspects"))
            say(str(suspect_place))
    if options.json:
        found = {} if suspects is None else {"suspects": list(map(to_json, suspects))}
        print(json.dumps(checked.as_json() | found, indent=1))
    else:
        print(checked.describe())
        if suspects is not None:
            print("\n" + describe_suspects(suspects, sum(map(len, store.splits.values()))))
    if any(map(len, (*checked.odd.values(), checked.pairs))):
        write_atomically(place, png_of(sheet(checked.pool, checked.odd, checked.pairs), "check"))
        say(str(place))
    if faults:
        raise UserError(f"{options.store}: {counted(faults, 'fault')}. Prepare it again, or restore it from a copy.")
