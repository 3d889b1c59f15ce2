"""The file of features: what is in it, killed at any place and taken up again, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet import cli
from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.features import file as feature_file
from alexnet.features.extract import features_of
from alexnet.features.file import Collection, load_features, write_features
from alexnet.features.pictures import Pool
from alexnet.measure.run import Run


class Killed(BaseException):
    """Stands for a SIGKILL."""


def test_it_holds_every_part_with_keys_labels_and_maps(run: Run, store: Store, tmp_path: Path) -> None:
    pool = Pool.of(store, ("train", "val"))
    about = write_features(run, Collection.of_store(run, store), tmp_path / "f.npy", layer="pool1", views=10)
    values, read = load_features(tmp_path / "f.npy")
    assert isinstance(values, np.memmap)
    assert read == json.loads(json.dumps(about))
    assert values.shape == (260, *about["shape"])
    np.testing.assert_array_equal(values.reshape(260, -1), features_of(run, pool, "pool1", 10))
    assert read["keys"] == pool.keys
    assert read["labels"] == pool.labels.tolist()
    assert read["class_ids"] == list(store.class_ids)
    assert read["pictures"]["parts"] == {"train": 200, "val": 60}
    assert {path.name for path in tmp_path.iterdir()} == {"f.npy", "f.json"}


def test_half_the_size_in_float16(run: Run, store: Store, tmp_path: Path) -> None:
    collection = Collection.of_store(run, store, ["val"])
    write_features(run, collection, tmp_path / "h.npy", number_type="float16")
    values, _ = load_features(tmp_path / "h.npy")
    assert values.dtype == np.float16
    np.testing.assert_allclose(values, features_of(run, store.splits["val"]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("saves", [True, False])
def test_killed_it_goes_on_to_the_same_bytes(
    run: Run, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saves: bool
) -> None:
    monkeypatch.setattr(feature_file, "BATCH", 32)
    monkeypatch.setattr(feature_file, "SAVE_SECONDS", 0.0 if saves else 1e9)
    collection = Collection.of_store(run, store)
    write_features(run, collection, tmp_path / "whole.npy")

    def die(done: int, _: int) -> None:
        if done >= 96:
            raise Killed

    with pytest.raises(Killed):
        write_features(run, collection, tmp_path / "f.npy", progress=die)
    with open(tmp_path / "f.npy.unfinished", "ab") as file:
        file.write(b"half a batch")
    seen: list[int] = []
    write_features(run, collection, tmp_path / "f.npy", progress=lambda done, _: seen.append(done))
    assert seen[0] == (128 if saves else 32)
    assert (tmp_path / "f.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert (tmp_path / "f.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert not list(tmp_path.glob("*unfinished")) + list(tmp_path.glob("*journal"))


@pytest.mark.parametrize("name", ["f.npy.unfinished", "f.npy.journal"])
def test_features_that_changed_since_they_were_saved_are_made_anew(
    run: Run, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(feature_file, "BATCH", 32)
    monkeypatch.setattr(feature_file, "SAVE_SECONDS", 0.0)
    collection = Collection.of_store(run, store)
    write_features(run, collection, tmp_path / "whole.npy")

    def die(done: int, _: int) -> None:
        if done >= 96:
            raise Killed

    with pytest.raises(Killed):
        write_features(run, collection, tmp_path / "f.npy", progress=die)
    flip(tmp_path / name, b'"rows": 9' if name.endswith("journal") else b"")
    seen: list[int] = []
    write_features(run, collection, tmp_path / "f.npy", progress=lambda done, _: seen.append(done))
    assert seen[0] == 32
    assert (tmp_path / "f.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_finished_features_that_changed_are_named(run: Run, store: Store, tmp_path: Path) -> None:
    collection, path = Collection.of_store(run, store, ["val"]), tmp_path / "f.npy"
    write_features(run, collection, path)
    flip(path)
    with pytest.raises(UserError, match=r"f\.npy: damaged, its bytes have changed"):
        write_features(run, collection, path)
    path.unlink()
    write_features(run, collection, path)
    flip(path.with_suffix(".json"), b"val/angle1")
    with pytest.raises(UserError, match=r"f\.json: damaged or edited"):
        write_features(run, collection, path)


def flip(path: Path, behind: bytes = b"") -> None:
    """Change a bit: of the byte behind the first `behind`, or in the middle."""
    data = bytearray(path.read_bytes())
    data[data.index(behind) + len(behind) - 1 if behind else len(data) // 2] ^= 1
    path.write_bytes(data)


def test_other_features_are_never_written_over(run: Run, store: Store, tmp_path: Path) -> None:
    collection, path = Collection.of_store(run, store, ["val"]), tmp_path / "f.npy"
    write_features(run, collection, path)
    before = path.stat().st_mtime_ns
    write_features(run, collection, path)
    assert path.stat().st_mtime_ns == before, "found, not made again"
    with pytest.raises(UserError, match=r"f\.npy: holds other features \(relu7 of "):
        write_features(run, collection, path, layer="conv1")
    with pytest.raises(UsageError, match=r"must end in \.npy"):
        write_features(run, collection, tmp_path / "f.bin")


def test_files_that_are_no_pictures_are_left_out_and_named(
    trained: Path, run: Run, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = store.splits["val"].read(np.arange(3))
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, record in zip("adz", records, strict=True):
        Image.fromarray(record).save(folder / f"{name}.png")
    (folder / "m.png").write_bytes(b"no picture")
    out = tmp_path / "f.npy"
    assert cli.main(["features", str(trained), str(folder), "--out", str(out), "--layer", "fc8"]) == 1
    assert "were skipped: 1" in capsys.readouterr().err
    values, about = load_features(out)
    np.testing.assert_array_equal(values, features_of(run, records, "fc8"))
    assert [Path(key).name for key in about["keys"]] == ["a.png", "d.png", "z.png"]
    assert [Path(entry["key"]).name for entry in about["left_out"]] == ["m.png"]
    assert about["labels"] is None


def test_mistakes_at_the_command_line(trained: Path, store: Store, tmp_path: Path, capsys) -> None:
    out = ["--out", str(tmp_path / "f.npy")]
    assert cli.main(["features", str(trained), str(store.path), "cat.jpg", *out]) == 2
    assert "is a store: name it alone" in capsys.readouterr().err
    assert cli.main(["features", str(trained), "cat.jpg", "--splits", "val", *out]) == 2
    assert "only a store has splits" in capsys.readouterr().err
    assert cli.main(["features", str(trained), str(store.path), "--layer", "conv9", *out]) == 1
    assert "conv9" in capsys.readouterr().err
    assert not (tmp_path / "f.npy").exists()
