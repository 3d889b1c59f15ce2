"""Weight gradients summed over the processes that hold the same weights, by torch's DistributedDataParallel.

Each process's loss is its share of the batch's mean, so gradients are added, not averaged.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import GradBucket
from torch.nn.parallel import DistributedDataParallel

from alexnet.nets.dropout import Position
from alexnet.parallel.exchange import Meter

BUCKET_MB = 1
"""Gradients leave in buckets of at least this size: each large layer's by itself, as soon as it is computed."""


Compute = Callable[[Tensor, Position | None], Tensor]
"""Pictures, and where the batch stands in the run, to logits or maps."""


class SummedLayers(nn.Module):
    """Layers whose gradients are summed, around the function that computes with them.

    DDP sends in the reverse of their order here. The first dense layer's gradient, the largest by far ([A]: 151 of
    244 MB), stands last, so it leaves first and travels while the convolutions still compute. DDP's own order, by
    readiness, is found in the first pass: after a restart it would add up in another order than before.
    """

    def __init__(self, layers: dict[str, nn.Module], compute: Compute, leaves_first: str) -> None:
        super().__init__()
        # Never used: DDP keeps its buckets if it looks for unused parameters, and then warns unless there is one.
        device = next(weight for layer in layers.values() for weight in layer.parameters()).device
        self.idle = nn.Parameter(torch.zeros(1, device=device))
        for name in sorted(layers, key=lambda name: name == leaves_first):
            self.add_module(name, layers[name])
        self.compute = compute

    def forward(self, x: Tensor, position: Position | None = None) -> Tensor:
        return self.compute(x, position)


@dataclass(frozen=True)
class GradientSum:
    """A network as a function whose backward pass also sums the gradients of weights that several processes hold.
    `summing`: the module that does so, or None if there is nothing to sum."""

    forward: Compute
    summing: DistributedDataParallel | None = None

    def micro_batch(self, *, last: bool) -> AbstractContextManager[None]:
        """For the passes of a micro-batch: gradients are sent after the `last` one; until then they add up here."""
        return nullcontext() if last or self.summing is None else self.summing.no_sync()


def with_summed_gradients(
    learners: SummedLayers, group: Any, meter: Meter, half: torch.dtype | None
) -> DistributedDataParallel | None:
    """The learners; their backward pass leaves gradients that are sums over the group. None: nothing learns there."""
    if not any(weight.requires_grad for name, weight in learners.named_parameters() if name != "idle"):
        return None
    together = DistributedDataParallel(
        learners,
        process_group=group,
        bucket_cap_mb=BUCKET_MB,
        find_unused_parameters=True,
        init_sync=False,
        gradient_as_bucket_view=True,
    )
    together.register_comm_hook(None, _all_reduce_hook(group, meter, half))
    return together


def _all_reduce_hook(group: Any, meter: Meter, half: torch.dtype | None) -> Callable[[Any, GradBucket], Any]:
    """DDP's hook: add a bucket up over the group, rounded to `half` on the way if there is one."""

    def add(_: Any, bucket: GradBucket) -> torch.futures.Future[Tensor]:
        # Sums, where DDP would average: each process's loss is already its share of the mean over the whole batch.
        gradients = bucket.buffer()
        sent = gradients if half is None else gradients.to(half)
        meter.gradient_bytes += sent.numel() * sent.element_size()
        future = dist.all_reduce(sent, group=group, async_op=True).get_future()  # pyright: ignore[reportOptionalMemberAccess]

        def arrived(done: Any) -> Tensor:
            found = done.value()[0]
            return found if half is None else gradients.copy_(found)

        return future.then(arrived)

    return add
