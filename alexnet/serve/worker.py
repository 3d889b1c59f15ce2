"""The one thread that uses networks. Everybody else asks it, waits in a visible place, and may go away.

Quick work (a picture, a unit) and long work (a pass over a store) wait in two queues. At every step of long work the
quick work that has come in is done first, so that nobody waits minutes for a click. Who asks for what somebody is
waiting for already joins him. Work that nobody waits for any more is dropped, or stopped at its next step.
"""

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Literal

from alexnet.errors import UserError
from alexnet.isolation import isolated
from alexnet.terminal import say
from alexnet.text import counted

Kind = Literal["place", "progress", "part", "done", "failed"]
Listener = Callable[[Kind, Any], None]
"""Hears what becomes of work: "place" {"before"}; "progress" {"done", "total", "seconds_left"}; "part", a first result;
then "done" with the result or "failed" with a UserError. Called by any thread; must not wait."""

MOST_WAITING = 64
WORDS_OF_FAULT = "something went wrong in here; the terminal that the explorer was started from has the details"


class Busy(UserError):
    """Too many are waiting already."""


class Broken(UserError):
    """A fault of ours."""


class Stopped(UserError):
    """Nobody waits for this work any more."""


@dataclass(eq=False)
class Job:
    """Work that was asked for: `key` tells equal work, `listeners` wait for it, `parts` came out already."""

    key: Hashable
    work: Callable[["Desk"], Any]
    long: bool
    listeners: list[Listener] = field(default_factory=list)
    parts: list[Any] = field(default_factory=list)

    def tell(self, kind: Kind, value: Any) -> None:
        for listener in tuple(self.listeners):
            listener(kind, value)


class Desk:
    """What work is given: where it says how far it is. Every call is a place at which it can be stopped."""

    def __init__(self, worker: "Worker", job: Job) -> None:
        self._worker, self._job, self._begun = worker, job, time.monotonic()

    def progress(self, done: int, total: int) -> None:
        """So many of so many are done."""
        self._go_on()
        spent = time.monotonic() - self._begun
        left = spent * (total - done) / done if done else None
        self._job.tell("progress", {"done": done, "total": total, "seconds_left": left})

    def part(self, value: Any) -> None:
        """A first result, before the whole."""
        self._job.parts.append(value)
        self._job.tell("part", value)
        self._go_on()

    def _go_on(self) -> None:
        if not self._job.listeners:
            raise Stopped("nobody waits for it any more")
        if self._job.long:
            self._worker.do_waiting_quick_work()


class Worker:
    """Starts its thread when first asked."""

    def __init__(self, most_waiting: int = MOST_WAITING) -> None:
        self._most_waiting = most_waiting
        self._quick: deque[Job] = deque()
        self._long: deque[Job] = deque()
        self._jobs: dict[Hashable, Job] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """How many pieces of work have not begun."""
        with self._changed:
            return len(self._quick) + len(self._long)

    def ask(
        self, key: Hashable, work: Callable[[Desk], Any], listener: Listener, *, long: bool = False
    ) -> Callable[[], None]:
        """Have `work` done, or join those who wait for work of the same `key`. Gives what ends the waiting. Raises
        Busy if too many wait."""
        with self._changed:
            job = self._jobs.get(key) or self._enqueue(Job(key, work, long))
            job.listeners.append(listener)
            for part in tuple(job.parts):
                listener("part", part)
            self._tell_places()
            self._changed.notify_all()
        return lambda: self._leave(job, listener)

    def _enqueue(self, job: Job) -> Job:
        waiting = len(self._quick) + len(self._long)
        if waiting >= self._most_waiting:
            raise Busy(f"{counted(waiting, 'request')} wait for the network already. Try again in a moment.")
        (self._long if job.long else self._quick).append(job)
        self._jobs[job.key] = job
        if self._thread is None:
            self._thread = threading.Thread(target=self._work_for_ever, name="network", daemon=True)
            self._thread.start()
        return job

    def _leave(self, job: Job, listener: Listener) -> None:
        with self._changed:
            if listener in job.listeners:
                job.listeners.remove(listener)
            queue = self._long if job.long else self._quick
            if not job.listeners:
                if self._jobs.get(job.key) is job:
                    del self._jobs[job.key]  # whoever asks now must not join what is being stopped
                if job in queue:
                    queue.remove(job)
                    self._tell_places()

    def _tell_places(self) -> None:
        for before, job in enumerate((*self._quick, *self._long)):
            job.tell("place", {"before": before})

    def do_waiting_quick_work(self) -> None:
        """For long work, between two of its steps."""
        while job := self._next(long_too=False):
            self._do(job)

    def _work_for_ever(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._quick or self._long)
            if job := self._next(long_too=True):
                self._do(job)

    def _next(self, *, long_too: bool) -> Job | None:
        with self._changed:
            queue = self._quick or (self._long if long_too else self._quick)
            job = queue.popleft() if queue else None
            self._tell_places()
            return job

    @isolated()
    def _do(self, job: Job) -> None:
        try:
            outcome: tuple[Kind, Any] = "done", job.work(Desk(self, job))
        except UserError as fault:
            outcome = "failed", fault
        except Exception:
            say(traceback.format_exc())
            outcome = "failed", Broken(WORDS_OF_FAULT)
        with self._changed:
            if self._jobs.get(job.key) is job:
                del self._jobs[job.key]
            job.tell(*outcome)
