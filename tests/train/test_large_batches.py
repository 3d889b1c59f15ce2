"""Batches computed in pieces are the batches; runs with LARS, warm-up and decay learn, stop and go on."""

import json
from pathlib import Path

import pytest
import torch

from alexnet.data.store.read import Store
from alexnet.errors import UsageError
from alexnet.files.tensors import tensor_digest
from alexnet.runs.folder import RunFolder
from alexnet.runs.log import Everyone, Log
from alexnet.train import loop, step
from alexnet.train.loop import train, train_epoch
from alexnet.train.options import TrainOptions
from alexnet.train.schedule import Rates
from alexnet.train.state import TrainingState, start_run
from alexnet.train.stop import Stop

SMALL = {"net": "toy", "epochs": 2, "batch": 36, "precision": "fp32", "threads": 1, "mirror": False}
LARGE = {"recipe": "bn-8k", "learning_rate": 4.0, "warmup": 0.5}


def options(**changes: object) -> TrainOptions:
    return TrainOptions(**(SMALL | changes))  # type: ignore[arg-type]


def notes(folder: Path) -> list[str]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line["text"] for line in lines if line["event"] == "note"]


def in_float64(store: Store, folder: Path, asked: TrainOptions) -> TrainingState:
    """A job at its beginning whose weights, velocities and arithmetic are float64."""
    state, _ = start_run(store, folder, asked)
    state.network.double()
    state.dtype = torch.float64
    state.update.velocities = {name: velocity.double() for name, velocity in state.update.velocities.items()}
    return state


def trained(state: TrainingState, epochs: int) -> dict[str, torch.Tensor]:
    """The weights after some epochs, with the sums of the last one."""
    log = Log(state.run.path / "log.jsonl")
    for _ in range(epochs):
        train_epoch(state, log, Everyone(), Stop())
        seen = {"loss": state.cursor.loss_sum, "errors": state.cursor.errors, "pictures": state.cursor.pictures}
        state.cursor.next_epoch()
    log.close()
    sums = {name: torch.tensor(float(value), dtype=torch.float64) for name, value in seen.items()}
    return dict(state.network.state_dict()) | sums


@pytest.mark.parametrize(
    ("recipe", "accumulation_steps"),
    [
        ({}, 3),
        ({"recipe": "145"}, 3),  # crops are shared by 32 pictures in a row, across the pieces' edges
        (LARGE, 12),
    ],
)
def test_pieces_give_the_gradient_of_the_batch(
    store: Store, tmp_path: Path, recipe: dict, accumulation_steps: int
) -> None:
    """200 pictures in batches of 36: the last has 20, and of its pieces of 12 the last has 8. Dropout is on."""
    whole = trained(in_float64(store, tmp_path / "whole", options(**recipe)), 1)
    pieces = trained(
        in_float64(store, tmp_path / "pieces", options(**recipe, accumulation_steps=accumulation_steps)), 1
    )
    for name, tensor in whole.items():
        torch.testing.assert_close(pieces[name], tensor, rtol=1e-9, atol=1e-11, msg=name)
    assert whole["pictures"] == 200


def test_pieces_bound_what_is_computed_at_once(store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    plain = loop.train_batch

    def watched(state, micro_batch, rates, span):
        seen.append((len(micro_batch), state.cursor.step))
        return plain(state, micro_batch, rates, span)

    monkeypatch.setattr(loop, "train_batch", watched)
    train(store, run_folder, options(epochs=1, accumulation_steps=3), quiet=True)
    assert seen == [(12, step) for step in range(5) for _ in range(3)] + [(12, 5), (8, 5)]


class Killed(BaseException):
    """Stands for a SIGKILL."""


@pytest.mark.parametrize(("call", "behind"), [(4, False), (14, True)])
def test_killed_within_a_batch_it_goes_on_to_the_same_bits(
    store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch, call: int, behind: bool
) -> None:
    """9 pieces in 3 batches an epoch; with LARS and a rate of its own for each update."""
    for module in (loop, step):
        monkeypatch.setattr(module, "is_asynchronous", lambda _: behind)
    asked = options(**LARGE | {"batch": 72}, accumulation_steps=3, save_minutes=0)
    train(store, run_folder / "a", asked, quiet=True)
    calls, plain = iter(range(call)), loop.train_batch

    def dying(*arguments):
        if next(calls, None) is None:
            raise Killed
        return plain(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_batch", dying)
        with pytest.raises(Killed):
            train(store, run_folder / "b", asked, quiet=True)
    train(store, run_folder / "b", asked, resume=True, quiet=True)
    ours, theirs = (tensor_digest(RunFolder.open(run_folder / name).network.state_dict()) for name in "ab")
    assert ours == theirs


def test_every_update_has_its_own_rate(store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """6 updates an epoch, 2 epochs, 1 of them warm-up."""
    given: list[Rates] = []
    state, _ = start_run(store, run_folder, options(**LARGE | {"warmup": 1.0}, accumulation_steps=2))
    monkeypatch.setattr(state.update, "step", given.append)
    trained(state, 2)
    assert [rates.weights for rates in given] == pytest.approx(
        [4 * done / 6 for done in range(6)] + [4 * (1 - done / 12) ** 2 for done in range(6, 12)]
    )
    assert [rates.biases for rates in given] == pytest.approx([0.01 * rates.weights for rates in given])


def test_a_large_batch_learns_with_lars(store: Store, run_folder: Path) -> None:
    """Batches of half the set: 80 updates in all."""
    asked = options(**LARGE | {"learning_rate": 20.0, "warmup": 4}, batch=100, epochs=40, accumulation_steps=2)
    run = train(store, run_folder, asked, quiet=True)
    last = json.loads((run.path / "log.jsonl").read_text().splitlines()[-2])
    assert last["epoch"] == 40
    assert last["val_top1_error"] < 0.25  # chance: 0.75


def test_the_run_tells_its_rule_in_words(store: Store, run_folder: Path) -> None:
    asked = options(recipe="bn-16k", net=None, width=0.1, input_size=40, epochs=1, batch=100, accumulation_steps=5)
    run = train(store, run_folder, asked, quiet=True)
    assert run.value("rule").startswith("LARS: each weight tensor at 0.001·‖w‖")
    assert run.value("rule").endswith("batches of 100 pictures in 5 micro-batches of 20 whose gradients add up")
    assert run.value("rule") in notes(run.path)
    assert any("batch norms see one micro-batch of 20 pictures at a time" in note for note in notes(run.path))
    assert run.value("recipe", "warmup") == pytest.approx(400 * 16384 / 1_281_167 / 100)  # scaled to one epoch


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accumulation_steps": 5}, "--accumulation-steps 5: it must divide the batch, 36 pictures"),
        ({"accumulation_steps": 0}, "--accumulation-steps 0: at least 1"),
        ({"accumulation_steps": 72}, "--accumulation-steps 72: it must divide"),
        ({"warmup": 3}, "--warmup 3: recipe paper has no warm-up"),
        ({"recipe": "bn-8k", "warmup": 2}, "--warmup 2: the run has only 2 epochs"),
        ({"recipe": "bn-8k", "warmup": -1}, "--warmup -1: at least 0"),
        ({"recipe": "bn-8k", "warmup": float("nan")}, "--warmup nan: a finite number"),
    ],
)
def test_what_does_not_fit_is_refused(store: Store, run_folder: Path, changes: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        train(store, run_folder, options(**changes), quiet=True)
    assert not run_folder.exists()


def test_a_decay_laid_out_over_epochs_is_not_stretched(
    store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = loop.train_batch

    def dying(state, *rest):
        if state.cursor.step == 8:
            raise Killed
        return plain(state, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_batch", dying)
        with pytest.raises(Killed):
            train(store, run_folder, options(**LARGE), quiet=True)
    with pytest.raises(UsageError, match="can't be stretched"):
        train(store, run_folder, options(**LARGE | {"epochs": 4}), resume=True, quiet=True)
