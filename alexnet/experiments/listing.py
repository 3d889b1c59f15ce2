"""The results that can be reproduced, and the 98 logged runs of 2012, as text."""

import textwrap

from alexnet.experiments.krizhevsky2012.runs import Logged, LoggedRun, logged_runs, runs_without_file
from alexnet.experiments.registry import every_result
from alexnet.text import duration, table

EXAMPLE_PICTURES, EXAMPLE_EPOCHS, EXAMPLE_PACE = 4000, 40, 250
"""The example for which costs are given: pictures, epochs, and the pace of half-width networks on two cores, in
pictures/s."""


def list_results(seeds: int, width: int) -> str:
    """Every result: id, title, claim, needs, cost here and at full scale."""
    seconds = EXAMPLE_PICTURES * EXAMPLE_EPOCHS / EXAMPLE_PACE
    listed = []
    for experiment in every_result().values():
        count = experiment.trainings * seeds + experiment.fixed_trainings
        here = experiment.cost_here or f"about {duration(count * seconds)} *"
        lines = [
            f"claim: {experiment.claim}",
            f"needs: {experiment.needs}",
            f"cost:  {experiment.cost(seeds)}, {here}; its authors: {experiment.full_scale}",
        ]
        folded = [
            textwrap.fill(line, max(60, width - 2), initial_indent="  ", subsequent_indent="    ") for line in lines
        ]
        listed.append("\n".join((f"{experiment.id}  {experiment.title}", *folded)))
    note = (
        f"* {EXAMPLE_EPOCHS} epochs of {EXAMPLE_PICTURES:,} pictures at half width on two cores, nothing trained yet; "
        "results in one folder share their networks."
    )
    return "\n\n".join((*listed, textwrap.fill(note, max(60, width))))


def list_runs() -> str:
    """A line for each of the 98 files: the run, its options here, its best logged result; or the reason."""
    rows = []
    for run in (*logged_runs(), *runs_without_file()):
        rows.append((run.file, options_of(run), _logged(run.best), "; ".join(filter(None, (run.what, run.reason)))))
    return table(("file", "here", "logged", ""), rows, left=4)


def options_of(run: LoggedRun) -> str:
    """The options of `alexnet train` that make the run; a dash where it is not expressed."""
    if not run.recipe:
        return "–"
    start = "" if run.start is None else f" --from RUN-{run.start[0]} --take {run.start[1]}"
    return f"--recipe {run.recipe}{start}{' ' + run.beside if run.beside else ''}"


def _logged(result: Logged | None) -> str:
    return "–" if result is None else f"{result.top1 * 100:.2f} / {result.top5 * 100:.2f} ({result.where})"
