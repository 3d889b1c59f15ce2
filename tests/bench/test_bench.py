"""`alexnet bench` on tiny sizes: what it prints, how it ends. No time is asserted."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet import cli
from alexnet.bench import machine, own, suite, timing
from alexnet.bench.own import Bench, Subject
from alexnet.bench.suite import load_comparisons
from alexnet.bench.timing import Row
from alexnet.data.batches import Stream
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.see.occlusion import Square
from peers import large, memory, networks, norms, pictures, seeing, training


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "COPY_BYTES", 1 << 12)
    monkeypatch.setattr(machine, "MATRIX_SIDES", (8, 16))
    monkeypatch.setattr(own, "STORE_RECORDS", 16)
    monkeypatch.setattr(pictures, "RECORDS_READ", 20)
    monkeypatch.setattr(pictures, "MADE_PICTURES", 5)
    monkeypatch.setattr(pictures, "MADE_LARGE", 2)
    monkeypatch.setattr(pictures, "IMAGENET", 3000)
    monkeypatch.setattr(large, "RECORDS_READ", 50)
    monkeypatch.setattr(training, "CIFAR_STEPS", 2)
    monkeypatch.setattr(norms, "MAPS", {"conv1": (12, 5)})
    monkeypatch.setattr(timing, "gc", SimpleNamespace(collect=lambda: None))  # 0.2 s before each thing that is timed


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, batch=4, rounds=2, say=lambda line: None, ceilings={"machine.bf16": 1.0})


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and rows of `alexnet bench … --json`, the machine's rows left out."""
    code = cli.main(["bench", *arguments, "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in rows if row["name"].startswith("machine.")} >= {"machine.copy"}
    return code, [row for row in rows if not row["name"].startswith("machine.")]


def test_lrn(capsys: pytest.CaptureFixture[str]) -> None:
    _, rows = asked(capsys, "lrn", "--batch", "2", "--repeats", "1")
    assert [(row["name"], row["at_least"]) for row in rows] == [("lrn.conv1", 20), ("lrn.conv1.fp32", None)]
    assert all(row["ratio"] > 0 and row["ours"] > 0 and row["peer"] > 0 for row in rows)


def test_data(capsys: pytest.CaptureFixture[str]) -> None:
    _, rows = asked(capsys, "data", "--batch", "4", "--repeats", "1")
    names = ["data.records", "data.records.map", "data.open", "data.memory", "data.order", "data.first_batch"]
    assert [row["name"] for row in rows] == names


def test_prepare_on_made_and_on_given_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, rows = asked(capsys, "prepare", "--repeats", "1")
    assert [(row["name"], row["at_least"]) for row in rows] == [("prepare", 0.9), ("prepare.scaled", None)]
    assert {row["unit"] for row in rows} == {"pictures/s"}
    assert rows[1]["note"].endswith("1792 × 1792 on average")
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        Image.new("RGB", (30, 20)).save(tmp_path / label / "one.jpg")
    _, rows = asked(capsys, "prepare", "--repeats", "1", "--pictures", str(tmp_path))
    assert all(row["ratio"] > 0 and row["note"].endswith("30 × 20 on average") for row in rows)


@pytest.mark.parametrize("group", ["train", "infer", "views"])
def test_groups_of_whole_networks_hand_their_rows_on(
    group: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With another group's work in its place: alexnet itself takes minutes here. Its parts are tested below."""
    seen: list[Bench] = []
    row = Row("x", "img/s", 1.0, 2.0, 0.5, 1.0)
    monkeypatch.setattr(suite, "groups", lambda say: {group: lambda bench: seen.append(bench) or [row]})
    code, (shown,) = asked(capsys, group, "--batch", "3", "--repeats", "5")
    assert (code, shown["name"]) == (1, "x")
    assert (seen[0].batch, seen[0].rounds) == (3, 5)
    assert seen[0].ceilings["machine.bf16"] > 0
    assert not seen[0].folder.exists(), "the scratch folder is gone"


def test_exit_code_and_message(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = Row("good", "s", 1.0, 2.0, 2.0, 1.0), Row("bad", "s", 1.0, 0.5, 0.5, 1.0)
    monkeypatch.setattr(suite, "run", lambda names, bench: [good])
    assert cli.main(["bench", "lrn"]) == 0
    monkeypatch.setattr(suite, "run", lambda names, bench: [good, bad])
    capsys.readouterr()
    assert cli.main(["bench", "lrn"]) == 1
    output = capsys.readouterr()
    assert output.err == "alexnet: below the target: bad\n"
    assert "| good" in output.out


def test_without_a_name_every_group_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    for groups in (own.GROUPS, load_comparisons()):
        for name in groups:
            monkeypatch.setitem(groups, name, lambda bench, name=name: ran.append(name) or [])
    assert cli.main(["bench"]) == 0
    assert ran == ["train", "infer", "views", "lrn", "prepare", "data", "see"]


def test_without_a_checkout_only_our_own_speed_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(suite, "COMPARISONS", tmp_path / "peers" / "__init__.py")
    said: list[str] = []
    assert list(suite.groups(said.append)) == ["train", "infer", "views"]
    assert "left out" in said[0]
    assert cli.main(["bench", "lrn"]) == 2
    assert "bench lrn: only in a checkout of the repository. Here: train, infer, views." in capsys.readouterr().err


def test_our_own_rows_need_no_peer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "Subject", lambda bench, net: Subject(bench, "cifar-18pct", store=bench.small_store))
    rows = [row for group in own.GROUPS.values() for row in group(bench)]
    assert [(row.name, row.peer is None) for row in rows] == [
        ("train", True),
        ("train.mfu", False),
        ("infer", True),
        ("views", False),
    ]


@pytest.mark.parametrize("arguments", [["--batch", "0"], ["--repeats", "0"]])
def test_wrong_numbers(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", *arguments]) == 2
    assert capsys.readouterr().err == f"alexnet: {' '.join(arguments)}: at least 1 is needed.\n"


def test_a_group_that_is_none() -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["bench", "nonsense"])
    assert end.value.code == 2


def test_seeing_s_rows(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("captum.attr", reason="captum is not installed (pip install captum)")
    monkeypatch.setattr(seeing, "CAPTUM_BATCHES", (2, 3))
    ours = Subject(bench, "cifar-18pct", store=bench.small_store)
    scene = seeing.Scene(bench, ours, networks.cifar().eval(), Square(16, 8))
    first, *rest = seeing.occlusion_rows(scene)
    assert (first.name, first.unit, first.at_least) == ("see.occlusion", "maps/s", 12)
    assert [(row.name, row.at_least) for row in rest] == [
        ("see.occlusion.batch", 6),
        ("see.occlusion.own", 1),
        ("see.occlusion.fp32", None),
        ("see.occlusion.batch.fp32", None),
    ]
    (first,), tops, (projected,) = seeing.first_rows(scene), seeing.top_rows(scene), seeing.project_rows(scene)
    assert (first.name, first.peer, first.at_least) == ("see.first", 2.0, 1)
    assert [(row.name, row.at_least) for row in tops] == [("see.top", 0.7), ("see.top.fp32", 0.7)]
    assert (projected.name, projected.at_least) == ("see.project", 0.25)
    assert projected.note.startswith("4 projections from conv3, fp32")
    assert all(row.ours > 0 and row.ratio for row in (first, *rest, *tops, projected))


# ── what whole networks are measured with ────────────────────────────────────────────────────────────────────────


def test_cifar_s_row(bench: Bench) -> None:
    (row,) = training.cifar_rows(replace(bench, amx=True))
    assert (row.name, row.unit, row.at_least) == ("train.cifar", "s/epoch", 2)
    assert row.ours > 0


def test_figures_that_rest_on_bf16_are_due_with_amx_only(bench: Bench) -> None:
    assert bench.due_in_bf16(8) == (None, "8 is due with AMX only")
    assert replace(bench, amx=True).due_in_bf16(8) == (8, "")


def test_mfu_counts_six_operations_for_each_multiply_add(bench: Bench) -> None:
    ours = Subject(bench, "cifar-18pct", store=bench.small_store)
    row = training.mfu(bench, ours, [0.5, 0.25, 1.0])
    assert row.ours == pytest.approx(6 * ours.macs * 4 / 0.5 / 1e12)
    assert row.ratio == pytest.approx(row.ours / 1.0)


def test_a_step_on_ready_inputs_is_the_step_on_records(bench: Bench) -> None:
    one, other = (Subject(bench, "cifar-18pct", store=bench.small_store) for _ in range(2))
    one.step()
    other.step_on(other.ready_inputs())
    for mine, theirs in zip(one.job.network.parameters(), other.job.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_stream_feeds_what_lies_in_the_store(bench: Bench) -> None:
    ours = Subject(bench, "cifar-18pct", store=bench.small_store)
    order = own.endless_order(ours.store, 40)
    assert [sorted(order[:16]), sorted(order[16:32])] == [list(range(16))] * 2
    assert not np.array_equal(order[:16], order[16:32])
    before = [weight.clone() for weight in ours.job.network.parameters()]
    with Stream(ours.store.splits["train"], 4, order) as stream:
        ours.step_from(stream)
    assert any(not torch.equal(a, b) for a, b in zip(before, ours.job.network.parameters(), strict=True))


@pytest.mark.parametrize("views", [1, 10])
def test_looking_gives_probabilities(views: int, bench: Bench) -> None:
    ours = Subject(bench, "cifar-18pct", store=bench.small_store)
    torch.testing.assert_close(ours.look(views).sum(dim=1), torch.ones(4))


def test_peers_come_in_both_settings(bench: Bench) -> None:
    steps = training.peer_steps(bench, "plain", networks.cifar, 32, classes=10)
    assert list(steps) == ["plain fp32", "plain bf16"]
    for step in steps.values():
        assert step().isfinite()


# ── memory ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_peak_memory_sees_what_a_process_takes_for_a_moment() -> None:
    program = "import time; a = bytearray(b'x') * (200 << 20); time.sleep(0.1); del a; time.sleep(0.05)"
    with subprocess.Popen(["python3", "-c", program]) as child:
        peak = memory.peak_memory(child)
    assert 200 << 20 < peak < 300 << 20


def test_memory_of_a_process_that_is_gone() -> None:
    with subprocess.Popen(["true"]) as child:
        child.wait()
    with pytest.raises(ProcessLookupError):
        memory.memory_of(child.pid)


def test_memory_elsewhere_than_on_linux_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(path: Path) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", absent)
    monkeypatch.setattr(Path, "exists", lambda path: False)
    with pytest.raises(UserError, match="only measured on Linux"):
        memory.memory_of(1)


# ── the machine and the stores ───────────────────────────────────────────────────────────────────────────────────


def test_amx_is_read_from_the_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cpu_info", {"model name": "X", "flags": "avx2 amx_bf16 amx_tile"}.__getitem__)
    assert machine.has_amx()
    assert "X (avx2, amx_bf16)" in machine.describe()
    monkeypatch.setattr(machine, "cpu_info", {"model name": "", "flags": "avx2 amx_bf16x"}.__getitem__)
    assert not machine.has_amx()
    monkeypatch.setattr(machine, "cpu_info", lambda name: "")
    assert not machine.has_amx()
    assert machine.describe()


def test_made_pictures_are_as_large_as_imagenet_s(tmp_path: Path) -> None:
    source = pictures.made_pictures(tmp_path / "made", 4)
    sizes = [len(item.read()) for item in source.splits["train"]]
    assert 60_000 < np.mean(sizes) < 200_000


def test_pillow_s_record_is_about_ours(tmp_path: Path) -> None:
    source = pictures.made_pictures(tmp_path / "made", 2)
    store = prepare(source, tmp_path / "store")
    for index, item in enumerate(source.splits["train"]):
        ours = store.splits["train"].pictures[index].astype(int)
        assert np.abs(ours - pictures.record_by_pillow(item)).mean() < 1


def test_pictures_that_are_arrays_cannot_be_decoded(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = own.noise_source(4, classes=2, size=8)
    monkeypatch.setattr(pictures, "open_source", lambda spec: source)
    with pytest.raises(UserError, match="nothing to decode"):
        pictures.prepare_rows(replace(bench, pictures=tmp_path))


def test_a_sparse_store_is_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large.make_sparse_store(tmp_path / "large", 1000)
    store = Store.open(tmp_path / "large")
    assert len(store.splits["train"]) == 1000
    assert not store.verify()
    found = large.measured_opening(tmp_path / "large", 16)
    assert set(found) == {"open", "memory", "order", "first_batch", "record"} == {*pictures.LIMITS, "record"}
    assert 0 < found["record"] < 1


def test_where_no_sparse_file_can_be_made_it_is_said(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path, count: int) -> None:
        raise OSError(27, "File too large")

    said: list[str] = []
    monkeypatch.setattr(large, "make_sparse_store", refuse)
    rows = pictures.data_rows(replace(bench, say=said.append))
    assert [row.name for row in rows] == ["data.records", "data.records.map"]
    assert "data.open, data.memory, data.order, data.first_batch are left out" in said[0]
