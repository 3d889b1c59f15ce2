"""A change in a small part of a picture, followed up through the network: only what it can reach is computed again.

A square of the picture reaches a square of the next map, a little larger; everywhere else the map is as it was. So each
row works on the small part, fetched from the clean map with what surrounds it, until the part is as large as the map.
The values are those of the whole computation, but for the order in which a product is summed.

N changed pictures · C maps · h, w rows and columns of a part · H, W those of a map · K classes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from alexnet.geometry import Window
from alexnet.nets.layers import Convolution, MaxPool, SpatialResponseNorm
from alexnet.nets.network import at_least_float32
from alexnet.nets.table import Activation, BatchNorm, Dropout, Layer, Norm
from alexnet.see.sight import Sight

POINTWISE = (Activation, Norm, BatchNorm, Dropout)
"""Rows whose units read one place of the map below."""


@dataclass(frozen=True, eq=False)
class Part:
    """What is new in N maps: `values` (N, C, h, w), their upper left corners at `tops` and `lefts` (N,)."""

    values: Float[Tensor, "N C h w"]
    tops: Int[Tensor, "N"]
    lefts: Int[Tensor, "N"]

    def onto(self, clean: Float[Tensor, "1 C H W"]) -> Float[Tensor, "N C H W"]:
        """The whole maps: `clean` with the parts laid over it."""
        height, width = self.values.shape[2:]
        if (height, width) == tuple(clean.shape[2:]):
            return self.values
        whole = clean.permute(0, 2, 3, 1).expand(len(self.values), -1, -1, -1).contiguous()
        _paste(whole, self.values, self.tops, self.lefts)
        return whole.permute(0, 3, 1, 2)


@dataclass(frozen=True, eq=False)
class Local:
    """Follows changes of one picture. `sight`: of that picture alone (a batch of one)."""

    sight: Sight
    surroundings: dict[str, Tensor] = field(default_factory=dict)
    """Clean maps with what lies around them, (H', W', C), by the row that reads them."""

    def follow(self, part: Part) -> Iterator[tuple[str, Part | Tensor]]:
        """Row by row what changes: (name, part), and from the first row that reads everything (fully connected, local)
        on (name, whole output)."""
        found: Part | Tensor = part
        for place, layer in enumerate(self.sight.network.present):
            module = self.sight.network.get_submodule(layer.row.name)
            if isinstance(found, Part):
                found = self._partly(found, place, layer)
            else:
                last = layer is self.sight.network.layers[-1]
                found = module(at_least_float32(found) if last else found)
            yield layer.row.name, found

    def _partly(self, part: Part, place: int, layer: Layer) -> Part | Tensor:
        module = self.sight.network.get_submodule(layer.row.name)
        if isinstance(layer.row, POINTWISE):
            return Part(module(part.values), part.tops, part.lefts)
        if isinstance(module, Convolution):
            return self._windows(part, place, module.window, module.without_padding, 0.0)
        if isinstance(module, MaxPool):
            window = module.window
            pool = lambda x: F.max_pool2d(x, window.kernel, window.stride)  # noqa: E731
            return self._windows(part, place, window, pool, -torch.inf)
        if isinstance(module, SpatialResponseNorm):
            size = module.spec.size
            window = Window(size, before=size // 2, after=(size - 1) // 2)
            inner = slice(window.before, -window.after or None)
            return self._windows(part, place, window, lambda x: module(x)[..., inner, inner], 0.0)
        entering = part.onto(self.sight.entering(place))
        return module(at_least_float32(entering) if layer is self.sight.network.layers[-1] else entering)

    def _windows(
        self, part: Part, place: int, window: Window, apply: Callable[[Tensor], Tensor], outside: float
    ) -> Part:
        """The windows that read any of the part, `apply` being the row on a map that is already padded."""
        size = self.sight.entering(place).shape[-1]
        height, width = part.values.shape[2:]
        tops, rows = _reached(window, part.tops, height, size)
        lefts, columns = _reached(window, part.lefts, width, size)
        around = self._around(place, window, outside)
        values = apply(_fetched(around, part, window, (tops, rows), (lefts, columns)))
        return Part(values, tops, lefts)

    def _around(self, place: int, window: Window, outside: float) -> Float[Tensor, "H2 W2 C"]:
        """The clean map that enters a row, with what its windows read beyond the edges."""
        name = self.sight.network.layers[place].row.name
        if name not in self.surroundings:
            clean = self.sight.entering(place)[0]
            far = max(0, window.far_padding(clean.shape[-1]))
            padded = F.pad(clean, (window.before, far, window.before, far), value=outside)
            self.surroundings[name] = padded.permute(1, 2, 0).contiguous()
        return self.surroundings[name]


def _reached(window: Window, firsts: Int[Tensor, "N"], extent: int, size: int) -> tuple[Int[Tensor, "N"], int]:
    """Along one axis: the first window that reads any of the units firsts … firsts + extent − 1, for each part, and how
    many there are at most. Those that have fewer, at the edges, get some unchanged ones too."""
    spans = {first: window.reached(first, first + extent, size) for first in firsts.unique().tolist()}
    count = max(1, *(end - start for start, end in spans.values()))
    latest = window.outputs(size) - count
    return torch.tensor([min(spans[first][0], latest) for first in firsts.tolist()], device=firsts.device), count


def _fetched(
    around: Float[Tensor, "H2 W2 C"],
    part: Part,
    window: Window,
    vertical: tuple[Int[Tensor, "N"], int],
    horizontal: tuple[Int[Tensor, "N"], int],
) -> Float[Tensor, "N C m m2"]:
    """What the windows read: the clean map there, with the parts laid over it."""
    (tops, rows), (lefts, columns) = vertical, horizontal
    top_places, extra_rows = _places(tops, rows, window, part.tops, part.values.shape[2])
    left_places, extra_columns = _places(lefts, columns, window, part.lefts, part.values.shape[3])
    height, width = around.shape[:2]
    read = around[
        top_places.clamp(0, height - 1)[:, :, None],
        left_places.clamp(0, width - 1)[:, None, :],
    ]
    _paste(
        read,
        part.values,
        part.tops + window.before - top_places[:, 0],
        part.lefts + window.before - left_places[:, 0],
    )
    high, wide = ((count - 1) * window.stride + window.kernel for count in (rows, columns))
    read = read[:, extra_rows : extra_rows + high, extra_columns : extra_columns + wide]
    return read.permute(0, 3, 1, 2)


def _places(
    firsts: Int[Tensor, "N"], count: int, window: Window, parts: Int[Tensor, "N"], extent: int
) -> tuple[Int[Tensor, "N m"], int]:
    """Along one axis of the padded map: the units that `count` windows read, with a margin (the same for all) so that
    the whole part finds room, and that margin's width at the near side."""
    starts = firsts * window.stride
    length = (count - 1) * window.stride + window.kernel
    begins = parts + window.before
    near = max(0, int((starts - begins).max()))
    far = max(0, int((begins + extent - starts - length).max()))
    return starts[:, None] - near + torch.arange(near + length + far, device=firsts.device), near


def _paste(
    onto: Float[Tensor, "N m m2 C"], values: Float[Tensor, "N C h w"], tops: Int[Tensor, "N"], lefts: Int[Tensor, "N"]
) -> None:
    """Lay values over maps, each at a place of its own."""
    height, width = values.shape[2:]
    device = values.device
    rows = tops[:, None] + torch.arange(height, device=device)
    columns = lefts[:, None] + torch.arange(width, device=device)
    numbers = torch.arange(len(values), device=device)[:, None, None]
    onto[numbers, rows[:, :, None], columns[:, None, :]] = values.permute(0, 2, 3, 1)
