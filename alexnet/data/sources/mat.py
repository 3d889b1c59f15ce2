"""MATLAB 5 files (``meta.mat`` of ImageNet's devkits), read with numpy and zlib alone, within bounds.

Layout after MathWorks' "MAT-File Format": a header of 128 bytes, then elements of (type, count of bytes, data). A
matrix is an element that holds elements: flags, shape, name, and what its class needs.
"""

import math
import struct
import zlib
from collections.abc import Iterator
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
    """The variables of a MATLAB 5 file. ``name`` is for the message. UserError if it is damaged or too large.

    Numbers come as arrays (with their shape), text as ``str``, cells as lists, struct arrays as lists of
    dictionaries, in MATLAB's order of elements.
    """
    if len(data) > MOST_BYTES:
        raise UserError(f"{name}: over {MOST_BYTES >> 20} MB, too large to be read whole")
    if len(data) < 128 or data[126:128] not in (b"IM", b"MI"):
        raise UserError(f"{name}: not a MATLAB 5 file (a later one, HDF5, must be saved again with '-v7')")
    try:
        return _Reader("<" if data[126:128] == b"IM" else ">").variables(data[128:])
    except (struct.error, zlib.error, ValueError, KeyError, TypeError, StopIteration) as error:
        raise UserError(f"{name}: a damaged MATLAB file ({error}): download it again") from None


class _Reader:
    def __init__(self, endian: str) -> None:
        self.endian = endian
        self.unpacked = 0

    def variables(self, data: bytes) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for kind, body in self.elements(data):
            if kind == COMPRESSED:
                kind, body = next(self.elements(self.unpack(body)))
            if kind == MATRIX:
                name, value = self.matrix(body, 0)
                found[name] = value
        return found

    def unpack(self, body: bytes) -> bytes:
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(body, MOST_BYTES - self.unpacked)
        if not unpacker.eof:
            raise ValueError("packed data cut short or too large")
        self.unpacked += len(plain)
        return plain

    def elements(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Type and bytes of each element."""
        position = 0
        while position < len(data):
            kind, count = struct.unpack_from(self.endian + "II", data, position)
            start, room = position + 8, count if kind == COMPRESSED else count + -count % 8
            if kind >> 16:  # a small one: count and data share the eight bytes
                kind, count, start, room = kind & 0xFFFF, kind >> 16, position + 4, 4
            if start + count > len(data) or count > room:
                raise ValueError("an element reaches beyond the end")
            yield kind, data[start : start + count]
            position = start + room

    def matrix(self, data: bytes, depth: int) -> tuple[str, Any]:
        """Name and value of a matrix element."""
        if depth > DEEPEST:
            raise ValueError("nested too deeply")
        if not data:
            return "", EMPTY  # MATLAB writes an unset field as an element without content
        elements = self.elements(data)
        (flags,) = struct.unpack_from(self.endian + "I", next(elements)[1])
        shape = tuple(int(side) for side in np.frombuffer(next(elements)[1], self.endian + "i4"))
        name, kind = next(elements)[1].decode("ascii"), flags & 0xFF
        if min(shape, default=0) < 0:
            raise ValueError("a negative size")
        if kind == STRUCT:
            (width,) = struct.unpack_from(self.endian + "i", next(elements)[1])
            if width < 1:
                raise ValueError("field names without a length")
            titles = next(elements)[1]
            fields = [titles[at : at + width].split(b"\0")[0].decode("ascii") for at in range(0, len(titles), width)]
            values = self.cells(elements, math.prod(shape) * len(fields), depth)
            rows = range(0, len(values), len(fields) or 1)
            return name, [dict(zip(fields, values[at : at + len(fields)], strict=True)) for at in rows]
        if kind == CELL:
            return name, self.cells(elements, math.prod(shape), depth)
        if kind == CHAR:
            return name, self.text(*next(elements))
        if kind in NUMERIC and not flags & COMPLEX_FLAG:
            kind, body = next(elements)
            return name, np.frombuffer(body, self.endian + NUMBERS[kind]).reshape(shape, order="F")
        raise ValueError(f"a value of class {kind}, which is not read here")

    def cells(self, elements: Iterator[tuple[int, bytes]], count: int, depth: int) -> list[Any]:
        values = []
        for kind, body in elements:
            if kind != MATRIX:
                raise ValueError("a field that is no matrix")
            values.append(self.matrix(body, depth + 1)[1])
        if len(values) != count:
            raise ValueError(f"{len(values)} values where {count} are expected")
        return values

    def text(self, kind: int, body: bytes) -> str:
        if kind in TEXT:
            order = "" if kind == 16 else "-le" if self.endian == "<" else "-be"
            return body.decode(TEXT[kind] + order)
        return "".join(chr(code) for code in np.frombuffer(body, self.endian + NUMBERS[kind]))
