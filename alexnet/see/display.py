"""From signals to pixels that a person can look at. uint8, RGB; mid-grey is a signal of 0.

N pictures · H, W rows and columns · S side.
"""

import numpy as np
from PIL import Image

from alexnet.geometry import Box

GREY = 128
SATURATED = 0.005


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
