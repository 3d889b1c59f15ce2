"""Saved probabilities, for averaging several networks: one safetensors file, checksummed, written whole.

    probabilities   float32 (N, K), each row the mean of the views' softmax outputs
    labels          int64 (N,), the true classes; -1 where they are not known
    metadata        "about": JSON with "keys" (N names of pictures), "class_ids" (K), "views", "split", "store"
                    (its fingerprint), "run" (of the weights: `alexnet.files.tensors.tensor_digest`), "seen" (numbers of
                    the pictures that the network was trained on; null if that can't be checked)

`safetensors.numpy.load_file` reads the arrays without this package.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
import torch

from alexnet.errors import UserError
from alexnet.files.outputs import about_in, refuse_foreign
from alexnet.files.schema import Count, check
from alexnet.files.tensors import load_tensors, save_tensors
from alexnet.measure.predict import Prediction


class About(TypedDict):
    """The metadata, as far as they are read."""

    keys: list[str]
    class_ids: list[str]
    split: NotRequired[str | None]
    store: NotRequired[str | None]
    run: NotRequired[str | None]
    seen: NotRequired[list[Count] | None]


@dataclass(frozen=True, eq=False)
class Probabilities:
    """`values` float32 (N, K); `labels` int64 (N,); `keys`, the pictures' names; `about`: see the module."""

    values: np.ndarray
    labels: np.ndarray
    keys: tuple[str, ...]
    about: dict[str, Any]

    @classmethod
    def unlabelled(cls, predictions: Sequence[Prediction], class_ids: Sequence[str], views: int) -> "Probabilities":
        """Those of pictures whose true classes are not known, a competition's test set for instance."""
        values = np.stack([prediction.probabilities for prediction in predictions])
        about = {"views": views, "split": "", "store": "", "run": "", "class_ids": list(class_ids)}
        return cls(values, np.full(len(values), -1, np.int64), tuple(p.name for p in predictions), about)

    @property
    def seen(self) -> np.ndarray:
        """bool (N,): the pictures that a network is known to have been trained on."""
        return np.isin(np.arange(len(self.labels)), self.about.get("seen") or [])

    @property
    def unseen(self) -> "Probabilities":
        """The probabilities of the other pictures."""
        kept = ~self.seen
        keys = tuple(key for key, keep in zip(self.keys, kept, strict=True) if keep)
        return Probabilities(self.values[kept], self.labels[kept], keys, self.about | {"seen": []})

    @staticmethod
    def refuse_foreign(path: Path, option: str) -> None:
        """Raises UserError if `path`, chosen with `option`, holds anything but probabilities."""
        refuse_foreign(path, lambda path: {"keys", "class_ids", "views"} <= about_in(path).keys(), option)

    def save(self, path: Path) -> None:
        """Write all into `path`. Raises UserError if that can't be done; what was there before is then still there."""
        tensors = {"probabilities": torch.from_numpy(self.values), "labels": torch.from_numpy(self.labels)}
        save_tensors(path, tensors, {**self.about, "keys": list(self.keys)})

    @classmethod
    def load(cls, path: Path) -> "Probabilities":
        """Read what `save` wrote. Raises UserError if it is absent, damaged or something else."""
        tensors, about = load_tensors(path)
        if set(tensors) != {"probabilities", "labels"} or "keys" not in about:
            raise UserError(
                f"{path}: holds no probabilities. `alexnet evaluate … --save-probabilities` makes such files."
            )
        check(about, About, path, "Make it again.")
        values, labels = tensors["probabilities"], tensors["labels"]
        keys, classes = tuple(about.pop("keys")), about["class_ids"]
        typed = values.dtype == torch.float32 and labels.dtype == torch.int64
        shaped = values.shape == (len(keys), len(classes)) and labels.shape == (len(keys),) and values.numel() > 0
        if not (typed and shaped and bool(torch.isfinite(values).all())):
            raise UserError(
                f"{path}: damaged, {tuple(values.shape)} numbers for {len(keys):,} pictures. Make it again."
            )
        if not bool(((labels >= -1) & (labels < len(classes))).all()):
            raise UserError(f"{path}: damaged, a label is none of its {len(classes):,} classes. Make it again.")
        return cls(values.numpy(), labels.numpy(), keys, about)
