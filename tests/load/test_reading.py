"""Eight processes that read one store at once get the bytes that lie in its files, each in an order of its own."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from alexnet.data import synthetic
from alexnet.data.sources import open_source
from alexnet.data.store import layout
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store, StoreSplit

PROCESSES = 8
READER = """
import hashlib, sys
import numpy as np
from alexnet.data.order import epoch_order
from alexnet.data.store.read import Store
from alexnet.data.batches import Stream
path, seed, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
store = Store.open(path)
for number in range(rounds):
    for name in sorted(store.parts):
        part = store.parts[name]
        found = np.zeros((len(part), part.size, part.size, 3), np.uint8)
        with Stream(part, 16, epoch_order(len(part), seed, number)) as stream:
            for batch in stream:
                found[batch.indices] = batch.pictures
        print(name, hashlib.sha256(found.tobytes()).hexdigest())
"""


def digest_of(part: StoreSplit) -> str:
    """Of a part's pictures, read by numpy or decoded one by one."""
    if part.format == "raw":
        pictures = np.load(part.folder / layout.PICTURES)
    else:
        pictures = np.stack([layout.decode_jpeg(part.record(place), part.size) for place in range(len(part))])
    return hashlib.sha256(pictures.tobytes()).hexdigest()


def read_together(store: Path, rounds: int) -> list[str]:
    """What each process printed; all begin to read at the same moment."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, str(store), str(seed), str(rounds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for seed in range(PROCESSES)
    ]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
    for reader in readers:
        assert reader.stdin is not None
        reader.stdin.write("\n")
        reader.stdin.flush()
    told = [reader.communicate()[0] for reader in readers]
    assert [reader.returncode for reader in readers] == [0] * PROCESSES
    return told


def check_reading(store: Store, rounds: int) -> None:
    expected = "".join(f"{name} {digest_of(store.parts[name])}\n" for name in sorted(store.parts)) * rounds
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
    records = PROCESSES * rounds * sum(map(len, store.parts.values()))
    print(f"{format}: {records:,} records of 256 pixels read in {time.perf_counter() - begun:.0f} s")
