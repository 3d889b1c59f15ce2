"""What people pass to `fit`: pictures in any container, labels with gaps, weights, parameters of NumPy's types."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.compose import make_column_transformer
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.class_weight import compute_sample_weight

import alexnet
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.features.examples import Examples
from alexnet.features.extract import features_of
from alexnet.files.tensors import tensor_digest
from alexnet.measure.run import Run
from alexnet.parallel.grid import shard_batch
from alexnet.sklearn import InvalidParameter
from alexnet.train import loop
from alexnet.train.options import TrainOptions
from alexnet.train.step import Diverged, local_loss

TOY = {"net": "toy", "epochs": 1, "batch": 8, "precision": "fp32", "threads": 1, "device": "cpu", "input_size": 32}


def toy(**changes: Any) -> alexnet.Classifier:
    return alexnet.Classifier(**{**TOY, "views": 1, "size": 32, **changes})


def weights_of(model: alexnet.Classifier) -> str:
    return tensor_digest(model.run_.network.state_dict())


@pytest.fixture(scope="module")
def stripes(store: Store) -> tuple[np.ndarray, np.ndarray]:
    """24 pictures (N, 40, 40, 3), 16 of one class and 8 of another, and their labels."""
    part = store.splits["train"]
    chosen = np.r_[0:16, 100:108]
    return part.read(chosen), np.array(store.class_names)[part.labels[chosen]]


@pytest.fixture(scope="module")
def files(stripes: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("files")
    for number, one in enumerate(stripes[0]):
        Image.fromarray(one).save(folder / f"{number:02}.png")
    return sorted(map(str, folder.glob("*.png")))


@pytest.fixture(scope="module")
def plain(stripes: tuple[np.ndarray, np.ndarray]) -> alexnet.Classifier:
    return toy().fit(*stripes)


# ── containers ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_a_frame_of_one_column_through_scikit_learn(
    trained: Path, run: Run, files: list[str], stripes: tuple[np.ndarray, np.ndarray], frame: Callable
) -> None:
    expected = features_of(run, files)
    features = alexnet.Features(trained, device="cpu")
    table = frame({"path": files, "size": list(range(len(files)))})
    assert np.array_equal(features.fit_transform(table[["path"]]), expected)
    columns = make_column_transformer((features, ["path"]), ("passthrough", ["size"]))
    assert np.array_equal(columns.fit_transform(table)[:, :-1], expected)
    pick = FunctionTransformer(lambda table: table[["path"]])
    pipeline = make_pipeline(pick, features, LogisticRegression(max_iter=200))
    assert len(cross_val_score(pipeline, table, stripes[1], cv=2)) == 2
    with pytest.raises(ValueError, match=r"2 columns \('path', 'size'\)"):
        features.transform(table)


def test_features_as_a_frame_keep_the_rows_names(trained: Path, files: list[str]) -> None:
    features = alexnet.Features(trained, device="cpu").set_output(transform="pandas")
    found = features.fit_transform(pd.DataFrame({"path": files[:3]}, index=["x", "y", "z"]))
    assert list(found.index) == ["x", "y", "z"]
    assert found.columns[0] == "relu7_0"


def test_a_classifier_learns_the_same_from_any_container(
    files: list[str], stripes: tuple[np.ndarray, np.ndarray], plain: alexnet.Classifier
) -> None:
    tensors = torch.from_numpy(stripes[0]).movedim(-1, 1)
    table, labels = pd.DataFrame({"path": files}), pd.Series(stripes[1], index=range(99, 75, -1), dtype="category")
    opened = [io.BytesIO(Path(file).read_bytes()) for file in files]
    for given, y in ((tensors, iter(stripes[1])), (table, labels), (opened, stripes[1])):
        assert weights_of(toy().fit(given, y)) == weights_of(plain)
    assert plain.predict(files[0]).shape == (1,)
    assert plain.predict_proba(pl.Series(files[:2])).shape == (2, 2)


def test_a_set_of_pictures_is_not_paired_with_labels(
    trained: Path, files: list[str], stripes: tuple[np.ndarray, np.ndarray], plain: alexnet.Classifier
) -> None:
    for use in (plain.score, toy().fit, alexnet.Features(trained, device="cpu").fit_transform):
        with pytest.raises(ValueError, match=r"X is a set.*pass sorted\(X\)"):
            use(set(files), stripes[1])
    some = set(files[:3])
    assert plain.predict(some).tolist() == [plain.predict(one)[0] for one in some]


def test_a_search_over_a_frame(files: list[str], stripes: tuple[np.ndarray, np.ndarray]) -> None:
    search = GridSearchCV(toy(), {"learning_rate": np.array([0.01])}, cv=2, error_score="raise", refit=False)
    search.fit(pd.DataFrame({"path": files}), stripes[1], sample_weight=np.ones(len(files)))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_bad_picture_is_named_by_number_and_file(files: list[str], stripes: tuple[np.ndarray, np.ndarray]) -> None:
    data = Path(files[3]).read_bytes()
    bad: dict[str, tuple[Any, str]] = {
        "cut image": (Image.open(io.BytesIO(data[: len(data) // 2])), "picture 4: damaged"),
        "grey": (np.zeros((40, 40), np.uint8), "picture 4: pixels must be"),
        "RGBA": (np.zeros((40, 40, 4), np.uint8), "picture 4: pixels must be"),
        "None": (None, "picture 4: None is not a picture"),
        "NUL": ("a\0b.png", "picture 4, .*: embedded null"),
        "missing": ("nope.png", r"picture 4, nope\.png: No such file or directory"),
        "cut bytes": (data[:99], "picture 4: damaged"),
        "folder": (str(Path(files[0]).parent), "picture 4, .*: Is a directory"),
    }
    for place, (one, message) in bad.items():
        with pytest.raises((ValueError, UserError), match=message) as fault:
            toy().fit([*files[:3], one, *files[4:]], stripes[1])
        assert "goes on" not in str(fault.value), place
        assert "resume" not in str(fault.value), place


def test_an_unsound_picture_in_a_small_held_out_part_is_named_too() -> None:
    """The only picture of a part: the store would have been refused as empty, with a report in a lost folder."""
    pictures: list[Any] = [np.full((32, 32, 3), 60 * n, np.uint8) for n in range(4)]
    for place in range(4):
        with pytest.raises(UserError, match=f"picture {place + 1}, gone.png: No such file"):
            toy().fit([*pictures[:place], "gone.png", *pictures[place + 1 :]], [0, 0, 1, 1])


def test_what_was_odd_about_a_file_is_kept_in_the_store(stripes: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    Image.fromarray(stripes[0][0]).convert("L").save(tmp_path / "grey.png")
    toy(folder=tmp_path / "run").fit([str(tmp_path / "grey.png"), *stripes[0][1:]], stripes[1])
    (entry,) = Store.open(tmp_path / "run.store").report()
    assert entry.why == ("grey to RGB",)


# ── labels ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("missing", [None, float("nan"), np.nan, pd.NA, pd.NaT, np.datetime64("NaT")])
def test_missing_labels_are_refused(missing: Any) -> None:
    labels = np.array(["cat", missing, *["dog"] * 4], object)
    for y in (labels, list(labels), pd.Series(labels), labels[:, None][:, 0]):
        with pytest.raises(ValueError, match=r"Input y contains NaN or another missing label, for picture 2"):
            Examples.of(["a.png"] * 6, y, None, None)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0.0, float("nan"), 1.0, 1.0], "Input y contains NaN.*picture 2"),
        (pd.Series([0, None, 1, 1], dtype="Int64"), "contains NaN.*picture 2"),
        (pd.Series(["a", None, "b", "b"], dtype="category"), "contains NaN.*picture 2"),
        (pl.Series(["a", None, "b", "b"]), "contains NaN.*picture 2"),
        (np.ma.array([1, 2, 1, 2], mask=[0, 1, 0, 0]), "contains NaN.*picture 2"),
        (np.array(["a", "b", "a", "b"], "S"), "labels of the type bytes_: .*as bytes is not supported"),
        (np.eye(4), "1d array|shape"),
        ([["a"], ["b", "c"], ["a"], ["b"]], "inhomogeneous"),
        (np.array([1, "a", 2, "b"], object), "unknown"),
        (np.array(["a", 1, "b", 2], object), r"types that can't be sorted \(int, str\)"),
        ([0.5, 1.5, 0.1, 1.0], "continuous"),
        (["a"] * 4, "y holds 1 class"),
        (["a", "b", "a"], "a label for each of the 4 pictures, not 3"),
        (None, "requires y to be passed"),
    ],
)
def test_labels_that_are_no_classes_are_refused(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Examples.of(["a.png"] * 4, y, None, None)


@pytest.mark.filterwarnings("ignore:A column-vector y")
def test_a_missing_label_in_a_column_of_texts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"contains NaN.*picture 2"):
        Examples.of(["a.png"] * 3, [["a"], [float("nan")], ["b"]], None, None)


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        ([True, False, True, False], [False, True]),
        (np.array([True, False, True, False], object), [False, True]),
        ([3, 1, 3, 1], [1, 3]),
        (np.array(["b", "a", "b", "a"], np.dtypes.StringDType()), ["a", "b"]),
        (pd.Series(["b", "a", "b", "a"], index=[9, 8, 7, 6]), ["a", "b"]),
        (pd.Series(["b", "a", "b", "a"], dtype="category"), ["a", "b"]),
        (pl.Series(["b", "a", "b", "a"]), ["a", "b"]),
        (pd.Series([2, 1, 2, 1], dtype="Int64"), [1, 2]),
        (pd.Series([True, False, True, False], dtype="boolean"), [False, True]),
        (("b", "a", "b", "a"), ["a", "b"]),
        (iter("baba"), ["a", "b"]),
        ({1: "b", 2: "a", 3: "c", 4: "a"}.values(), ["a", "b", "c"]),
    ],
)
def test_labels_of_any_kind_that_can_be_sorted(y: Any, classes: list[Any]) -> None:
    found = Examples.of(["a.png"] * 4, y, None, None).classes.tolist()
    assert list(map(str, found)) == list(map(str, classes))


def test_a_column_of_labels_is_taken_with_scikit_learns_warning() -> None:
    with pytest.warns(DataConversionWarning):
        examples = Examples.of(["a.png"] * 4, np.array([[1], [0], [1], [0]]), None, None)
    assert examples.labels.tolist() == [1, 0, 1, 0]


# ── weights ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pictures_of_weight_zero_have_no_influence(stripes: tuple[np.ndarray, np.ndarray]) -> None:
    pictures, labels = stripes
    weights = np.arange(len(labels)) % 3 % 2 * 2.5  # all that count weigh the same
    some, none = weights > 0, pictures.copy()
    none[~some] = 0
    found = toy().fit(none, labels, weights)
    assert weights_of(found) == weights_of(toy().fit(pictures[some], labels[some]))
    with pytest.raises(UserError, match=r"picture 4, gone\.png"):  # by the place among all
        toy().fit([*pictures[:3], "gone.png", *pictures[4:]], labels, np.r_[0, np.ones(23)])


def test_equal_weights_are_none(stripes: tuple[np.ndarray, np.ndarray], plain: alexnet.Classifier) -> None:
    model = toy().fit(*stripes, sample_weight=np.full(24, 0.1))
    assert weights_of(model) == weights_of(plain)
    assert not (model.run_.path / "sample_weights.safetensors").exists()


def test_balanced_classes_are_weights_and_count(
    stripes: tuple[np.ndarray, np.ndarray], plain: alexnet.Classifier
) -> None:
    pictures, labels = stripes
    balanced = toy(class_weight="balanced").fit(pictures, labels)
    by_hand = toy().fit(pictures, labels, compute_sample_weight("balanced", labels))
    by_class = toy(class_weight={"angle0": 1, "angle2": 2}).fit(pictures, pd.Series(labels))
    assert weights_of(balanced) == weights_of(by_hand) == weights_of(by_class) != weights_of(plain)
    rare = toy(class_weight={"angle0": 1, "angle2": 50}, learning_rate=0.05).fit(pictures, labels)
    assert rare.predict_proba(pictures)[:, 1].mean() > plain.predict_proba(pictures)[:, 1].mean() + 0.1


def test_a_weighted_loss_is_that_of_repeated_pictures() -> None:
    logits, labels = torch.randn(3, 5, generator=torch.Generator().manual_seed(1)), torch.tensor([4, 0, 2])
    weights = torch.tensor([3.0, 1.0, 2.0]) / 2  # mean 1
    loss, errors = local_loss(logits, labels, shard_batch(np.arange(3)), weights)
    repeated = torch.tensor([0, 0, 0, 1, 2, 2])
    np.testing.assert_allclose(loss, F.cross_entropy(logits[repeated], labels[repeated]), rtol=1e-6)
    assert errors == local_loss(logits, labels, shard_batch(np.arange(3)))[1]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, 2.0], r"sample_weight\.shape == \(2,\), expected \(4,\)"),
        ([1, 1, -1, 1], "at least zero"),
        ([1, 1, np.nan, 1], "finite"),
        (["heavy"] * 4, "sample_weight must hold numbers"),
        ((weight for weight in (1, 2)), r"sample_weight\.shape == \(2,\)"),
        (np.zeros(4), "zero for every picture"),
        ([1, 0, 1, 0], "y holds 1 class"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Examples.of(["a.png"] * 4, [0, 1, 0, 1], weights, None)


def test_class_weights_that_do_not_fit_are_refused() -> None:
    for wrong in ("balance", {"cat": 1.0}, 3, [1, 2], {0: -1, 1: 1}, {0: np.nan, 1: 1}, {0: "heavy", 1: 1}):
        with pytest.raises(ValueError, match=r"class_weight"):
            Examples.of(["a.png"] * 4, [0, 1, 0, 1], None, wrong)


def test_a_stopped_fit_with_weights_is_resumed_with_them(
    stripes: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    train_batch, done = loop.train_batch, []

    def dying(state, *rest):
        done.append(state.cursor.step)
        if len(done) == 5:
            raise Killed
        return train_batch(state, *rest)

    weights = 1.0 + np.arange(24) % 3
    whole = toy(epochs=2).fit(*stripes, weights)
    monkeypatch.setattr(loop, "train_batch", dying)
    monkeypatch.setattr(loop, "SHORT_EPOCH_SECONDS", 0)
    for place in ("by fit", "by train"):
        done.clear()
        with pytest.raises(Killed):
            toy(epochs=2, folder=tmp_path / place).fit(*stripes, weights)
    with pytest.raises(UserError, match="other sample or class weights"):
        toy(epochs=2, folder=tmp_path / "by fit").fit(*stripes)
    again = toy(epochs=2, folder=tmp_path / "by fit").fit(*stripes, weights)
    assert done[5] > 0, "not from the start"
    resumed = loop.train(
        Store.open(tmp_path / "by train.store"), tmp_path / "by train", TrainOptions(), resume=True, quiet=True
    )
    assert weights_of(again) == weights_of(whole) == tensor_digest(resumed.network.state_dict())
    with pytest.raises(UserError, match="other sample or class weights"):  # a finished run neither
        toy(epochs=2, folder=tmp_path / "by fit").fit(*stripes, weights[::-1])


def test_lost_weights_are_noticed(stripes: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    model = toy(folder=tmp_path / "run").fit(*stripes, 1.0 + np.arange(24) % 3)
    assert model.run_.folder.sample_weights is not None
    (tmp_path / "run" / "sample_weights.safetensors").unlink()
    with pytest.raises(UserError, match=r"sample_weights\.safetensors"):
        _ = model.run_.folder.sample_weights


# ── parameters ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_numbers_of_numpys_types(stripes: tuple[np.ndarray, np.ndarray], plain: alexnet.Classifier) -> None:
    numpys = {
        "net": np.str_("toy"),
        "epochs": np.int64(1),
        "batch": np.int32(8),
        "size": np.int16(32),
        "input_size": np.uint8(32),
        "patience": np.int64(5),
        "threads": np.int8(1),
        "views": np.int64(1),
        "width": np.float32(1),
        "learning_rate": np.float64(0.01),
        "validation": np.float64(0.1),
        "mirror": np.bool_(True),
        "random_state": np.uint32(0),
        "verbose": np.bool_(False),
    }
    assert weights_of(toy(**numpys).fit(*stripes)) == weights_of(plain)


def test_random_states(stripes: tuple[np.ndarray, np.ndarray], plain: alexnet.Classifier, tmp_path: Path) -> None:
    first, second = (toy(random_state=np.random.RandomState(3)).fit(*stripes) for _ in range(2))
    assert weights_of(first) == weights_of(second) != weights_of(plain)
    free = toy(random_state=None, folder=tmp_path / "run").fit(*stripes)
    again = toy(random_state=None, folder=tmp_path / "run").fit(*stripes)  # the run that is there, and its seed
    assert weights_of(free) == weights_of(again) != weights_of(plain)
    with pytest.raises(ValueError, match="random_state=Generator"):
        toy(random_state=np.random.default_rng(0)).fit(*stripes)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 1.5),
        ("epochs", 0),
        ("epochs", "3"),
        ("epochs", True),
        ("batch", 0),
        ("batch", 16.0),
        ("width", "a"),
        ("width", float("nan")),
        ("learning_rate", -1.0),
        ("learning_rate", [0.1]),
        ("size", 40.5),
        ("size", 0),
        ("input_size", 0),
        ("patience", 0),
        ("validation", 0.0),
        ("validation", 1),
        ("validation", "0.1"),
        ("views", 3),
        ("mirror", "yes"),
        ("threads", -1),
        ("device", "gpu"),
        ("precision", "fp16"),
        ("net", 7),
        ("freeze", None),
        ("start_from", 3),
    ],
)
def test_a_wrong_parameter_is_refused_by_its_name(
    stripes: tuple[np.ndarray, np.ndarray], name: str, value: Any
) -> None:
    with pytest.raises(InvalidParameter, match=rf"^{name}\b"):
        toy(**{name: value}).fit(*stripes)


def test_messages_speak_of_parameters_and_not_of_lost_folders(stripes: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(Diverged) as fault:
        toy(learning_rate=1e30).fit(*stripes)
    assert re.search(r"Try a smaller learning_rate, or precision fp32", str(fault.value))
    assert "kept in" not in str(fault.value)
    with pytest.raises(UserError, match="class 'b' has one picture; validation needs at least two"):
        toy().fit(stripes[0][:3], ["a", "a", "b"])
