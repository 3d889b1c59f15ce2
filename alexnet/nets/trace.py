"""Shapes of a table: `trace` walks its rows and gives the shape and receptive field of every layer."""

from dataclasses import dataclass

from alexnet.geometry import Field, Window, outputs_or_refuse
from alexnet.nets.table import BatchNorm, Conv, Dense, Local, Pool, Reads, Row, SpatialNorm, Table

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
        # The picture is whole for every column; all later layers are divided among the columns.
        columns_below = table.columns if layers else 1
        layer = _enter(row, shape, field, table.columns, columns_below)
        layers.append(layer)
        shape, field = layer.leaving, layer.field
    return tuple(layers)


def _enter(row: Row, shape: Shape, field: Field, columns: int, columns_below: int) -> Layer:
    parameters = macs = 0
    leaving, side, reads, read = shape, shape.side, (), shape.maps
    if isinstance(row, Conv | Local | Pool):
        side, field = outputs_or_refuse(row.name, window_of(row), shape.side), field.under(window_of(row))
    if isinstance(row, Conv | Dense):
        reads = wiring(row.reads, columns) if columns_below > 1 else ((0,),) * columns
        read = shape.maps // columns_below * len(reads[0])  # maps below that one unit reads
    match row:
        case Conv():
            weights = row.maps * read * row.kernel**2
            leaving, parameters, macs = Shape(row.maps, side), weights + row.maps, weights * side**2
        case Local():
            leaving, reads, macs = Shape(row.maps, side), ((0,),), row.maps * side**2 * read * row.kernel**2
            parameters = macs + leaving.units
        case Dense():
            leaving, macs = Shape(row.units, 1), row.units * read * shape.side**2
            parameters, field = macs + row.units, field.over_all(shape.side) if field.jump else field
        case Pool():
            leaving = Shape(shape.maps, side)
        case SpatialNorm():
            field = field.under(Window(row.size, before=row.size // 2))
        case BatchNorm():
            parameters = 2 * shape.maps
    return Layer(row, shape, leaving, parameters, macs, field, columns, reads)
