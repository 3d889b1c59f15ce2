"""Against a real trained network, layer by layer on what was recorded of it (bvlc_alexnet, a poodle).

The recording pads its first layer "SAME" (57×57 instead of 55×55) and feeds it an input whose channel 0 repeats
channel 2: each layer is therefore fed with the recorded output of the one below.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from alexnet.data.sources.mat import read_mat
from alexnet.nets.network import Network
from alexnet.nets.table import Table, change, without
from alexnet.nets.zoo import ZOO

Pack = Callable[[str], Path]


@pytest.fixture(scope="module")
def recorded(shared_pack: Pack) -> dict[str, Tensor]:
    """Maps (1, C, H, W) and vectors (1, U) by the names of their files."""
    folder = shared_pack("alexnet-real") / "activations_poodle"
    maps = {}
    for file in folder.glob("*.mat"):
        (values,) = (v for k, v in read_mat(file.read_bytes(), file.name).items() if not k.startswith("__"))
        array = np.array(values, dtype=np.float32)
        maps[file.stem] = torch.from_numpy(array.reshape((-1, *array.shape[-3:]) if array.ndim > 2 else (1, -1)))
        if array.ndim > 2:
            maps[file.stem] = maps[file.stem].permute(0, 3, 1, 2)
    return maps


def padded_as_recorded() -> Table:
    """bvlc_alexnet's first rows, conv1 padded by 4 on every side."""
    table = change(ZOO["bvlc-alexnet"], "conv1", padding=4)
    return without(table, *(row.name for row in table.rows[4:]))


@pytest.fixture(scope="module")
def network(shared_pack: Pack) -> Network:
    """The first layers with the real, exact weights of conv1."""
    network = Network(padded_as_recorded())
    folder = shared_pack("alexnet-real") / "conv1_bvlc_alexnet"
    weights = {
        "conv1.weight": torch.from_numpy(np.load(folder / "conv1_bvlc_alexnet_OIHW.npy")),
        "conv1.bias": torch.from_numpy(np.loadtxt(folder / "conv1_b.txt", dtype=np.float32).reshape(-1)),
    }
    network.load_state_dict(weights)
    return network.eval()


@torch.inference_mode()
def test_conv1(network: Network, recorded: dict[str, Tensor]) -> None:
    assert network.layer("conv1").leaving.side == 57
    found = network.get_submodule("relu1")(network.get_submodule("conv1")(recorded["input"]))
    assert found.shape == recorded["conv1"].shape
    assert (found - recorded["conv1"]).abs().max() <= 1e-5 * recorded["conv1"].max()


@torch.inference_mode()
def test_response_norm(network: Network, recorded: dict[str, Tensor]) -> None:
    found = network.get_submodule("norm1")(recorded["conv1"])
    assert (found - recorded["lrn1"]).abs().max() <= 1e-4
    assert (recorded["conv1"] - recorded["lrn1"]).abs().max() > 1  # it does something here


@torch.inference_mode()
def test_max_pool_is_exact(network: Network, recorded: dict[str, Tensor]) -> None:
    assert torch.equal(network.get_submodule("pool1")(recorded["lrn1"]), recorded["maxpool1"])


@torch.inference_mode()
def test_the_fused_run_of_forward(network: Network, recorded: dict[str, Tensor]) -> None:
    found = network(recorded["input"])
    expected = recorded["maxpool1"].flatten(1)
    assert (found - expected).abs().max() <= 1e-5 * recorded["conv1"].max()


@torch.inference_mode()
def test_softmax(recorded: dict[str, Tensor]) -> None:
    assert (recorded["fc8"].softmax(dim=1) - recorded["prob"]).abs().max() <= 1e-5


@torch.inference_mode()
def test_the_printed_formula_is_another_one(network: Network, recorded: dict[str, Tensor]) -> None:
    """A test that can fail: with [A]'s constants the same layer misses the recording by far."""
    printed = Network(change(padded_as_recorded(), type(ZOO["bvlc-alexnet"]["norm1"]), k=2.0, convention="sum"))
    found = printed.get_submodule("norm1")(recorded["conv1"])
    assert (found - recorded["lrn1"]).abs().max() > 1
