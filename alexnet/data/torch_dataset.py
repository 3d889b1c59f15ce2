"""A split of a store as a dataset of PyTorch, for code that has a `DataLoader` of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from alexnet.data.store.read import Store, StoreSplit


class StoreDataset(Dataset[tuple[Any, int]]):
    """Item i is (picture, label): uint8 (3, S, S), RGB, and the number of the class; ``transform`` takes the picture.

    ``classes`` and ``targets`` as in torchvision's datasets. May be pickled: a worker process opens the store itself.
    Raises UserError as `Store.open` and `StoreSplit.read` do, and KeyError for a split that the store lacks.
    """

    def __init__(self, store: str | Path | Store, split: str, transform: Callable[[Tensor], Any] | None = None) -> None:
        opened = store if isinstance(store, Store) else Store.open(store)
        self._split: StoreSplit = opened.splits[split]
        self._place = opened.path.resolve(), split
        self.classes, self.transform = list(opened.class_names), transform
        self.targets: list[int] = self._split.labels.tolist()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        place = range(len(self))[index]
        picture = torch.from_numpy(self._split.read(np.array([place]), threads=1)[0]).permute(2, 0, 1).contiguous()
        return self.transform(picture) if self.transform else picture, self.targets[place]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_split"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        path, split = self._place
        self._split = Store.open(path).splits[split]
