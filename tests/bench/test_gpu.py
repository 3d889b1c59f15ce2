"""benchmarks/gpu.py: that its steps run and its rows are whole, on the CPU and tiny. No time is asserted."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

from alexnet.bench import own
from alexnet.bench.own import Bench, Subject
from peers import norms

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


def small_peer() -> nn.Module:
    """Takes what the peers take: 224 pixels, 1,000 classes."""
    return nn.Sequential(nn.Conv2d(3, 4, 11, stride=8), nn.MaxPool2d(27), nn.Flatten(), nn.Linear(4, 1000))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch):
    spec = importlib.util.spec_from_file_location("benchmark_gpu", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "STEPS", 2)
    monkeypatch.setattr(module, "PRODUCTS", 1)
    monkeypatch.setattr(module, "MATRIX_SIDES", (8,))
    monkeypatch.setattr(module, "PEERS", dict.fromkeys(module.PEERS, small_peer))
    monkeypatch.setattr(module, "Subject", lambda bench, net: Subject(bench, "toy"))
    monkeypatch.setattr(norms, "MAPS", {"conv1": (12, 5)})
    monkeypatch.setattr(own, "STORE_RECORDS", 16)
    return module


def test_the_table_is_whole(gpu, tmp_path: Path) -> None:
    bench = Bench(tmp_path, batch=2, rounds=1, ceilings={"machine.bf16": 1.0})
    assert gpu.ceiling(bench, torch.bfloat16) > 0
    rows = gpu.table(bench)
    assert [row.name for row in rows] == [
        "machine.bf16",
        *("lrn.conv1.fp32", "lrn.conv1.bf16"),
        *("train.plain.fp32", "train.plain.bf16", "train.torchvision.fp32", "train.torchvision.bf16"),
        *("train.store", "train.mfu", "views.one", "views.plain", "views.torchvision"),
    ]
    assert all(row.ours > 0 and (row.ratio is None or row.ratio > 0) for row in rows)


def test_without_a_gpu_it_refuses(gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["gpu.py"])
    with pytest.raises(SystemExit, match="No CUDA GPU here"):
        gpu.main()
