"""A real `prepare`, killed with SIGKILL again and again: it ends with the bytes of an unbroken run."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.data.store import Store

PROGRAM = """
import sys
from alexnet.data import prepare
from alexnet.data.sources import open_source
prepare.JOURNAL_SECONDS = 0.02
prepare.CHUNK_ITEMS = 5
print("ready", flush=True)
source, store, format = sys.argv[1:]
prepare.prepare(open_source(source), store, size=48, format=format, max_bad=0.1)
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 generated pictures of three classes, some of them bad, in two parts."""
    root = tmp_path_factory.mktemp("pictures")
    source = np.random.default_rng(0)
    for index in range(150):
        path = root / ("val" if index % 5 == 0 else "train") / f"class{index % 3}" / f"{index:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if index % 37 == 3:
            path.write_bytes(b"not a picture")
        else:
            Image.fromarray(source.integers(0, 256, (120, 160, 3), np.uint8)).save(path)
    return root


def start(source: Path, store: Path, format: str) -> subprocess.Popen[bytes]:
    """The program in its own process, past its imports, so that delays count from where the work begins."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(source), str(store), format], stdout=subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def run_with_kills(source: Path, folder: Path, format: str, kills: int, seed: int) -> int:
    """Prepare ``source`` unbroken and with at most ``kills`` kills; the number that hit a run before its end."""
    begin = time.monotonic()
    with start(source, folder / "unbroken", format) as process:
        assert process.wait() == 0
    seconds = time.monotonic() - begin
    moments, hits = random.Random(seed), 0
    # The shortest first: it hits also where the machine has become much faster since `seconds` was taken.
    for delay in sorted(moments.uniform(0, 2 * seconds / kills) for _ in range(kills)):
        with start(source, folder / "killed", format) as process:
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            hits += process.wait() == -signal.SIGKILL
    with start(source, folder / "killed", format) as process:
        assert process.wait() == 0
    assert tree(folder / "killed") == tree(folder / "unbroken")
    assert Store.open(folder / "killed").verify() == []
    return hits


@pytest.mark.parametrize(("format", "kills"), [("raw", 5), ("jpeg", 3)])
def test_killed_a_few_times(pictures: Path, tmp_path: Path, format: str, kills: int) -> None:
    assert run_with_kills(pictures, tmp_path, format, kills, seed=len(format)) >= 1


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("format", ["raw", "jpeg"])
def test_killed_twenty_times(pictures: Path, tmp_path: Path, format: str, seed: int) -> None:
    assert run_with_kills(pictures, tmp_path, format, kills=20, seed=seed) >= 5


@pytest.mark.long
def test_killed_twenty_times_on_real_pictures(shared_pack: Callable[[str], Path], tmp_path: Path) -> None:
    assert run_with_kills(shared_pack("imagenette224"), tmp_path, "raw", kills=20, seed=0) >= 10


def test_killed_at_every_system_call(pictures: Path, tmp_path: Path) -> None:
    """Not at random moments but at each step that changes the disk: write, truncate, rename, unlink, sync."""
    with start(pictures, tmp_path / "unbroken", "raw") as process:
        assert process.wait() == 0
    unbroken, kills = tree(tmp_path / "unbroken"), 0
    for step in range(1, 400, 23):
        program = STEPS.replace("STEP", str(step)) + PROGRAM.replace('print("ready", flush=True)', "")
        arguments = [sys.executable, "-c", program, str(pictures), str(tmp_path / "killed"), "raw"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        ended = subprocess.run(arguments, env=environment, check=False).returncode
        kills += ended == -signal.SIGKILL
        if ended == 0:
            break
    else:
        raise AssertionError("it never came to its end")
    assert kills >= 3
    assert tree(tmp_path / "killed") == unbroken


STEPS = """
import os, signal, itertools
steps = itertools.count(1)
def deadly(call):
    def dying(*arguments, **options):
        if next(steps) == STEP:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return dying
for name in ("pwrite", "ftruncate", "replace", "unlink", "fsync", "mkdir"):
    setattr(os, name, deadly(getattr(os, name)))
"""
