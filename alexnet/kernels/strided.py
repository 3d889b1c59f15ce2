"""A strided convolution over few maps as one of stride 1 over many, by space-to-depth; and its transpose.

Blocks of stride × stride pixels become maps, and so do the weights' (padded with zeros to whole blocks): [A]'s first
layer, 11×11 with stride 4 over 3 colours, is 3×3 with stride 1 over 48 maps. The same sums, several times as fast in
the backward pass: few maps leave vector units idle.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet import kernels
from alexnet.geometry import Window
from alexnet.kernels.reference import depth_to_space

THIN = 16
"""Fewer maps than this leave vector units idle."""


def strided_convolution(x_bchw: Tensor, weight: Tensor, bias: Tensor, window: Window) -> Tensor:
    """`F.conv2d` of a map with the padding and the overhang of `window`."""
    weight = _weights_in_depth(weight, window.stride)
    rows, columns = (window.outputs(side) - 1 + weight.shape[-1] for side in x_bchw.shape[2:])
    return F.conv2d(kernels.space_to_depth(x_bchw, window.stride, window.before, rows, columns), weight, bias)


def strided_convolution_transpose(y_bchw: Tensor, weight: Tensor, stride: int) -> Tensor:
    """`F.conv_transpose2d`: the transpose of `strided_convolution`, before any padding is cut off."""
    below = depth_to_space(F.conv_transpose2d(y_bchw, _weights_in_depth(weight, stride)), stride)
    rows, columns = ((side - 1) * stride + weight.shape[-1] for side in y_bchw.shape[2:])
    return below[..., :rows, :columns]


def _weights_in_depth(weight: Tensor, stride: int) -> Tensor:
    """Weights (C, C_below, kernel, kernel) for maps after space-to-depth: (C, stride · stride · C_below, n, n)."""
    blocks = -(-weight.shape[-1] // stride)
    weight = F.pad(weight, (0, blocks * stride - weight.shape[-1]) * 2)
    blocks_ockyly = weight.unflatten(3, (blocks, stride)).unflatten(2, (blocks, stride))
    return blocks_ockyly.permute(0, 3, 5, 1, 2, 4).flatten(1, 3).contiguous(memory_format=torch.channels_last)
