"""Options of an experiment. Plain values: the command line reads this without importing torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from alexnet import text
from alexnet.files.schema import Range, check_ranges
from alexnet.train.options import SharedOptions


@dataclass(frozen=True)
class Settings(SharedOptions):
    """Options of `alexnet paper run`: those of every training, and its own. None: what the experiment or the recipe
    says."""

    recipe: str | None = None
    """Another recipe in place of the reading's. steps, whose learning rate drops at set epochs, makes networks
    comparable in fewer epochs than the plateau rule needs."""
    net: str | None = None
    """Another network of the zoo in place of the reading's, toy for instance; ablations are derived from it."""
    batch: Annotated[int, Range(1)] = 128
    """Pictures in a batch."""
    seeds: Annotated[int, Range(1)] = 3
    """Networks of each kind, of seeds 0, 1, …; with one, no claim can be decided."""
    reading: Literal["paper", "code"] = "paper"
    """Whose networks and recipe: paper ([A] as printed: alexnet, plateau rule) or code (alexnet-145, run 145's)."""
    only: str = ""
    """A/fig1, A/cifar, A/recipes, Z/table3: just these units, nets or runs, separated by commas. Default: all."""

    def check(self) -> None:
        """Raises UsageError for a number that no experiment can use. (The others are checked
        when a network is trained.)"""
        check_ranges(self)


NAMED = (
    *("seeds", "epochs", "width", "reading", "recipe", "net", "batch", "learning_rate", "init", "input_size"),
    *("patience", "only", "precision"),
)
"""The settings in the order in which the files of results have been named from the first version on. The others,
threads and device, are those of the machine."""


def changed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that differ from their defaults, by name; without those of the machine."""
    usual = vars(Settings())
    return text.changed(settings, {name: usual[name] for name in NAMED})


def describe(settings: Mapping[str, Any]) -> list[str]:
    """The settings that differ from their defaults as text: "epochs 40"; of `only` its value."""
    described = changed(settings)
    return [str(value) if name == "only" else f"{name.replace('_', ' ')} {value}" for name, value in described.items()]
