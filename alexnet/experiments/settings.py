"""Options of an experiment. Plain values: the command line reads this without importing torch."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from alexnet.choices import DeviceChoice, Initialisation, PrecisionChoice
from alexnet.files.schema import Range, check_ranges


@dataclass(frozen=True)
class Settings:
    """Options of `alexnet paper run`; those that `TrainOptions` has too are handed to every training. None: what the
    experiment or the recipe says."""

    seeds: Annotated[int, Range(1)] = 3
    """Networks of each kind, of seeds 0, 1, …; with one, no claim can be decided."""
    epochs: Annotated[int, Range(1)] | None = None
    """Passes over the training pictures, at most. Default: the recipe's."""
    width: float = 1.0
    """Factor on the maps and units of every layer but the last, in all networks."""
    reading: Literal["paper", "code"] = "paper"
    """Whose networks and recipe: paper ([A] as printed: alexnet, plateau rule) or code (alexnet-145, run 145's)."""
    recipe: str | None = None
    """Another recipe in place of the reading's. steps, whose learning rate drops at set epochs, makes networks
    comparable in fewer epochs than the plateau rule needs."""
    net: str | None = None
    """Another network of the zoo in place of the reading's, toy for instance; ablations are derived from it."""
    batch: int = 128
    """Pictures in a batch."""
    learning_rate: float | None = None
    """Learning rate at the start. Default: the recipe's."""
    init: Initialisation | None = None
    """Initial weights of all networks: code, paper or zf (see `alexnet train --help`). Default: the recipe's."""
    input_size: int | None = None
    """Side of the crops in pixels. Default: the network's."""
    patience: int = 5
    """Epochs without a better validation error before the learning rate is divided by 10 (plateau rule)."""
    only: str = ""
    """A/fig1, A/cifar, A/recipes, Z/table3: just these units, nets or runs, separated by commas. Default: all."""
    threads: int = 0
    """CPU threads; 0: as many as cores."""
    precision: PrecisionChoice = "auto"
    """Precision of the layers; auto: bf16 where a check at the start finds it accurate and faster."""
    device: DeviceChoice = "auto"
    """Where to train; auto: the first of cuda, mps, cpu that is available."""

    def check(self) -> None:
        """Raises UsageError for a number that no experiment can use. (The others are checked
        when a network is trained.)"""
        check_ranges(self)


WHERE = ("threads", "device")
"""Settings of the machine, which are no part of a result's name."""


def changed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that differ from their defaults, by name, in the order of `Settings`."""
    usual = {field.name: field.default for field in fields(Settings)}
    return {name: settings[name] for name in usual if name in settings and settings[name] != usual[name]}


def describe(settings: Mapping[str, Any]) -> list[str]:
    """The settings that differ from their defaults as text: "epochs 40"; of `only` its value."""
    described = {name: value for name, value in changed(settings).items() if name not in WHERE}
    return [str(value) if name == "only" else f"{name.replace('_', ' ')} {value}" for name, value in described.items()]
