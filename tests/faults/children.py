"""Command lines as processes that can be stopped at any of their calls: `server.py` forks them, `shim.cpp` counts."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
PATIENCE = 300.0
"""Seconds: far more than anything here takes, and less than a person waits."""


class Absent(Exception):
    """Why faults can't be injected here: one line."""


@dataclass
class Forks:
    """The server. Everything its children say goes into files in `folder`, which no child's calls are counted in."""

    process: subprocess.Popen[str]
    folder: Path
    watch: Path
    children: list["Child"] = field(default_factory=list)

    def ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self, words: list[str], **asked: Any) -> "Child":
        """A command line. The keywords are those of `server.py`."""
        files = {name: self.folder / f"{len(self.children)}.{name}" for name in ("out", "err", "told", "counts")}
        asked |= {name: str(path) for name, path in files.items()}
        pid = self.ask({"start": words, "watch": str(self.watch), **asked})["pid"]
        self.children.append(Child(self, pid, **files))
        return self.children[-1]


@dataclass
class Child:
    """One command line that runs."""

    forks: Forks
    pid: int
    out: Path
    err: Path
    told: Path
    counts: Path

    @property
    def said(self) -> str:
        """What went to stdout so far."""
        return self.out.read_text(errors="replace") if self.out.exists() else ""

    @property
    def errors(self) -> str:
        """What went to stderr so far."""
        return self.err.read_text(errors="replace") if self.err.exists() else ""

    @property
    def hits(self) -> list[str]:
        """The calls that were stopped or failed, "write /a/file", in their order."""
        return self.told.read_text(errors="replace").splitlines() if self.told.exists() else []

    def look(self) -> dict[str, Any]:
        return self.forks.ask({"look": self.pid})

    def until(self, *states: str) -> dict[str, Any]:
        """Wait until it is in one of these states."""
        end = time.monotonic() + PATIENCE
        while (seen := self.look())["state"] not in states:
            assert time.monotonic() < end, f"process {self.pid} is not {states} after {PATIENCE} s:\n{self.errors}"
            time.sleep(0.01)
        return seen

    def ended(self) -> int:
        """Its exit code, once it has ended."""
        return self.until("ended")["code"]

    def send(self, number: int) -> None:
        if self.look()["state"] != "ended":
            os.kill(self.pid, number)


@contextmanager
def forks(folder: Path, watch: Path) -> Iterator[Forks]:
    """A server, ended when left. Raises Absent where there is no compiler for the shim, or not Linux."""
    folder.mkdir(parents=True, exist_ok=True)
    shim = compiled(folder / "shim.so")
    environment = {
        **os.environ,
        "LD_PRELOAD": str(shim),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    pipe = subprocess.PIPE
    command = [sys.executable, str(HERE / "server.py")]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert "ready" in process.stdout.readline(), "the server did not start"
        found = Forks(process, folder, watch)
        try:
            yield found
        finally:
            for child in found.children:
                end(child)
            process.stdin.close()
            process.wait(PATIENCE)


def compiled(library: Path) -> Path:
    if sys.platform != "linux":
        raise Absent("faults are injected on Linux only")
    command = ["g++", "-O1", "-shared", "-fPIC", "-o", str(library), str(HERE / "shim.cpp"), "-ldl"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise Absent("no g++ here, which the fault-injecting shim is compiled with") from None
    return library


def end(child: Child) -> None:
    """Let nothing of it be left."""
    child.send(signal.SIGKILL)
    child.ended()
