"""Network dissection against slow loops over pictures, pixels and units; and a unit that is made a detector."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.data import synthetic
from alexnet.errors import UsageError, UserError
from alexnet.measure.run import Run
from alexnet.see.annotated import AnnotatedPictures, open_annotated
from alexnet.see.dissection import Dissection, dissect, upsampling
from alexnet.see.forward_pass import inputs_of


@pytest.fixture(scope="module")
def pictures(run: Run, tmp_path_factory: pytest.TempPathFactory) -> AnnotatedPictures:
    folder = tmp_path_factory.mktemp("built-in") / "set"
    return open_annotated(run, synthetic.write(folder, train_per_class=1, val_per_class=1, side=48)).some(8)


@pytest.fixture(scope="module")
def found(run: Run, pictures: AnnotatedPictures) -> Dissection:
    return dissect(run, pictures, "conv2")


def interpolated(column: np.ndarray, places: np.ndarray) -> np.ndarray:
    return np.interp(places, np.arange(len(column)), column)


def test_thresholds_and_overlaps_as_by_slow_loops(run: Run, pictures: AnnotatedPictures, found: Dissection) -> None:
    views, layer = list(pictures), run.network.layer("conv2")
    records = torch.from_numpy(np.stack([view.record for view in views]))
    maps = run.viewer.maps(inputs_of(run.viewer, records), ["conv2"])["conv2"].detach().numpy()
    places = (np.arange(32) + 0.5 - layer.field.start - layer.field.size / 2) / layer.field.jump
    for unit in range(0, maps.shape[1], 5):
        values = np.sort(maps[:, unit].ravel())[::-1]
        threshold = values[int(0.005 * values.size)]
        assert found.thresholds[unit] == pytest.approx(threshold, rel=1e-6)
        assert (values > threshold).sum() <= 0.005 * values.size
        active = []
        for one in maps[:, unit]:
            columns = np.stack([interpolated(row, places) for row in one])
            active.append(np.stack([interpolated(column, places) for column in columns.T], axis=1) > threshold)
        for number, part in enumerate(found.parts):
            masks = [view.masks.get(part, np.zeros((32, 32), bool)) for view in views]
            both = sum((a & m).sum() for a, m in zip(active, masks, strict=True))
            either = sum((a | m).sum() for a, m in zip(active, masks, strict=True))
            assert abs(found.iou[unit, number] * either - both) <= 2  # a pixel at the threshold, in float32


def test_a_unit_that_is_given_the_mask_is_labelled_with_it(
    run: Run, pictures: AnnotatedPictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The map of unit 3 is high where the faces are; the control's is not."""
    part, leaving = "face", run.network.layer("conv2").leaving
    shown = {view.record.tobytes(): view.masks.get(part) for view in pictures}

    def maps(viewer, records, layer):
        shape = len(records), leaving.maps, leaving.side, leaving.side
        made = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        for one, record in zip(made, records.numpy(), strict=True):
            if viewer is run.viewer and (mask := shown[record.tobytes()]) is not None:
                one[3] += torch.from_numpy(_coarse(mask, leaving.side))
        return made

    monkeypatch.setattr("alexnet.see.dissection._maps", maps)
    found = dissect(run, pictures, "conv2")
    assert found.labels[3].startswith(part)  # the few positions above the threshold may lie on one part of it
    assert found.iou[3, found.parts.index(part)] > 3 * found.control[3, found.parts.index(part)]


def _coarse(mask: np.ndarray, side: int) -> np.ndarray:
    places = (np.arange(side) + 0.5) * len(mask) / side
    return mask[places.astype(int)][:, places.astype(int)].astype(float)


def test_upsampling_keeps_a_constant_and_a_slope(run: Run) -> None:
    layer = run.network.layer("conv3")
    matrix, field = upsampling(layer, 32), layer.field
    assert torch.allclose(matrix.sum(dim=1), torch.ones(32))
    middles = field.start + field.size / 2 + field.jump * torch.arange(layer.leaving.side)
    inside = torch.arange(32).add(0.5).clamp(middles[0], middles[-1])
    assert torch.allclose(matrix @ middles, inside, atol=1e-5)


def test_the_control_is_another_network_and_the_same_each_time(
    run: Run, pictures: AnnotatedPictures, found: Dissection
) -> None:
    assert not np.allclose(found.iou, found.control)
    assert np.array_equal(found.control, dissect(run, pictures, "conv2").control)
    assert not np.allclose(found.control, dissect(run, pictures, "conv2", seed=1).control)


def test_it_draws_and_describes_itself(found: Dissection, tmp_path: Path) -> None:
    assert found.save(tmp_path / "found.png").stat().st_size > 10_000
    told = found.as_json()
    assert len(told["units"]) == len(found.labels)
    assert sum(one["run"] for one in told["units_per_part"].values()) == sum(map(bool, found.labels))
    assert found.describe().endswith(found.summary)


def test_another_level_and_the_areas(run: Run, pictures: AnnotatedPictures, found: Dissection) -> None:
    wide = dissect(run, pictures, "conv2", level=0.2)
    assert (wide.thresholds < found.thresholds).all()
    face = sum(view.masks["face"].mean() for view in pictures if "face" in view.masks) / len(pictures)
    assert wide.areas[wide.parts.index("face")] == pytest.approx(face)
    with pytest.raises(UsageError, match="--level 0: a share between 0 and 1"):
        dissect(run, pictures, "conv2", level=0)


def test_what_is_refused(run: Run, pictures: AnnotatedPictures) -> None:
    with pytest.raises(UserError, match="fc6 has no maps to compare with parts"):
        dissect(run, pictures, "fc6")
    with pytest.raises(UserError, match="has no layer 'conv9'"):
        dissect(run, pictures, "conv9")
    bare = replace(pictures.some(1), read=lambda number: replace(pictures[number], masks={}, boxes={}))
    with pytest.raises(UserError, match="none of the 1 picture has a part"):
        dissect(run, bare, "conv2")
