"""Whether maps are true: every metric against a slow loop, and a network of which the truth is known."""

import json
import warnings
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_networks import noise, small, viewer_of
from scipy.ndimage import distance_transform_edt
from scipy.stats import spearmanr
from scipy.stats import t as student
from torch import Tensor

from alexnet.data.preprocessing import Preprocessing
from alexnet.data.store.read import Store
from alexnet.errors import UsageError
from alexnet.files.schema import from_json
from alexnet.measure.run import Run
from alexnet.measure.viewer import ViewAverager
from alexnet.nets.network import build
from alexnet.nets.table import Dense, Table
from alexnet.see.annotated import AnnotatedView
from alexnet.see.score import METRICS, Scores, metrics, score
from alexnet.see.score.imputation import imputed
from alexnet.see.score.scores import Asked, MethodScores, _measured, centre_blobs, explain_by

SIDE = 24
SQUARE = (slice(3, 9), slice(12, 18))
"""Rows and columns that the planted network reads."""
CHESSBOARD = 1.0 - 2 * ((torch.arange(6)[:, None] + torch.arange(6)) % 2)


def planted() -> ViewAverager:
    """A network whose first logit says how much one square is a chessboard; the second is 0."""
    network = build(Table("planted", (Dense("fc", 2),), SIDE))
    with torch.no_grad():
        weight = network.get_parameter("fc.weight").zero_().view(2, 3, SIDE, SIDE)
        weight[0][:, *SQUARE] = 0.002 * CHESSBOARD
        network.get_parameter("fc.bias").copy_(torch.tensor([-4.0, 0.0]))
    return ViewAverager(network.eval(), Preprocessing(torch.full((3, SIDE, SIDE), 100.0), SIDE))


def pictures(count: int) -> Tensor:
    """Noise with a chessboard where the network looks."""
    found = noise(count, SIDE, seed=3) * 0.3
    found[:, :, *SQUARE] += 60 * CHESSBOARD
    return found


OBJECT = torch.zeros(SIDE, SIDE, dtype=torch.bool)
OBJECT[SQUARE] = True


def by_gradient(viewer: ViewAverager, inputs: Tensor, targets: Tensor) -> Tensor:
    """Gradient times input, by autograd: all that a linear network's logit is made of."""
    with torch.inference_mode(False), torch.enable_grad():
        x = inputs.clone().requires_grad_()
        viewer.network(x).gather(1, targets.clone()[:, None]).sum().backward()
    assert x.grad is not None
    return (x.grad * inputs).sum(dim=1)


def test_the_true_map_wins_every_metric_and_random_ones_lose() -> None:
    viewer, inputs = planted(), pictures(6)
    targets, objects = torch.zeros(6, dtype=torch.int64), OBJECT.expand(6, -1, -1)
    asked = {
        name: Asked(explain, viewer, viewer, inputs, targets, objects)
        for name, explain in {"true": by_gradient, "random": explain_by("random", 0)}.items()
    }
    found = {name: _measured(one, tuple(METRICS), 6, 0, None) for name, one in asked.items()}
    true, random = ({metric: one.interval(metric)[0] for metric in METRICS} for one in found.values())
    assert true["pointing"] == true["energy"] == 1
    assert true["deletion"] < 0.2 < 0.35 < random["deletion"]
    assert true["insertion"] > 0.97 > 0.93 > random["insertion"]
    assert true["road"] > 0.9 > 0.1 > abs(random["road"])
    assert random["energy"] == pytest.approx(float(OBJECT.float().mean()), abs=0.02)
    assert abs(true["randomisation"]) < 0.3
    assert list(found["true"].cascade) == ["fc"]


@pytest.mark.parametrize("name", ["toy", "alexnet"])
def test_curves_are_those_of_a_loop_over_pixels(name: str) -> None:
    viewer = viewer_of(small(name))
    size = viewer.inputs.size
    inputs, maps = noise(2, size), torch.rand(2, size, size, generator=torch.Generator().manual_seed(1))
    targets = torch.tensor([3, 1])
    blurred = torch.from_numpy(blurred_slowly((inputs + viewer.inputs.mean_image).numpy())) - viewer.inputs.mean_image
    for of, begin, end in ((metrics.deletion, inputs, torch.zeros_like(inputs)), (metrics.insertion, blurred, inputs)):
        found = of(viewer, inputs, targets, maps)
        for number in range(2):
            values = []
            order = maps[number].flatten().argsort(descending=True)
            for step in range(metrics.STEPS + 1):
                changed = begin[number].clone().flatten(1)
                pixels = order[: int(np.ceil(len(order) * step / metrics.STEPS))]
                changed[:, pixels] = end[number].flatten(1)[:, pixels]
                with torch.no_grad():
                    logits = viewer.network(changed.view(1, 3, size, size))[0]
                values.append(float(logits.softmax(dim=0)[targets[number]]))
            area = sum((a + b) / 2 for a, b in pairwise(values)) / metrics.STEPS
            assert float(found[number]) == pytest.approx(area, abs=1e-5)


def blurred_slowly(levels: np.ndarray) -> np.ndarray:
    """A Gaussian window about each pixel, cut off at one σ, the picture mirrored at its edges."""
    sigma = metrics.BLUR * levels.shape[-1]
    reach = int(sigma + 0.5)
    bell = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    bell /= bell.sum()
    wide = np.pad(levels, ((0, 0), (0, 0), (reach, reach), (reach, reach)), "symmetric")
    found = np.zeros_like(levels)
    for row in range(levels.shape[2]):
        for column in range(levels.shape[3]):
            window = wide[:, :, row : row + 2 * reach + 1, column : column + 2 * reach + 1]
            found[:, :, row, column] = (window * bell[:, None] * bell).sum(axis=(2, 3))
    return found


def test_pixels_of_equal_value_come_in_random_order() -> None:
    order = metrics.order_of(torch.ones(2, 20, 20))
    assert torch.equal(order[0].flatten().sort().values, torch.arange(400, dtype=torch.float64) / 400)
    assert abs(float(order[0, :10].mean()) - 0.5) < 0.1, "no half of the picture comes first"
    strict = torch.arange(400.0).view(1, 20, 20)
    assert float(metrics.order_of(strict)[0, -1, -1]) == 0


def test_pointing_and_energy_by_hand() -> None:
    rng = np.random.default_rng(0)
    maps, objects = torch.from_numpy(rng.normal(size=(8, 30, 30))).float(), torch.zeros(8, 30, 30, dtype=torch.bool)
    objects[:, 10:20, 5:12] = True
    reach = 15 / 224 * 30
    for one, inside, hit, share in zip(
        maps, objects, metrics.pointing(maps, objects), metrics.energy(maps, objects), strict=True
    ):
        row, column = divmod(int(one.argmax()), 30)
        away = min(((row - r) ** 2 + (column - c) ** 2) ** 0.5 for r, c in torch.nonzero(inside).tolist())
        assert float(hit) == (away <= reach)
        positive = [max(0.0, float(value)) for value in one.flatten()]
        on_object = sum(value for value, at in zip(positive, inside.flatten().tolist(), strict=True) if at)
        assert float(share) == pytest.approx(on_object / sum(positive), rel=1e-5)
    twice = torch.zeros(1, 30, 30)
    twice[0, 15, 8] = twice[0, 29, 29] = 1
    assert float(metrics.pointing(twice, objects[:1])) == 0.5
    assert float(metrics.energy(-twice, objects[:1])) == 0


def test_imputed_pixels_are_their_neighbours_means() -> None:
    """Each filled pixel against the mean of those around it, at edges and corners too; the others stay as they are."""
    side, weights = 12, {(-1, -1): 1 / 12, (-1, 0): 1 / 6, (-1, 1): 1 / 12, (0, -1): 1 / 6}
    weights |= {(-row, -column): weight for (row, column), weight in weights.items()}
    picture = torch.rand(3, side, side, generator=torch.Generator().manual_seed(0)) * 255
    masks = (
        torch.rand(3, side, side, generator=torch.Generator().manual_seed(1))
        < torch.tensor([0.2, 0.6, 0.9])[:, None, None]
    )
    for mask, found in zip(masks, imputed(picture, masks), strict=True):
        assert torch.equal(found[:, ~mask], picture[:, ~mask])
        levels = found.numpy()
        for row, column in torch.nonzero(mask).tolist():
            around = {
                (row + down, column + right): weight
                for (down, right), weight in weights.items()
                if 0 <= row + down < side and 0 <= column + right < side
            }
            mean = sum(levels[:, r, c] * weight for (r, c), weight in around.items()) / sum(around.values())
            assert np.abs(levels[:, row, column] - mean).max() < 1e-4


def test_quantus_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quantus 0.6.0 finds the same pixel-flipping curve, hits, shares and filled pixels. Install it apart from this
    project and name it in PYTHONPATH: `pip install --no-deps --target FOLDER quantus opencv-python-headless
    scikit-image cachetools lazy_loader networkx imageio tifffile`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantus = pytest.importorskip("quantus", reason="Quantus is not installed: it needs an environment of its own")
        imputation = pytest.importorskip("quantus.functions.perturb_func").noisy_linear_imputation
    viewer = viewer_of(small("toy"))
    size, rng = viewer.inputs.size, np.random.default_rng(0)
    inputs, targets = noise(4, size), torch.arange(4)
    maps = torch.from_numpy(rng.normal(size=(4, size, size))).float()
    objects = torch.zeros(4, size, size, dtype=torch.bool)
    objects[:, 5:20, 8:25] = True
    monkeypatch.setattr(metrics, "STEPS", 32)
    plain = {"disable_warnings": True, "normalise": False, "abs": False}
    batch = {"model": viewer.network, "x_batch": inputs.numpy(), "y_batch": targets.numpy()}

    def theirs(kind: str, a_batch: Tensor, s_batch: Tensor | None = None, **options: Any) -> Any:
        masks = None if s_batch is None else s_batch.numpy()[:, None]
        metric = getattr(quantus, kind)(**plain, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.array(metric(**batch, a_batch=a_batch.numpy()[:, None], s_batch=masks, softmax=True))

    flipped = theirs("PixelFlipping", maps, features_in_step=size * size // 32, perturb_baseline=0.0)
    ours = metrics.curve(viewer, inputs, torch.zeros_like(inputs), metrics.order_of(maps), targets)
    np.testing.assert_allclose(ours[:, 1:], flipped[:, 2::3], atol=1e-5)  # it flips each colour by itself
    reach = 15 / 224 * size
    near = torch.from_numpy(np.stack([distance_transform_edt(~one) <= reach for one in objects.numpy()]))
    assert metrics.pointing(maps, objects).tolist() == theirs("PointingGame", maps, near).tolist()
    shares = theirs("RelevanceMassAccuracy", maps.clamp_min(0), objects)
    np.testing.assert_allclose(metrics.energy(maps, objects), shares, rtol=1e-5)
    removed = maps[0] > 0.2
    filled = imputation(inputs[0].numpy(), np.flatnonzero(removed), noise=0.0)
    np.testing.assert_allclose(imputed(inputs[0], removed[None])[0], filled.reshape(3, size, size), atol=1e-3)


def test_rank_correlation_is_spearman_s() -> None:
    some, others = torch.randn(2, 4, 9, 9, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    found = metrics.rank_correlation(some, others)
    for a, b, value in zip(some, others, found, strict=True):
        assert float(value) == pytest.approx(spearmanr(a.flatten(), b.flatten()).statistic, abs=1e-6)
    assert float(metrics.rank_correlation(torch.ones(1, 9, 9), some[:1])) == 0


def test_random_weights_change_the_gradient_and_not_the_blob() -> None:
    viewer = viewer_of(small("toy"))
    before = {name: value.clone() for name, value in viewer.network.state_dict().items()}
    inputs, targets = noise(3, viewer.inputs.size), torch.tensor([0, 1, 2])
    for explain, unchanged in ((by_gradient, False), (centre_blobs, True)):
        found = metrics.randomisation(explain, viewer, inputs, targets, explain(viewer, inputs, targets))
        assert list(found) == ["fc8", "fc7", "fc6", "conv5", "conv4", "conv3", "conv2", "conv1"]
        last = found["conv1"].abs()
        assert bool((last > 0.999).all() if unchanged else (last < 0.5).all())
    for name, value in viewer.network.state_dict().items():
        assert torch.equal(value, before[name]), "the network itself stays as it is"


def test_a_map_that_moves_with_the_picture_is_stable() -> None:
    viewer = viewer_of(small("toy"))
    inputs, targets = noise(3, viewer.inputs.size), torch.zeros(3, dtype=torch.int64)
    levels = lambda viewer, inputs, _: (inputs + viewer.inputs.mean_image).sum(dim=1)  # noqa: E731
    for explain, stable in ((levels, True), (explain_by("random", 0), False)):
        maps = explain(viewer, inputs, targets)
        found = metrics.stability(explain, viewer, inputs, targets, maps)
        assert bool((found > 0.999).all() if stable else (found.abs() < 0.2).all())


def test_intervals_are_student_s() -> None:
    values = np.random.default_rng(0).normal(size=12)
    low, high = student.interval(0.95, 11, values.mean(), values.std(ddof=1) / 12**0.5)
    mean, half = MethodScores({"deletion": tuple(values)}, 0.1, {}).interval("deletion")
    assert (mean - half, mean + half) == pytest.approx((low, high))
    assert MethodScores({"deletion": (0.5,)}, 0.1, {}).interval("deletion") == (0.5, 0.0)


def annotated(store: Store) -> list[AnnotatedView]:
    """Pictures of a store that are said to have an object in their upper half; one has none in its view."""
    records, mask = store.splits["val"].pictures, np.zeros((32, 32), bool)
    mask[:16, 4:28] = True
    views = [AnnotatedView(f"{n}.png", "angle0", records[n], {"angle0": mask}, {}) for n in range(5)]
    return [*views, replace(views[0], object="", masks={})]


def test_scores_of_annotated_pictures(run: Run, store: Store, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    found = score(
        run, annotated(store), methods=("centre", "grad-cam"), progress=lambda *words: told.append(words), pictures=6
    )
    assert list(found.methods) == ["grad-cam", "centre"], "controls come last"
    assert found.metrics == tuple(METRICS)
    assert told[-1] == ("centre", 5, 5), "the picture without its object is left out"
    assert found.methods["centre"].interval("randomisation") == (1.0, 0.0)
    assert {*found.worst.values()} == {"grad-cam"}
    assert "grad-cam by deletion" in found.in_words()
    found.save(tmp_path / "scores.png")
    again = from_json(json.loads(json.dumps(found.as_json())), Scores, "memory", "")
    assert again.methods == found.methods
    more = score(run, annotated(store), methods=("random",), earlier=again, pictures=6)
    assert list(more.methods) == ["grad-cam", "random", "centre"]
    assert more.methods["grad-cam"] == found.methods["grad-cam"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ("magic",)}, "there is no method 'magic'. There are: gradient, "),
        ({"metrics": ("beauty",)}, "there is no metric 'beauty'. There are: deletion, "),
        ({"metrics": ("energy", "deletion")}, "energy needs pictures whose objects are known"),
        ({"pictures": 0}, "score at least 1"),
    ],
)
def test_what_is_refused(run: Run, store: Store, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        score(run, store, **options)
