"""From a line of torchrun to a team: process groups, and the check that all are of one mind before they begin."""

import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, TCPStore

import alexnet
from alexnet import kernels
from alexnet.data.store import Store
from alexnet.errors import UsageError, UserError
from alexnet.measure.arithmetic import find_device
from alexnet.train.options import TrainOptions
from alexnet.train.parallel.exchange import Meter
from alexnet.train.parallel.layout import Layout
from alexnet.train.parallel.team import Groups, Team
from alexnet.train.parallel.watch import Watch, common_name, one_message


def is_launched() -> bool:
    """Whether torchrun (or whoever sets its variables) has started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def restarts() -> int:
    """How often torchrun has started these workers again."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


@contextmanager
def launched(options: TrainOptions) -> Iterator[Team]:
    """The team of this process; of one, without torchrun. Inside, whatever goes wrong is told once, by one process.

    Raises UsageError for a layout that so many processes can't have, UserError for more processes than GPUs.
    """
    if not is_launched():
        yield Team(Layout.of(options, 1))
        return
    rank, processes = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    stores = [_store(rank, processes, options.timeout) for _ in range(2)]  # torch keeps its own busy for minutes
    name = common_name(stores[0], rank, processes, options.timeout)
    watch = Watch(PrefixStore(name, stores[0]), rank, processes, socket.gethostname())
    watch.begin()
    try:
        with one_message(watch):
            team = _gather(options, rank, processes, PrefixStore(f"{name}/groups", stores[1]))
            watch.steps = lambda: team.progress
            yield team
            dist.destroy_process_group()
    finally:
        watch.close()


def _store(rank: int, processes: int, seconds: float) -> TCPStore:
    """A connection to the rendezvous' store; torchrun keeps it, where there is none rank 0 does."""
    keeps = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    return TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        processes,
        is_master=keeps,
        timeout=timedelta(seconds=seconds),
        wait_for_workers=False,
        multi_tenant=True,
    )


def _gather(options: TrainOptions, rank: int, processes: int, store: PrefixStore) -> Team:
    layout, local = Layout.of(options, processes), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    device = _own_device(options, local)
    timeout = timedelta(seconds=options.timeout)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=timeout, store=store, rank=rank, world_size=processes)
    control = dist.new_group(backend="gloo", timeout=timeout) if device.type == "cuda" else dist.group.WORLD
    groups = Groups(control, *_groups(layout, rank, timeout))
    return Team(layout, rank, local, groups, Meter(), socket.gethostname())


def _own_device(options: TrainOptions, local: int) -> torch.device:
    device = find_device(options.device)
    if device.type == "mps":
        raise UsageError("--device mps: several processes train on cpu or cuda. Add --device cpu.")
    if device.type == "cuda":
        if local > torch.cuda.device_count():
            there = torch.cuda.device_count()
            raise UsageError(
                f"{local} processes on {socket.gethostname()}, which has {there} GPUs. Start as many: "
                f"torchrun --nproc-per-node {there}; or add --device cpu."
            )
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    return device


def _groups(layout: Layout, rank: int, timeout: timedelta) -> tuple[Any, Any]:
    """(members of this one's network, those that hold the same weights). Everybody makes every group, as torch asks."""
    if layout.hybrid:
        return dist.group.WORLD, dist.group.WORLD
    columns, shares = layout.columns, layout.shares
    networks = [list(range(share * columns, (share + 1) * columns)) for share in range(shares)]
    twins = [list(range(column, layout.processes, columns)) for column in range(columns)]
    made = [(ranks, dist.new_group(ranks, timeout=timeout)) for ranks in networks + twins if len(ranks) > 1]
    return (
        next((group for ranks, group in made if ranks == networks[layout.share_of(rank)]), None),
        next((group for ranks, group in made if ranks == twins[layout.column_of(rank)]), None),
    )


# ── being of one mind ────────────────────────────────────────────────────────────────────────────────────────────


def agree(team: Team, store: Store, options: TrainOptions) -> bool:
    """See that all processes have the same pictures, options and program; whether any of them was restarted.

    Raises UserError, the same on all, naming the first that differs from rank 0.
    """
    if team.alone:
        return False
    facts = {
        "host": team.host,
        "restarts": restarts(),
        "the program": f"{alexnet.__version__}, {program_digest()[:12]}",
        "torch": str(torch.__version__),
        "the options": {name: str(value) for name, value in asdict(options).items()},
        "the store": f"{store.fingerprint[:12]} ({len(store.parts.get('train', ()))} training pictures)",
        "the kernels": kernels.available(find_device(options.device)).split()[0],
    }
    everyones = team.everyones(facts)
    for rank, theirs in enumerate(everyones):
        for what in facts:
            if what not in ("host", "restarts") and theirs[what] != everyones[0][what]:
                raise UserError(_difference(what, rank, theirs, everyones[0]))
    return any(theirs["restarts"] for theirs in everyones)


def _difference(what: str, rank: int, theirs: dict[str, Any], firsts: dict[str, Any]) -> str:
    found, wanted = theirs[what], firsts[what]
    if isinstance(found, dict):
        name = next(name for name in found if found[name] != wanted[name])
        what, found, wanted = f"--{name.replace('_', '-')}", found[name], wanted[name]
    return (
        f"{what} of rank {rank} on {theirs['host']} is not that of rank 0 on {firsts['host']}: {found}, not {wanted}. "
        "Give every process the same store, options and version."
    )


def program_digest() -> str:
    """sha256 hex over the package's source files."""
    digest, root = hashlib.sha256(), Path(alexnet.__file__).parent
    for path in sorted((*root.rglob("*.py"), *root.rglob("*.cpp"))):
        digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()
