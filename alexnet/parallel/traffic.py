"""What crosses between the columns for each picture, counted from the table alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from alexnet import text
from alexnet.nets.table import Dense, Table, Weighted
from alexnet.nets.trace import Layer, trace
from alexnet.parallel.grid import ProcessGrid, dense_rows

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Crossing:
    """`floats` numbers of a picture's map `sent` that column `sender` sends to column `reader` for its layer `at`; as
    many gradients come back."""

    at: str
    sent: str
    sender: int
    reader: int
    floats: int


def crossings(layers: Sequence[Layer]) -> list[Crossing]:
    """Everything that crosses between the columns of a network. The last layer is column 0's alone, as in the 2012
    code; the picture is whole for every column."""
    last = [layer for layer in layers if isinstance(layer.row, Weighted)][-1]
    return [
        Crossing(layer.row.name, below.row.name, sender, reader, layer.entering.units // layer.columns)
        for below, layer in pairwise(layers)
        for reader, senders in enumerate(layer.reads[:1] if layer is last else layer.reads)
        for sender in sorted(senders)
        if sender != reader
    ]


def describe(table: Table, grid: ProcessGrid, input_size: int | None = None) -> str:
    """The traffic of a layout as a table for people."""
    lines = _across_columns(table, input_size) if grid.columns > 1 else []
    lines += _across_members(table, grid, input_size) if grid.hybrid else []
    if grid.shares > 1:
        layers = trace(table, input_size)
        summed = sum(one.parameters for one in layers if not (grid.hybrid and isinstance(one.row, Dense)))
        held = summed // grid.columns
        lines.append(f"weight gradients: {held:,} floats of each process, summed over {grid.shares} at each update")
    return "\n".join(lines or ["one process: nothing crosses"])


def _across_columns(table: Table, input_size: int | None) -> list[str]:
    found = crossings(trace(table, input_size))
    rows = [(c.at, c.sent, f"{LETTERS[c.sender]} → {LETTERS[c.reader]}", c.floats) for c in found]
    return _as_table("floats of a picture that cross between columns", rows)


def _across_members(table: Table, grid: ProcessGrid, input_size: int | None) -> list[str]:
    """Every process sends its pictures' last maps to all others, then its units of all pictures; at the end each
    picture's logits go to the process whose picture it is."""
    n, dense = grid.processes, dense_rows(table)
    layers = {layer.row.name: layer for layer in trace(table, input_size)}
    first, *others = dense
    rows = [(first.name, "pictures", f"1 → {n - 1}", layers[first.name].entering.units * (n - 1))]
    rows += [(row.name, "units", f"all {n}", layers[row.name].entering.units * (n - 1)) for row in others]
    rows += [("logits", "units", "→ its own", dense[-1].units * (n - 1) // n)]
    return _as_table("floats of a picture that cross, all processes together", rows)


def _as_table(title: str, rows: Sequence[tuple[str, str, str, int]]) -> list[str]:
    """As many gradients travel back as activations forward."""
    total = ("total", "", "", sum(floats for *_, floats in rows))
    shown = [(*names, f"{floats:,}", f"{floats:,}") for *names, floats in [*rows, total]]
    return [title, text.table(("layer", "reads", "way", "forward", "backward"), shown, left=3)]
