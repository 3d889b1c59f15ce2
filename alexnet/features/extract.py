"""A layer's outputs for pictures, as vectors.

B pictures of a batch · N pictures in all · D values of a layer · S side of a record.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from alexnet.data.batches import Pictures, Progress, batches
from alexnet.data.preprocessing import Records
from alexnet.data.views import VIEW_NUMBERS, all_views
from alexnet.features.pictures import as_pictures
from alexnet.isolation import isolated
from alexnet.measure.run import Run, check_views
from alexnet.measure.viewer import BATCH, ViewAverager
from alexnet.nets.network import Network
from alexnet.see.units import hidden_row, output_row


def layer_named(network: Network, words: str | int | None = None) -> str:
    """The row that `words` name: a row of the network, or the number of a layer as the papers count; None: the last
    hidden layer, after its non-linearity. Raises UserError, naming those that exist."""
    if words is None:
        return hidden_row(network)
    if str(words).isdecimal():
        return output_row(network, int(words))
    return network.layer(str(words)).row.name


def mean_over_views(
    viewer: ViewAverager, records: Records, layers: Collection[str], views: int
) -> dict[str, Float[Tensor, "B D"]]:
    """The values of some rows, averaged over 1, 5, 9 or 10 views: float32, on the CPU."""
    records, positions = records.to(viewer.device), all_views(viewer.inputs.side, viewer.inputs.size)
    totals: dict[str, Tensor] = {}
    for number in VIEW_NUMBERS[views]:
        for name, maps in viewer.maps(viewer.view(records, positions[number]), layers).items():
            values_bd = maps.flatten(1).float()
            totals[name] = totals[name] + values_bd if name in totals else values_bd
    return {name: (total / len(VIEW_NUMBERS[views])).cpu() for name, total in totals.items()}


@dataclass(frozen=True, eq=False)
class Describer:
    """Records in, the values of one layer out: the mean over 1, 5, 9 or 10 views of the outputs of the row `layer`.
    Made by `describer`."""

    run: Run
    layer: str
    views: int = 1

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Of a picture's values: (maps, rows, columns), or (units,) of a fully connected layer. D is its product."""
        leaving = self.run.network.layer(self.layer).leaving
        return (leaving.maps,) if leaving.side == 1 else (leaving.maps, leaving.side, leaving.side)

    @property
    def size(self) -> int:
        """D"""
        return int(np.prod(self.shape))

    @isolated(inference=True)
    def __call__(self, records: Records) -> Float[Tensor, "B D"]:
        """Float32, on the CPU; maps in the order of `shape`."""
        return mean_over_views(self.run.viewer, records, [self.layer], self.views)[self.layer]


def describer(run: Run, layer: str | int | None = None, views: int = 1) -> Describer:
    """Of a layer by name or number (see `layer_named`). Raises UserError for one that does not exist or can't be
    computed, UsageError for a number of views that is not defined."""
    check_views(views)
    name = layer_named(run.network, layer)
    run.network.check_computable(name)
    return Describer(run, name, views)


@isolated()
def features_of(
    run: Run,
    pictures: Any,
    layer: str | int | None = None,
    views: int = 1,
    *,
    indices: np.ndarray | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """The values of a layer for each picture, float32 (N, D), in memory; `write_features` puts many into a file.

    `pictures`: a split of a store, or a picture or several of any kind that `Run.predict` takes; `layer`: a row by
    name, a layer by number, or None for the last hidden one; `views`: 1, 5, 9 or 10, averaged; `indices`: only those.
    Raises UserError for an unknown layer, ValueError for what can't be pictures, Undecodable for the first picture that
    can't be read, with its number and file.
    """
    describe = describer(run, layer, views)
    return described(as_pictures(run, pictures), describe, indices, progress).reshape(-1, describe.size)


def described(
    pictures: Pictures,
    describe: Callable[[Records], Tensor],
    indices: np.ndarray | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """The vectors that `describe` computes for the pictures (for those at `indices`), batch by batch: float32 (N,
    D)."""
    found = [describe(records).numpy() for records, _ in batches(pictures, BATCH, indices, progress)]
    return np.concatenate(found) if found else np.empty((0, 0), np.float32)
