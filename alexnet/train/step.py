"""One update ([A] §5): augment, forward, backward, step; or a piece of one, where a batch is cut.

B pictures of a batch · K classes.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.data.batches import Batch, upload
from alexnet.errors import UserError
from alexnet.measure.accuracy import rank_of_truth
from alexnet.parallel.grid import Deal, deal
from alexnet.train.schedule import Rates
from alexnet.train.state import TrainingState


class Diverged(UserError):
    """The loss, or a weight, is not a number."""


def works_behind(device: torch.device) -> bool:
    """Whether the device works behind the program that feeds it, and should never wait for it."""
    return device.type == "cuda"


class Outcome:
    """What a batch (or a piece of one) showed: its mean loss and its count of top-1 errors, on their way from the
    device.

    On a GPU they are looked at one later: they are copied here behind its work, and `read` waits for that copy
    only. When it returns, the batch's pictures are no longer needed: the stream may fill their buffer.
    """

    def __init__(self, figures: Tensor, batch: int, pictures: int) -> None:
        """`figures`: loss and errors, (2,)."""
        self.batch, self.pictures = batch, pictures
        self._figures = figures.to("cpu", non_blocking=works_behind(figures.device))
        self._arrived = None
        if figures.device.type == "cuda":
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    def read(self) -> tuple[float, int]:
        """(mean loss, errors)."""
        if self._arrived is not None:
            self._arrived.synchronize()
        loss, errors = self._figures.tolist()
        return loss, int(errors)


def train_batch(job: TrainingState, batch: Batch, rates: Rates, dealt: Deal | None = None) -> Outcome:
    """One update; or, for a piece of a batch, its share of the gradient, and the update behind the last one. `batch` is
    the own share of what is `dealt` out; without, it is a whole batch."""
    dealt = dealt or deal(batch.indices)
    pictures, labels = upload(batch.pictures, job.device), upload(batch.labels, job.device)
    weights = None if job.sample_weights is None else upload(job.sample_weights[batch.indices], job.device)
    return learn(job, augmented(job, batch.indices, pictures, rates, dealt.first), labels, dealt, rates, weights)


def learn(
    job: TrainingState, inputs: Tensor, labels: Tensor, dealt: Deal, rates: Rates, weights: Tensor | None = None
) -> Outcome:
    """The same with pictures that are augmented already. On the CPU a loss that is no number is seen before the update.

    Nothing depends on how a batch is cut but the order of additions: each picture has its own crop, noise and dropout
    masks, and the mean over the batch is the weighted mean over its pieces.
    """
    job.network.train()
    position = job.part.position(job.seed, job.cursor.epoch, dealt, job.device)
    if dealt.begins:
        job.update.forget_gradients()
    with job.learning.piece(last=dealt.ends), job.network.copies.in_use():
        loss, errors = own_loss(job.learning.forward(inputs, position), labels, dealt, weights)
        figures = job.team.sum(torch.stack((loss.detach(), errors.to(loss.dtype))))
        if not works_behind(job.device) and not math.isfinite(figures[0].item()):
            raise Diverged(went_wrong(job, job.cursor.batch, noticed_in=inputs if job.team.alone else None))
        if loss.requires_grad:  # where only the last layer learns, columns without it have nothing to do
            (loss * dealt.weight).backward()
    if dealt.ends:
        job.update.step(rates)
    return Outcome(figures, job.cursor.batch, dealt.total)


def own_loss(logits_bk: Tensor, labels: Tensor, dealt: Deal, weights_b: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """What the own pictures add to the mean loss of those dealt out, each times its weight, and how many of them are
    wrong. Nothing comes from a stand-in for no picture, and from a column that has no last layer, (b, 0) logits."""
    if logits_bk.shape[1] == 0:
        return logits_bk.sum(), torch.zeros((), device=logits_bk.device)
    counts = float(dealt.counts)
    if weights_b is None:
        loss = F.cross_entropy(logits_bk, labels, reduction="sum") * counts / dealt.total
    else:
        loss = (F.cross_entropy(logits_bk, labels, reduction="none") * weights_b).sum() * counts / dealt.total
    return loss, (rank_of_truth(logits_bk.detach(), labels) > 0).sum() * counts


def augmented(job: TrainingState, indices: np.ndarray, pictures: Tensor, rates: Rates, first: int = 0) -> Tensor:
    """The pictures as the network takes them; `first`: the place of the first of them in their batch."""
    augmentation = job.augmentation if rates.colour else job.augmentation.without_colour()
    return augmentation.apply(
        pictures,
        job.inputs,
        seed=job.seed,
        epoch=job.cursor.epoch,
        indices=indices,
        first=job.cursor.batch * job.batch + first,
        dtype=job.dtype,
    )


def went_wrong(job: TrainingState, batch: int, *, noticed_in: Tensor | None) -> str:
    """What to tell of a loss that is no number: the first layer whose output is none, or whose weights are, for the
    inputs it was `noticed_in`. None: it was noticed after the update, which has spoilt all weights."""
    if noticed_in is not None:
        where = f"it first went wrong in {_culprit(job, noticed_in)}"
    elif job.team.alone and not works_behind(job.device):
        where = "it was that update, the epoch's last, that spoilt the weights: the validation gave no number"
    else:
        where = "in which layer it went wrong is told by one process on the CPU only (--device cpu)"
    return (
        f"the loss is not a number in epoch {job.cursor.epoch}, batch {batch + 1}; {where}. "
        f"The last good state is kept in {job.run.path}. Try a smaller --learning-rate, or --precision fp32."
    )


def _culprit(job: TrainingState, inputs: Tensor) -> str:
    for name, weight in job.network.named_parameters():
        if not torch.isfinite(weight).all():
            return name
    with torch.no_grad():
        maps = job.network.activations(inputs).maps
    return next((name for name, values in maps.items() if not torch.isfinite(values).all()), "the loss itself")
