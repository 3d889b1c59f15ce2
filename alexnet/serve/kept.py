"""What takes a pass over many pictures: made on demand, once, and kept in the run folder.

    RUN/see/top.safetensors             what `alexnet see top` found, if it is of these weights and pictures
    RUN/explorer/top-val.safetensors    the strongest pictures of every channel, else
    RUN/explorer/spread-val.safetensors how strongly each channel answers
    RUN/explorer/evaluation-val.json    errors by class, centre and ten views
    RUN/explorer/epochs-val/            the strongest picture of every channel after each snapshot
    RUN/explorer/similar/               an index of the training pictures, as `alexnet similar build` makes it

Each says of which weights and pictures it is; what is of others is made anew.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from alexnet.data.store.read import StoreSplit
from alexnet.errors import UserError
from alexnet.features.similar.index import DESCRIPTION, Index, build
from alexnet.files.atomic import faults_named, write_atomically
from alexnet.files.schema import is_altered, json_bytes, read_json, sealed, validate
from alexnet.files.tensors import digest_in
from alexnet.measure.evaluation import Progress, evaluate_run, part_of
from alexnet.report.text import evaluation_as_json
from alexnet.see.activation_statistics import ActivationStatistics, spread_of
from alexnet.see.connections import weighted_layers
from alexnet.see.top import Top, find_top
from alexnet.serve.sides import Absent, Pictures, Side, version_of

What = Literal["top", "spread", "evaluation", "evolution", "neighbours"]
VIEWS = (1, 10)
NEIGHBOURS_OF = "train"


class Kept:
    """What is kept of a side. Used by the worker's thread."""

    def __init__(self, side: Side, pictures: Pictures) -> None:
        self.side, self.pictures = side, pictures
        self.part: StoreSplit = part_of(pictures.store, pictures.part)
        self._read: dict[Path, tuple[str, Any]] = {}

    @cached_property
    def layers(self) -> list[str]:
        """Those that are looked at."""
        return [layer.row.name for layer in weighted_layers(self.side.network)]

    @cached_property
    def about(self) -> dict[str, Any]:
        """Of which weights and pictures: the same as `alexnet see` writes."""
        return {"run": self.side.digest, "store": self.pictures.store.fingerprint, "part": self.pictures.part}

    @property
    def folder(self) -> Path:
        return self.side.run.path / "explorer"

    def path(self, what: What) -> Path:
        """The file (of the evolution: the folder) that keeps it."""
        of = "" if self.side.epoch is None else f"-epoch-{self.side.epoch}"
        name, part = f"{what}{of}", self.pictures.part
        return self.folder / {
            "evolution": f"epochs-{part}",
            "evaluation": f"{name}-{part}.json",
            "neighbours": f"similar{of}",
        }.get(what, f"{name}-{part}.safetensors")

    # ── what is there ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def top(self) -> Top | None:
        own = self._known(self.side.run.path / "see" / "top.safetensors", Top.load)
        return own if own and set(self.layers) <= set(own.layers) else self._known(self.path("top"), Top.load)

    @property
    def spread(self) -> ActivationStatistics | None:
        return self._known(self.path("spread"), ActivationStatistics.load)

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """As `alexnet evaluate --json` prints it."""
        found = self._known(self.path("evaluation"), _Judged.load)
        return found and found.numbers

    @property
    def index(self) -> Index | None:
        """Of similar training pictures."""
        path = self.path("neighbours")
        version = version_of(path / DESCRIPTION)
        if self._read.get(path, ("", None))[0] != version:
            try:
                self._read[path] = version, Index.open(path, self.side.looking)
            except UserError:
                self._read[path] = version, None
        return self._read[path][1]

    def evolution(self) -> dict[int, Top] | None:
        """The strongest picture of every channel after each snapshot, if all are there."""
        found = {epoch: self._after(epoch, weights) for epoch, weights in self.side.run.folder.snapshots.items()}
        return {epoch: top for epoch, top in found.items() if top} if found and all(found.values()) else None

    def _after(self, epoch: int, weights: Path) -> Top | None:
        return self._known(self._of_epoch(epoch), Top.load, run=digest_in(weights))

    def _of_epoch(self, epoch: int) -> Path:
        return self.path("evolution") / f"epoch-{epoch:04}.safetensors"

    def _known(self, path: Path, load: Callable[[Path], Any], run: str = "") -> Any:
        """What the file holds, read once; None if there is none, if it is of others, or damaged (it is made anew)."""
        version = version_of(path)
        if version == "none":
            return None
        if self._read.get(path, ("", None))[0] != version:
            try:
                self._read[path] = version, load(path)
            except UserError:
                self._read[path] = version, None
        found, wanted = self._read[path][1], self.about | ({"run": run} if run else {})
        return found if found and all(found.about.get(name) == value for name, value in wanted.items()) else None

    # ── making it ────────────────────────────────────────────────────────────────────────────────────────────────

    def make(self, what: What, progress: Progress) -> None:
        """Make what is not there. Raises UserError if the pictures don't fit the network, or can't be written."""
        self.pictures.check(self.side)
        with faults_named(self.folder):
            self.folder.mkdir(exist_ok=True)
        match what:
            case "top":
                if self.top is None:
                    found = find_top(
                        self.side.looking.viewer, self.part, self.layers, about=self.about, progress=progress
                    )
                    found.save(self.path("top"))
            case "spread":
                if self.spread is None:
                    viewer = self.side.looking.viewer
                    spread_of(viewer, self.part, self.layers, about=self.about, progress=progress).save(
                        self.path("spread")
                    )
            case "evaluation":
                if self.evaluation is None:
                    self._evaluate(progress)
            case "evolution":
                self._follow_epochs(progress)
            case "neighbours":
                if self.index is None:
                    self._build_index(progress)

    def _evaluate(self, progress: Progress) -> None:
        run, pictures = self.side.run, self.pictures
        found, _ = evaluate_run(
            run.folder, run.viewer, pictures.store, part=pictures.part, views=VIEWS, progress=progress
        )
        told = sealed({"about": self.about, "numbers": evaluation_as_json(found)})
        write_atomically(self.path("evaluation"), json_bytes(told))

    def _follow_epochs(self, progress: Progress) -> None:
        folder, total = self.side.run.folder, len(self.part)
        if not folder.snapshots:
            raise Absent(f"{folder.path}: has no snapshots. Train with --snapshots to see how features form.")
        with faults_named(self.path("evolution")):
            self.path("evolution").mkdir(exist_ok=True)
        for number, (epoch, weights) in enumerate(folder.snapshots.items()):
            if self._after(epoch, weights):
                continue
            looking = self.side.looking
            network = folder.load_weights(weights).to(looking.placement.device)
            found = find_top(
                replace(looking.viewer, network=network),
                self.part,
                self.layers,
                kept=1,
                about=self.about | {"run": digest_in(weights)},
                progress=lambda done, _, before=number * total: progress(before + done, len(folder.snapshots) * total),
            )
            found.save(self._of_epoch(epoch))

    def _build_index(self, progress: Progress) -> None:
        path = self.path("neighbours")
        if (path / DESCRIPTION).exists():  # of other weights
            shutil.rmtree(path)
        build(
            self.side.looking,
            self.pictures.store,
            path,
            parts=(NEIGHBOURS_OF,),
            progress=lambda _, done, total: progress(done, total),
        )


class _Judged:
    """An evaluation as it is kept."""

    def __init__(self, about: dict[str, Any], numbers: dict[str, Any]) -> None:
        self.about, self.numbers = about, numbers

    @classmethod
    def load(cls, path: Path) -> "_Judged":
        told = read_json(path)
        if not told.get("checksum") or is_altered(told):
            raise UserError(f"{path}: damaged, or of an older alexnet. Ask for it again.")
        validate(told, {"about": {"*": str}, "numbers": dict}, path, "Ask for it again.")
        return cls(told["about"], told["numbers"])
