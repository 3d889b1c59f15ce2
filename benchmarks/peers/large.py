"""A store as large as ImageNet that takes no disk: sparse files, every picture black. For measuring what grows."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from alexnet.data.batches import Stream
from alexnet.data.order import epoch_order
from alexnet.data.store import layout
from alexnet.data.store.description import ListedFile, completed
from alexnet.data.store.read import Store, StoreSplit
from alexnet.data.store.statistics import Sums
from alexnet.files.schema import json_bytes, to_json
from peers.memory import memory_of

RECORDS_READ = 1000


def make_sparse_store(folder: Path, count: int, classes: int = 1000, size: int = 256) -> None:
    """A raw store with ``count`` training pictures in ``folder``, which must not exist. OSError if it cannot be."""
    part = folder / "train"
    part.mkdir(parents=True)
    _write_array(part / layout.LABELS, np.arange(count, dtype=np.int64) % classes, count, size)
    digest = np.frombuffer(layout.digest_of(bytes(size * size * 3)), np.uint8)
    _write_array(part / layout.DIGESTS, np.broadcast_to(digest, (count, layout.DIGEST_BYTES)), count, size)
    with open(part / layout.KEYS, "wb") as file:
        file.writelines(b"train/%d.jpg\n" % index for index in range(count))
    with open(part / layout.PICTURES, "wb") as file:
        file.write(layout.npy_header(*layout.array_of(layout.PICTURES, count, size)))
        file.truncate(layout.array_bytes(layout.PICTURES, count, size))
    (folder / layout.REPORT).write_bytes(b'{"odd_files": [], "ignored": []}\n')
    sums = Sums(count, np.zeros((size, size, 3), np.int64), np.zeros((3, 3), np.int64))
    (folder / layout.STATISTICS).write_bytes(sums.to_bytes())
    (folder / layout.DESCRIPTION).write_bytes(json_bytes(completed(_description(folder, count, classes, size))))


def _write_array(path: Path, array: np.ndarray, count: int, size: int) -> None:
    path.write_bytes(layout.npy_header(*layout.array_of(path.name, count, size)) + array.tobytes())


def _description(folder: Path, count: int, classes: int, size: int) -> dict:
    names = [f"class {label}" for label in range(classes)]
    files = {name: to_json(ListedFile.of(folder / "train" / name)) for name in layout.files_of("raw")}
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
        "files": {name: to_json(ListedFile.of(folder / name)) for name in (layout.REPORT, layout.STATISTICS)},
    }


def measured_opening(folder: Path, batch: int) -> dict[str, float]:
    """Open the store as a fresh process does: seconds to open it, to order an epoch and to read its first batch; bytes
    of memory that opening adds (VmRSS: all of it, what is mapped included); seconds to read a record from the page
    cache, of RECORDS_READ that lie anywhere in the store."""
    before, start = memory_of(os.getpid(), "VmRSS"), time.perf_counter()
    store = Store.open(folder)
    opened, after = time.perf_counter(), memory_of(os.getpid(), "VmRSS")
    part = store.splits["train"]
    order = epoch_order(len(part), 0, 0)
    ordered = time.perf_counter()
    with Stream(part, batch, order) as stream:
        next(stream)
        first = time.perf_counter()
    return {
        "open": opened - start,
        "memory": after - before,
        "order": ordered - opened,
        "first_batch": first - ordered,
        "record": _seconds_to_read(part, batch, order[:RECORDS_READ]),
    }


def _seconds_to_read(part: StoreSplit, batch: int, order: np.ndarray) -> float:
    """Of a record; all of them were read before."""
    took = 0.0
    for _ in range(2):
        start = time.perf_counter()
        with Stream(part, batch, order) as stream:
            for _ in stream:
                pass
        took = time.perf_counter() - start
    return took / len(order)


if __name__ == "__main__":  # the process that is measured
    json.dump(measured_opening(Path(sys.argv[1]), int(sys.argv[2])), sys.stdout)
