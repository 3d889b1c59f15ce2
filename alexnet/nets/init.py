"""Initial weights: Gaussians of mean 0, constant biases. Three published readings, each a function of the seed.

- "code": the 2012 code's, as the rows carry it (σ = 0.03 in conv3–conv5, docs/sources.md §4). The default.
- "paper": [A] §5: σ = 0.01 in every layer, biases as in the code.
- "zf": [Z] §3: σ = 0.01 in every layer, all biases 0.

After the first layer of a thin network, σ is multiplied by 1/√width (`table.with_width`).
"""

import hashlib
from typing import get_args

import torch
from torch import nn

from alexnet.choices import Initialisation
from alexnet.errors import UsageError
from alexnet.nets.table import Table

PRINTED_STD = 0.01  # [A] §5, [Z] §3


@torch.no_grad()
def initialise(network: nn.Module, table: Table, scheme: Initialisation, seed: int, width: float = 1.0) -> None:
    """Fill the weights and biases of every weighted row. Each layer draws from a generator of its own, so a layer's
    weights do not depend on which other layers there are. `width`: the factor that the table was made with. Raises
    UsageError for an unknown scheme."""
    if scheme not in get_args(Initialisation):
        raise UsageError(f"--init {scheme}: choose one of {', '.join(get_args(Initialisation))}.")
    for index, row in enumerate(table.weighted):
        layer = network.get_submodule(row.name)
        # The rows carry the code's σ, widened already (`table.with_width`); the printed one is widened here.
        std = row.std if scheme == "code" else PRINTED_STD / (width if index else 1.0) ** 0.5
        layer_seed = int.from_bytes(hashlib.sha256(f"{seed}:{row.name}".encode()).digest()[:6], "big")
        generator = torch.Generator().manual_seed(layer_seed)
        weight, biases = layer.get_parameter("weight"), layer.get_parameter("bias")
        weight.copy_(torch.randn(weight.shape, generator=generator) * std)
        biases.fill_(0.0 if scheme == "zf" else row.bias)
