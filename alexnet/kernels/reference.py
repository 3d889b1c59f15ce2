"""Every kernel in plain PyTorch: differentiable, correct on any device and for float64, float32, bfloat16 and float16.

The normalisations come twice: with a backward pass of their own, fast and lean, and as `plain_…`, formulas that any
tool can trace, transform and differentiate as often as it likes.

B pictures · C maps · H, W rows and columns · K blocks (towers) of M maps · S side of a stored picture

The sum over neighbouring maps is a few shifted additions (for wide windows: a product with a band matrix), and the
power −3/4 is taken by square roots, a few pictures at a time so that everything between input and output stays in the
cache: several times faster than `nn.LocalResponseNorm`, which pools a five-dimensional view and calls `pow`. Half
precision is squared and summed in float32 (65504 < 256²: activations on the 0–255 scale overflow float16).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.geometry import Window

# A denominator below this counts as zero, and so does what it divides: 0·∞ = 0, in the value and in the gradient.
# It can only be met with k = 0, in windows whose activations are all (nearly) zero. Far enough above the smallest
# float32 that s^(−β−1)·a stays finite for every β ≤ 1.
EMPTY = 1e-24
SHIFTED = 9  # the widest window summed by shifting; wider ones by a product with a band matrix
PART = 1 << 18  # values worked on at a time on the CPU

Sums = Callable[..., Tensor]
"""Over each value's window: (values BCHW, spec, *, transposed) → BCHW."""


@dataclass(frozen=True)
class NormSpec:
    """b_i = a_i / (k + alpha · Σ_j a_j²)^beta, [A] §3.3.

    j runs over `size` neighbouring maps: size // 2 below i and (size − 1) // 2 above it, as in the 2012 code and in
    PyTorch, clipped to the block of maps (tower) that contains i. `alpha` multiplies the plain sum, as printed;
    for the other convention (Caffe, PyTorch, the 2012 parameter files) pass their alpha / size.
    A `size` of 2·M − 1 or more takes in all M maps of the block. With k = 0, maps that are all zero stay zero.
    For a norm inside each map (`spatial_response_norm`) the window is `size` × `size` positions; `blocks` is ignored.
    """

    k: float
    alpha: float
    beta: float
    size: int
    blocks: int = 1

    def __post_init__(self) -> None:
        if self.size < 1 or self.blocks < 1:
            raise ValueError(f"normalisation needs size ≥ 1 and blocks ≥ 1, not size={self.size}, blocks={self.blocks}")
        if self.k < 0 or self.alpha < 0:
            raise ValueError(f"normalisation needs k ≥ 0 and alpha ≥ 0, not k={self.k}, alpha={self.alpha}")


@dataclass(frozen=True)
class NormPool:
    """[ReLU] → [norm] → [norm `inside` each map] → [ReLU] → [max-pool with the ceil rule], as one kernel does them."""

    norm: NormSpec | None = None
    inside: NormSpec | None = None
    relu_first: bool = False
    relu_last: bool = False
    kernel: int = 1
    stride: int = 1

    def outputs(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of what a map of H × W becomes."""
        window = Window(self.kernel, self.stride)
        return window.outputs(height), window.outputs(width)


@dataclass(frozen=True)
class Crops:
    """How stored pictures become inputs: the crop of each, the mean subtracted, the noise added, the scale.

    offsets_b2: row and column of each crop's corner, whole numbers. mirror_b: true where the crop is mirrored left to
    right. noise_b3: one addend per picture and colour, or None. mean, on the 0–255 scale: 3 × 1 × 1 (a colour), 3 ×
    size × size (never mirrored: the 2012 code's centre crop) or 3 × H × W (cropped and mirrored with each picture).
    dtype: of the result.
    """

    offsets_b2: Tensor
    mirror_b: Tensor
    mean: Tensor
    noise_b3: Tensor | None
    scale: float
    size: int
    dtype: torch.dtype

    def mean_of(self, pictures_bhwc: Tensor) -> tuple[Tensor, bool]:
        """The mean as float32 on the pictures' device, and whether it is aligned with them. An aligned mean is
        H × W × 3 and cropped with each picture; any other is size × size × 3 and subtracted from the crop."""
        shape, (height, width) = tuple(self.mean.shape), pictures_bhwc.shape[1:3]
        of_a_crop = shape in {(3, 1, 1), (3, self.size, self.size)}
        if not of_a_crop and shape != (3, height, width):
            crop = f"(3, {self.size}, {self.size})"
            raise ValueError(f"the mean has shape {shape}; it must be (3, 1, 1), {crop} or (3, {height}, {width})")
        mean = self.mean.to(pictures_bhwc.device, torch.float32)
        mean = mean.expand(3, self.size, self.size) if of_a_crop else mean
        return mean.permute(1, 2, 0), not of_a_crop


def local_response_norm(x_bchw: Tensor, spec: NormSpec) -> Tensor:
    """Local response normalisation (LRN, [A] §3.3), over neighbouring maps: b = a · (k + alpha · Σ a²)^−beta.

    BCHW in, BCHW out, same dtype; differentiable (once)."""
    return _Norm.apply(x_bchw, spec, _map_sums)  # pyright: ignore[reportReturnType]


def spatial_response_norm(x_bchw: Tensor, spec: NormSpec) -> Tensor:
    """Normalisation over a size × size window of the same map, clipped at the borders (2012 code, `rnorm`).

    x · (k + alpha · Σ x²)^−beta; the window reaches size // 2 up and left, (size − 1) // 2 down and right.
    """
    return _Norm.apply(x_bchw, spec, _position_sums)  # pyright: ignore[reportReturnType]


def plain_local_response_norm(x_bchw: Tensor, spec: NormSpec) -> Tensor:
    """`local_response_norm` in plain operations. It never inspects sizes, so symbolic tracers work."""
    a = at_least_float32(x_bchw)
    q_bkmhw = (a * a).unflatten(1, (spec.blocks, -1))
    padded = F.pad(q_bkmhw, (0, 0, 0, 0, spec.size // 2, (spec.size - 1) // 2))
    if spec.size <= SHIFTED:
        maps = a.shape[1] // spec.blocks
        sums = sum((padded.narrow(2, step, maps) for step in range(1, spec.size)), padded.narrow(2, 0, maps))
    else:
        sums = padded.unfold(2, spec.size, 1).sum(dim=-1)
    return _plainly_divided(a, sums.flatten(1, 2), spec).to(x_bchw.dtype)


def plain_spatial_response_norm(x_bchw: Tensor, spec: NormSpec) -> Tensor:
    """`spatial_response_norm` in plain operations, likewise."""
    a, before, after = at_least_float32(x_bchw), spec.size // 2, (spec.size - 1) // 2
    padded = F.pad(a * a, (before, after, before, after))
    sums = F.avg_pool2d(padded, spec.size, stride=1, divisor_override=1)
    return _plainly_divided(a, sums, spec).to(x_bchw.dtype)


def differentiable_gradient(plain: Callable[[Tensor], Tensor], x: Tensor, gradient: Tensor) -> Tensor:
    """The gradient at `x` of a function made of plain operations, itself differentiable."""
    return torch.autograd.grad(plain(x), x, gradient, create_graph=True)[0]


def _plainly_divided(a: Tensor, sums: Tensor, spec: NormSpec) -> Tensor:
    s = spec.k + spec.alpha * sums
    if spec.k >= EMPTY:
        return a * s.pow(-spec.beta)
    empty = s < EMPTY  # 1 instead: a derivative taken at 0 would be NaN, even where its value is not used
    return torch.where(empty, 0.0, a * torch.where(empty, 1.0, s).pow(-spec.beta))


def relu_norm_pool(x_bchw: Tensor, steps: NormPool, *, plain: bool = False) -> Tensor:
    """The steps one by one. B × C × H × W → B × C × h × w. `plain`: normalise in plain operations, for tracers and
    second derivatives."""
    across_maps = plain_local_response_norm if plain else local_response_norm
    inside_maps = plain_spatial_response_norm if plain else spatial_response_norm
    if steps.relu_first:
        x_bchw = F.relu(x_bchw)
    if steps.norm is not None:
        x_bchw = across_maps(x_bchw, steps.norm)
    if steps.inside is not None:
        x_bchw = inside_maps(x_bchw, steps.inside)
    if steps.relu_last:
        x_bchw = F.relu(x_bchw)
    pools = steps.kernel > 1 or steps.stride > 1
    return F.max_pool2d(x_bchw, steps.kernel, steps.stride, ceil_mode=True) if pools else x_bchw


def space_to_depth(x_bchw: Tensor, stride: int, before: int, rows: int, columns: int) -> Tensor:
    """Blocks of stride × stride pixels as maps, `before` zeros in front: B × (stride · stride · C) × rows × columns."""
    height, width = x_bchw.shape[2:]
    after = columns * stride - width - before, rows * stride - height - before
    padded = F.pad(x_bchw, (before, after[0], before, after[1]))
    blocks_bhywxc = padded.permute(0, 2, 3, 1).unflatten(2, (-1, stride)).unflatten(1, (-1, stride))
    return blocks_bhywxc.transpose(2, 3).flatten(3).permute(0, 3, 1, 2)


def depth_to_space(x_bchw: Tensor, stride: int) -> Tensor:
    """The transpose of `space_to_depth`: B × (stride · stride · C) × h × w → B × C × stride · h × stride · w."""
    blocks_byxchw = x_bchw.unflatten(1, (stride, stride, -1))
    return blocks_byxchw.permute(0, 3, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)


@torch.no_grad()
def update_(
    weight: Tensor,
    velocity: Tensor,
    gradient: Tensor,
    copy: Tensor | None,
    learning_rate: float,
    momentum: float,
    decay: float,
) -> None:
    """The rule of [A] §5, in place: v ← momentum · v − decay · lr · w − lr · g; w ← w + v; copy ← w, rounded."""
    velocity.mul_(momentum).add_(weight, alpha=-decay * learning_rate).add_(gradient, alpha=-learning_rate)
    weight.add_(velocity)
    if copy is not None:
        copy.copy_(weight)


def augment(pictures_bhwc: Tensor, crops: Crops) -> Tensor:
    """Crop, mirror, subtract the mean, add noise, multiply: BCHW, channels_last."""
    device = pictures_bhwc.device
    steps = torch.arange(crops.size, device=device)
    rows = crops.offsets_b2[:, 0, None] + steps
    columns = crops.offsets_b2[:, 1, None] + torch.where(crops.mirror_b[:, None], steps.flip(0), steps)
    pictures = torch.arange(len(pictures_bhwc), device=device)[:, None, None]
    mean_hwc, aligned = crops.mean_of(pictures_bhwc)
    mean = mean_hwc[rows[:, :, None], columns[:, None, :]] if aligned else mean_hwc
    values = pictures_bhwc[pictures, rows[:, :, None], columns[:, None, :]].float() - mean
    if crops.noise_b3 is not None:
        values = values + crops.noise_b3.to(torch.float32)[:, None, None, :]
    return (values * crops.scale).to(crops.dtype).permute(0, 3, 1, 2)


class _Norm(torch.autograd.Function):
    """x · (k + alpha · Σ x²)^−beta, with `sums` computing Σ over neighbouring maps or positions. Saves only its input;
    the backward pass computes the sums again."""

    @staticmethod
    def forward(ctx: Any, x_bchw: Tensor, spec: NormSpec, sums: Sums) -> Tensor:
        ctx.save_for_backward(x_bchw)
        ctx.spec, ctx.sums = spec, sums
        out = torch.empty_like(x_bchw)
        for part in _parts(x_bchw):
            a = at_least_float32(x_bchw[part])
            out[part] = _powers(_denominator(a, spec, sums), spec.beta, spec.k)[0].mul_(a)
        return out

    @staticmethod
    def backward(ctx: Any, gradient_bchw: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (x_bchw,), spec, sums = ctx.saved_tensors, ctx.spec, ctx.sums
        if torch.is_grad_enabled():  # somebody differentiates the gradient too (create_graph)
            plain = plain_local_response_norm if sums is _map_sums else plain_spatial_response_norm
            return differentiable_gradient(lambda x: plain(x, spec), x_bchw, gradient_bchw), None, None
        out = torch.empty_like(x_bchw)
        for part in _parts(x_bchw):
            a = at_least_float32(x_bchw[part])
            power, reciprocal = _powers(_denominator(a, spec, sums), spec.beta, spec.k)
            scaled = power.mul_(at_least_float32(gradient_bchw[part]))
            shared = sums(reciprocal.mul_(a).mul_(scaled), spec, transposed=True)
            out[part] = scaled.addcmul_(a, shared, value=-2 * spec.alpha * spec.beta)
        return out, None, None


def _parts(x_bchw: Tensor) -> list[slice]:
    """A few pictures at a time on the CPU, so that the intermediate values stay in the cache."""
    pictures = x_bchw.shape[0]
    step = max(1, PART // max(1, x_bchw[:1].numel())) if x_bchw.device.type == "cpu" else max(1, pictures)
    return [slice(start, start + step) for start in range(0, pictures, step)]


def at_least_float32(x: Tensor) -> Tensor:
    """Float32 for half precision; other types, and a symbolic tracer's values, as they are."""
    return x.float() if any(x.dtype is half for half in (torch.bfloat16, torch.float16)) else x


def _powers(s: Tensor, beta: float, k: float) -> tuple[Tensor, Tensor]:
    """(s^−beta, 1 / s), both 0 where s < EMPTY (NaN stays NaN). s is at least `k`, so no s is empty if `k` ≥ EMPTY.
    `pow` is many times slower than square roots."""
    if beta == 0.75:
        root = s.rsqrt()
        power = root.sqrt().mul_(root)
        reciprocal = root.mul_(root)
    else:
        reciprocal = s.reciprocal()
        power = reciprocal.clone() if beta == 1.0 else s.pow(-beta)
    if k >= EMPTY:
        return power, reciprocal
    empty = s < EMPTY
    return power.masked_fill_(empty, 0.0), reciprocal.masked_fill_(empty, 0.0)


def _denominator(a_bchw: Tensor, spec: NormSpec, sums: Sums) -> Tensor:
    return sums(a_bchw * a_bchw, spec).mul_(spec.alpha).add_(spec.k)


def _map_sums(q_bchw: Tensor, spec: NormSpec, *, transposed: bool = False) -> Tensor:
    """Sums over each map's window. `transposed`: the adjoint, sums over the maps whose window holds this one."""
    batch, channels, height, width = q_bchw.shape
    maps = channels // spec.blocks
    if spec.size <= SHIFTED:
        return _shifted_sums(q_bchw, maps, spec.size, transposed=transposed)
    band = _band(maps, spec.size, q_bchw, transposed=transposed)
    rows = q_bchw.permute(0, 2, 3, 1).reshape(-1, maps)
    return (rows @ band).view(batch, height, width, channels).permute(0, 3, 1, 2)


def _shifted_sums(q_bchw: Tensor, maps: int, size: int, *, transposed: bool) -> Tensor:
    """Adds the maps `step` below or above to each, for every step of the window, never across blocks."""
    before, after = size // 2, (size - 1) // 2
    if transposed:
        before, after = after, before
    sums = q_bchw.clone()
    q, total = q_bchw.unflatten(1, (-1, maps)), sums.unflatten(1, (-1, maps))
    for step in range(1, min(before, maps - 1) + 1):
        total[:, :, step:] += q[:, :, :-step]
    for step in range(1, min(after, maps - 1) + 1):
        total[:, :, :-step] += q[:, :, step:]
    return sums


def _band(maps: int, size: int, like: Tensor, *, transposed: bool) -> Tensor:
    """band[j, i] = 1 where the window of map i contains map j: j − i in [−(size // 2), (size − 1) // 2]."""
    step = torch.arange(maps, device=like.device)
    offset = step[:, None] - step[None, :]
    if transposed:
        offset = -offset
    return ((offset >= -(size // 2)) & (offset <= (size - 1) // 2)).to(like.dtype)


def _position_sums(q_bchw: Tensor, spec: NormSpec, *, transposed: bool = False) -> Tensor:
    """Sums over each position's size × size window, zero beyond the borders: rows, then columns."""
    before, after = spec.size // 2, (spec.size - 1) // 2
    if transposed:
        before, after = after, before
    padded = F.pad(q_bchw, (0, 0, before, after))
    height, width = q_bchw.shape[2:]
    sums = torch.zeros_like(q_bchw)
    for step in range(spec.size):
        sums += padded[:, :, step : step + height]
    padded = F.pad(sums, (before, after))
    sums = torch.zeros_like(q_bchw)
    for step in range(spec.size):
        sums += padded[:, :, :, step : step + width]
    return sums
