"""A network is a table: a tuple of rows, from the picture to the last layer.

The same rows build the module, print the summary, run backwards for the deconvnet, map other people's weights and are
split into columns. Sizes are not in the rows: `trace` finds them by walking the table once.

Every number that a row carries is the 2012 code's where [A] and the code differ in initialisation (`std`, `bias`); what
the papers print is applied by `alexnet.nets.init`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from alexnet.damage import hold, number, one_of, whole
from alexnet.errors import UsageError, UserError
from alexnet.geometry import Field, Rounding, Window, outputs_or_refuse

Reads = Literal["all", "own"] | tuple[tuple[int, ...], ...]
"""Which columns of the layer below a column reads: all, its own, or a tuple of columns for each ([A] §3.2)."""


@dataclass(frozen=True)
class Conv:
    """Convolution with shared weights. `padding`: zeros on every side, or (before, after)."""

    name: str
    maps: int
    kernel: int
    stride: int = 1
    padding: int | tuple[int, int] = 0
    reads: Reads = "all"
    std: float = 0.01
    bias: float = 0.0
    rounding: Rounding = "ceil"


@dataclass(frozen=True)
class Local:
    """Like a convolution, but each position has weights of its own (the 2012 CIFAR nets' "local" layers)."""

    name: str
    maps: int
    kernel: int
    stride: int = 1
    padding: int | tuple[int, int] = 0
    std: float = 0.01
    bias: float = 0.0
    rounding: Rounding = "ceil"


@dataclass(frozen=True)
class Dense:
    """Fully connected layer. Reads the maps below in the order column, map, row, column of the map."""

    name: str
    units: int
    reads: Reads = "all"
    std: float = 0.01
    bias: float = 0.0


@dataclass(frozen=True)
class Pool:
    """Pooling over kernel×kernel windows; overlapping where stride < kernel ([A] §3.4)."""

    name: str
    kernel: int = 3
    stride: int = 2
    kind: Literal["max", "average"] = "max"
    rounding: Rounding = "ceil"


@dataclass(frozen=True)
class Norm:
    """Local response normalisation across maps ([A] §3.3): b = a / (k + c·Σ a²)^beta over `size` maps around each.

    `convention` "sum": c = alpha, the formula as printed; "mean": c = alpha / size, what the 2012 code, Caffe and
    torch compute. `span` "column": the window stays inside a column (2012); "all": it runs over all maps (Caffe).
    """

    name: str
    k: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.75
    size: int = 5
    convention: Literal["sum", "mean"] = "sum"
    span: Literal["column", "all"] = "column"

    @property
    def coefficient(self) -> float:
        """The factor on the plain sum of squares."""
        return self.alpha / self.size if self.convention == "mean" else self.alpha


@dataclass(frozen=True)
class SpatialNorm:
    """Response normalisation inside one map (the 2012 code's `rnorm`): x / (k + alpha/size²·Σ x²)^beta, size×size."""

    name: str
    k: float = 1.0
    alpha: float = 1e-3
    beta: float = 0.75
    size: int = 5

    @property
    def coefficient(self) -> float:
        """The factor on the plain sum of squares."""
        return self.alpha / self.size**2


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalisation of each map, with learned scale and shift."""

    name: str


@dataclass(frozen=True)
class Activation:
    """The unit's non-linearity ([A] §3.1)."""

    name: str
    kind: Literal["relu", "tanh", "sigmoid"] = "relu"


@dataclass(frozen=True)
class Dropout:
    """[A] §4.2. "2012": mask in training, ×keep at test. "inverted": mask ÷ keep in training, nothing at test."""

    name: str
    keep: float = 0.5
    kind: Literal["2012", "inverted"] = "2012"


Row = Conv | Local | Dense | Pool | Norm | SpatialNorm | BatchNorm | Activation | Dropout
Weighted = Conv | Local | Dense

ROW_KINDS: dict[str, type] = {
    kind.__name__: kind for kind in (Conv, Local, Dense, Pool, Norm, SpatialNorm, BatchNorm, Activation, Dropout)
}


@dataclass(frozen=True)
class Table:
    """A network: its rows, the side of the square RGB picture it takes, its columns, and where it comes from."""

    name: str
    rows: tuple[Row, ...]
    input_size: int = 224
    columns: int = 1
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
        last = self.weighted[-1]
        return last.units if isinstance(last, Dense) else last.maps


# ── deriving one table from another ──────────────────────────────────────────────────────────────────────────────


def rename(table: Table, name: str, about: str) -> Table:
    return replace(table, name=name, about=about)


def change(table: Table, row_name: str, **changes: Any) -> Table:
    """The table with fields of one row changed."""
    changed = replace(table[row_name], **changes)
    return replace(table, rows=tuple(changed if row.name == row_name else row for row in table.rows))


def change_each(table: Table, row_kind: type, /, **changes: Any) -> Table:
    """The table with fields of every row of one kind changed."""
    return replace(table, rows=tuple(replace(r, **changes) if isinstance(r, row_kind) else r for r in table.rows))


def without(table: Table, *names: str) -> Table:
    """The table less the named rows."""
    for name in names:
        table[name]  # refuses a name that is not there
    return replace(table, rows=tuple(row for row in table.rows if row.name not in names))


def insert_after(table: Table, name: str, *rows: Row) -> Table:
    """The table with `rows` put in behind the row called `name`."""
    place = table.rows.index(table[name]) + 1
    return replace(table, rows=table.rows[:place] + rows + table.rows[place:])


def move_after(table: Table, name: str, target: str) -> Table:
    """The table with the row `name` moved behind the row `target`."""
    return insert_after(without(table, name), target, table[name])


def with_classes(table: Table, classes: int) -> Table:
    """The table with another number of classes. Raises UsageError below 2."""
    if classes < 2:
        raise UsageError(f"--classes {classes}: a network needs at least two classes to tell apart.")
    last = table.weighted[-1]
    return change(table, last.name, **{"units" if isinstance(last, Dense) else "maps": classes})


def with_width(table: Table, width: float) -> Table:
    """The table with `width` times the maps and units of every layer but the last, whole multiples of 4 per column.

    Behind the first layer σ grows by 1/√width: units that read fewer others then still hear as much. Left as it is, a
    thin net's signal dies on the way up and it does not start to learn.
    """
    if not 0 < width <= 16:
        raise UsageError(f"--width {width}: a factor between 0 (exclusive) and 16 is needed; 1 is the network itself.")
    if width == 1:
        return table
    step = 4 * table.columns

    def thin(count: int) -> int:
        return max(step, round(count * width / step) * step)

    for row in table.weighted[:-1]:
        field_name, count = ("units", row.units) if isinstance(row, Dense) else ("maps", row.maps)
        table = change(table, row.name, **{field_name: thin(count)})
    for row in table.weighted[1:]:
        table = change(table, row.name, std=row.std / width**0.5)
    return table


# ── walking a table ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Shape:
    """Maps and their side; fully connected layers have side 1."""

    maps: int
    side: int

    @property
    def units(self) -> int:
        return self.maps * self.side**2


@dataclass(frozen=True)
class Layer:
    """A row in its place: what goes in, what comes out, what it costs and what a unit of it sees of the picture.

    `reads`: for weighted rows, the columns of the layer below that each column reads; `window`: the sliding window of
    a convolution or pooling row; `macs`: multiply-adds per picture; `field`: along one axis, both being alike.
    """

    row: Row
    entering: Shape
    leaving: Shape
    parameters: int
    macs: int
    field: Field
    columns: int
    reads: tuple[tuple[int, ...], ...] = ()

    @property
    def window(self) -> Window:
        return window_of(self.row)


def window_of(row: Row) -> Window:
    """The window that a convolution, local or pooling row slides over the map below."""
    if isinstance(row, Pool):
        return Window(row.kernel, row.stride, rounding=row.rounding)
    if isinstance(row, Conv | Local):
        before, after = row.padding if isinstance(row.padding, tuple) else (row.padding, row.padding)
        return Window(row.kernel, row.stride, before, after, row.rounding)
    raise TypeError(f"{row.name}: a {type(row).__name__} row slides no window")


def wiring(reads: Reads, columns: int) -> tuple[tuple[int, ...], ...]:
    """For each column, the columns of the layer below that it reads."""
    if reads == "all":
        return (tuple(range(columns)),) * columns
    if reads == "own":
        return tuple((column,) for column in range(columns))
    return reads


def trace(table: Table, input_size: int | None = None) -> tuple[Layer, ...]:
    """Walk the table from a picture of `input_size` pixels a side (default: the table's own): one `Layer` for each row.

    Raises UserError, naming the layer, if the picture is too small to leave a map.
    """
    size = table.input_size if input_size is None else input_size
    shape, field, layers = Shape(3, size), Field(), []
    for row in table.rows:
        # The picture is whole for every column; all later layers are dealt out over the columns.
        columns_below = table.columns if layers else 1
        layer = _enter(row, shape, field, table.columns, columns_below)
        layers.append(layer)
        shape, field = layer.leaving, layer.field
    return tuple(layers)


def _enter(row: Row, shape: Shape, field: Field, columns: int, columns_below: int) -> Layer:
    if isinstance(row, Conv):
        return _enter_conv(row, shape, field, columns, columns_below)
    if isinstance(row, Dense):
        return _enter_dense(row, shape, field, columns, columns_below)
    if isinstance(row, Local):
        side = outputs_or_refuse(row.name, window_of(row), shape.side)
        weights = row.maps * side**2 * shape.maps * row.kernel**2
        out = Shape(row.maps, side)
        seen = field.under(window_of(row))
        return Layer(row, shape, out, weights + out.units, weights, seen, columns, ((0,),))
    if isinstance(row, Pool):
        side = outputs_or_refuse(row.name, window_of(row), shape.side)
        return Layer(row, shape, Shape(shape.maps, side), 0, 0, field.under(window_of(row)), columns)
    if isinstance(row, SpatialNorm):
        seen = field.under(Window(row.size, before=row.size // 2))
        return Layer(row, shape, shape, 0, 0, seen, columns)
    parameters = 2 * shape.maps if isinstance(row, BatchNorm) else 0
    return Layer(row, shape, shape, parameters, 0, field, columns)


def _enter_conv(row: Conv, shape: Shape, field: Field, columns: int, columns_below: int) -> Layer:
    side = outputs_or_refuse(row.name, window_of(row), shape.side)
    reads = wiring(row.reads, columns) if columns_below > 1 else ((0,),) * columns
    fan_in = _maps_read(shape.maps, reads, columns_below) * row.kernel**2
    weights = row.maps * fan_in
    seen = field.under(window_of(row))
    return Layer(row, shape, Shape(row.maps, side), weights + row.maps, weights * side**2, seen, columns, reads)


def _enter_dense(row: Dense, shape: Shape, field: Field, columns: int, columns_below: int) -> Layer:
    reads = wiring(row.reads, columns) if columns_below > 1 else ((0,),) * columns
    weights = row.units * _maps_read(shape.maps, reads, columns_below) * shape.side**2
    seen = field.over_all(shape.side) if field.jump else field
    return Layer(row, shape, Shape(row.units, 1), weights + row.units, weights, seen, columns, reads)


def _maps_read(maps: int, reads: Sequence[tuple[int, ...]], columns_below: int) -> int:
    """Maps of the layer below that one unit reads."""
    return maps // columns_below * len(reads[0])


# ── tables as JSON ───────────────────────────────────────────────────────────────────────────────────────────────


def to_json(table: Table) -> dict[str, Any]:
    """The table as plain values, for a run's config.json."""
    described = asdict(table)
    described["rows"] = [{"row": type(row).__name__, **asdict(row)} for row in table.rows]
    return described


MOST_ROWS, MOST_MAPS, MOST_PIXELS, MOST_COLUMNS = 1000, 1 << 20, 4096, 64
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


def _name(value: Any) -> bool:
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def _padding(value: Any) -> bool:
    pair = value if isinstance(value, list | tuple) else [value, value]
    return len(pair) == 2 and all(map(whole(0, MOST_PIXELS), pair))


def _reads(value: Any) -> bool:
    lists = isinstance(value, list | tuple) and all(isinstance(part, list | tuple) for part in value)
    return value in ("all", "own") or (lists and all(type(column) is int for part in value for column in part))


TABLE = {
    "name": str,
    "rows": [{"row": str, "name": _name}],
    "input_size": whole(1, MOST_PIXELS),
    "columns": whole(1, MOST_COLUMNS),
    "about": str,
}
ROW = {
    "row": str,
    "name": _name,
    "maps": whole(1, MOST_MAPS),
    "units": whole(1, MOST_MAPS),
    "kernel": whole(1, MOST_PIXELS),
    "stride": whole(1, MOST_PIXELS),
    "padding": _padding,
    "reads": _reads,
    "std": number,
    "bias": number,
    "rounding": one_of("ceil", "floor"),
    "k": number,
    "alpha": number,
    "beta": number,
    "size": whole(1, MOST_MAPS),
    "convention": one_of("sum", "mean"),
    "span": one_of("column", "all"),
    "keep": lambda value: number(value) and 0 < value <= 1,
}
"""What the fields of rows must be."""
KINDS = {"Pool": ("max", "average"), "Activation": ("relu", "tanh", "sigmoid"), "Dropout": ("2012", "inverted")}


def from_json(described: dict[str, Any], where: str) -> Table:
    """The table that `to_json` described. Raises UserError naming `where` if it is none."""
    where, remedy = f"{where}: its network table can't be read", "Was it edited or cut short?"
    hold(described, TABLE, where, remedy)
    if not 1 <= len(described["rows"]) <= MOST_ROWS:
        raise UserError(f"{where}: it has {len(described['rows']):,} rows. {remedy}")
    rows = tuple(_row_from_json(row, where, remedy) for row in described["rows"])
    if len({row.name for row in rows}) < len(rows) or not any(isinstance(row, Weighted) for row in rows):
        raise UserError(f"{where}: no row has weights, or two have one name. {remedy}")
    made = Table(rows=rows, **{f.name: described[f.name] for f in fields(Table) if f.name != "rows"})
    _check_columns(made, where, remedy)
    return made


def _row_from_json(described: dict[str, Any], where: str, remedy: str) -> Row:
    kind = ROW_KINDS.get(described["row"])
    if kind is None:
        raise UserError(f"{where}: no row is called {described['row'][:40]!r}. {remedy}")
    known = {one.name for one in fields(kind)}
    if strange := described.keys() - known - {"row"}:
        raise UserError(f"{where}: a {described['row']} row has no {', '.join(sorted(strange))[:80]}. {remedy}")
    form = ROW | {"kind": one_of(*KINDS.get(described["row"], ()))}
    hold(described, {f"{name}?": one for name, one in form.items()}, where, remedy)
    values = {key: value for key, value in described.items() if key != "row"}
    for key in ("padding", "reads"):
        if isinstance(values.get(key), list):
            values[key] = tuple(tuple(part) if isinstance(part, list) else part for part in values[key])
    try:
        return kind(**values)
    except TypeError as fault:  # a field without a default is absent
        raise UserError(f"{where}: the row {described['name'][:40]!r} lacks something ({fault}). {remedy}") from None


def _check_columns(table: Table, where: str, remedy: str) -> None:
    """UserError where maps or units can't be dealt out over the columns, or a row reads columns that there are not."""
    for row in table.weighted:
        reads = getattr(row, "reads", "all")
        lists = reads if isinstance(reads, tuple) else ()
        count = row.units if isinstance(row, Dense) else row.maps
        fits = not lists or (len(lists) == table.columns and len({len(one) for one in lists}) == 1)
        sound = all(0 <= column < table.columns for one in lists for column in one) and all(map(len, lists))
        dealt = row is table.weighted[-1] or count % table.columns == 0  # outputs are not dealt out
        if not (fits and sound and dealt) or (isinstance(row, Local) and table.columns > 1):
            raise UserError(f"{where}: {row.name!r} does not fit {table.columns} columns. {remedy}")


Derivation = Callable[[Table], Table]
"""A change that makes one table from another."""
