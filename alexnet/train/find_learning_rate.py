"""A short sweep over learning rates (Smith 2017, arXiv:1506.01186): the rate grows until the loss rises."""

import math
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from matplotlib.figure import Figure

from alexnet.data.store.read import Store
from alexnet.drawing import LIGHT, plot_figure
from alexnet.errors import UserError
from alexnet.files.schema import to_json
from alexnet.files.temporary import TemporaryFolder
from alexnet.isolation import isolated
from alexnet.report.results import Folder
from alexnet.terminal import Progress
from alexnet.train.loop import micro_batches
from alexnet.train.options import TrainOptions
from alexnet.train.schedule import Rates
from alexnet.train.state import TrainingState, start_run
from alexnet.train.step import Diverged, train_batch

LOWEST, HIGHEST = 1e-5, 1.0
UPDATES = 100
SMOOTHING = 0.9
"""Weight of the past in the running mean of the loss."""
WINDOW = 10
"""Updates over which the fall of the loss is measured."""
RISEN = 2.0
"""The sweep ends when the smoothed loss is so many times its lowest value."""


@dataclass(frozen=True)
class Sweep:
    """Learning rates and the smoothed training loss after the update with each; the rate `suggested`, at
    which the loss falls most."""

    learning_rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggested: float


@isolated()
def find_learning_rate(store: Store, options: TrainOptions, progress: Progress | None = None) -> Sweep:
    """Train for at most 100 updates with rates from 1e-5 to 1, in a temporary folder.

    Raises UserError or UsageError for what `start_run` refuses, and if the loss never falls."""
    with TemporaryFolder("alexnet-sweep-") as place:
        state, _ = start_run(store, place / "run", replace(options, snapshots=False))
        state.take_shard(state.team)
        rates, losses = _swept(state, progress)
    return Sweep(tuple(rates), tuple(losses), suggestion(rates, losses))


def _swept(state: TrainingState, progress: Progress | None) -> tuple[list[float], list[float]]:
    rates, losses, running = [], [], 0.0
    for epoch in count(1):
        state.cursor.epoch, state.cursor.batch = epoch, 0
        shards, stream = micro_batches(state)
        with stream:
            for shard, batch in zip(shards, stream, strict=True):
                rate = LOWEST * (HIGHEST / LOWEST) ** (len(rates) / (UPDATES - 1))
                try:
                    loss, _ = train_batch(state, batch, Rates(rate, rate * state.recipe.bias_factor), shard).read()
                except Diverged:
                    return rates, losses
                if not shard.ends_batch:
                    continue
                state.cursor.next_batch()
                running = SMOOTHING * running + (1 - SMOOTHING) * loss
                rates.append(rate)
                losses.append(running / (1 - SMOOTHING ** len(rates)))  # unbiased: the mean begins at 0
                if progress:
                    progress("learning rates", len(rates), UPDATES)
                if len(rates) == UPDATES or not losses[-1] < RISEN * min(losses):
                    return rates, losses
    raise AssertionError("unreachable")


def suggestion(rates: list[float], losses: list[float], window: int = WINDOW) -> float:
    """The rate in the middle of the `window` updates over which the loss falls most, before its minimum; the first
    updates, whose mean is over few batches, do not count. If the loss does not fall in so few updates: a tenth of the
    first rate at which it is 10 % above its minimum. Raises UserError if it does neither."""
    lowest = min(range(len(losses)), key=losses.__getitem__) if losses else 0
    falls = {number: losses[number - window] - losses[number] for number in range(2 * window, lowest + 1)}
    if falls and max(falls.values()) > 0:
        return rates[max(falls, key=falls.__getitem__) - window // 2]
    above = [rate for rate, loss in zip(rates[lowest:], losses[lowest:], strict=True) if loss > 1.1 * losses[lowest]]
    if not above:
        raise UserError(
            "the loss neither falls nor rises at any learning rate: check the labels, or try another --init"
        )
    return above[0] / 10


def write_sweep(sweep: Sweep, run: Path, store: Store, options: TrainOptions) -> list[Path]:
    """Write RUN-learning-rate.png and RUN-learning-rate.json next to the run folder."""
    folder = Folder(run.parent, "sweep")
    folder.claim(f"{run.name}-learning-rate", store.fingerprint, to_json(options)).put(
        sweep_figure(sweep), to_json(sweep)
    )
    return folder.written


def sweep_figure(sweep: Sweep) -> Figure:
    """The smoothed loss over the learning rate, the suggested one marked."""
    figure, axes = plot_figure(4.6, 3.1)
    axes.plot(sweep.learning_rates, sweep.losses, color=LIGHT.lines[0])
    axes.axvline(sweep.suggested, color=LIGHT.lines[1], linestyle="--")
    axes.set_xscale("log")
    axes.set_ylim(None, min(max(sweep.losses), 1.5 * sweep.losses[0]) if math.isfinite(sweep.losses[0]) else None)
    axes.set_xlabel("learning rate", color=LIGHT.ink)
    axes.set_ylabel("training loss, smoothed", color=LIGHT.ink)
    return figure
