"""Pictures made for a unit, a map, a class or a direction: noise, changed step by step so that its activation rises
(Erhan et al. 2009). What such a picture looks like depends on how it is held back from becoming noise again: `PRESETS`.

The default climbs in a Fourier basis with decorrelated colours (Olah et al. 2017): one step changes each frequency in
proportion to its share in photographs. The others are those of Yosinski et al. 2015, Table 1, on the pixels themselves.
Rows behind the layer are not computed.

N pictures · C maps (or units) of the layer · S side of an input · F = S // 2 + 1 frequencies.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from alexnet.choices import Preset
from alexnet.data.preprocessing import Preprocessing
from alexnet.drawing import Result, figure_grid, show
from alexnet.errors import UsageError, UserError
from alexnet.files.schema import attributes
from alexnet.geometry import Box
from alexnet.isolation import isolated
from alexnet.measure.run import Run
from alexnet.nets.network import Network
from alexnet.nets.table import Weighted
from alexnet.see.display import cut, tile
from alexnet.see.forward_pass import centre_mean
from alexnet.see.units import Unit, box_of, check_unit, frame_of

EIGENVALUES = torch.tensor([14143.0, 1222.0, 292.6])
EIGENVECTORS = torch.tensor([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
"""Of ImageNet's colours on the scale 0–255 (fb.resnet.torch), for runs whose own are not known: imported weights."""
STEPS = 256
FAINT = 0.05
"""Contrast of the noise that a picture begins as, as a share of a photograph's."""
LOUD = 10.0
"""Standard deviation of that noise on the pixels themselves, as in Yosinski's code."""
TILE = 200
"""Side of a picture in a figure, in pixels."""


@dataclass(frozen=True)
class Ascent:
    """How a picture is made. `rate`: in the Fourier basis Adam's learning rate, on pixels the root
    mean square of a step in levels of 255. Every step sees the picture moved by up to `jitter` of its side, enlarged or
    reduced by up to `scale`.

    On pixels (Yosinski et al. 2015, §3): `decay` (L2) is taken off at each step; every `blur_every` steps a Gaussian of
    `blur_width` pixels blurs the picture; `small_norm` and `small_contribution` percent of the pixels become the mean's
    at each step: those with the smallest norm, and those whose removal changes the activation least."""

    basis: Literal["fourier", "pixels"]
    rate: float
    jitter: float = 0.0
    scale: float = 0.0
    decay: float = 0.0
    blur_width: float = 0.0
    blur_every: int = 0
    small_norm: float = 0.0
    small_contribution: float = 0.0


PRESETS: dict[Preset, Ascent] = {
    "fourier": Ascent("fourier", 0.05, jitter=1 / 28, scale=0.05),
    # Yosinski et al. 2015, Table 1, row by row. Their learning rates (100 on the derivative of a logit) suit one layer
    # of one network: here a step has the same size whatever the layer.
    "yosinski-1": Ascent("pixels", 2.0, blur_width=0.5, blur_every=4, small_norm=50),
    "yosinski-2": Ascent("pixels", 10.0, decay=0.3, small_norm=20),
    "yosinski-3": Ascent("pixels", 2.0, decay=0.0001, blur_width=1.0, blur_every=4),
    "yosinski-4": Ascent("pixels", 2.0, blur_width=0.5, blur_every=4, small_contribution=90),
}


# ── how a picture is written ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Basis:
    """White coefficients, (N, 3, S, F, 2), to pixels (N, 3, S, S) about 0, and back: a linear map.

    Coefficients of variance 1 make pictures with the colour covariance of photographs, and with their spectrum: the
    amplitude of frequency f falls as 1 / f. `amplitudes` (S, F) at each frequency, `colours` (3, 3): their product with
    its transpose is the covariance on the scale 0–255."""

    amplitudes: Float[Tensor, "S F"]
    colours: Float[Tensor, "3 3"]

    @classmethod
    def of(cls, inputs: Preprocessing) -> "Basis":
        """That of a run's pictures; ImageNet's colours where the run's are not known."""
        known = inputs.eigenvalues is not None and inputs.eigenvectors is not None
        values, vectors = (inputs.eigenvalues, inputs.eigenvectors) if known else (EIGENVALUES, EIGENVECTORS)
        assert values is not None
        assert vectors is not None
        side = inputs.size
        amplitudes = 1 / frequencies(side).clamp(min=1 / side)
        # A frequency and its negative are one coefficient, except in these columns: two, of which half is used.
        alone = torch.arange(amplitudes.shape[1]) % (side / 2) == 0
        power = (amplitudes.square() * torch.where(alone, 1, 2)).sum() / side**2
        amplitudes = torch.where(alone, amplitudes * math.sqrt(2), amplitudes) / power.sqrt()
        return cls(amplitudes, vectors.float() * values.float().clamp(min=0).sqrt())

    def to(self, device: torch.device) -> "Basis":
        return Basis(self.amplitudes.to(device), self.colours.to(device))

    def pixels(self, white: Float[Tensor, "N 3 S F 2"]) -> Float[Tensor, "N 3 S S"]:
        spectrum = torch.view_as_complex(white) * (self.amplitudes / math.sqrt(2))
        side = self.amplitudes.shape[0]
        return torch.einsum("rc,nchw->nrhw", self.colours, torch.fft.irfft2(spectrum, (side, side), norm="ortho"))

    def white(self, pixels: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N 3 S F 2"]:
        """The coefficients of a picture: the inverse."""
        uncorrelated = torch.einsum("cr,nrhw->nchw", torch.linalg.inv(self.colours), pixels)
        spectrum = torch.fft.rfft2(uncorrelated, norm="ortho")
        return torch.view_as_real(spectrum / (self.amplitudes / math.sqrt(2)))

    def noise(self, count: int, generator: torch.Generator) -> Float[Tensor, "N 3 S F 2"]:
        """Coefficients of variance 1."""
        return torch.randn(count, 3, *self.amplitudes.shape, 2, generator=generator)


def frequencies(side: int) -> Float[Tensor, "S F"]:
    """Cycles per pixel of each coefficient of a real picture's Fourier transform."""
    return torch.hypot(torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side))


def within_levels(pixels: Float[Tensor, "N 3 S S"], mean: Float[Tensor, "3 1 1"]) -> Float[Tensor, "N 3 S S"]:
    """Pixels about 0 bent smoothly into 0–255; 0 becomes the mean."""
    return 255 * torch.sigmoid(pixels * (4 / 255) + torch.logit(mean / 255, eps=0.01))


def transformed(
    pictures: Float[Tensor, "N 3 S S"], ascent: Ascent, generator: torch.Generator
) -> Float[Tensor, "N 3 S S"]:
    """Each picture moved and scaled at random, bilinear; its mirror images lie beyond its edges."""
    if not ascent.jitter and not ascent.scale:
        return pictures
    count = len(pictures)
    zoom, *move = (torch.rand(3, count, generator=generator) * 2 - 1).to(pictures.device)
    matrix_n23 = torch.zeros(count, 2, 3, device=pictures.device)
    matrix_n23[:, 0, 0] = matrix_n23[:, 1, 1] = 1 + ascent.scale * zoom
    matrix_n23[:, :, 2] = torch.stack(move, dim=1) * (2 * ascent.jitter)
    grid = F.affine_grid(matrix_n23, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)


# ── what is looked for ───────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Target:
    """What rises: the layer's maps times `weights` (C,), at a `position` (row, column) or in the mean over all. One
    unit or map is a direction with a single 1.

    A map that no position of a picture excites has no gradient: it is followed at `below`, the row with weights that it
    comes from, until it is active."""

    network: Network
    layer: str
    below: str
    weights: Float[Tensor, "C"]
    position: tuple[int, int] | None

    def of(self, maps: Tensor) -> Float[Tensor, "N"]:
        along = torch.einsum("nc...,c->n...", maps.float(), self.weights)
        if self.position is not None and along.ndim == 3:
            return along[:, self.position[0], self.position[1]]
        return along.flatten(1).mean(dim=1) if along.ndim > 1 else along

    def maps(self, inputs: Float[Tensor, "N 3 S S"]) -> tuple[Tensor, Tensor]:
        """The outputs of the layer and of `below`."""
        with self.network.copies.in_use():
            found = self.network.maps(inputs, {self.layer, self.below})
        return found[self.layer], found[self.below]


def target_of(
    run: Run,
    layer: str,
    unit: int | None,
    position: tuple[int, int] | None,
    direction: Sequence[float] | np.ndarray | Tensor | None,
) -> Target:
    """Raises UserError for a layer, unit or position that there is not or can't be computed, UsageError unless one of
    unit and direction is given, as long as the layer has maps."""
    network = run.network
    network.check_computable(layer)
    maps = network.layer(layer).leaving.maps
    if (unit is None) == (direction is None):
        raise UsageError(f"name a unit of {layer} (0 … {maps - 1}), or give a direction over its {maps} maps.")
    check_unit(network, Unit(layer, unit or 0, *(position or ())))
    if direction is None:
        weights = F.one_hot(torch.tensor(unit), maps).float()
    else:
        weights = torch.as_tensor(direction, dtype=torch.float32)
        if tuple(weights.shape) != (maps,) or not weights.isfinite().all() or not weights.any():
            raise UsageError(f"a direction in {layer} has {maps} finite numbers, one for each map, that aren't all 0.")
    names = [one.row.name for one in network.layers]
    rows = network.layers[: names.index(layer) + 1]
    below = next((one.row.name for one in reversed(rows) if isinstance(one.row, Weighted)), layer)
    return Target(network, layer, below, weights.to(run.placement.device), position)


def similarity(maps: Tensor) -> Float[Tensor, ""]:
    """How alike several pictures excite the layer: the mean cosine, over pairs, of the correlations between its maps
    (of a fully connected layer: of its units)."""
    features = maps.float().flatten(2) if maps.ndim == 4 else maps.float()[:, None]
    correlations = features @ features.mT if maps.ndim == 4 else features
    vectors = F.normalize(correlations.flatten(1), dim=1)
    count = len(vectors)
    return ((vectors @ vectors.T).sum() - vectors.square().sum()) / (count * (count - 1))


# ── the ascent ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Visualisation(Result):
    """Pictures made for a target: `images` (N, 3, S, S), RGB 0–255; `activations` (N,) of each, unmoved; `history`
    (steps, N) on the way, moved and scaled. `name`: of the target; `box`: the pixels that its position sees."""

    name: str
    layer: str
    unit: int | None
    position: tuple[int, int] | None
    preset: Preset
    seed: int
    images: Float[Tensor, "N 3 S S"]
    activations: Float[Tensor, "N"]
    history: Float[Tensor, "steps N"]
    box: Box
    frame: Box

    def draw(self) -> Figure:
        return images_figure([self])

    def as_json(self) -> dict[str, Any]:
        named = attributes(self, "name", "layer", "unit", "position", "preset", "seed", "box", "activations")
        return named | {"steps": len(self.history), "history": self.history.tolist()}


@isolated()
def visualise(
    run: Run,
    layer: str,
    unit: int | None = None,
    *,
    position: tuple[int, int] | None = None,
    direction: Sequence[float] | np.ndarray | Tensor | None = None,
    preset: Preset = "fourier",
    steps: int = STEPS,
    starts: int = 1,
    diversity: float = 1.0,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Visualisation:
    """Make pictures that excite a map of `layer` in the mean over its positions, its unit at `position` (row, column),
    a class (a unit of the last layer), or a `direction` (C,), a weighted sum of the layer's maps.

    `starts`: so many pictures, from different noise; `diversity`: how much each is kept from exciting the layer like
    the others, as a share of the activation. The same seed gives the same pictures.
    Raises UserError for a layer, unit or position that there is not, for missing weights, and for a target that nothing
    excites; UsageError for an unknown preset and numbers that make no sense.
    """
    if preset not in PRESETS:
        raise UsageError(f"there is no preset {preset!r}. There are: {', '.join(PRESETS)}.")
    ascent = PRESETS[preset]
    if steps < 1 or starts < 1:
        raise UsageError(f"{steps} steps from {starts} starts: at least 1 each.")
    target = target_of(run, layer, unit, position, direction)
    name = name_of(run, target, unit)
    generator, mean = torch.Generator().manual_seed(seed), centre_mean(run.viewer)
    picture = (Fourier if ascent.basis == "fourier" else Pixels)(run.inputs, ascent, starts, generator, mean)
    history = []
    for step in range(steps):
        seen = transformed(picture.levels(), ascent, generator) - mean
        maps, below = target.maps(seen.to(run.viewer.dtype))
        values = target.of(maps)
        history.append(values.detach())
        risen = torch.where(values != 0, values, target.of(below)).sum()
        if starts > 1:
            risen = risen - diversity * values.detach().abs().sum() * similarity(maps)
        (gradient,) = torch.autograd.grad(risen, picture.values)
        if step == 0 and not bool(gradient.flatten(1).any(dim=1).all()):
            raise UserError(f"{name} can't be visualised: its gradient is zero everywhere, so no picture excites it.")
        picture.climb(gradient, step)
        if progress:
            progress(step + 1, steps)
    with torch.no_grad():
        images = picture.levels().detach()
        activations = target.of(target.maps((images - mean).to(run.viewer.dtype))[0])
    if not activations.any():
        raise UserError(f"{name} can't be visualised: it stayed silent (0) for all of {steps} steps.")
    place = Unit(layer, unit or 0, *(position or ()))
    box, frame = box_of(run.network, place), frame_of(run.network, place)
    followed = torch.stack(history).cpu()
    return Visualisation(
        name, layer, unit, position, preset, seed, images.cpu(), activations.cpu(), followed, box, frame
    )


class Adam:
    """Adam (Kingma and Ba 2015) on one tensor. torch's own imports its compiler first, which takes seconds."""

    def __init__(self, values: Tensor, beta: float = 0.9, beta_of_squares: float = 0.999) -> None:
        self.values, self.betas, self.step = values, (beta, beta_of_squares), 0
        self.mean, self.square = torch.zeros_like(values), torch.zeros_like(values)

    @torch.no_grad()
    def climb(self, gradient: Tensor, rate: float) -> None:
        """One step along the gradient."""
        self.step += 1
        self.mean.lerp_(gradient, 1 - self.betas[0])
        self.square.lerp_(gradient.square(), 1 - self.betas[1])
        mean, square = (m / (1 - b**self.step) for m, b in zip((self.mean, self.square), self.betas, strict=True))
        self.values.add_(mean / (square.sqrt() + 1e-8), alpha=rate)


class Fourier:
    """Pictures as white coefficients, moved by Adam."""

    def __init__(
        self, inputs: Preprocessing, ascent: Ascent, count: int, generator: torch.Generator, mean: Tensor
    ) -> None:
        self.basis = Basis.of(inputs).to(mean.device)
        self.mean = mean.mean(dim=(1, 2), keepdim=True)
        self.values = (self.basis.noise(count, generator) * FAINT).to(mean.device).requires_grad_()
        self.adam, self.rate = Adam(self.values), ascent.rate

    def levels(self) -> Float[Tensor, "N 3 S S"]:
        """The pictures, RGB 0–255."""
        return within_levels(self.basis.pixels(self.values), self.mean)

    def climb(self, gradient: Tensor, step: int) -> None:  # noqa: ARG002 - the signature of both
        """One step along the gradient."""
        self.adam.climb(gradient, self.rate)


class Pixels:
    """Pictures as pixels, moved and regularised as in Yosinski et al. 2015."""

    def __init__(
        self, inputs: Preprocessing, ascent: Ascent, count: int, generator: torch.Generator, mean: Tensor
    ) -> None:
        self.ascent, self.mean = ascent, mean
        noise = torch.randn(count, 3, inputs.size, inputs.size, generator=generator) * LOUD
        self.values = noise.to(mean.device).requires_grad_()

    def levels(self) -> Float[Tensor, "N 3 S S"]:
        """The pictures, RGB 0–255."""
        return self.values + self.mean

    @torch.no_grad()
    def climb(self, gradient: Tensor, step: int) -> None:
        """One step along the gradient, then the regularisers, then back into 0–255."""
        size = gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp(min=1e-30)
        moved = self.values + gradient * (self.ascent.rate / size)
        regularised = regularise(moved, gradient, self.ascent, step)
        self.values.copy_((regularised + self.mean).clamp(0, 255) - self.mean)


def regularise(
    pixels: Float[Tensor, "N 3 S S"], gradient: Float[Tensor, "N 3 S S"], ascent: Ascent, step: int
) -> Float[Tensor, "N 3 S S"]:
    """The regularisers of Yosinski et al. 2015, §3, on pixels about the mean, in their code's order."""
    pixels = pixels * (1 - ascent.decay)
    if ascent.blur_every and step % ascent.blur_every == 0:
        pixels = blurred(pixels, ascent.blur_width)
    if ascent.small_norm:
        norms = pixels.norm(dim=1, keepdim=True)
        pixels = pixels * (norms >= percentile(norms, ascent.small_norm))
    if ascent.small_contribution:
        contributions = (gradient * pixels).sum(dim=1, keepdim=True).abs()
        pixels = pixels * (contributions >= percentile(contributions, ascent.small_contribution))
    return pixels


def blurred(pixels: Float[Tensor, "N 3 S S"], width: float) -> Float[Tensor, "N 3 S S"]:
    """Convolved with a Gaussian of this standard deviation, periodic at the edges."""
    side = pixels.shape[-1]
    passing = torch.exp(-2 * (math.pi * width * frequencies(side)) ** 2).to(pixels.device)
    return torch.fft.irfft2(torch.fft.rfft2(pixels) * passing, (side, side))


def percentile(values: Float[Tensor, "N 1 S S"], percent: float) -> Float[Tensor, "N 1 1 1"]:
    return values.flatten(1).quantile(percent / 100, dim=1)[:, None, None, None]


def name_of(run: Run, target: Target, unit: int | None) -> str:
    """What a figure and a message call the target: the class, in the last layer."""
    if unit is None:
        what = f"a direction in {target.layer}"
    elif target.layer == run.network.layers[-1].row.name:
        what = run.class_names[unit]
    else:
        what = f"{target.layer} · {unit}"
    return what + ("" if target.position is None else f" at {target.position[0]},{target.position[1]}")


def images_figure(found: Sequence[Visualisation]) -> Figure:
    """The pictures of one or several targets, with their activations; of a position, what it sees of them."""
    shown = [(one, number) for one in found for number in range(len(one.images))]
    several = len(found[0].images) > 1 and len(found) > 1  # then each target has a row of its own
    per_row = len(found[0].images) if several else min(6, len(shown))
    figure, axes = figure_grid(-(-len(shown) // per_row), per_row, 1.7, 1.95)
    for panel, (one, number) in zip(axes.flat, shown, strict=False):
        picture = one.images[number].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
        title = f"{one.name}\n{float(one.activations[number]):.3g}"
        show(panel, tile(cut(picture, one.box), TILE, one.box, one.frame), title)
    return figure
