"""ImageNet and Tiny-ImageNet as people have them: Kaggle's folders and lists, validation pictures sorted by hand."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from alexnet.data.sources import Source, open_source
from alexnet.errors import UserError

sys.path.insert(0, str(Path(__file__).parent))
from made_sources import folder, ilsvrc, mat, picture, synsets, value_of

WNIDS = ("n00000001", "n00000002")
HEAD = "ImageId,PredictionString\n"
ROWS = "".join(f"ILSVRC2012_val_0000000{k},{WNIDS[k % 2]} 1 2 30 40 {WNIDS[k % 2]} 3 4 5 6\n" for k in (3, 1, 4, 2))
TRUTH = [1, 0, 1, 0]
"""Labels of the validation pictures 1 to 4."""


def kaggle(root: Path, truth: str | bytes | None = HEAD + ROWS, inner: str = "ILSVRC/Data/CLS-LOC/") -> Path:
    """Two classes of three pictures, four validation pictures whose values are their numbers, one test picture."""
    files = {f"{inner}train/{wnid}/{wnid}_{k}.JPEG": picture(k) for wnid in WNIDS for k in range(3)}
    files |= {f"{inner}val/ILSVRC2012_val_0000000{k}.JPEG": picture(k) for k in (1, 2, 3, 4)}
    files |= {f"{inner}test/ILSVRC2012_test_00000001.JPEG": picture(9), "LOC_sample_submission.csv": b""}
    files |= {
        "LOC_synset_mapping.txt": b"n00000001 tench, Tinca tinca\nn00000002 goldfish\n",
        "LOC_train_solution.csv": b"",
    }
    files |= {"ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml": b"<annotation/>"}
    if truth is not None:
        files["LOC_val_solution.csv"] = truth if isinstance(truth, bytes) else truth.encode()
    return folder(root, files)


def values(source: Source, part: str) -> list[tuple[int, int]]:
    return [(value_of(item.read()), item.label) for item in source.splits[part]]  # pyright: ignore


@pytest.mark.parametrize("given", ["", "ILSVRC", "ILSVRC/Data", "ILSVRC/Data/CLS-LOC"])
def test_imagenet_as_kaggle_ships_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.chdir(kaggle(tmp_path))
    for root in (tmp_path / given, Path(given)):
        source = open_source(root)
        assert (source.kind, source.class_ids, source.class_order) == ("ilsvrc-2012", WNIDS, "sorted synset")
        assert source.class_names == ("tench, Tinca tinca", "goldfish")
        assert values(source, "val") == list(zip((1, 2, 3, 4), TRUTH, strict=True))
        assert np.bincount(source.splits["train"].labels).tolist() == [3, 3]
        assert "test/: has no labels" in source.ignored


def test_sorted_by_the_usual_script(tmp_path: Path) -> None:
    kaggle(tmp_path, None)
    val = tmp_path / "ILSVRC/Data/CLS-LOC/val"
    for k, label in enumerate(TRUTH, 1):
        (val / WNIDS[label]).mkdir(exist_ok=True)
        (val / f"ILSVRC2012_val_0000000{k}.JPEG").rename(val / WNIDS[label] / f"ILSVRC2012_val_0000000{k}.JPEG")
    for given in ("", "ILSVRC", "ILSVRC/Data/CLS-LOC"):
        source = open_source(tmp_path / given)
        assert source.class_names == ("tench, Tinca tinca", "goldfish")
        assert sorted(values(source, "val")) == list(zip((1, 2, 3, 4), TRUTH, strict=True))
    (val / WNIDS[0]).rename(val / "n00000009")
    with pytest.raises(UserError, match=r"val: lacks 1 of train/'s 2 classes: 'n00000001'"):
        open_source(tmp_path)


LISTS = {
    "quotes and CRLF": (HEAD + ROWS)
    .replace("ImageId", '"ImageId"')
    .replace(",n", ',"n')
    .replace("\n", '"\r\n')
    .encode(),
    "a byte order mark": (HEAD + ROWS).encode("utf-8-sig"),
    "UTF-16": (HEAD + ROWS).encode("utf-16"),
    "semicolons": (HEAD + ROWS).replace(",", ";").encode(),
    "suffixes": (HEAD + ROWS).replace(",", ".JPEG,").encode(),
    "no header": ROWS.encode(),
    "more pictures than there are": (HEAD + ROWS + "ILSVRC2012_val_00000005,n00000002 1 1 2 2\n").encode(),
}


@pytest.mark.parametrize("form", LISTS)
def test_lists_saved_again(tmp_path: Path, form: str) -> None:
    source = open_source(kaggle(tmp_path, LISTS[form]))
    assert source.splits["val"].labels.tolist() == TRUTH
    assert [note.rpartition(": ")[2] for note in source.notes if "named" in note or "names" in note] == (
        ["does not have 1 picture that LOC_val_solution.csv names"] if "more" in form else []
    )


@pytest.mark.parametrize(
    ("truth", "words"),
    [
        (None, "LOC_val_solution.csv, which labels them, is not in"),
        ("", "has no line for 4 pictures of"),
        (HEAD + ROWS[: len(ROWS) // 4 * 3], "has no line for 1 picture of"),
        (HEAD + ROWS + ROWS, "line 6: 'ILSVRC2012_val_00000003,.*' names a picture twice"),
        (HEAD + ROWS.replace("n00000001 3", "n00000002 3"), "does not name a picture and one class"),
        (HEAD + ROWS.replace("n00000001", "n00000007"), "lacks 1 of train/'s 2 classes"),
        (HEAD + ROWS + "ILSVRC2012_val_00000009\n", "line 6: .* does not name a picture and one class"),
        ("<!DOCTYPE html>\n<html>\n", "line 2: '<html>' does not name"),
        (b"\x1f\x8b\x08\x00", "no text in UTF-8"),
    ],
)
def test_lists_that_do_not_fit(tmp_path: Path, truth: str | bytes | None, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        open_source(kaggle(tmp_path, truth))
    assert "LOC_val_solution.csv" in str(caught.value) or "val: lacks" in str(caught.value)


def test_a_flat_val_beside_another_list_and_beside_the_kit(tmp_path: Path) -> None:
    kaggle(tmp_path, None, "")
    folder(tmp_path, {"imagenet_2012_validation_synset_labels.txt": "".join(f"{WNIDS[k]}\n" for k in TRUTH).encode()})
    assert values(open_source(tmp_path), "val") == list(zip((1, 2, 3, 4), TRUTH, strict=True))
    packed = ilsvrc(tmp_path / "kit")
    plain = {f"val/{item.key}": item.read() for item in open_source(packed).splits["val"]}
    plain |= {f"train/{item.key}": item.read() for item in open_source(packed).splits["train"]}
    kit = {
        "kit/meta.mat": mat({"synsets": synsets(2012, 2)}),
        "kit/ILSVRC2012_validation_ground_truth.txt": b"2 1 3 3 2",
    }
    folder(tmp_path / "own", plain | kit | {"LOC_val_solution.csv": b"not read"})  # pyright: ignore
    assert (
        open_source(tmp_path / "own").splits["val"].labels.tolist() == open_source(packed).splits["val"].labels.tolist()
    )


# --- Tiny-ImageNet --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(shared_pack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five classes of the genuine set, in its own layout."""
    found = shared_pack("tiny-imagenet-mini").parent / "tiny-imagenet-200"
    root = tmp_path_factory.mktemp("tiny")
    for path in sorted((found / "train").iterdir())[:5]:
        shutil.copytree(path, root / "train" / path.name)
    lines = (found / "val/val_annotations.txt").read_text().splitlines(keepends=True)
    kept = [line for line in lines if (root / "train" / line.split("\t")[1]).is_dir()]
    files = {
        f"val/images/{name}": (found / "val/images" / name).read_bytes()
        for name in (line.split("\t")[0] for line in kept)
    }
    folder(
        root,
        files | {"val/val_annotations.txt": "".join(kept).encode(), "words.txt": (found / "words.txt").read_bytes()},
    )
    shutil.copy(found / "wnids.txt", root)
    return root


def contents(source: Source) -> dict[str, set[tuple[str, bytes]]]:
    return {
        part: {(source.class_ids[item.label], bytes(item.read())) for item in items}  # pyright: ignore
        for part, items in source.splits.items()
    }


@pytest.mark.parametrize("annotated", ["kept", "removed", "removed, and wnids.txt"])
@pytest.mark.parametrize("place", ["val/{w}", "val/{w}/images", "val/images/{w}"])
def test_tiny_imagenet_sorted_by_hand(tiny: Path, tmp_path: Path, place: str, annotated: str) -> None:
    root = shutil.copytree(tiny, tmp_path / "tiny")
    for line in (tiny / "val/val_annotations.txt").read_text().splitlines():
        name, wnid = line.split("\t")[:2]
        (root / place.format(w=wnid)).mkdir(parents=True, exist_ok=True)
        (root / "val/images" / name).rename(root / place.format(w=wnid) / name)
    if annotated != "kept":
        (root / "val/val_annotations.txt").unlink()
    if "wnids" in annotated:
        (root / "wnids.txt").unlink()
        if not any((root / "val/images").iterdir()):
            (root / "val/images").rmdir()
    source = open_source(root)
    assert contents(source) == contents(open_source(tiny))
    assert source.class_names == open_source(tiny).class_names


def test_tiny_imagenet_sorted_wrongly(tiny: Path, tmp_path: Path) -> None:
    root = shutil.copytree(tiny, tmp_path / "tiny")
    pairs = [line.split("\t")[:2] for line in (root / "val/val_annotations.txt").read_text().splitlines()]
    for name, wnid in pairs:
        (root / "val" / wnid).mkdir(exist_ok=True)
        (root / "val/images" / name).rename(root / "val" / wnid / name)
    (name, wnid), other = pairs[0], next(wnid for _, wnid in pairs if wnid != pairs[0][1])
    (root / "val" / wnid / name).rename(root / "val" / other / name)
    with pytest.raises(UserError, match=rf"{name}: val_annotations\.txt says {wnid}"):
        open_source(root)
    shutil.copytree(tiny / "val/images", root / "val/images", dirs_exist_ok=True)
    source = open_source(root)
    assert contents(source) == contents(open_source(tiny))
    assert "val/: class folders next to pictures of val/images/, not used" in source.ignored


def test_tiny_imagenet_without_its_images_folder_and_with_a_mark(tiny: Path, tmp_path: Path) -> None:
    root = shutil.copytree(tiny, tmp_path / "tiny")
    for path in (root / "val/images").iterdir():
        path.rename(root / "val" / path.name)
    (root / "val/images").rmdir()
    text = (root / "val/val_annotations.txt").read_text()
    (root / "val/val_annotations.txt").write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    assert contents(open_source(root)) == contents(open_source(tiny))
