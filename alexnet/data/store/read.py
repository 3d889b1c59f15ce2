"""A prepared set of pictures, opened: memory-mapped records, labels, class names, statistics.

Opening a store checks its files against ``store.json``: their sizes, their headers, every label, the digest of every
file that is small. ``Store.verify`` reads the pictures too.

N records of a split · B pictures asked for · S side of a record.
"""

import os
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np

from alexnet.data.store import layout
from alexnet.data.store.description import (
    AGAIN,
    AGAIN_OR_COPIED,
    ListedFile,
    SplitDescription,
    StoreDescription,
    read_description,
)
from alexnet.data.store.statistics import Statistics, Sums
from alexnet.errors import UserError
from alexnet.files import schema
from alexnet.files.atomic import expanded, faults_named
from alexnet.files.schema import reading_errors
from alexnet.processors import threads_allowed

Progress = Callable[[str, int, int], None]
"""Receives the name of a split, records done, records in all."""


class Store:
    """A finished store. ``Store.open(path)`` opens one; it may be read from many threads and processes at once.

    ``path`` · ``size`` side of a record in pixels · ``format`` "raw" or "jpeg" · ``class_names``, ``class_ids``,
    ``class_order`` · ``splits`` by name ("train", "val", "test") · ``fingerprint``, sha256 hex of all that matters to
    training (the records, their order and labels, the classes): equal fingerprints, equal results · ``description``,
    the content of ``store.json``.
    """

    def __init__(self, path: Path, description: dict[str, Any], about: StoreDescription) -> None:
        """Use ``Store.open``; here the description is taken as checked, the files as not."""
        self.path = path
        self.description = description
        self._about = about
        self.size: int = about.size
        self.format: layout.Format = about.format
        self.class_names: tuple[str, ...] = about.class_names
        self.class_ids: tuple[str, ...] = about.class_ids
        self.class_order: str = about.class_order
        self.fingerprint: str = description["fingerprint"]
        self.splits: dict[str, StoreSplit] = {
            name: StoreSplit(path / name, split, self.size, self.format, len(self.class_ids))
            for name, split in about.splits.items()
        }

    @classmethod
    def open(cls, path: str | Path) -> "Store":
        """Open the store in folder ``path``.

        Takes time in proportion to the labels, not the pictures (1,281,167 records: under 0.5 s). UserError if
        it is no store, not finished, of a newer format, or if a file is absent, cut short, too long or damaged.
        """
        path = Path(expanded(path))
        description, about = read_description(path)
        for name, listed in about.files.items():
            listed.check(path / name, digest=False)
        return cls(path, description, about)

    @property
    def parts(self) -> "dict[str, StoreSplit]":
        """An older name of ``splits``."""
        return self.splits

    @cached_property
    def statistics(self) -> Statistics:
        """Mean image and colour covariance of the training split, of the pixels as they are read back from the store.

        UserError if the store has no training split.
        """
        tensors = self._statistics_file()
        arrays = {name: tensors[name] for name in ("mean_image", "eigenvalues", "eigenvectors")}
        return Statistics(self._about.splits["train"].count, **arrays)

    @cached_property
    def sums(self) -> Sums:
        """The integer sums which the statistics were made of."""
        tensors = self._statistics_file()
        return Sums(self._about.splits["train"].count, tensors["pixels"], tensors["products"])

    def report(self) -> tuple[layout.OddFile, ...]:
        """Every odd file, in the source's order."""
        path = self.path / layout.REPORT
        self._about.files[layout.REPORT].check(path)
        return schema.read(path, layout.Report, "Prepare the store again.", 1 << 32).odd_files

    @cached_property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """The group of each picture of each split, where the source has groups that no split may part; else empty."""
        if layout.GROUPS not in self._about.files:
            return {}
        path = self.path / layout.GROUPS
        self._about.files[layout.GROUPS].check(path)
        found = schema.read_json(path, 1 << 32)
        groups = {name: tuple(map(str, found.get(name, ()))) for name in self.splits}
        if any(len(groups[name]) != len(split) for name, split in self.splits.items()):
            raise UserError(f"{path}: does not name a group for each picture; {AGAIN}")
        return groups

    def verify(self, progress: Progress | None = None) -> list[str]:
        """Read everything and check its digests. A sentence per fault; empty if there is none."""
        faults = _faults_of(self.path, self._about.files)
        for split in self.splits.values():
            faults += split.verify(progress)
        return faults

    def _statistics_file(self) -> dict[str, np.ndarray]:
        from safetensors.numpy import load

        path = self.path / layout.STATISTICS
        if layout.STATISTICS not in self._about.files:
            raise UserError(f"{self.path}: has no training split, so no mean image; give a store with one")
        self._about.files[layout.STATISTICS].check(path)
        with reading_errors(path, "Prepare the store again."):
            tensors = load(path.read_bytes())
        expected = {
            "mean_image": ("float32", (self.size, self.size, 3)),
            "pixels": ("int64", (self.size, self.size, 3)),
            "products": ("int64", (3, 3)),
            "eigenvalues": ("float64", (3,)),
            "eigenvectors": ("float64", (3, 3)),
        }
        if {name: (tensor.dtype.name, tensor.shape) for name, tensor in tensors.items()} != expected:
            raise UserError(f"{path}: does not hold the arrays of a store; {AGAIN}")
        return tensors


def _faults_of(folder: Path, files: dict[str, ListedFile]) -> list[str]:
    """A sentence for each file that is not as listed."""
    faults = []
    for name, listed in files.items():
        try:
            listed.check(folder / name)
        except UserError as error:
            faults.append(str(error))
    return faults


class StoreSplit:
    """One split of a store: "train", "val" or "test". Thread-safe.

    ``len(split)`` records · ``labels`` int64 (N,), read-only · ``keys``, the pictures' paths in the source, read as
    needed · ``folder``.
    """

    def __init__(
        self, folder: Path, described: SplitDescription, size: int, format: layout.Format, classes: int
    ) -> None:
        self.folder = folder
        self.size = size
        self.format: layout.Format = format
        self._count = described.count
        self._files = described.files
        for name in layout.files_of(format):
            self._check_file(name)
        self.labels = self._checked_labels(classes)
        self._offsets = self._checked_offsets() if format == "jpeg" else None
        self._name_of_pictures = layout.PICTURES if format == "raw" else layout.RECORDS
        path = folder / self._name_of_pictures
        with faults_named(path):
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)
        self._sound = np.zeros(self._count, bool)

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"StoreSplit({str(self.folder)!r}, {self._count:,} {self.format} records of {self.size} × {self.size})"

    @cached_property
    def keys(self) -> "Keys":
        """The pictures' paths in the source."""
        self._files[layout.KEYS].check(self.folder / layout.KEYS)
        return Keys(self.folder / layout.KEYS, self._count)

    @cached_property
    def digests(self) -> np.ndarray:
        """The first 16 bytes of each record's sha256, uint8 (N, 16): equal rows are equal pictures."""
        return self._small_array(layout.DIGESTS)

    @cached_property
    def pictures(self) -> np.ndarray:
        """All pictures of a raw store, uint8 (N, S, S, 3), memory-mapped and read-only. UserError for a JPEG store."""
        if self.format != "raw":
            raise UserError(f"{self.folder}: the pictures of a JPEG store are not an array; use StoreSplit.read")
        dtype, shape = layout.array_of(layout.PICTURES, self._count, self.size)
        if self._count == 0:
            return np.zeros(shape, dtype)
        path = self.folder / layout.PICTURES
        with faults_named(path):
            return np.memmap(path, dtype, "r", layout.NPY_HEADER_BYTES, shape)

    def read(self, indices: np.ndarray, out: np.ndarray | None = None, *, threads: int | None = None) -> np.ndarray:
        """The pictures at ``indices`` (B,), in that order, repeats allowed: uint8 (B, S, S, 3), RGB.

        ``out``, of that shape, receives them without a copy. ``threads`` share the work; by default 1 for raw
        records, all cores for JPEG records. A record that is read for the first time is checked against its digest.
        IndexError for an index outside 0 … N − 1; UserError for a record that cannot be read or decoded, or whose
        bytes have changed.
        """
        indices_b = self._checked_indices(indices)
        out_bss3 = self._checked_out(out, len(indices_b))
        threads = min(threads or (1 if self.format == "raw" else threads_allowed()), max(1, len(indices_b)))
        if threads == 1:
            self._read_rows(indices_b, out_bss3)
            return out_bss3
        cuts = np.linspace(0, len(indices_b), threads + 1).astype(int)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda a, b: self._read_rows(indices_b[a:b], out_bss3[a:b]), cuts[:-1], cuts[1:]))
        return out_bss3

    def record(self, index: int) -> bytes:
        """The bytes of one record as they are stored: pixels, or a JPEG file."""
        start, end = self._span(int(self._checked_indices(np.array([index]))[0]))
        data = bytearray(end - start)
        self._fill(memoryview(data), start)
        return bytes(data)

    def verify(self, progress: Progress | None = None) -> list[str]:
        """Read every record and check it against its digest. A sentence per fault."""
        small = {name: listed for name, listed in self._files.items() if name != self._name_of_pictures}
        if faults := _faults_of(self.folder, small):
            return faults
        for index, digest in enumerate(self.digests):
            if fault := self._fault_of_record(index, digest.tobytes()):
                faults.append(fault)
            if progress and (index % 64 == 63 or index + 1 == self._count):
                progress(self.folder.name, index + 1, self._count)
        return faults

    def _fault_of_record(self, index: int, digest: bytes) -> str | None:
        try:
            damaged = layout.digest_of(self.record(index)) != digest
        except UserError as error:
            return str(error)
        return f"{self._picture_name(index)} is damaged: its bytes have changed" if damaged else None

    def _read_rows(self, indices_b: np.ndarray, out_bss3: np.ndarray) -> None:
        if self.format == "jpeg":
            for index, row in zip(indices_b.tolist(), out_bss3, strict=True):
                row[:] = self._decoded(index)
            return
        rows = out_bss3.reshape(-1).data
        bytes_each = self.size * self.size * 3
        starts = [0, *(np.flatnonzero(np.diff(indices_b) != 1) + 1).tolist()]
        for start, end in zip(starts, [*starts[1:], len(indices_b)], strict=True):
            if end > start:  # a run of neighbours is one read
                position = layout.NPY_HEADER_BYTES + int(indices_b[start]) * bytes_each
                self._fill(rows[start * bytes_each : end * bytes_each], position)
        for number in np.flatnonzero(~self._sound[indices_b]).tolist():
            self._check_record(int(indices_b[number]), rows[number * bytes_each : (number + 1) * bytes_each])

    def _check_record(self, index: int, record: bytes | memoryview) -> None:
        """Check a record against its digest, unless this process has done so. UserError if its bytes have changed."""
        if self._sound[index]:
            return
        if layout.digest_of(record) != self.digests[index].tobytes():
            raise UserError(f"{self._picture_name(index)} is damaged: its bytes have changed; {AGAIN_OR_COPIED}")
        self._sound[index] = True

    def _decoded(self, index: int) -> np.ndarray:
        record = self.record(index)
        self._check_record(index, record)
        try:
            return layout.decode_jpeg(record, self.size)
        except ValueError as error:
            raise UserError(f"{self._picture_name(index)} is damaged ({error}); {AGAIN}") from None

    def _fill(self, target: memoryview, position: int) -> None:
        """Read from the file, not from a mapping: a failing disk or a shortened file then raises instead of killing
        the process (SIGBUS)."""
        path = self.folder / self._name_of_pictures
        with faults_named(path):
            while target:
                got = os.preadv(self._descriptor, [target], position)
                if got == 0:
                    raise UserError(f"{path}: has become shorter since the store was opened; {AGAIN}")
                target, position = target[got:], position + got

    def _span(self, index: int) -> tuple[int, int]:
        if self._offsets is not None:
            return int(self._offsets[index]), int(self._offsets[index + 1])
        start = layout.array_bytes(layout.PICTURES, index, self.size)
        return start, start + self.size * self.size * 3

    def _picture_name(self, index: int) -> str:
        return f"{self.folder / self._name_of_pictures}: picture {index:,} ({self.keys[index]})"

    def _checked_indices(self, indices: np.ndarray) -> np.ndarray:
        indices_b = np.asarray(indices)
        if indices_b.ndim != 1 or (indices_b.size and indices_b.dtype.kind not in "iu"):
            raise IndexError(f"indices must be integers (B,), got {indices_b.dtype} {indices_b.shape}")
        if indices_b.size and not 0 <= indices_b.min() <= indices_b.max() < self._count:
            span = f"{indices_b.min()} … {indices_b.max()}"
            raise IndexError(f"{self.folder}: indices {span} reach outside 0 … {self._count - 1}")
        return indices_b.astype(np.int64, copy=False)

    def _checked_out(self, out: np.ndarray | None, count: int) -> np.ndarray:
        shape = (count, self.size, self.size, 3)
        if out is None:
            return np.empty(shape, np.uint8)
        if out.shape != shape or out.dtype != np.uint8 or not out.flags.c_contiguous:
            raise ValueError(f"out must be contiguous uint8 {shape}, got {out.dtype} {out.shape}")
        return out

    def _check_file(self, name: str) -> None:
        path = self.folder / name
        self._files[name].check(path, digest=False)
        if name in (layout.RECORDS, layout.KEYS):
            return
        expected = layout.npy_header(*layout.array_of(name, self._count, self.size))
        with faults_named(path), open(path, "rb") as file:
            if file.read(layout.NPY_HEADER_BYTES) != expected:
                raise UserError(f"{path}: its header is damaged; {AGAIN}")

    def _small_array(self, name: str) -> np.ndarray:
        """The whole array of a file whose size and header were checked, read-only, in memory. UserError if its content
        has changed."""
        path = self.folder / name
        self._files[name].check(path)
        dtype, shape = layout.array_of(name, self._count, self.size)
        with faults_named(path):
            data = path.read_bytes()  # np.fromfile takes a failing read for the file's end
        return np.frombuffer(data, dtype, offset=layout.NPY_HEADER_BYTES).reshape(shape)

    def _checked_labels(self, classes: int) -> np.ndarray:
        path, labels = self.folder / layout.LABELS, self._small_array(layout.LABELS)
        if labels.size and not 0 <= labels.min() <= labels.max() < classes:
            bad = int(np.flatnonzero((labels < 0) | (labels >= classes))[0])
            raise UserError(
                f"{path}: picture {bad:,} has label {labels[bad]}, but there are {classes} classes "
                f"(0 … {classes - 1}); {AGAIN}"
            )
        return labels

    def _checked_offsets(self) -> np.ndarray:
        path, offsets = self.folder / layout.OFFSETS, self._small_array(layout.OFFSETS)
        if offsets[0] != 0 or offsets[-1] != self._files[layout.RECORDS].bytes or np.any(np.diff(offsets) <= 0):
            raise UserError(f"{path}: does not fit {layout.RECORDS}; {AGAIN}")
        return offsets


class Keys(Sequence[str]):
    """The lines of keys.txt as a sequence: a line is decoded when it is asked for."""

    def __init__(self, path: Path, count: int) -> None:
        with faults_named(path):
            self._bytes = np.frombuffer(path.read_bytes(), np.uint8)
        self._ends = np.flatnonzero(self._bytes == ord("\n"))
        if len(self._ends) != count:
            raise UserError(f"{path}: {len(self._ends):,} lines for {count:,} pictures; {AGAIN}")

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = range(len(self))[index]
        start = int(self._ends[position - 1]) + 1 if position else 0
        return layout.line_to_key(self._bytes[start : int(self._ends[position])].tobytes())
