"""What a network learned on one set of pictures is worth on another ([Z] §5.2): probes on its layers, beside the same
network untrained, trained on the other set only, and fine-tuned.

N pictures · D values of a layer · K classes.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import cast

import numpy as np
import torch

from alexnet.choices import Beside, DeviceChoice
from alexnet.data.batches import Pictures, batches
from alexnet.data.sources.base import Source, SourceSplit
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.features.extract import layer_named, mean_over_views
from alexnet.features.pictures import Pool
from alexnet.features.probes import (
    FOLDS,
    KINDS,
    Fold,
    Outcome,
    ProbeKind,
    fold_of,
    largest_per_class,
    mean_per_class,
    probe,
)
from alexnet.files import schema
from alexnet.files.atomic import faults_named, write_atomically
from alexnet.files.schema import from_json, json_bytes, read_json
from alexnet.isolation import isolated
from alexnet.measure.evaluation import check_size
from alexnet.measure.run import Run, check_views
from alexnet.measure.viewer import BATCH, ViewAverager
from alexnet.nets.network import build
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions

TARGET_BATCH = 32
"""Of the trainings on a fold: some hundred pictures make a few batches of 128, too few updates in an epoch."""
RATES: dict[Beside, float] = {"target": 0.01, "fine-tune": 0.001}  # [A] §5; a tenth of it for weights that have learned


@dataclass(frozen=True)
class TransferPlan:
    """What to measure. `layers`: rows or numbers of layers; `beside`: what else, see the module; `epochs`: of the
    trainings on folds."""

    layers: tuple[str, ...] = ("1", "2", "3", "4", "5", "7")  # [Z] Table 7
    kinds: tuple[ProbeKind, ...] = KINDS
    per_class: tuple[int, ...] = (15, 30)  # [Z] Table 4
    beside: tuple[Beside, ...] = ("random",)
    folds: int = FOLDS
    views: int = 1
    epochs: int = 60
    seed: int = 0


@dataclass
class Study:
    """One run on one store, in a folder that keeps what was measured: the same call goes on where it was stopped."""

    run: Run
    store: Store
    folder: Path
    plan: TransferPlan
    left_out: frozenset[int] = frozenset()
    """Numbers of pictures that the run has seen: see `alexnet.features.duplicates`."""
    progress: Callable[[str, int, int], None] = field(default=lambda *_: None)

    def __post_init__(self) -> None:
        check_size(self.run.folder, self.store)
        check_views(self.plan.views)
        if min(self.plan.folds, self.plan.epochs, *self.plan.per_class) < 1:
            raise UsageError("--folds, --epochs and --per-class: at least 1.")
        whole = pooled(self.store)
        self.kept = np.array([n for n in range(len(whole)) if n not in self.left_out])
        self.pool, self.labels = whole, whole.labels[self.kept]
        if max(self.plan.per_class) > (most := largest_per_class(self.labels)):
            raise UserError(
                f"{self.store.path}: --per-class {max(self.plan.per_class)} leaves nothing to test of its smallest "
                f"class; {most} can be had."
            )

    def outcomes(self) -> list[Outcome]:
        """Everything that the plan asks for, in the order of [Z] Table 7."""
        found = self.probed(self.run.viewer, "")
        if "random" in self.plan.beside:
            found += self.probed(untrained(self.run, self.plan.seed), "untrained, ")
        for beside in ("target", "fine-tune"):
            if beside in self.plan.beside:
                found += [self.trained(beside, count) for count in self.plan.per_class]
        return found

    # ── probes ───────────────────────────────────────────────────────────────────────────────────────────────────

    def probed(self, viewer: ViewAverager, prefix: str) -> list[Outcome]:
        """A probe of each kind on each layer, for each number of training pictures."""
        plan, found, scratch = self.plan, list[Outcome](), self.folder / "features"
        rows = [layer_named(viewer.network, layer) for layer in plan.layers]

        @cache  # computed once, and not at all where everything is measured already
        def features() -> dict[str, np.ndarray]:
            follow = partial(self.progress, f"{prefix}features")
            return layers_on_disk(viewer, self.pool, self.kept, rows, scratch, plan.views, follow)

        def make(kind: ProbeKind, count: int, row: str, what: str) -> Outcome:
            return probe(features()[row], self.labels, kind, count, what=what, folds=plan.folds, seed=plan.seed)

        jobs = list(product(plan.kinds, plan.per_class, rows))
        try:
            for kind, count, row in jobs:
                what = f"{prefix}{kind} on {row}"
                found.append(self._measured(what, count, partial(make, kind, count, row, what)))
                self.progress(f"{prefix}probes", len(found), len(jobs))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return found

    # ── trainings ────────────────────────────────────────────────────────────────────────────────────────────────

    def trained(self, beside: Beside, per_class: int) -> Outcome:
        """The same network trained on each fold, all its layers: from new weights, or from the run's."""
        what = {"target": "trained on these only", "fine-tune": "fine-tuned, all layers"}[beside]

        def make() -> Outcome:
            accuracies = []
            for fold in range(self.plan.folds):
                self.progress(f"{what}, {per_class} per class", fold, self.plan.folds)
                accuracies.append(self._trained_on(beside, per_class, fold))
            return Outcome(what, per_class, tuple(accuracies))

        return self._measured(what, per_class, make)

    def _trained_on(self, beside: Beside, per_class: int, number: int) -> float:
        path = self.folder / "trainings" / f"{beside}-{per_class}-{number}"
        kept = path.with_suffix(".json")
        if kept.exists():
            return known_accuracy(kept)
        fold = fold_of(self.labels, per_class, number, seed=self.plan.seed)
        store = fold_store(self.store, self.pool, self.kept, fold, path.with_suffix(".store"))
        options = fold_options(self.run, beside, self.plan.epochs, self.plan.seed + number)
        begun = (path / "config.json").exists()
        train(store, path, TrainOptions() if begun else options, resume=begun, quiet=True)
        trained = Run.open(path, device=device_of(self.run))
        judged = trained.evaluate(store, views=self.plan.views)
        accuracy = mean_per_class(judged.predicted, judged.labels)
        write_atomically(kept, json_bytes({"accuracy": accuracy}))
        shutil.rmtree(store.path)
        shutil.rmtree(path)
        return accuracy

    # ── what is measured already ─────────────────────────────────────────────────────────────────────────────────

    def _file(self, what: str, per_class: int) -> Path:
        name = "".join(c if c.isalnum() else "-" for c in f"{what}-{per_class}-{self.plan.folds}-{self.plan.seed}")
        return self.folder / "measured" / f"{name}.json"

    def _measured(self, what: str, per_class: int, make: Callable[[], Outcome]) -> Outcome:
        path = self._file(what, per_class)
        if not path.exists():
            with faults_named(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json_bytes(asdict(make())))
        return known_outcome(path)


AGAIN = "Remove it; it is measured again."


def known_accuracy(path: Path) -> float:
    """The accuracy of a training on one fold, kept in a file."""
    return from_json(read_json(path).get("accuracy"), float, f"{path}: accuracy", AGAIN)


def known_outcome(path: Path) -> Outcome:
    """What was measured before and kept in a file."""
    return schema.read(path, Outcome, AGAIN)


def pooled(store: Store) -> Pool:
    """All pictures of a store: the folds are drawn from them, whatever parts they lie in."""
    return Pool(tuple(part for part in store.splits.values() if len(part)))


def untrained(run: Run, seed: int) -> ViewAverager:
    """The run's network with first weights, as its training began (the 2012 code's), in float32: its values differ
    little from picture to picture, and bf16 would lose that."""
    size, init = run.network.input_size, run.config.get("recipe", {}).get("init", "code")  # not kept: the 2012 code's
    network = build(run.folder.table, input_size=size, init=init, seed=seed).eval()
    return replace(run.viewer, network=network.to(run.placement.device), dtype=torch.float32)


@isolated(inference=True)
def layers_on_disk(
    viewer: ViewAverager,
    pictures: Pictures,
    kept: np.ndarray,
    rows: Sequence[str],
    folder: Path,
    views: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, np.ndarray]:
    """The values of several rows for the pictures numbered `kept`, in one pass: float32 (N, D) each, memory-mapped."""
    for row in rows:
        viewer.network.check_computable(row)
    with faults_named(folder):
        folder.mkdir(parents=True, exist_ok=True)
    found, done = dict[str, np.ndarray](), 0
    for records, _ in batches(pictures, BATCH, kept, progress):
        for row, values_bd in mean_over_views(viewer, records, rows, views).items():
            if row not in found:
                shape = (len(kept), values_bd.shape[1])
                found[row] = np.lib.format.open_memmap(folder / f"{row}.npy", "w+", np.float32, shape)
            found[row][done : done + len(records)] = values_bd.numpy()
        done += len(records)
    return found


# ── trainings on a fold ──────────────────────────────────────────────────────────────────────────────────────────


def fold_store(store: Store, pool: Pool, kept: np.ndarray, fold: Fold, path: Path) -> Store:
    """A store whose "train" are the fold's training pictures and whose "val" its test pictures."""
    return store_of(store, pool, {"train": np.sort(kept[fold.train]), "val": np.sort(kept[fold.test])}, path)


def store_of(store: Store, pool: Pool, parts: Mapping[str, Sequence[int] | np.ndarray], path: Path) -> Store:
    """A store of some of a store's pictures, by their numbers in the pool of its parts; found if it is there."""

    def pixels(place: int) -> np.ndarray:
        return pool.read(np.array([place]))[0]

    keys, labels = pool.keys, pool.labels
    made = {}
    for name, chosen in parts.items():
        places = np.asarray(chosen, np.int64)
        made[name] = SourceSplit([f"{place:07}/{keys[place]}" for place in places], labels[places], pixels, places)
    with faults_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    return prepare(Source("fold", store.class_names, store.class_ids, store.class_order, made), path, size=store.size)


def fold_options(run: Run, beside: Beside, epochs: int, seed: int) -> TrainOptions:
    """A constant learning rate: the test pictures must not tell it when to drop."""
    fresh = beside == "target"
    return TrainOptions(
        net=run.folder.table.name if fresh else None,
        width=float(run.config.get("options", {}).get("width", 1.0)) if fresh else 1.0,
        input_size=run.inputs.size,
        epochs=epochs,
        batch=TARGET_BATCH,
        learning_rate=RATES[beside],
        patience=epochs + 1,
        start_from=None if fresh else run.path,
        seed=seed,
        device=device_of(run),
        save_minutes=1.0,
    )


def device_of(run: Run) -> DeviceChoice:
    """The kind of device that a run computes on."""
    return cast(DeviceChoice, run.placement.device.type)
