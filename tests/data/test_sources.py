"""Every kind of source gives the right pictures with the right labels, and says what is wrong with it if it cannot."""

import os
import pickle
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.data import synthetic
from alexnet.data.sources import Source, open_source
from alexnet.data.sources.base import read_picture
from alexnet.data.sources.labelme import parse_xml
from alexnet.data.sources.mat import read_mat
from alexnet.errors import UsageError, UserError
from alexnet.images.decode import Undecodable, decode

sys.path.insert(0, str(Path(__file__).parent))
from made_sources import CIFAR_CLASSES, WNIDS, cifar, folder, ilsvrc, mat, norb_matrix, picture, synsets, tar, value_of

SharedPack = Callable[[str], Path]
ANIMALS = {f"{name}/{n}.jpg": picture(n) for name in ("cat", "dog", "ox") for n in range(10)}


def unpacked(shared_pack: SharedPack, pack: str, name: str) -> Path:
    """The folder ``name`` of a pack, whatever the pack is called."""
    return shared_pack(pack).parent / name


def refused(root: Path, *words: str, kind: type[UserError] = UserError, **options: float) -> str:
    with pytest.raises(kind) as caught:
        open_source(root, **options)  # pyright: ignore
    message = str(caught.value)
    for word in words:
        assert word in message
    return message


def keys_and_labels(source: Source, part: str) -> list[tuple[str, int]]:
    return [(item.key, item.label) for item in source.splits[part]]


# Folders


def test_a_tree_of_class_folders(tmp_path: Path) -> None:
    source = open_source(folder(tmp_path, ANIMALS))
    assert source.class_ids == source.class_names == ("cat", "dog", "ox")
    assert list(source.splits) == ["train"]
    train = source.splits["train"]
    assert len(train) == 30
    assert train[12].key == "dog/2.jpg"
    assert train[-1].label == 2
    assert value_of(train[12].read()) == 2  # pyright: ignore
    assert [item.key for item in train[28:]] == ["ox/8.jpg", "ox/9.jpg"]
    with pytest.raises(IndexError):
        train[30]


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_train_and_val_folders(tmp_path: Path, name: str) -> None:
    files = {f"train/{key}": data for key, data in ANIMALS.items()} | {
        f"{name}/{key}": data for key, data in ANIMALS.items()
    }
    source = open_source(folder(tmp_path, files | {"test/unlabelled/1.jpg": picture(1), "notes/a.txt": b""}))
    assert {part: len(items) for part, items in source.splits.items()} == {"train": 30, "val": 30}
    assert source.splits["val"][0].key == f"{name}/cat/0.jpg"
    assert any(line.startswith("test/") for line in source.ignored)
    assert any(line.startswith("notes/") for line in source.ignored)
    refused(tmp_path, "validation split of its own", kind=UsageError, holdout=0.1)


def test_classes_may_be_called_train_and_test(tmp_path: Path) -> None:
    source = open_source(
        folder(tmp_path, {"train/1.jpg": picture(1), "car/1.jpg": picture(2), "test/1.jpg": picture(3)})
    )
    assert source.class_ids == ("car", "test", "train")


def test_the_holdout_depends_on_names_and_seed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path, ANIMALS)
    first = open_source(tmp_path, holdout=0.2, seed=3)
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: _shuffled(real, path))
    again = open_source(tmp_path, holdout=0.2, seed=3)
    for part in ("train", "val"):
        assert keys_and_labels(first, part) == keys_and_labels(again, part)
    assert np.bincount(first.splits["val"].labels).tolist() == [2, 2, 2]
    assert {key for key, _ in keys_and_labels(first, "train") + keys_and_labels(first, "val")} == set(ANIMALS)
    assert all(value_of(item.read()) == int(item.key[-5]) for item in first.splits["val"])  # pyright: ignore
    other = open_source(tmp_path, holdout=0.2, seed=4)
    assert keys_and_labels(other, "val") != keys_and_labels(first, "val")


class _shuffled:  # noqa: N801
    def __init__(self, real: Callable[[str], "os.PathLike[str]"], path: str) -> None:
        with real(path) as found:  # pyright: ignore
            self.found = list(found)
        random.Random(len(self.found)).shuffle(self.found)

    def __enter__(self) -> "_shuffled":
        return self

    def __exit__(self, *_: object) -> None: ...

    def __iter__(self) -> Iterator["os.DirEntry[str]"]:
        return iter(self.found)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_holdout_out_of_range(tmp_path: Path, share: float) -> None:
    refused(folder(tmp_path, ANIMALS), "between 0 and 1", kind=UsageError, holdout=share)


def test_a_class_of_one_cannot_be_held_out(tmp_path: Path) -> None:
    refused(folder(tmp_path, {"a/1.jpg": b"", "b/1.jpg": b"", "b/2.jpg": b""}), "'a' has one picture", holdout=0.5)


FAULTS: list[tuple[str, Mapping[str, bytes], str]] = [
    ("nothing", {}, "no classes found"),
    ("flat", {"1.jpg": b"", "2.jpg": b""}, "one folder per class"),
    ("single class", {"cat/1.jpg": b""}, "one class only (cat)"),
    ("same name", {"cat/1.jpg": b"", "Cat/1.jpg": b""}, "'Cat' and 'cat'"),
    ("same name in two spellings", {"\u00e9/1.jpg": b"", "e\u0301/1.jpg": b""}, "two classes with the same name"),
    ("strange in val", {"train/a/1": b"", "train/b/1": b"", "val/a/1": b"", "val/b/1": b"", "val/c/1": b""}, "'c'"),
    (
        "missing in val",
        {"train/a/1": b"", "train/b/1": b"", "val/a/1": b""},
        "lacks classes of the training split: 'b'",
    ),
    ("two vals", {"train/a/1": b"", "val/a/1": b"", "valid/a/1": b""}, "keep one"),
    ("hidden only", {"a/1.jpg": b"", "b/.DS_Store": b""}, "b: an empty class folder"),
]


@pytest.mark.parametrize(("files", "word"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_faults_of_a_folder_are_named(tmp_path: Path, files: Mapping[str, bytes], word: str) -> None:
    assert str(tmp_path) in refused(folder(tmp_path, files), word)


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    (folder(tmp_path, ANIMALS) / "yak").mkdir()
    refused(tmp_path, "yak: an empty class folder")


def test_what_is_no_folder(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no such folder")
    (tmp_path / "x.tar").write_bytes(b"")
    refused(tmp_path / "x.tar", "unpack it")


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    extra = {
        "cat/.DS_Store": b"",
        "cat/._1.jpg": b"",
        "dog/Thumbs.db": b"",
        "dog/notes.txt": b"",
        ".git/config": b"",
        "a.jpg": b"",
    }
    folder(tmp_path, ANIMALS | extra)
    os.mkfifo(tmp_path / "ox" / "pipe.jpg")
    source = open_source(tmp_path)
    assert len(source.splits["train"]) == 30
    left_out = {line.split(":")[0] for line in source.ignored}
    assert left_out == {*extra, "ox/pipe.jpg", ".git"} - {".git/config"}


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    folder(tmp_path / "a", ANIMALS)
    (tmp_path / "a/cat/again").symlink_to(tmp_path / "a/cat")
    (tmp_path / "a/yak").symlink_to(tmp_path / "a/dog")
    (tmp_path / "a/ox/gone.jpg").symlink_to(tmp_path / "gone.jpg")
    source = open_source(tmp_path / "a")
    assert len(source.splits["train"]) == 41
    assert any("cat/again/: a link back" in line for line in source.ignored)
    gone = next(item for item in source.splits["train"] if item.key == "ox/gone.jpg")
    with pytest.raises(Undecodable, match=r"ox/gone\.jpg: No such file"):
        gone.read()
    assert gone.size is None
    assert all(item.size == len(item.read()) for item in source.splits["train"] if item != gone)


def test_odd_names_make_printable_keys(tmp_path: Path) -> None:
    folder(tmp_path, ANIMALS | {"cat/näme 中.jpg": picture(1), "cat/two\nlines.jpg": picture(2)})
    (tmp_path / os.fsdecode(b"dog/\xff.jpg")).write_bytes(picture(3))
    items = {item.key: item for item in open_source(tmp_path).splits["train"]}
    assert {"cat/näme 中.jpg", "cat/two\\nlines.jpg", "dog/\\udcff.jpg"} < set(items)
    assert value_of(items["dog/\\udcff.jpg"].read()) == 3  # pyright: ignore


def test_two_names_that_print_alike_are_refused(tmp_path: Path) -> None:
    refused(folder(tmp_path, ANIMALS | {"cat/a\nb.jpg": b"", "cat/a\\nb.jpg": b""}), "the same key", "cat/a")


def test_a_file_too_large_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alexnet.data.sources.base.MOST_FILE_BYTES", 100)
    with pytest.raises(Undecodable, match="more than any picture"):
        open_source(folder(tmp_path, ANIMALS)).splits["train"][0].read()


def test_class_names_of_a_list_of_words(tmp_path: Path) -> None:
    words = b"n00000001 crane, wader\nn00000002 crane, wader\nn00000003\tplane\n"
    source = open_source(folder(tmp_path, {f"{wnid}/1.jpg": b"" for wnid in WNIDS} | {"synset_words.txt": words}))
    assert source.class_names == ("crane, wader (n00000001)", "crane, wader (n00000002)", "plane")


def test_class_names_of_a_list_with_ilsvrc_ids(tmp_path: Path) -> None:
    words = b"n00000003 1 plane\nn00000001 2 crane\nn00000002 3 owl\n"
    source = open_source(folder(tmp_path, {f"{wnid}/1.jpg": b"" for wnid in WNIDS} | {"words.txt": words}))
    assert source.class_names == ("crane", "owl", "plane")


def test_imagenette(shared_pack: SharedPack) -> None:
    source = open_source(unpacked(shared_pack, "imagenette224", "imagenette224"))
    assert [len(source.splits[part]) for part in ("train", "val")] == [4000, 1200]
    assert np.bincount(source.splits["train"].labels).tolist() == [400] * 10
    item = source.splits["val"][600]
    assert decode(item.read(), item.key).pixels.shape == (224, 224, 3)  # pyright: ignore


@pytest.mark.parametrize("named", [True, False])
def test_the_built_in_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool) -> None:
    monkeypatch.setattr(synthetic, "write", partial(synthetic.write, train_per_class=2, val_per_class=1, side=16))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    seen: list[tuple[int, int]] = []
    spec = f"synthetic:{tmp_path / 'drawn'}" if named else "synthetic:"
    source = open_source(spec, progress=lambda done, total: seen.append((done, total)))
    assert (source.kind, source.class_ids) == ("synthetic", synthetic.CLASSES)
    assert {part: len(items) for part, items in source.splits.items()} == {"train": 24, "val": 12}
    assert seen[-1] == (36, 36)
    assert min(decode(source.splits["val"][0].read()).pixels.shape[:2]) == 16  # pyright: ignore
    assert keys_and_labels(open_source(spec), "train") == keys_and_labels(source, "train")
    assert len(seen) == 36


# ImageNet


@pytest.mark.parametrize("year", [2012, 2010])
def test_imagenet_as_downloaded(tmp_path: Path, year: int) -> None:
    source = open_source(ilsvrc(tmp_path, year))
    assert source.kind == f"ilsvrc-{year}"
    assert source.class_ids == tuple(sorted(WNIDS))
    assert source.class_names == ("word 1, other", "word 2, other", "word 3, other")
    train = [(item.key, item.label, value_of(item.read())) for item in source.splits["train"]]  # pyright: ignore
    assert train[:3] == [
        ("n00000001/n00000001_0.JPEG", 0, 0),
        ("n00000001/n00000001_1.JPEG", 0, 1),
        ("n00000002/n00000002_0.JPEG", 1, 10),
    ]
    assert len(train) == 6
    val = [(item.key, item.label, value_of(item.read())) for item in source.splits["val"]]  # pyright: ignore
    assert val[0] == (f"ILSVRC{year}_val_00000001.JPEG", 0, 101)  # id 2 is n00000001, the first in sorted order
    assert [label for _, label, _ in val] == [0, 2, 1, 1, 0]
    assert [value for _, _, value in val] == [101, 102, 103, 104, 105]


def test_the_labelled_test_set_of_2010_and_its_patches(tmp_path: Path) -> None:
    ilsvrc(tmp_path, 2010)
    pictures = {f"test/ILSVRC2010_test_{n:08d}.JPEG": picture(200 + n) for n in (1, 2, 3)}
    patches = {
        "patch_images/train/n00000002_1.JPEG": picture(77),
        "patch_images/test/ILSVRC2010_test_00000002.JPEG": picture(78),
    }
    folder(tmp_path, {"ILSVRC2010_images_test.tar": tar(pictures), "patch_images.tar": tar(patches)})
    assert "test" not in open_source(tmp_path).splits
    assert any("ILSVRC2010_test_ground_truth.txt" in line for line in open_source(tmp_path).ignored)
    folder(tmp_path, {"ILSVRC2010_test_ground_truth.txt": b"1\n2\n3\n"})
    source = open_source(tmp_path)
    assert [(item.label, value_of(item.read())) for item in source.splits["test"]] == [(2, 201), (0, 78), (1, 203)]  # pyright: ignore
    assert [value_of(item.read()) for item in source.splits["train"]] == [0, 1, 10, 77, 20, 21]  # pyright: ignore


def test_imagenet_unpacked(tmp_path: Path) -> None:
    ilsvrc(tmp_path / "packed")
    files = {item.key: item.read() for part in open_source(tmp_path / "packed").splits.values() for item in part}
    for key, data in files.items():
        folder(tmp_path / "plain", {("train/" if "/" in key else "val/") + key: data})  # pyright: ignore
    kit = {"meta.mat": mat({"synsets": synsets(2012, 2)}), "ILSVRC2012_validation_ground_truth.txt": b"2\n1\n3\n3\n2\n"}
    folder(tmp_path / "plain", {f"ILSVRC2012_devkit_t12/data/{name}": data for name, data in kit.items()})
    packed, plain = open_source(tmp_path / "packed"), open_source(tmp_path / "plain")
    for part in ("train", "val"):
        assert np.array_equal(packed.splits[part].labels, plain.splits[part].labels)
        assert [item.read() for item in packed.splits[part]] == [item.read() for item in plain.splits[part]]
        sizes = [len(item.read()) for item in packed.splits[part]]
        assert [item.size for item in packed.splits[part]] == [item.size for item in plain.splits[part]] == sizes


def test_faults_of_imagenet_are_named(tmp_path: Path) -> None:
    def fresh(name: str) -> Path:
        return ilsvrc(tmp_path / name)

    root = fresh("no kit")
    (root / "ILSVRC2012_devkit_t12.tar.gz").unlink()
    refused(root, "meta.mat", "download ILSVRC2012_devkit_t12.tar.gz")
    root = fresh("no train")
    (root / "ILSVRC2012_img_train.tar").unlink()
    refused(root, "no training pictures", "ILSVRC2012_img_train.tar")
    root = fresh("no val")
    (root / "ILSVRC2012_img_val.tar").unlink()
    refused(root, "no validation pictures")
    refused(ilsvrc(tmp_path / "few", val=(1, 2)), "no picture of")
    refused(ilsvrc(tmp_path / "wrong id", val=(1, 2, 3, 4)), "line 4: 4 is no class")
    root = fresh("short train")
    _cut(root / "ILSVRC2012_img_train.tar", 11_000)
    refused(root, "ILSVRC2012_img_train.tar", "download it again")
    root = fresh("short val")
    _cut(root / "ILSVRC2012_img_val.tar", 3_000)
    refused(root, "ILSVRC2012_img_val.tar", "download it again")
    root = fresh("twice")
    name = "ILSVRC2012_val_00000001.JPEG"
    folder(root, {"ILSVRC2012_img_val.tar": tar({name: b"", f"a/{name}": b""})})
    refused(root, f"two files called {name}")
    root = fresh("gap")
    folder(root, {"ILSVRC2012_img_val.tar": tar({f"ILSVRC2012_val_{n:08d}.JPEG": b"" for n in (1, 2, 4, 5, 6)})})
    refused(root, "picture number 3 of 6 is missing")
    root = fresh("fewer")
    folder(root, {"ILSVRC2012_img_val.tar": tar({f"ILSVRC2012_val_{n:08d}.JPEG": b"" for n in (1, 2)})})
    refused(root, "2 val pictures, but the ground truth labels 5")
    root = fresh("counts")
    files = {f"{wnid}_{n}.JPEG": b"" for wnid in WNIDS[:1] for n in range(3)}
    folder(root, {"ILSVRC2012_img_train.tar": tar({f"{wnid}.tar": tar(files) for wnid in WNIDS})})
    refused(root, "n00000001.tar has 3 pictures, the kit says 2")
    root = fresh("classes")
    folder(root, {"ILSVRC2012_img_train.tar": tar({f"{wnid}.tar": tar({}) for wnid in WNIDS[1:]})})
    refused(root, "lacks 1 of the kit's 3 classes: 'n00000003'")
    root = fresh("link")
    folder(root, {"ILSVRC2012_img_val.tar": tar({}, links={"ILSVRC2012_val_00000001.JPEG": "/etc/passwd"})})
    refused(root, "a link or a device")
    root = fresh("compressed")
    folder(root, {"ILSVRC2012_img_val.tar": tar({"ILSVRC2012_val_00000001.JPEG": b""}, "w:gz")})
    refused(root, "not a whole, uncompressed tar")
    root = fresh("kit of another year")
    folder(root, {"data/meta.mat": mat({"synsets": synsets(2010, 2)})})
    refused(root, "not the one of ILSVRC2012")


def _cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def test_names_that_point_elsewhere_are_only_names(tmp_path: Path) -> None:
    ilsvrc(tmp_path)
    names = [f"../../../tmp/ILSVRC2012_val_{n:08d}.JPEG" for n in range(1, 6)]
    folder(tmp_path, {"ILSVRC2012_img_val.tar": tar({name: picture(n) for n, name in enumerate(names)})})
    before = sorted(tmp_path.rglob("*"))
    assert value_of(open_source(tmp_path).splits["val"][3].read()) == 3  # pyright: ignore
    assert sorted(tmp_path.rglob("*")) == before


def test_tars_are_read_by_many_threads_and_after_pickling(tmp_path: Path) -> None:
    part = open_source(ilsvrc(tmp_path, train=40)).splits["train"]
    plain = [item.read() for item in part]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda index: part[index].read(), range(len(part)))) == plain
    assert [item.read() for item in pickle.loads(pickle.dumps(part))] == plain


def test_the_real_kit_gives_caffes_labels(shared_pack: SharedPack, tmp_path: Path) -> None:
    metadata = unpacked(shared_pack, "metadata", "metadata")
    lines = (metadata / "ILSVRC2012_val_labels_caffe_order.txt").read_text().split("\n")
    caffe = [int(line.split()[1]) for line in lines if line]
    words = dict(line.split(" ", 1) for line in (metadata / "synset_words.txt").read_text().splitlines())
    for name in ("meta.mat", "ILSVRC2012_validation_ground_truth.txt"):
        folder(tmp_path, {f"kit/{name}": (metadata / name).read_bytes()})
    for wnid in words:
        folder(tmp_path / "train" / wnid, {"1.JPEG": b""})
    empty = {f"ILSVRC2012_val_{n:08d}.JPEG": b"" for n in range(1, 50_001)}
    folder(tmp_path, {"ILSVRC2012_img_val.tar": tar(empty)})
    source = open_source(tmp_path)
    assert source.splits["val"].labels.tolist() == caffe
    assert dict(zip(source.class_ids, source.class_names, strict=True)).keys() == words.keys()
    assert source.class_names[0] == words["n01440764"] == "tench, Tinca tinca"
    assert sum(name.startswith("crane") for name in source.class_names) == 2
    assert len(set(source.class_names)) == 1000


def test_the_real_meta_file_whole(shared_pack: SharedPack) -> None:
    rows = read_mat((unpacked(shared_pack, "metadata", "metadata") / "meta.mat").read_bytes(), "meta.mat")["synsets"]
    assert len(rows) == 1860
    leaves = [row for row in rows if row["num_children"].item() == 0]
    assert sum(int(row["num_train_images"].item()) for row in leaves) == 1_281_167
    assert (rows[0]["WNID"], rows[0]["words"]) == ("n02119789", "kit fox, Vulpes macrotis")


# MATLAB files


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
def test_matlab_files(endian: str, packed: bool) -> None:
    table = np.arange(6.0).reshape(2, 3)
    found = read_mat(mat({"a": table, "b": "tëxt", "c": [{"x": 1, "y": "z"}, {"x": 2, "y": "w"}]}, endian, packed), "x")
    assert np.array_equal(found["a"], table)
    assert found["b"] == "tëxt"
    assert [(row["x"].item(), row["y"]) for row in found["c"]] == [(1, "z"), (2, "w")]


def test_damaged_matlab_files_are_refused_and_nothing_else_happens() -> None:
    sound = mat({"synsets": synsets(2012, 3)})
    generator = random.Random(0)
    for attempt in range(3000):
        damaged = bytearray(sound[: generator.randrange(130, len(sound))] if attempt % 3 == 0 else sound)
        for _ in range(generator.choice((1, 2, 8))):
            damaged[generator.randrange(128, len(damaged))] = generator.choice((0, 1, 255, generator.randrange(256)))
        try:
            read_mat(bytes(damaged), "x.mat")
        except UserError as error:
            assert "x.mat" in str(error)  # noqa: PT017
    for wrong in (b"", b"\x89HDF" + bytes(600), bytes(200)):
        with pytest.raises(UserError, match="not a MATLAB 5 file"):
            read_mat(wrong, "x.mat")


# The other kinds


def test_tiny_imagenet(shared_pack: SharedPack) -> None:
    root = unpacked(shared_pack, "tiny-imagenet-mini", "tiny-imagenet-200")
    source = open_source(root)
    assert (source.kind, len(source.class_ids)) == ("tiny-imagenet", 200)
    assert [np.bincount(source.splits[part].labels).tolist() for part in ("train", "val")] == [[8] * 200, [2] * 200]
    assert source.class_names[source.class_ids.index("n02124075")] == "Egyptian cat"
    first = dict(line.split("\t")[:2] for line in (root / "val/val_annotations.txt").read_text().splitlines())
    for item in source.splits["val"]:
        assert source.class_ids[item.label] == first[item.key.rpartition("/")[2]]
    item = source.splits["train"][0]
    assert item.key.startswith(f"train/{source.class_ids[0]}/images/")
    assert decode(item.read()).pixels.shape == (64, 64, 3)  # pyright: ignore


def test_faults_of_tiny_imagenet_are_named(tmp_path: Path) -> None:
    files = {f"train/n0000000{n}/images/{n}.JPEG": b"" for n in (1, 2)} | {
        f"val/images/val_{n}.JPEG": b"" for n in (0, 1)
    }
    lines = b"val_0.JPEG\tn00000001\t0\t0\t1\t1\nval_1.JPEG\tn00000002\t0\t0\t1\t1\n"
    folder(tmp_path, files | {"val/val_annotations.txt": lines, "words.txt": b"n00000001\tcat\n"})
    assert open_source(tmp_path).class_names == ("cat", "n00000002")
    folder(tmp_path, {"val/val_annotations.txt": lines + b"val_2.JPEG\tn00000002\t\n"})
    refused(tmp_path, "lacks pictures", "val_2.JPEG")
    folder(tmp_path, {"val/val_annotations.txt": lines[:20]})
    refused(tmp_path, "without a line", "val_1.JPEG")
    folder(tmp_path, {"val/val_annotations.txt": lines + b"val_0.JPEG\tn00000001\n"})
    refused(tmp_path, "line 3", "twice")
    folder(tmp_path, {"val/val_annotations.txt": b"val_0.JPEG\tn9\n"})
    refused(tmp_path, "'n9' is no class folder")


def test_cifar_batches(tmp_path: Path) -> None:
    data = cifar(tmp_path / "cifar-10-batches-py")
    source = open_source(tmp_path)
    assert source.class_names[3] == "cat"
    assert [len(source.splits[part]) for part in ("train", "test")] == [100, 20]
    item = source.splits["train"][47]
    assert (item.key, item.label) == ("data_batch_3/00007", 7)
    assert np.array_equal(item.read(), data[2, 7].reshape(3, 32, 32).transpose(1, 2, 0))
    assert item.size is None, "pixels in an array have no file of their own"
    held = open_source(tmp_path, holdout=0.1)
    assert {part: len(items) for part, items in held.splits.items()} == {"train": 90, "val": 10, "test": 20}
    for item in held.splits["val"]:
        batch, number = item.key.split("/")
        assert np.array_equal(item.read(), data[int(batch[-1]) - 1, int(number)].reshape(3, 32, 32).transpose(1, 2, 0))


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("pwned",)


def test_a_hostile_pickle_calls_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cifar(tmp_path / "c")
    for content in ({b"data": _Bomb()}, _Bomb(), {b"data": np.array([_Bomb()], object)}):
        folder(tmp_path / "c", {"data_batch_2": pickle.dumps(content, protocol=2)})
        refused(tmp_path / "c", "data_batch_2", "asks for posix.mkdir")
    assert not (tmp_path / "pwned").exists()
    huge = b"\x80\x02K\x01r\xff\xff\xff\x7f."  # asks for a memo of two thousand million places
    for wrong in (
        b"",
        b"junk",
        huge,
        pickle.dumps([1]),
        pickle.dumps({b"data": np.zeros((2, 5), np.uint8)}, protocol=2),
    ):
        folder(tmp_path / "c", {"data_batch_2": wrong})
        refused(tmp_path / "c", "data_batch_2", "ownload")


def test_cifar_as_folders(tmp_path: Path) -> None:
    files = {
        f"{part}/{name}/{n:04d}.jpg": b"" for part in ("train", "test") for name in CIFAR_CLASSES for n in range(3)
    }
    source = open_source(folder(tmp_path, files))
    assert {part: len(items) for part, items in source.splits.items()} == {"train": 30, "test": 30}
    assert source.class_ids == CIFAR_CLASSES


def test_caltech_101(shared_pack: SharedPack) -> None:
    root = unpacked(shared_pack, "caltech101", "caltech101")
    source = open_source(root)
    assert (source.kind, len(source.class_ids), len(source.splits["train"])) == ("caltech-101", 20, 1600)
    assert any("BACKGROUND_Google" in line for line in source.ignored)
    assert len(open_source(root, background=True).class_ids) == 21


def test_caltech_256(tmp_path: Path) -> None:
    names = ("001.ak47", "002.american-flag", "257.clutter")
    folder(tmp_path, {f"256_ObjectCategories/{name}/{name[:3]}_0001.jpg": b"" for name in names})
    source = open_source(tmp_path)
    assert (source.kind, source.class_ids, source.class_names) == ("caltech-256", names[:2], ("ak47", "american-flag"))


def test_voc_objects_are_cut_out(shared_pack: SharedPack) -> None:
    root = unpacked(shared_pack, "voc", "voc") / "VOC2007"
    source = open_source(root)
    assert source.class_ids == ("car", "chair", "dog", "horse", "person", "sheep")
    item = next(item for item in source.splits["train"] if item.key == "JPEGImages/000007.jpg#0")
    assert source.class_ids[item.label] == "car"
    whole = np.asarray(Image.open(root / "JPEGImages/000007.jpg").convert("RGB"))
    assert np.array_equal(
        item.read(), whole[50 - 1 : 330, 141 - 1 : 500]
    )  # pixels counted from 1, the last one included


def labelme_tree(root: Path, objects: str, name: str = "a") -> Path:
    Image.effect_noise((40, 30), 90).convert("RGB").save(folder(root / "Images/set", {}) / f"{name}.png")
    text = f"<annotation><filename>{name}.png</filename>{objects}</annotation>"
    return folder(root, {f"Annotations/set/{name}.xml": text.encode()})


def polygon(name: str, *points: tuple[float, float], deleted: int = 0) -> str:
    corners = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in points)
    return f"<object><name>{name}</name><deleted>{deleted}</deleted><polygon>{corners}</polygon></object>"


def test_labelme_polygons(tmp_path: Path) -> None:
    objects = polygon("car", (2, 3), (20.5, 4), (10, 25)) + polygon(" dog \n", (-5, -5), (100, 90))
    objects += polygon("cat", (1, 1), (1, 9)) + polygon("", (1, 1), (5, 9)) + polygon("cow", (1, 1), (5, 9), deleted=1)
    source = open_source(labelme_tree(tmp_path, objects + polygon("out", (100, 100), (110, 110))))
    assert source.class_ids == ("car", "dog", "out")
    whole = np.asarray(Image.open(tmp_path / "Images/set/a.png"))
    assert np.array_equal(source.splits["train"][0].read(), whole[3:25, 2:21])
    assert np.array_equal(source.splits["train"][1].read(), whole)
    assert source.splits["train"][1].size == (tmp_path / "Images/set/a.png").stat().st_size
    assert [line.split(", ")[1].split(":")[0] for line in source.ignored] == ["object 2 (cat)", "object 3", "object 4"]
    with pytest.raises(Undecodable, match="outside its 40 × 30 pixels"):
        source.splits["train"][2].read()


def test_objects_of_one_picture_stay_together(tmp_path: Path) -> None:
    for name in "abcdefgh":
        labelme_tree(tmp_path, polygon("car", (1, 1), (9, 9)) + polygon("dog", (2, 2), (9, 9)), name)
    source = open_source(tmp_path, holdout=0.25, seed=1)
    pictures = {part: {key.partition("#")[0] for key in items.keys} for part, items in source.splits.items()}
    assert len(pictures["val"]) == 2
    assert not pictures["val"] & pictures["train"]
    refused(
        labelme_tree(tmp_path / "one", polygon("a", (1, 1), (9, 9)) + polygon("b", (1, 1), (9, 9))),
        "held out",
        holdout=0.5,
    )


BOMB = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><annotation>&y;</annotation>'


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (BOMB.encode(), "document type"),
        (BOMB.encode("utf-16"), "document type"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "document type"),
        (b"<a><b></a>", "not well-formed"),
        (b"", "not well-formed"),
        (b"<a>" * 100 + b"</a>" * 100, "nested"),
        (b"<a>&unknown;</a>", "not well-formed"),
    ],
)
def test_hostile_xml_is_refused(data: bytes, word: str) -> None:
    with pytest.raises(UserError, match=word) as caught:
        parse_xml(data, "Annotations/x.xml")
    assert "x.xml" in str(caught.value)


def test_an_annotation_cannot_point_outside(tmp_path: Path) -> None:
    root, objects = labelme_tree(tmp_path, ""), polygon("car", (1, 1), (9, 9)) + polygon("dog", (1, 1), (9, 9))
    for name in ("../../../etc/passwd", "/etc/passwd", "..", "."):
        text = f"<annotation><folder>../..</folder><filename>{name}</filename>{objects}</annotation>"
        folder(root, {"Annotations/set/a.xml": text.encode()})
        assert list(open_source(root).splits["train"].keys) == ["Images/set/a.png#0", "Images/set/a.png#1"]
    text = f"<annotation><filename>/etc/passwd</filename>{objects}</annotation>"
    folder(root, {"Annotations/set/other.xml": text.encode()})
    with pytest.raises(Undecodable, match="its picture, passwd, is not in Images/"):
        open_source(root).splits["train"][-1].read()


def test_small_norb(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    made = {}
    for name, prefix in (
        ("training", "smallnorb-5x46789x9x18x6x2x96x96"),
        ("testing", "smallnorb-5x01235x9x18x6x2x96x96"),
    ):
        made[name] = generator.integers(0, 256, (10, 2, 96, 96), dtype=np.uint8)
        labels = np.arange(10, dtype="<i4") % 5
        files = {f"{prefix}-{name}-dat.mat": norb_matrix(made[name]), f"{prefix}-{name}-cat.mat": norb_matrix(labels)}
        folder(tmp_path, files)
    source = open_source(tmp_path)
    assert source.class_ids == ("animal", "human", "plane", "truck", "car")
    item = source.splits["test"][7]
    assert (item.key, item.label) == ("testing/00007", 2)
    assert np.array_equal(item.read(), np.dstack([made["testing"][7, 0]] * 3))
    path = next(tmp_path.glob("*training-dat.mat"))
    _cut(path, path.stat().st_size - 1)
    refused(tmp_path, "training-dat.mat", "its size is not")
    path.write_bytes(b"\0" * 100)
    refused(tmp_path, "not a binary matrix")
    path.unlink()
    folder(tmp_path, {path.name + ".gz": b""})
    refused(tmp_path, "gunzip")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_no_file_of_a_picture(device: str) -> None:
    """Reading /dev/zero would not end before the limit, a gigabyte in some places."""
    with pytest.raises(Undecodable, match="a device"):
        read_picture(device, device, 1 << 40)
