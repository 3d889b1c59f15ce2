"""A table of one's own: a TOML file with a line for each row, read and written."""

import json
import re
import tomllib
from dataclasses import MISSING, fields
from os import PathLike
from pathlib import Path
from typing import Any

from alexnet.errors import UserError
from alexnet.files.atomic import expanded, read_bounded
from alexnet.nets import table_json, zoo
from alexnet.nets.network import state_dict_shapes
from alexnet.nets.table import Activation, Dense, Dropout, Row, Table, with_classes

LARGEST_BYTES = 1 << 20
ENDS = ".toml"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


def read_table(path: str | PathLike[str]) -> Table:
    """The table in a TOML file: `name`, `rows` and, if they are not the defaults, the other fields of `Table`. Each row
    is an inline table with `row`, its kind, and the fields of that kind.

    Raises UserError, naming the row and the field, for a file that is no TOML, a row or field that is not known, a
    value that can't be, rows that do not follow one another and sizes that leave no map.
    """
    path = Path(expanded(path))
    try:
        described = tomllib.loads(read_bounded(path, LARGEST_BYTES).decode())
    except (ValueError, RecursionError) as fault:
        raise UserError(f"{path}: no TOML ({str(fault) or 'nested too deep'}). {table_json.EXAMPLE}") from None
    if unknown := described.keys() - {one.name for one in fields(Table)}:
        raise UserError(f"{path}: {min(unknown)} is not known. {table_json.EXAMPLE}")
    defaults = {one.name: one.default for one in fields(Table) if one.default is not MISSING}
    table = table_json.from_json(defaults | described, str(path), by_hand=True)
    if fault := _name_fault(table) or _order_fault(table):
        raise UserError(f"{path}: {fault}. {table_json.EXAMPLE}")
    try:
        state_dict_shapes(table)
    except UserError as fault:
        raise UserError(f"{path}: {fault}") from None
    return table


def _name_fault(table: Table) -> str:
    """What is wrong with the table's name, which files are named after; "" for nothing."""
    if NAME.fullmatch(table.name):
        return ""
    return f"name is {table.name[:40]!r}; letters, digits, _, - and . are possible, up to 64 of them"


def _order_fault(table: Table) -> str:
    """What is wrong with the order of the rows; "" for nothing."""
    dense = ""
    for row in table.rows:
        if dense and not isinstance(row, Dense | Activation | Dropout):
            kind = type(row).__name__
            return f"{row.name!r} is a {kind} row, which needs maps, and stands after {dense!r}, which has none"
        dense = row.name if isinstance(row, Dense) else dense
    if not isinstance(last := table.rows[-1], Dense):
        return f"the last row, {last.name!r}, is no Dense row, whose units are the classes"
    return ""


def find_table(name: str, classes: int | None = None) -> Table:
    """The zoo's network called `name`, or the table in the file NAME.toml, with another number of classes if given."""
    if not name.endswith(ENDS):
        return zoo.find(name, classes)
    return read_table(name) if classes is None else with_classes(read_table(name), classes)


def to_toml(table: Table) -> str:
    """The text of a file that `read_table` reads; fields that have their default are left out."""
    head = {"name": table.name, "about": table.about, "input_size": table.input_size, "columns": table.columns}
    lines = [f"{name} = {_in_toml(value)}" for name, value in head.items() if (name, value) != ("columns", 1)]
    return "\n".join([*lines, "rows = [", *map(_line, table.rows), "]", ""])


def _line(row: Row) -> str:
    changed = {one.name: getattr(row, one.name) for one in fields(row) if getattr(row, one.name) != one.default}
    pairs = [f"{name} = {_in_toml(value)}" for name, value in ({"row": type(row).__name__} | changed).items()]
    return f"  {{ {', '.join(pairs)} }},"


def _in_toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_in_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
