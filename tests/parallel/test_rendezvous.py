"""Where processes meet: what torchrun's variables say, and one line if they say nonsense or nobody comes."""

import socket
import threading
import time

import pytest

from alexnet import cli
from alexnet.errors import UserError
from alexnet.parallel import launch
from alexnet.parallel.heartbeat import in_ranks
from alexnet.parallel.launch import VARIABLES, Rendezvous, launched

MEETING = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.fixture
def port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def set_variables(monkeypatch: pytest.MonkeyPatch, given: dict[str, str]) -> None:
    for name in (*VARIABLES, "TORCHELASTIC_USE_AGENT_STORE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"WORLD_SIZE": "1"},
        {"WORLD_SIZE": "1", "RANK": "0", **MEETING},
        {"WORLD_SIZE": "", "RANK": ""},
        {"RANK": "0", "LOCAL_RANK": "0"},
        {"SLURM_NTASKS": "4", "SLURM_PROCID": "2", "SLURM_JOB_ID": "1"},  # an interactive allocation
        MEETING,
    ],
)
def test_one_process_needs_no_rendezvous(given: dict[str, str]) -> None:
    assert Rendezvous.of(given) is None


def test_torchrun_s_variables_are_read() -> None:
    assert Rendezvous.of({"WORLD_SIZE": "4", "RANK": "3", **MEETING}) == Rendezvous(3, 4, "127.0.0.1", 29500)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"WORLD_SIZE": "2", "RANK": "0"}, "MASTER_ADDR, MASTER_PORT not set"),
        ({"WORLD_SIZE": "2"}, "RANK, MASTER_ADDR, MASTER_PORT not set"),
        ({"RANK": "1"}, "WORLD_SIZE, MASTER_ADDR, MASTER_PORT not set"),
        ({"WORLD_SIZE": "2", "RANK": " ", **MEETING}, "RANK not set"),
        ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "host"}, "MASTER_PORT not set"),
        ({"WORLD_SIZE": "two", "RANK": "0", **MEETING}, "must be whole numbers"),
        ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "host", "MASTER_PORT": "http"}, "must be whole numbers"),
        ({"WORLD_SIZE": "2", "RANK": "2", **MEETING}, "RANK must be below WORLD_SIZE"),
        ({"WORLD_SIZE": "2", "RANK": "-1", **MEETING}, "RANK must be below WORLD_SIZE"),
        ({"WORLD_SIZE": "0", "RANK": "0", **MEETING}, "RANK must be below WORLD_SIZE"),
        ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "host", "MASTER_PORT": "0"}, "MASTER_PORT between 1 and"),
    ],
)
def test_variables_that_start_no_processes_are_named_with_the_remedy(
    given: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_variables(monkeypatch, given)
    assert cli.main(["train", "store", "--out", "run"]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert "to train in one process, unset WORLD_SIZE and RANK" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(("rank", "missing"), [(0, "rank 1"), (1, "rank 0")])
def test_a_rendezvous_that_no_one_joins_says_who_is_missing_and_ends_after_the_timeout(
    rank: int, missing: str, port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_variables(monkeypatch, {"WORLD_SIZE": "2", "RANK": str(rank), **MEETING, "MASTER_PORT": str(port)})
    monkeypatch.setattr(launch, "PATIENCE", 0.1)
    with pytest.raises(UserError, match=r"(rank 1 did not come within|no rendezvous there).* WORLD_SIZE"):
        launched(timeout=0.6).__enter__()
    assert f"rank {rank} of 2 at 127.0.0.1:{port}: waiting for {missing}, at most 0.6 s" in capsys.readouterr().err
    assert launch.PATIENCE < 10


def test_a_port_in_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        given = {"WORLD_SIZE": "2", "RANK": "0", **MEETING, "MASTER_PORT": str(other.getsockname()[1])}
        set_variables(monkeypatch, given)
        with pytest.raises(UserError, match=r"the port is in use\. Choose another MASTER_PORT"):
            launched(timeout=1).__enter__()


def test_a_rendezvous_that_comes_late_is_waited_for(port: int) -> None:
    def come() -> None:
        time.sleep(0.3)
        with socket.create_server(("127.0.0.1", port)) as listener, listener.accept()[0]:
            pass

    late = threading.Thread(target=come)
    late.start()
    Rendezvous(1, 2, "127.0.0.1", port)._wait_for_port(time.monotonic() + 20)
    late.join()


def test_ranks_in_words() -> None:
    assert [in_ranks(range(1, last)) for last in (2, 3, 12)] == ["rank 1", "ranks 1, 2", "ranks 1, 2, 3, 4 and 7 more"]
