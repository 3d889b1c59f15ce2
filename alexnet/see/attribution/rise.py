"""Attribution by hiding parts of a picture: RISE's random masks, and the square of [Z] Fig. 7.

B pictures · N masks · s cells of a grid along each axis · S side of a view · C maps · h, w rows and columns of
them, Q = h · w positions · G groups of cells.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from alexnet.data.batches import Progress
from alexnet.measure.viewer import ViewAverager
from alexnet.nets.layers import Convolution
from alexnet.see.attribution.base import BATCH, Attributed, Front, hats, placed
from alexnet.see.forward_pass import run_forward
from alexnet.see.occlusion import GREY, Square, occlusion_map
from alexnet.see.units import Unit


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
    sums, kept = torch.zeros(len(inputs), size, size), torch.zeros(size, size)
    for first in range(0, masks, BATCH):
        grids = (torch.rand(min(BATCH, masks - first), cells, cells, generator=generator) < keep).float()
        shifts = torch.randint(-(-size // cells), (2,), generator=generator).tolist()
        rows, columns = (hats(_on_grid(torch.arange(size) + 0.5, shift, size, cells), cells) for shift in shifts)
        kept += rows @ grids.sum(dim=0) @ columns.T
        for number, (x, target) in enumerate(zip(inputs.split(1), targets.tolist(), strict=True)):
            entering = masked(front, x, grids, shifts)
            logits = network.through(network.order[front.steps :], entering)
            weights = network.probabilities(logits)[:, target].cpu()
            sums[number] += rows @ torch.tensordot(weights, grids, 1) @ columns.T
        if progress:
            progress(first + len(grids), masks)
    return Attributed(sums / kept.clamp(min=1e-6))


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
    # The last share is the bias, which every mask keeps.
    nothing_1qc, shares_gqc = (
        front.up(some).float().permute(0, 2, 3, 1).flatten(1, 2) for some in (torch.zeros_like(x), pictures)
    )
    shares_gqc = torch.cat([shares_gqc - nothing_1qc, nothing_1qc])
    side = window.outputs(size)
    middles = torch.arange(side) * window.stride - window.before + window.kernel / 2
    down, across = (_nearest(_on_grid(middles, shift, size, cells), apart, cells) for shift in shifts)
    kept_yxnab = grids[:, down[:, :, None, None], across].permute(2, 4, 0, 1, 3)
    kept_qng = F.pad(kept_yxnab.flatten(3).flatten(0, 1), (0, 1), value=1).to(shares_gqc)
    found_nqc = kept_qng.new_empty(len(grids), *shares_gqc.shape[1:])
    torch.bmm(kept_qng, shares_gqc.transpose(0, 1), out=found_nqc.transpose(0, 1))
    return found_nqc.unflatten(1, (side, side)).permute(0, 3, 1, 2).to(x.dtype)


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
