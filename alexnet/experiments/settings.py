"""What an experiment can be told. Plain values: the command line reads this without importing torch."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from alexnet.errors import UsageError


@dataclass(frozen=True)
class Settings:
    """Options of `alexnet paper run`. None: what the experiment or the recipe says."""

    seeds: int = 3
    """Networks of each kind, of seeds 0, 1, …; with one no direction can be decided."""
    epochs: int | None = None
    """Passes over the training pictures, at most. Default: the recipe's."""
    width: float = 1.0
    """Factor on the maps and units of every layer but the last, for all networks alike."""
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
    init: Literal["code", "paper", "zf"] | None = None
    """Initial weights of all networks alike: code, paper or zf (see `alexnet train --help`). Default: the recipe's."""
    input_size: int | None = None
    """Side of the crops in pixels. Default: the network's."""
    patience: int = 5
    """Epochs without a better validation error before the learning rate is divided by 10 (plateau rule)."""
    only: str = ""
    """A/fig1, A/cifar, A/recipes, Z/table3: just these units, nets or runs, separated by commas. Default: all."""
    threads: int = 0
    """CPU threads; 0: as many as cores."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the layers; auto: bf16 where a check at the start finds it right and faster."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train; auto: the first of cuda, mps, cpu that is there."""

    def check(self) -> None:
        """Raises UsageError for a number that no experiment can use. (The others are held against the recipe when a
        network is trained.)"""
        for name, value in (("seeds", self.seeds), ("epochs", self.epochs)):
            if value is not None and value < 1:
                raise UsageError(f"--{name} {value}: at least 1 is needed.")


WHERE = ("threads", "device")
"""Settings of the machine, which change nothing that is told of a result."""


def changed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings, by name, that are not as usual, in the order of `Settings`."""
    usual = {field.name: field.default for field in fields(Settings)}
    return {name: settings[name] for name in usual if name in settings and settings[name] != usual[name]}


def describe(settings: Mapping[str, Any]) -> list[str]:
    """What was chosen in place of the usual: "epochs 40"; what `only` names, as it stands."""
    return [str(value) if name == "only" else f"{name.replace('_', ' ')} {value}"
            for name, value in changed(settings).items() if name not in WHERE]  # fmt: skip
