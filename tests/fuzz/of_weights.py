"""Parsers of other people's weights, each with a network small enough to be read thousands of times."""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import mutate
import numpy as np
import seeds
import torch
from bundle import laid_out, of_files, packed, unpacked
from engine import Parser, Target
from mutate import _field, _varint
from safetensors.torch import save
from seeds import in_file, npy_of, npz_of

from alexnet.data.sources.classes import ClassList
from alexnet.files.tensors import save_tensors
from alexnet.nets import table, table_file, table_json
from alexnet.nets.network import state_dict_shapes
from alexnet.nets.table import Table
from alexnet.nets.trace import trace
from alexnet.nets.zoo import ZOO, find
from alexnet.weights import ImportOptions, quantised, read_weights, torchvision
from alexnet.weights.caffe import mean_image_in
from alexnet.weights.description import KIND

WEIGHTS = "alexnet/weights/"
TOY = "toy"
THIN = {
    name: table.with_classes(table.with_width(find(name), 0.001), 2)
    for name in ("torchvision", "bvlc-alexnet", "caffenet", "alexnet-145", TOY)
}
"""Networks of a few kilobytes under the names of those that files are read for: whole sound files are then small."""


def shapes_of(rows: Table) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state_dict_shapes(rows).items()}


def thinly(read: Callable[[Any], object]) -> Callable[[Any], object]:
    """The call, with thin networks in the zoo."""

    def taken(case: Any) -> object:
        with patch.dict(ZOO, THIN):
            return read(case)

    return taken


def ones(shape: tuple[int, ...]) -> np.ndarray:
    return np.ones(shape, np.float32)


# ── torch, safetensors ───────────────────────────────────────────────────────────────────────────────────────────


def described(image: bool = False) -> dict[str, Any]:
    rows = table_json.to_json(find(TOY))
    config = {
        "network": {"table": rows, "input_size": 32, "mean": "aligned"},
        "classes": {"names": ["a", "b"], "ids": ["a", "b"], "order": "x"},
    }
    given = {"mean_image": ".mean.npy"} if image else {"mean": [1.0, 2.0, 3.0]}
    return {"kind": KIND, **config, "data": {"size": 32}, "input": {"std": [1.0, 2.0, 3.0], **given}}


def small_state() -> dict[str, torch.Tensor]:
    """Of the thin torchvision's, under its names."""
    shapes = shapes_of(THIN["torchvision"])
    return {theirs: torch.ones(shapes[ours]) for ours, theirs in torchvision.CALLED.items()}


class Evil:
    def __reduce__(self) -> Any:
        import os

        return os.system, ("true",)


def pth(folder: Path) -> Target:
    def saved(value: Any, **options: Any) -> bytes:
        stream = io.BytesIO()
        torch.save(value, stream, **options)
        return stream.getvalue()

    whole = small_state()
    state = dict(list(whole.items())[:3])
    found = [
        saved(whole),
        saved({"state_dict": {f"module.{name}": tensor for name, tensor in whole.items()}}),
        saved({"model": {name: tensor.half() for name, tensor in whole.items()}}),
        saved(state),
        saved(whole | {"classifier.6.bias": 1}),
        saved(whole | {"features.0.weight": whole["features.0.weight"].long()}),
        saved(whole | {"x": torch.ones(1)}),
        saved([1, 2]),
    ]
    found += [
        saved(state, _use_new_zipfile_serialization=False),
        pickle.dumps(Evil()),
        saved(state["features.0.weight"]),
    ]
    evil = {
        name: zipfile.ZipFile(io.BytesIO(found[0])).read(name)
        for name in zipfile.ZipFile(io.BytesIO(found[0])).namelist()
    }
    evil[next(name for name in evil if name.endswith("data.pkl"))] = pickle.dumps(Evil())
    found.append(mutate.zip_of(evil))
    change = seeds.either(mutate.zipped(mutate.any_bytes), state_changed, 0.7)
    return Target(found, change, in_file(folder / "a.pth", thinly(read_weights)))


def state_changed(random: Random, data: bytes) -> bytes:
    """A state dict with a tensor more, less or of another shape, where one can be read."""
    try:
        found = torch.load(io.BytesIO(data), weights_only=True)
        tensors = dict(found)
        name = random.choice(list(tensors))
        kind = random.randrange(4)
        if kind == 0:
            del tensors[name]
        elif kind == 1:
            tensors[name] = tensors[name].reshape(-1)
        elif kind == 2:
            tensors[name] = tensors[name].to(random.choice((torch.int64, torch.bool, torch.float16, torch.complex64)))
        else:
            tensors[random.choice(("x", "module.", "features.1.weight", 3))] = tensors[name]
        stream = io.BytesIO()
        torch.save(tensors, stream)
        return stream.getvalue()
    except Exception:  # torch's reader has many ways to say that a file is damaged
        return mutate.any_bytes(random, data)


def safetensors_beside(folder: Path) -> Target:
    """torchvision's layout as safetensors, with our description and mean image beside it."""
    known = {"a.safetensors": save(small_state()), "a.safetensors.json": json.dumps(described()).encode()}
    image = known | {
        "a.safetensors.json": json.dumps(described(image=True)).encode(),
        "a.safetensors.mean.npy": npy_of(ones((3, 4, 4))),
    }
    changes = {".npy": mutate.npy, ".json": mutate.json_file, ".safetensors": mutate.safetensors}

    def read(data: bytes) -> object:
        laid_out(folder, unpacked(data), image | two)
        return read_weights(folder if len(data) % 5 == 0 else folder / "a.safetensors")

    two = {"b.safetensors": known["a.safetensors"]}
    alone = {"a.safetensors": known["a.safetensors"]}
    cases = [known, image, alone, alone | {"a.safetensors.json": b"{}"}]
    cases += [known | two | {"a.safetensors.json": b"[]" + b" " * more} for more in range(5)]
    return Target([packed(case) for case in cases], of_files(changes), thinly(read))


def own(folder: Path) -> Target:
    """A run in one file, as `alexnet export` writes it, made a run folder again."""
    from alexnet.runs.import_weights import import_run

    path = folder / "a.safetensors"
    kept = [row for row in THIN[TOY].rows if row.name in ("conv1", "relu1", "pool1", "dropout7", "fc8")]
    rows = replace(THIN[TOY], rows=tuple(kept), input_size=16)
    tensors = {name: torch.ones(shape) for name, shape in shapes_of(rows).items()}
    tensors |= {
        "inputs.mean_image": torch.ones(3, 16, 16),
        "inputs.eigenvalues": torch.ones(3),
        "inputs.eigenvectors": torch.ones(3, 3),
    }
    about = described() | {"missing_layers": []}
    about["network"] = {"table": table_json.to_json(rows), "input_size": 16, "mean": "aligned"}
    about["data"] = {"size": 16}

    def saved(tensors: dict[str, torch.Tensor], about: dict[str, Any]) -> bytes:
        told = ("kind", "network", "classes", "data", "missing_layers")
        save_tensors(path, tensors, {key: about[key] for key in told if key in about})
        return path.read_bytes()

    plain = {name: tensor for name, tensor in tensors.items() if "eigen" not in name}
    unnamed = {key: value for key, value in about.items() if key not in ("classes", "data", "missing_layers")}
    small = tensors | {"inputs.mean_image": torch.ones(3, 15, 15)}
    fewer = {name: tensor for name, tensor in tensors.items() if not name.startswith("fc8")}
    three = about | {"classes": {"names": list("abc"), "ids": list("abc"), "order": "x"}}
    found = [
        saved(tensors, about),
        saved(plain, unnamed),
        saved(small, about),
        saved(fewer, about | {"missing_layers": ["fc8"]}),
        saved(tensors, three),
        saved({name: tensor for name, tensor in tensors.items() if name[:6] != "inputs"}, about),
        save(tensors),
        save(tensors, {"about": "[]"}),
    ]
    path.unlink()

    listed = ClassList(("n00000002", "n00000001"), ("cat", "dog"), "words.txt", "listed")

    def read(path: Path) -> object:
        run = folder / "run"
        for file in run.iterdir() if run.is_dir() else ():
            file.unlink()
        return import_run(path, run, classes=listed if path.stat().st_size % 5 == 0 else None)

    return Target(found, seeds.tensors_sealed, in_file(path, thinly(read)))


# ── Caffe ────────────────────────────────────────────────────────────────────────────────────────────────────────


def blob(values: np.ndarray, kind: str = "new") -> bytes:
    flat = values.astype("<f8" if kind == "double" else "<f4").tobytes()
    data = _field(8 if kind == "double" else 5, 2, flat)
    if kind == "old":
        shape = (1,) * (4 - values.ndim) + values.shape
        return b"".join(_field(number, 0, length) for number, length in enumerate(shape, 1)) + data
    return _field(7, 2, _field(1, 2, b"".join(map(_varint, values.shape)))) + data


def caffemodels(folder: Path) -> Target:
    def model(v1: bool, kind: str, last: str = "fc8", net: str = TOY) -> bytes:
        name, bottom, blobs, layer = (4, 2, 6, 2) if v1 else (1, 3, 7, 100)
        rows = THIN[net]
        shapes, parts = shapes_of(rows), []
        for row in ("norm1", *(row.name for row in rows.weighted)):
            message = _field(name, 2, (last if row == "fc8" else row).encode()) + _field(bottom, 2, b"pool1")
            if row != "norm1":
                for end in ("weight", "bias"):
                    message += _field(blobs, 2, blob(ones(shapes[f"{row}.{end}"]), kind))
            parts.append(_field(layer, 2, message))
        return _field(1, 2, net.encode()) + b"".join(parts)

    nets = (TOY, "caffenet", TOY, "caffenet")
    forms = ((False, "new", "fc8"), (True, "old", "fc8"), (False, "double", "fc8"), (True, "old", "fc8_flickr"))
    found = [*(model(*form, net) for form, net in zip(forms, nets, strict=True)), b""]
    found.append(_field(2, 2, _field(1, 2, b"x")))
    mean = blob(ones((3, 4, 4)))
    known = {"a.caffemodel": found[0], "mean.binaryproto": mean}

    def read(data: bytes) -> object:
        files = unpacked(data)
        laid_out(folder, files, known)
        asked = (
            None if b"caffenet" in data else ImportOptions(net=TOY, mean=torch.ones(3) if len(data) % 3 == 0 else None)
        )
        return read_weights(folder if "mean.binaryproto" in files else folder / "a.caffemodel", asked)

    seeds_ = [packed(known | {"a.caffemodel": one}) for one in found] + [packed({"a.caffemodel": one}) for one in found]
    return Target(seeds_, of_files({"a.caffemodel": mutate.message, ".binaryproto": mutate.message}), thinly(read))


def mean_images(folder: Path) -> Target:
    found = [
        npy_of(ones((3, 4, 4))),
        npy_of(ones((1, 3, 2, 2)).astype(np.float64)),
        blob(ones((3, 4, 4))),
        blob(ones((1, 3, 2, 2)), "old"),
    ]
    change = lambda random, data: (mutate.npy if data[:1] == b"\x93" else mutate.message)(random, data)  # noqa: E731
    return Target(found, change, lambda data: mean_image_in(data, "a.npy" if data[:1] == b"\x93" else "a.binaryproto"))


def quantised_sets(folder: Path) -> Target:
    def floats(values: np.ndarray) -> bytes:
        return struct.pack(f"<{1 + values.ndim}i", values.ndim, *values.shape) + values.astype("<f4").tobytes()

    shapes = shapes_of(THIN["bvlc-alexnet"])
    below = shapes["conv2.weight"][1]

    def layer(number: int, name: str, words: tuple[int, ...], inputs: int) -> dict[str, bytes]:
        """A layer's three files, its codebook of two words."""
        packed_words = struct.pack(f"<{2 + len(words)}i", len(words), *words, 4) + bytes(quantised.BLOCK_BYTES)
        return {
            prefix + quantised.CODEBOOK.format(number): floats(np.zeros((words[-1], 2, inputs))),
            prefix + quantised.ASSIGNMENT.format(number): packed_words,
            prefix + quantised.BIAS.format(number): floats(np.zeros((1, shapes[f"{name}.bias"][0]))),
        }

    prefix = quantised.PREFIX
    maps = shapes["conv1.weight"][0]
    known = layer(1, "conv1", (maps, 11, 11, 1), 4)
    second = layer(5, "conv2", (shapes["conv2.weight"][0], 5, 5, 1), below)
    last = layer(22, "fc8", shapes["fc8.weight"], 1)
    names = {quantised.CLASSES: b"a\nb\n"}
    exact = {quantised.EXACT_CONV1: npy_of(ones(shapes["conv1.weight"]))}
    mean = struct.pack("<4i", 3, 3, 256, 256) + bytes(3 * 256 * 256 * 4)
    (folder / quantised.MEAN).write_bytes(mean)
    changes = {".bin": mutate.any_bytes, ".cbn": mutate.any_bytes, ".txt": mutate.text, ".npy": mutate.npy}
    every = known | second | last | names | exact

    def read(data: bytes) -> object:
        laid_out(folder, unpacked(data), every)
        return read_weights(folder)

    cases = [every, known, known | exact, known | last | names, known | second]
    return Target([packed(case) for case in cases], of_files(changes), thinly(read))


# ── cuda-convnet ─────────────────────────────────────────────────────────────────────────────────────────────────


def convnets(folder: Path) -> Target:
    def layer(name: str, columns: tuple[int, ...], shape: tuple[int, ...]) -> dict[str, np.ndarray]:
        """A layer of a tower, or of all: a matrix for each tower below."""
        inputs = int(np.prod(shape[1:]))
        found = {f"{name}.weights.{place}": ones((inputs // len(columns), shape[0])) for place in range(len(columns))}
        return found | {f"{name}.biases": ones((shape[0],))}

    def arrays_of(net: str, whole: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
        found, rows = {}, THIN[net]
        shapes = shapes_of(rows)
        for one in trace(rows):
            name, shape = one.row.name, shapes.get(f"{one.row.name}.weight")
            if shape is None or not one.reads:
                continue
            called = {"fc6": "fc2048", "fc7": "fc2048b", "fc8": "fc1000"}.get(name, name)
            if name == "fc8" or name in whole:
                below = tuple(sorted({column for read in one.reads for column in read}))
                found |= layer(called if name == "fc8" else name, below, shape)
            else:
                for column in range(rows.columns):
                    part = (shape[0] // rows.columns, *shape[1:])
                    found |= layer(f"{called}{'ab'[column]}", one.reads[column], part)
        return found

    found = arrays_of(TOY)
    named = found | {"fc2048a.inputs": np.array(["x_b", "x_a"]), "data_mean": ones((3 * 16,))}
    cases = [
        named,
        named | {"fc2048a.inputs": np.array(["x_b", "x_b"])},
        arrays_of(TOY, ("conv1", "conv3")) | {"data_mean": ones((3, 16)).astype(np.float64)},
        found,
        found | {"data_mean": ones((5,))},
        named | {"conv1a.weights.0": ones((74, 4))},
        named | {"fc2048a.weights.1": ones((9, 5))},
        named | {"fc2048a.biases": np.array(["x"])},
        arrays_of("alexnet-145") | {"data_mean": ones((3 * 16,)), "net145": ones((1,))},
    ]
    packed_members = [npz_of(case) for case in cases]

    def read(path: Path) -> object:
        data = path.read_bytes()
        net = None if b"net145" in data else TOY
        return read_weights(path, ImportOptions(net=net, mean=torch.ones(3) if len(data) % 7 == 0 else None))

    return Target(packed_members, mutate.zipped(mutate.npy), in_file(folder / "a.npz", thinly(read)))


# ── ONNX ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def onnx_graphs(folder: Path) -> Target:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def graph(nodes: list[Any], constants: dict[str, np.ndarray], name: str = "g") -> bytes:
        picture = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 3, 12, 12])
        out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        held = [numpy_helper.from_array(array, key) for key, array in constants.items()]
        return helper.make_model(helper.make_graph(nodes, name, [picture], [out], held)).SerializeToString()

    node = helper.make_node
    chain = [
        node("Conv", ["x", "w1", "b1"], ["a"], pads=[1, 1, 1, 1], strides=[1, 1], kernel_shape=[3, 3]),
        node("Relu", ["a"], ["b"]),
        node("LRN", ["b"], ["c"], size=5, alpha=1e-4, beta=0.75, bias=2.0),
        node("MaxPool", ["c"], ["d"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
        node("Conv", ["d", "w2"], ["e"], group=2, kernel_shape=[1, 1]),
        node("BatchNormalization", ["e", "s", "s", "s", "s"], ["f"], epsilon=1e-5),
        node("AveragePool", ["f"], ["g"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
        node("Flatten", ["g"], ["h"]),
        node("Dropout", ["h", "r"], ["i"]),
        node("Mul", ["i", "half"], ["j"]),
        node("Gemm", ["j", "w3", "b3"], ["k"], transB=1),
        node("Tanh", ["k"], ["l"]),
        node("Gemm", ["l", "w4"], ["y"]),
    ]
    constants = {
        "w1": ones((4, 3, 3, 3)),
        "b1": ones((4,)),
        "w2": ones((4, 2, 1, 1)),
        "s": ones((4,)),
        "half": np.float32(0.5).reshape(()),
    }
    constants |= {"r": np.float32(0.5).reshape(()), "w3": ones((4, 36)), "b3": ones((4,)), "w4": ones((4, 2))}
    made = [
        node("Constant", [], ["w"], value=numpy_helper.from_array(ones((2, 3, 3, 3)))),
        node("ConstantOfShape", ["n"], ["b"], value=numpy_helper.from_array(np.ones(1, np.float32))),
        node("Conv", ["x", "w", "b"], ["a"]),
        node("Sigmoid", ["a"], ["s"]),
        node("Identity", ["s"], ["y"]),
    ]
    rows = table.with_classes(table.with_width(find(TOY), 0.25), 2)
    held = {name: ones(shape) for name, shape in shapes_of(rows).items()}
    about = described()
    about["network"]["table"] = table_json.to_json(rows)
    ours = onnx.ModelProto()
    ours.ParseFromString(graph([node("Relu", ["x"], ["y"])], held))
    image = onnx.ModelProto()
    image.CopyFrom(ours)
    image.graph.initializer.append(numpy_helper.from_array(ones((3, 4, 4)), "mean_image"))
    strange = [
        [node("Conv", ["x", "w1"], ["a"], strides=[1, 2])],
        [node("Conv", ["x", "w2"], ["a"], group=2)],
        [node("Gemm", ["x", "w3"], ["a"], transA=1)],
        [node("MaxPool", ["x"], ["a"], kernel_shape=[3, 2], strides=[2, 2])],
        [node("MaxPool", ["x"], ["a"], kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 7, 7])],
        [node("AveragePool", ["x"], ["a"], kernel_shape=[2, 2], ceil_mode=1, count_include_pad=1)],
        [node("MaxPool", ["x"], ["a"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1), *made[:3]],
        [node("LRN", ["x"], ["a"], size=4)],
        [node("BatchNormalization", ["x", "s", "s", "s", "s"], ["a"], epsilon=1e-3)],
        [node("Mul", ["x", "s"], ["a"])],
        [node("Softplus", ["x"], ["a"])],
        [node("Relu", ["x"], ["a"]), node("Tanh", ["x"], ["b"])],
        [node("ConstantOfShape", ["huge"], ["b"])],
        [node("Flatten", ["x"], ["a"]), node("Gemm", ["a", "w5"], ["b"])],
    ]
    held_by_all = constants | {"huge": np.array([1 << 20, 1 << 20]), "w5": ones((3 * 144, 2))}
    odd = [graph(nodes, held_by_all) for nodes in strange]
    for dimensions in (["B", 3, 12, 11], ["B", 3]):
        one = onnx.ModelProto()
        one.ParseFromString(odd[0])
        one.graph.input.insert(0, helper.make_tensor_value_info("z", TensorProto.FLOAT, dimensions))
        odd.append(one.SerializeToString())
    away = onnx.ModelProto()
    away.ParseFromString(odd[0])
    away.graph.initializer[0].data_location = TensorProto.EXTERNAL
    odd.append(away.SerializeToString())
    for model, told in ((ours, about), (image, about | {"input": {"std": [1, 1, 1], "mean_image": ".mean.npy"}})):
        helper.set_model_props(model, {"alexnet": json.dumps(told)})
    found = [
        graph(chain, constants),
        graph(made, {"n": np.array([2])}),
        ours.SerializeToString(),
        image.SerializeToString(),
        *odd,
    ]
    asked = [
        ImportOptions(mean=torch.zeros(3), colours="rgb"),
        ImportOptions(mean=torch.ones(3), colours="bgr", std=torch.ones(3)),
    ]

    def read(path: Path) -> object:
        size = path.stat().st_size
        is_own = b"alexnet weights" in path.read_bytes()
        return read_weights(path, None if is_own or size % 7 == 0 else asked[size % 2])

    return Target(found, onnx_change, in_file(folder / "a.onnx", read))


def onnx_change(random: Random, data: bytes) -> bytes:
    """The message; or, where it has one, the description among its metadata."""
    start = data.find(b'{"kind"')
    if start < 0 or random.random() < 0.4:
        return mutate.message(random, data)
    import onnx

    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
        entry = model.metadata_props[0]
        changed = mutate.json_file(random, entry.value.encode()).decode("utf-8", "replace")
        entry.value = changed
    except Exception:  # protobuf's own kind of fault has moved from module to module
        return mutate.message(random, data)
    return model.SerializeToString()


# ── sets of files in one archive ─────────────────────────────────────────────────────────────────────────────────


def weight_archives(folder: Path) -> Target:
    from made_sources import tar

    state, about = save(small_state()), json.dumps(described()).encode()
    damaged = save(dict(list(small_state().items())[:2]))
    found = [
        tar({"x/a.safetensors": state, "x/a.safetensors.json": about}),
        tar({"a.safetensors": state}, "w:gz"),
        tar({"a.safetensors": state, "b.safetensors": b""}),
        tar({"a.safetensors": damaged, "x/a.safetensors.json": b"{}"}),
        tar({"a.safetensors": save(small_state() | {"x": torch.ones(1)})}),
        tar({"a.safetensors": state})[: len(state) // 2],
        tar({"a.npz": b"PK"}),
        tar({"b.pth": b"x"}, "w:gz"),
    ]
    large = bytearray(found[1 - 1])
    large[124:136] = b"77777777777\0"  # the member's size
    large[148:156] = b"%06o\0 " % (sum(large[:148]) + 8 * 32 + sum(large[156:512]))
    found += [bytes(large), b"of no archive"]
    found += [tar({"a.caffemodel": b""}, links={"../../x": "/etc/passwd"}), tar({}), tar({"a.onnx": b""}, "w:bz2")]
    sets = [
        {"a.safetensors": state, "a.safetensors.json": about},
        {"a.safetensors": save(small_state() | {"features.0.weight": torch.ones(1)})},
        {"a.safetensors": extra_layer(folder / "a.safetensors")},
        {quantised.PREFIX + quantised.CODEBOOK.format(1): b""},
    ]
    known = dict.fromkeys(name for one in sets for name in one)
    place = folder / "set"
    place.mkdir()
    packed_tar = seeds.either(mutate.tar, mutate.in_tar(mutate.safetensors), 0.8)
    in_set = of_files({".json": mutate.json_file, ".safetensors": mutate.safetensors})

    def change(random: Random, data: bytes) -> bytes:
        return (in_set if is_set(data) else packed_tar)(random, data)

    def read(data: bytes) -> object:
        if not is_set(data):
            return in_file(folder / "a.tar", read_weights)(data)
        laid_out(place, unpacked(data), dict.fromkeys(known, b""))
        one = place / "a.safetensors"
        return read_weights(one if one.exists() and len(data) % 2 else place)

    found += [packed(one | {"more": b" " * more}) for one in sets for more in range(2)]
    return Target(found, change, thinly(read))


def is_set(data: bytes) -> bool:
    """Whether a case is several files, not an archive."""
    return data[1:2] == b"\0"


def extra_layer(path: Path) -> bytes:
    """A file of our own with weights of a layer that its table has not."""
    rows = THIN[TOY]
    tensors = {name: torch.ones(shape) for name, shape in shapes_of(rows).items()}
    tensors |= {"inputs.mean_image": torch.ones(3, 32, 32), "fc9.weight": torch.ones(1)}
    save_tensors(path, tensors, {"network": {"table": table_json.to_json(rows)}})
    data = path.read_bytes()
    path.unlink()
    return data


FILES = tuple(f"Files.{name}" for name in ("__init__", "_found", "_members", "neighbour", "_place", "read"))
# ── tables of one's own ──────────────────────────────────────────────────────────────────────────────────────────


def own_tables(folder: Path) -> Target:
    """Networks of the zoo as TOML, text changed; a table that is taken must be written as it was read."""
    path = folder / "own.toml"

    def read(path: Path) -> object:
        found = table_file.read_table(path)
        path.write_text(table_file.to_toml(found))
        assert table_file.read_table(path) == found
        return found

    seeds_of = [table_file.to_toml(find(name)).encode() for name in ("alexnet", "alexnet-145", "cifar-11pct")]
    return Target(seeds_of, mutate.text, in_file(path, read))


WEIGHT_PARSERS = [
    Parser("weights .pth", pth, {WEIGHTS + "checkpoint.py": (), WEIGHTS + "torchvision.py": ("_another_network",)}),
    Parser(
        "weights .safetensors",
        safetensors_beside,
        {WEIGHTS + "torchvision.py": ("read_torchvision",), WEIGHTS + "description.py": ()},
    ),
    Parser("weights of our own", own, {WEIGHTS + "own.py": (), "alexnet/runs/import_weights.py": ()}),
    Parser("weights of Caffe", caffemodels, {WEIGHTS + "caffe.py": (), WEIGHTS + "wire.py": ()}),
    Parser("mean image", mean_images, {WEIGHTS + "caffe.py": ("mean_image_in", "blob_in")}),
    Parser("weights quantised", quantised_sets, {WEIGHTS + "quantised.py": ()}),
    Parser("weights of cuda-convnet", convnets, {WEIGHTS + "convnet.py": ()}),
    Parser("weights .onnx", onnx_graphs, {WEIGHTS + "onnx/read.py": (), WEIGHTS + "onnx/rows.py": ()}),
    Parser("tables .toml", own_tables, {"alexnet/nets/table_file.py": ("read_table", "_name_fault", "_order_fault")}),
    Parser("weights in a tar or folder", weight_archives, {WEIGHTS + "common.py": FILES}),
]
