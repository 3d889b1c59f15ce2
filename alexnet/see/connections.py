"""How strongly the channels of one layer with weights hear those of the layer below: read off the weights.

C channels of a layer · M channels of the layer below · k side of a filter.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from alexnet.errors import UserError
from alexnet.nets.network import Network
from alexnet.nets.table import Conv, Dense, Weighted
from alexnet.nets.trace import Layer


def weighted_layers(network: Network) -> list[Layer]:
    """The layers that hold weights and can be computed, from the picture up."""
    return [layer for layer in network.computable_layers if isinstance(layer.row, Weighted)]


def connection_sums(network: Network, name: str) -> Float[Tensor, "C M"]:
    """For each channel the sum of its weights to each channel below (of the picture: to red, green and blue): what a
    map below that is 1 everywhere adds; 0 for those in a column that it does not read. Between single units it is the
    weight itself. Raises UserError for a layer without shared or dense weights."""
    layer = network.layer(name)
    if not isinstance(layer.row, Conv | Dense):
        raise UserError(f"{name}: its weights join no channels (convolutions and fully connected layers do).")
    weight = network.get_parameter(f"{name}.weight").detach().float().cpu()
    positions = layer.row.kernel**2 if isinstance(layer.row, Conv) else layer.entering.side**2
    reduced = weight.reshape(len(weight), -1, positions).sum(dim=2)  # (C, the channels that one reads)
    if reduced.shape[1] == layer.entering.maps:
        return reduced
    width = layer.entering.maps // layer.columns
    found = torch.zeros(len(weight), layer.columns, width)
    # A column's weights hold only the columns that it reads: what they give goes to their positions, the rest stays 0.
    for reads, mine, own in zip(layer.reads, found.chunk(layer.columns), reduced.chunk(layer.columns), strict=True):
        mine[:, list(reads)] = own.reshape(len(own), -1, width)
    return found.flatten(1)


def filters_of(network: Network, name: str, channel: int) -> Float[Tensor, "M k k"]:
    """The filters of one channel of a convolution, one for each channel that it reads. Raises UserError for a layer
    that is no convolution."""
    if not isinstance(network.layer(name).row, Conv):
        raise UserError(f"{name}: no convolution, so it has no filters to show.")
    return network.get_parameter(f"{name}.weight").detach().float().cpu()[channel]
