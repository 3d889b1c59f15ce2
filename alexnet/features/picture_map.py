"""Pictures on a plane, those alike to a network close together: PCA, t-SNE or UMAP of the values of a layer.

N pictures · D values of a layer · K classes · T side of a thumbnail.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from alexnet.choices import Embedding
from alexnet.data.batches import StepProgress, batches
from alexnet.data.store.read import Store
from alexnet.drawing import LIGHT, TITLE, Result, blank_figure, literal_legend, shortened
from alexnet.errors import UserError, optional_package
from alexnet.features.extract import describer
from alexnet.isolation import isolated
from alexnet.measure.evaluation import check_size, split_of
from alexnet.measure.run import Run
from alexnet.see.display import tile
from alexnet.see.figures import CLASS_COLOURS
from alexnet.see.units import evenly_spread

MOST = 2000
"""Pictures on a map, evenly spread over the split."""
COMPONENTS = 50
"""Principal components that t-SNE and UMAP start from."""
FEWEST = 5
PERPLEXITY = 30.0
NEIGHBOURS = 15
THUMBNAIL = 48
CANVAS = 1600
"""Pixels of the side of a map of thumbnails."""
STYLES = tuple(product("o^sDv", CLASS_COLOURS))
"""Marker and colour of each class; with more classes they begin again, and there is no legend."""


@dataclass(frozen=True, eq=False)
class PictureMap(Result):
    """Where each picture lies: `positions` float64 (N, 2), without units; `labels` int64 (N,) index `class_names` (K);
    `numbers` (N,) are the pictures' places in the split, `keys` (N,) their paths in the source, `thumbnails` uint8 (N,
    T, T, 3). `explained`: the share of the variance in the two principal components that are shown (pca), or in those
    that the method started from."""

    method: Embedding
    layer: str
    positions: Float[np.ndarray, "N 2"]
    labels: Int[np.ndarray, "N"]
    numbers: Int[np.ndarray, "N"]
    keys: tuple[str, ...]
    class_names: tuple[str, ...]
    thumbnails: UInt8[np.ndarray, "N T T 3"]
    explained: float

    def as_json(self) -> dict[str, Any]:
        columns = self.numbers.tolist(), self.keys, self.labels.tolist(), self.positions.round(4).tolist()
        names = "number", "key", "label", "at"
        return {
            "method": self.method,
            "layer": self.layer,
            "explained": self.explained,
            "class_names": list(self.class_names),
            "pictures": [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)],
        }

    def draw(self, thumbnails: bool = False) -> Figure:
        """A point for each picture, marked and coloured by its class; or the pictures themselves, small, in a frame of
        that colour."""
        figure, axes = _figure()
        draw = self._draw_thumbnails if thumbnails else self._draw_points
        draw(axes)
        axes.set_xticks([])
        axes.set_yticks([])
        of = "" if self.method == "pca" else f" of {COMPONENTS} principal components"
        how = f"{self.method}{of} ({self.explained:.0%} of the variance)"
        title = f"{len(self.labels):,} pictures by {self.layer}: {how}"
        axes.set_title(title, fontsize=TITLE, color=LIGHT.ink)
        shown = np.unique(self.labels).tolist()
        if len(self.class_names) <= len(STYLES):
            for label in shown:  # of both kinds of map
                marker, colour = STYLES[label]
                name = shortened(self.class_names[label], 22)
                axes.plot([], [], marker, color=colour, markersize=5, label=name)
            columns = 1 + len(shown) // 26
            literal_legend(axes, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7.5, ncols=columns)
        return figure

    def _draw_points(self, axes: Axes) -> None:
        for label in np.unique(self.labels).tolist():
            marker, colour = STYLES[label % len(STYLES)]
            x, y = self.positions[self.labels == label].T
            axes.plot(x, y, marker, color=colour, markersize=4.5, alpha=0.8, markeredgewidth=0)

    def _draw_thumbnails(self, axes: Axes) -> None:
        low, high = self.positions.min(axis=0), self.positions.max(axis=0)
        side = self.thumbnails.shape[1] + 4
        scaled = (self.positions - low) / np.maximum(high - low, 1e-12) * (CANVAS - side)
        canvas = np.full((CANVAS, CANVAS, 3), 255, np.uint8)
        for (x, y), label, picture in zip(scaled.astype(int), self.labels.tolist(), self.thumbnails, strict=True):
            colour = STYLES[label % len(STYLES)][1]
            top = CANVAS - side - y  # upwards, as of the points
            canvas[top : top + side, x : x + side] = [int(colour[n : n + 2], 16) for n in (1, 3, 5)]
            canvas[top + 2 : top + side - 2, x + 2 : x + side - 2] = picture
        axes.imshow(canvas, interpolation="antialiased")


def _figure() -> tuple[Figure, Axes]:
    figure = blank_figure(8.4, 6.4)
    axes = figure.add_subplot()
    axes.spines[:].set_color(LIGHT.faint)
    return figure, axes


@isolated()
def picture_map(
    run: Run,
    store: Store,
    split: str = "val",
    layer: str | int | None = None,
    method: Embedding = "t-sne",
    *,
    most: int = MOST,
    seed: int = 0,
    progress: StepProgress | None = None,
    layout: Callable[..., np.ndarray] | None = None,
) -> PictureMap:
    """A map of `most` pictures of a split, evenly spread, by the values of a layer (by name or number; default: the
    last hidden one) of their centre views.

    "pca": the two principal components, the same each time; "t-sne" (scikit-learn) and "umap" (umap-learn) lay out
    COMPONENTS of them, which keeps neighbours together; distances between far groups mean little there. Raises
    UserError for a layer that does not exist or gives every picture the same, for fewer than five pictures, for a store
    whose records are not as large as the run's, and if umap-learn is not installed. `layout` is called in place of
    `laid_out`, with its arguments, to do it elsewhere.
    """
    check_size(run.folder, store)
    if method == "umap":
        optional_package("umap", "umap", "a map by UMAP")
    pictures, describe = split_of(store, split), describer(run, layer)
    numbers = np.array(evenly_spread(len(pictures), most))
    if len(numbers) < FEWEST:
        raise UserError(f"{len(numbers)} pictures: a map needs at least {FEWEST}.")
    values, thumbnails = [], []
    for records, _ in batches(pictures, 128, numbers, progress and partial(progress, describe.layer)):
        values.append(describe(records).numpy())
        thumbnails += [tile(record, THUMBNAIL) for record in records.numpy()]
    values_nd = np.concatenate(values)
    if not np.ptp(values_nd, axis=0).any():
        raise UserError(f"{describe.layer} gives every picture the same values: there is nothing to map.")
    wanted = 2 if method == "pca" else min(COMPONENTS, *values_nd.shape)
    pca = PCA(wanted, random_state=seed)
    positions = (layout or laid_out)(pca.fit_transform(values_nd), method, seed)
    return PictureMap(
        method=method,
        layer=describe.layer,
        positions=positions.astype(np.float64),
        labels=pictures.labels[numbers],
        numbers=numbers,
        keys=tuple(pictures.keys[number] for number in numbers),
        class_names=store.class_names,
        thumbnails=np.stack(thumbnails),
        explained=float(pca.explained_variance_ratio_.sum()),
    )


def laid_out(components_nd: np.ndarray, method: Embedding, seed: int) -> np.ndarray:
    """Principal components on a plane: (N, 2)."""
    if method == "t-sne":
        perplexity = min(PERPLEXITY, (len(components_nd) - 1) / 3)
        return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(components_nd)
    if method == "umap":
        neighbours, umap = min(NEIGHBOURS, len(components_nd) - 1), optional_package("umap", "umap", "a map by UMAP")
        return umap.UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1).fit_transform(components_nd)
    return components_nd
