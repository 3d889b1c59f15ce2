"""Photographs that a phone stored sideways, their orientation in the EXIF data: docs/results.md has the numbers."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import alexnet
from alexnet.cli import main

LEFT = 8
"""EXIF orientation of a picture whose stored rows must be turned a quarter to the left to be seen upright."""


def store_sideways(source: Path, file: Path) -> None:
    """As a phone does: the rows turned to the right, and a tag that says how to undo it."""
    with Image.open(source) as picture:
        exif = Image.Exif()
        exif[0x0112] = LEFT
        picture.convert("RGB").transpose(Image.Transpose.ROTATE_270).save(file, quality=95, exif=exif)


@pytest.mark.long
def test_pictures_of_a_phone_are_learned_and_judged_upright(
    shared_pack: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """20 classes of Caltech-101, 30 upright photographs of each; a further one of each is judged as a phone stores it.
    By default the tag is followed, in prepare and in predict; with --no-exif neither follows it."""
    photos, phone = shared_pack("caltech101"), tmp_path / "phone"
    phone.mkdir()
    kinds = sorted(kind.name for kind in photos.iterdir() if kind.is_dir() and kind.name != "BACKGROUND_Google")
    for kind in kinds:
        (tmp_path / "pictures" / kind).mkdir(parents=True)
        *learned, judged = sorted((photos / kind).glob("*.jpg"))[:31]
        for path in learned:
            shutil.copy(path, tmp_path / "pictures" / kind)
        store_sideways(judged, phone / f"{kind}.jpg")
    assert main(["import", str(shared_pack("alexnet-real") / "qcnn"), str(tmp_path / "caffe")]) == 0
    right = dict[str, int]()
    for name, options in {"followed": [], "ignored": ["--no-exif"]}.items():
        store, run = tmp_path / f"{name}.store", tmp_path / name
        assert main(["prepare", str(tmp_path / "pictures"), str(store), *options]) == 0
        line = ["train", str(store), "--out", str(run), "--from", str(tmp_path / "caffe"), "--head", "linear"]
        assert main(line) == 0
        answers = alexnet.load(run, device="cpu").predict([phone / f"{kind}.jpg" for kind in kinds])
        right[name] = sum(answer.labels[0].name == kind for answer, kind in zip(answers, kinds, strict=True))
    with capsys.disabled():
        print(f"\nright of {len(kinds)}: {right['followed']} with the tag followed, {right['ignored']} without")
    assert right["followed"] >= 18
    assert right["followed"] > right["ignored"] + 4
