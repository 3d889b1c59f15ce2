"""How well a network does: exact counts of top-1 and top-5 errors, and the mean negative log-probability.

N pictures · B pictures of a batch · V views · K classes · C side of a view.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from operator import add
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from alexnet.data.batches import Progress, Stream
from alexnet.data.store.read import StoreSplit
from alexnet.measure.viewer import BATCH, ViewAverager
from alexnet.parallel.split import NetworkShard
from alexnet.parallel.team import ALONE, Team

TOP = 5
Z = 1.959964  # of a normal distribution, 2.5 % lie above


@dataclass(frozen=True)
class Counts:
    """What an evaluation counted. `top1_errors` and `top5_errors` are pictures, `nll` a sum of −ln p(true class)."""

    pictures: int = 0
    top1_errors: int = 0
    top5_errors: int = 0
    nll: float = 0.0

    @classmethod
    def of(cls, ranks: Any, nlls: Any) -> "Counts":
        """From the rank of each picture's true class (0: most probable) and its −ln p, arrays or tensors (N,)."""
        return cls(len(ranks), int((ranks >= 1).sum()), int((ranks >= TOP).sum()), float(nlls.sum()))

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*map(add, astuple(self), astuple(other)))

    @property
    def top1(self) -> float:
        """Share of pictures whose class is not the most probable one; 0 of none."""
        return self.top1_errors / max(1, self.pictures)

    @property
    def top5(self) -> float:
        """Share of pictures whose class is not among the five most probable ones; 0 of none."""
        return self.top5_errors / max(1, self.pictures)

    @property
    def mean_nll(self) -> float:
        """Mean of −ln p(true class), in nats; 0 of none."""
        return self.nll / max(1, self.pictures)


def wilson(errors: int, pictures: int) -> tuple[float, float]:
    """The 95 % interval of an error rate, of so many errors among so many pictures, as shares (Wilson 1927)."""
    if pictures == 0:
        return 0.0, 1.0
    share, per_picture = errors / pictures, Z**2 / pictures
    middle = (share + per_picture / 2) / (1 + per_picture)
    half = Z * math.sqrt(share * (1 - share) / pictures + per_picture / 4 / pictures) / (1 + per_picture)
    return max(0.0, middle - half), min(1.0, middle + half)


def describe_errors(errors: int, pictures: int) -> str:
    """ "4 of 144 (1.1 % to 6.9 %)": the errors, and the 95 % interval of the error rate."""
    low, high = wilson(errors, pictures)
    return f"{errors:,} of {pictures:,} ({low:.1%} to {high:.1%})"


def count(probabilities: Float[Tensor, "B K"], labels: Int[Tensor, "B"]) -> Counts:
    """Count a batch. Of classes with equal probability the lower number ranks first."""
    return Counts.of(rank_of_truth(probabilities, labels), nll_of_truth(probabilities, labels))


def nll_of_truth(probabilities: Float[Tensor, "B K"], labels: Int[Tensor, "B"]) -> Float[Tensor, "B"]:
    """−ln p(true class), float64; a probability of 0 counts as the smallest ordinary float32, 1.2e-38 (87.3 nats)."""
    true = probabilities.double().gather(1, labels[:, None])[:, 0]
    return -true.clamp_min(torch.finfo(torch.float32).tiny).log()


def rank_of_truth(probabilities: Float[Tensor, "B K"], labels: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
    """How many classes come before the true one; a NaN puts the true class last."""
    true = probabilities.gather(1, labels[:, None])
    before = ~(probabilities <= true)
    ties = (probabilities == true) & (torch.arange(probabilities.shape[1], device=labels.device) < labels[:, None])
    return (before | ties).sum(dim=1)


def probabilities_of(
    viewer: ViewAverager,
    split: StoreSplit,
    views: Sequence[int] = (1,),
    progress: Progress | None = None,
    team: Team = ALONE,
    network: NetworkShard | None = None,
) -> Iterator[tuple[dict[int, Float[Tensor, "B K"]], slice]]:
    """Probabilities of a split of a store with each number of views, batch by batch in the store's order, and the
    batch's place in it. `progress(done, total)`.

    Of a `team` each process gives its own batches, the same ones as one process alone computes. `network`: what this
    process holds of a network that they hold together; processes without logits give nothing."""
    shards = list(team.evaluation_shards(len(split), BATCH))
    order = np.concatenate([shard.indices for shard in shards]) if shards else np.arange(0)
    with Stream(split, len(shards[0].indices) if shards else 1, order) as stream:
        for shard, batch in zip(shards, stream, strict=True):
            if network is not None:
                network.begin_batch(0, 0, shard, viewer.device)
            found = viewer.probabilities_by_views(torch.from_numpy(batch.pictures), views)
            if shard.counts and found[views[0]].shape[1] > 0:
                yield found, slice(int(shard.indices[0]), int(shard.indices[-1]) + 1)
            if progress:
                progress(int(shard.shares[-1][-1]) + 1, len(split))


def evaluate(
    viewer: ViewAverager,
    split: StoreSplit,
    views: int = 1,
    progress: Progress | None = None,
    team: Team = ALONE,
    network: NetworkShard | None = None,
) -> Counts:
    """Count a whole split of a store, each picture once; every process of a team gets the counts of all."""
    batches = probabilities_of(viewer, split, (views,), progress, team, network)
    labels = torch.from_numpy(split.labels.astype(np.int64))
    local = sum((count(found[views], labels[place]) for found, place in batches), Counts())
    return sum(team.everyones(local), Counts())
