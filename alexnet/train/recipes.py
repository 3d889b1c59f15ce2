"""Recipes: how the published networks were trained. recipes.toml lists them with their sources."""

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from alexnet.data.augment import Augmentation
from alexnet.data.preprocessing import MeanMode
from alexnet.errors import UsageError
from alexnet.files.packaged import read_toml
from alexnet.nets.init import Initialisation
from alexnet.train.logged_rates import OWN_BIASES, rate_function

RATE = 0.01  # [A] §5
MOMENTUM = 0.9  # [A] §5
DECAY = 0.0005  # [A] §5
DROPS = 3  # [A] §5: the learning rate was divided by 10 three times
BATCH = 128  # [A] §5
IMAGENET = 1_281_167  # training pictures of ILSVRC-2012, to convert the LARS authors' warm-ups from updates to epochs


@dataclass(frozen=True)
class Stage:
    """From `epoch` (counted from 1) on: the learning rate of weights, of single layers' weights and of biases (None:
    unchanged), and whether colour noise is on. A layer at learning rate 0 is frozen, its biases too."""

    epoch: int
    learning_rate: float
    layer_rates: dict[str, float] = field(default_factory=dict)
    bias_rate: float | None = None
    colour: bool = True


@dataclass(frozen=True)
class Recipe:
    """How to train. `power`: of a polynomial decay after `warmup` epochs; None: `stages`, or if these are empty, the
    plateau rule ([A] §5). `bias_factor`: the biases' learning rate over the weights'. `layer_decays`: weight decay of
    single layers; the others have `decay`. `trust`: of LARS; None: no LARS."""

    name: str
    about: str
    net: str
    epochs: int
    learning_rate: float = RATE
    momentum: float = MOMENTUM
    decay: float = DECAY
    decay_biases: bool = True
    layer_decays: dict[str, float] = field(default_factory=dict)
    bias_factor: float = 1.0
    stages: tuple[Stage, ...] = ()
    init: Initialisation = "code"
    mean: MeanMode = "aligned"
    augmentation: Augmentation = Augmentation()
    rms_limit: float | None = None
    batch: int = BATCH
    trust: float | None = None
    warmup: float = 0.0
    power: float | None = None

    def staged(self, epochs: int, learning_rate: float) -> tuple[Stage, ...]:
        """The stages scaled to another number of epochs and another first learning rate."""
        time, size = epochs / self.epochs, learning_rate / self.learning_rate
        return tuple(
            replace(
                stage,
                epoch=1 if stage.epoch == 1 else max(2, round(stage.epoch * time)),
                learning_rate=stage.learning_rate * size,
                layer_rates={name: layer_rate * size for name, layer_rate in stage.layer_rates.items()},
                bias_rate=None if stage.bias_rate is None else stage.bias_rate * size,
            )
            for stage in self.stages
        )


# ── reading recipes.toml ─────────────────────────────────────────────────────────────────────────────────────────


@cache
def every_recipe() -> dict[str, Recipe]:
    """All recipes by name: the papers', the runs of the 2012 code by number, the authors' CIFAR nets, large batches."""
    entries = read_toml("alexnet.train", "recipes.toml")
    families = entries.pop("family")
    return {name: _recipe(name, families.get(entry.pop("family", ""), {}) | entry) for name, entry in entries.items()}


def _recipe(name: str, fields: dict[str, Any]) -> Recipe:
    """A recipe from its table in recipes.toml and its family's."""
    stages = _stages(fields)
    if stages:
        fields["learning_rate"] = stages[0].learning_rate
    if "warmup_updates" in fields:
        fields["warmup"] = fields.pop("warmup_updates") * fields["batch"] / IMAGENET
    augmentation = Augmentation(**fields.pop("augmentation", {}))
    return Recipe(name=name, stages=stages, augmentation=augmentation, **fields)


def _stages(fields: dict[str, Any]) -> tuple[Stage, ...]:
    """The stages listed, or one for each change of the learning rates computed by a function."""
    listed = fields.pop("stages", ())
    if "rates" not in fields:
        return tuple(Stage(**stage) for stage in listed)
    rate_at, epochs = rate_function(**fields.pop("rates")), fields["epochs"]
    own_biases = fields.pop("own_biases", False)
    noise_off, frozen = (fields.pop(name, epochs + 1) for name in ("noise_off", "frozen"))
    stages: list[Stage] = []
    for epoch in range(1, epochs + 1):
        progress = (epoch - 0.5) / epochs
        learning_rate = rate_at(progress)
        bias_rate = OWN_BIASES(progress) if own_biases else 2 * learning_rate
        still = {"conv1": 0.0} if epoch >= frozen else {}
        new = Stage(epoch, learning_rate, still, bias_rate, colour=epoch < noise_off)
        if not stages or replace(new, epoch=stages[-1].epoch) != stages[-1]:
            stages.append(new)
    return tuple(stages)


def describe(recipe: Recipe, accumulation_steps: int = 1) -> str:
    """The update rule, the learning rates and the batches in one sentence, for readers of a run's config."""
    rule = "the rule of 2012"
    if recipe.trust is not None:
        rule = (
            f"LARS: each weight tensor at {recipe.trust:g}·‖w‖ / (‖g‖ + {recipe.decay:g}·‖w‖) times the learning "
            f"rate, biases and batch norms at {recipe.bias_factor:g} times it"
        )
    learning_rate = f"learning rate {recipe.learning_rate:g}"
    if recipe.power is not None:
        warmup = f"a line up to it over {recipe.warmup:.3g} epochs, then " if recipe.warmup else ""
        learning_rate += f": {warmup}times (1 − t)^{recipe.power:g}, t from 0 to 1 over {recipe.epochs} epochs"
    elif recipe.stages:
        learning_rate += f", changed at the epochs of recipe {recipe.name}"
    else:
        learning_rate += ", divided by 10 when validation stalls"
    batches = f"batches of {recipe.batch:,} pictures"
    if accumulation_steps > 1:
        batches += (
            f" in {accumulation_steps} micro-batches of {recipe.batch // accumulation_steps:,} whose gradients add up"
        )
    return f"{rule}; {learning_rate}; {batches}"


def find(name: str) -> Recipe:
    """The recipe called `name`. Raises UsageError, naming those that exist."""
    known = every_recipe()
    if name not in known:
        raise UsageError(f"--recipe {name}: no such recipe. There are: {', '.join(known)}.")
    return known[name]
