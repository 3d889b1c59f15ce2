"""Convolution with fewer products (Winograd; Lavin and Gray 2016): for filters of 3 × 3 and 5 × 5, five times fewer.

A map is cut into tiles. The outputs of a tile and a filter count as coefficients of two polynomials: their values at
seven or eight places are multiplied (for each place of a tile a matrix product over the maps), and the product's
coefficients found again. In float32 that is exact to 1e-5 of the largest value, where an ordinary convolution is to
1e-6. So it is done only inside `in_use()`: where many pictures meet the same filters, and results need not be equal to
the bit.

B pictures · C maps, I those that enter, O those that leave · H, W rows and columns · T tiles · G groups · F places of a
tile.
"""

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from alexnet.kernels import compiled

SIZES = {3: 7, 5: 8}
"""Of a filter's side: that of the tiles. Larger ones lose too many digits."""
PLACES = {7: np.array([0, 1, 2, 0.5, -2, -0.5]), 8: np.array([0, 1, -1, 2, 0.5, -2, -0.5])}
"""Where polynomials are evaluated, besides at infinity: with each place its inverse."""
AT_ONCE = 400
"""Tiles worked on at a time, so that they stay in the cache."""


class Workspace:
    """What convolutions share: filters at the places of a tile, and memory for tiles."""

    def __init__(self) -> None:
        self._filters: dict[int, tuple[Tensor, Tensor]] = {}
        self._memory = [torch.empty(0, dtype=torch.float32) for _ in range(2)]

    def filters(self, weight: Tensor, groups: int) -> Float[Tensor, "F_G O I"]:
        """A layer's filters, one place of a tile after the other, in each group after group."""
        if (key := weight.data_ptr()) not in self._filters:
            evaluate = transforms(weight.shape[-1]).filters
            filters_klr = weight.permute(2, 3, 0, 1).flatten(2)
            filters_fr = evaluate @ (evaluate @ filters_klr.flatten(1)).unflatten(1, filters_klr.shape[1:])
            filters_foi = filters_fr.view(-1, len(weight) // groups, weight.shape[1])
            self._filters[key] = filters_foi, weight  # held, so that no other takes its address
        return self._filters[key][0]

    def tiles(self, number: int, *shape: int) -> Tensor:
        """Memory of a shape, without values; a number's next tiles take its place."""
        size = math.prod(shape)
        if len(self._memory[number]) < size:
            self._memory[number] = torch.empty(size, dtype=torch.float32)
        return self._memory[number][:size].view(shape)


_in_use: ContextVar[Workspace | None] = ContextVar("workspace", default=None)


@contextmanager
def in_use() -> Iterator[None]:
    """Inside, and in this thread or task only, `kernels.convolution` and its transpose work by tiles; weights must not
    change meanwhile. As a decorator: during each call of a function."""
    token = _in_use.set(Workspace())
    try:
        yield
    finally:
        _in_use.reset(token)


def applies(x: Tensor, weight: Tensor, stride: int) -> bool:
    """Whether an ordinary convolution is to be computed by `convolution`."""
    return (
        _in_use.get() is not None
        and stride == 1
        and not torch.is_grad_enabled()
        and x.dtype == weight.dtype == torch.float32
        and weight.shape[-1] in SIZES
    )


def convolution(x_bchw: Tensor, weight: Tensor, bias: Tensor | None, padding: int, groups: int) -> Tensor:
    """`F.conv2d` of stride 1 inside `in_use()`. Without a bias it is the transpose, in which filters are turned round;
    its padding is what that of `F.conv_transpose2d` leaves of kernel − 1."""
    workspace, kernel, turned = _in_use.get(), weight.shape[-1], bias is None
    assert workspace is not None
    filters_foi, (entering, _, leaving) = workspace.filters(weight, groups), transforms(kernel, turned)
    filters_fio = filters_foi if turned else filters_foi.mT
    below, above, sides = x_bchw.shape[1], filters_fio.shape[2] * groups, x_bchw.shape[2:]
    height, width = (side + 2 * padding - kernel + 1 for side in sides)
    size, step = SIZES[kernel], SIZES[kernel] + 1 - kernel
    rows, columns = -(-height // step), -(-width // step)
    tiling, functions = (groups, rows, columns, size, step, torch.get_num_threads()), compiled.library().functions
    bias = x_bchw.new_zeros(above) if bias is None else bias.contiguous()
    out = x_bchw.new_empty(len(x_bchw), height, width, above).permute(0, 3, 1, 2)
    at_once = max(1, AT_ONCE // (rows * columns))
    for x, made in zip(x_bchw.split(at_once), out.split(at_once), strict=True):
        x = x.contiguous(memory_format=torch.channels_last)
        count = len(x) * rows * columns
        tiles = workspace.tiles(0, len(filters_fio), count, below // groups)
        problem = compiled.Tiles(len(x), *sides, below, padding, *tiling)
        functions.alexnet_into_tiles(problem, x.data_ptr(), entering.data_ptr(), tiles.data_ptr())
        products = torch.bmm(tiles, filters_fio, out=workspace.tiles(1, len(filters_fio), count, above // groups))
        problem = compiled.Tiles(len(x), height, width, above, 0, *tiling)
        pointers = products.data_ptr(), leaving.data_ptr(), bias.data_ptr(), made.data_ptr()
        functions.alexnet_out_of_tiles(problem, *pointers)
    return out


class Transforms(NamedTuple):
    """The matrices that a tile, a filter and a tile of products are multiplied by from both sides."""

    entering: Tensor
    filters: Tensor
    leaving: Tensor


@functools.cache
def transforms(kernel: int, turned: bool = False) -> Transforms:
    """A correlation is the adjoint of a product of polynomials: that of one with as many coefficients as a tile has
    outputs, and one with those of a filter, interpolated from as many values as the tile has places.

    A filter turned round has at x the value x^(kernel − 1) · f(1 / x). So with the inverse of every place among them,
    one set of filters serves both directions: `turned`, the other two matrices have their rows in that order.
    """
    places = PLACES[SIZES[kernel]]
    size = len(places) + 1

    def values(coefficients: int) -> np.ndarray:
        return np.vstack([places[:, None] ** np.arange(coefficients), np.eye(coefficients)[-1:]])

    entering, filters, leaving = np.linalg.inv(values(size)).T, values(kernel), values(size + 1 - kernel)
    # Rows of the same weight on both sides lose the fewest digits.
    balance = np.sqrt(np.abs(entering).sum(axis=1) / np.abs(filters).sum(axis=1))[:, None]
    entering, filters = entering / balance, filters * balance
    if turned:
        inverse = np.array([size - 1, *(np.isclose(1 / place, places).argmax() for place in places[1:]), 0])
        factors = filters[:, ::-1].sum(axis=1) / filters[inverse].sum(axis=1)
        entering, leaving = (entering * factors[:, None])[inverse], leaving[inverse]
    return Transforms(*(torch.from_numpy(one).float().contiguous() for one in (entering, filters, leaving.T)))
