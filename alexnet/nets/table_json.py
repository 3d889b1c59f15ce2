"""A table of rows as JSON, and back, checked."""

import re
from dataclasses import asdict, fields
from typing import Any

from alexnet.errors import UserError
from alexnet.files.schema import number, one_of, validate, whole
from alexnet.nets.table import ROW_KINDS, Dense, Local, Row, Table, Weighted

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
    validate(described, TABLE, where, remedy)
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
    validate(described, {f"{name}?": one for name, one in form.items()}, where, remedy)
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
