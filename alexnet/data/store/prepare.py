"""Pictures → store, once: decode, shorter side to S, centre square, statistics, all in one pass ([A] §2).

The items of the source are worked on in chunks by threads (Pillow lets go of Python's lock while it decodes and
resizes) and written in the source's order. A killed run goes on where its journal says (see ``journal.py``), and the
finished store is byte for byte that of an unbroken run: no times, no host names, no thread's order gets into it.
"""

import math
import shutil
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import PIL

from alexnet.data.sources import Source
from alexnet.data.store import layout
from alexnet.data.store.description import completed, read_description
from alexnet.data.store.journal import (
    Chunk,
    SplitState,
    State,
    Writer,
    first_state,
    load_journal,
    save_journal,
)
from alexnet.data.store.read import Store
from alexnet.data.store.records import Decode, Options, make_chunk
from alexnet.errors import UsageError, UserError
from alexnet.files.atomic import (
    DiskFull,
    expanded,
    faults_named,
    is_temporary,
    remove_temporaries,
    write_atomically,
)
from alexnet.files.locks import locked
from alexnet.files.manifest import ListedFile
from alexnet.files.schema import json_bytes
from alexnet.images.resample import Resample
from alexnet.processors import threads_allowed
from alexnet.text import in_bytes

Progress = Callable[[str, int, int, int], None]
"""Receives the name of a part, its items done, its items in all, and the files refused so far in the whole store."""
Say = Callable[[str], None]
"""Receives a line for the user."""

JOURNAL_SECONDS = 5.0
CHUNK_BYTES, CHUNK_ITEMS = 2 << 20, 64
SMALL_CHANGE_BYTES = 8 << 20  # journal, statistics, report and descriptions


class OptionNeeded(UserError):
    """A fault that another option of ``alexnet prepare`` would mend: ``option``, for whoever shows its command line."""

    option = "--max-bad SHARE"


class StoreTooLarge(DiskFull, OptionNeeded):
    """The disk has too little space for the store."""

    option = "--format jpeg"


@dataclass(frozen=True)
class Plan:
    """What preparing will take: ``pictures``, and bytes of disk ``needed`` in all, already ``present``, and ``free``.

    For JPEG stores ``needed`` is an estimate on the safe side; for raw stores it is an upper bound.
    """

    pictures: int
    needed: int
    present: int
    free: int

    @property
    def fits(self) -> bool:
        return self.needed - self.present <= self.free

    def __str__(self) -> str:
        present = f", {in_bytes(self.present)} of it there already" if self.present else ""
        return f"{self.pictures:,} pictures need {in_bytes(self.needed)}{present}; {in_bytes(self.free)} are free"


def plan(source: Source, destination: str | Path, *, size: int = 256, format: layout.Format = "raw") -> Plan:
    """What ``prepare`` with these options will take, before anything is written."""
    options, destination = Options(size=size, format=format), Path(destination)
    needed = SMALL_CHANGE_BYTES + 64 * size * size * 3
    for part in source.splits.values():
        needed += sum(len(layout.key_to_line(key)) for key in part.keys)
        arrays = (name for name in layout.files_of(format) if name != layout.KEYS)
        needed += sum(_array_estimate(name, len(part), options) for name in arrays)
    with faults_named(destination):
        begun = destination.glob("*/*") if _is_begun(destination) else ()
        present = sum(file.stat().st_size for file in begun if file.is_file())
        free = shutil.disk_usage(_existing_parent(destination)).free
    return Plan(sum(len(part) for part in source.splits.values()), needed, present, free)


def prepare(
    source: Source,
    destination: str | Path,
    *,
    size: int = 256,
    resample: Resample = "bicubic",
    format: layout.Format = "raw",
    exif: bool = False,
    decode: Decode = "full",
    strict: bool = False,
    max_bad: float = 0.01,
    workers: int | None = None,
    progress: Progress | None = None,
    say: Say | None = None,
) -> Store:
    """Make the store of ``source`` in folder ``destination``, or go on making it, or find it finished.

    ``size`` is the side of a record in pixels; ``format`` "raw" (size² · 3 bytes a picture) or "jpeg"; ``resample`` the
    filter; ``exif`` turns pictures as their EXIF says; ``decode`` "scaled" lets libjpeg scale pictures that are much
    larger than a record (faster, other pixels). ``strict`` stops at the first file that cannot be decoded;
    otherwise such files are left out and listed in report.json, as long as they are no more than the share
    ``max_bad`` of all. ``workers`` threads (default: `threads_allowed`). ``progress`` and ``say`` tell the user.

    UserError: too many bad files, too little disk, a destination that holds something else or is being written
    by another process, a source that changed since the last try, a file or disk that cannot be read or written. All
    that was done until then is kept; the same call goes on from there. UsageError: an option out of range.
    """
    options, destination = Options(size, resample, format, exif, decode), Path(expanded(destination))
    check_limits(max_bad, workers)
    check_source(source)
    say = say or say_nothing
    _make_folder(destination)
    busy = f"{destination}: another `alexnet prepare` is writing it; wait for it to end"
    with locked(destination / layout.LOCK, busy):
        rules = Rules(destination, sum(map(len, source.splits.values())), strict, max_bad)
        settings = settings_of(source, options)
        if is_finished(destination):
            check_finished(destination, settings, rules, say)
        else:
            with begun_writer(source, destination, options, settings, say) as writer:
                pass_over(source, writer, options, workers or threads_allowed(), progress, rules)
                finish(source, writer, options, settings)
        remove_temporaries(destination)
        (destination / layout.JOURNAL).unlink(missing_ok=True)
    return Store.open(destination)


def settings_of(source: Source, options: Options, part: str | None = None) -> dict[str, Any]:
    """What two tries must have in common for the second to go on with the first. ``part``: of the source, as in "3/8";
    None: all of it."""
    decoder = {"decode": options.decode, "pillow": PIL.__version__}
    return {**options.as_json(), **decoder, "source": source_fingerprint(source), "part": part}


def source_fingerprint(source: Source) -> str:
    """sha256 hex over kind, classes, and each item's key, label and (where the source knows it) size in bytes.

    No file is opened: 1.28 million take about four seconds where the system has their entries in memory, as it has
    after the source was opened.
    """
    digest = sha256(repr((source.kind, source.class_ids, source.class_names, source.class_order)).encode())
    for name, part in source.splits.items():
        digest.update(f"\n{name} {len(part)}\n".encode())
        for item in part:
            digest.update(layout.key_to_line(item.key) + f"{item.label} {item.size}\n".encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class Rules:
    """How many files may be refused before it is an error."""

    destination: Path
    total: int
    strict: bool
    max_bad: float

    def check(self, refused: int, first_refused: Sequence[str]) -> None:
        """UserError if ``refused`` files are too many; ``first_refused`` names some of them with the reasons."""
        if self.strict and refused:
            raise UserError(
                f"{self.destination}: --strict: a file cannot be decoded: {first_refused[0]}. Mend or remove it "
                "(then begin in a new folder), or go on without --strict"
            )
        if refused > math.floor(self.max_bad * self.total):
            raise OptionNeeded(
                f"{self.destination}: {refused:,} of {self.total:,} files cannot be decoded so far, more than "
                f"--max-bad {self.max_bad:g} allows: {layout.describe(first_refused)}. All are in "
                f"{self.destination / layout.REPORT}. Mend or remove them (then begin in a new folder), or go on "
                "with a larger --max-bad"
            )


# --- the pass -------------------------------------------------------------------------------------------------------


def pass_over(
    source: Source,
    writer: Writer,
    options: Options,
    workers: int,
    progress: Progress | None,
    rules: "Rules",
) -> None:
    """Work through all items behind the journal's place. However it ends, what was done is saved if it can be."""
    try:
        for name in source.splits:
            _pass_over_part(source, name, writer, options, workers, progress, rules)
    except BaseException:
        with suppress(UserError):  # a full disk stops the pass and the saving alike: one message is enough
            writer.save()
        raise


def _pass_over_part(
    source: Source,
    name: str,
    writer: Writer,
    options: Options,
    workers: int,
    progress: Progress | None,
    rules: "Rules",
) -> None:
    def tell() -> None:
        if progress:
            progress(name, writer.state.splits[name].cursor, len(source.splits[name]), writer.state.refused)
        rules.check(writer.state.refused, writer.state.first_refused)

    tell()
    saved_at = time.monotonic()
    with closing(_chunks(source, name, writer.state.splits[name].cursor, options, workers)) as chunks:
        for chunk in chunks:
            writer.append(chunk)
            tell()
            if time.monotonic() - saved_at >= JOURNAL_SECONDS:
                writer.save_soon()
                saved_at = time.monotonic()


def _chunks(source: Source, name: str, start: int, options: Options, workers: int) -> Generator[Chunk, None, None]:
    """The chunks of a part from item ``start`` on, in order, a few of them made ahead by threads."""
    length = max(1, min(CHUNK_ITEMS, CHUNK_BYTES // (options.size**2 * 3)))
    items = source.splits[name]
    starts = iter(range(start, len(items), length))
    work = partial(make_chunk, source, name, options=options)
    with ThreadPoolExecutor(workers, "prepare") as pool:
        ahead: deque[Future[Chunk]] = deque()
        try:
            for begin in islice(starts, 3 * workers):
                ahead.append(pool.submit(work, begin, min(begin + length, len(items))))
            while ahead:
                yield ahead.popleft().result()
                for begin in islice(starts, 1):
                    ahead.append(pool.submit(work, begin, min(begin + length, len(items))))
        finally:
            pool.shutdown(cancel_futures=True)


def finish(source: Source, writer: Writer, options: Options, settings: dict[str, Any]) -> None:
    """Complete the files and, last of all, write store.json."""
    for name, part in writer.state.splits.items():
        refuse_empty(writer.folder, name, part)
    writer.finish(source.ignored)
    description = _description(source, writer, options, settings)
    write_atomically(writer.folder / layout.DESCRIPTION, json_bytes(completed(description)))


def refuse_empty(folder: Path, name: str, part: SplitState) -> None:
    """UserError if no file of the part became a record."""
    if part.count == 0:
        raise UserError(
            f"{folder}: not one of the {part.cursor:,} files of part '{name}' can be decoded; "
            f"see the reasons in {folder / layout.REPORT}"
        )


def _description(source: Source, writer: Writer, options: Options, settings: dict[str, Any]) -> dict[str, Any]:
    folder, state = writer.folder, writer.state
    description = {
        "kind": layout.KIND,
        "format_version": layout.FORMAT_VERSION,
        **options.as_json(),
        "decoder": {"pillow": settings["pillow"]},
        "source": {"kind": source.kind, "fingerprint": settings["source"]},
        "class_order": source.class_order,
        "class_ids": list(source.class_ids),
        "class_names": list(source.class_names),
        "parts": {},
        "files": {layout.REPORT: ListedFile.of(folder / layout.REPORT).as_json()},
    }
    for name, part in state.splits.items():
        description["parts"][name] = {
            "count": part.count,
            "items": part.cursor,
            "refused": part.refused,
            "noted": part.noted,
            "files": {
                file: ListedFile.of(folder / name / file, digest=file not in layout.LARGE).as_json()
                for file in layout.files_of(options.format)
            },
        }
    if "train" in state.splits:
        write_atomically(folder / layout.STATISTICS, state.sums.to_bytes())
        description["files"][layout.STATISTICS] = ListedFile.of(folder / layout.STATISTICS).as_json()
        description["statistics"] = _statistics_in_words(state)
    return description


def _statistics_in_words(state: State) -> dict[str, Any]:
    statistics = state.sums.statistics()
    return {
        "over": "the training part, pixels as they are read back from the store, scale 0-255",
        "pictures": statistics.count,
        "mean_rgb": (state.sums.pixels.mean(axis=(0, 1)) / statistics.count).tolist(),
        "eigenvalues": statistics.eigenvalues.tolist(),
    }


def say_nothing(line: str) -> None:
    del line


# --- before the pass ------------------------------------------------------------------------------------------------


def check_limits(max_bad: float, workers: int | None) -> None:
    if not 0 <= max_bad <= 1:
        raise UsageError(f"--max-bad {max_bad}: a share of all files from 0 to 1, for example 0.01")
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: at least 1")


def check_source(source: Source) -> None:
    for name, part in source.splits.items():
        if not layout.SPLIT_NAME.fullmatch(name):
            raise ValueError(f"a part cannot be called {name!r}")
        if len(part) == 0:
            raise UserError(f"the source has no pictures in its part '{name}'")
    if not source.splits:
        raise UserError("the source has no pictures")


def _make_folder(destination: Path) -> None:
    """Make the folder, or make sure that what is in it is ours."""
    entries = folder_made(destination)
    if is_finished(destination):
        return
    if any(map(layout.SHARD.fullmatch, entries)):
        raise UserError(
            f"{destination}: holds parts of a store, made with --shard. Put them together with --join, or choose "
            "another place"
        )
    if entries and not _is_begun(destination):
        refuse_foreign(destination, entries)


def folder_made(destination: Path) -> list[str]:
    """Make the folder if it is not there; the names of what is in it, locks and temporary files apart."""
    with faults_named(destination):
        if destination.exists() and not destination.is_dir():
            raise UserError(f"{destination}: is a file; choose another place for the store")
        destination.mkdir(parents=True, exist_ok=True)
        return sorted(
            path.name for path in destination.iterdir() if path.name != layout.LOCK and not is_temporary(path)
        )


def refuse_foreign(destination: Path, entries: Sequence[str]) -> None:
    """UserError: the folder holds what is not ours."""
    raise UserError(
        f"{destination}: holds other things ({layout.describe(entries)}); choose an empty or new folder for the store"
    )


def is_finished(destination: Path) -> bool:
    return (destination / layout.DESCRIPTION).exists()


def _is_begun(destination: Path) -> bool:
    return (destination / layout.JOURNAL).exists()


def check_finished(destination: Path, settings: dict[str, Any], rules: "Rules", say: Say) -> None:
    """UserError unless the finished store in ``destination`` is the one that was asked for."""
    description, about = read_description(destination)
    there = {field: description[field] for field in settings if field in description}
    there |= {"source": description["source"]["fingerprint"], "pillow": settings["pillow"]}
    refuse_other(destination, there, {**settings, "part": None}, "holds a finished store made with")
    if any(split.refused for split in about.splits.values()):
        refused = [str(entry) for entry in Store.open(destination).report() if entry.outcome == "refused"]
        rules.check(len(refused), refused)
    say(f"{destination}: already prepared from this source with these options")


def begun_writer(source: Source, destination: Path, options: Options, settings: dict[str, Any], say: Say) -> Writer:
    """A writer that goes on where the journal in ``destination`` says, or begins if the disk has room for it all."""
    state = begun_state(destination, settings)
    if state is not None:
        done = sum(part.cursor for part in state.splits.values())
        say(f"{destination}: goes on behind the first {done:,} of {sum(map(len, source.splits.values())):,} pictures")
    _check_disk(plan(source, destination, size=options.size, format=options.format), destination, say)
    state = state or begin(source, destination, options, settings)
    return Writer(destination, options.format, options.size, settings, state)


def begun_state(destination: Path, settings: dict[str, Any]) -> State | None:
    """The state to go on from; None if there is none."""
    remove_temporaries(destination)
    begun = load_journal(destination)
    if begun is None:
        return None
    there, state = begun
    refuse_other(destination, there, settings, "holds an unfinished store begun with")
    return state


def begin(source: Source, destination: Path, options: Options, settings: dict[str, Any]) -> State:
    """The first state, its journal written before any data."""
    state = first_state(list(source.splits), options.format, options.size)
    save_journal(destination, settings, state)
    return state


def refuse_other(destination: Path, there: dict[str, Any], asked: dict[str, Any], holds: str) -> None:
    if there["source"] != asked["source"]:
        raise UserError(
            f"{destination}: {holds} another source (other files, names, labels or sizes; or the source has "
            f"changed since). Choose another place, or remove the folder {destination}"
        )
    there = {"decode": "full", **there}  # a store that does not say was decoded in full
    for field, value in asked.items():
        if there.get(field) != value:
            raise UserError(
                f"{destination}: {holds} {field} {there.get(field)}, not {value}. Use the same, choose "
                f"another place, or remove the folder {destination}"
            )


def _check_disk(needs: Plan, destination: Path, say: Say) -> None:
    say(f"{destination}: {needs}")
    if not needs.fits:
        missing = in_bytes(needs.needed - needs.present - needs.free)
        raise StoreTooLarge(
            f"{destination}: {needs}: {missing} too little",
            ". Free some space, choose another disk, a smaller --size or --format jpeg",
        )


def _array_estimate(name: str, count: int, options: Options) -> int:
    if name == layout.RECORDS:
        return int(count * (options.size**2 * layout.JPEG_BYTES_PER_PIXEL + 1024))
    return layout.array_bytes(name, count, options.size)


def _existing_parent(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
