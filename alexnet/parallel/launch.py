"""From a torchrun command to a team: process groups, and checks that all ranks agree before they begin."""

import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, TCPStore

import alexnet
from alexnet import kernels
from alexnet.choices import DeviceChoice
from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.parallel.exchange import Meter
from alexnet.parallel.grid import ProcessGrid
from alexnet.parallel.heartbeat import START_ALL, Watch, common_name, in_ranks, one_message
from alexnet.parallel.team import Groups, Team
from alexnet.placement import find_device
from alexnet.terminal import say
from alexnet.text import option_name

VARIABLES = ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun sets for each process."""
PATIENCE = 3.0
"""Seconds of waiting at the rendezvous after which a message names the missing processes."""


@dataclass(frozen=True)
class Rendezvous:
    """This process's rank, how many processes there are, and where they meet."""

    rank: int
    processes: int
    address: str
    port: int

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Rendezvous | None":
        """The rendezvous that torchrun's variables describe; None for a single process. Raises UserError if they are
        incomplete or contradictory."""
        given = {name: value for name in VARIABLES if (value := environment.get(name, "").strip())}
        here = " ".join(f"{name}={value}" for name, value in given.items())
        remedy = "Start with torchrun, which sets them all; to train in one process, unset WORLD_SIZE and RANK"
        try:
            processes, rank = int(given.get("WORLD_SIZE", "1")), int(given.get("RANK", "0"))
            port = int(given.get("MASTER_PORT", "0"))
        except ValueError:
            raise UserError(f"{here}: WORLD_SIZE, RANK and MASTER_PORT must be whole numbers. {remedy}.") from None
        if processes == 1 and rank == 0:
            return None
        if missing := [name for name in VARIABLES if name not in given]:
            raise UserError(f"{here}: {', '.join(missing)} not set in the environment. {remedy}.")
        if not 0 <= rank < processes or not 0 < port < 1 << 16:
            raise UserError(f"{here}: RANK must be below WORLD_SIZE, MASTER_PORT between 1 and 65535. {remedy}.")
        return cls(rank, processes, given["MASTER_ADDR"], port)

    def store(self, seconds: float) -> TCPStore:
        """A connection to the rendezvous' store; torchrun keeps it, otherwise rank 0 does. Raises UserError if there is
        none after `seconds`."""
        keeps = self.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
        try:
            if not keeps:
                self._wait_for_port(time.monotonic() + seconds)
            return TCPStore(
                self.address,
                self.port,
                self.processes,
                is_master=keeps,
                timeout=timedelta(seconds=seconds),
                wait_for_workers=False,
                multi_tenant=True,
            )
        except (RuntimeError, OSError) as fault:
            if "EADDRINUSE" in str(fault):
                raise UserError(f"{self}: the port is in use. Choose another MASTER_PORT.") from None
            why = next(iter(str(fault).splitlines()), "").rstrip(".")
            raise UserError(f"{self}: no rendezvous there ({why}). {START_ALL}.") from None

    def _wait_for_port(self, end: float) -> None:
        """Wait until somebody listens: torch's store would wait too, but prints a stack of its C++ for each attempt."""
        while True:
            try:
                socket.create_connection((self.address, self.port), timeout=5).close()
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
            else:
                return

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.processes} at {self.address}:{self.port}"


@contextmanager
def launched(device: DeviceChoice = "auto", timeout: float = 600.0, **grid: Any) -> Iterator[Team]:
    """The team of this process; of one, without torchrun. Inside, whatever goes wrong is reported once, by one process.

    `timeout`: seconds to wait for the others; `grid`: how they work together, as `ProcessGrid.of` takes it. Raises
    UsageError for a grid that so many processes can't have, UserError for more processes than GPUs.
    """
    rendezvous = Rendezvous.of(os.environ)
    if rendezvous is None:
        yield Team(ProcessGrid.of(1, **grid))
        return
    rank, processes = rendezvous.rank, rendezvous.processes
    missing = set(range(1, processes)) if rank == 0 else {0}
    with _reported_if_long(rendezvous, missing, timeout):
        stores = [rendezvous.store(timeout) for _ in range(2)]  # torch keeps its own busy for minutes
        name = common_name(stores[0], rank, missing, timeout)
    watch = Watch(PrefixStore(name, stores[0]), rank, processes, socket.gethostname())
    watch.begin()
    try:
        with one_message(watch):
            store = PrefixStore(f"{name}/groups", stores[1])
            team = _gather(ProcessGrid.of(processes, **grid), rank, device, timeout, store)
            watch.steps = lambda: team.progress
            yield team
            dist.destroy_process_group()
    finally:
        watch.close()


@contextmanager
def _reported_if_long(rendezvous: Rendezvous, missing: set[int], seconds: float) -> Iterator[None]:
    """Name those who are still missing after PATIENCE."""
    limit = f"at most {seconds:g} s (--timeout)"
    timer = threading.Timer(PATIENCE, lambda: say(f"{rendezvous}: waiting for {in_ranks(missing)}, {limit}"))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _gather(grid: ProcessGrid, rank: int, choice: DeviceChoice, timeout: float, store: PrefixStore) -> Team:
    local = int(os.environ.get("LOCAL_WORLD_SIZE") or 1)
    device, wait = _own_device(choice, local), timedelta(seconds=timeout)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=wait, store=store, rank=rank, world_size=grid.processes)
    control = dist.new_group(backend="gloo", timeout=wait) if device.type == "cuda" else dist.group.WORLD
    groups = Groups(control, *_groups(grid, rank, wait))
    return Team(grid, rank, local, groups, Meter(), socket.gethostname())


def _own_device(choice: DeviceChoice, local: int) -> torch.device:
    device = find_device(choice)
    if device.type == "mps":
        raise UsageError("--device mps: several processes train on cpu or cuda. Add --device cpu.")
    if device.type == "cuda":
        if local > (count := torch.cuda.device_count()):
            raise UsageError(
                f"{local} processes on {socket.gethostname()}, which has {count} GPUs. Start as many: "
                f"torchrun --nproc-per-node {count}; or add --device cpu."
            )
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK") or 0))
    return device


def _groups(grid: ProcessGrid, rank: int, timeout: timedelta) -> tuple[Any, Any]:
    """(members of this one's network, those that hold the same weights). Everybody makes every group, as torch asks."""
    if grid.hybrid:
        return dist.group.WORLD, dist.group.WORLD
    columns, shares = grid.columns, grid.shares
    networks = [list(range(share * columns, (share + 1) * columns)) for share in range(shares)]
    twins = [list(range(column, grid.processes, columns)) for column in range(columns)]
    made = {tuple(ranks): dist.new_group(ranks, timeout=timeout) for ranks in networks + twins if len(ranks) > 1}
    return made.get(tuple(networks[grid.share_of(rank)])), made.get(tuple(twins[grid.column_of(rank)]))


# ── agreement of all ranks ────────────────────────────────────────────────────────────────────────────────────────────


def agree(team: Team, store: Store, device: DeviceChoice, options: Mapping[str, Any]) -> bool:
    """Check that all processes have the same pictures, options and program; return whether any was restarted.

    Raises UserError, the same on all, naming the first that differs from rank 0.
    """
    if team.alone:
        return False
    facts = {
        "host": team.host,
        "restarts": int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")),  # of these workers, by torchrun
        "the program": f"{alexnet.__version__}, {program_digest()[:12]}",
        "torch": str(torch.__version__),
        "the options": {name: str(value) for name, value in options.items()},
        "the store": f"{store.fingerprint[:12]} ({len(store.splits.get('train', ()))} training pictures)",
        "the kernels": kernels.available(find_device(device)).split()[0],
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
        what, found, wanted = option_name(name), found[name], wanted[name]
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
