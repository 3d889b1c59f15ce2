"""Naming units: which layer, which map, which position in it; what a unit sees of the picture; which are strongest.

B pictures · C maps (or units of a fully connected layer) · H, W rows and columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from alexnet.errors import UsageError, UserError
from alexnet.geometry import Box, unit_box
from alexnet.nets.network import Network
from alexnet.nets.table import Activation, Conv, Dropout, Local, Row, Weighted, named_rows
from alexnet.nets.trace import Layer

CHANNELS_SHOWN = 12
"""How many channels a figure has where none are named."""


@dataclass(frozen=True)
class Unit:
    """A unit of a layer: `channel` is its map, `row` and `column` its position there. Without one: the whole map, or
    the unit itself in a fully connected layer."""

    layer: str
    channel: int
    row: int | None = None
    column: int | None = None

    @property
    def at(self) -> tuple[int, int] | None:
        """Row and column, if it has them."""
        return None if self.row is None or self.column is None else (self.row, self.column)

    def __str__(self) -> str:
        position = "" if self.row is None else f" at {self.row},{self.column}"
        return f"{self.layer} · {self.channel}{position}"


def check_unit(network: Network, unit: Unit) -> Layer:
    """The unit's layer. Raises UserError, saying which there are, if there is no such layer, map or position."""
    layer = network.layer(unit.layer)
    maps, side = layer.leaving.maps, layer.leaving.side
    if not 0 <= unit.channel < maps:
        raise UserError(f"{unit.layer} has no map {unit.channel}; it has {maps}: 0 … {maps - 1}.")
    if unit.row is not None and not (0 <= unit.row < side and 0 <= (unit.column or 0) < side):
        raise UserError(
            f"{unit.layer}'s maps have no position {unit.row},{unit.column}; rows and columns are 0 … {side - 1}."
        )
    return layer


def box_of(network: Network, unit: Unit) -> Box:
    """The pixels (left, top, right, bottom; the last two exclusive) that the unit can see. All for a whole map."""
    layer = check_unit(network, unit)
    size = network.input_size
    if unit.row is None or unit.column is None or layer.field.jump == 0:
        return 0, 0, size, size
    return unit_box(layer.field, unit.row, unit.column, size)


def frame_of(network: Network, unit: Unit) -> Box:
    """Like `box_of`, but what lies beyond the picture's edges is not cut off: all frames of a layer are of one size."""
    layer, size = check_unit(network, unit), network.input_size
    if unit.row is None or unit.column is None or layer.field.jump == 0:
        return 0, 0, size, size
    field = layer.field
    left, top = field.start + unit.column * field.jump, field.start + unit.row * field.jump
    return left, top, left + field.size, top + field.size


def peaks(maps: Tensor) -> tuple[Float[Tensor, "B C"], Int[Tensor, "B C"]]:
    """The largest value of each map of each picture, and where it first stands: row · W + column. 0 for dense layers.

    A pool over the whole map: where channels lie last, four times as fast as a maximum."""
    if maps.ndim == 2:
        return maps, torch.zeros_like(maps, dtype=torch.int64)
    values, positions = F.max_pool2d(maps, maps.shape[2:], return_indices=True)
    return values.flatten(1), positions.flatten(1)


def unit_at(network: Network, layer: str, channel: int, position: int) -> Unit:
    """The unit at `position` (row · W + column) of a map; without one in layers that have no rows and columns."""
    side = network.layer(layer).leaving.side
    return Unit(layer, channel) if side == 1 else Unit(layer, channel, *divmod(position, side))


def strongest_units(network: Network, maps: Tensor, layer: str, channels: Sequence[int] | int) -> list[Unit]:
    """Of one picture's output of `layer`, (1, C, H, W) or (1, U): the unit at the peak of each of `channels`; for a
    number, of the so many channels whose peaks are highest."""
    values, positions = peaks(maps)
    if isinstance(channels, int):
        channels = values[0].argsort(descending=True, stable=True)[:channels].tolist()
    for channel in channels:
        check_unit(network, Unit(layer, channel))
    return [unit_at(network, layer, channel, int(positions[0, channel])) for channel in channels]


def numbers_in(words: str, count: int, what: str) -> list[int]:
    """Numbers in words such as "3,17-20". Raises UsageError if they can't be read or reach beyond `count` − 1."""
    found: list[int] = []
    for part in filter(None, words.split(",")):
        first, _, last = part.partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            raise UsageError(f"{part!r}: name {what} by number, as in 3,17-20; there are 0 … {count - 1}.")
        found += range(int(first), int(last or first) + 1)
    if bad := [number for number in found if number >= count]:
        raise UsageError(f"there is no {what.removesuffix('s')} {bad[0]}; there are 0 … {count - 1}.")
    return found


def evenly_spread(count: int, wanted: int = CHANNELS_SHOWN) -> list[int]:
    """`wanted` numbers (all, where there are fewer), evenly spread over 0 … `count` − 1."""
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).round().astype(int)).tolist()


# ── layers by their number ───────────────────────────────────────────────────────────────────────────────────────


def feature_row(network: Network, number: int) -> str:
    """The row whose output is "layer n" of the papers: the n-th row with weights (from 1), past its non-linearity.

    Raises UserError if there are fewer.
    """
    rows = _rows_of(network, number)
    return next((row.name for row in rows if isinstance(row, Activation)), rows[0].name)


def output_row(network: Network, number: int) -> str:
    """The row in which "layer n" of [Z] ends (n from 1): the last before the next row with weights, so that
    non-linearity, pooling and norm belong to it ([Z] Fig. 3); dropout, which does nothing at test, does not. Raises
    UserError if there are fewer."""
    return [row.name for row in _rows_of(network, number) if not isinstance(row, Dropout)][-1]


def _rows_of(network: Network, number: int) -> list[Row]:
    """The n-th row with weights and those behind it, before the next one."""
    rows = [layer.row for layer in network.layers]
    starts = [position for position, row in enumerate(rows) if isinstance(row, Weighted)]
    if not 1 <= number <= len(starts):
        raise UserError(f"{network.table.name} has no layer {number}; its layers with weights are 1 … {len(starts)}.")
    return rows[starts[number - 1] : starts[number] if number < len(starts) else len(rows)]


def is_rectified(network: Network, name: str) -> bool:
    """Whether a ReLU reads the row's output, so that a unit at 0 or below is silent. Logits are not rectified."""
    rows = [layer.row for layer in network.layers]
    after = rows[[row.name for row in rows].index(name) + 1 :][:1]
    return bool(after) and isinstance(after[0], Activation) and after[0].kind == "relu"


def hidden_row(network: Network) -> str:
    """The papers' "layer 7": the features below the classifier, past their non-linearity."""
    return feature_row(network, max(1, len(network.table.weighted) - 1))


def last_convolution(network: Network) -> str:
    """The papers' "layer 5" as maps: the last convolution's output past its non-linearity."""
    return feature_row(network, number_of_last_convolution(network))


def number_of_last_convolution(network: Network) -> int:
    """Its number among the layers with weights, from 1. Raises UserError if there is none."""
    convolutions = [n for n, row in enumerate(network.table.weighted, 1) if isinstance(row, Conv | Local)]
    if not convolutions:
        raise UserError(f"{network.table.name} has no convolution to look at.")
    return convolutions[-1]


def layers_in(network: Network, words: str) -> list[str]:
    """The rows that `--layers` names: see `named_rows`."""
    weighted = [row.name for row in network.table.weighted]
    return named_rows("layers", words, [row.name for row in network.table.rows], weighted)
