"""The figures of a run: its curves, some pictures with their labels, its confusions.

S side of a record · C classes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter

from alexnet.drawing import LIGHT, Theme, blank_figure, plain_axes, plot_figure, shortened
from alexnet.measure.accuracy import wilson
from alexnet.measure.predict import Prediction
from alexnet.measure.reliability import BINS, Reliability
from alexnet.runs.history import History

NAMED_CLASSES = 30
"""Most classes whose names fit next to a confusion matrix."""


# ── curves ────────────────────────────────────────────────────────────────────────────────────────────────────────


def loss_figure(history: History, theme: Theme = LIGHT) -> Figure:
    """Training loss and validation nll over the epochs, in nats."""
    curves = (("train_loss", "training"), ("val_nll", "validation, centre view"))
    return _curves(history, curves, "loss, nats", theme)


def error_figure(history: History, theme: Theme = LIGHT) -> Figure:
    """Training and validation errors over the epochs."""
    curves = (
        ("train_top1_error", "training, top-1"),
        ("val_top1_error", "validation, top-1"),
        ("val_top5_error", "validation, top-5"),
    )
    figure = _curves(history, curves, "error", theme)
    axes = figure.axes[0]
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_ylim(0, None)
    return figure


def rate_figure(history: History, theme: Theme = LIGHT) -> Figure:
    """The learning rate over the epochs, logarithmic."""
    figure = _curves(history, (("learning_rate", "learning rate"),), "learning rate", theme, step=True)
    axes = figure.axes[0]
    axes.set_yscale("log")
    rates = [rate for rate in history.curve("learning_rate")[1] if rate > 0]
    axes.set_ylim(min(rates, default=1) / 3, max(rates, default=1) * 3)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    return figure


def _curves(history: History, curves: Sequence[tuple[str, str]], what: str, theme: Theme, step: bool = False) -> Figure:
    figure, axes = plot_figure(4.6, 3.1, theme)
    for (name, label), colour, dash in zip(curves, theme.lines, ("-", "-", "--"), strict=False):
        epochs, values = history.curve(name)
        marker = "o" if len(epochs) < 20 else None
        draw_style = "steps-mid" if step else "default"
        axes.plot(epochs, values, dash, color=colour, label=label, marker=marker, markersize=3.5, drawstyle=draw_style)
    axes.set_xlabel("epoch", color=theme.ink)
    axes.set_ylabel(what, color=theme.ink)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(curves) > 1:
        axes.legend(frameon=False, labelcolor=theme.ink, fontsize=9.5)
    return figure


CURVES: dict[str, Callable[[History, Theme], Figure]] = {
    "loss": loss_figure,
    "error": error_figure,
    "rate": rate_figure,
}


# ── calibration ───────────────────────────────────────────────────────────────────────────────────────────────────


def reliability_figure(diagrams: Mapping[str, Reliability], theme: Theme = LIGHT) -> Figure:
    """Reliability diagrams side by side, under their titles: in each bin of the answer's probability the share that is
    right, with its 95 % interval at the mean probability (Guo et al. 2017, Fig. 1)."""
    figure = blank_figure(3.6 * len(diagrams), 3.6, theme)
    for axes, (title, found) in zip(figure.subplots(1, len(diagrams), squeeze=False)[0], diagrams.items(), strict=True):
        plain_axes(axes, theme)
        filled = np.flatnonzero(found.pictures)
        pictures, right, probability = (np.array(one)[filled] for one in vars(found).values())
        axes.plot((0, 1), (0, 1), "--", color=theme.ink, linewidth=0.8)
        axes.bar((filled + 0.5) / BINS, right, 0.94 / BINS, color=theme.other, alpha=0.55)
        intervals = [wilson(round(share * count), count) for share, count in zip(right, pictures, strict=True)]
        away = np.abs(np.array(intervals).reshape(-1, 2).T - right)
        axes.errorbar(probability, right, away, fmt="o", color=theme.lines[1], markersize=3.5, linewidth=1)
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.set_title(f"{title}: expected calibration error {found.ece:.1%}", fontsize=9.5, color=theme.ink)
        axes.set_xlabel("probability of the answer", color=theme.ink)
        axes.set_ylabel("share right", color=theme.ink)
    return figure


# ── pictures with their labels ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture (S, S, 3) with its true class (id and name) and what the network makes of it."""

    pixels: np.ndarray
    true_id: str
    true_name: str
    prediction: Prediction


def pictures_figure(shown: Sequence[Shown]) -> Figure:
    """Pictures, the true class under each, and its most probable classes as bars, the true one's in a colour of its own
    ([A] Fig. 4, left)."""
    per_row = min(4, len(shown))
    rows = math.ceil(len(shown) / per_row)
    figure = blank_figure(2.5 * per_row, 3.9 * rows)
    grid = figure.subplots(2 * rows, per_row, squeeze=False, height_ratios=(2.2, 1.2) * rows)
    for axes in grid.flat:
        axes.set_axis_off()
    for position, one in enumerate(shown):
        row, column = divmod(position, per_row)
        above, below = grid[2 * row, column], grid[2 * row + 1, column]
        above.imshow(one.pixels, interpolation="nearest")
        name = shortened(one.true_name, 28)
        above.set_title(name, y=-0.13, fontsize=10, fontweight="bold", color=LIGHT.ink, parse_math=False)
        _bars(below, one.prediction, one.true_id)
    return figure


def _bars(axes: Axes, prediction: Prediction, true_id: str) -> None:
    colours = [LIGHT.true if label.id == true_id else LIGHT.other for label in prediction.labels]
    axes.barh(
        range(len(prediction.labels)),
        [label.probability for label in prediction.labels],
        color=colours,
        alpha=0.45,
        height=0.86,
    )
    for position, label in enumerate(prediction.labels):
        axes.text(0.02, position, shortened(label.name, 30), va="center", fontsize=9, color=LIGHT.ink, parse_math=False)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(prediction.labels) - 0.5, -0.5)


# ── confusions ────────────────────────────────────────────────────────────────────────────────────────────────────


def confusion_figure(confusion: np.ndarray, class_names: Sequence[str], theme: Theme = LIGHT) -> Figure:
    """Share of each true class's pictures (rows) by most probable class (columns)."""
    classes = len(class_names)
    pictures = confusion.sum(axis=1, keepdims=True)
    shares = np.divide(confusion, pictures, out=np.zeros(confusion.shape), where=pictures > 0)
    side = min(9.0, 3.4 + 0.28 * classes) if classes <= NAMED_CLASSES else 6.5
    figure = blank_figure(side + 0.6, side, theme)
    axes = figure.add_subplot()
    axes.set_facecolor(theme.ground)
    ramp = LinearSegmentedColormap.from_list("ramp", theme.ramp)
    image = axes.imshow(shares, cmap=ramp, vmin=0, vmax=1, interpolation="nearest")
    _name_classes(axes, class_names, theme)
    if classes <= 12:
        _write_counts(axes, confusion, shares, theme)
    scale = figure.colorbar(image, ax=axes, shrink=0.7, format=PercentFormatter(1, decimals=0))
    scale.ax.tick_params(colors=theme.ink, labelsize=9)
    scale.outline.set_edgecolor(theme.faint)  # pyright: ignore[reportCallIssue]
    return figure


def _name_classes(axes: Axes, class_names: Sequence[str], theme: Theme) -> None:
    if len(class_names) <= NAMED_CLASSES:
        names = [shortened(name, 20) for name in class_names]
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
        axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.tick_params(colors=theme.ink, labelsize=9, length=0)
    axes.set_xlabel("most probable class", color=theme.ink)
    axes.set_ylabel("true class", color=theme.ink)
    for spine in axes.spines.values():
        spine.set_color(theme.faint)


def _write_counts(axes: Axes, confusion: np.ndarray, shares: np.ndarray, theme: Theme) -> None:
    for row, column in zip(*np.nonzero(confusion), strict=True):
        colour = theme.ground if shares[row, column] > 0.55 else theme.ink
        axes.text(column, row, f"{confusion[row, column]}", ha="center", va="center", fontsize=8, color=colour)
