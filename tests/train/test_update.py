"""The update rule and the schedules against the papers' words, written out here a second time."""

import pytest
import torch

from alexnet.errors import UsageError
from alexnet.nets.network import build
from alexnet.train.recipes import Stage, describe, find
from alexnet.train.schedule import Logged, Plateau, Polynomial, Rates
from alexnet.train.update import Lars, Update, renormalise_filters


def rule(w: torch.Tensor, v: torch.Tensor, g: torch.Tensor, learning_rate: float) -> tuple[torch.Tensor, torch.Tensor]:
    """[A] §5."""
    v = 0.9 * v - 0.0005 * learning_rate * w - learning_rate * g
    return w + v, v


def test_three_updates_with_a_drop_between_them() -> None:
    network = build("toy", seed=1)
    update = Update(network, momentum=0.9, decay=0.0005, decay_biases=True)
    expected = {
        name: (weight.detach().clone().double(), torch.zeros_like(weight).double())
        for name, weight in network.named_parameters()
    }
    for step, learning_rate in enumerate((0.01, 0.01, 0.001)):
        for place, (name, weight) in enumerate(network.named_parameters()):
            weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(100 * step + place))
            expected[name] = rule(*expected[name], weight.grad.double(), learning_rate)
        update.step(Rates(learning_rate, learning_rate))
    for name, weight in network.named_parameters():
        torch.testing.assert_close(weight.detach().double(), expected[name][0], rtol=1e-5, atol=1e-7)


def test_the_velocity_keeps_its_size_when_the_rate_drops() -> None:
    """torch.optim.SGD rescales it: the two agree until the drop and differ after it."""
    ours, theirs = build("toy", seed=1), build("toy", seed=1)
    update = Update(ours, momentum=0.9, decay=0.0005, decay_biases=True)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.01, momentum=0.9, weight_decay=0.0005)

    def both(learning_rate: float) -> float:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        for place, (a, b) in enumerate(zip(ours.parameters(), theirs.parameters(), strict=True)):
            a.grad = torch.randn(a.shape, generator=torch.Generator().manual_seed(place))
            b.grad = a.grad.clone()
        update.step(Rates(learning_rate, learning_rate))
        optimizer.step()
        return max(
            float((a - b).detach().abs().max()) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True)
        )

    assert both(0.01) < 1e-6
    assert both(0.01) < 1e-6
    assert both(0.001) > 1e-3


def test_biases_may_have_a_rate_of_their_own_and_no_decay() -> None:
    network = build("toy", seed=1)
    update = Update(network, momentum=0.9, decay=0.5, decay_biases=False)
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
    renormalise_filters(network, 0.1)
    assert float(weight[0].square().mean().sqrt()) == pytest.approx(0.1)
    assert torch.equal(weight[1], small)
    assert torch.equal(frozen, kept)


# ── LARS and its schedule ────────────────────────────────────────────────────────────────────────────────────────


def lars_rule(
    w: torch.Tensor, v: torch.Tensor, g: torch.Tensor, learning_rate: float, *, adapted: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """arXiv:1708.03888, algorithm 1, in the paper's signs: v ← m·v + γ·λ·(g + β·w); w ← w − v. Biases: λ = 1, β = 0."""
    decay = 0.0005 if adapted else 0.0
    local = 0.001 * w.norm() / (g.norm() + decay * w.norm()) if adapted else 1.0
    v = 0.9 * v + learning_rate * local * (g + decay * w)
    return w - v, v


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("net", ["toy", "alexnet-bn"])
def test_lars_against_the_paper_in_float64(net: str, dtype: torch.dtype) -> None:
    """Weights by their trust ratio; biases and batch norms at their own plain rate. ‖w‖ spans seven decades."""
    network = build(net, classes=4, width=1.0 if net == "toy" else 0.05, seed=1).to(dtype)
    update = Update(network, momentum=0.9, decay=0.0005, decay_biases=False, lars=Lars(0.001))
    names = dict(network.named_parameters())
    expected = {name: (w.detach().clone().double(), torch.zeros_like(w).double()) for name, w in names.items()}
    for step, learning_rate in enumerate((0.0, 10.0, 25.0, 3.0)):
        for place, (name, weight) in enumerate(names.items()):
            noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(100 * step + place))
            weight.grad = (noise * 10.0 ** (place % 7 - 4)).to(dtype)
            adapted = weight.ndim > 1
            each = learning_rate if adapted else 0.01 * learning_rate
            expected[name] = lars_rule(*expected[name], weight.grad.double(), each, adapted=adapted)
        update.step(Rates(learning_rate, 0.01 * learning_rate))
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    for name, weight in names.items():
        # The norms are float32 sums: their rounding is the update's, 1e-7 of it.
        torch.testing.assert_close(weight.detach().double(), expected[name][0], rtol=tolerance, atol=1e-6)


def test_lars_changes_every_weight_tensor_by_the_same_share() -> None:
    network = build("toy", seed=1)
    update = Update(network, momentum=0.9, decay=0.0, decay_biases=False, lars=Lars(0.001))
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    for place, weight in enumerate(network.parameters()):
        weight.grad = torch.randn(weight.shape) * 10.0**-place
    update.step(Rates(8.0, 0.0))
    for name, weight in network.named_parameters():
        share = float((weight.detach() - before[name]).norm() / before[name].norm().clamp_min(1e-9))
        assert share == pytest.approx(0 if name.endswith(".bias") else 0.008, rel=1e-3), name


def test_lars_where_a_norm_is_nothing() -> None:
    lars = Lars(0.001)
    assert [lars.ratio(0.0, 1.0, 0.0), lars.ratio(1.0, 0.0, 0.0), lars.ratio(0.0, 0.0, 0.5)] == [1.0, 1.0, 1.0]
    assert lars.ratios({"a": torch.tensor([2.0, 3.0])}, {"a": 0.5}) == pytest.approx({"a": 0.001 * 2 / (3 + 0.5 * 2)})
    assert lars.ratios({}, {}) == {}


def test_lars_heeds_a_layer_s_own_decay() -> None:
    """conv1 without decay, the others with the rule's: in λ and in the velocity alike."""
    network = build("toy", seed=1).double()
    update = Update(network, momentum=0.9, decay=0.5, decay_biases=False, layer_decays={"conv1": 0.0}, lars=Lars(0.001))
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    for weight in network.parameters():
        weight.grad = torch.ones_like(weight)
    update.step(Rates(2.0, 0.0))
    for name, decay in (("conv1.weight", 0.0), ("conv2.weight", 0.5)):
        w, g = before[name], torch.ones_like(before[name])
        ratio = 0.001 * w.norm() / (g.norm() + decay * w.norm())
        torch.testing.assert_close(network.get_parameter(name).detach(), w - 2 * ratio * (g + decay * w))


def test_warm_up_and_polynomial_decay() -> None:
    """By hand, as the authors' solver has it: 100 updates an epoch, 10 epochs, 2 of them warm-up, rate 8, power 2."""
    schedule = Polynomial(8.0, 0.5, 10, 2.0, 2.0)
    at = {update: schedule.rates(1 + update // 100, update % 100 / 100) for update in (0, 50, 199, 200, 500, 999)}
    expected = [0.0, 8 * 50 / 200, 8 * 199 / 200, 8 * 0.8**2, 8 * 0.5**2, 8 * 0.001**2]
    assert [rates.weights for rates in at.values()] == pytest.approx(expected)
    assert at[50].biases == pytest.approx(1.0)
    assert schedule.rates(11).weights == 0
    assert Polynomial(8.0, 1.0, 10, 0.0, 2.0).rates(1).weights == 8.0


def test_recipes_for_large_batches_are_the_solver_files() -> None:
    """Updates of warm-up and in all on ImageNet, base rates (docs/sources.md §13)."""
    for name, batch, learning_rate, ramp, updates in (
        ("bn-8k", 8192, 10, 600, 15_639),
        ("bn-16k", 16384, 24, 400, 7_820),
        ("bn-32k", 32768, 32, 400, 3_910),
    ):
        recipe = find(name)
        an_epoch = 1_281_167 / batch
        assert (recipe.net, recipe.batch, recipe.learning_rate, recipe.trust, recipe.power) == (
            "alexnet-bn", batch, learning_rate, 0.001, 2,
        )  # fmt: skip
        assert recipe.warmup * an_epoch == pytest.approx(ramp)
        assert recipe.epochs * an_epoch == pytest.approx(updates, abs=1)
        assert recipe.learning_rate * recipe.bias_factor < 0.5
    assert (find("bn-512").learning_rate, find("bn-512").trust) == (0.08, None)


def test_the_rule_is_told_in_words() -> None:
    assert describe(find("paper")) == (
        "the rule of 2012; learning rate 0.01, divided by 10 when validation stalls; batches of 128 pictures"
    )
    assert describe(find("bn-8k"), 64) == (
        "LARS: each weight tensor at 0.001·‖w‖ / (‖g‖ + 0.0005·‖w‖) times the learning rate, biases and batch norms at "
        "0.01 times it; learning rate 10: a line up to it over 3.84 epochs, then times (1 − t)^2, t from 0 to 1 over "
        "100 epochs; batches of 8,192 pictures in 64 micro-batches of 128 whose gradients add up"
    )
    assert "learning rate 0.01, changed at the epochs of recipe 145" in describe(find("145"))


# ── schedules ────────────────────────────────────────────────────────────────────────────────────────────────────


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
        second.state = first.state
        for epoch, error in enumerate(errors[cut:], cut + 1):
            second.after(epoch, error)
        assert second.state == errors_to_drops(errors)[1].state


def test_logged_schedule_of_145() -> None:
    """25, 51, 67 (conv1 1e-5, noise off), 72 (conv1 0), 79, stop 91; biases stay at 0.02 (docs/sources.md §7)."""
    schedule = Logged(find("145").staged(91, 0.01))
    rates = {epoch: schedule.rates(epoch) for epoch in (1, 24, 25, 51, 66, 67, 72, 79, 91)}
    assert [rates[e].weights for e in (1, 24, 25, 51, 79)] == pytest.approx([0.01, 0.01, 0.001, 0.0001, 0.00001])
    assert rates[67].of("conv1", bias=False) == pytest.approx(1e-5)
    assert rates[67].of("conv2", bias=False) == pytest.approx(1e-4)
    assert (rates[66].colour, rates[67].colour) == (True, False)
    assert rates[72].of("conv1", bias=True) == 0
    assert rates[91].of("conv2", bias=True) == pytest.approx(0.02)
    assert Logged(find("145-2010").staged(93, 0.01)).rates(93).biases == pytest.approx(0.002)


def test_a_logged_schedule_scales_with_epochs_and_rate() -> None:
    stages = find("145").staged(9, 0.02)
    assert [stage.epoch for stage in stages] == [1, 2, 5, 7, 7, 8]
    assert stages[0].learning_rate == pytest.approx(0.02)
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
        assert plateau.state.drops == 0


def test_of_two_stages_in_one_epoch_the_last_is_told() -> None:
    schedule = Logged(find("145").staged(5, 0.01))
    epoch = next(e for e in range(1, 6) if schedule.rates(e).layer_rates.get("conv1") == 0)
    told = schedule.after(epoch - 1, 0.5)
    assert told is not None
    assert "conv1 0" in told


def test_decay_may_differ_from_layer_to_layer() -> None:
    """One step without gradient's part: w + v with v = −decay · rate · w."""
    network = build("toy", 4, seed=1)
    update = Update(network, momentum=0.9, decay=0.5, decay_biases=False, layer_decays={"conv1": 0.0, "fc8": 0.25})
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    for weight in network.parameters():
        weight.grad = torch.zeros_like(weight)
    update.step(Rates(0.1, 0.1))
    for name, weight in network.named_parameters():
        layer, kind = name.split(".")
        decay = {"conv1": 0.0, "fc8": 0.25}.get(layer, 0.5) if kind == "weight" else 0.0
        torch.testing.assert_close(weight.detach(), before[name] * (1 - 0.1 * decay))
