"""A store while it is being made: files that grow, and the journal that says how far they are sound.

The journal is one file, replaced whole (temporary file, fsync, rename) after the data it speaks of has reached the
disk. It holds the place in the source, the length of every data file and the integer sums. Whatever lies behind
those lengths is of a chunk that was not finished; it is cut off at the next start. Nothing else is needed to go on.
"""

import io
import json
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from alexnet.data.store import layout
from alexnet.data.store.statistics import Sums, no_sums
from alexnet.errors import UserError
from alexnet.files.atomic import (
    faults_named,
    read_bounded,
    sha256_between,
    sync_folder,
    write_atomically,
)
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

    cursor: Count
    count: Count
    refused: Count
    noted: Count
    lengths: dict[str, Count]
    digests: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """How far the whole store is. Never changed, only replaced: a saver may hold an older one meanwhile."""

    splits: dict[str, SplitState]
    report_length: int
    first_refused: tuple[str, ...]
    sums: Sums
    report_digest: str = ""

    @property
    def refused(self) -> int:
        """Files refused so far, in all splits."""
        return sum(split.refused for split in self.splits.values())


@dataclass(frozen=True)
class _Journal:
    """A journal's JSON; the sums are in a tensor file next to it."""

    format_version: Count
    settings: dict[str, Any]
    splits: Annotated[dict[Annotated[str, layout.SPLIT_NAME.fullmatch], SplitState], Key("parts")]
    report_length: Count
    first_refused: tuple[str, ...]
    sums_count: Count
    report_digest: str | None = None


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
    """What each file of a part begins with: room for the array header, and the first offset."""
    room = bytes(layout.NPY_HEADER_BYTES)
    known = {layout.OFFSETS: room + bytes(8), layout.RECORDS: b"", layout.KEYS: b""}
    return {name: known.get(name, room) for name in layout.files_of(format)}


def first_state(splits: Sequence[str], format: layout.Format, size: int) -> State:
    """The state before the first picture."""
    lengths = {name: len(head) for name, head in heads(format).items()}
    return State(
        splits={split: SplitState(0, 0, 0, 0, dict(lengths)) for split in splits},
        report_length=len(REPORT_HEAD),
        first_refused=(),
        sums=no_sums(size),
    )


def save_journal(folder: Path, settings: dict[str, Any], state: State) -> None:
    """Replace the journal."""
    journal = _Journal(
        layout.FORMAT_VERSION,
        settings,
        state.splits,
        state.report_length,
        state.first_refused,
        state.sums.count,
        state.report_digest,
    )
    text = json.dumps(to_json(journal))
    tensors = {"pixels": state.sums.pixels, "products": state.sums.products}
    metadata = {"journal": text, "checksum": _checksum(text, state.sums)}
    write_atomically(folder / layout.JOURNAL, layout.tensor_bytes(tensors, metadata))


def load_journal(folder: Path) -> tuple[dict[str, Any], State] | None:
    """Settings and state of an unfinished store; None where there is no journal. UserError if it is damaged."""
    from safetensors.numpy import load

    path = folder / layout.JOURNAL
    if not path.exists():
        return None
    remedy = f"Remove the folder {folder} and prepare anew."
    with reading_errors(path, remedy):
        data = read_bounded(path, LARGEST_JOURNAL)
        metadata, tensors = metadata_in(io.BytesIO(data)), load(data)
        journal = from_json(parsed(metadata["journal"]), _Journal, path, remedy)
        sums = Sums(journal.sums_count, tensors["pixels"], tensors["products"])
        if metadata["checksum"] != _checksum(metadata["journal"], sums):
            raise ValueError("its checksum does not fit")
        if journal.format_version != layout.FORMAT_VERSION:
            raise ValueError(f"format {journal.format_version}, begun by another version of alexnet")
        if sums.pixels.ndim != 3:
            raise ValueError("sums that are none")
        report = journal.report_length, journal.first_refused, sums, journal.report_digest or ""
        return journal.settings, State(journal.splits, *report)


def _checksum(text: str, sums: Sums) -> str:
    return sha256(text.encode() + sums.pixels.tobytes() + sums.products.tobytes()).hexdigest()


def odd_files_of(folder: Path, state: State) -> tuple[layout.OddFile, ...]:
    """The entries of an unfinished store's report, as far as its journal speaks of them. UserError if damaged."""
    path = folder / layout.REPORT
    _check_sound(path, folder, len(REPORT_HEAD), state.report_length, state.report_digest)
    text = read_bounded(path, LARGEST_JOURNAL)[: state.report_length]
    remedy = f"Remove the folder {folder} and prepare that part anew."
    with reading_errors(path, remedy):
        return from_json(parsed(text + b"]}"), layout.Report, path, remedy).odd_files


def _check_sound(path: Path, folder: Path, start: int, end: int, digest: str) -> None:
    """UserError if the bytes ``start`` to ``end`` of a file in an unfinished store are not those that its journal
    speaks of. An empty ``digest``, of a journal that has none, is not looked at."""
    if digest and sha256_between(path, start, end).hexdigest() != digest:
        raise UserError(f"{path}: {OTHER_BYTES}; remove the folder {folder} and prepare again")


def _ends_of(path: Path, count: int, before: int) -> bytes:
    """The places where the ``count`` records of another offsets file end, moved by ``before`` bytes."""
    first = layout.NPY_HEADER_BYTES + 8
    with faults_named(path):
        data = path.read_bytes()[first : first + 8 * count]
    if len(data) != 8 * count:
        raise UserError(f"{path}: cut short; remove the folder {path.parents[1]} and prepare that part anew")
    return (np.frombuffer(data, "<i8") + before).astype("<i8").tobytes()


class Writer:
    """Appends chunks to the files of a store and keeps its journal. A context manager: it closes the files.

    Saving waits for the disk; it is done by a thread of its own while further chunks are appended.
    """

    def __init__(self, folder: Path, format: layout.Format, size: int, settings: dict[str, Any], state: State) -> None:
        self.folder, self.size, self.settings, self.state = folder, size, settings, state
        self.format: layout.Format = format
        self._saved: State | None = None
        self._saver = ThreadPoolExecutor(1, "save")
        self._saving: Future[None] | None = None
        self._open: list[GrowingFile] = []
        try:
            self.report = self._opened(folder / layout.REPORT, REPORT_HEAD, state.report_length, state.report_digest)
            self.files = {name: self._open_part(name, part) for name, part in state.splits.items()}
            for made in (folder, *(folder / name for name in state.splits)):
                sync_folder(made)
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def append(self, chunk: Chunk) -> None:
        """Append one chunk. The state changes only when all of it is written."""
        files = self.files[chunk.split]
        self._append_records(chunk.records, files)
        files[layout.LABELS].append(np.array(chunk.labels, "<i8").tobytes())
        files[layout.DIGESTS].append(b"".join(chunk.digests))
        files[layout.KEYS].append(b"".join(map(layout.key_to_line, chunk.keys)))
        self._append_report(chunk.odd_files)
        self.state = self._state_after(chunk.split, chunk.items, len(chunk.records), chunk.odd_files, chunk.sums)

    def append_part(self, name: str, folder: Path, there: State, odd_files: Sequence[layout.OddFile]) -> None:
        """Append part ``name`` of the store in ``folder``, finished up to its headers, whose journal says ``there``."""
        files, part = self.files[name], there.splits[name]
        records_before = files[layout.RECORDS].length if self.format == "jpeg" else 0
        for file, head in heads(self.format).items():
            path, start, end = folder / name / file, len(head), part.lengths[file]
            _check_sound(path, folder, start, end, part.digests.get(file, ""))
            if file == layout.OFFSETS:
                files[file].append(_ends_of(path, part.count, records_before))
            else:
                files[file].append_from(path, start, end, f"remove the folder {folder} and prepare that shard again")
        self._append_report(odd_files)
        sums = there.sums if name == "train" else None
        self.state = self._state_after(name, part.cursor, part.count, odd_files, sums)

    def save_soon(self) -> None:
        """Begin to save the state as it is now, unless the last saving is still under way."""
        if self._saving is None or self._saving.done():
            self._wait()
            self._saving = self._saver.submit(self._save, self.state)

    def save(self) -> None:
        """Save the state as it is now; returns when it is on disk."""
        self._wait()
        self._save(self.state)

    def finish(self, ignored: Sequence[str]) -> None:
        """Write the array headers and the report's end, and force all to disk. May be done again after a kill."""
        self.save()
        for name, files in self.files.items():
            for file in files.values():
                if file.path.suffix == ".npy":
                    array = layout.array_of(file.path.name, self.state.splits[name].count, self.size)
                    file.write_at(0, layout.npy_header(*array))
        tail = f'\n],\n"ignored": {json.dumps(list(ignored), indent=0)}\n}}\n'
        self.report.write_at(self.state.report_length, tail.encode())
        for file in self._open:
            file.sync()

    def _append_records(self, records: list[bytes], files: dict[str, GrowingFile]) -> None:
        if self.format == "raw":
            files[layout.PICTURES].append(b"".join(records))
            return
        ends = files[layout.RECORDS].length + np.cumsum([len(record) for record in records], dtype="<i8")
        files[layout.RECORDS].append(b"".join(records))
        files[layout.OFFSETS].append(ends.tobytes())

    def _append_report(self, odd_files: Sequence[layout.OddFile]) -> None:
        for entry in odd_files:
            comma = b"\n" if self.report.length == len(REPORT_HEAD) else b",\n"
            self.report.append(comma + json.dumps(to_json(entry)).encode())

    def _state_after(
        self, name: str, items: int, records: int, odd_files: Sequence[layout.OddFile], sums: Sums | None
    ) -> State:
        part, refused = self.state.splits[name], [entry for entry in odd_files if entry.outcome == "refused"]
        after = SplitState(
            cursor=part.cursor + items,
            count=part.count + records,
            refused=part.refused + len(refused),
            noted=part.noted + len(odd_files) - len(refused),
            lengths={file: growing.length for file, growing in self.files[name].items()},
            digests={file: grown.digest for file, grown in self.files[name].items() if file not in layout.LARGE},
        )
        return replace(
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
            save_journal(self.folder, self.settings, state)
            self._saved = state

    def _wait(self) -> None:
        if self._saving is not None:
            saving, self._saving = self._saving, None
            saving.result()

    def _open_part(self, name: str, part: SplitState) -> dict[str, GrowingFile]:
        folder = self.folder / name
        with faults_named(folder):
            folder.mkdir(exist_ok=True)
        return {
            file: self._opened(folder / file, head, part.lengths.get(file, 0), part.digests.get(file, ""))
            for file, head in heads(self.format).items()
        }

    def _opened(self, path: Path, head: bytes, length: int, digest: str) -> GrowingFile:
        """``digest``: what the journal says of it; "" if nothing."""
        digested = path.name not in layout.LARGE
        remedy = f"remove the folder {self.folder} and prepare again"
        self._open.append(GrowingFile(path, head, length, digested=digested, sha256_hex=digest, remedy=remedy))
        return self._open[-1]

    def _close(self) -> None:
        self._saver.shutdown()
        for file in self._open:
            file.close()
