"""Pictures of several classes each: average precision of each class, computed as for Pascal VOC ([Z] Table 6).

N pictures · D values of a layer · K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alexnet.data.sources.labelme import Annotated, annotated_pictures
from alexnet.errors import UserError
from alexnet.features.probes import Fold, chosen_strength, fitted, rotated
from alexnet.files.atomic import read_bounded
from alexnet.files.packaged import read_toml

LARGEST_LIST = 1 << 26
PAPER = read_toml("alexnet.features", "voc.toml")
"""Of each class the average precision of Sande et al., Yan et al. and [Z]: [Z] Table 6."""
SPLITS = (("trainval", "test"), ("train", "val"))
"""Which lists of ImageSets/Main to train on and to test on: the first pair whose pictures are annotated."""


@dataclass(frozen=True, eq=False)
class PictureSet:
    """Annotated pictures. `present` (N, K): 1: the class is present, 0: it is not, −1: only objects marked difficult
    are."""

    files: tuple[Path, ...]
    classes: tuple[str, ...]
    present: np.ndarray
    fold: Fold


def open_pictures(root: Path, seed: int = 0) -> PictureSet:
    """A VOC or LabelMe folder: Annotations/ next to JPEGImages/ or Images/. Split by ImageSets/Main where there are
    such lists, else in halves by `seed`. Raises UserError for annotations that can't be read, or of a single class."""
    annotated = [one for one in annotated_pictures(root) if (root / one.picture).is_file()]
    classes = tuple(sorted({name for one in annotated for name in one.names}))
    if len(classes) < 2:
        raise UserError(f"{root}: objects of {len(classes)} classes in {len(annotated)} pictures; two at least needed.")
    present = np.array([[_presence(one, name) for name in classes] for one in annotated])
    return PictureSet(tuple(root / one.picture for one in annotated), classes, present, _split(root, annotated, seed))


def _presence(annotated: Annotated, name: str) -> int:
    return 1 if name in annotated.names else -1 if name in annotated.difficult else 0


def _split(root: Path, annotated: Sequence[Annotated], seed: int) -> Fold:
    place_of = {Path(one.picture).stem: place for place, one in enumerate(annotated)}
    for names in SPLITS:
        lists = [root / "ImageSets" / "Main" / f"{name}.txt" for name in names]
        if all(path.is_file() for path in lists):
            chosen = [[place_of[stem] for stem in _listed(path) if stem in place_of] for path in lists]
            if all(chosen):
                return Fold(np.array(chosen[0]), np.array(chosen[1]))
    order = np.random.default_rng(seed).permutation(len(annotated))
    return Fold(np.sort(order[::2]), np.sort(order[1::2]))


def _listed(path: Path) -> list[str]:
    text = read_bounded(path, LARGEST_LIST).decode("utf-8", "replace")
    return [line.split()[0] for line in text.splitlines() if line.strip()]


def average_precisions(features_nd: np.ndarray, pictures: PictureSet) -> dict[str, float]:
    """The average precision of each class that occurs in both halves, by one softmax over all classes. A picture of
    several classes is trained on once for each of them ([Z] does not say how it counts)."""
    train_nd, test_nd = rotated(features_nd, pictures.fold)
    present_nk = pictures.present[pictures.fold.train] == 1
    rows, labels = np.nonzero(present_nk)
    strength = chosen_strength(train_nd[rows], labels, "softmax")
    model = fitted(train_nd[rows], labels, "softmax", strength)
    scores_nk = model.predict_proba(test_nd)
    found = {}
    for column, label in enumerate(model.classes_):
        truth_n = pictures.present[pictures.fold.test, label]
        if (truth_n == 1).any():
            found[pictures.classes[label]] = average_precision(scores_nk[truth_n >= 0, column], truth_n[truth_n >= 0])
    return found


def average_precision(scores_n: np.ndarray, truth_n: np.ndarray) -> float:
    """The area under precision over recall, each precision raised to the best at a higher recall (VOC since 2010)."""
    order = np.argsort(-scores_n, kind="stable")
    hits = np.cumsum(truth_n[order])
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / hits[-1]
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * best))
