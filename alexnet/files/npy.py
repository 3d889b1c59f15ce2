"""NumPy's .npy files of strangers, read within bounds: `numpy.load` evaluates the header and allocates what it says."""

import math
import re
from dataclasses import dataclass

import numpy as np

HEADER = re.compile(
    r"\{'descr': '([<>|=]?[a-zA-Z]\d+)', 'fortran_order': (False|True), 'shape': \(((?:\d{1,18}L?,? ?)*)\), ?\}\s*"
)
MAGIC = b"\x93NUMPY"
KINDS = "fiubU"
MOST_DIMENSIONS = 32
LONGEST_HEADER = 1 << 14


@dataclass(frozen=True)
class Described:
    """What a header says: type, shape, whether columns come first; `start`: the first byte after it."""

    dtype: np.dtype
    shape: tuple[int, ...]
    columns_first: bool
    start: int

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def described(head: bytes) -> Described:
    """The header at a file's beginning (its first LONGEST_HEADER bytes will do). ValueError if there is none, or if the
    array holds anything but numbers and text."""
    if head[:6] != MAGIC or head[6:7] not in (b"\1", b"\2", b"\3") or len(head) < 12:
        raise ValueError("no .npy file")
    width = 2 if head[6] == 1 else 4
    start = 8 + width + int.from_bytes(head[8 : 8 + width], "little")
    found = HEADER.fullmatch(head[8 + width : start].decode("latin-1"))
    if start > len(head) or found is None:
        raise ValueError("its header is cut short or no plain array's")
    try:
        dtype = np.dtype(found[1])
    except (TypeError, ValueError) as fault:
        raise ValueError(f"{found[1][:20]} is no type of numbers") from fault
    shape = tuple(int(length) for length in re.findall(r"\d+", found[3]))
    if dtype.kind not in KINDS or not dtype.itemsize or len(shape) > MOST_DIMENSIONS:
        raise ValueError(f"an array of {dtype}, numbers are needed")
    return Described(dtype, shape, found[2] == "True", start)


def array_in(data: bytes) -> np.ndarray:
    """The array of a whole .npy file, read-only. ValueError if it is damaged, cut short or too long."""
    about = described(data)
    if len(data) - about.start != about.bytes:
        raise ValueError(f"{len(data) - about.start:,} bytes for an array {about.dtype} {about.shape}")
    values = np.frombuffer(data, about.dtype, offset=about.start)
    return values.reshape(about.shape, order="F" if about.columns_first else "C")
