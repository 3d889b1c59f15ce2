"""The register of results: each is a function from a `Lab` to a `Finding`, with its claim and cost in front."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from alexnet.errors import UsageError
from alexnet.experiments.finding import Finding

if TYPE_CHECKING:
    from alexnet.experiments.lab import Lab


@dataclass(frozen=True)
class Experiment:
    """A table, figure or statement of a paper. `needs`: of pictures; `trainings`: networks to train for each seed
    (`once`: in all, whatever the seeds); `full_scale`: what it cost its authors; `here`: what it costs here, where that
    is not the networks' number times the example's; `keypoints`: whether it looks at pictures with key points; `own`:
    the settings that have no part in it, mostly since it has values of its own for them; `record`: the side of the
    pictures that it needs, where it needs such."""

    id: str
    title: str
    claim: str
    needs: str
    trainings: int
    full_scale: str
    run: "Callable[[Lab], Finding]"
    once: int = 0
    here: str = ""
    keypoints: bool = False
    own: tuple[str, ...] = ()
    record: int | None = None

    def cost(self, seeds: int) -> str:
        """Trainings in words."""
        count = self.trainings * seeds + self.once
        return f"{count} trainings with {seeds} seeds" if self.trainings else f"{count} trainings"


class Unsuited(UsageError):
    """The pictures given are not such as the result is of, or a second store is wanted."""


REGISTER: dict[str, Experiment] = {}


def result(
    id: str,
    title: str,
    *,
    claim: str,
    needs: str,
    full_scale: str,
    trainings: int = 0,
    once: int = 0,
    here: str = "",
    keypoints: bool = False,
    own: tuple[str, ...] = (),
    only: bool = False,
    record: int | None = None,
) -> "Callable[[Callable[[Lab], Finding]], Callable[[Lab], Finding]]":
    """Put the function below into the register under `id`. `only`: whether some of its networks can be chosen."""
    own += () if only else ("only",)

    def register(run: "Callable[[Lab], Finding]") -> "Callable[[Lab], Finding]":
        REGISTER[id] = Experiment(
            id, title, claim, needs, trainings, full_scale, run, once, here, keypoints, own, record
        )
        return run

    return register


def every_result() -> dict[str, Experiment]:
    """All results by id, in the papers' order. (The modules that define them fill the register.)"""
    from alexnet.experiments.krizhevsky2012 import (
        ablations as ablations2012,
    )
    from alexnet.experiments.krizhevsky2012 import (
        cifar as cifar2012,
    )
    from alexnet.experiments.krizhevsky2012 import (
        figures as figures2012,
    )
    from alexnet.experiments.krizhevsky2012 import (
        tables as tables2012,
    )
    from alexnet.experiments.zeiler2014 import (
        figures as figures2013,
    )
    from alexnet.experiments.zeiler2014 import (
        pictures as pictures2013,
    )
    from alexnet.experiments.zeiler2014 import (
        tables as tables2013,
    )
    from alexnet.experiments.zeiler2014 import (
        transfer as transfer2013,
    )

    modules = (
        *(figures2012, ablations2012, cifar2012, tables2012),
        *(figures2013, pictures2013, tables2013, transfer2013),
    )
    order = [id for module in modules for id in module.ORDER]
    return {id: REGISTER[id] for id in sorted(order, key=_place)}


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


IN_PAPER = (
    *("A/fig1", "A/s3.2", "A/s3.3", "A/s3.4", "A/s4.1", "A/s4.2", "A/s5", "A/fig3", "A/fig4", "A/s7"),
    *("A/table1", "A/table2", "A/2009", "A/cifar", "A/recipes"),
    *("Z/fig2", "Z/fig4", "Z/fig5", "Z/fig6", "Z/fig7", "Z/table1", "Z/table2", "Z/table3"),
    *("Z/table4", "Z/table5", "Z/table7", "Z/fig9"),
)


def _place(id: str) -> int:
    return IN_PAPER.index(id) if id in IN_PAPER else len(IN_PAPER)
