"""bf16 or fp32, chosen once at a run's start by a trial: is bf16 accurate on this machine, and is it faster?"""

import time
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from alexnet.nets.layers import Convolution, FullyConnected
from alexnet.nets.network import Network
from alexnet.placement import DTYPES

Precision = Literal["fp32", "bf16"]

SMALL_MACS = 5_000_000
"""Multiply-adds per picture below which bf16 is not tried."""
LEAST_GAIN = 1.2
"""Speed-up that bf16 must reach in the layers with weights, because casting costs time elsewhere."""
HOPELESS_GAIN = 0.5
"""Below this speed-up there is no bf16 hardware, and the other layers are not tried."""
TRIAL_PICTURES = 16
DENSE_TRIAL_PICTURES = 128
"""Pictures for dense layers: with fewer, the trial would measure how fast the weights are read."""
TRIAL_REPEATS = 2
TRIES = 3
"""Trials before "hardly faster" is believed: another process may have slowed one, and the whole run depends on it."""
TOLERANCE = 0.02
"""Largest bf16 error accepted, as a share of the largest value. bf16 has 8 bits: a correct layer stays below 1 %."""


@dataclass(frozen=True)
class Choice:
    """The precision chosen, and the reason in one line."""

    precision: Precision
    reason: str


def choose(network: Network, device: torch.device, requested: Literal["auto", "fp32", "bf16"]) -> Choice:
    """The precision for a run. With "auto", each convolution and dense layer is tried forward and backward.

    A machine should choose the same for the same network however busy it is. So on the CPU a single thread makes the
    trial and its CPU time is measured; small networks, where both take about the same time, use fp32 untried.
    """
    if requested != "auto":
        return Choice(requested, "as requested")
    if sum(layer.macs for layer in network.layers) < SMALL_MACS:
        return Choice("fp32", "the network is too small to gain from bf16")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine, threads that wait for each other would distort the times
    try:
        return _tried(network, device)
    finally:
        torch.set_num_threads(threads)


def _tried(network: Network, device: torch.device) -> Choice:
    # Accuracy first: the largest error of output and gradients decides before any times are compared.
    best: dict[str, dict[str, float]] = {name: {} for name in DTYPES}  # seconds a picture, of each layer
    gain = 0.0
    for _ in range(TRIES):
        for layer in network.layers:
            name, module = layer.row.name, network.get_submodule(layer.row.name)
            if not isinstance(module, Convolution | FullyConnected):
                continue
            pictures = DENSE_TRIAL_PICTURES if isinstance(module, FullyConnected) else TRIAL_PICTURES
            shape = (pictures, layer.entering.maps, layer.entering.side, layer.entering.side)
            trial = {precision: _try(module, shape, device, dtype) for precision, dtype in DTYPES.items()}
            error = max(map(_largest_error, trial["bf16"].results, trial["fp32"].results))
            if not error <= TOLERANCE:
                return Choice("fp32", f"bf16 is inaccurate here: {name} is off by {error:.1%} of its largest value")
            for precision, outcome in trial.items():
                best[precision][name] = min(outcome.seconds / pictures, best[precision].get(name, float("inf")))
            gain = sum(best["fp32"].values()) / sum(best["bf16"].values())
            if gain < HOPELESS_GAIN:
                return Choice("fp32", f"bf16 is accurate but slower here ({gain:.2f}× fp32)")
        if gain >= LEAST_GAIN:
            return Choice("bf16", f"accurate and {gain:.1f}× as fast as fp32 in the layers with weights")
    return Choice("fp32", f"bf16 is accurate but hardly faster here ({gain:.2f}× fp32)")


@dataclass(frozen=True)
class _Trial:
    results: tuple[Tensor, ...]
    seconds: float


def _try(module: nn.Module, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> _Trial:
    """Output and gradients of a layer on random data (the same for each type), and the best time of its repeats."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).to(device).contiguous(memory_format=torch.channels_last)
    x = x.to(dtype).requires_grad_(True)
    clock = time.thread_time if device.type == "cpu" else time.perf_counter
    best, results = float("inf"), ()
    for _ in range(TRIAL_REPEATS):
        start = clock()
        y = module(x)
        gradient = torch.ones_like(y) * torch.linspace(-1, 1, y.shape[1], device=device, dtype=dtype).view(
            1, -1, *[1] * (y.ndim - 2)
        )
        weight = module.get_parameter("weight")
        wanted = (x, weight) if weight.requires_grad else (x,)
        gradients = torch.autograd.grad(y, wanted, gradient)
        results = (y.detach().float(), *(found.float() for found in gradients))
        float(results[0].sum())  # waits for the device
        best = min(best, clock() - start)
    return _Trial(results, best)


def _largest_error(value: Tensor, truth: Tensor) -> float:
    scale = truth.abs().max().clamp_min(1e-30)
    return float((value - truth).abs().max() / scale)
