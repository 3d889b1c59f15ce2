"""Figures of results, drawn like the papers' where they have one. See `alexnet.drawing` for what is shared."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from alexnet.drawing import LIGHT, plot_figure, png_of, shortened
from alexnet.experiments.finding import Drawing, Row

CLEAR = {"facecolor": LIGHT.ground, "edgecolor": "none", "pad": 0.6}
"""Behind a number, so that no grid line goes through it."""
DASHES = ("-", "--", ":")  # [A] Fig. 1: ReLU solid, tanh dashed


def drawing(name: str, figure: Figure | np.ndarray, caption: str, *, photographs: bool = False) -> Drawing:
    return Drawing(name, png_of(figure), caption, photographs)


def top1_bars(rows: Sequence[Row]) -> Drawing:
    """The top-1 errors among the rows as bars."""
    errors = [row for row in rows if row.what.endswith(": top-1 error")]
    return drawing("errors", bars(errors), "Top-1 errors with ten views")


def _one_line_each(names: Sequence[str]) -> tuple[Figure, Axes]:
    """Axes with a horizontal line for each name, the first on top."""
    figure, axes = plot_figure(6.8, 0.85 + 0.42 * len(names))
    axes.set_yticks(range(len(names)), [shortened(name, 34) for name in names], parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    return figure, axes


def bars(rows: Sequence[Row]) -> Figure:
    """A bar for each row of errors, its mean next to it, a dot for each seed."""
    figure, axes = _one_line_each([row.what.partition(":")[0] for row in rows])
    means = [row.mean or 0.0 for row in rows]
    axes.barh(range(len(rows)), means, color=LIGHT.other, alpha=0.35, height=0.7)
    for position, row in enumerate(rows):
        axes.plot(row.values, [position] * len(row.values), "o", color=LIGHT.lines[0], markersize=3.5)
        furthest = max((*row.values, means[position]))
        axes.annotate(
            f"{means[position]:.1%}", (furthest, position), (8, 0), textcoords="offset points",
            va="center", fontsize=9, color=LIGHT.ink, bbox=CLEAR,
        )  # fmt: skip
    axes.set_xlim(0, 1.15 * max((*means, *(value for row in rows for value in row.values), 0.01)))
    axes.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10]))  # whole percents, as they are written
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("error", color=LIGHT.ink)
    return figure


def losses(rows: Sequence[Row]) -> Figure:
    """For each row of points lost a dot, a line as long as its margin to both sides, and a cross for the paper's."""
    figure, axes = _one_line_each([row.what.partition(" loses, ")[0] for row in rows])
    for position, row in enumerate(rows):
        lost, margin = 100 * (row.mean or 0.0), 100 * (row.margin or 0.0)
        axes.errorbar(
            lost, position, xerr=margin, fmt="o", color=LIGHT.lines[0], markersize=5, capsize=3, linewidth=1.3
        )
        if row.paper is not None:
            axes.plot(100 * row.paper, position, "x", color=LIGHT.lines[1], markersize=7, markeredgewidth=1.8)
    axes.axvline(0, color=LIGHT.ink, linewidth=0.8)
    axes.set_xlabel("points of top-1 error lost", color=LIGHT.ink)
    return figure


def curves(lines: Sequence[tuple[str, Sequence[Sequence[float]]]], what: str, level: float) -> Figure:
    """Error over epochs, a colour and dash for each kind, a line for each seed, and a dashed `level` ([A] Fig. 1)."""
    figure, axes = plot_figure(4.6, 3.4)
    for (label, seeds), colour, dash in zip(lines, LIGHT.lines, DASHES, strict=False):
        for number, values in enumerate(seeds):
            name = label if number == 0 else None
            marker = "o" if len(values) < 3 else None
            axes.plot(range(1, len(values) + 1), values, dash, color=colour, label=name, marker=marker, linewidth=1.3)
    axes.axhline(level, color=LIGHT.ink, linewidth=0.7, linestyle=(0, (6, 4)))
    axes.set_ylim(0, 1 if max((max(v, default=0) for _, s in lines for v in s), default=0) > 0.75 else 0.75)
    axes.set_xlim(0, None)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch", color=LIGHT.ink)
    axes.set_ylabel(what, color=LIGHT.ink)
    axes.legend(frameon=False, labelcolor=LIGHT.ink, fontsize=9.5)
    return figure
