"""CPU threads of a training: as many as the caller allows, as they were afterwards, and one in a forked child."""

import os
import signal
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import alexnet
from alexnet import isolation
from alexnet.data.store.read import Store
from alexnet.errors import UsageError
from alexnet.isolation import isolated
from alexnet.train import loop, resume, state
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions
from alexnet.train.state import set_threads

QUICK = TrainOptions(net="toy", input_size=32, epochs=1, batch=50, precision="fp32", device="cpu", colour_noise="off")


@pytest.fixture(autouse=True)
def several_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if there were four cores; torch's number of threads is two, and as before at the end."""
    for module in (state, isolation, resume):
        monkeypatch.setattr(module, "cores", lambda: 4)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("limit", "asked", "wanted"), [(1, 0, 1), (2, 0, 2), (8, 0, 4), (1, 3, 3), (8, 1, 1)])
def test_the_callers_limit_holds_unless_a_number_is_asked_for(limit: int, asked: int, wanted: int) -> None:
    torch.set_num_threads(limit)
    with isolated():
        assert set_threads(asked) == torch.get_num_threads() == wanted
    assert torch.get_num_threads() == limit


def test_more_than_there_are_cores_is_refused() -> None:
    with pytest.raises(UsageError, match="--threads 5: this process may use 4 cores"):
        set_threads(5)


@pytest.mark.parametrize(("value", "wanted"), [(None, 2), ("1", 2), ("3", 2)])
def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch, value: str | None, wanted: int) -> None:
    monkeypatch.setattr(state, "cores", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", value or "")
    assert set_threads(0, processes=2) == wanted
    monkeypatch.setattr(state, "cores", lambda: 16)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert set_threads(0, processes=2) == 3


def test_a_training_leaves_the_number_as_it_was_and_records_its_own(store: Store, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    run = train(store, tmp_path / "one", QUICK, quiet=True)
    assert (run.value("machine", "threads"), torch.get_num_threads()) == (1, 1)
    run = train(store, tmp_path / "two", replace(QUICK, threads=2), quiet=True)
    assert (run.value("machine", "threads"), torch.get_num_threads()) == (2, 1)
    with pytest.raises(UsageError):
        train(store, tmp_path / "many", replace(QUICK, threads=64), quiet=True)
    assert torch.get_num_threads() == 1


def test_a_resumed_run_keeps_its_threads_where_there_are_fewer_cores(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = train(store, tmp_path / "whole", replace(QUICK, threads=2, epochs=2), quiet=True)

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    finish = loop.finish
    monkeypatch.setattr(loop, "finish", killed)
    with pytest.raises(Killed):
        train(store, tmp_path / "cut", replace(QUICK, threads=2), quiet=True)
    monkeypatch.setattr(loop, "finish", finish)
    for module in (state, isolation, resume):
        monkeypatch.setattr(module, "cores", lambda: 1)
    again = train(store, tmp_path / "cut", TrainOptions(epochs=2), resume=True)
    assert "2 threads as before" in capsys.readouterr().err
    weights = again.network.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in whole.network.state_dict().items())


def test_a_forked_child_computes_although_its_parent_used_several_threads(store: Store, tmp_path: Path) -> None:
    """GNU's OpenMP waits for ever there if it is to use more than one: servers that load first and fork then hung."""
    train(store, tmp_path / "run", replace(QUICK, threads=2), quiet=True)
    model = alexnet.load(tmp_path / "run", device="cpu")
    pictures = list(store.splits["val"].read(np.arange(40)))
    truth = np.stack([found.probabilities for found in model.predict(pictures)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12, where other tests left threads
        child = os.fork()
    if child == 0:
        signal.alarm(60)
        code = 1
        try:
            found = np.stack([found.probabilities for found in model.predict(pictures)])
            run = train(store, tmp_path / "child", replace(QUICK, threads=2), quiet=True)
            code = 0 if np.allclose(found, truth, atol=1e-5) and run.value("machine", "threads") == 1 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_threads_side_by_side_do_not_undo_each_others_settings() -> None:
    """Settings of the whole process come back when the last of several threads has left."""
    entered, leave, seen = threading.Event(), threading.Event(), []

    def work() -> None:
        with isolated():
            entered.set()
            leave.wait(30)
            seen.append(torch.get_default_dtype())

    torch.set_default_dtype(torch.float64)
    try:
        other = threading.Thread(target=work)
        with isolated():
            other.start()
            assert entered.wait(30)
        leave.set()
        other.join()
        assert seen == [torch.float32]
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_training_in_a_thread_that_is_not_the_main_one(store: Store, tmp_path: Path) -> None:
    """Signals stay with whoever handles them."""
    before, ended = signal.getsignal(signal.SIGINT), []
    work = threading.Thread(target=lambda: ended.append(train(store, tmp_path / "run", QUICK, quiet=True)))
    work.start()
    work.join()
    assert ended[0].value("finished")
    assert signal.getsignal(signal.SIGINT) is before
