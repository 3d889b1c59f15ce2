"""Pictures with known parts: masks against the pixels that a drawing changes and against resampling; hand-made sets."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from alexnet.data import synthetic
from alexnet.errors import UserError
from alexnet.images.decode import to_record
from alexnet.measure.run import Run
from alexnet.see.annotated import AnnotatedView, annotated_builtin, mask_of, open_annotated

PART_OF_KEYPOINT = {"left_eye": "eye", "front_wheel": "wheel", "left_window": "window"}


@pytest.fixture(scope="module")
def built_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.write(tmp_path_factory.mktemp("built-in") / "set", train_per_class=1, val_per_class=1, side=48)


@pytest.mark.parametrize("index", range(12))
def test_masks_of_a_drawing_are_what_the_object_changes(index: int) -> None:
    drawing = synthetic.draw(0, "val", index, with_masks=True)
    bare = synthetic.draw(0, "val", index, with_object=False)
    whole = synthetic.CLASSES[drawing.label]
    changed = (drawing.pixels != bare.pixels).any(axis=2)
    assert (drawing.masks[whole] & ~changed).sum() <= 0.005 * changed.sum()  # by chance a pixel keeps its colour
    grown = np.asarray(Image.fromarray(drawing.masks[whole]).convert("L").filter(ImageFilter.MaxFilter(3))) > 0
    assert (changed & ~grown).sum() <= 0.005 * changed.sum()  # blended edges are one pixel wide, tips may be thinner
    parts = {name: mask for name, mask in drawing.masks.items() if name != whole}
    assert not (np.sum(list(parts.values()), axis=0) > 1).any() if parts else True
    for name, mask in parts.items():
        assert not (mask & ~drawing.masks[whole]).any(), name
    for name, (x, y) in drawing.keypoints.items():
        part = f"{whole}/{PART_OF_KEYPOINT.get(name, name)}"
        if part in parts and part != "clock/middle":
            assert parts[part][int(y), int(x)], part


def test_a_drawing_is_the_same_with_masks_and_without() -> None:
    assert synthetic.draw(0, "val", 3).masks == {}
    assert np.array_equal(synthetic.draw(0, "val", 3).pixels, synthetic.draw(0, "val", 3, with_masks=True).pixels)


def test_built_in_masks_lie_where_the_record_has_them(run: Run, built_in: Path) -> None:
    side, size = run.inputs.side, run.inputs.size
    edge = (side - size) // 2
    for number, view in enumerate(annotated_builtin(run, built_in)):
        drawing = synthetic.draw(0, "val", number, side=48, with_masks=True)
        assert view.object == synthetic.CLASSES[drawing.label]
        for name, mask in view.masks.items():
            picture = np.repeat(np.uint8(255) * drawing.masks[name][:, :, None], 3, axis=2)
            resampled = to_record(picture, side, "bilinear")[edge : edge + size, edge : edge + size, 0]
            assert not (mask & (resampled == 0)).any(), name
            assert not (~mask & (resampled == 255)).any(), name
            left, top, right, bottom = map(int, view.boxes[name][0])
            assert mask.sum() == mask[top:bottom, left:right].sum()
            assert mask[top:bottom, [left, right - 1]].any(axis=0).all()
        assert view.record.shape == (side, side, 3)


def test_some_are_evenly_spread(run: Run, built_in: Path) -> None:
    whole = open_annotated(run, built_in)
    some = whole.some(3)
    assert [view.name for view in some] == [whole[n].name for n in (0, 6, 11)]
    assert len(whole.some(99)) == 12


def xml(name: str, *boxes: tuple[str, int, int, int, int]) -> str:
    objects = "".join(
        f"<object><name>{kind}</name><bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax>"
        f"<ymax>{bottom}</ymax></bndbox></object>"
        for kind, left, top, right, bottom in boxes
    )
    return f"<annotation><filename>{name}</filename>{objects}</annotation>"


def picture(path: Path, width: int, height: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(noise).save(path)


def voc(folder: Path) -> Path:
    picture(folder / "JPEGImages" / "1.jpg", 80, 40)  # its record of 40 is its middle; the view leaves 4 at each edge
    boxes = (("dog", 25, 5, 34, 14), ("dog", 61, 1, 80, 40), ("person", 1, 1, 20, 40))
    (folder / "Annotations").mkdir()
    (folder / "Annotations" / "1.xml").write_text(xml("1.jpg", *boxes))
    return folder


def test_boxes_of_voc(run: Run, tmp_path: Path) -> None:
    (view,) = open_annotated(run, voc(tmp_path))
    assert view.object == "dog"
    assert view.boxes == {"dog": ((0.0, 0.0, 10.0, 10.0),)}  # the others lie beyond the view
    assert view.masks["dog"][:10, :10].all()
    assert view.masks["dog"].sum() == 100


def pets(folder: Path) -> Path:
    picture(folder / "images" / "Bengal_1.jpg", 40, 40)
    picture(folder / "images" / "beagle_1.jpg", 40, 40)
    trimap = np.full((40, 40), 2, np.uint8)
    trimap[9:31, 9:31], trimap[10:30, 10:30] = 3, 1
    for name in ("Bengal_1", "beagle_1"):
        (folder / "annotations" / "trimaps").mkdir(parents=True, exist_ok=True)
        Image.fromarray(trimap).save(folder / "annotations" / "trimaps" / f"{name}.png")
    (folder / "annotations" / "xmls").mkdir()
    (folder / "annotations" / "xmls" / "Bengal_1.xml").write_text(xml("Bengal_1.jpg", ("cat", 11, 11, 14, 16)))
    return folder


def test_trimaps_and_heads_of_pets(run: Run, tmp_path: Path) -> None:
    cat, dog = open_annotated(run, pets(tmp_path))
    assert cat.boxes == {"cat": ((6.0, 6.0, 26.0, 26.0),), "cat/head": ((6.0, 6.0, 10.0, 12.0),)}
    assert cat.masks["cat"].sum() == 400
    assert cat.masks["cat/head"].sum() == 24
    assert (cat.object, dog.object, [*dog.masks]) == ("cat", "dog", ["dog"])


def test_the_real_pets(run: Run, shared_pack: Callable[[str], Path]) -> None:
    found = open_annotated(run, shared_pack("pets-dogs") / "oxford")
    assert len(found) == 66
    view: AnnotatedView = found.some(2)[1]
    assert view.object in ("cat", "dog")
    assert 0.05 < view.masks[view.object].mean() < 0.95


def test_what_is_refused(run: Run, tmp_path: Path, built_in: Path) -> None:
    with pytest.raises(UserError, match="holds no pictures with known parts"):
        open_annotated(run, tmp_path)
    (tmp_path / "empty" / "annotations" / "trimaps").mkdir(parents=True)
    with pytest.raises(UserError, match="holds no pictures with known parts"):
        open_annotated(run, tmp_path / "empty")
    folder = pets(tmp_path / "pets")
    Image.fromarray(np.full((40, 40), 7, np.uint8)).save(folder / "annotations" / "trimaps" / "Bengal_1.png")
    Image.fromarray(np.full((20, 40), 1, np.uint8)).save(folder / "annotations" / "trimaps" / "beagle_1.png")
    found = open_annotated(run, folder)
    with pytest.raises(UserError, match="no trimap, which holds 1"):
        found[0]
    with pytest.raises(UserError, match=r"40 × 40 pixels, but its mask has 40 × 20"):
        found[1]
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "synthetic.json").write_text('{"drawing_version": 1, "seed": 0, "side": null}')
    with pytest.raises(UserError, match="drawn by another version"):
        open_annotated(run, tmp_path / "old")


def test_a_mask_of_boxes_counts_the_middles_of_pixels() -> None:
    assert mask_of([(0.4, 0.6, 2.5, 2.5)], 4).sum() == 2 * 1
