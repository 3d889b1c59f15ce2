"""Downloaded layouts: folders that are no classes never become classes; outputs and leftovers inside are skipped."""

import json
import os
import sys
from pathlib import Path

import pytest

from alexnet.cli import main
from alexnet.data.sources import open_source
from alexnet.data.sources.found import NOT_PICTURES
from alexnet.data.store.read import Store
from alexnet.data.store.ready import ready_store
from alexnet.errors import UserError

sys.path.insert(0, str(Path(__file__).parent))
from made_sources import folder, picture


def tree(root: Path, words: str) -> Path:
    """Two picture files in each of the folders; a word with a dot in it is a file."""
    files = {name: b"x" for name in words.split() if "." in name}
    files |= {f"{name}/{n}.jpg": b"x" for name in words.split() if "." not in name for n in (1, 2)}
    return folder(root / "d", files)


def prepare(source: Path | str, store: Path | str, *options: str) -> int:
    return main(["prepare", str(source), str(store), "--size", "8", "--holdout", "0.3", *options])


# ── layouts ──────────────────────────────────────────────────────────────────────────────────────────────────────

TRAIN, VAL = "train/cat train/dog", "val/cat val/dog"
READ = [
    ("training_set/training_set/cat training_set/training_set/dog test_set/test_set/dog test_set/test_set/cat", ""),
    ("seg_train/seg_train/cat seg_train/seg_train/dog seg_pred/seg_pred", "seg_pred/: not one of train, val, test"),
    ("pets_train/pets_train/cat pets_train/pets_train/dog pets_test/pets_test", "pets_test/: 2 pictures in no class"),
    ("train2017/cat train2017/dog val2017/cat val2017/dog", ""),
    ("Train/cat Train/dog TEST/cat TEST/dog Validation/cat Validation/dog", ""),
    (f"{TRAIN} dev/cat dev/dog", ""),
    (f"{TRAIN} val", "val/: 2 pictures in no class folder, so without labels; --holdout"),
    (f"{TRAIN} val/notes.txt", "val/: holds no pictures"),
    (f"{TRAIN} {VAL} test", "test/: 2 pictures in no class folder"),
    (f"{TRAIN} {VAL} test/1 test/2", "test/: no folder of it is named after a class"),
    (f"{TRAIN} test/cat", "test/ has no pictures of 1 of the 2 classes: 'dog'"),
    (f"{TRAIN} test/cat test/dog/notes.txt", "test/ has no pictures of 1 of the 2 classes: 'dog'"),
    ("trainval/cat trainval/dog test/cat test/dog", ""),
    ("train_v2/cat train_v2/dog val_v2/cat val_v2/dog", ""),
    (f"{TRAIN} {VAL} unlabeled extra/cat", "unlabeled/: not one of train, val, test (2 pictures)"),
    (f"{TRAIN} cat dog", "cat/: not one of train, val, test"),
    (f"{TRAIN} train/loose.jpg other.jpg", "2 in no class folder (as 'other.jpg')"),
    ("cat dog loose.jpg", "1 in no class folder (as 'loose.jpg')"),
    ("cat/2019 cat/2020 dog/2019 dog/2020", "folders in them are merged ('cat' has '2019', '2020')"),
    ("cat/left cat/right dog/left dog/right cat/b/c/d", "are merged"),
    ("cat/images dog/images", ""),
]


@pytest.mark.parametrize(("words", "note"), READ, ids=[words for words, _ in READ])
def test_layouts_that_are_read(tmp_path: Path, words: str, note: str) -> None:
    source = open_source(tree(tmp_path, words))
    assert source.class_ids == ("cat", "dog")
    assert note in "\n".join(source.notes)
    assert bool(note) == bool(source.notes), "nothing is said of what is as it should be"
    for part in source.splits.values():
        assert all(source.class_ids[item.label] in item.key.split("/") for item in part)


GENUINE = [
    ("car plane train", ("car", "plane", "train"), "taken for classes, because of the other folders: 'train/'"),
    ("car train test", ("car", "test", "train"), "'test/', 'train/'"),
    ("cooked raw", ("cooked", "raw"), "'raw/'"),
    ("invalid valid", ("invalid", "valid"), ""),
    ("mask no_mask", ("mask", "no_mask"), ""),
    ("platform train_station station", ("platform", "station", "train_station"), ""),
    ("0 1 2", ("0", "1", "2"), ""),
    ("group1 group2", ("group1", "group2"), ""),
    ("toy_car toy_train toy_plane", ("toy_car", "toy_plane", "toy_train"), ""),
    ("part part1", ("part", "part1"), ""),
]


@pytest.mark.parametrize(("words", "classes", "note"), GENUINE, ids=[case[0] for case in GENUINE])
def test_classes_with_the_names_of_containers(tmp_path: Path, words: str, classes: tuple[str, ...], note: str) -> None:
    source = open_source(tree(tmp_path, words))
    assert source.class_ids == classes
    assert note in "\n".join(source.notes)


REFUSED = [
    ("train test", "'test/', 'train/'", "one folder per class"),
    ("train2017 val2017 annotations/x.json", "'annotations'", "one folder per class"),
    ("fold0/cat fold0/dog fold1/cat fold1/dog", "'fold0/', 'fold1/'", "pass it, as {}/fold0"),
    ("fold_1 fold_2", "'fold_1/', 'fold_2/'", "one folder per class"),
    ("cat dog fold-1", "'fold-1/' among the class folders ('cat', 'dog')", "train/"),
    ("test/cat test/dog val/cat val/dog", "'test/', 'val/'", "pass it, as {}/test"),
    ("train/images train/labels/1.txt valid/images valid/labels/1.txt", "'images' is next to 'labels'", "per class"),
    ("images/train images/val labels/train/1.txt labels/val/1.txt", "'images' is next to 'labels'", "per class"),
    ("images annotations/trimaps annotations/list.txt", "'images' is next to 'annotations'", "per class"),
    ("Images/Images/cat Images/Images/dog Annotation/1.txt", "next to 'Annotation'", "pass {}/Images/Images"),
    ("images masks", "'images' is next to 'masks'", "per class"),
    ("train train_masks test", "next to 'train_masks'", "per class"),
    ("flu/images flu/masks well/images well/masks", "'flu', 'well'", "move 'masks' elsewhere"),
    (
        "VOC07/JPEGImages VOC07/Annotations/1.xml VOC12/JPEGImages VOC12/Annotations/1.xml",
        "'VOC07', 'VOC12'",
        "{}/VOC07",
    ),
    ("VOC12/JPEGImages VOC12/SegmentationClass VOC12/Annotations/1.xml", "'VOC12'", "{}/VOC12"),
    ("cat dog val/cat val/dog", "'val/' among the class folders ('cat', 'dog')", "move the other"),
    *((f"cat dog {name}", f"'{name}/' among the class folders", "rename") for name in ("val", "test", "dev", "all")),
    *((f"cat dog {name}", f"'{name}/' among", "rename") for name in ("unlabeled", "Unlabelled", "Test_Images", "eval")),
    ("train/cat train/dog train/val", "'val/' among", "rename"),
    ("cat dog pets/cat pets/dog", "'pets' repeats the names of folders next to it", "pass it alone: {}/pets"),
    ("cat dog x/x/cat x/x/dog", "'x' repeats the names", "pass it alone: {}/x"),
    ("cat/train cat/val dog/train dog/val", "'cat', 'dog' hold splits of their own", "train/cat, val/cat"),
    ("cat_train cat_test dog_train dog_test", "'cat_test', 'cat_train'", "into train/"),
    ("cat dog cat_test dog_test", "'cat', 'cat_test'", "into train/"),
    ("archive/set/cat archive/set/dog readme.txt", "too high", "pass {}/archive/set"),
    ("Pets/Cat Pets/Dog loose.jpg", "too high", "pass {}/Pets"),
    ("archive/train/cat archive/train/dog archive/test/cat", "too high", "pass {}/archive"),
    ("set/images/cat set/images/dog set/attributes/1.txt", "too high", "pass {}/set/images"),
    ("train/train/cat train/train/dog train/test/cat train/test/dog", "splits of its own", "pass {}/train"),
    ("photo/a photo/b photo/c sketch/a sketch/b sketch/c", "'photo', 'sketch' hold the same", "as {}/photo"),
    ("x/images/a x/images/b x/images/c y/images/a y/images/b y/images/c", "hold the same", "as {}/x"),
    ("batch1/cat batch1/dog batch2/cat batch2/dog", "'batch1', 'batch2' hold the same", "as {}/batch1"),
    ("trainA trainB testA testB", "'testA/', 'testB/', 'trainA/', 'trainB/'", "one folder per class"),
    ("train/images valid/images test/images", "'test/', 'train/', 'valid/'", "one folder per class"),
    ("HAM_images_part_1 HAM_images_part_2", "'HAM_images_part_1/'", "one folder per class"),
    ("cat dog unlabeled_images", "'unlabeled_images/' among", "rename"),
    ("train/cat train/dog train/all", "'all/' among the class folders ('cat', 'dog')", "Move the other elsewhere"),
    ("devkit/VOC12/JPEGImages devkit/VOC12/Annotations/1.xml", "too high", "pass {}/devkit/VOC12"),
    ("train/a train/b car/a car/b bus/c", "'train' may be a split or a class like 'bus', 'car'", "pass {}/train"),
    ("train/images train/annotations/1.xml valid/images", "'images' is next to", "pass {}/train, whose pictures have"),
    ("train train/1.xml valid valid/1.xml", "'train/', 'valid/'", "pass {}/train, whose pictures have annotations"),
    (f"{TRAIN} valid/cat valid/dog {VAL}", "both 'val' and 'valid'", "keep one"),
]


@pytest.mark.parametrize(("words", "seen", "remedy"), REFUSED, ids=[case[0] for case in REFUSED])
def test_layouts_that_are_refused_with_the_folder_to_pass(tmp_path: Path, words: str, seen: str, remedy: str) -> None:
    root = tree(tmp_path, words)
    with pytest.raises(UserError) as caught:
        open_source(root)
    assert str(caught.value).startswith(str(root))
    assert seen in str(caught.value)
    assert remedy.format(root) in str(caught.value)


@pytest.mark.parametrize("name", ["cat - Copy", "cat (1)", "Copy of Dog", "dog_copy", "cat copy 2"])
def test_copies_of_class_folders_are_no_classes(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="like a copy of another class"):
        open_source(folder(tmp_path, {f"{one}/1.jpg": b"x" for one in ("cat", "dog", name)}))
    assert open_source(folder(tmp_path / "d", {f"{one}/1.jpg": b"x" for one in ("ox", name)})).class_ids


def test_the_screen_says_what_is_skipped_and_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {f"train/{name}/{n}.jpg": picture(n) for name in ("cat", "dog") for n in range(4)}
    root = folder(tmp_path / "d", files | {"val/1.jpg": picture(1), "train/cat/a.MOV": b"", "train/cat/b.MOV": b""})
    assert prepare(root, tmp_path / "s") == 0
    said = capsys.readouterr().err
    assert f"{root}: skipped val/: 1 picture in no class folder, so without labels" in said
    assert f"{root}: skipped 2 files and folders: 2 not a picture by its suffix (as 'train/cat/a.MOV')" in said
    told = json.loads((tmp_path / "s/report.json").read_text())["ignored"]
    assert {line.partition(": ")[0] for line in told} == {"val/", "train/cat/a.MOV", "train/cat/b.MOV"}


def test_a_class_is_the_same_in_both_forms_of_unicode_and_in_either_case(tmp_path: Path) -> None:
    words = "train/caf\u00e9 train/Dog val/cafe\u0301 val/dog"
    source = open_source(tree(tmp_path, words))
    assert source.class_ids == ("Dog", "caf\u00e9")
    assert [item.label for item in source.splits["val"]] == [0, 0, 1, 1]
    assert source.splits["val"].keys[2] == "val/cafe\u0301/1.jpg"
    folder(tmp_path / "d", {"val/caf\u00e9/1.jpg": b""})
    with pytest.raises(UserError, match="second folder of the same class"):
        open_source(tmp_path / "d")


# ── outputs ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return folder(tmp_path / "photos", {f"{name}/{n}.jpg": picture(n) for name in ("cat", "dog") for n in range(8)})


def test_the_same_command_twice_with_the_store_inside_the_source(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(photos)
    assert prepare(".", "out/my store") == 0
    bytes_of_first = Path("out/my store/store.json").read_bytes()
    capsys.readouterr()
    assert prepare(".", "out/my store") == 0
    assert "already prepared" in capsys.readouterr().err
    assert prepare(".", "other") == 0
    assert "out/my store/: a store of alexnet" in json.loads(Path("other/report.json").read_text())["ignored"]
    assert Path("other/store.json").read_bytes() != bytes_of_first, "its report names the first store"
    assert Store.open(Path("other")).fingerprint == Store.open(Path("out/my store")).fingerprint


@pytest.mark.parametrize("left", ["a journal", "a lock", "nothing"])
def test_a_killed_prepare_inside_the_source_resumes(
    photos: Path, tmp_path: Path, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The finished store, with its report, is that of an unbroken run."""
    assert prepare(photos, tmp_path / "unbroken") == 0
    inside = photos / "cat" / "s.store"
    if left == "a journal":
        monkeypatch.setattr("alexnet.data.store.prepare.Preparation.finish", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            prepare(photos, inside)
        monkeypatch.undo()
        assert (inside / "journal.safetensors").exists()
    else:
        folder(inside, {} if left == "nothing" else {"prepare.lock": b""})
    assert prepare(photos, inside) == 0
    for name in ("store.json", "report.json", "train/keys.txt"):
        assert (inside / name).read_bytes() == (tmp_path / "unbroken" / name).read_bytes()


def test_shares_of_a_store_inside_the_source(photos: Path) -> None:
    options = ("prepare", str(photos), str(photos / "s"), "--size", "8")
    for more in (("--shard", "1/2"), ("--shard", "2/2"), ("--join",)):
        assert main([*options, *more]) == 0
    assert Store.open(photos / "s").class_ids == ("cat", "dog")


def test_a_training_inside_its_pictures_finds_its_store_again(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    store = ready_store(Path(), Path("run"))
    folder(Path("run"), {"inputs.safetensors": b"", "config.json": b"{}", "see/top-conv1.png": picture(1)})
    assert ready_store(Path(), Path("run")).fingerprint == store.fingerprint
    assert store.class_ids == ("cat", "dog")


OUTPUTS = {
    "run/config.json": b"{}",
    "run/model.safetensors": b"",
    "run/see/top-conv1.png": picture(1),
    "run/figures/kernels.png": picture(1),
    "cat/early/inputs.safetensors": b"",
    "dog/lab/measured/x.json": b"{}",
    "dog/lab/results/all-layers.png": picture(1),
    "dog/lab/runs/one/config.json": b"{}",
    "dog/index/index.json": b"{}",
    "old/new/run/inputs.safetensors": b"",
    "old/empty/notes.txt": b"",
    "dog/index/features.npy": b"",
    "dog/index/similar.png": picture(1),
    "cat/occlusion-7.png": picture(1),
    "cat/occlusion-7.json": b"{}",
    "cat/similar.json": b"{}",
    "cat/similar-2.png": picture(1),
    "dog/s.store.check.png": picture(1),
}


def test_outputs_are_skipped_and_listed_wherever_they_lie(photos: Path) -> None:
    before = open_source(photos)
    source = open_source(folder(photos, OUTPUTS))
    assert source.class_ids == before.class_ids
    assert source.splits["train"].keys == before.splits["train"].keys
    listed = {line.partition(": ")[0] for line in source.ignored if "alexnet" in line}
    assert listed == {
        *("run/", "cat/early/", "dog/lab/", "dog/index/", "old/new/run/", "cat/occlusion-7.png", "cat/similar-2.png"),
        "dog/s.store.check.png",
    }


def test_what_only_looks_like_an_output_is_a_source(photos: Path) -> None:
    """A shop's store.json, a model's config.json, an annotation beside each picture."""
    files = {"cat/store.json": b'{"shop": 1}', "dog/config.json": b"{}", "cat/1.json": b"{}", "dog/index.json": b"{}"}
    assert len(open_source(folder(photos, files)).splits["train"]) == 16


def test_a_store_or_run_is_no_source(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(photos, tmp_path / "s") == 0
    assert prepare(tmp_path / "s", tmp_path / "t") == 1
    assert "is a store of alexnet, not a folder of pictures" in capsys.readouterr().err
    assert prepare(photos, photos / "cat") == 1, "a class folder is no place for a store"
    assert "holds other things" in capsys.readouterr().err


# ── leftovers and links ──────────────────────────────────────────────────────────────────────────────────────────

FOLDERS = (
    "@eaDir",
    "#recycle",
    "@Recycle",
    "#snapshot",
    "@Recently-Snapshot",
    "$RECYCLE.BIN",
    "lost+found",
    "FOUND.000",
)
FOLDERS = (*FOLDERS, "System Volume Information", ".Trash-1000", ".Trashes", "__MACOSX", "RECYCLER", "LOST.DIR")
FILES = (
    *("1.jpg:Zone.Identifier", "1.jpg\uf03aZone.Identifier", "1.AAE", "1.MOV", "1.mp4", "1.xmp", "1.THM", "1.jpg~"),
    *("1.jpg.crdownload", "1.jpg.part", "1.tmp", "1.download", "1.lnk", "1.url", "LICENSE", "README", "Thumbs.db"),
    *("desktop.ini", "Icon\r", "ehthumbs.db", "Picasa.ini", "._1.jpg", ".DS_Store", "1.jpg@SynoEAStream", "1.wav"),
)


def left_over() -> dict[str, bytes]:
    return dict.fromkeys(FILES, b"no picture") | {f"{name}/old.jpg": picture(1) for name in FOLDERS}


def test_leftovers_are_skipped_and_counted(photos: Path) -> None:
    before = open_source(photos)
    for place in ("", "cat/", "dog/below/"):
        folder(photos, {f"{place}{name}": data for name, data in left_over().items()})
    source = open_source(photos)
    assert source.class_ids == before.class_ids
    assert source.splits["train"].keys == before.splits["train"].keys
    assert len(source.ignored) == 3 * (len(FILES) + len(FOLDERS))
    assert f"skipped {len(source.ignored)} files and folders: " in source.notes[-1]


def test_a_folder_may_have_a_name_that_is_a_files(tmp_path: Path) -> None:
    source = open_source(tree(tmp_path, "license readme archive.part/a.jpg cat"))
    assert source.class_ids == ("archive.part", "cat", "license", "readme")


def test_suffixes_of_pictures_are_on_no_list() -> None:
    """Not even of those that this program can't decode: it names them as what they are."""
    kinds = "jpg jpeg jpe jfif png gif bmp tif tiff webp avif heic heif jxl psd tga dng cr2 nef ppm pgm ico svg eps"
    assert not NOT_PICTURES & set(kinds.split())


def test_broken_links_are_listed_like_unreadable_files(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "cat/gone.jpg").symlink_to("/nowhere/x.jpg")
    (photos / "cat/round.jpg").symlink_to("round.jpg")
    (photos / "bird").symlink_to("/nowhere/bird")
    (photos / "circle").symlink_to("circle")
    assert prepare(photos, tmp_path / "s") == 1
    said = capsys.readouterr().err
    assert ".jpg (a link to a file that is not there)" in said
    assert "2 a link that leads nowhere (as 'bird')" in said
    assert "the same command" not in said, "with the link mended it is another source"
    assert prepare(photos, tmp_path / "t", "--max-bad", "0.5") == 0
    refused = [entry.key for entry in Store.open(tmp_path / "t").report() if entry.outcome == "refused"]
    assert sorted(refused) == ["cat/gone.jpg", "cat/round.jpg"]


def test_a_file_that_goes_while_it_is_prepared_stops_and_resumes_when_it_is_back(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like a network drive that is lost: this is no bad picture, and no other source when it is back."""
    from alexnet.data.store.prepare import Preparation

    moved = photos / "dog/7.jpg", tmp_path / "7.jpg"
    real = Preparation.pass_over
    monkeypatch.setattr(Preparation, "pass_over", lambda *words: (moved[0].rename(moved[1]), real(*words)))
    assert prepare(photos, tmp_path / "s") == 1
    assert "when the file is back as it was, rerun the same command to resume" in capsys.readouterr().err
    monkeypatch.undo()
    moved[1].rename(moved[0])
    assert prepare(photos, tmp_path / "s") == 0


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────

NAMES = (
    *("at 9.41\u202fAM.jpg", "v\u00a013.jpg", "\u0645\u06cc\u200c.jpg", "a\u3000b.jpg", "caf\u00e9.jpg"),
    *("cafe\u0301.jpg", "👩\u200d👧.jpg", "\u202egpj.exe.jpg", "a\\b.jpg"),
)


def test_keys_are_real_paths_and_only_the_screen_escapes(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder(photos, {f"cat/{name}": picture(9) for name in NAMES} | {"dog/bad\u00a0one.jpg": b"x"})
    assert main(["prepare", str(photos), str(tmp_path / "s"), "--size", "8", "--max-bad", "0.5"]) == 0
    store = Store.open(tmp_path / "s")
    assert {f"cat/{name}" for name in NAMES} < set(store.splits["train"].keys)
    assert all((photos / key).is_file() for key in store.splits["train"].keys)
    assert [entry.key for entry in store.report()] == ["dog/bad\u00a0one.jpg"]
    assert prepare(photos, tmp_path / "t", "--strict") == 1
    assert "dog/bad\\xa0one.jpg" in capsys.readouterr().err


def test_each_folder_is_listed_once(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million files are a million names, not more than one listing."""
    listed: list[str] = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: (listed.append(str(path)), real(path))[1])
    assert len(open_source(photos).splits["train"]) == 16
    assert [listed.count(str(photos / name)) for name in ("cat", "dog")] == [1, 1]
