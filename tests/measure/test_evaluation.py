"""Whole evaluations: tables recounted by hand, classes matched by id, what does not fit refused.

N pictures · K classes.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from alexnet.cli import main
from alexnet.data.sources import open_source
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.files.tensors import load_tensors, save_tensors, tensor_digest
from alexnet.measure.evaluation import Evaluation, evaluate_run
from alexnet.measure.probabilities import Probabilities
from alexnet.measure.run import Run
from alexnet.report import text as words

NAMES = ("cat", "dog", "emu", "fox", "gnu", "hen", "ibis")


@pytest.fixture
def made() -> tuple[Evaluation, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(5)
    probabilities = draw.dirichlet(np.full(len(NAMES), 0.4), 400).astype(np.float32)
    labels = draw.integers(0, len(NAMES) - 1, 400)  # the last class has no picture
    return Evaluation.of(probabilities, labels, NAMES, NAMES, 1), probabilities, labels


def test_every_figure_recounted_picture_by_picture(made) -> None:
    evaluation, probabilities, labels = made
    order = np.argsort(-probabilities, axis=1, kind="stable")
    for k, row in enumerate(evaluation.per_class):
        mine = [n for n in range(len(labels)) if labels[n] == k]
        assert row.pictures == len(mine)
        assert row.top1_errors == sum(order[n, 0] != k for n in mine)
        assert row.top5_errors == sum(k not in order[n, :5] for n in mine)
        if mine:
            assert row.mean_nll == pytest.approx(np.mean([-np.log(float(probabilities[n, k])) for n in mine]), rel=1e-9)
    for true in range(len(NAMES)):
        for predicted in range(len(NAMES)):
            expected = sum(labels[n] == true and order[n, 0] == predicted for n in range(len(labels)))
            assert evaluation.confusion[true, predicted] == expected
    assert evaluation.counts.top1_errors == sum(row.top1_errors for row in evaluation.per_class)
    assert evaluation.nll == pytest.approx(
        -np.log(probabilities[np.arange(400), labels].astype(float)).mean(), rel=1e-9
    )


def test_confused_pairs_are_the_largest_entries_off_the_diagonal(made) -> None:
    evaluation, _, _ = made
    off = evaluation.confusion.copy()
    np.fill_diagonal(off, 0)
    pairs = evaluation.confused(1000)
    assert sum(pair.count for pair in pairs) == off.sum() == evaluation.counts.top1_errors
    assert [pair.count for pair in pairs] == sorted(off[off > 0].tolist(), reverse=True)
    assert all(off[pair.true, pair.predicted] == pair.count for pair in pairs)
    assert evaluation.confused(3) == pairs[:3]


def test_an_evaluation_of_a_store_is_that_of_its_probabilities(run: Run, store: Store) -> None:
    found, kept = evaluate_run(run.folder, run.viewer, store, views=(1, 10), keep_probabilities=True)
    assert kept is not None
    again = Evaluation.of(kept.values, store.splits["val"].labels, run.class_names, run.class_ids, 10)
    assert again.counts == found[10].counts == run.evaluate(store, views=10).counts
    assert found[1].counts == run.evaluate(store.path, views=1).counts
    assert tuple(kept.keys) == tuple(store.splits["val"].keys)
    assert len(set(found[10].predicted.tolist())) > 1, "a network with one answer for all would prove little"


def test_kept_probabilities_come_back_and_open_without_this_package(run: Run, store: Store, tmp_path: Path) -> None:
    _, kept = evaluate_run(run.folder, run.viewer, store, split="train", views=(1,), keep_probabilities=True)
    assert kept is not None
    weights, _ = load_tensors(run.path / "model.safetensors")
    assert kept.about["run"] == tensor_digest(weights), "tells of which weights these are the answers"
    kept.save(tmp_path / "kept.safetensors")
    back = Probabilities.load(tmp_path / "kept.safetensors")
    assert np.array_equal(back.values, kept.values)
    assert (back.keys, back.about) == (kept.keys, kept.about)
    plain = load_file(tmp_path / "kept.safetensors")
    assert plain["probabilities"].dtype == np.float32
    assert plain["probabilities"].shape == (200, 4)
    assert np.array_equal(plain["labels"], store.splits["train"].labels)


def test_files_that_hold_no_probabilities_are_named(tmp_path: Path, run: Run) -> None:
    with pytest.raises(UserError, match="no probabilities"):
        Probabilities.load(run.path / "model.safetensors")
    with pytest.raises(UserError, match=r"absent\.safetensors"):
        Probabilities.load(tmp_path / "absent.safetensors")


# ── does the store fit? ──────────────────────────────────────────────────────────────────────────────────────────


def test_the_same_classes_in_another_order_are_told_by_their_ids(make_run, store: Store) -> None:
    straight = make_run("straight")
    turned = make_run("turned", classes={"names": [*"dcba"], "ids": list(store.class_ids)[::-1], "order": "reversed"})
    tensors, _ = load_tensors(turned.path / "model.safetensors")
    last = {name: tensors[name].flip(0) for name in ("fc8.weight", "fc8.bias")}
    save_tensors(turned.path / "model.safetensors", tensors | last)
    expected, found = straight.evaluate(store, views=1), turned.evaluate(store, views=1)
    assert found.counts.top1_errors == expected.counts.top1_errors
    assert found.nll == pytest.approx(expected.nll, rel=1e-6)
    assert np.array_equal(found.confusion, expected.confusion[::-1, ::-1])
    assert [row.pictures for row in found.per_class] == [15] * 4


def test_another_order_is_said(make_run, store: Store, capsys) -> None:
    turned = make_run(classes={"names": [*"dcba"], "ids": list(store.class_ids)[::-1], "order": "reversed"})
    assert main(["evaluate", str(turned.path), str(store.path), "--views", "1", "--device", "cpu"]) == 0
    assert "another order" in capsys.readouterr().err


@pytest.mark.parametrize("ids", [["angle3", "angle2", "angle1", "emu"], ["angle1", "angle0", "angle2"]])
def test_other_classes_are_not_called_another_order(make_run, store: Store, capsys, ids: list[str]) -> None:
    other = make_run(classes={"names": ids, "ids": ids, "order": "by hand"})
    assert main(["evaluate", str(other.path), str(store.path), "--views", "1", "--device", "cpu"]) == 1
    told = capsys.readouterr().err
    assert "its classes are not those of" in told
    assert "another order" not in told


@pytest.mark.parametrize(
    ("ids", "complaint"),
    [
        (["angle0", "angle1", "angle2", "emu"], "angle3 in the store only; emu in the run only"),
        (["angle0", "angle1", "angle2"], "angle3 in the store only"),
    ],
)
def test_other_classes_are_refused(make_run, store: Store, ids: list[str], complaint: str) -> None:
    run = make_run(classes={"names": ids, "ids": ids, "order": "by hand"})
    with pytest.raises(UserError, match=complaint):
        run.evaluate(store)


def test_records_of_another_size_are_refused_with_the_remedy(run: Run, store: Store, tmp_path: Path) -> None:
    smaller = prepare(open_source(store.path.parent / "pictures"), tmp_path / "smaller", size=36)
    with pytest.raises(UserError, match=r"36 pixels a side.*--size 40"):
        run.evaluate(smaller)


def test_a_part_that_is_absent_is_refused_with_those_there(run: Run, store: Store) -> None:
    with pytest.raises(UserError, match=r"'test'.*train, val"):
        run.evaluate(store, split="test")
    with pytest.raises(UsageError, match="--views 3"):
        run.evaluate(store, views=3)


def test_outputs_that_are_no_numbers_are_an_error_not_a_figure(run: Run, store: Store) -> None:
    with torch.no_grad():
        run.network.get_parameter("fc8.bias")[0] = float("nan")
    with pytest.raises(UserError, match=r"angle0/000\.png are not numbers"):
        run.evaluate(store, views=1)


# ── in words and as JSON ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_command_line_prints_what_python_gives(run: Run, store: Store, tmp_path: Path, capsys) -> None:
    kept = tmp_path / "kept.safetensors"
    common = ["evaluate", str(run.path), str(store.path), "--device", "cpu"]
    assert main([*common, "--json", "--save-probabilities", str(kept)]) == 0
    told = json.loads(capsys.readouterr().out)
    found = run.evaluate(store, views=10)
    ten = told["results"][-1]
    assert [result["views"] for result in told["results"]] == [1, 10]
    assert (ten["top1_errors"], ten["pictures"], ten["nll"]) == (found.counts.top1_errors, 60, found.nll)
    assert [row["top1_errors"] for row in told["per_class"]] == [row.top1_errors for row in found.per_class]
    assert sum(pair["count"] for pair in told["confused"]) == found.counts.top1_errors
    saved, keys = Probabilities.load(kept), list(store.splits["val"].keys)
    assert saved.values.shape == (60, 4)
    own = saved.values[np.arange(60), saved.labels]
    missed = np.flatnonzero(saved.values.argmax(axis=1) != saved.labels)
    assert [one["file"] for one in told["wrong"]] == [keys[n] for n in missed[np.argsort(own[missed], kind="stable")]]
    for one in told["wrong"]:
        place = one["index"]
        assert (one["true"], one["file"]) == (run.class_names[saved.labels[place]], keys[place])
        assert one["answered"] == run.class_names[saved.values[place].argmax()]
        assert one["answered_probability"] == pytest.approx(saved.values[place].max())
        assert one["true_probability"] == pytest.approx(own[place], rel=1e-6)
    assert main([*common, "--views", "1"]) == 0
    text = capsys.readouterr().out
    assert f"{run.evaluate(store, views=1).counts.top1_errors} of 60" in text
    assert "ten views" not in text


def test_long_tables_say_that_they_were_shortened() -> None:
    draw = np.random.default_rng(1)
    names = [f"class {k}" for k in range(50)]
    values, labels = draw.dirichlet(np.ones(50), 300).astype(np.float32), draw.integers(0, 49, 300)
    text = words.describe_evaluation({1: Evaluation.of(values, labels, names, names, 1)})
    assert "the 30 worst of 49; --json has all" in text
    assert "; 1 class has no picture here" in text
    assert len(text.splitlines()) < 60


def test_nothing_confused_is_said() -> None:
    found = Evaluation.of(np.eye(3, dtype=np.float32), np.arange(3), "abc", "abc", 1)
    assert found.top1_error == found.nll == 0
    assert "every picture was recognised" in words.describe_evaluation({1: found})
