"""Correspondence against the printed formula written out pair by pair; key points; what can't be compared."""

import json
from pathlib import Path

import pytest
import torch
from made_networks import noise, small, viewer_of
from PIL import Image

from alexnet.data import synthetic
from alexnet.errors import UserError
from alexnet.see.correspondence import Consistency, correspondence_of, default_layers, hamming, masked
from alexnet.see.keypoints import in_view, read_keypoints, region_in_view

POINTS = [{"eye": (10.0 + n, 12.0), "nose": (16.0, 20.0 - n), "tail": (3.0, 3.0)} for n in range(4)]
NAMES = ["a", "b", "c", "d"]


def test_the_printed_formula_and_the_normalised_one() -> None:
    """Δ_l = Σ_{i≠j} H(sign ε_i, sign ε_j), written as it stands."""
    viewer = viewer_of(small("toy"))
    inputs = noise(4, 32)
    found = correspondence_of(
        viewer, inputs, POINTS, names=NAMES, parts=["eye", "nose"], layers=["relu5", "relu7"], mask=6
    )
    for part in ("eye", "nose"):
        covered = inputs.clone()
        for n in range(4):
            x, y = POINTS[n][part]
            covered[n, :, int(y) - 3 : int(y) + 3, int(x) - 3 : int(x) + 3] = 0
        for layer in ("relu5", "relu7"):
            clean, hidden = (viewer.network.activations(x)[layer].flatten(1) for x in (inputs, covered))
            signs = [[(e > 0) - (e < 0) for e in row] for row in (clean - hidden).tolist()]
            delta, pairs = 0, []
            for i in range(4):
                for j in range(4):
                    if i != j:
                        different = sum(a != b for a, b in zip(signs[i], signs[j], strict=True))
                        delta += different
                        pairs += [different / len(signs[i])] if i < j else []
            cell = found.cells[part, layer]
            assert cell.delta == delta
            assert delta > 0
            assert cell.normalised == pytest.approx(delta / (4 * 3 * len(signs[0])))
            assert cell.deviation == pytest.approx(float(torch.tensor(pairs).std()), rel=1e-5)
    assert found.parts == ("eye", "nose", "random", "other parts")
    assert 0 < found.cells["random", "relu5"].normalised < 1


def test_hamming_and_three_valued_signs() -> None:
    signs = torch.tensor([[1, 0, -1, 0], [1, 0, 1, 1], [0, 0, 0, 0]])
    assert hamming(signs).tolist() == [[0, 2, 2], [2, 0, 3], [2, 3, 0]]
    assert Consistency("part", "layer", torch.tensor([2, 2, 3]), 4).delta == 14


def test_the_control_of_other_parts_compares_each_with_each() -> None:
    """H(sign ε of one part of i, sign ε of another of j) over all ordered pairs of parts, i ≠ j."""
    viewer, inputs = viewer_of(small("toy")), noise(4, 32)
    found = correspondence_of(viewer, inputs, POINTS, names=NAMES, layers=["relu7"], mask=6)
    clean = viewer.network.activations(inputs)["relu7"]
    signs = {}
    for part in POINTS[0]:
        centres = torch.tensor([points[part] for points in POINTS])
        hidden = viewer.network.activations(masked(viewer, inputs, centres, 6, None))["relu7"]
        signs[part] = (clean - hidden).sign()
    differ = [
        float((signs[one][i] != signs[other][j]).double().mean())
        for one in signs
        for other in signs
        for i in range(4)
        for j in range(4)
        if one != other and i != j
    ]
    cell = found.cells["other parts", "relu7"]
    assert cell.normalised == pytest.approx(sum(differ) / len(differ))
    assert cell.draws == 6
    alone = correspondence_of(viewer, inputs, POINTS, names=NAMES, parts=["eye"], layers=["relu7"], mask=6)
    assert alone.parts == ("eye", "random")


def test_masks_lie_about_their_points_and_are_cut_at_the_edge() -> None:
    viewer = viewer_of(small("toy"))
    inputs = noise(2, 32)
    covered = masked(viewer, inputs, torch.tensor([[16.0, 8.0], [0.0, 31.0]]), 6, None)
    changed = (covered != inputs).any(dim=1)
    assert changed[0].nonzero().amin(dim=0).tolist() == [5, 13]
    assert changed[0].nonzero().amax(dim=0).tolist() == [10, 18]
    assert int(changed[0].sum()) == 36
    assert changed[1].nonzero().amin(dim=0).tolist() == [28, 0]
    assert changed[1].nonzero().amax(dim=0).tolist() == [31, 2]
    grey = masked(viewer, inputs, torch.tensor([[16.0, 8.0], [3.0, 3.0]]), 6, 100.0)
    torch.testing.assert_close(grey[0, :, 7, 15] + viewer.inputs.mean_image[:, 7, 15], torch.full((3,), 100.0))


def test_the_control_depends_on_its_seed_alone() -> None:
    viewer, inputs = viewer_of(small("toy")), noise(4, 32)
    found = [correspondence_of(viewer, inputs, POINTS, names=NAMES, seed=seed).as_json() for seed in (0, 0, 1)]
    assert found[0] == found[1]
    assert found[0] != found[2]
    assert {row["draws"] for row in found[0]["table"] if row["part"] == "random"} == {10}
    assert {row["part"] for row in found[0]["table"]} == {"eye", "nose", "tail", "random", "other parts"}


def test_the_control_lies_on_the_object() -> None:
    """Masking a corner that all pictures share, and only there: the control is that part."""
    viewer, inputs = viewer_of(small("toy")), noise(3, 32)
    points = [{"spot": (6.0, 6.0)}] * 3
    found = correspondence_of(viewer, inputs, points, names="abc", mask=4, regions=[(6, 6, 6, 6)] * 3, draws=2)
    for layer in found.layers:
        spot, random = found.cells["spot", layer], found.cells["random", layer]
        assert random.normalised == pytest.approx(spot.normalised)
        assert random.delta == pytest.approx(spot.delta)
    assert found.as_json()["control"] == "object"


def test_layers_without_the_classifier() -> None:
    network = small("toy")
    assert default_layers(network) == ("pool5", "relu7")
    network.missing_layers = ("fc6",)
    assert default_layers(network) == ("pool5", "relu4")


@pytest.mark.parametrize(
    ("points", "options", "message"),
    [
        (POINTS[:1], {}, "1 picture with key points: at least two"),
        (POINTS, {"parts": ["ear"]}, "a: has no key point 'ear'; it has: eye, nose, tail"),
        ([*POINTS[:3], {"eye": (40.0, 3.0)}], {}, "d: its key point 'eye' lies outside what the network sees"),
        ([{"eye": (1.0, 1.0)}, {"nose": (1.0, 1.0)}], {}, "no key point in common"),
        (POINTS, {"mask": 33}, "a mask of 33 pixels: between 1 and 32"),
    ],
)
def test_what_can_t_be_compared(points: list[dict[str, tuple[float, float]]], options: dict, message: str) -> None:
    viewer = viewer_of(small("toy"))
    with pytest.raises(UserError, match=message):
        correspondence_of(viewer, noise(len(points), 32), points, names=NAMES[: len(points)], **options)


# ── key points in files ──────────────────────────────────────────────────────────────────────────────────────────


def test_both_forms_of_files(tmp_path: Path) -> None:
    Image.new("RGB", (80, 60)).save(tmp_path / "cat.png")
    plain = {"cat.png": {"left_eye": [40, 30], "nose": [20.5, 0], "width": 80, "head": [1, 2, 3, 4]}}
    (tmp_path / "plain.json").write_text(json.dumps(plain))
    (found,) = read_keypoints(tmp_path / "plain.json")
    assert found.file == tmp_path / "cat.png"
    assert found.points == {"left_eye": (40, 30), "nose": (20.5, 0)}
    assert found.box == (20.5 - 9.75, -15, 40 + 9.75, 45)
    assert region_in_view(found, 40, 32) == pytest.approx((0, 0, 49.75 * 53 / 80 - 10, 26))
    # 80 × 60 → 53 × 40, of which columns 6 … 45 and then 32 of 40 remain.
    placed = in_view(found, 40, 32)
    assert placed["left_eye"] == pytest.approx((40 * 53 / 80 - 6 - 4, 30 * 40 / 60 - 4))
    folder = synthetic.write(tmp_path / "set", train_per_class=1, val_per_class=1, side=40)
    drawn = read_keypoints(folder / "annotations-val.json")
    assert len(drawn) == 12
    assert all(entry.file.is_file() for entry in drawn)
    assert [entry.box for entry in drawn] == [known.box for known in synthetic.read_annotations(folder, "val")]


def test_files_that_are_none_and_points_outside(tmp_path: Path) -> None:
    for content in (
        '{"cat.png": 3}',
        '{"cat.png": {"eye": [1, 2], "box": [3, 4]}}',
        '{"pictures": [{"file": "cat.png"}]}',
    ):
        (tmp_path / "list.json").write_text(content)
        with pytest.raises(UserError, match=r"list.json: .* Expected is"):
            read_keypoints(tmp_path / "list.json")
    Image.new("RGB", (80, 60)).save(tmp_path / "cat.png")
    (tmp_path / "far.json").write_text('{"cat.png": {"eye": [90, 3]}, "dog.png": {"eye": [1, 1]}}')
    cat, dog = read_keypoints(tmp_path / "far.json")
    with pytest.raises(UserError, match="key point 'eye' at 90, 3 lies outside the picture of 80 × 60 pixels"):
        in_view(cat, 40, 32)
    with pytest.raises(UserError, match=r"dog.png: No such file"):
        in_view(dog, 40, 32)
    (tmp_path / "dog.png").write_text("<!doctype html>")
    with pytest.raises(UserError, match=r"dog.png: not a picture .* but an HTML page .*\. Restore it") as caught:
        in_view(dog, 40, 32)
    assert str(caught.value).count("dog.png") == 1
