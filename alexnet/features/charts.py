"""Figures of transfer, drawn like the paper's."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from alexnet.drawing import LIGHT, plot_figure
from alexnet.features.probes import Outcome

KINDS = ("-", "--", ":", "-.")
Line = tuple[str, Sequence[tuple[int, float]]]
"""A name, and for each number of pictures the accuracy."""


def accuracy_over_pictures(outcomes: Sequence[Outcome], papers: Sequence[Line] = ()) -> Figure:
    """Accuracy over training pictures per class ([Z] Fig. 9): a line for each kind of outcome with its deviation over
    the folds, the paper's in grey."""
    figure, axes = plot_figure(6.4, 4.2)
    for place, name in enumerate(dict.fromkeys(one.what for one in outcomes)):
        mine = sorted((one for one in outcomes if one.what == name), key=lambda one: one.per_class)
        counts, means = [one.per_class for one in mine], [one.mean for one in mine]
        dash, colour = KINDS[place // len(LIGHT.lines) % len(KINDS)], LIGHT.lines[place % len(LIGHT.lines)]
        axes.errorbar(
            counts, means, [one.spread for one in mine], label=name, color=colour, linestyle=dash, marker="o",
            markersize=3, linewidth=1.2, capsize=2,
        )  # fmt: skip
    for (name, points), dash in zip(papers, KINDS, strict=False):
        axes.plot(*zip(*points, strict=True), dash, color=LIGHT.other, label=f"{name} [Z]", linewidth=1)
    axes.set_xlim(0, None)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("training pictures per class", color=LIGHT.ink)
    axes.set_ylabel("accuracy, mean over classes", color=LIGHT.ink)
    axes.legend(frameon=False, labelcolor=LIGHT.ink, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
