"""Ablation curves: the accuracy of a run as more and more units of one layer are silenced.

C maps, or units of a fully connected layer · P points of a curve · B pictures · K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from torch import Tensor

from alexnet.choices import AblationOrder
from alexnet.data.batches import Progress, StepProgress, batches
from alexnet.data.store.read import Store, StoreSplit
from alexnet.drawing import LIGHT, TITLE, Result, literal_legend, plot_figure
from alexnet.errors import UsageError
from alexnet.isolation import isolated
from alexnet.kernels.reference import at_least_float32
from alexnet.measure.accuracy import Counts, count, wilson
from alexnet.measure.evaluation import check_size, class_map, filled_splits, split_of
from alexnet.measure.run import Run
from alexnet.measure.viewer import BATCH
from alexnet.nets.network import Network
from alexnet.nets.table import Weighted
from alexnet.see.forward_pass import inputs_of
from alexnet.see.units import evenly_spread, feature_row
from alexnet.text import table

RANKED = 1000
"""Pictures on which units are ranked, at most."""
POINTS = 11
ORDERS: dict[AblationOrder, str] = {
    "activation": "most active first",
    "effect": "largest effect first",
    "random": "in random order",
}


@dataclass(frozen=True, eq=False)
class AblationCurve(Result):
    """The errors on a split with the first `silenced` (P) units of a row set to 0, for each order of its units.

    `orders` (C,): the units in their order; `counts`: what was counted at each point; `ranked_on`: the split on which
    the orders were found; `seed`: of the random one.
    """

    row: str
    split: str
    silenced: tuple[int, ...]
    orders: dict[AblationOrder, Int[Tensor, "C"]]
    counts: dict[AblationOrder, list[Counts]]
    ranked_on: str
    seed: int

    def accuracy(self, order: AblationOrder) -> Float[np.ndarray, "P"]:
        """The share of pictures answered rightly at each point, 0 to 1."""
        return np.array([1 - one.top1 for one in self.counts[order]])

    def intervals(self, order: AblationOrder) -> Float[np.ndarray, "P 2"]:
        """The 95 % intervals of the accuracy (Wilson 1927)."""
        errors = np.array([wilson(one.top1_errors, one.pictures) for one in self.counts[order]])
        return 1 - errors[:, ::-1]

    def as_json(self) -> dict[str, Any]:
        curves = {
            order: {
                "accuracy": self.accuracy(order).tolist(),
                "intervals": self.intervals(order).tolist(),
                "errors": [one.top1_errors for one in counts],
                "nll": [one.mean_nll for one in counts],
                "units": self.orders[order].tolist(),
            }
            for order, counts in self.counts.items()
        }
        about = {"row": self.row, "split": self.split, "ranked_on": self.ranked_on, "seed": self.seed}
        pictures = next(iter(self.counts.values()))[0].pictures
        return about | {"pictures": pictures, "silenced": list(self.silenced), "curves": curves}

    def describe(self) -> str:
        """The accuracy at each point as a table."""
        columns = [self.accuracy(order) for order in self.counts]
        rows = [
            (f"{silenced:,}", *(f"{column[point]:.1%}" for column in columns))
            for point, silenced in enumerate(self.silenced)
        ]
        return table((f"silenced in {self.row}", *(ORDERS[order] for order in self.counts)), rows)

    def draw(self) -> Figure:
        """A curve for each order, with its 95 % interval."""
        figure, axes = plot_figure(5.6, 3.6)
        for colour, order in zip(LIGHT.lines, self.counts, strict=False):
            low, high = self.intervals(order).T
            axes.plot(self.silenced, self.accuracy(order), marker=".", color=colour, label=ORDERS[order])
            axes.fill_between(self.silenced, low, high, color=colour, alpha=0.15, linewidth=0)
        units, pictures = self.silenced[-1], next(iter(self.counts.values()))[0].pictures
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel(f"silenced in {self.row}, of {units:,}", fontsize=TITLE, color=LIGHT.ink)
        axes.set_ylabel("top-1 accuracy", fontsize=TITLE, color=LIGHT.ink)
        title = f"accuracy without units of {self.row} · {pictures:,} pictures of {self.split}"
        axes.set_title(title, fontsize=TITLE, color=LIGHT.ink, parse_math=False)
        literal_legend(axes, fontsize=8.5)
        return figure


@isolated()
def ablation_curve(
    run: Run,
    store: Store,
    layer: str,
    *,
    split: str = "val",
    orders: Sequence[AblationOrder] = tuple(ORDERS),
    points: int = POINTS,
    seed: int = 0,
    progress: StepProgress | None = None,
) -> AblationCurve:
    """Silence more and more units of a layer, in several orders, and count the errors on a split (centre view).

    `layer`: a row; one with weights stands for its units past their non-linearity (conv5: relu5). `orders`:
    "activation", the units with the largest mean activation first; "effect", those first whose silence raises
    −ln p(true class) most, by the first-order estimate −a·∂(−ln p)/∂a; "random". Both are ranked on at most RANKED
    training pictures, if the store has any, so that the split itself chooses nothing. One pass over the split: each
    batch is computed up to the layer once. Raises UserError for a row or split that there is not or that can't be
    computed, or for other classes or sizes than the run's; UsageError for less than two points or the last row.
    """
    network, row = run.network, past_non_linearity(run.network, layer)
    if points < 2:
        raise UsageError(f"{points} points: a curve has at least 2, nothing silenced and everything.")
    pictures, ranked_on = split_of(store, split), "train" if "train" in filled_splits(store) else split
    check_size(run.folder, store)
    follow = None if progress is None else partial(progress, f"ranking on {ranked_on}")
    found = ranked_units(run, store, store.splits[ranked_on], row, orders, seed, follow)
    silenced = tuple(evenly_spread(network.layer(row).leaving.maps + 1, points))
    labels = torch.from_numpy(class_map(run.folder, store, pictures)[pictures.labels])
    counts: dict[AblationOrder, list[Counts]] = {order: [Counts()] * len(silenced) for order in found}
    follow = None if progress is None else partial(progress, split)
    for records, numbers in batches(pictures, BATCH, progress=follow):
        with isolated(inference=True), network.copies.in_use():
            maps = network.maps(inputs_of(run.viewer, records), [row])[row]
            for order, units in found.items():
                left, done = maps.clone(), 0
                for point, many in enumerate(silenced):
                    left[:, units[done:many]] = 0
                    done = many
                    probabilities = network.probabilities(logits_from(network, row, left)).cpu()
                    counts[order][point] += count(probabilities, labels[numbers])
    return AblationCurve(row, split, silenced, found, counts, ranked_on, seed)


def past_non_linearity(network: Network, layer: str) -> str:
    """The row whose units are meant by `layer`: of one with weights that past its non-linearity. Raises UserError for
    one that can't be computed, UsageError for the last, behind which nothing is left to see a change."""
    row = network.layer(layer).row
    weighted = network.table.weighted
    name = feature_row(network, weighted.index(row) + 1) if isinstance(row, Weighted) else layer
    network.check_computable(name)
    network.check_computable(network.last)
    if name == network.last:
        raise UsageError(f"{layer}: the last row holds the answer itself; name one below it.")
    return name


def logits_from(network: Network, row: str, maps: Tensor) -> Float[Tensor, "B K"]:
    """Logits from the output of a row."""
    rest = network.order[network.order.index(row) + 1 :]
    return at_least_float32(network.through(rest, maps)).flatten(1)


def ranked_units(
    run: Run,
    store: Store,
    pictures: StoreSplit,
    row: str,
    orders: Sequence[AblationOrder],
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[AblationOrder, Int[Tensor, "C"]]:
    """The units of a row in each of several orders: see `ablation_curve`."""
    network, maps = run.network, run.network.layer(row).leaving.maps
    found: dict[AblationOrder, Tensor] = {}
    if {"activation", "effect"} & {*orders}:
        activation_c, effect_c = torch.zeros(2, maps, dtype=torch.float64)
        labels = torch.from_numpy(class_map(run.folder, store, pictures)[pictures.labels])
        for records, numbers in batches(pictures, BATCH, evenly_spread(len(pictures), RANKED), progress):
            with network.copies.in_use():
                with torch.no_grad():
                    known = network.maps(inputs_of(run.viewer, records), [row])[row]
                known.requires_grad_()
                true = labels[numbers].to(known.device)
                nll = F.cross_entropy(logits_from(network, row, known), true, reduction="sum")
                (slope,) = torch.autograd.grad(nll, known)
            values = known.detach()
            for total, part in ((activation_c, values), (effect_c, -values * slope)):
                total += (
                    part.double().flatten(2).sum(dim=2).sum(dim=0).cpu()
                    if part.ndim == 4
                    else part.double().sum(0).cpu()
                )
        found = {"activation": activation_c, "effect": effect_c}
        found = {order: total.argsort(descending=True, stable=True) for order, total in found.items()}
    found["random"] = torch.randperm(maps, generator=torch.Generator().manual_seed(seed))
    return {order: found[order] for order in orders}
