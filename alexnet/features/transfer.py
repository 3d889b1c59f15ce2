"""How well features learned on one set of pictures work on another ([Z] §5.2): probes on its layers, compared with the
same network untrained, trained on the other set only, and fine-tuned.

N pictures · D values of a layer · K classes.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import cast

import numpy as np
import torch

from alexnet.choices import Beside, DeviceChoice
from alexnet.data.batches import Pictures, Progress, StepProgress, batches
from alexnet.data.sources.base import Source, SourceSplit
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.features.extract import layer_named, mean_over_views
from alexnet.features.options import TransferOptions
from alexnet.features.pictures import Pool
from alexnet.features.probes import Fold, Outcome, ProbeKind, fold_of, largest_per_class, mean_per_class, probe
from alexnet.files import schema
from alexnet.files.atomic import faults_named, write_atomically
from alexnet.files.schema import json_bytes
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


@dataclass
class Study:
    """One run on one store, in a folder that keeps what was measured: the same call resumes."""

    run: Run
    store: Store
    folder: Path
    options: TransferOptions
    left_out: frozenset[int] = frozenset()
    """Numbers of pictures that the run was trained on: see `alexnet.features.duplicates`."""
    progress: StepProgress = lambda *_: None

    def __post_init__(self) -> None:
        check_size(self.run.folder, self.store)
        check_views(self.options.views)
        if min(self.options.folds, self.options.epochs, *self.options.per_class) < 1:
            raise UsageError("--folds, --epochs and --per-class: at least 1.")
        self.pool = Pool.of(self.store)
        self.kept = np.array([n for n in range(len(self.pool)) if n not in self.left_out])
        self.labels = self.pool.labels[self.kept]
        if (most := max(self.options.per_class)) > (available := largest_per_class(self.labels)):
            raise UserError(
                f"{self.store.path}: --per-class {most} leaves no pictures of its smallest class to test on; at most "
                f"{available} are available."
            )

    def outcomes(self) -> list[Outcome]:
        """Everything that the options ask for, in the order of [Z] Table 7."""
        found = self.probed(self.run.viewer, "")
        if "random" in self.options.beside:
            found += self.probed(untrained(self.run, self.options.seed), "untrained, ")
        for beside in ("target", "fine-tune"):
            if beside in self.options.beside:
                found += [self.trained(beside, count) for count in self.options.per_class]
        return found

    # ── probes ───────────────────────────────────────────────────────────────────────────────────────────────────

    def probed(self, viewer: ViewAverager, prefix: str) -> list[Outcome]:
        """A probe of each kind on each layer, for each number of training pictures."""
        options, found, scratch = self.options, list[Outcome](), self.folder / "features"
        rows = [layer_named(viewer.network, layer) for layer in options.layers]

        @cache  # computed once, and not at all where everything is measured already
        def features() -> dict[str, np.ndarray]:
            follow = partial(self.progress, f"{prefix}features")
            return layers_on_disk(viewer, self.pool, self.kept, rows, scratch, options.views, follow)

        def make(kind: ProbeKind, count: int, row: str, what: str) -> Outcome:
            values_nd, folds = features()[row], options.folds
            return probe(values_nd, self.labels, kind, count, what=what, folds=folds, seed=options.seed)

        jobs = list(product(options.probes, options.per_class, rows))
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
            for fold in range(self.options.folds):
                self.progress(f"{what}, {per_class} per class", fold, self.options.folds)
                accuracies.append(self._trained_on(beside, per_class, fold))
            return Outcome(what, per_class, tuple(accuracies))

        return self._measured(what, per_class, make)

    def _trained_on(self, beside: Beside, per_class: int, number: int) -> float:
        path = self.folder / "trainings" / f"{beside}-{per_class}-{number}"
        kept = path.with_suffix(".json")
        if kept.exists():
            return schema.read(kept, FoldAccuracy, AGAIN).accuracy
        fold = fold_of(self.labels, per_class, number, seed=self.options.seed)
        store = fold_store(self.store, self.pool, self.kept, fold, path.with_suffix(".store"))
        options = fold_options(self.run, beside, self.options.epochs, self.options.seed + number)
        begun = (path / "config.json").exists()
        train(store, path, TrainOptions() if begun else options, resume=begun, quiet=True)
        trained = Run.open(path, device=device_of(self.run))
        judged = trained.evaluate(store, views=self.options.views)
        accuracy = mean_per_class(judged.predicted, judged.labels)
        write_atomically(kept, json_bytes(schema.to_json(FoldAccuracy(accuracy))))
        shutil.rmtree(store.path)
        shutil.rmtree(path)
        return accuracy

    def _measured(self, what: str, per_class: int, make: Callable[[], Outcome]) -> Outcome:
        """What was measured before and kept in a file, else what `make` gives."""
        words = f"{what}-{per_class}-{self.options.folds}-{self.options.seed}"
        path = self.folder / "measured" / f"{''.join(c if c.isalnum() else '-' for c in words)}.json"
        if not path.exists():
            with faults_named(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json_bytes(schema.to_json(make())))
        return schema.read(path, Outcome, AGAIN)


AGAIN = "Remove it; it is measured again."


@dataclass(frozen=True)
class FoldAccuracy:
    """The accuracy of a training on one fold, kept in a file."""

    accuracy: float


def untrained(run: Run, seed: int) -> ViewAverager:
    """The run's network with initial weights, as at the start of its training, in float32: its values differ little
    from picture to picture, and bf16 would lose that."""
    size, init = run.network.input_size, run.config.get("recipe", {}).get("init", "code")  # older runs: the 2012 code's
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
    progress: Progress | None = None,
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


def store_of(store: Store, pool: Pool, splits: Mapping[str, Sequence[int] | np.ndarray], path: Path) -> Store:
    """A store of some of a store's pictures, by their numbers in the pool of its splits; opened if it exists."""
    with faults_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    return prepare(source_of(store, pool, splits), path, size=store.size)


def source_of(store: Store, pool: Pool, splits: Mapping[str, Sequence[int] | np.ndarray]) -> Source:
    """Some of a store's pictures, by their numbers in the pool of its splits, with their groups."""
    keys, labels, groups = pool.keys, pool.labels, pool.groups
    made = {}
    for name, chosen in splits.items():
        numbers = np.asarray(chosen, np.int64)
        names = [f"{number:07}/{keys[number]}" for number in numbers]
        made[name] = SourceSplit(names, labels[numbers], lambda number: pool.read(np.array([number]))[0], numbers)
    group_of = None if groups is None else lambda key: str(groups[int(key.partition("/")[0])])
    return Source("fold", store.class_names, store.class_ids, store.class_order, made, groups=group_of)


def fold_options(run: Run, beside: Beside, epochs: int, seed: int) -> TrainOptions:
    """A constant learning rate: a schedule that drops it would have to look at the test pictures."""
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
