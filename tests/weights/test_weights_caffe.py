"""A .caffemodel, made by the protobuf library from a description of the fields that caffe.proto gives them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from alexnet.errors import UserError
from alexnet.nets.network import state_dict_shapes
from alexnet.nets.table import Table
from alexnet.nets.zoo import find
from alexnet.runs.import_weights import import_run
from alexnet.weights import ImportOptions, read_weights
from alexnet.weights.caffe import blob_in, layers_of
from alexnet.weights.wire import DamagedMessage

FieldType = descriptor_pb2.FieldDescriptorProto
KINDS = {
    "float": FieldType.TYPE_FLOAT,
    "double": FieldType.TYPE_DOUBLE,
    "int32": FieldType.TYPE_INT32,
    "int64": FieldType.TYPE_INT64,
    "string": FieldType.TYPE_STRING,
}
# caffe.proto, as far as it is used: message → (field, number, type, repeated?, packed?)
CAFFE_PROTO = {
    "BlobShape": [("dim", 1, "int64", True, True)],
    "BlobProto": [
        ("num", 1, "int32", False, False),
        ("channels", 2, "int32", False, False),
        ("height", 3, "int32", False, False),
        ("width", 4, "int32", False, False),
        ("data", 5, "float", True, True),
        ("shape", 7, "BlobShape", False, False),
        ("double_data", 8, "double", True, True),
    ],
    "LayerParameter": [
        ("name", 1, "string", False, False),
        ("type", 2, "string", False, False),
        ("bottom", 3, "string", True, False),
        ("top", 4, "string", True, False),
        ("blobs", 7, "BlobProto", True, False),
    ],
    "V1LayerParameter": [
        ("bottom", 2, "string", True, False),
        ("top", 3, "string", True, False),
        ("name", 4, "string", False, False),
        ("type", 5, "int32", False, False),
        ("blobs", 6, "BlobProto", True, False),
    ],
    "NetParameter": [
        ("name", 1, "string", False, False),
        ("layers", 2, "V1LayerParameter", True, False),
        ("input", 3, "string", True, False),
        ("layer", 100, "LayerParameter", True, False),
    ],
}


def shapes_of(rows: Table) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state_dict_shapes(rows).items()}


def messages() -> dict[str, type]:
    file = descriptor_pb2.FileDescriptorProto(name="caffe_test.proto", package="caffe", syntax="proto2")
    for name, fields in CAFFE_PROTO.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated, packed in fields:
            made = message.field.add(name=field, number=number, label=3 if repeated else 1)
            made.type = KINDS.get(kind, FieldType.TYPE_MESSAGE)
            if kind not in KINDS:
                made.type_name = f".caffe.{kind}"
            made.options.packed = packed
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}")) for name in CAFFE_PROTO}


CAFFE = messages()
ORDER = ["conv1", "relu1", "norm1", "pool1", "conv2", "relu2", "norm2", "pool2", "conv3", "conv4", "conv5", "pool5"]
CLASSES = 7


def packed_data(values: np.ndarray) -> bytes:
    """Field 5 (data) as it stands in the file: a key, a length in sevens of bits, the numbers. Quicker than a list."""
    raw, sevens = values.astype("<f4").tobytes(), []
    length = len(raw)
    while length >= 128:
        sevens.append(length % 128 + 128)
        length //= 128
    return bytes([5 * 8 + 2, *sevens, length]) + raw


def caffemodel(weights: dict[str, np.ndarray], *, v1: bool, caffenet: bool, last: str = "fc8") -> bytes:
    """A net with the layers of AlexNet; weights as Caffe holds them, by our names."""
    net = CAFFE["NetParameter"](name="made")
    order = [*ORDER, "fc6", "fc7", "fc8"]
    if caffenet:
        for number in (1, 2):
            order.remove(f"norm{number}")
            order.insert(order.index(f"pool{number}") + 1, f"norm{number}")
    (net.layers if v1 else net.layer).add(name="data", top=["data", "label"])
    below = "data"
    for name in order:
        layer = (net.layers if v1 else net.layer).add(name=last if name == "fc8" else name, bottom=[below], top=[name])
        below = below if name.startswith("relu") else name
        for kind in ("weight", "bias"):
            if (values := weights.get(f"{name}.{kind}")) is not None:
                blob = layer.blobs.add()
                blob.MergeFromString(packed_data(values))
                if v1:  # always four numbers, ones in front
                    shape = [1] * (4 - values.ndim) + list(values.shape)
                    blob.num, blob.channels, blob.height, blob.width = shape
                else:
                    blob.shape.dim.extend(values.shape)
    return net.SerializeToString()


@pytest.fixture(scope="module")
def small() -> dict[str, np.ndarray]:
    """Weights of conv1–conv5 as they are, and of thin dense layers: what is read is to be the same numbers."""
    random, shapes = np.random.default_rng(0), shapes_of(find("bvlc-alexnet", classes=CLASSES))
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items() if "conv" in name}


def layers_with_fc(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    shapes = shapes_of(find("bvlc-alexnet", classes=CLASSES))
    return weights | {name: np.zeros(shape, np.float32) for name, shape in shapes.items() if name.startswith("fc")}


@pytest.mark.parametrize("v1", [True, False], ids=["V1LayerParameter", "LayerParameter"])
def test_the_numbers_come_out(small: dict[str, np.ndarray], v1: bool) -> None:
    found = {layer.name: layer for layer in layers_of(memoryview(caffemodel(small, v1=v1, caffenet=False)))}
    for name in ("conv1", "conv2", "conv3", "conv4", "conv5"):
        weight, bias = found[name].blobs
        assert np.array_equal(weight, small[f"{name}.weight"])
        assert np.array_equal(bias.reshape(-1), small[f"{name}.bias"])
    assert found["norm1"].bottoms == ("conv1",)


@pytest.fixture(scope="module")
def whole(thin_zoo: None, small: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-tuned CaffeNet in the old form: seven classes, the last layer under another name."""
    path = tmp_path_factory.mktemp("caffe") / "flickr.caffemodel"
    weights = layers_with_fc(small)
    weights["fc8.weight"][:] = np.arange(CLASSES)[:, None]
    path.write_bytes(caffemodel(weights, v1=True, caffenet=True, last="fc8_flickr"))
    return path


def test_a_run_of_a_fine_tuned_caffenet(whole: Path, small: dict[str, np.ndarray], tmp_path: Path) -> None:
    run = import_run(whole, tmp_path / "run")
    assert run.table.name == "caffenet"
    assert [row.name for row in run.table.rows[:4]] == ["conv1", "relu1", "pool1", "norm1"]
    assert run.table.classes == CLASSES
    network = run.network
    assert np.array_equal(network.get_parameter("conv1.weight").detach().numpy(), small["conv1.weight"][:, ::-1])
    assert np.array_equal(network.get_parameter("conv2.weight").detach().numpy(), small["conv2.weight"])
    assert network.get_parameter("fc8.weight")[3, 5] == 3
    assert run.inputs.mean_image[:, 0, 0].tolist() == pytest.approx([122.6789, 116.6688, 104.0070])
    assert "--mean takes the image itself" in run.config["imported"]["notes"][0]


def test_a_mean_image_in_bgr(whole: Path, tmp_path: Path) -> None:
    from alexnet.commands.import_ import mean_of

    image = np.random.default_rng(1).uniform(0, 255, (3, 256, 256)).astype(np.float32)
    np.save(tmp_path / "mean.npy", image)
    blob = CAFFE["BlobProto"](num=1, channels=3, height=256, width=256)
    blob.data.extend(image.ravel().tolist())
    (tmp_path / "mean.binaryproto").write_bytes(blob.SerializeToString())
    for name in ("mean.npy", "mean.binaryproto"):
        found = read_weights(whole, ImportOptions(mean=mean_of(str(tmp_path / name))))
        assert np.array_equal(found.mean_image.numpy(), image[::-1])


def test_real_mean_image(shared_pack, whole: Path) -> None:
    from alexnet.commands.import_ import mean_of

    file = shared_pack("alexnet-real") / "prototxt" / "ilsvrc_2012_mean.npy"
    found = read_weights(whole, ImportOptions(mean=mean_of(str(file)))).mean_image
    assert found.mean(dim=(1, 2)).tolist() == pytest.approx([122.6789, 116.6688, 104.0070], abs=1e-3)


@pytest.mark.usefixtures("thin_zoo")
def test_faults_name_the_layer_and_both_shapes(small: dict[str, np.ndarray], tmp_path: Path) -> None:
    wide = small | {"conv2.weight": np.zeros((256, 96, 5, 5), np.float32)}
    nameless = caffemodel(small, v1=False, caffenet=False).replace(b"norm1", b"mron1")
    for data, message in (
        (
            caffemodel(wide, v1=False, caffenet=False),
            r"conv2.weight \(layer conv2\) is \(256, 96, 5, 5\); bvlc-alexnet needs \(256, 48, 5, 5\)",
        ),
        (caffemodel(small, v1=False, caffenet=False), r"fc6.weight is missing; bvlc-alexnet needs \(64, 9216\)"),
        (nameless, "has no norm1: neither bvlc_alexnet nor bvlc_reference_caffenet"),
        (b"", r"empty \(0 bytes\)"),
        (b"\x12\x02\x0a\x00", "Caffe's form of 2013"),
    ):
        (tmp_path / "net.caffemodel").write_bytes(data)
        with pytest.raises(UserError, match=message):
            read_weights(tmp_path / "net.caffemodel")


def test_doubles_and_blobs_that_lie_about_their_shape() -> None:
    blob = CAFFE["BlobProto"](double_data=[1.5, 2.5])
    blob.shape.dim.extend([2, 1])
    assert blob_in(memoryview(blob.SerializeToString())).tolist() == [[1.5], [2.5]]
    for dimensions in ([2, 1 << 40], [1 << 62, 1 << 62], [-2, -1], [1] * 9):
        blob = CAFFE["BlobProto"](data=[1.5, 2.5])
        blob.shape.dim.extend(dimensions)
        with pytest.raises(DamagedMessage):
            blob_in(memoryview(blob.SerializeToString()))


SMALL_NET = caffemodel({"conv1.weight": np.ones((2, 3, 2, 2), np.float32)}, v1=True, caffenet=True)


def check_reading(data: bytes) -> None:
    """The bytes are refused, or read as layers whose values all come from them: none is made up."""
    try:
        layers = layers_of(memoryview(data))
    except DamagedMessage:
        assert data != SMALL_NET
        return
    assert layers
    blobs = [blob for layer in layers for blob in layer.blobs]
    assert all(blob.dtype == np.float32 for blob in blobs)
    assert sum(blob.nbytes for blob in blobs) < len(data)
    if data == SMALL_NET:
        assert [blob.tolist() for blob in blobs] == [np.ones((2, 3, 2, 2)).tolist()]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_damaged_bytes_are_refused_or_read_never_worse(data: st.DataObject) -> None:
    damaged = bytearray(SMALL_NET[: data.draw(st.integers(0, len(SMALL_NET)))])
    for _ in range(data.draw(st.integers(0, 4)) if damaged else 0):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    check_reading(bytes(damaged))


@given(st.binary(max_size=200))
@example(SMALL_NET)
def test_any_bytes(data: bytes) -> None:
    check_reading(data)


def test_it_is_the_same_network_as_in_torch(small: dict[str, np.ndarray]) -> None:
    """BGR in Caffe's order through plain torch, RGB through ours: conv1, ReLU, LRN over all maps, pool, conv2."""
    from torch.nn import functional as F

    from alexnet.nets.network import Network
    from alexnet.nets.table import without
    from alexnet.nets.zoo import ZOO

    table = ZOO["bvlc-alexnet"]
    short = Network(without(table, *(row.name for row in table.rows[5:]))).eval()
    tensors = {name: torch.from_numpy(values) * 0.05 for name, values in small.items()}
    short.load_state_dict(
        {
            "conv1.weight": tensors["conv1.weight"].flip(1),
            **{name: tensors[name] for name in ("conv1.bias", "conv2.weight", "conv2.bias")},
        }
    )
    rgb = torch.randn(2, 3, 227, 227) * 50
    with torch.inference_mode():
        found = short(rgb)
        x = F.relu(F.conv2d(rgb.flip(1), tensors["conv1.weight"], tensors["conv1.bias"], 4))
        x = F.max_pool2d(F.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1), 3, 2)
        wanted = F.conv2d(x, tensors["conv2.weight"], tensors["conv2.bias"], padding=2, groups=2).flatten(1)
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()
