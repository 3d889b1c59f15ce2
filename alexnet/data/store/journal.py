"""A store while it is being made: files that grow, and the journal that says how far they are sound.

The journal is one file, replaced whole (temporary file, fsync, rename) after the data it describes has reached the
disk. It holds the position in the source, the length of every data file and the integer sums. Whatever follows these
lengths belongs to an unfinished chunk and is cut off when the store is opened again. Nothing else is needed to resume.
"""

import io
import json
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from alexnet.data.store import layout
from alexnet.data.store.statistics import Sums, no_sums
from alexnet.errors import UserError
from alexnet.files.atomic import faults_named, read_bounded, sha256_between, sync_folder, write_atomically
from alexnet.files.growing import OTHER_BYTES, GrowingFile
from alexnet.files.outputs import metadata_in
from alexnet.files.schema import Count, Key, from_json, parsed, reading_errors, to_json

REPORT_HEAD = b'{"odd_files": ['
REMEMBERED_REFUSALS = 5
LARGEST_JOURNAL = 1 << 32


@dataclass(frozen=True)
class SplitState:
    """How far one split is: ``cursor`` items of the source seen, of which ``count`` became records. ``digests``: sha256
    hex of each small file as far as it is, without its head."""

    cursor: Count = 0
    count: Count = 0
    refused: Count = 0
    noted: Count = 0
    lengths: dict[str, Count] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """How far the whole store is; as JSON, all but ``sums``, a journal. ``settings``: what it is made of and how.

    Never changed, only replaced: the thread that saves may still hold an older one.
    """

    settings: dict[str, Any]
    splits: Annotated[dict[Annotated[str, layout.SPLIT_NAME.fullmatch], SplitState], Key("splits", "parts")]
    report_length: Count = len(REPORT_HEAD)
    first_refused: tuple[str, ...] = ()
    report_digest: str = ""
    format_version: Count = layout.FORMAT_VERSION
    sums: Sums = field(default_factory=lambda: no_sums(0))

    @classmethod
    def before(cls, splits: Sequence[str], settings: dict[str, Any]) -> "State":
        """The state before the first picture."""
        lengths = {name: len(head) for name, head in heads(settings["format"]).items()}
        return cls(settings, {split: SplitState(lengths=lengths) for split in splits}, sums=no_sums(settings["size"]))

    @property
    def refused(self) -> int:
        """Files refused so far, in all splits."""
        return sum(split.refused for split in self.splits.values())

    @property
    def seen(self) -> int:
        """Items of the source seen so far, in all splits."""
        return sum(split.cursor for split in self.splits.values())


@dataclass(frozen=True)
class Chunk:
    """What became of ``items`` consecutive items: records (pixels or JPEG files, as bytes) and odd files."""

    split: str
    items: int
    records: list[bytes]
    labels: list[int]
    keys: list[str]
    digests: list[bytes]
    odd_files: list[layout.OddFile]
    sums: Sums | None


def heads(format: layout.Format) -> dict[str, bytes]:
    """What each file of a split begins with: room for the array header, and the first offset."""
    room = bytes(layout.NPY_HEADER_BYTES)
    known = {layout.OFFSETS: room + bytes(8), layout.RECORDS: b"", layout.KEYS: b""}
    return {name: known.get(name, room) for name in layout.files_of(format)}


def save_journal(folder: Path, state: State) -> None:
    """Replace the journal."""
    table = to_json(state)
    del table["sums"]
    text, tensors = json.dumps(table), {"pixels": state.sums.pixels, "products": state.sums.products}
    metadata = {"journal": text, "checksum": _checksum(text, state.sums)}
    write_atomically(folder / layout.JOURNAL, layout.tensor_bytes(tensors, metadata))


def load_journal(folder: Path) -> State | None:
    """The state of an unfinished store; None where there is no journal. UserError if it is damaged."""
    from safetensors.numpy import load

    path = folder / layout.JOURNAL
    if not path.exists():
        return None
    remedy = f"Remove the folder {folder} and prepare the store again."
    with reading_errors(path, remedy):
        data = read_bounded(path, LARGEST_JOURNAL)
        metadata, tensors = metadata_in(io.BytesIO(data)), load(data)
        state = from_json(parsed(metadata["journal"]), State, path, remedy)
        count = state.splits["train"].count if "train" in state.splits else 0
        sums = Sums(count, tensors["pixels"], tensors["products"])
        if metadata["checksum"] != _checksum(metadata["journal"], sums):
            raise ValueError("its checksum does not fit")
        if state.format_version != layout.FORMAT_VERSION:
            raise ValueError(f"format {state.format_version}, begun by another version of alexnet")
        if sums.pixels.ndim != 3:
            raise ValueError("sums of the wrong shape")
        if "part" in state.settings:  # an older name
            state.settings["shard"] = state.settings.pop("part")
        return replace(state, sums=sums)


def _checksum(text: str, sums: Sums) -> str:
    return sha256(text.encode() + sums.pixels.tobytes() + sums.products.tobytes()).hexdigest()


def odd_files_of(folder: Path, state: State) -> tuple[layout.OddFile, ...]:
    """The entries of an unfinished store's report, as far as its journal records them. UserError if damaged."""
    path = folder / layout.REPORT
    _check_sound(path, folder, len(REPORT_HEAD), state.report_length, state.report_digest)
    text = read_bounded(path, LARGEST_JOURNAL)[: state.report_length]
    remedy = f"Remove the folder {folder} and prepare that shard again."
    with reading_errors(path, remedy):
        return from_json(parsed(text + b"]}"), layout.Report, path, remedy).odd_files


def _check_sound(path: Path, folder: Path, start: int, end: int, digest: str) -> None:
    """UserError if the bytes ``start`` to ``end`` of a file in an unfinished store are not those that its journal
    records. An empty ``digest``, of a journal that has none, is not checked."""
    if digest and sha256_between(path, start, end).hexdigest() != digest:
        raise UserError(f"{path}: {OTHER_BYTES}; remove the folder {folder} and prepare again")


def _ends_of(path: Path, count: int, before: int) -> bytes:
    """The ends of the ``count`` records in another offsets file, moved by ``before`` bytes."""
    first = layout.NPY_HEADER_BYTES + 8
    with faults_named(path):
        data = path.read_bytes()[first : first + 8 * count]
    if len(data) != 8 * count:
        raise UserError(f"{path}: cut short; remove the folder {path.parents[1]} and prepare that shard again")
    return (np.frombuffer(data, "<i8") + before).astype("<i8").tobytes()


class Writer:
    """Appends chunks to the files of a store and keeps its journal. A context manager: it closes the files.

    Saving waits for the disk, so a thread of its own does it while further chunks are appended.
    """

    def __init__(self, folder: Path, state: State) -> None:
        self.folder, self.state = folder, state
        self.format: layout.Format = state.settings["format"]
        self._saved: State | None = None
        self._saver = ThreadPoolExecutor(1, "save")
        self._saving: Future[None] | None = None
        self._open: list[GrowingFile] = []
        with ExitStack() as on_error:
            on_error.callback(self._close)
            self.report = self._opened(folder / layout.REPORT, REPORT_HEAD, state.report_length, state.report_digest)
            self.files = {name: self._open_split(name, split) for name, split in state.splits.items()}
            for made in (folder, *(folder / name for name in state.splits)):
                sync_folder(made)
            on_error.pop_all()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def append(self, chunk: Chunk) -> None:
        """Append one chunk. The state changes only when all of it is written."""
        files, records = self.files[chunk.split], b"".join(chunk.records)
        if self.format == "raw":
            files[layout.PICTURES].append(records)
        else:
            ends = files[layout.RECORDS].length + np.cumsum([len(record) for record in chunk.records], dtype="<i8")
            files[layout.RECORDS].append(records)
            files[layout.OFFSETS].append(ends.tobytes())
        files[layout.LABELS].append(np.array(chunk.labels, "<i8").tobytes())
        files[layout.DIGESTS].append(b"".join(chunk.digests))
        files[layout.KEYS].append(b"".join(map(layout.key_to_line, chunk.keys)))
        self._advance(chunk.split, chunk.items, len(chunk.records), chunk.odd_files, chunk.sums)

    def append_split(self, name: str, folder: Path, there: State, odd_files: Sequence[layout.OddFile]) -> None:
        """Append split ``name`` of the shard in ``folder``, finished up to its headers, whose journal is ``there``."""
        files, split = self.files[name], there.splits[name]
        records_before = files[layout.RECORDS].length if self.format == "jpeg" else 0
        for file, head in heads(self.format).items():
            path, start, end = folder / name / file, len(head), split.lengths[file]
            _check_sound(path, folder, start, end, split.digests.get(file, ""))
            if file == layout.OFFSETS:
                files[file].append(_ends_of(path, split.count, records_before))
            else:
                files[file].append_from(path, start, end, f"remove the folder {folder} and prepare that shard again")
        self._advance(name, split.cursor, split.count, odd_files, there.sums if name == "train" else None)

    def save_soon(self) -> None:
        """Begin to save the state as it is now, unless the previous save is still running."""
        if self._saving is None or self._saving.done():
            self._wait()
            self._saving = self._saver.submit(self._save, self.state)

    def save(self) -> None:
        """Save the state as it is now; returns when it is on disk."""
        self._wait()
        self._save(self.state)

    def finish(self, ignored: Sequence[str]) -> None:
        """Write the array headers and the report's end, and force all to disk. Safe to repeat after a kill."""
        self.save()
        for name, files in self.files.items():
            for file in files.values():
                if file.path.suffix == ".npy":
                    count, size = self.state.splits[name].count, self.state.settings["size"]
                    file.write_at(0, layout.npy_header(*layout.array_of(file.path.name, count, size)))
        tail = f'\n],\n"ignored": {json.dumps(list(ignored), indent=0)}\n}}\n'
        self.report.write_at(self.state.report_length, tail.encode())
        for file in self._open:
            file.sync()

    def _advance(
        self, name: str, items: int, records: int, odd_files: Sequence[layout.OddFile], sums: Sums | None
    ) -> None:
        """Append the odd files to the report; then count what was appended to split ``name``."""
        for entry in odd_files:
            comma = b"\n" if self.report.length == len(REPORT_HEAD) else b",\n"
            self.report.append(comma + json.dumps(to_json(entry)).encode())
        split, refused = self.state.splits[name], [entry for entry in odd_files if entry.outcome == "refused"]
        after = SplitState(
            cursor=split.cursor + items,
            count=split.count + records,
            refused=split.refused + len(refused),
            noted=split.noted + len(odd_files) - len(refused),
            lengths={file: growing.length for file, growing in self.files[name].items()},
            digests={file: grown.digest for file, grown in self.files[name].items() if file not in layout.LARGE},
        )
        self.state = replace(
            self.state,
            splits={**self.state.splits, name: after},
            report_length=self.report.length,
            report_digest=self.report.digest,
            first_refused=(*self.state.first_refused, *map(str, refused))[:REMEMBERED_REFUSALS],
            sums=self.state.sums + sums if sums else self.state.sums,
        )

    def _save(self, state: State) -> None:
        if state is not self._saved:
            for file in self._open:
                file.sync()
            save_journal(self.folder, state)
            self._saved = state

    def _wait(self) -> None:
        if self._saving is not None:
            saving, self._saving = self._saving, None
            saving.result()

    def _open_split(self, name: str, split: SplitState) -> dict[str, GrowingFile]:
        folder = self.folder / name
        with faults_named(folder):
            folder.mkdir(exist_ok=True)
        return {
            file: self._opened(folder / file, head, split.lengths.get(file, 0), split.digests.get(file, ""))
            for file, head in heads(self.format).items()
        }

    def _opened(self, path: Path, head: bytes, length: int, digest: str) -> GrowingFile:
        """``digest``: as recorded in the journal; "" if it has none."""
        digested = path.name not in layout.LARGE
        remedy = f"remove the folder {self.folder} and prepare again"
        self._open.append(GrowingFile(path, head, length, digested=digested, sha256_hex=digest, remedy=remedy))
        return self._open[-1]

    def _close(self) -> None:
        self._saver.shutdown()
        for file in self._open:
            file.close()
