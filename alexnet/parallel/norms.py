"""Batch normalisation over a batch that is divided: mean and variance are the whole batch's, as in one process.

x (b, C, H, W) is this process's share. PyTorch's SyncBatchNorm runs on GPUs only and knows no stand-ins.
"""

from typing import Any

import torch
from torch import Tensor
from torch.distributed.nn.functional import all_reduce

from alexnet.nets.layers import MapBatchNorm
from alexnet.nets.trace import Layer
from alexnet.parallel.exchange import Sizes


class WholeBatchNorm(MapBatchNorm):
    """A batch normalisation with the statistics of all shares in training. It takes over the weights and running
    statistics of `norm`."""

    def __init__(self, layer: Layer, norm: MapBatchNorm, group: Any, sizes: Sizes) -> None:
        super().__init__(layer)
        self.group, self.sizes = group, sizes
        self.load_state_dict(norm.state_dict(), assign=True)
        self.requires_grad_(norm.weight.requires_grad).train(norm.training)

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        # Two sums over all processes, the variance around the common mean: E[x²] − E[x]² would cancel digits.
        wide = input.to(self.weight.dtype)
        mean_c = self._mean(wide)
        centred = wide - mean_c[:, None, None]
        variance_c = self._mean(centred.square())
        self._remember(mean_c.detach(), variance_c.detach(), input[0, 0].numel())
        scale_c = self.weight * torch.rsqrt(variance_c + self.eps)
        return (centred * scale_c[:, None, None] + self.bias[:, None, None]).to(input.dtype)

    def _mean(self, x: Tensor) -> Tensor:
        """Of every map, over all positions and pictures of the batch. A stand-in does not count."""
        own = x.sum(dim=(0, 2, 3)) * float(self.sizes.counts)
        total = all_reduce(own, group=self.group)  # differentiable: the gradients are summed too
        return total / (self.sizes.total * x[0, 0].numel())

    @torch.no_grad()
    def _remember(self, mean_c: Tensor, variance_c: Tensor, positions: int) -> None:
        """Running statistics, as nn.BatchNorm2d keeps them."""
        count = self.sizes.total * positions
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean_c, self.momentum)
        self.running_var.lerp_(variance_c * count / max(1, count - 1), self.momentum)
        self.num_batches_tracked += 1
