"""The copies that layers with float32 weights work with in half precision: as good as a cast, never out of date."""

import copy

import pytest
import torch
from torch import Tensor

from alexnet.nets.layers import WeightedLayer
from alexnet.nets.network import Network, build
from alexnet.train.schedule import Rates
from alexnet.train.update import Update

HALF = torch.bfloat16


@pytest.fixture
def network() -> Network:
    return build("toy", seed=1).eval()


def pictures(network: Network) -> Tensor:
    shape = (2, 3, network.input_size, network.input_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).mul(50).to(HALF)


def weighted(network: Network) -> list[WeightedLayer]:
    return [layer for layer in network.children() if isinstance(layer, WeightedLayer)]


def logits_by_casts(network: Network, x: Tensor) -> Tensor:
    """What the network gives where nothing is kept: autograd is on, and each layer casts its weights."""
    with torch.enable_grad():
        return network(x).detach()


def test_weights_made_in_inference_mode_are_cast_at_every_pass(network: Network) -> None:
    """torch doesn't count their changes, so that a copy could be out of date."""
    with torch.inference_mode():
        copied = copy.deepcopy(network)
        assert copied.conv1.weight.is_inference()  # pyright: ignore[reportAttributeAccessIssue]
        for changed in (copied, network):
            before = copied(pictures(network))
            for weight in changed.parameters():
                weight.mul_(2)
            assert torch.equal(copied(pictures(network)), before) == (changed is network)
        assert torch.equal(copied(pictures(network)), network(pictures(network)))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_pass_with_copies_is_a_pass_with_casts(network: Network, mode) -> None:
    x = pictures(network)
    with mode():
        first, second = network(x), network(x)
    assert torch.equal(first, logits_by_casts(network, x))
    assert torch.equal(second, first)
    assert all(layer.copies for layer in weighted(network)[:-1])  # the last works in float32


def test_copies_follow_their_weights(network: Network) -> None:
    x = pictures(network)
    before = torch.no_grad()(network)(x)
    with torch.no_grad():
        network.get_parameter("conv1.weight").mul_(2)
    assert torch.equal(torch.no_grad()(network)(x), logits_by_casts(network, x))
    assert not torch.equal(torch.no_grad()(network)(x), before)
    network.load_state_dict(build("toy", seed=2).state_dict())
    assert torch.equal(torch.no_grad()(network)(x), logits_by_casts(network, x))
    network.get_parameter("conv2.weight").data = torch.zeros_like(network.get_parameter("conv2.weight"))
    assert torch.equal(torch.no_grad()(network)(x), logits_by_casts(network, x))


def test_a_copied_network_learns_for_itself(network: Network) -> None:
    network.learn_by_copies()
    other = copy.deepcopy(network)
    other(pictures(network)).sum().backward()
    assert all(weight.grad is not None for weight in other.parameters())


def step_of(network: Network, *, by_copies: bool) -> dict[str, Tensor]:
    """The weights after three updates in bf16."""
    update = Update.of(network, momentum=0.9, decay=5e-4, decay_biases=True)
    network.learn_by_copies(by_copies)
    for number in range(3):
        update.forget_gradients()
        network(pictures(network) / (number + 1)).square().mean().backward()
        update.step(Rates(1e-3, 2e-3))
    return network.state_dict()


def test_updates_by_copies_are_updates_by_casts() -> None:
    """Bit for bit: a gradient in bf16 made float32 is the same number."""
    first, second = build("toy", seed=1).eval(), build("toy", seed=1).eval()  # dropout would differ
    by_copies, by_casts = step_of(first, by_copies=True), step_of(second, by_copies=False)
    assert all(torch.equal(by_copies[name], by_casts[name]) for name in by_casts)
    assert all(layer.copies for layer in weighted(first)[:-1])
    assert not torch.equal(by_copies["conv1.weight"], build("toy", seed=1).state_dict()["conv1.weight"])


def test_filters_held_at_an_rms_are_held_in_the_copies_too() -> None:
    network = build("toy", seed=1)
    network.learn_by_copies()
    update = Update.of(network, momentum=0.9, decay=0.0, decay_biases=True, rms_limit=1e-3)
    network(pictures(network)).square().mean().backward()
    update.step(Rates(1e-3, 1e-3))
    network(pictures(network))
    layer = network.get_submodule("conv1")
    assert isinstance(layer, WeightedLayer)
    assert torch.equal(layer.copies["weight"].values, layer.weight.to(HALF))
