"""Cross-validation: who is tested where, errors as those of separate trainings, resuming, real photographs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from alexnet.cli import main
from alexnet.data.sources import open_source
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.features import crossvalidate
from alexnet.features.crossvalidate import Folds, cross_validate, describe_folds
from alexnet.features.linear_head import train_linear_head
from alexnet.features.pictures import Pool
from alexnet.features.probes import fold_numbers
from alexnet.features.transfer import store_of
from alexnet.files.schema import to_json
from alexnet.measure.run import Run
from alexnet.train.options import TrainOptions
from alexnet.train.stop import Interrupted

PLAIN = TrainOptions(net="toy", epochs=1, batch=20, input_size=32, precision="fp32", device="cpu", threads=1)


def linear(trained: Path, **changes: object) -> TrainOptions:
    return TrainOptions(start_from=trained, head="linear", device="cpu", threads=1, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def few(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """12 pictures of each class in train, 4 in val, 5 in test."""
    pool = Pool.of(store)
    members = [np.flatnonzero(pool.labels == label) for label in range(4)]
    splits = {"train": slice(0, 12), "val": slice(12, 16), "test": slice(16, 21)}
    numbers = {name: np.concatenate([one[chosen] for one in members]) for name, chosen in splits.items()}
    return store_of(store, pool, numbers, tmp_path_factory.mktemp("few") / "store")


# ── who is tested where ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_every_class_is_spread_over_the_folds(folds: int) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [2, 11, 30]))
    found = fold_numbers(labels, folds, seed=1)
    for label in range(3):
        counts = np.bincount(found[labels == label], minlength=folds)
        assert counts.max() - counts.min() <= 1
    assert np.array_equal(found, fold_numbers(labels, folds, seed=1))
    assert not np.array_equal(found, fold_numbers(labels, folds, seed=2))


def test_groups_are_in_one_fold() -> None:
    draw = np.random.default_rng(3)
    groups = draw.integers(0, 25, 120)
    labels = draw.integers(0, 3, 120)
    found = fold_numbers(labels, 4, groups_n=groups)
    assert all(len(np.unique(found[groups == group])) == 1 for group in range(25))
    assert len(np.unique(found)) == 4


def test_classes_that_can_not_be_divided_are_named() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, 2])
    with pytest.raises(UserError, match="class gnu: all its pictures are tested in one fold"):
        fold_numbers(labels, 2, names=("cat", "emu", "gnu"))
    with pytest.raises(UserError, match="class cat: all its"):
        fold_numbers(labels[:6], 2, groups_n=np.array([0, 0, 0, 1, 2, 3]), names=("cat", "emu"))
    with pytest.raises(UsageError, match="--folds 4: the largest class has 3 pictures"):
        fold_numbers(labels, 4)


# ── the errors ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [None, "ten"])
def test_a_linear_head_errs_as_one_trained_on_the_other_folds_alone(
    few: Store, trained: Path, tmp_path: Path, kind: str | None
) -> None:
    options = linear(trained, frozen_features=kind)
    found = cross_validate(few, tmp_path / "folds", options, 2)
    assert [one.pictures for one in found] == [32, 32]
    divided = Folds.of(few, 2, options)
    assert list(divided.pool.splits) == ["train", "val"], "the test split is left alone"
    for number in range(2):
        splits = {"train": np.flatnonzero(divided.fold_n != number), "val": np.flatnonzero(divided.fold_n == number)}
        made = store_of(few, divided.pool, splits, tmp_path / f"{number}.store")
        run = train_linear_head(made, tmp_path / f"run-{number}", options, quiet=True)
        counts = Run.open(run.path, device="cpu").evaluate(made, views=1).counts
        assert found[number].top1_errors == counts.top1_errors
        assert found[number].nll == pytest.approx(counts.nll, rel=2e-3)
    assert [path.name for path in sorted((tmp_path / "folds").iterdir())] == [
        "fold-1.json",
        "fold-2.json",
        "folds.json",
    ]


def test_interrupted_it_resumes_and_counts_the_same(
    few: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cross_validate(few, tmp_path / "whole", PLAIN, 2)
    assert sum(one.pictures for one in whole) == 64
    calls, really = [], crossvalidate.train

    def train(store: Store, folder: Path, *rest: object, **options: object) -> object:
        calls.append(folder.name)
        assert len(store.splits["test"]) == 32
        assert len(store.splits["train"]) + len(store.splits["val"]) == 32
        if len(calls) == 2:
            raise Interrupted("stopped; resume with: alexnet train")
        return really(store, folder, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(crossvalidate, "train", train)
    with pytest.raises(Interrupted, match="Rerun the same command"):
        cross_validate(few, tmp_path / "folds", PLAIN, 2)
    assert cross_validate(few, tmp_path / "folds", PLAIN, 2) == whole
    assert calls == ["fold-1", "fold-2", "fold-2"]
    assert cross_validate(few, tmp_path / "folds", PLAIN, 2) == whole
    assert len(calls) == 3, "nothing is left to do"
    with pytest.raises(
        UserError, match=r"folds: holds results of other pictures, folds or options\. Name another --out"
    ):
        cross_validate(few, tmp_path / "folds", PLAIN, 4)
    assert not list((tmp_path / "folds").glob("*.store"))


def test_the_command_prints_each_fold_with_its_interval(
    few: Store, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "folds"
    line = [
        "crossvalidate",
        str(few.path),
        "--folds",
        "4",
        "--from",
        str(trained),
        "--head",
        "linear",
        "--device",
        "cpu",
    ]
    assert main([*line, "--threads", "1", "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["pictures"] for one in found["folds"]] == [16] * 4
    assert sum(one["errors"] for one in found["folds"]) == found["all"]["errors"]
    for one in (*found["folds"], found["all"]):
        expected = binomtest(one["errors"], one["pictures"]).proportion_ci(0.95, "wilson")
        assert one["interval"] == pytest.approx((expected.low, expected.high), abs=1e-5)
        assert one["error"] == one["errors"] / one["pictures"]
    counts = cross_validate(few, out, linear(trained), 4)
    shown = describe_folds(counts).splitlines()
    assert shown[-1].split() == ["all", *f"{found['all']['errors']} of 64".split(), *shown[-1].split()[4:]]
    assert main([*line[:2], "--folds", "1"]) == 2
    assert main([*line[:2], "--folds", "99", "--out", str(tmp_path / "other")]) == 2


# ── groups ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_real_photographs_in_groups_that_the_store_keeps(
    shared_pack: Callable[[str], Path], trained: Path, tmp_path: Path
) -> None:
    """Caltech pictures, ten in a row a group: `prepare --group` tells the store, and no fold parts one."""
    root = shared_pack("caltech101")
    for name in ("car_side", "sunflower"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for file in sorted((root / name).glob("*.jpg"))[:49]:
            shutil.copy(file, tmp_path / "pictures" / name)
    source = open_source(tmp_path / "pictures", holdout=0.2, group=r"(.*/image_\d{3})")
    store = prepare(source, tmp_path / "store", size=40)
    pool = Pool.of(store)
    assert store.groups["train"][0] == "car_side/image_000"
    assert pool.groups is not None
    divided = Folds.of(store, 4, linear(trained))
    tens = np.array([key[:-5] for key in pool.keys])
    assert len(np.unique(pool.groups)) == len(np.unique(tens)) > 8
    assert all(len(np.unique(divided.fold_n[tens == ten])) == 1 for ten in np.unique(tens))
    found = cross_validate(store, tmp_path / "folds", linear(trained), 4)
    assert sum(one.pictures for one in found) == 98
    assert sum(one.top1_errors for one in found) < 30  # chance: 49
    assert json.loads((tmp_path / "folds" / "fold-1.json").read_text()) == to_json(found[0])
    assert prepare(open_source(tmp_path / "pictures"), tmp_path / "plain", size=40).groups == {}
    (store.path / "groups.json").write_text("{}")
    with pytest.raises(UserError, match=r"groups\.json"):
        _ = Store.open(store.path).groups
