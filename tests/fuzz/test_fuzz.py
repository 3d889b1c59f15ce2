"""The fuzzer in short: every parser on a few hundred changed files; and the fuzzer, which must find what is planted.

The long run: `python -m tests.fuzz`, see docs/reliability.md.
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # test folders are not packages

import engine
import mutate
import oracle

from alexnet.errors import UserError
from alexnet.files.schema import parsed

ROOT = Path(__file__).parents[2]
INPUTS = 120
"""For each parser: all of them in half a minute on two cores."""
pytest.importorskip("fastapi", reason="the explorer's packages are not installed: pip install '.[serve]'")
pytest.importorskip("onnx", reason="not installed: pip install '.[onnx]'")


def test_every_parser_takes_or_refuses_a_few_changed_files(tmp_path: Path) -> None:
    """Each in a process of its own, so that none can take this one down."""
    words = [
        sys.executable,
        "-m",
        "tests.fuzz",
        "--drawn",
        "--inputs",
        str(INPUTS),
        "--jobs",
        "2",
        "--out",
        str(tmp_path),
    ]
    found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert found.returncode == 0, found.stdout[-4000:] + found.stderr[-2000:]
    rows = [line for line in found.stdout.splitlines() if line.startswith("|")][2:-1]
    assert len(rows) > 50
    assert all(f"| {INPUTS} |" in row for row in rows)
    told = [line for line in found.stdout.splitlines() if " sound seeds, " in line]
    assert len(told) == len(rows)
    assert not [line for line in told if ", 0 sound seeds, " in line], "all that these parsers are given is refused"


# ── the oracle: what is planted is found ─────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> oracle.Watch:
    return oracle.Watch(tmp_path_factory.mktemp("watched"))


def refuse(_: bytes) -> None:
    raise UserError("x.bin: damaged. Restore it.")


def missing(_: bytes) -> None:
    Path("/no/such/file").read_bytes()


def test_taken_and_refused(watch: oracle.Watch) -> None:
    assert watch.judge(len, b"x") == ("taken", "")
    assert watch.judge(refuse, b"x") == ("refused", "x.bin: damaged. Restore it.")
    assert watch.judge(missing, b"x")[0] == "refused"


def runs_code(_: bytes) -> None:
    exec("1 + 1")


def swallows_the_refusal(_: bytes) -> None:
    try:
        os.system("true")
    except BaseException:
        return


def connects(_: bytes) -> None:
    with socket.socket() as one:
        one.connect(("127.0.0.1", 9))


FAULTS = {
    "ValueError": lambda _: int("x"),
    "RecursionError": lambda _: (f := lambda: f()) and f(),
    "os.system": swallows_the_refusal,
    "subprocess.Popen": lambda _: subprocess.run(["true"]),
    "exec of": runs_code,
    "pickle.find_class": lambda _: __import__("pickle").loads(b"cbuiltins\nlen\n."),
    "socket.connect": connects,
    "open for writing": lambda _: Path("/tmp/never-written").write_bytes(b""),
    "os.mkdir": lambda _: os.mkdir("/tmp/never-made"),
    "a sentence of 0 characters": lambda _: (_ for _ in ()).throw(UserError("")),
}


@pytest.mark.parametrize("what", FAULTS)
def test_faults_are_found(watch: oracle.Watch, what: str) -> None:
    kind, words = watch.judge(FAULTS[what], b"x")
    assert (kind, what in words) == ("fault", True), words
    assert not Path("/tmp/never-written").exists()


def test_what_takes_too_long_is_a_fault(watch: oracle.Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle, "SECONDS", 0.2)
    assert watch.judge(lambda _: time.sleep(5), b"x") == ("fault", "TooLong in outside")


def test_what_takes_too_much_memory_is_a_fault(watch: oracle.Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter((100 << 20, 900 << 20))
    monkeypatch.setattr(oracle, "_most_memory", lambda: next(sizes))
    monkeypatch.setattr(watch, "_most", 0)
    assert watch.judge(len, b"x") == ("taken", "")
    assert watch.judge(len, b"x") == ("fault", "memory grew by 800 MB")


def test_writing_in_the_case_s_folder_is_no_fault(watch: oracle.Watch) -> None:
    assert watch.judge(lambda data: (Path(watch.folder) / "a").write_bytes(data), b"x") == ("taken", "")


# ── the engine ───────────────────────────────────────────────────────────────────────────────────────────────────


def planted(folder: Path) -> engine.Target:
    """Falls over where a letter of its seed became another one."""

    def take(data: bytes) -> None:
        if data[:1] == b"s" and data != b"seed":
            raise UserError("it is no seed")
        if data[:1] != b"s":
            raise KeyError(data[:1])

    return engine.Target([b"seed"], mutate.any_bytes, take)


def dies(folder: Path) -> engine.Target:
    def take(data: bytes) -> None:
        if data != b"seed":
            os._exit(11)

    return engine.Target([b"seed"], mutate.any_bytes, take)


def test_a_planted_fault_is_found_and_its_case_kept(tmp_path: Path) -> None:
    parsers = [engine.Parser("planted", planted, {}), engine.Parser("dies", dies, {})]
    results = {}
    engine.run(
        parsers, engine.FuzzingPlan(300, 60, 0, tmp_path), 2, lambda result: results.update({result.name: result})
    )
    found = results["planted"]
    assert found.inputs == 300
    assert found.refused > 0
    assert found.taken > 0
    [(what, case)] = found.kept.items()
    assert what == "KeyError in outside"
    assert Path(case).read_bytes()[:1] != b"s"
    assert list(results["dies"].faults) == ["the process died (11)"]
    assert Path(next(iter(results["dies"].kept.values()))).read_bytes() != b"seed"


# ── the changes ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "change", [mutate.any_bytes, mutate.text, mutate.json_file, mutate.message, mutate.tar, mutate.xml]
)
def test_changes_take_any_bytes_and_repeat_themselves(change: mutate.Change) -> None:
    for number in range(300):
        random = Random(number)
        data = random.randbytes(random.randrange(700))
        assert change(Random(number), data) == change(Random(number), data)


def test_changed_json_is_of_every_kind() -> None:
    known = {"a": [1, 2.5, "x", None, {"b": True}]}
    changed = [mutate.json_file(Random(number), json.dumps(known).encode()) for number in range(2000)]
    assert len(set(changed)) > 500
    assert any(b"NaN" in data for data in changed)
    assert any(len(data) > 100_000 for data in changed)
    readable = 0
    for data in changed:
        try:
            parsed(data, strange_numbers=True)
            readable += 1
        except ValueError:
            pass
    assert readable > 1000
    assert known == {"a": [1, 2.5, "x", None, {"b": True}]}
