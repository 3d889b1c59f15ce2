"""Pure tensor functions on BCHW tensors (channels_last preferred): normalisation, pooling, update, crops.

Each has forms that agree: `reference` (plain PyTorch, any device and dtype) and a compiled one: on the CPU `compiled`
(one C++ library, float32 and bfloat16, built at first use), on CUDA `triton_kernels` (float16 too; no normalisation
over positions). Which one runs is decided once per process and kind of device: by what is available, by the variable
ALEXNET_KERNELS=auto|compiled|reference, or by `choose`; `available` describes it. Imports `geometry`, `files`.
"""

import functools
import math
import os
import sys
from dataclasses import dataclass
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack  # pyright: ignore[reportMissingModuleSource]
from torch.autograd import forward_ad

from alexnet.errors import UserError
from alexnet.files import native
from alexnet.geometry import Window
from alexnet.kernels import compiled, reference, winograd
from alexnet.kernels.reference import Crops, NormPool, NormSpec

__all__ = [
    "THIN",
    "Crops",
    "NormPool",
    "NormSpec",
    "augment",
    "available",
    "choose",
    "convolution",
    "convolution_transpose",
    "is_ordinary",
    "local_response_norm",
    "relu_norm_pool",
    "space_to_depth",
    "spatial_response_norm",
    "strided_convolution",
    "strided_convolution_transpose",
    "update_",
]

_VARIABLE = "ALEXNET_KERNELS"
_chosen: str | None = None


def choose(choice: str) -> str:
    """Decide for this process which form runs: "auto", "compiled" or "reference". Returns `available()`.

    "auto" uses the compiled form if it is available, else warns on stderr. Raises UserError for any other word, and for
    "compiled" where it isn't available (a run that began with it can't be resumed without).
    """
    global _chosen
    _chosen = choice
    _decide.cache_clear()
    return available()


def available(device: torch.device | str = "cpu") -> str:
    """Which form runs on a kind of device, in words for the run's config: "compiled (g++ …)", "triton 3.7.1",
    "reference (no compiler …)"."""
    return _decide(torch.device(device).type)[1]


@functools.cache
def _decide(kind: str) -> tuple[ModuleType, str]:
    """The form that runs on this kind of device, and its description."""
    choice = _chosen or os.environ.get(_VARIABLE) or "auto"
    if choice not in ("auto", "compiled", "reference"):
        raise UserError(f"{_VARIABLE}={choice}: must be auto, compiled or reference")
    if choice == "reference":
        return reference, "reference (chosen)"
    if kind not in ("cpu", "cuda"):
        return reference, f"reference (no other kernels for {kind})"
    try:
        return _compiled_for(kind)
    except native.UnavailableError as reason:
        if choice == "compiled":
            wanted, remedy = ("Triton", "Install triton") if kind == "cuda" else ("compiled CPU", "Install g++")
            raise UserError(
                f"the {wanted} kernels are asked for but not available: {reason}. {remedy} or set {_VARIABLE}=reference"
            ) from None
        print(f"alexnet: plain PyTorch kernels (slower): {reason}", file=sys.stderr, flush=True)
        return reference, f"reference ({reason})"


def _compiled_for(kind: str) -> tuple[ModuleType, str]:
    """The compiled form for "cpu" or "cuda", and its description. Raises UnavailableError if there is none."""
    if kind == "cpu":
        return compiled, f"compiled ({compiled.library().description})"
    try:
        from alexnet.kernels import triton_kernels  # only here: importing triton takes a second, and may fail

        return triton_kernels, triton_kernels.describe(torch.device(kind))
    except Exception as fault:  # whatever driver, compiler or installation have to say
        first = next(iter(str(fault).splitlines()), "")
        raise native.UnavailableError(f"Triton does not work here ({type(fault).__name__}: {first})") from fault


@dataclass(frozen=True)
class _Reach:
    """What the compiled form for a kind of device supports: types, largest pooling window, largest norm window."""

    dtypes: tuple[torch.dtype, ...]
    kernel: int
    window: float


_REACH = {
    "cpu": _Reach(compiled.DTYPES, compiled.LARGEST_KERNEL, math.inf),
    "cuda": _Reach((torch.float32, torch.bfloat16, torch.float16), kernel=5, window=9),  # Triton unrolls these loops
}
_LARGEST_PICTURE = 1 << 30  # values; the kernels index a picture's values with 32 bits


def is_ordinary(x: object) -> bool:
    """Whether `x` is an ordinary tensor in an ordinary pass, which own kernels may read and write in memory: outside
    compilers, tracers, exporters, dispatch modes, the transforms of `torch.func` and forward-mode derivatives."""
    return (
        not torch.compiler.is_compiling()
        and type(x) in (Tensor, torch.nn.Parameter)
        and not torch._C._is_tracing()
        and torch._C._len_torch_dispatch_stack() == 0
        and peek_interpreter_stack() is None
        and forward_ad._current_level < 0
    )


def _form(x: Tensor, *, dtype: torch.dtype | None = None, steps: NormPool | None = None) -> ModuleType:
    """The module that computes with the ordinary tensor `x`: the compiled one for its device if that supports `x`, its
    type and `steps`, else `reference`. `dtype`: the type to check, if it is not the type of `x`."""
    reach = _REACH.get(x.device.type)
    if reach is None or (dtype or x.dtype) not in reach.dtypes or x.shape[1:].numel() > _LARGEST_PICTURE:
        return reference
    if steps is not None:
        window = 0 if steps.norm is None else steps.norm.size
        if not steps.stride <= steps.kernel <= reach.kernel or window > reach.window:
            return reference
    return _decide(x.device.type)[0]


def local_response_norm(x_bchw: Tensor, spec: NormSpec) -> Tensor:
    """Normalisation over neighbouring maps ([A] §3.3). BCHW in, BCHW out, same dtype; differentiable once.

    ValueError if the maps do not divide into `spec.blocks`.
    """
    return relu_norm_pool(x_bchw, NormPool(norm=spec))


def spatial_response_norm(x_bchw: Tensor, spec: NormSpec) -> Tensor:
    """Normalisation over a size × size window of the same map, clipped at the borders (2012 code, `rnorm`).

    x · (k + alpha · Σ x²)^−beta; the window reaches size // 2 up and left, (size − 1) // 2 down and right.
    """
    return relu_norm_pool(x_bchw, NormPool(inside=spec))


def relu_norm_pool(x_bchw: Tensor, steps: NormPool) -> Tensor:
    """[ReLU] → [normalisation] → [that inside each map] → [ReLU] → max-pool; compiled in one pass forward and one
    backward (on CUDA in three, where there is a norm inside each map).

    B × C × H × W → B × C × h × w with h = 1 + ceil((H − kernel) / stride). [A]: ReLU first; the 2012 code's conv1:
    ReLU last; its conv2: both norms. The gradient of a pooled value goes to the first maximum of its window in
    row-major order. ValueError if the maps do not divide into the norm's blocks.
    """
    if not is_ordinary(x_bchw):
        return reference.relu_norm_pool(x_bchw, steps, plain=True)
    _check_maps(x_bchw, steps.norm)
    return _form(x_bchw, steps=steps).relu_norm_pool(x_bchw, steps)


def space_to_depth(x_bchw: Tensor, stride: int, before: int, rows: int, columns: int) -> Tensor:
    """Fold pixels into maps: each block of stride × stride pixels becomes stride · stride · C values of one position.

    B × C × H × W, padded with `before` rows and columns of zeros at the near edges and with zeros at the far ones
    (pixels beyond the last block are left out) → B × (stride · stride · C) × rows × columns; a block's values in the
    order row, column, map. Differentiable.
    """
    _check_maps(x_bchw, None)
    differentiable = torch.is_grad_enabled() and x_bchw.requires_grad
    fits = x_bchw.device.type == "cpu" and not differentiable and is_ordinary(x_bchw)
    form = _form(x_bchw) if fits else reference
    return form.space_to_depth(x_bchw, stride, before, rows, columns)


def update_(
    weight: Tensor,
    velocity: Tensor,
    gradient: Tensor,
    *,
    learning_rate: float,
    momentum: float,
    decay: float,
    copy: Tensor | None = None,
) -> None:
    """The rule of [A] §5, in place, with ε the learning rate: v ← momentum · v − decay · ε · w − ε · g; w ← w + v;
    copy ← w, rounded.

    All of one shape; weight and velocity of one dtype. The gradient may be of half precision, and so is `copy`, the
    weight as its layer reads it: written here, it costs no pass of its own. Not recorded by autograd.
    """
    written = (weight, velocity) if copy is None else (weight, velocity, copy)
    if any(tensor.shape != weight.shape for tensor in (*written, gradient)):
        raise ValueError(f"shapes differ: {', '.join(str(tuple(tensor.shape)) for tensor in (*written, gradient))}")
    form = _form(weight) if is_ordinary(weight) and _can_update(written, gradient) else reference
    if form is not reference and gradient.stride() != weight.stride():
        gradient = torch.empty_like(weight, dtype=gradient.dtype, memory_format=torch.preserve_format).copy_(gradient)
    lean = None if copy is None else copy.detach()
    form.update_(weight.detach(), velocity.detach(), gradient.detach(), lean, learning_rate, momentum, decay)
    torch.autograd.graph.increment_version(written)


def _can_update(written: tuple[Tensor, ...], gradient: Tensor) -> bool:
    """Whether a compiled form supports these: float32 weight and velocity, gradient and copy of types that the device's
    kernels know, and the same dense memory order for all that is written."""
    (weight, velocity, *copy), reach = written, _REACH.get(written[0].device.type)
    if reach is None or any(tensor.device != weight.device for tensor in (*written, gradient)):
        return False
    known = gradient.dtype in reach.dtypes and all(tensor.dtype in reach.dtypes[1:] for tensor in copy)
    dense = weight.is_contiguous() or (weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last))
    alike = all(tensor.stride() == weight.stride() for tensor in written)
    return weight.dtype == velocity.dtype == torch.float32 and known and dense and alike


def augment(pictures_bhwc: Tensor, crops: Crops) -> Tensor:
    """Crop, mirror, subtract the mean, add colour noise, multiply: ((crop − mean) + noise) · scale.

    uint8 pictures, B × H × W × 3, 0–255 → B × 3 × size × size, channels_last. ValueError for a crop that leaves its
    picture or a mean of another shape.
    """
    _check_crops(pictures_bhwc, crops)
    form = _form(pictures_bhwc, dtype=crops.dtype) if is_ordinary(pictures_bhwc) else reference
    return form.augment(pictures_bhwc, crops)


def _check_maps(x_bchw: Tensor, norm: NormSpec | None) -> None:
    if x_bchw.dim() != 4:
        raise ValueError(f"expected B × C × H × W, got a tensor of shape {tuple(x_bchw.shape)}")
    if norm is not None and x_bchw.shape[1] % norm.blocks:
        raise ValueError(f"{x_bchw.shape[1]} maps do not divide into {norm.blocks} equal blocks")


def _check_crops(pictures_bhwc: Tensor, crops: Crops) -> None:
    if pictures_bhwc.dtype != torch.uint8 or pictures_bhwc.dim() != 4 or pictures_bhwc.shape[3] != 3:
        raise ValueError(f"expected uint8 B × H × W × 3, got {pictures_bhwc.dtype} {tuple(pictures_bhwc.shape)}")
    (count, height, width, _), offsets, mirror = pictures_bhwc.shape, crops.offsets_b2, crops.mirror_b
    if offsets.shape != (count, 2) or mirror.shape != (count,):
        raise ValueError(f"{count} pictures, but offsets {tuple(offsets.shape)}, mirror {tuple(mirror.shape)}")
    if crops.noise_b3 is not None and crops.noise_b3.shape != (count, 3):
        raise ValueError(f"{count} pictures, but noise {tuple(crops.noise_b3.shape)}")
    if count and offsets.device.type == "cpu":  # on a GPU, reading them would make the host wait
        lowest, highest = offsets.min(), offsets.max(dim=0).values
        if lowest < 0 or highest[0] > height - crops.size or highest[1] > width - crops.size:
            raise ValueError(f"a {crops.size} × {crops.size} crop leaves its picture of {height} × {width}")


# ── a strided convolution over few maps as one of stride 1 over many ─────────────────────────────────────────────
#
# Blocks of stride × stride pixels become maps, and so do those of the weights (padded with zeros to whole blocks):
# [A]'s first layer, 11×11 with stride 4 over 3 colours, is 3×3 with stride 1 over 48 maps. The same sums, several times
# as fast in the backward pass.

THIN = 16
"""Fewer maps than this leave vector units idle."""


def convolution(x_bchw: Tensor, weight: Tensor, bias: Tensor, *, stride: int, padding: int, groups: int = 1) -> Tensor:
    """`F.conv2d`, with fewer products where `winograd.in_use()` asks for that and it can be."""
    if is_ordinary(x_bchw) and winograd.applies(x_bchw, weight, stride) and _form(x_bchw) is compiled:
        return winograd.convolution(x_bchw, weight, bias, padding, groups)
    return F.conv2d(x_bchw, weight, bias, stride, padding, groups=groups)


def convolution_transpose(y_bchw: Tensor, weight: Tensor, *, stride: int, padding: int, groups: int = 1) -> Tensor:
    """`F.conv_transpose2d`, the transpose of `convolution`, likewise."""
    if is_ordinary(y_bchw) and winograd.applies(y_bchw, weight, stride) and _form(y_bchw) is compiled:
        return winograd.convolution(y_bchw, weight, None, weight.shape[-1] - 1 - padding, groups)
    return F.conv_transpose2d(y_bchw, weight, stride=stride, padding=padding, groups=groups)


def strided_convolution(x_bchw: Tensor, weight: Tensor, bias: Tensor, window: Window) -> Tensor:
    """`F.conv2d` of a map with the padding and the overhang of `window`."""
    weight = _weights_in_depth(weight, window.stride)
    rows, columns = (window.outputs(side) - 1 + weight.shape[-1] for side in x_bchw.shape[2:])
    return F.conv2d(space_to_depth(x_bchw, window.stride, window.before, rows, columns), weight, bias)


def strided_convolution_transpose(y_bchw: Tensor, weight: Tensor, stride: int) -> Tensor:
    """`F.conv_transpose2d`: the transpose of `strided_convolution`, before any padding is cut off."""
    below = reference.depth_to_space(F.conv_transpose2d(y_bchw, _weights_in_depth(weight, stride)), stride)
    rows, columns = ((side - 1) * stride + weight.shape[-1] for side in y_bchw.shape[2:])
    return below[..., :rows, :columns]


def _weights_in_depth(weight: Tensor, stride: int) -> Tensor:
    """Weights (C, C_below, kernel, kernel) for maps after space-to-depth: (C, stride · stride · C_below, n, n)."""
    blocks = -(-weight.shape[-1] // stride)
    weight = F.pad(weight, (0, blocks * stride - weight.shape[-1]) * 2)
    blocks_ockyly = weight.unflatten(3, (blocks, stride)).unflatten(2, (blocks, stride))
    return blocks_ockyly.permute(0, 3, 5, 1, 2, 4).flatten(1, 3).contiguous(memory_format=torch.channels_last)
