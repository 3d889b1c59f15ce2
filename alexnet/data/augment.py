"""From stored records to what the network sees: crops, mirrors, the mean, colour noise. Batched, on the device.

B pictures · S side of a record (256) · C side of a crop (224) · 3 colours, RGB on the scale 0–255.
Every draw is a function of (seed, epoch, picture): see `alexnet.data.order`.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from alexnet.choices import ColourNoise, Crops
from alexnet.data import order
from alexnet.data.batches import upload
from alexnet.data.preprocessing import Inputs, Preprocessing, Records
from alexnet.data.views import views_of

COLOUR_STRENGTH = 0.1  # [A] §4.1: α ~ N(0, 0.1)


@dataclass(frozen=True)
class Augmentation:
    """What training does to a record. `crops`: random positions ([A] §4.1), [Z] §3's ten fixed ones, or the centre;
    `chunk`: pictures in a row that share crop and mirror (1; the 2012 code: 32); `colour`: see `colour_noise`;
    `cutout`: side in pixels of a square that is set to the mean, 0 for none."""

    crops: Crops = "random"
    mirror: bool = True
    chunk: int = 1
    colour: ColourNoise = "code"
    cutout: int = 0

    def without_colour(self) -> "Augmentation":
        return replace(self, colour="off")

    def apply(
        self,
        pictures: Records,
        inputs: Preprocessing,
        *,
        seed: int,
        epoch: int,
        indices: np.ndarray,
        first: int,
        dtype: torch.dtype,
    ) -> Inputs:
        """Augment a batch, in one pass of `kernels.augment`, which `inputs.crop` calls. `indices` (B,): the pictures'
        numbers in their set; `first`: the position in the epoch of the batch's first picture (chunks are counted along
        the epoch)."""
        drawn_for = indices if self.chunk == 1 else (first + np.arange(len(indices))) // self.chunk
        rows, mirrored = self._places(inputs, seed, epoch, drawn_for)
        noise, scale = colour_noise(self.colour, inputs, seed, epoch, indices)
        device = pictures.device
        batch = inputs.crop(
            pictures,
            upload(rows, device),
            upload(mirrored, device),
            noise_b3=None if noise is None else upload(noise, device),
            scale=scale,
            dtype=dtype,
        )
        return batch if self.cutout == 0 else _cut_out(batch, self.cutout, seed, epoch, indices)

    def _places(
        self, inputs: Preprocessing, seed: int, epoch: int, drawn_for: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.crops == "ten":
            views = np.array(views_of(inputs.side, inputs.size, 10))
            chosen = views[order.crop_offsets(seed, epoch, drawn_for, 10)[:, 0]]
            return chosen[:, :2].astype(np.int64), chosen[:, 2].astype(bool)
        mirrored = order.mirrors(seed, epoch, drawn_for) if self.mirror else np.zeros(len(drawn_for), bool)
        if self.crops == "centre":
            middle = (inputs.side - inputs.size) // 2
            return np.full((len(drawn_for), 2), middle, np.int64), mirrored
        return order.crop_offsets(seed, epoch, drawn_for, inputs.positions), mirrored


def colour_noise(
    mode: ColourNoise, inputs: Preprocessing, seed: int, epoch: int, indices: np.ndarray
) -> tuple[np.ndarray | None, float]:
    """PCA colour noise, [A] §4.1: multiples of the principal components of the training pictures' RGB values.

    Gives what is added to each picture's colours, (B, 3) levels, and the factor the picture is then multiplied with.

    With E the eigenvectors, λ the eigenvalues of the RGB covariance (0–255) and g ~ N(0, 1), three for each picture:
    "paper": E·(0.1·g·λ') with λ' of pixels scaled to 0–1, back on 0–255: λ/255 ([A] §4.1, the usual reading);
    "code": E·(0.1·g·√λ), the whole then divided by 1.1 (2012 code); "off": nothing.
    """
    if mode == "off":
        return None, 1.0
    assert inputs.eigenvalues is not None, "colour noise needs the training set's colour statistics"
    assert inputs.eigenvectors is not None, "colour noise needs the training set's colour statistics"
    eigenvalues = inputs.eigenvalues.double().numpy().clip(min=0)
    spread = eigenvalues / 255 if mode == "paper" else np.sqrt(eigenvalues)
    drawn_b3 = order.normals(seed, epoch, indices, 3) * COLOUR_STRENGTH * spread
    noise_b3 = (drawn_b3 @ inputs.eigenvectors.double().numpy().T).astype(np.float32)
    return noise_b3, 1.0 if mode == "paper" else 1 / (1 + COLOUR_STRENGTH)


def _cut_out(batch: Inputs, side: int, seed: int, epoch: int, indices: np.ndarray) -> Inputs:
    """Set a square in each picture to 0, the mean. Its centre is uniform over the picture; the edge clips it."""
    size = batch.shape[-1]
    centres_b2 = order.uniform_integers(seed, order.Purpose.CUTOUT, epoch, indices, size, 2)
    steps = torch.arange(size, device=batch.device)
    inside = [
        (steps >= first[:, None]) & (steps < first[:, None] + side)
        for first in upload(centres_b2 - side // 2, batch.device).T
    ]
    return batch.masked_fill((inside[0][:, :, None] & inside[1][:, None, :])[:, None], 0)
