"""Filters in figures: waves whose frequency is known, dead filters, sampling limits; and the linear patterns."""

import math

import pytest
import torch
from made_networks import small
from torch import Tensor

from alexnet.errors import UserError
from alexnet.nets.network import Network
from alexnet.nets.table import Activation, Conv, Dense, Pool, Table
from alexnet.see.diagnosis import diagnose, linear_pattern


def waves(network: Network, cycles_per_pixel: list[float]) -> Network:
    """The first layer's filters as grey waves of these frequencies, columnwise."""
    weight = network.get_parameter("conv1.weight")
    along = torch.arange(weight.shape[-1]).float()
    with torch.no_grad():
        for channel, frequency in enumerate(cycles_per_pixel):
            weight[channel] = torch.cos(2 * math.pi * frequency * along).expand_as(weight[channel])
    return network


def test_waves_fall_where_their_frequency_is() -> None:
    network = waves(small("alexnet", width=0.25, input_size=99), [0.0, 0.1, 0.2, 0.4])
    found = diagnose(network)
    assert found.low[0] > 0.5 > found.low[1]
    assert (found.high[:3] < 0.2).all()
    assert found.high[3] > 0.85
    assert found.aliased[0] < 0.25, "the limit of stride 4 is 1/8 cycles per pixel"
    assert (found.aliased[2:] > 0.85).all()
    zeiler = diagnose(waves(small("zfnet", width=0.25, input_size=99), [0.0, 0.1, 0.2, 0.4]))
    assert zeiler.aliased[2] < 0.35, "the limit of stride 2 is 1/4"
    assert zeiler.aliased[3] > 0.8


def test_noise_has_its_energy_in_proportion_to_the_area() -> None:
    network = small("alexnet", width=1, input_size=99)
    found = diagnose(network)
    assert float(found.high.mean()) == pytest.approx(1 - math.pi / 16, abs=0.02)
    assert float(found.aliased.mean()) == pytest.approx(1 - 1 / 16, abs=0.02)


def test_dead_and_dominating_filters() -> None:
    network = small("alexnet", width=0.25, input_size=99)
    with torch.no_grad():
        network.get_parameter("conv1.weight")[3] *= 0.001
        network.get_parameter("conv1.weight")[5] *= 50
    found = diagnose(network)
    assert found.dead.nonzero().flatten().tolist() == [3]
    told = found.as_json()
    assert told["dead"] == 1
    assert told["dominance"] == pytest.approx(50, rel=0.15)
    assert told["rms"]["largest"] == pytest.approx(float(found.weights[5].pow(2).mean().sqrt()))
    assert told["at_or_above_rms_limit"] == int((found.rms >= 0.1).sum())


def by_hand(first: Tensor, second: Tensor) -> Tensor:
    """conv1 3×3, pool 2/2, conv2 2×2: each weight of conv2 lays conv1's filters down two pixels apart."""
    pattern = torch.zeros(3, 12, 12)
    centre = 2  # conv2's map of 4: its middle unit 2 reads pooled rows 2 and 3; pool puts them at rows 5 and 7
    for channel in range(first.shape[0]):
        for y in range(2):
            for x in range(2):
                top, left = (2 * (centre + y) + 1, 2 * (centre + x) + 1)
                pattern[:, top : top + 3, left : left + 3] += second[0, channel, y, x] * first[channel]
    return pattern


def test_a_linear_pattern_by_hand() -> None:
    rows = (Conv("conv1", 4, 3), Activation("r"), Pool("p", 2, 2), Conv("conv2", 1, 2))
    network = Network(Table("made here", rows, 12)).eval()
    for number, weight in enumerate(network.parameters()):
        weight.data = torch.randn(weight.shape, generator=torch.Generator().manual_seed(number))
    first, second = (network.get_parameter(f"{name}.weight").detach() for name in ("conv1", "conv2"))
    torch.testing.assert_close(linear_pattern(network, "conv2", [0])[0], by_hand(first, second))


@pytest.mark.parametrize("name", ["alexnet-145", "alexnet-4col", "torchvision", "zfnet", "alexnet-bn", "cifar-18pct"])
def test_patterns_of_every_kind_of_network(name: str) -> None:
    network = small(name)
    pattern = linear_pattern(network, network.table.weighted[1].name, [0, 1])
    assert pattern.shape == (2, 3, network.input_size, network.input_size)
    assert pattern.abs().amax() > 0
    with pytest.raises(UserError, match="has no map 9999"):
        linear_pattern(network, "conv2", [9999])


def test_a_network_without_filters() -> None:
    network = Network(Table("dense", (Dense("fc1", 4), Dense("fc2", 2)), 4))
    with pytest.raises(UserError, match="dense: its first layer is no convolution"):
        diagnose(network)
