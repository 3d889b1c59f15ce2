"""A network as an ONNX graph, row by row: the operators that the rows are, `LRN` among them, no traced arithmetic.

B pictures · C maps · S side of a record, s of a crop · P positions of a local layer · F values that one of them reads.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from jaxtyping import Float
from onnx import TensorProto, helper
from torch import Tensor

import alexnet
from alexnet.choices import Resample
from alexnet.errors import UserError, optional_package
from alexnet.files.atomic import write_atomically
from alexnet.kernels import NormSpec
from alexnet.nets.layers import Convolution, FullyConnected, LocallyConnected
from alexnet.nets.network import Network
from alexnet.nets.table import Activation, BatchNorm, Conv, Dense, Dropout, Local, Norm, Pool, SpatialNorm
from alexnet.nets.trace import Layer
from alexnet.weights.common import ExportedWeights
from alexnet.weights.description import describe, write_description
from alexnet.weights.onnx.graph import PICTURES, Graph
from alexnet.weights.onnx.pictures import centre_of_pictures
from alexnet.weights.onnx.rows import METADATA

OPSET, IR_VERSION = 17, 8
"""Understood by every runtime since 2022."""
INPUT, LOGITS, PROBABILITIES = "input", "logits", "probabilities"
NAMES = "The classes' names are in the metadata, entry alexnet (JSON), under classes."
TAKES = f"input: RGB from 0 to 255 minus the mean. logits: a number for each class. {NAMES}"
TAKES_PICTURES = f"pictures: RGB, any height and width. probabilities: one for each class, of the centre crop. {NAMES}"
OPERATORS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}


def write_onnx(run: ExportedWeights, path: Path) -> tuple[str, ...]:
    """The graph, with its description in the metadata and in a file next to it; in int8 if it can be calibrated."""
    mean_image, resample = run.mean_image if run.preprocessing else None, run.config["data"].get("resample", "bicubic")
    model = build_model(run.network, json.dumps(describe(run)), mean_image, resample)
    if run.calibration is not None:
        optional_package("onnxruntime", "onnx", "--int8")
        from alexnet.weights.onnx.int8 import quantised

        model = quantised(model, run.calibration)
    write_atomically(path, model.SerializeToString())
    write_description(run, path)
    return ()


def build_model(
    network: Network, metadata: str, mean_image: Float[Tensor, "3 S S"] | None = None, resample: Resample = "bicubic"
) -> onnx.ModelProto:
    """The graph of a network. Takes `input`, float (B, 3, s, s): RGB 0–255 minus the mean. Gives `logits`, (B, K). With
    `mean_image` it takes `pictures`, RGB, uint8 (B, H, W, 3) of any H and W, makes the input of them, and gives
    `probabilities` before the logits. B is free.

    `metadata`: our description. Raises UserError, naming the row, for what ONNX can't say.
    """
    graph, classes = Graph(), ["batch", network.table.classes]
    given = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", 3, *[network.input_size] * 2])
    made, here, about = [helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, classes)], INPUT, TAKES
    if mean_image is not None:
        given = helper.make_tensor_value_info(PICTURES, TensorProto.UINT8, ["batch", "height", "width", 3])
        here, about = centre_of_pictures(graph, mean_image, network.input_size, resample).name, TAKES_PICTURES
    for layer in network.layers:
        here = _row(graph, layer, network, here)
    graph.add("Flatten", [here], LOGITS, axis=1)
    if mean_image is not None:
        temperature = graph.constant("temperature", np.array(network.temperature, np.float32))
        graph.add("Softmax", [graph.add("Div", [LOGITS, temperature], f"{LOGITS}/scaled")], PROBABILITIES, axis=1)
        made.insert(0, helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, classes))
    whole = helper.make_graph(graph.nodes, network.table.name, [given], made, graph.tensors, doc_string=about)
    opsets = [helper.make_opsetid("", OPSET)]
    origin = {"producer_name": "alexnet", "producer_version": alexnet.__version__, "doc_string": about}
    model = helper.make_model(whole, opset_imports=opsets, ir_version=IR_VERSION, **origin)
    helper.set_model_props(model, {METADATA: metadata})
    onnx.checker.check_model(model)
    return model


# ── the rows ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _row(graph: Graph, layer: Layer, network: Network, here: str) -> str:
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


def _conv(graph: Graph, layer: Layer, module: Convolution, here: str) -> str:
    window = layer.window
    before, after = window.before, max(window.after, window.far_padding(layer.entering.side))
    form = {"kernel_shape": [window.kernel] * 2, "strides": [window.stride] * 2, "pads": [before, before, after, after]}
    if module.groups is None:
        return _by_columns(graph, layer, module, here, "Conv", **form)
    return graph.add("Conv", [here, *graph.weights(layer, module)], layer.row.name, group=module.groups, **form)


def _dense(graph: Graph, layer: Layer, module: FullyConnected, here: str) -> str:
    if len(module.reads[0]) < module.columns_below:
        return _by_columns(graph, layer, module, here, "Gemm", transB=1)
    return graph.add("Gemm", [here, *graph.weights(layer, module)], layer.row.name, transB=1)


def _by_columns(
    graph: Graph, layer: Layer, module: Convolution | FullyConnected, here: str, operator: str, **form: Any
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


def _local(graph: Graph, layer: Layer, module: LocallyConnected, here: str) -> str:
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


def _norm(graph: Graph, layer: Layer, spec: NormSpec, refusal: str, here: str) -> str:
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


def _spatial_norm(graph: Graph, row: SpatialNorm, here: str) -> str:
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
