"""Small parts of maps. A change in a part of a picture, followed up through the network: only what it can reach is
computed again. (`deconvnet` follows parts down.)

A square of the picture reaches a square of the next map, a little larger; everywhere else the map is as it was. So each
row works on the small part, read from the clean map with what surrounds it, until a row reads all of the map.
The values are those of the whole computation, but for the order in which a product is summed.

N changed pictures, or parts · B pictures · C maps · h, w rows and columns of a part · H, W those of a map · K classes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from alexnet import kernels
from alexnet.geometry import Window
from alexnet.nets.layers import Convolution, MaxPool, SpatialResponseNorm
from alexnet.nets.network import at_least_float32
from alexnet.nets.table import Activation, BatchNorm, Conv, Dropout, Norm, Pool, SpatialNorm
from alexnet.nets.trace import Layer
from alexnet.see.forward_pass import ForwardPass


@dataclass(frozen=True, eq=False)
class MapPatch:
    """A part of each of N maps: `values` (N, C, h, w), their upper left corners at `tops` and `lefts` (N,). Of fully
    connected layers all units, (N, U)."""

    values: Tensor
    tops: Int[Tensor, "N"]
    lefts: Int[Tensor, "N"]

    @classmethod
    def whole(cls, values: Tensor) -> "MapPatch":
        """All of the maps."""
        nowhere = torch.zeros(len(values), dtype=torch.int64, device=values.device)
        return cls(values, nowhere, nowhere)

    def of(self, maps: Tensor, numbers: Int[Tensor, "N"]) -> Tensor:
        """The same positions of other maps, (B, C, H, W) or (B, U), of which `numbers` says the one for each part."""
        if maps.shape[2:] == self.values.shape[2:]:
            return maps[numbers]
        high, wide = self.values.shape[2:]
        begins = zip(numbers.tolist(), self.tops.tolist(), self.lefts.tolist(), strict=True)
        return torch.stack([maps[b, :, top : top + high, left : left + wide] for b, top, left in begins])

    def within(self, height: int, width: int) -> "MapPatch":
        """What of it lies on maps of this size: the rest is dropped, zeros that are on them come in instead."""
        high, wide = min(height, self.values.shape[2]), min(width, self.values.shape[3])
        tops, lefts = self.tops.clamp(0, height - high), self.lefts.clamp(0, width - wide)
        as_it_is = (high, wide) == tuple(self.values.shape[2:])
        if as_it_is and torch.equal(tops, self.tops) and torch.equal(lefts, self.lefts):
            return self
        nothing = self.values.new_zeros(height, width, self.values.shape[1])
        return MapPatch(_read(nothing, self, (tops, high), (lefts, wide)), tops, lefts)

    def onto(self, clean: Tensor) -> Tensor:
        """The whole maps, (N, C, H, W) or (N, U): `clean`, (1, C, H, W) or (1, U), with the parts laid over it."""
        if clean.shape[1:] == self.values.shape[1:]:
            return self.values
        height, width = clean.shape[2:]
        nowhere = torch.zeros_like(self.tops)
        return _read(_channels_last(clean), self, (nowhere, height), (nowhere, width))


@dataclass(frozen=True, eq=False)
class Local:
    """Follows changes of one picture. `passed`: of that picture alone (a batch of one)."""

    passed: ForwardPass
    surroundings: dict[str, Tensor] = field(default_factory=dict)
    """Clean maps with what lies around them, (H', W', C), by the row that reads them."""

    @cached_property
    def whole(self) -> int:
        """The number of the first row that has to be computed whole, or how many rows there are."""
        rows = self.passed.network.computable_layers
        wholes = (index for index, layer in enumerate(rows) if not _in_parts(layer))
        return next(wholes, len(rows))

    def parts(self, part: MapPatch) -> Iterator[tuple[str, MapPatch]]:
        """Row by row what changes: (name, part), of the rows before number `whole`."""
        for index, layer in enumerate(self.passed.network.computable_layers[: self.whole]):
            part = self._partly(part, index, self._module(layer))
            yield layer.row.name, part

    def rest(self, entering: Tensor) -> Iterator[tuple[str, Tensor]]:
        """(name, output) of row number `whole` and those behind it, from the whole maps that enter it."""
        network = self.passed.network
        for layer in network.computable_layers[self.whole :]:
            last = layer is network.layers[-1]
            entering = self._module(layer)(at_least_float32(entering) if last else entering)
            yield layer.row.name, entering

    def _module(self, layer: Layer) -> nn.Module:
        return self.passed.network.get_submodule(layer.row.name)

    def _partly(self, part: MapPatch, index: int, module: nn.Module) -> MapPatch:
        match module:
            case Convolution() if module.window.stride == 1:
                return self._by_difference(part, index, module)
            case Convolution():
                return self._windows(part, index, module.window, module.without_padding, 0.0)
            case MaxPool():
                window = module.window
                pool = partial(_max_pool, kernel=window.kernel, stride=window.stride)
                return self._windows(part, index, window, pool, -torch.inf)
            case SpatialResponseNorm():
                size = module.spec.size
                window = Window(size, before=size // 2, after=(size - 1) // 2)
                inner = slice(window.before, -window.after or None)
                return self._windows(part, index, window, lambda x: module(x)[..., inner, inner], 0.0)
            case _:
                return MapPatch(module(part.values), part.tops, part.lefts)

    def _windows(
        self, part: MapPatch, index: int, window: Window, apply: Callable[[Tensor], Tensor], outside: float
    ) -> MapPatch:
        """The windows that read any of the part, `apply` being the row on a map that is already padded."""
        size = self.passed.entering(index).shape[-1]
        height, width = part.values.shape[2:]
        tops, rows = _reached(window, part.tops, height, size)
        lefts, columns = _reached(window, part.lefts, width, size)
        around = self._around(index, window, outside)
        high, wide = ((count - 1) * window.stride + window.kernel for count in (rows, columns))
        inside = MapPatch(part.values, part.tops + window.before, part.lefts + window.before)
        values = apply(_read(around, inside, (tops * window.stride, high), (lefts * window.stride, wide)))
        return MapPatch(values, tops, lefts)

    def _by_difference(self, part: MapPatch, index: int, convolution: Convolution) -> MapPatch:
        """A convolution is linear: what the part's difference from the clean map makes of it is added to its clean
        output. No sum is taken over what did not change."""
        clean_in, clean_out = self.passed.entering(index), self.passed[self.passed.network.layers[index].row.name]
        window, (height, width) = convolution.window, part.values.shape[2:]
        # conv(x + d) = conv(x) + conv(d): only the difference d is convolved, and its output added to the clean one.
        before = _read(_channels_last(clean_in), None, (part.tops, height), (part.lefts, width))
        change = convolution.change(part.values - before)
        beyond = window.kernel - 1 - window.before  # of the part's corner, where the change begins
        changed = MapPatch(change, part.tops - beyond, part.lefts - beyond)
        tops, rows = _reached(window, part.tops, height, clean_in.shape[-1])
        lefts, columns = _reached(window, part.lefts, width, clean_in.shape[-1])
        values = _read(_channels_last(clean_out), None, (tops, rows), (lefts, columns))
        as_it_is = (rows, columns) == tuple(change.shape[2:])
        if not (as_it_is and torch.equal(tops, changed.tops) and torch.equal(lefts, changed.lefts)):
            # Some of it lies beyond the map.
            nothing = change.new_zeros(*clean_out.shape[2:], change.shape[1])
            change = _read(nothing, changed, (tops, rows), (lefts, columns))
        return MapPatch(values.add_(change), tops, lefts)

    def _around(self, index: int, window: Window, outside: float) -> Float[Tensor, "H2 W2 C"]:
        """The clean map that enters a row, with what its windows read beyond the edges."""
        name = self.passed.network.layers[index].row.name
        if name not in self.surroundings:
            clean = self.passed.entering(index)[0]
            far = max(0, window.far_padding(clean.shape[-1]))
            padded = F.pad(clean, (window.before, far, window.before, far), value=outside)
            self.surroundings[name] = padded.permute(1, 2, 0).contiguous()
        return self.surroundings[name]


def _max_pool(x: Float[Tensor, "N C m m2"], kernel: int, stride: int) -> Float[Tensor, "N C h w"]:
    return kernels.relu_norm_pool(x, kernels.NormPool(kernel=kernel, stride=stride))


def _in_parts(layer: Layer) -> bool:
    """Whether each unit of a row reads a window of the map below, or one position of it."""
    match layer.row:
        case Conv() | SpatialNorm() | Activation() | Norm() | BatchNorm() | Dropout():
            return True
        case Pool(kind=kind):
            return kind == "max"
        case _:
            return False


def _reached(window: Window, firsts: Int[Tensor, "N"], extent: int, size: int) -> tuple[Int[Tensor, "N"], int]:
    """Along one axis: the first window that reads any of the units firsts … firsts + extent − 1, for each part, and how
    many there are at most. Those that have fewer, at the edges, get some unchanged ones too."""
    spans = {first: window.reached(first, first + extent, size) for first in firsts.unique().tolist()}
    count = max(1, *(end - start for start, end in spans.values()))
    latest = window.outputs(size) - count
    return torch.tensor([min(spans[first][0], latest) for first in firsts.tolist()], device=firsts.device), count


def _channels_last(clean: Float[Tensor, "1 C H W"]) -> Float[Tensor, "H W C"]:
    return clean[0].permute(1, 2, 0)


def _read(
    around: Float[Tensor, "H W C"],
    part: MapPatch | None,
    vertical: tuple[Int[Tensor, "N"], int],
    horizontal: tuple[Int[Tensor, "N"], int],
) -> Float[Tensor, "N C m m2"]:
    """Of N maps that are alike but for their parts, one rectangle each (where it begins along both axes, and how long
    it is): the part where it lies, and elsewhere the map `around` it."""
    rows, columns = (
        begins[:, None] + torch.arange(length, device=begins.device) for begins, length in (vertical, horizontal)
    )
    # One gather for all rectangles: the map's values and all parts' values stand in one long list, and each position of
    # a rectangle gets the number of its value there.
    positions = (rows * around.shape[1])[:, :, None] + columns[:, None, :]
    values_pc = around.flatten(0, 1)
    if part is not None:
        values_pc = torch.cat([values_pc, part.values.permute(0, 2, 3, 1).flatten(0, 2)])
        inside, numbers = _positions_in(part, rows, columns)
        positions = torch.where(inside, around.shape[0] * around.shape[1] + numbers, positions)
    return values_pc.index_select(0, positions.flatten()).unflatten(0, positions.shape).permute(0, 3, 1, 2)


def _positions_in(
    part: MapPatch, rows: Int[Tensor, "N m"], columns: Int[Tensor, "N m2"]
) -> tuple[Bool[Tensor, "N m m2"], Int[Tensor, "N m m2"]]:
    """Which of these positions are inside the parts, and their numbers among all values of the parts."""
    count, _, high, wide = part.values.shape
    row, column = rows - part.tops[:, None], columns - part.lefts[:, None]
    inside = ((row >= 0) & (row < high))[:, :, None] & ((column >= 0) & (column < wide))[:, None, :]
    first = torch.arange(count, device=rows.device)[:, None] * high * wide
    return inside, (first + row * wide)[:, :, None] + column[:, None, :]
