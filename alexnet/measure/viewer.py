"""A network's answers averaged over views ([A] §4.1: ten)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from alexnet.data.preprocessing import Preprocessing, Records
from alexnet.data.views import VIEW_NUMBERS, View, all_views
from alexnet.isolation import isolated
from alexnet.nets.network import Network

BATCH = 128
"""Pictures that go through the network at a time, whatever the number of views: so the centre is computed by the same
batches alone and among ten, and gives the same bits."""


@dataclass(frozen=True)
class ViewAverager:
    """A network with its inputs: records in, probabilities out."""

    network: Network
    inputs: Preprocessing
    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32

    def probabilities(self, pictures: Records, views: int = 1) -> Float[Tensor, "B K"]:
        """The mean over the views of the softmax outputs ([A] §4.1). Float32, on the CPU."""
        return self.probabilities_by_views(pictures, (views,))[views]

    @isolated(inference=True)
    def probabilities_by_views(self, pictures: Records, counts: Sequence[int]) -> dict[int, Float[Tensor, "B K"]]:
        """`probabilities` with each of several numbers of views (1, 5, 9, 10), every view computed once."""
        pictures = pictures.to(self.device, non_blocking=True)
        views = all_views(self.inputs.side, self.inputs.size)
        wanted = sorted({number for count in counts for number in VIEW_NUMBERS[count]})
        totals: dict[int, Tensor] = {}
        for number in wanted:
            probabilities_bk = self.network.probabilities(self.logits(pictures, views[number]))
            for count in counts:
                if number in VIEW_NUMBERS[count]:
                    totals[count] = totals[count] + probabilities_bk if count in totals else probabilities_bk
        return {count: (total / count).cpu() for count, total in totals.items()}

    def logits(self, pictures: Records, view: View) -> Float[Tensor, "B K"]:
        """The network's outputs for one view of records that are on the device."""
        with self.network.copies.in_use():
            return self.network(self.view(pictures, view))

    def view(self, pictures: Records, view: View) -> Float[Tensor, "B 3 C C"]:
        """One view of records that are on the device, as the network takes it."""
        row, column, mirrored = view
        corners = [torch.full((len(pictures),), place, device=self.device) for place in (row, column)]
        offsets_b2 = torch.stack(corners, dim=1)  # made there: a copy from here would wait for the device
        mirror_b = torch.full((len(pictures),), mirrored, device=self.device)
        return self.inputs.crop(pictures, offsets_b2, mirror_b, dtype=self.dtype)

    def maps(self, inputs: Float[Tensor, "B 3 C C"], names: Collection[str]) -> dict[str, Tensor]:
        """`Network.maps`, computed with working copies of the weights."""
        with self.network.copies.in_use():
            return self.network.maps(inputs, names)
