"""Classifiers on fixed features, as [Z] §5.2 tests a layer: softmax regression or a linear SVM, by folds.

n training pictures · m test pictures · D values of a picture · K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any, get_args

import numpy as np

from alexnet.choices import ProbeKind
from alexnet.errors import UsageError, UserError

KINDS: tuple[ProbeKind, ...] = get_args(ProbeKind)
MOST_TEST = 50  # [Z] §5.2: pictures tested of a class, at most
STRENGTHS: dict[ProbeKind, tuple[float, ...]] = {"svm": (0.1, 1.0, 10.0), "softmax": (1.0, 10.0, 100.0)}
"""The values of C that are tried: [Z] gives none. Features have a mean square of 1 about their mean."""
HELD_OUT = 5
"""C is chosen with one in five of the training pictures set apart."""
ROUNDING = 1e-7
BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Fold:
    """Numbers of the pictures trained on and of those tested on."""

    train: np.ndarray
    test: np.ndarray


def fold_of(labels: np.ndarray, per_class: int, fold: int, *, seed: int = 0, most_test: int = MOST_TEST) -> Fold:
    """`per_class` training pictures of each class, drawn by (seed, fold, class), and up to `most_test` of the others
    ([Z] §5.2). Smaller training sets are subsets of larger ones. Raises UserError for a class that has too few."""
    train, test = [], []
    for label in range(int(labels.max()) + 1):
        members = np.flatnonzero(labels == label)
        if len(members) <= per_class:
            raise UserError(
                f"{per_class} training pictures per class leave none to test on: class number {label} has "
                f"{len(members)}. Ask for fewer."
            )
        drawn = np.random.default_rng([seed, fold, label]).permutation(members)
        train.append(drawn[:per_class])
        test.append(drawn[per_class:][-most_test:])
    return Fold(np.concatenate(train), np.concatenate(test))


def fold_numbers(
    labels_n: np.ndarray, folds: int, *, seed: int = 0, groups_n: np.ndarray | None = None, names: Sequence[str] = ()
) -> np.ndarray:
    """The fold, 0 to `folds` − 1, that each picture is tested in, int64 (N,): of each class about as many in every
    fold, drawn by `seed`; pictures of one group in one fold. Raises UsageError for more folds than the largest class
    has pictures, UserError, with its name in `names`, for a class whose pictures are all in one fold."""
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if folds > (most := int(np.bincount(labels_n).max())):
        raise UsageError(f"--folds {folds}: the largest class has {most} pictures. Ask for at most {most}.")
    splitter = (StratifiedKFold if groups_n is None else StratifiedGroupKFold)(folds, shuffle=True, random_state=seed)
    fold_n = np.empty(len(labels_n), np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes with fewer pictures than folds are no fault
        for number, (_, test) in enumerate(splitter.split(labels_n, labels_n, groups_n)):
            fold_n[test] = number
    for label in np.unique(labels_n):
        if len(np.unique(fold_n[labels_n == label])) == 1:
            name = names[label] if names else f"number {label}"
            raise UserError(
                f"class {name}: all its pictures are tested in one fold, which leaves none to train on. It needs two "
                "pictures, in two groups if there are groups."
            )
    return fold_n


def largest_per_class(labels: np.ndarray) -> int:
    """How many training pictures every class can give and keep one to test on."""
    return int(np.bincount(labels).min()) - 1


@dataclass(frozen=True)
class Outcome:
    """Accuracies of the folds: means over the classes of each class's accuracy, shares 0 to 1. `strengths`: the C
    chosen in each fold, where there was one to choose."""

    what: str
    per_class: int
    accuracies: tuple[float, ...]
    strengths: tuple[float, ...] = ()

    @property
    def mean(self) -> float:
        return mean(self.accuracies)

    @property
    def spread(self) -> float:
        """The standard deviation over the folds; 0 of one."""
        return stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0


def probe(
    features_nd: np.ndarray,
    labels: np.ndarray,
    kind: ProbeKind,
    per_class: int,
    *,
    what: str = "",
    folds: int = 5,
    seed: int = 0,
) -> Outcome:
    """Train and test a probe on each fold. `features_nd`: of all pictures, in memory or memory-mapped."""
    accuracies, strengths = [], []
    for number in range(folds):
        fold = fold_of(labels, per_class, number, seed=seed)
        train_nr, test_mr = rotated(features_nd, fold)
        strength = chosen_strength(train_nr, labels[fold.train], kind)
        predicted_m = fitted(train_nr, labels[fold.train], kind, strength).predict(test_mr)
        accuracies.append(mean_per_class(predicted_m, labels[fold.test]))
        strengths.append(strength)
    return Outcome(what or kind, per_class, tuple(accuracies), tuple(strengths))


def mean_per_class(predicted_m: np.ndarray, labels_m: np.ndarray) -> float:
    """The mean over the classes of the share that was right ([Z] §5.2)."""
    return float(np.mean([np.mean(predicted_m[labels_m == label] == label) for label in np.unique(labels_m)]))


@dataclass(frozen=True, eq=False)
class Span:
    """Training features about their mean, scaled to a mean square of 1 and, if there are more values than pictures,
    turned into the space that they span. A linear classifier with a quadratic penalty sees inner products alone:
    turning changes nothing but the time.

    `coordinates`: float64 (n, r), r ≤ n; `centre`: the mean, (D,); `train_nd`: the features about it; `back_nr`: what
    turns inner products with these into coordinates; None if nothing was turned."""

    coordinates: np.ndarray
    centre: np.ndarray
    scale: float
    train_nd: np.ndarray
    back_nr: np.ndarray | None = None

    @classmethod
    def of(cls, features_nd: np.ndarray) -> "Span":
        centre_d = features_nd.mean(axis=0)
        train_nd = features_nd - centre_d
        scale = float(np.sqrt(np.mean(np.einsum("nd,nd->n", train_nd, train_nd, dtype=np.float64)))) or 1.0
        if len(train_nd) >= train_nd.shape[1]:
            return cls(train_nd.astype(np.float64) / scale, centre_d, scale, train_nd)
        squares, directions_nr = np.linalg.eigh(_products(train_nd, train_nd) / scale**2)
        kept = squares > ROUNDING * squares.max()
        lengths, directions_nr = np.sqrt(squares[kept]), directions_nr[:, kept]
        return cls(directions_nr * lengths, centre_d, scale, train_nd, directions_nr / lengths)

    def coordinates_of(self, features_md: np.ndarray) -> np.ndarray:
        """Other features in the same space, float64 (m, r)."""
        test_md = features_md - self.centre
        if self.back_nr is None:
            return test_md.astype(np.float64) / self.scale
        return _products(test_md, self.train_nd) / self.scale**2 @ self.back_nr

    def weights(self, coefficients_kr: np.ndarray) -> np.ndarray:
        """A linear function of the coordinates as one of the features less `centre`: float64 (K, D)."""
        if self.back_nr is None:
            return coefficients_kr / self.scale
        return (coefficients_kr @ self.back_nr.T) @ self.train_nd / self.scale**2


def rotated(features_nd: np.ndarray, fold: Fold) -> tuple[np.ndarray, np.ndarray]:
    """The fold's training and test features in the span of the training ones, (n, r) and (m, r)."""
    train_nd, test_md = (
        np.asarray(features_nd[rows].reshape(len(rows), -1), np.float32) for rows in (fold.train, fold.test)
    )
    span = Span.of(train_nd)
    return span.coordinates, span.coordinates_of(test_md)


def _products(a_nd: np.ndarray, b_md: np.ndarray) -> np.ndarray:
    """Inner products, float64 sums of float32 blocks: (n, m)."""
    total = np.zeros((len(a_nd), len(b_md)))
    for first in range(0, a_nd.shape[1], BLOCK):
        total += a_nd[:, first : first + BLOCK] @ b_md[:, first : first + BLOCK].T
    return total


def fitted(
    features_nd: np.ndarray, labels_n: np.ndarray, kind: ProbeKind, strength: float, weights_n: np.ndarray | None = None
) -> Any:
    """A trained probe: softmax regression, or one linear SVM against the rest for each class, with a quadratic
    penalty of 1/C. `weights_n`: factors of the pictures' losses."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC
    from threadpoolctl import threadpool_limits

    if kind not in KINDS:
        raise UsageError(f"--probe {kind}: choose one of {', '.join(KINDS)}.")
    if kind == "softmax":
        model: Any = LogisticRegression(C=strength, max_iter=2000)
    else:
        model = LinearSVC(C=strength, max_iter=5000, random_state=0)
    # One thread: these matrices are small, and several threads on a busy machine wait for each other.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last passes change no prediction
        return model.fit(features_nd, labels_n, weights_n)


def held_out(labels_n: np.ndarray) -> np.ndarray:
    """Which pictures are set apart to choose C: every fifth of each class, bool (N,)."""
    rank_n = np.zeros(len(labels_n), int)
    for label in np.unique(labels_n):
        members = np.flatnonzero(labels_n == label)
        rank_n[members] = np.arange(len(members))
    return rank_n % HELD_OUT == 1


def chosen_strength(
    features_nd: np.ndarray,
    labels_n: np.ndarray,
    kind: ProbeKind,
    apart_n: np.ndarray | None = None,
    weights_n: np.ndarray | None = None,
    *,
    by_loss: bool = False,
) -> float:
    """The C with the best mean per-class accuracy on the rows `apart_n` (default: `held_out`), or `by_loss`, of softmax
    regression, with the lowest mean −ln p of the true class; the smaller of equals; the middle one without rows."""
    apart = held_out(labels_n) if apart_n is None else apart_n
    if not apart.any():
        return STRENGTHS[kind][1]
    trained = features_nd[~apart], labels_n[~apart]
    weights = None if weights_n is None else weights_n[~apart]

    def score(strength: float) -> float:
        model = fitted(*trained, kind, strength, weights)
        if not by_loss:
            return mean_per_class(model.predict(features_nd[apart]), labels_n[apart])
        logs = model.predict_log_proba(features_nd[apart])
        return float(logs[np.arange(len(logs)), np.searchsorted(model.classes_, labels_n[apart])].mean())

    return max(STRENGTHS[kind], key=score)
