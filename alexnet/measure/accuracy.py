"""How well a network does: exact counts of top-1 and top-5 errors, and the mean negative log-probability.

N pictures · B pictures of a batch · V views · K classes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from alexnet.data.augment import Inputs, Records, views_of
from alexnet.data.store import Part
from alexnet.nets.network import Network

TOP = 5
BATCH_VIEWS = 640
"""Views that go through the network at a time: a multiple of 10 that fits small memories."""


@dataclass(frozen=True)
class Viewer:
    """A network with its inputs: records in, probabilities out."""

    network: Network
    inputs: Inputs
    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32

    @torch.inference_mode()
    def probabilities(self, pictures: Records, views: int = 1) -> Float[Tensor, "B K"]:
        """The mean over the views of the softmax outputs ([A] §4.1). Float32, on the CPU."""
        pictures = pictures.to(self.device, non_blocking=True)
        count, places = len(pictures), views_of(self.inputs.side, self.inputs.size, views)
        total = torch.zeros(count, self.network.table.classes, device=self.device)
        for row, column, mirrored in places:
            offsets_b2 = torch.tensor([[row, column]], device=self.device).expand(count, 2)
            mirror_b = torch.full((count,), mirrored, device=self.device)
            batch = self.inputs.crop(pictures, offsets_b2, mirror_b, dtype=self.dtype)
            total += self.network(batch).float().softmax(dim=1)
        return (total / len(places)).cpu()


@dataclass(frozen=True)
class Counts:
    """What an evaluation counted. `top1_errors` and `top5_errors` are pictures, `nll` a sum of −ln p(true class)."""

    pictures: int = 0
    top1_errors: int = 0
    top5_errors: int = 0
    nll: float = 0.0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.pictures + other.pictures,
            self.top1_errors + other.top1_errors,
            self.top5_errors + other.top5_errors,
            self.nll + other.nll,
        )

    @property
    def top1(self) -> float:
        """Share of pictures whose class is not the most probable one."""
        return self.top1_errors / self.pictures

    @property
    def top5(self) -> float:
        """Share of pictures whose class is not among the five most probable ones."""
        return self.top5_errors / self.pictures

    @property
    def mean_nll(self) -> float:
        """Mean of −ln p(true class), in nats."""
        return self.nll / self.pictures


def count(probabilities: Float[Tensor, "B K"], labels: Int[Tensor, "B"]) -> Counts:
    """Count a batch. Of classes with equal probability the lower number ranks first."""
    ranks = rank_of_truth(probabilities, labels)
    true = probabilities.double().gather(1, labels[:, None])[:, 0]
    nll = -true.clamp_min(torch.finfo(torch.float32).tiny).log()
    return Counts(len(labels), int((ranks >= 1).sum()), int((ranks >= TOP).sum()), float(nll.sum()))


def rank_of_truth(probabilities: Float[Tensor, "B K"], labels: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
    """How many classes come before the true one; a NaN puts the true class last."""
    true = probabilities.gather(1, labels[:, None])
    before = ~(probabilities <= true)
    ties = (probabilities == true) & (torch.arange(probabilities.shape[1]) < labels[:, None])
    return (before | ties).sum(dim=1)


def probabilities_of(
    viewer: Viewer, part: Part, views: int = 1, progress: Callable[[int, int], None] | None = None
) -> Iterator[tuple[Float[Tensor, "B K"], Int[Tensor, "B"]]]:
    """Probabilities and labels of a part of a store, batch by batch in the store's order. `progress(done, total)`."""
    batch = max(1, BATCH_VIEWS // views)
    for first in range(0, len(part), batch):
        indices = np.arange(first, min(first + batch, len(part)))
        labels = torch.from_numpy(part.labels[indices].astype(np.int64))
        yield viewer.probabilities(torch.from_numpy(part.read(indices)), views), labels
        if progress:
            progress(int(indices[-1]) + 1, len(part))


def evaluate(
    viewer: Viewer, part: Part, views: int = 1, progress: Callable[[int, int], None] | None = None
) -> Counts:
    """Count a whole part of a store, each picture once."""
    batches = probabilities_of(viewer, part, views, progress)
    return sum((count(probabilities, labels) for probabilities, labels in batches), Counts())
