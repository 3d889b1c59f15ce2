"""Recipes as values: how the published nets were trained. Sources: [A] §4–5, [Z] §3, `facts` code-of-2012.md §2."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from alexnet.data.augment import CODE_CHUNK, Augmentation, MeanMode
from alexnet.errors import UsageError
from alexnet.nets.init import Initialisation

RATE = 0.01  # [A] §5
MOMENTUM = 0.9  # [A] §5
DECAY = 0.0005  # [A] §5
DROPS = 3  # [A] §5: the rate was divided by 10 three times
RMS_LIMIT = 0.1  # [Z] §3
BATCH = 128  # [A] §5

# Large batches: the LARS authors' solver files (`facts`, papers.md E).
LARS_TRUST = 0.001
POWER = 2.0
LARGE_EPOCHS = 100
IMAGENET = 1_281_167  # training pictures of ILSVRC-2012: their warm-ups are given in updates
BIAS_SHARE = 0.01  # ours: as large as plain SGD's rates for these networks, where LARS's 10 to 32 would be wild


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
    """How to train. `power`: of a polynomial decay behind `warmup` epochs; None: by `stages`, or where these are empty
    by the plateau rule ([A] §5). `bias_factor`: the biases' rate over the weights'. `layer_decays`: weight decay of
    single layers; of the others it is `decay`. `trust`: of LARS; None: without."""

    name: str
    about: str
    net: str
    epochs: int
    rate: float = RATE
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
    return of_2012(name, net, about, epochs, stages)


def of_2012(
    name: str,
    net: str,
    about: str,
    epochs: int,
    stages: Sequence[Stage],
    layer_decays: dict[str, float] | None = None,
) -> Recipe:
    """A run of the 2012 code: biases at twice the rate and without decay, the mean image's centre crop taken off, one
    crop for 32 pictures in a row."""
    return Recipe(
        name=name,
        about=about,
        net=net,
        epochs=epochs,
        rate=stages[0].rate,
        decay_biases=False,
        layer_decays=layer_decays or {},
        bias_factor=2.0,
        stages=tuple(stages),
        mean="centre",
        augmentation=Augmentation(chunk=CODE_CHUNK),
    )


def large_batch(name: str, batch: int, rate: float, ramp: int) -> Recipe:
    """AlexNet-BN with LARS; `ramp`: updates of warm-up on ImageNet."""
    return Recipe(
        name=name,
        about=f"AlexNet-BN with LARS in batches of {batch:,}: rate {rate:g} after a warm-up, then (1 − t)².",
        net="alexnet-bn",
        epochs=LARGE_EPOCHS,
        rate=rate,
        decay_biases=False,
        bias_factor=BIAS_SHARE,
        augmentation=Augmentation(colour="off"),
        batch=batch,
        trust=LARS_TRUST,
        warmup=ramp * batch / IMAGENET,
        power=POWER,
    )


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("paper", "[A] §5: rate 0.01, ÷10 when the validation error stalls, three times.", "alexnet", 90),
        Recipe(
            name="steps",
            about='As "paper", but ÷10 at epochs 60, 75 and 85 of 90: equal for all networks that are compared.',
            net="alexnet",
            epochs=90,
            stages=(Stage(1, RATE), Stage(60, RATE / 10), Stage(75, RATE / 100), Stage(85, RATE / 1000)),
        ),
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
        Recipe(
            name="bn-512",
            about="AlexNet-BN in batches of 512 by the 2012 rule, the small end of the LARS authors' table.",
            net="alexnet-bn",
            epochs=LARGE_EPOCHS,
            rate=0.08,
            decay_biases=False,
            augmentation=Augmentation(colour="off"),
            batch=512,
            power=POWER,
        ),
        large_batch("bn-8k", 8_192, 10, ramp=600),
        large_batch("bn-16k", 16_384, 24, ramp=400),
        large_batch("bn-32k", 32_768, 32, ramp=400),
    )
}


def every_recipe() -> dict[str, Recipe]:
    """All recipes by name: these, the numbered runs of 2012, the CIFAR nets. (Those build on this module.)"""
    from alexnet.train.cifar import CIFAR_RECIPES
    from alexnet.train.numbered import NUMBERED

    return RECIPES | NUMBERED | CIFAR_RECIPES


def in_words(recipe: Recipe, epochs: int, accumulate: int) -> str:
    """The rule, its rates and its batches, for a person who reads a run's config."""
    rule = "the rule of 2012"
    if recipe.trust is not None:
        rule = (
            f"LARS: each weight tensor at {recipe.trust:g}·‖w‖ / (‖g‖ + {recipe.decay:g}·‖w‖) times the rate, biases "
            f"and batch norms at {recipe.bias_factor:g} times it"
        )
    rate = f"rate {recipe.rate:g}"
    if recipe.power is not None:
        warmup = f"a line up to it over {recipe.warmup:.3g} epochs, then " if recipe.warmup else ""
        rate += f": {warmup}times (1 − t)^{recipe.power:g}, t from 0 to 1 over {epochs} epochs"
    elif recipe.stages:
        rate += f", changed at the epochs of recipe {recipe.name}"
    else:
        rate += ", divided by 10 when validation stalls"
    batches = f"batches of {recipe.batch:,} pictures"
    if accumulate > 1:
        batches += f", each computed in {accumulate} pieces of {recipe.batch // accumulate:,} whose gradients add up"
    return f"{rule}; {rate}; {batches}"


def find(name: str) -> Recipe:
    """The recipe called `name`. Raises UsageError, naming those that exist."""
    known = every_recipe()
    if name not in known:
        raise UsageError(f"--recipe {name}: there is none. There are: {', '.join(known)}.")
    return known[name]
