"""One store made by several machines: each prepares a shard of the source, then one of them joins the shards.

Shard 3 of 8 holds the third eighth of each split's items, in their order. It is made in STORE/part-3-of-8, a folder
that no other process writes into: growing files, a report and a journal, as in any unfinished store. It stays
unfinished when its last item is done. Joining appends the shards' files one after the other to those of the store, with
the writer and the journal of ``prepare``: the store is byte for byte that of one machine, and a join that was killed
can be resumed. The pictures of a shard are removed as soon as they are safe in the store: the disk holds them once.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

import numpy as np

from alexnet.data.sources import Source
from alexnet.data.store import layout
from alexnet.data.store.journal import SplitState, State, Writer, load_journal, odd_files_of
from alexnet.data.store.prepare import (
    SMALL_CHANGE_BYTES,
    Limits,
    Preparation,
    folder_made,
    is_finished,
    refuse_empty,
)
from alexnet.data.store.read import Store
from alexnet.data.store.records import Options
from alexnet.errors import UsageError, UserError
from alexnet.files.atomic import faults_named, remove_temporaries, space_checked
from alexnet.files.locks import locked
from alexnet.text import first_few, in_bytes

MOST_SHARDS = 1_000
PLAIN = Options()
HOLDS = "holds a shard made with"


@dataclass(frozen=True, order=True)
class Shard:
    """One of ``of`` equal shares of a source, ``number`` counted from 1."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """The shard written as "3/8". UsageError if that is not a shard."""
        number, slash, of = text.partition("/")
        if slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of) <= MOST_SHARDS:
            return cls(int(number), int(of))
        raise UsageError(f"--shard {text}: I/N is expected, shard I of N, 1 ≤ I ≤ N ≤ {MOST_SHARDS:,}; as in 3/8")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def folder(self) -> str:
        """Its folder in the store's."""
        return f"part-{self.number}-of-{self.of}"

    def indices(self, count: int) -> range:
        """Which of ``count`` items are this shard's."""
        return range(count * (self.number - 1) // self.of, count * self.number // self.of)

    def taken_from(self, source: Source) -> Source:
        """The source with this shard's items only; a split may be left with none."""
        indices = {name: np.array(self.indices(len(split)), np.int64) for name, split in source.splits.items()}
        return replace(source, splits={name: split.take(indices[name]) for name, split in source.splits.items()})


def prepare_shard(
    source: Source, destination: str | Path, shard: Shard, options: Options = PLAIN, **limits: Unpack[Limits]
) -> Path:
    """Make one shard of the store of ``source`` in folder ``destination``, or resume, or do nothing if it is done.

    ``options`` decide the records' bytes, the others are as in ``prepare``; ``max_bad`` is a share of the whole
    source's files. Other machines may make other shards at the same time. Returns the shard's folder, or the store's if
    that is finished. UserError as in ``prepare``, and if another shard there is of another source, made with other
    options, or one of another number of shards.
    """
    whole = Preparation.of(source, destination, options, in_shards=True, **limits)
    if is_finished(whole.folder):
        whole.check_finished()
        return whole.folder
    _refuse_mixture(whole, shard)
    shard_only = replace(_in_its_folder(whole, shard), source=shard.taken_from(source))
    folder = shard_only.folder
    folder_made(folder)
    busy = f"{folder}: another `alexnet prepare` is making shard {shard}; wait for it to end"
    with locked(folder / layout.LOCK, busy):
        state = shard_only.begun()
        if state and state.seen == shard_only.source.count:
            shard_only.check_refused(state.refused, state.first_refused)
            shard_only.inform(f"{folder}: shard {shard} is done already")
        else:
            with shard_only.opened() as writer:
                shard_only.pass_over(writer)
                writer.finish(())
    return folder


def join(source: Source, destination: str | Path, options: Options = PLAIN, **limits: Unpack[Limits]) -> Store:
    """Make one store of the shards in ``destination``, resume, or do nothing if it is done. The shards are removed.

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
            states = _whole_shards(whole)
            _check_together(whole, states)
            # The Pillow that decoded the pictures is the store's, whichever is installed here.
            made_with = {"pillow": next(iter(states.values())).settings["pillow"], "shard": f"all of {len(states)}"}
            joined = replace(whole, settings={**whole.settings, **made_with})
            state = joined.begun()
            _check_disk(joined, states)
            with joined.writer(state) as writer:
                _append_all(joined, writer, states)
                joined.finish(writer)
        _sweep(folder)
    return Store.open(folder)


# --- before ---------------------------------------------------------------------------------------------------------


def _in_its_folder(whole: Preparation, shard: Shard, pillow: str | None = None) -> Preparation:
    """The preparation of a shard of ``whole``; with the version of Pillow that made it, if that is given."""
    settings = {**whole.settings, "shard": str(shard)} | ({"pillow": pillow} if pillow else {})
    return replace(whole, folder=whole.folder / shard.folder, settings=settings)


def _refuse_mixture(whole: Preparation, shard: Shard) -> None:
    """UserError if the folder holds shards of another division, or one of another source or made with other options.

    Only one of the others is checked: it was itself compared with those before it. Joining checks all of them.
    """
    others = [other for other in _shards_in(whole.folder) if other != shard]
    _refuse_other_division(whole.folder, others, shard.of)
    for other in others:
        if state := load_journal(whole.folder / other.folder):
            _in_its_folder(whole, other).refuse_other(state.settings, HOLDS)
            return


def _shards_in(destination: Path) -> list[Shard]:
    """The shards whose folders are there, in their order."""
    with faults_named(destination):
        found = [layout.SHARD.fullmatch(path.name) for path in destination.iterdir()]
    return sorted(Shard(int(match[1]), int(match[2])) for match in found if match)


def _refuse_other_division(destination: Path, shards: Sequence[Shard], of: int) -> None:
    if other := next((shard for shard in shards if shard.of != of), None):
        raise UserError(
            f"{destination}: holds {other.folder} as well as shards of {of}. All shards must belong to one division: "
            "remove the folders of the other, or choose another place"
        )


# --- joining --------------------------------------------------------------------------------------------------------


def _whole_shards(whole: Preparation) -> dict[Shard, State]:
    """Every shard with its last state. UserError naming all that are missing or unfinished."""
    found = _shards_in(whole.folder)
    if not found:
        raise UserError(f"{whole.folder}: there are no shards to join; make them with --shard 1/N to --shard N/N")
    of = found[0].of
    _refuse_other_division(whole.folder, found, of)
    states: dict[Shard, State] = {}
    faults: list[str] = []
    for shard in (Shard(number, of) for number in range(1, of + 1)):
        state = load_journal(whole.folder / shard.folder)
        if state is None:
            faults.append(f"shard {shard} is missing")
            continue
        states[shard] = state
        pillow = next(iter(states.values())).settings["pillow"]
        _in_its_folder(whole, shard, pillow).refuse_other(state.settings, HOLDS)
        in_shard = sum(len(shard.indices(len(split))) for split in whole.source.splits.values())
        if state.seen < in_shard:
            faults.append(f"shard {shard} is unfinished ({state.seen:,} of {in_shard:,} pictures)")
    if faults:
        raise UserError(
            f"{whole.folder}: {first_few(faults, most=20)}. Make each with the same command, with --shard instead of "
            "--join; an interrupted one is resumed"
        )
    return states


def _check_together(whole: Preparation, states: dict[Shard, State]) -> None:
    """UserError where the shards together hold too many refused files, or no picture of a split."""
    reports = whole.folder / f"part-*-of-{len(states)}"  # until they are joined each has its own
    refused = [words for state in states.values() for words in state.first_refused]
    replace(whole, folder=reports).check_refused(sum(state.refused for state in states.values()), refused)
    for name in whole.source.splits:
        splits = [state.splits[name] for state in states.values()]
        totals = SplitState(cursor=sum(split.cursor for split in splits), count=sum(split.count for split in splits))
        refuse_empty(reports, name, totals)


def _check_disk(whole: Preparation, states: dict[Shard, State]) -> None:
    """UserError unless the disk takes a copy of all that is small and of the largest file of pictures."""
    lengths = [split.lengths for state in states.values() for split in state.splits.values()]
    large = [length for files in lengths for file, length in files.items() if file in layout.LARGE]
    small = sum(sum(files.values()) for files in lengths) - sum(large)
    needed = max(large) + small + SMALL_CHANGE_BYTES
    words = f"joining {len(states)} shards, {in_bytes(sum(large) + small)}, takes {in_bytes(needed)} more for a while"
    remedy = ". Free some, then join again"
    whole.inform(f"{whole.folder}: {space_checked(whole.folder, needed, words, remedy)}")


def _append_all(whole: Preparation, writer: Writer, states: dict[Shard, State]) -> None:
    """Append shard after shard to each split; those that were appended before a kill are skipped."""
    for name, split in whole.source.splits.items():
        for shard, state in states.items():
            folder = writer.folder / shard.folder
            if writer.state.splits[name].cursor < shard.indices(len(split)).stop:
                odd_files = [entry for entry in odd_files_of(folder, state) if entry.split == name]
                writer.append_split(name, folder, state, odd_files)
                writer.save()
            for file in layout.LARGE:
                (folder / name / file).unlink(missing_ok=True)
            if whole.progress:
                whole.progress(name, writer.state.splits[name].cursor, len(split), writer.state.refused)


def _sweep(destination: Path) -> None:
    """Remove the shards, all of them in the store now, and what making it left behind."""
    with faults_named(destination):
        for shard in _shards_in(destination):
            shutil.rmtree(destination / shard.folder)
        remove_temporaries(destination)
        (destination / layout.JOURNAL).unlink(missing_ok=True)
