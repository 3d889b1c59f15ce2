"""Protocol buffers read without a description of their fields: as much of the wire format as a .caffemodel needs.

A message is a row of fields: a key (number · 8 + kind, a varint) and a value. Kinds: 0 a varint, 1 eight bytes, 2 a
length and so many bytes (text, a message, packed numbers), 5 four bytes. Values are views of the file, not copies.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5
LONGEST_VARINT = 10
LARGEST_NUMBER = (1 << 29) - 1


class DamagedMessage(Exception):
    """Bytes that are no message."""


@dataclass(frozen=True)
class Field:
    """Number, kind and value: an int for kind 0, a view of the bytes for the others."""

    number: int
    kind: int
    value: int | memoryview

    @property
    def bytes(self) -> memoryview:
        """Raises DamagedMessage if the value is a varint."""
        if isinstance(self.value, int):
            raise DamagedMessage(f"field {self.number} is a number, bytes were expected")
        return self.value

    @property
    def text(self) -> str:
        return bytes(self.bytes).decode("utf-8", "backslashreplace")


def fields(message: memoryview) -> Iterator[Field]:
    """The fields of a message, in their order. Raises DamagedMessage where the bytes end too soon or mean nothing."""
    offset = 0
    while offset < len(message):
        key, offset = varint(message, offset)
        number, kind = key >> 3, key & 7
        if not 1 <= number <= LARGEST_NUMBER:
            raise DamagedMessage(f"a field has the number {number}")
        if kind == VARINT:
            value, offset = varint(message, offset)
            yield Field(number, kind, value)
            continue
        if kind == BYTES:
            length, offset = varint(message, offset)
        elif kind in (EIGHT, FOUR):
            length = 8 if kind == EIGHT else 4
        else:
            raise DamagedMessage(f"field {number} is of the unknown kind {kind}")
        if length > len(message) - offset:
            raise DamagedMessage(f"field {number} has {length:,} bytes, {len(message) - offset:,} are left")
        yield Field(number, kind, message[offset : offset + length])
        offset += length


def varint(message: memoryview, offset: int) -> tuple[int, int]:
    """The integer at `offset`, seven bits in each byte, the lowest first; and where the next begins."""
    value = 0
    for count in range(LONGEST_VARINT):
        if offset + count >= len(message):
            raise DamagedMessage("it ends inside a number")
        byte = message[offset + count]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value & ((1 << 64) - 1), offset + count + 1
    raise DamagedMessage("a number of more than ten bytes")


def reals(found: list[Field], *, double: bool = False) -> np.ndarray:
    """The values of a repeated field of floats (or doubles), packed or one by one; float32."""
    kind, size = ("<f8", 8) if double else ("<f4", 4)
    parts = [field.bytes for field in found]
    if any(len(part) % size for part in parts):
        raise DamagedMessage("a list of numbers ends inside one")
    joined = parts[0] if len(parts) == 1 else b"".join(parts)
    return np.frombuffer(joined, kind).astype(np.float32)


def integers(found: list[Field], most: int) -> list[int]:
    """The values of a repeated field of whole numbers, packed or one by one. At most `most` of them."""
    values: list[int] = []
    for field in found:
        if isinstance(field.value, int):
            values.append(field.value)
            continue
        offset = 0
        while offset < len(field.value) and len(values) <= most:
            value, offset = varint(field.value, offset)
            values.append(value)
    if len(values) > most:
        raise DamagedMessage(f"more than {most} numbers")
    return values
