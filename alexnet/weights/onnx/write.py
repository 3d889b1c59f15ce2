"""A network as an ONNX graph, row by row: the operators that the rows are, `LRN` among them, no traced arithmetic.

B pictures · C maps · S side of a record, s of a crop · P positions of a local layer · F values that one of them reads.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from jaxtyping import Float
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from alexnet.errors import UserError
from alexnet.files.atomic import write_atomically
from alexnet.kernels import NormSpec
from alexnet.nets.layers import Convolution, FullyConnected, LocallyConnected, WeightedLayer
from alexnet.nets.network import Network
from alexnet.nets.table import Activation, BatchNorm, Conv, Dense, Dropout, Local, Norm, Pool, SpatialNorm
from alexnet.nets.trace import Layer
from alexnet.weights.common import ExportedWeights
from alexnet.weights.description import describe, write_description
from alexnet.weights.onnx.rows import METADATA

OPSET, IR_VERSION = 17, 8
"""Understood by every runtime since 2022."""
INPUT, RECORDS, OUTPUT = "input", "pictures", "logits"
OPERATORS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}


def write_onnx(run: ExportedWeights, path: Path) -> tuple[str, ...]:
    """The graph, with its description in the metadata and in a file next to it."""
    mean_image = run.mean_image if run.preprocessing else None
    model = build_model(run.network, json.dumps(describe(run)), mean_image)
    write_atomically(path, model.SerializeToString())
    write_description(run, path)
    return ()


def build_model(network: Network, metadata: str, mean_image: Float[Tensor, "3 S S"] | None = None) -> onnx.ModelProto:
    """The graph of a network. Takes `input`, float (B, 3, s, s): RGB 0–255 minus the mean; with `mean_image` it takes
    `pictures`, uint8 (B, S, S, 3), and cuts out the centre itself. Gives `logits`, (B, classes). B is free.

    `metadata`: our description. Raises UserError, naming the row, for what ONNX can't say.
    """
    graph = _Graph()
    here = INPUT if mean_image is None else _preprocessing(graph, mean_image, network.input_size)
    for layer in network.layers:
        here = _row(graph, layer, network, here)
    graph.add("Flatten", [here], OUTPUT, axis=1)
    if mean_image is None:
        given = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", 3, *[network.input_size] * 2])
    else:
        given = helper.make_tensor_value_info(RECORDS, TensorProto.UINT8, ["batch", *mean_image.shape[1:], 3])
    made = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", network.table.classes])
    whole = helper.make_graph(graph.nodes, network.table.name, [given], [made], graph.tensors)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(whole, opset_imports=opsets, ir_version=IR_VERSION, producer_name="alexnet")
    helper.set_model_props(model, {METADATA: metadata})
    onnx.checker.check_model(model)
    return model


@dataclass
class _Graph:
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    tensors: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, operator: str, reads: Sequence[str], gives: str, **attributes: Any) -> str:
        """Add a node; the name of its output."""
        self.nodes.append(helper.make_node(operator, list(reads), [gives], name=gives, **attributes))
        return gives

    def constant(self, name: str, values: np.ndarray | Tensor) -> str:
        """Add a constant; its name."""
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
        self.tensors.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def weights(self, layer: Layer, module: WeightedLayer) -> list[str]:
        """Add the weight and the bias of a layer; their names."""
        return [self.constant(f"{layer.row.name}.{kind}", getattr(module, kind)) for kind in ("weight", "bias")]

    def split(self, name: str, here: str, width: int, parts: int, axis: int = 1) -> list[str]:
        """Split into `parts` of `width`, by default along the maps; the names of the parts."""
        names = [f"{name}/column{part}" for part in range(parts)]
        sizes = self.constant(f"{name}/widths", np.full(parts, width, np.int64))
        self.nodes.append(helper.make_node("Split", [here, sizes], names, name=f"{name}/split", axis=axis))
        return names

    def join(self, gives: str, parts: Sequence[str]) -> str:
        return self.add("Concat", parts, gives, axis=1)


def _preprocessing(graph: _Graph, mean_image: Float[Tensor, "3 S S"], size: int) -> str:
    """uint8 (B, S, S, 3) → float (B, 3, s, s): subtract the mean, cut out the centre."""
    edge = (mean_image.shape[-1] - size) // 2
    here = graph.add("Transpose", [RECORDS], "pictures/maps", perm=[0, 3, 1, 2])
    here = graph.add("Cast", [here], "pictures/float", to=TensorProto.FLOAT)
    here = graph.add("Sub", [here, graph.constant("mean_image", mean_image)], "pictures/minus_mean")
    bounds = {"starts": [edge, edge], "ends": [edge + size] * 2, "axes": [2, 3]}
    names = [graph.constant(f"centre/{name}", np.array(values, np.int64)) for name, values in bounds.items()]
    return graph.add("Slice", [here, *names], INPUT)


# ── the rows ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _row(graph: _Graph, layer: Layer, network: Network, here: str) -> str:
    """Add a row; the name of its output."""
    module: Any = network.get_submodule(layer.row.name)
    match layer.row:
        case Conv():
            return _conv(graph, layer, module, here)
        case Local():
            return _local(graph, layer, module, here)
        case Dense(name=name):
            if layer is next(one for one in network.layers if isinstance(one.row, Dense)):
                here = graph.add("Flatten", [here], f"{name}/flat", axis=1)
            return _dense(graph, layer, module, here)
        case Pool() as row:
            after = max(0, layer.window.far_padding(layer.entering.side))
            form = {"kernel_shape": [row.kernel] * 2, "strides": [row.stride] * 2, "pads": [0, 0, after, after]}
            if row.kind == "average":
                return graph.add("AveragePool", [here], row.name, count_include_pad=0, **form)
            return graph.add("MaxPool", [here], row.name, **form)
        case Norm(name=name):
            return _norm(graph, layer, module.spec, f"{network.table.name} can't be exported to ONNX: {name}", here)
        case SpatialNorm() as row:
            return _spatial_norm(graph, row, here)
        case BatchNorm(name=name):
            kinds = ("weight", "bias", "running_mean", "running_var")
            held = [graph.constant(f"{name}.{kind}", getattr(module, kind)) for kind in kinds]
            return graph.add("BatchNormalization", [here, *held], name, epsilon=module.eps)
        case Activation(name=name, kind=kind):
            return graph.add(OPERATORS[kind], [here], name)
        case Dropout(name=name, keep=keep, kind="inverted"):  # nothing at test
            return graph.add("Dropout", [here, graph.constant(f"{name}/ratio", np.array(1 - keep, np.float32))], name)
        case Dropout(name=name, keep=keep):
            return graph.add("Mul", [here, graph.constant(f"{name}/keep", np.array(keep, np.float32))], name)


def _conv(graph: _Graph, layer: Layer, module: Convolution, here: str) -> str:
    window = layer.window
    before, after = window.before, max(window.after, window.far_padding(layer.entering.side))
    form = {"kernel_shape": [window.kernel] * 2, "strides": [window.stride] * 2, "pads": [before, before, after, after]}
    if module.groups is None:
        return _by_columns(graph, layer, module, here, "Conv", **form)
    return graph.add("Conv", [here, *graph.weights(layer, module)], layer.row.name, group=module.groups, **form)


def _dense(graph: _Graph, layer: Layer, module: FullyConnected, here: str) -> str:
    if len(module.reads[0]) < module.columns_below:
        return _by_columns(graph, layer, module, here, "Gemm", transB=1)
    return graph.add("Gemm", [here, *graph.weights(layer, module)], layer.row.name, transB=1)


def _by_columns(
    graph: _Graph, layer: Layer, module: Convolution | FullyConnected, here: str, operator: str, **form: Any
) -> str:
    """A layer whose columns each read some of the columns below: split, one operator for each, concatenated. The
    weights stay whole under their names; each column gets its rows of them."""
    name, readers = layer.row.name, len(module.reads)
    units = layer.entering.units if operator == "Gemm" else layer.entering.maps
    below = graph.split(f"{name}/below", here, units // module.columns_below, module.columns_below)
    outputs = layer.leaving.maps // readers
    columns = [graph.split(tensor, tensor, outputs, readers, axis=0) for tensor in graph.weights(layer, module)]
    parts = []
    for column, (read, *tensors) in enumerate(zip(module.reads, *columns, strict=True)):
        taken = [below[other] for other in read]
        entering = taken[0] if len(taken) == 1 else graph.join(f"{name}/read{column}", taken)
        parts.append(graph.add(operator, [entering, *tensors], f"{name}/column{column}", **form))
    return graph.join(name, parts)


def _local(graph: _Graph, layer: Layer, module: LocallyConnected, here: str) -> str:
    """Gather what each position reads, (B, F, P); multiply with the position's own weights."""
    name, window, side = layer.row.name, layer.window, layer.entering.side
    before, after = window.before, window.far_padding(side)
    pads = graph.constant(f"{name}/pads", np.array([0, 0, before, before, 0, 0, after, after], np.int64))
    padded = graph.add("Pad", [here, pads], f"{name}/padded")
    flat = graph.add("Flatten", [padded], f"{name}/flat", axis=1)
    indices = graph.constant(f"{name}/indices", _indices_read(layer, side + before + after))
    patches = graph.add("Gather", [flat, indices], f"{name}/patches", axis=1)
    weight, bias = graph.weights(layer, module)
    products = graph.add("Einsum", [patches, weight], f"{name}/products", equation="bfp,pcf->bcp")
    turned = graph.add("Transpose", [bias], f"{name}.bias/turned", perm=[1, 0])
    summed = graph.add("Add", [products, turned], f"{name}/sums")
    maps = np.array([0, layer.leaving.maps, layer.leaving.side, layer.leaving.side], np.int64)
    return graph.add("Reshape", [summed, graph.constant(f"{name}/shape", maps)], name)


def _indices_read(layer: Layer, side: int) -> np.ndarray:
    """(F, P) indices in the flattened padded maps that each position reads: by map, row and column of its window."""
    window, outputs = layer.window, layer.leaving.side
    steps, offsets = np.arange(outputs) * window.stride, np.arange(window.kernel)
    maps = np.arange(layer.entering.maps)[:, None, None, None, None] * side**2
    rows = (offsets[:, None, None, None] + steps[:, None]) * side
    columns = offsets[:, None, None] + steps
    return (maps + rows + columns).reshape(-1, outputs**2).astype(np.int64)


def _norm(graph: _Graph, layer: Layer, spec: NormSpec, refusal: str, here: str) -> str:
    """ONNX's LRN divides alpha by the window's size, and runs over all maps: each column has one of its own."""
    if spec.k == 0 or spec.size % 2 == 0:
        why = "k = 0 (0 divided by 0 is 0 here, no number there)" if spec.k == 0 else f"a window of {spec.size} maps"
        raise UserError(f"{refusal} has {why}, which LRN does not mean.")
    name = layer.row.name
    form = {"alpha": spec.alpha * spec.size, "beta": spec.beta, "bias": float(spec.k), "size": spec.size}
    if spec.blocks == 1:
        return graph.add("LRN", [here], name, **form)
    columns = graph.split(name, here, layer.entering.maps // spec.blocks, spec.blocks)
    return graph.join(name, [graph.add("LRN", [column], f"{column}/normalised", **form) for column in columns])


def _spatial_norm(graph: _Graph, row: SpatialNorm, here: str) -> str:
    """x / (k + alpha·mean of x² over size × size positions, those beyond the edge counted as zero)^beta."""
    name, near, far = row.name, row.size // 2, (row.size - 1) // 2
    constants = {"alpha": row.coefficient * row.size**2, "k": row.k, "power": -row.beta}
    held = {word: graph.constant(f"{name}/{word}", np.array(value, np.float32)) for word, value in constants.items()}
    squares = graph.add("Mul", [here, here], f"{name}/squares")
    form = {"kernel_shape": [row.size] * 2, "strides": [1, 1], "pads": [near, near, far, far], "count_include_pad": 1}
    mean = graph.add("AveragePool", [squares], f"{name}/mean", **form)
    scaled = graph.add("Mul", [mean, held["alpha"]], f"{name}/scaled")
    raised = graph.add("Add", [scaled, held["k"]], f"{name}/denominator")
    factor = graph.add("Pow", [raised, held["power"]], f"{name}/factor")
    return graph.add("Mul", [here, factor], name)
