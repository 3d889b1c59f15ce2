"""Corrections of labels, as `alexnet check --write` lists them and a person edits them, applied to a source."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from alexnet.data.sources.base import Source, listed
from alexnet.data.sources.table import rows_of
from alexnet.errors import UserError
from alexnet.text import counted, first_few, printable

LEAVE_OUT = "leave out"
"""In the column `suggested`: the picture is not prepared."""
APPLIED = {"yes": True, "no": False, "": False}
"""What the column `apply` may say. Without the column all lines are applied."""
CLASSES_SHOWN = 20


def corrected(source: Source, file: Path) -> Source:
    """The source with the labels of the column `suggested` for the pictures of the column `file`; those marked
    "leave out" are absent, those without a suggestion keep their label, as do those with "no" in a column `apply`.
    Pictures keep their split; the files themselves are not touched.

    Raises UserError if the file lacks these columns, contradicts itself, or names a picture or a class that the source
    does not have."""
    titles, *rows = rows_of(file) or [(1, ())]
    if not {"file", "suggested"} <= set(titles[1]):
        raise UserError(
            f"{file}: the columns file and suggested are needed. `alexnet check --write` makes such a file."
        )
    wanted: dict[str, str] = {}
    line_of: dict[str, int] = {}
    passed_over = 0
    for line, row in rows:
        cells = dict(zip(titles[1], row, strict=False))
        name, suggested = cells["file"], cells.get("suggested", "").strip()
        if (word := cells.get("apply", "yes").strip().lower()) not in APPLIED:
            raise UserError(f"{file}: line {line}: the column apply says {printable(word)!r}. Write yes or no.")
        if suggested and not APPLIED[word]:
            passed_over += 1
        elif suggested and wanted.setdefault(name, suggested) != suggested:
            raise UserError(f"{file}: line {line}: another suggestion for {listed([name])}. Remove one of the two.")
        elif suggested:
            line_of.setdefault(name, line)
    label_of = dict(zip((*source.class_names, *source.class_ids), 2 * tuple(range(len(source.class_ids))), strict=True))
    if strange := [name for name, suggested in wanted.items() if suggested not in (LEAVE_OUT, *label_of)]:
        faults = [f"line {line_of[name]}: no class is called {listed([wanted[name]])}" for name in strange]
        classes = first_few([*map(printable, source.class_names)], CLASSES_SHOWN)
        raise UserError(f"{file}: {first_few(faults)}. Write one of the classes, or {LEAVE_OUT!r}. Classes: {classes}.")
    keys = {str(key) for split in source.splits.values() for key in split.keys}
    if absent := [name for name in wanted if name not in keys]:
        faults = [f"line {line_of[name]}: the source has no picture {listed([name])}" for name in absent]
        raise UserError(f"{file}: {first_few(faults)}. Correct or remove the lines.")
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
    if passed_over:
        note += f"; {counted(passed_over, 'suggestion')} not applied, by the column apply"
    return replace(source, splits=splits, notes=(*source.notes, note))
