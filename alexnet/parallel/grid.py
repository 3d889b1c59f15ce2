"""How a run is laid out over processes: who holds which units of a layer, who trains on which pictures of a batch.

Whole numbers and tables only. Process number `rank` is column `rank % columns` of share `rank // columns`: the columns
of one network are neighbours, as a rule on one host.
"""

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from alexnet.errors import UsageError
from alexnet.nets.table import BatchNorm, Conv, Dense, Local, Norm, Table, Weighted
from alexnet.nets.trace import wiring
from alexnet.text import counted
from alexnet.train.options import TrainOptions

HalfWish = Literal["same", "bf16", "fp16"]


@dataclass(frozen=True)
class Layout:
    """`processes` = `columns` × shares of each batch. `hybrid`: convolutions by shares, dense layers by units (One
    Weird Trick, arXiv 1404.5997). `wire`: type of the activations sent; `gradients`: of the weight gradients sent."""

    processes: int = 1
    columns: int = 1
    hybrid: bool = False
    wire: HalfWish = "same"
    gradients: Literal["same", "bf16"] = "same"

    @classmethod
    def of(cls, options: TrainOptions, processes: int) -> "Layout":
        """The layout that the options ask for. Raises UsageError if so many processes can't be laid out so."""
        columns, hybrid = options.columns, options.hybrid
        if columns < 1:
            raise UsageError(f"--columns {columns}: at least 1 is needed.")
        if hybrid and columns > 1:
            raise UsageError("--hybrid and --columns: choose one; the hybrid splits the dense layers by itself.")
        if processes % columns:
            raise UsageError(
                f"--columns {columns}: {counted(processes, 'process', 'processes')} can't be laid out so. Start "
                f"{columns} or a multiple: torchrun --nproc-per-node {columns} -m alexnet train … --columns {columns}"
            )
        if hybrid and processes == 1:
            raise UsageError("--hybrid: needs two processes or more: torchrun --nproc-per-node 2 -m alexnet train …")
        return cls(processes, columns, hybrid, options.wire, options.gradients)

    @property
    def shares(self) -> int:
        """Into how many parts a batch is dealt out."""
        return self.processes // self.columns

    @property
    def members(self) -> int:
        """Processes that hold parts of one network: its columns; in the hybrid all."""
        return self.processes if self.hybrid else self.columns

    def column_of(self, rank: int) -> int:
        return rank % self.columns

    def share_of(self, rank: int) -> int:
        return rank // self.columns

    def member_of(self, rank: int) -> int:
        return rank if self.hybrid else self.column_of(rank)

    def check(self, table: Table, batch: int, pieces: int = 1) -> None:
        """Raises UsageError if the network, or a batch computed in `pieces`, can't be dealt out so."""
        if (piece := batch // pieces) < self.shares:
            what = (
                f"--batch {batch}"
                if pieces == 1
                else f"--accumulation-steps {pieces}: of {counted(piece, 'picture')} a piece"
            )
            raise UsageError(
                f"{what}: {self.shares} processes that share it need a picture each. Take "
                f"{'--batch' if pieces == 1 else 'fewer pieces, or --batch'} {self.shares * pieces} or more."
            )
        if self.columns > 1:
            _check_columns(table, self.columns)
        if self.hybrid:
            _check_hybrid(table, self.members)

    def describe(self) -> str:
        """For a note at the start."""
        if self.processes == 1:
            return "one process"
        parts = [f"{self.columns} columns"] if self.columns > 1 else []
        parts += [f"batches dealt out over {self.shares}"] if self.shares > 1 else []
        parts += ["dense layers split (hybrid)"] if self.hybrid else []
        halves = [f"{self.wire} on the wire"] if self.wire != "same" else []
        halves += [f"{self.gradients} gradients"] if self.gradients != "same" else []
        return f"{self.processes} processes: {', '.join(parts + halves)}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def _check_columns(table: Table, columns: int) -> None:
    if table.columns != columns:
        has = f"has {table.columns} columns" if table.columns > 1 else "has one column: it can only be trained whole"
        raise UsageError(f"--columns {columns}: {table.name} {has}. `alexnet nets` lists the networks.")
    last = table.weighted[-1]
    for row in table.rows:
        if isinstance(row, Local) or (isinstance(row, Norm) and row.span == "all"):
            kind = "locally connected layer" if isinstance(row, Local) else "norm over all maps"
            raise UsageError(f"--columns {columns}: {row.name} of {table.name}, a {kind}, can't be split.")
        if isinstance(row, Conv | Dense) and row is not last and units_of(row) % columns:
            raise UsageError(f"--columns {columns}: the {units_of(row)} units of {row.name} can't be split evenly.")
    whole = isinstance(last, Conv | Dense) and last.reads == "all"
    if not whole or table.rows[-1] is not last or not isinstance(table.rows[0], Weighted):
        raise UsageError(
            f"--columns {columns}: {table.name} must begin with weights and end in a layer that reads all."
        )


def _check_hybrid(table: Table, members: int) -> None:
    dense = dense_rows(table)
    if not dense or table.rows.index(dense[0]) == 0 or table.rows[-1] is not dense[-1]:
        raise UsageError(f"--hybrid: {table.name} is not made of convolutions below dense layers.")
    if any(row.reads != "all" for row in dense):
        raise UsageError(f"--hybrid: the dense layers of {table.name} do not read all of the layer below.")
    if (least := min(dense, key=lambda row: row.units)).units < members:
        raise UsageError(f"--hybrid: the {least.units} units of {least.name} can't be split over {members} processes.")
    behind = table.rows[table.rows.index(dense[0]) :]
    for row in behind:
        if isinstance(row, Conv | Local | BatchNorm):
            raise UsageError(f"--hybrid: {row.name} of {table.name} stands behind a dense layer and can't be split.")


def dense_rows(table: Table) -> tuple[Dense, ...]:
    return tuple(row for row in table.rows if isinstance(row, Dense))


def units_of(row: Weighted) -> int:
    """Maps or units that leave a row."""
    return row.units if isinstance(row, Dense) else row.maps


# ── who holds what ───────────────────────────────────────────────────────────────────────────────────────────────


Spans = dict[str, tuple[slice, ...]]
"""For each row that is split, the units that each member holds; rows that are not in it are held whole by all."""


def spans(table: Table, layout: Layout) -> Spans:
    """Who holds which units. Columns: equal parts of every layer, the last one whole on column a, as in 2012
    (docs/sources.md §10). Hybrid: parts of every dense layer, equal or one apart."""
    if layout.columns > 1:
        return _column_spans(table, layout.columns)
    return {row.name: bounds(row.units, layout.members) for row in dense_rows(table)} if layout.hybrid else {}


def _column_spans(table: Table, columns: int) -> Spans:
    found: Spans = {}
    units, last = 0, table.weighted[-1]
    for row in table.rows:
        units = units_of(row) if isinstance(row, Weighted) else units
        if row is last:
            found[row.name] = (slice(0, units), *[slice(units, units)] * (columns - 1))
        elif isinstance(row, Weighted | BatchNorm):
            found[row.name] = bounds(units, columns)
    return found


def bounds(count: int, parts: int) -> tuple[slice, ...]:
    """`count` things in order dealt out to `parts`: equally, or one more to the first ones; of few some get none."""
    each, more = divmod(count, parts)
    edges = [part * each + min(part, more) for part in range(parts + 1)]
    return tuple(slice(*edge) for edge in pairwise(edges))


def readers(table: Table, row: Conv | Dense) -> tuple[tuple[int, ...], ...]:
    """For each column, the columns of the layer below that its part of `row` reads; the last layer is column a's."""
    if row is table.weighted[-1]:
        return (tuple(range(table.columns)), *[()] * (table.columns - 1))
    if row is table.rows[0]:
        return tuple((column,) for column in range(table.columns))  # the picture: every column has it whole
    return wiring(row.reads, table.columns)


# ── dealing out pictures ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Deal:
    """A batch dealt out: `shares[i]` are the pictures' numbers of share i, (b,). `total`: pictures dealt out here,
    the batch or a piece of it: those behind the `before` first ones of `of`.

    Of a batch with fewer pictures than shares some get none: they take its first picture as a stand-in, which does not
    count, so that every process does every step."""

    shares: tuple[np.ndarray, ...]
    total: int
    own: int = 0
    before: int = 0
    of: int = 0

    @property
    def begins(self) -> bool:
        """Whether a batch begins here."""
        return self.before == 0

    @property
    def ends(self) -> bool:
        """Whether the batch is done with these pictures."""
        return self.before + self.total == self.of

    @property
    def weight(self) -> float:
        """The part of these pictures in the batch's mean loss, and so in its gradient."""
        return self.total / self.of

    @property
    def indices(self) -> np.ndarray:
        """Numbers of the own pictures, (b,)."""
        return self.shares[self.own]

    @property
    def counts(self) -> bool:
        """False: the own picture is a stand-in."""
        return self._span.start < self._span.stop

    @property
    def first(self) -> int:
        """Place of the first own picture in the batch."""
        return self.before + self._span.start

    @property
    def _span(self) -> slice:
        return bounds(self.total, len(self.shares))[self.own]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Pictures of every share, stand-ins among them."""
        return tuple(len(share) for share in self.shares)


def deal(pictures: np.ndarray, shares: int = 1, own: int = 0, *, before: int = 0, of: int | None = None) -> Deal:
    """Deal out the pictures' numbers of a batch, (B,), in their order; or of its piece behind `before` of `of`."""
    parts = [pictures[span] for span in bounds(len(pictures), shares)]
    whole = len(pictures) if of is None else of
    return Deal(tuple(part if len(part) else pictures[:1] for part in parts), len(pictures), own, before, whole)


def own_order(order: np.ndarray, batch: int, shares: int, own: int) -> np.ndarray:
    """The pictures of one share in an epoch, batch after batch: of all but the last batch equally many."""
    starts = range(0, len(order), batch)
    return np.concatenate([deal(order[start : start + batch], shares, own).indices for start in starts])
