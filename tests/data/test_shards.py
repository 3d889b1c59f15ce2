"""One store made in parts: byte for byte that of one machine, whatever stops it; everything that does not fit named."""

import fcntl
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from alexnet import cli
from alexnet.data.sources import Source, open_source
from alexnet.data.store import layout, shards
from alexnet.data.store import prepare as preparing
from alexnet.data.store.journal import Writer
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from alexnet.data.store.records import Options
from alexnet.data.store.shards import Shard, join, prepare_shard
from alexnet.errors import UsageError, UserError

MakeSource = Callable[..., Source]
SIZE = 24
SMALL = Options(SIZE)
BAD = b"<html>not a picture</html>"
ODD = {("train", 4): BAD, ("train", 39): BAD, ("val", 2): b""}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def make_all(source: Source, store: Path, of: int, options: Options = SMALL) -> None:
    """Every part, the last one first."""
    for number in range(of, 0, -1):
        prepare_shard(source, store, Shard(number, of), options, max_bad=0.1)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "CHUNK_ITEMS", 3)


# ── the same bytes ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("format", layout.FORMATS)
@pytest.mark.parametrize("of", [1, 3, 16])
def test_joined_parts_are_the_bytes_of_one_machine(
    tmp_path: Path, make_source: MakeSource, format: layout.Format, of: int
) -> None:
    """Odd files in some parts; of 16 parts five have no validation picture, one of them only a refused one."""
    one = prepare(make_source(ODD), tmp_path / "one", size=SIZE, format=format, max_bad=0.1)
    make_all(make_source(ODD), tmp_path / "many", of, Options(SIZE, format=format))
    many = join(make_source(ODD), tmp_path / "many", Options(SIZE, format=format), max_bad=0.1)
    assert tree(many.path) == tree(one.path)
    assert many.verify() == []
    assert many.report() == one.report()
    refused = [entry.key[-8:] for entry in many.report() if entry.outcome == "refused"]
    assert refused == ["0004.jpg", "0039.jpg", "0002.jpg"]


def test_a_holdout_is_split_before_the_parts_are(tmp_path: Path, make_source: MakeSource) -> None:
    from alexnet.data.sources.base import split

    source = split(make_source(train=40), 0.25, 7, "here")
    make_all(source, tmp_path / "many", 3)
    join(source, tmp_path / "many", SMALL)
    assert tree(tmp_path / "many") == tree(prepare(source, tmp_path / "one", size=SIZE).path)


def test_shards_hold_every_item_once_and_in_order() -> None:
    for count in (0, 1, 7, 16, 1000):
        for of in (1, 2, 7, 16):
            shared = [index for number in range(1, of + 1) for index in Shard(number, of).indices(count)]
            assert shared == list(range(count))


def test_at_the_same_time_on_several_machines(tmp_path: Path, make_source: MakeSource) -> None:
    faults: list[BaseException] = []

    def work(number: int) -> None:
        try:
            prepare_shard(make_source(ODD), tmp_path / "many", Shard(number, 4), SMALL, max_bad=0.1)
        except BaseException as fault:  # shown below
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    join(make_source(ODD), tmp_path / "many", SMALL, max_bad=0.1)
    prepare(make_source(ODD), tmp_path / "one", size=SIZE, max_bad=0.1)
    assert tree(tmp_path / "many") == tree(tmp_path / "one")


def test_a_part_writes_nowhere_but_in_its_folder(tmp_path: Path, make_source: MakeSource) -> None:
    prepare_shard(make_source(), tmp_path / "many", Shard(1, 2), SMALL)
    first = tree(tmp_path / "many")
    assert {name.split("/")[0] for name in first} == {"part-1-of-2"}
    prepare_shard(make_source(), tmp_path / "many", Shard(2, 2), SMALL)
    assert first.items() <= tree(tmp_path / "many").items()


# ── stopped and gone on ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("format", layout.FORMATS)
def test_a_part_stopped_anywhere_goes_on(tmp_path: Path, make_source: MakeSource, format: layout.Format) -> None:
    prepare(make_source(ODD), tmp_path / "one", size=SIZE, format=format, max_bad=0.1)
    stops = 0
    for number in (1, 2):
        calls = iter(range(1, 100))
        while True:
            left = iter(range(next(calls)))

            def stop(*_: object, left: object = left) -> None:
                if next(left, None) is None:  # type: ignore[call-overload]
                    raise KeyboardInterrupt

            try:
                own, options = Shard(number, 2), Options(SIZE, format=format)
                prepare_shard(make_source(ODD), tmp_path / "many", own, options, max_bad=0.1, progress=stop)
                break
            except KeyboardInterrupt:
                stops += 1
                for path in (tmp_path / "many").glob(f"part-{number}-of-2/*/*"):
                    with open(path, "ab") as file:
                        file.write(b"half a chunk")
    assert stops >= 6
    join(make_source(ODD), tmp_path / "many", Options(SIZE, format=format), max_bad=0.1)
    assert tree(tmp_path / "many") == tree(tmp_path / "one")


@pytest.fixture(scope="module")
def whole_and_halves(
    tmp_path_factory: pytest.TempPathFactory, make_source: MakeSource
) -> Callable[[layout.Format], tuple[dict[str, bytes], Path]]:
    """A function: format → what a store made at once holds, and a folder with its two parts."""

    @cache
    def make(format: layout.Format) -> tuple[dict[str, bytes], Path]:
        folder = tmp_path_factory.mktemp(format)
        one = prepare(make_source(ODD), folder / "one", size=SIZE, format=format, max_bad=0.1)
        make_all(make_source(ODD), folder / "many", 2, Options(SIZE, format=format))
        return tree(one.path), folder / "many"

    return make


@pytest.mark.parametrize("format", layout.FORMATS)
@pytest.mark.parametrize("moment", range(10))
def test_a_join_stopped_anywhere_goes_on(
    tmp_path: Path,
    make_source: MakeSource,
    whole_and_halves: Callable[[layout.Format], tuple[dict[str, bytes], Path]],
    monkeypatch: pytest.MonkeyPatch,
    format: layout.Format,
    moment: int,
) -> None:
    """Before each part is appended or saved, and before the parts are removed."""
    one, halves = whole_and_halves(format)
    shutil.copytree(halves, tmp_path / "many")
    calls = iter(range(moment))

    def dying(call: Callable[..., object]) -> Callable[..., object]:
        def die_or(*arguments: object, **options: object) -> object:
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return call(*arguments, **options)

        return die_or

    with monkeypatch.context() as patch:
        for name in ("append_split", "save"):
            patch.setattr(Writer, name, dying(getattr(Writer, name)))
        patch.setattr(shards, "_sweep", dying(shards._sweep))
        with pytest.raises(KeyboardInterrupt):
            join(make_source(ODD), tmp_path / "many", Options(SIZE, format=format), max_bad=0.1)
    if not (tmp_path / "many" / layout.DESCRIPTION).exists():
        with pytest.raises(UserError, match=r"holds shards of a store.*--join"):
            Store.open(tmp_path / "many")
    join(make_source(ODD), tmp_path / "many", Options(SIZE, format=format), max_bad=0.1)
    assert tree(tmp_path / "many") == one


KILLED = """
import sys
from alexnet.data.store import prepare, shards
from alexnet.data.store.records import Options
from alexnet.data.sources import open_source
prepare.JOURNAL_SECONDS, prepare.CHUNK_ITEMS = 0.01, 2
print("ready", flush=True)
source, store, part = sys.argv[1:]
shards.prepare_shard(open_source(source), store, shards.Shard.parse(part), Options(48), workers=1)
"""


def test_a_part_killed_in_the_middle_leaves_the_others_alone(tmp_path: Path) -> None:
    from PIL import Image

    for index in range(60):
        path = tmp_path / "pictures" / f"class{index % 3}" / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((400, 300), 60 + index).convert("RGB").save(path)
    source, many = open_source(tmp_path / "pictures"), tmp_path / "many"
    prepare_shard(source, many, Shard(1, 2), Options(48))
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "pictures"), str(many), "2/2"], stdout=subprocess.PIPE
    ) as process:
        journal = many / "part-2-of-2" / layout.JOURNAL
        while process.poll() is None and not journal.exists():
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode in (0, -signal.SIGKILL)
    if process.returncode:
        with pytest.raises(UserError, match=r"shard 2/2 is unfinished \(\d+ of 30 pictures\)"):
            join(source, many, Options(48))
    prepare_shard(source, many, Shard(2, 2), Options(48))
    join(source, many, Options(48))
    assert tree(many) == tree(prepare(source, tmp_path / "one", size=48).path)


def test_done_parts_and_finished_stores_are_found(tmp_path: Path, make_source: MakeSource) -> None:
    said: list[str] = []
    make_all(make_source(), tmp_path / "many", 2)
    before = tree(tmp_path / "many")
    place = prepare_shard(make_source(), tmp_path / "many", Shard(1, 2), SMALL, say=said.append)
    assert place == tmp_path / "many" / "part-1-of-2"
    assert said == [f"{place}: shard 1/2 is done already"]
    assert tree(tmp_path / "many") == before
    join(make_source(), tmp_path / "many", SMALL)
    joined = tree(tmp_path / "many")
    join(make_source(), tmp_path / "many", SMALL, say=said.append)
    assert prepare_shard(make_source(), tmp_path / "many", Shard(1, 2), SMALL) == tmp_path / "many"
    assert prepare_shard(make_source(), tmp_path / "many", Shard(3, 7), SMALL) == tmp_path / "many"
    prepare(make_source(), tmp_path / "many", size=SIZE)
    assert said[1:] == [f"{tmp_path / 'many'}: already prepared from this source with these options"]
    assert tree(tmp_path / "many") == joined
    with pytest.raises(UserError, match="size 24, not 32"):
        join(make_source(), tmp_path / "many", Options(32))


# ── what does not fit ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/", "/2", "a/b", "1/0", "-1/2", "1/2/3", "1/1001", "", "½/2"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--shard .*as in 3/8"):
        Shard.parse(text)


def test_missing_and_unfinished_parts_are_all_named(tmp_path: Path, make_source: MakeSource) -> None:
    with pytest.raises(UserError, match="no shards to join"):
        join(make_source(), tmp_path / "many", SMALL)
    prepare_shard(make_source(), tmp_path / "many", Shard(2, 4), SMALL)

    def stop(name: str, done: int, total: int, refused: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_shard(make_source(), tmp_path / "many", Shard(4, 4), SMALL, progress=stop)
    before = tree(tmp_path / "many")
    missing = r"shard 1/4 is missing, shard 3/4 is missing, shard 4/4 is unfinished \(3 of 13 pictures\)"
    with pytest.raises(UserError, match=missing):
        join(make_source(), tmp_path / "many", SMALL)
    assert tree(tmp_path / "many") == before


@pytest.mark.parametrize(
    ("options", "counts", "message"),
    [
        ({"size": 32}, {}, "size 24, not 32"),
        ({"format": "jpeg"}, {}, "format raw, not jpeg"),
        ({"exif": True}, {}, "exif False, not True"),
        ({"decode": "scaled"}, {}, "decode full, not scaled"),
        ({"resample": "lanczos"}, {}, "resample bicubic, not lanczos"),
        ({}, {"train": 41, "val": 11}, "another source"),
    ],
)
def test_parts_of_other_options_or_sources_are_refused(
    tmp_path: Path, make_source: MakeSource, options: dict, counts: dict[str, int], message: str
) -> None:
    asked = Options(**{"size": SIZE, **options})
    prepare_shard(make_source(), tmp_path / "many", Shard(1, 2), SMALL)
    with pytest.raises(UserError, match=rf"part-1-of-2: holds a shard made with.*{message}"):
        prepare_shard(make_source(**counts), tmp_path / "many", Shard(2, 2), asked)
    # Begun at the same moment, neither saw the other: joining sees both.
    prepare_shard(make_source(**counts), tmp_path / "apart", Shard(2, 2), asked)
    (tmp_path / "apart" / "part-2-of-2").rename(tmp_path / "many" / "part-2-of-2")
    with pytest.raises(UserError, match=r"part-2-of-2: holds a shard made with"):
        join(make_source(), tmp_path / "many", SMALL)


def test_another_division_and_a_renamed_part_are_refused(tmp_path: Path, make_source: MakeSource) -> None:
    make_all(make_source(), tmp_path / "many", 2)
    with pytest.raises(UserError, match=r"part-1-of-2 as well as shards of 3.*one division"):
        prepare_shard(make_source(), tmp_path / "many", Shard(3, 3), SMALL)
    first, second = (tmp_path / "many" / f"part-{number}-of-2" for number in (1, 2))
    first.rename(tmp_path / "aside")
    second.rename(first)
    (tmp_path / "aside").rename(second)
    with pytest.raises(UserError, match="shard 2/2, not 1/2"):
        join(make_source(), tmp_path / "many", SMALL)


def test_parts_and_whole_stores_do_not_mix(tmp_path: Path, make_source: MakeSource) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(make_source(), tmp_path / "whole", size=SIZE, progress=stop)
    with pytest.raises(UserError, match="begun without --shard"):
        prepare_shard(make_source(), tmp_path / "whole", Shard(1, 2), SMALL)
    make_all(make_source(), tmp_path / "many", 2)
    with pytest.raises(UserError, match=r"holds shards of a store.*--join"):
        prepare(make_source(), tmp_path / "many", size=SIZE)
    with pytest.raises(UserError, match="shard 1/2, not None"):
        prepare(make_source(), tmp_path / "many" / "part-1-of-2", size=SIZE)
    with pytest.raises(UserError, match=r"holds shards of a store.*--join"):
        Store.open(tmp_path / "many")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").touch()
    with pytest.raises(UserError, match=r"holds other things \(letter.txt\)"):
        prepare_shard(make_source(), tmp_path / "other", Shard(1, 2), SMALL)


def test_too_many_bad_files_count_over_all_parts(tmp_path: Path, make_source: MakeSource) -> None:
    """One bad file in each of two parts, one allowed: each part is good enough, both together are not."""
    source = make_source({("train", 1): BAD, ("train", 30): BAD}, train=50, val=50)
    for number in (1, 2):
        prepare_shard(source, tmp_path / "many", Shard(number, 2), SMALL, max_bad=0.01)
    before = tree(tmp_path / "many")
    with pytest.raises(UserError, match=r"part-\*-of-2: 2 of 100 files .*more than --max-bad 0.01"):
        join(source, tmp_path / "many", SMALL, max_bad=0.01)
    with pytest.raises(UserError, match="--strict"):
        join(source, tmp_path / "many", SMALL, max_bad=0.1, strict=True)
    with pytest.raises(UserError, match="--strict"):
        prepare_shard(source, tmp_path / "many", Shard(1, 2), SMALL, strict=True)
    assert tree(tmp_path / "many") == before


def test_one_at_a_time_in_each_folder(tmp_path: Path, make_source: MakeSource) -> None:
    make_all(make_source(), tmp_path / "many", 2)
    for path, words, again in (
        (tmp_path / "many" / "part-1-of-2", "making shard 1/2", lambda: make_all(make_source(), tmp_path / "many", 2)),
        (tmp_path / "many", "joining it", lambda: join(make_source(), tmp_path / "many", SMALL)),
    ):
        with open(path / layout.LOCK, "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with pytest.raises(UserError, match=words):
                again()


def test_a_part_cut_short_is_named_and_nothing_is_lost(tmp_path: Path, make_source: MakeSource) -> None:
    make_all(make_source(), tmp_path / "many", 2)
    pictures = tmp_path / "many" / "part-2-of-2" / "train" / layout.PICTURES
    with open(pictures, "r+b") as file:
        file.truncate(500)
    with pytest.raises(UserError, match=r"part-2-of-2/train/pictures.npy: has 500 bytes"):
        join(make_source(), tmp_path / "many", SMALL)
    (tmp_path / "many" / "part-2-of-2").rename(tmp_path / "damaged")
    prepare_shard(make_source(), tmp_path / "many", Shard(2, 2), SMALL)
    join(make_source(), tmp_path / "many", SMALL)
    assert tree(tmp_path / "many") == tree(prepare(make_source(), tmp_path / "one", size=SIZE).path)


def test_too_little_disk_is_told_before_joining(
    tmp_path: Path, make_source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_all(make_source(), tmp_path / "many", 2)
    before = tree(tmp_path / "many")
    usage = shards.shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shards.shutil, "disk_usage", lambda _: usage._replace(free=1000))
        with pytest.raises(UserError, match=r"joining 2 shards.*; 1(\.0)? kB are free"):
            join(make_source(), tmp_path / "many", SMALL)
    assert tree(tmp_path / "many") == before


# ── the command line ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_command_line_makes_and_joins_parts(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--size", "16", "--holdout", "0.25"]
    for part in ("1/2", "2/2"):
        assert cli.main(["prepare", str(photos), str(tmp_path / "many"), *common, "--shard", part]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "many" / f"part-{n}-of-2") for n in (1, 2)]
    assert cli.main(["prepare", str(photos), str(tmp_path / "many"), *common, "--join"]) == 0
    assert "2 classes, pictures: train 12, val 4" in capsys.readouterr().out
    assert cli.main(["prepare", str(photos), str(tmp_path / "one"), *common]) == 0
    assert tree(tmp_path / "many") == tree(tmp_path / "one")
    wrong = ["prepare", str(photos), str(tmp_path / "many")]
    assert cli.main([*wrong, "--shard", "3/2"]) == 2
    assert cli.main([*wrong, "--shard", "1/2", "--join"]) == 2


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    from PIL import Image

    for index in range(16):
        path = tmp_path / "photos" / ("cat", "dog")[index % 2] / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((30, 20), 50 + index).convert("RGB").save(path)
    return tmp_path / "photos"
