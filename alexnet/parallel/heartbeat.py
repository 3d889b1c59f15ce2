"""When one of many processes fails, hangs or dies: one message, naming it and its host.

Every process keeps a connection to the rendezvous' store. When a roll call is set there, a thread of each process
answers with the number of its steps, even while the process computes. A process that does not answer is gone; one with
fewer steps than the others is stuck. Only the first process with an error reports it; the others end silently.
"""

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from alexnet.errors import UserError
from alexnet.text import first_few

ANSWER_SECONDS = 4.0
"""How long a roll call waits for answers. torchrun ends the others half a minute after it saw one dying."""
LISTEN_SECONDS = 0.5
START_ALL = "Start all processes within the --timeout, with the same WORLD_SIZE, MASTER_ADDR and MASTER_PORT"
LOST_WORDS = ("gloo", "connection closed", "connection reset", "broken pipe", "timed out", "timeout", "nccl", "socket")


class Lost(UserError):
    """Another process of the run is gone or does not answer."""


@dataclass
class Watch:
    """One process's heartbeat. `steps`: how many it has taken; `store`: its own connection to the rendezvous."""

    store: Any
    rank: int
    processes: int
    host: str
    steps: Callable[[], int] = lambda: 0
    _closed: threading.Event = field(default_factory=threading.Event)
    _listener: threading.Thread | None = None

    def begin(self) -> None:
        """Register this process's host and listen for a roll call."""
        self.store.set(f"host/{self.rank}", self.host)
        self._listener = threading.Thread(target=self._listen, name="watch", daemon=True)
        self._listener.start()

    def close(self) -> None:
        """End the thread and wait for it: inside torch's store at the end of Python it would abort the process."""
        self._closed.set()
        if self._listener is not None:
            self._listener.join()

    def _listen(self) -> None:
        try:
            while not self._closed.wait(LISTEN_SECONDS):
                if self.store.check(["roll call"]):
                    return self.answer()
        except RuntimeError:
            return None  # the rendezvous itself is gone: nobody calls

    def answer(self) -> None:
        """Answer a roll call with the number of steps taken."""
        self.store.set(f"here/{self.rank}", str(self.steps()))

    def ends(self, code: int) -> None:
        """SystemExit unless this process is the first with an error. That one ignores SIGTERM from here on,
        which torchrun sends to the others when it sees one of them end."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if not self.speaks():
            raise SystemExit(code)

    def fails(self, code: int) -> None:
        """The same for an error of this process itself, which needs no roll call; whoever waits for one may end."""
        self.ends(code)
        self._roll_is_called()

    def speaks(self) -> bool:
        """Whether this process is the first to report an error. If the rendezvous is gone, one on each host reports."""
        try:
            return self.store.add("spoken", 1) == 1
        except RuntimeError:
            return os.environ.get("LOCAL_RANK", "0") == "0"

    def loss(self, fault: RuntimeError) -> Lost:
        """The error for a lost process. SystemExit if another process reports it, once it has called the roll."""
        with suppress(RuntimeError):
            self.answer()
        try:
            self.ends(Lost.exit_code)
        except SystemExit:
            with suppress(RuntimeError):
                self.store.wait(["roll called"], timedelta(seconds=ANSWER_SECONDS + 1))
            raise
        missing = self.missing()
        self._roll_is_called()
        return Lost(f"lost: {missing}. The last saved state is kept. (rank {self.rank}: {_gist(fault)})")

    def _roll_is_called(self) -> None:
        """Let the processes that wait for the roll call end."""
        with suppress(RuntimeError):
            self.store.set("roll called", "1")

    def missing(self) -> str:
        """Call the roll; describe who is gone or stuck."""
        try:
            steps = self._call()
        except RuntimeError:
            return "the rendezvous is gone, and with it the host it ran on"
        if gone := [rank for rank in range(self.processes) if rank not in steps]:
            return f"{self._named(gone)}: gone, or hanging"
        stuck = [rank for rank, count in steps.items() if count < max(steps.values())]
        if stuck:
            return f"{self._named(stuck)}: stuck at step {steps[stuck[0]]}, the others are at {max(steps.values())}"
        return "all processes respond, but a connection between them broke"

    def _call(self) -> dict[int, int]:
        """By rank, the steps of the processes that answer."""
        self.store.set("roll call", "1")
        end = time.monotonic() + ANSWER_SECONDS
        steps: dict[int, int] = {}
        while len(steps) < self.processes and time.monotonic() < end:
            for rank in range(self.processes):
                if rank not in steps and self.store.check([f"here/{rank}"]):
                    steps[rank] = int(self.store.get(f"here/{rank}"))
            time.sleep(0.05)
        return steps

    def _named(self, ranks: list[int]) -> str:
        return first_few([f"rank {rank} on {self._host_of(rank)}" for rank in ranks], 4)

    def _host_of(self, rank: int) -> str:
        known = self.store.check([f"host/{rank}"])
        return self.store.get(f"host/{rank}").decode() if known else "a host that never connected"


@contextmanager
def one_message(watch: Watch) -> Iterator[None]:
    """Inside, one process reports its error. The others end with SystemExit: silently, with exit code 1."""
    try:
        yield
    except UserError as fault:
        watch.fails(fault.exit_code)
        if fault.exit_code == UserError.exit_code:
            raise UserError(f"rank {watch.rank} of {watch.processes} on {watch.host}: {fault}") from fault
        raise
    except Exception as fault:
        if isinstance(fault, RuntimeError) and is_loss(fault):
            raise watch.loss(fault) from None
        watch.fails(UserError.exit_code)  # its traceback is printed, no other process's
        raise


def common_name(store: Any, rank: int, missing: set[int], seconds: float) -> str:
    """A name that only the processes of this start know, to put before all keys: torchrun may keep one store over
    restarts, with the keys of processes that have ended. Each greets with a fresh word; rank 0 answers with the name.

    `missing` holds the ranks that this one waits for: rank 0 for all others, the others for rank 0. Ranks that have
    joined are removed from it. Raises Lost for ranks that have not joined after `seconds`."""
    word = uuid.uuid4().hex
    store.set(f"hello/{rank}", word)
    if rank == 0:
        _welcome(store, word, missing, seconds)
        return word
    try:
        store.wait([f"welcome/{word}"], timedelta(seconds=seconds))
    except RuntimeError:
        raise Lost(f"rank 0 did not come within {seconds:g} s. {START_ALL}") from None
    name = store.get(f"welcome/{word}").decode()
    store.set(f"joined/{name}/{rank}", "1")
    return name


def _welcome(store: Any, name: str, missing: set[int], seconds: float) -> None:
    """Give everybody the name. A greeting may be of an ended process, so answer until the new one has joined."""
    end = time.monotonic() + seconds
    while missing:
        for rank in sorted(missing):
            if store.check([f"hello/{rank}"]):
                store.set(f"welcome/{store.get(f'hello/{rank}').decode()}", name)
            if store.check([f"joined/{name}/{rank}"]):
                missing.discard(rank)
        if time.monotonic() > end:
            raise Lost(f"{in_ranks(missing)} did not come within {seconds:g} s. {START_ALL}")
        time.sleep(0.01)


def in_ranks(ranks: Collection[int]) -> str:
    """Ranks in words: rank 3; ranks 1, 2, 3, 4 and 11 more."""
    return f"rank{'s'[: len(ranks) - 1]} {first_few([str(rank) for rank in sorted(ranks)], 4)}"


def _gist(fault: RuntimeError) -> str:
    """The first sentence of torch's message, without its source locations."""
    return str(fault).strip().split("\n")[0].split("] ", 1)[-1].split(". ")[0]


def is_loss(fault: RuntimeError) -> bool:
    """Whether the fault says that others could not be reached, rather than that something here is wrong."""
    return isinstance(fault, dist.DistError) or any(word in str(fault).lower() for word in LOST_WORDS)
