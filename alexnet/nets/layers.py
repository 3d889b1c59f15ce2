"""The rows as modules, each with its adjoint next to it.

`adjoint(y, x)`: the transpose of the layer's linear part (of its linearisation at `x`, where it is not linear) applied
to `y`, a signal at the layer's output; `x` is what entered the layer. For convolution, pooling and dense layers this is
the deconvnet's step down ([Z] §2.1).

B pictures · C maps · H, W rows and columns · U units · P positions. Weights stay float32; a layer works in the type of
what enters it, float32 or half precision. A tensor that a tool traces or transforms passes through plain differentiable
operations only (`kernels.is_ordinary`).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from alexnet import kernels
from alexnet.choices import Overlap
from alexnet.geometry import Window
from alexnet.nets.dropout import DropoutLayer
from alexnet.nets.table import Activation, BatchNorm, Conv, Dense, Dropout, Local, Norm, Pool, SpatialNorm, Weighted
from alexnet.nets.trace import Layer
from alexnet.nets.working_copies import working_values

Maps = Float[Tensor, "B C H W"]


# ── layers with weights ──────────────────────────────────────────────────────────────────────────────────────────


class WeightedLayer:
    """What layers with weights share: `weight` and `bias`, read by `in_type` in the type of what enters."""

    weight: Tensor
    bias: Tensor | None
    std: float | None = None
    constant: float = 0.0
    reads: tuple[tuple[int, ...], ...]
    """The columns below that each column reads."""
    columns_below: int

    def _allocate(self, row: Weighted, weight: tuple[int, ...], bias: tuple[int, ...]) -> None:
        """Weights without values: a network is filled as a whole (`nets.init`), or from a file."""
        self.std, self.constant = row.std, row.bias
        self.weight, self.bias = nn.Parameter(torch.empty(weight)), nn.Parameter(torch.empty(bias))

    def reset_parameters(self) -> None:
        """The row's own initial weights, drawn from torch's generator, for tools that ask a module for them."""
        if self.std is None:  # still being constructed: there is nothing to fill yet
            return
        nn.init.normal_(self.weight, std=self.std)
        if self.bias is not None:
            nn.init.constant_(self.bias, self.constant)

    def in_type(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """(weight, bias) as values of `dtype`; as they are where a symbolic tracer knows no type."""
        assert self.bias is not None
        if not isinstance(dtype, torch.dtype):
            return self.weight, self.bias
        return working_values(self.weight, dtype), working_values(self.bias, dtype)

    def by_columns(self, x: Tensor, weight: Tensor, bias: Tensor, layer: Callable[..., Tensor]) -> Tensor:
        """`layer(x, weight, bias)` for each column alone, on those columns of `x` that it reads."""
        columns, readers = x.chunk(self.columns_below, dim=1), len(self.reads)
        parts = zip(self.reads, weight.chunk(readers), bias.chunk(readers), strict=True)
        return torch.cat([layer(torch.cat([columns[c] for c in read], dim=1), w, b) for read, w, b in parts], dim=1)

    def by_columns_transposed(self, y: Tensor, weight: Tensor, transposed: Callable[..., Tensor]) -> Tensor:
        """The adjoint: what `transposed(y, weight)` of each column sends down, added up by column below."""
        sums: dict[int, Tensor] = {}
        readers = len(self.reads)
        for read, part, w in zip(self.reads, y.chunk(readers, dim=1), weight.chunk(readers), strict=True):
            for column, share in zip(read, transposed(part, w).chunk(len(read), dim=1), strict=True):
                sums[column] = sums[column] + share if column in sums else share
        unread = torch.zeros_like(next(iter(sums.values())))
        return torch.cat([sums.get(column, unread) for column in range(self.columns_below)], dim=1)


class Convolution(WeightedLayer):
    """Convolution of columns: each reads the columns of the map below that its wiring names ([A] §3.2).

    weight (C, C_read, kernel, kernel), bias (C). Column after column along C. `groups`: those of an ordinary grouped
    convolution with this wiring (`GroupedConvolution`), or None if it is not one (`WiredConvolution`).
    """

    groups: Any

    def _wire(self, layer: Layer, row: Conv) -> None:
        self.window, self.reads, self.side = layer.window, layer.reads, layer.entering.side
        maps_read = maps_read_by(layer, row)
        self.columns_below = layer.entering.maps * len(self.reads[0]) // maps_read
        self.folds = self.window.stride > 1 and layer.entering.maps < kernels.THIN and self.groups == 1
        self._allocate(row, (row.maps, maps_read, row.kernel, row.kernel), (row.maps,))

    def forward(self, input: Maps) -> Maps:
        if self.folds and kernels.is_ordinary(input):
            return kernels.strided_convolution(input, *self.in_type(input.dtype), self.window)
        return self._convolve(*self._ready(input), *self.in_type(input.dtype))

    def without_padding(self, x: Maps) -> Maps:
        """The convolution of a patch that already holds all that its windows read, padding included."""
        if self.folds:
            window = Window(self.window.kernel, self.window.stride)
            return kernels.strided_convolution(x, *self.in_type(x.dtype), window)
        return self._convolve(x, 0, *self.in_type(x.dtype))

    def change(self, x: Maps) -> Maps:
        """How the output changes if the input changes by `x`, a patch outside which nothing changes: the change at
        every position that reads any of the patch. For stride 1."""
        weight, bias = self.in_type(x.dtype)
        return self._convolve(x, self.window.kernel - 1, weight, torch.zeros_like(bias))

    def _convolve(self, x: Maps, padding: int, weight: Tensor, bias: Tensor) -> Maps:
        convolve = partial(kernels.convolution, stride=self.window.stride, padding=padding)
        if self.groups is None:
            return self.by_columns(x, weight, bias, convolve)
        return convolve(x, weight, bias, groups=self.groups)

    def adjoint(self, y: Maps, x: Maps) -> Maps:
        """The transposed convolution: filters flipped, maps of all readers added."""
        window, (height, width) = self.window, x.shape[2:]
        rows, columns = ((side - 1) * window.stride + window.kernel for side in y.shape[2:])
        # Padding that the transposed convolution leaves out itself is never computed.
        cut = (
            0
            if self.folds
            else max(0, min(window.before, rows - window.before - height, columns - window.before - width))
        )
        below, first = self.unpadded_transpose(y, cut), window.before - cut
        rows, columns = max(0, first + height - below.shape[2]), max(0, first + width - below.shape[3])  # never read
        below = F.pad(below, (0, columns, 0, rows)) if rows or columns else below
        return below[..., first : first + height, first : first + width]

    def unpadded_transpose(self, y: Maps, cut: int = 0) -> Maps:
        """The adjoint of `without_padding`: all positions that windows read, padding included, but for `cut` at every
        edge."""
        weight, _ = self.in_type(y.dtype)
        if self.folds:
            return kernels.strided_convolution_transpose(y, weight, self.window.stride)
        transposed = partial(kernels.convolution_transpose, stride=self.window.stride, padding=cut)
        if self.groups is None:
            return self.by_columns_transposed(y, weight, transposed)
        return transposed(y, weight, groups=self.groups)

    def _ready(self, x: Maps) -> tuple[Maps, int]:
        """The map, and the padding that conv2d adds itself. Only where the sides differ (an overhang) is the map padded
        here: that costs a copy, and a backward pass over the larger map."""
        # A traced map has symbolic sides; its real ones are the table's.
        sides = x.shape[2:] if kernels.is_ordinary(x) else (self.side, self.side)
        before, (rows, columns) = self.window.before, map(self.window.far_padding, sides)
        return (x, before) if rows == columns == before else (F.pad(x, (before, columns, before, rows)), 0)


class GroupedConvolution(Convolution, nn.Conv2d):
    """A convolution that an `nn.Conv2d` with groups describes: one column, columns kept apart, or all meeting."""

    def __init__(self, layer: Layer, row: Conv, groups: int) -> None:
        maps_below = maps_read_by(layer, row) * groups
        sizes = maps_below, row.maps, row.kernel, row.stride, layer.window.before
        super().__init__(*sizes, groups=groups, device="meta")  # _wire allocates
        self._wire(layer, row)


class WiredConvolution(Convolution, nn.Module):
    """A convolution whose columns read some others, which groups can't describe (three columns of four)."""

    groups = None

    def __init__(self, layer: Layer, row: Conv) -> None:
        super().__init__()
        self._wire(layer, row)


def maps_read_by(layer: Layer, row: Conv) -> int:
    """Maps below that each map reads."""
    return (layer.parameters - row.maps) // (row.maps * row.kernel**2)


def convolution_for(layer: Layer, row: Conv) -> GroupedConvolution | WiredConvolution:
    """The module of a convolution, an `nn.Conv2d` where its wiring allows."""
    columns_below = layer.entering.maps * len(layer.reads[0]) // maps_read_by(layer, row)
    if all(read == layer.reads[0] for read in layer.reads) and len(layer.reads[0]) == columns_below:
        return GroupedConvolution(layer, row, 1)
    if layer.reads == tuple((column,) for column in range(len(layer.reads))):
        return GroupedConvolution(layer, row, len(layer.reads))
    return WiredConvolution(layer, row)


def windows(x: Maps, kernel: int, stride: int) -> Float[Tensor, "rows columns B kernel kernel C"]:
    """What a window of kernel × kernel reads at every position."""
    windows_byxckl = x.permute(0, 2, 3, 1).unfold(1, kernel, stride).unfold(2, kernel, stride)
    return windows_byxckl.permute(1, 2, 0, 4, 5, 3).contiguous()


class _Patches(torch.autograd.Function):
    """`windows` with a gradient several times as fast as that of `Tensor.unfold`, summed in float32."""

    @staticmethod
    def forward(ctx: Any, x: Maps, kernel: int, stride: int) -> Tensor:
        ctx.shape, ctx.stride = x.shape, stride
        return windows(x, kernel, stride)

    @staticmethod
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


class LocallyConnected(WeightedLayer, nn.Module):
    """A convolution whose positions have weights of their own. weight (P, C, C_below·kernel²), bias (P, C)."""

    def __init__(self, layer: Layer, row: Local) -> None:
        super().__init__()
        self.window, self.maps_below, self.side_below = layer.window, layer.entering.maps, layer.entering.side
        self.side, reads = layer.leaving.side, self.maps_below * row.kernel**2
        self._allocate(row, (self.side**2, row.maps, reads), (self.side**2, row.maps))

    def forward(self, x: Maps) -> Maps:
        weight_pcf, bias_pc = self.in_type(x.dtype)
        kernel = self.window.kernel
        patches_of = _Patches.apply if kernels.is_ordinary(x) else windows
        patches_yxbklc = patches_of(self._pad(x), kernel, self.window.stride)
        patches_pbf = patches_yxbklc.flatten(3).flatten(0, 1)
        weight_pcdkl = weight_pcf.unflatten(2, (self.maps_below, kernel, kernel))
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
        before, after = self.window.before, self.window.far_padding(self.side_below)
        return F.pad(x, (before, after, before, after))


class FullyConnected(WeightedLayer):
    """Every unit reads all units of the columns that its column is wired to. weight (U, U_read), bias (U).

    Maps come in as (B, C, H, W) and are read in the order column, map, row, column of the map, as in 2012.
    """

    def forward(self, input: Tensor) -> Float[Tensor, "B U"]:
        flat, (weight, bias) = input.flatten(1), self.in_type(input.dtype)
        if len(self.reads[0]) == self.columns_below:
            return F.linear(flat, weight, bias)
        return self.by_columns(flat, weight, bias, F.linear)

    def adjoint(self, y: Float[Tensor, "B U"], x: Tensor) -> Tensor:
        weight, _ = self.in_type(y.dtype)
        if len(self.reads[0]) == self.columns_below:
            return (y @ weight).reshape(x.shape)
        return self.by_columns_transposed(y, weight, torch.matmul).reshape(x.shape)


class WholeDense(FullyConnected, nn.Linear):
    """A dense layer whose units read all units below: an ordinary `nn.Linear`."""

    def __init__(self, layer: Layer, row: Dense) -> None:
        super().__init__(layer.entering.units, row.units, device="meta")  # _allocate makes the weights
        self.reads, self.columns_below = layer.reads, len(layer.reads[0])
        self._allocate(row, (row.units, layer.entering.units), (row.units,))


class WiredDense(FullyConnected, nn.Module):
    """A dense layer whose columns read some of the columns below ([A] §3.2 with columns kept apart)."""

    def __init__(self, layer: Layer, row: Dense, units_read: int) -> None:
        super().__init__()
        self.reads, self.columns_below = layer.reads, layer.entering.units * len(layer.reads[0]) // units_read
        self._allocate(row, (row.units, units_read), (row.units,))


# ── pooling and normalisation ────────────────────────────────────────────────────────────────────────────────────


class MaxPool(nn.MaxPool2d):
    """Max-pooling whose windows may overlap and may overhang the far edges ([A] §3.4)."""

    def __init__(self, layer: Layer) -> None:
        window = layer.window
        super().__init__(window.kernel, window.stride, ceil_mode=window.rounding == "ceil")
        self.window = window

    def with_switches(self, x: Maps) -> tuple[Maps, Int[Tensor, "B C H2 W2"]]:
        """The maxima and their positions: the switches of [Z] §2.1, indices row·W + column into each map of `x`.

        Of equal values the first, row by row, is the maximum (the 2012 code credits all of them)."""
        return F.max_pool2d(x, self.kernel_size, self.stride, ceil_mode=self.ceil_mode, return_indices=True)

    def adjoint(self, y: Maps, x: Maps) -> Maps:
        return unpool(y, self.with_switches(x)[1], (x.shape[-2], x.shape[-1]))


def unpool(y: Maps, switches: Int[Tensor, "B C H2 W2"], size: tuple[int, int], overlap: Overlap = "add") -> Maps:
    """Put each value back at its position, zeros elsewhere, on maps of `size` (H, W). Where windows overlap, several
    values may share a position: "add" sums them (the exact transpose), "overwrite" keeps the largest in magnitude."""
    flat = y.new_zeros(*y.shape[:2], size[0] * size[1])
    if overlap == "add":
        flat.scatter_add_(2, switches.flatten(2), y.flatten(2))
    else:
        high = flat.scatter_reduce(2, switches.flatten(2), y.flatten(2), "amax")
        low = flat.scatter_reduce(2, switches.flatten(2), y.flatten(2), "amin")
        flat = torch.where(high >= -low, high, low)
    return flat.unflatten(2, size)


class AveragePool(nn.AvgPool2d):
    """Mean over each window, clipped to the map (2012 code)."""

    def __init__(self, layer: Layer) -> None:
        window = layer.window
        super().__init__(window.kernel, window.stride, ceil_mode=window.rounding == "ceil", count_include_pad=False)


class ResponseNorm(nn.Module):
    """Response normalisation across maps, inside each column or over all ([A] §3.3).

    With the span "all", a size of N maps or more is widened to 2N − 1, so that every map's window holds all N:
    (k, α, β, n) = (0, 1, 1, N) divides each value by the sum of squares over all maps.
    """

    def __init__(self, layer: Layer, row: Norm) -> None:
        super().__init__()
        maps, blocks = layer.entering.maps, layer.columns if row.span == "column" else 1
        size = 2 * maps - 1 if blocks == 1 and row.size >= maps else row.size
        self.spec = kernels.NormSpec(row.k, row.coefficient, row.beta, size, blocks)

    def forward(self, x: Maps) -> Maps:
        return kernels.local_response_norm(x, self.spec)


class SpatialResponseNorm(nn.Module):
    """Response normalisation inside one map (2012 code, `rnorm`)."""

    def __init__(self, row: SpatialNorm) -> None:
        super().__init__()
        self.spec = kernels.NormSpec(row.k, row.coefficient, row.beta, row.size)

    def forward(self, x: Maps) -> Maps:
        return kernels.spatial_response_norm(x, self.spec)


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


# ── units ────────────────────────────────────────────────────────────────────────────────────────────────────────

NON_LINEARITIES: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
"""ReLU, tanh and the logistic function ([A] §3.1)."""


def adjoint(module: nn.Module, y: Tensor, x: Tensor) -> Tensor:
    """A row's transpose (at `x`, what entered it, where it is not linear) applied to `y`, a signal at its output: its
    own where it has one, else by torch's derivative."""
    if isinstance(module, WeightedLayer | MaxPool | MapBatchNorm | DropoutLayer):
        return module.adjoint(y, x)
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        (below,) = torch.autograd.grad(module(x), x, y)
    return below


# ── the module of a row ──────────────────────────────────────────────────────────────────────────────────────────


def module_for(layer: Layer) -> nn.Module:
    """The module of a traced row."""
    match layer.row:
        case Conv() as row:
            return convolution_for(layer, row)
        case Local() as row:
            return LocallyConnected(layer, row)
        case Dense() as row:
            units_read = (layer.parameters - row.units) // row.units
            return WholeDense(layer, row) if units_read == layer.entering.units else WiredDense(layer, row, units_read)
        case Pool(kind="max"):
            return MaxPool(layer)
        case Pool():
            return AveragePool(layer)
        case Norm() as row:
            return ResponseNorm(layer, row)
        case SpatialNorm() as row:
            return SpatialResponseNorm(row)
        case BatchNorm():
            return MapBatchNorm(layer)
        case Activation(kind=kind):
            return NON_LINEARITIES[kind]()
        case Dropout() as row:
            return DropoutLayer(row)
