"""The update rule and the schedules against the papers' words, written out here a second time."""

import pytest
import torch

from alexnet.errors import UsageError
from alexnet.nets.network import build
from alexnet.train.recipes import RECIPES, Stage, find
from alexnet.train.schedule import Logged, Plateau, Rates
from alexnet.train.update import Update, limit_filters


def rule(w: torch.Tensor, v: torch.Tensor, g: torch.Tensor, rate: float) -> tuple[torch.Tensor, torch.Tensor]:
    """[A] §5."""
    v = 0.9 * v - 0.0005 * rate * w - rate * g
    return w + v, v


def test_three_updates_with_a_drop_between_them() -> None:
    network = build("toy", seed=1)
    update = Update.of(network, momentum=0.9, decay=0.0005, decay_biases=True)
    expected = {
        name: (weight.detach().clone().double(), torch.zeros_like(weight).double())
        for name, weight in network.named_parameters()
    }
    for step, rate in enumerate((0.01, 0.01, 0.001)):
        for place, (name, weight) in enumerate(network.named_parameters()):
            weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(100 * step + place))
            expected[name] = rule(*expected[name], weight.grad.double(), rate)
        update.step(Rates(rate, rate))
    for name, weight in network.named_parameters():
        torch.testing.assert_close(weight.detach().double(), expected[name][0], rtol=1e-5, atol=1e-7)


def test_the_velocity_keeps_its_size_when_the_rate_drops() -> None:
    """torch.optim.SGD rescales it: the two agree until the drop and differ after it."""
    ours, theirs = build("toy", seed=1), build("toy", seed=1)
    update = Update.of(ours, momentum=0.9, decay=0.0005, decay_biases=True)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.01, momentum=0.9, weight_decay=0.0005)

    def both(rate: float) -> float:
        for group in optimizer.param_groups:
            group["lr"] = rate
        for place, (a, b) in enumerate(zip(ours.parameters(), theirs.parameters(), strict=True)):
            a.grad = torch.randn(a.shape, generator=torch.Generator().manual_seed(place))
            b.grad = a.grad.clone()
        update.step(Rates(rate, rate))
        optimizer.step()
        return max(
            float((a - b).detach().abs().max()) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True)
        )

    assert both(0.01) < 1e-6
    assert both(0.01) < 1e-6
    assert both(0.001) > 1e-3


def test_biases_may_have_a_rate_of_their_own_and_no_decay() -> None:
    network = build("toy", seed=1)
    update = Update.of(network, momentum=0.9, decay=0.5, decay_biases=False)
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    for weight in network.parameters():
        weight.grad = torch.ones_like(weight)
    update.step(Rates(0.01, 0.02, {"conv1": 0.0, "conv2": 0.001}))
    after = dict(network.named_parameters())
    assert torch.equal(after["conv1.weight"], before["conv1.weight"])
    assert torch.equal(after["conv1.bias"], before["conv1.bias"])
    torch.testing.assert_close(after["conv2.weight"], before["conv2.weight"] * (1 - 0.5 * 0.001) - 0.001)
    torch.testing.assert_close(after["conv2.bias"], before["conv2.bias"] - 0.02)
    torch.testing.assert_close(after["fc8.bias"], before["fc8.bias"] - 0.02)


@torch.no_grad()
def test_filters_are_held_at_an_rms() -> None:
    network = build("toy", seed=1)
    weight = network.get_parameter("conv1.weight")
    weight[0] *= 1000
    frozen = network.get_parameter("conv2.weight").requires_grad_(False)
    frozen *= 1000
    kept = frozen.clone()
    small = weight[1].clone()
    limit_filters(network, 0.1)
    assert float(weight[0].square().mean().sqrt()) == pytest.approx(0.1)
    assert torch.equal(weight[1], small)
    assert torch.equal(frozen, kept)


def errors_to_drops(errors: list[float], patience: int = 2) -> tuple[list[int], Plateau]:
    plateau = Plateau(0.01, 1.0, patience, 0.001)
    drops = [epoch for epoch, error in enumerate(errors, 1) if plateau.after(epoch, error)]
    return drops, plateau


def test_the_rate_falls_after_patience_epochs_without_a_better_error() -> None:
    drops, plateau = errors_to_drops([0.9, 0.8, 0.7, 0.7, 0.6995, 0.6])
    assert drops == [5]  # 0.6995 is less than 0.1 points better than 0.7
    assert plateau.rates(7).weights == pytest.approx(0.001)


def test_a_better_error_starts_the_wait_anew() -> None:
    assert errors_to_drops([0.9, 0.9, 0.8, 0.8, 0.7, 0.7])[0] == []


def test_three_drops_then_the_end() -> None:
    drops, plateau = errors_to_drops([0.5] * 9)
    assert drops == [3, 5, 7, 9]
    assert plateau.finished
    assert errors_to_drops([0.5] * 8)[1].finished is False


def test_a_plateau_taken_up_again_goes_on_waiting() -> None:
    errors = [0.9, 0.7, 0.7, 0.71, 0.6, 0.6, 0.6]
    for cut in range(len(errors)):
        _, first = errors_to_drops(errors[:cut])
        second = Plateau(0.01, 1.0, 2, 0.001)
        second.restore(first.state())
        for epoch, error in enumerate(errors[cut:], cut + 1):
            second.after(epoch, error)
        assert second.state() == errors_to_drops(errors)[1].state()


def test_logged_schedule_of_145() -> None:
    """25, 51, 67 (conv1 1e-5, noise off), 72 (conv1 0), 79, stop 91; biases stay at 0.02 (`facts`, §2)."""
    schedule = Logged(RECIPES["145"].staged(91, 0.01))
    rates = {epoch: schedule.rates(epoch) for epoch in (1, 24, 25, 51, 66, 67, 72, 79, 91)}
    assert [rates[e].weights for e in (1, 24, 25, 51, 79)] == pytest.approx([0.01, 0.01, 0.001, 0.0001, 0.00001])
    assert rates[67].of("conv1", bias=False) == pytest.approx(1e-5)
    assert rates[67].of("conv2", bias=False) == pytest.approx(1e-4)
    assert (rates[66].colour, rates[67].colour) == (True, False)
    assert rates[72].of("conv1", bias=True) == 0
    assert rates[91].of("conv2", bias=True) == pytest.approx(0.02)
    assert Logged(RECIPES["145-2010"].staged(93, 0.01)).rates(93).biases == pytest.approx(0.002)


def test_a_logged_schedule_scales_with_epochs_and_rate() -> None:
    stages = RECIPES["145"].staged(9, 0.02)
    assert [stage.epoch for stage in stages] == [1, 2, 5, 7, 7, 8]
    assert stages[0].rate == pytest.approx(0.02)
    assert stages[3].layer_rates["conv1"] == pytest.approx(2e-5)
    assert isinstance(stages[0], Stage)


def test_unknown_recipe_names_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"--recipe 999.*145-half"):
        find("999")


def test_exactly_a_tenth_of_a_point_counts() -> None:
    """In a validation set of 1,000 (or 50,000) a tenth of a point is one (fifty) pictures."""
    for size, step in ((1_000, 1), (50_000, 50)):
        plateau = Plateau(0.01, 1.0, 2, 0.001)
        for errors in range(size // 2, size // 2 - 40 * step, -step):
            assert plateau.after(1, errors / size) is None
        assert plateau.drops == 0


def test_of_two_stages_in_one_epoch_the_last_is_told() -> None:
    schedule = Logged(RECIPES["145"].staged(5, 0.01))
    epoch = next(e for e in range(1, 6) if schedule.rates(e).layer_rates.get("conv1") == 0)
    told = schedule.after(epoch - 1, 0.5)
    assert told is not None
    assert "conv1 0" in told


def test_decay_may_differ_from_layer_to_layer() -> None:
    """One step without gradient's part: w + v with v = −decay · rate · w."""
    network = build("toy", 4, seed=1)
    update = Update.of(network, momentum=0.9, decay=0.5, decay_biases=False, layer_decays={"conv1": 0.0, "fc8": 0.25})
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    for weight in network.parameters():
        weight.grad = torch.zeros_like(weight)
    update.step(Rates(0.1, 0.1))
    for name, weight in network.named_parameters():
        layer, kind = name.split(".")
        decay = {"conv1": 0.0, "fc8": 0.25}.get(layer, 0.5) if kind == "weight" else 0.0
        torch.testing.assert_close(weight.detach(), before[name] * (1 - 0.1 * decay))
