"""Result files as one Markdown page and one HTML page that opens offline. Both are made from the files alone."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alexnet.errors import UserError
from alexnet.experiments.finding import WORDS, in_points
from alexnet.experiments.running import RESULTS, read_results
from alexnet.experiments.settings import describe
from alexnet.experiments.statistics import RULE
from alexnet.files.atomic import faults_named, write_atomically
from alexnet.files.outputs import mark, refuse_foreign
from alexnet.report.html import render
from alexnet.text import duration, table

SUMMARY = ("result", "on", "does the direction agree")
SHORT_WORDS = {**WORDS, "undecided": "undecided"}
HEADING = ("", "paper", "ours", "± over seeds", "seeds", "")


def write_report(folder: Path) -> tuple[Path, Path]:
    """FOLDER/report.md and report.html from FOLDER/results/*.json. Raises UserError if there are none."""
    results = read_results(folder)
    if not results:
        raise UserError(f"{folder}: no results. `alexnet paper run ID STORE --out {folder}` makes some.")
    place = folder / RESULTS if (folder / RESULTS).is_dir() else folder
    pages = folder / "report.md", folder / "report.html"
    prefix = f"{RESULTS}/" if place != folder else ""
    for path in pages:
        refuse_foreign(path, "results", "folder")
    write_atomically(
        pages[0],
        f"# Results\n\n<!-- {mark('results')} -->\n\n{markdown(results, prefix)}".encode(errors="backslashreplace"),
    )
    write_atomically(pages[1], page(results, place))
    return pages


# ── words for both ───────────────────────────────────────────────────────────────────────────────────────────────


def value_in_words(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    if unit == "%":
        return f"{value * 100:.2f} %"
    if unit == "points":
        return in_points(value)
    return f"{value:.4g} {unit}".rstrip()


def table_rows(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """Each row's cells, as `HEADING` names them."""
    return [
        (
            row["what"],
            value_in_words(row["paper"], row["unit"]),
            value_in_words(row["mean"], row["unit"]),
            "–" if row["spread"] is None else value_in_words(row["spread"], row["unit"]).lstrip("+"),
            str(row.get("seeds") or len(row["values"])),
            "; ".join(filter(None, (margin_in_words(row), row["note"]))),
        )
        for row in result["rows"]
    ]


def margin_in_words(row: dict[str, Any]) -> str:
    return "" if row["margin"] is None else f"margin {value_in_words(row['margin'], row['unit']).lstrip('+')}"


def heading(result: dict[str, Any]) -> str:
    return f"{result['id']}: {result['title']}, on {networks_and_data(result)}"


def networks_and_data(result: dict[str, Any]) -> str:
    """The store and what was chosen in place of the usual: what tells results of one id apart."""
    pretraining = result.get("pretraining")
    before = [f"pre-training on {pretraining['store']}"] if pretraining else []
    return ", ".join((result["data"]["store"], *before, *describe(result["settings"])))


def summary_rows(results: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [(f"{r['id']}, {r['title']}", networks_and_data(r), agrees_in_words(r)) for r in results]


def verdict_in_words(verdict: dict[str, Any]) -> str:
    return f"{verdict['claim']}: {WORDS[verdict['agrees']]} ({verdict['why']})"


def agrees_in_words(result: dict[str, Any]) -> str:
    answers = Counter(verdict["agrees"] for verdict in result["verdicts"])
    of_each = ", ".join(f"{answers[answer]} {word}" for answer, word in SHORT_WORDS.items() if answers[answer])
    told = f" (of {answers.total()} claims: {of_each})" if len(answers) > 1 else ""
    return WORDS[result["agrees"]] + told + (f"; {result['invalid']}" if result["invalid"] else "")


def facts_of(result: dict[str, Any]) -> dict[str, str]:
    """What was done on what, in words."""
    data, versions = result["data"], result["versions"]
    counts = ", ".join(f"{count:,} {name}" for name, count in data["pictures"].items())
    seconds = result["seconds"]
    return {
        "Does the direction agree": agrees_in_words(result),
        "Reading": result["reading"],
        "Recipe": result["recipe"],
        "Pictures": f"{data['store']}, {data['classes']:,} classes, {counts}, records of {data['record']}; measured on "
        f"{data['measured on']}; fingerprint {data['fingerprint'][:16]}",
        "Time": f"{duration(seconds['training'])} of training, {duration(seconds['rest'])} for the rest, "
        "without what was measured before",
        "Versions": f"alexnet {versions['alexnet']}, torch {versions['torch']}, Python {versions['python']}; "
        f"{versions['kernels']}; {result['when']}",
    }


# ── Markdown ─────────────────────────────────────────────────────────────────────────────────────────────────────


def markdown(results: Sequence[dict[str, Any]], prefix: str, level: int = 2) -> str:
    """All results below headings of `level`; files are linked as `prefix`NAME."""
    summary = [SUMMARY, ("---",) * len(SUMMARY), *summary_rows(results)]
    body = "\n\n".join(section_in_markdown(result, prefix, level) for result in results)
    return f"{_lines(summary)}\n\n{RULE}\n\n{body}\n"


def section_in_markdown(result: dict[str, Any], prefix: str, level: int) -> str:
    rows = [HEADING, ("---", *("---:",) * 4, "---"), *table_rows(result)]
    facts = "\n".join(f"- {name}: {words}" for name, words in facts_of(result).items())
    verdicts = "\n".join(f"- {verdict_in_words(verdict)}" for verdict in result["verdicts"])
    parts = [
        f"{'#' * level} {heading(result)}",
        f"Claim: {result['claim']}",
        f"    {result['command']}",
        _lines(rows),
        verdicts,
        "\n".join(f"- {note}" for note in result["notes"]),
        facts,
        f"All figures: [{result['file']}]({prefix}{result['file']})",
        *(figure_in_markdown(figure, prefix) for figure in result["figures"]),
    ]
    return "\n\n".join(filter(None, parts))


def figure_in_markdown(figure: dict[str, Any], prefix: str) -> str:
    if figure.get("left_out"):
        return f"(A figure with other people's photographs is not kept here: {figure['caption']}.)"
    return f"![{figure['caption']}]({prefix}{figure['file']})"


def _lines(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


# ── HTML ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def page(results: Sequence[dict[str, Any]], place: Path) -> bytes:
    """A page that stands alone, figures within."""
    sections = [
        {
            "heading": heading(result),
            "claim": result["claim"],
            "command": result["command"],
            "rows": table_rows(result),
            "verdicts": [verdict_in_words(verdict) for verdict in result["verdicts"]],
            "notes": result["notes"],
            "figures": [(figure_file(figure, place), figure["caption"]) for figure in result["figures"]],
            "facts": facts_of(result),
        }
        for result in results
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


def figure_file(figure: dict[str, Any], place: Path) -> bytes | None:
    """The bytes of a figure; None for one that is not kept here."""
    path = place / (figure.get("file") or "")
    if not path.is_file():
        return None
    with faults_named(path):
        return path.read_bytes()


# ── on the terminal ──────────────────────────────────────────────────────────────────────────────────────────────


def result_in_words(result: dict[str, Any]) -> str:
    """A result for a person: the claim, the paper's numbers beside ours, the verdicts."""
    verdicts = "\n".join(f"  {verdict_in_words(verdict)}" for verdict in result["verdicts"])
    return "\n\n".join(
        (
            f"{result['id']}: {result['title']}\nclaim: {result['claim']}\nreading: {result['reading']}",
            table(HEADING[:5], [row[:5] for row in table_rows(result)]),
            f"Does the direction agree? {agrees_in_words(result)}\n{verdicts}",
        )
    )
