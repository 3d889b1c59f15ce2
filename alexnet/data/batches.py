"""Batches of a split, read ahead by a thread: `Stream` for training, into buffers that are reused; `batches` for other
passes.

B pictures of a batch · S side of a record.
"""

import functools
import queue
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

Allocate = Callable[[tuple[int, ...]], np.ndarray]
"""Makes an uninitialised uint8 array of a shape; for a GPU, over pinned memory."""


class Readable(Protocol):
    """What a stream needs of a store's part."""

    size: int
    labels: np.ndarray

    def read(self, indices: np.ndarray, out: np.ndarray | None = None, *, threads: int | None = None) -> np.ndarray: ...


@dataclass(frozen=True)
class Batch:
    """``pictures`` uint8 (B, S, S, 3) in a buffer of the stream · ``labels`` int64 (B,) · ``indices`` int64 (B,)."""

    pictures: np.ndarray
    labels: np.ndarray
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True)
class _Work:
    """What the reading thread knows. Not the stream itself, so that a forgotten stream ends its thread."""

    part: Readable
    batches: list[np.ndarray]
    workers: int | None
    free: "queue.SimpleQueue[np.ndarray | None]"
    ready: "queue.SimpleQueue[tuple[Batch, np.ndarray] | BaseException | None]"
    closed: threading.Event

    def stop(self) -> None:
        self.closed.set()
        self.free.put(None)


class Stream(Iterator[Batch]):
    """The pictures of ``part`` in ``order`` (indices, of any length), ``batch`` at a time; the last batch may be short.

    ``start`` is the batch to begin with: ``Stream(…, start=k)`` yields what ``Stream(…)`` yields from its k-th batch
    on. ``depth`` batches are read ahead. ``workers`` threads share the reading of a batch (see ``StoreSplit.read``).
    ``allocate`` makes the buffers, ``depth`` + 2 of them. len() is the number of batches still to come.

    A batch's pictures stay valid until two more batches have been requested; then their buffer is filled
    anew. Copy what is to be kept longer. Labels and indices are never overwritten. An error while reading is raised
    where the batch would have come. A context manager: leaving it ends the thread.
    """

    def __init__(
        self,
        part: Readable,
        batch: int,
        order: np.ndarray,
        start: int = 0,
        workers: int | None = None,
        depth: int = 2,
        allocate: Allocate | None = None,
    ) -> None:
        order = np.asarray(order, np.int64)
        if batch < 1 or depth < 1 or order.ndim != 1:
            raise ValueError(f"batch {batch} and depth {depth} must be at least 1, order (N,), got {order.shape}")
        count = -(-len(order) // batch)
        if not 0 <= start <= count:
            raise ValueError(f"start {start} outside 0 … {count}, the number of batches")
        batches = [order[place * batch : (place + 1) * batch] for place in range(start, count)]
        self._work = _Work(part, batches, workers, queue.SimpleQueue(), queue.SimpleQueue(), threading.Event())
        self._left = len(batches)
        self._held: list[np.ndarray] = []
        allocate = allocate or (lambda shape: np.empty(shape, np.uint8))
        for _ in range(min(depth + 2, len(batches))):
            self._work.free.put(allocate((min(batch, len(order)), part.size, part.size, 3)))
        self._thread = threading.Thread(target=_read_ahead, args=(self._work,), name="stream", daemon=True)
        self._thread.start()
        self._finalizer = weakref.finalize(self, self._work.stop)

    def __len__(self) -> int:
        return self._left

    def __next__(self) -> Batch:
        if self._left == 0 or self._work.closed.is_set():
            raise StopIteration
        if len(self._held) == 2:
            self._work.free.put(self._held.pop(0))
        arrived = self._work.ready.get()
        if not isinstance(arrived, tuple):
            self.close()
            raise arrived or RuntimeError("the stream was closed while it was waited for")
        batch, buffer = arrived
        self._held.append(buffer)
        self._left -= 1
        return batch

    def close(self) -> None:
        """End the reading thread and wait for it. The stream yields no more. May be called twice."""
        self._finalizer()
        self._thread.join()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[UInt8[Tensor, "B S S 3"], np.ndarray]]:
    """The records of ``pictures`` (those at ``indices``; all by default), ``size`` at a time, each batch with its
    indices. A thread reads the next batch while the caller works on one. ``progress(done, total)``."""
    chosen = np.arange(len(pictures)) if indices is None else np.asarray(indices)
    pieces = [chosen[first : first + size] for first in range(0, len(chosen), size)]
    with ThreadPoolExecutor(1, "batches") as reader:
        coming = [reader.submit(pictures.read, piece) for piece in pieces[:1]]
        for number, piece in enumerate(pieces):
            records = coming.pop().result()
            coming = [reader.submit(pictures.read, following) for following in pieces[number + 1 : number + 2]]
            yield torch.from_numpy(records), piece
            if progress:
                progress(min((number + 1) * size, len(chosen)), len(chosen))


def _read_ahead(work: _Work) -> None:
    try:
        for indices in work.batches:
            buffer = work.free.get()
            if buffer is None or work.closed.is_set():
                break
            pictures = work.part.read(indices, buffer[: len(indices)], threads=work.workers)
            work.ready.put((Batch(pictures, work.part.labels[indices], indices), buffer))
    except BaseException as error:  # raised again where the batch is waited for
        work.ready.put(error)
    else:
        work.ready.put(None)


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


@functools.cache
def _copying(device: torch.device) -> "torch.cuda.Stream":
    return torch.cuda.Stream(device)


def pinned(shape: tuple[int, ...]) -> np.ndarray:
    """Uninitialised uint8 memory that a GPU reads by itself: a stream's buffers. CUDA only."""
    return torch.empty(shape, dtype=torch.uint8, pin_memory=True).numpy()
