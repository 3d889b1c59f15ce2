"""People's own pictures: the validation split, groups, rotation, lists, and sources that grow."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.cli import main
from alexnet.data.sources import open_source
from alexnet.data.sources.base import Source
from alexnet.data.store import grow
from alexnet.data.store.read import Store
from alexnet.data.store.records import Options
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
    assert output.out.endswith("0 files skipped, 0 odd ones taken, 0 rotated by EXIF orientation\n")
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


# ── rotation ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_own_pictures_are_rotated_and_research_sets_are_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    phone = {"ant/01.jpg": jpeg(1, 6), "bee/02.jpg": jpeg(2, 8)}
    root = folder(tmp_path / "photos", pictures({"ant": 1, "bee": 1}) | phone)
    line = ["prepare", str(root), str(tmp_path / "store"), "--size", "8"]
    assert main(line) == 0
    assert "2 odd ones taken, 2 rotated by EXIF orientation: see" in capsys.readouterr().out
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
