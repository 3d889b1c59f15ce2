"""A network looking at pictures: the inputs, every map and every switch, kept for the way back.

B pictures · S side of a record · C side of the centre view that the network takes.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from alexnet.data.preprocessing import Records
from alexnet.data.views import views_of
from alexnet.errors import UsageError
from alexnet.isolation import isolated
from alexnet.measure.pictures import name_of, numbered, picture_list
from alexnet.measure.run import Run
from alexnet.measure.viewer import ViewAverager
from alexnet.nets.network import Activations, Network

BATCH = 32


@dataclass(frozen=True, eq=False)
class ForwardPass:
    """What a network made of a batch of inputs: `activations` has every map and switch. `run_forward` makes one."""

    network: Network
    inputs: Float[Tensor, "B 3 C C"]
    activations: Activations

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, layer: str) -> Tensor:
        """The output of a row, (B, maps, rows, columns) or (B, units). Raises UserError for an unknown or uncomputed
        layer."""
        self.network.check_computable(layer)
        return self.activations[layer]

    def entering(self, position: int) -> Tensor:
        """What entered row number `position` of the table."""
        return self.inputs if position == 0 else self.activations[self.network.layers[position - 1].row.name]

    @cached_property
    def probabilities(self) -> Float[Tensor, "B K"]:
        """Softmax of the last layer. Raises UserError if it can't be computed."""
        return self.network.probabilities(self[self.network.layers[-1].row.name])


# Not inference mode: guided backpropagation and the gradient differentiate through what was seen.
@isolated()
@torch.no_grad()
def run_forward(network: Network, inputs: Float[Tensor, "B 3 C C"]) -> ForwardPass:
    """Run the network over `inputs` (RGB 0–255 minus the mean) and keep everything that it makes of them."""
    with network.copies.in_use():
        return ForwardPass(network, inputs, network.activations(inputs))


@isolated()
def inputs_of(viewer: ViewAverager, records: Records) -> Float[Tensor, "B 3 C C"]:
    """The centre views of records as the network takes them, on its device."""
    return viewer.view(records.to(viewer.device), views_of(viewer.inputs.side, viewer.inputs.size, 1)[0])


@isolated(inference=True)
def flat_features(
    viewer: ViewAverager, inputs: Float[Tensor, "B 3 C C"], layers: Collection[str]
) -> dict[str, Float[Tensor, "B F"]]:
    """The outputs of some rows as vectors, float32 on the CPU, computed a few inputs at a time."""
    batches = [
        {name: maps.flatten(1).float().cpu() for name, maps in viewer.maps(some, layers).items()}
        for some in inputs.split(BATCH)
    ]
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


def centre_mean(viewer: ViewAverager) -> Float[Tensor, "3 C C"]:
    """The mean that a centre view loses."""
    size, edge = viewer.inputs.size, (viewer.inputs.side - viewer.inputs.size) // 2
    return viewer.inputs.mean_image[:, edge : edge + size, edge : edge + size]


def centre_views(records: np.ndarray, size: int) -> np.ndarray:
    """Records uint8 (B, S, S, 3) → what their centre views show, uint8 (B, size, size, 3)."""
    edge = (records.shape[1] - size) // 2
    return records[:, edge : edge + size, edge : edge + size]


def records_of(run: Run, pictures: Any) -> np.ndarray:
    """A picture or several, of any kind that `Run.predict` takes, as records of the run, uint8 (B, S, S, 3). Raises
    ValueError for what can't be a picture, Undecodable for one that can't be read; both name it."""
    several = picture_list(pictures)
    name = numbered if len(several) > 1 else lambda name, _: name
    return np.stack([run.predictor.record(one, name(name_of(one, n), n)).pixels for n, one in enumerate(several)])


def record_of(run: Run, picture: Any) -> np.ndarray:
    """One picture as a record, uint8 (1, S, S, 3). Raises UsageError for several, else as `records_of`."""
    records = records_of(run, picture)
    if len(records) != 1:
        raise UsageError(f"{len(records)} pictures are given; give one.")
    return records
