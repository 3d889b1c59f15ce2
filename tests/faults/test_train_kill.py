"""A real `alexnet train`, killed with SIGKILL again and again: it ends with the weights of an unbroken run."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alexnet.data.store import Store
from alexnet.runs import RunFolder
from alexnet.tensor_files import tensor_digest

PROGRAM = """
import sys
from pathlib import Path
from alexnet.data.store import Store
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions
store, run, epochs, net, batch, threads = sys.argv[1:]
options = TrainOptions(net=net, width=1.0 if net == "toy" else 0.25, epochs=int(epochs), batch=int(batch),
                       save_minutes=0.0002, snapshots=True, threads=int(threads))
print("ready", flush=True)
train(Store.open(store), Path(run), options, resume=True, quiet=True)
"""


def start(store: Path, run: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """The program in its own process, past its imports, so that delays count from where the work begins."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", PROGRAM, str(store), str(run), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def digests(run: Path) -> dict[str, str]:
    """Of the last weights and of every snapshot."""
    folder = RunFolder.open(run)
    found = {f"epoch {e}": tensor_digest(folder.load_weights(f).state_dict()) for e, f in folder.snapshots.items()}
    return found | {"model": tensor_digest(folder.network.state_dict())}


def run_with_kills(store: Path, folder: Path, kills: int, seed: int, *arguments: str) -> int:
    """Train unbroken and with at most `kills` kills; the number that hit a run before its end."""
    begin = time.monotonic()
    with start(store, folder / "unbroken", *arguments) as process:
        assert process.wait() == 0
    seconds = time.monotonic() - begin
    moments, hits = random.Random(seed), 0
    # The shortest first: it hits also where the machine has become much faster since `seconds` was taken.
    for delay in sorted(moments.uniform(0, min(seconds / 2, 3 * seconds / kills)) for _ in range(kills)):
        with start(store, folder / "killed", *arguments) as process:
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            hits += process.wait() == -signal.SIGKILL
    with start(store, folder / "killed", *arguments) as process:
        assert process.wait() == 0
    assert digests(folder / "killed") == digests(folder / "unbroken")
    left = {str(path.relative_to(folder / "killed")) for path in (folder / "killed").rglob("*")}
    expected = {str(path.relative_to(folder / "unbroken")) for path in (folder / "unbroken").rglob("*")}
    assert {path for path in left - expected if "tensorboard" not in path} == set()
    return hits


def test_killed_four_times(store: Store, tmp_path: Path) -> None:
    """On one thread: several wait for one another where other programs want the cores too."""
    assert run_with_kills(store.path, tmp_path, 4, 0, "6", "toy", "32", "1") >= 1


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_twenty_times(store: Store, tmp_path: Path, seed: int) -> None:
    hits = run_with_kills(store.path, tmp_path, 20, seed, "150", "toy", "16", "0")
    print(f"killed {hits} times")
    assert hits >= 10
