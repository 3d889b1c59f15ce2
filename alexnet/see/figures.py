"""The figures of [Z] that are made of pictures: projections, strongest pictures, evolution, filters, occlusion."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from alexnet.drawing import (
    LIGHT,
    TITLE,
    WHITE,
    blank_figure,
    figure_grid,
    kernel_mosaic,
    literal_legend,
    mosaic,
    shortened,
    show,
)
from alexnet.nets.network import Network
from alexnet.see.deconvnet import Projections
from alexnet.see.diagnosis import PATTERNS, Filters, diagnose, linear_pattern
from alexnet.see.display import contrast, cut, tile
from alexnet.see.evolution import Evolution
from alexnet.see.occlusion import Occlusion
from alexnet.see.patches import UnitPatch
from alexnet.see.units import evenly_spread

TILE = 72
"""Side of a tile in pixels."""
CLASS_COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#e69f00", "#44aa99")


def projection_figure(picture: np.ndarray, seen: Projections, method: str) -> Figure:
    """The picture, uint8 (S, S, 3), and for each unit its projection above the pixels that it can see."""
    count = len(seen.units)
    per_row = min(9, count)
    rows = -(-count // per_row)
    figure, axes = figure_grid(2 * rows, per_row + 1, 1.5, 1.65)
    show(axes[0, 0], picture, "picture")
    pixels = seen.pixels.cpu().numpy()
    for number, (unit, value, box) in enumerate(zip(seen.units, seen.values.tolist(), seen.boxes, strict=True)):
        row, column = 2 * (number // per_row), number % per_row + 1
        below = contrast(cut(pixels[number].transpose(1, 2, 0), box).transpose(2, 0, 1))
        frame = seen.frames[number]
        show(axes[row, column], tile(below, 2 * TILE, box, frame), f"{unit.layer} · {unit.channel}\n{value:.3g}")
        show(axes[row + 1, column], tile(cut(picture, box), 2 * TILE, box, frame))
    figure.suptitle(method, fontsize=TITLE + 1, color=LIGHT.ink)
    return figure


def patch_tiles(some: Sequence[UnitPatch]) -> tuple[np.ndarray, np.ndarray]:
    """Projections and patches of one channel, each a mosaic of three in a row."""
    blank = np.full((TILE, TILE, 3), WHITE, np.uint8)
    projections = [tile(contrast(one.projection), TILE, one.box, one.frame) for one in some] or [blank]
    patches = [tile(one.patch, TILE, one.box, one.frame) for one in some] or [blank]
    return mosaic(projections, 3), mosaic(patches, 3)


def top_figure(
    found: Mapping[int, Sequence[UnitPatch]], layer: str, negative: Mapping[int, Sequence[UnitPatch]] | None = None
) -> Figure:
    """[Z] Fig. 2 for one layer: for each channel the projections of its strongest pictures, and next to them the
    patches that the units saw; below them the same of its most `negative` ones."""
    lowest = negative if negative and any(negative.values()) else None
    per_row = min(4, max(1, len(found)))
    figure, axes = figure_grid(-(-len(found) // per_row), per_row, 3.3, 3.7 if lowest else 1.85)
    for place, (channel, some) in zip(axes.flat, found.items(), strict=False):
        blocks = [np.concatenate(_with_gap(patch_tiles(some), 1), axis=1)]
        title = f"{layer} · {channel}" + ("" if some else ": nothing excites it")
        if lowest:
            blocks.append(np.concatenate(_with_gap(patch_tiles(lowest[channel]), 1), axis=1))
            title += "" if lowest[channel] else ", never negative"
        show(place, np.concatenate(_with_gap(blocks, 0)), title)
    if negative is not None:
        words = "above: most positive · below: most negative" if lowest else "none of these units is ever negative"
        figure.suptitle(f"{layer}, {words}", fontsize=TITLE + 1, color=LIGHT.ink)
    return figure


def _with_gap(blocks: Sequence[np.ndarray], axis: int) -> list[np.ndarray]:
    """The blocks with white between them, to be joined along an axis."""
    shape = [*blocks[0].shape]
    shape[axis] = 8
    gap = np.full(shape, WHITE, np.uint8)
    return [one for block in blocks for one in (gap, block)][1:]


def evolution_figure(found: Evolution) -> Figure:
    """[Z] Fig. 4: a row for each map, a column for each epoch, a block for each layer."""
    layers = list(found.features)
    most = max(len(channels) for channels in found.features.values())
    height = most * 0.62 + 0.85
    figure, axes = figure_grid(1, len(layers), 0.62 * len(found.epochs) + 0.45, height)
    for panel, layer in zip(axes.flat, layers, strict=True):
        channels = found.features[layer]
        tiles = [
            tile(contrast(one.projection), TILE, one.box, one.frame)
            for over_time in channels.values()
            for one in over_time
        ]
        show(panel, mosaic(tiles, len(found.epochs)), layer)
        panel.set_axis_on()
        step = TILE + 2
        panel.set_xticks(
            [n * step + TILE / 2 for n in range(len(found.epochs))], [str(epoch) for epoch in found.epochs]
        )
        panel.set_yticks([n * step + TILE / 2 for n in range(len(channels))], [str(channel) for channel in channels])
        panel.tick_params(length=0, labelsize=8, colors=LIGHT.ink)
        panel.spines[:].set_visible(False)
        panel.set_xlabel("epoch", fontsize=TITLE, color=LIGHT.ink)
        panel.set_ylabel("map", fontsize=TITLE, color=LIGHT.ink)
    return figure


def filters_figure(named: Sequence[tuple[str, Filters, np.ndarray]]) -> Figure:
    """[Z] Fig. 6 for one run or two side by side: the first layer's filters, each scaled alone and all scaled together,
    and the second layer's linear patterns, uint8 (rows, columns, 3)."""
    drawn = [
        (kernel_mosaic(w), kernel_mosaic(w, together=True), p)
        for w, p in ((filters.weights.numpy(), patterns) for _, filters, patterns in named)
    ]
    heights = [max(5.2 * one[row].shape[0] / one[row].shape[1] for one in drawn) + 0.45 for row in range(3)]
    figure = blank_figure(5.4 * len(named), sum(heights))
    axes = figure.subplots(3, len(named), squeeze=False, height_ratios=heights)
    for column, ((name, filters, _), mosaics) in enumerate(zip(named, drawn, strict=True)):
        for row, (one, title) in enumerate(zip(mosaics, titles_of(name, filters), strict=True)):
            show(axes[row, column], one, title)
    return figure


def filters_of(network: Network, name: str) -> tuple[str, Filters, np.ndarray]:
    """What `filters_figure` draws of a network called `name`: its first layer's filters, its second's patterns."""
    second = network.table.weighted[1].name
    maps = network.layer(second).leaving.maps
    patterns = linear_pattern(network, second, evenly_spread(maps, PATTERNS))
    return name, diagnose(network), pattern_mosaic(patterns.numpy())


def titles_of(name: str, filters: Filters) -> tuple[str, str, str]:
    """What stands above the three mosaics of a run."""
    shares = " · ".join(f"{what.replace('_', ' ')} {share:.0%}" for what, share in filters.mean_share.items())
    return (
        f"{shortened(name, 24)}: {filters.layer}, {len(filters.rms)} of {filters.size}×{filters.size}, "
        f"stride {filters.stride}\n{int(filters.dead.sum())} dead · {shares}",
        f"all on one scale: the largest RMS is {filters.dominance:.1f} × the median",
        "second layer, as linear patterns",
    )


def pattern_mosaic(patterns: np.ndarray, per_row: int = 16) -> np.ndarray:
    """Linear patterns (K, 3, S, S) as tiles, cut to where any of them is not zero."""
    rows, columns = (np.flatnonzero(np.abs(patterns).max(axis=(0, 1, axis))) for axis in (3, 2))
    if not len(rows) or not len(columns):
        return np.full((TILE, TILE, 3), 128, np.uint8)
    inner = patterns[:, :, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return mosaic([tile(contrast(one), TILE) for one in inner], per_row)


# ── occlusion ────────────────────────────────────────────────────────────────────────────────────────────────────


def occlusion_figure(
    picture: np.ndarray,
    found: Occlusion,
    projection: np.ndarray,
    class_names: Sequence[str],
    best: Sequence[UnitPatch] = (),
) -> Figure:
    """[Z] Fig. 7 for one picture: (a) the picture, with the square to scale; (b) the watched map's total; (c) its
    projection, and if known its strongest patches; (d) probability of the true class; (e) most probable class."""
    columns = 6 if best else 5
    figure, axes = figure_grid(1, columns, 2.3, 2.95)
    side = picture.shape[0]
    near, far = (corner + found.square.size / 2 for corner in (found.corners[0], found.corners[-1]))
    half = (far - near) / max(1, len(found.corners) - 1) / 2  # a position fills the space to its neighbours
    extent = (near - half, far + half, far + half, near - half)
    shown = picture.copy()
    shown[: found.square.size, : found.square.size] = round(found.square.grey)
    show(axes[0, 0], shown, f"a  {shortened(class_names[found.label], 22)}\nsquare of {found.square.size} px")
    unit = found.watched
    title = f"b  {unit.layer} · {unit.channel}\ntotal, {found.clean_total:.3g} without square"
    _heat(figure, axes[0, 1], found.total.numpy(), extent, side, title, found.scales["total"])
    show(axes[0, 2], contrast(projection), f"c  {unit.layer} · {unit.channel}\nprojection")
    if best:
        show(axes[0, 3], patch_tiles(best)[1], f"{unit.layer} · {unit.channel}\nstrongest patches")
    if found.saturated:
        title = f"d  logit of the class\n{found.clean_logit:.3g} without square"
        _heat(figure, axes[0, -2], found.logit.numpy(), extent, side, title, found.scales["logit"])
    else:
        title = f"d  probability of the class\n{found.clean_probability:.3f} without square"
        _heat(figure, axes[0, -2], found.probability.numpy(), extent, side, title, found.scales["probability"])
    _classes(axes[0, -1], found, extent, side, class_names)
    return figure


def _frame(axes: Axes, side: int) -> None:
    axes.set_xlim(0, side)
    axes.set_ylim(side, 0)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_axis_on()
    axes.set_facecolor(LIGHT.faint)
    axes.spines[:].set_visible(False)


def _heat(
    figure: Figure,
    axes: Axes,
    values: np.ndarray,
    extent: tuple[float, float, float, float],
    side: int,
    title: str,
    scale: tuple[float, float],
) -> None:
    image = axes.imshow(values, extent=extent, cmap="viridis", vmin=scale[0], vmax=scale[1])
    _frame(axes, side)
    axes.set_title(title, fontsize=TITLE, color=LIGHT.ink, parse_math=False)
    bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.8, pad=0.02)
    bar.ax.tick_params(labelsize=7.5, colors=LIGHT.ink)


def _classes(
    axes: Axes, found: Occlusion, extent: tuple[float, float, float, float], side: int, class_names: Sequence[str]
) -> None:
    numbers, counts = np.unique(found.predicted.numpy(), return_counts=True)
    frequent = numbers[np.argsort(-counts, kind="stable")]
    positions = {int(number): min(position, len(CLASS_COLOURS) - 1) for position, number in enumerate(frequent)}
    drawn = np.vectorize(positions.__getitem__)(found.predicted.numpy())
    colours = ListedColormap(CLASS_COLOURS)
    axes.imshow(drawn, extent=extent, cmap=colours, vmin=0, vmax=len(CLASS_COLOURS) - 1, interpolation="nearest")
    _frame(axes, side)
    axes.set_title("e  most probable class\n", fontsize=TITLE, color=LIGHT.ink)
    named = [
        Patch(color=CLASS_COLOURS[positions[int(n)]], label=shortened(class_names[int(n)], 20)) for n in frequent[:6]
    ]
    literal_legend(axes, handles=named, loc="upper center", bbox_to_anchor=(0.5, -0.02), fontsize=7.5, ncols=2)
