"""`alexnet report`."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from alexnet.commands.arguments import Device, Precision, RunFolderArgument


@dataclass(frozen=True)
class Report:
    """Write a run's report: one page that opens offline, and its figures as PNG, into the run folder.

    Curves, first-layer kernels, network, recipe; with the store also accuracy by centre and ten views, pictures with
    their labels, confusions and the table of classes.

    Examples:
        alexnet report runs/photos    # with the store it was trained on, if that is still in its place
        alexnet report runs/photos --store photos.store
    """

    run_folder: RunFolderArgument
    """The run."""
    store: Annotated[
        Path | None, arg(metavar="STORE", help_behavior_hint="(default: the training's, where it still is)")
    ] = None
    """The pictures to measure on and to show, prepared; of the training's classes or some of them, and record size."""
    part: Annotated[str, arg(metavar="NAME")] = "val"
    """Which part of the store."""
    device: Device = "auto"
    """Where to compute; auto: the first of cuda, mps, cpu that is there."""
    precision: Precision = "auto"
    """Arithmetic of the layers; auto: as in the training, on another kind of device fp32."""

    def run(self) -> None:
        from alexnet.data.store.read import Store
        from alexnet.measure.run import Run
        from alexnet.report.run import write_report
        from alexnet.terminal import progress, say

        run = Run.open(self.run_folder, device=self.device, precision=self.precision)
        path = self.store or Path(run.config.get("data", {}).get("path", ""))
        store = Store.open(path) if self.store or (path / "store.json").exists() else None
        with progress("pictures") as report:
            page = write_report(run, store, part=self.part, progress=partial(report, self.part), say=say)
        print(page)
