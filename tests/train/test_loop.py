"""Whole training runs on small pictures: learning, saving, going on bit-identically, and what can go wrong."""

import contextlib
import json
import shutil
import signal
import threading
from pathlib import Path

import pytest
import torch

from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.files.tensors import load_tensors, save_tensors, tensor_digest
from alexnet.measure.evaluation import evaluate_run
from alexnet.measure.run import Run
from alexnet.report.recipe import repeating_command
from alexnet.runs import log as record
from alexnet.runs.folder import RunFolder, disk_needed
from alexnet.runs.history import read_history, read_now, validation_of
from alexnet.train import loop, step
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions
from alexnet.train.stop import SIGNALS, Interrupted, stop_signals

# Mirrored, stripes at 45° turn into another class.
SMALL = {
    "net": "toy", "width": 0.5, "epochs": 3, "batch": 32, "precision": "fp32", "threads": 1, "mirror": False,
}  # fmt: skip


def options(**changes: object) -> TrainOptions:
    return TrainOptions(**(SMALL | changes))  # type: ignore[arg-type]


def digest(folder: Path) -> str:
    return tensor_digest(RunFolder.open(folder).network.state_dict())


def events(folder: Path, kind: str) -> list[dict]:
    lines = (json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == kind]


class Killed(BaseException):
    """Stands for a SIGKILL: nothing in the package may catch it and save."""


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Die before update number `step` (from 0)."""
    plain = loop.train_batch

    def dying(state, *rest):
        if state.cursor.step == step:
            raise Killed
        return plain(state, *rest)

    monkeypatch.setattr(loop, "train_batch", dying)


@pytest.fixture(scope="module")
def unbroken(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    train(store, folder, options(), quiet=True)
    return folder


def test_it_learns(store: Store, run_folder: Path) -> None:
    run = train(store, run_folder, options(epochs=12), quiet=True)
    last = events(run.path, "epoch")[-1]
    assert last["epoch"] == 12
    assert last["val_top1_error"] < 0.25  # chance: 0.75


def test_it_says_where_it_stands_while_it_trains(
    store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`now.json` inside an epoch, with what the progress line has; gone at the end, also of a run that was stopped."""
    monkeypatch.setattr(record, "NOW_SECONDS", -1.0)
    told: list[dict[str, float] | None] = []
    plain = loop.train_batch

    def watched(state, *rest):
        told.append(read_now(run_folder / "now.json"))
        if state.cursor.step == 10:
            raise KeyboardInterrupt
        return plain(state, *rest)

    monkeypatch.setattr(loop, "train_batch", watched)
    with pytest.raises(KeyboardInterrupt):
        train(store, run_folder, options(), quiet=True)
    assert told[0] is None
    places = [(now["epoch"], now["batch"]) for now in told[1:] if now]
    batches = int(told[1]["batches"]) if told[1] else 0
    assert places == [(1 + step // batches, 1 + step % batches) for step in range(10)]
    assert all(now and now["speed"] > 0 and now["seconds_left"] > 0 and 0 <= now["top1_error"] <= 1 for now in told[1:])
    assert not (run_folder / "now.json").exists()


def test_the_same_seed_gives_the_same_weights_and_another_other_ones(
    store: Store, run_folder: Path, unbroken: Path
) -> None:
    train(store, run_folder / "a", options(), quiet=True)
    train(store, run_folder / "b", options(seed=1), quiet=True)
    assert digest(run_folder / "a") == digest(unbroken)
    assert digest(run_folder / "b") != digest(unbroken)


@pytest.mark.parametrize("step", [0, 1, 5, 7, 8, 13, 20])
def test_killed_anywhere_it_ends_with_the_same_weights(
    store: Store, run_folder: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """7 batches an epoch; a state is saved after each."""
    kill_at(monkeypatch, step)
    with pytest.raises(Killed):
        train(store, run_folder, options(save_minutes=0), quiet=True)
    monkeypatch.undo()
    train(store, run_folder, options(save_minutes=0), resume=True, quiet=True)
    assert digest(run_folder) == digest(unbroken)
    ours, theirs = events(run_folder, "epoch"), events(unbroken, "epoch")
    exact = ("epoch", "step", "train_loss", "train_top1_error", "val_nll", "val_top1_error")
    assert [[e[key] for key in exact] for e in ours] == [[e[key] for key in exact] for e in theirs]
    assert not (run_folder / "state").exists()


def best_epoch(folder: Path) -> int:
    found = events(folder, "epoch")
    return min(found, key=lambda event: (event["val_top1_error"], event["val_nll"]))["epoch"]


@pytest.mark.parametrize("step", [None, 0, 7, 8, 13, 20, 27])
def test_the_best_epoch_s_weights_are_kept_however_often_it_was_killed(
    store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch, step: int | None
) -> None:
    """A learning rate at which the error rises and falls; every epoch's weights are snapshots or the last ones."""
    wild = options(epochs=5, learning_rate=0.05, keep="best", snapshots=True, save_minutes=0)
    if step is not None:
        kill_at(monkeypatch, step)
        with pytest.raises(Killed):
            train(store, run_folder, wild, quiet=True)
        monkeypatch.undo()
    run = train(store, run_folder, wild, resume=True, quiet=True)
    best = best_epoch(run_folder)
    assert run.value("best")["epoch"] == best
    kept = load_tensors(run_folder / "model.safetensors")[0]
    last = load_tensors(run_folder / "last.safetensors")[0]
    if best in run.snapshots:
        assert all(torch.equal(kept[name], weight) for name, weight in load_tensors(run.snapshots[best])[0].items())
    assert all(torch.equal(last[name], tensor) for name, tensor in load_tensors(run.snapshots[5])[0].items())
    assert any(f"weights of epoch {best}, the best of 5" in note["text"] for note in events(run_folder, "note"))
    counts = evaluate_run(run, Run.open(run_folder, device="cpu").viewer, store, split="val", views=(1,))[0][1].counts
    assert counts.top1 == run.value("best")["error"]
    figures, when = validation_of(run.config, read_history(run_folder / "log.jsonl")) or ({}, "")
    assert (figures["top1_error"], when) == (counts.top1, f"epoch {best}, the best")


def test_a_plateau_is_taken_up_where_it_stood(store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plateau = options(epochs=9, patience=1, threshold=100)
    train(store, run_folder / "a", plateau, quiet=True)
    kill_at(monkeypatch, 15)
    with pytest.raises(Killed):
        train(store, run_folder / "b", plateau, quiet=True)
    monkeypatch.undo()
    train(store, run_folder / "b", plateau, resume=True, quiet=True)
    assert [e["learning_rate"] for e in events(run_folder / "a", "epoch")] == pytest.approx(
        [1e-2, 1e-2, 1e-3, 1e-4, 1e-5]
    )
    assert digest(run_folder / "a") == digest(run_folder / "b")


def test_a_damaged_state_is_named_and_the_one_before_used(
    store: Store, run_folder: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_at(monkeypatch, 10)
    with pytest.raises(Killed):
        train(store, run_folder, options(save_minutes=0), quiet=True)
    monkeypatch.undo()
    states = sorted((run_folder / "state").iterdir())
    assert len(states) == 2
    data = bytearray(states[-1].read_bytes())
    data[len(data) // 2] ^= 4
    states[-1].write_bytes(data)
    train(store, run_folder, options(), resume=True, quiet=True)
    assert digest(run_folder) == digest(unbroken)
    assert any(states[-1].name in note["text"] and "damaged" in note["text"] for note in events(run_folder, "note"))


def test_with_every_state_damaged_it_says_so(store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_at(monkeypatch, 10)
    with pytest.raises(Killed):
        train(store, run_folder, options(save_minutes=0), quiet=True)
    monkeypatch.undo()
    for state in (run_folder / "state").iterdir():
        state.write_bytes(state.read_bytes()[:-7])
    with pytest.raises(UserError, match="no undamaged checkpoint"):
        train(store, run_folder, options(), resume=True, quiet=True)


def test_asked_to_stop_it_saves_and_goes_on_later(
    store: Store, run_folder: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = loop.train_batch

    def signalled(state, *rest):
        if state.cursor.step == 9:
            signal.raise_signal(signal.SIGTERM)
        return plain(state, *rest)

    monkeypatch.setattr(loop, "train_batch", signalled)
    with pytest.raises(Interrupted, match=r"--resume$"):
        train(store, run_folder, options(), quiet=True)
    monkeypatch.undo()
    train(store, run_folder, options(), resume=True, quiet=True)
    assert digest(run_folder) == digest(unbroken)


def test_signals_that_are_ignored_or_handled_in_c_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = signal.getsignal
    in_c = {signal.SIGTERM: None, signal.SIGHUP: signal.SIG_IGN}
    monkeypatch.setattr(signal, "getsignal", lambda number: in_c.get(number, plain(number)))
    before = {number: plain(number) for number in SIGNALS}
    with stop_signals(quiet=True):
        assert plain(signal.SIGINT) != before[signal.SIGINT] or before[signal.SIGINT] == signal.SIG_IGN
        assert {number: plain(number) for number in in_c} == {number: before[number] for number in in_c}
    assert {number: plain(number) for number in SIGNALS} == before


def test_a_closing_terminal_may_say_so_twice() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with stop_signals(quiet=True) as stop:
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGHUP)
            assert stop.asked
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_thread_leaves_signals_alone() -> None:
    asked: list[bool] = []

    def work() -> None:
        with stop_signals(quiet=True) as stop:
            asked.append(stop.asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert asked == [False]


def test_other_options_are_refused_when_going_on(
    store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_at(monkeypatch, 10)
    with pytest.raises(Killed):
        train(store, run_folder, options(), quiet=True)
    monkeypatch.undo()
    with pytest.raises(UsageError, match=r"--seed 5: the run in .* was started with 0"):
        train(store, run_folder, options(seed=5), resume=True, quiet=True)
    config = json.loads((run_folder / "config.json").read_text())
    config["data"]["fingerprint"], config["checksum"] = "another", ""
    (run_folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="not the store"):
        train(store, run_folder, options(), resume=True, quiet=True)


def test_an_ended_run_stays_as_it_is(store: Store, unbroken: Path) -> None:
    before = digest(unbroken)
    train(store, unbroken, options(), resume=True, quiet=True)
    assert digest(unbroken) == before
    with pytest.raises(UserError, match=r"not empty.*--resume"):
        train(store, unbroken, options(), quiet=True)


@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_finished_run_is_trained_further_to_the_same_bits(
    store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch, keep: str
) -> None:
    """2 + 2 epochs are 4, also where the best of the first two is not the last, and however it is killed meanwhile."""
    wild = {"learning_rate": 0.05, "keep": keep, "save_minutes": 0}
    whole = train(store, run_folder / "whole", options(epochs=4, **wild), quiet=True)
    begun = train(store, run_folder / "run", options(epochs=2, **wild), quiet=True)
    assert keep == "last" or begun.value("best")["epoch"] == 1, "not the epoch that it is trained further from"
    for number in (14, 17):  # its first update, and a later one
        kill_at(monkeypatch, number)
        with pytest.raises(Killed):
            train(store, run_folder / "run", options(epochs=4, **wild), resume=True, quiet=True)
        assert RunFolder.open(run_folder / "run").value("finished") is False
        monkeypatch.undo()
    run = train(store, run_folder / "run", options(**{"epochs": None, **wild}), resume=True, quiet=True)
    assert run.value("epochs_trained") == run.value("recipe", "epochs") == 4
    for file in run_folder.glob("whole/*.safetensors"):
        ours, theirs = load_tensors(run.path / file.name)[0], load_tensors(file)[0]
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs), file.name
    exact = ("epoch", "step", "learning_rate", "train_loss", "val_nll")
    logs = [[[e[key] for key in exact] for e in events(folder, "epoch")] for folder in (run.path, whole.path)]
    assert logs[0] == logs[1]
    assert run.config.get("best") == whole.config.get("best")
    assert "--epochs 4" in repeating_command(Run.open(run.path, device="cpu"), store)
    assert [event["epochs"] for event in events(run.path, "end")] == [4]


def test_killed_while_a_finished_run_is_reopened_it_is_whole(
    store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(store, run_folder, options(epochs=1), quiet=True)
    before = digest(run_folder)
    for when in ("save_checkpoint", "write_config"):
        for late in (False, True):
            plain = getattr(RunFolder, when)

            def dying(self, *rest, _plain=plain, _late=late, **more):
                if _late:
                    _plain(self, *rest, **more)
                raise Killed

            with monkeypatch.context() as patch:
                patch.setattr(RunFolder, when, dying)
                with pytest.raises(Killed):
                    train(store, run_folder, options(epochs=2), resume=True, quiet=True)
            assert digest(run_folder) == before
    run = train(store, run_folder, options(epochs=2), resume=True, quiet=True)
    assert run.value("epochs_trained") == 2
    assert not (run_folder / "state").exists()


def test_what_cannot_be_trained_further_says_why(store: Store, run_folder: Path) -> None:
    train(store, run_folder / "staged", options(recipe="145", epochs=2), quiet=True)
    with pytest.raises(UsageError, match="can't be stretched"):
        train(store, run_folder / "staged", options(recipe="145", epochs=4), resume=True, quiet=True)
    slow = {"patience": 1, "learning_rate": 1e-9}
    ended = train(store, run_folder / "plateau", options(epochs=30, **slow), quiet=True)
    assert ended.value("epochs_trained") < 30
    with pytest.raises(UserError, match=r"learning rate has reached its end there\. To train further.*--take all"):
        train(store, ended.path, options(epochs=40, **slow), resume=True, quiet=True)
    assert RunFolder.open(ended.path).value("finished")
    train(store, run_folder / "old", options(epochs=1), quiet=True)
    (run_folder / "old" / "velocities.safetensors").unlink()
    with pytest.raises(UserError, match=r"has no velocities.safetensors, so .* --take all --epochs 1"):
        train(store, run_folder / "old", options(epochs=2), resume=True, quiet=True)


def test_a_loss_that_is_no_number_names_the_layer_and_keeps_the_last_state(
    store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = loop.train_batch

    def poisoned(state, *rest):
        if state.cursor.step == 9:
            with torch.no_grad():
                state.network.get_parameter("conv4.weight")[0] = 1e38
        return plain(state, *rest)

    monkeypatch.setattr(loop, "train_batch", poisoned)
    with pytest.raises(UserError, match=r"epoch 2, batch 3.*conv4"):
        train(store, run_folder, options(), quiet=True)
    assert all(torch.isfinite(w).all() for w in RunFolder.open(run_folder).network.parameters())


@pytest.fixture
def behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outcomes are looked at one update late, as on a GPU."""
    for module in (loop, step):
        monkeypatch.setattr(module, "is_asynchronous", lambda _: True)


@pytest.mark.usefixtures("behind")
@pytest.mark.parametrize("step", [0, 1, 6, 7, 13])
def test_looked_at_late_all_is_the_same(store: Store, run_folder: Path, unbroken: Path, step: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, step)
        with pytest.raises(Killed):
            train(store, run_folder, options(save_minutes=0 if step != 13 else 5), quiet=True)
    train(store, run_folder, options(), resume=True, quiet=True)
    assert digest(run_folder) == digest(unbroken)
    exact = ("epoch", "step", "train_loss", "train_top1_error", "val_nll", "val_top1_error")
    found, wanted = (
        [[event[key] for key in exact] for event in events(folder, "epoch")] for folder in (run_folder, unbroken)
    )
    assert found == wanted


@pytest.mark.usefixtures("behind")
@pytest.mark.parametrize("step", [0, 8, 9, 12, 13])
def test_a_loss_that_is_no_number_seen_late_is_never_saved(
    store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    plain = loop.train_batch

    def poisoned(state, *rest):
        if state.cursor.step == step:
            with torch.no_grad():
                state.network.get_parameter("conv4.weight")[0] = 1e38
        return plain(state, *rest)

    monkeypatch.setattr(loop, "train_batch", poisoned)
    with pytest.raises(UserError, match=rf"epoch {step // 7 + 1}, batch {step % 7 + 1}; run one process on the CPU"):
        train(store, run_folder, options(save_minutes=0 if step == 8 else 5), quiet=True)
    for path in run_folder.rglob("*.safetensors"):
        tensors, _ = load_tensors(path)
        assert all(torch.isfinite(tensor).all() for tensor in tensors.values())


def test_a_stuck_loss_is_pointed_out(store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "STUCK_STEPS", 10)
    train(store, run_folder, options(learning_rate=1e-9), quiet=True)
    stuck = [note["text"] for note in events(run_folder, "note") if "stuck at ln(classes)" in note["text"]]
    assert len(stuck) == 1


def test_starting_from_another_run_with_frozen_layers(store: Store, run_folder: Path, unbroken: Path) -> None:
    run = train(store, run_folder, options(start_from=unbroken, freeze="conv1-conv3"), quiet=True)
    before, after = RunFolder.open(unbroken).network.state_dict(), run.network.state_dict()
    kept = {name for name in before if torch.equal(before[name], after[name])}
    assert kept == {f"conv{n}.{kind}" for n in (1, 2, 3) for kind in ("weight", "bias")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"net": "alexnte"}, "no network 'alexnte'"),
        ({"net": "alexnet"}, "40 pixels a side, alexnet takes crops of 224"),
        ({"recipe": "999"}, "--recipe 999"),
        ({"batch": 0}, "--batch 0"),
        ({"epochs": 0}, "--epochs 0"),
        ({"learning_rate": float("nan")}, "--learning-rate nan"),
        ({"width": -1.0}, "--width -1"),
        ({"freeze": "conv9"}, "no layer 'conv9'"),
        ({"freeze": "conv1-fc8"}, "no layer is left to train"),
        ({"device": "cuda"}, "--device cuda: not available here"),
        ({"start_from": Path("nowhere")}, "no such run folder"),
    ],
)
def test_bad_options_leave_nothing_behind(store: Store, run_folder: Path, changes: dict, message: str) -> None:
    if changes.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(UserError, match=message):
        train(store, run_folder, options(**changes), quiet=True)
    assert not run_folder.exists()


def test_a_store_without_validation_pictures_is_refused(store: Store, run_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(store.path, tmp_path / "copy")
    half = Store.open(tmp_path / "copy")
    half.splits.pop("val")
    with pytest.raises(UserError, match="no val pictures"):
        train(half, run_folder, options(), quiet=True)


def test_snapshots_at_the_epochs_of_zeiler_and_fergus(store: Store, run_folder: Path) -> None:
    run = train(store, run_folder, options(epochs=6, snapshots=True), quiet=True)
    assert list(run.snapshots) == [1, 2, 5, 6]
    last = run.load_weights(run.snapshots[6])
    assert tensor_digest(last.state_dict()) == digest(run_folder)


def test_logged_recipe_and_zeilers_recipe_run(store: Store, run_folder: Path) -> None:
    train(store, run_folder / "145", options(recipe="145", epochs=6), quiet=True)
    rates = [event["learning_rate"] for event in events(run_folder / "145", "epoch")]
    assert rates == pytest.approx([1e-2, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])
    run = train(store, run_folder / "zf", options(recipe="zf"), quiet=True)
    assert run.value("recipe", "rms_limit") == 0.1
    rms = run.network.get_parameter("conv1.weight").detach().square().mean(dim=(1, 2, 3)).sqrt()
    assert float(rms.max()) <= 0.1 + 1e-6
    low = train(store, run_folder / "low", options(recipe="zf", rms_limit=0.002), quiet=True)
    rms = low.network.get_parameter("conv1.weight").detach().square().mean(dim=(1, 2, 3)).sqrt()
    assert float(rms.max()) == pytest.approx(0.002, rel=1e-3)
    bare = train(store, run_folder / "bare", options(recipe="zf", rms_limit=0.0), quiet=True)
    rms = bare.network.get_parameter("conv1.weight").detach().square().mean(dim=(1, 2, 3)).sqrt()
    assert float(rms.min()) > 0.002, "nothing is cut back to 0"
    with pytest.raises(UserError, match="--rms-limit -1"):
        train(store, run_folder / "negative", options(recipe="zf", rms_limit=-1.0), quiet=True)


def test_two_at_once_in_one_folder_are_refused(store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = loop.train_batch
    refusals = []

    def second(state, *rest):
        if state.cursor.step == 3:
            with pytest.raises(UserError, match="another process is training") as refusal:
                train(store, run_folder, options(), resume=True, quiet=True)
            refusals.append(refusal)
        return plain(state, *rest)

    monkeypatch.setattr(loop, "train_batch", second)
    train(store, run_folder, options(epochs=1), quiet=True)
    assert len(refusals) == 1


def test_the_disk_needed_is_told_and_refused_if_absent(
    store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(store, run_folder / "a", options(epochs=2, snapshots=True), quiet=True)
    told = [note["text"] for note in events(run.path, "note") if "of disk, including 2 snapshots" in note["text"]]
    assert len(told) == 1
    assert "up to 0" not in told[0], "a small network's size is told in smaller units"
    usage = shutil.disk_usage(run_folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(UserError, match=r"are free: .* too little\. Free some, or train elsewhere"):
        train(store, run_folder / "b", options(), quiet=True)
    assert not (run_folder / "b").exists()


def test_a_run_takes_no_more_disk_than_was_told(
    store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_at(monkeypatch, 20)
    with pytest.raises(Killed):
        train(store, run_folder, options(save_minutes=0, snapshots=True), quiet=True)
    tensors = [file.stat().st_size for file in run_folder.rglob("*.safetensors") if file.name != "inputs.safetensors"]
    network = RunFolder.open(run_folder).empty_network()
    assert sum(tensors) < disk_needed(network, 3, snapshots=True) - (1 << 20) + 8192 * len(tensors)


def test_going_on_with_another_torch_is_said(store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_at(monkeypatch, 10)
    with pytest.raises(Killed):
        train(store, run_folder, options(), quiet=True)
    monkeypatch.undo()
    config = json.loads((run_folder / "config.json").read_text())
    (run_folder / "config.json").write_text(json.dumps(config | {"torch": "1.0", "checksum": ""}))
    train(store, run_folder, options(), resume=True, quiet=True)
    assert any("torch was '1.0'" in note["text"] for note in events(run_folder, "note"))


@pytest.mark.parametrize("when", ["save_checkpoint", "save_model", "drop_checkpoints", "write_config"])
@pytest.mark.parametrize("before", [True, False])
def test_killed_between_any_two_files(
    store: Store, run_folder: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch, when: str, before: bool
) -> None:
    """Around every file that an epoch's end and a run's end write, in the first epoch and in the last."""
    for count in (1, 2, 3):
        folder, calls = run_folder / str(count), 0
        plain = getattr(RunFolder, when)

        def dying(self: RunFolder, *rest: object, plain=plain, count=count, **more: object) -> None:
            nonlocal calls
            calls += 1
            if calls == count and before:
                raise Killed
            plain(self, *rest, **more)
            if calls == count:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(RunFolder, when, dying)
            with contextlib.suppress(Killed):
                train(store, folder, options(save_minutes=0), quiet=True)
        train(store, folder, options(save_minutes=0), resume=True, quiet=True)
        assert digest(folder) == digest(unbroken)
        assert RunFolder.open(folder).config["finished"]


@pytest.mark.parametrize("epochs", [-7, 0, 1])
def test_fewer_epochs_than_trained_are_refused(
    store: Store, run_folder: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch, epochs: int
) -> None:
    kill_at(monkeypatch, 16)
    with pytest.raises(Killed):
        train(store, run_folder, options(save_minutes=0), quiet=True)
    monkeypatch.undo()
    with pytest.raises(UsageError, match="--epochs"):
        train(store, run_folder, options(epochs=epochs), resume=True, quiet=True)
    train(store, run_folder, options(), resume=True, quiet=True)
    assert digest(run_folder) == digest(unbroken)


def test_a_logged_schedule_is_not_stretched_while_it_runs(
    store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_at(monkeypatch, 10)
    with pytest.raises(Killed):
        train(store, run_folder, options(recipe="145", epochs=6), quiet=True)
    monkeypatch.undo()
    with pytest.raises(UsageError, match="can't be stretched"):
        train(store, run_folder, options(recipe="145", epochs=12), resume=True, quiet=True)


def test_weights_that_are_no_numbers_are_never_saved(store: Store, run_folder: Path) -> None:
    """One batch an epoch: the loss is sound, the update made from it is not."""
    with pytest.raises(UserError, match=r"not a number \(NaN\) in epoch 1, batch 1; this update, the epoch's last,"):
        train(store, run_folder, options(learning_rate=1e30, batch=500, save_minutes=0), quiet=True)
    for file in run_folder.rglob("*.safetensors"):
        assert all(torch.isfinite(tensor).all() for tensor in load_tensors(file)[0].values()), file


def test_another_store_or_option_is_refused_for_an_ended_run_too(store: Store, unbroken: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--seed 9"):
        train(store, unbroken, options(seed=9), resume=True, quiet=True)
    config = json.loads((unbroken / "config.json").read_text())
    shutil.copytree(unbroken, tmp_path / "copy")
    config["data"]["fingerprint"], config["checksum"] = "another", ""
    (tmp_path / "copy" / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="not the store"):
        train(store, tmp_path / "copy", options(), resume=True, quiet=True)


def test_the_network_of_the_run_started_from_is_taken(store: Store, run_folder: Path, unbroken: Path) -> None:
    plain = {name: value for name, value in SMALL.items() if name not in ("net", "width")}
    run = train(store, run_folder, TrainOptions(**plain, start_from=unbroken, freeze="conv1-fc7"), quiet=True)  # type: ignore[arg-type]
    assert run.table.rows[:-1] == RunFolder.open(unbroken).table.rows[:-1]
    with pytest.raises(UserError, match="Leave out --net and --width"):
        train(store, run_folder / "other", options(start_from=unbroken, width=0.25), quiet=True)


def test_frozen_batch_norm_stays_as_it_is(store: Store, run_folder: Path) -> None:
    small = options(net="alexnet-bn", width=0.1, input_size=40, epochs=1)
    first = train(store, run_folder / "a", small, quiet=True)
    kept = options(net=None, width=1.0, input_size=40, epochs=1, start_from=first.path, freeze="conv1-conv5")
    second = train(store, run_folder / "b", kept, quiet=True)
    before, after = first.network.state_dict(), second.network.state_dict()
    frozen = [name for name in before if not name.startswith("fc")]
    assert any("running_mean" in name for name in frozen)
    assert all(torch.equal(before[name], after[name]) for name in frozen)


@pytest.mark.parametrize(
    "changes",
    [
        {"decay": float("nan")},
        {"threshold": float("inf")},
        {"save_minutes": float("nan")},
        {"threads": 10**6},
        {"freeze": "conv5-conv1"},
    ],
)
def test_numbers_that_are_none_and_spans_that_are_empty(store: Store, run_folder: Path, changes: dict) -> None:
    with pytest.raises(UsageError, match="--"):
        train(store, run_folder, options(**changes), quiet=True)
    assert not run_folder.exists()


def test_bf16_goes_on_to_the_same_bits(store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(store, run_folder / "a", options(precision="bf16"), quiet=True)
    kill_at(monkeypatch, 12)
    with pytest.raises(Killed):
        train(store, run_folder / "b", options(precision="bf16", save_minutes=0), quiet=True)
    monkeypatch.undo()
    train(store, run_folder / "b", options(precision="bf16"), resume=True, quiet=True)
    assert digest(run_folder / "a") == digest(run_folder / "b")


def test_going_on_with_nothing_says_that_a_new_run_begins(store: Store, run_folder: Path) -> None:
    train(store, run_folder, options(epochs=1), resume=True, quiet=True)
    notes = [note["text"] for note in events(run_folder, "note")]
    assert any("no run to resume, so a new one starts" in note for note in notes)
    assert any("only 7 updates an epoch" in note for note in notes)


# ── taking weights of other runs ─────────────────────────────────────────────────────────────────────────────────


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return RunFolder.open(folder).network.state_dict()


def test_take_transplants_the_named_layers_only(store: Store, run_folder: Path, unbroken: Path) -> None:
    changed = options(start_from=unbroken, take="conv1-conv3", net="toy-no-fc7", freeze="conv1-conv3", epochs=1, seed=5)
    train(store, run_folder, changed, quiet=True)
    ours, theirs = weights_of(run_folder), weights_of(unbroken)
    for name in ("conv1", "conv2", "conv3"):
        assert torch.equal(ours[f"{name}.weight"], theirs[f"{name}.weight"])
    assert not torch.equal(ours["conv4.weight"], theirs["conv4.weight"])


def test_take_all_goes_on_with_a_finished_run(store: Store, run_folder: Path, unbroken: Path) -> None:
    train(store, run_folder, options(start_from=unbroken, take="all", epochs=1, learning_rate=1e-12), quiet=True)
    ours, theirs = weights_of(run_folder), weights_of(unbroken)
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in theirs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"take": "conv1"}, "--take conv1: name the run"),
        ({"take": "conv9", "start_from": True}, "--take conv9: there is no layer 'conv9'"),
        ({"take": "conv3-conv1", "start_from": True}, "write conv1-conv3"),
        ({"take": "fc6", "start_from": True, "net": "toy-no-conv4", "input_size": 40}, "fc6.weight is"),
    ],
)
def test_take_refuses_what_it_can_t_do(
    store: Store, run_folder: Path, unbroken: Path, changes: dict, message: str
) -> None:
    given = changes | ({"start_from": unbroken} if changes.get("start_from") else {})
    with pytest.raises(UserError, match=message):
        train(store, run_folder, options(**given), quiet=True)
    assert not run_folder.exists()


def test_an_import_that_lacks_layers_is_started_from(store: Store, run_folder: Path, unbroken: Path) -> None:
    """As of product-quantised files without fc6: what is there is taken, the rest begins anew."""
    shutil.copytree(unbroken, run_folder / "lacking")
    source = RunFolder.open(run_folder / "lacking")
    weights = {name: tensor for name, tensor in source.network.state_dict().items() if not name.startswith("fc6")}
    source.write_config(missing_layers=["fc6"])
    source.save_model(weights, ["fc6"])
    start = options(start_from=source.path, freeze="conv1-conv5", epochs=1, seed=7)
    run = train(store, run_folder / "a", start, quiet=True)
    ours, theirs = weights_of(run.path), weights_of(unbroken)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours if name.startswith("conv"))
    assert torch.isfinite(ours["fc6.weight"]).all()
    notes = " ".join(note["text"] for note in events(run.path, "note"))
    assert "taken and frozen: conv1" in notes
    assert "new: fc6, fc8" in notes
    with pytest.raises(UserError, match=r"--take conv1-fc7: .* no weights for fc6"):
        train(store, run_folder / "b", options(start_from=source.path, take="conv1-fc7"), quiet=True)


@pytest.mark.parametrize(("freeze", "kept"), [("conv1", True), ("conv2", False), ("", False)])
def test_a_frozen_first_layer_keeps_the_mean_it_knows(
    store: Store, run_folder: Path, unbroken: Path, freeze: str, kept: bool
) -> None:
    shutil.copytree(unbroken, run_folder / "source")
    mean, about = load_tensors(run_folder / "source" / "inputs.safetensors")
    mean["mean_image"] += 5
    save_tensors(run_folder / "source" / "inputs.safetensors", mean, about)
    start = options(start_from=run_folder / "source", freeze=freeze, epochs=1)
    run = train(store, run_folder / "a", start, quiet=True)
    own = RunFolder.open(unbroken).inputs.mean_image
    assert torch.equal(run.inputs.mean_image, own + 5 if kept else own)
    told = any("with its mean image" in note["text"] for note in events(run.path, "note"))
    assert told == kept


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_frozen_layers_stay_to_the_bit_also_taken_up_again(
    store: Store, run_folder: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """With decay and the limit on filters, in both arithmetics (bf16 learns by copies), killed in between."""
    start = options(start_from=unbroken, freeze="conv1-conv3,fc6", recipe="zf", decay=0.01, precision=precision)
    whole = train(store, run_folder / "whole", start, quiet=True)
    kill_at(monkeypatch, 9)
    with pytest.raises(Killed):
        train(store, run_folder / "a", start, quiet=True)
    monkeypatch.undo()
    train(store, run_folder / "a", start, resume=True, quiet=True)
    ours, theirs = weights_of(run_folder / "a"), weights_of(unbroken)
    still = {name for name in ours if name in theirs and torch.equal(ours[name], theirs[name])}
    assert still == {f"{layer}.{kind}" for layer in ("conv1", "conv2", "conv3", "fc6") for kind in ("weight", "bias")}
    assert digest(run_folder / "a") == digest(whole.path)


def test_nothing_is_computed_backwards_through_a_frozen_beginning(store: Store, unbroken: Path) -> None:
    """No gradient graph, so nothing kept for it: the output of the last frozen layer requires none."""
    from alexnet.train.warm_start import freeze

    network = RunFolder.open(unbroken).network.train()
    freeze(network, "conv1-conv5")
    maps = network.activations(torch.randn(2, 3, network.input_size, network.input_size)).maps
    behind = [name for name, values in maps.items() if values.requires_grad]
    assert behind[0] == "fc6"
    assert not any(name.startswith(("conv", "pool", "norm")) for name in behind)
