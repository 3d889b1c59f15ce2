"""Results of passes over many pictures: computed on request, once, and cached in the run folder.

    RUN/see/top.safetensors             what `alexnet see top` found, if it is of these weights and pictures; or
    RUN/explorer/top-val.safetensors    the strongest pictures of every channel
    RUN/explorer/spread-val.safetensors how strongly each channel is activated
    RUN/explorer/evaluation-val.json    errors by class, centre and ten views
    RUN/explorer/epochs-val/            the strongest picture of every channel after each snapshot
    RUN/explorer/similar/               an index of the training pictures, as `alexnet similar build` makes it

Each file records its weights and pictures; one of others, or a damaged one, is computed again.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from alexnet.data.batches import Progress
from alexnet.data.store.read import Store, StoreSplit
from alexnet.errors import UserError
from alexnet.features.options import IndexOptions
from alexnet.features.similar.index import DESCRIPTION, Index, build
from alexnet.files.atomic import faults_named, write_atomically
from alexnet.files.schema import from_json, is_sealed, json_bytes, read_json, sealed
from alexnet.files.tensors import digest_in
from alexnet.measure.evaluation import check_size, evaluate_run, filled_splits, split_of
from alexnet.report.text import evaluation_as_json
from alexnet.see.activation_statistics import ActivationStatistics, measure_activations
from alexnet.see.connections import weighted_layers
from alexnet.see.evolution import chosen_epochs, viewer_after
from alexnet.see.top import Top, find_top, pass_over
from alexnet.serve.cache import LRUCache
from alexnet.serve.open_networks import OpenNetwork, version_of

Pass = Literal["top", "spread", "evaluation", "evolution", "neighbours"]
VIEWS = (1, 10)
NEIGHBOURS_OF = "train"
OFFERED = 12
FILES = 32
"""Files that were read and stay in memory."""


@dataclass(frozen=True)
class Prepared:
    """The prepared pictures that networks are run on: a split of a store."""

    store: Store
    split: str

    @classmethod
    def of(cls, store: Store) -> "Prepared":
        """With "val", or the first split that has pictures."""
        filled = filled_splits(store)
        return cls(store, "val" if "val" in filled else filled[0])

    @property
    def offered(self) -> list[int]:
        """Numbers of the pictures that pages offer first, evenly over the split."""
        count = len(self.store.splits[self.split])
        return [(2 * n + 1) * count // (2 * OFFERED) for n in range(OFFERED)] if count > OFFERED else list(range(count))

    def check(self, opened: OpenNetwork) -> None:
        """Raises UserError if they don't fit a network."""
        check_size(opened.run.folder, self.store)


@dataclass(frozen=True)
class CachedEvaluation:
    about: dict[str, str]
    numbers: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> "CachedEvaluation":
        """Raises UserError if the file is damaged."""
        found = read_json(path)
        if not is_sealed(found):
            raise UserError(f"{path}: damaged, or of an older alexnet. Request it again.")
        return from_json(found, cls, path, "Request it again.")


class RunCache:
    """The cached results of a network. For the worker's thread."""

    def __init__(self, opened: OpenNetwork, prepared: Prepared) -> None:
        self.opened, self.prepared = opened, prepared
        self.split: StoreSplit = split_of(prepared.store, prepared.split)
        self.folder = opened.run.path / "explorer"
        self._files: LRUCache[tuple[Path, str], Any] = LRUCache(FILES)

    @cached_property
    def layers(self) -> list[str]:
        """Those with weights."""
        return [layer.row.name for layer in weighted_layers(self.opened.network)]

    @cached_property
    def about(self) -> dict[str, Any]:
        """The weights and pictures: the same as `alexnet see` writes."""
        return pass_over(self.opened.run, self.prepared.store, self.prepared.split)

    def path(self, what: Pass) -> Path:
        """The file, or folder, of a pass."""
        epoch, split = "" if self.opened.epoch is None else f"-epoch-{self.opened.epoch}", self.prepared.split
        names = {
            "evolution": f"epochs-{split}",
            "neighbours": f"similar{epoch}",
            "evaluation": f"evaluation{epoch}-{split}.json",
        }
        return self.folder / names.get(what, f"{what}{epoch}-{split}.safetensors")

    # ── what is cached ───────────────────────────────────────────────────────────────────────────────────────────

    @property
    def top(self) -> Top | None:
        own = self._known(self.opened.run.path / "see" / "top.safetensors", Top.load)
        return own if own and set(self.layers) <= set(own.layers) else self._known(self.path("top"), Top.load)

    @property
    def spread(self) -> ActivationStatistics | None:
        return self._known(self.path("spread"), ActivationStatistics.load)

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """As `alexnet evaluate --json` prints it."""
        found = self._known(self.path("evaluation"), CachedEvaluation.load, temperature=self._temperature)
        return found and found.numbers

    @property
    def _temperature(self) -> str:
        """What the probabilities depend on besides the weights."""
        return f"{self.opened.network.temperature:.9g}"

    @property
    def index(self) -> Index | None:
        """Of similar training pictures."""
        path = self.path("neighbours")
        return self._read(path / DESCRIPTION, lambda _: Index.open(path, self.opened.exact))

    @property
    def evolution(self) -> dict[int, Top] | None:
        """The strongest picture of every channel after each snapshot, once all were computed."""
        found = {epoch: self._after(epoch) for epoch in self.opened.run.folder.snapshots}
        tops = {epoch: top for epoch, top in found.items() if top}
        return tops if tops and len(tops) == len(found) else None

    def _after(self, epoch: int) -> Top | None:
        return self._known(self._of_epoch(epoch), Top.load, run=digest_in(self.opened.run.folder.snapshots[epoch]))

    def _of_epoch(self, epoch: int) -> Path:
        return self.path("evolution") / f"epoch-{epoch:04}.safetensors"

    def _known(self, path: Path, load: Callable[[Path], Any], **other: str) -> Any:
        """What the file holds; None if there is none, or one of other weights or pictures."""
        found, wanted = self._read(path, load), self.about | other
        return found if found and all(found.about.get(name) == value for name, value in wanted.items()) else None

    def _read(self, path: Path, load: Callable[[Path], Any]) -> Any:
        """What the file holds, read once; None if there is none or it is damaged."""
        version = version_of(path)
        try:
            return None if version == "none" else self._files.get_or_make((path, version), lambda: load(path))
        except UserError:
            return None

    # ── computing it ─────────────────────────────────────────────────────────────────────────────────────────────

    def compute(self, what: Pass, progress: Progress) -> None:
        """Compute what is not cached. Raises UserError if the pictures don't fit the network, or if it can't be
        written."""
        self.prepared.check(self.opened)
        with faults_named(self.folder):
            self.folder.mkdir(exist_ok=True)
        pictures = self.opened.exact.viewer, self.split, self.layers
        match what:
            case "top" if self.top is None:
                find_top(*pictures, about=self.about, progress=progress).save(self.path(what))
            case "spread" if self.spread is None:
                measure_activations(*pictures, about=self.about, progress=progress).save(self.path(what))
            case "evaluation" if self.evaluation is None:
                self._evaluate(progress)
            case "evolution":
                self._compute_evolution(progress)
            case "neighbours" if self.index is None:
                self._build_index(progress)

    def _evaluate(self, progress: Progress) -> None:
        run, store, split = self.opened.run, self.prepared.store, self.prepared.split
        found, _ = evaluate_run(run.folder, run.viewer, store, split=split, views=VIEWS, progress=progress)
        about = self.about | {"temperature": self._temperature}
        numbers = sealed({"about": about, "numbers": evaluation_as_json(found, self.split.keys)})
        write_atomically(self.path("evaluation"), json_bytes(numbers))

    def _compute_evolution(self, progress: Progress) -> None:
        run, total = self.opened.exact, len(self.split)
        epochs = chosen_epochs(run, ())
        with faults_named(self.path("evolution")):
            self.path("evolution").mkdir(exist_ok=True)
        for number, epoch in enumerate(epochs):

            def follow(done: int, _: int, before: int = number * total) -> None:
                progress(before + done, len(epochs) * total)

            if not self._after(epoch):
                about = self.about | {"run": digest_in(run.folder.snapshots[epoch])}
                viewer = viewer_after(run, epoch)
                found = find_top(viewer, self.split, self.layers, kept=1, about=about, progress=follow)
                found.save(self._of_epoch(epoch))

    def _build_index(self, progress: Progress) -> None:
        path = self.path("neighbours")
        if (path / DESCRIPTION).exists():  # of other weights
            shutil.rmtree(path)
        options = IndexOptions(splits=(NEIGHBOURS_OF,))
        build(self.opened.exact, self.prepared.store, path, options, lambda _, done, total: progress(done, total))
