"""The recipes by number against the log, written out independently: docs/sources.md §7 and §8."""

from itertools import pairwise

import pytest

from alexnet.experiments.krizhevsky2012.runs import by_recipe, logged_runs
from alexnet.train.recipes import every_recipe, find
from alexnet.train.schedule import Logged

# run → (0.001 at, 0.0001 at, conv1 1e-5 and noise off at, conv1 still at, rest 1e-5 at, stop); 0: not in the log
BY_HAND = {
    "145": (25, 51, 67, 72, 79, 91),
    "145-2010": (23, 51, 68, 72, 78, 93),
    "145-half": (20, 48, 66, 72, 0, 96),
    "148": (22, 44, 69, 73, 86, 97),
    "150": (25, 49, 66, 72, 79, 92),
}
NETS = {
    "145-half": "alexnet-145-half",
    "146-2009": "alexnet-145-conv6",
    "146-2011": "alexnet-145-conv6-linear",
    "147": "alexnet-145-pool2x2",
    "148": "alexnet-145-no-norm",
    "149": "alexnet-145-norm5",
    "150": "alexnet-145-nocomm",
    "166": "alexnet-145-norms2-first",
    "167": "alexnet-145-no-norm2",
    "177": "alexnet-145-dropout4",
    "170": "alexnet-145",
}
# run → first rate, last rate, plateaus, noise off at, conv1 still at, epochs
PLATEAUS = {
    "160": (0.02, 1e-5, 4, 61, 0, 90),
    "162": (0.01, 1e-5, 3, 61, 0, 90),
    "163": (0.01, 1e-5, 4, 61, 73, 90),
    "165": (0.01, 2e-5, 4, 63, 78, 90),
    "166": (0.01, 1e-5, 4, 64, 73, 90),
    "167": (0.01, 1e-5, 4, 63, 73, 90),
    "169": (0.01, 2e-5, 4, 60, 73, 95),
    "169-80": (0.01, 2e-5, 4, 53, 74, 80),
    "170": (0.01, 4e-5, 4, 68, 74, 90),
    "171": (0.01, 2e-5, 5, 60, 72, 95),
    "175": (0.01, 8e-5, 4, 60, 75, 90),
    "177": (0.01, 4e-5, 4, 60, 73, 90),
}
EXPONENTIAL = {"154": (0.01, 1e-5), "155": (0.02, 5e-6), "156": (0.02, 1e-5), "157": (0.04, 5e-6), "158": (0.04, 2e-6)}


def rates(name: str) -> list:
    recipe = find(name)
    schedule = Logged(recipe.stages)
    return [schedule.rates(epoch) for epoch in range(1, recipe.epochs + 1)]


@pytest.mark.parametrize("name", BY_HAND)
def test_runs_whose_rate_was_lowered_by_hand(name: str) -> None:
    first, second, annealed, still, last, stop = BY_HAND[name]
    epochs = rates(name)
    assert len(epochs) == stop
    for epoch, found in enumerate(epochs, 1):
        weights = 1e-2 if epoch < first else 1e-3 if epoch < second else 1e-5 if last and epoch >= last else 1e-4
        conv1 = 0 if epoch >= still else 1e-5 if epoch >= annealed else weights
        assert found.weights == pytest.approx(weights)
        assert found.of("conv1", bias=False) == pytest.approx(conv1)
        assert found.colour == (epoch < annealed)
        assert found.of("fc6", bias=True) == (2e-3 if name == "145-2010" and epoch >= first else 2e-2)


@pytest.mark.parametrize("name", NETS)
def test_networks(name: str) -> None:
    assert find(name).net == NETS[name]


def test_non_overlapping_pools() -> None:
    found = rates("147")
    assert len(found) == 90
    assert [found[epoch - 1].weights for epoch in (22, 23, 50, 51, 78, 79)] == [1e-2, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5]
    assert [found[epoch - 1].of("conv1", bias=False) for epoch in (78, 79)] == [1e-4, 0]


def test_the_continued_run() -> None:
    """Epochs 92 to 135 of run 145: 1e-3; 107 → 1e-4; 124 → 1e-5 without noise; conv1 stays still."""
    found = rates("145-continued")
    assert len(found) == 135 - 91
    for epoch, now in enumerate(found, 92):
        assert now.weights == (1e-3 if epoch < 107 else 1e-4 if epoch < 124 else 1e-5)
        assert now.of("conv1", bias=False) == now.of("conv1", bias=True) == 0
        assert now.colour == (epoch < 124)


def test_the_chain_of_146() -> None:
    onto_2009, onto_2011, tuned = rates("146-2009"), rates("146-2011"), rates("146-2012-2011")
    assert [now.of("conv5", bias=False) for now in onto_2009[:3]] == [1e-3, 1e-3, 1e-3]
    assert [now.of("conv6", bias=False) for now in onto_2009[:3]] == [1e-2, 1e-2, 1e-3]
    assert [now.of("conv6", bias=False) for now in onto_2011[4:6]] == [1e-3, 1e-3]
    assert [now.of("fc6", bias=False) for now in onto_2011[4:6]] == [1e-2, 1e-3]
    conv1 = [now.of("conv1", bias=False) for now in tuned]
    assert (conv1[0], conv1[3], conv1[4], conv1[5], conv1[6]) == (1e-4, 1e-4, 1e-5, 1e-5, 0)
    assert [now.of("fc8", bias=False) for now in tuned[:9]] == [1e-2] * 8 + [1e-3]
    assert [tuned[e - 1].weights for e in (21, 22, 41, 42)] == [1e-3, 1e-4, 1e-4, 1e-5]
    assert [tuned[e - 1].colour for e in (37, 38)] == [True, False]
    assert len(tuned) == 54


@pytest.mark.parametrize("name", PLATEAUS)
def test_plateaus_of_equal_length(name: str) -> None:
    first, last, count, noise_off, still, epochs = PLATEAUS[name]
    found = rates(name)
    assert len(found) == epochs
    levels = list(dict.fromkeys(now.weights for now in found))
    assert levels == pytest.approx([first * (last / first) ** (i / (count - 1)) for i in range(count)])
    lengths = [sum(now.weights == level for now in found) for level in levels]
    assert max(lengths) - min(lengths) <= 1
    for epoch, now in enumerate(found, 1):
        assert now.colour == (epoch < noise_off)
        assert (now.of("conv1", bias=False) == 0) == (still > 0 and epoch >= still)


@pytest.mark.parametrize("name", EXPONENTIAL)
def test_exponential(name: str) -> None:
    first, last = EXPONENTIAL[name]
    found = rates(name)
    ratio = (last / first) ** (1 / 90)
    for one, next_one in pairwise(found):
        assert next_one.weights / one.weights == pytest.approx(ratio)
    assert found[0].weights == pytest.approx(first * ratio**0.5)


def test_linear() -> None:
    found = [now.weights for now in rates("153")]
    assert found[44] - found[45] == pytest.approx((0.01 - 1e-5) / 90)
    assert (found[44] + found[45]) / 2 == pytest.approx((0.01 + 1e-5) / 2)


def test_jumping_plateaus_go_up_in_their_second_half() -> None:
    """174: levels 0.01, 0.00126, 0.000159, 2e-5; in the middle plateaus' second half the geometric mean with the one
    before; not in the first plateau, not behind p = 0.9."""
    found = [now.weights for now in rates("174")]
    levels = [0.01 * 500 ** (-i / 3) for i in range(4)]
    at = {p: found[int(p * 90)] for p in (0.1, 0.24, 0.3, 0.45, 0.55, 0.7, 0.8, 0.89, 0.95)}
    assert at[0.1] == at[0.24] == levels[0]
    assert at[0.3] == pytest.approx(levels[1])
    assert at[0.45] == pytest.approx((levels[0] * levels[1]) ** 0.5)
    assert at[0.55] == pytest.approx(levels[2])
    assert at[0.7] == pytest.approx((levels[1] * levels[2]) ** 0.5)
    assert at[0.8] == pytest.approx(levels[3])
    assert at[0.89] == pytest.approx((levels[2] * levels[3]) ** 0.5)
    assert at[0.95] == pytest.approx(levels[3])
    assert [now.weights for now in rates("172")][int(0.45 * 90)] == pytest.approx(0.01)


def test_biases_have_their_own_schedule_from_165_on() -> None:
    for name in ("165", "167", "170"):
        found = rates(name)
        assert [now.biases for now in found] == pytest.approx([0.02] * 45 + [0.002] * 45)
    assert all(now.biases == pytest.approx(2 * now.weights) for now in rates("163"))


def test_doubled_decay_on_the_dense_layers() -> None:
    for name in ("163", "165"):
        assert find(name).layer_decays == {"fc6": 0.001, "fc7": 0.001, "fc8": 0.001}
        assert find(name).decay == 0.0005
    assert find("170").layer_decays == {}


@pytest.mark.parametrize(
    ("name", "decays", "drops", "epochs", "cropped"),
    [
        ("cifar-80sec", {"conv1": 0.004, "conv2": 0.004, "conv3": 0.004, "fc64": 0.03, "fc10": 0.03}, (), 120, False),
        ("cifar-19pct", {"conv1": 0.004, "conv2": 0.004, "conv3": 0.004, "fc10": 3}, (), 120, False),
        ("cifar-18pct", {"conv1": 0.004, "conv2": 0.004, "conv3": 0.004, "fc10": 1}, (121, 131), 140, False),
        ("cifar-13pct", {"local3": 0.004, "local4": 0.004, "fc10": 0.004}, (501, 511), 520, True),
        ("cifar-11pct", {"local3": 0.004, "local4": 0.004, "fc10": 0.01}, (501, 511), 520, True),
    ],
)
def test_cifar_nets(name: str, decays: dict, drops: tuple, epochs: int, cropped: bool) -> None:
    recipe, found = find(name), rates(name)
    assert (recipe.layer_decays, recipe.decay, recipe.epochs) == (decays, 0, epochs)
    for epoch, now in enumerate(found, 1):
        below = 10 ** sum(epoch >= drop for drop in drops)
        assert (now.weights, now.biases) == (pytest.approx(0.001 / below), pytest.approx(0.002 / below))
    assert (recipe.augmentation.crops == "random", recipe.augmentation.mirror) == (cropped, cropped)
    assert recipe.augmentation.colour == "off"
    assert recipe.augmentation.chunk == 1


# ── the 98 files ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_98_files_are_listed_once_as_recipe_or_with_a_reason() -> None:
    assert len(logged_runs()) == len({run.file for run in logged_runs()}) == 98
    for run in logged_runs():
        assert bool(run.recipe) != bool(run.reason), run.file
        assert not run.recipe or run.recipe in every_recipe()


def test_the_family_asked_for_is_expressed() -> None:
    wanted = ["145", "145-2010", "145-half", "146-2009", "146-2011", "146-2012-2009", "146-2012-2011", "147", "148"]
    wanted += ["149", "150", *map(str, (153, 154, 155, 156, 157, 158, 160, 161, 162, 163, 165, 166, 167, 169, 170))]
    wanted += ["171", "172", "174", "175", "177", "180"]
    assert set(wanted) <= set(by_recipe())


@pytest.mark.parametrize(
    ("file", "set", "views", "nll", "top1", "top5"),
    [
        ("145", "2012 validation", 10, 1.741473, 0.406640, 0.182100),
        ("145-2010", "2010 test", 10, 1.614660, 0.374727, 0.169987),
        ("145-2010", "2010 test", 1, 1.706031, 0.390247, 0.182953),
        ("145-half", "2010 test", 10, 1.702802, 0.391680, 0.182287),
        ("146-2012-2011", "2012 validation", 10, 1.633191, 0.389900, 0.166220),
        ("147", "2012 validation", 10, 1.757644, 0.410580, 0.185100),
        ("148", "2012 validation", 10, 1.822358, 0.420340, 0.193620),
        ("150", "2012 validation", 10, 1.811173, 0.418280, 0.193300),
        ("167", "2012 validation", 10, 1.738715, 0.404880, 0.181180),
        ("170-256-double", "2012 validation", 1, 1.840643, 0.422726, 0.196598),
        ("177", "2012 validation", 10, 1.744414, 0.406900, 0.183040),
    ],
)
def test_logged_results(file: str, set: str, views: int, nll: float, top1: float, top5: float) -> None:
    run = next(run for run in logged_runs() if run.file == file)
    assert (set, views, top1, top5, nll) in [(r.set, r.views, r.top1, r.top5, r.nll) for r in run.results]
