"""Batches of a split, read ahead by a thread: `Stream` for training, into buffers that are reused; `batches` for other
passes.

B pictures of a batch · S side of a record.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from typing import Protocol

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from alexnet.data.ahead import in_threads

Allocate = Callable[[tuple[int, ...]], np.ndarray]
"""Makes an uninitialised uint8 array of a shape; for a GPU, over pinned memory."""


class Readable(Protocol):
    """What a stream needs of a split."""

    size: int
    labels: np.ndarray

    def read(self, indices: np.ndarray, out: np.ndarray | None = None) -> np.ndarray: ...


@dataclass(frozen=True)
class Batch:
    """``pictures`` uint8 (B, S, S, 3) in a buffer of the stream · ``labels`` int64 (B,) · ``indices`` int64 (B,)."""

    pictures: np.ndarray
    labels: np.ndarray
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)


class Stream(Iterator[Batch]):
    """The pictures of ``split`` in ``order`` (indices, of any length), ``batch`` at a time; the last may be short.

    A thread reads ``depth`` batches ahead. ``allocate`` makes the buffers, ``depth`` + 2 of them. len() is the number
    of batches still to come.

    A batch's pictures stay valid until two more batches have been requested; then their buffer is filled again. Copy
    what you keep longer. Labels and indices are never overwritten. An error while reading is raised where the batch
    would have come. A context manager: leaving it ends the thread.
    """

    def __init__(
        self, split: Readable, batch: int, order: np.ndarray, depth: int = 2, allocate: Allocate | None = None
    ) -> None:
        order = np.asarray(order, np.int64)
        if batch < 1 or depth < 1 or order.ndim != 1:
            raise ValueError(f"batch {batch} and depth {depth} must be at least 1, order (N,), got {order.shape}")
        allocate = allocate or partial(np.empty, dtype=np.uint8)
        self._split = split
        self._to_read = deque(order[first : first + batch] for first in range(0, len(order), batch))
        self._coming: deque[Future[Batch]] = deque()
        self._held: deque[Batch] = deque()
        self._reader = ThreadPoolExecutor(1, "stream")
        for _ in range(min(depth + 2, len(self._to_read))):
            self._read_into(allocate((min(batch, len(order)), split.size, split.size, 3)))

    def __len__(self) -> int:
        return len(self._coming) + len(self._to_read)

    def __next__(self) -> Batch:
        if len(self._held) == 2:
            self._read_into(self._held.popleft().pictures)
        if not self._coming:
            raise StopIteration
        try:
            self._held.append(self._coming.popleft().result())
        except BaseException:
            self.close()
            raise
        return self._held[-1]

    def _read_into(self, buffer: np.ndarray) -> None:
        """Have the thread read the next batch, if there is one. Its task does not refer to the stream, so that a
        forgotten stream is collected, and its thread ends."""
        if self._to_read:
            self._coming.append(self._reader.submit(_read, self._split, self._to_read.popleft(), buffer))

    def close(self) -> None:
        """End the reading thread and wait for it. The stream yields no more. May be called twice."""
        self._to_read.clear()
        self._coming.clear()
        self._reader.shutdown(cancel_futures=True)

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _read(split: Readable, indices: np.ndarray, buffer: np.ndarray) -> Batch:
    return Batch(split.read(indices, buffer[: len(indices)]), split.labels[indices], indices)


Progress = Callable[[int, int], None]
"""Receives how many are done and how many there are."""
StepProgress = Callable[[str, int, int], None]
"""The same of several steps, with the step's name first."""


class Pictures(Protocol):
    """Records that can be read by number: a split of a store is one."""

    def __len__(self) -> int: ...

    def read(self, indices: np.ndarray) -> np.ndarray:
        """The records at ``indices`` (B,), in that order: uint8 (B, S, S, 3), RGB."""
        ...


def batches(
    pictures: Pictures,
    size: int,
    indices: np.ndarray | Sequence[int] | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[UInt8[Tensor, "B S S 3"], np.ndarray]]:
    """The records of ``pictures`` (those at ``indices``; all by default), ``size`` at a time, each batch with its
    indices. A thread reads the next batch while the caller works on one. ``progress(done, total)``."""
    chosen = np.arange(len(pictures)) if indices is None else np.asarray(indices)
    chunks = [chosen[first : first + size] for first in range(0, len(chosen), size)]
    done = 0
    with closing(in_threads((partial(pictures.read, chunk) for chunk in chunks), threads=1, depth=2)) as reading:
        for records, chunk in zip(reading, chunks, strict=True):
            yield torch.from_numpy(records), chunk
            done += len(chunk)
            if progress:
                progress(done, len(chosen))


def upload(array: np.ndarray, device: torch.device) -> Tensor:
    """The array as a tensor on `device`; on the CPU the same memory.

    On CUDA the copy is still running when this returns. Computations with the tensor wait for it; before refilling
    a pinned `array`, wait for such a computation. Other arrays are copied to pinned memory here.
    """
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    if not tensor.is_pinned():
        tensor = tensor.pin_memory()
    computing, copying = torch.cuda.current_stream(device), _copying(device)
    with torch.cuda.stream(copying):
        tensor = tensor.to(device, non_blocking=True)
    computing.wait_stream(copying)
    tensor.record_stream(computing)  # its memory is not given to another copy before this stream is done with it
    return tensor


@cache
def _copying(device: torch.device) -> "torch.cuda.Stream":
    return torch.cuda.Stream(device)


def pinned(shape: tuple[int, ...]) -> np.ndarray:
    """Uninitialised uint8 memory that a GPU reads by itself: a stream's buffers. CUDA only."""
    return torch.empty(shape, dtype=torch.uint8, pin_memory=True).numpy()
