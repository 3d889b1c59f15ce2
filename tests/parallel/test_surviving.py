"""Workers killed and stopped under torchrun: the job comes back to the same bits, or says in one line who is lost."""

import io
import os
import shutil
import signal
import socket
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import two_hosts
from processes import together
from torchrun import PATIENCE, saved_step, started, until, workers

from alexnet import cli
from alexnet.data.store.read import Store
from alexnet.files.tensors import tensor_digest
from alexnet.runs.folder import RunFolder
from alexnet.train import loop
from alexnet.train.state import TrainingState

BATCHES = 7  # of an epoch


def line(store: Store, run: Path, *options: str) -> list[str]:
    shared = ["--net", "toy", "--epochs", "4", "--batch", "32", "--precision", "fp32", "--save-minutes", "0.0002"]
    return ["train", str(store.path), "--out", str(run), *shared, *options]


def digest(run: Path) -> str:
    return tensor_digest(RunFolder.open(run).network.state_dict())


def in_mid_epoch(run: Path) -> bool:
    return saved_step(run) % BATCHES in range(1, BATCHES - 2)


@pytest.mark.parametrize(
    ("processes", "options", "victims"),
    [
        (2, ["--columns", "2"], [1]),
        pytest.param(3, ["--hybrid"], [0, 2, 1], marks=pytest.mark.long),
        pytest.param(4, ["--columns", "2"], [3, 0], marks=pytest.mark.long),
        pytest.param(3, [], [0, 1], marks=pytest.mark.long),
    ],
    ids=["columns", "hybrid", "both", "data"],
)
def test_a_killed_worker_brings_the_job_back(
    store: Store, tmp_path: Path, processes: int, options: list[str], victims: list[int]
) -> None:
    """SIGKILL in mid-epoch, once for each victim: the job finishes by itself, with the weights of an unbroken one."""
    together(processes, cli.main, line(store, tmp_path / "unbroken", *options))
    run, said = tmp_path / "killed", tmp_path / "killed.txt"
    with started(said, processes, line(store, run, *options), ["--max-restarts", "5"]) as torchrun:
        for victim in victims:
            before = saved_step(run)
            until(lambda: saved_step(run) > before and in_mid_epoch(run), torchrun, "a state in mid-epoch")  # noqa: B023
            os.kill(workers(torchrun)[victim], signal.SIGKILL)
            restarts = said.read_text().count("resuming in epoch")
            until(lambda: said.read_text().count("resuming in epoch") > restarts, torchrun, "the restart")  # noqa: B023
        assert torchrun.wait(PATIENCE) == 0
    assert digest(run) == digest(tmp_path / "unbroken")
    assert len(RunFolder.open(run).config["starts"]) == 1 + len(victims)
    assert "Traceback" not in said.read_text()


def command_but(step: int, rank: int, hinder: Callable[[TrainingState], None], arguments: list[str]) -> tuple[int, str]:
    """(exit code, stderr) of a command line in which one rank is hindered before an update."""
    plain, said = loop.train_batch, io.StringIO()

    def hindered(state: TrainingState, *rest):
        if (state.cursor.step, state.team.rank) == (step, rank):
            hinder(state)
        return plain(state, *rest)

    loop.train_batch = hindered
    with redirect_stdout(io.StringIO()), redirect_stderr(said):
        try:
            code = cli.main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
    return code, said.getvalue()


def stop_yourself(_: TrainingState) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def lose_the_disk(state: TrainingState) -> None:
    """No state can be written any more."""
    shutil.rmtree(state.run.path / "state", ignore_errors=True)
    (state.run.path / "state").write_text("no folder")


def the_message(found: list[tuple[int, str]]) -> str:
    """What the ranks have said: one of them, in one line; all end with exit code 1."""
    messages = [words for _, said in found for words in said.splitlines() if words.startswith("alexnet: ")]
    assert len(messages) == 1, messages
    assert {code for code, _ in found} == {1}
    assert not any("Traceback" in said for _, said in found)
    return messages[0]


def test_a_stopped_worker_is_named(store: Store, tmp_path: Path) -> None:
    """SIGSTOP: it hangs, with its connections open. After --timeout seconds one message names it and its host."""
    words = line(store, tmp_path / "run", "--timeout", "3")
    found = together(3, command_but, 3, 1, stop_yourself, words, lost=(1,))
    lost = f"lost: rank 1 on {socket.gethostname()}: gone, or hanging. The last saved state is kept."
    assert lost in the_message([found[0], found[2]])


def test_a_full_disk_is_told_once(store: Store, tmp_path: Path) -> None:
    """The leader's fault in mid-run: one line, from it; the others end silently."""
    run = tmp_path / "run"
    found = together(2, command_but, 3, 0, lose_the_disk, line(store, run, "--columns", "2"))
    assert f"rank 0 of 2 on {socket.gethostname()}: {run}" in the_message(found)


def test_sigterm_to_torchrun_saves(store: Store, tmp_path: Path) -> None:
    """SIGTERM to torchrun: all stop after the same batch, all is saved, one says so."""
    run, said = tmp_path / "run", tmp_path / "said.txt"
    with started(said, 2, line(store, run, "--hybrid", "--epochs", "500")) as torchrun:
        until(lambda: saved_step(run) > 2, torchrun, "a state")
        torchrun.send_signal(signal.SIGTERM)
        torchrun.wait(PATIENCE)
    told = [words for words in said.read_text().splitlines() if "stopped; everything is saved" in words]
    assert len(told) == 1
    assert "the same torchrun command and --resume" in told[0]
    assert not (run / ".lock").exists()


@pytest.mark.long
def test_two_hosts_lose_one_and_it_comes_back(store: Store, tmp_path: Path) -> None:
    """Columns on two hosts (network namespaces): one is killed whole and started again; the weights are those of two
    processes on one host that nobody killed."""
    options = line(store, tmp_path, "--columns", "2", "--threads", "1")[4:]
    try:
        code, said = two_hosts.train_lose_and_come_back(store.path, tmp_path, options)
    except two_hosts.Absent as reason:
        pytest.skip(f"no network namespaces here: {reason}")
    assert code == 0, said
    starts = RunFolder.open(tmp_path / "run").config["starts"]
    assert len(starts) == 2
    assert starts[1]["step"] > 3
    together(2, cli.main, line(store, tmp_path / "one", "--columns", "2", "--threads", "1"))
    assert digest(tmp_path / "run") == digest(tmp_path / "one")
