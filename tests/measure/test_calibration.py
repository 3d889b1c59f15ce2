"""Calibration against scikit-learn and counts by hand; a run without one gives the same bits as before.

N pictures · K classes · V views.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sklearn
import torch
from PIL import Image
from sklearn.calibration import calibration_curve
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss, precision_score, recall_score

from alexnet.cli import main
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.files.tensors import save_tensors
from alexnet.measure.calibration import averaged, calibrate, fitted_temperature, stored_threshold, threshold_for
from alexnet.measure.evaluation import Evaluation, evaluate_run
from alexnet.measure.overlap import digests_of, kind_of_records
from alexnet.measure.reliability import BINS, Reliability
from alexnet.measure.run import Run
from alexnet.measure.verify import verify_run
from alexnet.report.text import class_cells, evaluation_as_json
from alexnet.runs.folder import RunFolder
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions

MakeRun = Callable[[], Run]
NAMES = ("cat", "dog", "emu", "fox", "gnu")


def drawn(pictures: int = 3000, sharpness: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (1, N, K) that are too large by the factor `sharpness`, and labels drawn from the true probabilities."""
    draw = np.random.default_rng(2)
    logits = draw.normal(0, 1.5, (pictures, len(NAMES)))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (shares.cumsum(axis=1) < draw.random((pictures, 1))).sum(axis=1)
    return torch.tensor(logits * sharpness, dtype=torch.float32)[None], torch.from_numpy(labels)


# ── the measures ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_bins_are_those_of_scikit_learn_and_the_error_is_counted_by_hand() -> None:
    logits, labels = drawn()
    probabilities = logits[0].softmax(dim=1).numpy()
    confidences, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels.numpy()
    found = Reliability.of(confidences, right)
    share_right, mean = calibration_curve(right, confidences, n_bins=BINS)
    filled = np.flatnonzero(found.pictures)
    np.testing.assert_allclose(np.array(found.right)[filled], share_right)
    np.testing.assert_allclose(np.array(found.probability)[filled], mean, rtol=1e-5)
    total = 0.0
    for number in range(BINS):
        inside = (confidences > number / BINS) & (confidences <= (number + 1) / BINS)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidences[inside].mean())
    assert found.ece == pytest.approx(total, rel=1e-5)
    assert found.ece > 0.1


def test_the_error_of_certain_answers_is_the_share_of_wrong_ones() -> None:
    found = Reliability.of(np.ones(8, np.float32), np.arange(8) >= 2)
    assert (found.pictures[-1], found.right[-1], found.ece) == (8, 0.75, 0.25)
    assert Reliability.of(np.empty(0, np.float32), np.empty(0, bool)).ece == 0


def test_the_scores_are_those_of_scikit_learn() -> None:
    draw = np.random.default_rng(3)
    probabilities = draw.dirichlet(np.ones(5), 200).astype(np.float32)
    probabilities[:, 1] = 0  # never answered
    labels = draw.integers(0, 4, 200)  # the last class has no picture
    found = Evaluation.of(probabilities, labels, NAMES, NAMES, 1)
    predicted = probabilities.argmax(axis=1)
    how = {"labels": range(5), "average": None, "zero_division": np.nan}
    for name, score in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        np.testing.assert_allclose([getattr(row, name) for row in found.per_class], score(labels, predicted, **how))
    with pytest.warns(UserWarning, match="not in y_true"):
        assert found.averages.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, predicted))
    counted = [
        (np.sum((predicted == k) & (labels == k)), np.sum(predicted == k), np.sum(labels == k)) for k in range(4)
    ]
    f1 = [2 * both / (answers + pictures) for both, answers, pictures in counted]
    assert found.averages.macro_f1 == pytest.approx(np.mean(f1))
    assert found.averages.macro_precision == pytest.approx(np.mean([both / max(1, n) for both, n, _ in counted]))
    dog, gnu = found.per_class[1], found.per_class[4]
    assert class_cells(dog)[-3:] == ("–", "0.0%", "0.0%")
    shown = evaluation_as_json({1: found}, list(map(str, range(len(found.labels)))))
    assert (shown["per_class"][1]["precision"], shown["per_class"][4]["recall"]) == (None, None)
    assert gnu.f1 == 0
    assert shown["results"][0]["ece"] == found.reliability.ece
    json.dumps(shown, allow_nan=False)


# ── fitting ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_temperature_has_the_lowest_loss_and_undoes_the_factor() -> None:
    logits, labels = drawn(sharpness=3.0)
    found = fitted_temperature(logits, labels, "store")

    def loss(temperature: float) -> float:
        return log_loss(labels.numpy(), (logits[0].double() / temperature).softmax(dim=1).numpy(), labels=range(5))

    assert found == pytest.approx(3.0, rel=0.05)
    assert all(loss(found) <= loss(found * factor) for factor in (0.99, 1.01, 0.5, 2, 1 / found))


def test_the_temperature_of_one_view_is_that_of_scikit_learn() -> None:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    class Given(ClassifierMixin, BaseEstimator):
        classes_ = np.arange(5)

        def fit(self, x: np.ndarray, y: np.ndarray) -> "Given":
            return self

        def decision_function(self, x: np.ndarray) -> np.ndarray:
            return x

        def predict(self, x: np.ndarray) -> np.ndarray:
            return x.argmax(axis=1)

        def __sklearn_is_fitted__(self) -> bool:
            return True

    logits, labels = drawn(400)
    if sklearn.__version__ < "1.8":
        pytest.skip("this scikit-learn has no temperature scaling")
    theirs = CalibratedClassifierCV(FrozenEstimator(Given()), method="temperature", ensemble=False)  # pyright: ignore[reportArgumentType]
    fitted = theirs.fit(logits[0].double().numpy(), labels.numpy())
    probabilities = fitted.predict_proba(logits[0].double().numpy())
    ours = averaged(logits, fitted_temperature(logits, labels, "store"), torch.float64).numpy()
    np.testing.assert_allclose(ours, probabilities, atol=2e-4)


@pytest.mark.parametrize("right", [True, False])
def test_answers_that_are_all_right_or_all_guessed_determine_no_temperature(right: bool) -> None:
    labels = torch.arange(40) % 5
    logits = torch.eye(5)[labels if right else (labels + 1) % 5][None]
    with pytest.raises(UserError, match=r"store: 40 val pictures determine no temperature: .*more pictures"):
        fitted_temperature(logits, labels, "store")


def test_the_threshold_is_the_lowest_with_the_wanted_precision() -> None:
    draw = np.random.default_rng(4)
    sure = draw.uniform(0.5, 1, 300).astype(np.float32)
    labels = (draw.random(300) >= 2 * sure - 1).astype(np.int64)  # class 0 is answered
    judged = Evaluation.of(np.stack([sure, 1 - sure], axis=1), labels, NAMES[:2], NAMES[:2], 1)
    found = threshold_for(0.8, judged, "store")
    slow = [limit for limit in sure.tolist() if (labels[sure >= limit] == 0).mean() >= 0.8]
    assert found == min(slow)
    assert threshold_for(0.0, judged, "store") == sure.min()
    labels[sure.argmax()] = 1
    judged = Evaluation.of(np.stack([sure, 1 - sure], axis=1), labels, NAMES[:2], NAMES[:2], 1)
    with pytest.raises(UserError, match=r"no threshold gives a precision of 99\.9%.*the highest is 9\d\.\d%"):
        threshold_for(0.999, judged, "store")


# ── a run ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def trained(store: Store, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    options = TrainOptions(net="toy", epochs=1, batch=20, input_size=32, precision="fp32", device="cpu", threads=1)
    return train(store, tmp_path_factory.mktemp("calibration") / "run", options, quiet=True)


@pytest.fixture
def make_run(trained: RunFolder, tmp_path: Path) -> MakeRun:
    return lambda: Run.open(shutil.copytree(trained.path, tmp_path / "run"), device="cpu")


def test_a_calibrated_run_has_its_temperature_everywhere_and_can_be_verified(make_run: MakeRun, store: Store) -> None:
    run = make_run()
    before, kept = evaluate_run(run.folder, run.viewer, store, views=(1, 10), keep_probabilities=True)
    assert kept is not None
    record = store.splits["val"].read(np.arange(1))[0]
    plain = run.predict(record).probabilities
    assert main(["calibrate", str(run.path), str(store.path), "--device", "cpu"]) == 0
    opened = Run.open(run.path, device="cpu")
    calibration = opened.folder.calibration
    assert calibration is not None
    assert opened.network.temperature == calibration.temperature != 1
    assert (calibration.views, calibration.pictures, calibration.store) == (10, 60, store.fingerprint)
    after, _ = evaluate_run(opened.folder, opened.viewer, store, views=(1, 10))
    assert calibration.nll == pytest.approx((before[10].nll, after[10].nll), rel=1e-6)
    assert calibration.ece == pytest.approx((before[10].reliability.ece, after[10].reliability.ece), rel=1e-5)
    assert after[10].nll < before[10].nll
    assert after[1].counts.top1_errors == before[1].counts.top1_errors
    assert not np.array_equal(opened.predict(record).probabilities, plain)
    assert run.predict(record).probabilities.tobytes() == plain.tobytes(), "an opened run stays as it is"
    again = Run.of_files(opened.folder.files(), device="cpu")
    assert again.predict(record).probabilities.tobytes() == opened.predict(record).probabilities.tobytes()
    assert all(finding.sound for finding in verify_run(run.path, device="cpu"))
    bare = Run.open(run.path, device="cpu")
    bare.folder.config.pop("calibration")
    found, same = evaluate_run(bare.folder, bare.viewer, store, views=(1, 10), keep_probabilities=True)
    assert same is not None
    assert same.values.tobytes() == kept.values.tobytes()
    assert found[1].nll == before[1].nll


def test_the_command_stores_a_threshold_that_predict_takes(
    make_run: MakeRun, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    line = ["calibrate", str(run.path), str(store.path), "--device", "cpu", "--views", "1"]
    assert main([*line, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["threshold"] is None
    config = (run.path / "config.json").read_bytes()
    assert main(line) == 1
    assert "is calibrated already" in capsys.readouterr().err
    assert (run.path / "config.json").read_bytes() == config
    picture = tmp_path / "0.png"
    Image.fromarray(store.splits["val"].read(np.arange(1))[0]).save(picture)
    predict = ["predict", str(run.path), str(picture), "--views", "1", "--json", "--threshold", "calibrated"]
    assert main(predict) == 1
    assert f"alexnet calibrate {run.path} STORE --precision 0.95 --replace" in capsys.readouterr().err
    evaluated = Run.open(run.path, device="cpu").evaluate(store, views=1)
    wanted = round(1 - evaluated.top1_error + 0.02, 3)
    assert main([*line, "--replace", "--precision", str(wanted)]) == 0
    out = capsys.readouterr().out
    assert f"only {len(store.splits['val'])} pictures: too few to rely on this threshold" in out
    opened = Run.open(run.path, device="cpu")
    calibration = opened.folder.calibration
    assert calibration is not None
    assert calibration.temperature == first["temperature"]
    threshold = stored_threshold(opened, 1)
    evaluated = opened.evaluate(store, views=1)
    answered = evaluated.confidences >= threshold
    right = (evaluated.predicted == evaluated.labels)[answered]
    assert right.mean() >= wanted
    assert f"{answered.sum()} of 60 pictures are answered, {(~right).sum()} of {len(right)} (" in out
    assert main(predict) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["answer"] is None) == (shown["labels"][0]["probability"] < threshold)
    assert main([*predict, "--views", "10"]) == 1
    assert "Predict with --views 1" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([*predict[:-1], "often"])
    numbers = json.loads((run.path / "reliability.json").read_text())
    assert sum(numbers["after"]["pictures"]) == 60
    with Image.open(run.path / "reliability.png") as drawing:
        assert drawing.width > drawing.height


def test_what_can_not_be_calibrated_is_refused(make_run: MakeRun, store: Store, tmp_path: Path) -> None:
    run = make_run()
    begun = Run.open(run.path, device="cpu")
    begun.folder.config["finished"] = False
    with pytest.raises(UserError, match="training has not ended"):
        calibrate(begun, store)
    only_training = Store.open(store.path)
    only_training.splits = {"train": store.splits["train"], "test": store.splits["val"]}  # type: ignore[misc]
    with pytest.raises(UserError, match="no val pictures, and calibration uses no others"):
        calibrate(run, only_training)
    before = (run.path / "config.json").read_bytes()
    (run.path / "reliability.png").write_bytes(b"mine")
    assert main(["calibrate", str(run.path), str(store.path), "--device", "cpu"]) == 1
    assert (run.path / "reliability.png").read_bytes() == b"mine"
    assert (run.path / "config.json").read_bytes() == before


@pytest.mark.parametrize("change", [{"temperature": 0.0}, {"temperature": "1"}, {"views": 3}, {"threshold": 2.0}])
def test_a_damaged_calibration_is_named(make_run: MakeRun, change: dict[str, object]) -> None:
    run = make_run()
    stored = {"temperature": 1.5, "views": 10, "pictures": 60, "store": "", "nll": [1.0, 0.9], "ece": [0.2, 0.1]}
    run.folder.write_config(calibration=stored | change)
    with pytest.raises(UserError, match=rf"config\.json: damaged, calibration\.{next(iter(change))}"):
        Run.open(run.path, device="cpu")


def test_pictures_that_the_run_was_trained_on_are_left_out(make_run: MakeRun, store: Store) -> None:
    run = make_run()
    worst = np.argsort(-run.evaluate(store, views=1).nlls)[:20]
    digests = digests_of(store.splits["val"])[worst]
    rows = torch.from_numpy(digests.view(np.uint8).reshape(-1, 8))
    save_tensors(run.path / "trained_on.safetensors", {"digests": rows}, {"records": [kind_of_records(store)]})
    found, _, _ = calibrate(run, store, views=1)
    unseen = run.evaluate(store, views=1).unseen
    assert unseen is not None
    assert found.pictures == 40
    assert found.nll[0] == pytest.approx(unseen.nll, rel=1e-6)
