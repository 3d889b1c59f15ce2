"""The one thread that uses networks. Other threads submit tasks to it, see their place in the queue, and may cancel.

Quick tasks (a picture, a unit) wait in the queue before long ones (a pass over a store). At every step of a long task
the quick tasks that have arrived are run first, so that a click does not wait for minutes. A request for what is
already queued or running joins that task. A task without listeners is dropped, or stopped at its next step.
"""

import threading
import time
import traceback
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Literal

from alexnet.errors import UserError
from alexnet.isolation import isolated
from alexnet.terminal import say
from alexnet.text import counted

Kind = Literal["place", "progress", "part", "done", "failed"]
Listener = Callable[[Kind, Any], None]
"""Receives the events of a task: "place" {"before"}; "progress" {"done", "total", "seconds_left"}; "part", a first
result; then "done" with the result or "failed" with a UserError. Called by any thread; must not block."""

MOST_WAITING = 64
INTERNAL_ERROR = "an internal error occurred; see the terminal in which the explorer was started for details"


class Busy(UserError):
    """Too many tasks are queued."""


class InternalError(UserError):
    """A bug of ours; its traceback went to the terminal."""


class Cancelled(UserError):
    """No listener is left."""


@dataclass(eq=False)
class Task:
    """What a request has the worker do. Given to `work` itself, to report progress; it can be cancelled at each report.

    `key`: equal tasks have the same; `listeners` wait for it; `parts` are first results that it has sent."""

    worker: "Worker"
    key: Hashable
    work: Callable[["Task"], Any]
    long: bool
    listeners: list[Listener] = field(default_factory=list)
    parts: list[Any] = field(default_factory=list)
    began: float = 0.0

    def notify(self, kind: Kind, value: Any) -> None:
        for listener in tuple(self.listeners):  # a listener may leave while it is called
            listener(kind, value)

    def progress(self, done: int, total: int) -> None:
        self._pause()
        left = (time.monotonic() - self.began) * (total - done) / done if done else None
        self.notify("progress", {"done": done, "total": total, "seconds_left": left})

    def part(self, value: Any) -> None:
        """A first result, before the whole."""
        self.parts.append(value)
        self.notify("part", value)
        self._pause()

    def _pause(self) -> None:
        if not self.listeners:
            raise Cancelled("the request was cancelled")
        if self.long:
            self.worker.run_quick_tasks()


class Worker:
    """Starts its thread at the first request."""

    def __init__(self, most_waiting: int = MOST_WAITING) -> None:
        self._most_waiting = most_waiting
        self._queue: list[Task] = []  # quick tasks, then long ones
        self._tasks: dict[Hashable, Task] = {}  # queued or running, that a request may join
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """How many tasks have not started."""
        with self._changed:
            return len(self._queue)

    def submit(
        self, key: Hashable, work: Callable[[Task], Any], listener: Listener, *, long: bool = False
    ) -> Callable[[], None]:
        """Have `work` done, or join the task with the same `key`. Returns a function that cancels the request. Raises
        Busy if too many tasks are queued."""
        with self._changed:
            task = self._tasks.get(key) or self._enqueue(Task(self, key, work, long))
            task.listeners.append(listener)
            for part in tuple(task.parts):  # a listener that joins late gets the first results too
                listener("part", part)
            self._notify_places()
            self._changed.notify_all()
        return lambda: self._leave(task, listener)

    def _enqueue(self, task: Task) -> Task:
        if self.waiting >= self._most_waiting:
            raise Busy(f"{counted(self.waiting, 'request')} wait for the network already. Try again in a moment.")
        self._queue.append(task)
        self._queue.sort(key=lambda task: task.long)  # keeps the order among quick and among long ones
        self._tasks[task.key] = task
        if self._thread is None:
            self._thread = threading.Thread(target=self._run_forever, name="network", daemon=True)
            self._thread.start()
        return task

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
            task.notify("place", {"before": before})

    def run_quick_tasks(self) -> None:
        """Called by a long task between two of its steps: nested in it, on the same thread."""
        while task := self._next(quick=True):
            self._run(task)

    def _run_forever(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue)
            if task := self._next():
                self._run(task)

    def _next(self, *, quick: bool = False) -> Task | None:
        """Take the first task off the queue, if there is one; `quick`: only if it is no long one."""
        with self._changed:
            found = self._queue and not (quick and self._queue[0].long)
            task = self._queue.pop(0) if found else None
            self._notify_places()
            return task

    @isolated()
    def _run(self, task: Task) -> None:
        task.began = time.monotonic()
        try:
            outcome: tuple[Kind, Any] = "done", task.work(task)
        except UserError as fault:
            outcome = "failed", fault
        except Exception:
            say(traceback.format_exc())
            outcome = "failed", InternalError(INTERNAL_ERROR)
        with self._changed:
            self._forget(task)
            task.notify(*outcome)
