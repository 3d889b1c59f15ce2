"""A store as large as ImageNet that takes no disk: sparse files, every picture black. For measuring what grows."""

import argparse
import os
from pathlib import Path

import numpy as np

from alexnet.data import layout
from alexnet.data.description import promise, sealed
from alexnet.data.statistics import Sums
from alexnet.files import json_bytes


def make_sparse_store(folder: Path, count: int, classes: int = 1000, size: int = 256) -> None:
    """A raw store with ``count`` training pictures in ``folder``, which must not exist. OSError if it cannot be."""
    part = folder / "train"
    part.mkdir(parents=True)
    _write_array(part / layout.LABELS, np.arange(count, dtype=np.int64) % classes, count, size)
    digest = np.frombuffer(layout.digest_of(bytes(size * size * 3)), np.uint8)
    _write_array(part / layout.DIGESTS, np.broadcast_to(digest, (count, layout.DIGEST_BYTES)), count, size)
    (part / layout.KEYS).write_bytes(b"".join(b"train/%d.jpg\n" % index for index in range(count)))
    with open(part / layout.PICTURES, "wb") as file:
        file.write(layout.npy_header(*layout.array_of(layout.PICTURES, count, size)))
        file.truncate(layout.array_bytes(layout.PICTURES, count, size))
    (folder / layout.REPORT).write_bytes(b'{"odd_files": [], "ignored": []}\n')
    sums = Sums(count, np.zeros((size, size, 3), np.int64), np.zeros((3, 3), np.int64))
    (folder / layout.STATISTICS).write_bytes(sums.to_bytes())
    (folder / layout.DESCRIPTION).write_bytes(json_bytes(sealed(_description(folder, count, classes, size))))


def _write_array(path: Path, array: np.ndarray, count: int, size: int) -> None:
    path.write_bytes(layout.npy_header(*layout.array_of(path.name, count, size)) + array.tobytes())


def _description(folder: Path, count: int, classes: int, size: int) -> dict:
    names = [f"class {label}" for label in range(classes)]
    files = {name: promise(folder / "train" / name, digest=name != layout.PICTURES) for name in layout.files_of("raw")}
    return {
        "kind": layout.KIND,
        "format_version": layout.FORMAT_VERSION,
        "size": size,
        "format": "raw",
        "jpeg": None,
        "resample": "bicubic",
        "exif": False,
        "source": {"kind": "sparse", "fingerprint": ""},
        "class_order": "by number",
        "class_ids": names,
        "class_names": names,
        "parts": {"train": {"count": count, "items": count, "refused": 0, "noted": 0, "files": files}},
        "files": {name: promise(folder / name) for name in (layout.REPORT, layout.STATISTICS)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=1_281_167)
    options = parser.parse_args()
    make_sparse_store(options.folder, options.count)
    used = sum(file.stat().st_blocks * 512 for file in options.folder.rglob("*"))
    length = os.path.getsize(options.folder / "train" / layout.PICTURES)
    print(f"{options.folder}: {options.count:,} pictures, {length / 1e9:.0f} GB long, {used / 1e6:.0f} MB on disk")


if __name__ == "__main__":
    main()
