"""What the methods of attribution share: gradients by the network's own fused steps, its first row, and where the units
of a map lie in the picture.

B pictures · N of whatever goes up together · C maps · H, W rows and columns · S side of a view · K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from alexnet.nets.layers import WeightedLayer, adjoint
from alexnet.nets.network import Network

BATCH = 32
"""Pictures that go through the network at a time."""


@dataclass(frozen=True, eq=False)
class Attributed:
    """What a method gives: `maps` (B, S, S), a value for each pixel of each view; `remainder` (B,): for methods that
    divide the logit among the pixels, what they left over."""

    maps: Float[Tensor, "B S S"]
    remainder: Float[Tensor, "B"] | None = None


@dataclass(frozen=True, eq=False)
class Step:
    """A step of the way up: what entered it, what left it, and the name of its last row. `module`: the row, if it holds
    weights; a step without is one row or several that one kernel computes."""

    name: str
    module: nn.Module | None
    entering: Tensor
    leaving: Tensor


class Tape:
    """What a batch left behind on its way up from step number `first`, so that gradients can come down, once.

    Rows with weights are crossed by their adjoints; what lies between two of them (ReLU, norm, pool: one kernel) by the
    derivative of that kernel. `stop`: a row whose output is kept, which therefore ends its step.
    """

    def __init__(self, network: Network, x: Tensor, first: int = 0, stop: str = "") -> None:
        self.steps: list[Step] = []
        index = first
        while index < len(network.order):
            module = network.get_submodule(network.order[index])
            weighted = isinstance(module, WeightedLayer)
            # Gradients are recorded inside a step only, so no weight's gradient is ever computed.
            x = x.detach().requires_grad_(not weighted)
            with torch.set_grad_enabled(not weighted):
                leaving, index = network.advance(network.order, index, x, stops=(stop,))
            self.steps.append(Step(network.order[index - 1], module if weighted else None, x, leaving))
            x = leaving

    def __getitem__(self, name: str) -> Tensor:
        """What left the row."""
        return next(step.leaving for step in self.steps if step.name == name).detach()

    def gradient(self, signal: Float[Tensor, "N K"], down_to: str = "") -> Tensor:
        """The gradient of Σ signal · logits at what left the row `down_to`, or at what the tape began with."""
        signal = signal.view_as(self.steps[-1].leaving)
        for step in reversed(self.steps):
            if step.name == down_to:
                break
            signal = signal.to(step.leaving.dtype)
            if step.module is None:
                (signal,) = torch.autograd.grad(step.leaving, step.entering, signal)
            else:
                signal = adjoint(step.module, signal, step.entering)
        return signal


def signal_of(targets: Int[Tensor, "N"], network: Network) -> Float[Tensor, "N K"]:
    """1 at each target, 0 elsewhere."""
    return F.one_hot(targets, network.table.classes).float()


class Front:
    """The first row, if it holds weights. But for its bias it is linear in the picture, so what is a sum over many
    pictures goes through it once. `steps`: how many of the network's it is, 1 or 0."""

    def __init__(self, network: Network) -> None:
        module = network.get_submodule(network.order[0])
        self.module: nn.Module | None = module if isinstance(module, WeightedLayer) else None
        self.steps = 0 if self.module is None else 1

    def up(self, x: Float[Tensor, "N 3 S S"]) -> Tensor:
        return x if self.module is None else self.module(x)

    def down(self, signal: Tensor, x: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N 3 S S"]:
        """The adjoint."""
        return signal if self.module is None else adjoint(self.module, signal.to(x.dtype), x)


def hats(places: Float[Tensor, "S"], count: int) -> Float[Tensor, "S count"]:
    """Weights of linear interpolation: each place among `count` values 0, 1, 2 … is between two of them."""
    return (1 - (places[:, None] - torch.arange(count)).abs()).clamp(min=0).float()


def placed(maps: Float[Tensor, "B H H"], centres: Sequence[float], size: int) -> Float[Tensor, "B S S"]:
    """Maps resampled to the pixels of a view: bilinear between the `centres`, in pixels, of what its rows (and columns)
    see; beyond the outermost, their values."""
    places = np.interp(np.arange(size) + 0.5, centres, np.arange(len(centres)))
    weights = hats(torch.from_numpy(places), len(centres))
    return weights @ maps.float().cpu() @ weights.T
