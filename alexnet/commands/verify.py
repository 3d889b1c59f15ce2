"""`alexnet verify`."""

import json
from functools import partial

from alexnet.commands.options.measuring import Verify
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.files.schema import to_json
from alexnet.measure.verify import verify_run
from alexnet.terminal import progress
from alexnet.text import counted, table


def run(options: Verify) -> None:
    store = None if options.store is None else Store.open(options.store)
    with progress("pictures") as report:
        follow = partial(report, "val")
        found = list(verify_run(options.run_folder, store, **vars(options.compute), progress=follow))
    if options.json:
        print(json.dumps(to_json(found), indent=1))
    else:
        print(table(("", "", ""), [("ok" if one.sound else "NO", one.what, one.words) for one in found]))
    if faults := sum(not finding.sound for finding in found):
        raise UserError(f"{options.run_folder}: {counted(faults, 'finding')} not as written. Restore it from a copy.")
