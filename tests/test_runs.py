"""Run folders and files of tensors: read back as written, and every damage named."""

import errno
import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alexnet.data.preprocessing import Preprocessing
from alexnet.errors import UserError
from alexnet.files.tensors import DamagedFile, load_tensors, save_tensors, tensor_digest
from alexnet.nets import table_json
from alexnet.nets.network import build
from alexnet.nets.zoo import ZOO
from alexnet.runs.folder import RunFolder

TENSORS = {"a": torch.arange(12.0).view(3, 4), "b": torch.tensor([1, 2], dtype=torch.int64), "c": torch.zeros(0, 3)}


def new_run(path: Path) -> RunFolder:
    config = {
        "network": {"table": table_json.to_json(ZOO["toy"]), "input_size": 32, "mean": "aligned"},
        "classes": {"names": [f"class {n}" for n in range(12)], "ids": [], "order": "folder"},
    }
    return RunFolder.create(
        path, config, Preprocessing(torch.rand(3, 40, 40), 32, "aligned", torch.ones(3), torch.eye(3))
    )


def test_tensors_come_back_with_what_was_said(tmp_path: Path) -> None:
    save_tensors(tmp_path / "t", TENSORS, {"epoch": 3, "words": "Über"})
    tensors, about = load_tensors(tmp_path / "t")
    assert about == {"epoch": 3, "words": "Über"}
    assert tensor_digest(tensors) == tensor_digest(TENSORS)
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_flipped_byte_is_found(tmp_path: Path, where: float, flip: int) -> None:
    """Anywhere in the file: header, padding apart, or values."""
    path = tmp_path / "t"
    save_tensors(path, TENSORS, {"epoch": 3})
    data = bytearray(path.read_bytes())
    place = int(where * len(data))
    data[place] ^= flip
    path.write_bytes(data)
    try:
        tensors, about = load_tensors(path)
    except DamagedFile as fault:
        assert str(path) in str(fault)  # noqa: PT017 - it may also be no damage at all, see below
    else:  # a changed byte that means nothing (white space in the header): then nothing else may have changed
        assert about == {"epoch": 3}
        assert tensor_digest(tensors) == tensor_digest(TENSORS)


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 40, -1])
def test_a_file_cut_short_is_named(tmp_path: Path, keep: int) -> None:
    save_tensors(tmp_path / "t", TENSORS)
    (tmp_path / "t").write_bytes((tmp_path / "t").read_bytes()[:keep])
    with pytest.raises(DamagedFile, match="t: damaged"):
        load_tensors(tmp_path / "t")


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tensors(tmp_path / "t", TENSORS)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="the disk is full"):
        save_tensors(tmp_path / "t", {"a": torch.zeros(5)})
    monkeypatch.undo()
    assert tensor_digest(load_tensors(tmp_path / "t")[0]) == tensor_digest(TENSORS)
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_a_run_folder_is_read_back(tmp_path: Path) -> None:
    run, network = new_run(tmp_path / "run"), build("toy", seed=5)
    run.save_model(network.state_dict())
    run.save_snapshot(network.state_dict(), 2)
    again = RunFolder.open(tmp_path / "run")
    assert again.table == ZOO["toy"]
    assert again.class_names[3] == "class 3"
    assert tensor_digest(again.network.state_dict()) == tensor_digest(network.state_dict())
    assert list(again.snapshots) == [2]
    assert again.inputs.positions == 9
    assert not again.network.training


def test_what_is_no_run_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such run folder"):
        RunFolder.open(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no config\.json"):
        RunFolder.open(tmp_path)
    run = new_run(tmp_path / "run")
    with pytest.raises(UserError, match="no weights yet"):
        _ = run.network
    with pytest.raises(UserError, match="not empty"):
        new_run(tmp_path / "run")
    config = tmp_path / "run" / "config.json"
    whole = json.loads(config.read_text())
    config.write_text(json.dumps(whole | {"format_version": 99}))
    with pytest.raises(UserError, match="run format 99"):
        RunFolder.open(tmp_path / "run")
    config.write_text(json.dumps({"architectures": ["AlexNet"], "model_type": "timm"}))
    with pytest.raises(UserError, match=r"not a run folder of alexnet: its config\.json has no format_version"):
        RunFolder.open(tmp_path / "run")
    config.write_text(json.dumps(whole | {"network": {}, "checksum": ""}))
    with pytest.raises(UserError, match=r"network\.table is missing"):
        _ = RunFolder.open(tmp_path / "run").table
    config.write_text("{")
    with pytest.raises(UserError, match=r"config\.json: damaged"):
        RunFolder.open(tmp_path / "run")


def test_only_the_last_two_states_are_kept(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    for step in (5, 10, 15, 100_000):
        run.save_checkpoint(step, {"a": torch.tensor([step])}, {"step": step})
    assert len(list((tmp_path / "run" / "state").iterdir())) == 2
    tensors, about, complaints = run.latest_checkpoint()
    assert about == {"step": 100_000}
    assert tensors is not None
    assert complaints == []
    run.drop_checkpoints()
    assert run.latest_checkpoint() == (None, {}, [])


def test_weights_that_do_not_fit_are_named() -> None:
    network = build("toy")
    weights = dict(network.state_dict())
    with pytest.raises(UserError, match=r"w\.pth: conv3\.weight is missing; toy needs \(48, 32, 3, 3\)"):
        network.fill({k: v for k, v in weights.items() if k != "conv3.weight"}, "w.pth")
    with pytest.raises(UserError, match=r"fc8\.bias is \(7,\); toy needs \(12,\)"):
        network.fill(weights | {"fc8.bias": torch.zeros(7)}, "w.pth")
    with pytest.raises(UserError, match=r"conv9\.weight belong to no layer of toy"):
        network.fill(weights | {"conv9.weight": torch.zeros(7)}, "w.pth")


def test_a_config_that_changed_is_refused_unless_a_person_says_so(tmp_path: Path) -> None:
    new_run(tmp_path / "run")
    config = tmp_path / "run" / "config.json"
    edited = json.loads(config.read_text()) | {"finished": True}
    config.write_text(json.dumps(edited))
    with pytest.raises(UserError, match=r'config\.json: damaged or edited.*end it with "checksum": ""'):
        RunFolder.open(tmp_path / "run")
    assert RunFolder.open(tmp_path / "run", altered=True).value("finished")
    config.write_text(json.dumps(edited | {"checksum": ""}))
    run = RunFolder.open(tmp_path / "run")
    run.write_config(more=1)  # sealed again
    config.write_text(config.read_text().replace('"more": 1', '"more": 2'))
    with pytest.raises(UserError, match="damaged or edited"):
        RunFolder.open(tmp_path / "run")


def test_a_read_that_fails_is_told_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors are read, not mapped: there a failing disk would kill the process without a word."""
    run = new_run(tmp_path / "run")
    run.save_model({"a": torch.zeros(3)})

    def fail(path: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(UserError, match=r"model\.safetensors: the disk reports a read or write error"):
        load_tensors(run.path / "model.safetensors")
    monkeypatch.undo()
    (run.path / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model\.safetensors: no such file"):
        load_tensors(run.path / "model.safetensors")
