"""Weights in the precision and memory order in which the package's own loops compute with them.

A plain `net(x)` in half precision casts its weights at every pass, as any module would. Casting 61 million weights
costs more than some layers do, so training and prediction keep copies: inside `with network.copies.in_use():` every
layer reads its copy. Other callers of a network need not know of them.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class WorkingCopy:
    """A weight as its layer reads it, and the state of the weight that it was copied from."""

    values: Tensor
    state: tuple[int, int]


class WorkingCopies:
    """The working copies of one network's weights, made when first read and refreshed when a weight has changed.

    Changes are seen by torch's version count; `refresh` is for changes that it does not count (`.data`, NumPy views).
    After `learn()`, gradients are stored on the copies, in half precision, and `train.update` writes weight and copy in
    one pass. Weights whose gradients are summed (accumulation, several processes) are excluded: sums need float32.
    """

    def __init__(self) -> None:
        self._copies: dict[Tensor, WorkingCopy] = {}
        self._learning: bool = False
        self._excluded: Collection[Tensor] = ()

    def __reduce__(self) -> tuple[type["WorkingCopies"], tuple[()]]:
        """A copied or pickled network starts without copies."""
        return WorkingCopies, ()

    def learn(self, learning: bool = True, *, excluded: Collection[Tensor] = ()) -> None:
        """Let gradients arrive at the copies, except those of the weights `excluded`, where torch looks for them."""
        self._learning, self._excluded = learning, set(excluded)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Inside, and in this thread or task only, layers read their copies."""
        token = _in_use.set(self)
        try:
            yield
        finally:
            _in_use.reset(token)

    def of(self, weight: Tensor) -> WorkingCopy | None:
        """The copy of a weight, if its layer has read one."""
        return self._copies.get(weight)

    def refresh(self) -> None:
        """Forget all copies: the next pass makes them again."""
        self._copies.clear()

    def values(self, weight: nn.Parameter, dtype: torch.dtype) -> Tensor:
        """The weight in `dtype`: itself, a cast that gradients flow through, or its copy."""
        learns = torch.is_grad_enabled() and weight.requires_grad
        at_copies = self._learning and weight.requires_grad and weight not in self._excluded
        if learns and not (at_copies and weight.dtype != dtype):
            return weight.to(dtype)
        if weight.dtype == dtype and (weight.dim() != 4 or weight.is_contiguous(memory_format=torch.channels_last)):
            return weight
        return self._current(weight, dtype).requires_grad_(at_copies)

    @torch.inference_mode(mode=False)
    @torch.no_grad()
    def _current(self, weight: nn.Parameter, dtype: torch.dtype) -> Tensor:
        copy = self._copies.get(weight)
        if copy is None or copy.values.dtype != dtype or copy.values.device != weight.device:
            # Filters with their maps innermost, which convolutions on the CPU are fastest with.
            order = torch.channels_last if weight.dim() == 4 else torch.preserve_format
            values = weight.detach().to(dtype, copy=True, memory_format=order)
            copy = self._copies[weight] = WorkingCopy(values, state_of(weight))
        elif copy.state != state_of(weight):
            copy.values.copy_(weight)
            copy.state = state_of(weight)
        return copy.values


_in_use: ContextVar[WorkingCopies | None] = ContextVar("working copies in use", default=None)


def state_of(weight: Tensor) -> tuple[int, int]:
    """What tells that a weight has changed: its address in memory, and torch's count of its changes."""
    return weight.data_ptr(), weight._version


def working_values(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """A layer's weight in the type of its input: its copy in the package's own loops, a cast everywhere else."""
    copies = None if torch.compiler.is_compiling() else _in_use.get()
    if copies is None or type(weight) is not nn.Parameter:
        return weight.to(dtype)
    return copies.values(weight, dtype)
