"""Items of a source → records of a store: what ``prepare`` has its threads do. No file of the store is touched here."""

from dataclasses import dataclass
from typing import get_args

import numpy as np

from alexnet.choices import Decode
from alexnet.data.sources import Item, Source
from alexnet.data.store import layout
from alexnet.data.store.journal import Chunk
from alexnet.data.store.statistics import sums_of
from alexnet.errors import UsageError, UserError
from alexnet.files.atomic import file_fault
from alexnet.images.decode import Decoded, Undecodable, make_record
from alexnet.images.resample import Resample

STOPPED = "The picture may be intact, so it was not skipped: stopped. What was prepared so far is kept"
RESUME = "rerun the same command to resume"


@dataclass(frozen=True)
class Options:
    """What decides the bytes of a record. Two runs with equal options and equal sources make equal stores. ``exif``
    None: `Preparation` decides."""

    size: int = 256
    resample: Resample = "bicubic"
    format: layout.Format = "raw"
    exif: bool | None = None
    decode: Decode = "full"

    def __post_init__(self) -> None:
        if type(self.size) is not int or not 1 <= self.size <= layout.MAXIMUM_SIZE:
            raise UsageError(f"--size {self.size}: must be a whole number from 1 to {layout.MAXIMUM_SIZE} (pixels)")
        for name, kind in (("resample", Resample), ("format", layout.Format), ("decode", Decode)):
            if getattr(self, name) not in get_args(kind):
                raise UsageError(f"--{name} {getattr(self, name)}: choose one of {', '.join(get_args(kind))}")


@dataclass(frozen=True)
class Kept(Decoded):
    """A record that is taken from an earlier store with the same options: ``record`` are its bytes there."""

    record: bytes


def make_chunk(source: Source, name: str, start: int, end: int, *, options: Options) -> Chunk:
    """Items ``start`` to ``end`` (exclusive) of split ``name`` as records. Runs in a thread; touches nothing shared."""
    records: list[bytes] = []
    read_back: list[np.ndarray] = []
    labels: list[int] = []
    keys: list[str] = []
    odd_files: list[layout.OddFile] = []
    for index in range(start, end):
        item = source.splits[name][index]
        try:
            made = _record(item, options)
        except Undecodable as error:
            odd_files.append(layout.OddFile(name, item.key, "refused", (error.reason,)))
            continue
        if made.notes:
            odd_files.append(layout.OddFile(name, item.key, "noted", made.notes))
        records.append(_bytes_of(made, options))
        read_back.append(made.pixels)
        if not 0 <= item.label < len(source.class_ids):
            raise ValueError(f"{item.key}: label {item.label} with {len(source.class_ids)} classes")
        labels.append(item.label)
        keys.append(item.key)
    if options.format == "jpeg" and name == "train":
        read_back = [layout.decode_jpeg(record, options.size) for record in records]
    return Chunk(
        split=name,
        items=end - start,
        records=records,
        labels=labels,
        keys=keys,
        digests=[layout.digest_of(record) for record in records],
        odd_files=odd_files,
        sums=sums_of(read_back, options.size) if name == "train" else None,
    )


def _bytes_of(made: Decoded, options: Options) -> bytes:
    if isinstance(made, Kept):
        return made.record
    return layout.encode_jpeg(made.pixels) if options.format == "jpeg" else made.pixels.tobytes()


def _record(item: Item, options: Options) -> Decoded:
    """The record of an item and notes on it. UserError, not Undecodable, if the machine is at fault, not the file."""
    try:
        found = item.read()
        if isinstance(found, Kept):
            return found
        return make_record(
            found,
            item.key,
            exif=bool(options.exif),
            size=options.size,
            resample=options.resample,
            scaled=options.decode == "scaled",
        )
    except (OSError, MemoryError, Undecodable) as error:
        # The operating system's errors have an error number; Pillow's own have none.
        causes = (error, error.__cause__, error.__context__)
        if any(isinstance(cause, MemoryError) for cause in causes):
            words = f"{item.key}: not enough memory to decode it; use fewer --workers or close other programs"
            raise UserError(f"{words}. {STOPPED}; when there is more, {RESUME}") from error
        fault = next((cause for cause in causes if isinstance(cause, OSError) and cause.errno is not None), None)
        if fault is None:
            raise
        # A source that lacks a file is another source, and the same command would refuse it.
        mended = "the file is back as it was" if isinstance(fault, FileNotFoundError) else "the fault is mended"
        raise UserError(f"{file_fault(fault, item.key)}. {STOPPED}; when {mended}, {RESUME}") from error
