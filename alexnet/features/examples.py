"""The pictures, labels and weights that scikit-learn passes to `fit`, as a source for `prepare`.

N pictures · H, W rows and columns of a picture · K classes.
"""

import os
from collections.abc import Iterator, Mapping, Sequence, ValuesView
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, cast

import numpy as np
from PIL import Image
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from alexnet.data.sources.base import Source, SourceSplit, key_of, split
from alexnet.errors import UserError
from alexnet.images.decode import Decoded, Undecodable
from alexnet.measure.pictures import Picture, decoded, name_of, numbered
from alexnet.text import first_few


@dataclass(frozen=True, eq=False)
class Examples:
    """The pictures to learn from. `positions` int64 (N,): the index of each in `pictures`; `labels` int64 (N,): its
    class, as an index into `classes` (K,); `weights` float64 (N,)."""

    pictures: Sequence[Picture]
    positions: np.ndarray
    labels: np.ndarray
    classes: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, pictures: Sequence[Picture], y: Any, sample_weight: Any, class_weight: Any) -> "Examples":
        """Pictures of weight 0 are skipped. Raises ValueError for labels or weights that do not fit the pictures."""
        labels, weights = _labels(y, len(pictures)), _weights(sample_weight, len(pictures))
        positions = np.flatnonzero(weights)
        classes, numbers = _classes(labels[positions])
        if len(classes) < 2:
            raise ValueError(f"y holds {len(classes)} class; at least two are needed")
        if isinstance(class_weight, Mapping):
            _numbers(list(class_weight.values()), "class_weight")
        elif class_weight is not None and class_weight != "balanced":
            raise ValueError(
                f"class_weight={class_weight!r}: must be None, 'balanced' or a dictionary {{label: weight}}"
            )
        weights = weights[positions] * compute_sample_weight(class_weight, labels[positions])
        return cls(pictures, positions, numbers, classes, weights)

    def source(self, validation: float, seed: int) -> Source:
        """As any other source, the share `validation` of each class held out by its index alone. Keys are the index and
        the file's name or a digest of the pixels, so that other pictures in the same folder are noticed."""
        names = tuple(str(label) for label in self.classes)
        whole = SourceSplit([f"{number:07}" for number in range(len(self.positions))], self.labels, self)
        source = Source("classifier", names, names, "sorted labels", {"train": whole}, upright=True)
        named = {
            name: replace(one, keys=[f"{key} {self._identity(int(key))}" for key in one.keys])
            for name, one in split(source, validation, seed, "the pictures given").splits.items()
        }
        return replace(source, splits=named)

    def weights_of(self, split: SourceSplit) -> np.ndarray:
        """float32 (pictures of the split,), with mean 1, so that the learning rate keeps its meaning."""
        weights = self.weights if split.positions is None else self.weights[split.positions]
        return (weights / weights.mean()).astype(np.float32)

    def __call__(self, number: int) -> Decoded:
        """Read a picture, as the reader of the source. Raises UserError, which ends `prepare`, for one that is none."""
        place = int(self.positions[number])
        name = numbered(name_of(self.pictures[place], place), place)
        try:
            return decoded(self.pictures[place], name, exif=True)
        except Undecodable as fault:
            raise UserError(f"{name}: {fault.reason}. Leave this picture and its label out.") from None

    def size_of(self, number: int) -> int | None:
        """Bytes of a file; None for a picture in memory."""
        picture = self.pictures[int(self.positions[number])]
        try:
            return os.stat(picture).st_size if isinstance(picture, str) else None
        except (OSError, ValueError):
            return None

    def _identity(self, number: int) -> str:
        """A file's name, or a digest of a picture in memory."""
        picture = self.pictures[int(self.positions[number])]
        if isinstance(picture, str):
            return key_of(picture)
        try:
            data = picture if isinstance(picture, bytes) else cast(Image.Image | np.ndarray, picture).tobytes()
        except Exception:  # of a damaged image: reading it again gives the message
            return "damaged"
        return sha256(data).hexdigest()[:16]


def _labels(y: Any, count: int) -> np.ndarray:
    """The labels (N,). Raises ValueError for another number of them, and for missing ones."""
    if y is None:
        raise ValueError("Classifier requires y to be passed, but the target y is None")
    given: Any = list(y) if isinstance(y, Iterator | ValuesView) else y
    given = given.to_numpy() if hasattr(given, "to_numpy") else given  # else pandas' own integers become floats
    labels = column_or_1d(given, warn=True)
    if labels.dtype.kind == "T":  # NumPy's texts of any length, unknown to scikit-learn
        labels = labels.astype(object)
    if len(labels) != count:
        raise ValueError(f"y must hold a label for each of the {count:,} pictures, not {len(labels):,}")
    apart = labels
    if isinstance(given, list | tuple):  # among texts NumPy makes a NaN the text "nan"
        apart = np.array(given, object).reshape(count)
    elif isinstance(given, np.ma.MaskedArray):
        apart = np.where(np.ma.getmaskarray(given).reshape(count), None, labels.astype(object))
    if missing := [str(number) for number, label in enumerate(apart, 1) if _is_missing(label)]:
        where = f"for picture {first_few(missing, 5)}; leave these pictures out"
        raise ValueError(f"Input y contains NaN or another missing label, {where}")
    if labels.dtype == object and all(type(label) is bool for label in labels):
        labels = labels.astype(bool)
    return labels


def _is_missing(label: Any) -> bool:
    """Whether a label is None, NaN, NaT or pandas' NA, which is not even unequal to itself."""
    try:
        return label is None or bool(label != label)
    except (TypeError, ValueError):
        return True


def _classes(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The classes (K,), sorted, and the index of each label among them. Raises ValueError for labels that can't be
    classes."""
    try:
        check_classification_targets(labels)
        return np.unique(labels, return_inverse=True)
    except TypeError as fault:
        kinds = sorted({type(label).__name__ for label in labels})
        if len(kinds) == 1:
            raise ValueError(f"y holds labels of the type {kinds[0]}: {fault}") from fault
        mixed = f"y mixes labels of types that can't be sorted ({', '.join(kinds)})"
        raise ValueError(f"{mixed}; convert them, e.g. to str") from fault


def _weights(sample_weight: Any, count: int) -> np.ndarray:
    if sample_weight is None:
        return np.ones(count)
    weights = _numbers(sample_weight, "sample_weight")
    weights = np.full(count, weights) if weights.ndim == 0 else weights
    if weights.shape != (count,):
        raise ValueError(f"sample_weight.shape == {weights.shape}, expected ({count},)")
    if not weights.any():
        raise ValueError("sample_weight must not be zero for every picture")
    return weights


def _numbers(weights: Any, name: str) -> np.ndarray:
    """Weights as float64. Raises ValueError, with the parameter's name, for other than finite numbers of at least 0."""
    try:
        found = np.asarray(list(weights) if isinstance(weights, Iterator | ValuesView) else weights, np.float64)
    except (TypeError, ValueError) as fault:
        raise ValueError(f"{name} must hold numbers: {fault}") from fault
    if not np.isfinite(found).all() or (found < 0).any():
        raise ValueError(f"{name} must be finite and at least zero")
    return found
