"""Contenders in turn, and the row of a table that comes of it. Pure, but for the clock that is handed in."""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from alexnet.data.batches import Progress
from alexnet.text import table

Act = Callable[[], object]
Times = dict[str, list[float]]
"""Contender → seconds of each round."""


@dataclass(frozen=True)
class Row:
    """One figure. `ratio`: how many times better than the peer; `at_least`: what it must reach, if anything.

    `spread`: the smallest and the largest ratio of a round. Where there is no other program to stand beside, `peer`
    is the target, and the note says so.
    """

    name: str
    unit: str
    ours: float
    peer: float | None = None
    ratio: float | None = None
    at_least: float | None = None
    spread: tuple[float, float] | None = None
    note: str = ""

    @property
    def missed(self) -> bool:
        """Below its target (a NaN ratio always is)."""
        return self.at_least is not None and not (self.ratio is not None and self.ratio >= self.at_least)


def race(
    contenders: Mapping[str, Act],
    rounds: int,
    *,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Times:
    """Let every contender run once unmeasured, then `rounds` times, one after the other: A B C A B C …"""
    for act in contenders.values():
        act()
    times: Times = {name: [] for name in contenders}
    for done in range(rounds):
        for name, act in contenders.items():
            gc.collect()
            start = clock()
            act()
            times[name].append(clock() - start)
        if progress:
            progress(done + 1, rounds)
    return times


def compare(
    name: str,
    unit: str,
    ours: Sequence[float],
    peer: Sequence[float],
    *,
    work: float = 1.0,
    peer_work: float | None = None,
    at_least: float | None = None,
    note: str = "",
) -> Row:
    """A row from the seconds of each round. Figures are `work` over the median time; the ratio is the median of the
    ratios round by round, so that a machine that slows down for a while slows both."""
    peer_work = work if peer_work is None else peer_work
    ratios = [(work / mine) / (peer_work / theirs) for mine, theirs in zip(ours, peer, strict=True)]
    return Row(
        name=name,
        unit=unit,
        ours=work / median(ours),
        peer=peer_work / median(peer),
        ratio=median(ratios),
        at_least=at_least,
        spread=(min(ratios), max(ratios)),
        note=note,
    )


def join(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def describe(rows: Sequence[Row]) -> str:
    """The rows as a table for a terminal or a Markdown page."""
    head = ("name", "ours", "peer", "unit", "ratio", "of the rounds", "at least", "", "note")
    return table(head, map(_cells, rows), left=len(head), markdown=True)


def _cells(row: Row) -> tuple[str, ...]:
    verdict = "" if row.at_least is None else "missed" if row.missed else "met"
    return (
        row.name,
        number(row.ours),
        number(row.peer),
        row.unit,
        number(row.ratio),
        "" if row.spread is None else " – ".join(map(number, row.spread)),
        "" if row.at_least is None else f"{row.at_least:g}",
        verdict,
        row.note,
    )


def number(value: float | None) -> str:
    """Three figures that matter; thousands with a comma."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
