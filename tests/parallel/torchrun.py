"""torchrun itself, as a user starts it, and its workers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE = 400.0
"""Seconds: on a machine where others want the cores too, a run of seconds has taken minutes."""


@contextmanager
def started(
    out: Path, processes: int, words: Sequence[str], options: Sequence[str] = (), **changes: str
) -> Iterator[subprocess.Popen]:
    """torchrun with `alexnet` under it; what it says goes into the file `out`. Ended with its workers when left."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
        *options,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **changes}
    with open(out, "ab") as file:
        torchrun = subprocess.Popen([*command, "-m", "alexnet", *words], stdout=file, stderr=file, env=environment)
    with torchrun:
        try:
            yield torchrun
        finally:
            if torchrun.poll() is None:
                children = workers(torchrun).values()
                torchrun.kill()
                for child in children:
                    with suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)


def workers(torchrun: subprocess.Popen) -> dict[int, int]:
    """Rank → process number, of those under torchrun now."""
    found = {}
    for child in Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text().split():
        try:
            environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        except FileNotFoundError:
            continue
        ranks = [word.removeprefix(b"RANK=") for word in environment if word.startswith(b"RANK=")]
        if ranks:
            found[int(ranks[0])] = int(child)
    return found


def until(seen: Callable[[], bool], torchrun: subprocess.Popen, what: str) -> None:
    """Wait for something while torchrun lives."""
    end = time.monotonic() + PATIENCE
    while not seen():
        assert torchrun.poll() is None, f"torchrun ended before {what}"
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)


def saved_step(run: Path) -> int:
    """After which update the newest state was saved; 0: none yet."""
    return max((int(path.stem.removeprefix("step-")) for path in run.glob("state/step-*.safetensors")), default=0)
