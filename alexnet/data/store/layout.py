"""The files of a store: what `prepare` writes and `Store` reads, each rule in both directions.

    STORE/store.json              the description: what is in the store, each file's size and sha256
    STORE/report.json             every odd file of the source, in its order
    STORE/groups.json             if the source has groups that no split may part: that of each picture, split by split
    STORE/statistics.safetensors  integer sums over the training split, and what follows from them
    STORE/<split>/pictures.npy     raw stores: uint8 (N, S, S, 3)
    STORE/<split>/records.bin      JPEG stores: the files of the pictures end to end,
    STORE/<split>/offsets.npy      and where each begins: int64 (N + 1,)
    STORE/<split>/labels.npy       int64 (N,)
    STORE/<split>/digests.npy      uint8 (N, 16): the first 16 bytes of each record's sha256
    STORE/<split>/keys.txt         one line per picture: its path in the source

A digest per record, not per file: a writer that was killed continues without reading back what it wrote, and a
damaged picture is known by name.

N records · S side of a record.
"""

import hashlib
import io
import math
import re
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from alexnet.choices import Format
from alexnet.files.schema import Key
from alexnet.images.pillow import Image

FORMAT_VERSION = 1
KIND = "alexnet store"

FORMATS: tuple[Format, ...] = ("raw", "jpeg")

DESCRIPTION, REPORT, STATISTICS = "store.json", "report.json", "statistics.safetensors"
GROUPS = "groups.json"
JOURNAL, LOCK = "journal.safetensors", "prepare.lock"  # only while the store is being made
PICTURES, RECORDS, OFFSETS = "pictures.npy", "records.bin", "offsets.npy"
LARGE = (PICTURES, RECORDS)
LABELS, DIGESTS, KEYS = "labels.npy", "digests.npy", "keys.txt"

SHARD = re.compile(r"part-([1-9][0-9]*)-of-([1-9][0-9]*)")
"""The folder in a store's where one of several machines works (see ``shards``), until all are joined."""
SPLIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
MAXIMUM_SIZE = 4096
MAXIMUM_COUNT = 1 << 31
DIGEST_BYTES = 16
NPY_HEADER_BYTES = 128

# Quality 95 without chroma subsampling: 1/3 of the raw size, 1 level mean error on photographs.
JPEG_SETTINGS = {"quality": 95, "subsampling": "4:4:4"}
JPEG_BYTES_PER_PIXEL = 1.2  # of 256 × 256 photographs 0.9 was measured; the estimate is to be on the safe side


@dataclass(frozen=True)
class OddFile:
    """A file of the source that was refused, or taken and noted, and ``why``. ``key``: its path in the source."""

    split: Annotated[str, Key("split", "part")]
    key: str
    outcome: Literal["refused", "noted"]
    why: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.split}: {self.key} ({'; '.join(self.why)})"


@dataclass(frozen=True)
class Report:
    """What is read of the report."""

    odd_files: tuple[OddFile, ...]


def files_of(format: Format) -> tuple[str, ...]:
    """The files of a split."""
    pictures = (PICTURES,) if format == "raw" else (RECORDS, OFFSETS)
    return (*pictures, LABELS, DIGESTS, KEYS)


def array_of(name: str, count: int, size: int) -> tuple[str, tuple[int, ...]]:
    """Type and shape of an array file with ``count`` records of side ``size``."""
    return {
        PICTURES: ("|u1", (count, size, size, 3)),
        OFFSETS: ("<i8", (count + 1,)),
        LABELS: ("<i8", (count,)),
        DIGESTS: ("|u1", (count, DIGEST_BYTES)),
    }[name]


def array_bytes(name: str, count: int, size: int) -> int:
    """Size of that file, header included."""
    dtype, shape = array_of(name, count, size)
    return NPY_HEADER_BYTES + math.prod(shape) * np.dtype(dtype).itemsize


def npy_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """A .npy header (version 1.0) that always takes 128 bytes, so that it can be written when the count is known."""
    description = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text = description.ljust(NPY_HEADER_BYTES - 11) + b"\n"
    assert len(text) == NPY_HEADER_BYTES - 10, "a shape too long for the header"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def digest_of(record: bytes | memoryview) -> bytes:
    """The first 16 bytes of the sha256 of a record's bytes (raw: its pixels; JPEG: its file)."""
    return hashlib.sha256(record).digest()[:DIGEST_BYTES]


def encode_jpeg(record_ss3: np.ndarray) -> bytes:
    """A record as the bytes of a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(record_ss3).save(file, "JPEG", **JPEG_SETTINGS)
    return file.getvalue()


def decode_jpeg(data: bytes | memoryview, size: int) -> np.ndarray:
    """``encode_jpeg`` backwards, as far as JPEG goes: (S, S, 3) uint8. ValueError if it is not such a file."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            if picture.size != (size, size) or picture.mode != "RGB":
                raise ValueError(f"{picture.mode} {picture.size}, expected RGB {(size, size)}")
            return np.array(picture)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from None


# A key is a path, and on Linux a path may hold line breaks and bytes that are not UTF-8 (surrogates in Python).
_UNSAFE = re.compile("[\\\\\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_ESCAPE = re.compile(r"\\u([0-9a-f]{4})")


def key_to_line(key: str) -> bytes:
    r"""A key as one line of UTF-8; backslashes, control characters and stray bytes become \uXXXX."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", key).encode() + b"\n"


def line_to_key(line: bytes) -> str:
    """``key_to_line`` backwards. Damaged UTF-8 shows as �."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), line.rstrip(b"\n").decode(errors="replace"))


def tensor_bytes(tensors: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> bytes:
    """Arrays as a safetensors file."""
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, metadata)
