"""Result files as one Markdown page and one HTML page that opens offline. Both are made from the files alone."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alexnet.errors import UserError
from alexnet.experiments.finding import ANSWERS, Row, in_points
from alexnet.experiments.running import RESULTS, Figure, Result, folder_of, read_results
from alexnet.experiments.settings import describe
from alexnet.experiments.statistics import RULE
from alexnet.files.atomic import faults_named, write_atomically
from alexnet.files.outputs import mark, refuse_foreign
from alexnet.html import render
from alexnet.text import duration, table

SUMMARY = ("result", "on", "does the direction agree")
HEADING = ("", "paper", "ours", "± over seeds", "seeds", "")


def write_report(folder: Path) -> tuple[Path, Path]:
    """FOLDER/report.md and report.html from FOLDER/results/*.json. Raises UserError if there are none."""
    results = read_results(folder)
    if not results:
        raise UserError(f"{folder}: no results. `alexnet paper run ID STORE --out {folder}` makes some.")
    results_folder = folder_of(folder)
    prefix = f"{RESULTS}/" if results_folder != folder else ""
    pages = folder / "report.md", folder / "report.html"
    for path in pages:
        refuse_foreign(path, "results", "folder")
    text = f"# Results\n\n<!-- {mark('results')} -->\n\n{markdown(results, prefix)}"
    write_atomically(pages[0], text.encode(errors="backslashreplace"))
    figures = {figure.file: figure_file(figure, results_folder) for one in results.values() for figure in one.figures}
    html = render("results.html", "results", title="Results of the papers", pictures=figures, **content_of(results))
    write_atomically(pages[1], html)
    return pages


def markdown(results: Mapping[str, Result], prefix: str, level: int = 2) -> str:
    """All results below headings of `level`; files are linked as `prefix`NAME."""
    return render("results.md", "results", prefix=prefix, marks="#" * level, **content_of(results)).decode()


def content_of(results: Mapping[str, Result]) -> dict[str, Any]:
    """What the templates results.md and results.html show, and how they say it."""
    return {
        "results": results,
        "summary_heading": SUMMARY,
        "summary": [(f"{r.id}, {r.title}", networks_and_data(r), describe_answer(r)) for r in results.values()],
        "rule": RULE,
        "heading": HEADING,
        "title_of": title_of,
        "rows_of": table_rows,
        "facts_of": facts_of,
        "verdicts_of": describe_verdicts,
    }


def figure_file(figure: Figure, folder: Path) -> bytes | None:
    """The bytes of a figure; None for one that is not kept here."""
    path = folder / (figure.file or "")
    if not path.is_file():
        return None
    with faults_named(path):
        return path.read_bytes()


# ── the words of a result ────────────────────────────────────────────────────────────────────────────────────────


def describe_value(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    if unit == "%":
        return f"{value * 100:.2f} %"
    if unit == "points":
        return in_points(value)
    return f"{value:.4g} {unit}".rstrip()


def table_rows(result: Result) -> list[tuple[str, ...]]:
    """Each row's cells, as `HEADING` names them."""
    return [
        (
            row.what,
            describe_value(row.paper, row.unit),
            describe_value(row.mean, row.unit),
            describe_value(row.spread, row.unit).lstrip("+"),
            str(row.seeds or len(row.values)),
            "; ".join(filter(None, (_margin(row), row.note))),
        )
        for row in result.rows
    ]


def _margin(row: Row) -> str:
    return "" if row.margin is None else f"margin {describe_value(row.margin, row.unit).lstrip('+')}"


def title_of(result: Result) -> str:
    return f"{result.id}: {result.title}, on {networks_and_data(result)}"


def networks_and_data(result: Result) -> str:
    """The store and the settings that differ from their defaults: they tell results of one id apart."""
    before = [f"pre-training on {result.pretraining.store}"] if result.pretraining else []
    return ", ".join((result.data.store, *before, *describe(result.settings)))


def describe_verdicts(result: Result) -> list[str]:
    return [f"{verdict.claim}: {ANSWERS[verdict.agrees]} ({verdict.why})" for verdict in result.verdicts]


def describe_answer(result: Result) -> str:
    answers = Counter(verdict.agrees for verdict in result.verdicts)
    short = ANSWERS | {"undecided": "undecided"}
    of_each = ", ".join(f"{answers[answer]} {word}" for answer, word in short.items() if answers[answer])
    claims = f" (of {answers.total()} claims: {of_each})" if len(answers) > 1 else ""
    return ANSWERS[result.agrees] + claims + (f"; {result.invalid}" if result.invalid else "")


def facts_of(result: Result) -> dict[str, str]:
    """What was done, on what data, and how long it took."""
    data, versions, seconds = result.data, result.versions, result.seconds
    counts = ", ".join(f"{count:,} {name}" for name, count in data.pictures.items())
    return {
        "Does the direction agree": describe_answer(result),
        "Reading": result.reading,
        "Recipe": result.recipe,
        "Pictures": f"{data.store}, {data.classes:,} classes, {counts}, records of {data.record}; measured on "
        f"{data.measured_on}; fingerprint {data.fingerprint[:16]}",
        "Time": f"{duration(seconds.training)} of training, {duration(seconds.rest)} for the rest, "
        "without what was measured before",
        "Versions": f"alexnet {versions.alexnet}, torch {versions.torch}, Python {versions.python}; "
        f"{versions.kernels}; {result.when}",
    }


def describe_result(result: Result) -> str:
    """A result for a person: the claim, the paper's numbers next to ours, the verdicts."""
    verdicts = "\n".join(f"  {verdict}" for verdict in describe_verdicts(result))
    return "\n\n".join(
        (
            f"{result.id}: {result.title}\nclaim: {result.claim}\nreading: {result.reading}",
            table(HEADING[:5], [row[:5] for row in table_rows(result)]),
            f"Does the direction agree? {describe_answer(result)}\n{verdicts}",
        )
    )
