"""A run's history, read from its log: the epochs' figures, the notes, and when it began and ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

from alexnet.errors import UserError
from alexnet.files.atomic import read_bounded
from alexnet.files.schema import AnyFloat, Count, Range, check, describe, number, parsed
from alexnet.runs.formats import current_names

LARGEST_LOG, LARGEST_NOW = 1 << 30, 1 << 16
LAST_MOMENT = 253_402_300_000
"""Seconds since 1970: the year 9999, the last that can be written as a date."""


class Event(TypedDict):
    """A line of the log."""

    event: str
    time: Annotated[float, Range(0, LAST_MOMENT)]
    text: NotRequired[str | None]


class Epoch(Event):
    """A line that ends an epoch."""

    epoch: Annotated[int, Range(0, 1 << 31)]
    step: NotRequired[Count | None]
    learning_rate: AnyFloat
    train_loss: AnyFloat
    train_top1_error: AnyFloat
    val_nll: AnyFloat
    val_top1_error: AnyFloat
    val_top5_error: AnyFloat
    pictures_per_second: AnyFloat


NOW = ("epoch", "batch", "batches", "loss", "top1_error", "speed", "seconds_left")


@dataclass(frozen=True)
class History:
    """`epochs`: the "epoch" events in order (see `alexnet.runs.log`); `notes`; `began` and `last`: seconds since
    1970 of the first and last event, None without any."""

    epochs: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    began: float | None = None
    last: float | None = None

    def curve(self, name: str) -> tuple[list[float], list[float]]:
        """Epochs and values of one figure, where it was recorded."""
        recorded = [(event["epoch"], event[name]) for event in self.epochs if event.get(name) is not None]
        return [epoch for epoch, _ in recorded], [value for _, value in recorded]


def validation_of(config: Mapping[str, Any], history: History) -> tuple[dict[str, float], str] | None:
    """ "nll", "top1_error" and "top5_error" of a run's weights on its validation split, centre view, and when they were
    measured, in words: of the best epoch where its weights were kept, else of the last. None before the first."""
    if "head" in config:  # a linear classifier; those of earlier versions don't say
        return (config["head"]["val"], "linear classifier") if "val" in config["head"] else None
    kept = config.get("best", {}).get("epoch", history.epochs[-1]["epoch"] if history.epochs else 0)
    found = next((event for event in history.epochs if event["epoch"] == kept), None)
    if found is None:
        return None
    best = ", the best" if "best" in config else ""
    return {name: found[f"val_{name}"] for name in ("nll", "top1_error", "top5_error")}, f"epoch {kept}{best}"


def read_history(log: Path) -> History:
    """The history in a run's `log.jsonl`; empty if there is no log yet.

    A last line without a line break is still being written. Raises UserError, naming the line, for any other that
    can't be read.
    """
    if not log.exists():
        return History()
    *lines, _unfinished = read_bounded(log, LARGEST_LOG).split(b"\n")
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
    """Where a run stands inside its epoch (`now.json`, see `alexnet.runs.log`); None if that is not recorded."""
    try:
        content = parsed(read_bounded(file, LARGEST_NOW))
        figures = {name: content[name] for name in NOW}
    except (UserError, ValueError, KeyError, TypeError):
        return None
    return {name: float(value) for name, value in figures.items()} if all(map(number, figures.values())) else None


def _event(line: bytes, log: Path, number: int) -> dict[str, Any]:
    where, remedy = f"{log}: line {number}", "Restore the log, or delete that line."
    try:
        event = check(current_names(parsed(line, strange_numbers=True)), Event, where, remedy)
        return check(event, Epoch, where, remedy) if event["event"] == "epoch" else event
    except ValueError as fault:
        raise UserError(f"{where} can't be read ({describe(fault)}). {remedy}") from None


def day(seconds: float) -> str:
    """A moment as date and time, UTC: 2012-09-30 14:05 UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
