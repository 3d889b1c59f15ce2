"""How many processors a process may use: made-up control groups of containers, affinity, limits that callers set."""

import math
import os
from pathlib import Path

import pytest
import torch

from alexnet import processors
from alexnet.processors import cores, cpu_quota, threads_allowed

V2 = "31 23 0:28 {mounted} {at} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
V1 = "33 30 0:29 {mounted} {at} rw,nosuid - cgroup cgroup rw,cpu,cpuacct"
MEMORY = "34 30 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
AT, AT1 = "/sys/fs/cgroup", "/sys/fs/cgroup/cpu,cpuacct"


def system(root: Path, groups: str, mounts: list[str], files: dict[str, str]) -> Path:
    """A made-up /proc and /sys below `root`."""
    texts = {"proc/self/cgroup": groups, "proc/self/mountinfo": "\n".join([*mounts, MEMORY]), **files}
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


def v1(folder: str, quota: int, period: int = 100_000) -> dict[str, str]:
    place = f"sys/fs/cgroup/cpu,cpuacct{folder}"
    return {f"{place}/cpu.cfs_quota_us": str(quota), f"{place}/cpu.cfs_period_us": str(period)}


CASES = {
    "a container of version 2": ("0::/", [("/", AT, V2)], {"sys/fs/cgroup/cpu.max": "150000 100000"}, 1.5),
    "without a limit": ("0::/", [("/", AT, V2)], {"sys/fs/cgroup/cpu.max": "max 100000"}, math.inf),
    "no file, as at the root of a host": ("0::/", [("/", AT, V2)], {}, math.inf),
    "the outer of nested groups is tighter": (
        "0::/kube.slice/pod.slice/app",
        [("/", AT, V2)],
        {
            "sys/fs/cgroup/kube.slice/cpu.max": "400000 100000",
            "sys/fs/cgroup/kube.slice/pod.slice/cpu.max": "50000 100000",
            "sys/fs/cgroup/kube.slice/pod.slice/app/cpu.max": "200000 100000",
            "sys/fs/cgroup/other/cpu.max": "1000 100000",
        },
        0.5,
    ),
    "a service with CPUQuota=": (
        "0::/system.slice/train.service",
        [("/", AT, V2)],
        {"sys/fs/cgroup/system.slice/train.service/cpu.max": "300000 100000"},
        3.0,
    ),
    "a group mounted by itself": (
        "0::/docker/1f", [("/docker/1f", AT, V2)], {f"{AT[1:]}/cpu.max": "200000 100000"}, 2.0,
    ),
    "a group outside of what is seen": ("0::/../b", [("/", AT, V2)], {f"{AT[1:]}/cpu.max": "200000 100000"}, 2.0),
    "a name that begins like the mounted one": (
        "0::/docker/1f2e", [("/docker/1f", AT, V2)], {f"{AT[1:]}/cpu.max": "200000 100000"}, 2.0,
    ),
    "version 1": ("5:memory:/a\n4:cpu,cpuacct:/", [("/", AT1, V1)], v1("", 250_000), 2.5),
    "version 1 in Docker": ("4:cpu,cpuacct:/docker/1f", [("/docker/1f", AT1, V1)], v1("", 50_000, 50_000), 1.0),
    "version 1 without a limit": ("4:cpu,cpuacct:/", [("/", AT1, V1)], v1("", -1), math.inf),
    "version 1, nested": (
        "4:cpu,cpuacct:/pods/a", [("/", AT1, V1)], v1("/pods", 100_000) | v1("/pods/a", -1), 1.0,
    ),
    "both versions": (
        "4:cpu,cpuacct:/\n0::/user", [("/", AT1, V1), ("/", f"{AT}/unified", V2)], v1("", 700_000), 7.0,
    ),
    "a place with a space": ("0::/", [("/", "/sys/c\\040g", V2)], {"sys/c g/cpu.max": "100000 100000"}, 1.0),
    "damaged files": ("0::/", [("/", AT, V2)], {"sys/fs/cgroup/cpu.max": "many"}, math.inf),
    "damaged tables": ("0", [("/", AT, "nothing of use")], {}, math.inf),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_quota_of_a_container(name: str, tmp_path: Path) -> None:
    groups, mounts, files, quota = CASES[name]
    lines = [form.format(mounted=mounted, at=at) for mounted, at, form in mounts]
    assert cpu_quota(system(tmp_path, groups, lines, files)) == quota


def test_a_system_without_control_groups(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) == math.inf


@pytest.mark.parametrize(("quota", "affinity", "wanted"), [(1.5, 8, 2), (0.1, 8, 1), (9.0, 4, 4), (math.inf, 3, 3)])
def test_cores_are_those_of_the_affinity_or_fewer_by_the_quota(
    monkeypatch: pytest.MonkeyPatch, quota: float, affinity: int, wanted: int
) -> None:
    monkeypatch.setattr(processors, "cpu_quota", lambda: quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False)
    assert cores() == wanted


@pytest.mark.parametrize(("value", "wanted"), [("3", 3), ("2,4", 2), ("", 8), ("many", 8), ("0", 8), ("16", 8)])
def test_omp_num_threads_limits_work_that_needs_no_torch(
    monkeypatch: pytest.MonkeyPatch, value: str, wanted: int
) -> None:
    monkeypatch.setattr(processors, "cores", lambda: 8)
    monkeypatch.setattr(processors.sys, "modules", {})
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert threads_allowed() == wanted


def test_torchs_number_of_threads_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "cores", lambda: 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert threads_allowed() == 3
    monkeypatch.setattr(processors, "cores", lambda: 2)
    assert threads_allowed() == 2
