"""Small sources in the layouts of the real ones, made on the spot."""

import io
import pickle
import struct
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WNIDS = ("n00000003", "n00000001", "n00000002")
"""ILSVRC ids 1, 2, 3 in an order that is not the sorted one."""

CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def picture(value: int, file_format: str = "JPEG") -> bytes:
    """A flat grey picture, told apart by its value."""
    stream = io.BytesIO()
    Image.new("RGB", (9, 8), (value, value, value)).save(stream, file_format, quality=95)
    return stream.getvalue()


def value_of(data: bytes) -> int:
    return Image.open(io.BytesIO(data)).getpixel((4, 4))[0]  # pyright: ignore


def folder(root: Path, files: Mapping[str, bytes]) -> Path:
    """Files by their paths below ``root``."""
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    root.mkdir(parents=True, exist_ok=True)
    return root


def tar(files: Mapping[str, bytes], mode: str = "w", links: Mapping[str, str] | None = None) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:  # pyright: ignore
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return stream.getvalue()


# A writer of MATLAB 5 files, big- or little-endian.


def mat(variables: Mapping[str, Any], endian: str = "<", packed: bool = False) -> bytes:
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(endian + "H", 0x0100) + (b"IM" if endian == "<" else b"MI")
    body = b""
    for name, value in variables.items():
        matrix = _matrix(name, value, endian)
        if packed:
            squeezed = zlib.compress(matrix)
            matrix = struct.pack(endian + "II", 15, len(squeezed)) + squeezed
        body += matrix
    return head + body


def _element(kind: int, data: bytes, endian: str) -> bytes:
    if 0 < len(data) <= 4:
        return struct.pack(endian + "I", len(data) << 16 | kind) + data.ljust(4, b"\0")
    return struct.pack(endian + "II", kind, len(data)) + data + bytes(-len(data) % 8)


def _matrix(name: str, value: Any, endian: str) -> bytes:
    if isinstance(value, list):
        kind, shape = 2, (len(value), 1)
        fields = list(value[0])
        rest = _element(5, struct.pack(endian + "i", 32), endian)
        rest += _element(1, b"".join(field.encode().ljust(32, b"\0") for field in fields), endian)
        rest += b"".join(_matrix("", row[field], endian) for row in value for field in fields)
    elif isinstance(value, str):
        kind, shape = 4, (1, len(value))
        rest = _element(17, value.encode("utf-16-le" if endian == "<" else "utf-16-be"), endian)
    else:
        array = np.atleast_2d(np.asarray(value, np.float64))
        kind, shape = 6, array.shape
        rest = _element(9, array.astype(endian + "f8").tobytes(order="F"), endian)
    body = _element(6, struct.pack(endian + "II", kind, 0), endian)
    body += _element(5, struct.pack(f"{endian}{len(shape)}i", *shape), endian)
    body += _element(1, name.encode(), endian) + rest
    return struct.pack(endian + "II", 14, len(body)) + body


def synsets(year: int, train: int) -> list[dict[str, Any]]:
    rows = [(number, wnid, f"word {wnid[-1]}, other", 0, train) for number, wnid in enumerate(WNIDS, 1)]
    rows.append((len(WNIDS) + 1, "n00000009", "inner node", 3, 0))
    names = (f"ILSVRC{year}_ID", "WNID", "words", "num_children", "num_train_images")
    return [dict(zip(names, row, strict=True)) for row in rows]


def ilsvrc(root: Path, year: int = 2012, train: int = 2, val: tuple[int, ...] = (2, 1, 3, 3, 2)) -> Path:
    """Tars and kit as downloaded. Picture values: 10·label + number for training, 100 + number for validation."""
    image = "img" if year == 2012 else "images"
    inner = {
        f"{wnid}.tar": tar({f"{wnid}_{n}.JPEG": picture(10 * sorted(WNIDS).index(wnid) + n) for n in range(train)})
        for wnid in WNIDS
    }
    numbered = {f"ILSVRC{year}_val_{n:08d}.JPEG": picture(100 + n) for n in reversed(range(1, len(val) + 1))}
    kit = "ILSVRC2012_devkit_t12" if year == 2012 else "devkit-1.0"
    packed = "ILSVRC2012_devkit_t12.tar.gz" if year == 2012 else "ILSVRC2010_devkit-1.0.tar.gz"
    truth = "".join(f"{number}\n" for number in val).encode()
    files = {
        f"{kit}/data/meta.mat": mat({"synsets": synsets(year, train)}, packed=True),
        f"{kit}/data/ILSVRC{year}_validation_ground_truth.txt": truth,
        f"{kit}/readme.txt": b"",
    }
    below = "" if year == 2012 else "val/"
    return folder(
        root,
        {
            f"ILSVRC{year}_{image}_train.tar": tar(inner),
            f"ILSVRC{year}_{image}_val.tar": tar({below + name: data for name, data in numbered.items()}),
            packed: tar(files, "w:gz"),
        },
    )


def cifar(root: Path, each: int = 20) -> np.ndarray:
    """The python batches, as Python 2 wrote them (byte strings); returns the pictures of all six, (6, N, 3072)."""
    generator = np.random.default_rng(0)
    data = generator.integers(0, 256, (6, each, 3072), dtype=np.uint8)
    names = [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]
    for name, rows in zip(names, data, strict=True):
        batch = {b"data": rows, b"labels": [n % 10 for n in range(each)], b"batch_label": b"x"}
        folder(root, {name: pickle.dumps(batch, protocol=2)})
    folder(
        root, {"batches.meta": pickle.dumps({b"label_names": [word.encode() for word in CIFAR_CLASSES]}, protocol=2)}
    )
    return data


def norb_matrix(array: np.ndarray) -> bytes:
    magic = {1: 0x1E3D4C55, 4: 0x1E3D4C54}[array.itemsize]
    shape = [*array.shape, *([1] * (3 - array.ndim))]
    return struct.pack(f"<Ii{len(shape)}i", magic, array.ndim, *shape) + array.tobytes()
