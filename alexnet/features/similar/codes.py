"""Short binary codes for features, by an auto-encoder, as [A] §6.1 suggests.

    values → 512 rectified units → one logistic unit for each bit → 512 rectified units → the values again

Normal noise is added to what enters the logistic units while it learns, so that only their far ends carry something
through (Salakhutdinov & Hinton 2007, *Semantic Hashing*). Afterwards a bit is 1 where what enters its unit exceeds the
median over the training vectors: each bit is on for half of them. Layers start at random and learn together by Adam:
Krizhevsky & Hinton 2011 stacked RBMs for this, on pixels.

M vectors · D values of a vector · B vectors of a batch · K bits.
"""

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
LEARNING_RATE = 1e-3
MOST = 100_000
"""Vectors that it learns from at most, spread evenly over all."""
FEWEST = 100
AT_ONCE = 4096


class Coder(nn.Module):
    """Values in, bits out. `mean` (D,) and `scale` make values small and centred; `medians` (K,). Its state dictionary
    is all that makes it, for a file."""

    mean: Float[Tensor, "D"]
    scale: Float[Tensor, ""]
    medians: Float[Tensor, "K"]

    def __init__(self, values: int, bits: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(values, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, bits))
        for name, shape in (("mean", values), ("scale", ()), ("medians", bits)):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float32))

    @classmethod
    def of(cls, tensors: dict[str, Tensor]) -> "Coder":
        """The coder with this state dictionary. Raises ValueError or RuntimeError for one of no coder."""
        if any(tensor.dtype != torch.float32 or not bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            raise ValueError("numbers that are not finite")
        with torch.device("meta"):  # else initial weights, which are replaced, would be drawn
            coder = cls(tensors["mean"].numel(), tensors["medians"].numel())
        coder.load_state_dict(tensors, assign=True)
        return coder.eval().requires_grad_(False)

    @property
    def bits(self) -> int:
        return len(self.medians)

    def normal(self, values_bd: np.ndarray) -> Float[Tensor, "B D"]:
        return (torch.from_numpy(np.array(values_bd, np.float32)) - self.mean) / self.scale

    @isolated(inference=True)
    def codes(self, values_md: Vectors, progress: Progress | None = None) -> np.ndarray:
        """The codes, uint8 (M, K / 8), bit 0 of the code the highest of the first byte."""
        found = np.empty((len(values_md), self.bits // 8), np.uint8)
        for first in range(0, len(values_md), AT_ONCE):
            rows = slice(first, first + AT_ONCE)
            entering_bk = self.encoder(self.normal(values_md[rows]))
            found[rows] = np.packbits((entering_bk > self.medians).numpy(), axis=1)
            if progress:
                progress(min(first + AT_ONCE, len(values_md)), len(values_md))
        return found


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
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # `torch.manual_seed` would seed the GPUs', too
        coder = Coder(sample.shape[1], bits)
        coder.mean = torch.from_numpy(sample.mean(axis=0))
        coder.scale = torch.tensor((sample - coder.mean.numpy()).std())
        if coder.scale == 0:
            raise UserError("all pictures have the same features: nothing distinguishes them.")
        _learn(coder, sample, epochs, progress)
        with torch.no_grad():
            blocks = (sample[first : first + AT_ONCE] for first in range(0, len(sample), AT_ONCE))
            entering = torch.cat([coder.encoder(coder.normal(block)) for block in blocks])
    coder.medians = entering.median(dim=0).values
    return coder.eval().requires_grad_(False)


def _learn(coder: Coder, sample: np.ndarray, epochs: int, progress: Progress | None) -> None:
    """Minimise the mean squared error of the values decoded from the noisy logistic units."""
    decoder = nn.Sequential(nn.Linear(coder.bits, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, sample.shape[1]))
    optimiser = torch.optim.Adam([*coder.encoder.parameters(), *decoder.parameters()], LEARNING_RATE)
    batches = -(-len(sample) // BATCH)
    for epoch in range(epochs):
        for number, rows in enumerate(torch.randperm(len(sample)).split(BATCH)):
            given_bd = coder.normal(sample[rows.numpy()])
            entering_bk = coder.encoder(given_bd)
            # Noise drowns values near 0, so what enters the units is driven far from it: nearly a bit.
            code_bk = torch.sigmoid(entering_bk + NOISE * torch.randn_like(entering_bk))
            loss = F.mse_loss(decoder(code_bk), given_bd)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if progress:
                progress(epoch * batches + number + 1, epochs * batches)
