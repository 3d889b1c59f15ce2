"""The results of a search: a sheet of pictures like [A] Fig. 4, right; a table; JSON.

N queries · C pictures found for each · S side of a picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from alexnet.drawing import LIGHT, blank_figure, png_of, shortened
from alexnet.features.similar.index import Neighbour
from alexnet.files.atomic import write_atomically
from alexnet.files.schema import to_json
from alexnet.report.results import Claim
from alexnet.text import printable, table

MOST_ROWS = 24
"""Queries on one sheet."""
LINE, LINE_HEIGHT = 18, 0.15
"""Characters of a line below a picture, and its height in inches."""


@dataclass(frozen=True)
class Found:
    """What a search found for the query called `query`, the nearest first."""

    query: str
    nearest: tuple[Neighbour, ...]


def describe(found: Sequence[Found]) -> str:
    """For each query a heading and a line for each picture."""
    return "\n\n".join(f"{printable(one.query)}\n{_lines(one.nearest)}" for one in found)


def _lines(nearest: Sequence[Neighbour]) -> str:
    decimals = 0 if all(one.distance.is_integer() for one in nearest) else 3  # bits, or Euclidean
    rows = [(f"{one.distance:.{decimals}f}", one.class_name, printable(one.picture)) for one in nearest]
    return table(("distance", "class", "picture"), rows, left=3)


def contact_sheet(
    queries_nssc: np.ndarray,
    found_ncssc: np.ndarray,
    framed_nc: np.ndarray | None = None,
    heads: tuple[str, str] = ("query", "nearest →"),
    words: Sequence[Sequence[str]] | None = None,
    captions: Sequence[Sequence[str]] | None = None,
) -> Figure:
    """Queries in the first column, the pictures found for each to their right ([A] Fig. 4, right). `framed_nc`: which
    have a frame of the true class's colour; `words`: a line below each picture found; `captions`: lines below each
    query."""
    count, most = found_ncssc.shape[:2]
    lines = max(int(words is not None), len(captions[0]) if captions else 0)
    figure = blank_figure(1.0 * (most + 1) + 0.3, (1.0 + LINE_HEIGHT * lines) * count + 0.25, LIGHT)
    grid = figure.subplots(count, most + 1, squeeze=False)
    for row in range(count):
        pictures = [queries_nssc[row], *found_ncssc[row]]
        for place, (axes, picture) in enumerate(zip(grid[row], pictures, strict=True)):
            axes.imshow(picture, interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            framed = framed_nc is not None and place > 0 and framed_nc[row, place - 1]
            for spine in axes.spines.values():
                spine.set_color(LIGHT.true if framed else LIGHT.ground)
                spine.set_linewidth(2.2 if framed else 0)
            below: Sequence[str] = ()
            if place == 0 and captions is not None:
                below = captions[row]
            elif place > 0 and words is not None:
                below = [words[row][place - 1]]
            text = "\n".join(shortened(line, LINE) for line in below)
            axes.set_xlabel(text, fontsize=6, color=LIGHT.ink, parse_math=False)
    for place, head in enumerate(heads):
        grid[0, place].set_title(head, fontsize=9, color=LIGHT.ink, loc="left" if place else "center")
    return figure


def sheets_of(count: int) -> list[str]:
    """How the names of the sheets of `count` queries end: one sheet holds 24."""
    return [".png" if number == 0 else f"-{number + 1}.png" for number in range(-(-count // MOST_ROWS))]


def write_sheets(claim: Claim, found: Sequence[Found], queries: np.ndarray, pictures: np.ndarray | None) -> None:
    """The JSON file and the sheets of a `claim`: similar.json, similar.png, similar-2.png … `pictures` (N·C, S, S, 3):
    those found; without them no sheet is drawn."""
    claim.put(None, to_json(found))
    if pictures is None:
        return
    pictures = pictures.reshape(len(found), -1, *pictures.shape[1:])
    for number, end in enumerate(sheets_of(len(found))):
        rows = slice(number * MOST_ROWS, (number + 1) * MOST_ROWS)
        words = [[near.class_name for near in one.nearest] for one in found[rows]]
        sheet = contact_sheet(queries[rows], pictures[rows], words=words)
        write_atomically(claim.path(end), png_of(sheet, claim.kind))
