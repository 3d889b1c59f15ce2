"""A network as text: layer by layer, or the whole zoo, a line for each. No torch."""

from collections.abc import Iterable

from alexnet import text
from alexnet.nets.table import Activation, BatchNorm, Conv, Dense, Dropout, Local, Norm, Pool, Row, SpatialNorm, Table
from alexnet.nets.trace import Layer, trace

FLOAT_BYTES = 4


def describe(table: Table, batch: int = 1, input_size: int | None = None) -> str:
    """Layer by layer: output (maps × rows × columns), units, parameters and multiply-adds per picture, the pixels that
    one unit sees and how far apart neighbours look, and the memory of `batch` pictures' maps in float32; then totals.

    Units are counted where weights are, as [A] §3.5 does. Raises UserError if `input_size` leaves a layer no map.
    """
    layers = trace(table, input_size)
    size = table.input_size if input_size is None else input_size
    pictures = "1 picture" if batch == 1 else f"{batch:,} pictures"
    heading = ("layer", "", "output", "units", "parameters", "multiply-adds", "sees", "every", f"maps of {pictures}")
    total = (
        "total",
        "",
        "",
        f"{sum(map(units, layers)):,}",
        f"{sum(layer.parameters for layer in layers):,}",
        f"{sum(layer.macs for layer in layers):,}",
        "",
        "",
        text.in_bytes(sum(map(map_bytes, layers)) * batch),
    )
    rows = [(layer.row.name, kind(layer.row), *figures(layer, batch)) for layer in layers]
    return f"{table.name}: {table.about}\n{size} × {size} pixels, RGB\n\n" + text.table(heading, [*rows, total], left=3)


def figures(layer: Layer, batch: int) -> tuple[str, ...]:
    """The cells of one layer behind its name and kind."""
    shape, field = layer.leaving, layer.field
    return (
        f"{shape.maps}×{shape.side}×{shape.side}",
        number(units(layer)),
        number(layer.parameters),
        number(layer.macs),
        f"{field.size} px",
        f"{field.jump} px" if field.jump else "",
        text.in_bytes(map_bytes(layer) * batch),
    )


def units(layer: Layer) -> int:
    """The layer's units, none if it holds no weights that multiply."""
    return layer.leaving.units if layer.macs else 0


def map_bytes(layer: Layer) -> int:
    """Bytes of one picture's map, float32."""
    return layer.leaving.units * FLOAT_BYTES


def kind(row: Row) -> str:
    """What a row does, in a few words."""
    match row:
        case Conv() | Local():
            padding = f", pad {row.padding}" if row.padding else ""
            own = ", weights per position" if isinstance(row, Local) else ""
            return f"{row.kernel}×{row.kernel} / {row.stride}{padding}{own}{reading(row)}"
        case Dense():
            return f"fully connected{reading(row)}"
        case Pool():
            return f"{row.kind} {row.kernel}×{row.kernel} / {row.stride}"
        case Norm():
            return "response norm"
        case SpatialNorm():
            return "same-map norm"
        case BatchNorm():
            return "batch norm"
        case Activation():
            return row.kind
        case Dropout():
            return f"dropout, keep {row.keep:g}"


def reading(row: Conv | Local | Dense) -> str:
    """Which columns are read, where that is not all of them."""
    if isinstance(row, Local) or row.reads == "all":
        return ""
    return ", own column" if row.reads == "own" else ", some columns"


def overview(tables: Iterable[Table]) -> str:
    """One line for each network."""
    heading = ("network", "pixels", "parameters", "multiply-adds", "")
    return text.table(heading, map(line_of, tables))


def line_of(table: Table) -> tuple[str, ...]:
    layers = trace(table)
    parameters, macs = sum(layer.parameters for layer in layers), sum(layer.macs for layer in layers)
    return table.name, str(table.input_size), f"{parameters:,}", f"{macs:,}", table.about


def number(value: int) -> str:
    return f"{value:,}" if value else ""
