"""A second reading of PNG, written from its specification, to hold the decoder against: no Pillow in it."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def read_png(data: bytes) -> np.ndarray | None:
    """The default image as (H, W, 4) float on 0–255; None for what this reader does not know (interlaced files)."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    if interlaced:
        return None
    chunks = list(_chunks(data))
    raw = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    bits = depth * CHANNELS[colour]
    rows = _unfiltered(raw, height, (width * bits + 7) // 8, max(1, bits // 8))
    samples = _samples(rows, width * CHANNELS[colour], depth).reshape(height, width, CHANNELS[colour])
    extra = dict(chunks)
    return _rgba(samples, colour, depth, extra.get(b"PLTE", b""), extra.get(b"tRNS"))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 8
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        yield kind, data[position + 8 : position + 8 + length]
        if kind == b"IEND":
            return
        position += 12 + length


def _unfiltered(raw: bytes, height: int, stride: int, step: int) -> np.ndarray:
    rows = np.zeros((height, stride), np.uint8)
    above = np.zeros(stride, np.int64)
    for y in range(height):
        kind = raw[y * (stride + 1)]
        row = np.frombuffer(raw, np.uint8, stride, y * (stride + 1) + 1).astype(np.int64)
        if kind == 1:
            for start in range(min(step, stride)):
                row[start::step] = np.cumsum(row[start::step]) % 256
        elif kind == 2:
            row = (row + above) % 256
        elif kind in (3, 4):
            for x in range(stride):
                left = row[x - step] if x >= step else 0
                corner = above[x - step] if x >= step else 0
                guess = (left + above[x]) // 2 if kind == 3 else _paeth(int(left), int(above[x]), int(corner))
                row[x] = (row[x] + guess) % 256
        rows[y] = row
        above = row
    return rows


def _paeth(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    return min((abs(guess - left), 0, left), (abs(guess - above), 1, above), (abs(guess - corner), 2, corner))[2]


def _samples(rows: np.ndarray, count: int, depth: int) -> np.ndarray:
    if depth == 16:
        return rows.view(">u2")[:, :count].astype(np.int64)
    if depth == 8:
        return rows[:, :count].astype(np.int64)
    bits = np.unpackbits(rows, axis=1).reshape(len(rows), -1, depth)
    return (bits @ (1 << np.arange(depth)[::-1]))[:, :count].astype(np.int64)


def _rgba(samples: np.ndarray, colour: int, depth: int, palette: bytes, transparent: bytes | None) -> np.ndarray:
    if colour == 3:
        table = np.full((256, 4), 255.0)
        table[: len(palette) // 3, :3] = np.frombuffer(palette, np.uint8).reshape(-1, 3)
        table[: len(transparent or b""), 3] = list(transparent or b"")
        return table[samples[:, :, 0]]
    scaled = samples * (255.0 / ((1 << depth) - 1))
    if colour in (4, 6):
        return np.dstack([scaled[:, :, :1].repeat(3, 2), scaled[:, :, 1:]]) if colour == 4 else scaled
    alpha = np.full(samples.shape[:2], 255.0)
    if transparent:
        key = np.frombuffer(transparent, ">u2")[: samples.shape[2]]
        alpha[(samples == key).all(axis=2)] = 0
    return np.dstack([scaled if colour == 2 else scaled.repeat(3, 2), alpha])
