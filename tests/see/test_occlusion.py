"""Occlusion: the part that a square reaches, computed alone, against the whole; the maps against a loop."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
import torch
from made_networks import noise, small, viewer_of
from torch import Tensor

from alexnet.errors import UsageError, UserError
from alexnet.geometry import Window
from alexnet.isolation import isolated
from alexnet.measure.viewer import ViewAverager
from alexnet.see import occlusion
from alexnet.see.forward_pass import run_forward
from alexnet.see.local import Local, MapPatch
from alexnet.see.occlusion import BATCH, BLOCK, Occluder, Occlusion, Square, neighbours, occlusion_map, strongest_map
from alexnet.see.units import Unit, last_convolution

ZOO = ["toy", "alexnet", "alexnet-145", "alexnet-4col", "alexnet-nocomm", "alexnet-pad12", "alexnet-pool2x2", "zfnet"]
ZOO += ["torchvision", "bvlc-alexnet", "caffenet", "alexnet-owt", "alexnet-bn", "cifar-11pct", "cifar-18pct"]
ZOO += ["alexnet-no-conv2", "alexnet-tanh"]


def record_for(viewer: ViewAverager, seed: int = 0) -> Tensor:
    """A picture of many levels as a record as large as the view, uint8 (S, S, 3)."""
    size = viewer.inputs.size
    pixels = noise(1, size, seed)[0] * 0.8 + 128
    return pixels.clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0)


@pytest.mark.parametrize("window", [Window(3, 2), Window(11, 4), Window(5, 1, 2, 2), Window(2, 2), Window(3, 1, 1, 1)])
@pytest.mark.parametrize("rounding", ["ceil", "floor"])
def test_windows_that_a_span_reaches(window: Window, rounding: str) -> None:
    """Against every window looked at in turn."""
    window = Window(window.kernel, window.stride, window.before, window.after, rounding)  # type: ignore[arg-type]
    size = 17
    for first in range(size):
        for end in range(first + 1, size + 1):
            reads = [
                any(first <= number * window.stride - window.before + step < end for step in range(window.kernel))
                for number in range(window.outputs(size))
            ]
            start, stop = window.reached(first, end, size)
            assert reads == [start <= number < stop for number in range(len(reads))]


def followed(local: Local, part: MapPatch) -> Iterator[tuple[str, MapPatch | Tensor]]:
    """All rows: parts as long as there are any, whole outputs behind them."""
    for name, found in local.parts(part):
        part = found
        yield name, found
    yield from local.rest(part.onto(local.passed.entering(local.whole)))


@torch.no_grad()
@pytest.mark.parametrize("name", ZOO)
def test_every_map_is_the_whole_computation_s(name: str) -> None:
    """In float64 to its rounding, squares in the middle, at all edges and over them all at once."""
    network = small(name)
    network = network if name == "alexnet-bn" else network.double()  # its norm works in float32
    size = network.input_size
    picture = noise(1, size).to(next(network.parameters()).dtype)
    passed = run_forward(network, picture)
    side = max(3, size // 7)
    far = size - side
    tops = torch.tensor([0, 0, far, far, size // 3, far - 1, 1])
    lefts = torch.tensor([0, far, 0, far, size // 2, 5, 2])
    part = MapPatch(noise(7, side, seed=5).to(picture.dtype), tops, lefts)
    occluded = picture.repeat(7, 1, 1, 1)
    for number, (top, left) in enumerate(zip(tops.tolist(), lefts.tolist(), strict=True)):
        occluded[number, :, top : top + side, left : left + side] = part.values[number]
    expected = network.activations(occluded)
    tolerance = 1e-4 if name == "alexnet-bn" else 1e-9
    parts = 0
    for layer, found in followed(Local(passed), part):
        parts += isinstance(found, MapPatch)
        whole = found.onto(passed[layer]) if isinstance(found, MapPatch) else found
        scale = float(expected[layer].abs().max())
        torch.testing.assert_close(whole, expected[layer], rtol=tolerance, atol=tolerance * scale)
    assert parts > 3, "most rows are computed in part"


def test_far_less_is_computed() -> None:
    network = small("alexnet", input_size=224)
    passed = run_forward(network, noise(1, 224))
    part = MapPatch(torch.zeros(1, 3, 32, 32), torch.tensor([96]), torch.tensor([96]))
    sides = {
        name: found.values.shape[2] for name, found in followed(Local(passed), part) if isinstance(found, MapPatch)
    }
    assert sides["conv1"] <= 11
    assert sides["conv2"] <= 11
    assert sides["conv3"] <= 9


@pytest.mark.parametrize("name", ["toy", "alexnet", "zfnet", "cifar-18pct"])
def test_the_maps_are_those_of_a_loop_over_covered_pictures(name: str) -> None:
    network = small(name, classes=7)
    viewer = viewer_of(network)
    size = network.input_size
    record = record_for(viewer)
    square = Square(size // 5, size // 6, 100)
    found = occlusion_map(viewer, record, label=3, square=square)
    corners = list(range(0, size - square.size + 1, square.stride))
    corners += [size - square.size] * (corners[-1] != size - square.size)
    assert list(found.corners) == corners
    clean = network.activations(record.permute(2, 0, 1)[None].float() - viewer.inputs.mean_image)
    layer = last_convolution(network)
    channel = int(clean[layer][0].flatten(1).sum(dim=1).argmax())
    assert found.watched == Unit(layer, channel)
    for row, top in enumerate(corners):
        for column, left in enumerate(corners):
            covered = record.clone()
            covered[top : top + square.size, left : left + square.size] = 100
            maps = network.activations(covered.permute(2, 0, 1)[None].float() - viewer.inputs.mean_image)
            probabilities = maps[network.layers[-1].row.name][0].flatten().softmax(dim=0).detach()
            assert float(found.probability[row, column]) == pytest.approx(float(probabilities[3]), rel=1e-3, abs=1e-6)
            assert float(found.total[row, column]) == pytest.approx(
                float(maps[layer][0, channel].sum().detach()), rel=1e-3
            )
            assert probabilities[int(found.predicted[row, column])] >= probabilities.max() - 1e-5
    assert float(found.probability.std()) > 1e-3, "the test's square must matter"


class PlainOccluder(Occluder):
    """The same from whole pictures through the whole network."""

    @isolated(inference=True)
    def positions(self, tops: torch.Tensor, lefts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pictures = MapPatch(self._patches(tops, lefts), tops, lefts).onto(self.passed.inputs)
        last = self.viewer.network.layers[-1].row.name
        maps = self.viewer.maps(pictures, {self.watched.layer, last})
        return self._total(maps[self.watched.layer]), maps[last].flatten(1).float()


def occlude_plainly(*given: Any, **options: Any) -> Occlusion:
    """`occlusion_map` with nothing computed in part, few positions at a time."""
    with patch.object(occlusion, "Occluder", PlainOccluder):
        return occlusion_map(*given, together=64, **options)


@pytest.mark.parametrize("name", ZOO)
def test_fast_and_plain_agree(name: str) -> None:
    """In float32 to 1e-5 of the largest value: squares at every edge, a stride that does not divide, and blocks that
    are not full."""
    viewer = viewer_of(small(name))
    size = viewer.inputs.size
    square = Square(max(3, size // 7), max(1, size // 9), 100)
    fast, plain = (way(viewer, record_for(viewer), square=square) for way in (occlusion_map, occlude_plainly))
    assert fast.corners[-1] - fast.corners[-2] != square.stride or name in ("toy", "cifar-11pct", "cifar-18pct")
    assert len(fast.corners) > BLOCK
    for mine, theirs in ((fast.probability, plain.probability), (fast.total, plain.total)):
        assert float((mine - theirs).abs().max()) <= 1e-5 * float(theirs.abs().max())
    same = fast.predicted == plain.predicted
    assert same.float().mean() > 0.98, "classes that tie may change places"


def test_bf16_comes_near() -> None:
    viewer = viewer_of(small("alexnet"))
    record, square = record_for(viewer), Square(20, 9)
    exact = occlusion_map(viewer, record, square=square)
    rough = occlusion_map(
        replace(viewer, dtype=torch.bfloat16), record, exact.label, square=square, watched=exact.watched
    )
    assert not torch.equal(rough.probability, exact.probability)
    assert float((rough.probability - exact.probability).abs().max()) < 0.02
    assert float((rough.total - exact.total).abs().max()) < 0.02 * float(exact.total.abs().max())


def test_captum_s_map_is_ours() -> None:
    """captum's Occlusion gives each pixel the mean fall of the probability under the squares over it."""
    attr = pytest.importorskip("captum.attr", reason="captum is not installed (pip install captum)")
    viewer = viewer_of(small("toy"))
    record, square = record_for(viewer), Square(8, 6, 100)
    found = occlusion_map(viewer, record, square=square)
    inputs = record.permute(2, 0, 1)[None].float() - viewer.inputs.mean_image
    grey = (100 - viewer.inputs.mean_image)[None]
    with torch.no_grad():
        method = attr.Occlusion(lambda x: viewer.network(x).softmax(dim=1))
        theirs = method.attribute(inputs, (3, 8, 8), strides=(3, 6, 6), target=found.label, baselines=grey)[0, 0]
    fall, count = torch.zeros(2, *theirs.shape)
    for row, top in enumerate(found.corners):
        for column, left in enumerate(found.corners):
            fall[top : top + 8, left : left + 8] += found.clean_probability - found.probability[row, column]
            count[top : top + 8, left : left + 8] += 1
    torch.testing.assert_close(fall / count, theirs.float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("watched", [Unit("conv2", 3), Unit("norm1", 1), Unit("fc7", 4), Unit("fc8", 2)])
def test_any_layer_can_be_watched(watched: Unit) -> None:
    viewer = viewer_of(small("alexnet"))
    fast, plain = (
        way(viewer, record_for(viewer), square=Square(20, 30), watched=watched)
        for way in (occlusion_map, occlude_plainly)
    )
    assert float((fast.total - plain.total).abs().max()) <= 1e-5 * float(plain.total.abs().max())


def test_neighbours_are_every_place_once() -> None:
    edges = torch.arange(0, 40, 2)
    positions = torch.cartesian_prod(edges, edges)[torch.randperm(400, generator=torch.Generator().manual_seed(0))]
    groups = neighbours(positions[:, 0], positions[:, 1])
    assert torch.equal(torch.cat(groups).sort().values, torch.arange(400))
    for group in groups:
        some = positions[group]
        assert int((some.amax(dim=0) - some.amin(dim=0)).max()) <= 2 * (BLOCK - 1)


def test_places_can_be_asked_in_any_order() -> None:
    viewer = viewer_of(small("toy"))
    record = record_for(viewer)
    whole = occlusion_map(viewer, record)
    passed = run_forward(viewer.network, record.permute(2, 0, 1)[None].float() - viewer.inputs.mean_image)
    watched = strongest_map(passed, "relu5")
    occluder = Occluder(viewer, passed, whole.square, watched)
    tops, lefts = torch.tensor([whole.corners[4], 0]), torch.tensor([whole.corners[2], whole.corners[-1]])
    totals, logits = occluder.positions(tops, lefts)
    assert float(totals[0]) == pytest.approx(float(whole.total[4, 2]), rel=1e-4)
    assert float(logits[1, whole.label]) == pytest.approx(float(whole.logit[0, -1]), rel=1e-4)
    probabilities = viewer.network.probabilities(logits)
    assert float(probabilities[1, whole.label]) == pytest.approx(float(whole.probability[0, -1]), rel=1e-4)


def test_defaults_are_those_of_a_view_of_224_in_proportion() -> None:
    assert Square.fitting(224) == Square(32, 8, 128)
    assert Square.fitting(32) == Square(5, 1, 128)
    assert len(Square.fitting(224).corners(224)) == 25
    assert Square(32, 50).corners(224) == [0, 50, 100, 150, 192]


def test_progress_and_summary() -> None:
    viewer = viewer_of(small("toy"))
    told: list[tuple[int, int]] = []
    found = occlusion_map(viewer, record_for(viewer), progress=lambda done, total: told.append((done, total)))
    positions = len(found.corners) ** 2
    assert told[-1] == (positions, positions)
    assert [done for done, _ in told] == [min(BATCH * (n + 1), positions) for n in range(len(told))]
    row, column = divmod(int(found.probability.argmin()), len(found.corners))
    assert found.weakest == (found.corners[row] + 2.5, found.corners[column] + 2.5)
    told_json = found.as_json(tuple("abcde"))
    assert told_json["clean"]["most_probable"] in "abcde"
    assert len(told_json["most_probable"]) == len(found.corners)


@pytest.mark.parametrize(
    ("options", "fault", "message"),
    [
        ({"size": 33}, UserError, "the square of 33 pixels is larger than the picture"),
        ({"size": 0}, UsageError, "at least 1 each"),
        ({"stride": 0}, UsageError, "at least 1 each"),
    ],
)
def test_squares_that_can_t_be(options: dict[str, int], fault: type[Exception], message: str) -> None:
    with pytest.raises(fault, match=message):
        Square.fitting(32, **options)


def test_a_map_that_there_is_not() -> None:
    viewer = viewer_of(small("toy"))
    with pytest.raises(UserError, match="conv5 has no map 99"):
        occlusion_map(viewer, record_for(viewer), watched=Unit("conv5", 99))
