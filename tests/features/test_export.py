"""Weights out: ONNX against onnxruntime for every network, safetensors and ONNX back bit for bit, torch.export."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper

from alexnet import cli
from alexnet.data.preprocessing import Preprocessing
from alexnet.errors import UserError
from alexnet.files.tensors import load_tensors
from alexnet.nets import table, table_json
from alexnet.nets.network import Network, build
from alexnet.nets.zoo import ZOO, find
from alexnet.runs.export import compare_onnx, export
from alexnet.runs.folder import RunFolder
from alexnet.runs.import_weights import import_run
from alexnet.weights import ImportOptions, read_weights
from alexnet.weights.onnx.rows import signature
from alexnet.weights.onnx.write import build_model
from alexnet.weights.torch_export import FromRecords

SIDE = 40


def lively(network: Network, seed: int = 0) -> Network:
    """Weights whose signal lives up to the last layer, so that a wrong row shows."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2, generator=generator)
        elif name.endswith("weight") and tensor.ndim > 1:
            inputs = tensor[0].numel() if tensor.ndim != 3 else tensor.shape[2]
            tensor.normal_(0, (1.5 / inputs) ** 0.5, generator=generator)
        elif tensor.dtype.is_floating_point:
            tensor.normal_(0.1, 0.1, generator=generator)
    return network.eval()


def made_run(path: Path, name: str, *, width: float = 1.0, side: int = SIDE, uniform: bool = False) -> RunFolder:
    network = lively(build(name, classes=12, width=width))
    random = torch.Generator().manual_seed(1)
    image = torch.rand(3, side, side, generator=random) * 255
    image = image[:, :1, :1].expand(3, side, side).contiguous() if uniform else image
    names = [f"thing {number}" for number in range(12)]
    config = {
        "network": {"table": table_json.to_json(network.table), "input_size": network.input_size, "mean": "aligned"},
        "classes": {"names": names, "ids": names, "order": "as listed"},
        "data": {"size": side, "path": "/somebody/at/home"},
        "options": {"store": "/somebody/at/home"},
        "finished": True,
    }
    statistics = torch.tensor([3.0, 2.0, 1.0]), torch.eye(3)
    run = RunFolder.create(path, config, Preprocessing(image, network.input_size, "aligned", *statistics))
    run.save_model(network.state_dict())
    return run


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return made_run(tmp_path_factory.mktemp("toy") / "run", "toy")


def noise(count: int, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


# ── ONNX ─────────────────────────────────────────────────────────────────────────────────────────────────────────

EVERY_KIND = (
    *("toy", "alexnet-145", "alexnet-4col", "alexnet-nocomm", "alexnet-tanh", "alexnet-pad12", "alexnet-bn"),
    *("torchvision", "caffenet", "zfnet", "cifar-18pct", "cifar-13pct-norm"),
)


def agrees(name: str) -> None:
    """A thinned network of the zoo through onnxruntime and through PyTorch."""
    small = table.with_width(table.with_classes(ZOO[name], 10), 1 / 16)
    network = lively(Network(small))
    session = onnxruntime.InferenceSession(
        build_model(network, "{}").SerializeToString(), providers=["CPUExecutionProvider"]
    )
    pictures = torch.randn(2, 3, network.input_size, network.input_size) * 50
    (found,) = session.run(None, {"input": pictures.numpy()})
    with torch.inference_mode():
        wanted = network(pictures).numpy()
    assert np.abs(wanted).max() > 0.01
    assert np.abs(found - wanted).max() <= 1e-4 * max(1, np.abs(wanted).max())


@pytest.mark.parametrize("name", EVERY_KIND)
def test_every_kind_of_row_as_onnx(name: str) -> None:
    agrees(name)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in ZOO if name not in EVERY_KIND])
def test_every_network_as_onnx(name: str) -> None:
    agrees(name)


@pytest.mark.parametrize("preprocessing", [False, True])
def test_onnx_on_64_pictures_and_back(toy: RunFolder, tmp_path: Path, preprocessing: bool) -> None:
    made = export(toy, "onnx", tmp_path / "toy.onnx", preprocessing=preprocessing)
    found = compare_onnx(toy, made.path, noise(64), batch=24)  # 24, 24, 16: the batch is free
    assert found.largest > 0.5
    assert found.agrees
    assert found.pictures == 64
    model = onnx.load(made.path)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("LRN") == 4, "two norms, two columns each"
    assert model.graph.input[0].type.tensor_type.elem_type == (2 if preprocessing else 1)  # uint8, float
    back = import_run(made.path, tmp_path / "back")
    same_run(toy, back)


def same_run(ours: RunFolder, theirs: RunFolder) -> None:
    first, second = (load_tensors(run.path / "model.safetensors")[0] for run in (ours, theirs))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(ours.inputs.mean_image, theirs.inputs.mean_image)
    assert ours.table == theirs.table
    assert ours.config["classes"] == theirs.config["classes"]
    assert "path" not in theirs.config["data"]


def test_a_comparison_that_can_fail(toy: RunFolder, tmp_path: Path) -> None:
    made = export(toy, "onnx", tmp_path / "toy.onnx", preprocessing=True)
    model = onnx.load(made.path)
    norm = next(node for node in model.graph.node if node.op_type == "LRN")
    next(given for given in norm.attribute if given.name == "alpha").f /= 5  # the other convention
    onnx.save(model, made.path)
    assert not compare_onnx(toy, made.path, noise(8)).agrees


@pytest.mark.parametrize("name", ["bvlc-alexnet", "caffenet", "torchvision", "alexnet-no-norm", "zfnet", "alexnet-bn"])
def test_the_structure_alone_tells_the_network(name: str, tmp_path: Path) -> None:
    """Our graphs as a stranger's, without metadata: the rows are found again, the weights in their places."""
    small = table.with_width(table.with_classes(ZOO[name], 10), 1 / 16)
    network = lively(Network(small))
    model = build_model(network, "{}")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(UserError, match="does not say which mean is subtracted from its inputs, nor their colours"):
        read_weights(tmp_path / "net.onnx")
    asked = ImportOptions(mean=torch.zeros(3), colours="bgr", std=torch.tensor([2.0, 4.0, 8.0]))
    found = read_weights(tmp_path / "net.onnx", asked)
    assert signature(found.table) == signature(small)
    again = Network(found.table).eval()
    again.load_state_dict(found.weights)
    pictures = torch.randn(2, 3, network.input_size, network.input_size)
    with torch.inference_mode():
        scaled = (pictures / asked.std[:, None, None]).flip(1) if asked.std is not None else pictures
        assert torch.allclose(again(pictures), network(scaled), rtol=1e-4, atol=1e-4)


def test_a_network_of_the_zoo_is_known_by_its_structure(tmp_path: Path) -> None:
    network = lively(Network(find("zfnet-no-fc67", classes=3)))
    model = build_model(network, "{}")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "net.onnx")
    found = read_weights(tmp_path / "net.onnx", ImportOptions(mean=torch.zeros(3), colours="rgb"))
    assert (found.table.name, found.table.classes) == ("zfnet-no-fc67", 3)
    assert found.notes == ("the graph is the network zfnet-no-fc67",)


# ── other people's graphs ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["light_bvlc_alexnet", "light_zfnet512"])
def test_light_models_give_their_expected_outputs(shared_pack, name: str) -> None:
    folder = shared_pack("alexnet-real") / "onnx_light"
    network = network_in(folder / f"{name}.onnx")
    expected = onnx.TensorProto()
    expected.ParseFromString((folder / f"{name}_output_0.pb").read_bytes())
    count = 3 * 224 * 224
    picture = torch.arange(count).reshape(1, 3, 224, 224) / count  # what the onnx project feeds them
    with torch.inference_mode():
        found = network(picture).softmax(dim=1).numpy()
    assert np.abs(found - numpy_helper.to_array(expected)).max() <= 1e-6


@pytest.mark.parametrize("name", ["light_bvlc_alexnet", "light_zfnet512"])
def test_light_graphs_with_lively_weights(shared_pack, tmp_path: Path, name: str) -> None:
    """Their weights are all 0.02, which would hide a transposed one: the same graphs with random ones.

    The two long layers, of 4096 units, have 256 here.
    """
    model = onnx.load(shared_pack("alexnet-real") / "onnx_light" / f"{name}.onnx")
    random = np.random.default_rng(0)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in list(model.graph.node):
        if node.op_type == "ConstantOfShape":
            shape = [256 if length == 4096 else int(length) for length in shapes[node.input[0]]]
            deviation = (2 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1
            values = random.standard_normal(shape, np.float32) * np.float32(deviation)
            model.graph.node.remove(node)
            model.graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
    onnx.save(model, tmp_path / "net.onnx")
    network = network_in(tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    pictures = random.normal(size=(1, 3, 224, 224), scale=50).astype(np.float32)
    (found,) = session.run(None, {model.graph.input[0].name: pictures})
    with torch.inference_mode():
        wanted = network(torch.from_numpy(pictures)).softmax(dim=1).numpy()
    assert wanted.max() > 0.005
    assert np.abs(found - wanted).max() <= 1e-5


def network_in(path: Path) -> Network:
    foreign = read_weights(path, ImportOptions(mean=torch.zeros(3), colours="rgb"))
    network = Network(foreign.table)
    network.load_state_dict(foreign.weights)
    return network.eval()


def chain(*nodes: onnx.NodeProto, **constants: np.ndarray) -> onnx.ModelProto:
    """A graph of these nodes on a picture of 16 × 16."""
    given = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 16, 16])
    made = helper.make_tensor_value_info(nodes[-1].output[0], onnx.TensorProto.FLOAT, None)
    held = [numpy_helper.from_array(values.astype(np.float32), name) for name, values in constants.items()]
    return helper.make_model(helper.make_graph(list(nodes), "made", [given], [made], held))


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([helper.make_node("Elu", ["x"], ["y"])], r"node y \(Elu\): Elu is no operator that is supported"),
        ([helper.make_node("Conv", ["x", "v"], ["y"])], r"v is \(4,\); weights of 4 dimensions"),
        ([helper.make_node("Conv", ["x", "absent"], ["y"])], "absent is absent; weights of 4 dimensions"),
        ([helper.make_node("Conv", ["x", "w"], ["y"], dilations=[2, 2])], "dilated windows are not supported"),
        ([helper.make_node("LRN", ["x"], ["y"], size=2)], "its window of 2 maps is even"),
        (
            [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])],
            "at the bottom and right",
        ),
        (
            [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Tanh", ["x"], ["z"])],
            "the graph branches; only a chain of layers is supported",
        ),
        ([helper.make_node("Relu", ["x"], ["y"])], "no layer with weights"),
    ],
)
def test_graphs_that_are_no_network_of_ours(nodes: list[onnx.NodeProto], message: str, tmp_path: Path) -> None:
    onnx.save(chain(*nodes, w=np.zeros((4, 3, 3, 3)), v=np.zeros(4)), tmp_path / "net.onnx")
    with pytest.raises(UserError, match=message):
        network_in(tmp_path / "net.onnx")


def test_hostile_graphs(tmp_path: Path) -> None:
    huge = chain(helper.make_node("ConstantOfShape", ["shape"], ["w"]), helper.make_node("Conv", ["x", "w"], ["y"]))
    huge.graph.initializer.append(numpy_helper.from_array(np.full(4, 1 << 40), "shape"))
    elsewhere = chain(helper.make_node("Conv", ["x", "w"], ["y"]), w=np.zeros((4, 3, 3, 3)))
    elsewhere.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    cut = chain(helper.make_node("Conv", ["x", "w"], ["y"]), w=np.zeros((4, 3, 3, 3)))
    cut.graph.initializer[0].raw_data = b"12"
    for model, message in (
        (huge.SerializeToString(), "larger than any layer"),
        (elsewhere.SerializeToString(), "w is stored in ''; it must be in the graph's own folder"),
        (cut.SerializeToString(), "damaged"),
        (b"\xff" * 50, "damaged, or no ONNX file"),
        (b"", "empty"),
    ):
        (tmp_path / "net.onnx").write_bytes(model)
        with pytest.raises(UserError, match=message):
            network_in(tmp_path / "net.onnx")


# ── the other forms ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["toy", "cifar-13pct"])
def test_safetensors_and_back_bit_for_bit(tmp_path: Path, name: str) -> None:
    run = made_run(tmp_path / "run", name)
    made = export(run, "safetensors", tmp_path / "one.safetensors")
    back = import_run(made.path, tmp_path / "back")
    same_run(run, back)
    assert back.inputs.eigenvalues is not None
    assert torch.equal(back.inputs.eigenvalues, torch.tensor([3.0, 2.0, 1.0]))
    damaged = bytearray(made.path.read_bytes())
    damaged[-100] ^= 1
    made.path.write_bytes(damaged)
    with pytest.raises(UserError, match="checksum does not match"):
        import_run(made.path, tmp_path / "other")


@pytest.mark.parametrize("preprocessing", [False, True])
def test_torch_export(toy: RunFolder, tmp_path: Path, preprocessing: bool) -> None:
    made = export(toy, "torch-export", tmp_path / "toy.pt2", preprocessing=preprocessing)
    program = torch.export.load(made.path).module()
    pictures = torch.from_numpy(noise(5))
    floats = torch.randn(5, 3, 32, 32) * 50
    with torch.inference_mode():
        wanted = FromRecords(toy.network, toy.inputs.mean_image)(pictures) if preprocessing else toy.network(floats)
        found = program(pictures if preprocessing else floats)
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    with pytest.raises(UserError, match=r"toy\.pt2: a program of torch\.export"):
        read_weights(made.path)


def test_what_lies_beside(toy: RunFolder, tmp_path: Path) -> None:
    export(toy, "onnx", tmp_path / "toy.onnx")
    described = json.loads((tmp_path / "toy.onnx.json").read_text())
    assert described["input"] == {
        "record": SIDE,
        "crop": 32,
        "colours": "rgb",
        "scale": [0, 255],
        "preprocessing": False,
        "mean_image": ".mean.npy",
        "std": [1.0, 1.0, 1.0],
    }
    assert np.array_equal(np.load(tmp_path / "toy.onnx.mean.npy"), toy.inputs.mean_image.numpy())
    assert "/somebody" not in json.dumps(described), "no paths of the one who trained"
    (tmp_path / "toy.onnx.mean.npy").unlink()
    with pytest.raises(UserError, match=r"toy.onnx.mean.npy is missing next to it"):
        import_run(tmp_path / "toy.onnx", tmp_path / "back")


@pytest.mark.parametrize("form", ["onnx", "torch-export"])
def test_a_model_with_its_preprocessing_has_class_names_beside_it(toy: RunFolder, tmp_path: Path, form) -> None:
    """And names no file that is not there."""
    made = export(toy, form, preprocessing=True, out=tmp_path / ("toy.onnx" if form == "onnx" else "toy.pt2"))
    described = json.loads(made.path.with_name(f"{made.path.name}.json").read_text())
    assert described["classes"]["names"] == list(toy.class_names)
    assert described["input"]["preprocessing"] is True
    assert "mean_image" not in described["input"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [made.path.name, f"{made.path.name}.json"]
    if form == "onnx":
        [entry] = onnx.load(made.path).metadata_props
        assert json.loads(entry.value) == described
        same_run(toy, import_run(made.path, tmp_path / "back"))


def test_a_network_without_a_form_is_refused_by_name(toy: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"toy is not torchvision's alexnet: they differ at conv1"):
        export(toy, "torchvision", tmp_path / "toy.pth")
    nothing = Network(table.change(ZOO["toy"], table.Norm, k=0.0))
    with pytest.raises(UserError, match=r"toy can't be exported to ONNX: norm1 has k = 0"):
        build_model(nothing, "{}")


def test_the_verb(toy: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "toy.onnx"
    assert cli.main(["export", str(toy.path), "--to", "onnx", "--out", str(out), "--preprocessing"]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(out)
    assert "onnxruntime agrees with PyTorch on 64 pictures" in said.err
    assert cli.main(["import", str(out), str(tmp_path / "back")]) == 0
    same_run(toy, RunFolder.open(tmp_path / "back"))
    assert cli.main(["export", str(toy.path), "--to", "torchvision", "--preprocessing"]) == 2
    assert cli.main(["import", str(out), str(tmp_path / "more"), "--mean", "1,2"]) == 2


@pytest.mark.long
def test_full_size_on_64_real_pictures(shared_pack, tmp_path: Path) -> None:
    """[A] at full size, live weights, 64 photographs of ImageNet."""
    run = made_run(tmp_path / "run", "alexnet", side=256)
    files = (
        sorted((shared_pack("imagenet-sample")).rglob("*.JPEG"))[:64]
        or sorted(shared_pack("imagenet-sample").rglob("*.jp*g"))[:64]
    )
    from PIL import Image

    records = np.stack([np.array(Image.open(file).convert("RGB").resize((256, 256))) for file in files])
    made = export(run, "onnx", tmp_path / "alexnet.onnx", preprocessing=True)
    found = compare_onnx(run, made.path, records)
    print(found)
    assert found.pictures == 64
    assert found.agrees
