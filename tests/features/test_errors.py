"""The list of wrong pictures: complete, in order, with neighbours that a slow search finds too."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import alexnet
from alexnet.cli import main
from alexnet.data.sources import open_source
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from alexnet.features.errors import find_errors
from alexnet.features.extract import features_of
from alexnet.features.similar.sheet import contact_sheet
from alexnet.measure.accuracy import describe_errors
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions


@pytest.fixture(scope="module")
def run(store: Store, tmp_path_factory: pytest.TempPathFactory) -> alexnet.Run:
    options = TrainOptions(net="toy", epochs=1, batch=20, input_size=32, precision="fp32", device="cpu", threads=1)
    folder = train(store, tmp_path_factory.mktemp("errors") / "run", options, quiet=True)
    return alexnet.Run.open(folder.path, device="cpu")


def test_it_lists_the_wrong_pictures_worst_first(run: alexnet.Run, store: Store) -> None:
    errors, pictures = find_errors(run, store, views=1)
    split = store.splits["val"]
    probabilities = run.viewer.probabilities(torch.from_numpy(split.read(np.arange(len(split))))).numpy()
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != split.labels)
    assert pictures == len(split)
    assert 0 < len(wrong) < pictures
    assert sorted(error.index for error in errors) == wrong.tolist()
    assert [error.true_probability for error in errors] == sorted(error.true_probability for error in errors)
    for error in errors:
        assert error.file == split.keys[error.index]
        assert error.true == store.class_names[split.labels[error.index]]
        assert error.answered == store.class_names[probabilities[error.index].argmax()]
        assert error.answered_probability == pytest.approx(probabilities[error.index].max(), abs=1e-6)


@pytest.mark.parametrize("split", ["val", "train"])
def test_the_neighbours_are_those_of_a_slow_search(run: alexnet.Run, store: Store, split: str) -> None:
    errors, _ = find_errors(run, store, split, views=1)
    train_td = features_of(run, store.splits["train"]).astype(np.float64)
    values = features_of(run, store.splits[split]).astype(np.float64)
    centre = train_td.mean(axis=0)
    error = errors[0]
    query = values[error.index] - centre
    cosines = [query @ (other - centre) / np.linalg.norm(query) / np.linalg.norm(other - centre) for other in train_td]
    if split == "train":
        cosines[error.index] = -np.inf
    best = np.argsort(cosines)[::-1][:3]
    assert [file for file, _ in error.nearest] == [store.splits["train"].keys[number] for number in best]


def test_the_command_writes_a_table_numbers_and_a_sheet(
    run: alexnet.Run, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["errors", str(run.path), str(store.path), "--views", "1", "--out", str(tmp_path)]
    assert main(line) == 0
    first = capsys.readouterr().out
    with (tmp_path / "errors-val.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    wrong = json.loads((tmp_path / "errors-val.json").read_text())["wrong"]
    assert first.splitlines()[0] == f"{describe_errors(len(rows), 60)} wrong, by 1 view"
    assert [row["file"] for row in rows] == [error["file"] for error in wrong]
    assert all(row["file"] in first for row in rows)
    with Image.open(tmp_path / "errors-val.png") as sheet:
        assert sheet.width > 300
    cell = rows[0]["class"], rows[0]["answered"]
    assert main([*line, "--true", cell[0], "--answered", cell[1]]) == 0
    shown = capsys.readouterr().out
    assert shown.count(".png") == sum((row["class"], row["answered"]) == cell for row in rows)
    assert len(json.loads((tmp_path / "errors-val.json").read_text())["wrong"]) == len(rows), "the whole list is kept"
    assert len(list(tmp_path.glob("errors-val-*.csv"))) == 1
    assert main([*line, "--true", "no such"]) == 2
    (tmp_path / "errors-val.csv").write_text("mine")
    assert main(line) == 1
    assert (tmp_path / "errors-val.csv").read_text() == "mine"
    (tmp_path / "errors-val.json").write_text("{}")
    assert main(line) == 1
    assert (tmp_path / "errors-val.json").read_text() == "{}"
    (tmp_path / "errors-val.json").unlink()
    (tmp_path / "errors-val.png").unlink()
    assert main(line) == 1
    assert (tmp_path / "errors-val.csv").read_text() == "mine"


def test_the_sheet_says_what_each_wrong_picture_is_and_was_taken_for() -> None:
    pictures, captions = np.zeros((2, 1, 8, 8, 3), np.uint8), [("1.png", "true: cat", "answer: dog")] * 2
    figure = contact_sheet(pictures[:, 0], pictures, words=[["cat"], ["dog"]], captions=captions)
    assert [axes.get_xlabel() for axes in figure.axes] == [
        *("1.png\ntrue: cat\nanswer: dog", "cat"),
        *("1.png\ntrue: cat\nanswer: dog", "dog"),
    ]


def test_stores_that_do_not_fit_are_refused_in_one_sentence(
    run: alexnet.Run, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label, name in enumerate(("angle0", "other")):
        for split in ("train", "val"):
            shutil.copytree(store.path.parent / "pictures" / split / f"angle{label}", tmp_path / "other" / split / name)
    prepare(open_source(tmp_path / "other"), tmp_path / "other.store", size=40)
    prepare(open_source(store.path.parent / "pictures"), tmp_path / "small.store", size=36)
    shutil.copytree(store.path, tmp_path / "nameless.store")
    (tmp_path / "nameless.store" / "val" / "keys.txt").unlink()
    cases: list[tuple[Path, list[str], str]] = [
        (tmp_path / "other.store", [], "other in the store only"),
        (tmp_path / "small.store", [], "--size 40"),
        (tmp_path / "nameless.store", [], "keys.txt: is missing"),
        (tmp_path / "none.store", [], "no such folder"),
        (run.path, [], "is not a store"),
        (store.path, ["--split", "test"], "there are: train, val"),
        (store.path, ["--out", str(store.path)], "is inside the store"),
    ]
    for place, options, words in cases:
        assert main(["errors", str(run.path), str(place), "--views", "1", *options]) == 1
        told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("alexnet: ")]
        assert len(told) == 1
        assert words in told[0]
