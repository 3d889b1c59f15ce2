"""Pictures → store, once: decode, shorter side to S, centre square, statistics, all in one pass ([A] §2).

The items of the source are worked on in chunks by threads (Pillow lets go of Python's lock while it decodes and
resizes) and written in the source's order. A killed run resumes where its journal says (see ``journal.py``), and the
finished store is byte for byte that of an unbroken run: no times, no host names, no thread's order gets into it.
"""

import math
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, TypedDict, Unpack

import PIL

from alexnet.data.ahead import in_threads
from alexnet.data.sources import Source
from alexnet.data.store import layout
from alexnet.data.store.description import (
    ListedFile,
    SplitDescription,
    StoreDescription,
    completed,
    read_description,
)
from alexnet.data.store.journal import Chunk, SplitState, State, Writer, load_journal, save_journal
from alexnet.data.store.read import Keys, Store
from alexnet.data.store.records import Decode, Options, make_chunk
from alexnet.errors import UsageError, UserError
from alexnet.files.atomic import (
    DiskFull,
    expanded,
    faults_named,
    is_temporary,
    remove_temporaries,
    space_checked,
    write_atomically,
)
from alexnet.files.locks import locked
from alexnet.files.schema import json_bytes, to_json
from alexnet.images.resample import Resample
from alexnet.processors import threads_allowed
from alexnet.text import first_few, in_bytes

Progress = Callable[[str, int, int, int], None]
"""Receives the name of a split, its items done, its items in all, and the files refused so far in the whole store."""
Say = Callable[[str], None]
"""Receives a line for the user."""

JOURNAL_SECONDS = 5.0
CHUNK_BYTES, CHUNK_ITEMS = 2 << 20, 64
SMALL_CHANGE_BYTES = 8 << 20  # journal, statistics, report and descriptions


class OptionNeeded(UserError):
    """A fault that another option of ``alexnet prepare`` would fix: ``option``, for callers that show a command."""

    option = "--max-bad SHARE"


class StoreTooLarge(DiskFull, OptionNeeded):
    """The disk has too little space for the store."""

    option = "--format jpeg"


def bytes_needed(source: Source, options: Options) -> int:
    """Bytes of disk that the store of ``source`` takes in all: for raw stores an upper bound, for JPEG stores an
    estimate on the safe side."""
    needed, size = SMALL_CHANGE_BYTES + 64 * options.size**2 * 3, options.size
    for split in source.splits.values():
        needed += sum(len(layout.key_to_line(key)) for key in split.keys)
        for name in layout.files_of(options.format):
            if name == layout.RECORDS:
                needed += int(len(split) * (size**2 * layout.JPEG_BYTES_PER_PIXEL + 1024))
            elif name != layout.KEYS:
                needed += layout.array_bytes(name, len(split), size)
    return needed


class Limits(TypedDict, total=False):
    """The keyword arguments that `prepare`, `prepare_shard` and `join` have in common; the defaults: `Preparation`."""

    strict: bool
    max_bad: float
    workers: int | None
    progress: Progress | None
    say: Say | None


def prepare(
    source: Source,
    destination: str | Path,
    *,
    size: int = 256,
    resample: Resample = "bicubic",
    format: layout.Format = "raw",
    exif: bool | None = None,
    decode: Decode = "full",
    **limits: Unpack[Limits],
) -> Store:
    """Make the store of ``source`` in folder ``destination``; if it is unfinished, resume; if it is finished, open it.

    ``size`` is the side of a record in pixels; ``format`` "raw" (size² · 3 bytes a picture) or "jpeg"; ``resample`` the
    filter; ``exif`` turns pictures as their EXIF says (None: as in the store that is there, else as suits the source);
    ``decode`` "scaled" lets libjpeg scale pictures that are much larger than a record (faster, other pixels).
    ``strict`` stops at the first file that cannot be decoded;
    otherwise such files are skipped and listed in report.json, as long as they are no more than the share
    ``max_bad`` of all (1 %). ``workers`` threads (default: `threads_allowed`). ``progress`` and ``say``: see there.

    UserError: too many bad files, too little disk, a destination that holds something else or is being written
    by another process, a source that changed since the last try, a file or disk that cannot be read or written. All
    that was done until then is kept; the same call resumes there. UsageError: an option out of range.
    """
    return Preparation.of(source, destination, Options(size, resample, format, exif, decode), **limits).made()


def _exif_for(source: Source, folder: Path) -> bool:
    """Whether to apply the EXIF orientation where nobody says: as in the store that is there or was begun, else as
    suits the source."""
    if is_finished(folder):
        return read_description(folder)[1].exif
    state = load_journal(folder)
    return source.upright if state is None else bool(state.settings.get("exif"))


@dataclass(frozen=True)
class Preparation:
    """A store, or a shard of one, that is to be made of ``source`` in ``folder``.

    ``settings``: what two tries must have in common for the second to resume the first. ``total``: the items of the
    whole source, of which ``max_bad`` is a share. The rest is as in ``prepare``.
    """

    source: Source
    folder: Path
    options: Options
    settings: dict[str, Any]
    total: int
    strict: bool = False
    max_bad: float = 0.01
    workers: int | None = None
    progress: Progress | None = None
    say: Say | None = None

    @classmethod
    def of(
        cls,
        source: Source,
        destination: str | Path,
        options: Options,
        *,
        in_shards: bool = False,
        **limits: Unpack[Limits],
    ) -> "Preparation":
        """Checks what was asked for and makes the folder. ``in_shards``: one that holds the store's shards."""
        made = cls(source, Path(expanded(destination)), options, {}, source.count, **limits)
        if not 0 <= made.max_bad <= 1:
            raise UsageError(f"--max-bad {made.max_bad}: a share of all files from 0 to 1, for example 0.01")
        if made.workers is not None and made.workers < 1:
            raise UsageError(f"--workers {made.workers}: at least 1")
        for name, split in source.splits.items():
            if not layout.SPLIT_NAME.fullmatch(name):
                raise ValueError(f"a split cannot be called {name!r}")
            if len(split) == 0:
                raise UserError(f"the source has no pictures in its {name} split")
        if not source.splits:
            raise UserError("the source has no pictures")
        _make_folder(made.folder, in_shards)
        if options.exif is None:
            made = replace(made, options=replace(options, exif=_exif_for(source, made.folder)))
        settings = {
            **vars(made.options),
            "jpeg": layout.JPEG_SETTINGS if options.format == "jpeg" else None,
            "pillow": PIL.__version__,
            "source": source_fingerprint(source),
            "shard": None,
        }
        return replace(made, settings=settings)

    def made(self) -> Store:
        """Make the store, resume, or make sure that the finished one is the one asked for; then open it."""
        busy = f"{self.folder}: another `alexnet prepare` is writing it; wait for it to end"
        with locked(self.folder / layout.LOCK, busy):
            if is_finished(self.folder):
                self.check_finished()
            else:
                with self.opened() as writer:
                    self.pass_over(writer)
                    self.finish(writer)
            remove_temporaries(self.folder)
            (self.folder / layout.JOURNAL).unlink(missing_ok=True)
        return Store.open(self.folder)

    def inform(self, line: str) -> None:
        """Show the user a line, unless the caller wants none."""
        if self.say:
            self.say(line)

    # --- before the pass

    def check_finished(self) -> None:
        """UserError unless the finished store in the folder is the one that was asked for."""
        description, about = read_description(self.folder)
        self.check_options(source=description["source"]["fingerprint"])
        store = Store.open(self.folder)
        if store.groups != self.groups_of({name: split.keys for name, split in store.splits.items()}):
            raise UserError(
                f"{self.folder}: holds a finished store with other groups, or without. Choose another place or remove "
                f"the folder {self.folder}; or use the same --group"
            )
        if any(split.refused for split in about.splits.values()):
            refused = [str(entry) for entry in store.report() if entry.outcome == "refused"]
            self.check_refused(len(refused), refused)
        self.inform(f"{self.folder}: already prepared from this source with these options")

    def check_options(self, source: str | None = None) -> None:
        """UserError unless the finished store in the folder was made with these options, and of this ``source``."""
        description, _ = read_description(self.folder)
        there = {field: description[field] for field in self.settings if field in description}
        there |= {"source": source or self.settings["source"], "pillow": self.settings["pillow"]}
        self.refuse_other(there, "holds a finished store made with")

    def is_of_source(self) -> bool:
        """Whether the finished store in the folder was made of this source."""
        return read_description(self.folder)[0]["source"]["fingerprint"] == self.settings["source"]

    def begun(self) -> State | None:
        """The state to resume from; None if there is none."""
        remove_temporaries(self.folder)
        if state := load_journal(self.folder):
            self.refuse_other(state.settings, "holds an unfinished store begun with")
        return state

    def refuse_other(self, there: dict[str, Any], holds: str) -> None:
        """UserError if what is in the folder was made with other settings: ``there``."""
        remedy = f"Choose another place or remove the folder {self.folder}"
        if there["source"] != self.settings["source"]:
            raise UserError(
                f"{self.folder}: {holds} another source (other files, names, labels or sizes; or the source has "
                f"changed since). {remedy}"
            )
        there = {"decode": "full", **there}  # older stores don't say so: they were decoded in full
        for name, value in self.settings.items():
            if there.get(name) != value:
                found = f"{name} {there.get(name)}, not {value}"
                raise UserError(f"{self.folder}: {holds} {found}. {remedy}; or use the same options")

    def opened(self) -> Writer:
        """A writer that resumes where the journal says, or starts if the disk has room for all."""
        if state := self.begun():
            self.inform(f"{self.folder}: resuming after the first {state.seen:,} of {self.source.count:,} pictures")
        needed, present = bytes_needed(self.source, self.options), 0
        if state:
            with faults_named(self.folder):
                present = sum(file.stat().st_size for file in self.folder.glob("*/*") if file.is_file())
        there = f", {in_bytes(present)} of it there already" if present else ""
        words = f"{self.source.count:,} pictures need {in_bytes(needed)}{there}"
        remedy = ". Free some space, choose another disk, a smaller --size or --format jpeg"
        self.inform(f"{self.folder}: {space_checked(self.folder, needed - present, words, remedy, StoreTooLarge)}")
        return self.writer(state)

    def writer(self, state: State | None) -> Writer:
        """A writer that resumes from ``state``, or starts: the journal is then written before any data."""
        if state is None:
            state = State.before(list(self.source.splits), self.settings)
            save_journal(self.folder, state)
        return Writer(self.folder, state)

    # --- the pass

    def pass_over(self, writer: Writer) -> None:
        """Work through all items after those in the journal. However it ends, what was done is saved if possible."""
        try:
            for name in self.source.splits:
                self._pass_over_split(name, writer)
        except BaseException:
            with suppress(UserError):  # a full disk stops the pass and the saving alike: one message is enough
                writer.save()
            raise

    def _pass_over_split(self, name: str, writer: Writer) -> None:
        self._report_progress(name, writer.state)
        saved_at = time.monotonic()
        with closing(self._chunks(name, writer.state.splits[name].cursor)) as chunks:
            for chunk in chunks:
                writer.append(chunk)
                self._report_progress(name, writer.state)
                if time.monotonic() - saved_at >= JOURNAL_SECONDS:
                    writer.save_soon()
                    saved_at = time.monotonic()

    def _report_progress(self, name: str, state: State) -> None:
        if self.progress:
            self.progress(name, state.splits[name].cursor, len(self.source.splits[name]), state.refused)
        self.check_refused(state.refused, state.first_refused)

    def check_refused(self, refused: int, first_refused: Sequence[str]) -> None:
        """UserError if ``refused`` files are too many; ``first_refused`` names some of them with the reasons."""
        if self.strict and refused:
            raise UserError(
                f"{self.folder}: --strict: a file cannot be decoded: {first_refused[0]}. Mend or remove it "
                "(then begin in a new folder), or rerun without --strict"
            )
        if refused > math.floor(self.max_bad * self.total):
            raise OptionNeeded(
                f"{self.folder}: {refused:,} of {self.total:,} files cannot be decoded so far, more than "
                f"--max-bad {self.max_bad:g} allows: {first_few(first_refused)}. All are in "
                f"{self.folder / layout.REPORT}. Mend or remove them (then begin in a new folder), or rerun "
                "with a larger --max-bad"
            )

    def _chunks(self, name: str, start: int) -> Generator[Chunk, None, None]:
        """The chunks of a split from item ``start`` on, in order, a few of them made ahead by threads."""
        length = max(1, min(CHUNK_ITEMS, CHUNK_BYTES // (self.options.size**2 * 3)))
        total, workers = len(self.source.splits[name]), self.workers or threads_allowed()
        calls = (
            partial(make_chunk, self.source, name, begin, min(begin + length, total), options=self.options)
            for begin in range(start, total, length)
        )
        return in_threads(calls, threads=workers, depth=3 * workers, name="prepare")

    def finish(self, writer: Writer) -> None:
        """Complete the files and, last of all, write store.json."""
        for name, split in writer.state.splits.items():
            refuse_empty(writer.folder, name, split)
        writer.finish(self.source.ignored)
        if "train" in writer.state.splits:
            write_atomically(self.folder / layout.STATISTICS, writer.state.sums.to_bytes())
        counts = {name: split.count for name, split in writer.state.splits.items()}
        if groups := self.groups_of({name: Keys(self.folder / name / layout.KEYS, n) for name, n in counts.items()}):
            write_atomically(self.folder / layout.GROUPS, json_bytes(groups))
        description = to_json(self._description(writer.state))
        write_atomically(self.folder / layout.DESCRIPTION, json_bytes(completed(description)))

    def groups_of(self, keys: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
        """The source's group of each picture, by the keys of each split; empty if it has no groups."""
        group_of = self.source.groups
        return {name: tuple(map(group_of, there)) for name, there in keys.items()} if group_of else {}

    def _description(self, state: State) -> StoreDescription:
        source, sums = self.source, state.sums
        names, statistics = [layout.REPORT, *([layout.GROUPS] if source.groups else [])], None
        if "train" in state.splits:
            names.append(layout.STATISTICS)
            statistics = {
                "over": "the training split, pixels as they are read back from the store, scale 0-255",
                "pictures": sums.count,
                "mean_rgb": (sums.pixels.mean(axis=(0, 1)) / sums.count).tolist(),
                "eigenvalues": sums.statistics().eigenvalues.tolist(),
            }
        return StoreDescription(
            **vars(self.options),
            jpeg=self.settings["jpeg"],
            decoder={"pillow": self.settings["pillow"]},
            source={"kind": source.kind, "fingerprint": self.settings["source"]},
            class_order=source.class_order,
            class_ids=source.class_ids,
            class_names=source.class_names,
            splits={name: self._described(name, split) for name, split in state.splits.items()},
            files={name: ListedFile.of(self.folder / name) for name in names},
            statistics=statistics,
        )

    def _described(self, name: str, split: SplitState) -> SplitDescription:
        files = {file: ListedFile.of(self.folder / name / file) for file in layout.files_of(self.options.format)}
        return SplitDescription(split.count, split.cursor, split.refused, split.noted, files)


def source_fingerprint(source: Source) -> str:
    """sha256 hex over kind, classes, and each item's key, label and (where the source knows it) size in bytes.

    No file is opened: 1.28 million take about four seconds where the system has their entries in memory, as it has
    after the source was opened.
    """
    digest = sha256(repr((source.kind, source.class_ids, source.class_names, source.class_order)).encode())
    for name, split in source.splits.items():
        digest.update(f"\n{name} {len(split)}\n".encode())
        for item in split:
            digest.update(layout.key_to_line(item.key) + f"{item.label} {item.size}\n".encode())
    return digest.hexdigest()


def _make_folder(destination: Path, in_shards: bool) -> None:
    """Make the folder, or make sure that it holds nothing but what is made here."""
    entries = folder_made(destination)
    if is_finished(destination):
        return
    if any(map(layout.SHARD.fullmatch, entries)):
        if not in_shards:
            raise UserError(f"{destination}: holds shards of a store; join them with --join, or choose another place")
    elif layout.JOURNAL in entries:
        if in_shards:
            raise UserError(
                f"{destination}: holds a store begun without --shard; rerun without it, or choose another place"
            )
    elif entries:
        raise UserError(
            f"{destination}: holds other things ({first_few(entries)}); choose an empty or new folder for the store"
        )


def folder_made(destination: Path) -> list[str]:
    """Make the folder if it is not there; the names of what is in it, without locks and temporary files."""
    with faults_named(destination):
        if destination.exists() and not destination.is_dir():
            raise UserError(f"{destination}: is a file; choose another place for the store")
        destination.mkdir(parents=True, exist_ok=True)
        return sorted(
            path.name for path in destination.iterdir() if path.name != layout.LOCK and not is_temporary(path)
        )


def is_finished(destination: Path) -> bool:
    return (destination / layout.DESCRIPTION).exists()


def refuse_empty(folder: Path, name: str, split: SplitState) -> None:
    """UserError if no file of the split became a record."""
    if split.count == 0:
        raise UserError(
            f"{folder}: not one of the {split.cursor:,} files of split '{name}' can be decoded; "
            f"see the reasons in {folder / layout.REPORT}"
        )
