"""Corrected labels: applied as the file says, refused where it makes no sense, the pictures untouched."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.cli import main
from alexnet.data.sources import open_source
from alexnet.data.sources.corrections import CorrectionsFile, Mark, corrected
from alexnet.data.store.read import Store
from alexnet.errors import UserError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for label, name in enumerate(("cat", "dog")):
        for number in range(4):
            file = tmp_path / "photos" / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((40, 40, 3), 40 * number + 20 * label, np.uint8)).save(file)
    return tmp_path / "photos"


def test_labels_change_and_pictures_are_left_out(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in photos.rglob("*.png")}
    file = tmp_path / "corrections.csv"
    file.write_text("file,label,suggested\ncat/1.png,cat,dog\ndog/2.png,dog,leave out\ncat/3.png,cat,cat\n")
    line = ["prepare", str(photos), str(tmp_path / "store"), "--size", "40", "--holdout", "0"]
    assert main([*line, "--corrections", str(file)]) == 0
    assert "1 label corrected, 1 picture left out" in capsys.readouterr().err
    train = Store.open(tmp_path / "store").splits["train"]
    found = dict(zip(map(str, train.keys), train.labels.tolist(), strict=True))
    assert found == {
        **{f"cat/{number}.png": int(number == 1) for number in range(4)},
        **{f"dog/{number}.png": 1 for number in (0, 1, 3)},
    }
    assert {path: path.read_bytes() for path in photos.rglob("*.png")} == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "the columns file and suggested are needed"),
        ("file,suggested\ncat/9.png,dog\n", "line 2: the source has no picture 'cat/9.png'"),
        ("file,suggested\ncat/1.png,\ncat/9.png,dog\n", "line 3: the source has no picture 'cat/9.png'"),
        ("file,suggested\ncat/0.png,dog\ncat/1.png,bird\n", "line 3: no class is called 'bird'.*Classes: cat, dog"),
        ("file,suggested,apply\ncat/1.png,bird,no\ncat/1.png,bird,yes\n", "line 3: no class is called 'bird'"),
        ("file,suggested\ncat/1.png,dog\ncat/1.png,cat\n", "line 3: another suggestion for 'cat/1.png'"),
        ("file,suggested,apply\ncat/1.png,dog,perhaps\n", "line 2: the column apply says 'perhaps'. Write yes or no"),
        ("", "the columns file and suggested are needed"),
    ],
)
def test_what_makes_no_sense_is_refused(photos: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "corrections.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        corrected(open_source(photos), tmp_path / "corrections.csv")


def test_only_what_is_to_be_applied_is(photos: Path, tmp_path: Path) -> None:
    file, source = tmp_path / "corrections.csv", open_source(photos)
    file.write_text("file,suggested,apply\ncat/1.png,dog, Yes\ncat/2.png,dog,no\ncat/3.png,leave out,\n")
    found = corrected(source, file)
    changed = found.splits["train"].labels != source.splits["train"].labels
    assert [str(key) for key in np.array(source.splits["train"].keys)[changed]] == ["cat/1.png"]
    words = "1 label corrected, 0 pictures left out; 2 suggestions not applied, by the column apply"
    assert found.notes[-1].endswith(words)


@pytest.mark.parametrize("text", ["file,suggested\n", "file,suggested\ncat/1.png\ncat/2.png, \n"])
def test_without_suggestions_nothing_changes(photos: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "corrections.csv").write_text(text)
    source = open_source(photos)
    same = corrected(source, tmp_path / "corrections.csv")
    assert all(np.array_equal(same.splits[name].labels, split.labels) for name, split in source.splits.items())


@pytest.mark.parametrize(("mark", "encoding"), [(";", "utf-8-sig"), ("\t", "utf-16")])
def test_the_file_may_come_back_from_a_spreadsheet(photos: Path, tmp_path: Path, mark: str, encoding: str) -> None:
    text = "file,label,suggested\r\ncat/1.png,cat,dog\r\n".replace(",", mark)
    (tmp_path / "corrections.csv").write_text(text, encoding)
    source, file = open_source(photos), tmp_path / "corrections.csv"
    changed = corrected(source, file).splits["train"].labels != source.splits["train"].labels
    assert [str(key) for key in np.array(source.splits["train"].keys)[changed]] == ["cat/1.png"]


def test_a_reason_with_semicolons_does_not_hide_that_semicolons_part_the_columns(photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "corrections.csv"
    file.write_text('file;suggested;apply;why\ncat/1.png;dog;yes;label, confident\ncat/2.png;leave out;yes;"a; b"\n')
    assert corrected(open_source(photos), file).notes[-1].endswith("1 label corrected, 1 picture left out")


def test_marks_keep_the_rows_columns_and_dialect_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    table = (
        "file;suggested;note;apply;why\r\n"
        "cat/2.png;dog;mine; YES;label, confident\r\n"
        "cat/1.png;dog;;no;label\r\n"
        "dog/0.png;leave out;;no;\r\n"
    )
    path.write_bytes(table.encode("utf-16"))
    file = CorrectionsFile(path)
    assert file.marks() == {"cat/2.png": Mark("wrong", "dog")}
    file.mark("dog/3.png", "dog", Mark("leave out"))
    file.mark("cat/1.png", "cat", Mark("right"))
    file.mark("cat/2.png", "cat", Mark("wrong", "cat; big"))
    read = path.read_bytes().decode("utf-16")
    assert read == (
        "file;suggested;note;apply;why\r\n"
        'cat/2.png;"cat; big";mine;yes;"label, confident; marked wrong"\r\n'
        'cat/1.png;dog;;no;"label; marked right"\r\n'
        "dog/0.png;leave out;;no;\r\n"
        "dog/3.png;leave out;;yes;marked leave out\r\n"
    )
    assert file.marks() == {
        "cat/2.png": Mark("wrong", "cat; big"),
        "cat/1.png": Mark("right"),
        "dog/3.png": Mark("leave out"),
    }
    for name in ("dog/3.png", "cat/1.png"):
        file.mark(name, "", None)
    assert file.marks().keys() == {"cat/2.png"}
    assert "dog/3.png" not in path.read_bytes().decode("utf-16")
    assert "cat/1.png;dog;;no;label\r\n" in path.read_bytes().decode("utf-16")


def test_a_file_without_the_columns_of_marks_gets_them_and_means_the_same(photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text("suggested,file\ndog,cat/0.png\n")
    before = corrected(open_source(photos), path)
    CorrectionsFile(path).mark("dog/1.png", "dog", Mark("right"))
    assert path.read_text() == "suggested,file,apply,why\ndog,cat/0.png,yes,\n,dog/1.png,no,marked right\n"
    after = corrected(open_source(photos), path)
    assert [split.labels.tolist() for split in after.splits.values()] == [
        split.labels.tolist() for split in before.splits.values()
    ]
    path.write_text("file,why\n")
    with pytest.raises(UserError, match="no file of corrections"):
        CorrectionsFile(path).mark("dog/1.png", "dog", None)
