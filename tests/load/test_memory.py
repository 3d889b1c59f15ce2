"""Memory over many calls: of the classifier, of the explorer, of training, each in a process of its own.

Short, all three at once: nothing as large as a record stays with each call. What docs/reliability.md promises, less
than 1,000 bytes a call after the first thousand, is for ten thousand calls: -m long.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is only measured on Linux")

LOAD = Path(__file__).parents[2] / "benchmarks" / "load.py"
SMALL = ("--net", "toy", "--width", "1", "--side", "40")
SHORT = {"predict": ("240", "80"), "serve": ("300", "160"), "train": ("480", "160")}
"""Calls, and how many of them come before the count: the explorer first fills what it keeps of 128 uploads."""
SMALL_PAGES = {"THP_MEM_ALLOC_ENABLE": "0"}
"""For short measurements: a large page more or less is 2 MB."""
RECORD = 40 * 40 * 3
"""Bytes."""


def start(what: str, calls: str, warm: str, threads: int = 1, **variables: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(LOAD.parents[1]), "OMP_NUM_THREADS": str(threads), **variables}
    command = [sys.executable, str(LOAD), what, "--calls", calls, "--warm", warm, *SMALL]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def bytes_a_call(process: subprocess.Popen[str]) -> float:
    told, faults = process.communicate()
    assert process.returncode == 0, faults
    print(faults, told)
    return json.loads(told)["bytes_a_call"]


@pytest.fixture(scope="module")
def started() -> Iterator[dict[str, subprocess.Popen[str]]]:
    pytest.importorskip("uvicorn", reason="the explorer's packages are not installed: pip install '.[serve]'")
    processes = {what: start(what, *numbers, **SMALL_PAGES) for what, numbers in SHORT.items()}
    yield processes
    for process in processes.values():
        process.kill()
        process.wait()


@pytest.mark.parametrize("what", SHORT)
def test_no_call_leaves_a_picture_behind(started: dict[str, subprocess.Popen[str]], what: str) -> None:
    """One measurement of three: over some hundred calls a buffer that is made late counts for much, but comes once; a
    picture that is left behind comes with each call."""
    most = 3 * RECORD if what == "serve" else RECORD  # the explorer's caches of answers fill up for longer
    assert bytes_a_call(started[what]) < most or any(
        bytes_a_call(start(what, *SHORT[what], **SMALL_PAGES)) < most for _ in range(2)
    )


@pytest.mark.long
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("what", "calls"), [("predict", "10000"), ("serve", "10000"), ("train", "5000")])
def test_memory_stays_over_thousands_of_calls(what: str, calls: str, threads: int) -> None:
    assert bytes_a_call(start(what, calls, "1000", threads)) < 1000
