"""`alexnet check`."""

import json

from alexnet.commands.options.data import Check
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.features.check import check_store, sheet
from alexnet.files.atomic import write_atomically
from alexnet.files.outputs import refuse_foreign
from alexnet.report.drawing import png_of
from alexnet.terminal import progress, say
from alexnet.text import counted


def run(options: Check) -> None:
    store = Store.open(options.store)
    place = options.sheet or options.store.resolve().with_name(options.store.resolve().name + ".check.png")
    if options.sheet or place.exists():
        refuse_foreign(place, "check", "--sheet")
    with progress("pictures") as report:
        checked = check_store(store, report)
    print(json.dumps(checked.as_json(), indent=1) if options.json else checked.describe())
    if len(checked.odd) or len(checked.pairs):
        write_atomically(place, png_of(sheet(checked.pool, checked.odd, checked.pairs), "check"))
        say(str(place))
    if faults := sum(remark.fault for remark in checked.remarks):
        raise UserError(f"{options.store}: {counted(faults, 'fault')}. Prepare it again, or restore it from a copy.")
