"""Activations on their way to other processes, and their gradients on the way back; batch normalisation over a batch
that is divided.

B pictures of the whole batch · b of this process's share · C maps or units. One primitive, `swap`: some tensors leave,
others arrive; in the backward pass the gradients of what arrived go back, and those of what left come in. Weights and
weight gradients are not sent here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from alexnet.nets.layers import MapBatchNorm
from alexnet.nets.trace import Layer

HALVES: dict[str, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Meter:
    """Numbers and bytes that this process has sent: activations and their gradients, and weight gradients."""

    activations: int = 0
    activation_bytes: int = 0
    gradient_bytes: int = 0

    def sent(self, tensor: Tensor) -> None:
        self.activations += tensor.numel()
        self.activation_bytes += tensor.numel() * tensor.element_size()


@dataclass(frozen=True)
class Wires:
    """Who sends to whom in one exchange, as one process sees it: one tensor to each rank of `to`, one from each rank of
    `come`. `half`: what is sent is rounded to this type (run 170-quant)."""

    to: tuple[int, ...]
    come: tuple[int, ...]
    group: Any = None
    half: torch.dtype | None = None
    meter: Meter = field(default_factory=Meter, compare=False)

    @property
    def back(self) -> "Wires":
        return replace(self, to=self.come, come=self.to)

    def carry(
        self, leaving: Sequence[Tensor], shapes: Sequence[torch.Size], like: Tensor, *, means: bool
    ) -> list[Tensor]:
        """Send `leaving`, receive tensors of `shapes`, of type and device of `like`. `means`: they are gradients of a
        mean over the pictures."""
        dtype = self.half or like.dtype
        # Gradients of a mean over B pictures are about 1/B as large: in fp16 they would underflow, so sums are sent, as
        # in 2012.
        scaled = means and dtype == torch.float16
        sent = [_rows_last(tensor * len(tensor) if scaled else tensor).to(dtype) for tensor in leaving]
        arriving = [torch.empty(_shape_rows_last(shape), dtype=dtype, device=like.device) for shape in shapes]
        work = [dist.P2POp(dist.isend, *pair, self.group) for pair in zip(sent, self.to, strict=True)]
        work += [dist.P2POp(dist.irecv, *pair, self.group) for pair in zip(arriving, self.come, strict=True)]
        for pending in dist.batch_isend_irecv(work) if work else []:
            pending.wait()
        for tensor in sent:
            self.meter.sent(tensor)
        arrived = [_rows_first(tensor).to(like.dtype) for tensor in arriving]
        return [tensor / len(tensor) for tensor in arrived] if scaled else arrived


def _rows_last(x: Tensor) -> Tensor:
    """The tensor in the order in which maps are sent, whatever its order in memory: B, H, W, C."""
    return (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).contiguous()


def _rows_first(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x


def _shape_rows_last(shape: torch.Size) -> list[int]:
    return [shape[0], *shape[2:], shape[1]] if len(shape) == 4 else list(shape)


class _Swap(torch.autograd.Function):
    """See `swap`."""

    @staticmethod
    def forward(ctx: Any, wires: Wires, shapes: Sequence[torch.Size], x: Tensor, *leaving: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.wires, ctx.shapes = wires, [tensor.shape for tensor in leaving]
        # The empty tensor makes autograd call `backward` on a process that only sends: the others wait for its message.
        return x.new_zeros(len(x), 0), *wires.carry(leaving, shapes, x, means=False)

    @staticmethod
    def backward(ctx: Any, anchor: Tensor, *gradients: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return None, None, None, *ctx.wires.back.carry(gradients, ctx.shapes, anchor, means=True)


def swap(wires: Wires, x: Tensor, leaving: Sequence[Tensor], shapes: Sequence[torch.Size]) -> tuple[Tensor, ...]:
    """An empty tensor (B, 0), then what arrives. Both ends call it in the forward pass, and so both take part in the
    backward pass: the empty tensor ties `x` in where nothing arrives."""
    return _Swap.apply(wires, shapes, x, *leaving)  # pyright: ignore[reportReturnType]


@dataclass
class Sizes:
    """Of the batch under way: pictures of each share and of all, and whether the own ones count (see `BatchShard`)."""

    of_shares: tuple[int, ...] = ()
    total: int = 0
    counts: bool = True


class Exchange(nn.Module):
    """A module that works before a row. `own`: this member's number; `widths`: maps or units of each member; `sizes`:
    those of the batch under way."""

    def __init__(self, wires: Wires, own: int, widths: tuple[int, ...], sizes: Sizes) -> None:
        super().__init__()
        self.wires, self.own, self.widths, self.sizes = wires, own, widths, sizes

    def everyones(self, x: Tensor, mine: Tensor, leaving: list[Tensor], shapes: list[tuple[int, ...]]) -> list[Tensor]:
        """Send to each other member one tensor of `leaving`; return what each member has for this one, `mine` among
        them. `shapes`: of what each member sends, in the order of members."""
        _, *found = swap(self.wires, x, leaving, [torch.Size(shape) for m, shape in enumerate(shapes) if m != self.own])
        found.insert(self.own, mine)
        return found


class ReadOthers(Exchange):
    """x (B, own C, …) → the maps of all members that this one reads, (B, C read, …), in the order of `reads`; (B, 0) if
    it reads nobody. `reads`: the members that this one reads."""

    def __init__(self, wires: Wires, own: int, widths: tuple[int, ...], sizes: Sizes, reads: tuple[int, ...]) -> None:
        super().__init__(wires, own, widths, sizes)
        self.reads = reads

    def forward(self, x: Tensor) -> Tensor:
        shapes = [torch.Size((len(x), self.widths[m], *x.shape[2:])) for m in self.reads if m != self.own]
        nothing, *arrived = swap(self.wires, x, [x] * len(self.wires.to), shapes)
        others = iter(arrived)
        maps = [x if member == self.own else next(others) for member in self.reads]
        return torch.cat(maps, dim=1) if maps else nothing


class GatherPictures(Exchange):
    """x (b, C, …), the own share → the whole batch, (B, C, …), share after share."""

    def forward(self, x: Tensor) -> Tensor:
        shapes = [(size, *x.shape[1:]) for size in self.sizes.of_shares]
        return torch.cat(self.everyones(x, x, [x] * len(self.wires.to), shapes))


class ReturnPictures(Exchange):
    """x (B, own units) of the whole batch → all units of the own share, (b, U)."""

    def forward(self, x: Tensor) -> Tensor:
        shares = list(x.split(self.sizes.of_shares))
        mine = shares.pop(self.own)
        return torch.cat(self.everyones(x, mine, shares, [(len(mine), width) for width in self.widths]), dim=1)


class WholeBatchNorm(MapBatchNorm):
    """A batch normalisation that trains with the mean and variance of the whole batch, as in one process. It takes over
    the weights and running statistics of `norm`. (PyTorch's SyncBatchNorm runs on GPUs only and knows no stand-ins.)"""

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
