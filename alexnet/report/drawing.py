"""The figures of a run, drawn by matplotlib's object-oriented side (no global state, no screen) or pixel by pixel.

K kernels · S side of a record · C classes. Colours keep a contrast of 4.5:1 for text and 3:1 for lines on their ground.
"""

import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from alexnet.files.outputs import mark
from alexnet.measure.predict import Prediction
from alexnet.runs.history import History

DPI = 200
KERNELS_PER_ROW = 16  # [A] Fig. 3
KERNEL_PIXELS = 64
"""Least side, in pixels, at which a kernel is drawn."""
NAMED_CLASSES = 30
"""Most classes whose names fit beside a confusion matrix."""


@dataclass(frozen=True)
class Theme:
    """Colours of a figure. `lines`: of first, second and third curve; `true`, `other`: bars of the true class and of
    the others, as in [A] Fig. 4; `ramp`: from none to all."""

    ground: str
    ink: str
    faint: str
    lines: tuple[str, str, str]
    true: str
    other: str
    ramp: tuple[str, str, str]


LIGHT = Theme(
    ground="#ffffff",
    ink="#1c1f24",
    faint="#d9dce1",
    lines=("#1d4ed8", "#b4232f", "#8a5a00"),
    true="#be185d",
    other="#3b6ea8",
    ramp=("#ffffff", "#7fa6dc", "#0b2f6b"),
)
DARK = Theme(
    ground="#191c21",
    ink="#e8eaed",
    faint="#3a3f47",
    lines=("#7aa7ff", "#ff8a8f", "#e0b04c"),
    true="#f472b6",
    other="#6ea3dc",
    ramp=("#191c21", "#3f6db0", "#e3edff"),
)


# ── curves ───────────────────────────────────────────────────────────────────────────────────────────────────────


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
    figure = blank_figure(4.6, 3.1, theme)
    axes = figure.add_subplot()
    plain_axes(axes, theme)
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


def blank_figure(width: float, height: float, theme: Theme) -> Figure:
    """An empty figure of so many inches. Its canvas draws into memory."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=theme.ground, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plain_axes(axes: Axes, theme: Theme) -> None:
    """Axes of a curve: a faint grid behind it, lines at the left and the bottom only."""
    axes.set_facecolor(theme.ground)
    axes.grid(color=theme.faint, linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.ink)
    axes.tick_params(which="both", colors=theme.ink, labelsize=9.5)


# ── kernels ──────────────────────────────────────────────────────────────────────────────────────────────────────


def kernel_mosaic(
    kernels: np.ndarray, per_row: int = KERNELS_PER_ROW, *, together: bool = False, clear: bool = False
) -> np.ndarray:
    """Kernels (K, 3, side, side) as one picture, uint8 (rows, columns, 3), `per_row` beside one another.

    Each is scaled by its own largest weight, so that its own pattern fills the range: mid-grey is a weight of 0, as in
    [A] Fig. 3; `together`: all by the largest of all, which shows whether one dominates ([Z] Fig. 6a). Enlarged without
    smoothing, one white line between them; `clear`: a transparent one, in a fourth channel.
    """
    count, _, side, _ = kernels.shape
    scale = np.abs(kernels).max(axis=None if together else (1, 2, 3), keepdims=True)
    levels = np.divide(kernels, scale, out=np.zeros_like(kernels), where=scale > 0)
    pictures = np.rint(127.5 + 127.5 * levels).astype(np.uint8).transpose(0, 2, 3, 1)
    if clear:
        pictures = np.insert(pictures, 3, 255, axis=3)
    factor = max(1, -(-KERNEL_PIXELS // side))
    large = pictures.repeat(factor, axis=1).repeat(factor, axis=2)
    per_row, gap, cell = min(per_row, count), 4, side * factor
    rows = math.ceil(count / per_row)
    extent = (rows * (cell + gap) - gap, per_row * (cell + gap) - gap, pictures.shape[3])
    mosaic = np.full(extent, 0 if clear else 255, np.uint8)
    for place, picture in enumerate(large):
        top, left = place // per_row * (cell + gap), place % per_row * (cell + gap)
        mosaic[top : top + cell, left : left + cell] = picture
    return mosaic


def columns_mosaic(kernels: np.ndarray, columns: int) -> np.ndarray:
    """The kernels of each column in a block of its own, one above the other ([A] Fig. 3: GPU 1, then GPU 2)."""
    blocks = [kernel_mosaic(block) for block in np.split(kernels, columns)]
    space = np.full((28, blocks[0].shape[1], 3), 255, np.uint8)
    return np.concatenate([piece for block in blocks for piece in (block, space)][:-1])


# ── pictures with their labels ───────────────────────────────────────────────────────────────────────────────────


def pictures_figure(
    pictures: Sequence[np.ndarray],
    predictions: Sequence[Prediction],
    true_ids: Sequence[str],
    true_names: Sequence[str],
) -> Figure:
    """Pictures (S, S, 3), the true class under each, and its most probable classes as bars, the true one's in a colour
    of its own ([A] Fig. 4, left)."""
    per_row = min(4, len(pictures))
    rows = math.ceil(len(pictures) / per_row)
    figure = blank_figure(2.5 * per_row, 3.9 * rows, LIGHT)
    grid = figure.subplots(2 * rows, per_row, squeeze=False, height_ratios=(2.2, 1.2) * rows)
    for axes in grid.flat:
        axes.set_axis_off()
    for place, (picture, prediction, true_id, true_name) in enumerate(
        zip(pictures, predictions, true_ids, true_names, strict=True)
    ):
        row, column = divmod(place, per_row)
        above, below = grid[2 * row, column], grid[2 * row + 1, column]
        above.imshow(picture, interpolation="nearest")
        above.set_title(
            shortened(true_name, 28), y=-0.13, fontsize=10, fontweight="bold", color=LIGHT.ink, parse_math=False
        )
        _bars(below, prediction, true_id)
    return figure


def _bars(axes: Axes, prediction: Prediction, true_id: str) -> None:
    places = range(len(prediction.labels))
    colours = [LIGHT.true if label.id == true_id else LIGHT.other for label in prediction.labels]
    axes.barh(places, [label.probability for label in prediction.labels], color=colours, alpha=0.45, height=0.86)
    for place, label in zip(places, prediction.labels, strict=True):
        axes.text(0.02, place, shortened(label.name, 30), va="center", fontsize=9, color=LIGHT.ink, parse_math=False)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(places) - 0.5, -0.5)


def shortened(name: str, most: int) -> str:
    """The name, cut with … if it is longer than `most` characters."""
    name = f" {name}" if name.startswith("_") else name  # matplotlib leaves names with _ out of legends
    return name if len(name) <= most else name[: most - 1].rstrip() + "…"


# ── confusion ────────────────────────────────────────────────────────────────────────────────────────────────────


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


# ── as files ─────────────────────────────────────────────────────────────────────────────────────────────────────


def png_of(drawing: Figure | np.ndarray, kind: str = "figure") -> bytes:
    """A figure, or pixels (rows, columns, 3 or 4) uint8, as the bytes of a PNG: the same bytes for the same drawing.
    `kind`: what `alexnet.files.outputs.kind_of` finds in it."""
    data = io.BytesIO()
    if isinstance(drawing, Figure):
        with warnings.catch_warnings():
            # A name in a script that the font lacks shows as boxes here; the report has it as text.
            warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
            # The box around all that is drawn: a title may reach beyond the figure that was laid out.
            box = {"bbox_inches": "tight", "pad_inches": 0.1}
            colour, text = drawing.get_facecolor(), {"Software": mark(kind)}
            drawing.savefig(data, format="png", facecolor=colour, metadata=text, **box)
    else:
        text = PngInfo()
        text.add_text("Software", mark(kind))
        Image.fromarray(drawing).save(data, "PNG", optimize=True, pnginfo=text)
    return data.getvalue()
