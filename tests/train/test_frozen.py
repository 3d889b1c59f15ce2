"""Training on the output of frozen layers, computed once: the same weights as when it is computed in every epoch."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.measure.evaluation import evaluate_run
from alexnet.measure.run import Run
from alexnet.measure.viewer import ViewAverager
from alexnet.runs.folder import RunFolder
from alexnet.train import frozen, loop
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions

SMALL = {"net": "toy", "epochs": 4, "batch": 32, "precision": "fp32", "threads": 1, "device": "cpu"}


def options(**changes: object) -> TrainOptions:
    return TrainOptions(**(SMALL | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def base(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(store, tmp_path_factory.mktemp("base") / "run", options(epochs=2), quiet=True).path


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return RunFolder.open(folder).network.state_dict()


def figures(folder: Path) -> list[list[float]]:
    lines = (json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines())
    exact = ("train_loss", "train_top1_error", "val_nll", "val_top1_error")
    return [[line[name] for name in exact] for line in lines if line["event"] == "epoch"]


def same(one: Path, other: Path) -> bool:
    ours, theirs = weights_of(one), weights_of(other)
    return all(torch.equal(ours[name], theirs[name]) for name in theirs) and figures(one) == figures(other)


@pytest.mark.parametrize(
    ("kept", "plain"),
    [
        ("centre", {"crops": "centre"}),
        ("centre", {"crops": "centre", "mirror": False}),
        ("ten", {"crops": "ten"}),
        (4, {"crops": "random"}),
        (4, {"crops": "random", "freeze": "conv1-fc6"}),
        (4, {"crops": "random", "freeze": "conv1-conv2", "accumulation_steps": 2}),
    ],
)
def test_the_weights_are_those_of_computing_it_in_every_epoch(
    store: Store, base: Path, tmp_path: Path, kept: str | int, plain: dict
) -> None:
    """Four random crops are those of the first four epochs. The last bits of a convolution depend on its batch."""
    common = {"start_from": base, "freeze": "conv1-conv5", "net": None} | {
        name: value for name, value in plain.items() if name != "crops"
    }
    train(store, tmp_path / "cached", options(**common, frozen_features=kept), quiet=True)
    train(store, tmp_path / "plain", options(**common, crops=plain["crops"], colour_noise="off"), quiet=True)
    ours, theirs = weights_of(tmp_path / "cached"), weights_of(tmp_path / "plain")
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(figures(tmp_path / "cached"), figures(tmp_path / "plain"), rtol=1e-4)
    assert not (tmp_path / "cached.features").exists()
    assert not torch.equal(ours["fc8.weight"], weights_of(base)["fc8.weight"])
