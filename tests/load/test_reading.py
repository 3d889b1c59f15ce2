"""Eight processes that read one store at once get the bytes that lie in its files, each in an order of its own."""

import hashlib
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest

from alexnet.data import synthetic
from alexnet.data.batches import Stream
from alexnet.data.order import epoch_order
from alexnet.data.sources import open_source
from alexnet.data.store import layout
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store, StoreSplit

PROCESSES = 8
FORKED = multiprocessing.get_context("forkserver")  # one import of torch for all
GATES: list[Barrier] = []
"""In a reading process: where it waits for the others."""


def begin(gate: Barrier) -> None:
    """In each process, once."""
    GATES.append(gate)


def read(store: Path, rounds: int, seed: int) -> str:
    """The digest of each split after each of so many epochs in an order of its own."""
    GATES[0].wait(timeout=300)
    opened, found = Store.open(store), ""
    for number in range(rounds):
        for name, part in sorted(opened.splits.items()):
            pictures = np.zeros((len(part), part.size, part.size, 3), np.uint8)
            with Stream(part, 16, epoch_order(len(part), seed, number)) as stream:
                for batch in stream:
                    pictures[batch.indices] = batch.pictures
            found += f"{name} {hashlib.sha256(pictures.tobytes()).hexdigest()}\n"
    return found


def digest_of(part: StoreSplit) -> str:
    """Of a part's pictures, read by numpy or decoded one by one."""
    if part.format == "raw":
        pictures = np.load(part.folder / layout.PICTURES)
    else:
        pictures = np.stack([layout.decode_jpeg(part.record(place), part.size) for place in range(len(part))])
    return hashlib.sha256(pictures.tobytes()).hexdigest()


def read_together(store: Path, rounds: int) -> list[str]:
    """What each process found; all begin to read at the same moment."""
    FORKED.set_forkserver_preload(["alexnet.data.batches", "pytest"])
    gate = FORKED.Barrier(PROCESSES)
    with ProcessPoolExecutor(PROCESSES, FORKED, begin, (gate,)) as readers:
        return list(readers.map(partial(read, store, rounds), range(PROCESSES)))


def check_reading(store: Store, rounds: int) -> None:
    expected = "".join(f"{name} {digest_of(store.splits[name])}\n" for name in sorted(store.splits)) * rounds
    assert read_together(store.path, rounds) == [expected] * PROCESSES


@pytest.mark.parametrize("format", ["raw", "jpeg"])
def test_eight_processes_read_one_store(store: Store, tmp_path: Path, format: layout.Format) -> None:
    check_reading(prepare(open_source(store.path.parent / "pictures"), tmp_path / "store", size=40, format=format), 2)


@pytest.mark.long
@pytest.mark.parametrize(("format", "rounds"), [("raw", 100), ("jpeg", 10)])
def test_eight_processes_read_a_store_many_times(tmp_path: Path, format: layout.Format, rounds: int) -> None:
    pictures = synthetic.write(tmp_path / "pictures", train_per_class=60, val_per_class=20)
    store = prepare(open_source(pictures), tmp_path / "store", size=256, format=format)
    begun = time.perf_counter()
    check_reading(store, rounds)
    records = PROCESSES * rounds * sum(map(len, store.splits.values()))
    print(f"{format}: {records:,} records of 256 pixels read in {time.perf_counter() - begun:.0f} s")
