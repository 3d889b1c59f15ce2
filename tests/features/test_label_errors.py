"""Suspect labels: planted ones come first; a file that was edited is kept."""

import csv
from pathlib import Path

import numpy as np
import pytest

import alexnet
from alexnet.cli import main
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.features.label_errors import left_out_probabilities, suspected_labels, write_corrections
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions


def margins(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    probabilities = left_out_probabilities(features, labels)
    every = np.arange(len(labels))
    own = probabilities[every, labels]
    probabilities[every, labels] = -1
    return own - probabilities.max(axis=1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_errors_have_the_lowest_margins(seed: int) -> None:
    """5 % of the labels flipped: at least 80 % of these among the first 8 %."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(10), 40)
    centres = random.normal(size=(10, 200))
    features = (centres[labels] + random.normal(size=(400, 200)) * 2).astype(np.float32)
    flipped = random.choice(400, 20, replace=False)
    given = labels.copy()
    given[flipped] = (labels[flipped] + random.integers(1, 10, 20)) % 10
    first = np.argsort(margins(features, given))[:32]
    assert np.isin(flipped, first).mean() >= 0.8


def test_no_picture_is_judged_by_a_classifier_that_saw_it() -> None:
    """Features that say nothing but who each picture is: a classifier that saw it would know its label."""
    labels = np.arange(40) % 2
    probabilities = left_out_probabilities(np.eye(40, dtype=np.float32), labels)
    assert (probabilities[np.arange(40), labels] < 0.7).all()


def test_the_command_lists_them_and_keeps_an_edited_file(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = TrainOptions(net="toy", epochs=1, batch=20, input_size=32, precision="fp32", device="cpu", threads=1)
    run = train(store, tmp_path / "run", options, quiet=True)
    found = suspected_labels(alexnet.Run.open(run.path, device="cpu"), store)
    assert [one.label_probability - one.suggested_probability for one in found] == sorted(
        one.label_probability - one.suggested_probability for one in found
    )
    corrections, sheet = tmp_path / "corrections.csv", tmp_path / "sheet.png"
    line = ["check", str(store.path), "--run", str(run.path), "--sheet", str(sheet), "--write", str(corrections)]
    assert main(line) == 0
    shown = capsys.readouterr().out
    assert f"{len(found)} suspect label" in shown
    with corrections.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [one.file for one in found]
    assert {row["label"] for row in rows} <= set(store.class_names)
    corrections.write_text("edited")
    assert main(line) == 1
    assert corrections.read_text() == "edited"
    with pytest.raises(UserError, match="exists already"):
        write_corrections(found, corrections)
    assert main(["check", str(store.path), "--write", str(tmp_path / "other.csv")]) == 2
