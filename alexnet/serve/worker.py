"""The one thread that uses networks. Other threads submit tasks to it, see their place in the queue, and may cancel.

The queue is sorted by urgency: first answers, then maps, then what takes several steps, then passes over a store. After
every step the most urgent task is next, no matter who asked for it, so that no first answer waits for another person's
occlusion map. A request for what is already queued or running joins that task. A task without listeners is dropped, or
stopped at its next step.
"""

import itertools
import threading
import time
import traceback
from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal

from alexnet.errors import UserError
from alexnet.isolation import isolated
from alexnet.terminal import say
from alexnet.text import counted


class Urgency(IntEnum):
    """What comes before what; the smaller the sooner."""

    ANSWER = 0  # a picture's first answer, and what a page needs to be read
    MAPS = 1  # drawings: maps, patches, projections
    COARSE = 2  # ten views, and the coarse positions of an occlusion map
    FINE = 3  # the rest of them
    PASS = 4  # over a whole store


Steps = Generator[Urgency, None, Any]
"""Work in steps: after each it yields how urgent the next one is, and returns the result."""
Kind = Literal["place", "progress", "part", "done", "failed"]
Listener = Callable[[Kind, Any], None]
"""Receives the events of a task: "place" {"before"}; "progress" {"done", "total", "seconds_left"}; "part", a first
result; then "done" with the result or "failed" with a UserError. Called by any thread; must not block."""

MOST_WAITING = 64
INTERNAL_ERROR = "an internal error occurred; see the terminal in which the explorer was started for details"


class Busy(UserError):
    """Too many tasks are queued: so many as `before`, none of them less urgent."""

    def __init__(self, before: int) -> None:
        super().__init__(f"{counted(before, 'request')} wait for the network already. Try again in a moment.")
        self.before = before


class InternalError(UserError):
    """A bug of ours; its traceback went to the terminal."""


class Cancelled(UserError):
    """No listener is left."""


@dataclass(eq=False)
class Task:
    """What a request has the worker do. Given to `work` itself, to report progress; it can be cancelled at each report.

    `key`: equal tasks have the same; `work` returns the result, or `Steps`; `listeners` wait for it; `parts` are first
    results that it has sent."""

    worker: "Worker"
    key: Hashable
    work: Callable[["Task"], Any]
    urgency: Urgency
    arrived: int
    listeners: list[Listener] = field(default_factory=list)
    parts: list[Any] = field(default_factory=list)
    began: float = 0.0
    steps: Steps | None = None

    def notify(self, kind: Kind, value: Any) -> None:
        for listener in tuple(self.listeners):  # a listener may leave while it is called
            listener(kind, value)

    def progress(self, done: int, total: int, step: str = "") -> None:
        """Of the whole, or of one of several steps that take unlike times."""
        self.pause()
        left = (time.monotonic() - self.began) * (total - done) / done if done and not step else None
        self.notify("progress", {"done": done, "total": total, "seconds_left": left} | ({"step": step} if step else {}))

    def part(self, value: Any) -> None:
        """A first result, before the whole."""
        self.parts.append(value)
        self.notify("part", value)
        self.check()

    def check(self) -> None:
        """Raises Cancelled if no listener is left."""
        if not self.listeners:
            raise Cancelled("the request was cancelled")

    def pause(self) -> None:
        """Between two steps inside a function that can't yield: what is more urgent is run here and now."""
        self.check()
        self.worker.run_more_urgent(self.urgency)


class Worker:
    """Starts its thread at the first request."""

    def __init__(self, most_waiting: int = MOST_WAITING) -> None:
        self._most_waiting = most_waiting
        self._queue: list[Task] = []  # the most urgent first; among equals the one that came first
        self._tasks: dict[Hashable, Task] = {}  # queued or running, that a request may join
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._arrived = itertools.count()

    @property
    def waiting(self) -> int:
        """How many tasks have not started."""
        with self._changed:
            return sum(not task.began for task in self._queue)

    def submit(
        self,
        key: Hashable,
        work: Callable[[Task], Any],
        listener: Listener,
        *,
        urgency: Urgency = Urgency.MAPS,
    ) -> Callable[[], None]:
        """Have `work` done, or join the task with the same `key`. Returns a function that cancels the request. Raises
        Busy if too many tasks are queued, unless a less urgent one can make room: it then fails with Busy."""
        with self._changed:
            task = self._tasks.get(key) or self._enqueue(Task(self, key, work, urgency, next(self._arrived)))
            task.listeners.append(listener)
            for part in tuple(task.parts):  # a listener that joins late gets the first results too
                listener("part", part)
            self._notify_places()
            self._changed.notify_all()
        return lambda: self._leave(task, listener)

    def _enqueue(self, task: Task) -> Task:
        if self.waiting >= self._most_waiting:
            self._make_room(task, Busy(self.waiting))
        self._insert(task)
        self._tasks[task.key] = task
        if self._thread is None:
            self._thread = threading.Thread(target=self._run_forever, name="network", daemon=True)
            self._thread.start()
        return task

    def _make_room(self, task: Task, fault: Busy) -> None:
        """For a task: the last of those that wait goes. Raises the fault if that is no less urgent."""
        last = next(one for one in reversed(self._queue) if not one.began)
        if last.urgency <= task.urgency:
            raise fault
        self._queue.remove(last)
        self._forget(last)
        last.notify("failed", fault)

    def _insert(self, task: Task) -> None:
        self._queue.append(task)
        self._queue.sort(key=lambda task: (task.urgency, task.arrived))

    def _leave(self, task: Task, listener: Listener) -> None:
        with self._changed:
            if listener in task.listeners:
                task.listeners.remove(listener)
            if task.listeners:
                return
            # A running task stops at its next step. New requests must not join it, so they find no task of its key.
            self._forget(task)
            if task in self._queue:
                self._queue.remove(task)
                self._notify_places()

    def _forget(self, task: Task) -> None:
        if self._tasks.get(task.key) is task:  # a later task may have taken the key
            del self._tasks[task.key]

    def _notify_places(self) -> None:
        for before, task in enumerate(self._queue):
            if not task.began:
                task.notify("place", {"before": before})

    def run_more_urgent(self, than: Urgency) -> None:
        """Called between two steps of a task that can't yield: nested in it, on the same thread."""
        while task := self._next(than):
            self._step(task)

    def _run_forever(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue)
            if task := self._next():
                self._step(task)

    def _next(self, than: Urgency | None = None) -> Task | None:
        """Take the first task off the queue, if there is one; if it is more urgent `than` that."""
        with self._changed:
            if not self._queue or (than is not None and self._queue[0].urgency >= than):
                return None
            task = self._queue.pop(0)
            self._notify_places()
            return task

    @isolated()
    def _step(self, task: Task) -> None:
        """All of a task; or its next step, after which it waits in the queue again."""
        task.began = task.began or time.monotonic()
        outcome: tuple[Kind, Any] | None
        try:
            outcome = self._advance(task)
        except UserError as fault:
            outcome = "failed", fault
        except Exception:
            say(traceback.format_exc())
            outcome = "failed", InternalError(INTERNAL_ERROR)
        with self._changed:
            if outcome is None and task.listeners:
                self._insert(task)
                return
            self._forget(task)
            if outcome:
                task.notify(*outcome)

    def _advance(self, task: Task) -> tuple[Kind, Any] | None:
        """None: there are more steps."""
        if task.steps is None:
            found = task.work(task)
            if not isinstance(found, Generator):
                return "done", found
            task.steps = found
        try:
            task.urgency = next(task.steps)
        except StopIteration as ended:
            return "done", ended.value
