"""Dropout ([A] §4.2), its masks a function of the position of a batch in a training run.

B pictures · U units.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from alexnet.nets.table import Dropout


@dataclass(frozen=True)
class Position:
    """The position of a batch in a training run. A dropout mask is a function of it, not of a generator's state, so a
    resumed run repeats itself.

    `pictures` (B,) are the pictures' numbers in their set; `everyone`: those of all processes, for layers that see the
    whole batch while this process holds a share of it (None: the same pictures)."""

    seed: int
    epoch: int
    pictures: Int[Tensor, "B"]
    everyone: Int[Tensor, "B_all"] | None = None


class DropoutLayer(nn.Dropout):
    """Dropout ([A] §4.2), 2012's (mask; ×keep at test) or inverted (mask ÷ keep; nothing at test).

    With a `position` the mask is a function of (seed, epoch, layer, picture, unit); without one it is drawn from
    torch's generator as in any other module.
    """

    def __init__(self, row: Dropout) -> None:
        super().__init__(1 - row.keep)
        self.keep, self.scales_in_training, self.name = row.keep, row.kind == "inverted", row.name
        self.first_unit = 0  # where these units begin among all of the layer, if they are a shard of them
        self.sees_everyone = False  # whether the input is the whole batch, not only this process's share

    def forward(self, input: Tensor, position: Position | None = None) -> Tensor:
        x = input
        if not self.training:
            return x if self.scales_in_training else x * self.keep
        if position is None:
            kept = torch.rand_like(x, dtype=torch.float32) < self.keep
        else:
            if self.sees_everyone and position.everyone is not None:
                position = Position(position.seed, position.epoch, position.everyone)
            uniform = uniform_by_position(position, self.name, x[0].numel(), self.first_unit)
            kept = uniform.view(x.shape) < self.keep
        return x * kept / self.keep if self.scales_in_training else x * kept

    def adjoint(self, y: Tensor, x: Tensor) -> Tensor:  # noqa: ARG002 - the signature of every adjoint
        """As in evaluation."""
        return y if self.scales_in_training else y * self.keep


def uniform_by_position(position: Position, layer: str, units: int, first: int = 0) -> Float[Tensor, "B U"]:
    """Uniform numbers in [0, 1), one for each picture and unit: a hash of (seed, epoch, layer, picture, unit), units
    counted from `first`.

    The same on every device, whatever else is in the batch."""
    key = _scramble(position.pictures.to(torch.int64) ^ _string_key(f"{position.seed}:{position.epoch}:{layer}"))
    unit = torch.arange(first, first + units, device=key.device, dtype=torch.int64) * 0x9E3779B9
    rows = max(1, FEW // units) if key.device.type == "cpu" else max(1, len(key))
    hashes = [_scramble((some[:, None] + unit) & 0xFFFFFFFF).to(torch.float32) for some in key.split(rows)]
    return torch.cat(hashes) / 2**32


FEW = (1 << 15) - 1
"""Numbers hashed at a time on the CPU: few enough to stay in the cache, and below the size at which torch starts
threads, which would cost many times the work of these small operations."""


def _string_key(words: str) -> int:
    """32 bits from a string (FNV-1a)."""
    value = 0x811C9DC5
    for byte in words.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def _scramble(bits: Int[Tensor, "*any"]) -> Int[Tensor, "*any"]:
    """A bijection of 32-bit numbers in which every input bit flips each output bit half the time (an avalanche of
    xor-shifts and odd multipliers; products wrap at 64 bits, which does not affect the low 32)."""
    for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97)):
        bits = ((bits ^ (bits >> shift)) * factor) & 0xFFFFFFFF
    return bits ^ (bits >> 15)
