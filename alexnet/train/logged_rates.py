"""Learning rates as functions of a run's progress: the schedules of the 2012 code's runs 153 to 180, as logged.

With the progress p (0 to 1), the base learning rate b and a factor f:

    linear     b·(1 − p) + (b/f)·p          exponential    b·f^(−p), f = b / last learning rate
    plateaus   ("dexp") n plateaus of equal length, b·f^(−i/(n−1))
    jumping    ("jdexp") plateaus that jump up again in the second half of each, for 0.2 < p < 0.9

In the 2012 code they changed with every batch; here an epoch has one learning rate, the function's value in its
middle. Up to run 163 one schedule applies to weights and biases; from 165 on biases have their own: 0.02 in the first
half, 0.002 in the second.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

RateAt = Callable[[float], float]
"""Progress of a run, 0 to 1 → learning rate."""


def linear(p: float, *, base: float, factor: float) -> float:
    return base * (1 - p) + base / factor * p


def exponential(p: float, *, base: float, last: float) -> float:
    return base * (base / last) ** -p


def plateaus(p: float, *, base: float, factor: float, steps: int) -> float:
    """`steps` plateaus, the last one at base / factor."""
    return base * factor ** (-min(int(p * steps), steps - 1) / (steps - 1))


def jumping(p: float, *, base: float, factor: float, steps: int, to_mean: bool) -> float:
    """`plateaus`, but in each second half back at the previous plateau's learning rate, or (`to_mean`) at the geometric
    mean of both."""
    number = min(int(p * steps), steps - 1)
    learning_rate = plateaus(p, base=base, factor=factor, steps=steps)
    if number == 0 or p * steps - number < 0.5 or not 0.2 < p < 0.9:
        return learning_rate
    before = base * factor ** (-(number - 1) / (steps - 1))
    return (learning_rate * before) ** 0.5 if to_mean else before


FUNCTIONS: dict[str, Callable[..., float]] = {f.__name__: f for f in (linear, exponential, plateaus, jumping)}
OWN_BIASES: RateAt = partial(plateaus, base=0.02, factor=10, steps=2)  # twice the weights' first learning rate


def rate_function(function: str, **constants: Any) -> RateAt:
    """The function of that name with its constants."""
    return partial(FUNCTIONS[function], **constants)
