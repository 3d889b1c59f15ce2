"""The rows as modules, each with its adjoint beside it.

`adjoint(y, x)`: the transpose of the layer's linear part (of its linearisation at `x`, where it is not linear) applied
to `y`, a signal at the layer's output; `x` is what entered the layer. For convolution, pooling and dense layers this is
the deconvnet's step down ([Z] §2.1).

B pictures · C maps · H, W rows and columns · U units · P positions. Weights stay float32; a layer works in the type of
what enters it, float32 or half precision. A tensor that a tool traces or transforms passes through plain differentiable
operations only (`kernels.is_ordinary`).
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from alexnet import kernels
from alexnet.geometry import Window
from alexnet.nets.dropout import DropUnits
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
        self.folds = self.window.stride > 1 and layer.entering.maps < THIN and self.groups == 1
        self._allocate(row, (row.maps, maps_read, row.kernel, row.kernel), (row.maps,))

    def forward(self, input: Maps) -> Maps:
        if self.folds and kernels.is_ordinary(input):
            return convolve_by_cells(input, *self.in_type(input.dtype), self.window)
        return self._convolve(*self._ready(input), *self.in_type(input.dtype))

    def without_padding(self, x: Maps) -> Maps:
        """The convolution of a part of the map that has all that its windows read, zeros beyond the edges included."""
        if self.folds:
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
        before, (rows, columns) = self.window.before, self._far_padding(x)
        return (x, before) if rows == columns == before else (F.pad(x, (before, columns, before, rows)), 0)

    def _pad(self, x: Maps) -> Maps:
        """Zeros around the map, the overhang at its right and bottom included."""
        before, (rows, columns) = self.window.before, self._far_padding(x)
        return x if before == rows == columns == 0 else F.pad(x, (before, columns, before, rows))

    def _far_padding(self, x: Maps) -> tuple[int, int]:
        """Zeros below and to the right. A map that is traced has the table's size, whatever it says itself."""
        height, width = x.shape[2:] if kernels.is_ordinary(x) else (self.side, self.side)
        return self.window.far_padding(height), self.window.far_padding(width)


class GroupedConvolution(Convolution, nn.Conv2d):
    """A convolution that an `nn.Conv2d` with groups describes: one column, columns kept apart, or all meeting."""

    def __init__(self, layer: Layer, row: Conv, groups: int) -> None:
        maps_below = maps_read_by(layer, row) * groups
        super().__init__(
            *(maps_below, row.maps, row.kernel, row.stride, layer.window.before),
            groups=groups,
            device="meta",  # _wire allocates
        )
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

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        row = layer.row
        assert isinstance(row, Local)
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

    Maps come in as (B, C, H, W) and are read in the order column, map, row, column of the map, as in 2012. `reads`:
    the columns below that each column reads; `columns_below`: how many there are.
    """

    reads: tuple[tuple[int, ...], ...]
    columns_below: int

    def forward(self, input: Tensor) -> Float[Tensor, "B U"]:
        flat, (weight, bias) = input.flatten(1), self.in_type(input.dtype)
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


def dense_for(layer: Layer, row: Dense) -> WholeDense | WiredDense:
    """The module of a dense layer, an `nn.Linear` where every unit reads all units below."""
    units_read = (layer.parameters - row.units) // row.units
    return WholeDense(layer, row) if units_read == layer.entering.units else WiredDense(layer, row, units_read)


# ── pooling and normalisation ────────────────────────────────────────────────────────────────────────────────────


class MaxPool(nn.MaxPool2d):
    """Max-pooling whose windows may overlap and may overhang the far edges ([A] §3.4)."""

    def __init__(self, layer: Layer) -> None:
        window = layer.window
        super().__init__(window.kernel, window.stride, ceil_mode=window.rounding == "ceil")
        self.window = window

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


class AveragePool(nn.AvgPool2d):
    """Mean over the part of each window that lies inside the map (2012 code)."""

    def __init__(self, layer: Layer) -> None:
        window = layer.window
        super().__init__(window.kernel, window.stride, ceil_mode=window.rounding == "ceil", count_include_pad=False)


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


class SpatialResponseNorm(nn.Module):
    """Response normalisation inside one map (2012 code, `rnorm`)."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        row = layer.row
        assert isinstance(row, SpatialNorm)
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
    if isinstance(module, WeightedLayer | MaxPool | MapBatchNorm | DropUnits):
        return module.adjoint(y, x)
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        (below,) = torch.autograd.grad(module(x), x, y)
    return below


# ── the module of a row ──────────────────────────────────────────────────────────────────────────────────────────


def module_for(layer: Layer) -> nn.Module:
    """The module of a row in its place."""
    match layer.row:
        case Conv() as row:
            return convolution_for(layer, row)
        case Local():
            return LocallyConnected(layer)
        case Dense() as row:
            return dense_for(layer, row)
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
        case Activation(kind=kind):
            return NON_LINEARITIES[kind]()
        case Dropout():
            return DropUnits(layer)
