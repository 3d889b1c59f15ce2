"""The runs of the 2012 code's 145 family, by number: their networks and rates as logged (`facts` code-of-2012.md §4).

From run 153 on rates follow a function of the run's progress p (0 to 1), the base rate b and a factor f:

    linear   b·(1 − p) + (b/f)·p          exp    b·f^(−p)
    dexp     n plateaus of equal length, b·f^(−i/(n−1))
    jdexp    dexp that jumps up again in the second half of a plateau, for 0.2 < p < 0.9

They changed with every batch; here an epoch has one rate, the function's in its middle. Where the log does not say how
long a run was, it is 90 epochs. Up to run 163 one schedule is read as that of weights and biases; from 165 on biases
have their own, 0.02 in the first half, 0.002 in the second.
"""

from collections.abc import Callable
from functools import partial

from alexnet.train.recipes import Recipe, Stage, logged, of_2012

UNSAID_EPOCHS = 90
BIAS_RATE = 0.02  # twice the weights', 0.01
CODE = "alexnet-145"
FULLY_CONNECTED: tuple[str, ...] = ("fc6", "fc7", "fc8")

RateAt = Callable[[float], float]
"""Progress of a run, 0 to 1 → rate."""


def linear(p: float, *, base: float, factor: float) -> float:
    return base * (1 - p) + base / factor * p


def exponential(p: float, *, base: float, factor: float) -> float:
    return base * factor**-p


def plateaus(p: float, *, base: float, factor: float, steps: int) -> float:
    """ "dexp": `steps` plateaus, the last one at base / factor."""
    return base * factor ** (-min(int(p * steps), steps - 1) / (steps - 1))


def jumping(p: float, *, base: float, factor: float, steps: int, to_mean: bool) -> float:
    """ "jdexp": up to the previous plateau's rate, or (`to_mean`) to the geometric mean of both."""
    place = min(int(p * steps), steps - 1)
    rate = plateaus(p, base=base, factor=factor, steps=steps)
    if place == 0 or p * steps - place < 0.5 or not 0.2 < p < 0.9:
        return rate
    before = base * factor ** (-(place - 1) / (steps - 1))
    return (rate * before) ** 0.5 if to_mean else before


def stages_of(
    epochs: int, rate_at: RateAt, bias_at: RateAt, *, noise_off: int | None, frozen: int | None
) -> tuple[Stage, ...]:
    """One stage for each change of the rates. `noise_off`, `frozen`: from which epoch on there is no colour noise, and
    conv1 stands still; None: never."""
    stages: list[Stage] = []
    for epoch in range(1, epochs + 1):
        p = (epoch - 0.5) / epochs
        still = {"conv1": 0.0} if frozen is not None and epoch >= frozen else {}
        colour = noise_off is None or epoch < noise_off
        new = Stage(epoch, rate_at(p), still, bias_at(p), colour)
        if not stages or _content(new) != _content(stages[-1]):
            stages.append(new)
    return tuple(stages)


def _content(stage: Stage) -> tuple[object, ...]:
    return stage.rate, tuple(stage.layer_rates.items()), stage.bias_rate, stage.colour


def scheduled(
    number: str,
    about: str,
    rate_at: RateAt,
    *,
    net: str = CODE,
    epochs: int = UNSAID_EPOCHS,
    own_biases: bool,
    noise_off: int | None = None,
    frozen: int | None = None,
    layer_decays: dict[str, float] | None = None,
) -> Recipe:
    """A run whose rates follow a function of its progress."""
    biases = partial(plateaus, base=BIAS_RATE, factor=10, steps=2) if own_biases else lambda p: 2 * rate_at(p)
    stages = stages_of(epochs, rate_at, biases, noise_off=noise_off, frozen=frozen)
    return of_2012(number, net, about, epochs, stages, layer_decays)


def _dexp(factor: float, steps: int = 4, base: float = 0.01) -> RateAt:
    return partial(plateaus, base=base, factor=factor, steps=steps)


def _jdexp(factor: float, *, to_mean: bool) -> RateAt:
    return partial(jumping, base=0.01, factor=factor, steps=4, to_mean=to_mean)


def _exp(base: float, last: float) -> RateAt:
    return partial(exponential, base=base, factor=base / last)


STILL: dict[str, float] = {"conv1": 0.0}
CONVOLUTIONS: tuple[str, ...] = tuple(f"conv{number}" for number in range(1, 6))
DOUBLED_DECAY: dict[str, float] = dict.fromkeys(FULLY_CONNECTED, 0.001)

BY_HAND = (
    of_2012(
        "145-continued",
        CODE,
        "Run 145 gone on with at 0.001, conv1 frozen: 40.25 / 17.99. Needs --from that run and --take all.",
        44,  # epochs 92 to 135 of the run
        (Stage(1, 1e-3, STILL, 2e-2), Stage(16, 1e-4, STILL), Stage(33, 1e-5, STILL, colour=False)),
    ),
    of_2012(
        "146-2009",
        f"{CODE}-conv6",
        "Net 146 on ImageNet 2009, conv1–conv5 from run 145 (--from, --take conv1-conv5).",
        7,
        (Stage(1, 1e-2, dict.fromkeys(CONVOLUTIONS, 1e-3), 2e-2), Stage(3, 1e-3)),
    ),
    of_2012(
        "146-2011",
        f"{CODE}-conv6-linear",
        "Net 146 on ImageNet Fall 2011, convolutions from run 146-2009 (--from, --take conv1-conv6).",
        8,
        (Stage(1, 1e-2, dict.fromkeys((*CONVOLUTIONS, "conv6"), 1e-3), 2e-2), Stage(6, 1e-3)),
    ),
    of_2012(
        "146-2012-2009",
        f"{CODE}-conv6",
        "Run 146-2009 fine-tuned on ILSVRC-2012: 39.1 / 16.9 (--from that run, --take conv1-fc7).",
        52,
        (
            Stage(1, 1e-3, {"conv1": 1e-4}, 2e-2),
            Stage(3, 1e-3, {"conv1": 1e-5}),
            Stage(4, 1e-3, STILL),
            Stage(22, 1e-4, STILL),
            Stage(38, 1e-4, STILL, colour=False),
            Stage(42, 1e-5, STILL, colour=False),
        ),
    ),
    of_2012(
        "146-2012-2011",
        f"{CODE}-conv6",
        "Run 146-2011 fine-tuned on ILSVRC-2012: 39.0 / 16.6, the paper's 1 CNN* (--from that run, --take conv1-fc7).",
        54,
        (
            # fc8 had 0.01 from 300 batches of 1,024 on, a quarter of the first epoch
            Stage(1, 1e-3, {"conv1": 1e-4, "fc8": 1e-2}, 2e-2),
            Stage(5, 1e-3, {"conv1": 1e-5, "fc8": 1e-2}),
            Stage(7, 1e-3, {"conv1": 0.0, "fc8": 1e-2}),
            Stage(9, 1e-3, STILL),
            Stage(22, 1e-4, STILL),
            Stage(38, 1e-4, STILL, colour=False),
            Stage(42, 1e-5, STILL, colour=False),
        ),
    ),
    of_2012(
        "147",
        f"{CODE}-pool2x2",
        "Pools that do not overlap: 41.1 / 18.5.",
        90,
        (Stage(1, 1e-2, bias_rate=2e-2), Stage(23, 1e-3), Stage(51, 1e-4), Stage(79, 1e-5, STILL)),
    ),
    logged("148", f"{CODE}-no-norm", "No normalisation: 42.0 / 19.4.", 97, (22, 44, 69, 73, 86), None),
    of_2012(
        "149",
        f"{CODE}-norm5",
        "Layer 5 normalised too; no result is logged.",
        UNSAID_EPOCHS,
        (
            Stage(1, 1e-2, bias_rate=2e-2),
            Stage(21, 1e-3),
            Stage(54, 1e-4),
            Stage(66, 1e-4, {"conv1": 1e-5}, colour=False),
        ),
    ),
    logged("150", f"{CODE}-nocomm", "The columns meet only in fc8: 41.8 / 19.3.", 92, (25, 49, 66, 72, 79), None),
)

BY_FUNCTION = (
    scheduled("153", "Linear, 0.01 → 1e-5.", partial(linear, base=0.01, factor=1000), own_biases=False),
    scheduled("154", "Exponential, 0.01 → 1e-5.", _exp(0.01, 1e-5), own_biases=False),
    scheduled("155", "Exponential, 0.02 → 5e-6.", _exp(0.02, 5e-6), own_biases=False, noise_off=61, frozen=74),
    scheduled("156", "Exponential, 0.02 → 1e-5.", _exp(0.02, 1e-5), own_biases=False, noise_off=61, frozen=72),
    scheduled("157", "Exponential, 0.04 → 5e-6.", _exp(0.04, 5e-6), own_biases=False, noise_off=62, frozen=73),
    scheduled("158", "Exponential, 0.04 → 2e-6.", _exp(0.04, 2e-6), own_biases=False, noise_off=63, frozen=77),
    scheduled("160", "4 plateaus, 0.02 → 1e-5.", _dexp(2000, base=0.02), own_biases=False, noise_off=61),
    scheduled("161", "4 plateaus that jump back, 0.01 → 1e-5.", _jdexp(1000, to_mean=False), own_biases=False),
    scheduled("162", "3 plateaus, 0.01 → 1e-5.", _dexp(1000, 3), own_biases=False, noise_off=61),
    scheduled(
        "163",
        "4 plateaus, 0.01 → 1e-5; decay 0.001 on the dense layers.",
        _dexp(1000),
        own_biases=False,
        noise_off=61,
        frozen=73,
        layer_decays=DOUBLED_DECAY,
    ),
    scheduled(
        "165",
        "Run 163 with 0.01 → 2e-5.",
        _dexp(500),
        own_biases=True,
        noise_off=63,
        frozen=78,
        layer_decays=DOUBLED_DECAY,
    ),
    scheduled(
        "166",
        "Layer 2 normalised below its ReLU; 4 plateaus, 0.01 → 1e-5.",
        _dexp(1000),
        net=f"{CODE}-norms2-first",
        own_biases=True,
        noise_off=64,
        frozen=73,
    ),
    scheduled(
        "167",
        "Layer 2 not normalised; 4 plateaus, 0.01 → 1e-5.",
        _dexp(1000),
        net=f"{CODE}-no-norm2",
        own_biases=True,
        noise_off=63,
        frozen=73,
    ),
    scheduled("169", "4 plateaus, 0.01 → 2e-5.", _dexp(500), epochs=95, own_biases=True, noise_off=60, frozen=73),
    scheduled("169-80", "Run 169 in 80 epochs.", _dexp(500), epochs=80, own_biases=True, noise_off=53, frozen=74),
    scheduled("170", "4 plateaus, 0.01 → 4e-5.", _dexp(250), own_biases=True, noise_off=68, frozen=74),
    scheduled("171", "5 plateaus, 0.01 → 2e-5.", _dexp(500, 5), epochs=95, own_biases=True, noise_off=60, frozen=72),
    scheduled(
        "172",
        "4 plateaus that jump back to the one before, 0.01 → 1e-5.",
        _jdexp(1000, to_mean=False),
        own_biases=True,
        noise_off=60,
        frozen=76,
    ),
    scheduled(
        "174",
        "4 plateaus that jump back half the way, 0.01 → 2e-5.",
        _jdexp(500, to_mean=True),
        own_biases=True,
        noise_off=62,
        frozen=74,
    ),
    scheduled(
        "175",
        "4 plateaus, 0.01 → 8e-5 (the log: 4e-5 from epoch 91).",
        _dexp(125),
        own_biases=True,
        noise_off=60,
        frozen=75,
    ),
    scheduled(
        "177",
        "Run 170 with a fifth of conv4's units dropped.",
        _dexp(250),
        net=f"{CODE}-dropout4",
        own_biases=True,
        noise_off=60,
        frozen=73,
    ),
    scheduled(
        "180", "4 plateaus that jump back half the way, 0.01 → 4e-5.", _jdexp(250, to_mean=True), own_biases=True
    ),
)

NUMBERED: dict[str, Recipe] = {recipe.name: recipe for recipe in (*BY_HAND, *BY_FUNCTION)}
