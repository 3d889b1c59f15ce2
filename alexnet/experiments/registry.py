"""The register of results: every table, figure and claim of the papers, as their published.toml files list them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from alexnet.errors import UsageError
from alexnet.files.packaged import read_toml

if TYPE_CHECKING:
    from alexnet.experiments.finding import Finding
    from alexnet.experiments.lab import Lab

PAPERS = ("alexnet.experiments.krizhevsky2012", "alexnet.experiments.zeiler2014")


@dataclass(frozen=True)
class Experiment:
    """A table, figure or claim of a paper, and the function that reproduces it.

    `needs`: what pictures it needs; `full_scale`: what it cost its authors; `trainings`: networks to train for each
    seed; `fixed_trainings`: networks to train whatever the number of seeds; `cost_here`: what it costs here, where that
    can't be estimated from the number of networks; `keypoints`: whether it uses pictures with key points;
    `ignored_settings`: those that have no effect, mostly because it has values of its own; `only`: whether some of its
    networks can be chosen; `record_size`: the side of the records, if it requires one. `changes`: the ablations, as
    `Change` in ablations.py reads them; `numbers`: what else the paper prints, and the words of
    rows and claims; `arguments`: what the function is given besides the lab.
    """

    id: str
    function: str
    title: str
    claim: str
    needs: str
    full_scale: str
    trainings: int = 0
    fixed_trainings: int = 0
    cost_here: str = ""
    keypoints: bool = False
    ignored_settings: Sequence[str] = ()
    only: bool = False
    record_size: int | None = None
    changes: Sequence[dict[str, Any]] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    arguments: Sequence[str] = ()

    def cost(self, seeds: int) -> str:
        """The number of networks to train, as text."""
        count = self.trainings * seeds + self.fixed_trainings
        return f"{count} trainings with {seeds} seeds" if self.trainings else f"{count} trainings"

    def run(self, lab: "Lab") -> "Finding":
        module, name = self.function.rsplit(".", 1)
        return getattr(import_module(module), name)(lab, *self.arguments)


class Unsuited(UsageError):
    """The pictures given are not of the kind that a result needs, or a second store is missing."""


@cache
def every_result() -> dict[str, Experiment]:
    """All results by id, in the papers' order."""
    return {experiment.id: experiment for package in PAPERS for experiment in _read(package)}


def _read(package: str) -> list[Experiment]:
    entries = read_toml(package, "published.toml")
    usual = entries.pop("default")
    found = []
    for id, entry in entries.items():
        fields = usual | entry | {"id": id, "function": f"{package}.{entry['function']}"}
        if not fields.get("only"):
            fields["ignored_settings"] = [*fields.get("ignored_settings", ()), "only"]
        found.append(Experiment(**fields))
    return found


def published(id: str) -> Mapping[str, Any]:
    """The numbers that the paper prints for a result."""
    return every_result()[id].numbers


def find(id: str) -> Experiment:
    """The result called `id`; A/ or Z/ may be left out where only one paper has it. Raises UsageError, with the
    nearest, if there is none, or if both papers have one."""
    known = every_result()
    found = [name for name in (id, f"A/{id}", f"Z/{id}") if name in known]
    if len(found) == 1:
        return known[found[0]]
    if found:
        raise UsageError(f"{id!r} is in both papers. Say which: {' or '.join(found)}.")
    near = get_close_matches(id, known, n=3, cutoff=0.3)
    hint = f"Near it: {', '.join(near)}. " if near else ""
    raise UsageError(f"There is no result {id!r}. {hint}`alexnet paper list` lists all.")


def chosen(id: str) -> list[Experiment]:
    """The results that `id` means: one, "all", or all of a paper: "A/all", "Z/all"."""
    paper, _, rest = id.rpartition("/")
    if rest != "all" or paper not in ("", "A", "Z"):
        return [find(id)]
    return [experiment for name, experiment in every_result().items() if name.startswith(paper)]
