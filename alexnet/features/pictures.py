"""Pictures of any kind as records of a run: a split of a store, several splits as one set, files, arrays.

B pictures asked for · S side of a record · H, W rows and columns of a picture.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from alexnet.data.batches import Pictures
from alexnet.data.store.read import Store, StoreSplit
from alexnet.images.decode import Decoded, Undecodable
from alexnet.measure.evaluation import filled_splits, split_of
from alexnet.measure.pictures import Named, name_of, numbered, picture_list
from alexnet.measure.predict import Failure
from alexnet.measure.run import Run


@dataclass(frozen=True, eq=False)
class Pool:
    """Several splits of a store, by their names, as one set, in this order. `groups` int64 (N,): pictures with the same
    number belong together; None if the store has no groups."""

    splits: dict[str, StoreSplit]
    groups: np.ndarray | None = None

    @classmethod
    def of(cls, store: Store, names: Iterable[str] = ()) -> "Pool":
        """The named splits, by default all that have pictures. Raises UserError for one that has none."""
        splits = {name: split_of(store, name) for name in names or filled_splits(store)}
        groups = [group for name in splits for group in store.groups.get(name, ())]
        return cls(splits, np.unique(groups, return_inverse=True)[1] if groups else None)

    def __len__(self) -> int:
        return sum(map(len, self.splits.values()))

    @property
    def labels(self) -> np.ndarray:
        """int64 (N,)"""
        return np.concatenate([split.labels for split in self.splits.values()])

    @property
    def keys(self) -> list[str]:
        """The pictures' paths in the source."""
        return [key for split in self.splits.values() for key in split.keys]

    def owners(self, indices: np.ndarray) -> np.ndarray:
        """The number of the split that each of the pictures is in, in the shape of `indices`."""
        return np.searchsorted(np.cumsum([len(split) for split in self.splits.values()]), indices, side="right")

    def read(self, indices: np.ndarray) -> np.ndarray:
        """The records at `indices` (B,), in that order: uint8 (B, S, S, 3), RGB."""
        owners_b, first = self.owners(indices), 0
        side = next(iter(self.splits.values())).size
        records = np.empty((len(indices), side, side, 3), np.uint8)
        for owner, split in enumerate(self.splits.values()):
            own_b = owners_b == owner
            records[own_b] = split.read(indices[own_b] - first)
            first += len(split)
        return records

    def sound(self, indices: np.ndarray) -> tuple[np.ndarray, list[Failure]]:
        """As `UnpreparedImages.sound`; every record of a store can be read, or the store is damaged."""
        return self.read(indices), []


@dataclass(frozen=True, eq=False)
class UnpreparedImages:
    """Files, bytes, Pillow images or arrays, converted on access to records like those that the run was trained on."""

    run: Run
    pictures: Sequence[Named]

    def __len__(self) -> int:
        return len(self.pictures)

    def read(self, indices: np.ndarray) -> np.ndarray:
        """The records at `indices` (B,), in that order: uint8 (B, S, S, 3), RGB. Raises Undecodable, naming the first
        picture that can't be read."""
        records, failures = self.sound(indices)
        if failures:
            raise Undecodable(failures[0].reason, failures[0].name)
        return records

    def sound(self, indices: np.ndarray) -> tuple[np.ndarray, list[Failure]]:
        """The records of those at `indices` that can be read, in that order, and why the others can't."""
        found = self.run.predictor.records([self.pictures[at] for at in indices.tolist()])
        records = [record.pixels for record in found if isinstance(record, Decoded)]
        side = self.run.inputs.side
        shaped = np.stack(records) if records else np.empty((0, side, side, 3), np.uint8)
        return shaped, [failure for failure in found if isinstance(failure, Failure)]


def as_pictures(run: Run, pictures: Any) -> Pictures:
    """A picture, or several of any kind that `picture_list` takes, as a set that can be read; a split of a store is one
    already. Raises ValueError for what can't be pictures."""
    if hasattr(pictures, "read") and hasattr(pictures, "__len__"):
        return pictures
    named = [Named(numbered(name_of(one, at), at), one) for at, one in enumerate(picture_list(pictures))]
    return UnpreparedImages(run, named)
