"""How a record becomes a network's input: crops, minus the mean picture.

B pictures · S side of a record (256) · C side of a crop (224) · 3 colours, RGB on the scale 0–255.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from alexnet import kernels
from alexnet.choices import MeanMode

Records = UInt8[Tensor, "B S S 3"]
Inputs = Float[Tensor, "B 3 C C"]


@dataclass(frozen=True)
class Preprocessing:
    """How a record becomes an input: RGB 0–255 minus the mean, cropped to `size`.

    `mean_image` (3, S, S). "aligned": each pixel loses its own mean ([A] §2); "centre": the mean image's centre crop
    is taken off wherever the crop lies (2012 code). `eigenvalues` (3,), `eigenvectors` (3, 3), in columns: of the
    training pixels' RGB covariance on the scale 0–255, for colour noise.
    """

    mean_image: Float[Tensor, "3 S S"]
    size: int
    mean_mode: MeanMode = "aligned"
    eigenvalues: Float[Tensor, "3"] | None = None
    eigenvectors: Float[Tensor, "3 3"] | None = None

    @property
    def statistics(self) -> dict[str, Tensor]:
        """What is known of the training pictures, by name."""
        names = ("mean_image", "eigenvalues", "eigenvectors")
        return {name: tensor for name in names if (tensor := getattr(self, name)) is not None}

    @property
    def side(self) -> int:
        """The side of a record in pixels."""
        return self.mean_image.shape[-1]

    @property
    def positions(self) -> int:
        """Places a crop can have along one axis: 33 for 224 of 256."""
        return self.side - self.size + 1

    @property
    def mean(self) -> Float[Tensor, "3 M M"]:
        """The part of the mean image that `kernels.augment` needs."""
        if self.mean_mode == "aligned":
            return self.mean_image
        edge = (self.side - self.size) // 2
        return self.mean_image[:, edge : edge + self.size, edge : edge + self.size].contiguous()

    def to(self, device: torch.device) -> "Preprocessing":
        return replace(self, mean_image=self.mean_image.to(device))

    def crop(
        self,
        pictures: Records,
        offsets_b2: Int[Tensor, "B 2"],
        mirror_b: Bool[Tensor, "B"],
        *,
        noise_b3: Float[Tensor, "B 3"] | None = None,
        scale: float = 1.0,
        dtype: torch.dtype = torch.float32,
    ) -> Inputs:
        """Crops with their upper left corner at `offsets_b2` (row, column), mirrored where `mirror_b` says."""
        return kernels.augment(
            pictures, kernels.Crops(offsets_b2, mirror_b, self.mean, noise_b3, scale, self.size, dtype)
        )
