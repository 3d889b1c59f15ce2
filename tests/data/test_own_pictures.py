"""People's own pictures: the validation split, groups, rotation, lists, and sources that grow."""

import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from alexnet.cli import main
from alexnet.data.sources import open_source
from alexnet.data.sources.base import Source
from alexnet.data.store import grow
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from alexnet.data.store.records import Options
from alexnet.data.torch_dataset import StoreDataset
from alexnet.errors import UsageError, UserError
from alexnet.images.decode import make_record

sys.path.insert(0, str(Path(__file__).parent))
from made_sources import folder


def jpeg(seed: int, orientation: int = 1, size: tuple[int, int] = (40, 24)) -> bytes:
    """A JPEG file of smooth colours, other ones for each seed, with that EXIF orientation."""
    small = np.random.default_rng(seed).integers(0, 256, (3, 5, 3), np.uint8)
    file, exif = io.BytesIO(), Image.Exif()
    if orientation != 1:
        exif[0x0112] = orientation
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", exif=exif, quality=95)
    return file.getvalue()


def pictures(counts: dict[str, int], first: int = 0) -> dict[str, bytes]:
    """Files of so many pictures of each class."""
    return {
        f"{name}/{number:02}.jpg": jpeg(1000 * place + number)
        for place, (name, count) in enumerate(counts.items())
        for number in range(first, first + count)
    }


def keys_of(store: Store) -> dict[str, set[str]]:
    return {name: set(split.keys) for name, split in store.splits.items()}


# ── the validation split ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_tenth_of_each_class_becomes_val_by_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder(tmp_path / "photos", pictures({"ant": 24, "bee": 5, "cow": 4}))
    assert main(["prepare", str(root), str(tmp_path / "store"), "--size", "8"]) == 0
    store, output = Store.open(tmp_path / "store"), capsys.readouterr()
    assert np.bincount(store.splits["val"].labels, minlength=3).tolist() == [2, 1, 0]
    assert 'so 3 of 33 pictures, a tenth of each class (at least one), become "val"; --holdout 0' in output.err
    assert "No pictures of 'cow': fewer than 5" in output.err
    assert output.out.endswith("0 files skipped, 0 unusual ones taken, 0 rotated by EXIF orientation\n")
    asked_for = open_source(root, holdout=0.1).splits["val"].keys
    assert keys_of(store)["val"] == {key for key in asked_for if not key.startswith("cow")}, "the same as with 0.1"
    assert main(["prepare", str(root), str(tmp_path / "all"), "--size", "8", "--holdout", "0"]) == 0
    assert keys_of(Store.open(tmp_path / "all")).keys() == {"train"}


def test_a_split_that_is_there_is_kept(tmp_path: Path) -> None:
    files = {f"train/{key}": data for key, data in pictures({"ant": 10, "bee": 10}).items()}
    tests = {f"test/{key}": data for key, data in pictures({"ant": 3, "bee": 3}, first=50).items()}
    source = open_source(folder(tmp_path / "a", files | tests), holdout="auto")
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 18, "val": 2, "test": 6}
    assert all(key.startswith("test/") for key in source.splits["test"].keys)
    source = open_source(folder(tmp_path / "b", files | {f"val/{key[5:]}": data for key, data in tests.items()}))
    assert source.splits["val"].keys == open_source(tmp_path / "b", holdout="auto").splits["val"].keys


# ── groups ───────────────────────────────────────────────────────────────────────────────────────────────────────


def bursts(root: Path) -> Path:
    files = {
        f"{name}/{person}_{shot}.jpg": jpeg(shot)
        for name in ("ant", "bee")
        for person in "abcdefgh"
        for shot in range(3)
    }
    return folder(root, files)


@pytest.mark.parametrize("pattern", [r"/(.)_\d", r"[a-h](?=_)"])
def test_groups_are_never_parted(tmp_path: Path, pattern: str) -> None:
    source = open_source(bursts(tmp_path), holdout=0.3, group=pattern)
    persons = {name: {key[4] for key in split.keys} for name, split in source.splits.items()}
    assert not persons["train"] & persons["val"]
    assert persons["train"] | persons["val"] == set("abcdefgh")
    assert np.bincount(source.splits["val"].labels).min() >= round(0.3 * 24)


def test_bad_groups(tmp_path: Path) -> None:
    root = bursts(tmp_path / "photos")
    with pytest.raises(UsageError, match=r"--group \(: not a regular expression"):
        open_source(root, group="(")
    with pytest.raises(UserError, match="--group xyz fits no picture, such as ant/a_0"):
        open_source(root, group="xyz")
    with pytest.raises(UserError, match="no whole group"):
        open_source(root, holdout=0.5, group="(ant|bee)/")
    both = folder(tmp_path / "b", {f"{split}/{name}/a_{split}.jpg": b"" for split in ("train", "val") for name in "xy"})
    note = open_source(both, group="(.)_").notes[-1]
    assert note == f"{both}: 1 group with pictures in two of the source's own splits: 'a'"


def test_a_finished_store_keeps_its_groups(tmp_path: Path) -> None:
    files = {
        f"{split}/{name}/{n}_{split}.jpg": jpeg(n) for split in ("train", "val") for name in "xy" for n in range(2)
    }
    store, split = tmp_path / "store", folder(tmp_path / "pictures", files)
    prepare(open_source(split), store, size=8)
    with pytest.raises(UserError, match="holds a finished store with other groups, or without"):
        prepare(open_source(split, group="(.)_"), store, size=8)
    prepare(open_source(split), store, size=8)


# ── rotation ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_own_pictures_are_rotated_and_research_sets_are_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    phone = {"ant/01.jpg": jpeg(1, 6), "bee/02.jpg": jpeg(2, 8)}
    root = folder(tmp_path / "photos", pictures({"ant": 1, "bee": 1}) | phone)
    line = ["prepare", str(root), str(tmp_path / "store"), "--size", "8"]
    assert main(line) == 0
    assert "2 unusual ones taken, 2 rotated by EXIF orientation: see" in capsys.readouterr().out
    store = Store.open(tmp_path / "store")
    upright = make_record(phone["ant/01.jpg"], exif=True, size=8).pixels
    assert np.array_equal(store.splits["train"].read(np.array([1]))[0], upright)
    assert store.description["exif"] is True
    assert main([*line, "--no-exif"]) == 1, "another store than the one that is there"
    flat = tmp_path / "flat"
    assert main(["prepare", str(root), str(flat), "--size", "8", "--no-exif"]) == 0
    assert "0 rotated by EXIF orientation (2 with one were not; --exif rotates them)" in capsys.readouterr().out
    assert main(["prepare", str(root), str(flat), "--size", "8"]) == 0, "a store of before is left as it is"
    wnids = folder(
        tmp_path / "wnids", {f"n0000000{n}/{name[4:]}": data for n, (name, data) in enumerate(phone.items())}
    )
    assert not open_source(wnids).upright


def test_pictures_without_a_tag_keep_their_fingerprint(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos", pictures({"ant": 3, "bee": 3}))
    stores = [
        grow.prepare_grown(open_source(root), tmp_path / str(exif), Options(8, exif=exif)) for exif in (True, False)
    ]
    assert stores[0].fingerprint == stores[1].fingerprint


# ── sources that grow ────────────────────────────────────────────────────────────────────────────────────────────


def opened(root: Path, store: Path) -> Source:
    return open_source(root, holdout="auto", known=grow.known_in(store))


@pytest.mark.parametrize("format", ["raw", "jpeg"])
def test_only_what_is_new_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    root, place = folder(tmp_path / "photos", pictures({"ant": 20, "cow": 20})), tmp_path / "store"
    folder(root, {"ant/00.jpg": jpeg(0, 6), "cow/broken.jpg": b"nothing"})
    options = Options(16, format=format)  # pyright: ignore[reportArgumentType]
    before = keys_of(grow.prepare_grown(opened(root, place), place, options, max_bad=0.5))
    folder(root, pictures({"ant": 10, "bee": 10}, first=50))
    decoded: list[str] = []
    record = make_record
    monkeypatch.setattr(
        "alexnet.data.store.records.make_record",
        lambda data, name, **more: decoded.append(name) or record(data, name, **more),
    )
    said: list[str] = []
    source = opened(root, place)
    store = grow.prepare_grown(source, place, options, max_bad=0.5, say=said.append)
    assert set(decoded) == {"cow/broken.jpg", *pictures({"ant": 10, "bee": 10}, first=50)}
    assert store.verify() == []
    assert store.class_ids == ("ant", "bee", "cow")
    after = keys_of(store)
    assert all(before[name] <= after[name] for name in before), "no picture has changed its split"
    assert len(after["val"]) == 3 + 1 + 2 - 1, "one of the two of cow is the broken one"
    fresh = grow.prepare_grown(source, tmp_path / "fresh", options, max_bad=0.5)
    assert store.fingerprint == fresh.fingerprint
    assert (place / "store.json").read_bytes() == (fresh.path / "store.json").read_bytes()
    assert (place / "report.json").read_bytes() == (fresh.path / "report.json").read_bytes()
    assert [path.name for path in tmp_path.iterdir() if "growing" in path.name] == []
    said.clear()
    grow.prepare_grown(opened(root, place), place, options, max_bad=0.5, say=said.append)
    assert "already prepared" in said[0]


def test_a_source_that_has_changed_is_refused(tmp_path: Path) -> None:
    root, place = folder(tmp_path / "photos", pictures({"ant": 9, "bee": 9})), tmp_path / "store"
    grow.prepare_grown(opened(root, place), place, Options(8))
    before = (place / "store.json").read_bytes()
    folder(root, {"ant/new.jpg": jpeg(7), "ant/02.jpg": jpeg(8, size=(64, 64))})
    with pytest.raises(UserError, match="holds a finished store made with another source"):
        grow.prepare_grown(opened(root, place), place, Options(8))
    folder(root, {"ant/02.jpg": pictures({"ant": 9})["ant/02.jpg"]})
    with pytest.raises(UserError, match="size 8, not 9"):
        grow.prepare_grown(opened(root, place), place, Options(9))
    assert (place / "store.json").read_bytes() == before
    assert len(grow.prepare_grown(opened(root, place), place, Options(8)).splits["train"]) == 17


def test_growing_survives_a_kill_at_any_point(tmp_path: Path) -> None:
    root, place = folder(tmp_path / "photos", pictures({"ant": 9, "bee": 9})), tmp_path / "store"
    grow.prepare_grown(opened(root, place), place, Options(8))
    folder(root, {"ant/new.jpg": jpeg(7)})

    def killed(split: str, done: int, *_: int) -> None:
        if done > 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grow.prepare_grown(opened(root, place), place, Options(8), progress=killed)
    assert len(Store.open(place).splits["train"]) == 16, "the old store is intact"
    assert grow.prepare_grown(opened(root, place), place, Options(8)).verify() == []
    growing = tmp_path / "store.growing"
    place.rename(growing)  # as after a kill between the renames
    assert len(grow.prepare_grown(opened(root, place), place, Options(8)).splits["train"]) == 17


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────


def labels_of(source: Source, split: str = "train") -> dict[str, str]:
    return {item.key: source.class_ids[item.label] for item in source.splits[split]}


FILES = {f"shots/{number}.jpg": jpeg(number) for number in range(6)}
ROWS = [(f"shots/{number}.jpg", "bee" if number % 2 else "ant, red") for number in range(6)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("titles", ["", "File{0}Label", "label{0}image"])
@pytest.mark.parametrize(("suffix", "separator"), [("csv", ","), ("csv", ";"), ("tsv", "\t"), ("txt", "\t")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables(tmp_path: Path, end: str, titles: str, suffix: str, separator: str, encoding: str) -> None:
    folder(tmp_path, FILES)
    lines = [titles.format(separator)] if titles else []
    for name, label in ROWS:
        label = f'"{label}"' if separator in label else label
        lines.append(f"{label}{separator}{name}" if titles.startswith("label") else f"{name}{separator}{label}")
    table = tmp_path / f"labels.{suffix}"
    table.write_bytes((end.join(lines) + end).encode(encoding))
    source = open_source(table)
    assert source.class_ids == ("ant, red", "bee")
    assert labels_of(source) == dict(ROWS)
    assert source.splits["train"][1].read() == FILES["shots/1.jpg"]
    assert source.upright


def test_splits_groups_and_root_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder(tmp_path / "pictures", {f"{n}.jpg": jpeg(n) for n in range(40)})
    lines = ["id,species,person,split"]
    lines += [f"{n},{'ab'[n % 2]},{n // 4},{'test' if n < 4 else ''}" for n in range(39)] + ["39,,9,"]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    line = ["prepare", str(tmp_path / "labels.csv"), str(tmp_path / "store"), "--root", str(tmp_path / "pictures")]
    assert main([*line, "--size", "8", "--group", "person"]) == 0
    keys = keys_of(Store.open(tmp_path / "store"))
    assert keys["test"] == {"0.jpg", "1.jpg", "2.jpg", "3.jpg"}
    persons = {name: {int(key[:-4]) // 4 for key in split} for name, split in keys.items()}
    assert not persons["train"] & persons["val"]
    assert len(persons["val"]) == 1
    assert "skipped 1 file or folder: 1 no label (as '39.jpg')" in capsys.readouterr().err


def test_data_frames(tmp_path: Path) -> None:
    folder(tmp_path, FILES)
    content = {"note": [1.5] * 6, "file": [name for name, _ in ROWS], "label": [label for _, label in ROWS]}
    for library in ("pandas", "polars"):
        frame = pytest.importorskip(library).DataFrame(content)
        assert labels_of(open_source(frame, root=tmp_path)) == dict(ROWS)
    numbers = pytest.importorskip("pandas").DataFrame({"file": content["file"], "label": [0, 1, 10, 0, 1, None]})
    with pytest.raises(UserError, match="the data frame: lists no pictures for training"):
        open_source(numbers.assign(label=None), root=tmp_path)
    source = open_source(numbers.dropna().astype({"label": int}), root=tmp_path)
    assert source.class_ids == ("0", "1", "10")
    assert len(source.splits["train"]) == 5


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is empty"),
        ("a.jpg,cat\n", "begins with no file that is in"),
        ("shots/0.jpg,cat\nshots/9.jpg,dog", "line 2: there is no file 'shots/9.jpg' in"),
        ("shots/0.jpg,cat\nshots/1.jpg", "line 2 has 1 columns"),
        ("shots/0.jpg,cat\nshots/0.jpg,dog", "line 2: 'shots/0.jpg' for the second time"),
        ("file,label,split\nshots/0.jpg,cat,later", "line 2: 'later' is no split"),
        ("file,label,split\nshots/0.jpg,cat,val", "lists no pictures for training"),
        ("shots/0.jpg,cat\nshots/1.jpg,cat", "one class only"),
        ('shots/0.jpg,"cat\nshots/1.jpg,dog', "no table in UTF-8"),
        ("shots/0.jpg,caf\udce9", "no table in UTF-8"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, fault: str) -> None:
    folder(tmp_path, FILES | {"labels.csv": text.encode(errors="surrogateescape")})
    with pytest.raises(UserError, match=fault) as caught:
        open_source(tmp_path / "labels.csv")
    assert str(tmp_path / "labels.csv") in str(caught.value)


def test_root_is_for_tables(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--root: only for a table"):
        open_source(folder(tmp_path, pictures({"ant": 2, "bee": 2})), root=tmp_path)


# ── zip archives ─────────────────────────────────────────────────────────────────────────────────────────────────


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("above", ["", "photos/", "a/photos/"])
def test_a_zip_is_what_its_folder_would_be(tmp_path: Path, above: str) -> None:
    files = {f"{split}/{key}": data for split in ("train", "val") for key, data in pictures({"a": 4, "b": 3}).items()}
    files |= {"train/a/notes.txt": b"", "readme.md": b"", "val/b/.hidden.jpg": b"", "train/loose.jpg": jpeg(1)}
    root = folder(tmp_path / "photos", files)
    odd = {"__MACOSX/photos/._a.jpg": b"", "train/": b""}
    packed = open_source(zipped(tmp_path / "p.zip", {above + name: data for name, data in (files | odd).items()}))
    plain = open_source(root)
    assert packed.class_ids == plain.class_ids
    for name in ("train", "val"):
        assert labels_of(packed, name) == labels_of(plain, name)
        assert [item.read() for item in packed.splits[name]] == [item.read() for item in plain.splits[name]]
    ignored = {line.rpartition(": ")[0].removeprefix(above) for line in packed.ignored}
    assert {"train/a/notes.txt", "readme.md", "val/b/.hidden.jpg", "train/loose.jpg"} <= ignored
    stores = [grow.prepare_grown(one, tmp_path / str(k), Options(8)) for k, one in enumerate((packed, plain))]
    assert stores[0].fingerprint == stores[1].fingerprint


def test_bad_archives(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there are no pictures in this archive"):
        open_source(zipped(tmp_path / "a.zip", {"a/notes.txt": b""}))
    with pytest.raises(UserError, match="one class only"):
        open_source(zipped(tmp_path / "b.zip", {"a/b/1.jpg": b"", "a/b/2.jpg": b""}))
    whole = zipped(tmp_path / "c.zip", pictures({"a": 4, "b": 3}))
    data = bytearray(whole.read_bytes())
    data[60:90] = bytes(30)
    whole.write_bytes(data)
    source = open_source(whole)
    store = grow.prepare_grown(source, tmp_path / "store", Options(8), max_bad=0.5)
    assert "damaged or encrypted in the archive" in store.report()[0].why[0]
    (tmp_path / "d.zip").write_bytes(bytes(data[:300]))
    with pytest.raises(UserError, match="a file, where a folder, a zip archive or a table"):
        open_source(tmp_path / "d.zip")


# ── for PyTorch ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("format", ["raw", "jpeg"])
def test_a_split_is_a_dataset(tmp_path: Path, format: str) -> None:
    root = folder(tmp_path / "photos", pictures({"ant": 5, "bee": 4}))
    options = Options(16, format=format)  # pyright: ignore[reportArgumentType]
    split = grow.prepare_grown(open_source(root), tmp_path / "store", options).splits["train"]
    dataset = StoreDataset(tmp_path / "store", "train", transform=torch.Tensor.float)
    assert (len(dataset), dataset.classes, dataset.targets) == (9, ["ant", "bee"], split.labels.tolist())
    expected = split.read(np.arange(9)).transpose(0, 3, 1, 2)
    for workers in (0, 1) if format == "raw" else (0,):  # the other process imports torch first
        loader = DataLoader(dataset, 4, num_workers=workers, multiprocessing_context="spawn" if workers else None)
        batches = list(loader)
        assert np.array_equal(np.concatenate([found.numpy() for found, _ in batches]), expected)
        assert np.concatenate([labels.numpy() for _, labels in batches]).tolist() == split.labels.tolist()
    assert dataset[-1][1] == split.labels[-1]
    with pytest.raises(IndexError):
        dataset[9]


# ── datasets of the Hugging Face Hub ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("described", [True, False])
def test_parquet_files(tmp_path: Path, described: bool) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    names = ["wasp", "ant"]
    for split, count, label in (("train", 25, None), ("validation", 4, None), ("test", 3, -1)):
        labels = [number % 2 if label is None else label for number in range(count)]
        images = [{"bytes": jpeg(number), "path": f"{number}.jpg"} for number in range(count)]
        shown = labels if described else [names[one] if one >= 0 else None for one in labels]
        features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": names}}
        made = arrow.table({"image": images, "label": shown})
        if described:
            made = made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        folder(tmp_path / "data", {"readme.md": b""})
        parquet.write_table(made, tmp_path / "data" / f"{split}-00000-of-00001.parquet", row_group_size=4)
    source = open_source(tmp_path)
    assert set(source.splits) == {"train", "val"}
    assert set(source.class_ids) == set(names)
    assert [source.class_ids[one.label] for one in source.splits["train"]] == [names[n % 2] for n in range(25)]
    assert [one.read() for one in source.splits["train"]] == [jpeg(number) for number in range(25)]
    assert any("test-00000-of-00001.parquet: without labels" in line for line in source.ignored)
    path = tmp_path / "data" / "train-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="cannot be read"):
        open_source(tmp_path)


def test_arrow_files_that_datasets_saved(tmp_path: Path) -> None:
    """As `save_to_disk` of datasets 5.2 writes a DatasetDict with two shards, and a Dataset."""
    arrow, names = pytest.importorskip("pyarrow"), ["wasp", "ant"]
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": names}}
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    whole = {"state.json": b"{}", "dataset_dict.json": b"{}"}
    rows = {
        "train/data-00000-of-00002": (0, 6),
        "train/data-00001-of-00002": (6, 9),
        "validation/data-00000-of-00001": (9, 12),
    }
    for root, shards in (("dict", rows), ("one", {"data-00000-of-00001": (0, 6), "cache-1f": (0, 6)})):
        folder(tmp_path / root, {"dataset_dict.json" if root == "dict" else "state.json": whole["state.json"]})
        for name, (first, last) in shards.items():
            images = [{"bytes": jpeg(number), "path": None} for number in range(first, last)]
            table = arrow.table({"image": images, "label": [number % 2 for number in range(first, last)]})
            path = tmp_path / root / f"{name}.arrow"
            path.parent.mkdir(exist_ok=True)
            with (
                arrow.OSFile(str(path), "wb") as file,
                arrow.ipc.new_stream(file, (made := table.replace_schema_metadata(about)).schema) as out,
            ):
                out.write_table(made, max_chunksize=2)
    source = open_source(tmp_path / "dict")
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 9, "val": 3}
    assert [one.read() for one in source.splits["train"]] == [jpeg(number) for number in range(9)]
    assert [source.class_ids[one.label] for one in source.splits["val"]] == ["ant", "wasp", "ant"]
    assert source.splits["val"].keys[0] == "validation/data-00000-of-00001.arrow#0"
    assert {name: len(split) for name, split in open_source(tmp_path / "one").splits.items()} == {"train": 6}
    path.write_bytes(b"")
    (tmp_path / "one" / "data-00000-of-00001.arrow").write_bytes(b"\xff\xff\xff\xff\0")
    with pytest.raises(UserError, match="cannot be read"):
        open_source(tmp_path / "one")


def test_parquet_files_need_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match="pip install 'alexnet\\[datasets\\]'"):
        open_source(folder(tmp_path, {"train.parquet": b"PAR1"}))
