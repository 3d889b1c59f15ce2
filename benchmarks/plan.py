"""`alexnet plan` held against runs: what it reckons for 2 and 4 processes of this machine, beside what they take.

    python benchmarks/plan.py                      # alexnet, 224 pixels, fp32; about 5 minutes
    python benchmarks/plan.py --processes 2 --width 0.25 --repeats 3

A device is a process with one thread. The plan is given what it asks for, measured here: the speed of a process while
all of them compute and nothing is sent, and the link's speed, by an all-reduce of 64 MB. Then each layout makes whole
steps, in turn. The plan promises a step between the larger of computing and sending, and both together.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from alexnet.nets import zoo
from alexnet.nets.table import with_width
from alexnet.parallel.exchange import Meter
from alexnet.parallel.grid import ProcessGrid
from alexnet.parallel.launch import launched
from alexnet.parallel.team import Team
from alexnet.train import plan
from alexnet.train.step import update_on
from parallel import RATES, job_of

LINK_NUMBERS = 1 << 24
Act = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--width", type=float, default=1.0, help="factor on maps and units")
    parser.add_argument("--batch", type=int, default=64, help="pictures of a step, of all processes together")
    parser.add_argument("--repeats", dest="rounds", type=int, default=5, help="turns of each that count")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments)
        return
    print("| processes | layout | computing, s | sending, s | reckoned step, s | measured step, s |", flush=True)
    print("|---|---|---|---|---|---|", flush=True)
    for count in arguments.processes:
        words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        plain = ["--width", arguments.width, "--batch", arguments.batch, "--repeats", arguments.rounds]
        environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
        command = [*words, __file__, "--worker", *map(str, plain)]
        if code := subprocess.run(command, env=environment, check=False).returncode:
            sys.exit(code)


def work(arguments: Any) -> None:
    with launched() as world:
        torch.set_num_threads(1)
        count, batch = world.grid.processes, arguments.batch
        grids = {"data parallel": ProcessGrid(processes=count), "hybrid": ProcessGrid(processes=count, hybrid=True)}
        acts: dict[str, Act] = {"alone": step_of(world, ProcessGrid(), batch // count, arguments.width)}
        acts |= {name: step_of(world, grid, batch, arguments.width) for name, grid in grids.items()}
        numbers = torch.ones(LINK_NUMBERS)
        acts["link"] = lambda: dist.all_reduce(numbers)
        seconds = race(acts, arguments.rounds)
        cluster = plan.Cluster(
            devices=count,
            link=plan.all_reduced(LINK_NUMBERS, count) * numbers.element_size() / seconds["link"],
            speed=batch // count / seconds["alone"],
        )
        subject = plan.Subject(with_width(zoo.find("alexnet"), arguments.width), None, cluster.speed)
        for found in plan.forecasts(subject, cluster, batch=batch, pictures=batch) if world.leads else ():
            if isinstance(found, plan.Forecast) and found.layout in seconds:
                least = max(found.computing, found.sending)
                print(
                    f"| {count} | {found.layout} | {found.computing:.2f} | {found.sending:.2f} "
                    f"| {least:.2f} – {found.step:.2f} | {seconds[found.layout]:.2f} |",
                    flush=True,
                )


def step_of(world: Team, grid: ProcessGrid, batch: int, width: float) -> Act:
    """A whole step of a layout, from pictures in memory; a layout of one process is each process's own."""
    together = grid.processes > 1
    team = Team(grid, world.rank if together else 0, 1, world.groups, Meter(), world.host)
    job, shard = job_of(team, batch, width, torch.float32), team.shard(np.arange(batch))
    inputs = (torch.randn(len(shard.indices), 3, 224, 224) * 60).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(1000, (len(shard.indices),))
    return lambda: update_on(job, inputs, labels, shard, RATES)


def race(acts: dict[str, Act], rounds: int) -> dict[str, float]:
    """Median seconds of each, in turn; every process starts together, and the slowest counts."""
    found: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(rounds + 1):
        for name, act in acts.items():
            dist.barrier()
            start = time.perf_counter()
            act()
            dist.barrier()
            found[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds[1:]) for name, seconds in found.items()}


if __name__ == "__main__":
    main()
