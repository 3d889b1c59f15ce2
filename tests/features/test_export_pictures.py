"""ONNX graphs that take pictures of any size, and graphs in int8: beside our own resizing, `predict` and `evaluate`."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image

from alexnet import cli
from alexnet.choices import Resample
from alexnet.data.sources import open_source
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from alexnet.images.decode import to_record
from alexnet.images.resample import FILTERS
from alexnet.measure.run import Run
from alexnet.nets import table
from alexnet.nets.network import Network
from alexnet.nets.zoo import ZOO
from alexnet.runs.export import export
from alexnet.weights.onnx.graph import PICTURES, Graph
from alexnet.weights.onnx.int8 import quantised
from alexnet.weights.onnx.pictures import centre_of_pictures
from alexnet.weights.onnx.write import build_model
from tests.features.test_export import lively

Session = onnxruntime.InferenceSession
CPU = ["CPUExecutionProvider"]
SIDE = 40


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


def resizing(resample: Resample, side: int = 64) -> Session:
    """The preprocessing alone, without mean and crop: a graph from pictures to records (B, 3, S, S)."""
    graph = Graph()
    made = centre_of_pictures(graph, torch.zeros(3, side, side), side, resample)
    given = helper.make_tensor_value_info(PICTURES, TensorProto.UINT8, ["b", "h", "w", 3])
    gives = helper.make_tensor_value_info(made.name, TensorProto.FLOAT, None)
    whole = helper.make_graph(graph.nodes, "resizing", [given], [gives], graph.tensors)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return Session(model.SerializeToString(), providers=CPU)


SIZES = [(64, 64), (65, 64), (97, 143), (300, 201), (640, 480), (17, 40), (1, 1), (2, 90), (1200, 64)]


@pytest.mark.parametrize("resample", FILTERS)
def test_pictures_of_any_size_become_our_records(resample: Resample) -> None:
    """Noise, the hardest picture to resize. A value may be off by one where a sum lies between two. The box filter
    counts a pixel or not, and a distance of exactly one half is rounded to either side."""
    session = resizing(resample)
    for size in SIZES:
        picture = noise(*size)
        (found,) = session.run(None, {PICTURES: np.stack([picture, picture[::-1]])})
        for each, given in zip(found, (picture, picture[::-1]), strict=True):
            away = np.abs(each.transpose(1, 2, 0) - to_record(given, 64, resample).astype(int))
            assert resample == "box" or away.max() <= 1, size
            assert (away > 0).mean() < (0.02 if resample == "box" else 0.005), size
        if size == (64, 64):
            assert np.array_equal(found[0].transpose(1, 2, 0), picture), "records stay as they are"


# ── the trained toy ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def graph(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(run.folder, "onnx", tmp_path_factory.mktemp("graph") / "toy.onnx", preprocessing=True).path


def photographs(shared_pack: Callable[[str], Path]) -> list[Path]:
    return sorted(shared_pack("imagenet-sample").rglob("*.JPEG"))[:48]


def rgb(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_the_graph_predicts_what_predict_does(run: Run, graph: Path, store: Store, shared_pack) -> None:
    session = Session(graph, providers=CPU)
    records = store.splits["val"].read(np.arange(60))
    (found,) = session.run(["probabilities"], {PICTURES: records})
    expected = np.stack([p.probabilities for p in run.predict(list(records), views=1)])
    assert found.max() - found.min() > 0.5
    np.testing.assert_allclose(found, expected, atol=1e-4)
    files = photographs(shared_pack)
    assert len({rgb(file).shape for file in files}) > 10
    for file, prediction in zip(files, run.predict(files, views=1), strict=True):
        (found,) = session.run(["probabilities"], {PICTURES: rgb(file)[None]})
        np.testing.assert_allclose(found[0], prediction.probabilities, atol=0.01)
        names = [run.class_names[k] for k in np.argsort(-found[0], kind="stable")[:5]]
        assert names == [label.name for label in prediction.labels]


def test_probabilities_are_those_of_a_calibrated_run(run: Run) -> None:
    network = lively(Network(run.network.table, run.network.input_size))
    network.temperature = 1.7
    session = Session(build_model(network, "{}", run.mean_image).SerializeToString(), providers=CPU)
    found, logits = session.run(["probabilities", "logits"], {PICTURES: noise(3, 40, 40)})
    expected = network.probabilities(torch.from_numpy(logits)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(found - torch.from_numpy(logits).softmax(1).numpy()).max() > 0.01


def test_the_graph_says_what_it_is(run: Run, graph: Path) -> None:
    session = Session(graph, providers=CPU)
    assert [(one.name, one.shape, one.type) for one in session.get_inputs()] == [
        ("pictures", ["batch", "height", "width", 3], "tensor(uint8)")
    ]
    assert [(one.name, one.shape) for one in session.get_outputs()] == [
        ("probabilities", ["batch", 4]),
        ("logits", ["batch", 4]),
    ]
    about = session.get_modelmeta()
    assert json.loads(about.custom_metadata_map["alexnet"])["classes"]["names"] == list(run.class_names)
    assert (about.producer_name, about.graph_name) == ("alexnet", "toy")
    assert "RGB, any height and width" in about.description
    assert onnx.load(graph).producer_version == json.loads(about.custom_metadata_map["alexnet"])["alexnet"]


def test_pictures_that_do_not_fit(graph: Path, run: Run) -> None:
    session = Session(graph, providers=CPU)
    tiny = noise(9, 5)
    (found,) = session.run(["probabilities"], {PICTURES: tiny[None]})
    np.testing.assert_allclose(found[0], run.predict(tiny, views=1).probabilities, atol=0.01)
    for wrong, complaint in (
        (noise(50, 50)[None, ..., 0], "Invalid rank for input: pictures Got: 3 Expected: 4"),
        (np.zeros((1, 50, 50, 1), np.uint8), "Got: 1 Expected: 3"),
        (np.zeros((1, 50, 50, 4), np.uint8), "Got: 4 Expected: 3"),
        (noise(50, 50)[None].astype(np.float32), r"expected: \(tensor\(uint8\)\)"),
    ):
        with pytest.raises(Exception, match=complaint):
            session.run(None, {PICTURES: wrong})


def test_openvino_gives_the_same(run: Run, graph: Path, store: Store, shared_pack) -> None:
    openvino = pytest.importorskip("openvino", reason="openvino is not installed: pip install openvino")
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    records = store.splits["val"].read(np.arange(16))
    expected = np.stack([p.probabilities for p in run.predict(list(records), views=1)])
    np.testing.assert_allclose(compiled(records)["probabilities"], expected, atol=1e-4)
    for file, prediction in zip(files := photographs(shared_pack)[:8], run.predict(files, views=1), strict=True):
        found = compiled(rgb(file)[None])["probabilities"][0]
        np.testing.assert_allclose(found, prediction.probabilities, atol=0.01)


# ── int8 ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["alexnet-145", "alexnet-4col"])
def test_weights_become_int8(name: str) -> None:
    """Those of a layer whose columns read apart, too."""
    network = lively(Network(table.with_width(table.with_classes(ZOO[name], 10), 1 / 16)))
    model = build_model(network, "{}")
    pictures = np.random.default_rng(0).normal(size=(8, 3, network.input_size, network.input_size), scale=50)
    batches = np.split(pictures.astype(np.float32), 2)
    made = quantised(model, batches)
    assert [(one.domain, one.version) for one in made.opset_import] == [("", 17)]
    assert [entry.key for entry in made.metadata_props] == ["alexnet"]
    assert (made.producer_name, made.doc_string) == (model.producer_name, model.doc_string)
    kinds = {TensorProto.FLOAT: 0, TensorProto.INT8: 0}
    for one in made.graph.initializer:
        if one.data_type in kinds and len(one.dims) > 1:
            kinds[one.data_type] += np.prod(one.dims)
    floats, int8 = kinds.values()
    assert int8 == sum(weight.numel() for weight in network.parameters() if weight.ndim > 1)
    assert floats == 0
    (found,) = Session(made.SerializeToString(), providers=CPU).run(None, {"input": batches[0]})
    with torch.inference_mode():
        expected = network(torch.from_numpy(batches[0])).numpy()
    assert 0 < np.abs(found - expected).max() < 0.1 * np.abs(expected).max()


@pytest.mark.parametrize("preprocessing", [False, True])
def test_the_errors_of_int8_are_printed(run: Run, store: Store, tmp_path: Path, capsys, preprocessing: bool) -> None:
    out = tmp_path / "int8.onnx"
    arguments = ["export", str(run.path), "--to", "onnx", "--int8", str(store.path), "--out", str(out)]
    assert cli.main([*arguments, *["--preprocessing"] * preprocessing]) == 0
    shown = capsys.readouterr()
    assert shown.out.strip() == str(out)
    pattern = r"wrong on the validation pictures: (\d+) of 60 .* in fp32, (\d+) of 60 .* in int8; (\d+) answers differ"
    found = re.search(pattern, shown.err)
    assert found, shown.err
    before, after, changed = map(int, found.groups())
    assert before == run.evaluate(store, views=1).counts.top1_errors
    session = Session(out, providers=CPU)
    records = store.splits["val"].read(np.arange(60))
    view = run.inputs.crop(torch.from_numpy(records), torch.full((60, 2), 4), torch.zeros(60, dtype=torch.bool))
    name = session.get_inputs()[0].name
    (logits,) = session.run(["logits"], {name: records if preprocessing else view.numpy()})
    assert after == (logits.argmax(1) != store.splits["val"].labels).sum()
    assert abs(after - before) <= changed <= 6
    assert cli.main(["import", str(out), str(tmp_path / "back")]) == 1
    assert "its weights are int8; import one exported without --int8" in capsys.readouterr().err


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., Path]:
    def make(*classes: str, size: int = SIDE) -> Path:
        folder = tmp_path / "-".join([*classes, str(size)])
        for part in ("train", "val"):
            for name in classes:
                (folder / part / name).mkdir(parents=True)
                Image.fromarray(noise(50, 50)).save(folder / part / name / "1.png")
        return prepare(open_source(folder), folder / "store", size=size).path

    return make


def test_a_full_temporary_folder(run: Run, store: Store, tmp_path: Path, monkeypatch, capsys) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    arguments = ["export", str(run.path), "--to", "onnx", "--int8", str(store.path), "--out", str(tmp_path / "a.onnx")]
    assert cli.main(arguments) == 1
    assert re.search(r"quantising takes .* too little\. Set the environment variable TMPDIR", capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_what_int8_refuses(run: Run, store: Store, make_store, tmp_path: Path, capsys) -> None:
    begin = ["export", str(run.path), "--to", "onnx", "--out", str(tmp_path / "int8.onnx"), "--int8"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "int8.onnx").write_bytes(b"somebody's")
    for arguments, code, message in (
        ([*begin, str(tmp_path / "absent")], 1, "absent"),
        ([*begin, str(make_store("cat", "dog"))], 1, "its classes are not those of"),
        ([*begin, str(make_store("angle0", "angle1", size=48))], 1, "its pictures have 48 pixels a side"),
        ([*begin, str(store.path), "--check", str(store.path)], 2, "--check"),
        ([*begin[:3], "torchvision", "--int8", str(store.path)], 2, "--int8: torchvision can't hold it"),
        ([*begin[:-2], str(tmp_path / "mine" / "int8.onnx"), "--int8", str(store.path)], 1, "is not replaced"),
    ):
        assert cli.main(arguments) == code, arguments
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        cli.main(begin)
    assert "Missing value for argument '--int8'" in capsys.readouterr().err
    assert (tmp_path / "mine" / "int8.onnx").read_bytes() == b"somebody's"
    assert not (tmp_path / "int8.onnx").exists()
