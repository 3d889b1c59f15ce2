"""How strongly, and how often, the channels of a layer answer: each channel's peak on many pictures, in one pass.

N pictures · C channels of a layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from alexnet.data.batches import Progress, batches
from alexnet.data.store.read import StoreSplit
from alexnet.errors import UserError
from alexnet.files.tensors import load_tensors, save_tensors
from alexnet.isolation import isolated
from alexnet.measure.viewer import BATCH, ViewAverager
from alexnet.see.forward_pass import inputs_of
from alexnet.see.units import evenly_spread, peaks

MOST = 1000
"""Pictures looked at, evenly spread over the split: enough for a histogram, and 42 MB for all of AlexNet's layers."""


@dataclass(frozen=True, eq=False)
class ActivationStatistics:
    """`peaks[layer]` float32 (N, C): the largest value of each channel on each picture; `about` says of which run,
    store and pictures."""

    peaks: dict[str, Float[Tensor, "N C"]]
    about: dict[str, Any]

    def histogram(self, layer: str, channel: int, bins: int = 30) -> tuple[list[float], list[int]]:
        """Edges (bins + 1) from the smallest to the largest peak, and how many pictures lie between. Raises UserError
        for a layer that was not looked at or a channel that there is not."""
        if layer not in self.peaks or not 0 <= channel < self.peaks[layer].shape[1]:
            raise UserError(f"the activations of {layer} · {channel} were not looked at.")
        counts, edges = np.histogram(self.peaks[layer][:, channel].numpy(), bins)
        return edges.tolist(), counts.tolist()

    def as_json(self, layer: str, channel: int) -> dict[str, Any]:
        """The histogram, and the share of pictures that the channel answers."""
        edges, counts = self.histogram(layer, channel)
        active = float(self.active(layer)[channel])
        return {"layer": layer, "channel": channel, "active": active, "edges": edges, "counts": counts}

    def active(self, layer: str) -> Float[Tensor, "C"]:
        """The share of pictures, 0 to 1, on which each channel is above 0 somewhere."""
        return (self.peaks[layer] > 0).float().mean(dim=0)

    def save(self, path: Path) -> None:
        """Write a safetensors file. Raises UserError if it can't be written."""
        save_tensors(path, self.peaks, self.about)

    @classmethod
    def load(cls, path: Path) -> "ActivationStatistics":
        """What `save` wrote. Raises UserError if the file is damaged."""
        peaks, about = load_tensors(path)
        for name, peaks_nc in peaks.items():
            sound = peaks_nc.dtype == torch.float32 and peaks_nc.ndim == 2 and len(peaks_nc) > 0
            if not sound or not bool(torch.isfinite(peaks_nc).all()):
                raise UserError(f"{path}: damaged, what it holds of {name} are no activations. Make it again.")
        return cls(peaks, about)


@isolated()
def measure_activations(
    viewer: ViewAverager,
    split: StoreSplit,
    layers: Sequence[str],
    *,
    most: int = MOST,
    about: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> ActivationStatistics:
    """Look at `most` pictures of a split, evenly spread, and keep every channel's peak on each (centre view).
    Raises UserError for a layer that there is not."""
    numbers = np.array(evenly_spread(len(split), most))
    found: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    for records, _ in batches(split, BATCH, numbers, progress):
        with isolated(inference=True):
            maps = viewer.maps(inputs_of(viewer, records), layers)
        for layer, some in found.items():
            some.append(peaks(maps[layer])[0].float().cpu())
    return ActivationStatistics(
        {layer: torch.cat(some) for layer, some in found.items()}, (about or {}) | {"pictures": len(numbers)}
    )
