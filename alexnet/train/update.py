"""The update of [A] §5:  v ← 0.9·v − 0.0005·ε·w − ε·∂L/∂w;  w ← w + v.

The rate ε stands inside the velocity: unlike torch.optim.SGD's, an old velocity keeps its size when the rate drops.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from alexnet import kernels
from alexnet.nets.layers import Convolution, WeightedLayer, WorkingCopy, state_of
from alexnet.train.schedule import Rates


@dataclass
class Update:
    """The rule with its velocities, one for each weight that learns, by the weight's name.

    Layers that work in half precision learn by their copies: see `WeightedLayer`."""

    network: nn.Module
    momentum: float
    decay: float
    decay_biases: bool
    rms_limit: float | None
    velocities: dict[str, Tensor]
    layer_decays: dict[str, float]

    @classmethod
    def of(
        cls,
        network: nn.Module,
        *,
        momentum: float,
        decay: float,
        decay_biases: bool,
        rms_limit: float | None = None,
        layer_decays: dict[str, float] | None = None,
    ) -> "Update":
        """The rule at rest: all velocities 0. Frozen weights (requires_grad False) have none."""
        for layer in network.children():
            if isinstance(layer, WeightedLayer):
                layer.learns_by_copies = True
        learning = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
        velocities = {name: torch.zeros_like(weight) for name, weight in learning.items()}
        return cls(network, momentum, decay, decay_biases, rms_limit, velocities, layer_decays or {})

    def forget_gradients(self) -> None:
        """Before a backward pass: those of the last one go."""
        for name in self.velocities:
            self.network.get_parameter(name).grad = None
            if copy := self._copy(name):
                copy.values.grad = None

    @torch.no_grad()
    def step(self, rates: Rates) -> None:
        """Apply the gradients that lie in the network's parameters, or in the copies that its layers learn by."""
        for name, velocity in self.velocities.items():
            layer, bias = name.split(".")[0], name.endswith(".bias")
            weight, copy = self.network.get_parameter(name), self._copy(name)
            gradient = weight.grad if copy is None or copy.values.grad is None else copy.values.grad
            if gradient is not None and (rate := rates.of(layer, bias=bias)) > 0:
                kernels.update_(
                    weight,
                    velocity,
                    gradient,
                    rate=rate,
                    momentum=self.momentum,
                    decay=self.decay_of(layer) if self.decay_biases or not bias else 0.0,
                    copy=None if copy is None else copy.values,
                )
                if copy is not None:
                    copy.state = state_of(weight)
        if self.rms_limit is not None:
            limit_filters(self.network, self.rms_limit)

    def decay_of(self, layer: str) -> float:
        return self.layer_decays.get(layer, self.decay)

    def _copy(self, name: str) -> WorkingCopy | None:
        layer, _, weight = name.rpartition(".")
        module = self.network.get_submodule(layer)
        return module.copies.get(weight) if isinstance(module, WeightedLayer) else None


@torch.no_grad()
def limit_filters(network: nn.Module, limit: float) -> None:
    """[Z] §3: rescale each convolution filter whose RMS exceeds `limit` to that limit. Frozen layers stay."""
    for layer in network.children():
        if isinstance(layer, Convolution) and layer.weight.requires_grad:
            rms = layer.weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
            layer.weight.mul_(limit / rms.clamp_min(limit))
