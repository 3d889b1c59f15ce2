"""PCA colour noise, [A] §4.1: multiples of the principal components of the training pictures' RGB values."""

import numpy as np

from alexnet.choices import ColourNoise
from alexnet.data import order
from alexnet.data.preprocessing import Preprocessing

COLOUR_STRENGTH = 0.1  # [A] §4.1: α ~ N(0, 0.1)


def colour_noise(
    mode: ColourNoise, inputs: Preprocessing, seed: int, epoch: int, indices: np.ndarray
) -> tuple[np.ndarray | None, float]:
    """What is added to each picture's colours, (B, 3) levels, and the factor the picture is then multiplied with.

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
