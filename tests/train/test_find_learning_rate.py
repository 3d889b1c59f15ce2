"""The learning-rate finder: it finds the fall of the loss, and says so when there is none."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.cli import main
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.train.find_learning_rate import HIGHEST, LOWEST, find_learning_rate, suggestion
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions


def options(**changes: object) -> TrainOptions:
    small = {"net": "toy", "batch": 20, "input_size": 32, "precision": "fp32", "device": "cpu", "threads": 1}
    return TrainOptions(**small | changes)  # type: ignore[arg-type]


def test_the_steepest_fall_before_the_minimum_is_suggested() -> None:
    rates = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    assert suggestion(rates, [2.0, 1.9, 1.2, 1.0, 5.0], window=1) == 1e-2
    assert suggestion(rates, [1.0, 1.0, 1.05, 1.2, 5.0], window=1) == 1e-2, "a tenth of where the loss rises"
    with pytest.raises(UserError, match="the loss neither falls nor rises"):
        suggestion(rates, [1.0, 1.0, 1.01, 1.0, 1.02], window=1)


def test_a_run_at_the_suggested_rate_learns(store: Store, tmp_path: Path) -> None:
    sweep = find_learning_rate(store, options())
    assert LOWEST < sweep.suggested < HIGHEST
    assert list(sweep.learning_rates) == sorted(sweep.learning_rates)
    assert np.isfinite(sweep.losses).all()
    assert sweep == find_learning_rate(store, options()), "the same pictures, crops and weights"
    run = train(store, tmp_path / "run", options(epochs=3, learning_rate=sweep.suggested), quiet=True)
    events = map(json.loads, (run.path / "log.jsonl").read_text().splitlines())
    losses = [event["train_loss"] for event in events if event["event"] == "epoch"]
    assert losses[-1] < losses[0]


def test_the_command_writes_a_figure_and_leaves_no_run(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--net", "toy", "--batch", "20", "--input-size", "32", "--device", "cpu", "--precision", "fp32"]
    assert main(["train", str(store.path), "--out", str(tmp_path / "run"), "--find-learning-rate", *words]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("--learning-rate ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run-learning-rate.json", "run-learning-rate.png"]
    with Image.open(tmp_path / "run-learning-rate.png") as image:
        assert image.width > 300
