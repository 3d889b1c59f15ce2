"""An ONNX graph as a table of rows: a chain of the operators that these networks are made of, read by its structure.

Our own exports say in their metadata which rows they are; of other graphs the rows are found: groups become columns,
explicit pads become padding or rounding. Weights may be initialisers or be made by constant nodes. What a graph does
not say must be asked: the mean, and whether it reads RGB or BGR.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from alexnet.damage import damage_named, hold, one_of
from alexnet.errors import UserError
from alexnet.files import parsed
from alexnet.geometry import Window
from alexnet.nets import table as tables
from alexnet.nets.table import Activation, BatchNorm, Conv, Dense, Dropout, Norm, Pool, Row, Table, Weighted, trace
from alexnet.nets.weights.description import FORM, KIND, understood
from alexnet.nets.weights.foreign import Asked, Files, Foreign, as_image, fold_std, shapes_of
from alexnet.nets.zoo import ZOO

if TYPE_CHECKING:
    import onnx

MOST_VALUES = 1 << 28
"""Of one made-up constant: a file of some bytes may ask for any size."""
SILENT = {"Identity", "Flatten", "Reshape", "Softmax", "LogSoftmax", "Squeeze", "Cast"}
"""Operators that are no row: shapes change by themselves, and the outputs here are logits."""
ACTIVATIONS: dict[str, Literal["relu", "tanh", "sigmoid"]] = {"Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid"}
AGAIN = "Download it again, or export it anew."
METADATA = "alexnet"
"""The key of our description in a graph's metadata."""


def read_onnx(files: Files, name: str, asked: Asked) -> Foreign:
    """The graph's rows and weights. Raises UserError, naming the node, for what these networks do not have."""
    model = _load(files.read(name), f"{files.path}: {name}")
    described = next((entry.value for entry in model.metadata_props if entry.key == METADATA), None)
    if described is not None:
        return _own(model, described, files, name, asked)
    if asked.mean is None or asked.colours is None:
        raise UserError(
            f"{files.path}: an ONNX graph does not say what is taken off its inputs, nor their colours. Give --mean (a "
            "file, or R,G,B from 0 to 255; 0,0,0 for none) and --colours rgb or bgr; and --std if they are divided."
        )
    with damage_named(f"{files.path}: {name}", AGAIN):
        reading = _Reading(model.graph, f"{files.path}: {name}")
    weights = reading.weights
    first = f"{reading.table.weighted[0].name}.weight"
    if asked.colours == "bgr":
        weights[first] = weights[first].flip(1).contiguous()
    if asked.std is not None:
        weights[first] = fold_std(weights[first], asked.std)
    notes = (f"the graph is the network {reading.table.name}",) if reading.table.name in ZOO else ()
    return Foreign(
        reading.table, weights, as_image(asked.mean, asked.colours), "ONNX", notes=notes, called=reading.called
    )


def _load(data: bytes, where: str) -> "onnx.ModelProto":
    try:
        import onnx
    except ImportError:
        raise UserError(f"{where}: reading ONNX needs the package onnx: pip install 'alexnet[onnx]'") from None
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as fault:  # protobuf's DecodeError has moved from module to module
        raise UserError(f"{where}: damaged, or no ONNX file ({type(fault).__name__}). Download it again.") from None
    if not model.graph.node:
        raise UserError(f"{where}: damaged, or no ONNX file (it has no nodes). Download it again.")
    return model


def _own(model: "onnx.ModelProto", described: str, files: Files, name: str, asked: Asked) -> Foreign:
    """Our own export: the rows are in its metadata, the weights bear our names."""
    asked.refuse(("net", "mean", "std", "colours"), str(files.path), "the graph says that itself")
    constants = _constants(model.graph, f"{files.path}: {name}")
    where, remedy = f"{files.path}: {name}: its metadata", "Export the run again."
    with damage_named(where, remedy):
        about = hold(parsed(described), {"kind": one_of(KIND), **FORM}, where, remedy)
        end = about["input"].get("mean_image")
        image = None if end is None else files.beside(name, end)
        if image is None and end is not None:
            if "mean_image" not in constants:
                raise UserError(f"{files.path}: {name}{end} is missing beside it.")
            about["input"]["mean"] = constants["mean_image"]
        known = understood(about, image)
        rows = tables.from_json(about["network"]["table"], f"{files.path}: {name}")
    weights = {key: torch.from_numpy(constants[key]) for key in shapes_of(rows) if key in constants}
    weights |= {key: torch.tensor(0) for key in shapes_of(rows) if key.endswith("num_batches_tracked")}
    return Foreign(rows, weights, as_image(known.mean), "ONNX", config=known.config)


# ── a graph of others, by its structure ──────────────────────────────────────────────────────────────────────────


class _Reading:
    """The rows of a graph, one operator after the other. Raises UserError, naming the node, for what is no row."""

    def __init__(self, graph: "onnx.GraphProto", where: str) -> None:
        self.where = where
        self.constants = _constants(graph, where)
        self.rows: list[Row] = []
        self.held: list[tuple[str, dict[str, Tensor], str]] = []  # row, its tensors, the node's name
        self.columns, self.number = 1, 0
        picture, self.size = self._input(graph)
        self.side = self.size
        for node in _chain(graph, picture, self.constants, where):
            if node.op_type not in SILENT:
                self._read(node)
        if not any(isinstance(row, Weighted) for row in self.rows):
            raise UserError(f"{where}: no layer with weights is in it.")
        self.table = self._named(
            Table(graph.name or "onnx", tuple(self.rows), self.size, self.columns, "An ONNX graph.")
        )

    @property
    def weights(self) -> dict[str, Tensor]:
        return {f"{row}.{kind}": tensor for row, held, _ in self.held for kind, tensor in held.items()}

    @property
    def called(self) -> dict[str, str]:
        return {f"{row}.{kind}": f"node {node}" for row, held, node in self.held for kind in held}

    def _input(self, graph: "onnx.GraphProto") -> tuple[str, int]:
        """The name of the picture and its side."""
        for given in graph.input:
            dimensions = [dimension.dim_value for dimension in given.type.tensor_type.shape.dim]
            if given.name not in self.constants and len(dimensions) == 4:
                if dimensions[1] != 3 or dimensions[2] != dimensions[3] or not 1 <= dimensions[2] <= 4096:
                    raise UserError(
                        f"{self.where}: its input {given.name} is {dimensions}; (B, 3, side, side) is needed."
                    )
                return given.name, dimensions[2]
        raise UserError(f"{self.where}: has no input of (B, 3, side, side).")

    def _read(self, node: "onnx.NodeProto") -> None:
        kinds = {
            "Conv": self._conv,
            "Gemm": self._dense,
            "MaxPool": self._pool,
            "AveragePool": self._pool,
            "LRN": self._norm,
            "BatchNormalization": self._batch_norm,
            "Relu": self._activation,
            "Tanh": self._activation,
            "Sigmoid": self._activation,
            "Dropout": self._dropout,
            "Mul": self._scale,
        }
        if node.op_type not in kinds:
            self._refuse(node, f"{node.op_type} is no operator of these networks")
        kinds[node.op_type](node, _attributes(node))

    def _refuse(self, node: "onnx.NodeProto", why: str) -> None:
        raise UserError(f"{self.where}: node {_name(node)}: {why}.")

    def _add(self, row: Row, node: "onnx.NodeProto", **tensors: np.ndarray) -> None:
        if any(other.name == row.name for other in self.rows):
            row = replace(row, name=f"{row.name}_{len(self.rows)}")
        self.rows.append(row)
        if tensors:
            held = {kind: torch.from_numpy(np.array(values)) for kind, values in tensors.items()}
            self.held.append((row.name, held, _name(node)))

    def _constant(self, node: "onnx.NodeProto", place: int, dimensions: int) -> np.ndarray:
        name = node.input[place] if place < len(node.input) else ""
        found = self.constants.get(name)
        if found is None or found.ndim != dimensions:
            shape = "absent" if found is None else str(found.shape)
            self._refuse(node, f"{name or f'input {place}'} is {shape}; weights of {dimensions} dimensions are needed")
            raise AssertionError
        return found

    def _conv(self, node: "onnx.NodeProto", given: dict[str, Any]) -> None:
        weight = self._constant(node, 1, 4)
        maps, kernel, groups = weight.shape[0], weight.shape[2], given.get("group", 1)
        top, left, bottom, right = given.get("pads", [0, 0, 0, 0])
        strides = given.get("strides", [1, 1])
        square = weight.shape[3] == kernel and top == left and bottom == right and strides[0] == strides[1]
        if not square or set(given.get("dilations", [1])) != {1} or given.get("auto_pad", b"NOTSET") != b"NOTSET":
            self._refuse(node, "windows must be square, explicitly padded, not dilated")
        if groups > 1 and (self.columns not in (1, groups) or self.number == 0):
            self._refuse(node, f"its {groups} groups don't fit the {self.columns} columns before")
        self.columns = max(self.columns, groups)
        self.number += 1
        padding = top if top == bottom else (top, bottom)
        reads = "own" if groups > 1 else "all"
        row = Conv(f"conv{self.number}", maps, kernel, strides[0], padding, reads, rounding="floor")
        bias = self._constant(node, 2, 1) if len(node.input) > 2 else np.zeros(maps, np.float32)
        self._add(row, node, weight=weight, bias=bias)
        self.side = Window(kernel, strides[0], top, bottom, "floor").outputs(self.side)

    def _dense(self, node: "onnx.NodeProto", given: dict[str, Any]) -> None:
        if given.get("transA", 0) or given.get("alpha", 1.0) != 1 or given.get("beta", 1.0) != 1:
            self._refuse(node, "a plain x·W + b is needed")
        weight = self._constant(node, 1, 2)
        weight = weight if given.get("transB", 0) else weight.T
        bias = self._constant(node, 2, 1) if len(node.input) > 2 else np.zeros(len(weight), np.float32)
        self.number += 1
        self._add(Dense(f"fc{self.number}", len(weight)), node, weight=weight, bias=bias)
        self.side = 1

    def _pool(self, node: "onnx.NodeProto", given: dict[str, Any]) -> None:
        average = node.op_type == "AveragePool"
        kernel, stride = given.get("kernel_shape", [0]), given.get("strides", [1, 1])
        pads, ceil = given.get("pads", [0, 0, 0, 0]), given.get("ceil_mode", 0)
        if len(set(kernel)) != 1 or len(set(stride)) != 1 or pads[:2] != [0, 0] or pads[2] != pads[3]:
            self._refuse(node, "windows must be square and padded at the far edges only")
        if average and (any(pads) or ceil) and given.get("count_include_pad", 0):
            self._refuse(node, "averages are over what lies inside the map")
        whole = Window(kernel[0], stride[0], after=pads[2], rounding="ceil" if ceil else "floor").outputs(self.side)
        for rounding in ("ceil", "floor"):
            row = Pool(f"pool{self.number}", kernel[0], stride[0], "average" if average else "max", rounding)
            if tables.window_of(row).outputs(self.side) == whole:
                self._add(row, node)
                self.side = whole
                return
        self._refuse(node, f"its pads {pads} are no overhang of the last window")

    def _norm(self, node: "onnx.NodeProto", given: dict[str, Any]) -> None:
        k, alpha, beta = (
            _short(given.get(name, usual)) for name, usual in (("bias", 1), ("alpha", 1e-4), ("beta", 0.75))
        )
        if given["size"] % 2 == 0:
            self._refuse(
                node, f"its window of {given['size']} maps is even, ONNX and the 2012 code place it differently"
            )
        self._add(Norm(f"norm{self.number}", k, alpha, beta, given["size"], "mean", "all"), node)

    def _batch_norm(self, node: "onnx.NodeProto", given: dict[str, Any]) -> None:
        if _short(given.get("epsilon", 1e-5)) != 1e-5:
            self._refuse(node, f"its epsilon is {given['epsilon']}, 1e-5 is needed")
        kinds = ("weight", "bias", "running_mean", "running_var")
        tensors = {kind: self._constant(node, place, 1) for place, kind in enumerate(kinds, start=1)}
        self._add(BatchNorm(f"batch_norm{self.number}"), node, **tensors, num_batches_tracked=np.array(0))

    def _activation(self, node: "onnx.NodeProto", given: dict[str, Any]) -> None:  # noqa: ARG002 - all readers' form
        self._add(Activation(f"relu{self.number}", ACTIVATIONS[node.op_type]), node)

    def _dropout(self, node: "onnx.NodeProto", given: dict[str, Any]) -> None:
        ratio = self.constants.get(node.input[1]) if len(node.input) > 1 else given.get("ratio", 0.5)
        self._add(
            Dropout(f"dropout{self.number}", _short(1 - float(0.5 if ratio is None else ratio)), "inverted"), node
        )

    def _scale(self, node: "onnx.NodeProto", given: dict[str, Any]) -> None:  # noqa: ARG002
        """The 2012 dropout at test: the share of units that training kept."""
        factor = next((self.constants[name] for name in node.input if name in self.constants), np.zeros(2))
        if factor.size != 1 or not 0 < float(factor.reshape(())) < 1:
            self._refuse(node, "a product with one number between 0 and 1 (dropout of 2012) is needed")
        self._add(Dropout(f"dropout{self.number}", _short(float(factor.reshape(()))), "2012"), node)

    def _named(self, found: Table) -> Table:
        """The zoo's table that computes the same, if there is one; tensors are then called as its rows are."""
        wanted = signature(found)
        for known in ZOO.values():
            if known.columns == found.columns and known.input_size == found.input_size:
                scaled = tables.with_classes(known, found.classes) if found.classes > 1 else known
                if signature(scaled) == wanted:
                    theirs = [row.name for row in scaled.rows if isinstance(row, Weighted | BatchNorm)]
                    held = zip(theirs, self.held, strict=True)
                    self.held = [(name, tensors, node) for name, (_, tensors, node) in held]
                    return scaled
        return found


def signature(table: Table) -> list[tuple[object, ...]]:
    """What a network computes at test, a line for each row: equal for tables that compute the same."""
    lines: list[tuple[object, ...]] = []
    for layer in trace(table):
        match row := layer.row:
            case Conv():
                lines.append((row.maps, row.kernel, row.stride, layer.window.before, layer.leaving.side, layer.reads))
            case Pool():
                lines.append((row.kind, row.kernel, row.stride, layer.leaving.side))
            case Norm():
                blocks = layer.columns if row.span == "column" else 1
                lines.append((row.k, round(row.coefficient, 12), row.beta, row.size, blocks))
            case Dense():
                lines.append((row.units, layer.parameters))
            case Activation():
                lines.append((row.kind,))
            case Dropout(kind="inverted"):
                pass
            case _:
                lines.append((replace(row, name=""),))
    return lines


def _chain(
    graph: "onnx.GraphProto", picture: str, constants: dict[str, np.ndarray], where: str
) -> "list[onnx.NodeProto]":
    """The nodes from the picture to the outputs, each reading what the one before gives."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in set(node.input) - constants.keys():
            readers.setdefault(name, []).append(node)
    found: list[onnx.NodeProto] = []
    here = picture
    while next_nodes := readers.get(here, []):
        if len(next_nodes) > 1 or len(found) > len(graph.node):
            names = ", ".join(_name(node) for node in next_nodes[:3])
            raise UserError(f"{where}: {here} is read by {names}: the graph branches, a chain of layers is needed.")
        found.append(next_nodes[0])
        here = next_nodes[0].output[0]
    return found


def _constants(graph: "onnx.GraphProto", where: str) -> dict[str, np.ndarray]:
    """What is known before any picture: initialisers, and nodes that make constants."""
    import onnx

    found: dict[str, np.ndarray] = {}
    try:
        for tensor in graph.initializer:
            found[tensor.name] = _array(tensor, where)
        for node in graph.node:
            given = _attributes(node) if node.op_type in ("Constant", "ConstantOfShape") else {}
            if node.op_type == "Constant" and isinstance(given.get("value"), onnx.TensorProto):
                found[node.output[0]] = _array(given["value"], where)
            elif node.op_type == "ConstantOfShape" and node.input[0] in found:
                value = _array(given["value"], where).reshape(()) if "value" in given else np.float32(0)
                shape = [int(length) for length in found[node.input[0]]]
                if min(shape, default=1) < 0 or np.prod([float(length) for length in shape]) > MOST_VALUES:
                    raise UserError(f"{where}: node {_name(node)} makes a constant of {shape}: no layer is so large.")
                found[node.output[0]] = np.full(shape, value)
    except (ValueError, TypeError, IndexError) as fault:
        raise UserError(f"{where}: damaged ({fault}). Download it again.") from None
    return found


def _array(tensor: "onnx.TensorProto", where: str) -> np.ndarray:
    import onnx

    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise UserError(f"{where}: {tensor.name} lies in another file. Save the graph with its weights in one file.")
    with damage_named(f"{where}: {tensor.name}", AGAIN):
        array = onnx.numpy_helper.to_array(tensor).copy()
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _attributes(node: "onnx.NodeProto") -> dict[str, Any]:
    import onnx

    return {given.name: onnx.helper.get_attribute_value(given) for given in node.attribute}


def _name(node: "onnx.NodeProto") -> str:
    return f"{node.name or (node.output[0] if node.output else '?')} ({node.op_type})"


def _short(value: float) -> float:
    """The shortest decimal number that is this single-precision one: 0.0001, not 9.999999747378752e-05."""
    return float(str(np.float32(value)))
