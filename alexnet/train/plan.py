"""Estimates of the speed on many devices, from the table of rows, before any device is rented.

The model is deliberately simple. A step is computing followed by sending:

- computing: a device's share of the batch at the measured speed of one device alone;
- sending: the bytes that the busiest device sends (or receives, if more) over its link, each way at full speed. No
  sending overlaps with computing and nothing waits: a real step takes between the larger of the two and their sum.

Layouts, for N devices and B pictures in the whole batch:

- data parallel: each device has the whole network and B/N pictures; the gradients of all P parameters are summed by a
  ring all-reduce: 2·(N − 1)/N·P numbers from each device.
- columns ([A] §3.2), C of them: each device has one column and all pictures of its group; a column that reads others
  receives their maps and sends back the gradients. The N/C groups are data parallel with each other.
- hybrid (One Weird Trick, arXiv:1404.5997): convolutions data parallel; of each fully connected layer a device has 1/N
  of the units, for all pictures: the inputs of the first and the outputs of each are gathered, (N − 1)/N·B·units
  numbers from each device, and as many come back as gradients.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from statistics import median

from alexnet.errors import UsageError, UserError
from alexnet.nets import zoo
from alexnet.nets.table import Dense, Norm, Table, Weighted, with_width
from alexnet.nets.trace import Layer, trace
from alexnet.parallel.traffic import crossings
from alexnet.runs.folder import RunFolder
from alexnet.runs.history import read_history
from alexnet.text import duration, in_bytes, table
from alexnet.train.recipes import BATCH

NUMBER_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}


@dataclass(frozen=True)
class Subject:
    """The training to estimate: a network, the side of its pictures (None: the table's), one device's pictures/s."""

    table: Table
    input_size: int | None
    speed: float

    @classmethod
    def of(cls, net: str | None, run: Path | None, width: float, speed: float | None) -> "Subject":
        """Of the zoo's network `net`, or of a run. Raises UsageError for both, or for a network without a speed."""
        if run is None:
            if speed is None:
                raise UsageError("give --speed, pictures a second on one device, or a run there with --run.")
            return cls(with_width(zoo.find(net or "alexnet"), width), None, speed)
        if net is not None or width != 1:
            raise UsageError("--run: the run says which network it is; leave its name and --width out.")
        folder = RunFolder.open(run)
        size = int(folder.value("network", "input_size"))
        return cls(folder.table, size, measured_speed(folder) if speed is None else speed)


def measured_speed(run: RunFolder) -> float:
    """Pictures per second of a run, the median over its epochs. Raises UserError before the first has ended."""
    epochs = read_history(run.path / "log.jsonl").epochs
    if not epochs:
        raise UserError(f"{run.path}: no epoch has ended yet, so there is no speed. Try again later, or give --speed.")
    return median(float(epoch["pictures_per_second"]) for epoch in epochs)


@dataclass(frozen=True)
class Cluster:
    """`devices` that each compute `speed` pictures per second alone, and send `link` bytes per second while receiving
    as many; a number is sent in `number_bytes`."""

    devices: int
    link: float
    speed: float
    number_bytes: int = 4


@dataclass(frozen=True)
class Forecast:
    """One layout: seconds of computing and of sending in a step, and the bytes that the busiest device sends (or
    receives); pictures in a batch and in an epoch; seconds of a step (from one update to the next), the share of it
    that is sending, and seconds of an epoch without validation; pictures per second on all devices together."""

    layout: str
    devices: int
    computing: float
    sending: float
    sent: int
    batch: int
    pictures: int
    step: float
    sending_share: float
    epoch: float
    speed: float


@dataclass(frozen=True)
class Impossible:
    """A layout that is not possible, and why."""

    layout: str
    reason: str


# ── numbers on their way ─────────────────────────────────────────────────────────────────────────────────────────


def all_reduced(numbers: int, devices: int) -> float:
    """Numbers that each device sends, and receives, in a ring all-reduce of `numbers`: reduce-scatter, then gather."""
    return 2 * gathered(numbers, devices)


def gathered(numbers: float, devices: int) -> float:
    """Numbers that each device sends, and receives, to give all devices `numbers` that are distributed evenly over
    them. Their gradients return the same way."""
    return (devices - 1) / devices * numbers


def exchanged(layers: Sequence[Layer]) -> dict[str, int]:
    """Layer → numbers per picture that the busiest column sends or receives there, forward and as gradients back."""
    ends = Counter[tuple[str, str, int]]()
    for crossing in crossings(layers):
        ends[crossing.at, "sends", crossing.sender] += crossing.floats
        ends[crossing.at, "receives", crossing.reader] += crossing.floats
    found: dict[str, int] = {}
    for (layer, *_), floats in ends.items():
        found[layer] = max(found.get(layer, 0), 2 * floats)
    return found


# ── layouts ──────────────────────────────────────────────────────────────────────────────────────────────────────


def data_parallel(layers: Sequence[Layer], cluster: Cluster, batch: int) -> tuple[str, float]:  # noqa: ARG001
    """The layout's name, and the numbers that each device sends in a step."""
    return "data parallel", all_reduced(sum(layer.parameters for layer in layers), cluster.devices)


def columns(layers: Sequence[Layer], cluster: Cluster, batch: int) -> tuple[str, float] | Impossible:
    """The same for columns; if there are more devices than columns, for several groups."""
    count = layers[0].columns
    if count == 1:
        return Impossible("columns", "the network has only one")
    if cluster.devices % count:
        return Impossible("columns", f"the network has {count}; {cluster.devices} devices are not a multiple")
    if any(isinstance(layer.row, Norm) and layer.row.span == "all" for layer in layers):
        return Impossible("columns", "its norms span all columns")
    groups = cluster.devices // count
    last = [layer for layer in layers if isinstance(layer.row, Weighted)][-1]
    parameters = sum(layer.parameters for layer in layers if layer is not last) // count + last.parameters
    name = f"{count} columns" if groups == 1 else f"{count} columns × {groups} data"
    return name, ceil(batch / groups) * sum(exchanged(layers).values()) + all_reduced(parameters, groups)


def hybrid(layers: Sequence[Layer], cluster: Cluster, batch: int) -> tuple[str, float] | Impossible:
    """The same for data-parallel convolutions and model-parallel fully connected layers."""
    dense = [layer for layer in layers if isinstance(layer.row, Dense)]
    if not dense:
        return Impossible("hybrid", "the network has no fully connected layers")
    shared = sum(layer.parameters for layer in layers if not isinstance(layer.row, Dense))
    units = dense[0].entering.units + sum(layer.leaving.units for layer in dense)
    return "hybrid", all_reduced(shared, cluster.devices) + 2 * gathered(batch * units, cluster.devices)


Layout = Callable[[Sequence[Layer], Cluster, int], tuple[str, float] | Impossible]
LAYOUTS: tuple[Layout, ...] = (data_parallel, columns, hybrid)


def forecasts(subject: Subject, cluster: Cluster, *, batch: int | None, pictures: int) -> list[Forecast | Impossible]:
    """One device alone, then every layout of `cluster`. `batch`: on all devices together (None: 128 on each);
    `pictures`: in an epoch. Raises UsageError for impossible numbers."""
    batch = BATCH * cluster.devices if batch is None else batch
    _check(cluster, batch, pictures)
    layers = trace(subject.table, subject.input_size)
    found: list[Forecast | Impossible] = [_forecast("one device", 0, replace(cluster, devices=1), batch, pictures)]
    for layout in LAYOUTS if cluster.devices > 1 else ():
        planned = layout(layers, cluster, batch)
        found.append(planned if isinstance(planned, Impossible) else _forecast(*planned, cluster, batch, pictures))
    return found


def _forecast(name: str, numbers: float, cluster: Cluster, batch: int, pictures: int) -> Forecast:
    sent = round(numbers * cluster.number_bytes)
    computing, sending = ceil(batch / cluster.devices) / cluster.speed, sent / cluster.link
    step = computing + sending
    derived = {"step": step, "sending_share": sending / step, "epoch": ceil(pictures / batch) * step}
    return Forecast(name, cluster.devices, computing, sending, sent, batch, pictures, **derived, speed=batch / step)


def _check(cluster: Cluster, batch: int, pictures: int) -> None:
    for name, value in (("devices", cluster.devices), ("pictures", pictures)):
        if value < 1:
            raise UsageError(f"--{name} {value}: at least 1 is needed.")
    for name, value in (("link", cluster.link), ("speed", cluster.speed)):
        if not 0 < value < float("inf"):
            raise UsageError(f"--{name}: a number above 0 is needed.")
    if batch < cluster.devices:
        raise UsageError(f"--batch {batch}: {cluster.devices} devices need at least one picture each.")


def describe(found: Sequence[Forecast | Impossible]) -> str:
    """A table with a line for each layout; below it, those that are not possible and why."""
    possible = [layout for layout in found if isinstance(layout, Forecast)]
    alone = possible[0].speed
    heading = ("layout", "step", "of it sending", "a device sends", "epoch", "img/s", "of one device")
    rows = [
        (
            layout.layout,
            in_seconds(layout.step),
            f"{layout.sending_share:.0%}",
            in_bytes(layout.sent),
            duration(layout.epoch),
            f"{layout.speed:,.0f}",
            f"{layout.speed / alone:.2f}×",
        )
        for layout in possible
    ]
    refused = [f"{layout.layout}: {layout.reason}" for layout in found if isinstance(layout, Impossible)]
    return "\n".join([table(heading, rows), *refused])


def in_seconds(seconds: float) -> str:
    """A step's time: 12.3 ms, 1.23 s."""
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
