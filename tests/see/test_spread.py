"""How often units answer, and whom they hear: against computations written plainly."""

from pathlib import Path

import numpy as np
import pytest
import torch
from made_networks import lively, small

from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.measure.run import Run
from alexnet.nets.network import build
from alexnet.see.activation_statistics import ActivationStatistics, measure_activations
from alexnet.see.connections import connection_sums, filters_of, weighted_layers


def test_the_peaks_are_those_of_each_picture_alone(run: Run, store: Store, tmp_path: Path) -> None:
    part = store.splits["val"]
    found = measure_activations(run.viewer, part, ["conv2", "fc6"], most=7)
    numbers = np.linspace(0, len(part) - 1, 7).round().astype(int)
    edge = (run.inputs.side - run.inputs.size) // 2
    inner = slice(edge, edge + run.inputs.size)
    for row, number in enumerate(numbers):
        pixels = torch.from_numpy(part.read(np.array([number]))[0]).permute(2, 0, 1).float()
        seen = run.network.activations((pixels - run.inputs.mean_image)[None, :, inner, inner])
        assert found.peaks["conv2"][row] == pytest.approx(
            seen["conv2"][0].amax(dim=(1, 2)).detach(), rel=1e-4, abs=1e-3
        )
        assert found.peaks["fc6"][row] == pytest.approx(seen["fc6"][0].detach(), rel=1e-4, abs=1e-3)
    found.save(tmp_path / "spread.safetensors")
    again = ActivationStatistics.load(tmp_path / "spread.safetensors")
    assert again.histogram("conv2", 3) == found.histogram("conv2", 3)
    told = again.as_json("conv2", 3)
    assert sum(told["counts"]) == 7
    assert told["active"] == float((found.peaks["conv2"][:, 3] > 0).double().mean())
    with pytest.raises(UserError, match="conv3 · 1 were not looked at"):
        found.histogram("conv3", 1)


@pytest.mark.parametrize("name", ["toy", "alexnet", "alexnet-4col", "alexnet-half"])
def test_sums_are_what_one_channel_below_adds(name: str) -> None:
    """A unit's sums hold all of its weights; it reads a map if, and only if, changing the map changes it, and a map of
    ones adds the sum where the whole window is inside."""
    network = small(name, classes=8)
    for layer in weighted_layers(network):
        found = connection_sums(network, layer.row.name)
        assert found.shape == (layer.leaving.maps, layer.entering.maps)
        weight = network.get_parameter(f"{layer.row.name}.weight")
        assert torch.allclose(found.sum(dim=1), weight.detach().flatten(1).sum(dim=1), rtol=1e-4, atol=1e-5)
        picture = torch.zeros(1, layer.entering.maps, layer.entering.side, layer.entering.side)
        module = network.get_submodule(layer.row.name)
        silent = module(picture)
        for below in range(0, layer.entering.maps, max(1, layer.entering.maps // 5)):
            changed = picture.clone()
            changed[:, below] = 1 + torch.arange(layer.entering.side**2).reshape(layer.entering.side, -1) % 7
            moved = (module(changed) - silent)[0].abs().reshape(layer.leaving.maps, -1).amax(dim=1)
            assert torch.equal(moved > 1e-9, found[:, below] != 0), (layer.row.name, below)
            ones = picture.clone()
            ones[:, below] = 1
            added = (module(ones) - silent)[0].reshape(layer.leaving.maps, -1)
            middle = added.unflatten(1, (layer.leaving.side,) * 2)[:, layer.leaving.side // 2, layer.leaving.side // 2]
            assert torch.allclose(middle, found[:, below], rtol=1e-3, atol=1e-5), (layer.row.name, below)


def test_filters_are_the_weights_and_dense_layers_have_none() -> None:
    network = lively(build("toy", 4))
    assert torch.equal(filters_of(network, "conv2", 5), network.get_parameter("conv2.weight")[5].detach())
    with pytest.raises(UserError, match="no filters to show"):
        filters_of(network, "fc6", 0)
