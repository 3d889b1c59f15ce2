"""One update ([A] §5): augment, forward, backward, update; or a micro-batch of it.

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
from alexnet.parallel.grid import BatchShard, shard_batch
from alexnet.train.schedule import Rates
from alexnet.train.state import TrainingState


class Diverged(UserError):
    """The loss or a weight is NaN or infinite."""


def is_asynchronous(device: torch.device) -> bool:
    """Whether the device computes asynchronously, so that waiting for it costs time."""
    return device.type == "cuda"


class Outcome:
    """Mean loss and top-1 errors of a batch or micro-batch, on their way from the device.

    On a GPU the copy is queued after the batch's computation, and `read`, called one batch later, waits for that copy
    only. When `read` returns, the batch's pictures are no longer needed and the stream may refill their buffer.
    """

    def __init__(self, figures: Tensor, batch: int, pictures: int) -> None:
        """`figures`: loss and errors, (2,)."""
        self.batch, self.pictures = batch, pictures
        self._figures = figures.to("cpu", non_blocking=is_asynchronous(figures.device))
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


def train_batch(state: TrainingState, batch: Batch, rates: Rates, shard: BatchShard | None = None) -> Outcome:
    """Train on one batch: one update. For a micro-batch, add its gradient; the batch's last micro-batch then makes the
    update. `batch` holds those pictures of `shard` that this process trains on; without a shard, a whole batch."""
    shard = shard or shard_batch(batch.indices)  # one process, no micro-batches: all of it
    pictures, labels = upload(batch.pictures, state.device), upload(batch.labels, state.device)
    weights = None if state.sample_weights is None else upload(state.sample_weights[batch.indices], state.device)
    return update_on(
        state, augmented(state, batch.indices, pictures, rates, shard.first), labels, shard, rates, weights
    )


def update_on(
    state: TrainingState, inputs: Tensor, labels: Tensor, shard: BatchShard, rates: Rates, weights: Tensor | None = None
) -> Outcome:
    """`train_batch` on already augmented pictures. On the CPU a NaN loss is noticed before the update.

    Dividing a batch changes only the order of additions: each picture has its own crop, noise and dropout masks, and
    the batch's mean is the weighted mean over its micro-batches. Batch norms are the exception: they see a micro-batch.
    """
    state.network.train()
    # A dropout mask is a function of the seed, the epoch and the picture's number; `position` holds these three.
    position = state.network_shard.begin_batch(state.options.seed, state.cursor.epoch, shard, state.device)
    if shard.begins_batch:
        state.update.forget_gradients()
    # With one process `gradient_sum.forward` is the network's own, and `team.sum` returns what it is given; with
    # several, gradients are summed while the backward pass runs. `copies`: the weights in bf16, for layers in bf16.
    with state.gradient_sum.micro_batch(last=shard.ends_batch), state.network.copies.in_use():
        loss, errors = local_loss(state.gradient_sum.forward(inputs, position), labels, shard, weights)
        figures = state.team.sum(torch.stack((loss.detach(), errors.to(loss.dtype))))
        if not is_asynchronous(state.device) and not math.isfinite(figures[0].item()):
            raise Diverged(
                divergence_message(state, state.cursor.batch, noticed_in=inputs if state.team.alone else None)
            )
        if loss.requires_grad:  # a process without a trainable layer has no gradient to compute
            (loss * shard.weight).backward()
    if shard.ends_batch:
        state.update.step(rates)
    return Outcome(figures, state.cursor.batch, shard.size)


def local_loss(
    logits_bk: Tensor, labels: Tensor, shard: BatchShard, weights_b: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The local pictures' share of the micro-batch's mean loss, each picture times its weight, and their number of
    errors. A process without pictures adds nothing, nor does one whose column lacks the last layer (its logits are
    (b, 0))."""
    if logits_bk.shape[1] == 0:
        return logits_bk.sum(), torch.zeros((), device=logits_bk.device)
    counts = float(shard.counts)
    if weights_b is None:
        loss = F.cross_entropy(logits_bk, labels, reduction="sum") * counts / shard.size
    else:
        loss = (F.cross_entropy(logits_bk, labels, reduction="none") * weights_b).sum() * counts / shard.size
    return loss, (rank_of_truth(logits_bk.detach(), labels) > 0).sum() * counts


def augmented(state: TrainingState, indices: np.ndarray, pictures: Tensor, rates: Rates, first: int = 0) -> Tensor:
    """The network's inputs, augmented; `first`: the position of the first picture in its batch. With
    `state.frozen`, `pictures` are already the output of the frozen layers, and stay as they are."""
    if state.frozen is not None:
        return pictures.to(state.dtype)
    augmentation = state.recipe.augmentation
    if not rates.colour:
        augmentation = augmentation.without_colour()
    return augmentation.apply(
        pictures,
        state.inputs,
        seed=state.options.seed,
        epoch=state.cursor.epoch,
        indices=indices,
        first=state.cursor.batch * state.recipe.batch + first,
        dtype=state.dtype,
    )


def divergence_message(state: TrainingState, batch: int, *, noticed_in: Tensor | None) -> str:
    """The error message for a loss that is not finite. It names the first layer whose weights, or whose output for the
    inputs `noticed_in`, are not finite. None: noticed only after the update, when all weights are NaN."""
    if noticed_in is not None:
        where = f"it first went wrong in {_culprit(state, noticed_in)}"
    elif state.team.alone and not is_asynchronous(state.device):
        where = "this update, the epoch's last, made the weights NaN, so the validation loss was NaN"
    else:
        where = "run one process on the CPU (--device cpu) to see in which layer"
    return (
        f"the loss is not a number (NaN) in epoch {state.cursor.epoch}, batch {batch + 1}; {where}. "
        f"The last good checkpoint is kept in {state.run.path}. Try a smaller --learning-rate, or --precision fp32."
    )


def _culprit(state: TrainingState, inputs: Tensor) -> str:
    for name, weight in state.network.named_parameters():
        if not torch.isfinite(weight).all():
            return name
    x, steps = inputs, state.network.order
    if state.frozen is not None:
        x, steps = state.frozen.maps(inputs), state.frozen.steps
    for name in steps:
        with torch.no_grad():
            x = state.network.through([name], x)
        if not torch.isfinite(x).all():
            return name
    return "the loss itself"
