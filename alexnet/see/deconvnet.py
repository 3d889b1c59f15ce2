"""From a unit back to the pixels: deconvnet, guided backpropagation and gradient, three lines of one table ([Z] §2.1).

The network's rows are walked from the unit's layer down. At every row the signal passes through the row's transpose:
filters flipped, maxima put back to where their switches say. The three methods differ only in `RULES`.

N signals, one for each pair of picture and unit · B pictures · C maps · H, W rows and columns · S side of an input.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from alexnet.errors import UserError
from alexnet.geometry import Box
from alexnet.nets.layers import unpool
from alexnet.nets.network import Network
from alexnet.nets.table import Activation, Norm, Pool, SpatialNorm
from alexnet.see.sight import Sight
from alexnet.see.units import Unit, box_of, check_unit, frame_of

Method = Literal["deconvnet", "guided", "gradient"]
NormRule = Literal["pass", "adjoint"]
Overlap = Literal["add", "overwrite"]

BATCH = 64
"""Signals that go down at a time."""


@dataclass(frozen=True)
class Rules:
    """What happens on the way down.

    `rectify`: at a ReLU only the positive part of the signal goes on. `mask`: it goes on only where the unit was active
    on the way up. `norms`: response normalisation is passed by, or crossed by its adjoint. `starts_with`: the signal
    at the unit is its activation, or 1.
    """

    rectify: bool
    mask: bool
    norms: NormRule
    starts_with: Literal["activation", "one"]


RULES: dict[Method, Rules] = {
    "deconvnet": Rules(rectify=True, mask=False, norms="pass", starts_with="activation"),  # [Z] §2.1
    "guided": Rules(rectify=True, mask=True, norms="adjoint", starts_with="one"),
    "gradient": Rules(rectify=False, mask=True, norms="adjoint", starts_with="one"),
}
"""[Z] leaves open what to do at a norm; passing it by is the usual reading."""


@dataclass(frozen=True, eq=False)
class Projections:
    """What N units look at. `pixels` (N, 3, S, S), on no scale in particular; `values` (N,) the activations that were
    projected (of a whole map: their sum); `pictures` (N,) the numbers of the pictures in the batch; `boxes` the
    pixels each unit can see, `frames` the same with what lies beyond the picture."""

    units: tuple[Unit, ...]
    pictures: tuple[int, ...]
    values: Float[Tensor, "N"]
    boxes: tuple[Box, ...]
    frames: tuple[Box, ...]
    pixels: Float[Tensor, "N 3 S S"]


@torch.no_grad()
def project(
    sight: Sight,
    units: Sequence[Unit],
    pictures: Sequence[int] | None = None,
    *,
    method: Method = "deconvnet",
    norms: NormRule | None = None,
    overlap: Overlap = "add",
) -> Projections:
    """Project units, all others of their layer silent, down to the pixels.

    `units`, all of one layer; `pictures`: for each unit the number of its picture in the batch (default: 0, the only
    one). `norms` overrules the method's; `overlap`: what happens where two pooling windows share a maximum.
    Raises UserError for a layer, map or place that there is not.
    """
    if not units:
        raise UserError("no unit is named; give at least one.")
    if len({unit.layer for unit in units}) > 1:
        raise ValueError("units of one layer go down together; those of another layer in a call of their own")
    rules = RULES[method] if norms is None else replace(RULES[method], norms=norms)
    of_n = torch.tensor([0] * len(units) if pictures is None else list(pictures), device=sight.inputs.device)
    values, pixels = [], []
    for first in range(0, len(units), BATCH):
        some, of = units[first : first + BATCH], of_n[first : first + BATCH]
        signal, value = starting_signal(sight, some, of, rules)
        values.append(value)
        pixels.append(descend(sight, units[0].layer, signal, of, rules, overlap))
    boxes, frames = (tuple(see(sight.network, unit) for unit in units) for see in (box_of, frame_of))
    return Projections(tuple(units), tuple(of_n.tolist()), torch.cat(values), boxes, frames, torch.cat(pixels))


def starting_signal(
    sight: Sight, units: Sequence[Unit], of: Int[Tensor, "N"], rules: Rules
) -> tuple[Tensor, Float[Tensor, "N"]]:
    """Zero everywhere but at the units, (N, C, H, W) or (N, U), and the units' activations."""
    output = sight[units[0].layer]
    chosen = torch.zeros(len(units), *output.shape[1:], dtype=torch.bool, device=output.device)
    for number, unit in enumerate(units):
        check_unit(sight.network, unit)
        place = (unit.channel,) if unit.row is None or output.ndim == 2 else (unit.channel, unit.row, unit.column)
        chosen[(number, *place)] = True
    activations = output[of] * chosen
    signal = activations if rules.starts_with == "activation" else chosen.to(output.dtype)
    return signal, activations.flatten(1).sum(dim=1)


def descend(
    sight: Sight, layer: str, signal: Tensor, of: Int[Tensor, "N"], rules: Rules, overlap: Overlap = "add"
) -> Float[Tensor, "N 3 S S"]:
    """Bring a signal at the output of `layer` down to the pixels; `of` (N,): each signal's picture in the batch."""
    for place in range(place_of(sight.network, layer), -1, -1):
        signal = step_down(sight, place, signal, of, rules, overlap)
    return signal.float()


def step_down(sight: Sight, place: int, signal: Tensor, of: Int[Tensor, "N"], rules: Rules, overlap: Overlap) -> Tensor:
    """One row down: from the output of row number `place` to what entered it."""
    row, below = sight.network.layers[place].row, sight.entering(place)
    match row:
        case Activation():
            # tanh units are negative half of the time: there is nothing to rectify.
            signal = signal.relu() if rules.rectify and row.kind != "tanh" else signal
            return sight.network.adjoint(row.name, signal, below[of]) if rules.mask else signal
        case Norm() | SpatialNorm():
            return sight.network.adjoint(row.name, signal, below[of]) if rules.norms == "adjoint" else signal
        case Pool(kind="max"):
            switches = sight.activations.switches[row.name][of]
            return unpool(signal, switches, (below.shape[-2], below.shape[-1]), overlap)
        case _:  # linear: what entered matters by its shape alone
            return sight.network.adjoint(row.name, signal, below[:1].expand(len(signal), *below.shape[1:]))


def place_of(network: Network, layer: str) -> int:
    """The number of a row in its table. Raises UserError, naming those that exist."""
    return network.layers.index(network.layer(layer))
