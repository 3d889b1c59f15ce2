"""Two processes of one core each beside one process on both cores: pictures a second, and bytes that cross.

    python benchmarks/parallel.py                    # alexnet, 224 pixels; about 10 minutes, 6 GB of memory
    python benchmarks/parallel.py --width 0.25 --rounds 3 --large 128

Claims: at a global batch of 128 the hybrid moves at least 10 times fewer bytes a step than data parallel (fp32); the
hybrid at 128, and data parallel with bf16 gradients at 512, reach at least 0.85 of one process's pictures a second.
Data parallel at 128 is recorded beside them. All take turns; figures are medians. Bytes: the counter of the loopback
device in a network namespace of its own, where one can be made; and counted where they leave.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from alexnet.nets.network import build
from alexnet.parallel.exchange import Meter
from alexnet.parallel.grid import ProcessGrid
from alexnet.parallel.launch import launched
from alexnet.parallel.team import Team
from alexnet.placement import DTYPES
from alexnet.runs.folder import RunFolder
from alexnet.train.options import TrainOptions
from alexnet.train.recipes import find
from alexnet.train.schedule import Logged, Rates
from alexnet.train.state import TrainingState
from alexnet.train.step import update_on
from alexnet.train.update import Update

COUNTERS = Path("/proc/self/net/dev")
RATES = Rates(1e-4, 1e-4)
LAYOUTS: dict[str, dict[str, Any]] = {
    "hybrid": {"hybrid": True},
    "data parallel": {},
    "data parallel, bf16 gradients": {"gradients": "bf16"},
}
AT_LEAST_SPEED, AT_LEAST_FEWER = 0.85, 10.0


@dataclass
class Contender:
    """A layout with a global batch; `step` makes one update."""

    name: str
    batch: int
    threads: int
    step: Callable[[], None]
    meter: Meter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=float, default=1.0, help="factor on maps and units")
    parser.add_argument("--small", type=int, default=128, help="global batch of the hybrid and of plain data parallel")
    parser.add_argument("--large", type=int, default=512, help="global batch of data parallel with bf16 gradients")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each that count; 0: bytes only")
    parser.add_argument("--precision", choices=list(DTYPES), default="bf16", help="of the layers, in the timings")
    parser.add_argument("--only", choices=["bytes", *LAYOUTS], help="one measurement of them (beside one process)")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments)
    else:
        sys.exit(subprocess.run(command(sys.argv[1:]), env=environment(), check=False).returncode)


def command(options: list[str]) -> list[str]:
    """torchrun with two of this program, in a network namespace of their own where one can be made."""
    words = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        __file__,
        "--worker",
    ]
    apart = ["unshare", "--net", "--map-root-user", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    possible = shutil.which("unshare") and shutil.which("ip")
    if possible and subprocess.run([*apart, "true"], capture_output=True, check=False).returncode == 0:
        return [*apart, *words, *options]
    print("no network namespace: the loopback's counter holds other programs' bytes too", file=sys.stderr)
    return [*words, *options]


def environment() -> dict[str, str]:
    return {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "2"}


def work(arguments: Any) -> None:
    with launched() as world:
        if arguments.only in (None, "bytes"):
            print_bytes(arguments, world)
        if arguments.only != "bytes" and arguments.rounds > 0:
            print_speed(arguments, world)


def contender(name: str, world: Team, batch: int, arguments: Any, precision: str, **changes: Any) -> Contender:
    """Two processes in a layout; a `ProcessGrid` of one process is the leader's alone."""
    grid = ProcessGrid(**{"processes": 2, **changes})
    team = Team(grid, world.rank if grid.processes > 1 else 0, 1, world.groups, Meter(), world.host)
    job = job_of(team, batch, arguments.width, DTYPES[precision])
    shard = team.shard(np.arange(batch))
    generator = torch.Generator().manual_seed(team.rank)
    inputs = (torch.randn(len(shard.indices), 3, 224, 224, generator=generator) * 60).to(job.dtype)
    inputs = inputs.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(1000, (len(shard.indices),), generator=generator)
    return Contender(
        name, batch, 3 - grid.processes, lambda: update_on(job, inputs, labels, shard, RATES) and None, team.meter
    )


def job_of(team: Team, batch: int, width: float, dtype: torch.dtype) -> TrainingState:
    network = build("alexnet", 1000, width=width)
    stand_ins: dict[str, Any] = dict.fromkeys(("store", "inputs"))
    job = TrainingState(
        run=RunFolder(Path("nowhere"), {}),
        network=network,
        update=Update(network, momentum=0.9, decay=0.0005, decay_biases=True),
        schedule=Logged(()),
        recipe=replace(find("paper"), epochs=1, batch=batch),
        options=TrainOptions(),
        device=torch.device("cpu"),
        dtype=dtype,
        **stand_ins,
    )
    job.take_shard(team)
    return job


# ── bytes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def print_bytes(arguments: Any, world: Team) -> None:
    """Bytes that each process sends in a step, fp32."""
    sent = {}
    for name, changes in (("data parallel", {}), ("hybrid", {"hybrid": True})):
        one = contender(name, world, arguments.small, arguments, "fp32", **changes)
        take_threads(one, world)
        one.step()  # connections are made
        dist.barrier()
        before, one.meter.activation_bytes, one.meter.gradient_bytes = bytes_on_loopback(), 0, 0
        dist.barrier()
        one.step()
        dist.barrier()
        sent[name] = (bytes_on_loopback() - before) / 2
        if world.leads:
            # A ring sends each number 2·(n − 1)/n times: once, with two processes.
            counted = one.meter.activation_bytes + one.meter.gradient_bytes
            print(
                f"{name}, batch {one.batch}, fp32: {sent[name] / 1e6:.2f} MB sent by each ({counted / 1e6:.2f} counted)"
            )
    if world.leads:
        print(
            f"hybrid: {sent['data parallel'] / sent['hybrid']:.1f} times fewer (asked: {AT_LEAST_FEWER:g})", flush=True
        )


def bytes_on_loopback() -> int:
    """Sent so far on the loopback device of this network namespace."""
    (line,) = (line for line in COUNTERS.read_text().splitlines() if line.strip().startswith("lo:"))
    return int(line.split(":")[1].split()[8])


# ── speed ────────────────────────────────────────────────────────────────────────────────────────────────────────


def print_speed(arguments: Any, world: Team) -> None:
    small, large, precision = arguments.small, arguments.large, arguments.precision
    for batch, names in ((small, ("hybrid", "data parallel")), (large, ("data parallel, bf16 gradients",))):
        grids = {name: LAYOUTS[name] for name in names if arguments.only in (None, name)}
        if not grids:
            continue
        alone = contender("one process", world, batch, arguments, precision, processes=1) if world.leads else None
        others = [contender(name, world, batch, arguments, precision, **changes) for name, changes in grids.items()]
        times = race(alone, others, arguments.rounds, world)
        for name, seconds in times.items() if world.leads else ():
            pace, beside = batch / seconds, times["one process"] / seconds
            print(f"{name}, batch {batch}, {precision}: {pace:.1f} pictures/s, {beside:.2f} of one process", flush=True)


def race(alone: Contender | None, others: list[Contender], rounds: int, world: Team) -> dict[str, float]:
    """Median seconds of a step of each, in turn."""
    found: dict[str, list[float]] = {}
    for turn in range(rounds + 1):
        for one in (alone, *others):
            dist.barrier()
            start = time.perf_counter()
            if one is not None:  # the second process waits while one computes on both cores
                take_threads(one, world)
                one.step()
            dist.barrier()
            if turn > 0 and one is not None:
                found.setdefault(one.name, []).append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def take_threads(one: Contender, world: Team) -> None:
    """Both cores for one process, one core for each of two."""
    cores = sorted(os.sched_getaffinity(os.getppid()))[:2]
    os.sched_setaffinity(0, cores if one.threads == 2 else {cores[world.rank % len(cores)]})
    torch.set_num_threads(one.threads)


if __name__ == "__main__":
    main()
