"""Evaluations and predictions as text for a terminal or a file, and as JSON for programs."""

import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from rich.cells import cell_len, set_cell_size

from alexnet.files.schema import attributes, to_json
from alexnet.measure.accuracy import Counts, count, describe_errors, wilson
from alexnet.measure.evaluation import ClassCounts, Evaluation
from alexnet.measure.predict import Failure, Prediction
from alexnet.measure.probabilities import Probabilities
from alexnet.measure.reliability import BINS
from alexnet.measure.sorting import UNSURE, answer
from alexnet.text import counted, first_few, printable, table

VIEW_NAMES = {1: "centre", 5: "five views", 9: "nine views", 10: "ten views"}
ROWS_SHOWN = 30
"""Classes in the table on screen; of more, only the worst are shown, and the table says so."""
PAIRS_SHOWN = 10
NAME_CELLS = 36
WIDEST = 100
"""Cells of a terminal that a prediction takes at most."""
CLASS_COLUMNS = ("class", "pictures", "top-1 errors", "", "top-5 errors", "", "nll", "precision", "recall", "F1")
NOT_SEEN = "not trained on"
EIGHTHS = " ▏▎▍▌▋▊▉"


# ── evaluations ──────────────────────────────────────────────────────────────────────────────────────────────────


def describe_evaluation(evaluations: dict[int, Evaluation]) -> str:
    """Headline figures for each number of views; the table of classes and the confused pairs for the largest."""
    fullest = evaluations[max(evaluations)]
    views = VIEW_NAMES[fullest.views]
    headline = list[tuple[str, ...]]()
    for number, evaluation in sorted(evaluations.items()):
        headline.append(_headline_row(VIEW_NAMES[number], evaluation))
        if evaluation.unseen:
            headline.append(_headline_row(f"  {NOT_SEEN}", evaluation.unseen))
    errors = table(("", "nll", "top-1 error", "", "top-5 error", ""), headline)
    return "\n\n".join((errors, averages_line(fullest), class_table(fullest), confusions(fullest, views)))


def averages_line(evaluation: Evaluation) -> str:
    """The means over the classes and the expected calibration error, on a line."""
    means = evaluation.averages
    return (
        f"Balanced accuracy {means.balanced_accuracy:.1%}, macro precision {means.macro_precision:.1%}, macro F1 "
        f"{means.macro_f1:.1%}; expected calibration error {evaluation.reliability.ece:.1%} ({BINS} bins)"
    )


def _headline_row(what: str, evaluation: Evaluation) -> tuple[str, ...]:
    counts = evaluation.counts
    top1 = f"{counts.top1:.2%}", describe_errors(counts.top1_errors, counts.pictures)
    return what, f"{counts.mean_nll:.4f}", *top1, f"{counts.top5:.2%}", f"{counts.top5_errors:,}"


def notes_on(evaluation: Evaluation) -> list[str]:
    """What must be known to read the figures: classes without pictures, pictures that the run was trained on."""
    notes = _absence(len(evaluation.class_ids), evaluation.absent)
    if evaluation.seen is None:
        notes.append("whether the run was trained on some of these pictures can't be checked: it does not know them")
    else:
        notes += _overlap(evaluation.seen)
    return notes


def _absence(classes: int, absent: Sequence[str]) -> list[str]:
    if not absent:
        return []
    measured = f"measured on {classes - len(absent):,} of {counted(classes, 'class', 'classes')}"
    return [f"{measured}: there are no pictures of {first_few(absent)}; answers may be any of the {classes:,}"]


def _overlap(seen: np.ndarray) -> list[str]:
    if seen.all():
        return [f"the network was trained on all {len(seen):,} pictures: this is the training error"]
    if not seen.any():
        return []
    others = f"the errors on the {(~seen).sum():,} others are given too"
    return [f"the network was trained on {seen.sum():,} of the {len(seen):,} pictures; {others}"]


def describe_average(names: Sequence[str], members: Sequence[Probabilities], averaged: Probabilities) -> str:
    """Weight and errors of each network, then those of the average. Without labels the weights alone."""
    weights = [f"{weight:.4f}" for weight in averaged.about["weights"]]
    known = bool((averaged.labels >= 0).all())
    headings = ("", "weight", *(("nll", "top-1 error", "top-5 error") if known else ()))
    rows = [
        (name, weight, *(_errors_of(found) if known else ()))
        for name, weight, found in zip((*names, "average"), (*weights, ""), (*members, averaged), strict=True)
    ]
    notes, ids = list[str](), averaged.about["class_ids"]
    if known:
        there = set(averaged.labels.tolist())
        notes = _absence(len(ids), [ident for k, ident in enumerate(ids) if k not in there]) + _overlap(averaged.seen)
    if known and averaged.seen.any() and not averaged.seen.all():
        rows.append((f"  {NOT_SEEN}", "", *_errors_of(averaged.unseen)))
    return "\n\n".join((*notes, table(headings, rows)))


def _errors_of(found: Probabilities) -> tuple[str, ...]:
    counts = count(torch.from_numpy(found.values), torch.from_numpy(found.labels))
    return f"{counts.mean_nll:.4f}", f"{counts.top1:.2%}", f"{counts.top5:.2%}"


def class_table(evaluation: Evaluation) -> str:
    """A line for each class; of many classes the worst ones, worst first."""
    rows = [row for row in evaluation.per_class if row.pictures]
    absent = len(evaluation.per_class) - len(rows)
    heading = f"Per class ({VIEW_NAMES[evaluation.views]})"
    if len(rows) > ROWS_SHOWN:
        heading += f": the {ROWS_SHOWN} worst of {len(rows):,}; --json has all"
        rows = sorted(rows, key=lambda row: (-row.top1, row.id))[:ROWS_SHOWN]
    if absent:
        heading += f"; {counted(absent, 'class has', 'classes have')} no picture here"
    return f"{heading}\n{table(CLASS_COLUMNS, map(class_cells, rows))}"


def class_cells(row: ClassCounts) -> tuple[str, ...]:
    """The cells of `CLASS_COLUMNS`."""
    return (
        fitted(row.name, NAME_CELLS),
        f"{row.pictures:,}",
        f"{row.top1_errors:,}",
        f"{row.top1:.1%}",
        f"{row.top5_errors:,}",
        f"{row.top5:.1%}",
        f"{row.mean_nll:.3f}",
        *("–" if math.isnan(score) else f"{score:.1%}" for score in (row.precision, row.recall, row.f1)),
    )


def confusions(evaluation: Evaluation, views: str) -> str:
    """The pairs of classes most often confused, one a line."""
    names = evaluation.class_names
    pairs = evaluation.confused(PAIRS_SHOWN)
    if not pairs:
        return f"Most confused ({views}): none, every picture was recognised."
    cells = [
        (f"{pair.count:,}", f"of {pair.pictures:,}", f"{names[pair.true]} → {names[pair.predicted]}") for pair in pairs
    ]
    return f"Most confused ({views}): true class → taken for\n" + table(("", "", ""), cells)


def evaluation_as_json(evaluations: dict[int, Evaluation], files: Sequence[str]) -> dict[str, Any]:
    """All figures as plain values: shares 0 to 1, counts exact, nll in nats; the wrong pictures, worst first. `files`:
    the names of all pictures."""
    fullest = evaluations[max(evaluations)]
    ids = fullest.class_ids
    seen, unseen = fullest.seen, {number: one.unseen for number, one in evaluations.items()}
    return {
        "results": _results(evaluations),
        "classes": {"measured": len(ids) - len(fullest.absent), "of": len(ids), "absent": list(fullest.absent)},
        "trained_on": None
        if seen is None
        else {
            "pictures": int(seen.sum()),
            "of": len(seen),
            "results_on_the_others": _results({number: one for number, one in unseen.items() if one}),
        },
        "table_views": fullest.views,
        "per_class": [
            {"class": row.name, "id": row.id, **_counts_as_json(row), **_scores_as_json(row)}
            for row in fullest.per_class
        ],
        "confused": [
            {"true": ids[pair.true], "predicted": ids[pair.predicted], "count": pair.count, "pictures": pair.pictures}
            for pair in fullest.confused(len(ids) ** 2)
        ],
        "wrong": list(map(to_json, fullest.wrong(files))),
    }


def _results(evaluations: dict[int, Evaluation]) -> list[dict[str, Any]]:
    return [
        {
            "views": number,
            **_counts_as_json(evaluation.counts),
            "top1_error": evaluation.top1_error,
            "top1_interval": list(wilson(evaluation.counts.top1_errors, evaluation.counts.pictures)),
            "top5_error": evaluation.top5_error,
            **to_json(evaluation.averages),
            "ece": evaluation.reliability.ece,
        }
        for number, evaluation in sorted(evaluations.items())
    ]


def _scores_as_json(row: ClassCounts) -> dict[str, float | None]:
    """Precision, recall and F1; null where nothing defines them."""
    scores = {"precision": row.precision, "recall": row.recall, "f1": row.f1}
    return {name: None if math.isnan(score) else score for name, score in scores.items()}


def _counts_as_json(counts: Counts) -> dict[str, float]:
    return attributes(counts, "pictures", "top1_errors", "top5_errors") | {"nll": counts.mean_nll}


# ── predictions ──────────────────────────────────────────────────────────────────────────────────────────────────


def describe_prediction(
    prediction: Prediction, width: int = 80, encoding: str | None = None, threshold: float = 0.0
) -> str:
    """The picture's name, "don't know" if no class reaches `threshold`, a line with a bar for each label, and what was
    odd about the file, `width` cells wide."""
    width = min(width, WIDEST)
    names = min(NAME_CELLS, width // 2, max(cell_len(label.name) for label in prediction.labels))
    room = max(0, width - names - len("  " + "  100.0%  "))
    lines = [
        f"  {fitted(label.name, names, pad=True)} {label.probability:7.1%}  {bar(label.probability, room, encoding)}"
        for label in prediction.labels
    ]
    notes = [f"  note: {note}" for note in prediction.notes]
    title = printable(prediction.name) + (f": {UNSURE}" if answer(prediction, threshold) == UNSURE else "")
    return "\n".join(line.rstrip() for line in (title, *lines, *notes))


def bar(share: float, cells: int, encoding: str | None = None) -> str:
    """A bar of `share` (0 to 1) of `cells` cells, to an eighth of a cell; of # where there are no blocks."""
    known = encoding or sys.stdout.encoding or "ascii"
    if not known.lower().replace("-", "").startswith("utf"):
        return "#" * round(share * cells)
    whole, eighths = divmod(round(share * cells * 8), 8)
    return "█" * whole + EIGHTHS[eighths].strip()


def fitted(name: str, cells: int, pad: bool = False) -> str:
    """The name, cut with … if it takes more than `cells` cells of a terminal, filled up to them with `pad`."""
    if cell_len(name) > cells:
        return set_cell_size(name, cells - 1).rstrip() + "…"
    return set_cell_size(name, cells) if pad else name


def prediction_as_json(found: Prediction | Failure, threshold: float = 0.0) -> dict[str, Any]:
    """{"file", "labels": [{"class", "id", "probability"}], "notes" if there are any, "answer" if there is a `threshold`
    (null below it)}, or {"file", "error"}."""
    if isinstance(found, Failure):
        return {"file": found.name, "error": found.reason}
    notes: dict[str, Sequence[str]] = {"notes": found.notes} if found.notes else {}
    name = answer(found, threshold)
    answered = {"answer": None if name == UNSURE else name} if threshold else {}
    return {"file": found.name, "labels": to_json(found.labels), **notes, **answered}
