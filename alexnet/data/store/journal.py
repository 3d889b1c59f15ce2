"""A store while it is being made: files that grow, and the journal that says how far they are sound.

The journal is one file, replaced whole (temporary file, fsync, rename) after the data it speaks of has reached the
disk. It holds the place in the source, the length of every data file and the integer sums. Whatever lies behind
those lengths is of a chunk that was not finished; it is cut off at the next start. Nothing else is needed to go on.
"""

import io
import json
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any

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
from alexnet.files.schema import parsed, reading_errors, validate, whole

REPORT_HEAD = b'{"odd_files": ['
REMEMBERED_REFUSALS = 5
LARGEST_JOURNAL = 1 << 32
PART = {
    "cursor": whole(),
    "count": whole(),
    "refused": whole(),
    "noted": whole(),
    "lengths": {"*": whole()},
    "digests?": {"*": str},
}
JOURNAL = {
    "format_version": whole(),
    "settings": dict,
    "parts": {"*": PART},
    "report_length": whole(),
    "report_digest??": str,
    "first_refused": [str],
    "sums_count": whole(),
}
"""What a journal holds."""


@dataclass(frozen=True)
class PartState:
    """How far one part is: ``cursor`` items of the source seen, of which ``count`` became records. ``digests``: sha256
    hex of each small file as far as it is, without its head."""

    cursor: int
    count: int
    refused: int
    noted: int
    lengths: dict[str, int]
    digests: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """How far the whole store is. Never changed, only replaced: a saver may hold an older one meanwhile."""

    parts: dict[str, PartState]
    report_length: int
    first_refused: tuple[str, ...]
    sums: Sums
    report_digest: str = ""

    @property
    def refused(self) -> int:
        """Files refused so far, in all parts."""
        return sum(part.refused for part in self.parts.values())


@dataclass(frozen=True)
class Chunk:
    """What became of ``items`` consecutive items: records (pixels or JPEG files, as bytes) and odd files."""

    part: str
    items: int
    records: list[bytes]
    labels: list[int]
    keys: list[str]
    digests: list[bytes]
    odd_files: list[dict[str, Any]]
    sums: Sums | None


def refusal_in_words(entry: dict[str, Any]) -> str:
    """An entry of the report as one phrase."""
    return f"{entry['part']}: {entry['key']} ({'; '.join(entry['why'])})"


def heads(format: layout.Format) -> dict[str, bytes]:
    """What each file of a part begins with: room for the array header, and the first offset."""
    room = bytes(layout.NPY_HEADER_BYTES)
    known = {layout.OFFSETS: room + bytes(8), layout.RECORDS: b"", layout.KEYS: b""}
    return {name: known.get(name, room) for name in layout.files_of(format)}


def first_state(parts: Sequence[str], format: layout.Format, size: int) -> State:
    """The state before the first picture."""
    lengths = {name: len(head) for name, head in heads(format).items()}
    return State(
        parts={part: PartState(0, 0, 0, 0, dict(lengths)) for part in parts},
        report_length=len(REPORT_HEAD),
        first_refused=(),
        sums=no_sums(size),
    )


def save_journal(folder: Path, settings: dict[str, Any], state: State) -> None:
    """Replace the journal."""
    text = json.dumps(
        {
            "format_version": layout.FORMAT_VERSION,
            "settings": settings,
            "parts": {name: asdict(part) for name, part in state.parts.items()},
            "report_length": state.report_length,
            "report_digest": state.report_digest,
            "first_refused": state.first_refused,
            "sums_count": state.sums.count,
        }
    )
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
        journal = validate(parsed(metadata["journal"]), JOURNAL, path, remedy)
        sums = Sums(journal["sums_count"], tensors["pixels"], tensors["products"])
        if metadata["checksum"] != _checksum(metadata["journal"], sums):
            raise ValueError("its checksum does not fit")
        if journal["format_version"] != layout.FORMAT_VERSION:
            raise ValueError(f"format {journal['format_version']}, begun by another version of alexnet")
        if not all(map(layout.PART_NAME.fullmatch, journal["parts"])) or sums.pixels.ndim != 3:
            raise ValueError("parts or sums that are none")
        parts = {name: PartState(**{"digests": {}, **part}) for name, part in journal["parts"].items()}
        report = journal["report_length"], tuple(journal["first_refused"]), sums, journal.get("report_digest", "")
        state = State(parts, *report)
        return journal["settings"], state


def _checksum(text: str, sums: Sums) -> str:
    return sha256(text.encode() + sums.pixels.tobytes() + sums.products.tobytes()).hexdigest()


def odd_files_of(folder: Path, state: State) -> list[dict[str, Any]]:
    """The entries of an unfinished store's report, as far as its journal speaks of them. UserError if damaged."""
    path = folder / layout.REPORT
    _check_sound(path, folder, len(REPORT_HEAD), state.report_length, state.report_digest)
    text = read_bounded(path, LARGEST_JOURNAL)[: state.report_length]
    remedy = f"Remove the folder {folder} and prepare that part anew."
    with reading_errors(path, remedy):
        return validate(parsed(text + b"]}"), layout.ODD_FILES, path, remedy)["odd_files"]


def _check_sound(path: Path, folder: Path, start: int, end: int, digest: str) -> None:
    """UserError if the bytes ``start`` to ``end`` of a file in an unfinished store are not those that its journal
    speaks of. An empty ``digest``, of a journal that has none, is not looked at."""
    if digest and sha256_between(path, start, end).hexdigest() != digest:
        raise UserError(f"{path}: {OTHER_BYTES}; remove the folder {folder} and prepare anew")


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
            self.files = {name: self._open_part(name, part) for name, part in state.parts.items()}
            for made in (folder, *(folder / name for name in state.parts)):
                sync_folder(made)
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def append(self, chunk: Chunk) -> None:
        """Append one chunk. The state changes only when all of it is written."""
        files = self.files[chunk.part]
        self._append_records(chunk.records, files)
        files[layout.LABELS].append(np.array(chunk.labels, "<i8").tobytes())
        files[layout.DIGESTS].append(b"".join(chunk.digests))
        files[layout.KEYS].append(b"".join(map(layout.key_to_line, chunk.keys)))
        self._append_report(chunk.odd_files)
        self.state = self._state_after(chunk.part, chunk.items, len(chunk.records), chunk.odd_files, chunk.sums)

    def append_part(self, name: str, folder: Path, there: State, odd_files: list[dict[str, Any]]) -> None:
        """Append part ``name`` of the store in ``folder``, finished up to its headers, whose journal says ``there``."""
        files, part = self.files[name], there.parts[name]
        records_before = files[layout.RECORDS].length if self.format == "jpeg" else 0
        for file, head in heads(self.format).items():
            path, start, end = folder / name / file, len(head), part.lengths[file]
            _check_sound(path, folder, start, end, part.digests.get(file, ""))
            if file == layout.OFFSETS:
                files[file].append(_ends_of(path, part.count, records_before))
            else:
                files[file].append_from(path, start, end, f"remove the folder {folder} and prepare that part anew")
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
                    array = layout.array_of(file.path.name, self.state.parts[name].count, self.size)
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

    def _append_report(self, odd_files: list[dict[str, Any]]) -> None:
        for entry in odd_files:
            comma = b"\n" if self.report.length == len(REPORT_HEAD) else b",\n"
            self.report.append(comma + json.dumps(entry).encode())

    def _state_after(
        self, name: str, items: int, records: int, odd_files: list[dict[str, Any]], sums: Sums | None
    ) -> State:
        part, refused = self.state.parts[name], [entry for entry in odd_files if entry["outcome"] == "refused"]
        after = PartState(
            cursor=part.cursor + items,
            count=part.count + records,
            refused=part.refused + len(refused),
            noted=part.noted + len(odd_files) - len(refused),
            lengths={file: growing.length for file, growing in self.files[name].items()},
            digests={file: grown.digest for file, grown in self.files[name].items() if file not in layout.LARGE},
        )
        return replace(
            self.state,
            parts={**self.state.parts, name: after},
            report_length=self.report.length,
            report_digest=self.report.digest,
            first_refused=(*self.state.first_refused, *map(refusal_in_words, refused))[:REMEMBERED_REFUSALS],
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

    def _open_part(self, name: str, part: PartState) -> dict[str, GrowingFile]:
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
        remedy = f"remove the folder {self.folder} and prepare anew"
        self._open.append(GrowingFile(path, head, length, digested=digested, sha256_hex=digest, remedy=remedy))
        return self._open[-1]

    def _close(self) -> None:
        self._saver.shutdown()
        for file in self._open:
            file.close()
