"""The groups of `alexnet bench`, run into rows; rows as a table or as JSON."""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from alexnet.bench import inference, machine, norms, pictures, seeing, training
from alexnet.bench.subject import Bench
from alexnet.bench.timing import Row
from alexnet.text import table

GROUPS: dict[str, Callable[[Bench], list[Row]]] = {
    "train": training.rows,
    "infer": inference.infer_rows,
    "views": inference.views_rows,
    "lrn": norms.rows,
    "prepare": pictures.prepare_rows,
    "data": pictures.data_rows,
    "see": seeing.rows,
}
NEED_PRODUCTS = ("train", "infer", "views")
"""Groups beside which the ceilings of matrix products are measured."""


def run(names: Iterable[str], bench: Bench) -> list[Row]:
    """The machine's rows and those of the groups, in turn. Scratch files go into a folder of their own in
    `bench.folder`, which is removed again."""
    names = tuple(names)
    products = any(name in NEED_PRODUCTS for name in names)
    bench.say(f"{machine.describe()}\nthe machine at its best: memory copy{', matrix products' if products else ''}")
    rows = machine.ceilings(matrices=products)
    with tempfile.TemporaryDirectory(prefix="alexnet-bench-", dir=bench.folder) as scratch:
        bench = replace(bench, folder=Path(scratch), ceilings={row.name: row.ours for row in rows})
        for name in names:
            rows += GROUPS[name](bench)
    return rows


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A list of {"name", "ours", "peer", "ratio", "at_least", "unit", "spread", "note"}."""
    first = ("name", "ours", "peer", "ratio", "at_least")
    found = []
    for row in rows:
        fields = asdict(row)
        found.append({name: fields.pop(name) for name in first} | fields)
    return found


def describe(rows: Sequence[Row]) -> str:
    """The rows as a table for a terminal or a Markdown page."""
    head = ("name", "ours", "peer", "unit", "ratio", "of the rounds", "at least", "", "note")
    return table(head, map(_cells, rows), left=len(head), markdown=True)


def _cells(row: Row) -> tuple[str, ...]:
    verdict = "" if row.at_least is None else "missed" if row.missed else "met"
    return (
        row.name,
        number(row.ours),
        number(row.peer),
        row.unit,
        number(row.ratio),
        "" if row.spread is None else " – ".join(map(number, row.spread)),
        "" if row.at_least is None else f"{row.at_least:g}",
        verdict,
        row.note,
    )


def number(value: float | None) -> str:
    """Three figures that matter; thousands with a comma."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def missed(rows: Sequence[Row]) -> list[str]:
    return [row.name for row in rows if row.missed]
