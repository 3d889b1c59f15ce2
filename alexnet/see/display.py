"""From signals to pixels that a person can look at. uint8, RGB; mid-grey is a signal of 0.

N pictures · H, W rows and columns · S side.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from alexnet.geometry import Box

GREY, WHITE = 128, 255


def contrast(signal_chw: np.ndarray) -> np.ndarray:
    """A signal (3, H, W) as a picture uint8 (H, W, 3): 0 becomes mid-grey, its own largest magnitude fills the range
    ([Z] Fig. 2: "contrast enhanced")."""
    largest = np.abs(signal_chw).max(initial=0.0)
    levels = signal_chw / largest if largest > 0 else np.zeros_like(signal_chw)
    return np.rint(127.5 + 127.5 * levels).astype(np.uint8).transpose(1, 2, 0)


def cut(picture_hwc: np.ndarray, box: Box) -> np.ndarray:
    """The part of a picture (H, W, 3) inside the box."""
    left, top, right, bottom = box
    return picture_hwc[top:bottom, left:right]


def tile(picture_hwc: np.ndarray, side: int, full: int) -> np.ndarray:
    """A patch as a square tile of `side` pixels; `full` pixels of the patch fill it. A smaller patch (its unit looks
    beyond the picture's edge) leaves grey at its right and bottom."""
    scale = side / max(1, full)
    size = (max(1, round(picture_hwc.shape[1] * scale)), max(1, round(picture_hwc.shape[0] * scale)))
    smooth = Image.Resampling.NEAREST if scale >= 3 else Image.Resampling.BICUBIC
    small = np.asarray(Image.fromarray(picture_hwc).resize(size, smooth))[:side, :side]
    canvas = np.full((side, side, 3), GREY, np.uint8)
    canvas[: small.shape[0], : small.shape[1]] = small
    return canvas


def mosaic(tiles: Sequence[np.ndarray], per_row: int, gap: int = 2) -> np.ndarray:
    """Tiles of one size, `per_row` beside one another, white lines of `gap` pixels between them."""
    height, width = tiles[0].shape[:2]
    rows = math.ceil(len(tiles) / per_row)
    sheet = np.full((rows * (height + gap) - gap, per_row * (width + gap) - gap, 3), WHITE, np.uint8)
    for place, one in enumerate(tiles):
        top, left = place // per_row * (height + gap), place % per_row * (width + gap)
        sheet[top : top + height, left : left + width] = one
    return sheet


def enlarged(signal: Float[Tensor, "H W"], side: int) -> np.ndarray:
    """A map of a coarse grid, (H, W), smoothly enlarged to (side, side): for laying it over the picture."""
    grown = F.interpolate(signal[None, None].float(), (side, side), mode="bilinear", align_corners=False)
    return grown[0, 0].numpy()
