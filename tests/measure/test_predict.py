"""Asking a run what is in a picture: every kind of picture, folders, standard input, files that hold none."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.cells import cell_len

from alexnet.cli import main
from alexnet.data.store.read import Store
from alexnet.errors import UsageError
from alexnet.files.tensors import load_tensors, save_tensors
from alexnet.images.decode import Undecodable, decode, to_record
from alexnet.measure import predict
from alexnet.measure.evaluation import evaluate_run
from alexnet.measure.predict import Failure, Label, Prediction
from alexnet.measure.probabilities import Probabilities
from alexnet.measure.run import Run
from alexnet.report import text as words


@pytest.fixture
def photo() -> np.ndarray:
    """(61, 83, 3), smooth with an edge."""
    rows, columns = np.mgrid[:61, :83]
    return np.stack([rows * 4, columns * 3, (rows > columns) * 200], axis=2).astype(np.uint8)


def as_png(pixels: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def test_a_picture_is_the_same_as_file_bytes_pillow_image_and_array(
    run: Run, photo: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "photo.png").write_bytes(as_png(photo))
    kinds = [tmp_path / "photo.png", str(tmp_path / "photo.png"), as_png(photo), Image.fromarray(photo), photo]
    expected = run.viewer.probabilities(as_tensor(to_record(photo, 40)), 10)[0].numpy()
    for kind in kinds:
        found = run.predict(kind)
        np.testing.assert_allclose(found.probabilities, expected, atol=1e-4)
    assert [found.name for found in run.predict(kinds)][2:] == ["picture 3", "picture 4", "picture 5"]
    assert run.predict([]) == []


def as_tensor(record: np.ndarray):

    return torch.from_numpy(record[None].copy())


def test_labels_are_the_most_probable_classes_in_order(run: Run, photo: np.ndarray) -> None:
    found = run.predict(photo, top=3, views=1)
    order = np.argsort(-found.probabilities, kind="stable")[:3]
    assert [label.name for label in found.labels] == [run.class_names[k] for k in order]
    assert [label.id for label in found.labels] == [run.class_ids[k] for k in order]
    assert [label.probability for label in found.labels] == [float(found.probabilities[k]) for k in order]
    assert len(run.predict(photo, top=99).labels) == len(run.class_names)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "LAB"])
def test_pillow_images_of_any_mode_are_taken_as_their_files_would_be(run: Run, mode: str, tmp_path: Path) -> None:
    plain = Image.effect_noise((50, 44), 60)
    image = plain.convert("I").point(lambda v: v * 256).convert("I;16") if mode == "I;16" else plain.convert("RGB")
    if mode == "LAB":
        from PIL import ImageCms

        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.applyTransform(image, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    elif mode != "I;16":
        image = image.convert(mode)
    assert image is not None
    suffix = "tif" if mode in ("CMYK", "LAB") else "png"
    image.save(tmp_path / f"it.{suffix}")
    from_file, from_image = run.predict([tmp_path / f"it.{suffix}", image], views=1)
    np.testing.assert_allclose(from_image.probabilities, from_file.probabilities, atol=1e-4)


def test_pixels_of_another_shape_or_type_are_refused(run: Run) -> None:
    for wrong in (np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3), np.float32)):
        with pytest.raises(ValueError, match=r"uint8 \(H, W, 3\)"):
            run.predict(wrong)
    with pytest.raises(UsageError, match="--views 2"):
        run.predict(np.zeros((9, 9, 3), np.uint8), views=2)


def test_what_cannot_be_read_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<!doctype html><p>404")
    with pytest.raises(Undecodable, match=r"page\.jpg: not a picture that is read here but an HTML page"):
        run.predict(tmp_path / "page.jpg")
    with pytest.raises(Undecodable, match=r"absent\.jpg: No such file"):
        run.predict(tmp_path / "absent.jpg")


def test_stored_pictures_get_the_same_answer_as_in_an_evaluation(run: Run, store: Store) -> None:
    _, kept = evaluate_run(run.folder, run.viewer, store, views=(10,), keep_probabilities=True)
    assert kept is not None
    found = run.predict(list(store.splits["val"].read(np.arange(60))))
    np.testing.assert_allclose([p.probabilities for p in found], kept.values, atol=1e-4)


@pytest.mark.parametrize("batch", [1, 2, 3, 50])
def test_order_and_names_stand_whatever_the_batch(
    run: Run, store: Store, batch: int, monkeypatch, tmp_path: Path
) -> None:
    """Sound and unsound files alternate; none takes another's answer."""
    records = store.splits["val"].read(np.arange(0, 60, 12))
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, record in enumerate(records):
        (folder / f"{number}a.png").write_bytes(as_png(record))
        (folder / f"{number}b.png").write_bytes(b"no picture")
    monkeypatch.setattr(predict, "BATCH", batch)
    found = list(run.predictor.each(predict.found_pictures([str(folder)]), views=1))
    assert [Path(f.name).name for f in found] == sorted(path.name for path in folder.iterdir())
    sound = [f for f in found if isinstance(f, Prediction)]
    assert len(sound) == len(records)
    for prediction, record in zip(sound, records, strict=True):
        np.testing.assert_allclose(prediction.probabilities, run.predict(record, views=1).probabilities, atol=1e-4)


def test_folders_are_walked_in_order_without_what_is_hidden(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/1.jpg", "a.jpg", ".hidden/x.jpg", ".DS_Store", "b/.thumb.jpg", "é/ü.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = [Path(named.name).relative_to(tmp_path).as_posix() for named in predict.found_pictures([str(tmp_path)])]
    assert found == ["a.jpg", "b/1.jpg", "b/2.jpg", "é/ü.jpg"]


# ── the command line ─────────────────────────────────────────────────────────────────────────────────────────────


def test_json_lines_for_every_file_and_an_exit_code_that_tells(
    run: Run, photo: np.ndarray, tmp_path: Path, capsys
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "good.png").write_bytes(as_png(photo))
    (pictures / "bad.png").write_bytes(as_png(photo)[:200])
    absent = str(tmp_path / "absent.png")
    code = main(["predict", str(run.path), str(pictures), absent, "--json", "--device", "cpu"])
    out, err = capsys.readouterr()
    bad, good, missing = map(json.loads, out.splitlines())
    assert code == 1
    assert "pictures that could not be read: 2" in err
    assert bad["file"].endswith("bad.png")
    assert "damaged" in bad["error"]
    assert missing == {"file": absent, "error": "No such file or directory"}
    assert [set(label) for label in good["labels"]] == [{"class", "id", "probability"}] * 4
    assert sum(label["probability"] for label in good["labels"]) == pytest.approx(1, abs=1e-5)


def test_a_folder_as_people_have_it(run: Run, photo: np.ndarray, tmp_path: Path, capsys) -> None:
    """Links are followed, leftovers and outputs counted; names keep their real path but for the screen."""
    names = ("at 9.41\u202fAM.png", "cafe\u0301.png", "two\nlines.png", os.fsdecode(b"\xff.png"))
    for folder in ("mix", "elsewhere", "mix/@eaDir", "mix/run"):
        (tmp_path / folder).mkdir()
    for name in (*(f"mix/{name}" for name in names), "elsewhere/a.png", "mix/@eaDir/x.png", "mix/run/x.png"):
        (tmp_path / name).write_bytes(as_png(photo))
    for name in ("Thumbs.db", "notes.txt", "LICENSE", "1.MOV", "run/inputs.safetensors"):
        (tmp_path / "mix" / name).touch()
    (tmp_path / "mix/linked").symlink_to(tmp_path / "elsewhere")
    kept, command = tmp_path / "p.safetensors", ["predict", str(run.path), str(tmp_path / "mix"), "--device", "cpu"]
    assert main([*command, "--json", "--save-probabilities", str(kept)]) == 0
    out, err = capsys.readouterr()
    files = [json.loads(line)["file"] for line in out.splitlines()]
    assert sorted(files) == sorted(str(tmp_path / "mix" / name) for name in (*names, "linked/a.png"))
    assert Probabilities.load(kept).keys == tuple(files)
    assert "skipped 6 files and folders: " in err
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("9.41\\u202fAM.png", "two\\nlines.png", "\\udcff.png"))


def test_a_network_that_gives_nan_is_refused(
    run: Run, photo: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run whose training diverged, or whose weights were imported before NaN was refused."""
    weights, about = load_tensors(run.path / "model.safetensors")
    weights["fc8.bias"][0] = torch.nan
    save_tensors(run.path / "model.safetensors", weights, about)
    Image.fromarray(photo).save(tmp_path / "a.png")
    for form in ([], ["--json"]):
        assert main(["predict", str(run.path), str(tmp_path / "a.png"), "--device", "cpu", *form]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert "the network's probabilities are NaN" in said.err


def test_one_picture_from_standard_input(run: Run, photo: np.ndarray, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(as_png(photo))))
    assert main(["predict", str(run.path), "-", "--json", "--device", "cpu"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == "standard input"
    assert told["labels"][0]["class"] == run.predict(photo).labels[0].name


def test_text_keeps_to_its_width_and_shows_what_it_says() -> None:
    labels = tuple(
        Label(name, name, share)
        for name, share in (("a" * 70, 0.75), ("猫猫猫", 0.2), ("b", 0.05), ("c", 0.0), ("d", 0.0))
    )
    prediction = Prediction("cat.jpg", labels, np.zeros(5), ("CMYK to RGB",))
    lines = words.describe_prediction(prediction, 80, "utf-8").splitlines()
    assert lines[0] == "cat.jpg"
    assert lines[-1] == "  note: CMYK to RGB"
    assert max(map(cell_len, lines)) <= 80
    assert "…" in lines[1]
    assert lines[1].count("█") > 3 * lines[2].count("█") > 0
    assert [("█" in line) for line in lines[3:5]] == [True, False]
    assert words.describe_prediction(prediction, 80, "ascii").count("#") > 30


def test_a_bar_is_as_long_as_its_share() -> None:
    for share in np.linspace(0, 1, 81):
        drawn = words.bar(share, 40, "utf-8")
        eighths = sum(8 if cell == "█" else words.EIGHTHS.index(cell) for cell in drawn)
        assert eighths == round(share * 320)


# ── real pictures ────────────────────────────────────────────────────────────────────────────────────────────────


def test_odd_files_are_answered_or_named_as_decode_has_it(run: Run, shared_pack: Callable[[str], Path]) -> None:
    """All odd files but the largest, so that this stays a matter of seconds."""
    files = [p for p in sorted(shared_pack("odd-images").rglob("*")) if p.is_file() and p.stat().st_size < 20_000]
    outcomes = []
    for file in files:
        try:
            decode(file.read_bytes(), str(file))
            outcomes.append(Prediction)
        except Undecodable as fault:
            outcomes.append(fault.reason)
    found = list(run.predictor.each(predict.found_pictures(map(str, files)), views=1))
    assert len(found) == len(files) > 50
    assert [f.reason if isinstance(f, Failure) else Prediction for f in found] == outcomes
    assert all(np.isfinite(f.probabilities).all() for f in found if isinstance(f, Prediction))


def test_photographs_of_any_size(run: Run, shared_pack: Callable[[str], Path]) -> None:
    photographs = sorted(shared_pack("imagenette224").glob("val/*/*"))[::150]
    found = run.predict(photographs)
    assert [Path(f.name) for f in found] == photographs
    for prediction, path in zip(found, photographs, strict=True):
        record = to_record(np.asarray(Image.open(path).convert("RGB")), 40)
        np.testing.assert_allclose(prediction.probabilities, run.predict(record).probabilities, atol=1e-4)
