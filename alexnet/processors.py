"""How many processors this process may use, and how many threads its caller allows."""

import math
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

ROOT = Path("/")
UNLIMITED = sys.maxsize


def cores() -> int:
    """The number of processor cores that this process may use: those of its affinity (which a cpuset narrows), or fewer
    where a control group, as of a container, grants less processor time; part of a core counts as one."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(allowed, cpu_quota())))


def threads_allowed() -> int:
    """The number of threads to use where no number is asked for: `cores`, or fewer by OMP_NUM_THREADS,
    `torch.set_num_threads`, or the limits of joblib and threadpoolctl (torch, once imported, knows them all)."""
    torch = sys.modules.get("torch")
    limit = torch.get_num_threads() if torch is not None else omp_threads()
    return max(1, min(cores(), limit))


def omp_threads() -> int:
    """OMP_NUM_THREADS; its first number, as it may be a list for nested regions. UNLIMITED if it is not set."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else UNLIMITED


@lru_cache(maxsize=8)
def cpu_quota(root: Path = ROOT) -> float:
    """The processors' time that the control groups of this process grant it, in processors: the least of its group's
    and of the groups around it, version 1 and 2; infinite if there is no limit. `root` holds proc/ and sys/."""
    return min((quota for folder in _groups(root) for quota in _quotas(folder)), default=math.inf)


def _quotas(folder: Path) -> Iterator[float]:
    with suppress(OSError, ValueError, ZeroDivisionError):  # version 2: "150000 100000", or "max 100000"
        quota, period = (folder / "cpu.max").read_text().split()
        yield int(quota) / int(period)
    with suppress(OSError, ValueError, ZeroDivisionError):  # version 1: -1 if there is no limit
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        if quota > 0:
            yield quota / int((folder / "cpu.cfs_period_us").read_text())


def _groups(root: Path) -> Iterator[Path]:
    """The folders of the groups of this process that may limit its processors, and of the groups around them."""
    for mounted, mount, groups in _mounts(root):
        for group in groups:
            inner = group.removeprefix(mounted.rstrip("/")) if f"{group}/".startswith(f"{mounted.rstrip('/')}/") else ""
            parts = [part for part in inner.split("/") if part]
            if ".." in parts:  # outside of what this container sees
                parts = []
            for depth in range(len(parts) + 1):
                yield root.joinpath(mount.lstrip("/"), *parts[:depth])


def _mounts(root: Path) -> Iterator[tuple[str, str, list[str]]]:
    """For each mount of control groups: the group that is mounted, where, and this process's groups there."""
    with suppress(OSError, ValueError):
        lines = (root / "proc/self/cgroup").read_text().splitlines()
        entries = [line.split(":", 2)[1:] for line in lines]
        for line in (root / "proc/self/mountinfo").read_text().splitlines():
            place, _, kind = line.partition(" - ")
            (mounted, mount), (system, _, options) = place.split()[3:5], kind.split()[:3]
            mount = mount.replace("\\040", " ")
            if system == "cgroup2":
                yield mounted, mount, [group for controllers, group in entries if not controllers]
            elif system == "cgroup" and "cpu" in options.split(","):
                yield mounted, mount, [group for controllers, group in entries if "cpu" in controllers.split(",")]
