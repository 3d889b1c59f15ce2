"""Layer-wise relevance propagation (LRP; Bach et al. 2015): the logit is divided among the units below, row by row.

A unit's relevance R goes to the units that it read, in proportion to what each added: R_i = x_i · Σ_j w_ij · R_j / z_j.
The rules, as in Montavon et al. 2019:

- dense layers, average pools: the ε rule: z_j is the sum with ε added to its magnitude;
- convolutions, local layers: the γ rule: w + γ·max(0, w) in place of w, which prefers what speaks for the class;
- the first row, whose inputs have both signs: the z^B rule: (x − high)·w + (high − low)·max(0, w) in place of x·w, low
  and high being black and white less the mean; so no sum comes near 0;
- max-pools: all goes to the maximum; where windows share one, their relevances add up;
- response norms of both kinds, batch norms, non-linearities, dropout: passed by unit by unit, as it is (captum:
  IdentityRule), which conserves the sum.

What a bias added to z_j goes to no unit below: it is in the remainder. Summed over the colours, signed.

B pictures · S side of a view.
"""

import copy
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from alexnet.measure.viewer import ViewAverager
from alexnet.nets.layers import WeightedLayer, adjoint, unpool
from alexnet.nets.network import at_least_float32
from alexnet.nets.table import Conv, Dense, Local, Pool
from alexnet.see.attribution.base import BATCH, Attributed, signal_of
from alexnet.see.forward_pass import ForwardPass, centre_mean, run_forward

WHITE = 255.0


def lrp(
    viewer: ViewAverager,
    inputs: Float[Tensor, "B 3 S S"],
    targets: Int[Tensor, "B"],
    *,
    epsilon: float = 1e-6,
    gamma: float = 0.25,
) -> Attributed:
    """The target's logit divided among the pixels, in float32 at least. `remainder`: the logit less the map's sum."""
    network, maps, remainders = viewer.network, [], []
    white = WHITE - centre_mean(viewer)
    for x, some in zip(at_least_float32(inputs).split(BATCH), targets.split(BATCH), strict=True):
        passed = run_forward(network, x)
        logits = passed[network.layers[-1].row.name] * signal_of(some, network)
        relevance = relevance_above(passed, logits, epsilon, gamma)
        first = network.get_submodule(network.layers[0].row.name)
        if isinstance(first, WeightedLayer):
            relevance = _boxed(first, x, white.to(x), relevance, epsilon)
        maps.append(relevance.sum(dim=1))
        remainders.append(logits.sum(dim=1) - relevance.flatten(1).sum(dim=1))
    return Attributed(torch.cat(maps), torch.cat(remainders))


def relevance_above(passed: ForwardPass, relevance: Float[Tensor, "B K"], epsilon: float, gamma: float) -> Tensor:
    """The relevance of what left the first row, from that of the last one's outputs."""
    for index in range(len(passed.network.layers) - 1, 0, -1):
        row, x = passed.network.layers[index].row, passed.entering(index)
        layer = passed.network.get_submodule(row.name)
        match row:
            case Dense() | Pool(kind="average"):
                relevance = x * adjoint(layer, relevance / _away_from_0(passed[row.name], epsilon), x)
            case Conv() | Local():
                assert isinstance(layer, WeightedLayer)
                raised = _with_weight(layer, layer.weight + gamma * layer.weight.relu())
                relevance = x * adjoint(raised, relevance / _away_from_0(raised(x), epsilon), x)
            case Pool():
                switches = passed.activations.switches[row.name]
                relevance = unpool(relevance, switches, (x.shape[2], x.shape[3]))
            case _:
                pass
    return relevance


def _boxed(first: WeightedLayer, x: Tensor, white: Tensor, relevance: Tensor, epsilon: float) -> Tensor:
    """The z^B rule, from what left the first row to the pixels. `white`: the highest that each can be, and WHITE more
    than the lowest."""
    below, span = x - white, torch.full_like(x, WHITE)
    # Two layers without their biases: the row itself, and its positive weights.
    rows = [_with_weight(first, weight, without_bias=True) for weight in (first.weight, first.weight.relu())]
    z = rows[0](below) + rows[1](span)
    shares = relevance / _away_from_0(z, epsilon)
    return below * adjoint(rows[0], shares, x) + span * adjoint(rows[1], shares, x)


def _with_weight(layer: WeightedLayer, weight: Tensor, *, without_bias: bool = False) -> Any:
    """A copy of the layer with other weights, in the memory order that needs no further copy."""
    changed = copy.deepcopy(layer)
    order = torch.channels_last if weight.ndim == 4 else torch.contiguous_format
    changed.weight.data = weight.detach().contiguous(memory_format=order)
    if without_bias and changed.bias is not None:
        changed.bias.data.zero_()
    return changed


def _away_from_0(z: Tensor, epsilon: float) -> Tensor:
    return torch.where(z < 0, z - epsilon, z + epsilon)
