"""A network of one's own: trained from a TOML file, resumed, measured, looked into and exported like one of the zoo."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import alexnet
from alexnet import cli
from alexnet.data.store.read import Store
from alexnet.errors import UsageError
from alexnet.measure.run import Run
from alexnet.nets.table import Table
from alexnet.nets.table_file import read_table
from alexnet.nets.zoo import ZOO
from alexnet.runs.export import export
from alexnet.see.top import find_top
from alexnet.train.checks import check_options
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions
from alexnet.train.state import start_run

MINE = """
name = "mine"
input_size = 32
rows = [
  { row = "Conv", name = "first", maps = 8, kernel = 5, stride = 2, std = 0.02 },
  { row = "BatchNorm", name = "batch" },
  { row = "Activation", name = "bend", kind = "tanh" },
  { row = "Pool", name = "pool", kernel = 2 },
  { row = "Conv", name = "second", maps = 8, kernel = 3, std = 0.1 },
  { row = "Activation", name = "bend2" },
  { row = "Dense", name = "answer", units = 99, std = 0.1 },
]
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "mine.toml"
    path.write_text(MINE)
    return path


def options(**changes: object) -> TrainOptions:
    small = {"epochs": 1, "batch": 20, "precision": "fp32", "device": "cpu", "threads": 1, "colour_noise": "off"}
    return TrainOptions(**small | changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained(file: Path, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "run"
    train(store, folder, options(table=file, epochs=2), quiet=True)
    return folder


def test_it_is_the_table_with_the_stores_classes(trained: Path, store: Store) -> None:
    run = Run.open(trained, device="cpu")
    assert [layer.row.name for layer in run.network.layers][:3] == ["first", "batch", "bend"]
    assert (run.folder.table.name, run.folder.table.classes) == ("mine", 4)
    assert run.evaluate(store, views=1).top1_error < 0.75  # chance
    assert run.predict(store.splits["val"].read(np.arange(1))[0]).labels


def test_a_resumed_one_ends_alike_without_its_file(trained: Path, store: Store, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(MINE)
    train(store, tmp_path / "run", options(table=file), quiet=True)
    file.unlink()
    more = TrainOptions(epochs=2)
    train(store, tmp_path / "run", more, resume=True, quiet=True)
    ours, theirs = (Run.open(path, device="cpu").network.state_dict() for path in (trained, tmp_path / "run"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_resume_takes_the_same_table_and_no_other(file: Path, store: Store, tmp_path: Path) -> None:
    train(store, tmp_path / "run", options(table=file, width=0.5), quiet=True)
    train(store, tmp_path / "run", TrainOptions(table=file), resume=True, quiet=True)
    other = tmp_path / "other.toml"
    other.write_text(MINE.replace("maps = 8, kernel = 3", "maps = 12, kernel = 3"))
    with pytest.raises(UsageError, match=r"--table: the run in .* was started with another one"):
        train(store, tmp_path / "run", TrainOptions(table=other, epochs=3), resume=True, quiet=True)


def test_it_starts_again_if_killed_before_its_first_checkpoint(
    trained: Path, file: Path, store: Store, tmp_path: Path
) -> None:
    start_run(store, tmp_path / "run", options(table=file, epochs=2))
    train(store, tmp_path / "run", TrainOptions(), resume=True, quiet=True)
    ours, theirs = (Run.open(path, device="cpu").network.state_dict() for path in (trained, tmp_path / "run"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_what_does_not_go_with_it(file: Path, trained: Path) -> None:
    for changes, message in (
        ({"net": "toy"}, "it takes the place of --net toy"),
        ({"head": "linear", "start_from": trained}, "--head linear keeps the layers"),
    ):
        with pytest.raises(UsageError, match=message):
            check_options(options(table=file, **changes))


def test_looked_into_and_exported(trained: Path, store: Store, tmp_path: Path) -> None:
    run = Run.open(trained, device="cpu")
    found = find_top(run.viewer, store.splits["val"], ["second"])
    assert found["second"].values.shape == (8, 9)
    export(run.folder, "safetensors", tmp_path / "mine.safetensors")
    assert cli.main(["import", str(tmp_path / "mine.safetensors"), str(tmp_path / "back")]) == 0
    back = Run.open(tmp_path / "back", device="cpu")
    assert back.folder.table == run.folder.table


def test_its_weights_start_another(trained: Path, file: Path, store: Store, tmp_path: Path) -> None:
    train(store, tmp_path / "next", options(start_from=trained, freeze="first"), quiet=True)
    theirs = Run.open(trained, device="cpu").network.state_dict()["first.weight"]
    assert torch.equal(Run.open(tmp_path / "next", device="cpu").network.state_dict()["first.weight"], theirs)


def test_the_classifier_takes_a_table(file: Path, store: Store, tmp_path: Path) -> None:
    part = store.splits["train"]
    pictures, labels = part.read(np.arange(len(part))), np.array(store.class_names)[part.labels]
    table = read_table(file)
    few = {"epochs": 1, "batch": 20, "views": 1, "size": 40, "precision": "fp32", "threads": 1, "device": "cpu"}
    model = alexnet.Classifier(table, folder=tmp_path / "run", **few).fit(pictures, labels)  # type: ignore[arg-type]
    assert model.run_.folder.table.name == "mine"
    assert model.get_params()["net"] == table
    again = alexnet.Classifier(table, folder=tmp_path / "run", **few).fit(pictures, labels)  # type: ignore[arg-type]
    assert np.array_equal(again.predict_proba(pictures[:3]), model.predict_proba(pictures[:3]))
    assert alexnet.Classifier(replace(table, input_size=28))._side() == 32
    with pytest.raises(UsageError, match=r"table: the run in .* was started with another one"):
        alexnet.Classifier(ZOO["toy"], folder=tmp_path / "run", **few).fit(pictures, labels)  # type: ignore[arg-type]


def test_on_the_command_line(file: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--epochs", "1", "--batch", "50", "--precision", "fp32", "--threads", "1"]
    assert cli.main(["train", str(store.path), "--out", str(tmp_path / "run"), "--table", str(file), *words]) == 0
    assert isinstance(Run.open(tmp_path / "run").folder.table, Table)
    assert cli.main(["nets", str(file)]) == 0
    assert "second" in capsys.readouterr().out
    assert cli.main(["nets", "toy", "--toml"]) == 0
    (tmp_path / "toy.toml").write_text(capsys.readouterr().out)
    assert read_table(tmp_path / "toy.toml") == ZOO["toy"]
    file_without = tmp_path / "wrong.toml"
    file_without.write_text(MINE.replace("kernel = 3", "kernel = 0"))
    code = cli.main(["train", str(store.path), "--out", str(tmp_path / "run2"), "--table", str(file_without), *words])
    assert code == 1
    assert "row 5, the Conv row 'second': kernel is 0, which can't be" in capsys.readouterr().err
    assert not (tmp_path / "run2").exists()
