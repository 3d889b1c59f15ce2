"""`alexnet verify`: a sound run is found sound, and every kind of damage is named with its file."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from alexnet import cli
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.files.tensors import load_tensors, save_tensors
from alexnet.measure.accuracy import Counts
from alexnet.measure.verify import Finding, compared, verify_run
from alexnet.runs.folder import RunFolder
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions


@pytest.fixture(scope="module")
def verified(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two epochs with snapshots, and a state beside them as a run that goes on has."""
    folder = tmp_path_factory.mktemp("verified") / "run"
    options = TrainOptions(net="toy", epochs=2, batch=32, precision="fp32", threads=1, snapshots=True)
    run = train(store, folder, options, quiet=True)
    weights, _ = load_tensors(folder / "model.safetensors")
    state = {f"weight/{name}": tensor for name, tensor in weights.items()}
    state |= {f"velocity/{name}": torch.zeros_like(tensor) for name, tensor in weights.items()}
    run.save_checkpoint(14, state, {"cursor": {"step": 14}})
    return folder


@pytest.fixture
def copy(verified: Path, tmp_path: Path) -> Path:
    return shutil.copytree(verified, tmp_path / "run")


def faults(path: Path, store: Store | None = None) -> dict[str, str]:
    return {found.what: found.words for found in verify_run(path, store) if not found.sound}


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change config.json as a person would who knows of the checksum."""
    run = RunFolder.open(path)
    change(run.config)
    run.write_config()


def test_a_sound_run_is_found_sound_file_by_file_with_its_accuracy(
    verified: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    found = list(verify_run(verified, store))
    assert all(finding.sound for finding in found), found
    assert [finding.what for finding in found] == [
        "config.json",
        "inputs.safetensors",
        "model.safetensors",
        "snapshots/epoch-0001.safetensors",
        "snapshots/epoch-0002.safetensors",
        "state/step-000000014.safetensors",
        "trained_on.safetensors",
        "velocities.safetensors",
        "log.jsonl",
        f"accuracy on {store.path}",
    ]
    assert "as recorded" in found[-1].words or "within" in found[-1].words
    assert cli.main(["verify", str(verified), str(store.path), "--json"]) == 0
    assert all(one["sound"] for one in json.loads(capsys.readouterr().out))


def test_the_best_epoch_is_compared_with_its_own_line_of_the_log(store: Store, tmp_path: Path) -> None:
    wild = TrainOptions(net="toy", epochs=4, batch=32, learning_rate=0.05, keep="best", precision="fp32", threads=1)
    run = train(store, tmp_path / "run", wild, quiet=True)
    assert run.value("best")["epoch"] < 4
    assert faults(run.path, store) == {}


@pytest.mark.parametrize(
    "name",
    [
        "inputs.safetensors",
        "model.safetensors",
        "snapshots/epoch-0001.safetensors",
        "state/step-000000014.safetensors",
    ],
)
@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_flipped_byte_or_a_lost_one_is_named(
    copy: Path, name: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray((copy / name).read_bytes())
    data[-5] ^= 4
    (copy / name).write_bytes(data if damage == "flip" else data[:-1])
    assert list(faults(copy)) == [name]
    assert cli.main(["verify", str(copy)]) == 1
    told = capsys.readouterr()
    assert f"NO  {name}" in told.out
    assert told.out.count(name) == 1
    assert "1 finding not as written" in told.err


def test_a_digit_changed_in_the_config_is_found(copy: Path) -> None:
    path = copy / "config.json"
    text = path.read_text()
    assert '"seed": 0' in text
    path.write_text(text.replace('"seed": 0', '"seed": 1'))
    assert "checksum" in faults(copy)["config.json"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: c["classes"]["names"].pop(), "3 class names and 4 ids for 4 outputs"),
        (lambda c: c["classes"]["ids"].__setitem__(0, c["classes"]["ids"][1]), "share an id"),
        (lambda c: c["network"]["table"]["rows"].pop(0), None),
        (lambda c: c["network"]["table"]["rows"][0].__setitem__("maps", -3), None),
        (lambda c: c["network"].__setitem__("input_size", 3), None),
        (lambda c: c["network"].pop("table"), "network.table is missing"),
    ],
)
def test_a_config_that_does_not_fit_itself_is_found(copy: Path, change: Callable, told: str | None) -> None:
    edit(copy, change)
    found = faults(copy)
    assert found
    if told:
        assert told in found["config.json"]


def test_weights_of_another_network_or_that_are_no_numbers_are_found(copy: Path) -> None:
    weights, about = load_tensors(copy / "model.safetensors")
    save_tensors(copy / "model.safetensors", weights | {"fc8.weight": torch.zeros(5, 64)}, about)
    assert "fc8.weight is (5, 64)" in faults(copy)["model.safetensors"]
    spoilt = weights["fc8.weight"].clone()
    spoilt[0, 0] = torch.nan
    save_tensors(copy / "model.safetensors", weights | {"fc8.weight": spoilt}, about)
    assert "fc8.weight holds NaN or infinite numbers" in faults(copy)["model.safetensors"]
    (copy / "model.safetensors").unlink()
    assert "model.safetensors" in faults(copy)


def test_a_log_without_a_line_is_found(copy: Path) -> None:
    lines = (copy / "log.jsonl").read_text().splitlines(keepends=True)
    (copy / "log.jsonl").write_text("".join(line for line in lines if '"epoch": 2' not in line))
    assert "has 1 epochs, config.json says 2" in faults(copy)["log.jsonl"]
    (copy / "log.jsonl").write_text("".join(lines).replace('"event"', "event", 1))
    assert "line 1 can't be read" in faults(copy)["log.jsonl"]


def test_other_weights_have_another_accuracy(copy: Path, store: Store) -> None:
    first = copy / "snapshots" / "epoch-0001.safetensors"
    weights = {name: -tensor for name, tensor in load_tensors(first)[0].items()}
    save_tensors(copy / "model.safetensors", weights)
    assert "recorded was nll" in faults(copy, store)[f"accuracy on {store.path}"]


def test_another_store_has_no_say(copy: Path, store: Store) -> None:
    edit(copy, lambda config: config["data"].__setitem__("fingerprint", "0" * 64))
    assert "not the store" in faults(copy, store)[f"accuracy on {store.path}"]


def test_accuracy_may_round_otherwise_but_not_differ() -> None:
    recorded = {"val_nll": 1.5, "val_top1_error": 0.3, "val_top5_error": 0.1}
    assert "last bit" in compared(Counts(1000, 300, 100, 1500.0), recorded, "fp32")
    assert "rounding" in compared(Counts(1000, 302, 99, 1500.1), recorded, "fp32")
    for counts in (Counts(1000, 303, 100, 1500.0), Counts(1000, 300, 100, 1502.0)):
        with pytest.raises(UserError, match="recorded was nll"):
            compared(counts, recorded, "fp32")


def test_a_config_without_a_checksum_is_told_of_and_taken(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    del config["checksum"]
    (copy / "config.json").write_text(json.dumps(config))
    (found, *_) = verify_run(copy)
    assert found == Finding("config.json", found.words, True)
    assert "an older alexnet wrote it" in found.words
