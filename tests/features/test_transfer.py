"""Transfer: folds, probes, duplicates, average precision, each against something written otherwise; and the command."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score
from sklearn.svm import LinearSVC

from alexnet import cli
from alexnet.data.sources.labelme import annotated_pictures
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.features import transfer as transfer_module
from alexnet.features.duplicates import find_duplicates
from alexnet.features.extract import features_of
from alexnet.features.options import TransferOptions
from alexnet.features.pictures import Pool, as_pictures
from alexnet.features.probes import Fold, fold_of, mean_per_class, probe, rotated
from alexnet.features.transfer import Study, fold_store, untrained
from alexnet.features.voc import average_precision, open_pictures
from alexnet.measure.run import Run

LABELS = np.repeat([2, 0, 1], [9, 80, 12])


def test_folds_are_of_the_paper_s_sizes_disjoint_and_drawn_anew() -> None:
    folds = [fold_of(LABELS, 8, number) for number in range(5)]
    for fold in folds:
        assert np.bincount(LABELS[fold.train]).tolist() == [8, 8, 8]
        assert np.bincount(LABELS[fold.test]).tolist() == [50, 4, 1]
        assert not set(fold.train) & set(fold.test)
    assert len({tuple(fold.train) for fold in folds}) == 5
    assert set(fold_of(LABELS, 3, 1).train) < set(folds[1].train)
    np.testing.assert_array_equal(fold_of(LABELS, 8, 1).train, folds[1].train)
    with pytest.raises(UserError, match="class number 2 has 9"):
        fold_of(LABELS, 9, 0)


def test_the_mean_over_classes_counts_small_classes_alike() -> None:
    assert mean_per_class(np.array([0, 0, 0, 1, 0]), np.array([0, 0, 0, 1, 1])) == pytest.approx(0.75)


def test_turning_into_the_span_of_the_training_pictures_changes_no_answer() -> None:
    random = np.random.default_rng(0)
    features, labels = random.normal(size=(60, 500)).astype(np.float32), np.arange(60) % 3
    fold = Fold(np.arange(30), np.arange(30, 60))
    train, test = rotated(features, fold)
    assert train.shape == (30, 29), "about the mean, thirty pictures span 29 dimensions"
    centred = features - features[:30].mean(axis=0)
    centred /= np.sqrt((centred[:30] ** 2).sum(axis=1).mean())
    plain = LinearSVC(C=1, max_iter=50_000, tol=1e-8).fit(centred[:30], labels[:30]).decision_function(centred[30:])
    turned = LinearSVC(C=1, max_iter=50_000, tol=1e-8).fit(train, labels[:30]).decision_function(test)
    np.testing.assert_allclose(turned, plain, atol=1e-4)
    narrow = rotated(features[:, :7], fold)[0]
    assert narrow.shape == (30, 7)


@pytest.mark.parametrize("kind", ["svm", "softmax"])
def test_a_probe_finds_what_is_linear_and_nothing_in_noise(kind: str) -> None:
    random = np.random.default_rng(1)
    labels = np.repeat(np.arange(4), 40)
    signal = random.normal(size=(160, 50)) + 3 * np.eye(4)[labels] @ random.normal(size=(4, 50))
    found = probe(signal, labels, kind, 10)  # type: ignore[arg-type]
    assert len(found.accuracies) == len(found.strengths) == 5
    assert found.mean > 0.97
    assert probe(random.normal(size=(160, 50)), labels, kind, 10).mean < 0.45  # type: ignore[arg-type]


def test_average_precision_against_scikit_learn_where_both_count_alike() -> None:
    random = np.random.default_rng(2)
    truth = random.integers(0, 2, 50)
    ranked = truth[np.argsort(-truth, kind="stable")]
    assert average_precision(-np.arange(50.0), ranked) == 1
    # hit, miss, hit, miss, miss, hit: precisions at the hits 1, 2/3, 1/2, falling, so nothing is raised
    scores, hits = -np.arange(6.0), np.array([1, 0, 1, 0, 0, 1])
    assert average_precision(scores, hits) == pytest.approx((1 + 2 / 3 + 1 / 2) / 3)
    assert average_precision(scores, hits) == pytest.approx(average_precision_score(hits, scores))
    # miss, hit, hit: 1/2 is raised to the 2/3 behind it
    assert average_precision(-np.arange(3.0), np.array([0, 1, 1])) == pytest.approx(2 / 3)


def test_duplicates_are_found_moved_mirrored_and_recoded(run: Run, store: Store) -> None:
    part = store.splits["val"]
    originals = part.read(np.array([5, 17, 40]))
    dimmer = np.clip(originals[0] * 0.8 + 20, 0, 255).astype(np.uint8)
    mirrored = np.ascontiguousarray(originals[1][:, ::-1])
    noise = np.random.default_rng(3).normal(0, 3, originals[2].shape)
    noisy = np.clip(originals[2] + noise, 0, 255).astype(np.uint8)
    stranger = np.random.default_rng(4).integers(0, 256, originals[0].shape, np.uint8)
    grey = np.full_like(stranger, 90)
    others = as_pictures(run, [stranger, dimmer, mirrored, noisy, grey])
    found = find_duplicates(part, others)
    assert [(one.first, one.second) for one in found] == [(5, 1), (17, 2), (40, 3)]
    assert all(one.correlation > 0.985 for one in found)


def test_first_weights_are_the_training_s(run: Run, trained: Path) -> None:
    first, again = (untrained(run, 0).network.state_dict() for _ in range(2))
    learned = run.network.state_dict()
    for name in learned:
        assert np.array_equal(first[name], again[name])
    assert not np.allclose(first["fc7.weight"], learned["fc7.weight"])


def test_a_fold_becomes_a_store_with_the_same_pixels(store: Store, tmp_path: Path) -> None:
    pool = Pool(store.splits)
    kept = np.arange(10, len(pool))
    fold = fold_of(pool.labels[kept], 3, 0, most_test=2)
    made = fold_store(store, pool, kept, fold, tmp_path / "fold.store")
    for name, chosen in (("train", fold.train), ("val", fold.test)):
        part, places = made.splits[name], np.sort(kept[chosen])
        np.testing.assert_array_equal(part.read(np.arange(len(part))), pool.read(places))
        np.testing.assert_array_equal(part.labels, pool.labels[places])
    assert made.class_ids == store.class_ids


def test_a_study_measures_once_and_goes_on(run: Run, store: Store, tmp_path: Path, monkeypatch) -> None:
    plan = TransferOptions(
        layers=("1", "7"), probes=("svm",), per_class=(3,), folds=2, epochs=2, beside=("random", "target", "fine-tune")
    )
    found = Study(run, store, tmp_path, plan).outcomes()
    assert [one.what for one in found] == [
        "svm on pool1", "svm on relu7", "untrained, svm on pool1", "untrained, svm on relu7",
        "trained on these only", "fine-tuned, all layers",
    ]  # fmt: skip
    assert all(len(one.accuracies) == 2 and 0 <= one.mean <= 1 for one in found)
    expected = probe(
        features_of(run, Pool(store.splits), "relu7"),
        np.concatenate([part.labels for part in store.splits.values()]),
        "svm",
        3,
        folds=2,
    )
    assert found[1].accuracies == pytest.approx(expected.accuracies)
    assert not (tmp_path / "features").exists()
    assert not list((tmp_path / "trainings").glob("*.store"))
    monkeypatch.setattr(transfer_module, "probe", None)
    monkeypatch.setattr(transfer_module, "train", None)
    assert Study(run, store, tmp_path, plan).outcomes() == found, "all is found, nothing is measured again"


def test_too_many_training_pictures_are_refused(run: Run, store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--per-class 65 leaves no pictures of .* at most 64 are available"):
        Study(run, store, tmp_path, TransferOptions(per_class=(65,)))


def test_the_command(trained: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    line = ["transfer", str(trained), str(store.path), "--out", out, "--layers", "7", "--per-class", "2", "5"]
    line += ["--folds", "2", "--probes", "softmax"]
    assert cli.main(line) == 0
    shown = capsys.readouterr().out
    assert "untrained, softmax on relu7" in shown
    told = json.loads((tmp_path / "out" / "transfer.json").read_text())
    assert [(one["what"], one["per_class"]) for one in told["outcomes"]][:2] == [
        ("softmax on relu7", 2), ("softmax on relu7", 5),
    ]  # fmt: skip
    assert (tmp_path / "out" / "transfer.png").read_bytes().startswith(b"\x89PNG")
    assert cli.main([*line, "--seen", str(store.path)]) == 1
    assert "holds measurements of another run, store, --seen" in capsys.readouterr().err


# ── annotated pictures ───────────────────────────────────────────────────────────────────────────────────────────


def test_voc_and_labelme_pictures_with_all_their_classes(shared_pack) -> None:
    folder = shared_pack("voc")
    voc = open_pictures(folder / "VOC2007")
    assert voc.present.shape == (len(voc.files), len(voc.classes)) == (4, 6)
    assert sorted([*voc.fold.train, *voc.fold.test]) == [0, 1, 2, 3]
    assert all(file.is_file() for file in voc.files)
    one = [file.stem for file in voc.files].index("000009")
    assert {voc.classes[k] for k in np.flatnonzero(voc.present[one] == 1)} == {"horse", "person"}
    labelme = {Path(one.picture).stem: one.names for one in annotated_pictures(folder / "VOC2012_labelme")}
    assert labelme["2011_000003"] == {"person"}
    with pytest.raises(UserError, match="objects of 1 classes in 2 pictures"):
        open_pictures(folder / "VOC2012_labelme")


def annotate(root: Path, stem: str, record: np.ndarray, names: list[tuple[str, int]]) -> None:
    (root / "Annotations").mkdir(parents=True, exist_ok=True)
    (root / "JPEGImages").mkdir(exist_ok=True)
    Image.fromarray(record).save(root / "JPEGImages" / f"{stem}.png")
    objects = "".join(f"<object><name>{name}</name><difficult>{hard}</difficult></object>" for name, hard in names)
    (root / "Annotations" / f"{stem}.xml").write_text(
        f"<annotation><filename>{stem}.png</filename>{objects}</annotation>"
    )


def test_average_precision_by_the_lists_of_the_set(
    trained: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, part = tmp_path / "voc", store.splits["train"]
    chosen = np.concatenate([np.flatnonzero(part.labels == label)[:12] for label in (0, 1)])
    lists: dict[str, list[str]] = {"train": [], "val": []}
    for place, record in zip(chosen, part.read(chosen), strict=True):
        label = int(part.labels[place])
        annotate(root, f"{place:04}", record, [(("dog", "cat")[label], 0), (("cat", "dog")[label], 1)][: 1 + place % 2])
        lists["train" if place % 3 else "val"].append(f"{place:04}")
    annotate(root, "bird", part.read(chosen[:1])[0], [("bird", 0)])
    lists["train"].append("bird")
    (root / "ImageSets" / "Main").mkdir(parents=True)
    for name, stems in lists.items():
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(stems))
    pictures = open_pictures(root)
    assert len(pictures.fold.train) == len(lists["train"])
    assert (pictures.present == -1).any()
    assert cli.main(["transfer", str(trained), str(root), "--layers", "7", "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "91.2 %" in shown, "the paper's cat"
    assert "Not measured, since not in both halves: bird." in shown
    told = json.loads((tmp_path / "out" / "transfer.json").read_text())
    assert told["mean"]["relu7"] > 0.8
