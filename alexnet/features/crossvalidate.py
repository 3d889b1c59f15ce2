"""The error of a way of training, measured on every picture: each is tested by a classifier trained on other folds.

Fold by fold a network is trained as by `alexnet train`, or a linear classifier fitted to frozen layers, whose output is
then computed once for all folds. N pictures · V views of each · D values of a view · K classes.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from alexnet.data.batches import StepProgress
from alexnet.data.sources.base import split_unless_there
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.features.linear_head import LinearHead
from alexnet.features.pictures import Pool
from alexnet.features.probes import fold_numbers
from alexnet.features.transfer import source_of
from alexnet.files import schema
from alexnet.files.atomic import faults_named, write_atomically
from alexnet.files.locks import locked
from alexnet.files.schema import canonical_digest, json_bytes, to_json
from alexnet.files.tensors import digest_in
from alexnet.isolation import isolated
from alexnet.measure.accuracy import Counts, count, describe_errors, wilson
from alexnet.measure.evaluation import filled_splits
from alexnet.measure.run import Run
from alexnet.runs.folder import MODEL
from alexnet.terminal import say
from alexnet.text import table
from alexnet.train.checks import check_options, with_decided_defaults
from alexnet.train.frozen import Views, cached_features
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions
from alexnet.train.stop import Interrupted

T = TypeVar("T")
TEST = "test"
"""The split that is left alone, so that it can still be measured on once."""


@dataclass(frozen=True)
class MadeOf:
    """A digest of the pictures, the folds and the options, kept with the results."""

    digest: str


@dataclass(frozen=True)
class Folds:
    """A store's pictures, those of its test split left out, and the fold that each is tested in, (N,)."""

    store: Store
    pool: Pool
    fold_n: np.ndarray
    options: TrainOptions

    @classmethod
    def of(cls, store: Store, folds: int, options: TrainOptions) -> "Folds":
        pool = Pool.of(store, [name for name in filled_splits(store) if name != TEST])
        numbers = fold_numbers(pool.labels, folds, seed=options.seed, groups_n=pool.groups, names=store.class_names)
        return cls(store, pool, numbers, options)

    @property
    def made_of(self) -> MadeOf:
        """All that decides the result."""
        source = self.options.start_from
        weights = None if source is None else digest_in(source / MODEL)
        return MadeOf(canonical_digest([self.store.fingerprint, self.fold_n.tolist(), to_json(self.options), weights]))


@isolated()
def cross_validate(
    store: Store, folder: Path, options: TrainOptions, folds: int = 5, progress: StepProgress | None = None
) -> list[Counts]:
    """Train on all folds but one and count the errors on that one, by the centre view, for each fold. `folder` keeps
    what was counted: the same call resumes.

    Raises UserError and UsageError as `train` and `fold_numbers` do, and for a folder that holds the results of other
    pictures or options; Interrupted when asked to stop."""
    check_options(options)
    divided = Folds.of(store, folds, options)
    judge = (
        linear_judge(divided, folder, progress) if options.head == "linear" else partial(judge_trained, divided, folder)
    )
    with faults_named(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock", f"{folder}: another process cross-validates there."):
        if _kept(folder / "folds.json", MadeOf, lambda: divided.made_of) != divided.made_of:
            raise UserError(f"{folder}: holds results of other pictures, folds or options. Name another --out.")
        files = [folder / f"fold-{number + 1}.json" for number in range(folds)]
        found = [_kept(path, Counts, partial(judge, number)) for number, path in enumerate(files)]
        shutil.rmtree(folder / "features", ignore_errors=True)
    return found


def _kept(path: Path, kind: type[T], make: Callable[[], T]) -> T:
    """What the file holds; if there is none, what `make` gives, which is written to it."""
    if not path.exists():
        write_atomically(path, json_bytes(to_json(make())))
    return schema.read(path, kind, "Remove it; it is made again.")


def linear_judge(divided: Folds, folder: Path, progress: StepProgress | None) -> Callable[[int], Counts]:
    """Number of a fold → what a linear classifier fitted to the others makes of it; features are computed once."""

    @cache
    def computed() -> tuple[LinearHead, np.ndarray, np.ndarray]:
        head = LinearHead.of(divided.store, divided.options)

        def features(views: Views, name: str) -> np.ndarray:
            made = partial(cached_features, head.viewer, divided.store)
            place, splits = folder / "features" / name, divided.pool.splits
            return np.concatenate([made(split, head.frozen.last, views, place, progress) for split in splits])

        trained_nvd = features(head.views, "trained")
        centre = trained_nvd if head.views.kind == "centre" else features(Views("centre", mirror=False), "tested")
        return head, trained_nvd, centre[:, 0]

    def judge(number: int) -> Counts:
        head, trained_nvd, tested_nd = computed()
        tested_n, labels_n = divided.fold_n == number, divided.pool.labels
        head.fit(trained_nvd[~tested_n], labels_n[~tested_n])
        with torch.inference_mode():
            tested_md = torch.from_numpy(tested_nd[tested_n]).to(head.viewer.device)
            logits_mk = head.network.get_submodule("linear")(tested_md).float().cpu()
        return count(logits_mk.softmax(dim=1), torch.from_numpy(labels_n[tested_n]))

    return judge


def judge_trained(divided: Folds, folder: Path, number: int) -> Counts:
    """What a network trained on the other folds makes of a fold. A tenth of these folds is its validation split."""
    store, path, options = divided.store, folder / f"fold-{number + 1}", divided.options
    say(f"fold {number + 1} of {divided.fold_n.max() + 1}")
    splits = {"train": np.flatnonzero(divided.fold_n != number), TEST: np.flatnonzero(divided.fold_n == number)}
    source = split_unless_there(source_of(store, divided.pool, splits), options.seed, str(store.path))
    made = prepare(source, path.with_suffix(".store"), size=store.size)
    begun = (path / "config.json").exists()
    try:
        train(made, path, with_decided_defaults(options, store, path), resume=begun)
    except Interrupted:
        raise Interrupted("stopped; everything is saved. Rerun the same command to resume.") from None
    counts = Run.open(path, device=options.device).evaluate(made, split=TEST, views=1).counts
    shutil.rmtree(made.path)
    shutil.rmtree(path)
    return counts


def folds_as_json(found: list[Counts]) -> dict[str, Any]:
    """Counts, error (0 to 1) and its 95 % interval, of each fold and of all."""

    def figures(one: Counts) -> dict[str, Any]:
        interval = list(wilson(one.top1_errors, one.pictures))
        return {"pictures": one.pictures, "errors": one.top1_errors, "error": one.top1, "interval": interval}

    return {"folds": [*map(figures, found)], "all": figures(sum(found, Counts()))}


def describe_folds(found: list[Counts]) -> str:
    """The errors of each fold and of all, with the 95 % intervals of their shares."""
    pooled = sum(found, Counts())
    named = [*((f"fold {number}", one) for number, one in enumerate(found, 1)), ("all", pooled)]
    rows = [(name, describe_errors(one.top1_errors, one.pictures), f"{one.top1:.2%}") for name, one in named]
    return table(("", "wrong", ""), rows)
