"""A graph of ONNX operators while it is built: nodes and constants, added by name or by arithmetic on `Value`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from alexnet.nets.layers import WeightedLayer
from alexnet.nets.trace import Layer

PICTURES = "pictures"
"""Input of a graph that takes pictures, and the first part of its nodes' names."""


@dataclass
class Graph:
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


@dataclass(frozen=True)
class Value:
    """A tensor of the graph. Operators and arithmetic on it add nodes; a number becomes a constant of its type `dtype`,
    an array a constant of the array's."""

    graph: Graph
    name: str
    dtype: type[np.generic] = np.float32

    def op(self, operator: str, *others: "Value | np.ndarray | float", **attributes: Any) -> "Value":
        """The output of an operator on this and others."""
        gives = f"{PICTURES}/{len(self.graph.nodes)}"
        reads = [self.name]
        for place, other in enumerate(others):
            if not isinstance(other, Value):
                array = other if isinstance(other, np.ndarray) else np.array(other, self.dtype)
                other = Value(self.graph, self.graph.constant(f"{gives}/{place}", array))
            reads.append(other.name)
        return Value(self.graph, self.graph.add(operator, reads, gives, **attributes), self.dtype)

    def float(self) -> "Value":
        return Value(self.graph, self.op("Cast", to=TensorProto.FLOAT).name)

    def __add__(self, other: "Value | np.ndarray | float") -> "Value":
        return self.op("Add", other)

    def __sub__(self, other: "Value | np.ndarray | float") -> "Value":
        return self.op("Sub", other)

    def __mul__(self, other: "Value | np.ndarray | float") -> "Value":
        return self.op("Mul", other)

    def __truediv__(self, other: "Value | np.ndarray | float") -> "Value":
        return self.op("Div", other)
