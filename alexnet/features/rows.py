"""Vectors on disk, read on access.

Not mapped into memory: where a disk fails or a file is cut short, reading raises an error that can be reported, while
a mapped page kills the process (SIGBUS).

M vectors · D values of a vector.
"""

import os
import weakref
from pathlib import Path
from typing import Protocol

import numpy as np

from alexnet.errors import UserError
from alexnet.files.atomic import faults_named


class Vectors(Protocol):
    """What is searched in and learned from: an array (M, D) in memory, or `LazyArray`."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, positions: slice | np.ndarray, /) -> np.ndarray: ...


class LazyArray:
    """The rows of an .npy file as vectors: `shape` (M, D), `dtype`. Index it by a slice of step 1 or by an
    array of row numbers. Raises UserError if they can't be read."""

    def __init__(self, path: Path, dtype: np.dtype, shape: tuple[int, ...], start: int) -> None:
        """`shape` (M, …) of the array, which begins at byte `start` of the file."""
        self._path, self._start = path, start
        self.dtype, self.shape = dtype, (shape[0], int(np.prod(shape[1:], dtype=np.int64)))
        with faults_named(path):
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, positions: slice | np.ndarray, /) -> np.ndarray:
        if isinstance(positions, slice):
            first, end, step = positions.indices(len(self))
            assert step == 1, "rows are read in their order"
            return self._read(first, max(0, end - first))
        found = np.empty((len(positions), self.shape[1]), self.dtype)
        for row, place in enumerate(positions.tolist()):
            found[row] = self._read(place, 1)[0]
        return found

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """All of them, in memory."""
        del copy
        return self[:].astype(dtype or self.dtype, copy=False)

    def _read(self, first: int, count: int) -> np.ndarray:
        width = self.shape[1] * self.dtype.itemsize
        rows = np.empty((count, self.shape[1]), self.dtype)
        target, place = rows.reshape(-1).view(np.uint8).data, self._start + first * width
        with faults_named(self._path):
            while target:
                got = os.preadv(self._descriptor, [target], place)
                if got == 0:
                    raise UserError(f"{self._path}: has become shorter since it was opened. Make it again.")
                target, place = target[got:], place + got
        return rows
