"""Batch normalisation over a batch that is divided: mean and variance are the whole batch's, as in one process.

x (b, C, H, W) is the own share. PyTorch's SyncBatchNorm knows GPUs only, and no stand-ins.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from alexnet.nets.layers import MapBatchNorm
from alexnet.parallel.exchange import Sizes


class _Sum(torch.autograd.Function):
    """The sum over the processes of a group; of the gradients in the backward pass too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.group = group
        return _added(x, group)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _added(gradient, ctx.group), None


def _added(x: Tensor, group: Any) -> Tensor:
    total = x.clone()
    dist.all_reduce(total, group=group)
    return total


class WholeBatchNorm(nn.Module):
    """`norm`, with the statistics of all shares in training. Its weights and running statistics stay where they are."""

    def __init__(self, norm: MapBatchNorm, group: Any, sizes: Sizes) -> None:
        super().__init__()
        self.norm, self.group, self.sizes = norm, group, sizes

    def forward(self, x: Tensor) -> Tensor:
        norm = self.norm
        if not norm.training:
            return norm(x)
        # Two sums over all processes, the variance around the common mean: E[x²] − E[x]² would cancel digits.
        wide = x.to(norm.weight.dtype)
        mean_c = self._mean(wide)
        centred = wide - mean_c[:, None, None]
        variance_c = self._mean(centred.square())
        self._remember(mean_c.detach(), variance_c.detach(), x[0, 0].numel())
        scale_c = norm.weight * torch.rsqrt(variance_c + norm.eps)
        return (centred * scale_c[:, None, None] + norm.bias[:, None, None]).to(x.dtype)

    def _mean(self, x: Tensor) -> Tensor:
        """Of every map, over all places and pictures of the batch. A stand-in does not count."""
        own = x.sum(dim=(0, 2, 3)) * float(self.sizes.counts)
        return _Sum.apply(own, self.group) / (self.sizes.total * x[0, 0].numel())  # pyright: ignore[reportOperatorIssue]

    @torch.no_grad()
    def _remember(self, mean_c: Tensor, variance_c: Tensor, places: int) -> None:
        """Running statistics, as nn.BatchNorm2d keeps them."""
        norm, count = self.norm, self.sizes.total * places
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        assert norm.momentum is not None
        norm.running_mean.lerp_(mean_c, norm.momentum)
        norm.running_var.lerp_(variance_c * count / max(1, count - 1), norm.momentum)
        norm.num_batches_tracked += 1
