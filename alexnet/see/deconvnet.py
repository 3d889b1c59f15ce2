"""From a unit back to the pixels: deconvnet, guided backpropagation and gradient, three lines of one table ([Z] §2.1).

The network's rows are walked from the unit's layer down. At every row the signal passes through the row's transpose:
filters flipped, maxima put back to where their switches say. The three methods differ only in `RULES`. A unit sends its
signal to the positions that it read, and no others: only that part of each map is computed.

N signals, one for each pair of picture and unit · B pictures · C maps · H, W rows and columns · S side of an input.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from alexnet.choices import Method, NormRule, Overlap
from alexnet.errors import UserError
from alexnet.files.schema import attributes
from alexnet.geometry import Box
from alexnet.isolation import isolated
from alexnet.nets.layers import Convolution, unpool
from alexnet.nets.network import Network
from alexnet.nets.table import Activation, BatchNorm, Conv, Dropout, Norm, Pool, SpatialNorm
from alexnet.see.forward_pass import ForwardPass
from alexnet.see.local import MapPatch
from alexnet.see.units import Unit, box_of, check_unit, frame_of

BATCH = 64
"""Signals that go down at a time."""


@dataclass(frozen=True)
class Rules:
    """What happens on the way down.

    `rectify`: at a ReLU only the positive part of the signal passes. `mask`: it passes only where the unit was active
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

    def as_json(self) -> list[dict[str, Any]]:
        """An entry for each unit; `energy`: the sum of its pixels' squares."""
        return [
            attributes(unit, "channel", "at")
            | {"value": float(value), "box": list(box), "energy": float(pixels.square().sum())}
            for unit, value, box, pixels in zip(self.units, self.values, self.boxes, self.pixels, strict=True)
        ]


@isolated()
@torch.no_grad()
def project(
    passed: ForwardPass,
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
    Raises UserError for a layer, map or position that there is not.
    """
    if not units:
        raise UserError("no unit is named; give at least one.")
    if len({unit.layer for unit in units}) > 1:
        raise ValueError("units of one layer go down together; those of another layer in a call of their own")
    rules = RULES[method] if norms is None else replace(RULES[method], norms=norms)
    of_n = torch.tensor([0] * len(units) if pictures is None else list(pictures), device=passed.inputs.device)
    values, pixels = [], []
    for first in range(0, len(units), BATCH):
        some, of = units[first : first + BATCH], of_n[first : first + BATCH]
        part, value = starting_part(passed, some, of, rules)
        values.append(value)
        pixels.append(descend(passed, units[0].layer, part, of, rules, overlap))
    boxes, frames = (tuple(see(passed.network, unit) for unit in units) for see in (box_of, frame_of))
    return Projections(tuple(units), tuple(of_n.tolist()), torch.cat(values), boxes, frames, torch.cat(pixels))


def starting_part(
    passed: ForwardPass, units: Sequence[Unit], of: Int[Tensor, "N"], rules: Rules
) -> tuple[MapPatch, Float[Tensor, "N"]]:
    """The signals at the units, zeros elsewhere, and the units' activations. Where each unit has a position, the part
    is that position of all maps."""
    output = passed[units[0].layer]
    for unit in units:
        check_unit(passed.network, unit)
    placed = output.ndim == 4 and all(unit.row is not None for unit in units)
    tops, lefts = (
        torch.tensor([number if placed and number else 0 for number in numbers], device=output.device)
        for numbers in ([unit.row for unit in units], [unit.column for unit in units])
    )
    outputs = output[of, :, tops, lefts][..., None, None] if placed else output[of]
    # Every other unit is silent ([Z] §2.1): a mask keeps the one unit, or the one map, that is projected.
    chosen = torch.zeros_like(outputs, dtype=torch.bool)
    for number, unit in enumerate(units):
        whole = placed or unit.row is None or output.ndim == 2
        chosen[(number, unit.channel) if whole else (number, unit.channel, unit.row, unit.column)] = True
    activations = outputs * chosen
    signal = activations if rules.starts_with == "activation" else chosen.to(output.dtype)
    return MapPatch(signal, tops, lefts), activations.flatten(1).sum(dim=1)


def descend(
    passed: ForwardPass, layer: str, part: MapPatch, of: Int[Tensor, "N"], rules: Rules, overlap: Overlap = "add"
) -> Float[Tensor, "N 3 S S"]:
    """Bring signals at the output of `layer` down to the pixels; `of` (N,): each signal's picture in the batch."""
    with passed.network.copies.in_use():
        for index in range(row_index(passed.network, layer), -1, -1):
            part = step_down(passed, index, part, of, rules, overlap)
    return part.onto(torch.zeros_like(passed.inputs[:1])).float()


def step_down(
    passed: ForwardPass, index: int, part: MapPatch, of: Int[Tensor, "N"], rules: Rules, overlap: Overlap
) -> MapPatch:
    """One row down: from the output of row number `index` to what entered it."""
    row, below = passed.network.layers[index].row, passed.entering(index)

    def crossed(part: MapPatch, x: Tensor) -> MapPatch:
        return replace(part, values=passed.network.adjoint(row.name, part.values, x))

    match row:
        case Activation():
            # tanh units are negative half of the time: there is nothing to rectify.
            rectified = rules.rectify and row.kind != "tanh"
            part = replace(part, values=part.values.relu()) if rectified else part
            return crossed(part, part.of(below, of)) if rules.mask else part
        case Norm() | SpatialNorm() if rules.norms == "pass":
            return part
        case Norm():
            return crossed(part, part.of(below, of))
        case Pool(kind="max"):
            return _unpooled(passed, index, part, of, overlap)
        case Conv():
            return _spread(passed, index, part)
        case Dropout() | BatchNorm():  # linear, unit by unit: what entered matters by its shape alone
            return crossed(part, part.values)
        case _:
            whole = MapPatch.whole(part.onto(torch.zeros_like(passed[row.name][:1])))
            linear = not isinstance(row, SpatialNorm)
            return crossed(whole, below[:1].expand(len(of), *below.shape[1:]) if linear else below[of])


def _unpooled(passed: ForwardPass, index: int, part: MapPatch, of: Int[Tensor, "N"], overlap: Overlap) -> MapPatch:
    """Every value back where its window found it: what the windows of the part read."""
    layer, (height, width) = passed.network.layers[index], passed.entering(index).shape[2:]
    kernel, stride = layer.window.kernel, layer.window.stride
    rows, columns = part.values.shape[2:]
    high, wide = min(height, (rows - 1) * stride + kernel), min(width, (columns - 1) * stride + kernel)
    tops, lefts = (part.tops * stride).clamp(max=height - high), (part.lefts * stride).clamp(max=width - wide)
    # Rows stay as long as the map's, so that switches need no division.
    switches = part.of(passed.activations.switches[layer.row.name], of) - (tops * width + lefts)[:, None, None, None]
    return MapPatch(unpool(part.values, switches, (high, width), overlap)[..., :wide], tops, lefts)


def _spread(passed: ForwardPass, index: int, part: MapPatch) -> MapPatch:
    """Filters laid at each position of the part: what they read."""
    layer, below = passed.network.layers[index], passed.entering(index)
    convolution = passed.network.get_submodule(layer.row.name)
    assert isinstance(convolution, Convolution)
    tops, lefts = (begins * layer.window.stride - layer.window.before for begins in (part.tops, part.lefts))
    spread = MapPatch(convolution.unpadded_transpose(part.values), tops, lefts)
    return spread.within(below.shape[2], below.shape[3])


def row_index(network: Network, layer: str) -> int:
    """The number of a row in its table. Raises UserError, naming those that exist."""
    return network.layers.index(network.layer(layer))
