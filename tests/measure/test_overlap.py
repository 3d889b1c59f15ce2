"""Pictures that a run was trained on are found in any store, counted, and measured apart; stores with some classes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from alexnet.cli import main
from alexnet.data.sources import open_source
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.measure.overlap import save_trained_on, seen_in_training, trained_on
from alexnet.measure.run import Run
from alexnet.report.run import write_report
from alexnet.runs.folder import TRAINED_ON

CLASSES, SIDE = 4, 40


@pytest.fixture(scope="module")
def halves(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Another store: its validation pictures are 3 training and 2 validation pictures of each class of `store`."""
    folder, pictures = tmp_path_factory.mktemp("halves"), store.path.parent / "pictures"
    for label in range(CLASSES):
        for part, source, numbers in (("train", "val", (5, 6)), ("val", "train", (0, 1, 2)), ("val", "val", (0, 1))):
            (folder / "pictures" / part / f"angle{label}").mkdir(parents=True, exist_ok=True)
            for number in numbers:
                file = pictures / source / f"angle{label}" / f"{number:03}.png"
                shutil.copy(file, folder / "pictures" / part / f"angle{label}" / f"{source}-{number}.png")
    return prepare(open_source(folder / "pictures"), folder / "store", size=SIDE)


@pytest.fixture
def trained(run: Run, store: Store) -> Run:
    save_trained_on(run.path, store)
    return run


def equal_pictures(one: Store, two: Store) -> np.ndarray:
    """By the pixels themselves: which validation pictures of `one` are training pictures of `two`."""
    known = {record.tobytes() for record in two.splits["train"].pictures}
    return np.array([record.tobytes() in known for record in one.splits["val"].pictures])


def test_equal_records_are_found_in_another_store(trained: Run, store: Store, halves: Store) -> None:
    seen = seen_in_training(trained.folder, halves, halves.splits["val"])
    assert np.array_equal(seen, equal_pictures(halves, store))
    assert seen.sum() == 12
    assert not seen_in_training(trained.folder, store, store.splits["val"]).any()
    assert seen_in_training(trained.folder, store, store.splits["train"]).all()


def test_a_warm_start_has_seen_what_its_source_saw(make_run, trained: Run, store: Store, halves: Store) -> None:
    later = make_run("later")
    save_trained_on(later.path, halves, trained.folder)
    assert seen_in_training(later.folder, store, store.splits["train"]).all()
    assert seen_in_training(later.folder, halves, halves.splits["train"]).all()
    assert seen_in_training(later.folder, halves, halves.splits["val"]).sum() == 12


def test_a_run_without_digests_reads_them_from_the_store_it_names(make_run, store: Store, halves: Store) -> None:
    data = {"fingerprint": store.fingerprint, "size": store.size, "path": str(store.path)}
    old, moved = make_run("old", data=data), make_run("moved", data=data | {"path": "nowhere"})
    assert seen_in_training(old.folder, halves, halves.splits["val"]).sum() == 12
    assert seen_in_training(moved.folder, halves, halves.splits["val"]) is None
    assert seen_in_training(moved.folder, store, store.splits["train"]).all(), "this is the store"


def test_records_made_in_another_way_are_not_compared(trained: Run, store: Store, tmp_path: Path) -> None:
    jpeg = prepare(open_source(store.path.parent / "pictures"), tmp_path / "jpeg", size=SIDE, format="jpeg")
    assert seen_in_training(trained.folder, jpeg, jpeg.splits["train"]) is None


def test_damaged_digests_are_named(trained: Run) -> None:
    path = trained.path / TRAINED_ON
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=TRAINED_ON):
        trained_on(trained.folder)


def test_the_errors_on_the_other_pictures_are_given_too(
    trained: Run, store: Store, halves: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["evaluate", str(trained.path), str(halves.path), "--views", "1", "--device", "cpu"]
    kept = tmp_path / "p.safetensors"
    assert main([*line, "--json", "--save-probabilities", str(kept)]) == 0
    told = capsys.readouterr()
    assert "trained on 12 of the 20 pictures" in told.err
    figures = json.loads(told.out)
    (others,) = figures["trained_on"]["results_on_the_others"]
    assert (figures["trained_on"]["pictures"], figures["trained_on"]["of"], others["pictures"]) == (12, 20, 8)
    found, seen = trained.evaluate(halves, views=1), equal_pictures(halves, store)
    assert others["top1_errors"] == int((found.predicted != found.labels)[~seen].sum())
    assert main(line) == 0
    assert "not trained on" in capsys.readouterr().out
    assert main(["average", str(kept), str(kept)]) == 0
    told = capsys.readouterr().out
    assert "trained on 12 of the 20 pictures" in told
    assert f"{others['top1_error']:.2%}" in told.splitlines()[-1]
    page = write_report(trained, halves).read_text()
    assert "The network was trained on 12 of the 20 pictures" in page
    assert main(["evaluate", str(trained.path), str(store.path), "--views", "1", "--split", "train"]) == 0
    assert "all 200 pictures: this is the training error" in capsys.readouterr().err


def test_training_keeps_the_digests(store: Store, tmp_path: Path) -> None:
    from alexnet.train.loop import train
    from alexnet.train.options import TrainOptions

    options = TrainOptions(net="toy", epochs=1, batch=100, threads=1, precision="fp32", device="cpu", start_from=None)
    run = train(store, tmp_path / "run", options, quiet=True)
    records, digests = trained_on(run) or ([], [])
    assert len(digests) == 200
    assert records[0]["size"] == SIDE


# ── some of the classes ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def two_classes(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """`store` without its second and its fourth class."""
    folder = tmp_path_factory.mktemp("two")
    shutil.copytree(store.path.parent / "pictures", folder / "pictures", ignore=shutil.ignore_patterns("angle[13]"))
    return prepare(open_source(folder / "pictures"), folder / "store", size=SIDE)


def test_some_of_the_classes_are_measured_among_all(
    trained: Run, store: Store, two_classes: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, found = trained.evaluate(store, views=1), trained.evaluate(two_classes, views=1)
    for k in (0, 2):
        assert found.per_class[k].top1_errors == whole.per_class[k].top1_errors
        assert np.array_equal(found.confusion[k], whole.confusion[k])
    assert found.absent == tuple(trained.class_names[k] for k in (1, 3))
    line = ["evaluate", str(trained.path), str(two_classes.path), "--views", "1", "--json"]
    assert main(line) == 0
    told = capsys.readouterr()
    assert "measured on 2 of 4 classes" in told.err
    assert "answers may be any of the 4" in told.err
    assert json.loads(told.out)["classes"] == {"measured": 2, "of": 4, "absent": list(found.absent)}
    assert "Measured on 2 of 4 classes" in write_report(trained, two_classes).read_text()


def test_classes_are_matched_by_name_where_ids_differ(make_run, store: Store, two_classes: Store, capsys) -> None:
    ids = [f"n{k}" for k in range(CLASSES)]
    other = make_run(classes={"names": list(store.class_ids)[::-1], "ids": ids, "order": "reversed"})
    found = other.evaluate(two_classes, views=1)
    assert [row.pictures for row in found.per_class] == [0, 15, 0, 15]
    assert main(["evaluate", str(other.path), str(two_classes.path), "--views", "1"]) == 0
    assert "matched by their names" in capsys.readouterr().err


def test_classes_that_the_run_does_not_have_are_refused_by_name(make_run, store: Store, two_classes: Store) -> None:
    fewer = make_run(classes={"names": ["a", "b"], "ids": ["angle0", "angle2"], "order": "by hand"})
    with pytest.raises(UserError, match=r"angle1, angle3 in the store only.*Prepare the store again without"):
        fewer.evaluate(store)
