"""The built-in pictures: what their description promises, measured on them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from alexnet.data import synthetic
from alexnet.data.sources import open_source
from alexnet.data.synthetic.paint import CLASSES, PALETTES, SPLITS, Drawing, natural_noise
from alexnet.data.synthetic.write import MANIFEST, TRAIN_PER_CLASS, VAL_PER_CLASS
from alexnet.errors import UsageError, UserError
from alexnet.images.decode import decode, to_record

SAMPLE = 10 * len(CLASSES)
TINY = {"train_per_class": 3, "val_per_class": 1, "side": 32}


@lru_cache
def sample() -> tuple[Drawing, ...]:
    """Ten pictures of each class."""
    return tuple(synthetic.draw(0, "train", index) for index in range(SAMPLE))


@lru_cache
def bare() -> tuple[Drawing, ...]:
    """The same without their objects."""
    return tuple(synthetic.draw(0, "train", index, with_object=False) for index in range(SAMPLE))


@lru_cache
def changed() -> tuple[np.ndarray, ...]:
    """The pixels (H, W) that the object of each sample changes."""
    return tuple((one.pixels != drawing.pixels).any(axis=2) for one, drawing in zip(bare(), sample(), strict=True))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.write(tmp_path_factory.mktemp("tiny") / "set", **TINY)


# ------------------------------------------------------------------------------------------------- one picture


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**40), part=st.sampled_from(SPLITS), index=st.integers(0, 10**6))
def test_a_picture_is_a_function_of_seed_part_and_index(seed: int, part: str, index: int) -> None:
    one = synthetic.draw(seed, part, index, side=48)
    synthetic.draw(seed + 1, part, index, side=48)
    other = synthetic.draw(seed, part, index, side=48)
    assert (one.pixels == other.pixels).all()
    assert (one.label, one.box, one.keypoints) == (other.label, other.box, other.keypoints)
    assert one.label == index % len(CLASSES)


def test_another_seed_part_or_index_is_another_picture() -> None:
    first = synthetic.draw(0, "train", 3, side=64).pixels
    for seed, part, index in ((1, "train", 3), (0, "val", 3), (0, "train", 15)):
        other = synthetic.draw(seed, part, index, side=64).pixels
        assert first.shape != other.shape or (first != other).mean() > 0.5


def test_the_object_changes_pixels_inside_its_box_only_and_up_to_its_edges() -> None:
    for without, drawing, pixels in zip(bare(), sample(), changed(), strict=True):
        assert (without.box, without.keypoints) == (drawing.box, drawing.keypoints)
        rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
        found = np.array((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
        inward = (found - drawing.box) * (1, 1, -1, -1)
        assert inward.min() >= 0, "pixels outside the box changed"
        assert inward.max() <= 2, "the box is wider than the object"  # antialiased tips change a pixel by nothing


def test_box_and_visible_object_cover_what_the_description_says() -> None:
    boxes, covers = [], []
    for drawing, pixels in zip(sample(), changed(), strict=True):
        x0, y0, x1, y1 = drawing.box
        boxes.append((x1 - x0) * (y1 - y0) / drawing.pixels[:, :, 0].size)
        covers.append(pixels.mean())
    assert min(boxes) >= 0.05
    assert max(boxes) <= 0.25
    assert np.ptp(boxes) > 0.1
    assert min(covers) > 0.02  # rings and ladders are half air
    assert np.mean(covers) > 0.06


def test_the_object_stands_out_from_its_background() -> None:
    """In nine of ten pictures half of the object's pixels differ from the bare background by 40 levels or more."""
    differences = []
    for without, drawing in zip(bare(), sample(), strict=True):
        difference = np.abs(without.pixels.astype(int) - drawing.pixels).max(axis=2)
        differences.append(np.median(difference[difference > 0]))
    assert np.quantile(differences, 0.1) > 40


def test_parts_lie_in_the_box_and_the_box_in_the_middle_of_the_square() -> None:
    for drawing in sample():
        height, width, _ = drawing.pixels.shape
        x0, y0, x1, y1 = drawing.box
        points = np.array(list(drawing.keypoints.values()))
        assert len(points) >= 1
        assert (points >= (x0, y0)).all()
        assert (points <= (x1, y1)).all()
        crop = synthetic.box_in_crop(drawing.box, width, height)
        assert min(crop) >= -1.5  # a pixel of the file, rounded outwards, is at most 1.28 of the record
        assert max(crop) <= 225.5


def test_faces_have_eyes_where_the_key_points_say() -> None:
    """At each eye's key point the pixels around are not the skin's: the picture agrees with its annotation."""
    for drawing in (drawing for drawing in sample() if CLASSES[drawing.label] == "face"):
        left, right, nose, mouth = (np.array(drawing.keypoints[k]) for k in ("left_eye", "right_eye", "nose", "mouth"))
        assert left[0] < right[0]
        assert left[1] < mouth[1]
        assert right[1] < mouth[1]
        cheek = pixel(drawing, 0.5 * (left + mouth) + 0.25 * (left - nose))
        for part in (left, right, nose, mouth):
            assert np.abs(pixel(drawing, part) - cheek).max() > 20


def pixel(drawing: Drawing, point: np.ndarray) -> np.ndarray:
    column, row = point.astype(int)
    return drawing.pixels[row, column].astype(int)


def test_sizes_and_places_vary() -> None:
    shapes = np.array([drawing.pixels.shape[:2] for drawing in sample()])
    shorter, aspect = shapes.min(axis=1), shapes.max(axis=1) / shapes.min(axis=1)
    assert shorter.min() >= 200
    assert shorter.max() <= 400
    assert np.ptp(shorter) > 150
    assert aspect.max() <= 1.6
    assert aspect.max() > 1.5
    assert 0.3 < (shapes[:, 0] > shapes[:, 1]).mean() < 0.7
    centres = []
    for drawing in sample():
        crop = synthetic.box_in_record(drawing.box, drawing.pixels.shape[1], drawing.pixels.shape[0])
        centres.append(((crop[0] + crop[2]) / 2, (crop[1] + crop[3]) / 2))
    spread = np.ptp(centres, axis=0)
    assert (spread > 95).all()  # of 256, an object being about 110 wide


def test_validation_backgrounds_are_unseen() -> None:
    train, val = (set(map(tuple, PALETTES[split])) for split in ("train", "val"))
    assert not train & val
    assert not {colour for palette in train for colour in palette} & {colour for palette in val for colour in palette}
    used = {drawing.palette for drawing in sample()}
    assert used <= set(range(len(PALETTES["train"])))
    assert len(used) > 8


def test_background_noise_falls_as_one_over_frequency() -> None:
    rng = np.random.default_rng(0)
    power = np.mean([np.abs(np.fft.rfft2(natural_noise(rng, 128, 1.0)))[:, :65] ** 2 for _ in range(20)], axis=0)
    frequency = np.hypot(np.fft.fftfreq(128, 1 / 128)[:, None], np.arange(65)[None, :])
    band = (frequency > 3) & (frequency < 50)
    slope = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)[0]
    assert abs(slope + 2.0) < 0.1  # power is the square of the amplitude


def test_colours_vary_inside_every_class() -> None:
    """The mean colour of the object's pixels: its spread inside classes is not below 2/3 of its spread over all."""
    colours = []
    for drawing, pixels in zip(sample(), changed(), strict=True):
        colours.append(drawing.pixels[pixels].mean(axis=0))
    by_class = np.array(colours).reshape(-1, len(CLASSES), 3)
    assert (by_class.std(axis=0).mean() / by_class.reshape(-1, 3).std(axis=0).mean()) > 2 / 3


def test_wrong_arguments_are_refused() -> None:
    for seed, part, index, side in (
        (-1, "train", 0, None),
        (0, "test", 0, None),
        (0, "val", -1, None),
        (0, "val", 0, 4),
    ):
        with pytest.raises(ValueError, match="no such picture"):
            synthetic.draw(seed, part, index, side=side)


# ----------------------------------------------------------------------------------- not solved by a linear model


def test_a_linear_classifier_on_thumbnails_stays_low() -> None:
    assert best_linear_accuracy(40, 20, side=48) < 0.3


@pytest.mark.long
def test_a_linear_classifier_on_thumbnails_of_the_whole_set_stays_low() -> None:
    assert best_linear_accuracy(TRAIN_PER_CLASS, VAL_PER_CLASS, side=None) < 0.35


def best_linear_accuracy(train_per_class: int, val_per_class: int, side: int | None) -> float:
    """Validation accuracy of logistic regression on 16 × 16 RGB thumbnails of the records, the best of three decays."""
    train, train_labels = thumbnails("train", train_per_class * len(CLASSES), side)
    val, val_labels = thumbnails("val", val_per_class * len(CLASSES), side)
    accuracies = []
    for decay in (3e-3, 3e-2, 0.3):
        weights = fitted(train, train_labels, decay)
        accuracies.append(float(((val @ weights[:-1] + weights[-1]).argmax(1) == val_labels).double().mean()))
    return max(accuracies)


def thumbnails(part: str, count: int, side: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    rows = []
    for index in range(count):
        record = Image.fromarray(to_record(synthetic.draw(0, part, index, side=side).pixels))
        rows.append(np.asarray(record.resize((16, 16), Image.Resampling.BOX)).ravel() / 64.0 - 2.0)
    return torch.tensor(np.array(rows), dtype=torch.float32), torch.arange(count) % len(CLASSES)


def fitted(rows: torch.Tensor, labels: torch.Tensor, decay: float) -> torch.Tensor:
    """Multinomial logistic regression with ridge: a convex problem, solved by L-BFGS."""
    weights = torch.zeros(rows.shape[1] + 1, len(CLASSES), dtype=rows.dtype, requires_grad=True)
    solver = torch.optim.LBFGS([weights], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        solver.zero_grad()
        value = torch.nn.functional.cross_entropy(rows @ weights[:-1] + weights[-1], labels)
        value = value + decay * weights[:-1].square().sum()
        value.backward()
        return value

    solver.step(loss)
    return weights.detach()


def test_the_linear_classifier_can_solve_what_is_linear() -> None:
    """The check above can fail: with the classes' mean colours apart, the same fit finds them."""
    rng = np.random.default_rng(0)
    labels = torch.arange(600) % len(CLASSES)
    rows = torch.tensor(rng.normal(size=(600, 30)) + 2 * rng.normal(size=(len(CLASSES), 30))[labels.numpy()])
    weights = fitted(rows[:300], labels[:300], 1e-3)
    assert ((rows[300:] @ weights[:-1] + weights[-1]).argmax(1) == labels[300:]).double().mean() > 0.95


# ---------------------------------------------------------------------------------------------------- views


def test_boxes_map_into_records_as_pictures_do() -> None:
    """A white box on black, resized and cropped by `to_record`, lies where `box_in_record` says."""
    rng = np.random.default_rng(0)
    for width, height in ((300, 200), (201, 333), (400, 251), (256, 256)):
        square = min(width, height)
        left, top = (width - square) // 2, (height - square) // 2
        x0, y0 = left + int(rng.integers(5, square // 3)), top + int(rng.integers(5, square // 3))
        box = x0, y0, x0 + square // 3, y0 + square // 2
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[box[1] : box[3], box[0] : box[2]] = 255
        bright = to_record(pixels)[:, :, 0] / 255.0
        x_0, y_0, x_1, y_1 = synthetic.box_in_record(box, width, height)
        middle_row, middle_column = int((y_0 + y_1) / 2), int((x_0 + x_1) / 2)
        assert bright[middle_row].sum() == pytest.approx(x_1 - x_0, abs=0.15)
        assert bright[:, middle_column].sum() == pytest.approx(y_1 - y_0, abs=0.15)
        assert bright[middle_row, :middle_column].sum() == pytest.approx(middle_column - x_0, abs=0.15)
        assert bright[:middle_row, middle_column].sum() == pytest.approx(middle_row - y_0, abs=0.15)
        inner = synthetic.box_in_crop(box, width, height)
        assert inner == pytest.approx((x_0 - 16, y_0 - 16, x_1 - 16, y_1 - 16))


# ---------------------------------------------------------------------------------------------------- the folder


def test_folder_holds_balanced_jpeg_files_as_annotated(tiny: Path) -> None:
    for part, per_class in (("train", 3), ("val", 1)):
        annotations = synthetic.read_annotations(tiny, part)
        assert Counter(annotation.label for annotation in annotations) == dict.fromkeys(range(len(CLASSES)), per_class)
        files = sorted(str(path.relative_to(tiny / part)) for path in (tiny / part).rglob("*") if path.is_file())
        assert files == sorted(annotation.file for annotation in annotations)
        for annotation in annotations:
            assert annotation.file.split("/")[0] == CLASSES[annotation.label]
            decoded = decode((tiny / part / annotation.file).read_bytes(), annotation.file)
            assert not decoded.notes
            drawing = synthetic.draw(0, part, annotation.index, side=32)
            assert decoded.pixels.shape == drawing.pixels.shape == (annotation.height, annotation.width, 3)
            assert np.abs(decoded.pixels.astype(int) - drawing.pixels).mean() < 12  # JPEG at quality 90, 32 pixels
            assert (annotation.box, dict(annotation.keypoints)) == (drawing.box, drawing.keypoints)


def test_folder_reads_as_a_source(tiny: Path) -> None:
    source = open_source(tiny)
    assert source.class_ids == CLASSES
    assert {line.split(":")[0] for line in source.ignored} == {
        "annotations-train.json",
        "annotations-val.json",
        "synthetic.json",
    }
    assert {part: len(items) for part, items in source.splits.items()} == {"train": 36, "val": 12}


def test_a_finished_set_is_kept_and_a_damaged_one_mended(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(tiny, folder)
    whole, calls = contents(folder), []
    synthetic.write(folder, **TINY, progress=lambda done, of: calls.append((done, of)))
    assert not calls
    (folder / "train/face/face_00001.jpg").unlink()
    (folder / "val/car/car_00000.jpg").write_bytes(b"")
    (folder / "annotations-train.json").write_text("{")
    synthetic.write(folder, **TINY, progress=lambda done, of: calls.append((done, of)))
    assert calls == [(done, 48) for done in range(1, 49)]
    assert contents(folder) == whole


def test_threads_do_not_change_the_result(tiny: Path, tmp_path: Path) -> None:
    assert contents(synthetic.write(tmp_path / "set", **TINY, workers=1)) == contents(tiny)


def test_killed_and_started_again_gives_the_same_folder(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    program = (
        "import sys; from alexnet.data import synthetic\n"
        f"synthetic.write(sys.argv[1], **{TINY!r}, progress=lambda done, of: print(done, flush=True))"
    )
    for pictures in (1, 17, 40):
        child = subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) >= pictures:
                break
        os.kill(child.pid, signal.SIGKILL)
        child.stdout.close()
        child.wait()
    assert not json.loads((folder / MANIFEST).read_text())["complete"]
    assert contents(synthetic.write(folder, **TINY)) == contents(tiny)


def test_other_peoples_folders_are_left_alone(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(UserError, match="not empty, and no built-in set"):
        synthetic.write(tmp_path / "mine", **TINY)
    with pytest.raises(UserError, match=r"another built-in set .seed 0 instead of 5"):
        synthetic.write(tiny, **TINY, seed=5)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        synthetic.write(tmp_path / "file", **TINY)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_per_class": 0}, "1 to 99999"),
        ({"val_per_class": 100_000}, "1 to 99999"),
        ({"seed": -1}, "0 or more"),
        ({"side": 8}, "16 to 4096"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        synthetic.write(tmp_path / "set", **options)
    assert not (tmp_path / "set").exists()


def test_missing_annotations_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"annotations-val\.json"):
        synthetic.read_annotations(tmp_path, "val")
    (tmp_path / "annotations-val.json").write_text(json.dumps({"pictures": [{"file": "a.jpg"}]}))
    with pytest.raises(UserError, match="damaged"):
        synthetic.read_annotations(tmp_path, "val")


@pytest.mark.long
def test_drawing_is_fast_enough() -> None:
    """Processor time of one picture, so that a busy machine does not matter; 30 s for the whole set on two cores."""
    begin = time.process_time()
    for index in range(100):
        synthetic.draw(1, "train", index)
    assert (time.process_time() - begin) / 100 < 0.0133
