"""One store made by several machines: each prepares a shard of the source, then one of them joins the shards.

Shard 3 of 8 holds the third eighth of each split's items, in their order. It is made in STORE/part-3-of-8, a folder
that no other process writes into: growing files, a report and a journal, as in any unfinished store. It stays
unfinished when its last item is done. Joining appends the shards' files one after the other to those of the store, with
the writer and the journal of ``prepare``: the store is byte for byte that of one machine, and a join that was killed
resumes. The pictures of a shard are removed as soon as they are safe in the store: the disk holds them once.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from alexnet.data.sources import Source
from alexnet.data.store import layout
from alexnet.data.store.journal import State, Writer, load_journal, odd_files_of
from alexnet.data.store.prepare import (
    SMALL_CHANGE_BYTES,
    Limits,
    Preparation,
    folder_made,
    is_finished,
    refuse_empty,
    refuse_other,
)
from alexnet.data.store.read import Store
from alexnet.data.store.records import Options
from alexnet.errors import UsageError, UserError
from alexnet.files.atomic import faults_named, remove_temporaries, space_checked
from alexnet.files.locks import locked
from alexnet.text import first_few, in_bytes

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
            f"--shard {text}: I/N is expected, part I of N, with I from 1 to N and N at most {MOST_SHARDS:,}; as in 3/8"
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
    source: Source, destination: str | Path, shard: Shard, options: Options = PLAIN, **limits: Unpack[Limits]
) -> Path:
    """Make one shard of the store of ``source`` in folder ``destination``, or go on making it, or find it made.

    ``options`` decide the records' bytes, the others are as in ``prepare``; ``max_bad`` is a share of the whole
    source's files. Other shards may be made at the same time, by other machines. Gives the shard's folder, or the
    store's if that is finished. UserError as in ``prepare``, and if another shard there is of another source, made with
    other options, or one of another number of shards.
    """
    whole = Preparation.of(source, destination, options, in_shards=True, **limits)
    if is_finished(whole.folder):
        whole.check_finished()
        return whole.folder
    _refuse_mixture(whole, shard)
    folder, settings = whole.folder / shard.folder, {**whole.settings, "part": str(shard)}
    own = replace(whole, folder=folder, settings=settings, source=shard.taken_from(source))
    folder_made(folder)
    busy = f"{folder}: another `alexnet prepare` is making part {shard}; wait for it to end"
    with locked(folder / layout.LOCK, busy):
        state = own.begun()
        if state and all(state.splits[name].cursor == len(part) for name, part in own.source.splits.items()):
            own.check_refused(state.refused, state.first_refused)
            own.tell(f"{folder}: part {shard} is done already")
        else:
            with own.opened() as writer:
                own.pass_over(writer)
                writer.finish(())
    return folder


def join(source: Source, destination: str | Path, options: Options = PLAIN, **limits: Unpack[Limits]) -> Store:
    """Make one store of the shards in ``destination``, or go on, or find it made. The shards are removed.

    ``source`` and ``options`` are those that the shards were made with; the others are as in ``prepare``. Nothing is
    decoded. UserError, before anything is changed: shards missing, unfinished (all of them are named) or not of
    this source and these options; too many refused files in all; too little disk.
    """
    whole = Preparation.of(source, destination, options, in_shards=True, **limits)
    folder = whole.folder
    with locked(folder / layout.LOCK, f"{folder}: another `alexnet prepare` is joining it; wait for it"):
        if is_finished(folder):
            whole.check_finished()
        else:
            states, pillow = _whole_shards(whole)
            _check_together(whole, states)
            settings = {**whole.settings, "pillow": pillow, "part": f"all of {len(states)}"}
            joined = replace(whole, settings=settings)
            state = joined.begun()
            _check_disk(joined, states)
            with joined.writer(state) as writer:
                _append_all(joined, writer, states)
                joined.finish(writer)
        _sweep(folder)
    return Store.open(folder)


# --- before ---------------------------------------------------------------------------------------------------------


def _refuse_mixture(whole: Preparation, shard: Shard) -> None:
    """UserError if the folder holds shards of another division, or one of another source or made with other options.

    One other is looked at: it was held against those before it. Joining looks at all of them.
    """
    others = [other for other in _shards_in(whole.folder) if other != shard]
    _refuse_other_division(whole.folder, others, shard.of)
    for other in others:
        if begun := load_journal(whole.folder / other.folder):
            _refuse_other_shard(whole, other, begun[0])
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


def _refuse_other_shard(whole: Preparation, shard: Shard, there: dict[str, Any]) -> None:
    settings = {**whole.settings, "part": str(shard)}
    refuse_other(whole.folder / shard.folder, there, settings, "holds a part made with")


# --- joining --------------------------------------------------------------------------------------------------------


def _whole_shards(whole: Preparation) -> tuple[dict[Shard, State], str]:
    """Every shard with its last state, and the version of Pillow that made them, which is the store's, whichever is
    here. UserError naming all that are missing or unfinished."""
    found = _shards_in(whole.folder)
    if not found:
        raise UserError(f"{whole.folder}: there are no parts to join; make them with --shard 1/N to --shard N/N")
    of = found[0].of
    _refuse_other_division(whole.folder, found, of)
    states: dict[Shard, State] = {}
    faults: list[str] = []
    for shard in (Shard(number, of) for number in range(1, of + 1)):
        begun = load_journal(whole.folder / shard.folder)
        if begun is None:
            faults.append(f"part {shard} is missing")
            continue
        there, states[shard] = begun
        if len(states) == 1:
            whole = replace(whole, settings={**whole.settings, "pillow": there["pillow"]})
        _refuse_other_shard(whole, shard, there)
        own = sum(len(shard.places(len(part))) for part in whole.source.splits.values())
        done = sum(part.cursor for part in states[shard].splits.values())
        if done < own:
            faults.append(f"part {shard} is unfinished ({done:,} of {own:,} pictures)")
    if faults:
        raise UserError(
            f"{whole.folder}: {first_few(faults, most=20)}. Let each be made by the same command with --shard "
            "instead of --join; it goes on where it was stopped"
        )
    return states, whole.settings["pillow"]


def _check_together(whole: Preparation, states: dict[Shard, State]) -> None:
    """UserError where the shards together hold too many refused files, or no picture of a part."""
    reports = whole.folder / f"part-*-of-{len(states)}"  # until they are joined each has its own
    refused = [words for state in states.values() for words in state.first_refused]
    replace(whole, folder=reports).check_refused(sum(state.refused for state in states.values()), refused)
    for name in whole.source.splits:
        parts = [state.splits[name] for state in states.values()]
        cursor, count = sum(part.cursor for part in parts), sum(part.count for part in parts)
        refuse_empty(reports, name, replace(parts[0], cursor=cursor, count=count))


def _check_disk(whole: Preparation, states: dict[Shard, State]) -> None:
    """UserError unless the disk takes a copy of all that is small and of the largest file of pictures."""
    lengths = [part.lengths for state in states.values() for part in state.splits.values()]
    large = [length for files in lengths for file, length in files.items() if file in layout.LARGE]
    small = sum(sum(files.values()) for files in lengths) - sum(large)
    needed = max(large) + small + SMALL_CHANGE_BYTES
    words = f"joining {len(states)} parts, {in_bytes(sum(large) + small)}, takes {in_bytes(needed)} more for a while"
    remedy = ". Free some, then join again"
    whole.tell(f"{whole.folder}: {space_checked(whole.folder, needed, words, remedy)}")


def _append_all(whole: Preparation, writer: Writer, states: dict[Shard, State]) -> None:
    """Append shard after shard to each part; those that were appended before a kill are passed over."""
    for name, part in whole.source.splits.items():
        for shard, state in states.items():
            folder = writer.folder / shard.folder
            if writer.state.splits[name].cursor < shard.places(len(part)).stop:
                odd_files = [entry for entry in odd_files_of(folder, state) if entry.split == name]
                writer.append_part(name, folder, state, odd_files)
                writer.save()
            for file in layout.LARGE:
                (folder / name / file).unlink(missing_ok=True)
            if whole.progress:
                whole.progress(name, writer.state.splits[name].cursor, len(part), writer.state.refused)


def _sweep(destination: Path) -> None:
    """Remove the shards, all of them in the store now, and what is left of making it."""
    with faults_named(destination):
        for shard in _shards_in(destination):
            shutil.rmtree(destination / shard.folder)
        remove_temporaries(destination)
        (destination / layout.JOURNAL).unlink(missing_ok=True)
