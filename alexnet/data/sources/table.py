"""Labels in a table: a CSV or TSV file or a data frame with a row for each picture, its file, its label, its split."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.data.sources.base import (
    FileReader,
    Source,
    SourceSplit,
    check,
    grouped,
    in_order,
    key_of,
    printable,
    with_groups,
)
from alexnet.data.sources.class_text import codec_of
from alexnet.data.sources.layouts import SPLITS
from alexnet.errors import UserError
from alexnet.files.atomic import read_bounded
from alexnet.text import first_few

SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
LARGEST = 1 << 30
FILE = ("file", "filename", "file_name", "filepath", "path", "image", "image_path", "picture", "img", "image_id", "id")
LABEL = ("label", "class", "class_name", "category", "target", "species", "breed")
SPLIT = ("split", "subset", "set")
"""Titles of the columns, in lower case; the first that is there counts."""
ENDINGS = ("", ".jpg", ".jpeg", ".png")
"""What a table may leave out of the files' names."""

Row = Sequence[str]


def open_table(table: Any, root: Path | None, group: str) -> Source:
    """The source that a CSV or TSV file, or a data frame (pandas, Polars), lists: columns for the file, its label and
    perhaps its split, by title, or in this order if a file has no titles.

    ``root``: the folder of the files' names; by default that of the table. ``group``: the title of a column whose equal
    values no split parts, or a pattern as in `grouped`. Raises UserError, with the line, for a table that can't be
    understood and for files that are not there.
    """
    if isinstance(table, Path):
        where, root, rows = str(table), root or table.parent, rows_of(table)
    else:
        where, root = "the data frame", root or Path()
        cells = [["" if cell is None or cell != cell else str(cell) for cell in table[name]] for name in table.columns]
        rows = [(1, [*map(str, table.columns)]), *enumerate(zip(*cells, strict=True), start=2)]
    if not rows:
        raise UserError(f"{where}: is empty; a row for each picture is expected: file, label and perhaps split")
    titles = [title.strip().lower() for title in rows[0][1]]
    file, label, split = (next(filter(titles.__contains__, names), None) for names in (FILE, LABEL, SPLIT))
    if file and label:
        columns = [titles.index(file), titles.index(label), titles.index(split) if split else None]
        rows = rows[1:]
    elif len(titles) > 1 and _found(root, rows[0][1][0]):
        third = {row[2].strip().lower() for _, row in rows if len(row) > 2}
        columns, titles = [0, 1, 2 if third and third <= {"", *SPLITS} else None], []
    else:
        raise UserError(
            f"{where}: its first line names no columns of files ({first_few(FILE)}) and labels ({first_few(LABEL)}) "
            f"and begins with no file that is in {root}. Name the columns so, or give the files' folder with --root"
        )
    column = titles.index(group.lower()) if group.lower() in titles else None
    source, groups = _source(rows, columns, column, root, where)
    if column is not None:
        return with_groups(source, groups.__getitem__, where)
    return grouped(source, group, where) if group else source


def rows_of(path: Path) -> list[tuple[int, Row]]:
    """The rows of a file that are not blank, with the numbers of their lines."""
    return read_rows(path)[0]


def read_rows(path: Path) -> tuple[list[tuple[int, Row]], str, str]:
    """The same, the codec of the file and the character that separates its columns."""
    data = read_bounded(path, LARGEST)
    try:
        codec = codec_of(data) or "utf-8"
        text = data.decode(codec)
        lines = text.splitlines(keepends=True)
        widths = {mark: {len(row) for row in csv.reader(lines[:20], delimiter=mark) if row} for mark in "\t;"}
        separator = next((mark for mark, found in widths.items() if len(found) == 1 and found != {1}), ",")
        reader = csv.reader(lines, delimiter=separator, strict=True)
        return [(reader.line_num, row) for row in reader if any(map(str.strip, row))], codec, separator
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: no table in UTF-8 or UTF-16 ({error}). Save it as CSV in UTF-8") from None


def _found(root: Path, name: str) -> str | None:
    """The name with the ending that the file has; None if there is no such file."""
    return next((name + ending for ending in ENDINGS if name and os.path.isfile(root / (name + ending))), None)


def _source(
    rows: Sequence[tuple[int, Row]], columns: Sequence[int | None], group: int | None, root: Path, where: str
) -> tuple[Source, dict[str, str]]:
    """The source, and each key's value in column ``group``."""
    faults: list[str] = []
    ignored: list[str] = []
    items: dict[str, list[tuple[str, str]]] = {"train": [], "val": [], "test": []}
    groups: dict[str, str] = {}
    for line, row in rows:
        if len(row) <= max(column for column in (*columns, group) if column is not None):
            faults.append(f"line {line} has {len(row)} columns")
            continue
        file, label, split = ("" if column is None else row[column].strip() for column in columns)
        if (name := _found(root, file)) is None:
            faults.append(f"line {line}: there is no file {printable(file)!r} in {root}")
        elif split.lower() not in ("", *SPLITS):
            faults.append(f"line {line}: {printable(split)!r} is no split; train, val or test is expected")
        elif key_of(name) in groups:
            faults.append(f"line {line}: {printable(file)!r} for the second time")
        elif not label:
            ignored.append(f"{key_of(name)}: no label")
        else:
            items[SPLITS.get(split.lower(), "train")].append((name, label))
            groups[key_of(name)] = key_of(name) if group is None else row[group]
    if faults:
        more = ". Correct or remove these lines; the folder of the files is given with --root"
        raise UserError(f"{where}: {first_few(faults)}{more}")
    if not items["train"]:
        raise UserError(f"{where}: lists no pictures for training, that is, of split 'train' or of none")
    ids = tuple(in_order({label for listed in items.values() for _, label in listed}))
    number = {label: k for k, label in enumerate(ids)}
    splits: dict[str, SourceSplit] = {}
    for split, listed in items.items():
        if listed:
            paths = [os.path.abspath(root / name)[1:] for name, _ in listed]
            labels = np.array([number[label] for _, label in listed], np.int64)
            splits[split] = SourceSplit([key_of(name) for name, _ in listed], labels, FileReader(Path("/"), paths))
    source = Source("table", ids, ids, "sorted label", splits, tuple(ignored), upright=True)
    return check(source, where), groups
