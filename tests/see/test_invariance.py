"""Invariance: transformations against shifts and quarter turns of arrays, distances against the formulas."""

import io

import numpy as np
import pytest
import torch
from made_networks import noise, small, viewer_of
from torch import Tensor

from alexnet.data.preprocessing import Preprocessing
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.measure.run import Run
from alexnet.measure.viewer import ViewAverager
from alexnet.see.charts import invariance_figure
from alexnet.see.forward_pass import inputs_of
from alexnet.see.invariance import (
    Curves,
    Invariance,
    default_layers,
    distances,
    invariance_curve,
    invariance_of,
    steps_of,
    transformed,
)


@pytest.fixture(scope="module")
def viewer() -> ViewAverager:
    """Views of 32 of records of 40, a mean that differs from place to place."""
    mean = 100 + noise(1, 40, seed=4)[0] / 3
    return ViewAverager(small("toy"), Preprocessing(mean, 32))


@pytest.fixture(scope="module")
def record() -> Tensor:
    return (noise(1, 40)[0] + 120).clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0)


def test_nothing_done_is_the_centre_view(viewer: ViewAverager, record: Tensor) -> None:
    plain = inputs_of(viewer, record[None])[0]
    for kind, amount in (("translation", 0.0), ("scale", 1.0), ("rotation", 0.0), ("rotation", 360.0)):
        for fill in ("mean", "edge"):
            found = transformed(viewer, record, kind, [amount], fill)[0]  # type: ignore[arg-type]
            torch.testing.assert_close(found, plain, rtol=1e-4, atol=2e-2)


def test_translation_moves_down_what_the_record_holds_and_then_the_mean(viewer: ViewAverager, record: Tensor) -> None:
    mean = viewer.inputs.mean_image[:, 4:36, 4:36]
    pixels = record.permute(2, 0, 1).float()
    for amount in (3, -4, 10, -11):
        expected = torch.zeros(3, 32, 32)
        for row in range(32):
            source = row + 4 - amount
            if 0 <= source < 40:
                expected[:, row] = pixels[:, source, 4:36] - mean[:, row]
        found = transformed(viewer, record, "translation", [float(amount)])[0]
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=2e-2)
        edge = transformed(viewer, record, "translation", [float(amount)], "edge")[0] + mean
        rows = np.clip(np.arange(32) + 4 - amount, 0, 39)
        torch.testing.assert_close(edge, pixels[:, rows, 4:36], rtol=1e-3, atol=2e-2)


def test_a_quarter_turn_is_numpy_s(viewer: ViewAverager, record: Tensor) -> None:
    """Counter-clockwise, as `rot90` turns an array whose rows go down."""
    mean = viewer.inputs.mean_image[:, 4:36, 4:36]
    for quarters in (1, 2, 3):
        found = transformed(viewer, record, "rotation", [90.0 * quarters])[0] + mean
        expected = torch.rot90(record.permute(2, 0, 1).float(), quarters, (1, 2))[:, 4:36, 4:36]
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=2e-2)


def test_scale_enlarges_about_the_centre(viewer: ViewAverager) -> None:
    ramp = torch.arange(40).float().expand(3, 40, 40).permute(1, 2, 0).round().to(torch.uint8)  # level = column
    mean = viewer.inputs.mean_image[:, 4:36, 4:36]
    found = transformed(viewer, ramp, "scale", [1.6])[0] + mean
    expected = 19.5 + (torch.arange(32) - 15.5) / 1.6
    torch.testing.assert_close(found[0, 7], expected, rtol=1e-3, atol=2e-2)


def test_steps_are_those_of_the_figure() -> None:
    translation = steps_of("translation", 224)
    assert (min(translation), max(translation), 0.0 in translation) == (-60, 60, True)
    assert (steps_of("scale", 224)[0], max(steps_of("scale", 224))) == (1, pytest.approx(1.8))
    assert (steps_of("rotation", 224)[0], max(steps_of("rotation", 224))) == (0, 350)
    assert max(steps_of("translation", 32)) == 9


def test_distances_by_the_formulas() -> None:
    features, original = np.array([[3.0, 4.0], [6.0, 8.0]]), np.array([3.0, 0.0])
    given = torch.from_numpy(features), torch.from_numpy(original)
    assert distances(*given, "none").tolist() == pytest.approx([4, np.hypot(3, 8)])
    assert distances(*given, "relative").tolist() == pytest.approx([4 / 3, np.hypot(3, 8) / 3])
    assert distances(*given, "unit").tolist() == pytest.approx([np.hypot(0.4, 0.8)] * 2)
    assert distances(given[0], torch.zeros(2), "relative").isfinite().all()


def test_curves_are_what_a_loop_finds(viewer: ViewAverager, record: Tensor) -> None:
    found = invariance_curve(viewer, record[None], [2], "rotation", [0.0, 30.0], ["relu1", "relu7"], "none")
    inputs = transformed(viewer, record, "rotation", [0.0, 30.0])
    maps = viewer.network.activations(inputs)
    still = viewer.network.activations(inputs_of(viewer, record[None]))
    for layer in ("relu1", "relu7"):
        expected = (maps[layer] - still[layer]).flatten(1).norm(dim=1).detach().double()
        assert found.distances[layer][0].tolist() == pytest.approx(expected.tolist(), rel=1e-2, abs=0.5)
    probabilities = maps["fc8"].softmax(dim=1).detach()
    torch.testing.assert_close(found.probability[0], probabilities[:, 2], rtol=1e-4, atol=1e-6)
    assert found.right[0].tolist() == (probabilities.argmax(dim=1) == 2).tolist()
    assert found.views.shape == (1, 2, 32, 32, 3)


def test_the_whole_figure_of_some_pictures(run: Run, store: Store) -> None:
    part = store.splits["val"]
    records = torch.from_numpy(part.pictures[:3].copy())
    found = invariance_of(
        run.viewer, records, part.labels[:3].tolist(), names=["a", "b", "c"], class_names=run.class_names
    )
    assert found.layers == default_layers(run.network) == ("relu1", "relu7")
    told = found.as_json()
    assert [line["transformation"] for line in told["summary"]] == ["translation", "scale", "rotation"]
    for one in told["curves"]:
        position = min(
            range(len(one["amounts"])), key=lambda n: abs(one["amounts"][n] - (1 if one["unit"] == "times" else 0))
        )
        for layer in found.layers:
            assert all(distance[position] < 1e-3 for distance in one["distances"][layer]), "unmoved, nothing changes"
    with pytest.raises(UserError, match="has no layer 'relu9'"):
        invariance_of(run.viewer, records, [0, 0, 0], names="abc", class_names=run.class_names, layers=["relu9"])


def test_names_of_classes_are_neither_formulas_nor_left_out_of_the_legend() -> None:
    names, views = ("_none", r"$\frac$", "[/x]"), torch.zeros(3, 2, 8, 8, 3, dtype=torch.uint8)
    one = Curves("scale", (1.0, 2.0), {}, torch.ones(3, 2), torch.ones(3, 2), torch.ones(3, 2, 2), views)
    figure = invariance_figure(Invariance(names, names, (), "none", "mean", (one,)))
    figure.savefig(io.BytesIO())
    assert [text.get_text().strip() for text in figure.legends[0].get_texts()] == list(names)


def test_layers_of_the_paper_on_every_network() -> None:
    assert default_layers(small("zfnet")) == ("relu1", "relu7")
    assert default_layers(small("torchvision")) == ("relu1", "relu7")
    assert default_layers(small("alexnet-no-fc67")) == ("relu1", "relu5")
    assert viewer_of(small("toy")).inputs.size == 32
