"""Graphs of others: whatever is read computes what onnxruntime computes; all else is refused, never read as another."""

import contextlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

onnx = pytest.importorskip("onnx", reason="not installed: pip install '.[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="not installed: pip install '.[onnx]'")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from alexnet.errors import UserError  # noqa: E402
from alexnet.nets.network import Network  # noqa: E402
from alexnet.weights import ImportOptions, read_weights  # noqa: E402
from alexnet.weights.common import ImportedWeights  # noqa: E402
from alexnet.weights.onnx import rows as onnx_rows  # noqa: E402

ASKED = ImportOptions(mean=torch.zeros(3), colours="rgb")


class Graph:
    """A graph in the making: the last tensor and its shape as numpy computes it, for drawing what follows."""

    def __init__(self, side: int, batch: int | str = "n", seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.side, self.batch, self.here, self.maps = side, batch, "x", 3
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []

    def held(self, array: np.ndarray) -> str:
        name = f"c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(array, name))
        return name

    def numbers(self, *shape: int) -> str:
        scale = (2 / max(1, int(np.prod(shape[1:])))) ** 0.5
        return self.held(self.random.normal(0, scale, shape).astype(np.float32))

    def whole(self, *values: int) -> str:
        return self.held(np.array(values, np.int64))

    def scalar(self, value: float) -> str:
        return self.held(np.array(value, np.float32))

    def add(self, kind: str, *more: str, reads: tuple[str, ...] | None = None, **given: Any) -> str:
        inputs = [self.here, *more] if reads is None else list(reads)
        self.here = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [self.here], name=f"{kind}{len(self.nodes)}", **given))
        return self.here

    def conv(self, maps: int, kernel: int = 3, **given: Any) -> None:
        below = self.maps // given.get("group", 1)
        self.add("Conv", self.numbers(maps, below, kernel, kernel), self.numbers(maps), **given)
        self.maps = maps

    def model(self, opset: int = 17, name: str = "g") -> Any:
        given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [self.batch, 3, self.side, self.side])
        made = helper.make_tensor_value_info(self.here, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, name, [given], [made], self.tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)

    def units(self) -> int:
        """Of what the graph gives so far, by onnxruntime."""
        return int(np.prod(run(self.model().SerializeToString(), self.side).shape[1:]))


def run(model: bytes | Path, side: int, batch: int = 2, kind: type = np.float32) -> np.ndarray:
    """What onnxruntime computes of a picture of noise."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return session.run(None, {given.name: noise(side, batch).astype(kind)})[0]


def noise(side: int, batch: int) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 2, (batch, 3, side, side)).astype(np.float32)


def read(model: Any, folder: Path) -> ImportedWeights:
    onnx.save(model, folder / "net.onnx")
    return read_weights(folder / "net.onnx", ASKED)


def agrees(found: ImportedWeights, wanted: np.ndarray, tolerance: float = 1e-3) -> bool:
    """Whether the network that was read gives the same logits, or probabilities where the graph ends in them."""
    network = Network(found.table).eval()
    network.load_state_dict(found.weights)
    with torch.inference_mode():
        logits = network(torch.from_numpy(noise(found.table.input_size, len(wanted))))
    given = logits.softmax(1) if any("Softmax" in note for note in found.notes) else logits
    largest = max(1.0, float(np.abs(wanted).max()))
    return bool(np.abs(given.numpy() - wanted.reshape(given.shape)).max() <= tolerance * largest)


# ── any graph that can be drawn ──────────────────────────────────────────────────────────────────────────────────


def stock_norm(graph: Graph, size: int, *, alpha: float = 0.01, beta: float = 0.75, k: float = 2.0) -> None:
    """torch's LocalResponseNorm as its exporters write it."""
    start = graph.here
    graph.add("Mul", reads=(start, start))
    graph.add("Unsqueeze", graph.whole(1))
    graph.add("Pad", graph.whole(0, 0, size // 2, 0, 0, 0, 0, (size - 1) // 2, 0, 0))
    graph.add("AveragePool", kernel_shape=[size, 1, 1], strides=[1, 1, 1])
    graph.add("Squeeze", graph.whole(1))
    for kind, value in (("Mul", alpha), ("Add", k), ("Pow", beta)):
        graph.add(kind, graph.scalar(value))
    graph.add("Div", reads=(start, graph.here))


def pool(random: Random) -> dict[str, Any]:
    """The attributes of a pool, many of which no network of ours has."""
    kernel = random.choice((1, 2, 2, 3, 3, 4))
    given: dict[str, Any] = {"kernel_shape": [kernel] * 2, "strides": [random.choice((1, 2, 2, 3))] * 2}
    match random.randrange(8):
        case 0:
            given["auto_pad"] = random.choice(("SAME_UPPER", "SAME_LOWER", "VALID"))
        case 1 | 2:
            given["pads"] = [0, 0, *[random.randrange(kernel)] * 2]
        case 3:
            given["pads"] = [random.randrange(kernel) for _ in range(4)]
    if "auto_pad" not in given:
        given["ceil_mode"] = random.choice((0, 0, 1))
    return given


def drawn(seed: int) -> Graph:
    """A graph of layers drawn at random."""
    random = Random(seed)
    graph = Graph(random.randrange(9, 18), random.choice((2, "n")), seed)
    graph.conv(random.choice((4, 6)), random.choice((1, 2, 3, 5)), **conv(random))
    for _ in range(random.randrange(1, 5)):
        match random.randrange(9):
            case 0:
                graph.add(random.choice(("Relu", "Tanh", "Sigmoid")))
            case 1 | 2:
                more = {"dilations": [2, 2]} if random.random() < 0.15 else {}
                graph.add("MaxPool", **pool(random), **more)
            case 3:
                graph.add("AveragePool", **pool(random), count_include_pad=random.randrange(2))
            case 4:
                graph.add("LRN", size=random.choice((3, 4, 5)), alpha=0.1, bias=random.choice((1.0, 2.0)))
            case 5:
                stock_norm(graph, random.choice((3, 4, 5)), k=random.choice((1.0, 2.0)))
            case 6:
                groups = random.choice((1, 2))
                graph.conv(random.choice((4, 8)), random.choice((1, 3)), group=groups, **conv(random))
            case 7:
                graph.add("Identity")
                graph.add("Dropout", graph.scalar(0.5))
            case 8:
                kinds = [graph.held(np.abs(graph.random.normal(1, 0.2, graph.maps)).astype(np.float32)) for _ in "abcd"]
                graph.add("BatchNormalization", *kinds)
    if random.random() < 0.3:
        graph.add(random.choice(("GlobalAveragePool", "Relu")))
    units = graph.units()
    flatten(graph, random.randrange(5), units)
    for count in (random.choice((4, 6)), 3):
        dense(graph, random.randrange(4), units, count)
        units = count
        if count != 3:
            graph.add("Relu")
    if random.random() < 0.2:
        graph.add("Softmax", axis=random.choice((1, -1)))
    return graph


def conv(random: Random) -> dict[str, Any]:
    match random.randrange(8):
        case 0:
            return {"auto_pad": random.choice(("SAME_UPPER", "SAME_LOWER", "VALID")), "strides": [2, 2]}
        case 1:
            return {"pads": [1, 1, 2, 2]}
        case 2:
            return {"dilations": [2, 2]}
        case 3:
            return {"pads": [0, 1, 1, 0]}
        case 4:
            return {"strides": [2, 2], "pads": [2, 2, 2, 2]}
        case _:
            return {}


def flatten(graph: Graph, how: int, units: int) -> None:
    start = graph.here
    if how == 0:
        graph.add("Flatten")
    elif how == 1:
        graph.add("Reshape", graph.whole(-1, units))
    elif how == 2:
        graph.add("Reshape", graph.whole(0, -1))
    elif how == 3:
        graph.add("Shape")
        graph.add("Gather", graph.whole(0), axis=0)
        shape = graph.add("Concat", graph.whole(-1), axis=0)
        graph.add("Reshape", reads=(start, shape))
    else:
        graph.add("Flatten", axis=-3)


def dense(graph: Graph, how: int, below: int, units: int) -> None:
    if how == 0:
        graph.add("Gemm", graph.numbers(units, below), graph.numbers(units), transB=1)
    elif how == 1:
        graph.add("Gemm", graph.numbers(below, units), graph.numbers(1, units), alpha=0.5, beta=2.0)
    elif how == 2:
        graph.add("MatMul", graph.numbers(below, units))
        graph.add("Add", graph.numbers(units))
    else:
        turned, flat = f"w{len(graph.nodes)}", graph.here
        graph.nodes.append(helper.make_node("Transpose", [graph.numbers(units, below)], [turned], perm=[1, 0]))
        graph.add("MatMul", reads=(flat, turned))


def read_or_refused(seeds: range, folder: Path) -> tuple[int, int]:
    """How many graphs were read, each with the outputs of onnxruntime, and how many were refused."""
    read_exactly = refused = 0
    for seed in seeds:
        try:
            graph = drawn(seed)
            wanted = run(graph.model().SerializeToString(), graph.side)
        except Exception:  # onnxruntime's own faults: there is no such graph
            continue
        if not np.isfinite(wanted).all():
            continue
        try:
            found = read(graph.model(), folder)
        except UserError as fault:
            refused += 1
            said = str(fault)
        else:
            read_exactly += 1
            said = "" if agrees(found, wanted) else "damaged: other outputs"
        assert "damaged" not in said, (seed, said)
    return read_exactly, refused


def test_any_graph_is_read_exactly_or_refused(tmp_path: Path) -> None:
    read_exactly, refused = read_or_refused(range(40), tmp_path)
    assert min(read_exactly, refused) >= 8


@pytest.mark.long
def test_many_graphs_are_read_exactly_or_refused(tmp_path: Path) -> None:
    read_exactly, refused = read_or_refused(range(40, 1500), tmp_path)
    assert min(read_exactly, refused) >= 200


# ── what must be read, what must be refused ──────────────────────────────────────────────────────────────────────


def small(change: Callable[[Graph], None], *, classes: int = 5, batch: int | str = "n") -> Graph:
    """A convolution, what is to be tested, and a layer of classes."""
    graph = Graph(16, batch)
    graph.conv(6)
    change(graph)
    units = graph.units()
    flatten(graph, 0, units)
    dense(graph, 0, units, classes)
    return graph


READ: dict[str, Callable[[Graph], None]] = {
    "overhang by pads": lambda g: g.add("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
    "overhang by ceil_mode": lambda g: g.add("AveragePool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    "SAME_UPPER that is an overhang": lambda g: g.add(
        "MaxPool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"
    ),
    "VALID": lambda g: g.add("AveragePool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="VALID"),
    "a pool of 1 × 1": lambda g: g.add("AveragePool", kernel_shape=[1, 1], count_include_pad=1),
    "a global pool": lambda g: g.add("GlobalAveragePool"),
    "a mean over both sides": lambda g: g.add("ReduceMean", axes=[-1, -2], keepdims=1),
    "LRN by its own operator": lambda g: g.add("LRN", size=5, alpha=0.1, beta=0.5, bias=2.0),
    "LRN as torch writes it": lambda g: stock_norm(g, 5, alpha=0.1),
    "LRN of one root": lambda g: stock_norm(g, 3, alpha=0.1, beta=0.5, k=1.0),
    "a strided convolution of few maps in groups": lambda g: g.conv(4, 3, group=2, strides=[2, 2]),
    "a convolution padded SAME_LOWER": lambda g: g.conv(4, 4, auto_pad="SAME_LOWER"),
    "numbers of half precision and back": lambda g: [g.add("Cast", to=10), g.add("Cast", to=1)],
    "dropout of 2012": lambda g: g.add("Mul", g.scalar(0.5)),
    "dimensions of one unit": lambda g: [g.add("GlobalAveragePool"), g.add("Squeeze", g.whole(2, 3))],
}


@pytest.mark.parametrize("what", READ)
@pytest.mark.parametrize("batch", [2, "n"])
def test_read(what: str, batch: int | str, tmp_path: Path) -> None:
    graph = small(READ[what], batch=batch)
    tolerance = 1e-2 if "half" in what else 1e-5
    assert agrees(read(graph.model(), tmp_path), run(graph.model().SerializeToString(), 16), tolerance)


def unlike_norm(change: Callable[[Graph], None]) -> Callable[[Graph], None]:
    """The squares of maps, and something that is no norm."""

    def made(graph: Graph) -> None:
        start = graph.here
        graph.add("Mul", reads=(start, start))
        change(graph)
        graph.add("Div", reads=(start, graph.here))

    return made


REFUSED: dict[str, tuple[Callable[[Graph], Any], str]] = {
    "a dilated pool": (
        lambda g: g.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2], dilations=[2, 2], pads=[0, 0, 1, 1]),
        "dilated windows are not supported",
    ),
    "SAME_UPPER at both edges": (
        lambda g: g.add("MaxPool", kernel_shape=[3, 3], auto_pad="SAME_UPPER"),
        "only at the bottom and right",
    ),
    "SAME_LOWER": (
        lambda g: g.add("MaxPool", kernel_shape=[2, 2], auto_pad="SAME_LOWER"),
        "only at the bottom and right",
    ),
    "padding counted": (
        lambda g: g.add("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1], count_include_pad=1),
        "averages that count the padding",
    ),
    "rows and columns of their own": (lambda g: g.add("MaxPool", kernel_shape=[2, 3]), "square"),
    "a window as wide as the maps": (lambda g: g.add("LRN", size=7), "covers all 6 maps"),
    "an even window of maps": (lambda g: stock_norm(g, 4), "even"),
    "maps mixed up": (lambda g: g.add("Reshape", g.whole(0, 14, 6, 14)), "only be flattened"),
    "units normalised by batch": (
        lambda g: [
            g.add("Flatten"),
            g.add("BatchNormalization", *(g.held(np.ones(g.units(), "f4")) for _ in range(4))),
        ],
        "maps are needed",
    ),
    "a transposition": (lambda g: g.add("Transpose", perm=[0, 1, 3, 2]), "Transpose is no operator"),
    "dropout at test": (
        lambda g: g.add("Dropout", g.scalar(0.5), g.held(np.array(True))),
        r"drops units at test too",
    ),
    "whole numbers": (lambda g: [g.add("Cast", to=7), g.add("Cast", to=1)], "to integers"),
    "probabilities in the middle": (lambda g: [g.add("Softmax", axis=1), g.add("Relu")], "must be the last node"),
    "Softmax over columns": (lambda g: g.add("Softmax", axis=3), "runs over axis 3"),
    "another domain": (lambda g: g.nodes.append(helper.make_node("Relu", ["t0"], ["u"], domain="x.y")), "of x.y"),
    "a shortcut": (lambda g: g.add("Add", reads=(g.here, g.add("Relu"))), "branches"),
    "squares alone": (lambda g: g.add("Mul", reads=(g.here, g.here)), "is not part of a response normalisation"),
    "squares divided by": (unlike_norm(lambda g: g.add("Add", g.scalar(1.0))), "is not part of"),
    "a norm of one map": (
        unlike_norm(lambda g: [g.add("Add", g.scalar(2.0)), g.add("Pow", g.scalar(0.5))]),
        "is not part of",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str, tmp_path: Path) -> None:
    change, message = REFUSED[what]
    graph = Graph(16)
    graph.conv(6)
    change(graph)
    graph.add("Flatten")
    graph.add("Gemm", graph.numbers(5, 6), graph.numbers(5), transB=1)
    with pytest.raises(UserError, match=rf"net\.onnx: node .*{message}"):
        read(graph.model(), tmp_path)


def test_the_outputs_must_be_the_last_layer_s(tmp_path: Path) -> None:
    graph = small(lambda g: g.add("Relu"))
    early = graph.model()
    early.graph.output[0].name = graph.nodes[1].output[0]
    with pytest.raises(UserError, match="its outputs are t1; exactly one, of the last layer, is supported"):
        read(early, tmp_path)
    both = graph.model()
    both.graph.output.append(helper.make_tensor_value_info(graph.nodes[1].output[0], TensorProto.FLOAT, None))
    with pytest.raises(UserError, match="its outputs are t3, t1"):
        read(both, tmp_path)
    maps = Graph(16)
    maps.conv(5)
    with pytest.raises(UserError, match=r"its output is \(5, 14, 14\); one number for each class is needed"):
        read(maps.model(), tmp_path)


def test_a_graph_s_name_proves_nothing(tmp_path: Path) -> None:
    found = read(small(lambda g: g.add("Relu")).model(name="alexnet"), tmp_path)
    assert found.notes == ()
    assert found.table.name == "onnx"
    found = read(small(lambda g: g.add("Softmax", axis=1) if g.here == "y" else None).model(name="../x"), tmp_path)
    assert found.table.name == "onnx"


def test_weights_that_are_nan_are_refused_by_the_node(tmp_path: Path) -> None:
    graph = small(lambda g: g.add("Relu"))
    graph.tensors[1] = numpy_helper.from_array(np.full(6, np.inf, np.float32), "c1")
    with pytest.raises(UserError, match=r"node Conv0 \(Conv\) has 6 values that are NaN, infinite"):
        read(graph.model(), tmp_path)


# ── weights in a file beside ─────────────────────────────────────────────────────────────────────────────────────


def beside(folder: Path, location: str = "net.onnx.data") -> Path:
    """A graph whose weights lie in a file beside it."""
    model = small(lambda g: g.add("Relu")).model()
    onnx.save(model, folder / "net.onnx", save_as_external_data=True, location="net.onnx.data", size_threshold=0)
    changed = onnx.load(folder / "net.onnx", load_external_data=False)
    for tensor in changed.graph.initializer:
        next(entry for entry in tensor.external_data if entry.key == "location").value = location
    onnx.save(changed, folder / "net.onnx")
    return folder / "net.onnx"


def test_weights_beside(tmp_path: Path) -> None:
    path = beside(tmp_path)
    assert agrees(read_weights(path, ASKED), run(path, 16), 1e-5)
    assert agrees(read_weights(tmp_path, ASKED), run(path, 16), 1e-5)
    data = (tmp_path / "net.onnx.data").read_bytes()
    (tmp_path / "net.onnx.data").write_bytes(data[:-8])
    with pytest.raises(UserError, match=r"net\.onnx: c3: damaged.*ends before it"):
        read_weights(path, ASKED)
    (tmp_path / "net.onnx.data").unlink()
    with pytest.raises(UserError, match=r"its weights are in net\.onnx\.data, which is missing. Put it next to"):
        read_weights(path, ASKED)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "a/b", "..", "", "a\\b"])
def test_weights_lie_nowhere_but_beside(tmp_path: Path, location: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_bytes(bytes(10_000))
    with pytest.raises(UserError, match="it must be in the graph's own folder"):
        read_weights(beside(tmp_path / "in", location), ASKED)


def test_more_weights_than_any_network_has_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = beside(tmp_path)
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].dims[:] = [1 << 20, 1 << 20]
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="larger than any of these networks"):
        read_weights(path, ASKED)
    monkeypatch.setattr(onnx_rows, "MOST_VALUES", 1 << 16)
    graph = Graph(16)
    first = graph.numbers(2, 2)
    for number in range(40):
        graph.nodes.append(helper.make_node("Concat", [first, first], [f"d{number}"], axis=0))
        first = f"d{number}"
    graph.conv(4)
    with pytest.raises(UserError, match="makes more constants than any of these"):
        read(graph.model(), tmp_path)


# ── torch's two exporters ────────────────────────────────────────────────────────────────────────────────────────


class Net(nn.Module):
    """The layers of AlexNet's family, small; `view`: its maps are made flat by their shape."""

    def __init__(self, view: bool, norm: bool) -> None:
        super().__init__()
        self.view = view
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=2, padding=2, bias=not view),
            nn.ReLU(),
            nn.LocalResponseNorm(5, 0.1, 0.75, 2.0) if norm else nn.Identity(),
            nn.MaxPool2d(3, 2, ceil_mode=view),
            nn.Conv2d(8, 12, 3, padding=1, groups=2),
            nn.Tanh(),
        )
        side = 8 if view else 7
        self.average = nn.AdaptiveAvgPool2d(side) if not view else nn.Identity()
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(12 * side**2, 10), nn.ReLU(), nn.Linear(10, 4, bias=view)
        )

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        maps = self.average(self.features(pictures))
        return self.classifier(maps.view(maps.size(0), -1) if self.view else torch.flatten(maps, 1))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("view", [False, True])
@pytest.mark.parametrize("way", ["traced", "traced, free batch", "traced, nothing folded", "dynamo"])
def test_torch_s_exporters(view: bool, way: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    options: dict[str, Any] = {"dynamo": False}
    if way == "dynamo":
        pytest.importorskip("onnxscript", reason="torch's newer exporter needs onnxscript")
        options = {"dynamo": True, "verbose": False}
    elif way == "traced, free batch" and view:
        options |= {"dynamic_axes": {"x": {0: "n"}}}
    elif way == "traced, nothing folded":
        options |= {"do_constant_folding": False, "opset_version": 11}
    norm = view or way == "dynamo"  # the older exporter can't write an adaptive pool behind a norm
    net, path = Net(view, norm).eval(), tmp_path / "net.onnx"
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        torch.onnx.export(net, (torch.zeros(1, 3, 32, 32),), path, input_names=["x"], **options)
    found = read_weights(path, ASKED)
    with torch.inference_mode():
        wanted = net(torch.from_numpy(noise(32, 2))).numpy()
    assert agrees(found, wanted, 1e-5)
    assert [type(row).__name__ for row in found.table.rows].count("Norm") == norm
