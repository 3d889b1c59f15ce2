"""A network is a table: a tuple of rows, from the picture to the last layer.

The same rows build the module, print the summary, run backwards for the deconvnet, map other people's weights and are
split into columns. Sizes are not in the rows: `trace` finds them by walking the table once.

Every number that a row carries is the 2012 code's where [A] and the code differ in initialisation (`std`, `bias`); what
the papers print is applied by `alexnet.nets.init`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, get_args

from alexnet.errors import UsageError, UserError
from alexnet.files.schema import Range
from alexnet.geometry import Rounding

# What a table that somebody else wrote may hold (see `table_json`).
Name = Annotated[str, re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}").fullmatch]
Maps = Annotated[int, Range(1, 1 << 20)]
Pixels = Annotated[int, Range(1, 4096)]
Zeros = Annotated[int, Range(0, 4096)]
Padding = Zeros | tuple[Zeros, Zeros]
Columns = Annotated[int, Range(1, 64)]
Reads = Literal["all", "own"] | tuple[tuple[int, ...], ...]
"""Which columns of the layer below a column reads: all, its own, or a tuple of columns for each ([A] §3.2)."""


@dataclass(frozen=True)
class Conv:
    """Convolution with shared weights. `padding`: zeros on every side, or (before, after)."""

    name: Name
    maps: Maps
    kernel: Pixels
    stride: Pixels = 1
    padding: Padding = 0
    reads: Reads = "all"
    std: float = 0.01
    bias: float = 0.0
    rounding: Rounding = "ceil"

    @property
    def outputs(self) -> int:
        """Maps, of convolutions, or units, of dense layers."""
        return self.maps


@dataclass(frozen=True)
class Local:
    """Like a convolution, but each position has weights of its own (the 2012 CIFAR nets' "local" layers)."""

    name: Name
    maps: Maps
    kernel: Pixels
    stride: Pixels = 1
    padding: Padding = 0
    std: float = 0.01
    bias: float = 0.0
    rounding: Rounding = "ceil"
    outputs = Conv.outputs


@dataclass(frozen=True)
class Dense:
    """Fully connected layer. Reads the maps below in the order column, map, row, column of the map."""

    name: Name
    units: Maps
    reads: Reads = "all"
    std: float = 0.01
    bias: float = 0.0

    @property
    def outputs(self) -> int:
        return self.units


@dataclass(frozen=True)
class Pool:
    """Pooling over kernel×kernel windows; overlapping where stride < kernel ([A] §3.4)."""

    name: Name
    kernel: Pixels = 3
    stride: Pixels = 2
    kind: Literal["max", "average"] = "max"
    rounding: Rounding = "ceil"


@dataclass(frozen=True)
class Norm:
    """Local response normalisation across maps ([A] §3.3): b = a / (k + c·Σ a²)^beta over `size` maps around each.

    `convention` "sum": c = alpha, the formula as printed; "mean": c = alpha / size, what the 2012 code, Caffe and
    torch compute. `span` "column": the window stays inside a column (2012); "all": it runs over all maps (Caffe).
    """

    name: Name
    k: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.75
    size: Maps = 5
    convention: Literal["sum", "mean"] = "sum"
    span: Literal["column", "all"] = "column"

    @property
    def coefficient(self) -> float:
        """The factor on the plain sum of squares."""
        return self.alpha / self.size if self.convention == "mean" else self.alpha


@dataclass(frozen=True)
class SpatialNorm:
    """Response normalisation inside one map (the 2012 code's `rnorm`): x / (k + alpha/size²·Σ x²)^beta, size×size."""

    name: Name
    k: float = 1.0
    alpha: float = 1e-3
    beta: float = 0.75
    size: Maps = 5

    @property
    def coefficient(self) -> float:
        """The factor on the plain sum of squares."""
        return self.alpha / self.size**2


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalisation of each map, with learned scale and shift."""

    name: Name


@dataclass(frozen=True)
class Activation:
    """The unit's non-linearity ([A] §3.1)."""

    name: Name
    kind: Literal["relu", "tanh", "sigmoid"] = "relu"


@dataclass(frozen=True)
class Dropout:
    """[A] §4.2. "2012": mask in training, ×keep at test. "inverted": mask ÷ keep in training, nothing at test."""

    name: Name
    keep: Annotated[float, lambda keep: 0 < keep <= 1] = 0.5
    kind: Literal["2012", "inverted"] = "2012"


Row = Conv | Local | Dense | Pool | Norm | SpatialNorm | BatchNorm | Activation | Dropout
Weighted = Conv | Local | Dense

ROW_KINDS: dict[str, type] = {kind.__name__: kind for kind in get_args(Row)}


@dataclass(frozen=True)
class Table:
    """A network: its rows, the side of the square RGB picture it takes, its columns, and where it comes from."""

    name: str
    rows: tuple[Row, ...]
    input_size: Pixels = 224
    columns: Columns = 1
    about: str = ""

    def __getitem__(self, name: str) -> Row:
        """The row called `name`. Raises UserError, naming those that exist."""
        for row in self.rows:
            if row.name == name:
                return row
        known = ", ".join(row.name for row in self.rows)
        raise UserError(f"{self.name} has no layer {name!r}. It has: {known}.")

    @property
    def weighted(self) -> tuple[Weighted, ...]:
        """The rows that hold weights, batch normalisation apart."""
        return tuple(row for row in self.rows if isinstance(row, Weighted))

    @property
    def classes(self) -> int:
        """Outputs of the last layer."""
        return self.weighted[-1].outputs


# ── deriving one table from another ──────────────────────────────────────────────────────────────────────────────


def named_rows(option: str, words: str, known: Sequence[str], spanned: Sequence[str]) -> list[str]:
    """The rows in words such as "conv1-conv5,relu7": of the `known` ones, with spans over the `spanned` ones, or "all"
    of these. Raises UsageError, naming the `option`, for a row that does not exist or a span that runs backwards."""
    found: list[str] = []
    for word in spanned if words == "all" else filter(None, words.split(",")):
        first, _, last = (word, "", "") if word in known else word.partition("-")
        if missing := [name for name in (first, last or first) if name not in known]:
            raise UsageError(f"--{option} {words}: there is no layer {missing[0]!r}. There are: {', '.join(known)}.")
        if not last:
            found.append(first)
        elif {first, last} <= {*spanned} and spanned.index(first) <= spanned.index(last):
            found += spanned[spanned.index(first) : spanned.index(last) + 1]
        else:
            remedy = f"write {last}-{first}" if {first, last} <= {*spanned} else f"there are: {', '.join(spanned)}"
            raise UsageError(f"--{option} {words}: a span runs from one layer with weights to a later one; {remedy}.")
    return list(dict.fromkeys(found))


def rename(table: Table, name: str, about: str) -> Table:
    return replace(table, name=name, about=about)


def select(table: Table, *which: str | type) -> list[Row]:
    """The rows with the names given, which must exist, and all rows of the kinds given."""
    named = [table[one] for one in which if isinstance(one, str)]
    kinds = tuple(one for one in which if not isinstance(one, str))
    return [row for row in table.rows if row in named or isinstance(row, kinds)]


def change(table: Table, *which: str | type, **changes: Any) -> Table:
    """The table with fields of the selected rows changed."""
    changed = select(table, *which)
    return replace(table, rows=tuple(replace(row, **changes) if row in changed else row for row in table.rows))


change_each = change  # the older name for kinds of rows


def without(table: Table, *which: str | type) -> Table:
    """The table without the selected rows."""
    removed = select(table, *which)
    return replace(table, rows=tuple(row for row in table.rows if row not in removed))


def insert_after(table: Table, name: str, *rows: Row) -> Table:
    """The table with `rows` inserted after the row called `name`."""
    index = table.rows.index(table[name]) + 1
    return replace(table, rows=table.rows[:index] + rows + table.rows[index:])


def move_after(table: Table, name: str, target: str) -> Table:
    """The table with the row `name` moved after the row `target`."""
    return insert_after(without(table, name), target, table[name])


def resize(table: Table, row: Weighted, outputs: int) -> Table:
    """The table with another number of maps or units in one row."""
    return change(table, row.name, **{"units" if isinstance(row, Dense) else "maps": outputs})


def with_classes(table: Table, classes: int) -> Table:
    """The table with another number of classes. Raises UsageError below 2."""
    if classes < 2:
        raise UsageError(f"--classes {classes}: a network needs at least two classes to tell apart.")
    return resize(table, table.weighted[-1], classes)


def with_width(table: Table, width: float) -> Table:
    """The table with `width` times the maps and units of every layer but the last, whole multiples of 4 per column.

    After the first layer σ grows by 1/√width, so that units that read fewer others receive as much. With the σ of full
    width, a thin network's signal dies on the way up and it does not start to learn.
    """
    if not 0 < width <= 16:
        raise UsageError(f"--width {width}: a factor between 0 (exclusive) and 16 is needed; 1 is the network itself.")
    if width == 1:
        return table
    step = 4 * table.columns
    for row in table.weighted[:-1]:
        table = resize(table, row, max(step, round(row.outputs * width / step) * step))
    for row in table.weighted[1:]:
        table = change(table, row.name, std=row.std / width**0.5)
    return table


Derivation = Callable[[Table], Table]
"""A change that makes one table from another."""
