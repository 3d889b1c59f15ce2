"""What a person at a terminal sees: progress (a bar, or plain lines where output goes to a file), times, sizes."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

from alexnet.text import duration, printable, rate

if TYPE_CHECKING:
    from rich.console import Console

LINE_EVERY = 10.0  # seconds, where there is no terminal


class Progress(Protocol):
    """Reports progress: of what ("train"), done so far, of how many, and a remark."""

    def __call__(self, what: str, done: int, total: int, remark: str = "") -> None: ...


@contextmanager
def progress(unit: str) -> Iterator[Progress]:
    """Inside, show on stderr how many `unit` ("pictures") are done, how many a second, and the time left."""
    with _bars(unit) if is_live() else _lines(unit, sys.stderr) as report:
        yield report


def is_live() -> bool:
    """Whether stderr is a terminal on which a bar can move."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def console() -> "Console":
    """rich's console on stderr. Text is shown as it is: names of files and classes may hold [brackets] and :colons:."""
    from rich.console import Console

    return Console(stderr=True, markup=False, emoji=False, highlight=False)


@contextmanager
def _bars(unit: str) -> Iterator[Progress]:
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        "{task.fields[speed]}",
        TimeRemainingColumn(),
        "left",
        TextColumn("{task.fields[remark]}", markup=False),
        console=console(),
    )
    tasks: dict[str, TaskID] = {}

    def report(what: str, done: int, total: int, remark: str = "") -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total, completed=done, speed="", remark="")
        speed = bars.tasks[tasks[what]].speed
        pace = f"{rate(speed)} {unit}/s" if speed else ""
        bars.update(tasks[what], completed=done, total=total, speed=pace, remark=remark)

    with bars:
        yield report


@contextmanager
def _lines(unit: str, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> Iterator[Progress]:
    begun: dict[str, tuple[float, int]] = {}  # when, and what an interrupted run before this one had done
    printed = clock()

    def report(what: str, done: int, total: int, remark: str = "") -> None:
        nonlocal printed
        now = clock()
        start, done_before = begun.setdefault(what, (now, done))
        if now - printed < LINE_EVERY and done < total:
            return
        printed = now
        speed = (done - done_before) / (now - start) if now > start else 0.0
        left = f", {duration((total - done) / speed)} left" if speed and done < total else ""
        pace = f", {rate(speed)} {unit}/s{left}" if speed else ""
        print(f"{what}: {done:,} of {total:,} {unit}{pace}{remark and ', ' + remark}", file=stream, flush=True)

    yield report


def say(line: str) -> None:
    """Print a line for the user on stderr; results go to stdout."""
    print(printable(line, keep="\n\t"), file=sys.stderr, flush=True)
