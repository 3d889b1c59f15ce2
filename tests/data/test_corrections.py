"""Corrected labels: applied as the file says, refused where it makes no sense, the pictures untouched."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.cli import main
from alexnet.data.sources import open_source
from alexnet.data.sources.corrections import corrected
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
        ("file,suggested\ncat/9.png,dog\n", "the source has no picture 'cat/9.png'"),
        ("file,suggested\ncat/1.png,bird\n", "no class is called 'bird'"),
        ("file,suggested\ncat/1.png\n", "no class is called"),
    ],
)
def test_what_makes_no_sense_is_refused(photos: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "corrections.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        corrected(open_source(photos), tmp_path / "corrections.csv")


def test_without_lines_nothing_changes(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "corrections.csv").write_text("file,suggested\n")
    source = open_source(photos)
    same = corrected(source, tmp_path / "corrections.csv")
    assert all(np.array_equal(same.splits[name].labels, split.labels) for name, split in source.splits.items())
