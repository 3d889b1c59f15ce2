"""The copies that the package's own loops compute with: as good as a cast, never out of date, unknown outside."""

import copy
import threading

import pytest
import torch
from torch import Tensor

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


def with_copies(network: Network, x: Tensor) -> Tensor:
    with torch.no_grad(), network.copies.in_use():
        return network(x)


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
    with mode(), network.copies.in_use():
        first, second = network(x), network(x)
    assert torch.equal(first, network(x))
    assert torch.equal(second, first)
    assert network.copies.of(network.get_parameter("conv1.weight")) is not None
    assert network.copies.of(network.get_parameter("fc8.weight")) is None  # the last layer works in float32


def test_copies_follow_their_weights(network: Network) -> None:
    x = pictures(network)
    before = with_copies(network, x)
    with torch.no_grad():
        network.get_parameter("conv1.weight").mul_(2)
    assert torch.equal(with_copies(network, x), network(x))
    assert not torch.equal(with_copies(network, x), before)
    network.load_state_dict(build("toy", seed=2).state_dict())
    assert torch.equal(with_copies(network, x), network(x))
    network.get_parameter("conv2.weight").data = torch.zeros_like(network.get_parameter("conv2.weight"))
    assert torch.equal(with_copies(network, x), network(x))


@pytest.mark.parametrize("edit", ["data", "numpy", "fused optimiser"])
def test_a_plain_call_sees_changes_that_torch_does_not_count(network: Network, edit: str) -> None:
    x = pictures(network)
    with_copies(network, x)  # copies are there, and not for a plain call
    before, weight = network(x), network.get_parameter("fc7.weight")
    if edit == "data":
        weight.data.mul_(2)
    elif edit == "numpy":
        weight.detach().numpy()[...] *= 2
    else:
        weight.grad = torch.ones_like(weight)
        torch.optim.Adam([weight], lr=0.1, fused=True).step()
    cast = copy.deepcopy(network)
    assert torch.equal(network(x), cast(x))
    assert not torch.equal(network(x), before)


def test_copies_are_in_use_in_their_own_thread_only(network: Network) -> None:
    """Another thread that calls the network while copies are in use casts its weights."""
    x = pictures(network)
    with_copies(network, x)
    network.get_parameter("fc7.weight").data.zero_()  # not counted: the copy is out of date
    found: list[Tensor] = []
    with network.copies.in_use():
        other = threading.Thread(target=lambda: found.append(network(x).detach()))
        other.start()
        other.join()
    assert torch.equal(found[0], network(x))


def test_a_copied_network_learns_for_itself(network: Network) -> None:
    network.copies.learn()
    other = copy.deepcopy(network)
    with other.copies.in_use():
        other(pictures(network)).sum().backward()
    assert all(weight.grad is not None for weight in other.parameters())


def step_of(network: Network, *, by_copies: bool) -> dict[str, Tensor]:
    """The weights after three updates in bf16."""
    update = Update(network, momentum=0.9, decay=5e-4, decay_biases=True)
    network.copies.learn(by_copies)
    for number in range(3):
        update.forget_gradients()
        with network.copies.in_use():
            network(pictures(network) / (number + 1)).square().mean().backward()
        update.step(Rates(1e-3, 2e-3))
    return network.state_dict()


def test_updates_by_copies_are_updates_by_casts() -> None:
    """Bit for bit: a gradient in bf16 made float32 is the same number."""
    first, second = (build("toy", seed=1).eval().channels_last() for _ in range(2))  # dropout would differ
    by_copies, by_casts = step_of(first, by_copies=True), step_of(second, by_copies=False)
    assert all(torch.equal(by_copies[name], by_casts[name]) for name in by_casts)
    assert first.copies.of(first.get_parameter("conv1.weight")) is not None
    assert not torch.equal(by_copies["conv1.weight"], build("toy", seed=1).state_dict()["conv1.weight"])


def test_filters_held_at_an_rms_are_held_in_the_copies_too() -> None:
    network = build("toy", seed=1).channels_last()
    network.copies.learn()
    update = Update(network, momentum=0.9, decay=0.0, decay_biases=True, rms_limit=1e-3)
    with network.copies.in_use():
        network(pictures(network)).square().mean().backward()
        update.step(Rates(1e-3, 1e-3))
        network(pictures(network))
    weight = network.get_parameter("conv1.weight")
    held = network.copies.of(weight)
    assert held is not None
    assert torch.equal(held.values, weight.to(HALF))
