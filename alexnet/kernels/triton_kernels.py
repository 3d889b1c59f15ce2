"""The kernels in Triton, for CUDA: float32, bfloat16 and float16, computed in float32.

B pictures · C maps · M maps of one block (tower) · H, W rows and columns, all in channels_last memory: the value of
map c at a position is number (position · C + c), so neighbouring maps are neighbours in memory.

A program works on BLOCK consecutive values. The index of its first one has 64 bits, offsets to it have 32. There are no
atomic additions: a backward pass gathers, for each of its values, from the windows that cover it, always in the same
order. What the backward pass needs is computed again from the input; only the position of each maximum in its window is
stored, in one byte.

Importing this module imports triton; with TRITON_INTERPRET=1 set before, the kernels run on CPU tensors (tests do).
"""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]
from torch import Tensor

from alexnet.kernels import reference
from alexnet.kernels.reference import EMPTY, Crops, NormPool

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
BLOCK = 512
jit: Any = triton.jit  # by its declared type a kernel cannot be called, but kernels call each other
_EMPTY: tl.constexpr = tl.constexpr(EMPTY)


# ---- Parts of kernels -------------------------------------------------------------------------------------------


@jit
def _split(first, step, LENGTH: tl.constexpr):  # noqa: N803 - Triton's constants are written large
    """The numbers first + step, divided by LENGTH: quotients as a common 64-bit part and 32-bit steps, remainders."""
    # Only the program's first number is divided in 64 bits, which GPUs emulate: the steps stay below 2^31.
    rest = (first % LENGTH).to(tl.int32) + step
    return first // LENGTH, rest // LENGTH, rest % LENGTH


@jit
def _relu(a):
    return tl.where(a <= 0, 0.0, a)  # NaN stays


@jit
def _activation(x, position, there, RELU: tl.constexpr):  # noqa: N803
    a = tl.load(x + position, mask=there, other=0.0).to(tl.float32)
    if RELU:
        a = _relu(a)
    return a


@jit
def _denominator(x, position, map_, there, k, alpha, MAPS: tl.constexpr, SIZE: tl.constexpr, RELU: tl.constexpr):  # noqa: N803
    """k + alpha · Σ a² over the window of each map; `map_`: its number in its block of MAPS."""
    total = tl.zeros_like(map_).to(tl.float32)
    for step in tl.static_range(SIZE):
        # A window stays inside its block of maps; masked loads give the zeros beyond its ends.
        near = map_ + (step - SIZE // 2)
        a = _activation(x, position + (step - SIZE // 2), there & (near >= 0) & (near < MAPS), RELU)
        total += a * a
    return k + alpha * total


@jit
def _powers(s, BETA: tl.constexpr):  # noqa: N803
    """(s^−BETA, 1 / s), both 0 where s is (nearly) 0; NaN stays."""
    if BETA == 0.75:
        root = tl.rsqrt(s)
        power = root * tl.sqrt(root)
        reciprocal = root * root
    else:
        reciprocal = 1.0 / s
        power = reciprocal if BETA == 1.0 else tl.exp2(-BETA * tl.log2(s))
    return tl.where(s < _EMPTY, 0.0, power), tl.where(s < _EMPTY, 0.0, reciprocal)


# ---- [ReLU] → [normalisation] → [ReLU] → [max-pool] -------------------------------------------------------------


@jit
def _forward(
    x, out, switches, count, k, alpha,
    C: tl.constexpr, M: tl.constexpr, H: tl.constexpr, W: tl.constexpr, OUT_H: tl.constexpr, OUT_W: tl.constexpr,  # noqa: N803
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, SIZE: tl.constexpr, BETA: tl.constexpr,  # noqa: N803
    RELU_FIRST: tl.constexpr, RELU_LAST: tl.constexpr, SWITCHES: tl.constexpr, BLOCK: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """Each program makes BLOCK values of `out`. SIZE 0: no normalisation; KERNEL 1: no pooling."""
    first, step = tl.program_id(0).to(tl.int64) * BLOCK, tl.arange(0, BLOCK)
    there = first + step < count
    position, position_step, c = _split(first, step, C)
    line, line_step, column = _split(position, position_step, OUT_W)
    picture, picture_step, row = _split(line, line_step, OUT_H)
    x += picture * (H * W * C)
    best = tl.full((BLOCK,), float("-inf"), tl.float32)
    switch = tl.zeros((BLOCK,), tl.int32)
    # The denominator is computed again in each window that overlaps it: the values come from the cache, and a map of
    # denominators would cost a pass over memory.
    for inner in tl.static_range(KERNEL * KERNEL):
        h, w = row * STRIDE + inner // KERNEL, column * STRIDE + inner % KERNEL
        inside = there & (h < H) & (w < W)
        at = ((picture_step * H + h) * W + w) * C + c
        value = _activation(x, at, inside, RELU_FIRST)
        if SIZE > 0:
            value *= _powers(_denominator(x, at, c % M, inside, k, alpha, M, SIZE, RELU_FIRST), BETA)[0]
        if RELU_LAST:
            value = _relu(value)
        # The first of equal values wins and NaN always does, as in PyTorch.
        better = inside & ((value > best) | (value != value))
        best, switch = tl.where(better, value, best), tl.where(better, inner, switch)
    tl.store(out + first + step, best, mask=there)
    if SWITCHES:
        tl.store(switches + first + step, switch, mask=there)


@jit
def _from_above(
    gradient, switches, picture_step, h, w, c, there,
    C: tl.constexpr, OUT_H: tl.constexpr, OUT_W: tl.constexpr, KERNEL: tl.constexpr, STRIDE: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """The gradient of each value that was pooled: the sum over the windows whose maximum it was."""
    reach: tl.constexpr = (KERNEL + STRIDE - 1) // STRIDE  # windows that can cover a position, along one axis
    total = tl.zeros_like(c).to(tl.float32)
    for window in tl.static_range(reach * reach):
        row, column = h // STRIDE - window // reach, w // STRIDE - window % reach
        inner_h, inner_w = h - row * STRIDE, w - column * STRIDE
        covers = there & (row >= 0) & (row < OUT_H) & (column >= 0) & (column < OUT_W)
        covers = covers & (inner_h < KERNEL) & (inner_w < KERNEL)
        at = ((picture_step * OUT_H + row) * OUT_W + column) * C + c
        mine = covers & (tl.load(switches + at, mask=covers, other=255).to(tl.int32) == inner_h * KERNEL + inner_w)
        total += tl.load(gradient + at, mask=mine, other=0.0).to(tl.float32)
    return total


@jit
def _backward(
    x, gradient, switches, out, count, k, alpha,
    C: tl.constexpr, M: tl.constexpr, H: tl.constexpr, W: tl.constexpr, OUT_H: tl.constexpr, OUT_W: tl.constexpr,  # noqa: N803
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, SIZE: tl.constexpr, BETA: tl.constexpr,  # noqa: N803
    RELU_FIRST: tl.constexpr, RELU_LAST: tl.constexpr, BLOCK: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """Each program makes BLOCK values of `out`, the gradient at x.

    With t the gradient at the normalised values, p = s^−β:  t_i·p_i − 2αβ·a_i · Σ_j t_j·a_j·p_j / s_j, over the maps j
    whose window holds i.
    """
    first, step = tl.program_id(0).to(tl.int64) * BLOCK, tl.arange(0, BLOCK)
    there = first + step < count
    position, position_step, c = _split(first, step, C)
    line, line_step, w = _split(position, position_step, W)
    picture, picture_step, h = _split(line, line_step, H)
    # Pointers move by the 64-bit part here; all that is added to them below is 32 bits wide.
    x, out = x + first, out + first
    if KERNEL == 1:
        gradient += first
    else:
        gradient += picture * (OUT_H * OUT_W * C)
        switches += picture * (OUT_H * OUT_W * C)
    window: tl.constexpr = SIZE if SIZE > 0 else 1  # pyright: ignore[reportAssignmentType]
    own = tl.zeros((BLOCK,), tl.float32)
    shared = tl.zeros((BLOCK,), tl.float32)
    for number in tl.static_range(window):
        # The mirrored window: for an even SIZE, map j's reaches one further down than up, so i is in those that start
        # (window − 1) // 2 below it.
        shift: tl.constexpr = number - (window - 1) // 2
        near = c % M + shift
        inside = there & (near >= 0) & (near < M)
        if KERNEL == 1:
            t = tl.load(gradient + step + shift, mask=inside, other=0.0).to(tl.float32)
        else:
            t = _from_above(
                gradient, switches, picture_step, h, w, c + shift, inside, C, OUT_H, OUT_W, KERNEL, STRIDE
            )  # fmt: skip
        a = _activation(x, step + shift, inside, RELU_FIRST)
        if RELU_LAST:
            t = tl.where(a <= 0, 0.0, t)
        if SIZE > 0:
            s = _denominator(x, step + shift, near, inside, k, alpha, M, SIZE, RELU_FIRST)
            power, reciprocal = _powers(s, BETA)
            t *= power
            shared += tl.where(inside, t * a * reciprocal, 0.0)
        if shift == 0:
            own = t
    raw = tl.load(x + step, mask=there, other=0.0).to(tl.float32)
    if SIZE > 0:
        own -= 2 * BETA * alpha * _activation(x, step, there, RELU_FIRST) * shared
    if RELU_FIRST:
        own = tl.where(raw <= 0, 0.0, own)
    tl.store(out + step, own, mask=there)


class _NormPool(torch.autograd.Function):
    """Saves the input as it came and, where it pools, one byte for each output."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, steps: NormPool) -> Tensor:
        given, x = x, x.contiguous(memory_format=torch.channels_last)
        pictures, maps, height, width = x.shape
        rows, columns = steps.outputs(height, width)
        norm, kernel = steps.norm, steps.kernel
        out = _empty(x, (pictures, maps, rows, columns), x.dtype)
        keeps = kernel > 1 and ctx.needs_input_grad[0]
        switches = _empty(x, tuple(out.shape), torch.uint8) if keeps else out
        scalars = (norm.k, norm.alpha) if norm else (1.0, 0.0)
        constants = {"C": maps, "M": maps // norm.blocks if norm else maps, "H": height, "W": width}
        constants |= {"OUT_H": rows, "OUT_W": columns, "KERNEL": kernel, "STRIDE": steps.stride}
        constants |= {"SIZE": norm.size if norm else 0, "BETA": norm.beta if norm else 1.0}
        constants |= {"RELU_FIRST": steps.relu_first, "RELU_LAST": steps.relu_last, "BLOCK": BLOCK}
        _launch(_forward, out.numel(), x, out, switches, out.numel(), *scalars, SWITCHES=keeps, **constants)
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(given, *([switches] if keeps else []))
            ctx.scalars, ctx.constants, ctx.steps = scalars, constants, steps
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, *switches = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody differentiates the gradient too (create_graph)
            plain = partial(reference.relu_norm_pool, steps=ctx.steps, plain=True)
            return reference.differentiable_gradient(plain, x, gradient), None
        x = x.contiguous(memory_format=torch.channels_last)
        gradient = gradient.to(x.dtype).contiguous(memory_format=torch.channels_last)
        out = torch.empty_like(x, memory_format=torch.channels_last)
        given = (x, gradient, switches[0] if switches else gradient, out, x.numel(), *ctx.scalars)
        _launch(_backward, x.numel(), *given, **ctx.constants)
        return out, None


def relu_norm_pool(x_bchw: Tensor, steps: NormPool) -> Tensor:
    """As `reference.relu_norm_pool`, in one pass forward and one backward; stride ≤ kernel. Loops over the norm's
    window are unrolled. A norm inside each map has no kernel here: PyTorch does it, between two passes of ours."""
    if steps.inside is not None:
        before = replace(steps, inside=None, relu_last=False, kernel=1, stride=1)
        x_bchw = reference.spatial_response_norm(relu_norm_pool(x_bchw, before), steps.inside)
        steps = replace(steps, inside=None, norm=None, relu_first=steps.relu_last, relu_last=False)
    return x_bchw if steps == NormPool() else _NormPool.apply(x_bchw, steps)  # pyright: ignore[reportReturnType]


# ---- Update -----------------------------------------------------------------------------------------------------


@jit
def _update(
    weight, velocity, gradient, copy, count, learning_rate, momentum, shrink, COPIES: tl.constexpr, BLOCK: tl.constexpr  # noqa: N803
):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = at < count
    w = tl.load(weight + at, mask=there)
    v = momentum * tl.load(velocity + at, mask=there) - shrink * w
    v -= learning_rate * tl.load(gradient + at, mask=there).to(tl.float32)
    tl.store(velocity + at, v, mask=there)
    tl.store(weight + at, w + v, mask=there)
    if COPIES:
        tl.store(copy + at, (w + v).to(copy.dtype.element_ty), mask=there)


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
    """As `reference.update_`, in one pass. Float32 state, all laid out alike without holes."""
    count, copies = weight.numel(), copy is not None
    tensors = (weight, velocity, gradient, copy if copies else weight)
    _launch(_update, count, *tensors, count, learning_rate, momentum, decay * learning_rate, COPIES=copies, BLOCK=BLOCK)


# ---- Augmentation -----------------------------------------------------------------------------------------------


@jit
def _augment(
    pictures, offsets, mirror, mean, noise, out, count, scale,
    H: tl.constexpr, W: tl.constexpr, SIZE: tl.constexpr, ALIGNED: tl.constexpr, NOISY: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """Each program makes BLOCK values of `out`, B × SIZE × SIZE × 3."""
    first, step = tl.program_id(0).to(tl.int64) * BLOCK, tl.arange(0, BLOCK)
    there = first + step < count
    position, position_step, colour = _split(first, step, 3)
    line, line_step, column = _split(position, position_step, SIZE)
    picture, picture_step, row = _split(line, line_step, SIZE)
    pictures += picture * (H * W * 3)
    which = picture + picture_step
    mirrored = tl.load(mirror + which, mask=there, other=0) != 0
    h = tl.load(offsets + 2 * which, mask=there, other=0).to(tl.int32) + row
    w = tl.load(offsets + 2 * which + 1, mask=there, other=0).to(tl.int32)
    w += tl.where(mirrored, SIZE - 1 - column, column)
    inside = there & (h >= 0) & (h < H) & (w >= 0) & (w < W)
    value = tl.load(pictures + ((picture_step * H + h) * W + w) * 3 + colour, mask=inside, other=0).to(tl.float32)
    if ALIGNED:
        value -= tl.load(mean + (h * W + w) * 3 + colour, mask=inside, other=0.0)
    else:
        value -= tl.load(mean + (row * SIZE + column) * 3 + colour, mask=there, other=0.0)
    if NOISY:
        value += tl.load(noise + 3 * which + colour, mask=there, other=0.0)
    # The host does not look at offsets on a device: a crop that leaves its picture shows, and spoils the loss.
    tl.store(out + first + step, tl.where(inside, value * scale, float("nan")), mask=there)


def augment(pictures_bhwc: Tensor, crops: Crops) -> Tensor:
    """As `reference.augment`, in one pass. Beyond the borders of its picture a crop is NaN."""
    count, height, width, _ = pictures_bhwc.shape
    mean_hwc, aligned = crops.mean_of(pictures_bhwc)
    mean_hwc, mirror = mean_hwc.contiguous(), crops.mirror_b.to(torch.uint8).contiguous()
    offsets = crops.offsets_b2.to(torch.int32).contiguous()
    noise = mean_hwc if crops.noise_b3 is None else crops.noise_b3.float().contiguous()
    out = _empty(pictures_bhwc, (count, 3, crops.size, crops.size), crops.dtype)
    tensors = (pictures_bhwc.contiguous(), offsets, mirror, mean_hwc, noise, out)
    constants = {"H": height, "W": width, "SIZE": crops.size, "ALIGNED": aligned, "NOISY": crops.noise_b3 is not None}
    _launch(_augment, out.numel(), *tensors, out.numel(), crops.scale, **constants, BLOCK=BLOCK)
    return out


# ---- Launching --------------------------------------------------------------------------------------------------


def describe(device: torch.device) -> str:
    """Which Triton works on `device`, tried by a small kernel. Raises whatever Triton raises where it doesn't."""
    one = torch.ones(1, device=device)
    update_(one.clone(), one.clone(), one, None, 0.1, 0.9, 0.0)
    return f"triton {triton.__version__}"


def _empty(like: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=like.device, memory_format=torch.channels_last)


def _launch(kernel: Any, count: int, first: Tensor, *arguments: object, **constants: object) -> None:
    """Run a kernel over `count` values on the device of its first tensor."""
    if count:
        with torch.cuda.device_of(first):
            kernel[(triton.cdiv(count, BLOCK),)](first, *arguments, **constants)
