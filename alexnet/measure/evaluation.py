"""An evaluation: every picture of a split of a store judged once, and the exact counts that follow.

N pictures · B pictures of a batch · K classes.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from alexnet.data.batches import Progress
from alexnet.data.store.read import Store, StoreSplit
from alexnet.errors import UserError
from alexnet.files.tensors import tensor_digest
from alexnet.isolation import isolated
from alexnet.measure.accuracy import TOP, Counts, nll_of_truth, probabilities_of, rank_of_truth
from alexnet.measure.overlap import seen_in_training
from alexnet.measure.probabilities import Probabilities
from alexnet.measure.reliability import Reliability
from alexnet.measure.viewer import ViewAverager
from alexnet.parallel.team import ALONE, Team
from alexnet.runs.folder import RunFolder
from alexnet.text import first_few

Judged = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Of a batch: most probable classes, ranks of the true ones, −ln p of the true ones, largest probabilities; (B,)."""


@dataclass(frozen=True)
class ClassCounts(Counts):
    """The counts of one class, and its precision, recall and F1 (0 to 1; NaN where nothing defines them)."""

    name: str = ""
    id: str = ""
    precision: float = math.nan
    recall: float = math.nan
    f1: float = math.nan


@dataclass(frozen=True)
class Confusion:
    """`count` of the `pictures` of class `true` were taken for class `predicted` (numbers of classes)."""

    true: int
    predicted: int
    count: int
    pictures: int


@dataclass(frozen=True)
class Averages:
    """Means over the classes that have pictures, 0 to 1. Balanced accuracy is the mean recall; a class that was never
    answered has a precision of 0."""

    macro_precision: float
    balanced_accuracy: float
    macro_f1: float


@dataclass(frozen=True)
class WrongPicture:
    """A picture whose most probable class is not its own: its file in the source, its number in the split, its class
    and the one answered, and their probabilities (0 to 1)."""

    file: str
    index: int
    true: str
    answered: str
    true_probability: float
    answered_probability: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A network's results on a set of pictures, in the set's order.

    `labels` (N,) true classes; `predicted` (N,) most probable ones, the lower number where two are equal; `ranks` (N,)
    how many classes came before the true one; `nlls` (N,) −ln p(true class), float64; `confidences` (N,) the largest
    probability, 0 to 1; `seen` (N,) whether the network was trained on the picture, None if that can't be checked.
    """

    views: int
    class_names: tuple[str, ...]
    class_ids: tuple[str, ...]
    labels: np.ndarray
    predicted: np.ndarray
    ranks: np.ndarray
    nlls: np.ndarray
    confidences: np.ndarray
    seen: np.ndarray | None = None

    @classmethod
    @isolated()
    def of(
        cls,
        probabilities: np.ndarray,
        labels: np.ndarray,
        class_names: Sequence[str],
        class_ids: Sequence[str],
        views: int,
    ) -> "Evaluation":
        """Judge given probabilities (N, K), an ensemble's for instance."""
        labels = labels.astype(np.int64)
        judged = judge(torch.tensor(probabilities), torch.from_numpy(labels))
        return cls(views, tuple(class_names), tuple(class_ids), labels, *judged)

    @cached_property
    def counts(self) -> Counts:
        return Counts.of(self.ranks, self.nlls)

    @cached_property
    def unseen(self) -> "Evaluation | None":
        """The same of the pictures that the network was not trained on, if it was trained on others; else None."""
        if self.seen is None or self.seen.all() or not self.seen.any():
            return None
        names = ("labels", "predicted", "ranks", "nlls", "confidences", "seen")
        arrays = {name: getattr(self, name)[~self.seen] for name in names}
        return replace(self, **arrays)

    @cached_property
    def absent(self) -> tuple[str, ...]:
        """Names of the classes that no picture is of."""
        return tuple(row.name for row in self.per_class if not row.pictures)

    @property
    def top1_error(self) -> float:
        """Share of pictures, 0 to 1, whose class is not the most probable one."""
        return self.counts.top1

    @property
    def top5_error(self) -> float:
        """Share of pictures, 0 to 1, whose class is not among the five most probable ones."""
        return self.counts.top5

    @property
    def nll(self) -> float:
        """Mean of −ln p(true class), in nats."""
        return self.counts.mean_nll

    @cached_property
    def per_class(self) -> tuple[ClassCounts, ...]:
        """The counts of each class, in the order of the outputs."""

        def tally(weights: np.ndarray | None = None) -> list[Any]:
            return np.bincount(self.labels, weights, minlength=len(self.class_ids)).tolist()

        top1, top5 = (map(int, tally(self.ranks >= limit)) for limit in (1, TOP))
        scores = self._scores(range(len(self.class_ids)), average=None, zero_division=np.nan)
        columns = tally(), top1, top5, tally(self.nlls), self.class_names, self.class_ids, *scores
        return tuple(ClassCounts(*row) for row in zip(*columns, strict=True))

    @cached_property
    def averages(self) -> Averages:
        """Precision, recall and F1, averaged over the classes."""
        return Averages(*map(float, self._scores(np.unique(self.labels), average="macro", zero_division=0.0)))

    def _scores(self, classes: Any, **how: Any) -> Any:
        """Precision, recall and F1, (K,) each or averaged."""
        from sklearn.metrics import precision_recall_fscore_support

        found = precision_recall_fscore_support(self.labels, self.predicted, labels=classes, **how)[:3]
        return [np.asarray(score).tolist() for score in found]

    @cached_property
    def reliability(self) -> Reliability:
        """How often the answers of a certain probability are right."""
        return Reliability.of(self.confidences, self.predicted == self.labels)

    @cached_property
    def confusion(self) -> np.ndarray:
        """int64 (K, K): pictures by true class (rows) and most probable class (columns)."""
        classes = len(self.class_ids)
        return np.bincount(self.labels * classes + self.predicted, minlength=classes**2).reshape(classes, classes)

    def confused(self, most: int = 10) -> tuple[Confusion, ...]:
        """The pairs of classes most often confused, the most frequent first (then by share of the true class's
        pictures, then by number)."""
        wrong = self.labels != self.predicted
        pairs = Counter(zip(self.labels[wrong].tolist(), self.predicted[wrong].tolist(), strict=True))
        pictures = np.bincount(self.labels, minlength=len(self.class_ids))
        found = [Confusion(true, taken, count, int(pictures[true])) for (true, taken), count in pairs.items()]
        return tuple(sorted(found, key=lambda c: (-c.count, c.pictures, c.true, c.predicted))[:most])

    def wrong(self, files: Sequence[str]) -> list[WrongPicture]:
        """The wrong pictures, the lowest probability of the true class first. `files`: the names of all pictures."""
        numbers = np.flatnonzero(self.labels != self.predicted)
        names, own = self.class_names, np.exp(-self.nlls)
        return [
            WrongPicture(
                str(files[number]),
                number,
                names[self.labels[number]],
                names[self.predicted[number]],
                float(own[number]),
                float(self.confidences[number]),
            )
            for number in numbers[np.argsort(-self.nlls[numbers], kind="stable")].tolist()
        ]


def judge(probabilities: torch.Tensor, labels: torch.Tensor) -> Judged:
    """Most probable class, rank of the true class (0: first), −ln p(true class) and the largest probability of each
    picture, (B,) each."""
    # numpy, because its argmax promises the first of equals.
    predicted, confidences = probabilities.numpy().argmax(axis=1), probabilities.numpy().max(axis=1)
    ranks, nlls = rank_of_truth(probabilities, labels), nll_of_truth(probabilities, labels)
    return predicted, ranks.numpy(), nlls.numpy(), confidences


@isolated()
def evaluate_run(
    folder: RunFolder,
    viewer: ViewAverager,
    store: Store,
    *,
    split: str = "val",
    views: Sequence[int] = (1,),
    progress: Progress | None = None,
    keep_probabilities: bool = False,
    team: Team = ALONE,
) -> tuple[dict[int, Evaluation], Probabilities | None]:
    """Judge every picture of a split of a store with each number of `views` (1, 5, 9 or 10), in one pass. Each
    process of a `team` judges whole batches, the same ones as one process alone: all get the whole, to the same bits.

    With `keep_probabilities` also the probabilities of the largest number of views (4·N·K bytes of memory).
    The pictures may be of some of the run's classes only; answers are among all of them.
    Raises UserError if they are of other classes or of another size than the run's, if there is no such split, or if an
    output is not a number.
    """
    pictures = split_of(store, split)
    classes = class_map(folder, store, pictures)
    check_size(folder, store)
    seen = seen_in_training(folder, store, pictures)
    labels = classes[pictures.labels]
    own: list[tuple[int, dict[int, Judged], np.ndarray | None]] = []
    for found, place in probabilities_of(viewer, pictures, views, progress, team):
        for probabilities_bk in found.values():
            check_numbers(folder, pictures, probabilities_bk, place)
        true = torch.from_numpy(labels[place])
        judged = {count: judge(probabilities_bk, true) for count, probabilities_bk in found.items()}
        own.append((place.start, judged, found[max(views)].numpy() if keep_probabilities else None))
    whole = sorted((batch for batches in team.everyones(own) for batch in batches), key=lambda batch: batch[0])
    ids, evaluations = tuple(folder.value("classes", "ids")), dict[int, Evaluation]()
    for count in views:
        arrays = map(np.concatenate, zip(*(judged[count] for _, judged, _ in whole), strict=True))
        evaluations[count] = Evaluation(count, folder.class_names, ids, labels, *arrays, seen=seen)
    if not keep_probabilities:
        return evaluations, None
    about = {
        "views": max(views),
        "split": split,
        "store": store.fingerprint,
        "run": tensor_digest(viewer.network.state_dict()),
        "class_ids": list(ids),
        "seen": None if seen is None else np.flatnonzero(seen).tolist(),
    }
    kept = np.concatenate([probabilities for _, _, probabilities in whole if probabilities is not None])
    return evaluations, Probabilities(kept, labels, tuple(pictures.keys), about)


# ── does the store fit the run? ──────────────────────────────────────────────────────────────────────────────────


def filled_splits(store: Store) -> list[str]:
    """The names of the splits that have pictures."""
    return [name for name, split in store.splits.items() if len(split)]


def split_of(store: Store, name: str) -> StoreSplit:
    """The store's split called `name`. Raises UserError, naming those that exist, if it is absent or empty."""
    if name not in (there := filled_splits(store)):
        raise UserError(
            f"{store.path}: has no pictures in a split {name!r}. Choose with --split; there are: {', '.join(there)}."
        )
    return store.splits[name]


def class_map(folder: RunFolder, store: Store, pictures: StoreSplit) -> np.ndarray:
    """int64 (K,): the number of each of the store's classes among the run's outputs; −1 for one without pictures that
    the run does not have.

    Classes are matched by their ids; if some are not found, all are matched by their names. Raises UserError, naming
    them, for pictures of classes that the run does not have.
    """
    outputs = folder.value("classes", "ids")
    for found in (matched(store.class_ids, outputs), matched(store.class_names, folder.class_names)):
        if (found[pictures.labels] >= 0).all():
            return found
    foreign = [ident for k in np.unique(pictures.labels) if (ident := store.class_ids[k]) not in outputs]
    absent = [ident for ident in outputs if ident not in set(store.class_ids)]
    apart = ((foreign, "in the store only"), (absent, "in the run only"))
    complaints = [f"{first_few(idents)} {where}" for idents, where in apart if idents]
    raise UserError(
        f"{store.path}: its classes are not those of {folder.path}: {'; '.join(complaints)}. "
        "Prepare the store again without the folders of the classes that the run does not have; folders (or ids) of "
        "the other classes must have the names that the run knows."
    )


def matched(ours: Sequence[str], theirs: Sequence[str]) -> np.ndarray:
    """int64: for each of `ours` its position in `theirs`, −1 if it is absent or twice in one of them."""
    positions, here, there = {name: place for place, name in enumerate(theirs)}, Counter(ours), Counter(theirs)
    return np.array([positions[name] if here[name] == there[name] == 1 else -1 for name in ours], np.int64)


def how_matched(folder: RunFolder, store: Store, split: str) -> str:
    """A sentence if the store's classes are in another order than the run's, or have other ids; else empty."""
    pictures, ids = split_of(store, split), list(folder.value("classes", "ids"))
    found = class_map(folder, store, pictures)
    known = [place for place in found.tolist() if place >= 0]
    if [ids[place] for place in known] != [store.class_ids[k] for k in np.flatnonzero(found >= 0)]:
        return f"{store.path}: its classes have other ids than in {folder.path}; they are matched by their names"
    if known != sorted(known):
        return f"{store.path}: has the classes in another order than {folder.path}; they are matched by their ids"
    return ""


def check_size(folder: RunFolder, store: Store) -> None:
    """Raises UserError if the store's records are not as large as those the run was trained on."""
    side = folder.inputs.side
    if store.size != side:
        raise UserError(
            f"{store.path}: its pictures have {store.size} pixels a side, those of {folder.path} had {side}, so has "
            f"its mean image. Prepare them again: alexnet prepare SOURCE STORE --size {side}"
        )


def check_numbers(folder: RunFolder, pictures: StoreSplit, probabilities: torch.Tensor, place: slice) -> None:
    """Raises UserError, naming the first picture, if an output is not a number."""
    bad = torch.nonzero(~torch.isfinite(probabilities).all(dim=1))
    if len(bad):
        key = pictures.keys[place.start + int(bad[0])]
        raise UserError(
            f"{folder.path}: the network's outputs for {key} are not numbers. Try --precision fp32; if that does "
            "not help, its weights are damaged: train again with a smaller --learning-rate."
        )
