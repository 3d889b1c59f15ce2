"""The rows as modules, each with its adjoint beside it.

`adjoint(y, x)`: the transpose of the layer's linear part (of its linearisation at `x`, where it is not linear) applied
to `y`, a signal at the layer's output; `x` is what entered the layer. For convolution, pooling and dense layers this is
the deconvnet's step down ([Z] §2.1).

B pictures · C maps · H, W rows and columns · U units · P positions. Weights stay float32; a layer works in the type of
what enters it (float32 or bfloat16), in half precision with a copy of its weights.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from alexnet import kernels
from alexnet.geometry import Window
from alexnet.nets.table import (
    Activation,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Layer,
    Local,
    Norm,
    Pool,
    SpatialNorm,
)

Maps = Float[Tensor, "B C H W"]


# ── layers with weights ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class WorkingCopy:
    """A weight in the type that its layer works in, and which state of the weight it was copied from."""

    values: Tensor
    state: tuple[int, int]


class WeightedLayer(nn.Module):
    """A layer with weights: float32 `weight` and `bias`, read by `in_type` in the type of what enters.

    In half precision the layer reads a copy, made once and made anew when the weight has changed (edits through `.data`
    go unseen). Casting 61 million weights at every pass would cost more than some layers do. With `learns_by_copies`
    gradients arrive at the copies, in half precision, and `train.update` writes weight and copy in one pass.
    """

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self) -> None:
        super().__init__()
        self.copies: dict[str, WorkingCopy] = {}
        self.learns_by_copies = False

    def in_type(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """(weight, bias) as values of `dtype`."""
        return self._in_type("weight", dtype), self._in_type("bias", dtype)

    def _in_type(self, name: str, dtype: torch.dtype) -> Tensor:
        weight = self.get_parameter(name)
        learns = torch.is_grad_enabled() and weight.requires_grad
        plain = type(weight) is nn.Parameter and not torch.compiler.is_compiling() and not weight.is_inference()
        if weight.dtype == dtype or not plain or (learns and not self.learns_by_copies):
            return weight.to(dtype)
        return self._current_copy(name, weight, dtype).requires_grad_(self.learns_by_copies and weight.requires_grad)

    @torch.inference_mode(mode=False)
    @torch.no_grad()
    def _current_copy(self, name: str, weight: nn.Parameter, dtype: torch.dtype) -> Tensor:
        copy = self.copies.get(name)
        if copy is None or copy.values.dtype != dtype or copy.values.device != weight.device:
            copy = self.copies[name] = WorkingCopy(weight.detach().to(dtype), state_of(weight))
        elif copy.state != state_of(weight):
            copy.values.copy_(weight)
            copy.state = state_of(weight)
        return copy.values

    def __getstate__(self) -> dict[str, Any]:
        """Copies stay behind when the layer itself is copied."""
        return self.__dict__ | {"copies": {}, "learns_by_copies": False}


def state_of(weight: Tensor) -> tuple[int, int]:
    """What tells that a weight has changed: its place in memory, and torch's count of its changes."""
    return weight.data_ptr(), weight._version


class Convolution(WeightedLayer):
    """Convolution of columns: each reads the columns of the map below that its wiring names ([A] §3.2).

    weight (C, C_read, kernel, kernel), bias (C). Column after column along C.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        row = layer.row
        assert isinstance(row, Conv)
        self.window, self.reads, self.side = layer.window, layer.reads, layer.entering.side
        maps_read = (layer.parameters - row.maps) // (row.maps * row.kernel**2)
        self.columns_below = layer.entering.maps * len(self.reads[0]) // maps_read
        self.weight = nn.Parameter(torch.empty(row.maps, maps_read, row.kernel, row.kernel))
        self.bias = nn.Parameter(torch.empty(row.maps))

    @property
    def groups(self) -> int | None:
        """Groups of an ordinary grouped convolution with this wiring, or None if it is not one."""
        if all(read == self.reads[0] for read in self.reads) and len(self.reads[0]) == self.columns_below:
            return 1
        return len(self.reads) if self.reads == tuple((c,) for c in range(len(self.reads))) else None

    def forward(self, x: Maps) -> Maps:
        if self.window.stride > 1 and x.shape[1] < THIN and self.groups == 1:
            return convolve_by_cells(x, *self.in_type(x.dtype), self.window)
        return self._convolve(*self._ready(x), *self.in_type(x.dtype))

    def without_padding(self, x: Maps) -> Maps:
        """The convolution of a part of the map that has all that its windows read, zeros beyond the edges included."""
        if self.window.stride > 1 and x.shape[1] < THIN and self.groups == 1:
            return convolve_by_cells(x, *self.in_type(x.dtype), Window(self.window.kernel, self.window.stride))
        return self._convolve(x, 0, *self.in_type(x.dtype))

    def change(self, x: Maps) -> Maps:
        """What a change below that is zero outside `x` changes: every place that reads any of `x`. Of stride 1."""
        weight, bias = self.in_type(x.dtype)
        return self._convolve(x, self.window.kernel - 1, weight, torch.zeros_like(bias))

    def _convolve(self, x: Maps, padding: int, weight: Tensor, bias: Tensor) -> Maps:
        if self.groups is not None:
            return F.conv2d(x, weight, bias, self.window.stride, padding, groups=self.groups)
        columns = x.chunk(self.columns_below, dim=1)
        parts = [
            F.conv2d(torch.cat([columns[c] for c in read], dim=1), w, b, self.window.stride, padding)
            for read, w, b in zip(self.reads, weight.chunk(len(self.reads)), bias.chunk(len(self.reads)), strict=True)
        ]
        return torch.cat(parts, dim=1)

    def adjoint(self, y: Maps, x: Maps) -> Maps:
        """The transposed convolution: filters flipped, maps of all readers added."""
        padded, below = self._pad(x[:0]).shape[-1], self.spread(y, x.shape[1])
        before = self.window.before
        below = F.pad(below, (0, max(0, padded - below.shape[-1]), 0, max(0, padded - below.shape[-2])))
        return below[..., before : before + x.shape[-2], before : before + x.shape[-1]]

    def spread(self, y: Maps, maps_below: int) -> Maps:
        """The same of a part of the map: all places that its windows read, zeros beyond the edges included. Further
        ones, which get nothing, may follow."""
        weight, _ = self.in_type(y.dtype)
        if self.window.stride > 1 and maps_below < THIN and self.groups == 1:
            return spread_by_cells(y, weight, self.window.stride)
        if self.groups is not None:
            return F.conv_transpose2d(y, weight, stride=self.window.stride, groups=self.groups)
        return self._scatter_to_columns(y, weight, maps_below)

    def _scatter_to_columns(self, y: Maps, weight: Tensor, maps_below: int) -> Maps:
        width = maps_below // self.columns_below
        columns: list[Tensor | None] = [None] * self.columns_below
        readers = len(self.reads)
        for read, part, w in zip(self.reads, y.chunk(readers, dim=1), weight.chunk(readers), strict=True):
            down = F.conv_transpose2d(part, w, stride=self.window.stride)
            for column, share in zip(read, down.split(width, dim=1), strict=True):
                present = columns[column]
                columns[column] = share if present is None else present + share
        empty = torch.zeros_like(next(c for c in columns if c is not None))
        return torch.cat([empty if column is None else column for column in columns], dim=1)

    def _ready(self, x: Maps) -> tuple[Maps, int]:
        """The map, and the zeros that conv2d itself is to put on every side. Only where the sides differ (an overhang)
        are they put around it here: that is a copy, and a backward pass over the larger map."""
        before = self.window.before
        alike = all(self.window.far_padding(side) == before for side in x.shape[2:])
        return (x, before) if alike else (self._pad(x), 0)

    def _pad(self, x: Maps) -> Maps:
        """Zeros around the map, the overhang at its right and bottom included."""
        before, after = self.window.before, self.window.far_padding(x.shape[-1])
        after_rows = self.window.far_padding(x.shape[-2])
        return x if before == after == after_rows == 0 else F.pad(x, (before, after, before, after_rows))


THIN = 16
"""Fewer maps than this leave vector units idle: a strided convolution over them is folded."""


def convolve_by_cells(x: Maps, weight: Tensor, bias: Tensor, window: Window) -> Maps:
    """A strided convolution over few maps (the first layer's over 3 colours) as one of stride 1 over many.

    Cells of stride×stride pixels become maps, and so do the weights' (padded with zeros to whole cells): 11×11 with
    stride 4 over 3 maps is 3×3 with stride 1 over 48. The same sums, several times as fast in the backward pass.
    """
    weight = _in_cells(weight, window.stride)
    rows, columns = (window.outputs(side) - 1 + weight.shape[-1] for side in x.shape[2:])
    return F.conv2d(kernels.cells(x, window.stride, window.before, rows, columns), weight, bias)


def spread_by_cells(y: Maps, weight: Tensor, stride: int) -> Maps:
    """The transpose of `convolve_by_cells`, before any padding is cut off."""
    kernel = weight.shape[-1]
    folded = F.conv_transpose2d(y, _in_cells(weight, stride))
    cells_bcrylx = folded.unflatten(1, (stride, stride, weight.shape[1])).permute(0, 3, 4, 1, 5, 2)
    below = cells_bcrylx.flatten(4, 5).flatten(2, 3)
    rows, columns = ((side - 1) * stride + kernel for side in y.shape[2:])
    return below[..., :rows, :columns]


def _in_cells(weight: Tensor, stride: int) -> Tensor:
    """Weights (C, C_below, kernel, kernel) as those of cells: (C, stride · stride · C_below, cells, cells)."""
    cells = -(-weight.shape[-1] // stride)
    weight = F.pad(weight, (0, cells * stride - weight.shape[-1]) * 2)
    cells_ockyly = weight.unflatten(3, (cells, stride)).unflatten(2, (cells, stride))
    return cells_ockyly.permute(0, 3, 5, 1, 2, 4).flatten(1, 3).contiguous(memory_format=torch.channels_last)


class _Patches(torch.autograd.Function):
    """What the window reads at every position: (B, C, H, W) → (rows, columns, B, kernel, kernel, C), a matrix for each
    position. `Tensor.unfold` has a gradient too; this one is several times as fast, and sums in float32."""

    @staticmethod
    def forward(ctx: Any, x: Maps, kernel: int, stride: int) -> Tensor:
        ctx.shape, ctx.stride = x.shape, stride
        windows_byxckl = x.permute(0, 2, 3, 1).unfold(1, kernel, stride).unfold(2, kernel, stride)
        return windows_byxckl.permute(1, 2, 0, 4, 5, 3).contiguous()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        pictures, maps, height, width = ctx.shape
        rows, columns, _, kernel, *_ = gradient.shape
        exact = torch.promote_types(gradient.dtype, torch.float32)
        below_hwbc = gradient.new_zeros((height, width, pictures, maps), dtype=exact)
        for down in range(kernel):
            for right in range(kernel):
                read = below_hwbc[down :: ctx.stride, right :: ctx.stride][:rows, :columns]
                read += gradient[:, :, :, down, right]
        return below_hwbc.to(gradient.dtype).permute(2, 3, 0, 1), None, None


class LocallyConnected(WeightedLayer):
    """A convolution whose positions have weights of their own. weight (P, C, C_below·kernel²), bias (P, C)."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        row = layer.row
        assert isinstance(row, Local)
        self.window, self.side = layer.window, layer.leaving.side
        reads = layer.entering.maps * row.kernel**2
        self.weight = nn.Parameter(torch.empty(self.side**2, row.maps, reads))
        self.bias = nn.Parameter(torch.empty(self.side**2, row.maps))

    def forward(self, x: Maps) -> Maps:
        weight_pcf, bias_pc = self.in_type(x.dtype)
        kernel, maps_below = self.window.kernel, x.shape[1]
        patches_yxbklc = _Patches.apply(self._pad(x), kernel, self.window.stride)
        patches_pbf = patches_yxbklc.flatten(3).flatten(0, 1)
        weight_pcdkl = weight_pcf.unflatten(2, (maps_below, kernel, kernel))
        weight_pfc = weight_pcdkl.permute(0, 3, 4, 2, 1).flatten(1, 3)  # a patch has its maps innermost
        out_pbc = torch.baddbmm(bias_pc[:, None], patches_pbf, weight_pfc)
        return out_pbc.unflatten(0, (self.side, self.side)).permute(2, 3, 0, 1)

    def adjoint(self, y: Maps, x: Maps) -> Maps:
        weight, _ = self.in_type(y.dtype)
        patches_bfp = torch.einsum("bcp,pcf->bfp", y.flatten(2), weight)
        padded = self._pad(x[:0]).shape[-2:]
        below = F.fold(patches_bfp, (padded[0], padded[1]), self.window.kernel, stride=self.window.stride)
        before = self.window.before
        return below[..., before : before + x.shape[-2], before : before + x.shape[-1]]

    def _pad(self, x: Maps) -> Maps:
        before, after = self.window.before, self.window.far_padding(x.shape[-1])
        return F.pad(x, (before, after, before, after))


class FullyConnected(WeightedLayer):
    """Every unit reads all units of the columns that its column is wired to. weight (U, U_read), bias (U).

    Maps come in as (B, C, H, W) and are read in the order column, map, row, column of the map, as in 2012.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        row = layer.row
        assert isinstance(row, Dense)
        self.reads = layer.reads
        units_read = (layer.parameters - row.units) // row.units
        self.columns_below = layer.entering.units * len(self.reads[0]) // units_read
        self.weight = nn.Parameter(torch.empty(row.units, units_read))
        self.bias = nn.Parameter(torch.empty(row.units))

    def forward(self, x: Tensor) -> Float[Tensor, "B U"]:
        flat, (weight, bias) = x.flatten(1), self.in_type(x.dtype)
        if len(self.reads[0]) == self.columns_below:
            return F.linear(flat, weight, bias)
        columns, readers = flat.chunk(self.columns_below, dim=1), len(self.reads)
        parts = [
            F.linear(torch.cat([columns[c] for c in read], dim=1), w, b)
            for read, w, b in zip(self.reads, weight.chunk(readers), bias.chunk(readers), strict=True)
        ]
        return torch.cat(parts, dim=1)

    def adjoint(self, y: Float[Tensor, "B U"], x: Tensor) -> Tensor:
        weight, _ = self.in_type(y.dtype)
        if len(self.reads[0]) == self.columns_below:
            return (y @ weight).reshape(x.shape)
        width, readers = x[0].numel() // self.columns_below, len(self.reads)
        below = y.new_zeros(len(x), self.columns_below, width)
        for read, part, w in zip(self.reads, y.chunk(readers, dim=1), weight.chunk(readers), strict=True):
            for column, share in zip(read, (part @ w).split(width, dim=1), strict=True):
                below[:, column] += share
        return below.reshape(x.shape)


# ── pooling and normalisation ────────────────────────────────────────────────────────────────────────────────────


class MaxPool(nn.Module):
    """Max-pooling whose windows may overlap and may overhang the far edges ([A] §3.4)."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.window = layer.window

    def forward(self, x: Maps) -> Maps:
        return self.with_switches(x)[0]

    def with_switches(self, x: Maps) -> tuple[Maps, Int[Tensor, "B C H2 W2"]]:
        """The maxima and their places: the switches of [Z] §2.1, indices row·W + column into each map of `x`.

        Of equal values the first, row by row, is the maximum (the 2012 code credits all of them)."""
        ceil = self.window.rounding == "ceil"
        return F.max_pool2d(x, self.window.kernel, self.window.stride, ceil_mode=ceil, return_indices=True)

    def adjoint(self, y: Maps, x: Maps) -> Maps:
        return unpool(y, self.with_switches(x)[1], (x.shape[-2], x.shape[-1]))


def unpool(
    y: Maps,
    switches: Int[Tensor, "B C H2 W2"],
    size: tuple[int, int],
    overlap: Literal["add", "overwrite"] = "add",
) -> Maps:
    """Put each value back in its place, zeros elsewhere, on maps of `size` (H, W). Where windows overlap, several
    values may share a place: "add" sums them (the exact transpose), "overwrite" keeps the largest in magnitude."""
    flat = y.new_zeros(*y.shape[:2], size[0] * size[1])
    if overlap == "add":
        flat.scatter_add_(2, switches.flatten(2), y.flatten(2))
    else:
        high = flat.scatter_reduce(2, switches.flatten(2), y.flatten(2), "amax")
        low = flat.scatter_reduce(2, switches.flatten(2), y.flatten(2), "amin")
        flat = torch.where(high >= -low, high, low)
    return flat.unflatten(2, size)


class AveragePool(nn.Module):
    """Mean over the part of each window that lies inside the map (2012 code)."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.window = layer.window

    def forward(self, x: Maps) -> Maps:
        ceil = self.window.rounding == "ceil"
        return F.avg_pool2d(x, self.window.kernel, self.window.stride, ceil_mode=ceil, count_include_pad=False)

    def adjoint(self, y: Maps, x: Maps) -> Maps:
        return _vector_jacobian(self, y, x)


class ResponseNorm(nn.Module):
    """Response normalisation across maps, inside each column or over all ([A] §3.3).

    A window over all maps that is as wide as there are maps takes in every one of them, from every place:
    (k, α, β, n) = (0, 1, 1, N) divides each value by the sum of squares over all N maps.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        row = layer.row
        assert isinstance(row, Norm)
        blocks = layer.columns if row.span == "column" else 1
        maps = layer.entering.maps
        size = 2 * maps - 1 if blocks == 1 and row.size >= maps else row.size
        self.spec = kernels.NormSpec(row.k, row.coefficient, row.beta, size, blocks)

    def forward(self, x: Maps) -> Maps:
        return kernels.local_response_norm(x, self.spec)

    def adjoint(self, y: Maps, x: Maps) -> Maps:
        return _vector_jacobian(self, y, x)


class SpatialResponseNorm(nn.Module):
    """Response normalisation inside one map (2012 code, `rnorm`)."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        row = layer.row
        assert isinstance(row, SpatialNorm)
        self.spec = kernels.NormSpec(row.k, row.coefficient, row.beta, row.size)

    def forward(self, x: Maps) -> Maps:
        return kernels.spatial_response_norm(x, self.spec)

    def adjoint(self, y: Maps, x: Maps) -> Maps:
        return _vector_jacobian(self, y, x)


class MapBatchNorm(nn.BatchNorm2d):
    """Batch normalisation of maps, in float32 whatever enters."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer.entering.maps)

    def train(self, mode: bool = True) -> "MapBatchNorm":
        """A frozen one keeps its running statistics too."""
        return super().train(mode and self.weight.requires_grad)

    def forward(self, input: Maps) -> Maps:
        return super().forward(input.to(self.weight.dtype)).to(input.dtype)

    def adjoint(self, y: Maps, x: Maps) -> Maps:  # noqa: ARG002 - the signature of every adjoint
        """With the running statistics, as in evaluation."""
        scale = self.weight / torch.sqrt(self.running_var + self.eps) if self.running_var is not None else self.weight
        return y * scale.to(y.dtype).view(1, -1, 1, 1)


# ── units and dropout ────────────────────────────────────────────────────────────────────────────────────────────

NON_LINEARITIES = {"relu": F.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


class NonLinearity(nn.Module):
    """ReLU, tanh or the logistic function ([A] §3.1)."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        assert isinstance(layer.row, Activation)
        self.kind = layer.row.kind

    def forward(self, x: Tensor) -> Tensor:
        return NON_LINEARITIES[self.kind](x)

    def adjoint(self, y: Tensor, x: Tensor) -> Tensor:
        return _vector_jacobian(self, y, x)


@dataclass(frozen=True)
class Place:
    """Where in a training run a batch stands: dropout masks are functions of it (DESIGN: randomness by place).

    `pictures` (B,) are the pictures' numbers in their set."""

    seed: int
    epoch: int
    pictures: Int[Tensor, "B"]


class DropUnits(nn.Module):
    """Dropout ([A] §4.2), 2012's (mask; ×keep at test) or inverted (mask ÷ keep; nothing at test).

    With a `place` the mask is a function of (seed, epoch, layer, picture, unit); without one it is drawn from torch's
    generator as in any other module.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        row = layer.row
        assert isinstance(row, Dropout)
        self.keep, self.inverted, self.name = row.keep, row.kind == "inverted", row.name
        self.place: Place | None = None
        self.first_unit = 0  # where these units begin among all of the layer, if they are a part of them

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x if self.inverted else x * self.keep
        if self.place is None:
            kept = torch.rand_like(x, dtype=torch.float32) < self.keep
        else:
            kept = uniform_by_place(self.place, self.name, x[0].numel(), self.first_unit).view(x.shape) < self.keep
        return x * kept / self.keep if self.inverted else x * kept

    def adjoint(self, y: Tensor, x: Tensor) -> Tensor:  # noqa: ARG002 - the signature of every adjoint
        """As in evaluation."""
        return y if self.inverted else y * self.keep


def uniform_by_place(place: Place, layer: str, units: int, first: int = 0) -> Float[Tensor, "B U"]:
    """Uniform numbers in [0, 1), one for each picture and unit: a hash of (seed, epoch, layer, picture, unit), units
    counted from `first`.

    The same on every device, whatever else is in the batch."""
    key = _scramble(place.pictures.to(torch.int64) ^ _string_key(f"{place.seed}:{place.epoch}:{layer}"))
    unit = torch.arange(first, first + units, device=key.device, dtype=torch.int64) * 0x9E3779B9
    rows = max(1, FEW // units) if key.device.type == "cpu" else max(1, len(key))
    parts = [_scramble((part[:, None] + unit) & 0xFFFFFFFF).to(torch.float32) for part in key.split(rows)]
    return torch.cat(parts) / 2**32


FEW = (1 << 15) - 1
"""Numbers hashed at a time on the CPU: they stay in the cache, and torch starts no threads for so few, which for these
small operations costs many times the work."""


def _string_key(words: str) -> int:
    """32 bits from a string (FNV-1a)."""
    value = 0x811C9DC5
    for byte in words.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def _scramble(bits: Int[Tensor, "*any"]) -> Int[Tensor, "*any"]:
    """A bijection of 32-bit numbers in which every input bit flips each output bit half the time (an avalanche of
    xor-shifts and odd multipliers; products wrap in 64 bits, which leaves the low 32 right)."""
    for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97)):
        bits = ((bits ^ (bits >> shift)) * factor) & 0xFFFFFFFF
    return bits ^ (bits >> 15)


def _vector_jacobian(layer: nn.Module, y: Tensor, x: Tensor) -> Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        (below,) = torch.autograd.grad(layer(x), x, y)
    return below


# ── the module of a row ──────────────────────────────────────────────────────────────────────────────────────────


def module_for(layer: Layer) -> nn.Module:
    """The module of a row in its place."""
    match layer.row:
        case Conv():
            return Convolution(layer)
        case Local():
            return LocallyConnected(layer)
        case Dense():
            return FullyConnected(layer)
        case Pool(kind="max"):
            return MaxPool(layer)
        case Pool():
            return AveragePool(layer)
        case Norm():
            return ResponseNorm(layer)
        case SpatialNorm():
            return SpatialResponseNorm(layer)
        case BatchNorm():
            return MapBatchNorm(layer)
        case Activation():
            return NonLinearity(layer)
        case Dropout():
            return DropUnits(layer)
