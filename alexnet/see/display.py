"""From signals to pixels that a person can look at. uint8, RGB; mid-grey is a signal of 0.

N pictures · H, W rows and columns · S side.
"""

import math

import numpy as np
from PIL import Image

from alexnet.drawing import mosaic
from alexnet.geometry import Box

GREY = 128
SATURATED = 0.005
MAP_PIXELS = 28
"""Least side of a drawn map, pixels."""


def contrast(signal_chw: np.ndarray) -> np.ndarray:
    """A signal (3, H, W) as a picture uint8 (H, W, 3): 0 becomes mid-grey, and all but its few largest magnitudes
    (SATURATED of the pixels) fill the range. [Z] enhances the contrast too, without saying how."""
    largest = np.quantile(np.abs(signal_chw).max(axis=0), 1 - SATURATED) if signal_chw.size else 0.0
    largest = largest or np.abs(signal_chw).max(initial=0.0)  # a signal in a few pixels only
    levels = (signal_chw / largest).clip(-1, 1) if largest > 0 else np.zeros_like(signal_chw)
    return np.rint(127.5 + 127.5 * levels).astype(np.uint8).transpose(1, 2, 0)


def cut(picture_hwc: np.ndarray, box: Box) -> np.ndarray:
    """The part of a picture (H, W, 3) inside the box."""
    left, top, right, bottom = box
    return picture_hwc[top:bottom, left:right]


def tile(picture_hwc: np.ndarray, side: int, box: Box | None = None, frame: Box | None = None) -> np.ndarray:
    """A patch as a square tile of `side` pixels. `box`: where the patch lies, `frame`: what its unit sees, beyond the
    picture's edge too; there the tile is grey."""
    if box is not None and frame is not None and box != frame:
        whole = np.full((frame[3] - frame[1], frame[2] - frame[0], 3), GREY, np.uint8)
        down, right = box[1] - frame[1], box[0] - frame[0]
        whole[down : down + picture_hwc.shape[0], right : right + picture_hwc.shape[1]] = picture_hwc
        picture_hwc = whole
    coarse = side >= 3 * max(picture_hwc.shape[:2])
    how = Image.Resampling.NEAREST if coarse else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(picture_hwc).resize((side, side), how))


def maps_mosaic(maps_chw: np.ndarray) -> np.ndarray:
    """Maps side by side, uint8 (rows, columns): white the largest value, black 0 (or the smallest, if that is less)."""
    low, high = min(0.0, float(maps_chw.min())), float(maps_chw.max())
    levels = ((maps_chw - low) / ((high - low) or 1.0) * 255).round().astype(np.uint8)
    count, side, _ = levels.shape
    gap, factor = (1, 8) if side == 1 else (2, max(1, -(-MAP_PIXELS // side)))
    large = levels.repeat(factor, axis=1).repeat(factor, axis=2)
    return mosaic(large, min(maps_per_row(count), count), gap, ground=128)


def maps_per_row(count: int) -> int:
    """16 or 32; of thousands of units twice as many as rows, rounded up to a power of 2."""
    return 16 if count <= 128 else 32 if count <= 512 else 1 << math.ceil(math.log2(math.sqrt(2 * count)))
