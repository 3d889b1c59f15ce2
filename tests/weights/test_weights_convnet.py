"""cuda-convnet's layout: two towers laid out by another way, forward passes of both compared."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from alexnet.errors import UserError
from alexnet.nets.network import Network
from alexnet.nets.table import change
from alexnet.nets.trace import trace
from alexnet.nets.zoo import ZOO
from alexnet.weights import ImportOptions, convnet, read_weights

# layer → (its inputs in the cfg's order, maps of each input · k · k or units, outputs); full size but for the dense
# layers, of 32 units in place of 2,048 in each tower (see `thin_zoo`), and fc6's inputs
TOWERS = {
    "conv1a": (["data"], 3 * 121, 48),
    "conv1b": (["data"], 3 * 121, 48),
    "conv2a": (["pool1a"], 48 * 25, 128),
    "conv2b": (["pool1b"], 48 * 25, 128),
    "conv3a": (["pool2a", "pool2b"], 128 * 9, 192),
    "conv3b": (["pool2a", "pool2b"], 128 * 9, 192),
    "conv4a": (["conv3a"], 192 * 9, 192),
    "conv4b": (["conv3b"], 192 * 9, 192),
    "conv5a": (["conv4a"], 192 * 9, 128),
    "conv5b": (["conv4b"], 192 * 9, 128),
    "fc2048a": (["pool3a", "pool3b"], 128 * 36, 32),
    "fc2048b": (["pool3a", "pool3b"], 128 * 36, 32),
    "fc2048ba": (["hs1a", "hs1b"], 32, 32),
    "fc2048bb": (["hs1b", "hs1a"], 32, 32),
    "fc1000": (["hs2a", "hs2b"], 32, 1000),
}


@pytest.fixture(scope="module")
def arrays(thin_zoo: None) -> dict[str, np.ndarray]:
    random, made = np.random.default_rng(0), {}
    for name, (inputs, rows, outputs) in TOWERS.items():
        scale = (2 / (rows * len(inputs))) ** 0.5
        for number in range(len(inputs)):
            made[f"{name}.weights.{number}"] = random.standard_normal((rows, outputs), np.float32) * np.float32(scale)
        made[f"{name}.biases"] = random.normal(size=(1, outputs)).astype(np.float32)
    made["data_mean"] = random.uniform(90, 130, (3 * 256 * 256, 1)).astype(np.float32)
    return made


def in_towers(arrays: dict[str, np.ndarray], picture: torch.Tensor) -> torch.Tensor:
    """The towers apart, from conv1 to fc1000 as layers-145.cfg wires them, without norms, biases and pools of more than
    one place: what is tested is which number stands where."""

    def layer(name: str, kernel: int, *inputs: torch.Tensor, **form: int) -> torch.Tensor:
        out: torch.Tensor | float = 0.0
        for number, below in enumerate(inputs):
            matrix = torch.from_numpy(arrays[f"{name}.weights.{number}"])
            if kernel:
                filters = torch.stack([column.reshape(-1, kernel, kernel) for column in matrix.T])
                out = out + F.conv2d(below, filters, **form)
            else:
                out = out + below.flatten(1) @ matrix
        bias = torch.from_numpy(arrays[f"{name}.biases"]).reshape((1, -1, 1, 1) if kernel else (1, -1))
        return F.relu(out + bias) if name != "fc1000" else out + bias

    def pool(x: torch.Tensor) -> torch.Tensor:
        return F.max_pool2d(x, 3, 2, ceil_mode=True)

    padded = F.pad(picture, (0, 3, 0, 3))
    one = {t: pool(layer(f"conv1{t}", 11, padded, stride=4)) for t in "ab"}
    two = {t: pool(layer(f"conv2{t}", 5, one[t], padding=2)) for t in "ab"}
    three = {t: layer(f"conv3{t}", 3, two["a"], two["b"], padding=1) for t in "ab"}
    four = {t: layer(f"conv4{t}", 3, three[t], padding=1) for t in "ab"}
    five = {t: pool(layer(f"conv5{t}", 3, four[t], padding=1)) for t in "ab"}
    six = {t: layer(f"fc2048{t}", 0, five["a"], five["b"]) * 0.5 for t in "ab"}
    seven_a = layer("fc2048ba", 0, six["a"], six["b"]) * 0.5
    seven_b = layer("fc2048bb", 0, six["b"], six["a"]) * 0.5
    return layer("fc1000", 0, seven_a, seven_b)


def test_two_towers_and_one_network_give_the_same_logits(
    arrays: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "145.npz", **arrays)
    found = read_weights(tmp_path / "145.npz", ImportOptions(net="alexnet-145-no-norm"))
    network = Network(found.table).eval()
    network.load_state_dict(found.weights)
    picture = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours, theirs = network(picture), in_towers(arrays, picture)
    assert theirs.abs().max() > 0.1
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()
    assert np.array_equal(found.mean_image.numpy().reshape(-1), arrays["data_mean"].reshape(-1))
    assert found.mean_mode == "centre"
    assert convnet.NET == "alexnet-145"


def test_inputs_named_in_another_order(arrays: dict[str, np.ndarray]) -> None:
    """A layer may list tower b's matrix first, if it says so."""
    turned = arrays | {
        "conv3a.weights.0": arrays["conv3a.weights.1"],
        "conv3a.weights.1": arrays["conv3a.weights.0"],
        "conv3a.inputs": np.array(["pool2b", "pool2a"]),
    }
    layer = next(layer for layer in trace(ZOO["alexnet-145"]) if layer.row.name == "conv3")
    plain, again = (convnet._layer(given, layer, 2, "made.npz")[0] for given in (arrays, turned))
    assert torch.equal(plain, again)
    with pytest.raises(UserError, match=r"conv3a.inputs names the towers a, a; a, b are needed"):
        convnet._layer(turned | {"conv3a.inputs": np.array(["pool2a", "pool2a"])}, layer, 2, "made.npz")


def test_faults(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    small = {name: array for name, array in arrays.items() if not name.startswith("fc")}
    dropped = {name: array for name, array in small.items() if name != "conv4b.biases"}
    for given, message in (
        (dropped, "conv4b.biases is missing; conv4 needs conv4b.weights.0, conv4b.biases"),
        (small | {"conv2a.weights.0": np.zeros((1201, 128))}, r"conv2a.weights.0 is \(1201, 128\); conv2 needs \(maps"),
        (small | {"conv2a.weights.0": np.array([None])}, "no plain array"),
        (small, "fc2048a.weights.0 is missing; fc6 needs"),
    ):
        np.savez(tmp_path / "made.npz", **given)
        with pytest.raises(UserError, match=message):
            read_weights(tmp_path / "made.npz", ImportOptions(mean=torch.zeros(3)))
    (tmp_path / "made.npz").write_bytes((tmp_path / "made.npz").read_bytes()[:5000])
    with pytest.raises(UserError, match="damaged"):
        read_weights(tmp_path / "made.npz")


def test_a_net_of_one_tower(tmp_path: Path) -> None:
    """cuda-convnet's own CIFAR nets: whole layers under the rows' names."""
    random, made = np.random.default_rng(0), {}
    for name, rows, outputs in (("conv1", 75, 32), ("conv2", 800, 32), ("conv3", 800, 64), ("fc10", 1024, 10)):
        made[f"{name}.weights.0"] = random.normal(size=(rows, outputs)).astype(np.float32)
        made[f"{name}.biases"] = random.normal(size=outputs).astype(np.float32)
    np.savez(tmp_path / "cifar.npz", **made)
    with pytest.raises(UserError, match=r"has no data_mean\. Give the mean"):
        read_weights(tmp_path / "cifar.npz", ImportOptions(net="cifar-19pct"))
    found = read_weights(tmp_path / "cifar.npz", ImportOptions(net="cifar-19pct", mean=torch.tensor([1.0, 2.0, 3.0])))
    expected = made["conv2.weights.0"][:, 7].reshape(32, 5, 5)
    assert np.array_equal(found.weights["conv2.weight"][7].numpy(), expected)
    assert np.array_equal(found.weights["fc10.weight"].numpy(), made["fc10.weights.0"].T)
    wide = change(ZOO["cifar-19pct"], "conv1", maps=64)
    assert tuple(found.weights["conv1.weight"].shape) != (wide.weighted[0].maps, 3, 5, 5)
