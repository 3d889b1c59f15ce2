"""`alexnet.Classifier` as scikit-learn's tools use it: on arrays and files, cloned, searched over, pickled."""

import inspect
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

import alexnet
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.files.tensors import tensor_digest
from alexnet.nets.table import Table
from alexnet.runs.folder import RunFolder
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions

TOY = {"net": "toy", "epochs": 2, "batch": 32, "precision": "fp32", "threads": 1, "mirror": False, "device": "cpu"}
OWN_PARAMETERS = {
    *("size", "validation", "class_weight", "views", "folder", "random_state", "verbose"),
    "rate",  # deprecated
}


def toy(**changes: object) -> alexnet.Classifier:
    return alexnet.Classifier(**{**TOY, "views": 1, "size": 40, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def stripes(store: Store) -> tuple[np.ndarray, np.ndarray]:
    """200 pictures (N, 40, 40, 3) and their labels as strings."""
    part = store.splits["train"]
    return part.read(np.arange(len(part))), np.array(store.class_names)[part.labels]


@pytest.fixture(scope="module")
def fitted(stripes: tuple[np.ndarray, np.ndarray]) -> alexnet.Classifier:
    return toy(epochs=12).fit(*stripes)


def test_it_learns_string_labels(fitted: alexnet.Classifier, store: Store) -> None:
    val = store.splits["val"]
    pictures, truth = val.read(np.arange(len(val))), np.array(store.class_names)[val.labels]
    assert fitted.classes_.tolist() == ["angle0", "angle1", "angle2", "angle3"]
    assert fitted.score(pictures, truth) > 0.6  # chance: 0.25
    probabilities = fitted.predict_proba(pictures)
    assert probabilities.shape == (len(val), 4)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert fitted.predict(pictures).tolist() == fitted.classes_[probabilities.argmax(axis=1)].tolist()


def test_the_same_answers_as_the_run_itself(fitted: alexnet.Classifier, stripes: tuple[np.ndarray, np.ndarray]) -> None:
    few = stripes[0][:5]
    ours, theirs = fitted.predict_proba(few), fitted.run_.predict(list(few), views=1)
    assert np.array_equal(ours, np.stack([answer.probabilities for answer in theirs]))


def test_the_same_weights_as_prepare_and_train(stripes: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    """The classifier is a way to the same training, not another one."""
    model = toy(folder=tmp_path / "run").fit(*stripes)
    options = TrainOptions(**TOY)  # type: ignore[arg-type]
    by_hand = train(Store.open(tmp_path / "run.store"), tmp_path / "by-hand", options, quiet=True)
    assert tensor_digest(model.run_.network.state_dict()) == tensor_digest(by_hand.network.state_dict())


def test_files_arrays_and_images_alike(stripes: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    pictures, labels = stripes[0][::5], stripes[1][::5]
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{number:02}.png")
    files = sorted(tmp_path.glob("*.png"))
    forms = [pictures, list(pictures), files, np.array([str(file) for file in files]), list(map(Image.open, files))]
    answers = [toy().fit(form, labels).predict_proba(pictures) for form in forms]
    assert all(np.array_equal(answers[0], answer) for answer in answers[1:])


def test_the_same_seed_and_another(stripes: tuple[np.ndarray, np.ndarray]) -> None:
    first, second, other = (toy(random_state=seed).fit(*stripes).predict_proba(stripes[0][:9]) for seed in (0, 0, 1))
    assert np.array_equal(first, second)
    assert not np.allclose(first, other)


def test_pickled_it_answers_alike_and_carries_its_run(
    fitted: alexnet.Classifier, stripes: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    few = stripes[0][:7]
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(fitted))
    np.save(tmp_path / "few.npy", few)
    program = (
        "import pickle, numpy as np; model = pickle.load(open('model.pickle', 'rb'));"
        "np.save('answers.npy', model.predict_proba(np.load('few.npy')))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)  # another process: nothing is shared
    assert np.allclose(np.load(tmp_path / "answers.npy"), fitted.predict_proba(few), atol=1e-6)  # other threads
    assert pickle.loads(pickle.dumps(toy())).get_params() == toy().get_params()


def test_a_run_of_a_lost_object_leaves_nothing(stripes: tuple[np.ndarray, np.ndarray]) -> None:
    model = toy(epochs=1).fit(*stripes)
    place = model.run_.path
    assert place.exists()
    del model
    assert not place.exists()


def test_clone_and_parameters(fitted: alexnet.Classifier) -> None:
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(np.zeros((1, 40, 40, 3), np.uint8))
    assert copy.set_params(learning_rate=0.5, epochs=3).get_params()["learning_rate"] == 0.5
    with pytest.raises(ValueError, match="Invalid parameter 'widht'"):
        copy.set_params(widht=2)


def test_parameters_are_the_options_of_a_training_with_their_types_and_defaults() -> None:
    """scikit-learn reads parameters off an explicit signature; `TrainOptions` is where they are declared."""
    parameters = inspect.signature(alexnet.Classifier).parameters
    ours, declared = get_type_hints(alexnet.Classifier.__init__), get_type_hints(TrainOptions)
    shared = parameters.keys() & declared.keys()
    assert parameters.keys() - shared == OWN_PARAMETERS
    for name in shared:
        assert parameters[name].default == getattr(TrainOptions(), name), name
        own = {"start_from": str | PathLike[str] | None, "net": str | Table | None}
        assert ours[name] == own.get(name, declared[name]), name
    described = " ".join((alexnet.Classifier.__doc__ or "").split())
    listed = re.search(r"(net, [a-z_, ]*): as of `alexnet train`", described)
    assert listed is not None
    assert set(listed[1].split(", ")) == shared


def test_searched_over_and_cross_validated(stripes: tuple[np.ndarray, np.ndarray]) -> None:
    pictures, labels = stripes[0][::4], stripes[1][::4]
    assert len(cross_val_score(toy(epochs=1), pictures, labels, cv=2)) == 2
    grid = {"classifier__learning_rate": [0.01, 1e-6]}
    search = GridSearchCV(make_pipeline(toy(epochs=1)), grid, cv=2).fit(pictures, labels)
    assert search.best_estimator_.predict(pictures[:3]).shape == (3,)


def test_a_stopped_fit_goes_on_in_its_folder(
    stripes: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alexnet.train import loop

    class Killed(BaseException):
        pass

    plain, done = loop.train_batch, []

    def dying(state, *rest):
        done.append(state.cursor.step)
        if len(done) == 9:
            raise Killed
        return plain(state, *rest)

    whole = toy().fit(*stripes)
    monkeypatch.setattr(loop, "train_batch", dying)
    with pytest.raises(Killed):
        toy(folder=tmp_path / "run").fit(*stripes)
    again = toy(folder=tmp_path / "run").fit(*stripes)
    assert min(done[9:]) > 0, "not from the start"
    assert tensor_digest(again.run_.network.state_dict()) == tensor_digest(whole.run_.network.state_dict())
    with pytest.raises(UserError):
        toy(folder=tmp_path / "run").fit(stripes[0][::-1].copy(), stripes[1])


def test_starting_from_a_run_with_frozen_layers(
    fitted: alexnet.Classifier, stripes: tuple[np.ndarray, np.ndarray]
) -> None:
    pictures, labels = stripes[0][:100], stripes[1][:100]  # two of the classes
    model = alexnet.Classifier(
        start_from=fitted.run_.path, freeze="conv1-conv3", epochs=1, batch=16, threads=1, device="cpu"
    ).fit(pictures, labels)
    before, after = fitted.run_.network.state_dict(), model.run_.network.state_dict()
    assert model.run_.inputs.side == 40
    assert np.array_equal(before["conv3.weight"].numpy(), after["conv3.weight"].numpy())
    assert len(after["fc8.bias"]) == 2


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda x, y: (x.astype(np.float32), y), ValueError, "must be uint8"),
        (lambda x, y: (x[..., 0], y), ValueError, "must be uint8"),
        (lambda x, y: (x, y[:-1]), ValueError, "a label for each of the 200 pictures"),
        (lambda x, y: (x, np.linspace(0, 1, len(x))), ValueError, "continuous"),
        (lambda x, y: (x, ["a"] * len(x)), ValueError, "y holds 1 class"),
        (lambda x, y: (x[:3], ["a", "b", "b"]), UserError, "class 'a' has one picture"),
        (lambda x, y: ("cat.jpg", y), ValueError, "X is one picture"),
        (lambda x, y: (["absent.jpg"] * len(x), y), UserError, "absent.jpg"),
    ],
)
def test_what_does_not_fit_is_refused(
    stripes: tuple[np.ndarray, np.ndarray], change: Callable, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        toy().fit(*change(*stripes))


@pytest.mark.parametrize("changes", [{"net": "alexnte"}, {"views": 3}, {"learning_rate": -1.0}, {"freeze": "conv9"}])
def test_parameters_are_checked(stripes: tuple[np.ndarray, np.ndarray], changes: dict) -> None:
    with pytest.raises(UserError):
        toy(**changes).fit(*stripes)


def test_real_photographs(shared_pack: Callable[[str], Path]) -> None:
    """Two Caltech classes of files of many sizes, grey ones among them."""
    root = shared_pack("caltech101")
    files, labels = [], []
    for name in ("car_side", "sunflower"):
        found = sorted((root / name).glob("*.jpg"))[:40]
        files, labels = files + found, labels + [name] * len(found)
    model = alexnet.Classifier("toy", epochs=8, batch=16, threads=1, device="cpu", precision="fp32")
    model.fit(files[::2], labels[::2])
    assert model.score(files[1::2], labels[1::2]) > 0.8  # chance: 0.5


def test_the_folder_is_a_run_like_any_other(stripes: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    toy(epochs=1, folder=tmp_path / "run").fit(*stripes)
    assert RunFolder.open(tmp_path / "run").class_names == ("angle0", "angle1", "angle2", "angle3")
