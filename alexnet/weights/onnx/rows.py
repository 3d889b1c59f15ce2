"""The rows of an ONNX graph of another tool: exactly what the graph computes, or a refusal.

Nodes whose inputs are all constants (weights, shapes, and what exporters compute from them) are evaluated. The other
nodes must form one chain of layers; the only fork allowed is response normalisation as torch's exporters write it.
B is the batch; if the graph leaves it free, B is a number that no layer has.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np
import torch
from torch import Tensor

from alexnet.errors import UserError
from alexnet.files.schema import reading_errors
from alexnet.geometry import Window
from alexnet.nets import table as tables
from alexnet.nets import table_json
from alexnet.nets.table import Activation, BatchNorm, Conv, Dense, Dropout, Norm, Pool, Row, Table, Weighted
from alexnet.nets.trace import trace, window_of
from alexnet.nets.zoo import ZOO
from alexnet.weights.common import MOST_VALUES

if TYPE_CHECKING:
    import onnx

AGAIN = "Download it again, or export it again."
METADATA = "alexnet"
"""The key of our description in a graph's metadata."""
BATCH = (1 << 31) - 1
BRANCHES = "the graph branches; only a chain of layers is supported"
FLOATS = (1, 10, 11, 16)  # FLOAT, FLOAT16, DOUBLE, BFLOAT16 of TensorProto
ACTIVATIONS: dict[str, Literal["relu", "tanh", "sigmoid"]] = {"Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid"}
Attributes = dict[str, Any]
Shape = tuple[int, ...]


# ── constants ────────────────────────────────────────────────────────────────────────────────────────────────────

COMPUTED = {
    *("Constant", "ConstantOfShape", "Identity", "Cast", "Shape", "Reshape", "Flatten", "Transpose", "Squeeze"),
    *("Unsqueeze", "Concat", "Gather", "Slice", "Equal", "Add", "Sub", "Mul"),
}
"""Operators that exporters apply to weights and shapes."""
GROWING = {"Gather", "Add", "Sub", "Mul", "Equal"}
"""Operators whose output may have as many values as the product of their inputs' sizes."""


def _computed(node: "onnx.NodeProto", inputs: Sequence[np.ndarray], opset: int) -> np.ndarray:
    """The output of a node for these inputs, by ONNX's own reference implementation; real numbers as float32."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    feeds = dict(zip((name for name in node.input if name), inputs, strict=True))
    named = [onnx.ValueInfoProto(name=name) for name in feeds]
    graph = onnx.GraphProto(node=[node], input=named, output=[onnx.ValueInfoProto(name=node.output[0])])
    (output,) = ReferenceEvaluator(graph, {"": opset}).run(None, feeds)
    found = np.asarray(output)
    return found if found.dtype.kind in "iub" else found.astype(np.float32)


# ── the chain of layers ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class _Squares:
    """The squares of a layer's maps, from which a norm is computed. `window`: how many maps before and after each."""

    name: str
    shape: Shape
    window: tuple[int, int] | None = None
    size: int = 0
    alpha: float = 1.0
    k: float | None = None
    beta: float | None = None


class Reading:
    """The rows of a graph. Raises UserError, naming the node, for what these networks do not have."""

    def __init__(self, model: "onnx.ModelProto", constants: dict[str, np.ndarray], where: str) -> None:
        self.where, self.constants = where, constants
        self.opset = max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=1)
        self.rows: list[Row] = []
        self.held: list[tuple[str, dict[str, Tensor], str]] = []  # row, its tensors, the node's name
        self.columns, self.number, self.made = 1, 0, 0
        self.squares: _Squares | None = None
        self.ended: str | None = None
        self.here, self.shape = self._input(model.graph)
        self.size = self.shape[2]
        self.shapes: dict[str, Shape] = {self.here: self.shape}
        self._walk(model.graph)
        if not any(isinstance(row, Weighted) for row in self.rows):
            raise UserError(f"{where}: it has no layer with weights.")
        self.table = self._named(self._table(model.graph))

    @property
    def weights(self) -> dict[str, Tensor]:
        return {f"{row}.{kind}": tensor for row, held, _ in self.held for kind, tensor in held.items()}

    @property
    def called(self) -> dict[str, str]:
        return {f"{row}.{kind}": f"node {node}" for row, held, node in self.held for kind in held}

    def _input(self, graph: "onnx.GraphProto") -> tuple[str, Shape]:
        """The name and shape of the pictures."""
        for given in graph.input:
            dimensions = [dimension.dim_value for dimension in given.type.tensor_type.shape.dim]
            if given.name not in self.constants and len(dimensions) == 4:
                if dimensions[1] != 3 or dimensions[2] != dimensions[3] or not 1 <= dimensions[2] <= 4096:
                    what = f"its input {given.name} is {dimensions}"
                    raise UserError(f"{self.where}: {what}; (B, 3, side, side) is needed.")
                return given.name, (dimensions[0] if dimensions[0] > 0 else BATCH, *dimensions[1:])
        raise UserError(f"{self.where}: has no input of (B, 3, side, side).")

    def _table(self, graph: "onnx.GraphProto") -> Table:
        """The rows as a table, which must give what the graph gives: (B, classes), at its end."""
        found = Table("onnx", tuple(self.rows), self.size, self.columns, "An ONNX graph.")
        for row in found.weighted[:-1]:
            if row.outputs % self.columns:
                raise UserError(f"{self.where}: {row.name}'s outputs can't be divided among {self.columns} groups.")
        found = table_json.from_json(table_json.to_json(found), self.where)
        outputs = [given.name for given in graph.output]
        if outputs != [self.here] or self.squares is not None:
            names = ", ".join(outputs[:3])
            raise UserError(f"{self.where}: its outputs are {names}; exactly one, of the last layer, is supported.")
        if self.shape[1] != found.classes or prod(self.shape[2:]) != 1 or trace(found)[-1].leaving.side != 1:
            raise UserError(f"{self.where}: its output is {self.shape[1:]}; one number for each class is needed.")
        return found

    def _walk(self, graph: "onnx.GraphProto") -> None:
        for node in graph.node:
            given, inputs = attributes(node), [name for name in node.input if name]
            unknown = {name for name in inputs if name not in self.constants}
            if node.domain not in ("", "ai.onnx"):
                self._refuse(node, f"{node.op_type} of {node.domain[:40]} is no operator that is supported")
            if node.op_type == "Shape" and inputs[0] in self.shapes:
                shape = self.shapes[inputs[0]][given.get("start", 0) : given.get("end")]
                self.constants[node.output[0]] = np.array(shape, np.int64)
            elif node.op_type == "If" and not unknown:
                taken = given["then_branch" if bool(self.constants[inputs[0]].all()) else "else_branch"]
                self._walk(taken)
                self._called(taken.output[0].name, node.output[0])
            elif not unknown:
                self._compute(node, given)
            elif self.squares is not None and self.squares.name in unknown:
                self._normalise(node, given, unknown)
            elif others := (unknown - {self.here}) & self.shapes.keys():
                self._refuse(node, f"it reads {others.pop()[:60]}: {BRANCHES}")
            elif self.here in unknown:
                self._read(node, given)

    def _called(self, name: str, other: str) -> None:
        """Another name for a value."""
        if name in self.constants:
            self.constants[other] = self.constants[name]
        elif self.squares is not None and name == self.squares.name:
            self.squares.name = other
        elif name == self.here:
            self.here = other
            self.shapes[other] = self.shape

    def _compute(self, node: "onnx.NodeProto", given: Attributes) -> None:
        """Evaluate a node of constants. The outputs of operators that are not in `COMPUTED` stay unknown."""
        if node.op_type not in COMPUTED:
            return
        inputs = [self.constants[name] for name in node.input if name]
        if node.op_type == "ConstantOfShape":
            largest = prod(float(length) for length in inputs[0])
        elif node.op_type in GROWING and len({array.shape for array in inputs}) > 1:
            largest = prod(array.size for array in inputs)
        else:
            largest = sum(array.size for array in inputs)
        if largest > MOST_VALUES:
            self._refuse(node, "makes a constant that is larger than any layer")
        if node.op_type == "Constant" and "value" in given:
            found = array_of(given["value"], self.where)
        else:
            found = _computed(node, inputs, self.opset)
        self.made += 0 if node.op_type == "Identity" else found.size
        if self.made > MOST_VALUES:
            self._refuse(node, "makes more constants than any of these networks has")
        self.constants[node.output[0]] = found

    def _read(self, node: "onnx.NodeProto", given: Attributes) -> None:
        kinds = {
            "Conv": self._conv,
            **dict.fromkeys(("Gemm", "MatMul"), self._dense),
            "Add": self._bias,
            **dict.fromkeys(("MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean"), self._pool),
            "LRN": self._norm,
            "BatchNormalization": self._batch_norm,
            **dict.fromkeys(ACTIVATIONS, self._activation),
            "Dropout": self._dropout,
            "Mul": self._scale,
            "Pow": self._square,
            **dict.fromkeys(("Identity", "Cast", "Softmax", "LogSoftmax"), self._silent),
            **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), self._shaped),
        }
        if self.squares is not None:
            self._refuse(node, BRANCHES)
        if node.op_type not in kinds:
            self._refuse(node, f"{node.op_type} is no operator that is supported")
        if self.ended is not None and node.op_type != "Identity":
            self._refuse(node, f"it reads the probabilities of {self.ended}, but a softmax must be the last node")
        kinds[node.op_type](node, given)
        if self.squares is None:
            self._called(self.here, node.output[0])

    def _refuse(self, node: "onnx.NodeProto", why: str) -> NoReturn:
        raise UserError(f"{self.where}: node {name_of(node)}: {why}.")

    def _add(self, row: Row, node: "onnx.NodeProto", **tensors: np.ndarray) -> None:
        if any(other.name == row.name for other in self.rows):
            row = replace(row, name=f"{row.name}_{len(self.rows)}")
        self.rows.append(row)
        if tensors:
            held = {kind: torch.from_numpy(np.array(values)) for kind, values in tensors.items()}
            self.held.append((row.name, held, name_of(node)))

    def _constant(self, node: "onnx.NodeProto", index: int, dimensions: int) -> np.ndarray:
        name = node.input[index] if index < len(node.input) else ""
        found = self.constants.get(name)
        if found is None or found.ndim != dimensions:
            shape = "absent" if found is None else str(found.shape)
            self._refuse(node, f"{name or f'input {index}'} is {shape}; weights of {dimensions} dimensions are needed")
        return found

    def _optional(self, node: "onnx.NodeProto", index: int) -> np.ndarray | None:
        """A constant that a node reads; None if it is left out."""
        name = node.input[index] if index < len(node.input) else ""
        return self.constants[name] if name else None

    def _number(self, node: "onnx.NodeProto") -> float:
        """The one number among the inputs of a node. Refused if there is none, or if it would add dimensions."""
        found = [self.constants[name] for name in node.input if name in self.constants]
        if len(found) != 1 or found[0].size != 1 or found[0].ndim > 2:
            self._refuse(node, f"{node.op_type} with one number is needed")
        return short(float(found[0].reshape(())))

    def _maps(self, node: "onnx.NodeProto") -> int:
        """The side of the maps that a node reads."""
        if len(self.shape) != 4:
            self._refuse(node, f"it reads {self.shape[1:]}; maps are needed")
        return self.shape[3]

    def _window(self, node: "onnx.NodeProto", given: Attributes, kernel: int, side: int) -> Window:
        """The square window of a node, the padding of SAME_UPPER and SAME_LOWER in numbers."""
        strides, auto = given.get("strides", [1, 1]), given.get("auto_pad", b"NOTSET")
        top, left, bottom, right = given.get("pads", [0, 0, 0, 0])
        if len(set(strides)) != 1 or strides[0] < 1 or top != left or bottom != right or min(top, bottom) < 0:
            self._refuse(node, "only square windows with equal strides and symmetric padding are supported")
        if set(given.get("dilations", [1])) != {1}:
            self._refuse(node, "dilated windows are not supported")
        # SAME: ceil(side / stride) outputs; an odd zero goes to the end (UPPER) or to the start (LOWER).
        if auto in (b"SAME_UPPER", b"SAME_LOWER"):
            both = max(0, (-(-side // strides[0]) - 1) * strides[0] + kernel - side)
            top, bottom = sorted((both // 2, both - both // 2), reverse=auto == b"SAME_LOWER")
        elif auto == b"VALID":
            top = bottom = 0
        elif auto != b"NOTSET":
            self._refuse(node, f"its auto_pad is {auto!r}")
        return Window(kernel, strides[0], top, bottom, "ceil" if given.get("ceil_mode", 0) else "floor")

    def _conv(self, node: "onnx.NodeProto", given: Attributes) -> None:
        weight, side = self._constant(node, 1, 4), self._maps(node)
        maps, kernel, groups = weight.shape[0], weight.shape[2], given.get("group", 1)
        if weight.shape[3] != kernel or given.get("kernel_shape", [kernel] * 2) != [kernel] * 2:
            self._refuse(node, "windows must be square")
        window = self._window(node, given, kernel, side)
        if groups > 1 and (self.columns not in (1, groups) or self.number == 0):
            self._refuse(node, f"its {groups} groups don't fit the {self.columns} columns before")
        self.columns = max(self.columns, groups)
        self.number += 1
        padding = window.before if window.before == window.after else (window.before, window.after)
        reads = "own" if groups > 1 else "all"
        row = Conv(f"conv{self.number}", maps, kernel, window.stride, padding, reads, rounding="floor")
        bias = self._constant(node, 2, 1) if len(node.input) > 2 else np.zeros(maps, np.float32)
        self._add(row, node, weight=weight, bias=bias)
        self.shape = (self.shape[0], maps, *[window.outputs(side)] * 2)

    def _dense(self, node: "onnx.NodeProto", given: Attributes) -> None:
        if given.get("transA", 0) or len(self.shape) != 2 or node.input[0] in self.constants:
            self._refuse(node, "only x·W + b with a flattened x is supported")
        weight, alpha = self._constant(node, 1, 2), given.get("alpha", 1)
        weight = weight if given.get("transB", 0) else weight.T
        weight = weight if alpha == 1 else weight * np.float32(alpha)
        bias = np.zeros((), np.float32)
        if (added := self._optional(node, 2)) is not None:
            bias = added * np.float32(given.get("beta", 1))
        self.number += 1
        bias = np.broadcast_to(bias, (1, len(weight))).reshape(-1)
        self._add(Dense(f"fc{self.number}", len(weight)), node, weight=weight, bias=bias)
        self.shape = (self.shape[0], len(weight))

    def _bias(self, node: "onnx.NodeProto", given: Attributes) -> None:  # noqa: ARG002 - all readers' form
        """One number for each map or unit, added to the output of the layer before."""
        if not self.rows or not isinstance(self.rows[-1], Weighted):
            self._refuse(node, "only a bias of the layer directly before it can be added")
        added = next(self.constants[name] for name in node.input if name in self.constants)
        shape = (1, self.shape[1], 1, 1)[: len(self.shape)]
        self.held[-1][1]["bias"] += torch.from_numpy(np.broadcast_to(added, shape).reshape(-1).astype(np.float32))

    def _pool(self, node: "onnx.NodeProto", given: Attributes) -> None:
        side, average = self._maps(node), node.op_type != "MaxPool"
        kernels = [side, side]
        if node.op_type == "ReduceMean":
            found = self._optional(node, 1)
            axes = given.get("axes", ()) if found is None else found.reshape(-1)
            if {axis % 4 for axis in axes} != {2, 3} or not given.get("keepdims", 1):
                self._refuse(node, "only a mean over height and width with keepdims is supported")
        elif node.op_type != "GlobalAveragePool":
            kernels = given.get("kernel_shape", [0])
        if len(set(kernels)) != 1 or kernels[0] < 1:
            self._refuse(node, "windows must be square")
        window = self._window(node, given, kernels[0], side)
        whole = window.outputs(side)
        if window == Window(1, rounding=window.rounding):
            return  # a pool of single units, as an adaptive pool to the size of the map
        overhang = (whole - 1) * window.stride + window.kernel - side
        if window.before or whole < 1 or (whole - 1) * window.stride >= side:
            self._refuse(node, "padding is supported only at the bottom and right, and by less than a window")
        if average and overhang > 0 and given.get("count_include_pad", 0):
            self._refuse(node, "averages that count the padding are not supported")
        # A graph pads explicitly, our rows have a rule of rounding: take the rule that gives as many outputs.
        for rounding in ("ceil", "floor"):
            kind = "average" if average else "max"
            row = Pool(f"pool{self.number}", window.kernel, window.stride, kind, rounding)
            if window_of(row).outputs(side) == whole:
                self._add(row, node)
                self.shape = (*self.shape[:2], whole, whole)
                return
        self._refuse(node, f"its padding of {window.after} is not what the last window overhangs by")

    def _norm(self, node: "onnx.NodeProto", given: Attributes) -> None:
        given = {"bias": 1, "alpha": 1e-4, "beta": 0.75} | given
        self._add_norm(node, *(short(given[name]) for name in ("bias", "alpha", "beta")), size=given["size"])

    def _add_norm(self, node: "onnx.NodeProto", k: float, alpha: float, beta: float, size: int) -> None:
        self._maps(node)
        if self.shape[1] <= size < 2 * self.shape[1] - 1:
            self._refuse(node, f"its window of {size} maps covers all {self.shape[1]} maps, but not from every map")
        if size % 2 == 0:
            self._refuse(node, f"its window of {size} maps is even, which ONNX and the 2012 code place differently")
        if k <= 0 or alpha < 0:
            self._refuse(node, f"its k is {k:g} and its alpha {alpha:g}; the denominator must be positive")
        self._add(Norm(f"norm{self.number}", k, alpha, beta, size, "mean", "all"), node)

    def _batch_norm(self, node: "onnx.NodeProto", given: Attributes) -> None:
        self._maps(node)
        if short(given.get("epsilon", 1e-5)) != 1e-5 or given.get("training_mode", 0) or not given.get("spatial", 1):
            found = given.get("epsilon", 1e-5)
            self._refuse(node, f"its epsilon is {found}; only 1e-5 is supported, in inference mode")
        kinds = ("weight", "bias", "running_mean", "running_var")
        tensors = {kind: self._constant(node, index, 1) for index, kind in enumerate(kinds, start=1)}
        self._add(BatchNorm(f"batch_norm{self.number}"), node, **tensors, num_batches_tracked=np.array(0))

    def _activation(self, node: "onnx.NodeProto", given: Attributes) -> None:  # noqa: ARG002
        self._add(Activation(f"relu{self.number}", ACTIVATIONS[node.op_type]), node)

    def _dropout(self, node: "onnx.NodeProto", given: Attributes) -> None:
        ratio, training = self._optional(node, 1), self._optional(node, 2)
        if training is not None and training.any():
            self._refuse(node, "it drops units at test too (training_mode)")
        keep = short(1 - float(given.get("ratio", 0.5) if ratio is None else ratio))
        if keep > 0:
            self._add(Dropout(f"dropout{self.number}", keep, "inverted"), node)

    def _scale(self, node: "onnx.NodeProto", given: Attributes) -> None:  # noqa: ARG002
        """Dropout of 2012 at test (times the share of units kept in training), or the squares that begin a norm."""
        if list(node.input) == [self.here] * 2:
            self._fork(node)
            return
        factor = self._number(node)
        if not 0 < factor < 1:
            self._refuse(node, "a product with one number between 0 and 1 (dropout of 2012) is needed")
        self._add(Dropout(f"dropout{self.number}", factor, "2012"), node)

    def _square(self, node: "onnx.NodeProto", given: Attributes) -> None:  # noqa: ARG002
        if node.input[0] != self.here or self._number(node) != 2:
            self._refuse(node, "Pow is supported only as the squares of a response normalisation")
        self._fork(node)

    def _silent(self, node: "onnx.NodeProto", given: Attributes) -> None:
        """Nodes without a row: outputs are logits here, and numbers have single precision."""
        if node.op_type == "Cast" and given["to"] not in FLOATS:
            self._refuse(node, "it casts activations to integers")
        if node.op_type.endswith("Softmax"):
            axis = given.get("axis", -1 if self.opset >= 13 else 1)
            if axis not in (1, 1 - len(self.shape)):
                self._refuse(node, f"it runs over axis {axis}; the classes are axis 1")
            self.ended = name_of(node)

    def _shaped(self, node: "onnx.NodeProto", given: Attributes) -> None:
        """Flattened maps, or dimensions of size 1 added or removed."""
        made = self._made_shape(node, given, self.shape)
        flat = len(made) == 2 or all(length == 1 for length in made[2:])
        if made[0] != self.shape[0] or not (made == self.shape or (flat and len(made) in (2, 4))):
            self._refuse(node, f"it makes {made[1:]} of {self.shape[1:]}; maps can only be flattened")
        self.shape = made

    def _made_shape(self, node: "onnx.NodeProto", given: Attributes, shape: Shape) -> Shape:
        """The shape that a node makes of `shape`, computed on a view of one zero, which takes no memory for any B."""
        import onnx

        inputs, opset = [self.constants[name] for name in node.input[1:] if name], self.opset
        if node.op_type == "Reshape" and not inputs:  # before opset 5 an attribute holds the shape
            node, opset = onnx.helper.make_node("Reshape", ["x", "shape"], ["y"]), 5
            inputs = [np.array(given["shape"], np.int64)]
        return _computed(node, [np.broadcast_to(np.int8(0), shape), *inputs], opset).shape

    # ── the norm that torch's exporters write as squares, an average over maps, a power and a quotient ───────────

    def _fork(self, node: "onnx.NodeProto") -> None:
        self._maps(node)
        self.squares = _Squares(node.output[0], self.shape)
        self.shapes[node.output[0]] = self.shape

    def _normalise(self, node: "onnx.NodeProto", given: Attributes, unknown: set[str]) -> None:
        """One node on the way from the squares to the quotient."""
        squares, kind = self.squares, node.op_type
        assert squares is not None
        if unknown == {squares.name, self.here} and squares.beta is not None and squares.size:
            self._quotient(node, squares)
            return
        scaled = squares.k is None
        if unknown != {squares.name}:
            self._refuse(node, BRANCHES)
        if kind in ("Identity", "Cast"):
            self._silent(node, given)
        elif kind in ("Reshape", "Squeeze", "Unsqueeze") and (squares.window is None or squares.size):
            made = self._made_shape(node, given, squares.shape)
            if made not in (self.shape, (self.shape[0], 1, *self.shape[1:])):
                what = f"it makes {made[1:]} of {squares.shape[1:]}"
                self._refuse(node, f"{what}; only a normalisation across maps is supported")
            squares.shape = made
        elif kind == "Pad" and not squares.size:
            before, after = squares.window or (0, 0)
            more = self._padded(node, given, squares)
            squares.window = (before + more[0], after + more[1])
        elif kind == "AveragePool" and not squares.size:
            squares.size = self._averaged(node, given, squares)
        elif kind == "Mul" and scaled:
            squares.alpha *= self._number(node)
        elif kind == "Div" and scaled and node.input[0] == squares.name:
            squares.alpha /= self._number(node)
        elif kind == "Add" and squares.size and squares.beta is None:
            squares.k = (squares.k or 0) + self._number(node)
        elif kind == "Pow" and squares.k is not None and squares.beta is None and node.input[0] == squares.name:
            squares.beta = self._number(node)
        elif kind == "Sqrt" and squares.k is not None and squares.beta is None:
            squares.beta = 0.5
        else:
            self._refuse(node, f"{kind} is not part of a response normalisation")
        squares.name = node.output[0]
        if squares.window is None or squares.size:
            self.shapes[squares.name] = squares.shape

    def _padded(self, node: "onnx.NodeProto", given: Attributes, squares: _Squares) -> tuple[int, int]:
        """How many maps of zeros are added before and after the maps. Refused if zeros are added anywhere else."""
        given_pads, value = self._optional(node, 1), self._optional(node, 2)
        pads = given.get("pads", ()) if given_pads is None else given_pads.reshape(-1).tolist()
        value = given.get("value", 0) if value is None else value
        zeros = given.get("mode", b"constant") == b"constant" and not np.any(value)
        across = len(pads) == 2 * len(squares.shape) == 10 and pads == [0, 0, pads[2], 0, 0, 0, 0, pads[7], 0, 0]
        if not (zeros and across) or self._optional(node, 3) is not None:
            self._refuse(node, "only zeros before the first and after the last map are supported in a normalisation")
        return pads[2], pads[7]

    def _averaged(self, node: "onnx.NodeProto", given: Attributes, squares: _Squares) -> int:
        """The number of maps that an average covers; the zeros before and after the maps must count."""
        size, *inside = given.get("kernel_shape", [0])
        pads, moved = given.get("pads", [0] * 6), set(given.get("strides", [1])) | set(given.get("dilations", [1]))
        window = squares.window or (pads[0], pads[3])
        counted = squares.window is not None or given.get("count_include_pad", 0) or window == (0, 0)
        alone = pads == ([0] * 6 if squares.window is not None else [window[0], 0, 0, window[1], 0, 0])
        plain = given.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID") and not given.get("ceil_mode", 0)
        centred = size >= 1 and window == (size // 2, (size - 1) // 2)
        if len(squares.shape) != 5 or inside != [1, 1] or moved != {1} or not (counted and alone and plain and centred):
            self._refuse(node, "only an average over neighbouring maps that counts the padding is supported")
        return size

    def _quotient(self, node: "onnx.NodeProto", squares: _Squares) -> None:
        beta = squares.beta or 0.0
        divides = node.op_type == "Div" and list(node.input) == [self.here, squares.name]
        if (not divides and not (node.op_type == "Mul" and beta < 0)) or squares.shape != self.shape:
            self._refuse(node, "a normalisation must end with its input divided by the power")
        self.squares = None
        self._add_norm(node, short(squares.k or 0), short(squares.alpha), beta if divides else -beta, squares.size)
        self._called(self.here, node.output[0])

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


def attributes(node: "onnx.NodeProto") -> Attributes:
    """A node's attributes by name."""
    import onnx

    return {given.name: onnx.helper.get_attribute_value(given) for given in node.attribute}


def name_of(node: "onnx.NodeProto") -> str:
    """What a node is called in messages: its name, or its output's, and its operator."""
    return f"{node.name or (node.output[0] if node.output else '?')} ({node.op_type})"


def short(value: float) -> float:
    """The shortest decimal number that is this single-precision one: 0.0001, not 9.999999747378752e-05."""
    return float(str(np.float32(value)))


def array_of(tensor: "onnx.TensorProto", where: str) -> np.ndarray:
    """A tensor as an array, real numbers as float32. UserError if it is damaged or stored in another file."""
    import onnx

    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise UserError(f"{where}: {tensor.name} is in another file. Save the graph with its weights in one file.")
    with reading_errors(f"{where}: {tensor.name}", AGAIN):
        array = onnx.numpy_helper.to_array(tensor)
    return np.array(array, np.float32) if tensor.data_type in FLOATS else array
