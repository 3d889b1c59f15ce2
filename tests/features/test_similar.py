"""Similar pictures: searches against naive ones, codes that keep neighbours, an index built, killed, damaged."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from alexnet.cli import main
from alexnet.data.sources import open_source
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.features import file as feature_file
from alexnet.features.extract import features_of
from alexnet.features.options import IndexOptions
from alexnet.features.similar import search
from alexnet.features.similar.codes import Coder, learn_coder
from alexnet.features.similar.index import FEATURES, Index, build, records_of
from alexnet.measure.run import Run

# ── searches ─────────────────────────────────────────────────────────────────────────────────────────────────────


def naive_nearest(query: np.ndarray, known: np.ndarray, count: int) -> list[int]:
    distances = [float(((query.astype(np.float64) - one.astype(np.float64)) ** 2).sum()) for one in known]
    return sorted(range(len(known)), key=lambda place: (round(distances[place], 9), place))[:count]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_nearest_against_every_distance(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "KNOWN_AT_ONCE", 64)
    monkeypatch.setattr(search, "QUERIES_AT_ONCE", 100)
    random = np.random.default_rng(0)
    known, queries = random.normal(size=(300, 7)).astype(dtype), random.normal(size=(130, 7)).astype(dtype)
    known[200] = known[3]  # of equals the first
    told = []
    places, distances = search.nearest(queries, known, 6, lambda done, total: told.append((done, total)))
    for query, found, far in zip(queries, places, distances, strict=True):
        assert found.tolist() == naive_nearest(query, known, 6)
        assert far == pytest.approx([np.linalg.norm(query.astype(float) - known[p].astype(float)) for p in found])
    assert told[-1] == (600, 600)
    assert search.nearest(known, known, 1)[0][:, 0].tolist() == [3 if p == 200 else p for p in range(300)]


def test_asking_for_more_than_there_are() -> None:
    places, distances = search.nearest(np.zeros((2, 3)), np.eye(3), 9)
    assert places.shape == distances.shape == (2, 3)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([1, 4, 8, 16, 32]), st.integers(1, 70), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_hamming_against_bit_by_bit(width: int, known: int, count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    codes = random.integers(0, 256, (known, width), np.uint8)
    codes[known // 2] = codes[0]
    queries = random.integers(0, 256, (3, width), np.uint8)
    places, bits = search.hamming_nearest(queries, codes, count)
    for query, found, differ in zip(queries, places, bits, strict=True):
        each = [sum(bin(int(a) ^ int(b)).count("1") for a, b in zip(query, code, strict=True)) for code in codes]
        expected = sorted(range(known), key=lambda place: (each[place], place))[:count]
        assert found.tolist() == expected
        assert differ.tolist() == [each[place] for place in expected]


def test_hamming_over_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.random.default_rng(0).integers(0, 256, (1000, 8), np.uint8)
    whole = search.hamming_nearest(codes[:5], codes, 9)
    monkeypatch.setattr(search, "WORDS_AT_ONCE", 37)
    parts = search.hamming_nearest(codes[:5], codes, 9)
    assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))


def test_recall() -> None:
    assert search.recall(np.array([[1, 2, 3], [7, 8, 9]]), np.array([[3, 4], [9, 8]])) == 0.75


# ── codes ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def clusters() -> np.ndarray:
    """600 vectors around 30 centres, half of their values 0 as behind ReLU."""
    random = np.random.default_rng(1)
    centres = random.normal(size=(30, 80))
    return np.maximum(np.repeat(centres, 20, axis=0) + 0.6 * random.normal(size=(600, 80)), 0).astype(np.float32)


def test_codes_keep_neighbours_better_than_random_planes(clusters: np.ndarray) -> None:
    coder = learn_coder(clusters, 32, epochs=30)
    true, _ = search.nearest(clusters, clusters, 20)
    planes = np.random.default_rng(0).normal(size=(80, 32))
    by_chance = np.packbits((clusters - clusters.mean(axis=0)) @ planes > 0, axis=1)
    learned, random = (
        search.recall(search.hamming_nearest(codes, codes, 20)[0], true) for codes in (coder.codes(clusters), by_chance)
    )
    assert learned > 0.7
    assert learned > random + 0.03


def test_each_bit_is_on_for_half_and_a_coder_is_repeated_and_kept(clusters: np.ndarray) -> None:
    first, again = (learn_coder(clusters, 64, epochs=2, seed=3) for _ in range(2))
    codes = first.codes(clusters)
    assert codes.shape == (600, 8)
    assert np.array_equal(codes, again.codes(clusters))
    assert np.array_equal(codes, Coder.of(first.state_dict()).codes(clusters))
    assert np.abs(np.unpackbits(codes, axis=1).mean(axis=0) - 0.5).max() < 0.01
    assert not np.array_equal(codes, learn_coder(clusters, 64, epochs=2, seed=4).codes(clusters))


@pytest.mark.parametrize(
    ("values", "message"),
    [(np.ones((500, 4), np.float32), "the same features"), (np.eye(50), "50 pictures are too few")],
)
def test_what_no_codes_can_be_learned_from(values: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        learn_coder(values, 32)


# ── the index ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def index(run: Run, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Index:
    return build(run, store, tmp_path_factory.mktemp("index"), IndexOptions(splits=("train",), bits=64, type="float32"))


@pytest.fixture(scope="module")
def queries(run: Run, store: Store) -> np.ndarray:
    return features_of(run, store.splits["val"])


def test_every_way_finds_the_nearest(index: Index, run: Run, store: Store, queries: np.ndarray) -> None:
    known = features_of(run, store.splits["train"])
    exact, distances = index.search(queries, 5)
    assert [naive_nearest(query, known, 5) for query in queries] == exact.tolist()
    by_codes, far = index.search(queries, 5, "codes")  # a shortlist of 200 is all of them
    assert np.array_equal(by_codes, exact)
    assert far == pytest.approx(distances)
    by_hamming, bits = index.search(queries, 20, "hamming")
    assert search.recall(by_hamming, exact) > 0.5
    assert (np.diff(bits, axis=1) >= 0).all()


def test_the_nearest_of_a_picture_is_itself(index: Index, run: Run, store: Store) -> None:
    places, distances = index.search(features_of(run, store.splits["train"], indices=np.array([7, 150])), 1)
    assert places[:, 0].tolist() == [7, 150]
    assert distances.max() < 1e-3
    assert np.array_equal(records_of(index, store, places)[1], store.splits["train"].read(np.array([150]))[0])
    assert index.keys[150] == store.splits["train"].keys[150]


def test_faiss_finds_the_same(run: Run, store: Store, queries: np.ndarray, tmp_path: Path) -> None:
    pytest.importorskip("faiss", reason="faiss is not installed")
    index = build(run, store, tmp_path / "a", IndexOptions(lists=8, type="float32"))  # 16 lists are looked through: all
    assert search.recall(index.search(queries, 5, "faiss")[0], index.search(queries, 5)[0]) > 0.98


def test_without_faiss_the_remedy_is_told(
    run: Run, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(UserError, match=r"pip install 'alexnet\[faiss\]'"):
        build(run, store, tmp_path / "a", IndexOptions(lists=8))


def test_killed_while_building_it_ends_alike(
    run: Run, store: Store, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(what: str, done: int, total: int) -> None:
        if (what, done) in kills:
            kills.remove((what, done))
            raise Killed

    monkeypatch.setattr(feature_file, "SAVE_SECONDS", 0)
    kills = {("features", 128), ("learning codes", 5), ("codes", 200)}
    options = IndexOptions(splits=("train",), bits=64, type="float32")
    for _ in range(3):
        with pytest.raises(Killed):
            build(run, store, tmp_path / "a", options, die)
        with pytest.raises(UserError, match="similar build"):
            Index.open(tmp_path / "a", run)
    for name in (".codes.safetensors.0123abcd", ".features.npy.journal.0123abcd", ".similar.png.0123abcd"):
        (tmp_path / "a" / f"{name}.unfinished").touch()  # a killed writer's; the last one is a search's, perhaps alive
    whole = build(run, store, tmp_path / "a", options, die)
    (tmp_path / "a" / ".similar.png.0123abcd.unfinished").unlink()
    assert np.array_equal(whole.values, index.values)
    assert np.array_equal(whole.codes, index.codes)
    assert {path.name for path in whole.folder.iterdir()} == {path.name for path in index.folder.iterdir()}
    before = (whole.folder / "index.json").stat().st_mtime_ns
    build(run, store, tmp_path / "a", options, die)
    assert (whole.folder / "index.json").stat().st_mtime_ns == before, "it is finished"


def test_other_codes_for_the_same_features(run: Run, store: Store, index: Index, tmp_path: Path) -> None:
    shutil.copytree(index.folder, tmp_path / "a")
    plain = IndexOptions(splits=("train",), type="float32")
    assert build(run, store, tmp_path / "a", replace(plain, bits=32)).codes.shape == (200, 4)
    bare = build(run, store, tmp_path / "a", plain)
    assert not (tmp_path / "a" / "codes.safetensors").exists()
    with pytest.raises(UsageError, match="has no codes"):
        bare.search(np.zeros((1, bare.values.shape[1])), by="codes")
    with pytest.raises(UsageError, match="no lists of faiss"):
        bare.search(np.zeros((1, bare.values.shape[1])), by="faiss")


@pytest.mark.parametrize("name", ["features.npy", "features.json", "codes.safetensors"])
@pytest.mark.parametrize("how", ["cut", "flipped", "gone"])
def test_damage_is_noticed(index: Index, run: Run, tmp_path: Path, name: str, how: str) -> None:
    shutil.copytree(index.folder, tmp_path / "a")
    victim = tmp_path / "a" / name
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    if how == "gone":
        victim.unlink()
    else:
        victim.write_bytes(data[:-1] if how == "cut" else data)
    with pytest.raises(UserError, match=name):
        Index.open(tmp_path / "a", run)


def test_verify_reads_everything(index: Index, tmp_path: Path) -> None:
    shutil.copytree(index.folder, tmp_path / "a")
    copy = Index.open(tmp_path / "a")
    assert copy.verify() == []
    with open(tmp_path / "a" / FEATURES, "r+b") as file:
        file.seek(500)
        file.write(b"\x01\x02")
    assert len(copy.verify()) == 1


def test_another_run_or_store_is_refused(index: Index, run: Run, store: Store, trained: Path, tmp_path: Path) -> None:
    from alexnet.files.tensors import load_tensors, save_tensors

    shutil.copytree(trained, tmp_path / "run")
    weights, _ = load_tensors(tmp_path / "run" / "model.safetensors")
    weights["conv1.bias"][0] += 1
    save_tensors(tmp_path / "run" / "model.safetensors", weights)
    with pytest.raises(UserError, match="other weights"):
        Index.open(index.folder, Run.open(tmp_path / "run"))
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "dark.png")
    for name in ("a", "b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        shutil.copy(tmp_path / "dark.png", tmp_path / "pictures" / name)
    other = prepare(open_source(tmp_path / "pictures"), tmp_path / "other", size=40)
    with pytest.raises(UserError, match="not the store"):
        records_of(index, other, np.array([0]))
    with pytest.raises(UserError, match="other features"):
        build(run, other, index.folder, IndexOptions(type="float32"))
    with pytest.raises(UsageError, match="--bits 48"):
        build(run, store, tmp_path / "b", IndexOptions(bits=48))


# ── the verbs ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def picture(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("query") / "query.png"
    Image.fromarray(store.splits["val"].read(np.array([3]))[0]).save(path)
    return path


def test_the_verbs(
    trained: Path, store: Store, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--index", str(tmp_path / "index"), "--device", "cpu"]
    assert main(["similar", str(trained), str(picture), *place]) == 1
    assert "`alexnet similar build RUN STORE` makes one" in capsys.readouterr().err
    assert main(["similar", "build", str(trained), str(store.path), "--bits", "32", *place]) == 0
    assert "260 pictures" in capsys.readouterr().out
    assert main(["similar", str(trained), str(picture), *place, "--count", "4"]) == 0
    shown = capsys.readouterr().out
    assert "query.png" in shown
    assert len(shown.splitlines()) == 6
    with Image.open(tmp_path / "index" / "similar.png") as sheet:
        assert sheet.width > sheet.height
    kept = json.loads((tmp_path / "index" / "similar.json").read_text())
    assert kept[0]["nearest"][0]["distance"] < 1  # the picture itself, in half precision on disk
    assert main(["similar", str(trained), str(picture), *place, "--json", "--by", "hamming"]) == 0
    assert len(json.loads(capsys.readouterr().out)[0]["nearest"]) == 6


@pytest.mark.parametrize(
    ("extra", "code", "message"),
    [
        (["--count", "0"], 2, "--count 0"),
        (["--by", "faiss"], 2, "no lists of faiss"),
        (["absent.png"], 1, "absent.png"),
        (["--store", "nowhere"], 1, "--store"),
    ],
)
def test_mistakes_at_the_verbs(
    trained: Path,
    index: Index,
    picture: Path,
    extra: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["similar", str(trained), str(picture), *extra, "--index", str(index.folder), "--out", str(tmp_path)]
    assert main(words) == code
    assert message in capsys.readouterr().err


def test_caltech_neighbours_share_their_class(shared_pack: Callable[[str], Path], tmp_path: Path) -> None:
    """Real photographs, a toy network of some seconds: most neighbours are of the class of the query."""
    root = shared_pack("caltech101")
    for name in ("car_side", "sunflower", "Faces_easy"):
        for number, file in enumerate(sorted((root / name).glob("*.jpg"))[:50]):
            part = tmp_path / "pictures" / ("val" if number >= 40 else "train") / name
            part.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, part)
    store = prepare(open_source(tmp_path / "pictures"), tmp_path / "store", size=40)
    from alexnet.train.loop import train
    from alexnet.train.options import TrainOptions

    options = TrainOptions(net="toy", input_size=32, epochs=6, batch=16, precision="fp32", device="cpu", threads=1)
    run = Run.open(train(store, tmp_path / "run", options, quiet=True).path, device="cpu")
    found = build(run, store, tmp_path / "index", IndexOptions(splits=("train",), bits=64))
    val = store.splits["val"]
    for way in ("exact", "codes", "hamming"):
        places, _ = found.search(features_of(run, val), 6, way)
        assert (found.labels[places] == val.labels[:, None]).mean() > 0.6  # chance: 0.33
