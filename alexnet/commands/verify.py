"""`alexnet verify` and `alexnet check`: is a run folder, is a store what it should be?"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from alexnet.commands.arguments import Device, Precision, RunFolderArgument
from alexnet.errors import UserError


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
        from alexnet.data.store.read import Store
        from alexnet.measure.verify import verify_run
        from alexnet.terminal import progress
        from alexnet.text import counted, table

        store = None if self.store is None else Store.open(self.store)
        with progress("pictures") as report:
            wish = {"device": self.device, "precision": self.precision, "progress": partial(report, "val")}
            found = list(verify_run(self.run_folder, store, **wish))
        if self.json:
            print(json.dumps([finding.as_json() for finding in found], indent=1))
        else:
            print(table(("", "", ""), [("ok" if one.sound else "NO", one.what, one.words) for one in found]))
        if faults := sum(not finding.sound for finding in found):
            raise UserError(f"{self.run_folder}: {counted(faults, 'finding')} not as written. Restore it from a copy.")
