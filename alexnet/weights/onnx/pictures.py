"""From a picture of any size to the network's input, as nodes of an ONNX graph: the weights, the rounding and the crop
of `alexnet.images.resample`, in float32. By basic operators alone: runtimes differ in what `Resize` computes.

B pictures · H, W rows and columns of a picture · L one of the two · S side of a record, s of a crop.
"""

from math import pi

import numpy as np
from jaxtyping import Float
from torch import Tensor

from alexnet.choices import Resample
from alexnet.weights.onnx.graph import PICTURES, Graph, Value


def centre_of_pictures(graph: Graph, mean_image: Float[Tensor, "3 S S"], size: int, resample: Resample) -> Value:
    """uint8 (B, H, W, 3) → float (B, 3, s, s): make the shorter side S, cut out the centre square, subtract the mean,
    cut out the centre."""
    side = mean_image.shape[-1]
    maps = Value(graph, PICTURES).op("Transpose", perm=[0, 3, 1, 2]).float()
    sides = Value(graph, maps.op("Shape", start=2, end=4).name, np.int64)
    shorter = sides.op("ReduceMin", keepdims=1)
    rows, columns = (_weights(sides.op("Gather", np.array([axis])), shorter, side, resample) for axis in (0, 1))
    narrow_bchs = _to_8_bits(maps.op("MatMul", columns.op("Transpose", perm=[1, 0])))
    record_bcss = _to_8_bits(rows.op("MatMul", narrow_bchs))
    edge = (side - size) // 2
    bounds = (np.array(values) for values in ([edge, edge], [edge + size] * 2, [2, 3]))
    return (record_bcss - Value(graph, graph.constant("mean_image", mean_image))).op("Slice", *bounds)


def _weights(length: Value, shorter: Value, side: int, resample: Resample) -> Value:
    """(S, L): how much each of L pixels counts in each of the S that are cut out of them, resized."""
    resized = (length * (2 * side) + shorter) / (shorter * 2)  # whole numbers
    scale = length.float() / resized.float()
    start = ((resized - side) / 2).float()
    centres = (start + (np.arange(side, dtype=np.float32)[:, None] + 0.5)) * scale
    pixels = (length * 0).op("Squeeze").op("Range", length.op("Squeeze"), 1).float() + 0.5
    weights = _filter((pixels - centres) / scale.op("Max", 1), resample)
    return weights / weights.op("ReduceSum", np.array([1]))


def _filter(x: Value, resample: Resample) -> Value:
    """A filter's weights at the distances `x`. Bicubic is Keys's with a = −1/2: 0 from 2 on, another cubic below 1."""
    a = x.op("Abs")
    match resample:
        case "bilinear":
            return (a * -1 + 1).op("Relu")
        case "bicubic":
            near, far = ((a * -1 + width).op("Relu") for width in (1, 2))
            return near * near * (a * 2 - 1) + far * far * (a * -0.5 + 0.5)
        case "box":  # −0.5 < x ≤ 0.5
            return (x + 0.5).op("Ceil").op("Equal", 1).float()
        case "lanczos":
            sinc, sinc3 = ((b := a.op("Max", 1e-6) * (pi / width)).op("Sin") / b for width in (1, 3))
            return sinc * sinc3 * a.op("Less", 3).float()


def _to_8_bits(values: Value) -> Value:
    return (values + 0.5).op("Floor").op("Clip", 0, 255)
