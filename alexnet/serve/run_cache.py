"""Results of passes over many pictures: computed on request, once, and cached in the run folder.

    RUN/see/top.safetensors             what `alexnet see top` found, if it is of these weights and pictures; or
    RUN/explorer/top-val.safetensors    the strongest pictures of every channel
    RUN/explorer/spread-val.safetensors how strongly each channel is activated
    RUN/explorer/evaluation-val.safetensors the answer to every picture, centre and ten views
    RUN/explorer/nearest-val.json       the training pictures most like each wrong one
    RUN/explorer/suspects.json          pictures that are suspect, as `alexnet check --run` finds them
    RUN/explorer/map-t-sne-val.json     the pictures on a plane
    RUN/explorer/parts-val.json         the object or part that each map looks at, of stores whose parts are known
    RUN/explorer/optimised-conv3-12-val.safetensors  the picture made for a unit
    RUN/explorer/epochs-val/            the strongest picture of every channel after each snapshot
    RUN/explorer/similar/               an index of the training pictures, as `alexnet similar build` makes it

Each file records its weights and pictures; one of others, or a damaged one, is computed again.
"""

import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Thread
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import torch

from alexnet.choices import Embedding
from alexnet.data.batches import Progress, StepProgress
from alexnet.data.store.read import Store, StoreSplit
from alexnet.errors import UserError
from alexnet.features.check import check_store
from alexnet.features.errors import explained
from alexnet.features.options import IndexOptions
from alexnet.features.picture_map import laid_out, picture_map
from alexnet.features.similar.index import DESCRIPTION, Index, build
from alexnet.features.suspects import find_suspects, refuse_unfit
from alexnet.files.atomic import faults_named, write_atomically
from alexnet.files.schema import is_sealed, json_bytes, read_json, sealed, to_json
from alexnet.files.tensors import digest_in, load_tensors, save_tensors
from alexnet.measure.evaluation import Evaluation, check_size, class_map, evaluate_run, filled_splits, split_of
from alexnet.nets.table import Conv
from alexnet.report.text import evaluation_as_json
from alexnet.see.activation_statistics import MOST, ActivationStatistics, measure_activations
from alexnet.see.annotated import AnnotatedPictures, annotated_store
from alexnet.see.connections import weighted_layers
from alexnet.see.dissection import dissect
from alexnet.see.evolution import chosen_epochs, viewer_after
from alexnet.see.top import Top, find_top, pass_over
from alexnet.see.visualise import visualise
from alexnet.serve.cache import LRUCache
from alexnet.serve.open_networks import OpenNetwork, version_of
from alexnet.serve.worker import Cancelled

Pass = Literal[
    "everything",
    "top",
    "spread",
    "evolution",
    "parts",
    "evaluation",
    "neighbours",
    "nearest",
    "suspects",
    "map-pca",
    "map-t-sne",
    "map-umap",
]
EVERYTHING: tuple[Pass, ...] = ("top", "spread", "evolution", "evaluation", "neighbours", "parts")
"""The passes that pages of units and the comparison of two runs need, in the order in which they are made."""
TIMED = 32
"""Pictures on which the speed of a pass is measured."""
PARTS_OF, PASSES_FOR_PARTS = 120, 4
"""Pictures in which parts are looked for, evenly spread, and passes over them for each layer: two networks, twice."""
VIEWS = (1, 10)
NEEDED = ("labels", "predicted", "ranks", "nlls", "confidences")
ARRAYS = (*NEEDED, "seen")
"""Of an evaluation; `seen` is not known of every store."""
NEIGHBOURS_OF = "train"
OFFERED = 12
FILES = 32
"""Files that were read and stay in memory."""
WAIT = 0.05  # seconds
Found = TypeVar("Found")


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


@dataclass(frozen=True, eq=False)
class CachedEvaluation:
    """The evaluations of a split by their number of views, in arrays of its pictures."""

    about: dict[str, Any]
    arrays: dict[int, dict[str, np.ndarray]]

    @classmethod
    def of(cls, evaluations: dict[int, Evaluation], about: dict[str, Any]) -> "CachedEvaluation":
        def arrays_of(one: Evaluation) -> dict[str, np.ndarray]:
            return {name: array for name in ARRAYS if (array := getattr(one, name)) is not None}

        return cls(about, {views: arrays_of(one) for views, one in evaluations.items()})

    def save(self, path: Path) -> None:
        named = {f"{name}.{views}": array for views, some in self.arrays.items() for name, array in some.items()}
        save_tensors(path, {name: torch.tensor(array) for name, array in named.items()}, self.about)

    @classmethod
    def load(cls, path: Path) -> "CachedEvaluation":
        """Raises UserError if the file is damaged."""
        tensors, about = load_tensors(path)
        try:
            arrays = {views: {name: tensors[f"{name}.{views}"].numpy() for name in NEEDED} for views in VIEWS}
        except KeyError:
            raise UserError(f"{path}: damaged, or of an older alexnet. Request it again.") from None
        for views, some in arrays.items():
            some |= {name: tensors[f"{name}.{views}"].numpy() for name in ARRAYS if f"{name}.{views}" in tensors}
        return cls(about, arrays)


@dataclass(frozen=True)
class CachedJson:
    """Any values in a file with a checksum."""

    about: dict[str, Any]
    value: Any

    def save(self, path: Path) -> None:
        write_atomically(path, json_bytes(sealed(vars(self))))

    @classmethod
    def load(cls, path: Path) -> "CachedJson":
        """Raises UserError if the file is damaged."""
        found = read_json(path)
        if not is_sealed(found):
            raise UserError(f"{path}: damaged, or of an older alexnet. Request it again.")
        return cls(found["about"], found["value"])


@dataclass(frozen=True, eq=False)
class Optimised:
    """A picture made for a unit, uint8 (S, S, 3); `about` has its activation too."""

    about: dict[str, Any]
    image: np.ndarray

    def save(self, path: Path) -> None:
        save_tensors(path, {"image": torch.from_numpy(self.image)}, self.about)

    @classmethod
    def load(cls, path: Path) -> "Optimised":
        """Raises UserError if the file is damaged."""
        tensors, about = load_tensors(path)
        if "image" not in tensors:
            raise UserError(f"{path}: damaged, or of an older alexnet. Request it again.")
        return cls(about, tensors["image"].numpy())


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

    def path(self, what: str) -> Path:
        """The file, or folder, of a pass."""
        epoch, split = "" if self.opened.epoch is None else f"-epoch-{self.opened.epoch}", self.prepared.split
        names = {
            "evolution": f"epochs-{split}",
            "neighbours": f"similar{epoch}",
            "nearest": f"nearest{epoch}-{split}.json",
            "suspects": f"suspects{epoch}.json",
            "parts": f"parts{epoch}-{split}.json",
            **{f"map-{method}": f"map-{method}{epoch}-{split}.json" for method in get_args(Embedding)},
        }
        return self.folder / names.get(what, f"{what}{epoch}-{split}.safetensors")

    # ── what is cached ───────────────────────────────────────────────────────────────────────────────────────────

    @property
    def top(self) -> Top | None:
        """With the most negative ones, if either file has them."""
        paths = self.opened.run.path / "see" / "top.safetensors", self.path("top")
        found = [top for top in (self._known(path, Top.load) for path in paths) if top]
        whole = [top for top in found if set(self.layers) <= set(top.layers)]
        return next((top for top in whole if top.negative), whole[0] if whole else None)

    @property
    def spread(self) -> ActivationStatistics | None:
        return self._known(self.path("spread"), ActivationStatistics.load)

    @property
    def parts(self) -> dict[str, Any] | None:
        """By layer, as `Dissection.as_json` has it, but for the numbers of other parts than each unit's best."""
        found = self._known(self.path("parts"), CachedJson.load)
        return found and found.value

    def optimised(self, layer: str, unit: int) -> Optimised | None:
        """The picture made for a unit, if it was asked for."""
        return self._known(self._optimised(layer, unit), Optimised.load)

    def _optimised(self, layer: str, unit: int) -> Path:
        return self.path(f"optimised-{layer}-{unit}")

    @property
    def evaluations(self) -> dict[int, Evaluation] | None:
        """Of every picture of the split, by the number of views."""
        found = self._known(self.path("evaluation"), CachedEvaluation.load, self._about_answers)
        folder = self.opened.run.folder
        names = folder.class_names, tuple(folder.value("classes", "ids"))
        return found and {views: Evaluation(views, *names, **arrays) for views, arrays in found.arrays.items()}

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """As `alexnet evaluate --json` prints it."""
        found = self.evaluations
        return None if found is None else evaluation_as_json(found, self.split.keys)

    @property
    def nearest(self) -> dict[str, list[dict[str, Any]]] | None:
        """The training pictures most like each wrong picture, by its number."""
        found = self._known(self.path("nearest"), CachedJson.load, self._about_answers)
        return found and found.value

    @property
    def suspects(self) -> list[dict[str, Any]] | None:
        """Of all splits, as `alexnet check --run` lists them."""
        found = self._known(self.path("suspects"), CachedJson.load, self.about | {"split": ""})
        return found and found.value

    def picture_map(self, method: str) -> dict[str, Any] | None:
        """The pictures on a plane, by what the last hidden layer makes of them."""
        found = self._known(self.path(f"map-{method}"), CachedJson.load)
        return found and found.value

    @property
    def _about_answers(self) -> dict[str, Any]:
        """`about`, with what the probabilities depend on besides the weights."""
        return self.about | {"temperature": f"{self.opened.network.temperature:.9g}"}

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
        return self._known(self._of_epoch(epoch), Top.load, self._about_snapshot(epoch))

    def _of_epoch(self, epoch: int) -> Path:
        return self.path("evolution") / f"epoch-{epoch:04}.safetensors"

    def _about_snapshot(self, epoch: int) -> dict[str, Any]:
        return self.about | {"run": digest_in(self.opened.run.folder.snapshots[epoch])}

    def _known(self, path: Path, load: Callable[[Path], Any], about: dict[str, Any] | None = None) -> Any:
        """What the file holds; None if there is none, or one of other weights or pictures."""
        found, wanted = self._read(path, load), about or self.about
        return found if found and all(found.about.get(name) == value for name, value in wanted.items()) else None

    def _read(self, path: Path, load: Callable[[Path], Any]) -> Any:
        """What the file holds, read once; None if there is none or it is damaged."""
        version = version_of(path)
        try:
            return None if version == "none" else self._files.get_or_make((path, version), lambda: load(path))
        except UserError:
            return None

    # ── computing it ─────────────────────────────────────────────────────────────────────────────────────────────

    def compute(self, what: Pass, progress: Callable[..., None], made: Callable[[Pass], None] = lambda _: None) -> None:
        """Compute what is not cached; of everything, each pass is reported when it is `made`. Raises UserError if the
        pictures don't fit the network, or if it can't be written."""
        self.prepared.check(self.opened)
        self._make_folder()
        pictures = self.opened.exact.viewer, self.split, self.layers
        match what:
            case "everything":
                self._compute_everything(progress, made)
            case "top" if not (self.top and self.top.negative):
                find_top(*pictures, negative=True, about=self.about, progress=progress).save(self.path(what))
            case "parts" if self.parts is None:
                self._find_parts(progress)
            case "spread" if self.spread is None:
                measure_activations(*pictures, about=self.about, progress=progress).save(self.path(what))
            case "evaluation" if self.evaluations is None:
                self._evaluate(progress)
            case "evolution":
                self._compute_evolution(progress)
            case "neighbours" if self.index is None:
                self._build_index(progress)
            case "nearest" if self.nearest is None:
                self._find_nearest(progress)
            case "suspects" if self.suspects is None:
                self._find_suspects(progress)
            case "map-pca" | "map-t-sne" | "map-umap" if self.picture_map(method := what.removeprefix("map-")) is None:
                self._lay_out(method, progress)

    def _make_folder(self) -> None:
        with faults_named(self.folder):
            self.folder.mkdir(exist_ok=True)

    # ── everything ───────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def missing(self) -> dict[Pass, int]:
        """The passes of EVERYTHING that are not cached, each with the forward passes that it takes."""
        run, count = self.opened.run.folder, len(self.split)
        train = self.prepared.store.splits.get(NEIGHBOURS_OF, ())
        wanted: dict[Pass, int] = {
            "top": 0 if self.top and self.top.negative else count,
            "spread": 0 if self.spread else min(count, MOST),
            "evolution": count * sum(self._after(epoch) is None for epoch in run.snapshots),
            "evaluation": count * sum(VIEWS) if self._answerable and not self.evaluations else 0,
            "neighbours": 0 if self.index else len(train),
            "parts": 0 if self.parts else self._forward_passes_for_parts,
        }
        return {what: passes for what in EVERYTHING if (passes := wanted[what])}

    @cached_property
    def _answerable(self) -> bool:
        """Whether the pictures are of the run's classes, so that its answers are right or wrong."""
        try:
            class_map(self.opened.run.folder, self.prepared.store, self.split)
        except UserError:
            return False
        return True

    @cached_property
    def seconds_per_pass(self) -> float:
        """Measured on a few pictures; those before them have warmed up what is measured."""
        shards, seconds = max(1, len(self.split) // TIMED), 0.0
        for shard in range(min(2, shards)):
            began = time.monotonic()
            found = find_top(self.opened.exact.viewer, self.split, self.layers, negative=True, shard=(shard, shards))
            seconds = (time.monotonic() - began) / found.about["pictures"]
        return seconds

    def _compute_everything(self, progress: Progress, made: Callable[[Pass], None]) -> None:
        """Pass after pass, as one. A pass that can't be made here doesn't keep the others from being made."""
        missing, before, faults = self.missing, 0, list[UserError]()
        total = sum(missing.values())
        for what, passes in missing.items():

            def follow(done: int, of: int, before: int = before, passes: int = passes) -> None:
                progress(before + round(passes * done / max(1, of)), total)

            try:
                self.compute(what, follow)
                made(what)
            except Cancelled:
                raise
            except UserError as fault:
                faults.append(fault)
            before += passes
        if faults:
            raise faults[0]

    @cached_property
    def _annotated(self) -> AnnotatedPictures | None:
        return annotated_store(self.opened.exact, self.prepared.store, self.prepared.split)

    @cached_property
    def _layers_for_parts(self) -> list[str]:
        """Convolutions that show no kernels."""
        return [row.name for row in self.opened.network.table.weighted[1:] if isinstance(row, Conv)]

    @property
    def _forward_passes_for_parts(self) -> int:
        pictures = self._annotated
        return 0 if pictures is None else PASSES_FOR_PARTS * len(self._layers_for_parts) * min(PARTS_OF, len(pictures))

    def _find_parts(self, progress: Progress) -> None:
        if self._annotated is None:
            raise UserError("where the parts of these pictures are is unknown.")
        pictures, found, layers = self._annotated.some(PARTS_OF), {}, self._layers_for_parts
        for number, layer in enumerate(layers):

            def follow(step: str, done: int, total: int, before: float = number) -> None:
                half = 0.5 * (step == "overlaps") + 0.5 * done / total
                progress(round((before + half) * 1000), 1000 * len(layers))

            found[layer] = dissect(self.opened.exact, pictures, layer, progress=follow).best_of_units()
        CachedJson(self.about, found).save(self.path("parts"))

    def optimise(self, layer: str, unit: int, progress: Progress) -> None:
        """Make the picture that excites a unit, as `alexnet see visualise` does. Raises as that does."""
        self._make_folder()
        made = visualise(self.opened.exact, layer, unit, progress=progress)
        image = made.images[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        about = self.about | {"activation": float(made.activations[0]), "steps": len(made.history)}
        Optimised(about, image).save(self._optimised(layer, unit))

    # ── each pass ────────────────────────────────────────────────────────────────────────────────────────────────

    def _evaluate(self, progress: Progress) -> None:
        run, store, split = self.opened.run, self.prepared.store, self.prepared.split
        found, _ = evaluate_run(run.folder, run.viewer, store, split=split, views=VIEWS, progress=progress)
        CachedEvaluation.of(found, self._about_answers).save(self.path("evaluation"))

    def _find_nearest(self, progress: Progress) -> None:
        store, train = self.prepared.store, self.prepared.store.splits["train"]
        if self.evaluations is None:
            self._evaluate(progress)
        wrong = explained(self.opened.run, store, self.prepared.split, (self.evaluations or {})[max(VIEWS)], progress)
        number_of = {str(key): number for number, key in enumerate(train.keys)}
        found = {
            str(one.index): [{"picture": number_of[file], "file": file, "class": name} for file, name in one.nearest]
            for one in wrong
        }
        CachedJson(self._about_answers, found).save(self.path("nearest"))

    def _find_suspects(self, progress: Callable[..., None]) -> None:
        run, store = self.opened.run, self.prepared.store
        refuse_unfit(run, store)
        report = named(progress)
        checked = check_store(store, report)
        if checked.damaged:
            raise UserError("\n".join(remark.words for remark in checked.remarks if remark.fault))
        found = [to_json(one) | {"apply": one.apply} for one in find_suspects(run, store, checked, report)]
        CachedJson(self.about | {"split": ""}, found).save(self.path("suspects"))

    def _lay_out(self, method: Any, progress: Callable[..., None]) -> None:
        found = picture_map(
            self.opened.run,
            self.prepared.store,
            self.prepared.split,
            method=method,
            progress=named(progress),
            layout=lambda *given: beside(lambda: laid_out(*given), lambda: progress(0, 1, "layout")),
        )
        CachedJson(self.about, found.as_json()).save(self.path(f"map-{method}"))

    def _compute_evolution(self, progress: Progress) -> None:
        run, total = self.opened.exact, len(self.split)
        epochs = chosen_epochs(run, ())
        with faults_named(self.path("evolution")):
            self.path("evolution").mkdir(exist_ok=True)
        for number, epoch in enumerate(epochs):

            def follow(done: int, _: int, before: int = number * total) -> None:
                progress(before + done, len(epochs) * total)

            if not self._after(epoch):
                viewer, about = viewer_after(run, epoch), self._about_snapshot(epoch)
                found = find_top(viewer, self.split, self.layers, kept=1, about=about, progress=follow)
                found.save(self._of_epoch(epoch))

    def _build_index(self, progress: Progress) -> None:
        path = self.path("neighbours")
        if (path / DESCRIPTION).exists():  # of other weights
            shutil.rmtree(path)
        options = IndexOptions(splits=(NEIGHBOURS_OF,))
        build(self.opened.exact, self.prepared.store, path, options, lambda _, done, total: progress(done, total))


def named(progress: Callable[..., None]) -> StepProgress:
    """Progress of steps that have names."""
    return lambda step, done, total: progress(done, total, step)


def beside(work: Callable[[], Found], meanwhile: Callable[[], None]) -> Found:
    """What `work`, which needs no network, gives, done by another thread; `meanwhile` is called again and again. If it
    raises, the work is not waited for."""
    found = Future[Found]()

    def run() -> None:
        try:
            found.set_result(work())
        except BaseException as fault:
            found.set_exception(fault)

    Thread(target=run, daemon=True).start()
    while wait([found], WAIT).not_done:
        meanwhile()
    return found.result()
