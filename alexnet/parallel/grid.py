"""The grid of processes: who holds which units of a layer, who trains on which pictures of a batch.

Whole numbers and tables only. Process number `rank` is column `rank % columns` of share `rank // columns`: the columns
of one network are neighbours, as a rule on one host.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from alexnet.errors import UsageError
from alexnet.nets.table import BatchNorm, Conv, Dense, Local, Norm, Table, Weighted
from alexnet.nets.trace import wiring
from alexnet.text import counted

HalfPrecision = Literal["same", "bf16", "fp16"]


@dataclass(frozen=True)
class ProcessGrid:
    """`processes` = `columns` × shares of each batch. `hybrid`: convolutions by shares, dense layers by units (One
    Weird Trick, arXiv 1404.5997). `wire`: type of the activations sent; `gradients`: of the weight gradients sent."""

    processes: int = 1
    columns: int = 1
    hybrid: bool = False
    wire: HalfPrecision = "same"
    gradients: Literal["same", "bf16"] = "same"

    @classmethod
    def of(cls, processes: int, *, columns: int = 1, hybrid: bool = False, **types: Any) -> "ProcessGrid":
        """The grid of that many processes. Raises UsageError if they can't be arranged so."""
        if columns < 1:
            raise UsageError(f"--columns {columns}: at least 1 is needed.")
        if hybrid and columns > 1:
            raise UsageError("--hybrid and --columns: choose one; the hybrid splits the dense layers by itself.")
        if processes % columns:
            raise UsageError(
                f"--columns {columns}: {counted(processes, 'process', 'processes')} can't be divided so. Start "
                f"{columns} or a multiple: torchrun --nproc-per-node {columns} -m alexnet train … --columns {columns}"
            )
        if hybrid and processes == 1:
            raise UsageError("--hybrid: needs two processes or more: torchrun --nproc-per-node 2 -m alexnet train …")
        return cls(processes, columns, hybrid, **types)

    @property
    def shares(self) -> int:
        """The number of shares into which a batch is divided."""
        return self.processes // self.columns

    @property
    def members(self) -> int:
        """Processes that hold one network together: its columns; in the hybrid all."""
        return self.processes if self.hybrid else self.columns

    def column_of(self, rank: int) -> int:
        return rank % self.columns

    def share_of(self, rank: int) -> int:
        return rank // self.columns

    def member_of(self, rank: int) -> int:
        return rank if self.hybrid else self.column_of(rank)

    def check(self, table: Table, batch: int, steps: int = 1) -> None:
        """Raises UsageError if the network, or a batch of that many micro-batches, can't be divided so."""
        if (size := batch // steps) < self.shares:
            what, remedy = f"--batch {batch}", "--batch"
            if steps > 1:
                what = f"--accumulation-steps {steps}: micro-batches of {counted(size, 'picture')}"
                remedy = "fewer steps, or --batch"
            raise UsageError(
                f"{what}: {self.shares} processes that share it need a picture each. Take {remedy} "
                f"{self.shares * steps} or more."
            )
        if self.columns > 1:
            _check_columns(table, self.columns)
        if self.hybrid:
            _check_hybrid(table, self.members)

    def describe(self) -> str:
        """For a note at the start."""
        if self.processes == 1:
            return "one process"
        facts = {
            f"{self.columns} columns": self.columns > 1,
            f"batches divided among {self.shares}": self.shares > 1,
            "dense layers split (hybrid)": self.hybrid,
            f"{self.wire} on the wire": self.wire != "same",
            f"{self.gradients} gradients": self.gradients != "same",
        }
        return f"{self.processes} processes: {', '.join(fact for fact, holds in facts.items() if holds)}"


def _check_columns(table: Table, columns: int) -> None:
    if table.columns != columns:
        has = f"has {table.columns} columns" if table.columns > 1 else "has one column: it can only be trained whole"
        raise UsageError(f"--columns {columns}: {table.name} {has}. `alexnet nets` lists the networks.")
    last = table.weighted[-1]
    for row in table.rows:
        if isinstance(row, Local) or (isinstance(row, Norm) and row.span == "all"):
            kind = "locally connected layer" if isinstance(row, Local) else "norm over all maps"
            raise UsageError(f"--columns {columns}: {row.name} of {table.name}, a {kind}, can't be split.")
        if isinstance(row, Conv | Dense) and row is not last and row.outputs % columns:
            raise UsageError(f"--columns {columns}: the {row.outputs} units of {row.name} can't be split evenly.")
    whole = isinstance(last, Conv | Dense) and last.reads == "all"
    if not whole or table.rows[-1] is not last or not isinstance(table.rows[0], Weighted):
        raise UsageError(f"--columns {columns}: {table.name} must begin with weights and end in a layer reading all.")


def _check_hybrid(table: Table, members: int) -> None:
    dense = dense_rows(table)
    if not dense or table.rows.index(dense[0]) == 0 or table.rows[-1] is not dense[-1]:
        raise UsageError(f"--hybrid: {table.name} is not made of convolutions below dense layers.")
    if any(row.reads != "all" for row in dense):
        raise UsageError(f"--hybrid: the dense layers of {table.name} do not read all of the layer below.")
    if (least := min(dense, key=lambda row: row.units)).units < members:
        raise UsageError(f"--hybrid: the {least.units} units of {least.name} can't be split over {members} processes.")
    for row in table.rows[table.rows.index(dense[0]) :]:
        if isinstance(row, Conv | Local | BatchNorm):
            raise UsageError(f"--hybrid: {row.name} of {table.name} comes after a dense layer and can't be split.")


def dense_rows(table: Table) -> tuple[Dense, ...]:
    return tuple(row for row in table.rows if isinstance(row, Dense))


# ── who holds what ───────────────────────────────────────────────────────────────────────────────────────────────


Spans = dict[str, tuple[slice, ...]]
"""For each row that is split, the units that each member holds; every member holds the other rows whole."""


def spans(table: Table, grid: ProcessGrid) -> Spans:
    """Who holds which units. Columns: every layer in equal shares, the last one whole on column a, as in 2012
    (docs/sources.md §10). Hybrid: every dense layer in shares that are equal or differ by one unit."""
    if grid.columns > 1:
        return _column_spans(table, grid.columns)
    return {row.name: bounds(row.units, grid.members) for row in dense_rows(table)} if grid.hybrid else {}


def _column_spans(table: Table, columns: int) -> Spans:
    found: Spans = {}
    units, last = 0, table.weighted[-1]
    for row in table.rows:
        units = row.outputs if isinstance(row, Weighted) else units
        if row is last:
            found[row.name] = (slice(0, units), *[slice(units, units)] * (columns - 1))
        elif isinstance(row, Weighted | BatchNorm):
            found[row.name] = bounds(units, columns)
    return found


def bounds(count: int, shares: int) -> tuple[slice, ...]:
    """`count` things in order, divided into `shares` of equal size, or the first larger by one; some may be empty."""
    each, more = divmod(count, shares)
    edges = [share * each + min(share, more) for share in range(shares + 1)]
    return tuple(slice(*edge) for edge in pairwise(edges))


def readers(table: Table, row: Conv | Dense) -> tuple[tuple[int, ...], ...]:
    """For each column, the columns of the layer below that its units of `row` read; the last layer is column a's."""
    if row is table.weighted[-1]:
        return (tuple(range(table.columns)), *[()] * (table.columns - 1))
    if row is table.rows[0]:
        return tuple((column,) for column in range(table.columns))  # the picture: every column has it whole
    return wiring(row.reads, table.columns)


# ── sharding batches ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class BatchShard:
    """One process's share of a micro-batch: of `size` pictures of a batch of `total`, after its first `offset`.

    `shares[i]`: the numbers of the pictures in share i, (b,); `share`: this process's. If a
    micro-batch has fewer pictures than shares, some get none. They compute its first picture as a stand-in, which does
    not count, so that every process takes part in every exchange."""

    shares: tuple[np.ndarray, ...]
    size: int
    share: int
    offset: int
    total: int

    @property
    def begins_batch(self) -> bool:
        return self.offset == 0

    @property
    def ends_batch(self) -> bool:
        return self.offset + self.size == self.total

    @property
    def weight(self) -> float:
        """The micro-batch's weight in the batch's mean loss, and so in its gradient."""
        return self.size / self.total

    @property
    def indices(self) -> np.ndarray:
        """Numbers of the local pictures, (b,)."""
        return self.shares[self.share]

    @property
    def counts(self) -> bool:
        """False: the local picture is a stand-in."""
        return self._span.start < self._span.stop

    @property
    def first(self) -> int:
        """Position of the first local picture in the batch."""
        return self.offset + self._span.start

    @property
    def _span(self) -> slice:
        return bounds(self.size, len(self.shares))[self.share]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Pictures of every share, stand-ins among them."""
        return tuple(len(share) for share in self.shares)


def shard_batch(
    pictures: np.ndarray, shares: int = 1, share: int = 0, *, offset: int = 0, total: int | None = None
) -> BatchShard:
    """Divide pictures, given by their numbers (B,), in their order. `offset` and `total`: they are a micro-batch of a
    batch of `total`, after its first `offset`."""
    found = [pictures[span] for span in bounds(len(pictures), shares)]
    whole = len(pictures) if total is None else total
    return BatchShard(tuple(own if len(own) else pictures[:1] for own in found), len(pictures), share, offset, whole)


def epoch_shards(
    order: np.ndarray, batch: int, steps: int = 1, shares: int = 1, share: int = 0
) -> Iterator[tuple[int, BatchShard]]:
    """One share of an epoch's pictures: the shards of each batch's `steps` micro-batches, each with its batch's number.
    The last batch may be short and have fewer micro-batches."""
    for number, first in enumerate(range(0, len(order), batch)):
        whole = order[first : first + batch]
        for offset in range(0, len(whole), batch // steps):
            micro = whole[offset : offset + batch // steps]
            yield number, shard_batch(micro, shares, share, offset=offset, total=len(whole))
