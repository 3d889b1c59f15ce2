"""Parsers of other people's weights, each with a network small enough to be read thousands of times."""

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import mutate
import numpy as np
import seeds
import torch
from bundle import laid_out, of_files, packed, unpacked
from engine import Parser, Target
from mutate import _field, _varint
from safetensors.torch import save
from seeds import in_file, npy_of, npz_of

from alexnet.nets import table
from alexnet.nets.table import trace
from alexnet.nets.weights import Asked, quantised, read_weights, shapes_of, torchvision
from alexnet.nets.weights.caffe import mean_image_in
from alexnet.nets.weights.description import KIND
from alexnet.nets.zoo import find
from alexnet.tensor_files import save_tensors

WEIGHTS = "alexnet/nets/weights/"
TOY = "toy"


def ones(shape: tuple[int, ...]) -> np.ndarray:
    return np.ones(shape, np.float32)


# ── torch, safetensors ───────────────────────────────────────────────────────────────────────────────────────────


def described(image: bool = False) -> dict[str, Any]:
    rows = table.to_json(find(TOY))
    config = {
        "network": {"table": rows, "input_size": 32, "mean": "aligned"},
        "classes": {"names": ["a", "b"], "ids": ["a", "b"], "order": "x"},
    }
    given = {"mean_image": ".mean.npy"} if image else {"mean": [1.0, 2.0, 3.0]}
    return {"kind": KIND, **config, "data": {"size": 32}, "input": {"std": [1.0, 2.0, 3.0], **given}}


def small_state() -> dict[str, torch.Tensor]:
    return {name: torch.ones(2, 3, 1, 1) if "weight" in name else torch.ones(2) for name in torchvision.CALLED.values()}


class Evil:
    def __reduce__(self) -> Any:
        import os

        return os.system, ("true",)


def pth(folder: Path) -> Target:
    def saved(value: Any, **options: Any) -> bytes:
        stream = io.BytesIO()
        torch.save(value, stream, **options)
        return stream.getvalue()

    state = dict(list(small_state().items())[:3])
    found = [
        saved(state),
        saved({"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}),
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
    return Target(found, mutate.zipped(mutate.any_bytes), in_file(folder / "a.pth", read_weights))


def safetensors_beside(folder: Path) -> Target:
    """torchvision's layout as safetensors, with our description and mean image beside it."""
    known = {"a.safetensors": save(small_state()), "a.safetensors.json": json.dumps(described()).encode()}
    image = known | {
        "a.safetensors.json": json.dumps(described(image=True)).encode(),
        "a.safetensors.mean.npy": npy_of(ones((3, 4, 4))),
    }
    changes = {".npy": mutate.npy, ".json": mutate.json_file, ".safetensors": mutate.safetensors}

    def read(data: bytes) -> object:
        laid_out(folder, unpacked(data), image)
        return read_weights(folder / "a.safetensors")

    return Target([packed(known), packed(image)], of_files(changes), read)


def own(folder: Path) -> Target:
    """A run in one file, as `alexnet export` writes it, made a run folder again."""
    from alexnet.imported import import_run

    path = folder / "a.safetensors"
    rows = find(TOY)
    rows = table.with_classes(table.with_width(rows, 0.25), 2)
    tensors = {name: torch.ones(shape) for name, shape in shapes_of(rows).items()}
    tensors |= {
        "inputs.mean_image": torch.ones(3, 32, 32),
        "inputs.eigenvalues": torch.ones(3),
        "inputs.eigenvectors": torch.ones(3, 3),
    }
    about = described() | {"missing_layers": []}
    about["network"] = {"table": table.to_json(rows), "input_size": 32, "mean": "aligned"}
    save_tensors(path, tensors, {key: about[key] for key in ("kind", "network", "classes", "data", "missing_layers")})

    def read(path: Path) -> object:
        import shutil

        shutil.rmtree(folder / "run", ignore_errors=True)
        return import_run(path, folder / "run")

    return Target([path.read_bytes()], seeds.tensors_sealed, in_file(path, read))


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
        rows = table.with_classes(table.with_width(find(net), 0.25), 2) if net == TOY else find(net)
        shapes, parts = shapes_of(rows), []
        for row in ("norm1", *(row.name for row in rows.weighted)):
            message = _field(name, 2, (last if row == "fc8" else row).encode()) + _field(bottom, 2, b"pool1")
            if row != "norm1":
                for end in ("weight", "bias"):
                    shape = tuple(min(length, 3) for length in shapes[f"{row}.{end}"])
                    message += _field(blobs, 2, blob(ones(shape), kind))
            parts.append(_field(layer, 2, message))
        return _field(1, 2, b"net") + b"".join(parts)

    found = [model(False, "new"), model(True, "old"), model(False, "double"), model(True, "old", "fc8_flickr"), b""]
    found.append(_field(2, 2, _field(1, 2, b"x")))
    mean = blob(ones((3, 4, 4)))
    known = {"a.caffemodel": found[0], "mean.binaryproto": mean}

    def read(data: bytes) -> object:
        files = unpacked(data)
        laid_out(folder, files, known)
        asked = Asked(net=TOY) if len(data) % 2 else None
        return read_weights(folder if "mean.binaryproto" in files else folder / "a.caffemodel", asked)

    seeds_ = [packed(known | {"a.caffemodel": one}) for one in found] + [packed({"a.caffemodel": one}) for one in found]
    return Target(seeds_, of_files({"a.caffemodel": mutate.message, ".binaryproto": mutate.message}), read)


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

    codebook, bias = floats(np.zeros((3, 16, 1))), floats(np.zeros((1, 96)))
    words = struct.pack("<6i", 4, 2, 11, 11, 3, 4) + bytes(4096)
    prefix = quantised.PREFIX
    known = {prefix + "ctrdLst.01.bin": codebook, prefix + "asmtLst.01.cbn": words, prefix + "biasVec.01.bin": bias}
    known |= {quantised.CLASSES: b"a\nb\n", quantised.EXACT_CONV1: npy_of(ones((2, 3, 2, 2)))}
    mean = struct.pack("<4i", 3, 3, 256, 256) + bytes(3 * 256 * 256 * 4)
    (folder / quantised.MEAN).write_bytes(mean)
    changes = {".bin": mutate.any_bytes, ".cbn": mutate.any_bytes, ".txt": mutate.text, ".npy": mutate.npy}

    def read(data: bytes) -> object:
        files = unpacked(data)
        laid_out(folder, files, known)
        return read_weights(folder)

    without = {name: data for name, data in known.items() if not name.endswith(".npy")}
    means = {quantised.MEAN: floats(np.zeros((3, 2, 2)))}
    del means
    return Target([packed(known), packed(without)], of_files(changes), read)


# ── cuda-convnet ─────────────────────────────────────────────────────────────────────────────────────────────────


def convnets(folder: Path) -> Target:
    rows, arrays = find(TOY), {}
    for layer in trace(rows):
        if layer.reads:
            name = {"fc6": "fc2048", "fc7": "fc2048b", "fc8": "fc1000"}.get(layer.row.name, layer.row.name)
            for column in range(rows.columns):
                tower = f"{name}{'ab'[column]}"
                for number, _ in enumerate(layer.reads[column]):
                    inputs = (
                        9
                        if layer.row.name.startswith("conv") and layer.row.name != "conv1"
                        else 75
                        if layer.row.name == "conv1"
                        else 4
                    )
                    arrays[f"{tower}.weights.{number}"] = ones((inputs, 2))
                arrays[f"{tower}.biases"] = ones((2,))
                if len(layer.reads[column]) > 1:
                    arrays[f"{tower}.inputs"] = np.array([f"{name}a", f"{name}b"])
    arrays["data_mean"] = ones((3 * 16,))
    found = [
        npz_of(arrays),
        npz_of({"conv1.weights.0": ones((75, 2)), "conv1.biases": ones((2,)), "data_mean": ones((5,))}),
    ]
    return Target(
        found, mutate.zipped(mutate.npy), in_file(folder / "a.npz", lambda path: read_weights(path, Asked(net=TOY)))
    )


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
    constants |= {"r": np.float32(0.5).reshape(()), "w3": ones((5, 36)), "b3": ones((5,)), "w4": ones((5, 2))}
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
    about["network"]["table"] = table.to_json(rows)
    ours = onnx.ModelProto()
    ours.ParseFromString(graph([node("Relu", ["x"], ["y"])], held))
    image = onnx.ModelProto()
    image.CopyFrom(ours)
    image.graph.initializer.append(numpy_helper.from_array(ones((3, 4, 4)), "mean_image"))
    for model, told in ((ours, about), (image, about | {"input": {"std": [1, 1, 1], "mean_image": ".mean.npy"}})):
        helper.set_model_props(model, {"alexnet": json.dumps(told)})
    found = [
        graph(chain, constants),
        graph(made, {"n": np.array([2])}),
        ours.SerializeToString(),
        image.SerializeToString(),
    ]
    asked = [Asked(mean=torch.zeros(3), colours="rgb"), Asked(mean=torch.ones(3), colours="bgr", std=torch.ones(3))]

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

    state = save(dict(list(small_state().items())[:2]))
    found = [
        tar({"x/a.safetensors": state, "x/a.safetensors.json": b"{}"}),
        tar({"a.npz": b"PK"}),
        tar({"b.pth": b"x"}, "w:gz"),
    ]
    found += [tar({"a.caffemodel": b""}, links={"../../x": "/etc/passwd"}), tar({}), tar({"a.onnx": b""}, "w:bz2")]
    return Target(found, mutate.tar, in_file(folder / "a.tar", read_weights))


WEIGHT_PARSERS = [
    Parser("weights .pth", pth, {WEIGHTS + "torchvision.py": ("state_dict_in", "plain_names", "_another_network")}),
    Parser(
        "weights .safetensors",
        safetensors_beside,
        {WEIGHTS + "torchvision.py": ("read_torchvision",), WEIGHTS + "description.py": ()},
    ),
    Parser("weights of our own", own, {WEIGHTS + "own.py": (), "alexnet/imported.py": ()}),
    Parser("weights of Caffe", caffemodels, {WEIGHTS + "caffe.py": (), WEIGHTS + "wire.py": ()}),
    Parser("mean image", mean_images, {WEIGHTS + "caffe.py": ("mean_image_in", "blob_in")}),
    Parser("weights quantised", quantised_sets, {WEIGHTS + "quantised.py": ()}),
    Parser("weights of cuda-convnet", convnets, {WEIGHTS + "convnet.py": ()}),
    Parser("weights .onnx", onnx_graphs, {WEIGHTS + "onnx_file.py": ()}),
    Parser("weights in a tar", weight_archives, {WEIGHTS + "foreign.py": ("Files", "check")}),
]
