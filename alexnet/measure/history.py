"""What a run's log says of its past: the epochs' figures, the notes, and when it began and ended."""

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alexnet.errors import UserError
from alexnet.files import faults_named

NOW = ("epoch", "batch", "batches", "loss", "top1_error", "speed", "seconds_left")


@dataclass(frozen=True)
class History:
    """`epochs`: the "epoch" events in order (see `alexnet.train.record`); `notes`; `began` and `last`: seconds since
    1970 of the first and last event, None without any."""

    epochs: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    began: float | None = None
    last: float | None = None

    def curve(self, name: str) -> tuple[list[float], list[float]]:
        """Epochs and values of one figure, where it was recorded."""
        recorded = [(event["epoch"], event[name]) for event in self.epochs if event.get(name) is not None]
        return [epoch for epoch, _ in recorded], [value for _, value in recorded]


def read_history(log: Path) -> History:
    """The history in a run's `log.jsonl`; empty if there is no log yet.

    A last line without an end is one that is being written. Raises UserError, naming the line, for any other that
    can't be read.
    """
    if not log.exists():
        return History()
    with faults_named(log):
        *lines, _unfinished = log.read_bytes().split(b"\n")
    events = [_event(line, log, number) for number, line in enumerate(lines, 1)]
    if not events:
        return History()
    return History(
        epochs=tuple(event for event in events if event["event"] == "epoch"),
        notes=tuple(str(event.get("text", "")) for event in events if event["event"] == "note"),
        began=events[0]["time"],
        last=events[-1]["time"],
    )


def read_now(file: Path) -> dict[str, float] | None:
    """Where a run stands inside its epoch (`now.json`, see `alexnet.train.record`); None if it does not say."""
    try:
        told = json.loads(file.read_bytes())
        figures = {name: float(told[name]) for name in NOW}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return figures if all(map(math.isfinite, figures.values())) else None


def _event(line: bytes, log: Path, number: int) -> dict[str, Any]:
    try:
        event = json.loads(line)
        needed = (event["event"], event["time"], event["epoch"] if event["event"] == "epoch" else 0)
        assert all(isinstance(value, str | int | float) for value in needed)
    except (ValueError, KeyError, TypeError, AssertionError) as fault:
        raise UserError(
            f"{log}: line {number} can't be read ({fault!r}). Restore the log, or delete that line."
        ) from None
    return event


def day(seconds: float) -> str:
    """A moment as date and time, UTC: 2012-09-30 14:05 UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
