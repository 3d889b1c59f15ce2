"""A table of rows as JSON, and back: the annotations of its dataclasses say which values are allowed."""

from collections.abc import Callable
from dataclasses import asdict, fields, replace
from functools import partial
from typing import Any

from alexnet.errors import UserError
from alexnet.files import schema
from alexnet.nets.table import ROW_KINDS, Local, Row, Table, Weighted

MOST_ROWS = 1000
EXAMPLE = "`alexnet nets toy --toml` prints an example."


def to_json(table: Table) -> dict[str, Any]:
    """The table as plain values, for a run's config.json."""
    described = asdict(table)
    described["rows"] = [{"row": type(row).__name__, **asdict(row)} for row in table.rows]
    return described


def from_json(described: dict[str, Any], where: str, *, by_hand: bool = False) -> Table:
    """The table that `to_json` described, or somebody wrote `by_hand`. Raises UserError naming `where`, and the row and
    the field, if it is none."""
    where = where if by_hand else f"{where}: its network table can't be read"
    remedy = EXAMPLE if by_hand else "Was it edited or cut short?"
    if absent := {one.name for one in fields(Table)} - described.keys():
        raise UserError(f"{where}: {min(absent)} is missing. {remedy}")
    described_rows = schema.from_json(described["rows"], list[dict[str, Any]], f"{where}: its rows", remedy)
    if not 1 <= len(described_rows) <= MOST_ROWS:
        raise UserError(f"{where}: it has {len(described_rows):,} rows. {remedy}")
    read = partial(schema.from_json, remedy=remedy, by_hand=by_hand)
    rows = tuple(_row_from_json(row, f"{where}: row {n}", remedy, read) for n, row in enumerate(described_rows, 1))
    names = [row.name for row in rows]
    if len(set(names)) < len(names) or not any(isinstance(row, Weighted) for row in rows):
        double = next((f"two rows are called {name!r}" for name in names if names.count(name) > 1), "")
        raise UserError(f"{where}: {double or 'no row has weights'}. {remedy}")
    made = replace(read({**described, "rows": ()}, Table, where), rows=rows)
    _check_columns(made, where, remedy)
    return made


def _row_from_json(described: dict[str, Any], where: str, remedy: str, read: Callable[..., Any]) -> Row:
    values = {key: value for key, value in described.items() if key != "row"}
    kind = ROW_KINDS.get(str(described.get("row")))
    if kind is None:
        given = str(described.get("row", ""))[:40]
        found = f"there is no kind of row {given!r}" if given else "row, its kind, is missing"
        raise UserError(f"{where}: {found}. There are: {', '.join(ROW_KINDS)}. {remedy}")
    return read(values, kind, f"{where}, the {kind.__name__} row {str(values.get('name'))[:40]!r}", strict=True)


def _check_columns(table: Table, where: str, remedy: str) -> None:
    """Raises UserError where maps can't be divided among the columns, or a row reads columns that don't exist."""
    for row in table.weighted:
        reads = getattr(row, "reads", "all")
        lists = reads if isinstance(reads, tuple) else ()
        fits = not lists or (len(lists) == table.columns and len({len(one) for one in lists}) == 1)
        sound = all(0 <= column < table.columns for one in lists for column in one) and all(map(len, lists))
        divides = row is table.weighted[-1] or row.outputs % table.columns == 0  # outputs belong to no column
        if not (fits and sound and divides) or (isinstance(row, Local) and table.columns > 1):
            raise UserError(f"{where}: {row.name!r} does not fit {table.columns} columns. {remedy}")
