"""Corrections of labels, as `alexnet check --write` lists them and a person edits them, applied to a source."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np

from alexnet.data.sources.base import Source, listed
from alexnet.errors import UserError
from alexnet.files.atomic import read_bounded
from alexnet.text import counted

LEAVE_OUT = "leave out"
"""In the column `suggested`: the picture is not prepared."""
MOST_BYTES = 1 << 28


def corrected(source: Source, file: Path) -> Source:
    """The source with the labels of the column `suggested` for the pictures of the column `file`; those marked
    "leave out" are absent. Pictures keep their split; the files themselves are not touched.

    Raises UserError if the file lacks these columns, or names a picture or a class that the source does not have."""
    text = read_bounded(file, MOST_BYTES).decode("utf-8-sig", "replace")
    rows = list(csv.DictReader(io.StringIO(text)))
    if rows and not {"file", "suggested"} <= set(rows[0]):
        raise UserError(
            f"{file}: the columns file and suggested are needed. `alexnet check --write` makes such a file."
        )
    wanted = {row["file"]: (row["suggested"] or "").strip() for row in rows}
    label_of = dict(zip((*source.class_names, *source.class_ids), 2 * tuple(range(len(source.class_ids))), strict=True))
    if strange := sorted({name for name in wanted.values() if name != LEAVE_OUT and name not in label_of}):
        raise UserError(f"{file}: no class is called {listed(strange)}. Write a class of the source, or {LEAVE_OUT!r}.")
    keys = {str(key) for split in source.splits.values() for key in split.keys}
    if absent := [name for name in wanted if name not in keys]:
        raise UserError(f"{file}: the source has no picture {listed(absent)}. Remove these lines.")
    splits, changed, left_out = {}, 0, 0
    for name, split in source.splits.items():
        labels, kept = split.labels.copy(), np.ones(len(split), bool)
        for number, key in enumerate(split.keys):
            match wanted.get(str(key)):
                case None:
                    continue
                case "leave out":
                    kept[number] = False
                case class_name:
                    labels[number] = label_of[class_name]
        changed += int((labels != split.labels).sum())
        left_out += int((~kept).sum())
        splits[name] = replace(split, labels=labels).take(np.flatnonzero(kept))
    note = f"{file}: {counted(changed, 'label')} corrected, {counted(left_out, 'picture')} left out"
    return replace(source, splits=splits, notes=(*source.notes, note))
