"""Files of weights as people save them: containers, prefixes, averages, kinds of numbers; and what is no such file."""

import argparse
import io
import json
import tarfile
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path, PosixPath
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from alexnet import cli
from alexnet.errors import UserError
from alexnet.nets import table
from alexnet.nets.network import state_dict_shapes
from alexnet.nets.table import Table
from alexnet.nets.zoo import ZOO, find
from alexnet.runs.import_weights import import_run
from alexnet.weights import read_weights
from alexnet.weights.common import ImportedWeights
from alexnet.weights.torchvision import CALLED

THIN = table.with_classes(table.with_width(find("torchvision"), 0.02), 3)


def shapes_of(rows: Table) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state_dict_shapes(rows).items()}


@pytest.fixture(autouse=True)
def thin() -> Iterator[None]:
    """torchvision's network, made thin, so that a file of it is small."""
    with patch.dict(ZOO, {"torchvision": THIN}):
        yield


def network(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {CALLED[name]: torch.randn(shape, generator=generator) for name, shape in shapes_of(THIN).items()}


PLAIN = network()


def named(*prefix: str) -> dict[str, Tensor]:
    return {"".join(prefix) + name: tensor for name, tensor in PLAIN.items()}


def read(path: Path, saved: Any, name: str = "a.pth", **options: Any) -> ImportedWeights:
    torch.save(saved, path / name, **options)
    return read_weights(path / name)


def same(found: ImportedWeights, wanted: dict[str, Tensor] = PLAIN) -> bool:
    """Whether the weights came out (conv1's are divided by the inputs' deviation)."""
    names = [name for name in CALLED if name != "conv1.weight"]
    return all(torch.equal(found.weights[name], wanted[CALLED[name]].float()) for name in names)


# ── containers and names ─────────────────────────────────────────────────────────────────────────────────────────

BY_PREFIX = ("module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "net.", "backbone.")
SUFFIXES = ("a.pth", "a.pt", "a.pth.tar", "a.tar", "a.ckpt", "a.bin", "a.pkl", "a", "a.weights", "a.onnx")


@pytest.mark.parametrize("name", SUFFIXES)
def test_the_suffix_does_not_matter(tmp_path: Path, name: str) -> None:
    assert same(read(tmp_path, PLAIN, name))
    save_file(PLAIN, tmp_path / name)
    assert same(read_weights(tmp_path / name))


@pytest.mark.parametrize("prefix", [*BY_PREFIX, "encoder.", "student.", "model.module.net.", "module.model._orig_mod."])
def test_prefixes_in_any_nesting(tmp_path: Path, prefix: str) -> None:
    assert same(read(tmp_path, named(prefix)))
    assert same(read(tmp_path, {"epoch": 3, "state_dict": named(prefix)}))


def test_a_wrapped_part_of_the_network(tmp_path: Path) -> None:
    """PyTorch's ImageNet example wraps AlexNet's features alone in DataParallel."""
    assert same(read(tmp_path, {name.replace("features.", "features.module."): one for name, one in PLAIN.items()}))
    assert same(read(tmp_path, {name.replace("features.", "features._orig_mod."): one for name, one in PLAIN.items()}))


KEYS = ("state_dict", "model_state_dict", "net", "model", "network", "weights", "params", "ema", "model_ema", "module")


@pytest.mark.parametrize("key", KEYS)
def test_under_any_key(tmp_path: Path, key: str) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(2))], 0.1, momentum=0.9).state_dict()
    found = read(tmp_path, {key: PLAIN, "epoch": 3, "optimizer": optimizer})
    assert same(found)
    assert any("optimizer" in note and "not read" in note for note in found.notes)
    assert same(read(tmp_path, {"checkpoint": {key: OrderedDict(PLAIN)}}))


class AttributeDict(dict):  # what Lightning keeps its hyperparameters in
    pass


def test_options_and_results_of_any_class_beside_the_weights(tmp_path: Path) -> None:
    """None of their classes is imported or run; the weights are read."""
    args = argparse.Namespace(lr=0.1, out=PosixPath("runs"), sizes={"a": (1, 2)})
    lightning = {
        "state_dict": named("model.")
        | {"loss_fn.weight": torch.ones(3), "train_acc.num_batches_tracked": torch.ones(1)},
        "hyper_parameters": AttributeDict(lr=0.1),
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.5), "dirpath": "."}},
        "optimizer_states": [{"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": []}],
        "history": defaultdict(list, loss=[np.float64(0.3)]),
    }
    assert same(read(tmp_path, {"model": PLAIN, "args": args, "best_acc1": np.float64(56.5), "epoch": 90}))
    assert same(read(tmp_path, lightning, "last.ckpt"))
    assert same(read(tmp_path, {"model": PLAIN, "args": args}, _use_new_zipfile_serialization=False))


def test_counters_are_left_out_and_other_layers_refused(tmp_path: Path) -> None:
    counters = {"total_ops": torch.zeros(1), "features.0.total_params": torch.zeros(1), "n_averaged": torch.tensor(4)}
    assert same(read(tmp_path, PLAIN | counters))
    for name in ("features.20.weight", "attention.weight", "normalize.mean", "features.0.weight_mask"):
        with pytest.raises(UserError, match=f"not torchvision's alexnet: it holds {name}"):
            read(tmp_path, PLAIN | {name: torch.ones(1)})


def test_of_a_network_and_its_average_the_average_is_taken_and_said(tmp_path: Path) -> None:
    average = network(1)
    for raw, key in (("model", "model_ema"), ("state_dict", "state_dict_ema"), ("net", "ema"), ("model", "swa_model")):
        found = read(tmp_path, {raw: PLAIN, key: {f"module.{name}": one for name, one in average.items()}})
        assert same(found, average)
        assert found.notes == (f"weights: {key}, an average (EMA)", f"not read: {raw}")
    beside = named("model.") | {f"ema_model.{name}": one for name, one in average.items()}
    assert same(read(tmp_path, {"state_dict": beside}), average)


def test_two_networks_are_refused_by_their_names(tmp_path: Path) -> None:
    other = {f"teacher.{name}": one for name, one in network(1).items()}
    with pytest.raises(UserError, match=r"several networks: student and teacher\. Save the state dict of the one"):
        read(tmp_path, named("student.") | other)
    with pytest.raises(UserError, match="several networks: best and last"):
        read(tmp_path, {"best": PLAIN, "last": network(2)})
    assert same(read(tmp_path, {"best": PLAIN, "last": {name: one.clone() for name, one in PLAIN.items()}}))


def test_a_pickled_model_is_refused_with_the_remedy(tmp_path: Path) -> None:
    for saved in (nn.Sequential(nn.Linear(2, 2)), {"epoch": 1, "model": nn.Sequential(nn.Linear(2, 2))}):
        with pytest.raises(UserError, match=r"pickled.*Sequential.*state_dict\(\) alone"):
            read(tmp_path, saved)


# ── kinds of numbers ─────────────────────────────────────────────────────────────────────────────────────────────


def changed(name: str, change: Callable[[Tensor], Any]) -> dict[str, Any]:
    return PLAIN | {name: change(PLAIN[name])}


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_of_any_precision_become_float32(tmp_path: Path, kind: torch.dtype) -> None:
    mixed = {name: one.to(kind) if number % 2 else one for number, (name, one) in enumerate(PLAIN.items())}
    found = read(tmp_path, mixed)
    assert {tensor.dtype for tensor in found.weights.values()} == {torch.float32}
    assert same(found, mixed)


def test_one_precision_goes_out_again(tmp_path: Path) -> None:
    torch.save({name: one.half() for name, one in PLAIN.items()}, tmp_path / "half.pth")
    assert cli.main(["import", str(tmp_path / "half.pth"), str(tmp_path / "run")]) == 0
    assert cli.main(["export", str(tmp_path / "run"), "--to", "torchvision", "--out", str(tmp_path / "b.pth")]) == 0
    found = torch.load(tmp_path / "b.pth", weights_only=True)
    assert all(torch.equal(found[name], one.half().float()) for name, one in PLAIN.items())


def test_parameters_and_any_strides(tmp_path: Path) -> None:
    assert same(read(tmp_path, {name: nn.Parameter(one) for name, one in PLAIN.items()}))
    assert same(read(tmp_path, changed("classifier.4.weight", lambda one: one.T.contiguous().T)))
    wide = torch.ones(1).expand(PLAIN["classifier.4.weight"].shape)
    assert same(read(tmp_path, PLAIN | {"classifier.4.weight": wide}), PLAIN | {"classifier.4.weight": wide})


STRANGE = {
    "quantised": lambda one: torch.quantize_per_tensor(one, 0.1, 0, torch.qint8),
    "not floats": lambda one: one.to(torch.complex64),
    "sparse or nested": lambda one: one.to_sparse(),
    "without values": lambda one: one.to("meta"),
    r"torch.int64, not floats": lambda one: one.long(),
    "is no tensor": lambda one: one.tolist(),
    r"is \(0,\); torchvision needs": lambda one: one[:0],
    "larger than any layer": lambda one: one[:1].half().expand(1 << 40),
    "2 values that are NaN": lambda one: one.clone().index_fill(0, torch.tensor([0, 2]), torch.nan),
    "1 values that are NaN, infinite": lambda one: one.double().index_fill(0, torch.tensor([1]), 1e300),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("message", STRANGE)
def test_numbers_that_are_none_are_refused_by_the_tensor_s_name(tmp_path: Path, message: str) -> None:
    with pytest.raises(UserError, match=rf"classifier\.4\.bias.*{message}"):
        read(tmp_path, changed("classifier.4.bias", STRANGE[message]))


def test_nothing_is_made_of_weights_or_a_mean_that_are_nan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(changed("classifier.6.bias", lambda one: one / 0), tmp_path / "a.pth")
    assert cli.main(["import", str(tmp_path / "a.pth"), str(tmp_path / "run")]) == 1
    assert "classifier.6.bias has 3 values that are NaN, infinite" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    torch.save(PLAIN, tmp_path / "b.pth")
    np.save(tmp_path / "mean.npy", np.full((3, 256, 256), np.nan, np.float32))
    assert (
        cli.main(["import", str(tmp_path / "b.pth"), str(tmp_path / "run"), "--mean", str(tmp_path / "mean.npy")]) == 1
    )
    assert "the mean image has 196,608 values that are NaN" in capsys.readouterr().err


# ── what is no file of weights ───────────────────────────────────────────────────────────────────────────────────


def zip_of(*names: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return data.getvalue()


def npy(array: np.ndarray) -> bytes:
    data = io.BytesIO()
    np.save(data, array)
    return data.getvalue()


NOT_WEIGHTS = {
    "an HTML page": b"\xef\xbb\xbf\n<!DOCTYPE html><html>\x1b[31m</html>",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:7be5\nsize 244408911\n",
    "XML, of no known format": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
    "JSON, of no known format": b'{"error": "not found"}',
    "text, of no known format": b"404: Not Found",
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(50),
    r"a NumPy array \(.npy\)": npy(np.zeros(3)),
    "a MATLAB file": b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(100),
    "compressed with gzip": b"\x1f\x8b\x08\0" + bytes(50),
    "compressed with zstd": b"\x28\xb5\x2f\xfd" + bytes(50),
    "a 7z archive": b"7z\xbc\xaf\x27\x1c" + bytes(50),
    "a TorchScript archive": zip_of("a/data.pkl", "a/code/__torch__.py", "a/constants.pkl"),
    "a program of torch.export": zip_of("a/archive_format", "a/models/model.json"),
    "a Keras model": zip_of("metadata.json", "config.json", "model.weights.h5"),
    r"a zip archive\. Unpack it": zip_of("alexnet.pth"),
    "a Python pickle that torch.save did not write": b"\x80\x04\x95\x05\0\0\0\0\0\0\0K\x01.",
    "a TensorFlow SavedModel": b"\x08\x01\x12\x03\x0a\x01x",
    "empty": b"",
}


@pytest.mark.parametrize("what", NOT_WEIGHTS)
@pytest.mark.parametrize("name", ["a.pth", "model.safetensors", "net.onnx", "net.caffemodel", "a"])
def test_a_file_is_named_as_what_it_is(tmp_path: Path, what: str, name: str) -> None:
    (tmp_path / name).write_bytes(NOT_WEIGHTS[what])
    with pytest.raises(UserError, match=rf"{name}: {what}") as fault:
        read_weights(tmp_path / name)
    words = str(fault.value)
    assert words.isprintable()
    assert "weights_only" not in words
    assert "damaged" not in words
    assert words.endswith(".")


# ── folders and archives ─────────────────────────────────────────────────────────────────────────────────────────


def folder_of(path: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".safetensors"):
            save_file(network(number), path / name)
        else:
            torch.save(network(number), path / name)
    return path


@pytest.mark.parametrize(
    "names",
    [
        ("one/model.safetensors", "two/model.safetensors"),
        ("model.safetensors", "checkpoint-500/model.safetensors"),
        ("model.safetensors", "pytorch_model.bin"),
        ("checkpoint.pth.tar", "model_best.pth.tar"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_several_files_of_weights_are_refused_by_their_paths(
    tmp_path: Path, names: tuple[str, str], packed: bool
) -> None:
    path = folder_of(tmp_path / "set", *names)
    if packed:
        with tarfile.open(tmp_path / "set.tar", "w") as archive:
            archive.add(path, "set")
        path = tmp_path / "set.tar"
    with pytest.raises(UserError, match=r"are all in it\. Name the one you mean") as fault:
        read_weights(path)
    assert all(name in str(fault.value) for name in names)


def test_shards_are_named_as_such(tmp_path: Path) -> None:
    path = folder_of(tmp_path, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    with pytest.raises(UserError, match=r"are shards of one model\. Save it in one file"):
        read_weights(path)


def test_one_file_among_others(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "set", "model.safetensors")
    (path / "config.json").write_text(json.dumps({"architectures": ["AlexNet"]}))
    (path / "README.md").write_text("# AlexNet")
    (path / "tf_model.h5").write_bytes(NOT_WEIGHTS["an HDF5 file"])
    (path / "._model.safetensors").write_bytes(b"\0\5\x16\7")
    assert same(read_weights(path))
    (path / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"tf_model\.h5: an HDF5 file"):
        read_weights(path)


def test_a_run_folder_is_no_source(tmp_path: Path) -> None:
    run = import_run(folder_of(tmp_path / "set", "a.pth"), tmp_path / "run").path
    for path in (run, run / "model.safetensors"):
        with pytest.raises(UserError, match="is a run folder already; the commands take it as it is"):
            import_run(path, tmp_path / "again")
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes((run / "model.safetensors").read_bytes())
    with pytest.raises(UserError, match="These are the names of alexnet's own run folders"):
        read_weights(moved)
