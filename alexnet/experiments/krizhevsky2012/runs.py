"""The 98 parameter files of the 2012 code: what each run was, what its author logged, and whether it is a recipe here.

They are listed in runs.toml.
"""

from dataclasses import dataclass
from functools import cache

from alexnet.files.packaged import read_toml
from alexnet.files.schema import from_json


@dataclass(frozen=True)
class Logged:
    """A logged result: of which set, by how many views (0: not said), top-1 and top-5 error, nll where it is noted."""

    set: str
    top1: float
    top5: float
    views: int = 0
    nll: float | None = None

    @property
    def where(self) -> str:
        """The set and the views in words."""
        return self.set + {0: "", 1: ", centre", 10: ", ten views"}[self.views]


@dataclass(frozen=True)
class LoggedRun:
    """A parameter file: `recipe` and `beside`, the options that make it here; or `reason`, why it is not expressed.
    `start`: the recipe of the run it starts from, and the layers taken."""

    file: str
    what: str
    results: tuple[Logged, ...] = ()
    recipe: str = ""
    beside: str = ""
    start: tuple[str, str] | None = None
    reason: str = ""

    @property
    def best(self) -> Logged | None:
        """The result with the most views."""
        return max(self.results, key=lambda result: result.views, default=None)


@cache
def logged_runs() -> tuple[LoggedRun, ...]:
    """All 98, in the order of the release."""
    return _read("run")


@cache
def runs_without_file() -> tuple[LoggedRun, ...]:
    """Run 145 continued, and run 169 in 80 epochs."""
    return _read("without_file")


def _read(kind: str) -> tuple[LoggedRun, ...]:
    data = read_toml("alexnet.experiments.krizhevsky2012", "runs.toml")
    for entry in data[kind]:
        entry["reason"] = "; ".join(data["reasons"][name] for name in entry.get("reasons", ()))
    return from_json(data[kind], tuple[LoggedRun, ...], "runs.toml", "")


def by_recipe() -> dict[str, LoggedRun]:
    """Every run that is a recipe of its own here, by the recipe's name."""
    own = [run for run in logged_runs() if run.recipe and not run.beside]
    return {run.recipe: run for run in (*own, *runs_without_file())}
