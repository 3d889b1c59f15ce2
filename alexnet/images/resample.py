"""A picture → the square record of a store: shorter side to S, centre cut out ([A] §2). To the last bit as Pillow.

Two forms that agree: Pillow's own resizing, and the same integer sums in C++ (``records.cpp``), five times as fast.
The second is built at first use, and used only if it is available and reproduces Pillow's pixels on a trial.

H, W rows and columns of the picture · S side of a record.
"""

import functools
import platform
from collections.abc import Callable

import numpy as np

from alexnet.choices import Resample
from alexnet.images import compiled
from alexnet.images.pillow import Image

FILTERS: dict[Resample, Image.Resampling] = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}
FILTER_REACH = 3  # of Lanczos, the widest of them

PLACES = ("box", "bilinear", "bicubic", "lanczos")  # of the filters in records.cpp
PROCESSORS = ("x86_64", "AMD64")
"""Elsewhere the compiler that Pillow was built with may have fused products and sums."""

Form = Callable[[Image.Image, int, Resample], np.ndarray]
_Window = tuple[slice, float, float]


def square(picture: Image.Image, size: int, resample: Resample) -> np.ndarray:
    """The record of an RGB picture, uint8 (S, S, 3): shorter side made ``size``, centre square cut out.

    The longer side becomes size · longer / shorter, rounded to the nearest integer (halves up); the crop begins at half
    of the excess, rounded down. Columns are resampled first, then rows (Pillow alone chooses the order by cost). Only
    what the crop and the filter reach is resampled: 2000 × 3 needs no 170,667 × 256 pixels in between.
    """
    if picture.size == (size, size):
        return np.array(picture)
    return fastest()(picture, size, resample)


@functools.cache
def fastest() -> Form:
    """The form that is used in this process."""
    exact = platform.machine() in PROCESSORS and compiled.library() is not None
    return by_library if exact and _agree() else by_pillow


def _agree() -> bool:
    """Whether this Pillow gives the same pixels: enlarged, made smaller and cut, with each filter."""
    pixels = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    return all(
        np.array_equal(by_pillow(picture, size, name), by_library(picture, size, name))
        for picture in (Image.fromarray(pixels), Image.fromarray(pixels.transpose(1, 0, 2).copy()))
        for size in (9, 24, 50)
        for name in FILTERS
    )


def by_pillow(picture: Image.Image, size: int, resample: Resample) -> np.ndarray:
    """As ``square``, by Pillow's own resizing."""
    (columns, left, right), (rows, upper, lower) = _windows(picture, size)
    if (columns, rows) != (slice(0, picture.width), slice(0, picture.height)):
        picture = picture.crop((columns.start, rows.start, columns.stop, rows.stop))
    narrow = picture.resize((size, picture.height), FILTERS[resample], box=(left, 0, right, picture.height))
    return np.array(narrow.resize((size, size), FILTERS[resample], box=(0, upper, size, lower)))


def by_library(picture: Image.Image, size: int, resample: Resample) -> np.ndarray:
    """As ``square``, by the compiled library, which has to be there. Other threads run meanwhile."""
    (columns, left, right), (rows, upper, lower) = _windows(picture, size)
    pixels = np.asarray(picture)[rows, columns]
    out = np.empty((size, size, 3), np.uint8)
    functions = compiled.library()
    assert functions is not None
    functions.alexnet_resample(
        *(pixels.ctypes.data, *pixels.shape[:2], pixels.strides[0], left, right, upper, lower),
        *(size, PLACES.index(resample), out.ctypes.data),
    )
    return out


def _windows(picture: Image.Image, size: int) -> tuple[_Window, _Window]:
    """What is needed of the columns and of the rows."""
    shorter = min(picture.size)
    return _window(picture.width, shorter, size), _window(picture.height, shorter, size)


def _window(length: int, shorter: int, size: int) -> _Window:
    """Which pixels of one side the crop needs, and where it starts and ends among those.

    The resized side is cut to its centre ``size``; a filter reaches FILTER_REACH pixels further on either side,
    pixels of the coarser of the two scales.
    """
    resized = (2 * length * size + shorter) // (2 * shorter)
    start = (resized - size) // 2
    begin, end = start * length / resized, (start + size) * length / resized
    reach = FILTER_REACH * max(1, -(-length // resized)) + 1
    first, last = max(0, int(begin) - reach), min(length, int(end) + 1 + reach)
    return slice(first, last), begin - first, min(end - first, last - first)
