"""Attribution by signals that come down to the pixels: gradient, input × gradient, integrated gradients, SmoothGrad;
deconvnet and guided backpropagation.

A gradient says how a logit answers to a small change: at each pixel the magnitudes of the three colours are added up.
Input × gradient and integrated gradients are shares of the logit, with signs: the three colours' shares are added up.
The baseline, a picture without anything to see, is the mean picture: the network's input 0.

B pictures · N pictures on a path or copies of one · S side of a view · K classes.
"""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from alexnet.data.batches import Progress
from alexnet.kernels import winograd
from alexnet.measure.viewer import ViewAverager
from alexnet.nets.network import Network
from alexnet.see.attribution.base import BATCH, Attributed, Front, Tape, signal_of
from alexnet.see.deconvnet import RULES, Method, descend, starting_part
from alexnet.see.forward_pass import run_forward
from alexnet.see.units import Unit

Inputs = Float[Tensor, "B 3 S S"]
Targets = Int[Tensor, "B"]


def input_gradients(network: Network, inputs: Inputs, targets: Targets) -> Inputs:
    """The gradient of each target's logit at the pixels, float32."""
    batches = zip(inputs.split(BATCH), signal_of(targets, network).split(BATCH), strict=True)
    return torch.cat([Tape(network, x).gradient(signal).float() for x, signal in batches])


def gradient(viewer: ViewAverager, inputs: Inputs, targets: Targets) -> Attributed:
    """|∂ logit / ∂ pixel|, summed over the colours (Simonyan et al. 2014; captum: Saliency)."""
    return Attributed(input_gradients(viewer.network, inputs, targets).abs().sum(dim=1))


def input_x_gradient(viewer: ViewAverager, inputs: Inputs, targets: Targets) -> Attributed:
    """Pixel (less the mean) times gradient, summed over the colours (Shrikumar et al. 2016)."""
    return Attributed((inputs * input_gradients(viewer.network, inputs, targets)).sum(dim=1))


@winograd.in_use()
def integrated_gradients(
    viewer: ViewAverager, inputs: Inputs, targets: Targets, *, steps: int = 50, progress: Progress | None = None
) -> Attributed:
    """Pixel (less the mean) times the mean gradient on the straight path from the mean picture, by `steps` points of
    Gauss and Legendre; summed over the colours (Sundararajan et al. 2017).

    The values add up to the logit less the mean picture's; `remainder`: what they fail to by (the completeness error).
    The first row is linear, so what it makes of the path lies on a straight line too: it sees the path's two ends, and
    its adjoint the mean of all gradients.
    """
    nodes, shares = np.polynomial.legendre.leggauss(steps)
    alphas = torch.from_numpy((1 + nodes) / 2).to(inputs)
    network, front, maps, remainders = viewer.network, Front(viewer.network), [], []
    for x, signal in zip(inputs.split(1), signal_of(targets, viewer.network), strict=True):
        entering = front.up(torch.cat([torch.zeros_like(x), x]))
        path = torch.lerp(entering[:1], entering[1:], alphas.view(-1, *[1] * (entering.ndim - 1)))
        signals = torch.from_numpy(shares / 2).to(signal)[:, None] * signal
        mean = _summed_gradients(network, path, signals, front.steps, progress)
        pixels = (x * front.down(mean, x))[0].float().sum(dim=0)
        before, after = network.through(network.order[front.steps :], entering).flatten(1).float() @ signal
        maps.append(pixels)
        remainders.append(pixels.sum() - (after - before))
    return Attributed(torch.stack(maps), torch.stack(remainders))


@winograd.in_use()
def smoothgrad(
    viewer: ViewAverager,
    inputs: Inputs,
    targets: Targets,
    *,
    samples: int = 50,
    noise: float = 0.15,
    seed: int = 0,
    progress: Progress | None = None,
) -> Attributed:
    """The magnitude of the mean gradient of `samples` noisy copies of the picture, summed over the colours (Smilkov et
    al. 2017). `noise`: σ as a share of the picture's range. The first row's adjoint is applied to the mean."""
    network, front, maps = viewer.network, Front(viewer.network), []
    for number, (x, signal) in enumerate(zip(inputs.split(1), signal_of(targets, viewer.network), strict=True)):
        copies = noisy_copies(x, samples, noise, seed + number)
        entering = torch.cat([front.up(some) for some in copies.split(BATCH)])
        mean = _summed_gradients(network, entering, (signal / samples).expand(samples, -1), front.steps, progress)
        maps.append(front.down(mean, x)[0].float().abs().sum(dim=0))
    return Attributed(torch.stack(maps))


def noisy_copies(x: Float[Tensor, "1 3 S S"], samples: int, noise: float, seed: int) -> Float[Tensor, "N 3 S S"]:
    """Copies of a picture with normal noise, the same for the same `seed` on every device."""
    drawn = torch.randn(samples, *x.shape[1:], generator=torch.Generator().manual_seed(seed))
    return x + noise * (x.max() - x.min()) * drawn.to(x)


def _summed_gradients(
    network: Network, entering: Tensor, signals: Float[Tensor, "N K"], first: int, progress: Progress | None
) -> Tensor:
    """The gradient of Σ signals · logits at what enters step number `first`, summed over the batch: (1, …), float32."""
    sums = []
    for some, signal in zip(entering.split(BATCH), signals.split(BATCH), strict=True):
        sums.append(_sum(Tape(network, some, first).gradient(signal)).float())
        if progress:
            progress(min(BATCH * len(sums), len(entering)), len(entering))
    return torch.stack(sums).sum(dim=0)


def _sum(maps: Tensor) -> Tensor:
    """The sum over a batch of maps or vectors: a product over the values as they lie in memory."""
    values = maps.permute(0, 2, 3, 1) if maps.ndim == 4 else maps
    total = (maps.new_ones(1, len(maps)) @ values.flatten(1)).unflatten(1, values.shape[1:])
    return total.permute(0, 3, 1, 2) if maps.ndim == 4 else total


def deconvnet(viewer: ViewAverager, inputs: Inputs, targets: Targets) -> Attributed:
    """The magnitude of what the deconvnet sends down from the target's unit, summed over the colours ([Z] §2.1)."""
    return _projected(viewer, inputs, targets, "deconvnet")


def guided(viewer: ViewAverager, inputs: Inputs, targets: Targets) -> Attributed:
    """The same by guided backpropagation (Springenberg et al. 2015)."""
    return _projected(viewer, inputs, targets, "guided")


def _projected(viewer: ViewAverager, inputs: Inputs, targets: Targets, method: Method) -> Attributed:
    # Always from 1: a negative logit would be rectified away.
    rules, last, maps = replace(RULES[method], starts_with="one"), viewer.network.layers[-1].row.name, []
    for x, some in zip(inputs.split(BATCH), targets.split(BATCH), strict=True):
        passed, of = run_forward(viewer.network, x), torch.arange(len(x), device=x.device)
        part, _ = starting_part(passed, [Unit(last, number) for number in some.tolist()], of, rules)
        maps.append(descend(passed, last, part, of, rules).abs().sum(dim=1))
    return Attributed(torch.cat(maps))
