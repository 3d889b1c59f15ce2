"""Source → store: the right pixels, exact sums, odd files told, and every stop resumable."""

import errno
import fcntl
import json
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.data.sources import Source, open_source
from alexnet.data.store import journal, layout
from alexnet.data.store import prepare as module
from alexnet.data.store.description import fingerprint_of
from alexnet.data.store.prepare import bytes_needed, prepare
from alexnet.data.store.read import Store
from alexnet.data.store.records import Options, make_chunk
from alexnet.data.store.statistics import no_sums, sums_of
from alexnet.errors import UsageError, UserError
from alexnet.files import growing
from alexnet.images import compiled
from alexnet.images.decode import ELONGATED_NOTE, Undecodable, decode, to_record

SIZE = 24
BAD = b"<html>not a picture</html>"
MakeSource = Callable[..., Source]


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def failing_at(count: int) -> Callable[..., None]:
    """A progress callback that stops the run as Ctrl-C would, when it was called ``count`` times."""
    calls = iter(range(count))

    def progress(*_: object) -> None:
        if next(calls, None) is None:
            raise KeyboardInterrupt

    return progress


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_ITEMS", 3)


def test_records_are_what_decode_and_resize_make(tmp_path: Path, make_source: MakeSource) -> None:
    source = make_source()
    store = prepare(source, tmp_path / "store", size=SIZE, resample="box")
    for name, part in source.splits.items():
        expected = [to_record(decode(item.read()).pixels, SIZE, "box") for item in part]
        assert np.array_equal(store.splits[name].read(np.arange(len(part))), np.stack(expected))
        assert store.splits[name].labels.tolist() == [item.label for item in part]
        assert list(store.splits[name].keys) == [item.key for item in part]
    assert store.description["resample"] == "box"
    assert store.class_names == source.class_names


def test_jpeg_records_are_near_the_pictures(tmp_path: Path, make_source: MakeSource) -> None:
    raw = prepare(make_source(), tmp_path / "raw", size=64)
    jpeg = prepare(make_source(), tmp_path / "jpeg", size=64, format="jpeg")
    everything = np.arange(40)
    difference = jpeg.splits["train"].read(everything).astype(int) - raw.splits["train"].read(everything)
    assert np.abs(difference).mean() < 2.5
    assert jpeg.description["jpeg"] == {"quality": 95, "subsampling": "4:4:4"}
    assert not np.array_equal(jpeg.statistics.mean_image, raw.statistics.mean_image)


@pytest.mark.parametrize("format", layout.FORMATS)
def test_threads_and_chunks_do_not_matter(
    tmp_path: Path, make_source: MakeSource, monkeypatch: pytest.MonkeyPatch, format: layout.Format
) -> None:
    odd = {("train", 4): BAD, ("val", 2): b""}
    prepare(make_source(odd), tmp_path / "one", size=SIZE, format=format, workers=1, max_bad=0.1)
    monkeypatch.setattr(module, "CHUNK_ITEMS", 1)
    monkeypatch.setattr(module, "JOURNAL_SECONDS", 0)
    prepare(make_source(odd), tmp_path / "two", size=SIZE, format=format, workers=5, max_bad=0.1)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert not set(tree(tmp_path / "one")) & {layout.JOURNAL, layout.LOCK}


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("format", layout.FORMATS)
def test_interrupted_anywhere_it_makes_the_same_store(
    tmp_path: Path, make_source: MakeSource, format: layout.Format
) -> None:
    odd = {("train", 4): BAD, ("train", 20): BAD, ("val", 2): b""}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    prepare(make_source(odd), whole, size=SIZE, format=format, max_bad=0.1)
    calls, stops = 1, 0
    while not (parts / layout.DESCRIPTION).exists():
        try:
            prepare(make_source(odd), parts, size=SIZE, format=format, max_bad=0.1, progress=failing_at(calls))
        except KeyboardInterrupt:
            calls, stops = calls + 1, stops + 1
            litter(parts)
            with pytest.raises(UserError, match="not finished"):
                Store.open(parts)
    assert stops >= 4
    assert tree(parts) == tree(whole)


def litter(folder: Path) -> None:
    """What a kill may leave: half a chunk behind the journal's lengths, a temporary file, headers already written."""
    for path in (*folder.glob("*/*"), folder / layout.REPORT):
        with open(path, "ab") as file:
            file.write(b"half a chunk\n")
    for path in folder.glob("*/*.npy"):
        with open(path, "r+b") as file:
            file.write(b"\x93NUMPY")
    (folder / ".store.json.0123abcd.unfinished").write_bytes(b"{")
    (folder / layout.LOCK).touch()


@pytest.mark.usefixtures("small_chunks")
def test_decoded_at_a_reduced_scale(tmp_path: Path) -> None:
    """Near the pictures decoded in full, said in description and fingerprint, never mixed with the others."""
    folder, rng = tmp_path / "pictures", np.random.default_rng(0)
    for number in range(8):
        path = folder / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
        small.resize((200, 150), Image.Resampling.BICUBIC).save(path, quality=95)
    source = open_source(folder)
    full = prepare(source, tmp_path / "full", size=SIZE)
    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "scaled", size=SIZE, decode="scaled", progress=failing_at(2))
    with pytest.raises(UserError, match="unfinished store begun with decode scaled, not full"):
        prepare(source, tmp_path / "scaled", size=SIZE)
    scaled = prepare(source, tmp_path / "scaled", size=SIZE, decode="scaled")
    with pytest.raises(UserError, match="finished store made with decode scaled, not full"):
        prepare(source, tmp_path / "scaled", size=SIZE)
    assert tree(scaled.path) == tree(prepare(source, tmp_path / "whole", size=SIZE, decode="scaled").path)
    assert full.description["decode"] == "full"
    assert scaled.description["decode"] == "scaled"
    difference = np.abs(scaled.splits["train"].pictures.astype(int) - full.splits["train"].pictures)
    assert 0 < difference.mean() < 1
    assert fingerprint_of(scaled.description) != fingerprint_of({**scaled.description, "decode": "full"})


def test_a_finished_store_is_found_finished(tmp_path: Path, make_source: MakeSource) -> None:
    prepare(make_source(), tmp_path / "store", size=SIZE)
    before, said = tree(tmp_path / "store"), []
    (tmp_path / "store" / layout.JOURNAL).write_bytes(b"left by a kill just before the end")
    assert len(prepare(make_source(), tmp_path / "store", size=SIZE, say=said.append).splits["train"]) == 40
    assert said == [f"{tmp_path / 'store'}: already prepared from this source with these options"]
    assert tree(tmp_path / "store") == before


@pytest.mark.parametrize(
    ("options", "counts", "message"),
    [
        ({"size": 32}, {}, "size 24, not 32"),
        ({"format": "jpeg"}, {}, "format raw, not jpeg"),
        ({"exif": True}, {}, "exif False, not True"),
        ({"resample": "lanczos"}, {}, "resample bicubic, not lanczos"),
        ({"decode": "scaled"}, {}, "decode full, not scaled"),
        ({}, {"train": 41, "val": 11}, "another source"),
        ({}, {"train": 40}, "another source"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.usefixtures("small_chunks")
def test_another_store_is_not_overwritten(
    tmp_path: Path, make_source: MakeSource, finished: bool, options: dict, counts: dict, message: str
) -> None:
    if finished:
        prepare(make_source(), tmp_path / "store", size=SIZE)
    else:
        with pytest.raises(KeyboardInterrupt):
            prepare(make_source(), tmp_path / "store", size=SIZE, progress=failing_at(4))
    before = tree(tmp_path / "store")
    with pytest.raises(UserError, match=message) as error:
        prepare(make_source(**counts), tmp_path / "store", **{"size": SIZE, **options})
    assert "remove the folder" in str(error.value)
    assert tree(tmp_path / "store") == before


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("finished", [True, False])
def test_pictures_replaced_in_place_are_noticed(tmp_path: Path, finished: bool) -> None:
    folder = tmp_path / "pictures"
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), "red").save(folder / name)
    source = open_source(folder)
    if finished:
        prepare(source, tmp_path / "store", size=SIZE)
    else:
        with pytest.raises(KeyboardInterrupt):
            prepare(source, tmp_path / "store", size=SIZE, progress=failing_at(1))
    Image.effect_noise((50, 50), 80).save(folder / "b/2.png")
    with pytest.raises(UserError, match="another source"):
        prepare(open_source(folder), tmp_path / "store", size=SIZE)


def test_other_peoples_folders_are_left_alone(tmp_path: Path, make_source: MakeSource) -> None:
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "beach.jpg").write_bytes(b"precious")
    with pytest.raises(UserError, match=r"holds other things \(beach.jpg\)"):
        prepare(make_source(), tmp_path / "holiday", size=SIZE)
    with pytest.raises(UserError, match="is a file"):
        prepare(make_source(), tmp_path / "holiday" / "beach.jpg", size=SIZE)
    assert tree(tmp_path) == {"holiday/beach.jpg": b"precious"}


def test_two_at_once_are_refused(tmp_path: Path, make_source: MakeSource) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    with open(folder / layout.LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another `alexnet prepare` is writing it"):
            prepare(make_source(), folder, size=SIZE)
    prepare(make_source(), folder, size=SIZE)
    assert not (folder / layout.LOCK).exists()


def test_odd_files_are_reported_in_order(tmp_path: Path, make_source: MakeSource) -> None:
    grey = np.zeros((30, 40, 3), np.uint8)
    odd = {("train", 7): BAD, ("train", 3): b"", ("val", 1): b"\xff\xd8\xff", ("train", 5): grey, ("val", 0): png()}
    store = prepare(make_source(odd), tmp_path / "store", size=SIZE, max_bad=0.06)
    report = store.report()
    elongated = [entry.split for entry in report if entry.why == (ELONGATED_NOTE,)]
    report = tuple(entry for entry in report if entry.why != (ELONGATED_NOTE,))
    assert [(entry.split, entry.key[-8:-4], entry.outcome) for entry in report] == [
        ("train", "0003", "refused"),
        ("train", "0007", "refused"),
        ("val", "0000", "noted"),
        ("val", "0001", "refused"),
    ]
    assert all(entry.why for entry in report)
    assert (len(store.splits["train"]), len(store.splits["val"])) == (38, 10)
    assert "train/class0/pic ture_0003.jpg" not in list(store.splits["train"].keys)
    assert json.loads((store.path / "report.json").read_text())["ignored"] == ["notes.txt: no picture"]
    described = store.description["parts"]
    assert (
        described["train"]["items"],
        described["train"]["refused"],
        described["val"]["noted"] - elongated.count("val"),
    ) == (40, 2, 1)
    assert np.array_equal(store.splits["train"].read(np.array([4]))[0], np.zeros((SIZE, SIZE, 3)))


def png() -> bytes:
    from io import BytesIO

    file = BytesIO()
    Image.new("P", (30, 30)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.usefixtures("small_chunks")
def test_too_many_bad_files_stop_and_a_larger_limit_goes_on(tmp_path: Path, make_source: MakeSource) -> None:
    odd = {("train", place): BAD for place in (2, 9, 30)}
    with pytest.raises(UserError) as error:
        prepare(make_source(odd), tmp_path / "store", size=SIZE)
    expected = ("1 of 51 files", "--max-bad 0.01", "ture_0002.jpg", "an HTML page", "larger --max-bad", "report.json")
    assert all(words in str(error.value) for words in expected), str(error.value)
    with pytest.raises(UserError, match="3 of 51 files"):
        prepare(make_source(odd), tmp_path / "store", size=SIZE, max_bad=0.05)
    said: list[str] = []
    store = prepare(make_source(odd), tmp_path / "store", size=SIZE, max_bad=0.06, say=said.append)
    assert "resuming after the first" in said[0]
    assert len(store.splits["train"]) == 37
    with pytest.raises(UserError, match="3 of 51 files"):
        prepare(make_source(odd), tmp_path / "store", size=SIZE, max_bad=0.05)


@pytest.mark.usefixtures("small_chunks")
def test_strict_stops_at_the_first(tmp_path: Path, make_source: MakeSource) -> None:
    odd = {("train", 30): BAD, ("train", 4): b""}
    for _ in range(2):
        with pytest.raises(UserError, match=r"--strict.*ture_0004\.jpg \(the file is empty"):
            prepare(make_source(odd), tmp_path / "store", size=SIZE, strict=True)
    store = prepare(make_source(odd), tmp_path / "store", size=SIZE, max_bad=1)
    with pytest.raises(UserError, match=r"--strict.*ture_0004"):
        prepare(make_source(odd), tmp_path / "store", size=SIZE, strict=True)
    assert store.verify() == []


def unreadable(number: int) -> Undecodable:
    """As a source reports it: the system's error under an Undecodable."""
    error = Undecodable("cannot be read", "x.jpg")
    error.__context__ = OSError(number, os.strerror(number))
    return error


MACHINE = {
    "disk": OSError(errno.EIO, "Input/output error"),
    "gone": FileNotFoundError(errno.ENOENT, "gone"),
    "memory": MemoryError(),
    "disk under Undecodable": unreadable(errno.EIO),
}


@pytest.mark.parametrize("error", MACHINE.values(), ids=MACHINE)
@pytest.mark.usefixtures("small_chunks")
def test_a_failing_machine_is_no_bad_picture(tmp_path: Path, make_source: MakeSource, error: BaseException) -> None:
    with pytest.raises(UserError, match=r"ture_0020\.jpg.*may be intact.*rerun the same command to resume"):
        prepare(make_source({("train", 20): error}), tmp_path / "store", size=SIZE, max_bad=1)
    said: list[str] = []
    prepare(make_source(), tmp_path / "store", size=SIZE, say=said.append)
    assert said[0].endswith("resuming after the first 18 of 51 pictures")
    prepare(make_source(), tmp_path / "unbroken", size=SIZE)
    assert tree(tmp_path / "store") == tree(tmp_path / "unbroken")


@pytest.mark.usefixtures("small_chunks")
def test_a_full_disk_stops_and_goes_on(
    tmp_path: Path, make_source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(make_source(), tmp_path / "unbroken", size=SIZE)
    real, left = os.pwrite, [30_000]

    def full(descriptor: int, data: bytes, place: int) -> int:
        written = min(len(data), left[0])
        if written == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= written
        return real(descriptor, data[:written], place)

    monkeypatch.setattr(growing.os, "pwrite", full)
    for _ in range(3):
        left[0] = 30_000
        with pytest.raises(UserError, match=r"disk is full; free some space.*\(ENOSPC\)"):
            prepare(make_source(train=40, val=40), tmp_path / "store", size=SIZE)
        assert (tmp_path / "store" / layout.JOURNAL).exists()
    monkeypatch.undo()
    prepare(make_source(train=40, val=40), tmp_path / "store", size=SIZE)
    prepare(make_source(train=40, val=40), tmp_path / "whole", size=SIZE)
    assert tree(tmp_path / "store") == tree(tmp_path / "whole")


def test_disk_needed_is_told_and_refused_before_anything_is_written(
    tmp_path: Path, make_source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = bytes_needed(make_source(), Options(SIZE))
    store = prepare(make_source(), tmp_path / "store", size=SIZE)
    used = sum(len(content) for content in tree(store.path).values())
    assert used <= needed < used + 10_000_000
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1000))
    with pytest.raises(UserError, match=r"51 pictures need 8\..*too little\. Free some space"):
        prepare(make_source(), tmp_path / "deep" / "other", size=SIZE)
    assert tree(tmp_path / "deep") == {}


@dataclass
class Usage:
    free: int


def test_imagenet_needs_252_gb(make_source: MakeSource) -> None:
    needed = bytes_needed(make_source(train=12_812), Options())  # a hundredth of it, so as not to take long
    assert 2.51e9 < needed < 2.55e9


@pytest.mark.usefixtures("small_chunks")
def test_a_damaged_journal_is_named(tmp_path: Path, make_source: MakeSource) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare(make_source(), tmp_path / "store", size=SIZE, progress=failing_at(5))
    path = tmp_path / "store" / layout.JOURNAL
    whole = path.read_bytes()
    flipped = [whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :] for place in range(0, len(whole), 601)]
    for damage in (b"", b"\xff" * 100, b"\x02\0\0\0\0\0\0\0{}", whole[:-1], *flipped):
        path.write_bytes(damage)
        with pytest.raises(UserError, match=r"journal\.safetensors: .*[Rr]emove the folder"):
            prepare(make_source(), tmp_path / "store", size=SIZE)
    path.write_bytes(whole)
    prepare(make_source(), tmp_path / "store", size=SIZE)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("name", ["train/labels.npy", "train/digests.npy", "train/keys.txt", "report.json"])
def test_data_that_changed_since_the_journal_was_written_is_named(
    tmp_path: Path, make_source: MakeSource, name: str
) -> None:
    """store.json would promise the changed bytes."""
    source = make_source({("train", 2): BAD})
    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "store", size=SIZE, max_bad=0.1, progress=failing_at(6))
    path = tmp_path / "store" / name
    data = bytearray(path.read_bytes())
    assert len(data) > 140 or name in ("report.json", "train/keys.txt")
    data[len(data) - 9] ^= 4
    path.write_bytes(data)
    with pytest.raises(UserError, match=rf"{name}: damaged, its bytes are not those .* remove the folder"):
        prepare(source, tmp_path / "store", size=SIZE, max_bad=0.1)


@pytest.mark.usefixtures("small_chunks")
def test_a_journal_without_digests_is_gone_on_with(
    tmp_path: Path, make_source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that an older version wrote."""
    whole = prepare(make_source(), tmp_path / "whole", size=SIZE)
    with pytest.raises(KeyboardInterrupt):
        prepare(make_source(), tmp_path / "store", size=SIZE, progress=failing_at(6))
    state = journal.load_journal(tmp_path / "store")
    assert state is not None
    splits = {name: replace(split, digests={}) for name, split in state.splits.items()}
    journal.save_journal(tmp_path / "store", replace(state, splits=splits, report_digest=""))
    assert prepare(make_source(), tmp_path / "store", size=SIZE).fingerprint == whole.fingerprint
    assert tree(tmp_path / "store") == tree(tmp_path / "whole")


@pytest.mark.usefixtures("small_chunks")
def test_data_shorter_than_the_journal_says_is_named(tmp_path: Path, make_source: MakeSource) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare(make_source(), tmp_path / "store", size=SIZE, progress=failing_at(5))
    os.truncate(tmp_path / "store" / "train" / "pictures.npy", 200)
    with pytest.raises(UserError, match=r"pictures\.npy: has 200 bytes, its journal records"):
        prepare(make_source(), tmp_path / "store", size=SIZE)


@pytest.mark.parametrize(
    "wrong",
    [{"size": 0}, {"size": 10_000}, {"size": 2.5}, {"format": "png"}, {"resample": "nearest"}, {"decode": "half"},
     {"max_bad": -1}, {"max_bad": 1.5}, {"max_bad": float("nan")}, {"workers": 0}],
)  # fmt: skip
def test_wrong_options(tmp_path: Path, make_source: MakeSource, wrong: dict) -> None:
    option = next(iter(wrong)).replace("_", "-")
    with pytest.raises(UsageError, match=f"--{option}"):
        prepare(make_source(), tmp_path / "store", **wrong)
    assert not (tmp_path / "store").exists()


def test_nothing_decodable(tmp_path: Path, make_source: MakeSource) -> None:
    odd = {("val", place): BAD for place in range(5)}
    with pytest.raises(UserError, match="not one of the 5 files of split 'val'"):
        prepare(make_source(odd, train=4, val=5), tmp_path / "store", size=SIZE, max_bad=1)


def test_a_store_without_a_training_part(tmp_path: Path, make_source: MakeSource) -> None:
    store = prepare(make_source(test=5), tmp_path / "store", size=SIZE)
    assert store.verify() == []
    with pytest.raises(UserError, match="no training split"):
        _ = store.statistics


def test_progress_counts(tmp_path: Path, make_source: MakeSource) -> None:
    seen: list[tuple] = []
    odd = {("train", 0): BAD}
    prepare(make_source(odd), tmp_path / "store", size=SIZE, max_bad=0.1, progress=lambda *it: seen.append(it))
    assert seen[0] == ("train", 0, 40, 0)
    assert ("train", 40, 40, 1) in seen
    assert seen[-1] == ("val", 11, 11, 1)
    assert threading.active_count() == 1 or all(not t.name.startswith("prepare") for t in threading.enumerate())


@pytest.mark.parametrize("library", [compiled.library(), None], ids=["as here", "numpy"])
def test_sums_are_exact_and_add_up(library: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "library", lambda: library)
    for size in (7, 200):  # 40,000 pixels: more than have their products summed in 32 bits at once
        records = np.random.default_rng(0).integers(0, 256, (20, size, size, 3), np.uint8)
        records[3:9] = 255
        whole, pieces = sums_of(records, size), no_sums(size)
        for start, end in ((0, 1), (1, 8), (8, 8), (8, 19), (19, 20)):
            pieces = pieces + sums_of(records[start:end], size)
        assert np.array_equal(whole.pixels, records.sum(axis=0, dtype=np.int64))
        flat = records.reshape(-1, 3).astype(np.int64)
        assert np.array_equal(whole.products, flat.T @ flat)
        assert pieces.count == 20
        assert np.array_equal(pieces.pixels, whole.pixels)
        assert np.array_equal(pieces.products, whole.products)


def test_statistics_of_one_colour() -> None:
    statistics = sums_of(np.full((3, 5, 5, 3), 77, np.uint8), 5).statistics()
    assert (statistics.mean_image == 77).all()
    assert statistics.eigenvalues.tolist() == [0, 0, 0]
    assert np.isfinite(statistics.eigenvectors).all()


def test_a_label_outside_the_classes_is_our_own_mistake(make_source: MakeSource) -> None:
    source = make_source()
    source.splits["train"].labels[2] = 7
    with pytest.raises(ValueError, match="label 7 with 3 classes"):
        make_chunk(source, "train", 0, 4, options=Options(size=SIZE))


def test_real_pictures(shared_pack: Callable[[str], Path], tmp_path: Path) -> None:
    """1,200 of imagenette: records equal to Pillow's own resizing, statistics to numpy's."""
    folder = shared_pack("imagenette224")
    source = open_source(folder)
    few = {"val": source.splits["val"].take(np.arange(0, 1200, 10))}
    source = Source(source.kind, source.class_names, source.class_ids, source.class_order, {"train": few["val"]})
    store = prepare(source, tmp_path / "store")
    pictures = store.splits["train"].pictures
    for index in range(0, 120, 17):
        with Image.open(folder / store.splits["train"].keys[index]) as picture:
            expected = np.array(picture.convert("RGB").resize((256, 256), Image.Resampling.BICUBIC))
        assert np.array_equal(pictures[index], expected)
    np.testing.assert_allclose(store.statistics.mean_image, pictures.mean(axis=0), rtol=1e-5)
    values = np.linalg.eigvalsh(np.cov(pictures.reshape(-1, 3).T.astype(np.float64), bias=True))[::-1]
    np.testing.assert_allclose(store.statistics.eigenvalues, values, rtol=1e-9)


def test_odd_real_files(shared_pack: Callable[[str], Path], tmp_path: Path) -> None:
    """Every odd file is either a record or in the report with its reason; none is lost, none stops the run."""
    folder = shared_pack("odd-images")
    names = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".txt", ".json"))
    for label, path in enumerate(names):
        target = tmp_path / "pictures" / "train" / f"class{label % 2}" / f"{label:03d}_{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    source = open_source(tmp_path / "pictures")
    store = prepare(source, tmp_path / "store", size=16, max_bad=1)
    refused = {entry.key for entry in store.report() if entry.outcome == "refused"}
    kept = set(store.splits["train"].keys)
    assert not kept & refused
    assert kept | refused == set(source.splits["train"].keys)
    assert len(refused) > 20
    assert all(entry.why[0] for entry in store.report())
