"""A picture found again from what a layer made of it: what the layer keeps, and what it has lost (Mahendran and Vedaldi
2015). Rows behind the layer are not computed.

From noise, min over x of ‖φ(x) − φ₀‖² / ‖φ₀‖² + λ_α R_α(x) + λ_V R_V(x): φ₀ is the layer's output on the picture, its
*code*; R_α keeps pixels near the mean, R_V, total variation, keeps neighbours alike. S side of an input.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from torch import Tensor

from alexnet.drawing import Result, figure_grid, show
from alexnet.errors import UsageError, UserError
from alexnet.files.schema import attributes
from alexnet.isolation import isolated
from alexnet.measure.pictures import Picture, name_of
from alexnet.measure.run import Run
from alexnet.see.forward_pass import centre_mean, centre_views, inputs_of, records_of
from alexnet.see.visualise import FAINT, Adam, Basis

STEPS = 300
RATE = 0.3
"""Adam's learning rate at the start; it falls to 0 along a cosine."""
ALPHA = 6  # Mahendran and Vedaldi 2015, §4
BRIGHTNESS = 80.0
"""Distance from the mean, in levels of 255, at which R_α of a pixel is 1."""
STEP = BRIGHTNESS / 6.5
"""Difference of neighbours at which R_V of a pixel is 1."""


@dataclass(frozen=True, eq=False)
class Inversion(Result):
    """A picture found from its code in `layer`. `view` uint8 (S, S, 3): what the network saw; `image` (3, S, S), RGB
    0–255: what was found; `error`: ‖φ(image) − φ₀‖ / ‖φ₀‖; `history` (steps,): that error on the way."""

    picture: str
    layer: str
    view: UInt8[np.ndarray, "S S 3"]
    image: Float[Tensor, "3 S S"]
    error: float
    history: Float[Tensor, "steps"]

    def draw(self) -> Figure:
        figure, axes = figure_grid(1, 2, 2.4, 2.8)
        show(axes[0, 0], self.view, "what the network sees")
        found = self.image.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
        show(axes[0, 1], found, f"from {self.layer}\nerror of the code {self.error:.1%}")
        return figure

    def as_json(self) -> dict[str, Any]:
        return attributes(self, "picture", "layer", "error", "history") | {"steps": len(self.history)}


@isolated()
def invert(
    run: Run,
    picture: Picture,
    layer: str,
    *,
    steps: int = STEPS,
    alpha_weight: float = 0.01,
    variation_weight: float = 0.001,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Inversion:
    """Find a picture that `layer` can't tell from `picture`. `alpha_weight`, `variation_weight`: λ_α and λ_V.

    Raises UserError for a layer that there is not or that needs missing weights, a picture that can't be read, and one
    on which the layer is zero; UsageError for numbers below 1 step or 0.
    """
    if steps < 1 or min(alpha_weight, variation_weight) < 0:
        raise UsageError(
            f"{steps} steps, weights {alpha_weight} and {variation_weight}: at least 1 step, none below 0."
        )
    network, dtype = run.network, run.viewer.dtype
    network.check_computable(layer)

    def code_of(pixels: Tensor) -> Tensor:
        with network.copies.in_use():
            return network.maps(pixels.to(dtype), {layer})[layer].float()

    records = records_of(run, [picture])
    with torch.no_grad():
        wanted = code_of(inputs_of(run.viewer, torch.from_numpy(records)))
    length = wanted.norm()
    if not length:
        raise UserError(f"{layer} is zero on all of this picture: there is nothing to find it from.")
    generator, mean, basis = torch.Generator().manual_seed(seed), centre_mean(run.viewer), Basis.of(run.inputs)
    basis = basis.to(mean.device)
    white = (basis.noise(1, generator) * FAINT).to(mean.device).requires_grad_()
    adam = Adam(white)
    history = []
    for step in range(steps):
        pixels = basis.pixels(white)
        error = (code_of(pixels) - wanted).norm() / length
        history.append(error.detach())
        total = error.square() + alpha_weight * alpha_norm(pixels) + variation_weight * total_variation(pixels)
        (gradient,) = torch.autograd.grad(-total, white)
        adam.climb(gradient, RATE * (1 + math.cos(math.pi * step / steps)) / 2)
        if progress:
            progress(step + 1, steps)
    with torch.no_grad():
        image = (basis.pixels(white) + mean).clamp(0, 255)
        error = float((code_of(image - mean) - wanted).norm() / length)
    view = centre_views(records, run.inputs.size)[0]
    name = Path(name_of(picture, 0)).name
    return Inversion(name, layer, view, image[0].cpu(), error, torch.stack(history).cpu())


def alpha_norm(pixels: Float[Tensor, "N 3 S S"]) -> Float[Tensor, ""]:
    """R_α: the mean over pixels of (distance from the mean / BRIGHTNESS)^α."""
    return (pixels.square().sum(dim=1) / BRIGHTNESS**2).pow(ALPHA / 2).mean()


def total_variation(pixels: Float[Tensor, "N 3 S S"]) -> Float[Tensor, ""]:
    """R_V with β = 2: the mean over pixels of the squared differences from the neighbours below and to the right, in
    units of STEP."""
    down, right = pixels.diff(dim=2), pixels.diff(dim=3)
    return (down.square().sum() + right.square().sum()) / (len(pixels) * pixels[0, 0].numel() * STEP**2)
