"""One store made by several machines: each prepares a shard of the source, then one of them joins the shards.

Shard 3 of 8 holds the third eighth of each part's items, in their order. It is made in STORE/part-3-of-8, a folder
that nobody else writes into: growing files, a report and a journal, as in any unfinished store, which stays what it is
when its last item is done. Joining appends the shards' files one after the other to those of the store, by the same
writer and the same journal that ``prepare`` has; so the store is byte for byte that of one machine, and a join that was
killed goes on. The pictures of a shard are removed as soon as they are safe in the store: the disk holds them once.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.data.sources import Source
from alexnet.data.store import layout
from alexnet.data.store.description import has_shards
from alexnet.data.store.journal import State, Writer, load_journal, odd_files_of
from alexnet.data.store.prepare import (
    SMALL_CHANGE_BYTES,
    Progress,
    Rules,
    Say,
    begin,
    begun_state,
    begun_writer,
    check_finished,
    check_limits,
    check_source,
    finish,
    folder_made,
    is_finished,
    pass_over,
    refuse_empty,
    refuse_foreign,
    refuse_other,
    say_nothing,
    settings_of,
)
from alexnet.data.store.read import Store
from alexnet.data.store.records import Options
from alexnet.errors import UsageError, UserError
from alexnet.files.atomic import faults_named, remove_temporaries
from alexnet.files.locks import locked
from alexnet.processors import threads_allowed
from alexnet.text import in_bytes

MOST_SHARDS = 1_000
PLAIN = Options()


@dataclass(frozen=True, order=True)
class Shard:
    """One of ``of`` equal shares of a source, ``number`` counted from 1."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """The shard written as "3/8". UsageError if that is none."""
        number, slash, of = text.partition("/")
        if slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of) <= MOST_SHARDS:
            return cls(int(number), int(of))
        raise UsageError(
            f"--shard {text}: I/N is needed, part I of N, with I from 1 to N and N at most {MOST_SHARDS:,}; as in 3/8"
        )

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def folder(self) -> str:
        """Its folder in the store's."""
        return f"part-{self.number}-of-{self.of}"

    def places(self, count: int) -> range:
        """Which of ``count`` items in a row are this shard's."""
        return range(count * (self.number - 1) // self.of, count * self.number // self.of)

    def taken_from(self, source: Source) -> Source:
        """The source with this shard's items only; a part may be left with none."""
        parts = {name: part.take(np.array(self.places(len(part)), np.int64)) for name, part in source.splits.items()}
        return replace(source, splits=parts)


def prepare_shard(
    source: Source,
    destination: str | Path,
    shard: Shard,
    options: Options = PLAIN,
    *,
    strict: bool = False,
    max_bad: float = 0.01,
    workers: int | None = None,
    progress: Progress | None = None,
    say: Say | None = None,
) -> Path:
    """Make one shard of the store of ``source`` in folder ``destination``, or go on making it, or find it made.

    ``options`` decide the records' bytes, the others are as in ``prepare``; ``max_bad`` is a share of the whole
    source's files. Other shards may be made at the same time, by other machines. Gives the shard's folder, or the
    store's if that is finished. UserError as in ``prepare``, and if another shard there is of another source, made with
    other options, or one of another number of shards.
    """
    destination, say = Path(destination), say or say_nothing
    check_limits(max_bad, workers)
    check_source(source)
    _make_folder(destination)
    folder = destination / shard.folder
    rules = Rules(folder, sum(map(len, source.splits.values())), strict, max_bad)
    settings = settings_of(source, options, str(shard))
    if is_finished(destination):
        check_finished(destination, settings, rules, say)
        return destination
    _refuse_mixture(destination, shard, settings)
    folder_made(folder)
    busy = f"{folder}: another `alexnet prepare` is making part {shard}; wait for it to end"
    with locked(folder / layout.LOCK, busy):
        own, state = shard.taken_from(source), begun_state(folder, settings)
        if state is not None and _is_whole(state, own):
            rules.check(state.refused, state.first_refused)
            say(f"{folder}: part {shard} is done already")
        else:
            with begun_writer(own, folder, options, settings, say) as writer:
                pass_over(own, writer, options, workers or threads_allowed(), progress, rules)
                writer.finish(())
    return folder


def join(
    source: Source,
    destination: str | Path,
    options: Options = PLAIN,
    *,
    strict: bool = False,
    max_bad: float = 0.01,
    progress: Progress | None = None,
    say: Say | None = None,
) -> Store:
    """Make one store of the shards in ``destination``, or go on, or find it made. The shards are removed.

    ``source`` and ``options`` are those that the shards were made with. Nothing is decoded; ``progress`` and ``say``
    tell the user. UserError, before anything is changed: shards missing, unfinished (all of them are named) or not of
    this source and these options; too many refused files in all; too little disk.
    """
    destination, say = Path(destination), say or say_nothing
    check_limits(max_bad, workers=None)
    check_source(source)
    _make_folder(destination)
    rules = Rules(destination, sum(map(len, source.splits.values())), strict, max_bad)
    settings = settings_of(source, options)
    with locked(destination / layout.LOCK, f"{destination}: another `alexnet prepare` is joining it; wait for it"):
        if is_finished(destination):
            check_finished(destination, settings, rules, say)
        else:
            states, settings = _whole_shards(source, destination, settings)
            _check_together(destination, states, rules)
            state = begun_state(destination, settings)
            _check_disk(destination, states, say)
            state = state or begin(source, destination, options, settings)
            with Writer(destination, options.format, options.size, settings, state) as writer:
                _append_all(source, writer, states, progress)
                finish(source, writer, options, settings)
        _sweep(destination)
    return Store.open(destination)


# --- before ---------------------------------------------------------------------------------------------------------


def _make_folder(destination: Path) -> None:
    """Make the folder, or make sure that what is in it are shards, or the store that they became."""
    entries = folder_made(destination)
    if not entries or has_shards(destination) or is_finished(destination):
        return
    if layout.JOURNAL in entries:
        raise UserError(
            f"{destination}: holds a store that was begun without --shard; go on without it, or choose another place"
        )
    refuse_foreign(destination, entries)


def _refuse_mixture(destination: Path, shard: Shard, settings: dict[str, Any]) -> None:
    """UserError if the folder holds shards of another division, or one of another source or made with other options.

    One other is looked at: it was held against those before it. Joining looks at all of them.
    """
    others = [other for other in _shards_in(destination) if other != shard]
    _refuse_other_division(destination, others, shard.of)
    for other in others:
        if begun := load_journal(destination / other.folder):
            _refuse_other_shard(destination, other, begun[0], settings)
            return


def _shards_in(destination: Path) -> list[Shard]:
    """The shards whose folders are there, in their order."""
    with faults_named(destination):
        found = [layout.SHARD.fullmatch(path.name) for path in destination.iterdir()]
    return sorted(Shard(int(match[1]), int(match[2])) for match in found if match)


def _refuse_other_division(destination: Path, shards: Sequence[Shard], of: int) -> None:
    for shard in shards:
        if shard.of != of:
            raise UserError(
                f"{destination}: holds {shard.folder} beside parts of {of}. All parts must be of one division: remove "
                "the folders of the other, or choose another place"
            )


def _refuse_other_shard(destination: Path, shard: Shard, there: dict[str, Any], settings: dict[str, Any]) -> None:
    refuse_other(destination / shard.folder, there, {**settings, "part": str(shard)}, "holds a part made with")


def _is_whole(state: State, own: Source) -> bool:
    return all(state.splits[name].cursor == len(part) for name, part in own.splits.items())


# --- joining --------------------------------------------------------------------------------------------------------


def _whole_shards(
    source: Source, destination: Path, settings: dict[str, Any]
) -> tuple[dict[Shard, State], dict[str, Any]]:
    """Every shard with its last state, and the settings of the whole: the Pillow that made the shards is the store's,
    whichever is here. UserError naming all that are missing or unfinished."""
    found = _shards_in(destination)
    if not found:
        raise UserError(f"{destination}: there are no parts to join; make them with --shard 1/N to --shard N/N")
    of = found[0].of
    _refuse_other_division(destination, found, of)
    states: dict[Shard, State] = {}
    faults: list[str] = []
    for shard in (Shard(number, of) for number in range(1, of + 1)):
        begun = load_journal(destination / shard.folder)
        if begun is None:
            faults.append(f"part {shard} is missing")
            continue
        there, states[shard] = begun
        settings = {**settings, "pillow": there["pillow"]} if len(states) == 1 else settings
        _refuse_other_shard(destination, shard, there, settings)
        own = {name: len(shard.places(len(part))) for name, part in source.splits.items()}
        done = sum(part.cursor for part in states[shard].splits.values())
        if done < sum(own.values()):
            faults.append(f"part {shard} is unfinished ({done:,} of {sum(own.values()):,} pictures)")
    if faults:
        raise UserError(
            f"{destination}: {layout.describe(faults, most=20)}. Let each be made by the same command with --shard "
            "instead of --join; it goes on where it was stopped"
        )
    return states, {**settings, "part": f"all of {of}"}


def _check_together(destination: Path, states: dict[Shard, State], rules: Rules) -> None:
    """UserError where the shards together hold too many refused files, or no picture of a part."""
    reports = destination / f"part-*-of-{len(states)}"  # until they are joined each has its own
    refused = [words for state in states.values() for words in state.first_refused]
    replace(rules, destination=reports).check(sum(state.refused for state in states.values()), refused)
    for name in next(iter(states.values())).splits:
        parts = [state.splits[name] for state in states.values()]
        cursor, count = sum(part.cursor for part in parts), sum(part.count for part in parts)
        refuse_empty(reports, name, replace(parts[0], cursor=cursor, count=count))


def _check_disk(destination: Path, states: dict[Shard, State], say: Say) -> None:
    """UserError unless the disk takes a copy of all that is small and of the largest file of pictures."""
    lengths = [part.lengths for state in states.values() for part in state.splits.values()]
    large = [length for files in lengths for file, length in files.items() if file in layout.LARGE]
    small = sum(sum(files.values()) for files in lengths) - sum(large)
    needed = max(large) + small + SMALL_CHANGE_BYTES
    with faults_named(destination):
        free = shutil.disk_usage(destination).free
    words = f"joining {len(states)} parts, {in_bytes(sum(large) + small)}, takes {in_bytes(needed)} more for a while"
    say(f"{destination}: {words}; {in_bytes(free)} are free")
    if needed > free:
        raise UserError(f"{destination}: {words}; only {in_bytes(free)} are free. Free some, then join again")


def _append_all(source: Source, writer: Writer, states: dict[Shard, State], progress: Progress | None) -> None:
    """Append shard after shard to each part; those that were appended before a kill are passed over."""
    for name, part in source.splits.items():
        for shard, state in states.items():
            folder = writer.folder / shard.folder
            if writer.state.splits[name].cursor < shard.places(len(part)).stop:
                odd_files = [entry for entry in odd_files_of(folder, state) if entry.split == name]
                writer.append_part(name, folder, state, odd_files)
                writer.save()
            for file in layout.LARGE:
                (folder / name / file).unlink(missing_ok=True)
            if progress:
                progress(name, writer.state.splits[name].cursor, len(part), writer.state.refused)


def _sweep(destination: Path) -> None:
    """Remove the shards, all of them in the store now, and what is left of making it."""
    with faults_named(destination):
        for shard in _shards_in(destination):
            shutil.rmtree(destination / shard.folder)
        remove_temporaries(destination)
        (destination / layout.JOURNAL).unlink(missing_ok=True)
