"""`alexnet check`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from alexnet.errors import UserError


@dataclass(frozen=True)
class Check:
    """Look a store over: damage, classes, copies within and between its parts, odd pictures on a sheet.

    Reads every picture. The exit code is 1 if the store is not what it should be; copies and imbalance are told only.

    Examples:
        alexnet check photos.store
        alexnet check photos.store --json --sheet odd.png
    """

    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """The store."""
    sheet: Annotated[Path | None, arg(metavar="FILE.png", help_behavior_hint="(default: STORE.check.png)")] = None
    """Where the contact sheet of odd pictures and copies goes; none is drawn where there are none."""
    json: bool = False
    """Print one JSON object: remarks, counts by class, copies, odd pictures."""

    def run(self) -> None:
        from alexnet.data.store.read import Store
        from alexnet.features.check import check_store, sheet
        from alexnet.files.atomic import write_atomically
        from alexnet.files.outputs import refuse_foreign
        from alexnet.report.drawing import png_of
        from alexnet.terminal import progress, say
        from alexnet.text import counted

        store = Store.open(self.store)
        place = self.sheet or self.store.resolve().with_name(self.store.resolve().name + ".check.png")
        if self.sheet or place.exists():
            refuse_foreign(place, "check", "--sheet")
        with progress("pictures") as report:
            checked = check_store(store, report)
        print(json.dumps(checked.as_json(), indent=1) if self.json else checked.describe())
        if len(checked.odd) or len(checked.pairs):
            write_atomically(place, png_of(sheet(checked.pool, checked.odd, checked.pairs), "check"))
            say(str(place))
        if faults := sum(remark.fault for remark in checked.remarks):
            raise UserError(f"{self.store}: {counted(faults, 'fault')}. Prepare it anew, or restore it from a copy.")
