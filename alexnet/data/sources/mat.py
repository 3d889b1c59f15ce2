"""MATLAB 5 files (``meta.mat`` of ImageNet's devkits), read with numpy and zlib alone, within bounds.

Layout after MathWorks' "MAT-File Format": a header of 128 bytes, then elements of (type, count of bytes, data).
"""

import math
import struct
import zlib
from typing import Any

import numpy as np

from alexnet.errors import UserError

MOST_BYTES = 1 << 26
"""No file, packed or unpacked, over 64 MB: ``meta.mat`` has 1."""
DEEPEST = 16
EMPTY = np.zeros((0, 0))

COMPRESSED, MATRIX = 15, 14
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
TEXT = {16: "utf-8", 17: "utf-16", 18: "utf-32"}
CELL, STRUCT, CHAR = 1, 2, 4
NUMERIC = range(6, 16)
COMPLEX_FLAG = 0x0800


def read_mat(data: bytes, name: str) -> dict[str, Any]:
    """The variables of a MATLAB 5 file. ``name`` is for the message. Raises ``UserError`` if it is no sound one.

    Numbers come as arrays (with their shape), text as ``str``, cells as lists, struct arrays as lists of
    dictionaries, in MATLAB's order of elements.
    """
    if len(data) > MOST_BYTES:
        raise UserError(f"{name}: over {MOST_BYTES >> 20} MB, too large to be read whole")
    if len(data) < 128 or data[126:128] not in (b"IM", b"MI"):
        raise UserError(f"{name}: not a MATLAB 5 file (a later one, HDF5, must be saved again with '-v7')")
    try:
        return _Reader("<" if data[126:128] == b"IM" else ">").variables(data[128:])
    except (struct.error, zlib.error, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{name}: a damaged MATLAB file ({error}): download it again") from None


class _Reader:
    def __init__(self, endian: str) -> None:
        self.endian = endian
        self.unpacked = 0

    def variables(self, data: bytes) -> dict[str, Any]:
        found: dict[str, Any] = {}
        position = 0
        while position < len(data):
            kind, body, position = self.element(data, position)
            if kind == COMPRESSED:
                kind, body, _ = self.element(self.unpack(body), 0)
            if kind == MATRIX:
                variable, value = self.matrix(body, 0)
                found[variable] = value
        return found

    def unpack(self, body: bytes) -> bytes:
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(body, MOST_BYTES - self.unpacked)
        if not unpacker.eof:
            raise ValueError("packed data cut short or too large")
        self.unpacked += len(plain)
        return plain

    def element(self, data: bytes, position: int) -> tuple[int, bytes, int]:
        """Type and bytes of the element at ``position``, and where the next one begins."""
        first, count = struct.unpack_from(self.endian + "II", data, position)
        if first >> 16:  # a small one: count and data share the eight bytes
            kind, count, start, following = first & 0xFFFF, first >> 16, position + 4, position + 8
        else:
            kind, start, following = first, position + 8, position + 8 + count
            if kind != COMPRESSED:
                following += -count % 8
        if start + count > len(data) or (first >> 16 and count > 4):
            raise ValueError("an element reaches beyond the end")
        return kind, data[start : start + count], following

    def matrix(self, data: bytes, depth: int) -> tuple[str, Any]:
        """Name and value of a matrix element."""
        if depth > DEEPEST:
            raise ValueError("nested too deeply")
        if not data:
            return "", EMPTY  # MATLAB writes an unset field as an element without content
        _, body, position = self.element(data, 0)
        (flags,) = struct.unpack_from(self.endian + "I", body, 0)
        _, body, position = self.element(data, position)
        shape = tuple(int(side) for side in np.frombuffer(body, self.endian + "i4"))
        _, body, position = self.element(data, position)
        name, kind = body.decode("ascii"), flags & 0xFF
        if min(shape, default=0) < 0:
            raise ValueError("a negative size")
        count = math.prod(shape)
        if kind == STRUCT:
            return name, self.structs(data, position, count, depth)
        if kind == CELL:
            return name, self.cells(data, position, count, depth)[0]
        if kind == CHAR:
            return name, self.text(data, position)
        if kind in NUMERIC and not flags & COMPLEX_FLAG:
            return name, self.numbers(data, position).reshape(shape, order="F")
        raise ValueError(f"a value of class {kind}, which is not read here")

    def structs(self, data: bytes, position: int, count: int, depth: int) -> list[dict[str, Any]]:
        _, body, position = self.element(data, position)
        (width,) = struct.unpack_from(self.endian + "i", body, 0)
        _, body, position = self.element(data, position)
        if width < 1:
            raise ValueError("field names without a length")
        fields = [body[at : at + width].split(b"\0")[0].decode("ascii") for at in range(0, len(body), width)]
        values, _ = self.cells(data, position, count * len(fields), depth)
        return [
            dict(zip(fields, values[at : at + len(fields)], strict=True)) for at in range(0, len(values), len(fields))
        ]

    def cells(self, data: bytes, position: int, count: int, depth: int) -> tuple[list[Any], int]:
        if count * 8 > len(data):  # every element takes eight bytes at least
            raise ValueError("more elements than bytes")
        values = []
        for _ in range(count):
            kind, body, position = self.element(data, position)
            if kind != MATRIX:
                raise ValueError("a field that is no matrix")
            values.append(self.matrix(body, depth + 1)[1])
        return values, position

    def numbers(self, data: bytes, position: int) -> np.ndarray:
        kind, body, _ = self.element(data, position)
        return np.frombuffer(body, self.endian + NUMBERS[kind])

    def text(self, data: bytes, position: int) -> str:
        kind, body, _ = self.element(data, position)
        if kind in TEXT:
            order = "" if kind == 16 else "-le" if self.endian == "<" else "-be"
            return body.decode(TEXT[kind] + order)
        return "".join(chr(code) for code in np.frombuffer(body, self.endian + NUMBERS[kind]))
