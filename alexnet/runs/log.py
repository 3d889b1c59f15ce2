"""What a run reports while it trains: JSON lines, TensorBoard events, and a progress bar on a terminal.

`log.jsonl` holds one object a line, each with "event" and "time" (seconds since 1970): note, epoch, end. `now.json`
exists while the run trains: epoch, batch, batches, loss, top1_error, speed (pictures a second), seconds_left.
"""

import json
import os
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from alexnet.errors import UserError
from alexnet.files.atomic import faults_named, write_atomically
from alexnet.files.schema import json_bytes
from alexnet.terminal import console, is_live
from alexnet.text import duration

PLAIN_SECONDS = 20.0
"""Seconds between progress lines where there is no terminal."""
NOW_SECONDS = 2.0
"""Seconds between two versions of `now.json`."""


class Listener:
    """Called with what happens in a run: each update, events such as the end of an epoch, and the end."""

    def step(self, epoch: int, batch: int, batches: int, figures: dict[str, float]) -> None: ...
    def event(self, kind: str, **facts: Any) -> None: ...
    def close(self) -> None: ...


class Log(Listener):
    """`log.jsonl`: every event, one a line."""

    def __init__(self, path: Path, keep_bytes: int | None = None) -> None:
        """Appends to an existing log after its first `keep_bytes` (None: at its end)."""
        with faults_named(path):
            self.file = open(path, "ab")  # noqa: SIM115 - closed by close()
            if keep_bytes is not None and keep_bytes < self.file.tell():
                self.file.truncate(keep_bytes)
        self.path = path

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self.path.stat().st_size

    def event(self, kind: str, **facts: Any) -> None:
        line = json.dumps({"event": kind, "time": round(time.time(), 3), **facts})
        with faults_named(self.path):
            self.file.write(line.encode() + b"\n")
            self.file.flush()

    def close(self) -> None:
        with faults_named(self.path):
            self.file.close()


class Unwritten:
    """The log of a process that writes none."""

    size = 0


TAGS = {
    "train_loss": "loss/train",
    "val_nll": "loss/validation",
    "train_top1_error": "top1_error/train",
    "val_top1_error": "top1_error/validation",
    "val_top5_error": "top5_error/validation",
    "learning_rate": "learning_rate/weights",
    "pictures_per_second": "speed/pictures_per_second",
    "step": "speed/updates",
}
"""TensorBoard's tags of an epoch's figures; what stands before the slash is a section of its page."""


class Curves(Listener):
    """TensorBoard's event file: each epoch's figures under `TAGS`; with a `recipe` also charts that show training and
    validation together ("Custom Scalars") and its values ("HParams"). Written here and now, not by a thread as
    SummaryWriter does: a full disk is then reported like any other."""

    def __init__(self, folder: Path, recipe: Mapping[str, Any] | None = None) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.path = folder / f"events.out.tfevents.{int(time.time()):010}.{socket.gethostname()}.{os.getpid()}.0"
        with faults_named(self.path):
            folder.mkdir(exist_ok=True)
            self.writer = RecordWriter(open(self.path, "ab"))  # noqa: SIM115 - closed by close()
        self._write(file_version="brain.Event:2")
        if recipe is not None:
            self._write(summary=_charts())
            self._write(summary=_hyperparameters(recipe))

    def _write(self, **content: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue] - made at import

        with faults_named(self.path):
            self.writer.write(Event(wall_time=time.time(), **content).SerializeToString())
            self.writer.flush()

    def event(self, kind: str, **facts: Any) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

        if kind == "epoch":
            values = [
                Summary.Value(tag=TAGS.get(name, name), simple_value=value)
                for name, value in facts.items()
                if name != "epoch" and isinstance(value, int | float)
            ]
            self._write(step=facts["epoch"], summary=Summary(value=values))

    def close(self) -> None:
        with faults_named(self.path):
            self.writer.close()


def _charts() -> Any:
    """For the custom scalars: a chart for each section of `TAGS`."""
    # Imported by name, as these modules are made when TensorBoard is built: type checkers don't know them.
    made = import_module("tensorboard.plugins.custom_scalar.layout_pb2")
    proto = import_module("tensorboard.compat.proto.summary_pb2")
    plugin = import_module("tensorboard.plugins.custom_scalar.metadata")
    sections = dict.fromkeys(tag.partition("/")[0] for tag in TAGS.values())
    charts = [made.Chart(title=name, multiline=made.MultilineChartContent(tag=[f"^{name}/"])) for name in sections]
    layout = made.Layout(category=[made.Category(title="training", chart=charts)])
    tensor = import_module("tensorboard.util.tensor_util").make_tensor_proto(layout.SerializeToString(), shape=())
    about = plugin.create_summary_metadata()
    return proto.Summary(value=[proto.Summary.Value(tag=plugin.CONFIG_SUMMARY_TAG, tensor=tensor, metadata=about)])


def _hyperparameters(values: Mapping[str, Any]) -> Any:
    """For the hyperparameters: the numbers, words and switches among `values`."""
    known = {name: value for name, value in values.items() if isinstance(value, bool | int | float | str)}
    return import_module("tensorboard.plugins.hparams.summary_v2").hparams_pb(known)


class Now(Listener):
    """`now.json`: progress within the epoch, for those who watch the run. Removed when training ends."""

    def __init__(self, path: Path) -> None:
        self.path, self.last = path, 0.0

    def step(self, epoch: int, batch: int, batches: int, figures: dict[str, float]) -> None:
        if time.monotonic() - self.last > NOW_SECONDS:
            self.last = time.monotonic()
            with suppress(UserError):  # a convenience: a full disk is reported where essential files are written
                place = {"epoch": epoch, "batch": batch, "batches": batches, **figures}
                write_atomically(self.path, json_bytes(place), durable=False)

    def close(self) -> None:
        with suppress(OSError):  # in a folder that has become read-only it stays
            self.path.unlink(missing_ok=True)


class Screen(Listener):
    """A progress bar on a terminal; a line every 20 seconds elsewhere. Epoch lines and notes on both. To stderr."""

    def __init__(self, epochs: int) -> None:
        self.console = console()
        self.epochs = epochs
        self.live = is_live()
        self.last_line = time.monotonic()
        columns = (
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(bar_width=None),
            TextColumn(
                "loss {task.fields[loss]:.3f}  top-1 error {task.fields[top1_error]:.1%}  "
                "{task.fields[speed]:.0f} img/s"
            ),
            TimeRemainingColumn(),
        )
        self.progress = Progress(*columns, console=self.console, speed_estimate_period=300)
        self.task = None
        if self.live:
            self.progress.start()

    def step(self, epoch: int, batch: int, batches: int, figures: dict[str, float]) -> None:
        if self.live:
            fields = {"epoch": epoch, "epochs": self.epochs, **figures}
            if self.task is None:
                self.task = self.progress.add_task("", total=self.epochs * batches, **fields)
            self.progress.update(self.task, completed=(epoch - 1) * batches + batch, **fields)
        elif time.monotonic() - self.last_line > PLAIN_SECONDS:
            self.last_line = time.monotonic()
            self.console.print(
                f"epoch {epoch}/{self.epochs}  batch {batch}/{batches}  loss {figures['loss']:.3f}  "
                f"top-1 error {figures['top1_error']:.1%}  {figures['speed']:.0f} img/s  "
                f"{duration(figures['seconds_left'])} left",
                soft_wrap=True,
            )

    def event(self, kind: str, **facts: Any) -> None:
        if kind == "epoch":
            self.console.print(
                f"epoch {facts['epoch']}/{self.epochs}: loss {facts['train_loss']:.3f}, training top-1 error "
                f"{facts['train_top1_error']:.1%}; validation nll {facts['val_nll']:.3f}, top-1 error "
                f"{facts['val_top1_error']:.2%}, top-5 error {facts['val_top5_error']:.2%}; learning rate "
                f"{facts['learning_rate']:g}, {facts['pictures_per_second']:.0f} img/s",
                soft_wrap=True,
            )
        elif kind == "note":
            self.console.print(facts["text"], soft_wrap=True)

    def close(self) -> None:
        if self.live:
            self.progress.stop()


class Everyone(Listener):
    """Passes everything on to several listeners."""

    def __init__(self, *listeners: Listener) -> None:
        self.listeners = listeners

    def step(self, epoch: int, batch: int, batches: int, figures: dict[str, float]) -> None:
        for listener in self.listeners:
            listener.step(epoch, batch, batches, figures)

    def event(self, kind: str, **facts: Any) -> None:
        for listener in self.listeners:
            listener.event(kind, **facts)

    def close(self) -> None:
        with ExitStack() as all_of_them:  # closes the others even if one fails
            for listener in self.listeners:
                all_of_them.callback(listener.close)
