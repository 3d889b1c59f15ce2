"""`alexnet verify` and `alexnet check`: is a run folder, is a store what it should be?"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from alexnet.errors import UserError
from alexnet.verbs.arguments import Device, Precision, RunFolderArgument


@dataclass(frozen=True)
class Verify:
    """Hold a run folder against itself: checksums, config, weights, log; with its store also the accuracy.

    The exit code is 1 if anything is not as it was written.

    Examples:
        alexnet verify runs/photos
        alexnet verify runs/photos photos.store --json
    """

    run_folder: RunFolderArgument
    """The run."""
    store: Annotated[Positional[Path | None], arg(metavar="[STORE]", help_behavior_hint="(default: not measured)")] = (
        None
    )
    """The store of the training: its validation pictures are judged again, the centre view."""
    json: bool = False
    """Print a JSON list: what, finding, sound."""
    device: Device = "auto"
    """Where to compute; auto: the first of cuda, mps, cpu that is there."""
    precision: Precision = "auto"
    """Arithmetic of the layers; auto: as in the training, on another kind of device fp32."""

    def run(self) -> None:
        from alexnet.data.store import Store
        from alexnet.measure.verify import verify_run
        from alexnet.terminal import counted, progress

        store = None if self.store is None else Store.open(self.store)
        with progress("pictures") as report:
            wish = {"device": self.device, "precision": self.precision, "progress": partial(report, "val")}
            found = list(verify_run(self.run_folder, store, **wish))
        if self.json:
            print(json.dumps([finding.as_json() for finding in found], indent=1))
        else:
            width = max(len(finding.what) for finding in found)
            print("\n".join(f"{'ok' if f.sound else 'NO':2}  {f.what:{width}}  {f.words}" for f in found))
        if faults := sum(not finding.sound for finding in found):
            raise UserError(f"{self.run_folder}: {counted(faults, 'finding')} not as written. Restore it from a copy.")


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
        from alexnet.data.store import Store
        from alexnet.files import refuse_foreign, write_atomically
        from alexnet.measure.figures import png_of
        from alexnet.reuse.check import check_store, sheet
        from alexnet.terminal import counted, progress, say

        store = Store.open(self.store)
        place = self.sheet or self.store.resolve().with_name(self.store.resolve().name + ".check.png")
        if self.sheet or place.exists():
            refuse_foreign(place, "check", "--sheet")
        with progress("pictures") as report:
            checked = check_store(store, report)
        print(json.dumps(checked.as_json(), indent=1) if self.json else checked.in_words())
        if len(checked.odd) or len(checked.pairs):
            write_atomically(place, png_of(sheet(checked.pool, checked.odd, checked.pairs), "check"))
            say(str(place))
        if faults := sum(remark.fault for remark in checked.remarks):
            raise UserError(f"{self.store}: {counted(faults, 'fault')}. Prepare it anew, or restore it from a copy.")
