"""How features form in training: the strongest activation of chosen maps over the snapshots of a run, projected
([Z] Fig. 4).

E epochs · C maps of a layer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from alexnet.data.batches import Progress
from alexnet.data.store.read import StoreSplit
from alexnet.errors import UserError
from alexnet.files.schema import attributes
from alexnet.isolation import isolated
from alexnet.measure.run import Run
from alexnet.measure.viewer import ViewAverager
from alexnet.runs.folder import SNAPSHOT_EPOCHS
from alexnet.see.patches import UnitPatch, patches_of
from alexnet.see.top import Top, find_top


@dataclass(frozen=True, eq=False)
class Evolution:
    """`epochs` of the snapshots; `features[layer][channel]`: for each epoch what excited the map most, for chosen maps;
    `strongest[layer]` (E, C): the picture behind it, for all. `split`, of how many `pictures`."""

    epochs: tuple[int, ...]
    features: dict[str, dict[int, list[UnitPatch]]]
    strongest: dict[str, Int[Tensor, "E C"]]
    split: str
    pictures: int

    def settled(self, layer: str) -> Float[Tensor, "C"]:
        """For each map the epoch from which on its strongest picture is that of the last epoch."""
        # From the last epoch backwards: 1 as long as the strongest picture stays the same, then 0.
        same_ec = (self.strongest[layer] == self.strongest[layer][-1]).flip(0).cumprod(dim=0)
        epochs = torch.tensor(self.epochs, dtype=torch.float64)
        return epochs[len(epochs) - same_ec.sum(dim=0)]

    def jumps(self, layer: str, channel: int) -> int:
        """How often the map's strongest picture changed from one snapshot to the next ([Z] §4.1)."""
        found = [patch.picture for patch in self.features[layer][channel]]
        return sum(one != next_one for one, next_one in pairwise(found))

    def as_json(self) -> dict[str, Any]:
        features = [
            {
                "layer": layer,
                "channel": channel,
                "jumps": self.jumps(layer, channel),
                "strongest": [patch.as_json() for patch in over_time],
            }
            for layer, channels in self.features.items()
            for channel, over_time in channels.items()
        ]
        settled = {layer: float(self.settled(layer).mean()) for layer in self.strongest}
        return attributes(self, "epochs", "split", "pictures") | {"settled": settled, "features": features}


@isolated()
def evolve(
    run: Run,
    split: StoreSplit,
    channels: Mapping[str, Sequence[int]],
    *,
    epochs: Sequence[int] = (),
    progress: Progress | None = None,
) -> Evolution:
    """Look at every picture of `split` with each snapshot's network and project each map's strongest activation.

    `channels`: the maps of each layer; `epochs`: which snapshots (default: all). Raises UserError if there is none.
    """
    chosen = chosen_epochs(run, epochs)
    tops: dict[int, Top] = {}
    for number, epoch in enumerate(chosen):

        def report(pictures: int, _: int, done: int = number * len(split)) -> None:
            if progress:
                progress(done + pictures, len(chosen) * len(split))

        tops[epoch] = find_top(viewer_after(run, epoch), split, list(channels), kept=1, progress=report)
    return evolution_of(run, split, channels, tops)


def viewer_after(run: Run, epoch: int) -> ViewAverager:
    """The run's viewer with the weights of a snapshot."""
    network = run.folder.load_weights(run.folder.snapshots[epoch]).to(run.placement.device)
    return replace(run.viewer, network=network)


def evolution_of(
    run: Run, split: StoreSplit, channels: Mapping[str, Sequence[int]], tops: Mapping[int, Top]
) -> Evolution:
    """Project the strongest pictures, `tops` by epoch, that `find_top` found with each snapshot's network."""
    features: dict[str, dict[int, list[UnitPatch]]] = {
        layer: {channel: [] for channel in some} for layer, some in channels.items()
    }
    for epoch, top in tops.items():
        viewer = viewer_after(run, epoch)
        for layer, some in channels.items():
            for channel, found in patches_of(viewer, split, top, layer, some, silent=True).items():
                features[layer][channel] += found
    strongest = {layer: torch.stack([top[layer].pictures[:, 0] for top in tops.values()]) for layer in channels}
    return Evolution(tuple(tops), features, strongest, split.folder.name, len(split))


def chosen_epochs(run: Run, epochs: Sequence[int]) -> list[int]:
    """The snapshots to look at. Raises UserError, saying how to make them, if there is none or one is not there."""
    there = sorted(run.folder.snapshots)
    if not there:
        usual = ", ".join(map(str, SNAPSHOT_EPOCHS))
        raise UserError(
            f"{run.path}: has no snapshots. Train with `alexnet train STORE --out RUN --snapshots`, which keeps the "
            f"weights after epochs {usual} and the last."
        )
    if absent := [epoch for epoch in epochs if epoch not in there]:
        raise UserError(f"{run.path}: no snapshot of epoch {absent[0]}; there are: {', '.join(map(str, there))}.")
    return list(epochs) or there
