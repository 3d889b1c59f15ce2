"""How long a fitted classifier lasts: in forked children, after its object is gone, after /tmp was tidied, pickled."""

import copy
import errno
import os
import pickle
import shutil
import tempfile
import warnings
import weakref
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

import alexnet
from alexnet.data.store import prepare as preparing
from alexnet.errors import UserError
from alexnet.files.atomic import DiskFull, file_fault
from alexnet.train import state as job

Usage = namedtuple("Usage", "total used free")


def toy(**changes: object) -> alexnet.Classifier:
    settings = {"epochs": 1, "batch": 8, "size": 40, "views": 1, "precision": "fp32", "threads": 1, "device": "cpu"}
    return alexnet.Classifier("toy", **{**settings, **changes})  # type: ignore[arg-type]


PICTURES = np.random.default_rng(0).integers(0, 255, (12, 40, 40, 3), np.uint8)
LABELS = np.repeat(["cat", "dog"], 6)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that temporary folders are made in."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture
def fitted(temporary: Path) -> alexnet.Classifier:
    return toy().fit(PICTURES, LABELS)


def in_child(work) -> int:
    """The exit code of a forked child that does `work` and ends as by sys.exit: finalizers run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other tests may have left threads
        child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            weakref.finalize._exitfunc()  # type: ignore[attr-defined] - what atexit calls
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_child_leaves_the_run_to_its_parent(fitted: alexnet.Classifier, temporary: Path) -> None:
    models = [fitted]

    def work() -> None:
        assert models[0].predict_proba(PICTURES[:2]).shape == (2, 2)
        own = pickle.loads(pickle.dumps(models[0]))
        assert own.run_.path.exists()
        models.clear()  # garbage collection in the child leaves it, too

    assert in_child(work) == 0
    assert (fitted.run_.path / "model.safetensors").exists()
    assert list(temporary.iterdir()) == [fitted.run_.path], "the child's own copy is removed"


def test_the_run_outlives_its_classifier(temporary: Path) -> None:
    model = toy().fit(PICTURES, LABELS)
    probabilities, run = model.predict_proba(PICTURES[:1]), model.run_
    del model
    answer = run.predict(PICTURES[0], views=1).probabilities
    assert np.allclose(answer, probabilities[0], atol=1e-6)  # other threads
    assert (run.save_pretrained(temporary / "saved") / "model.safetensors").exists()
    again, place = pickle.loads(pickle.dumps(run)), run.path
    del run
    assert not place.exists()
    assert np.array_equal(again.predict(PICTURES[0], views=1).probabilities, answer)


@pytest.mark.parametrize("lost", ["", "model.safetensors", "config.json", "inputs.safetensors"])
def test_after_tmp_was_tidied_nothing_is_lost(fitted: alexnet.Classifier, lost: str) -> None:
    if lost:
        (fitted.run_.path / lost).unlink()
    else:
        shutil.rmtree(fitted.run_.path)
    truth = fitted.predict_proba(PICTURES)
    for again in (pickle.loads(pickle.dumps(fitted)), copy.copy(fitted), copy.deepcopy(fitted)):
        assert np.array_equal(again.predict_proba(PICTURES), truth)
        assert again.classes_.tolist() == ["cat", "dog"]
        assert again.run_.path != fitted.run_.path
    twice = pickle.loads(pickle.dumps(fitted))
    shutil.rmtree(twice.run_.path)
    assert np.array_equal(pickle.loads(pickle.dumps(twice)).predict_proba(PICTURES), truth)


def test_a_folder_of_the_users_is_kept_and_its_replacement_not_taken_for_it(temporary: Path) -> None:
    model = toy(folder=temporary / "run").fit(PICTURES, LABELS)
    truth = model.predict_proba(PICTURES)
    shutil.rmtree(temporary / "run")
    shutil.rmtree(temporary / "run.store")
    other = toy(folder=temporary / "run", random_state=1).fit(PICTURES, LABELS)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict_proba(PICTURES), truth)
    assert not np.array_equal(other.predict_proba(PICTURES), truth)
    del model, other
    assert (temporary / "run" / "model.safetensors").exists()


def test_a_run_that_is_neither_on_disk_nor_in_memory_is_refused(fitted: alexnet.Classifier, temporary: Path) -> None:
    shutil.copytree(fitted.run_.path, temporary / "copy")
    run = alexnet.load(temporary / "copy", device="cpu")
    (temporary / "copy" / "model.safetensors").unlink()
    with pytest.raises(UserError, match="removed or replaced"):
        run.folder.files()


@pytest.mark.parametrize("module", [preparing, job])
def test_a_full_temporary_folder(temporary: Path, monkeypatch: pytest.MonkeyPatch, module) -> None:
    """Too little space is said with a remedy for Python, whether the store or the run needs it; nothing is left."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 30, 1 << 30, 1000 if module is job else 10))
    if module is job:
        monkeypatch.setattr(preparing, "space_checked", lambda *_: "")
    with pytest.raises(UserError, match=r"TMPDIR .*folder=") as fault:
        toy().fit(PICTURES, LABELS)
    assert "--" not in str(fault.value)
    assert not list(temporary.iterdir())
    with pytest.raises(UserError, match="folder=") as fault:
        toy(folder=temporary / "run").fit(PICTURES, LABELS)
    assert "--" not in str(fault.value)
    assert "TMPDIR" not in str(fault.value)


def test_a_disk_that_fills_up_while_it_is_written(
    fitted: alexnet.Classifier, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pickle.dumps(fitted)

    def full(path: Path, *_: object, **__: object) -> None:
        raise file_fault(OSError(errno.ENOSPC, "No space left on device"), path)

    for module in ("alexnet.files.tensors", "alexnet.runs.folder"):
        monkeypatch.setattr(f"{module}.write_atomically", full)
    for work in (lambda: toy().fit(PICTURES, LABELS), lambda: pickle.loads(data)):
        with pytest.raises(UserError, match=r"the disk is full\. .*TMPDIR .*folder="):
            work()
    assert list(temporary.iterdir()) == [fitted.run_.path]


def test_no_temporary_folder_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(UserError, match=r"TMPDIR .*folder="):
        toy().fit(PICTURES, LABELS)


def test_faults_of_the_disk_travel_between_processes() -> None:
    """joblib's workers pickle them."""
    for fault in (file_fault(OSError(errno.ENOSPC, "full"), "a"), preparing.StoreTooLarge("a: full", ". Try --size")):
        again = pickle.loads(pickle.dumps(fault))
        assert (str(again), vars(again), type(again)) == (str(fault), vars(fault), type(fault))
        assert isinstance(again, DiskFull)
