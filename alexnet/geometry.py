"""Sizes and receptive fields of windows that slide over a map, in whole numbers.

The 2012 code rounds up: a map of n units under a window of k units and stride s has 1 + ceil((n − k) / s) outputs
(docs/sources.md §3). The last window may overhang the map, on the right and at the bottom only; what it
reads there is zero (convolution) or nothing (pooling). So 224 pixels under 11/4 give 55 units without any padding.
"""

from dataclasses import dataclass
from typing import Literal

from alexnet.errors import UserError

Rounding = Literal["ceil", "floor"]


@dataclass(frozen=True)
class Window:
    """A window sliding over one axis of a map. Units of the layer below.

    `before` and `after` are zeros added at the near and the far edge; `rounding` says what happens when the stride
    does not divide: "ceil" lets the last window overhang (2012 code, Caffe's pools), "floor" drops it (torchvision).
    """

    kernel: int
    stride: int = 1
    before: int = 0
    after: int = 0
    rounding: Rounding = "ceil"

    def outputs(self, size: int) -> int:
        """How many windows fit on a map of `size` units; 0 or less if none does."""
        room = self.before + size + self.after - self.kernel
        steps = -(-room // self.stride) if self.rounding == "ceil" else room // self.stride
        return 1 + steps

    def far_padding(self, size: int) -> int:
        """Zeros read past the far edge: `after`, and the overhang of the last window. Negative: units never read."""
        return (self.outputs(size) - 1) * self.stride + self.kernel - size - self.before

    def reached(self, first: int, end: int, size: int) -> tuple[int, int]:
        """Of the windows on a map of `size` units, which read any of the units first … end − 1: the first window and
        one past the last. Empty (equal) where none does."""
        lowest = -(-(first + self.before - self.kernel + 1) // self.stride)
        highest = (end - 1 + self.before) // self.stride
        lowest = max(0, lowest)
        return lowest, max(lowest, min(self.outputs(size), highest + 1))


@dataclass(frozen=True)
class Field:
    """What the units of one axis of a layer see of the picture: unit i reads pixels start + i·jump … + size − 1."""

    start: int = 0
    size: int = 1
    jump: int = 1

    def under(self, window: Window) -> "Field":
        """The field of the units made by `window` from units with this field."""
        return Field(
            start=self.start - window.before * self.jump,
            size=self.size + (window.kernel - 1) * self.jump,
            jump=self.jump * window.stride,
        )

    def over_all(self, units: int) -> "Field":
        """The field of one unit that reads all `units` of the axis (a fully connected layer)."""
        return Field(start=self.start, size=self.size + (units - 1) * self.jump, jump=0)

    def span(self, unit: int, picture: int) -> tuple[int, int]:
        """First pixel and one past the last that unit number `unit` reads of an axis of `picture` pixels."""
        start = self.start + unit * self.jump
        return max(0, start), max(0, min(picture, start + self.size))


Box = tuple[int, int, int, int]


def unit_box(field: Field, row: int, column: int, picture: int) -> Box:
    """The pixels that a unit sees: (left, top, right, bottom), right and bottom exclusive, clipped to the picture."""
    left, right = field.span(column, picture)
    top, bottom = field.span(row, picture)
    return left, top, right, bottom


def outputs_or_refuse(layer: str, window: Window, size: int) -> int:
    """`window.outputs(size)`, or a `UserError` that names the layer if no window fits."""
    outputs = window.outputs(size)
    if size < 1 or outputs < 1:
        raise UserError(
            f"{layer}: a window of {window.kernel} leaves nothing of a map of {size}×{size}. "
            "Use a larger input size (or another network)."
        )
    return outputs
