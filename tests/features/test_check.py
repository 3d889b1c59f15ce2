"""`alexnet check`, and what `train` says before an epoch is spent: every fault that is put into a store is named."""

import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter
from safetensors.numpy import load

from alexnet import cli
from alexnet.data.sources import open_source
from alexnet.data.store import layout
from alexnet.data.store.check import remarks_on
from alexnet.data.store.description import ListedFile, completed
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from alexnet.features.check import Look, check_store, copies, look_at, near_pairs
from alexnet.files.schema import to_json
from alexnet.images.decode import make_record
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions

SIDE = 32
KINDS = ("ant", "bee", "cat")


def photo(seed: int) -> np.ndarray:
    """Smooth colours, as photographs have: (SIDE, SIDE, 3) uint8."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return np.array(Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def write(folder: Path, picture: np.ndarray) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(folder)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Sound ones: 12 and 4 of each class, all different."""
    for place, kind in enumerate(KINDS):
        for number in range(16):
            part = "train" if number < 12 else "val"
            write(tmp_path / "pictures" / part / kind / f"{number:02}.png", photo(100 * place + number))
    return tmp_path / "pictures"


def made(pictures: Path) -> Store:
    return prepare(open_source(pictures), pictures.parent / "store", size=SIDE)


def reseal(store: Store, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the store's description as one does who knows of its checksums."""
    path = store.path / layout.DESCRIPTION
    described = json.loads(path.read_text())
    change(described)
    for name in ("fingerprint", "checksum"):
        described.pop(name)
    path.write_text(json.dumps(completed(described)))


def relabel(store: Store, part: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    path = store.path / part / layout.LABELS
    np.save(path, change(np.load(path)))
    array = np.load(path)
    path.write_bytes(layout.npy_header("<i8", array.shape) + array.tobytes())
    reseal(
        store,
        lambda described: described["parts"][part]["files"].update({layout.LABELS: to_json(ListedFile.of(path))}),
    )


def words(store: Store) -> str:
    return "\n".join(remark.words for remark in check_store(store).remarks)


def test_nothing_is_said_of_a_sound_store(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = made(pictures)
    assert remarks_on(store) == []
    assert check_store(store).remarks == []
    assert cli.main(["check", str(store.path)]) == 0
    told = capsys.readouterr()
    assert "nothing unusual" in told.out
    assert [line.split() for line in told.out.splitlines()[:2]] == [["class", "train", "val"], ["ant", "12", "4"]]
    assert not list(store.path.parent.glob("*.png"))


def test_a_copy_saved_again_between_the_parts_is_found_and_shown(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a JPEG of middling quality, a little brighter, under another class."""
    file = io.BytesIO()
    brighter = (photo(0).astype(int) * 9 // 10 + 12).astype(np.uint8)
    Image.fromarray(brighter).save(file, "JPEG", quality=60)
    (pictures / "val" / "bee" / "again.jpg").write_bytes(file.getvalue())
    store = made(pictures)
    assert remarks_on(store) == []
    assert cli.main(["check", str(store.path), "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["copies"] == [["train/ant/00.png", "val/bee/again.jpg"]]
    assert "between train and val, 1 of them under two labels" in words(store)
    sheet = store.path.parent / "store.check.png"
    with Image.open(sheet) as shown:
        assert shown.size[0] > 500
    assert str(sheet) in told.err


def test_equal_pictures_are_found_without_reading_any(pictures: Path) -> None:
    write(pictures / "train" / "bee" / "same.png", photo(0))
    write(pictures / "val" / "ant" / "same.png", photo(1))
    told = "\n".join(remark.words for remark in remarks_on(made(pictures)))
    assert "1 train picture is a copy, 1 of them under another label" in told
    assert "1 val picture is in train too" in told


def test_missing_classes_and_imbalance_are_named(pictures: Path) -> None:
    """Sources refuse a class that is missing from a folder: here the labels are changed."""
    for number in range(1, 12):
        (pictures / "train" / "bee" / f"{number:02}.png").unlink()
    store = made(pictures)
    relabel(store, "val", lambda labels: np.where(labels == 2, 1, labels))
    told = words(Store.open(store.path))
    assert "1 class has no val pictures: cat" in told
    assert "train is unbalanced: 12 pictures of ant, 1 of bee" in told


def test_classes_in_a_wrong_order_are_a_fault(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = made(pictures)
    reseal(store, lambda described: described["class_ids"].reverse())
    (remark,) = remarks_on(Store.open(store.path))
    assert remark.fault
    assert "class 0 is cat" in remark.words
    assert cli.main(["check", str(store.path)]) == 1
    assert "1 fault" in capsys.readouterr().err


@pytest.mark.parametrize("value", [np.nan, np.inf, 1000.0])
def test_statistics_that_are_none_or_not_those_of_the_pictures_are_a_fault(pictures: Path, value: float) -> None:
    store = made(pictures)
    path = store.path / layout.STATISTICS
    tensors = dict(load(path.read_bytes()))
    tensors["mean_image"][3, 4, 1] = value
    path.write_bytes(layout.tensor_bytes(tensors))
    reseal(store, lambda described: described["files"].update({layout.STATISTICS: to_json(ListedFile.of(path))}))
    (remark,) = remarks_on(Store.open(store.path))
    assert remark.fault
    assert "mean_image of its statistics" in remark.words


@pytest.mark.parametrize("name", [layout.PICTURES, layout.LABELS, layout.DIGESTS, layout.KEYS])
def test_a_store_short_of_a_byte_is_refused_by_check_and_train(
    pictures: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = made(pictures).path / "train" / name
    path.write_bytes(path.read_bytes()[:-1])
    for command in (["check"], ["train", "--out", str(pictures.parent / "run")]):
        assert cli.main([command[0], str(path.parents[1]), *command[1:]]) == 1
        assert f"{path}: has " in capsys.readouterr().err
    assert not (pictures.parent / "run").exists()


def test_a_label_out_of_range_is_named_and_a_damaged_record(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = made(pictures)
    records = store.path / "val" / layout.PICTURES
    data = bytearray(records.read_bytes())
    data[layout.NPY_HEADER_BYTES + 5] ^= 1
    records.write_bytes(data)
    assert "is damaged: its bytes have changed" in words(store)
    relabel(store, "train", lambda labels: np.where(np.arange(len(labels)) == 0, 200, labels))
    assert cli.main(["check", str(store.path)]) == 1
    assert "picture 0 has label 200, but there are 3 classes" in capsys.readouterr().err


def test_odd_pictures_are_told_and_copies_of_one_tone_are_none(pictures: Path) -> None:
    for number, tone in enumerate((0, 1, 255)):
        write(pictures / "train" / "cat" / f"flat{number}.png", np.full((SIDE, SIDE, 3), tone, np.uint8))
    checked = check_store(made(pictures))
    names = {what: sorted(Path(checked.pool.keys[n]).name for n in numbers) for what, numbers in checked.odd.items()}
    assert {what: found for what, found in names.items() if found} == {
        "of one tone": [f"flat{n}.png" for n in range(3)]
    }
    assert len(checked.pairs) == 0


def test_dark_bright_blurred_and_elongated_pictures_are_found_each_for_what_it_is(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grain = np.random.default_rng(7).normal(0, 12, (5, SIDE, SIDE, 1))
    for path in pictures.rglob("*.png"):  # as sharp as photographs are
        with Image.open(path) as picture:
            write(path, np.clip(np.asarray(picture) + grain[0], 0, 255).astype(np.uint8))
    planted = {
        "dark": (photo(900) * 0.2 + grain[1] / 4).clip(0, 255),
        "bright": (205 + photo(901) * 0.15 + grain[2] / 4).clip(0, 255),
        "blurred": photo(902) * 0.5 + 60,
        "elongated": np.concatenate([photo(903 + number) + grain[3] for number in range(3)], axis=1).clip(0, 255),
        "wide": np.concatenate([photo(906), photo(907)], axis=1) + grain[4].repeat(2, axis=1),
    }
    for what, picture in planted.items():
        write(pictures / "train" / "ant" / f"{what}.png", picture.clip(0, 255).astype(np.uint8))
    store = made(pictures)
    assert cli.main(["check", str(store.path), "--json"]) == 0
    odd = json.loads(capsys.readouterr().out)["odd"]
    kinds = ("dark", "bright", "blurred", "elongated")
    assert odd == {"of one tone": [], **{what: [f"train/ant/{what}.png"] for what in kinds}}
    assert "1 picture is blurred: train/ant/blurred.png" in words(store)


@pytest.mark.parametrize(("radius", "least"), [(2, 0.9), (4, 1.0)])
def test_blurred_photographs_are_found_and_few_others(
    shared_pack: Callable[[str], Path], radius: int, least: float
) -> None:
    """Sixty of twenty classes, each also blurred by a Gaussian."""
    files = [path for kind in sorted(shared_pack("caltech101").iterdir()) for path in sorted(kind.glob("*.jpg"))[:3]]
    sharp = [make_record(path.read_bytes()).pixels for path in files]
    soft = [np.array(Image.fromarray(one).filter(ImageFilter.GaussianBlur(radius))) for one in sharp[::4]]
    found = look_at(StoredArray(np.stack([*sharp, *soft]))).odd()["blurred"]
    planted = np.arange(len(sharp), len(sharp) + len(soft))
    assert np.isin(planted, found).mean() >= least
    assert np.isin(found, planted, invert=True).sum() <= len(sharp) / 50


def test_train_says_it_before_the_first_epoch(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(pictures / "val" / "ant" / "same.png", photo(1))
    run = pictures.parent / "run"
    options = TrainOptions(net="toy", epochs=1, batch=12, precision="fp32", threads=1)
    train(made(pictures), run, options, quiet=True)
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    told = [line.get("text", line["event"]) for line in lines]
    place = next(number for number, text in enumerate(told) if "1 val picture is in train too" in text)
    assert place < told.index("epoch")


def test_hashes_that_are_near_are_all_found() -> None:
    """Beside every pair, compared bit by bit."""
    dice = np.random.default_rng(0)
    base = dice.integers(0, 1 << 63, 60, np.uint64)
    flips = np.uint64(1) << dice.integers(0, 64, (60, 4)).astype(np.uint64)
    near = [base ^ np.bitwise_xor.reduce(flips[:, :count], axis=1) for count in (1, 2, 3, 4)]
    hashes = np.unique(np.concatenate([base, *near]))
    plain = [int(one) for one in hashes]
    expected = {
        (a, b) for a in range(len(plain)) for b in range(a + 1, len(plain)) if (plain[a] ^ plain[b]).bit_count() <= 3
    }
    assert len(expected) > 150
    assert set(map(tuple, near_pairs(hashes).tolist())) == expected


@dataclass
class StoredArray:
    """Records in memory, as a set of pictures."""

    records: np.ndarray

    def __len__(self) -> int:
        return len(self.records)

    def read(self, indices: np.ndarray) -> np.ndarray:
        return self.records[indices]


class Alike:
    """100,000 pictures, of which all but every thousandth are one picture."""

    def __len__(self) -> int:
        return 100_000

    def read(self, indices: np.ndarray) -> np.ndarray:
        if not hasattr(self, "known"):
            self.known = np.stack([photo(number) for number in range(101)])
        return self.known[np.where(indices % 1000 == 0, 1 + indices // 1000, 0)]


def test_a_hundred_thousand_copies_take_seconds_not_hours() -> None:
    pictures, begin = Alike(), time.monotonic()
    one = look_at_some(pictures)
    pairs = copies(pictures, one)
    assert len(pairs) == 100_000 - 100 - 1
    assert set(pairs[:, 0].tolist()) == {1}
    assert time.monotonic() - begin < 120


def look_at_some(pictures: Alike) -> Look:
    """What `look_at` sees of them, each of the 101 looked at once."""

    class Known:
        def __len__(self) -> int:
            return 101

        def read(self, indices: np.ndarray) -> np.ndarray:
            return np.stack([photo(int(index)) for index in indices])

    seen, numbers = look_at(Known()), np.arange(len(pictures))
    which = np.where(numbers % 1000 == 0, 1 + numbers // 1000, 0)
    return Look(*(figures[which] for figures in vars(seen).values()))
