"""How alike two runs represent the same pictures, layer by layer: linear CKA (Kornblith et al. 2019), unbiased (Nguyen
et al. 2021), and the correlation of similarities (Kriegeskorte et al. 2008).

N pictures · D values of a layer · L layers of the run · M layers of the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from alexnet.data.batches import Progress, StepProgress, batches
from alexnet.data.store.read import Store, StoreSplit
from alexnet.drawing import LIGHT, TITLE, Result, figure_grid, shortened
from alexnet.errors import UserError
from alexnet.isolation import isolated
from alexnet.measure.evaluation import check_size, split_of
from alexnet.measure.run import Run
from alexnet.measure.viewer import BATCH, ViewAverager
from alexnet.nets.network import Network
from alexnet.see.forward_pass import inputs_of
from alexnet.see.units import evenly_spread
from alexnet.text import table

MOST = 500
"""Pictures that are compared, evenly spread over the split."""
FEWEST = 4
"""Pictures that the unbiased estimate needs."""
HELD_BYTES = 1 << 29
"""Values of a layer, in float32, that are held in memory; of larger layers some columns at a time."""
COLUMNS = 4096
"""Columns that are multiplied at a time, in float64."""
MEASURES = {"cka": "linear CKA", "unbiased_cka": "linear CKA, unbiased", "correlation": "correlation of similarities"}


@dataclass(frozen=True, eq=False)
class Representations(Result):
    """How alike each layer of a run (`layers`, L) and each of another (`other_layers`, M) represent so many `pictures`.

    With K = X̃X̃ᵀ, X̃ (N, D) a layer's values less their mean over the pictures, float64 (L, M) each: `cka` ⟨K, K′⟩ /
    (‖K‖ ‖K′‖), 0 to 1; `unbiased_cka`, the same of the unbiased estimates, about 0 for unrelated layers whatever N and
    D are; `correlation`, of the cosines k_ij / √(k_ii k_jj) of all pairs of pictures, −1 to 1, in which pictures that
    excite a layer much count no more than others. None changes if a layer's values are rotated, mirrored, shifted or
    scaled as a whole. `names`: of the two runs.
    """

    names: tuple[str, str]
    layers: tuple[str, ...]
    other_layers: tuple[str, ...]
    pictures: int
    cka: Float[np.ndarray, "L M"]
    unbiased_cka: Float[np.ndarray, "L M"]
    correlation: Float[np.ndarray, "L M"]

    def as_json(self) -> dict[str, Any]:
        measures = {name: getattr(self, name).tolist() for name in MEASURES}
        layers = {"layers": list(self.layers), "other_layers": list(self.other_layers)}
        return {"runs": list(self.names), "pictures": self.pictures, **layers, **measures}

    def describe(self) -> str:
        """The unbiased CKA as a table: a row for each layer of the run, a column for each of the other."""
        rows = [(name, *(f"{v:.3f}" for v in row)) for name, row in zip(self.layers, self.unbiased_cka, strict=True)]
        return table((MEASURES["unbiased_cka"], *self.other_layers), rows)

    def draw(self) -> Figure:
        """The three measures as maps; each cell has its value."""
        wide, high = 1.2 + 0.5 * len(self.other_layers), 1.5 + 0.4 * len(self.layers)
        figure, axes = figure_grid(1, len(MEASURES), wide + 0.4, high)
        for panel, (name, title) in zip(axes.flat, MEASURES.items(), strict=True):
            values = getattr(self, name)
            panel.set_axis_on()
            image = panel.imshow(values, cmap="viridis", vmin=0, vmax=1)
            panel.set_title(title, fontsize=TITLE, color=LIGHT.ink)
            panel.set_xticks(range(len(self.other_layers)), self.other_layers, rotation=90, fontsize=8)
            panel.set_yticks(range(len(self.layers)), self.layers, fontsize=8)
            panel.set_xlabel(shortened(self.names[1], 24), fontsize=TITLE, color=LIGHT.ink, parse_math=False)
            panel.set_ylabel(shortened(self.names[0], 24), fontsize=TITLE, color=LIGHT.ink, parse_math=False)
            for (row, column), value in np.ndenumerate(values):
                ink = "black" if value > 0.6 else "white"
                panel.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6.5, color=ink)
            figure.colorbar(image, ax=panel, shrink=0.8)
        return figure


@isolated()
def compare_representations(
    run: Run,
    other: Run,
    store: Store,
    layers: Sequence[str] = (),
    other_layers: Sequence[str] = (),
    *,
    split: str = "val",
    most: int = MOST,
    progress: StepProgress | None = None,
) -> Representations:
    """Compare the layers of two runs (default: all that have weights and can be computed; `other_layers` by default as
    `layers`) on `most` pictures of a split, evenly spread, by their centre views.

    Held in memory are an N × N matrix for each layer of `run` and at most HELD_BYTES of values. Raises UserError for a
    layer that there is not or that gives every picture the same, for fewer than four pictures, and for a store whose
    records are not as large as either run's.
    """
    check_size(run.folder, store)
    check_size(other.folder, store)
    pictures = split_of(store, split)
    numbers = np.array(evenly_spread(len(pictures), most))
    if len(numbers) < FEWEST:
        raise UserError(f"{len(numbers)} pictures: at least {FEWEST} are needed to compare representations.")
    mine, theirs = _layers(run.network, layers), _layers(other.network, other_layers or layers)
    follow = (lambda layer: partial(progress, layer)) if progress else lambda _: None
    grams = [centred_gram(run.viewer, pictures, numbers, layer, follow(layer)) for layer in mine]
    found = np.empty((len(MEASURES), len(mine), len(theirs)))
    for column, layer in enumerate(theirs):
        gram = centred_gram(other.viewer, pictures, numbers, layer, follow(layer))
        for row, own in enumerate(grams):
            found[:, row, column] = linear_cka(own, gram), unbiased_cka(own, gram), correlation(own, gram)
    names = run.path.resolve().name, other.path.resolve().name
    return Representations(names, mine, theirs, len(numbers), *found)


def _layers(network: Network, layers: Sequence[str]) -> tuple[str, ...]:
    for name in layers:
        network.check_computable(name)
    return tuple(layers) or tuple(layer.row.name for layer in network.computable_layers if layer.macs)


def centred_gram(
    viewer: ViewAverager, split: StoreSplit, numbers: np.ndarray, layer: str, progress: Progress | None = None
) -> Float[Tensor, "N N"]:
    """K = X̃X̃ᵀ, float64: the inner products of the layer's values of every two pictures, less their mean over the
    pictures. Raises UserError if it is 0 throughout."""
    values, pictures = viewer.network.layer(layer).leaving.units, len(numbers)
    width = max(1, HELD_BYTES // (4 * pictures))
    gram = torch.zeros(pictures, pictures, dtype=torch.float64)
    for first in range(0, values, width):
        held = [
            _values(viewer, records, layer)[:, first : first + width].cpu()
            for records, _ in batches(split, BATCH, numbers, progress)
        ]
        for columns in torch.cat(held).split(COLUMNS, dim=1):
            centred = columns.double() - columns.double().mean(dim=0)
            gram += centred @ centred.T
    if not gram.any():
        raise UserError(f"{layer} gives every picture the same values: there is nothing to compare.")
    return gram


@isolated(inference=True)
def _values(viewer: ViewAverager, records: Tensor, layer: str) -> Float[Tensor, "B D"]:
    return viewer.maps(inputs_of(viewer, records), [layer])[layer].flatten(1).float()


def linear_cka(gram: Float[Tensor, "N N"], other: Float[Tensor, "N N"]) -> float:
    """⟨K, K′⟩ / (‖K‖ ‖K′‖) of centred Gram matrices: ‖X̃ᵀX̃′‖² / (‖X̃ᵀX̃‖ ‖X̃′ᵀX̃′‖) (Kornblith et al. 2019)."""
    return float((gram * other).sum() / (gram.norm() * other.norm()))


def unbiased_cka(gram: Float[Tensor, "N N"], other: Float[Tensor, "N N"]) -> float:
    """The same with the unbiased estimate of HSIC (Song et al. 2012) in place of ⟨K, K′⟩ (Nguyen et al. 2021): the
    inner product of U-centred matrices."""
    return linear_cka(_u_centred(gram), _u_centred(other))


def _u_centred(gram: Float[Tensor, "N N"]) -> Float[Tensor, "N N"]:
    """The matrix with zeros on its diagonal and rows and columns that sum to zero (Székely and Rizzo 2014)."""
    count = len(gram)
    hollow = gram - gram.diag().diag()
    rows = hollow.sum(dim=1) / (count - 2)
    centred = hollow - rows[:, None] - rows + rows.sum() / (count - 1)
    return centred - centred.diag().diag()


def correlation(gram: Float[Tensor, "N N"], other: Float[Tensor, "N N"]) -> float:
    """Pearson's correlation of the cosines of centred values, k_ij / √(k_ii k_jj), each pair of pictures once."""
    rows, columns = torch.triu_indices(len(gram), len(gram), offset=1)
    lengths = [one.diag().clamp(min=torch.finfo(one.dtype).tiny).sqrt() for one in (gram, other)]
    cosines = [one[rows, columns] / (d[rows] * d[columns]) for one, d in zip((gram, other), lengths, strict=True)]
    return float(torch.corrcoef(torch.stack(cosines))[0, 1])
