"""Result files as one Markdown page and one HTML page that opens offline. Both are made from the files alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from alexnet.errors import UserError
from alexnet.experiments.finding import ANSWERS, Row, Verdict, in_points
from alexnet.experiments.running import RESULTS, Figure, Result, read_results
from alexnet.experiments.settings import describe
from alexnet.experiments.statistics import RULE
from alexnet.files.atomic import faults_named, write_atomically
from alexnet.files.outputs import mark, refuse_foreign
from alexnet.report.html import render
from alexnet.text import duration, table

SUMMARY = ("result", "on", "does the direction agree")
HEADING = ("", "paper", "ours", "± over seeds", "seeds", "")


def write_report(folder: Path) -> tuple[Path, Path]:
    """FOLDER/report.md and report.html from FOLDER/results/*.json. Raises UserError if there are none."""
    results = read_results(folder)
    if not results:
        raise UserError(f"{folder}: no results. `alexnet paper run ID STORE --out {folder}` makes some.")
    place = folder / RESULTS if (folder / RESULTS).is_dir() else folder
    prefix = f"{RESULTS}/" if place != folder else ""
    pages = folder / "report.md", folder / "report.html"
    for path in pages:
        refuse_foreign(path, "results", "folder")
    text = f"# Results\n\n<!-- {mark('results')} -->\n\n{markdown(results, prefix)}"
    write_atomically(pages[0], text.encode(errors="backslashreplace"))
    write_atomically(pages[1], page(results, place))
    return pages


# ── text for all pages ───────────────────────────────────────────────────────────────────────────────────────────


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


def heading(result: Result) -> str:
    return f"{result.id}: {result.title}, on {networks_and_data(result)}"


def networks_and_data(result: Result) -> str:
    """The store and the settings that differ from their defaults: they tell results of one id apart."""
    before = [f"pre-training on {result.pretraining.store}"] if result.pretraining else []
    return ", ".join((result.data.store, *before, *describe(result.settings)))


def summary_rows(results: Mapping[str, Result]) -> list[tuple[str, ...]]:
    return [(f"{r.id}, {r.title}", networks_and_data(r), describe_answer(r)) for r in results.values()]


def describe_verdict(verdict: Verdict) -> str:
    return f"{verdict.claim}: {ANSWERS[verdict.agrees]} ({verdict.why})"


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


# ── Markdown ─────────────────────────────────────────────────────────────────────────────────────────────────────


def markdown(results: Mapping[str, Result], prefix: str, level: int = 2) -> str:
    """All results below headings of `level`; files are linked as `prefix`NAME."""
    summary = [SUMMARY, ("---",) * len(SUMMARY), *summary_rows(results)]
    body = "\n\n".join(section_in_markdown(file, result, prefix, level) for file, result in results.items())
    return f"{_lines(summary)}\n\n{RULE}\n\n{body}\n"


def section_in_markdown(file: str, result: Result, prefix: str, level: int) -> str:
    rows = [HEADING, ("---", *("---:",) * 4, "---"), *table_rows(result)]
    parts = [
        f"{'#' * level} {heading(result)}",
        f"Claim: {result.claim}",
        f"    {result.command}",
        _lines(rows),
        "\n".join(f"- {describe_verdict(verdict)}" for verdict in result.verdicts),
        "\n".join(f"- {note}" for note in result.notes),
        "\n".join(f"- {name}: {words}" for name, words in facts_of(result).items()),
        f"All figures: [{file}]({prefix}{file})",
        *(figure_in_markdown(figure, prefix) for figure in result.figures),
    ]
    return "\n\n".join(filter(None, parts))


def figure_in_markdown(figure: Figure, prefix: str) -> str:
    if figure.left_out:
        return f"(A figure with other people's photographs is not kept here: {figure.caption}.)"
    return f"![{figure.caption}]({prefix}{figure.file})"


def _lines(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


# ── HTML ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def page(results: Mapping[str, Result], place: Path) -> bytes:
    """A page that stands alone, figures within."""
    sections = [
        {
            "heading": heading(result),
            "claim": result.claim,
            "command": result.command,
            "rows": table_rows(result),
            "verdicts": [describe_verdict(verdict) for verdict in result.verdicts],
            "notes": result.notes,
            "figures": [(figure_file(figure, place), figure.caption) for figure in result.figures],
            "facts": facts_of(result),
        }
        for result in results.values()
    ]
    return render(
        "results.html",
        "results",
        title="Results of the papers",
        summary_heading=SUMMARY,
        summary=summary_rows(results),
        rule=RULE,
        heading=HEADING,
        results=sections,
    )


def figure_file(figure: Figure, place: Path) -> bytes | None:
    """The bytes of a figure; None for one that is not kept here."""
    path = place / (figure.file or "")
    if not path.is_file():
        return None
    with faults_named(path):
        return path.read_bytes()


# ── on the terminal ──────────────────────────────────────────────────────────────────────────────────────────────


def describe_result(result: Result) -> str:
    """A result for a person: the claim, the paper's numbers beside ours, the verdicts."""
    verdicts = "\n".join(f"  {describe_verdict(verdict)}" for verdict in result.verdicts)
    return "\n\n".join(
        (
            f"{result.id}: {result.title}\nclaim: {result.claim}\nreading: {result.reading}",
            table(HEADING[:5], [row[:5] for row in table_rows(result)]),
            f"Does the direction agree? {describe_answer(result)}\n{verdicts}",
        )
    )
