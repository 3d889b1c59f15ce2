"""The outcome as a table: inputs, refused, taken, seconds, branches."""

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine import ROOT, Parser, Result, file_name

Branches = dict[str, tuple[int, int, list[str]]]


def line(result: Result) -> str:
    """A parser's outcome while others still run."""
    faults = "".join(f"\n    {count} × {what}: {result.kept.get(what, '')}" for what, count in result.faults.items())
    pace = result.inputs / max(result.seconds, 1e-3)
    said = f"{result.inputs:,} inputs, {result.taken:,} taken, {result.sound} sound seeds, {pace:,.0f} a second"
    return f"{result.name}: {said}{faults}"


def whole(
    parsers: Sequence[Parser], results: Sequence[Result], covered: Branches, seconds: float, missing: bool = False
) -> str:
    """The table in Markdown."""
    by_name = {result.name: result for result in results}
    rows = ["| parser | inputs | refused | taken | faults | seconds | branches |", "|---|---|---|---|---|---|---|"]
    for parser in parsers:
        found = by_name[parser.name]
        taken, there, _ = covered.get(parser.group or parser.name, (0, 0, []))
        share = f"{taken} of {there}, {taken / there:.0%}" if there else "–"
        faults = sum(found.faults.values())
        rows.append(
            f"| {parser.name} | {found.inputs:,} | {found.refused:,} | {found.taken:,} | {faults} "
            f"| {found.seconds:.0f} | {share} |"
        )
    sums = [sum(getattr(result, name) for result in results) for name in ("inputs", "refused", "taken")]
    faults = sum(sum(result.faults.values()) for result in results)
    rows.append(f"| all {len(results)} | {sums[0]:,} | {sums[1]:,} | {sums[2]:,} | {faults} | {seconds:.0f} in all | |")
    if missing:
        rows += [f"{name}: {', '.join(partly)}" for name, (_, _, partly) in covered.items() if partly]
    return "\n".join(rows)


def branches(parsers: Sequence[Parser], measured: Path) -> Branches:
    """Group → branches taken, branches there, and the functions that lack some."""
    groups: dict[str, list[Parser]] = {}
    for parser in parsers:
        groups.setdefault(parser.group or parser.name, []).append(parser)
    return {name: _of_group(members, measured) for name, members in groups.items()}


def _of_group(members: Sequence[Parser], measured: Path) -> tuple[int, int, list[str]]:
    import coverage

    files = [measured / file_name(member.name) for member in members]
    with tempfile.TemporaryDirectory() as folder:
        meter = coverage.Coverage(branch=True, data_file=f"{folder}/all", config_file=False, messages=False)
        meter.combine([str(file) for file in files if file.exists()], keep=True)
        report = Path(folder) / "report.json"
        with contextlib.redirect_stdout(io.StringIO()):
            meter.json_report(outfile=str(report))
        told: dict[str, Any] = json.loads(report.read_text())["files"]
    taken = there = 0
    partly = []
    for member in members[:1]:
        for name, wanted in member.counts.items():
            for function, about in told[_listed(name, told)]["functions"].items():
                if not function or (
                    wanted and not any(function == one or function.startswith(f"{one}.") for one in wanted)
                ):
                    continue
                summary = about["summary"]
                taken, there = taken + summary["covered_branches"], there + summary["num_branches"]
                if summary["covered_branches"] < summary["num_branches"]:
                    lines = ",".join(f"{a}→{b}" for a, b in about.get("missing_branches", []))
                    partly.append(f"{Path(name).name}:{function} ({lines})")
    return taken, there, partly


def _listed(name: str, told: dict[str, Any]) -> str:
    """The report's name of a file of the package."""
    whole_path = os.path.relpath(ROOT / name)
    return whole_path if whole_path in told else str(ROOT / name)
