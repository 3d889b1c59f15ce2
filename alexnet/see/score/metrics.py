"""What can be measured of an attribution map: does the answer depend on the pixels that it names, does it point at the
object, does it depend on the weights, does it follow the picture? One function for each metric.

B pictures · C side of a view · P = C·C its pixels · T steps of a curve · M masks.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.stats import rankdata
from torch import Tensor

from alexnet.isolation import isolated
from alexnet.measure.viewer import BATCH, ViewAverager
from alexnet.see.forward_pass import centre_mean
from alexnet.see.score.imputation import imputed

Explain = Callable[[ViewAverager, Tensor, Tensor], Tensor]
"""(viewer, inputs (B, 3, C, C), targets (B,)) → maps (B, C, C), float32 on the CPU."""

STEPS = 28
"""Steps in which a curve removes or inserts all pixels."""
BLUR = 5 / 224  # Petsiuk et al. 2018: a Gaussian of 5 pixels, cut off at 5, of a view of 224
REMOVED = (0.2, 0.4, 0.6, 0.8)
"""Shares of the pixels that ROAD removes."""
CELLS = 56
"""Cells along a side that ROAD removes at most, 4 pixels of 224, conv1's stride: to solve for pixels takes far
longer."""
NOISE = 0.01 * 255
"""Standard deviation of what ROAD adds to filled pixels, as in the authors' code: 1 % of the range."""
REACH = 15 / 224  # Zhang et al. 2016: 15 pixels of a picture of about 224
SHIFT = 3 / 224
"""How far the stability test moves a picture: three pixels of 224, which no stride of these networks divides."""


@dataclass(frozen=True)
class Metric:
    """`kind`: what it is computed from, the answers to changed pictures, the object's mask, or maps made again;
    `better`: which values are good; `source`: the paper."""

    kind: Literal["curve", "object", "again"]
    better: Literal["higher", "lower", "near 0"]
    source: str


METRICS: dict[str, Metric] = {
    "deletion": Metric("curve", "lower", "Petsiuk et al. 2018"),
    "insertion": Metric("curve", "higher", "Petsiuk et al. 2018"),
    "road": Metric("curve", "higher", "Rong et al. 2022"),
    "pointing": Metric("object", "higher", "Zhang et al. 2016"),
    "energy": Metric("object", "higher", "Wang et al. 2020"),
    "randomisation": Metric("again", "near 0", "Adebayo et al. 2018"),
    "stability": Metric("again", "higher", "shifts of 3 pixels of 224"),
}

# ── does the answer depend on the pixels? ────────────────────────────────────────────────────────────────────────


def order_of(maps: Float[Tensor, "B C C"], seed: int = 0) -> Float[Tensor, "B C C"]:
    """For each pixel the share of pixels that come before it, 0 ≤ · < 1, the most relevant first. Pixels of equal value
    come in random order: from the upper left corner on, they would form a picture of their own."""
    shuffled = torch.randperm(maps[0].numel(), generator=torch.Generator().manual_seed(seed))
    order_bp = shuffled[maps.flatten(1)[:, shuffled].argsort(dim=1, descending=True, stable=True)]
    before = torch.arange(order_bp.shape[1], dtype=torch.float64).expand(order_bp.shape) / order_bp.shape[1]
    return torch.zeros_like(before).scatter_(1, order_bp, before).view(maps.shape)


@isolated(inference=True)
def answers(viewer: ViewAverager, inputs: Float[Tensor, "M 3 C C"], targets: Int[Tensor, "M"]) -> Float[Tensor, "M"]:
    """The probability of each input's target, many inputs at once, as the run computes (its kernels, its precision)."""
    network = viewer.network
    with network.copies.in_use():
        batches = inputs.to(viewer.device, viewer.dtype).split(BATCH)
        probabilities_mk = torch.cat([network.probabilities(network(batch)) for batch in batches])
    return probabilities_mk.gather(1, targets[:, None].to(viewer.device))[:, 0].cpu()


def curve(
    viewer: ViewAverager, begin: Tensor, end: Tensor, order: Float[Tensor, "B C C"], targets: Int[Tensor, "B"]
) -> Float[Tensor, "B T"]:
    """The targets' probabilities while the pixels of `begin` become those of `end`, (B, 3, C, C) both, in this order,
    in `STEPS` equal steps: the first is all of `begin`, the last all of `end`."""
    shares_t = torch.linspace(0, 1, STEPS + 1, dtype=torch.float64)
    changed = order[:, None, None] < shares_t[:, None, None, None]  # (B, T, 1, C, C)
    mixed = torch.where(changed, *(one[:, None].to(viewer.dtype) for one in (end, begin))).flatten(0, 1)
    return answers(viewer, mixed, targets.repeat_interleave(STEPS + 1)).view(len(order), STEPS + 1)


def area(curve_bt: Float[Tensor, "B T"]) -> Float[Tensor, "B"]:
    """Under curves of equal steps from 0 to 1: the trapezoidal rule."""
    return torch.trapezoid(curve_bt, dx=1 / STEPS, dim=1)


def deletion(
    viewer: ViewAverager, inputs: Tensor, targets: Int[Tensor, "B"], maps: Float[Tensor, "B C C"], seed: int = 0
) -> Float[Tensor, "B"]:
    """The area under the probability, 0 … 1, while the most relevant pixels are replaced by the mean picture's: Σ over
    steps of (p_t + p_t+1) / 2T (Petsiuk et al. 2018). Low if the map names what the answer depends on."""
    return area(curve(viewer, inputs, torch.zeros_like(inputs), order_of(maps, seed), targets))


def insertion(
    viewer: ViewAverager, inputs: Tensor, targets: Int[Tensor, "B"], maps: Float[Tensor, "B C C"], seed: int = 0
) -> Float[Tensor, "B"]:
    """The same area while the most relevant pixels are put into the blurred picture (Petsiuk et al. 2018); high."""
    sigma = BLUR * inputs.shape[-1]
    mean = centre_mean(viewer).cpu()
    blurred = gaussian_filter((inputs + mean).numpy(), (0, 0, sigma, sigma), truncate=1.0)
    return area(curve(viewer, torch.from_numpy(blurred) - mean, inputs, order_of(maps, seed), targets))


def road(
    viewer: ViewAverager, inputs: Tensor, targets: Int[Tensor, "B"], maps: Float[Tensor, "B C C"], seed: int = 0
) -> Float[Tensor, "B"]:
    """Remove and debias (Rong et al. 2022): the probability after the least relevant pixels are removed minus that
    after the most relevant are, −1 … 1, the mean over the shares `REMOVED`. What is removed is filled in from its
    neighbours (`imputed`) and gets a little noise, so that the shape of the gap tells little. In views of more than
    `CELLS` pixels a side, cells of a few pixels are removed and filled, by the mean of the map and of the picture in
    them."""
    size, mean, generator = inputs.shape[-1], centre_mean(viewer).cpu(), torch.Generator().manual_seed(seed)
    cell, levels, found = max(1, round(size / CELLS)), inputs + mean, []
    pooled = partial(F.avg_pool2d, kernel_size=cell, ceil_mode=True, count_include_pad=False)
    shares_s = torch.tensor(REMOVED, dtype=torch.float64)[:, None, None]
    for picture, order in zip(levels, order_of(pooled(maps), seed), strict=True):
        removed = torch.cat(
            [order >= 1 - shares_s, order < shares_s]
        )  # (2S, cells, cells): the least, the most relevant
        filled = imputed(pooled(picture), removed)
        noisy, gap = (
            x.repeat_interleave(cell, -1).repeat_interleave(cell, -2)[..., :size, :size] for x in (filled, removed)
        )
        noisy = noisy + NOISE * torch.randn(noisy.shape, generator=generator)
        found.append(torch.where(gap[:, None], noisy, picture) - mean)
    p = answers(viewer, torch.cat(found), targets.repeat_interleave(2 * len(REMOVED))).view(
        len(inputs), 2, len(REMOVED)
    )
    return (p[:, 0] - p[:, 1]).mean(dim=1)


# ── does it point at the object? ─────────────────────────────────────────────────────────────────────────────────


def pointing(maps: Float[Tensor, "B C C"], objects: Bool[Tensor, "B C C"]) -> Float[Tensor, "B"]:
    """The pointing game (Zhang et al. 2016): 1 if the map's maximum lies on the object or at most 15 pixels of 224
    away; where the maximum stands in several places, the share of them that do."""
    reach = REACH * maps.shape[-1]
    near = np.stack([np.asarray(distance_transform_edt(~one)) for one in objects.numpy()]) <= reach
    highest = maps == maps.amax(dim=(1, 2), keepdim=True)
    return (highest & torch.from_numpy(near)).sum(dim=(1, 2)) / highest.sum(dim=(1, 2))


def energy(maps: Float[Tensor, "B C C"], objects: Bool[Tensor, "B C C"]) -> Float[Tensor, "B"]:
    """The share of the map's positive values that lies on the object, 0 … 1 (Wang et al. 2020); 0 if none is
    positive."""
    positive = maps.double().clamp_min(0)
    whole = positive.sum(dim=(1, 2))
    return ((positive * objects).sum(dim=(1, 2)) / whole.where(whole > 0, 1.0)).float()


# ── does it depend on the weights, and follow the picture? ───────────────────────────────────────────────────────


def rank_correlation(some: Float[Tensor, "B ..."], others: Float[Tensor, "B ..."]) -> Float[Tensor, "B"]:
    """Spearman's correlation of each map's pixels with the other's, −1 … 1; 0 for a map of one value."""
    ranks = [rankdata(maps.flatten(1).numpy(), axis=1) for maps in (some, others)]
    a, b = (one - one.mean(axis=1, keepdims=True) for one in ranks)
    scale = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return torch.from_numpy(np.divide((a * b).sum(axis=1), scale, out=np.zeros(len(a)), where=scale > 0)).float()


def randomisation(
    explain: Explain, viewer: ViewAverager, inputs: Tensor, targets: Int[Tensor, "B"], maps: Tensor, seed: int = 0
) -> dict[str, Float[Tensor, "B"]]:
    """The rank correlation of the maps with those of the same network whose weights are made random, layer after layer
    from the last down (Adebayo et al. 2018); the last entry: all layers. Near 0 if the map depends on the weights.

    A layer's weights and biases are drawn from the normal distribution of their own mean and standard deviation, so
    that signals neither die nor grow on their way."""
    network, found = deepcopy(viewer.network), {}
    generator = torch.Generator().manual_seed(seed)
    for row in reversed(network.table.weighted):
        for weights in network.get_submodule(row.name).parameters():
            drawn = torch.randn(weights.shape, generator=generator).to(weights.device)
            with torch.no_grad():
                weights.copy_(weights.mean() + drawn * weights.std(correction=0))
        found[row.name] = rank_correlation(maps, explain(replace(viewer, network=network), inputs, targets))
    return found


def stability(
    explain: Explain, viewer: ViewAverager, inputs: Tensor, targets: Int[Tensor, "B"], maps: Tensor
) -> Float[Tensor, "B"]:
    """The rank correlation of the maps with those of the pictures moved by three pixels of 224, moved back; the mean of
    a step down and one to the right. What comes into the view repeats its edge, and is not compared."""
    size, mean, found = inputs.shape[-1], centre_mean(viewer).cpu(), []
    step = max(1, round(SHIFT * size))
    for down, right in ((step, 0), (0, step)):
        moved = F.pad(inputs + mean, (right, 0, down, 0), mode="replicate")[..., :size, :size] - mean
        again = explain(viewer, moved, targets)
        found.append(rank_correlation(maps[:, : size - down, : size - right], again[:, down:, right:]))
    return torch.stack(found).mean(dim=0)
