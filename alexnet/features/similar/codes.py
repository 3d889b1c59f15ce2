"""Short binary codes for features, by an auto-encoder, as [A] §6.1 suggests.

    values → 512 rectified units → one logistic unit for each bit → 512 rectified units → the values again

Normal noise is added to what enters the logistic units while it learns, so that only their far ends carry something
through (Salakhutdinov & Hinton 2007, *Semantic Hashing*). Afterwards a bit is 1 where what enters its unit exceeds the
median over the training vectors: each bit is on for half of them. Layers start at random and learn together by Adam:
Krizhevsky & Hinton 2011 stacked RBMs for this, on pixels.

M vectors · D values of a vector · B vectors of a batch · K bits.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from alexnet.data.batches import Progress
from alexnet.errors import UserError
from alexnet.features.rows import Vectors
from alexnet.isolation import isolated

BITS = (32, 64, 128, 256)
HIDDEN = 512
NOISE = 2.0
EPOCHS = 40
BATCH = 128
RATE = 1e-3
MOST = 100_000
"""Vectors that it learns from at most, spread evenly over all."""
FEWEST = 100
AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class Coder:
    """Values in, bits out. `mean` (D,) and `scale` make values small and centred; `medians` (K,)."""

    mean: Float[Tensor, "D"]
    scale: float
    encoder: nn.Sequential
    medians: Float[Tensor, "K"]

    @property
    def bits(self) -> int:
        return len(self.medians)

    @isolated(inference=True)
    def codes(self, values_md: Vectors, progress: Progress | None = None) -> np.ndarray:
        """The codes, uint8 (M, K / 8), bit 0 of the code the highest of the first byte."""
        found = np.empty((len(values_md), self.bits // 8), np.uint8)
        for first in range(0, len(values_md), AT_ONCE):
            rows = slice(first, first + AT_ONCE)
            entering_bk = self.encoder(normal(values_md[rows], self.mean, self.scale))
            found[rows] = np.packbits((entering_bk > self.medians).numpy(), axis=1)
            if progress:
                progress(min(first + AT_ONCE, len(values_md)), len(values_md))
        return found

    def tensors(self) -> dict[str, Tensor]:
        """All that makes it, for a file."""
        weights = {f"encoder.{name}": tensor for name, tensor in self.encoder.state_dict().items()}
        return {
            "mean": self.mean,
            "scale": torch.tensor(self.scale, dtype=torch.float32, device="cpu"),
            "medians": self.medians,
            **weights,
        }

    @classmethod
    def of(cls, tensors: dict[str, Tensor]) -> "Coder":
        """What `tensors` was made of."""
        mean, medians, scale = tensors["mean"], tensors["medians"], tensors["scale"]
        if any(tensor.dtype != torch.float32 or not bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            raise ValueError("numbers that are none")
        if (
            mean.ndim != 1
            or medians.ndim != 1
            or scale.numel() != 1
            or tensors["encoder.0.weight"].shape != (HIDDEN, len(mean))
        ):
            raise ValueError("shapes of no coder")
        with torch.device("meta"):  # else its first weights, which are replaced, would be drawn
            encoder = encoding_half(len(mean), len(medians))
        weights = {name.removeprefix("encoder."): t for name, t in tensors.items() if name.startswith("encoder.")}
        encoder.load_state_dict(weights, assign=True)
        return cls(mean, float(scale), encoder.requires_grad_(False), medians)


def normal(values_bd: np.ndarray, mean: Tensor, scale: float) -> Float[Tensor, "B D"]:
    return (torch.from_numpy(np.array(values_bd, np.float32)) - mean) / scale


def encoding_half(values: int, bits: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(values, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, bits))


@isolated()
def learn_coder(
    values_md: Vectors, bits: int, *, epochs: int = EPOCHS, seed: int = 0, progress: Progress | None = None
) -> Coder:
    """An auto-encoder trained on the vectors (float, in memory or on disk; on MOST of them if there are more).

    The same vectors and seed give the same coder on one machine. Raises UserError for too few vectors, or for vectors
    that are all the same. `progress` receives batches done and batches in all."""
    chosen = np.unique(np.linspace(0, len(values_md) - 1, min(MOST, len(values_md))).astype(np.int64))
    if len(chosen) < FEWEST:
        raise UserError(f"{len(chosen)} pictures are too few to learn codes from; at least {FEWEST} are needed.")
    sample = np.asarray(values_md[chosen], np.float32)
    mean = torch.from_numpy(sample.mean(axis=0))
    scale = float((sample - mean.numpy()).std())
    if scale == 0:
        raise UserError("all pictures have the same features: there is nothing to tell them apart by.")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # `torch.manual_seed` would seed the GPUs', too
        encoder = _learned(sample, mean, scale, bits, epochs, progress)
        with torch.no_grad():
            blocks = (sample[first : first + AT_ONCE] for first in range(0, len(sample), AT_ONCE))
            entering = torch.cat([encoder(normal(block, mean, scale)) for block in blocks])
    return Coder(mean, scale, encoder, entering.median(dim=0).values)


def _learned(
    sample: np.ndarray, mean: Tensor, scale: float, bits: int, epochs: int, progress: Progress | None
) -> nn.Sequential:
    """Minimise the mean squared error of what comes out behind the noisy logistic units."""
    values = sample.shape[1]
    encoder = encoding_half(values, bits)
    decoder = nn.Sequential(nn.Linear(bits, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, values))
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], RATE)
    batches = -(-len(sample) // BATCH)
    for epoch in range(epochs):
        for number, rows in enumerate(torch.randperm(len(sample)).split(BATCH)):
            given_bd = normal(sample[rows.numpy()], mean, scale)
            entering_bk = encoder(given_bd)
            # Noise drowns middling values, so what enters the units is driven far from 0: nearly a bit.
            code_bk = torch.sigmoid(entering_bk + NOISE * torch.randn_like(entering_bk))
            loss = F.mse_loss(decoder(code_bk), given_bd)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if progress:
                progress(epoch * batches + number + 1, epochs * batches)
    return encoder.eval().requires_grad_(False)
