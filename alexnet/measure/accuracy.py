"""How well a network does: exact counts of top-1 and top-5 errors, and the mean negative log-probability.

N pictures · B pictures of a batch · V views · K classes · C side of a view.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
    nll = nll_of_truth(probabilities, labels)
    return Counts(len(labels), int((ranks >= 1).sum()), int((ranks >= TOP).sum()), float(nll.sum()))


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
    part: StoreSplit,
    views: Sequence[int] = (1,),
    progress: Progress | None = None,
    team: Team = ALONE,
    network: NetworkShard | None = None,
) -> Iterator[tuple[dict[int, Float[Tensor, "B K"]], slice]]:
    """Probabilities of a part of a store with each number of views, batch by batch in the store's order, and the
    batch's place in it. `progress(done, total)`.

    Of a `team` each process gives its own batches, the same ones as one process alone computes. `network`: what this
    process holds of a network that they hold together; processes without logits give nothing."""
    shards = list(team.evaluation_shards(len(part), BATCH))
    order = np.concatenate([shard.indices for shard in shards]) if shards else np.arange(0)
    with Stream(part, len(shards[0].indices) if shards else 1, order) as stream:
        for shard, batch in zip(shards, stream, strict=True):
            if network is not None:
                network.begin_batch(0, 0, shard, viewer.device)
            found = viewer.probabilities_by_views(torch.from_numpy(batch.pictures), views)
            if shard.counts and found[views[0]].shape[1] > 0:
                yield found, slice(int(shard.indices[0]), int(shard.indices[-1]) + 1)
            if progress:
                progress(int(shard.shares[-1][-1]) + 1, len(part))


def evaluate(
    viewer: ViewAverager,
    part: StoreSplit,
    views: int = 1,
    progress: Progress | None = None,
    team: Team = ALONE,
    network: NetworkShard | None = None,
) -> Counts:
    """Count a whole part of a store, each picture once; every process of a team gets the counts of all."""
    batches = probabilities_of(viewer, part, (views,), progress, team, network)
    labels = torch.from_numpy(part.labels.astype(np.int64))
    local = sum((count(found[views], labels[place]) for found, place in batches), Counts())
    return sum(team.everyones(local), Counts())
