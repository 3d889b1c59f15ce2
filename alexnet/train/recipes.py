"""Recipes as values: how the published nets were trained. Sources: [A] §4–5, [Z] §3, `facts` code-of-2012.md §2."""

from dataclasses import dataclass, field, replace

from alexnet.data.augment import CODE_CHUNK, Augmentation, MeanMode
from alexnet.errors import UsageError
from alexnet.nets.init import Initialisation

RATE = 0.01  # [A] §5
MOMENTUM = 0.9  # [A] §5
DECAY = 0.0005  # [A] §5
DROPS = 3  # [A] §5: the rate was divided by 10 three times
RMS_LIMIT = 0.1  # [Z] §3


@dataclass(frozen=True)
class Stage:
    """From `epoch` (counted from 1) on: the rate of weights; of single layers' weights; of biases, None: unchanged;
    whether colour noise is still on. A layer at rate 0 keeps its biases too."""

    epoch: int
    rate: float
    layer_rates: dict[str, float] = field(default_factory=dict)
    bias_rate: float | None = None
    colour: bool = True


@dataclass(frozen=True)
class Recipe:
    """How to train. `stages` empty: the plateau rule ([A] §5). `bias_factor`: the biases' rate over the weights'."""

    name: str
    about: str
    net: str
    epochs: int
    rate: float = RATE
    momentum: float = MOMENTUM
    decay: float = DECAY
    decay_biases: bool = True
    bias_factor: float = 1.0
    stages: tuple[Stage, ...] = ()
    init: Initialisation = "code"
    mean: MeanMode = "aligned"
    augmentation: Augmentation = Augmentation()
    rms_limit: float | None = None

    def staged(self, epochs: int, rate: float) -> tuple[Stage, ...]:
        """The stages scaled to another number of epochs and another first rate."""
        time, size = epochs / self.epochs, rate / self.rate
        return tuple(
            replace(
                stage,
                epoch=1 if stage.epoch == 1 else max(2, round(stage.epoch * time)),
                rate=stage.rate * size,
                layer_rates={name: layer_rate * size for name, layer_rate in stage.layer_rates.items()},
                bias_rate=None if stage.bias_rate is None else stage.bias_rate * size,
            )
            for stage in self.stages
        )


def logged(
    name: str,
    net: str,
    about: str,
    epochs: int,
    drops: tuple[int, int, int, int, int | None],
    later_bias_rate: float | None,
) -> Recipe:
    """A 2012 run: rates by hand at the epochs of `drops` (÷10; ÷10; conv1 ÷10 and noise off; conv1 frozen; ÷10)."""
    second, third, annealed, frozen, last = drops
    stages = [
        Stage(1, 1e-2, bias_rate=2e-2),
        Stage(second, 1e-3, bias_rate=later_bias_rate),
        Stage(third, 1e-4),
        Stage(annealed, 1e-4, {"conv1": 1e-5}, colour=False),
        Stage(frozen, 1e-4, {"conv1": 0.0}, colour=False),
    ]
    if last is not None:
        stages.append(Stage(last, 1e-5, {"conv1": 0.0}, colour=False))
    return Recipe(
        name=name,
        about=about,
        net=net,
        epochs=epochs,
        decay_biases=False,
        bias_factor=2.0,
        stages=tuple(stages),
        mean="centre",
        augmentation=Augmentation(chunk=CODE_CHUNK),
    )


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("paper", "[A] §5: rate 0.01, ÷10 when the validation error stalls, three times.", "alexnet", 90),
        logged("145", "alexnet-145", "Net 145 on ILSVRC-2012: 40.7 / 18.2 (10 views).", 91, (25, 51, 67, 72, 79), None),
        # The log notes the biases' last rate, 0.002, but not since when; 120-4gpu's had it from the first drop.
        logged("145-2010", "alexnet-145", "Net 145 on ILSVRC-2010: 37.5 / 17.0.", 93, (23, 51, 68, 72, 78), 2e-3),
        logged("145-half", "alexnet-145-half", "The one-GPU control: 39.2 / 18.2.", 96, (20, 48, 66, 72, None), None),
        Recipe(
            name="zf",
            about="[Z] §3: ten fixed crops, filters kept at an RMS of 0.1, zero biases, no weight decay named.",
            net="zfnet",
            epochs=70,
            decay=0.0,
            init="zf",
            augmentation=Augmentation(crops="ten", mirror=False, colour="off"),
            rms_limit=RMS_LIMIT,
        ),
    )
}


def find(name: str) -> Recipe:
    """The recipe called `name`. Raises UsageError, naming those that exist."""
    if name not in RECIPES:
        raise UsageError(f"--recipe {name}: there is none. There are: {', '.join(RECIPES)}.")
    return RECIPES[name]
