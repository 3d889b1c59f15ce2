"""Corrections of labels, as `alexnet check --write` lists them and a person edits them, applied to a source; and the
same file edited by marks, as the explorer's pages make them."""

import csv
import io
import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from alexnet.data.sources.base import Source, listed
from alexnet.data.sources.table import read_rows, rows_of
from alexnet.errors import UserError
from alexnet.files.atomic import write_atomically
from alexnet.text import counted, first_few, printable

LEAVE_OUT = "leave out"
"""In the column `suggested`: the picture is not prepared."""
APPLIED = {"yes": True, "no": False, "": False}
"""What the column `apply` may say. Without the column all lines are applied."""
CLASSES_SHOWN = 20
HEADING = ("file", "label", "suggested", "apply", "p(label)", "p(suggested)", "why")
"""Columns of a new file. An existing one needs `file` and `suggested`; marks add `apply` and `why`."""
MARKED = re.compile(r"(?:; |^)marked (right|wrong|leave out)$")
"""How a mark stands at the end of the column `why`."""


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


class Mark(NamedTuple):
    """What a person says of a picture: its label is right; or wrong, with its class; or it is to be left out."""

    kind: Literal["right", "wrong", "leave out"]
    suggested: str = ""


class CorrectionsFile:
    """A file of corrections that is edited by marks. It is read before each; rows that are not marked, their order,
    further columns, the separator and the encoding stay as they are."""

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, threading.Lock()

    def marks(self) -> dict[str, Mark]:
        """The mark of each file that has one: every line that `corrected` applies, and the files marked right. Empty if
        there is no file. Raises UserError if it is no file of corrections."""
        titles, rows, *_ = self._read()
        found = {}
        for row in rows:
            cells = dict(zip(titles, row, strict=False))
            suggested, applied = cells["suggested"].strip(), cells.get("apply", "yes").strip().lower()
            marked = MARKED.search(cells.get("why", ""))
            if suggested and APPLIED.get(applied):
                found[cells["file"]] = Mark("leave out") if suggested == LEAVE_OUT else Mark("wrong", suggested)
            elif marked and marked[1] == "right":
                found[cells["file"]] = Mark("right")
        return found

    def mark(self, file: str, label: str, mark: Mark | None) -> None:
        """Mark a picture, or take its mark away: a line that only a mark made is then removed. Raises UserError if the
        file is no file of corrections or can't be written."""
        with self._lock:
            titles, rows, codec, separator, end = self._read()
            for name, usual in (("apply", "yes"), ("why", "")):
                if name not in titles:
                    width = len(titles)
                    rows = [[*row[:width], *[""] * (width - len(row)), usual, *row[width:]] for row in rows]
                    titles.append(name)
            kept = []
            for row in rows:
                cells = dict(zip(titles, [*row, *[""] * (len(titles) - len(row))], strict=False))
                if cells["file"] == file:
                    if mark is None and MARKED.fullmatch(cells["why"]):
                        continue
                    row = [*_marked(cells, mark).values(), *row[len(titles) :]]
                kept.append(row)
            if mark is not None and not any(row[titles.index("file")] == file for row in kept):
                cells = {title: {"file": file, "label": label}.get(title, "") for title in titles}
                kept.append(list(_marked(cells, mark).values()))
            text = io.StringIO()
            csv.writer(text, delimiter=separator, lineterminator=end).writerows([titles, *kept])
            write_atomically(self.path, text.getvalue().encode(codec))

    def _read(self) -> tuple[list[str], list[list[str]], str, str, str]:
        """Titles, rows, codec, separator and end of a line."""
        if not self.path.exists():
            return list(HEADING), [], "utf-8", ",", "\n"
        rows, codec, separator = read_rows(self.path)
        titles, *others = [list(row) for _, row in rows] or [list(HEADING)]
        if not {"file", "suggested"} <= set(titles) or len(set(titles)) < len(titles):
            raise UserError(
                f"{self.path}: exists and is no file of corrections: the columns file and suggested are needed, each "
                "column once. Name another file with --corrections."
            )
        needed = titles.index("suggested") + 1, titles.index("file") + 1
        others = [[*row, *[""] * (max(needed) - len(row))] for row in others]
        return titles, others, codec, separator, "\r\n" if b"\r" in self.path.read_bytes() else "\n"


def _marked(cells: dict[str, str], mark: Mark | None) -> dict[str, str]:
    """A line's cells with a mark in place of the one it had."""
    why = MARKED.sub("", cells["why"])
    if mark is None:
        return cells | {"apply": "no", "why": why}
    suggested = {"right": cells["suggested"], "wrong": mark.suggested, "leave out": LEAVE_OUT}[mark.kind]
    applied = "no" if mark.kind == "right" else "yes"
    return cells | {
        "suggested": suggested,
        "apply": applied,
        "why": "; ".join(filter(None, (why, f"marked {mark.kind}"))),
    }
