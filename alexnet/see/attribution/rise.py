"""Attribution by hiding parts of a picture: RISE's random masks, and the square of [Z] Fig. 7.

B pictures · N masks · s cells of a grid along each axis · S side of a view · C maps · h, w rows and columns of
them · G groups of cells.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from alexnet.data.batches import Progress
from alexnet.kernels import winograd
from alexnet.measure.viewer import ViewAverager
from alexnet.nets.layers import Convolution, FullyConnected
from alexnet.see.attribution.base import BATCH, Attributed, Front, hats, placed
from alexnet.see.forward_pass import run_forward
from alexnet.see.occlusion import GREY, Square, occlusion_map
from alexnet.see.units import Unit


@winograd.in_use()
def rise(
    viewer: ViewAverager,
    inputs: Float[Tensor, "B 3 S S"],
    targets: Int[Tensor, "B"],
    *,
    masks: int = 500,
    cells: int = 7,
    keep: float = 0.5,
    seed: int = 0,
    progress: Progress | None = None,
) -> Attributed:
    """The mean of the target's probability over random masks, each counted as much as it keeps the pixel: an estimate
    of E[probability | pixel kept] (Petsiuk et al. 2018, eq. 3). Unsigned.

    A mask is a grid of `cells` × `cells`, each kept with probability `keep`, enlarged bilinearly and moved by a random
    shift of less than a cell, here the same for BATCH masks; what is hidden becomes the mean picture. All pictures get
    the same masks, which depend on `seed` alone. The sum is divided by how much these masks kept of the pixel, where
    the paper divides by what is to be expected of them, which leaves several times as much noise.
    """
    network, size, front = viewer.network, inputs.shape[-1], Front(viewer.network)
    generator = torch.Generator().manual_seed(seed)
    drawn = []  # grids, their shifts, and what these make of cells in rows and columns of pixels
    for first in range(0, masks, BATCH):
        grids = (torch.rand(min(BATCH, masks - first), cells, cells, generator=generator) < keep).float()
        shifts = torch.randint(-(-size // cells), (2,), generator=generator).tolist()
        axes = (hats(_on_grid(torch.arange(size) + 0.5, shift, size, cells), cells) for shift in shifts)
        drawn.append((grids, shifts, *axes))
    kept = torch.stack([rows @ grids.sum(dim=0) @ columns.T for grids, _, rows, columns in drawn]).sum(dim=0)
    # The dense rows are left to the end: their many weights are then read once for all masks.
    modules = [network.get_submodule(name) for name in network.order]
    dense = next((n for n, module in enumerate(modules) if isinstance(module, FullyConnected)), len(modules))
    maps = []
    for number, (x, target) in enumerate(zip(inputs.split(1), targets.tolist(), strict=True)):
        entering = []
        for grids, shifts, *_ in drawn:
            entering.append(network.through(network.order[front.steps : dense], masked(front, x, grids, shifts)))
            if progress:
                done = min(masks, len(entering) * BATCH)
                progress(number * masks + done, len(inputs) * masks)
        logits = network.through(network.order[dense:], torch.cat(entering))
        weights = network.probabilities(logits)[:, target].cpu()
        sums = [
            rows @ torch.tensordot(some, grids, 1) @ columns.T
            for some, (grids, _, rows, columns) in zip(weights.split(BATCH), drawn, strict=True)
        ]
        maps.append(torch.stack(sums).sum(dim=0) / kept.clamp(min=1e-6))
    return Attributed(torch.stack(maps))


def _on_grid(pixels: Float[Tensor, "P"], shift: int, size: int, cells: int) -> Float[Tensor, "P"]:
    """Places on the grid, from 0 to its last cell: it is enlarged to one cell more than the view, which is cut from it
    at `shift`."""
    enlarged = (cells + 1) * -(-size // cells)
    return ((pixels + shift) * cells / enlarged - 0.5).clamp(0, cells - 1)


def masked(
    front: Front, x: Float[Tensor, "1 3 S S"], grids: Float[Tensor, "N s s"], shifts: list[int]
) -> Float[Tensor, "N C h w"]:
    """What the first row makes of a picture under each of N masks, all of one shift.

    A convolution is linear, and a mask the sum of its cells' hats. So each cell's share is computed once, and every
    mask's map put together from these. Cells too far apart for one window to see both go through at the same time.
    """
    size, cells = x.shape[-1], grids.shape[-1]
    rows, columns = (hats(_on_grid(torch.arange(size) + 0.5, shift, size, cells), cells).to(x) for shift in shifts)
    if not isinstance(front.module, Convolution):
        return front.up(x * (rows @ grids.to(x) @ columns.T)[:, None])
    window, spacing = front.module.window, (cells + 1) * -(-size // cells) / cells
    apart = min(cells, math.ceil(2 + (window.kernel - 1) / spacing))
    every = [torch.stack([one[:, group::apart].sum(dim=1) for group in range(apart)]) for one in (rows, columns)]
    pictures = x * torch.einsum("ay,bx->abyx", *every).flatten(0, 1)[:, None]
    shares_gyxc, bias = front.up(pictures).float().permute(0, 2, 3, 1), front.module.in_type(x.dtype)[1].float()
    shares_gyxc = shares_gyxc - bias
    side = window.outputs(size)
    middles = torch.arange(side) * window.stride - window.before + window.kernel / 2
    nearest = [_nearest(_on_grid(middles, shift, size, cells), apart, cells) for shift in shifts]
    found_nyxc = shares_gyxc.new_empty(len(grids), *shares_gyxc.shape[1:])
    for rows, down in _runs(nearest[0]):
        for columns, across in _runs(nearest[1]):
            kept_ng, block = grids[:, down[:, None], across].flatten(1).to(bias), shares_gyxc[:, rows, columns]
            made = torch.addmm(bias.repeat(block[0, ..., 0].numel()), kept_ng, block.flatten(1))
            found_nyxc[:, rows, columns] = made.unflatten(1, block.shape[1:])
    return found_nyxc.permute(0, 3, 1, 2).to(x.dtype)


def _runs(nearest: Int[Tensor, "G P"]) -> Iterator[tuple[slice, Int[Tensor, "G"]]]:
    """Places next to each other with the same cells nearest, and these."""
    different, counts = nearest.unique_consecutive(dim=1, return_counts=True)
    ends = counts.cumsum(dim=0).tolist()
    for cells, count, end in zip(different.T, counts.tolist(), ends, strict=True):
        yield slice(end - count, end), cells


def _nearest(places: Float[Tensor, "P"], apart: int, cells: int) -> Int[Tensor, "G P"]:
    """Of every group of cells, each `apart` from the next, the one nearest to each place: the only one of them that a
    window around it can see."""
    first = torch.arange(apart)[:, None]
    number = ((places - first) / apart).round().long().clamp(min=0)
    return first + apart * number.minimum((cells - 1 - first) // apart)


def occlusion(
    viewer: ViewAverager,
    inputs: Float[Tensor, "B 3 S S"],
    targets: Int[Tensor, "B"],
    *,
    size: int | None = None,
    stride: int | None = None,
    grey: float = GREY,
    progress: Progress | None = None,
) -> Attributed:
    """How far the target's logit falls if a grey square covers the picture there ([Z] §4.2), bilinear between the
    positions of its middle. Signed. The options are those of `Square.fitting`."""
    last, square = viewer.network.layers[-1].row.name, Square.fitting(inputs.shape[-1], size, stride, grey)
    falls = []
    for x, target in zip(inputs.split(1), targets.tolist(), strict=True):
        passed = run_forward(viewer.network, x)
        found = occlusion_map(viewer, passed, target, square=square, watched=Unit(last, target), progress=progress)
        falls.append(found.clean_total - found.total)
    centres = [corner + square.size / 2 for corner in square.corners(inputs.shape[-1])]
    return Attributed(placed(torch.stack(falls), centres, inputs.shape[-1]))
