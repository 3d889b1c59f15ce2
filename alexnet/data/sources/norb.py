"""small NORB: 24,300 + 24,300 stereo pairs of toys in five categories, in its own binary matrix files."""

import struct
from functools import partial
from pathlib import Path

import numpy as np

from alexnet.data.sources.base import Source, SourceSplit, check
from alexnet.errors import UserError

CATEGORIES = ("animal", "human", "plane", "truck", "car")
SPLITS = {"train": "training", "test": "testing"}
TYPES = {0x1E3D4C55: "u1", 0x1E3D4C54: "<i4"}
"""Magic number → type, of those that occur: bytes (pictures) and 32-bit integers (categories)."""
MOST_DIMENSIONS = 8


def is_norb(root: Path) -> bool:
    """Whether ``root`` holds files of small NORB."""
    return any(root.glob("smallnorb-*-dat.mat*"))


def open_norb(root: Path) -> Source:
    """Splits "train" and "test"; of each stereo pair the first camera's picture, as grey RGB."""
    splits = {split: _split(root, name) for split, name in SPLITS.items()}
    ignored = ("the second camera's pictures: one of each stereo pair is an item",)
    return check(Source("small-norb", CATEGORIES, CATEGORIES, "NORB category", splits, ignored), str(root))


def _split(root: Path, name: str) -> SourceSplit:
    pictures_nchw = _matrix(_only(root, f"smallnorb-*-{name}-dat.mat"))
    labels = _matrix(_only(root, f"smallnorb-*-{name}-cat.mat"))
    if pictures_nchw.ndim != 4 or pictures_nchw.dtype != np.uint8 or pictures_nchw.shape[1] != 2:
        raise UserError(f"{root}: the {name} pictures are not N × 2 × H × W bytes but {pictures_nchw.shape}")
    if labels.shape != (len(pictures_nchw),) or not np.isin(labels, range(len(CATEGORIES))).all():
        raise UserError(f"{root}: the {name} categories are not one number from 0 to 4 for each picture")
    keys = [f"{name}/{index:05d}" for index in range(len(labels))]
    return SourceSplit(keys, labels.astype(np.int64), partial(_first_camera, pictures_nchw))


def _first_camera(pictures_nchw: np.ndarray, position: int) -> np.ndarray:
    """The first picture of a pair, of (N, 2, H, W) uint8, as (H, W, 3)."""
    return np.repeat(np.asarray(pictures_nchw[position, 0])[:, :, None], 3, axis=2)


def _only(root: Path, pattern: str) -> Path:
    found = sorted(root.glob(pattern))
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{root}: {len(found)} files are named {pattern}: keep one")
    packed = " (unpack the .gz with gunzip)" if any(root.glob(pattern + ".gz")) else ""
    raise UserError(f"{root}: {pattern} is missing{packed}")


def _matrix(path: Path) -> np.ndarray:
    """A binary matrix: magic number, number of dimensions, dimensions (three at least), numbers; little-endian."""
    with open(path, "rb") as stream:
        head = stream.read(8 + 4 * MOST_DIMENSIONS)
    magic, dimensions = struct.unpack_from("<Ii", head.ljust(8, b"\0"))
    if magic not in TYPES or not 0 < dimensions <= MOST_DIMENSIONS:
        raise UserError(f"{path}: not a binary matrix of small NORB: download it again")
    start = 8 + 4 * max(3, dimensions)
    shape = struct.unpack_from(f"<{dimensions}i", head.ljust(start, b"\0"), 8)
    needed = start + int(np.prod(shape, dtype=object)) * np.dtype(TYPES[magic]).itemsize
    if min(shape) < 1 or path.stat().st_size != needed:
        raise UserError(f"{path}: its size is not that of a matrix {shape}: download it again")
    return np.memmap(path, TYPES[magic], "r", offset=start, shape=shape)
