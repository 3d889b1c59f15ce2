"""The figures that are made of curves: invariance, activations; and the table of correspondences in words."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet.drawing import LIGHT, TITLE, blank_figure, literal_legend, mosaic, plain_axes, shortened
from alexnet.see.activation_statistics import ActivationStatistics
from alexnet.see.correspondence import Correspondence
from alexnet.see.display import tile
from alexnet.see.invariance import UNITS, Curves, Invariance
from alexnet.see.units import evenly_spread
from alexnet.text import table

COLOURS = ("#1d4ed8", "#b4232f", "#15803d", "#8a5a00", "#7e22ce", "#0e7490", "#be185d", "#4d5560")
SAMPLES = 5
"""Steps shown as pictures."""
LETTERS = "abcdefgh"


def invariance_figure(found: Invariance) -> Figure:
    """[Z] Fig. 5: a row for each transformation; the pictures at some steps, the distance at each layer, and the
    probability of the true class, one curve for each picture."""
    wide = 3 + len(found.layers)
    pictures = samples(found.curves[0])
    shape = max(0.6, min(2.5, pictures.shape[1] / pictures.shape[0]))
    figure = blank_figure(2.75 * (wide - 2 + 0.72 * shape), 2.35 * len(found.curves) + 0.4)
    ratios = [0.72 * shape, *[1.0] * (len(found.layers) + 1)]
    grid = figure.subplots(len(found.curves), len(ratios), squeeze=False, width_ratios=ratios)
    names = [shortened(f"{name}", 24) for name in found.classes]
    if len(set(names)) < len(names):  # several pictures of a class, from the top
        names = [f"{number}: {name}" for number, name in enumerate(names, 1)]
    for row, (one, axes) in enumerate(zip(found.curves, grid, strict=True)):
        axes[0].imshow(samples(one), interpolation="nearest")
        axes[0].set_axis_off()
        axes[0].set_title(f"{LETTERS[row]}  {one.kind}", fontsize=TITLE, color=LIGHT.ink, loc="left")
        for position, layer in enumerate(found.layers, 1):
            curves = one.distances[layer].numpy()
            _lines(axes[position], one, curves, f"distance at {layer}", names)
        _lines(axes[-1], one, one.probability.numpy(), "P(true class)", names)
        axes[-1].set_ylim(-0.02, 1.02)
    handles, labels = grid[0, -1].get_legend_handles_labels()
    columns = min(5, len(names))
    literal_legend(figure, handles=handles, labels=labels, loc="outside lower center", ncols=columns, fontsize=8.5)
    return figure


def _lines(axes: Axes, one: Curves, curves: np.ndarray, what: str, names: Sequence[str]) -> None:
    plain_axes(axes)
    for number, (values, name) in enumerate(zip(curves, names, strict=True)):
        axes.plot(one.amounts, values, color=COLOURS[number % len(COLOURS)], linewidth=1.2, label=name)
    axes.set_xlabel(UNITS[one.kind], fontsize=TITLE - 1, color=LIGHT.ink)
    axes.set_title(what, fontsize=TITLE, color=LIGHT.ink)
    axes.set_ylim(bottom=0)
    axes.tick_params(labelsize=8)


def activations_figure(found: ActivationStatistics, channels: Mapping[str, Sequence[int]]) -> Figure:
    """How many pictures each map answers how strongly: a row of histograms for each layer."""
    widest = max(map(len, channels.values()))
    figure = blank_figure(2.2 * widest, 1.9 * len(channels))
    grid = figure.subplots(len(channels), widest, squeeze=False)
    for row, (layer, some) in zip(grid, channels.items(), strict=True):
        for axes in row[len(some) :]:
            axes.set_axis_off()
        for axes, channel in zip(row, some, strict=False):
            edges, counts = found.histogram(layer, channel)
            plain_axes(axes)
            axes.stairs(counts, edges, fill=True, color=COLOURS[0], alpha=0.75)
            axes.set_title(f"{layer} · {channel}", fontsize=TITLE, color=LIGHT.ink)
            axes.tick_params(labelsize=8)
    figure.supxlabel("largest activation in a picture", fontsize=TITLE, color=LIGHT.ink)
    figure.supylabel("pictures", fontsize=TITLE, color=LIGHT.ink)
    return figure


def samples(one: Curves, side: int = 72) -> np.ndarray:
    """Each picture (a row) at some steps, the first and the last among them."""
    pictures, steps = one.views.shape[:2]
    chosen = evenly_spread(steps, SAMPLES)
    views = one.views.numpy()
    tiles = [tile(views[p, t], side) for p in range(pictures) for t in chosen]
    return mosaic(tiles, len(chosen))


def describe_invariance(found: Invariance) -> str:
    """The summary as a table."""
    heading = ("", *(f"distance at {layer}" for layer in found.layers), "P(true class)", "lowest", "stays right")
    rows = [
        (
            line["transformation"],
            *(f"{line['mean_distance'][layer]:.3f}" for layer in found.layers),
            f"{line['mean_probability']:.3f}",
            f"{line['lowest_probability']:.3f}",
            f"{line['stays_right']:.0%}",
        )
        for line in found.summary()
    ]
    return table(heading, rows)


def describe_correspondence(found: Correspondence) -> str:
    """[Z] Table 1: Δ per pair and feature, ± its deviation over the pairs."""
    heading = ("masked part", *found.layers)
    rows = [
        (
            part,
            *(
                f"{found.cells[part, layer].normalised:.3f} ± {found.cells[part, layer].deviation:.3f}"
                for layer in found.layers
            ),
        )
        for part in found.parts
    ]
    return table(heading, rows)
