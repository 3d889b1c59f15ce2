"""The drawing kit: themes, empty figures, axes, results that draw themselves, mosaics, and PNG files.

Everything is drawn by matplotlib's object-oriented side (no global state, no screen) or pixel by pixel. K kernels · N
tiles. Colours keep a contrast of 4.5:1 for text and 3:1 for lines on their ground.
"""

import io
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from alexnet.errors import UserError
from alexnet.files.atomic import expanded, write_atomically
from alexnet.files.outputs import GENERATOR, mark, refuse_foreign
from alexnet.files.schema import json_bytes
from alexnet.html import data_uri

DPI = 200
RESULT = "result"
KERNELS_PER_ROW = 16  # [A] Fig. 3
WHITE = 255
KERNEL_PIXELS = 64
"""Least side, in pixels, at which a kernel is drawn."""
TITLE = 9.5
"""Points of the titles of small axes."""


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
    lines=("#5145a3", "#b0306e", "#6b6a12"),
    true="#be185d",
    other="#3b6ea8",
    ramp=("#ffffff", "#7fa6dc", "#0b2f6b"),
)
DARK = Theme(
    ground="#191c21",
    ink="#e8eaed",
    faint="#3a3f47",
    lines=("#b3a7f5", "#f08ab8", "#c9c56a"),
    true="#f472b6",
    other="#6ea3dc",
    ramp=("#191c21", "#3f6db0", "#e3edff"),
)


# ── figures of matplotlib ─────────────────────────────────────────────────────────────────────────────────────────


def blank_figure(width: float, height: float, theme: Theme = LIGHT) -> Figure:
    """An empty figure of so many inches. Its canvas draws into memory."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=theme.ground, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plain_axes(axes: Axes, theme: Theme = LIGHT) -> None:
    """Axes of a curve: a faint grid behind it, lines at the left and the bottom only."""
    axes.set_facecolor(theme.ground)
    axes.grid(color=theme.faint, linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.ink)
    axes.tick_params(which="both", colors=theme.ink, labelsize=9.5)


def plot_figure(width: float, height: float, theme: Theme = LIGHT) -> tuple[Figure, Axes]:
    """A figure of so many inches with the axes of a curve."""
    figure = blank_figure(width, height, theme)
    axes = figure.add_subplot()
    plain_axes(axes, theme)
    return figure, axes


def literal_legend(holder: Axes | Figure, **options: Any) -> None:
    """A legend without a frame whose names are shown as they are: a dollar sign in one begins no formula."""
    for text in holder.legend(frameon=False, **options).get_texts():
        text.set_parse_math(False)


def figure_grid(rows: int, columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """A figure with `rows` × `columns` axes of so many inches each, all blank."""
    figure = blank_figure(columns * width, rows * height)
    axes = figure.subplots(rows, columns, squeeze=False)
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(h_pad=0.08)  # pyright: ignore[reportCallIssue] - of the constrained layout, which ours is
    for one in axes.flat:
        one.set_axis_off()
    return figure, axes


def show(axes: Axes, picture: np.ndarray, title: str = "", size: float = TITLE) -> None:
    """A picture without ticks, its title above it."""
    axes.imshow(picture, interpolation="nearest")
    axes.set_axis_off()
    if title:
        axes.set_title(title, fontsize=size, color=LIGHT.ink, parse_math=False)


def shortened(name: str, most: int) -> str:
    """The name, cut with … if it is longer than `most` characters."""
    name = f" {name}" if name.startswith("_") else name  # matplotlib leaves names with _ out of legends
    return name if len(name) <= most else name[: most - 1].rstrip() + "…"


def figure_of(ax: Axes) -> Figure:
    """The figure that the axes are part of."""
    figure = ax.get_figure(root=True)
    assert isinstance(figure, Figure)
    return figure


# ── results that draw themselves ──────────────────────────────────────────────────────────────────────────────────


class Result(ABC):
    """What a method found: a frozen dataclass, its arrays are attributes. A notebook shows it as its figure."""

    @abstractmethod
    def draw(self) -> Figure:
        """The figure that shows it."""

    def plot(self, ax: Axes | None = None) -> Figure:
        """The result drawn by matplotlib: a figure of its own, or on `ax`, whose figure is returned."""
        figure = self.draw()
        if ax is None:
            return figure
        with Image.open(io.BytesIO(png_of(figure, RESULT))) as drawn:
            show(ax, np.asarray(drawn))
        return figure_of(ax)

    @abstractmethod
    def as_json(self) -> Any:
        """Its numbers, as JSON takes them."""

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the figure to FILE.png or the numbers to FILE.json. Raises UserError for another ending, and for a file
        there that this program did not write."""
        place = Path(expanded(path))
        if place.suffix not in (".png", ".json"):
            raise UserError(f"{place}: the name must end in .png, for the figure, or in .json, for the numbers.")
        refuse_foreign(place, RESULT, "")
        if place.suffix == ".png":
            content = png_of(self.plot(), RESULT)
        else:
            content = json_bytes({GENERATOR: mark(RESULT), "result": self.as_json()})
        write_atomically(place, content)
        return place

    def _repr_html_(self) -> str:
        source = data_uri(png_of(self.plot(), RESULT))
        return f'<img src="{source}" style="max-width: 100%" alt="{type(self).__name__}">'


# ── mosaics ───────────────────────────────────────────────────────────────────────────────────────────────────────


def mosaic(tiles: np.ndarray | Sequence[np.ndarray], per_row: int, gap: int = 2, ground: int = WHITE) -> np.ndarray:
    """Tiles of one size, uint8 (N, rows, columns) with or without channels, `per_row` side by side, with lines of
    `gap` pixels between them."""
    height, width, *channels = tiles[0].shape
    rows = math.ceil(len(tiles) / per_row)
    sheet = np.full((rows * (height + gap) - gap, per_row * (width + gap) - gap, *channels), ground, np.uint8)
    for position, one in enumerate(tiles):
        row, column = divmod(position, per_row)
        top, left = row * (height + gap), column * (width + gap)
        sheet[top : top + height, left : left + width] = one
    return sheet


def kernel_mosaic(
    kernels: np.ndarray, per_row: int = KERNELS_PER_ROW, *, together: bool = False, clear: bool = False
) -> np.ndarray:
    """Kernels (K, 3, side, side) as one picture, uint8 (rows, columns, 3), `per_row` side by side.

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
    return mosaic(large, min(per_row, count), gap=4, ground=0 if clear else WHITE)


def columns_mosaic(kernels: np.ndarray, columns: int) -> np.ndarray:
    """The kernels of each column in a block of its own, one above the other ([A] Fig. 3: GPU 1, then GPU 2)."""
    blocks = [kernel_mosaic(block) for block in np.split(kernels, columns)]
    space = np.full((28, blocks[0].shape[1], 3), 255, np.uint8)
    return np.concatenate([piece for block in blocks for piece in (block, space)][:-1])


# ── files ─────────────────────────────────────────────────────────────────────────────────────────────────────────


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
