"""The update of [A] §5:  v ← 0.9·v − 0.0005·ε·w − ε·∂L/∂w;  w ← w + v.

ε multiplies the gradient as it enters the velocity v, so what w moves by stays the same at the moment ε drops.
torch.optim.SGD multiplies the velocity by ε where w changes, so there the movement drops with ε at once.

With LARS, for large batches, ε is scaled for each weight tensor; the rest is unchanged.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from alexnet import kernels
from alexnet.nets.layers import Convolution
from alexnet.nets.network import Network
from alexnet.nets.working_copies import WorkingCopy, state_of
from alexnet.parallel.team import Norms
from alexnet.train.schedule import Rates


@dataclass(frozen=True)
class Lars:
    """Layer-wise adaptive rates (You, Gitman, Ginsburg 2017, arXiv:1708.03888): a weight tensor's learning rate is
    multiplied by trust · ‖w‖ / (‖g‖ + decay · ‖w‖), so that an update changes every tensor by a similar share of its
    norm.

    Biases, and the scales and shifts of batch norms, keep the biases' learning rate. `of_whole`: turns the norms of
    local shards into those of whole layers; None if no layer is sharded.
    """

    trust: float
    of_whole: Callable[[Norms], Norms] | None = None

    def ratios(self, norms: Norms, decays: dict[str, float]) -> dict[str, float]:
        """The factor for each tensor, by name. Waits for the device once."""
        norms = norms if self.of_whole is None else self.of_whole(norms)
        found = torch.stack(list(norms.values())).tolist() if norms else []
        return {name: self.ratio(w, g, decays[name]) for name, (w, g) in zip(norms, found, strict=True)}

    def ratio(self, weight: float, gradient: float, decay: float) -> float:
        """The factor for two norms; 1 if weights or gradient are all 0 (as in the authors' code)."""
        return self.trust * weight / (gradient + decay * weight) if weight > 0 and gradient > 0 else 1.0


@dataclass
class Update:
    """The update rule and its velocities, one for each trainable weight, by the weight's name; they start at 0. Frozen
    weights (requires_grad False) have none. `lars`: layer-wise learning rates, see `Lars`.

    Where a layer computes with a half-precision copy of its weight, the gradient is found on the copy, otherwise on the
    weight: see `WorkingCopies`."""

    network: Network
    momentum: float
    decay: float
    decay_biases: bool
    rms_limit: float | None = None
    layer_decays: dict[str, float] = field(default_factory=dict)
    lars: Lars | None = None
    velocities: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        learning = {name: weight for name, weight in self.network.named_parameters() if weight.requires_grad}
        self.velocities = {name: torch.zeros_like(weight) for name, weight in learning.items()}

    def forget_gradients(self) -> None:
        """Clear the gradients of the last backward pass."""
        for name in self.velocities:
            self.network.get_parameter(name).grad = None
            if copy := self._copy(name):
                copy.values.grad = None

    @torch.no_grad()
    def step(self, rates: Rates) -> None:
        """Apply the gradients of the network's parameters, or of their working copies."""
        ratios = self._ratios()
        # Learning rate 0 freezes: not even decay acts. A weight, its velocity and its bf16 copy change in one pass.
        for name, velocity in self.velocities.items():
            weight, copy, gradient = self.network.get_parameter(name), self._copy(name), self._gradient(name)
            layer, bias = name.split(".")[0], is_bias(name, weight)
            if gradient is not None and (learning_rate := rates.of(layer, bias=bias) * ratios.get(name, 1.0)) > 0:
                kernels.update_(
                    weight,
                    velocity,
                    gradient,
                    learning_rate=learning_rate,
                    momentum=self.momentum,
                    decay=self.decay_of(layer) if self.decay_biases or not bias else 0.0,
                    copy=None if copy is None else copy.values,
                )
                if copy is not None:
                    copy.state = state_of(weight)
        if self.rms_limit is not None:
            renormalise_filters(self.network, self.rms_limit)

    def decay_of(self, layer: str) -> float:
        return self.layer_decays.get(layer, self.decay)

    def _copy(self, name: str) -> WorkingCopy | None:
        return self.network.copies.of(self.network.get_parameter(name))

    def _gradient(self, name: str) -> Tensor | None:
        copy = self._copy(name)
        return self.network.get_parameter(name).grad if copy is None or copy.values.grad is None else copy.values.grad

    def _ratios(self) -> dict[str, float]:
        """LARS's factor for each weight tensor, by name; empty without LARS."""
        if self.lars is None:
            return {}
        norms: Norms = {}
        for name in self.scaled_names:
            weight, gradient = self.network.get_parameter(name), self._gradient(name)
            if gradient is not None:
                norms[name] = torch.stack((norm(weight), norm(gradient)))
        return self.lars.ratios(norms, {name: self.decay_of(name.split(".")[0]) for name in norms})

    @property
    def scaled_names(self) -> list[str]:
        """The weight tensors whose learning rate LARS scales."""
        return [name for name, velocity in self.velocities.items() if not is_bias(name, velocity)]


def norm(tensor: Tensor) -> Tensor:
    """Euclidean norm of all values, computed in float32 or better."""
    return torch.linalg.vector_norm(tensor, dtype=torch.promote_types(tensor.dtype, torch.float32))


def is_bias(name: str, weight: Tensor) -> bool:
    """Whether a weight is a bias, or a vector of a batch norm, which is treated like one."""
    return name.endswith(".bias") or weight.ndim == 1


@torch.no_grad()
def renormalise_filters(network: nn.Module, limit: float) -> None:
    """[Z] §3: rescale each convolution filter whose RMS exceeds `limit` to that limit. Frozen layers are skipped."""
    for layer in network.children():
        if isinstance(layer, Convolution) and layer.weight.requires_grad:
            rms = layer.weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
            layer.weight.mul_(limit / rms.clamp_min(limit))
