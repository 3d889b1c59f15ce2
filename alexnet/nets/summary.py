"""A network as text: layer by layer, or the whole zoo, a line for each. No torch."""

from collections.abc import Iterable

from alexnet import text
from alexnet.nets.table import Activation, BatchNorm, Conv, Dense, Dropout, Local, Norm, Pool, Row, SpatialNorm, Table
from alexnet.nets.trace import trace

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
    totals, rows = [0, 0, 0, 0], []
    for layer in layers:
        out, field = layer.leaving, layer.field
        units = out.units if layer.macs else 0
        counts = (units, layer.parameters, layer.macs, out.units * FLOAT_BYTES * batch)
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        shape, jump = f"{out.maps}×{out.side}×{out.side}", f"{field.jump} px" if field.jump else ""
        row, numbers, memory = (
            layer.row,
            map(number, counts[:3]),
            text.in_bytes(counts[3]),
        )
        rows.append((row.name, kind(row), shape, *numbers, f"{field.size} px", jump, memory))
    rows.append(("total", "", "", *(f"{total:,}" for total in totals[:3]), "", "", text.in_bytes(totals[3])))
    return f"{table.name}: {table.about}\n{size} × {size} pixels, RGB\n\n" + text.table(heading, rows, left=3)


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
