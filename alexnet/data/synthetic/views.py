"""Where boxes and key points of a picture lie in its record and in the centre crop that a network sees.

N points, each x and y in pixels; 0 is the left or upper edge of the first pixel.
"""

import numpy as np


def to_record(points: np.ndarray, width: int, height: int, size: int = 256) -> np.ndarray:
    """Points (N, 2) of a picture of width × height pixels → where they lie in its size × size record, float64.

    The same geometry as `alexnet.images.decode.to_record`: shorter side to `size`, longer side rounded, centre cut out.
    Points that are cut off come out below 0 or above size.
    """
    shape = np.array((width, height))
    resized = _resized(shape, size)
    return np.asarray(points, np.float64) * (resized / shape) - (resized - size) // 2


def to_crop(points: np.ndarray, width: int, height: int, size: int = 256, crop: int = 224) -> np.ndarray:
    """Points (N, 2) of the picture → where they lie in the centre crop × crop pixels of its record, float64."""
    return to_record(points, width, height, size) - (size - crop) // 2


def from_crop(points: np.ndarray, width: int, height: int, size: int = 256, crop: int = 224) -> np.ndarray:
    """The inverse of `to_crop`."""
    shape = np.array((width, height))
    resized = _resized(shape, size)
    return (np.asarray(points, np.float64) + (size - crop) // 2 + (resized - size) // 2) * (shape / resized)


def _resized(shape: np.ndarray, size: int) -> np.ndarray:
    """Width and height (2,) of a picture whose shorter side was made `size`."""
    shorter = shape.min()
    return (2 * shape * size + shorter) // (2 * shorter)


def box_in_record(
    box: tuple[float, ...], width: int, height: int, size: int = 256
) -> tuple[float, float, float, float]:
    """A box x0, y0, x1, y1 of the picture → in its record."""
    return as_box(to_record(np.reshape(box, (2, 2)), width, height, size))


def box_in_crop(
    box: tuple[float, ...], width: int, height: int, size: int = 256, crop: int = 224
) -> tuple[float, float, float, float]:
    """A box x0, y0, x1, y1 of the picture → in its record's centre crop, which holds every built-in object whole."""
    return as_box(to_crop(np.reshape(box, (2, 2)), width, height, size, crop))


def as_box(corners: np.ndarray) -> tuple[float, float, float, float]:
    """Two corners (2, 2) as x0, y0, x1, y1."""
    (x0, y0), (x1, y1) = corners.tolist()
    return x0, y0, x1, y1
