"""Annotations as tools and people write them: pictures are found, encodings read, broken files skipped and listed."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from alexnet import cli
from alexnet.data.sources import open_source
from alexnet.data.sources.labelme import annotated_pictures, is_labelme
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.images.decode import Undecodable

sys.path.insert(0, str(Path(__file__).parent))
from made_sources import folder, picture

BOX = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>8</xmax><ymax>8</ymax></bndbox>"


PAIR = ("cat", "dog")


def xml(filename: str | None, *names: str, head: str = "") -> str:
    """An annotation of objects with these names; None: without a <filename>."""
    named = "" if filename is None else f"<filename>{filename}</filename>"
    objects = "".join(f"<object><name>{name}</name>{BOX}</object>" for name in names)
    return f"{head}<annotation>{named}{objects}</annotation>"


def tree(
    root: Path, annotations: dict[str, bytes | str], where: str = "Annotations", pictures: str = "JPEGImages"
) -> Path:
    """A picture of value k, k.png, for k from 0 to 7, and these annotations."""
    files = {f"{pictures}/{k}.png": picture(k, "PNG") for k in range(8)}
    texts = {f"{where}/{name}": text.encode() if isinstance(text, str) else text for name, text in annotations.items()}
    return folder(root, files | texts)


def pictures_of(root: Path) -> dict[str, int]:
    """The name of each object, and the value of the picture it is cut out of."""
    source = open_source(root)
    return {source.class_ids[item.label]: int(np.asarray(item.read()).mean() + 0.5) for item in source.splits["train"]}


WRITTEN = {
    "its name": "3.png",
    "without a suffix": "3",
    "another suffix": "3.jpg",
    "another case": "3.PNG",
    "a Windows path": "C:\\data\\voc\\3.png",
    "a path of another machine": "/home/someone/voc/3.jpeg",
    "empty": "",
    "blanks": " \n ",
    "absent": None,
    "of a picture that is not there": "DSC_0003.jpg",
}


@pytest.mark.parametrize("written", WRITTEN)
def test_the_picture_of_an_annotation(tmp_path: Path, written: str) -> None:
    tree(tmp_path, {"3.xml": xml(WRITTEN[written], "cat"), "5.xml": xml("5.png", "dog")})
    assert pictures_of(tmp_path) == {"cat": 3, "dog": 5}
    assert [one.picture for one in annotated_pictures(tmp_path)] == ["JPEGImages/3.png", "JPEGImages/5.png"]


def test_the_file_name_finds_a_picture_of_another_name(tmp_path: Path) -> None:
    tree(tmp_path, {"first.xml": xml("4.jpg", "cat"), "second.xml": xml("E:\\6.PNG", "dog")})
    assert pictures_of(tmp_path) == {"cat": 4, "dog": 6}


@pytest.mark.parametrize(
    ("where", "pictures"),
    [
        ("images", "images"),
        (".", "."),
        ("annotations", "images/part one"),
        ("annotations", "jpegimages"),
        ("Annotations", "images"),
        ("annotations/xmls", "images"),
        ("images/xmls", "images"),
        ("xmls", "Images"),
        ("ANNOTATIONS/set", "JPEGImages/set"),
    ],
)
def test_the_folders_in_other_spellings(tmp_path: Path, where: str, pictures: str) -> None:
    tree(tmp_path, {"1.xml": xml("1.jpg", "cat"), "2.xml": xml("2.png", "dog")}, where, pictures)
    assert is_labelme(tmp_path)
    assert pictures_of(tmp_path) == {"cat": 1, "dog": 2}
    unlisted = {line for line in open_source(tmp_path).ignored if line.endswith("has no annotation")}
    assert unlisted == {f"{pictures}/{k}.png: has no annotation".removeprefix("./") for k in (0, 3, 4, 5, 6, 7)}


def test_pictures_of_one_name_in_two_folders(tmp_path: Path) -> None:
    tree(tmp_path, {"1.xml": xml("1.png", "cat"), "set/1.xml": xml("1.png", "dog")})
    folder(tmp_path, {"JPEGImages/set/1.png": picture(77, "PNG")})
    assert pictures_of(tmp_path) == {"cat": 1, "dog": 77}


def test_masks_alone_are_no_annotations(tmp_path: Path) -> None:
    assert not is_labelme(tmp_path / "nowhere")
    folder(tmp_path, {"images/1.png": picture(1), "annotations/trimaps/1.png": picture(2), "annotations/list.txt": b""})
    assert not is_labelme(tmp_path)


def declared(encoding: str) -> str:
    return f'<?xml version="1.0" encoding="{encoding}"?>\n'


ENCODED = {
    "GBK": (xml("C:\\数据\\1.png", "猫", head=declared("GBK")).encode("gbk"), "猫"),
    "GBK that may pass for UTF-8": (xml("1.png", "猫", head=declared("gbk")).encode("gbk"), "猫"),
    "gb2312, with a character of GBK": (xml("1.png", "镕", head=declared("gb2312")).encode("gbk"), "镕"),
    "Shift_JIS": (xml("写真\\1.png", "猫", head=declared("Shift_JIS")).encode("shift_jis"), "猫"),
    "Shift_JIS, with a character of Windows": (xml("1.png", "①", head=declared("shift_jis")).encode("cp932"), "①"),
    "EUC-KR": (xml("1.png", "개", head=declared("euc-kr")).encode("euc-kr"), "개"),
    "windows-1252": (xml("1.png", "chât", head=declared("windows-1252")).encode("cp1252"), "chât"),
    "UTF-16": (xml("1.png", "猫", head=declared("UTF-16")).encode("utf-16"), "猫"),
    "UTF-16, big-endian": (b"\xfe\xff" + xml("1.png", "猫", head=declared("utf-16")).encode("utf-16-be"), "猫"),
    "UTF-16 without a mark": (xml("1.png", "猫", head=declared("utf-16")).encode("utf-16-le"), "猫"),
    "UTF-16 that declares UTF-8": (xml("1.png", "猫", head=declared("utf-8")).encode("utf-16"), "猫"),
    "UTF-8 with a mark": (xml("1.png", "猫", head=declared("utf-8")).encode("utf-8-sig"), "猫"),
    "UTF-8 that declares gb2312": (xml("1.png", "猫", head=declared("gb2312")).encode(), "猫"),
    "UTF-8 that declares UTF-16": (xml("1.png", "猫", head=declared("utf-16")).encode(), "猫"),
    "UTF-8 that declares nonsense": (xml("1.png", "猫", head=declared("klingon")).encode(), "猫"),
    "a path in GBK, nothing declared": (xml("C:\\数据\\1图.png", "cat").encode("gbk"), "cat"),
}


@pytest.mark.parametrize("encoding", ENCODED)
def test_encodings(tmp_path: Path, encoding: str) -> None:
    data, name = ENCODED[encoding]
    tree(tmp_path, {"1.xml": data, "2.xml": xml("2.png", "dog")})
    assert pictures_of(tmp_path) == {name: 1, "dog": 2}


BROKEN: dict[str, tuple[bytes | str, str]] = {
    "a bare ampersand": (xml("7.png", "cat & dog"), "not well-formed"),
    "cut short": (xml("7.png", "cat")[:-30], "not well-formed"),
    "empty": ("", "not well-formed"),
    "HTML": ("<!DOCTYPE html><html><body>404</body></html>", "document type"),
    "HTML without its type": ("<html><body>404</body></html>", "it begins with <html>"),
    "of another tool": ('<annotations><image id="0" name="7.png"/></annotations>', "it begins with <annotations>"),
    "names in GBK, nothing declared": (xml("7.png", "数据").encode("gbk"), "neither UTF-8"),
    "zeros": (b"\0" * 100, "not well-formed"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_annotation_is_skipped_and_listed(tmp_path: Path, broken: str, capsys: pytest.CaptureFixture) -> None:
    data, reason = BROKEN[broken]
    annotations = {f"{k}.xml": xml(f"{k}.png", "cat" if k % 2 else "dog") for k in range(7)}
    root, store = tree(tmp_path / "d", {**annotations, "7.xml": data}), tmp_path / "s"
    assert cli.main(["prepare", str(root), str(store), "--size", "8", "--max-bad", "0.2"]) == 0
    assert "1 annotation can't be used" in capsys.readouterr().err
    (entry,) = (entry for entry in json.loads((store / "report.json").read_text())["odd_files"])
    assert (entry["key"], entry["outcome"]) == ("Annotations/7.xml", "refused")
    assert reason in entry["why"][0]
    assert len(Store.open(store).splits["train"]) == 7
    assert cli.main(["prepare", str(root), str(tmp_path / "other"), "--size", "8"]) == 1
    error = capsys.readouterr().err
    assert "Annotations/7.xml" in error
    assert "--max-bad" in error
    with pytest.raises(UserError, match=r"7\.xml"):
        annotated_pictures(root)


def test_an_annotation_without_a_picture_of_its_own(tmp_path: Path) -> None:
    tree(tmp_path, {"1.xml": xml("1.png", *PAIR), "2.xml": xml("2.png", *PAIR), "x.xml": xml("9.png", "cat")})
    folder(tmp_path, {"Annotations/3.xml": xml("4.png", "cat").encode(), "JPEGImages/5.jpg": picture(5)})
    folder(tmp_path, {"Annotations/5.xml": xml("5", "cat").encode(), "Annotations/6.xml": xml("6.png").encode()})
    (tmp_path / "Annotations/7.xml").symlink_to(tmp_path / "gone")
    source, reasons = open_source(tmp_path, holdout=0.5), {}
    for item in source.splits["train"]:
        try:
            item.read()
        except Undecodable as fault:
            reasons[item.key] = fault.reason
    assert {key.rpartition("/")[2]: reason.partition(";")[0] for key, reason in reasons.items()} == {
        "3.xml": "its picture may be any of 'JPEGImages/3.png', 'JPEGImages/4.png'",
        "5.xml": "its picture may be any of 'JPEGImages/5.jpg', 'JPEGImages/5.png'",
        "7.xml": "no such file or folder",
        "x.xml": "its picture, 9.png, is not in JPEGImages/",
    }
    assert "Annotations/6.xml: has no objects" in source.ignored
    assert "4 annotations can't be used" in source.notes[0]


def test_no_object_at_all(tmp_path: Path) -> None:
    tree(tmp_path, {"1.xml": xml("1.png"), "2.xml": "<annotation>"})
    with pytest.raises(
        UserError, match=r"no object with a name and a box in Annotations/ \(Annotations/2\.xml: not well"
    ):
        open_source(tmp_path)


def test_the_genuine_sets(shared_pack, tmp_path: Path) -> None:
    voc = shared_pack("voc").parent / "voc" / "VOC2007"
    note, *_ = open_source(voc).notes
    assert note.endswith(
        "VOC2007: 15 objects, cut out of the pictures by the annotations in Annotations/; 2 pictures have no annotation"
    )
    lower = shutil.copytree(voc, tmp_path / "lower")
    (lower / "JPEGImages").rename(lower / "jpegimages")
    (lower / "Annotations").rename(lower / "annotations")
    assert open_source(lower).splits["train"].labels.tolist() == open_source(voc).splits["train"].labels.tolist()
    pets = open_source(shared_pack("pets-dogs").parent / "pets-dogs" / "oxford")
    assert pets.class_ids == ("cat", "dog")
    assert all(("bulldog" in item.key) == (item.label == 1) for item in pets.splits["train"])
    assert any(line.startswith("annotations/trimaps/") for line in pets.ignored)
