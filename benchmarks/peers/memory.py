"""The memory of processes, and processes of their own to measure it in."""

import os
import subprocess
import sys
import time
from pathlib import Path

from alexnet.errors import UserError

STATUS_UNIT = 1024  # /proc/PID/status counts in kB of 1024 bytes
SAMPLE_SECONDS = 0.002
FOLDERS = (Path(__file__).parents[1], Path(__file__).parents[2])
"""Where a process of its own finds this package, and a checkout's `alexnet`."""


def memory_of(process: int, field: str = "RssAnon") -> int:
    """Bytes of a process's memory from /proc: "RssAnon" (its own), "VmRSS" (files it maps counted too).

    Raises UserError where there is no such thing; ProcessLookupError when the process has ended.
    """
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except FileNotFoundError:
        if Path("/proc/self/status").exists():
            raise ProcessLookupError(process) from None
        raise UserError("memory is only measured on Linux: there is no /proc here") from None
    for line in lines:
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * STATUS_UNIT
    raise ProcessLookupError(process)  # a process that has ended and waits to be collected has no memory lines


def peak_memory(child: "subprocess.Popen[bytes]") -> int:
    """The largest RssAnon of a running process, bytes, looked at every 2 ms until it ends."""
    peak = 0
    while child.poll() is None:
        try:
            peak = max(peak, memory_of(child.pid))
        except ProcessLookupError:
            break
        time.sleep(SAMPLE_SECONDS)
    return peak


def in_own_process(module: str, *words: object) -> "subprocess.Popen[bytes]":
    """Start `module` of this package as a program, with pipes for what it prints."""
    paths = [*map(str, FOLDERS), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [sys.executable, "-m", f"peers.{module}", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment)
