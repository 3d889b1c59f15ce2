"""Every row of the registry at toy scale, from its claim to its file; what they share; interruption; the report."""

import json
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from html import unescape
from pathlib import Path

import pytest

from alexnet import cli
from alexnet.commands import dispatch
from alexnet.commands.options.papers import Paper
from alexnet.data import synthetic
from alexnet.data.sources import open_source
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.experiments import lab as lab_module
from alexnet.experiments import running
from alexnet.experiments.finding import Errors
from alexnet.experiments.krizhevsky2012 import cifar as cifar2012
from alexnet.experiments.krizhevsky2012 import columns as columns2012
from alexnet.experiments.krizhevsky2012 import tables as tables2012
from alexnet.experiments.krizhevsky2012.ablations import cut_off
from alexnet.experiments.krizhevsky2012.runs import by_recipe
from alexnet.experiments.lab import Lab, too_weak
from alexnet.experiments.registry import chosen, every_result, find
from alexnet.experiments.report import title_of, write_report
from alexnet.experiments.trial import Trial
from alexnet.experiments.zeiler2014 import transfer as transfer2013
from alexnet.features.options import TransferOptions
from alexnet.measure.evaluation import evaluate_run
from alexnet.train import loop
from alexnet.train.recipes import every_recipe
from alexnet.train.step import Diverged
from alexnet.train.stop import Interrupted

MakeLab = Callable[..., Lab]

ISSUE = (
    *("A/fig1", "A/s3.2", "A/s3.3", "A/s3.4", "A/s4.1", "A/s4.2", "A/s5", "A/fig3", "A/fig4", "A/s7"),
    *("A/table1", "A/table2", "A/2009", "A/cifar", "A/recipes"),
    *("Z/fig2", "Z/fig4", "Z/fig5", "Z/fig6", "Z/fig7", "Z/table1", "Z/table2", "Z/table3"),
    *("Z/table4", "Z/table5", "Z/table7", "Z/fig9"),
)

COSTLY = ("A/fig1", "A/s3.2", "A/recipes", "A/cifar", "Z/fig5", "Z/fig7", "Z/table1", "Z/table4", "Z/table7")
"""Run with one seed here."""

ERRORS = {"log", "nll", "part", "pictures", "run", "top1", "top5", "views"}
CACHED = {
    "duplicates-DIGEST-DIGEST.json": {"pictures"},
    "RUN.json": {"pace"},
    "RUN-train-1.json": ERRORS,
    "RUN-val-1.json": ERRORS,
    "RUN-val-9.json": ERRORS,
    "RUN-val-10.json": ERRORS,
    "RUN-val-10.safetensors": set(),
    "RUN-val-top.safetensors": set(),
    "RUN-nearest.json": {"features", "pixels"},
    "RUN-settled.json": {"conv1", "conv2", "conv3", "conv4", "conv5"},
    "RUN-val-invariance.json": {"pictures", "right", "rotation", "scale", "translation"},
    "RUN-val-occlusion.json": {"changed", "class", "clean", "map", "pictures", "right", "weakest"},
    "RUN-parts-faces100.json": {"group", "layer 5", "layer 7", "mask", "parts", "pictures"},
}
"""Files below measured/ and their keys."""
RESULT_KEYS = {
    *("id", "title", "claim", "command", "when", "data", "pretraining", "settings", "versions", "seconds", "agrees"),
    *("invalid", "reading", "recipe", "rows", "verdicts", "rule", "notes", "figures", "extra"),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for the whole registry: its results share their networks."""
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(autouse=True)
def two_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the studies of other pictures, which take five: tests/features/test_transfer.py holds what a fold is."""
    monkeypatch.setattr(transfer2013, "TransferOptions", partial(TransferOptions, folds=2))


def test_every_result_is_there_in_the_paper_s_order() -> None:
    assert tuple(every_result()) == ISSUE
    for experiment in every_result().values():
        assert experiment.claim
        assert experiment.needs
        assert experiment.full_scale
        assert experiment.trainings + experiment.fixed_trainings > 0


@pytest.mark.parametrize("id", ISSUE)
def test_it_runs_at_toy_scale_and_says_whether_the_direction_agrees(
    id: str, shared: Path, make_lab: MakeLab, more: Store
) -> None:
    said: list[str] = []
    lab = make_lab(shared, more, seeds=1 if id in COSTLY else 2)
    lab.say = said.append
    path = running.run_experiment(find(id), lab)
    if id != "A/fig1":  # at one epoch the search's winner is the run itself
        networks = find(id).trainings - (2 if id == "Z/table3" else 0)  # the toy stands for both families there
        assert len(lab.used) == networks * lab.settings.seeds + find(id).fixed_trainings
    result = json.loads(path.read_text())
    assert said[0].startswith(f"{id}, ")
    assert f"claim: {find(id).claim}" in said[0]
    assert any("of disk" in line for line in said)
    assert result["rows"]
    assert result["verdicts"]
    assert result["agrees"] in ("yes", "no", "undecided")
    for key in ("claim", "rule", "reading", "recipe", "versions", "seconds", "command", "data"):
        assert result[key], key
    assert result["data"]["fingerprint"] == lab.store.fingerprint
    for figure in result["figures"]:
        assert path.with_name(figure["file"]).read_bytes().startswith(b"\x89PNG")
        assert not figure["photographs"], "built-in pictures"
    assert dispatch.parse(Paper, "paper", result["command"].split()[2:])


def test_files_keep_the_names_and_keys_of_earlier_versions(shared: Path) -> None:
    """What is cached in a folder is found by its name: with another one, it would be measured again."""
    kinds: dict[str, set[str]] = {}
    for path in shared.glob("measured/*"):
        kind = re.sub(r"(?<=-)[0-9a-f]{8}(?=[-.])", "DIGEST", path.name)
        kind = re.sub(r"[\w.-]*-seed\d-DIGEST", "RUN", kind.removeprefix("pace-1-").removeprefix("pace-2-"))
        kinds.setdefault(kind, set()).update(json.loads(path.read_text()) if path.suffix == ".json" else ())
    assert kinds.items() <= CACHED.items()
    assert kinds == CACHED or len(running.read_results(shared)) < len(ISSUE), "all of them, where every result is there"
    for path in shared.glob("results/*.json"):
        assert set(json.loads(path.read_text())) == RESULT_KEYS
    studies = {re.sub(r"-[0-9a-f]{8}$", "", path.name) for path in shared.glob("transfer/*")}
    assert all(re.fullmatch(r"toy-input-size-28-batch-32-seed0-[0-9a-f]{8}", name) for name in studies)


def test_table_2_tells_what_the_pretrained_networks_had_learned_before(
    shared: Path, make_lab: MakeLab, more: Store
) -> None:
    lab = make_lab(shared, more)
    result = json.loads(running.run_experiment(find("A/table2"), lab).read_text())
    (row,) = [row for row in result["rows"] if row["what"] == f"before fine-tuning, on {more.path.name}: error"]
    first = lab.opened(tables2012.fine_tuned(lab).start, 0)  # type: ignore[union-attr]
    assert first.folder.value("data", "fingerprint") == more.fingerprint
    errors = [evaluate_run(first.folder, first.viewer, more, split="val", views=(1,))[0][1].top1_error]
    assert row["values"][:1] == pytest.approx(errors)
    assert any("72 pictures of 12 classes, tuned on 96 pictures of 12 classes" in note for note in result["notes"])
    assert "conv6, learning rate 0.001, seeds 0 to 1" in result["recipe"]


def test_results_share_networks(make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns2012, "measure_pace", lambda *_: 1.0)
    lab = make_lab(seeds=1)
    running.run_experiment(find("A/s3.4"), lab)
    assert len(lab.paces) == 2
    running.run_experiment(find("A/s3.2"), lab)
    assert len(lab.paces) == 4, "the base network is not trained again"


def test_errors_are_known_where_probabilities_are(make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = make_lab()
    found = lab.probabilities(lab.base(), 0)
    monkeypatch.setattr(lab_module, "evaluate_run", None)  # measured a second time, it would fail
    wrong = found.values.argmax(axis=1) != found.labels
    assert lab.errors(lab.base(), 0).top1 == pytest.approx(wrong.mean())


def test_a_network_that_is_trained_anew_is_measured_anew(make_lab: MakeLab) -> None:
    lab = make_lab(seeds=1)
    trial, other = lab.base(), lab.trial("another", learning_rate=0.002)
    before = lab.errors(trial, 0)
    run = lab.trained(trial, 0).path
    shutil.rmtree(run)
    shutil.copytree(lab.trained(other, 0).path, run)
    assert lab.errors(trial, 0) == lab.errors(other, 0) != before


def test_the_report_has_every_result_and_stands_alone(shared: Path, make_lab: MakeLab) -> None:
    running.run_experiment(find("A/s3.4"), make_lab(shared))
    markdown, page = (path.read_text() for path in write_report(shared))
    assert "cannot be decided at this scale; does not count: the base network is right in" in markdown
    for result in running.read_results(shared).values():
        assert f"## {result.id}: {result.title}, on drawn.store" in markdown
        assert f"{result.id}: {result.title}" in unescape(page)
    for link in re.findall(r"\]\((.+?)\)", markdown):
        assert (shared / link).is_file(), link
    assert page.count("data:image/png") == sum(len(result.figures) for result in running.read_results(shared).values())
    assert not re.search(r"(src|href)=\"http", page)


def test_results_of_one_id_are_told_apart(make_lab: MakeLab) -> None:
    usual = {"net": None, "seeds": 3, "epochs": None, "batch": 128, "input_size": None, "precision": "auto"}
    half = make_lab(**usual, recipe="steps", width=0.5)
    assert half.result_name("A/s3.4") == "A-s3.4-drawn-width-0.5-recipe-steps"
    assert make_lab(**usual, recipe="steps").result_name("A/s3.4") == "A-s3.4-drawn-recipe-steps"
    assert make_lab(**usual, only="ReLU,tanh").result_name("A/fig1") == "A-fig1-drawn-ReLU-tanh"
    assert make_lab(**usual, only="ReLU,tanh").result_name("A/fig3", ("only",)) == "A-fig3-drawn"
    many = [make_lab(**usual, only=",".join([*by_recipe()] * 9) + last).result_name("A/recipes") for last in ("1", "2")]
    assert len(set(many)) == 2
    assert all(len(name) < 200 for name in many)


def test_a_heading_names_the_settings_that_differ_from_their_defaults() -> None:
    (kept,) = (Path(__file__).parents[2] / "docs" / "results").glob("A-s3.4-*.json")
    read = running.read_result(kept)
    result = replace(read, title="Pools", data=replace(read.data, store="drawn.store"), settings={"width": 0.5})
    assert title_of(result) == "A/s3.4: Pools, on drawn.store, width 0.5"
    assert title_of(replace(result, settings={})) == "A/s3.4: Pools, on drawn.store"
    assert title_of(replace(result, settings={"only": "ReLU,tanh"})) == "A/s3.4: Pools, on drawn.store, ReLU,tanh"
    settings, pretraining = {"epochs": 60, "recipe": "steps", "threads": 2}, replace(read.data, store="b")
    assert title_of(replace(result, settings=settings, pretraining=pretraining)) == (
        "A/s3.4: Pools, on drawn.store, pre-training on b, epochs 60, recipe steps"
    )


def test_a_report_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no results"):
        write_report(tmp_path)


# ── what is in the results ───────────────────────────────────────────────────────────────────────────────────────


def test_response_normalisation_on_cifar_trains_the_cifar_nets(make_lab: MakeLab) -> None:
    result = json.loads(running.run_experiment(find("A/s3.3"), make_lab(net=None, input_size=None)).read_text())
    assert [row["paper"] for row in result["rows"]] == [0.13, None, 0.11]
    assert len(result["verdicts"]) == 2


def test_a_number_missed_in_fewer_epochs_is_not_refuted(make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar2012, "incomparable", lambda _: "")
    monkeypatch.setattr(Lab, "errors", lambda *_, **__: Errors(0.9, 0.5, 2.0, 10_000))
    lab = make_lab(only="cifar-19pct")
    told = [json.loads(running.run_experiment(find("cifar"), lab).read_text())["verdicts"][0]]
    short = replace(every_recipe()["cifar-19pct"], epochs=1)
    monkeypatch.setitem(every_recipe(), "cifar-19pct", short)
    told.append(json.loads(running.run_experiment(find("cifar"), lab).read_text())["verdicts"][0])
    assert [verdict["agrees"] for verdict in told] == ["undecided", "no"]
    assert told[0]["why"] == f"{told[1]['why']}; 1 of the authors' 120 epochs"


def test_only_some_of_the_cifar_nets_and_runs(make_lab: MakeLab) -> None:
    lab = make_lab(only="cifar-18pct", seeds=1)
    path = running.run_experiment(find("cifar"), lab)
    assert path.name == "A-cifar-drawn-seeds-1-epochs-1-batch-32-cifar-18pct-precision-fp32.json"
    rows = json.loads(path.read_text())["rows"]
    assert [(row["what"], row["note"]) for row in rows] == [
        ("cifar-18pct: error, whole pictures", "1 of the authors' 140 epochs")
    ]
    with pytest.raises(UsageError, match=r"--only 151: there is no '151' here. There are: 145, "):
        running.run_experiment(find("A/recipes"), make_lab(only="151"))


def test_only_some_units_of_figure_1(make_lab: MakeLab) -> None:
    result = json.loads(running.run_experiment(find("fig1"), make_lab(only="ReLU,tanh", seeds=1)).read_text())
    assert list(result["extra"]["curves"]) == ["ReLU", "tanh"]
    assert len(result["verdicts"]) == 1


def test_both_readings_exist_by_name(make_lab: MakeLab) -> None:
    assert make_lab(net=None).base().table.name == "alexnet"
    code = make_lab(net=None, reading="code").base()
    assert (code.table.name, code.options.recipe) == ("alexnet-145", "145")
    assert make_lab(net=None, reading="code").reading == (
        "the 2012 code's: alexnet-145, recipe 145; initial weights 'code', colour noise 'code'"
    )


def test_recipes_chain_through_their_starts(make_lab: MakeLab, more: Store) -> None:
    trial = tables2012.logged_trial(make_lab(pretraining=more), by_recipe()["146-2012-2011"])
    chain = []
    while trial is not None:
        chain.append((trial.label, trial.options.take, trial.store.fingerprint == more.fingerprint))
        trial = trial.start
    assert chain == [
        ("146-2012-2011", "conv1-fc7", False),
        ("146-2011", "conv1-conv6", True),
        ("146-2009", "conv1-conv5", True),
        ("145", "", False),
    ]


def test_what_was_chosen_is_in_the_name_and_what_has_no_part_is_not_in_the_command(make_lab: MakeLab) -> None:
    lab = make_lab(net=None, reading="code", recipe="steps", only="cifar-13pct,cifar-12pct", width=0.5, seeds=1)
    said: list[str] = []
    lab.say = said.append
    path = running.run_experiment(find("A/cifar"), lab)
    assert path.name == "A-cifar-drawn-seeds-1-epochs-1-batch-32-cifar-13pct-cifar-12pct-precision-fp32.json"
    assert any(line.startswith("--width, --reading, --recipe, --input-size: ignored") for line in said)
    result = json.loads(path.read_text())
    assert not {"--width", "--reading", "--recipe"} & set(result["command"].split())
    assert not {"width", "reading", "recipe"} & set(result["settings"])
    assert len(lab.used) == 1, "the nets of 13 and 12 % are one"
    assert [row["values"] for row in result["rows"]] == [result["rows"][0]["values"]] * 2


def test_networks_before_and_behind_a_drop_of_the_rate_are_told_apart(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = make_lab(net=None, epochs=40)
    base, changed = lab.base(), lab.ablation("no-norm", "no normalisation")
    seen = {base.name(0): (40, [28, 34]), base.name(1): (40, []), changed.name(0): (31, [9, 16, 24])}
    monkeypatch.setattr(Lab, "drops", lambda _, trial, seed: seen.get(trial.name(seed), (40, [40])))
    (note,) = cut_off(lab, [base, changed])
    assert note.startswith("The epochs ended before the plateau rule did in 3 of 4 networks")
    assert "by seeds: the network 28 and 34, never; no normalisation 9 and 16 and 24, 40." in note
    assert cut_off(make_lab(net=None, recipe="steps"), [make_lab(net=None, recipe="steps").base()]) == ()


def test_drops_are_read_from_the_log(make_lab: MakeLab) -> None:
    lab = make_lab(recipe="steps", epochs=6, seeds=1)
    assert lab.drops(lab.base(), 0) == (6, [4, 5, 6])


def test_an_ablation_of_a_weak_network_does_not_count(make_lab: MakeLab) -> None:
    result = json.loads(running.run_experiment(find("A/s3.4"), make_lab()).read_text())
    assert result["agrees"] == "undecided"
    assert result["invalid"].startswith("does not count: the base network is right in")
    assert too_weak([Errors(0.39, 0.1, 1.0, 100), Errors(0.41, 0.1, 1.0, 100)]) == ""
    assert too_weak([Errors(0.41, 0.1, 1.0, 100)], views=9) == (
        "does not count: the base network is right in 59.0 %; with nine views at least 60 % are needed"
    )


def test_paces_are_of_whole_trainings_and_measured_once(make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab, asked = make_lab(seeds=1, learning_rate=0.002), []

    def measure(trial: Trial, processes: int, out: Path) -> float:
        asked.append(columns2012.command_of(trial, processes, out))
        return 100.0 * len(asked)

    monkeypatch.setattr(columns2012, "measure_pace", measure)
    rows, untimed = columns2012.paces(lab)
    assert not untimed
    assert [(row.what, row.values) for row in rows] == [
        ("the network, one process: pace", (100.0,)),
        ("one column of half the maps, one process: pace", (200.0,)),
        ("the network, two processes: pace", (300.0,)),
    ]
    assert columns2012.paces(lab) == (rows, [])
    alone, control, two = asked
    assert control[control.index("--net") + 1].endswith("-half")
    assert "torch.distributed.run" not in alone + control
    assert all(command[command.index("--learning-rate") + 1] == "0.002" for command in asked)
    assert two[two.index("--nproc-per-node") + 1] == two[two.index("--columns") + 1] == "2"


def test_what_cannot_be_timed_costs_no_result(make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process copies a run made before, in place of training; two end with an error."""
    lab = make_lab(seeds=1, learning_rate=0.003)
    run = lab.trained(lab.base(), 0).path

    def command_of(trial: Trial, processes: int, out: Path) -> list[str]:
        copy = f"import shutil; shutil.copytree({str(run)!r}, {str(out)!r})"
        return [sys.executable, "-c", "import sys; sys.exit('no address')" if processes == 2 else copy]

    monkeypatch.setattr(columns2012, "command_of", command_of)
    result = json.loads(running.run_experiment(find("A/s3.2"), lab).read_text())
    assert sum("pace" in row["what"] for row in result["rows"]) == 2
    assert result["notes"][-1] == "the network could not train in two processes: no address"


def test_a_training_that_is_timed_stops_when_asked_to(make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = make_lab(seeds=1)
    child = "import os, signal, time; os.kill(os.getppid(), signal.SIGTERM); time.sleep(60)"
    monkeypatch.setattr(columns2012, "command_of", lambda *_: [sys.executable, "-c", child])
    began = time.monotonic()
    with pytest.raises(Interrupted, match="Rerun the same command to resume"):
        columns2012.paces(lab)
    assert time.monotonic() - began < 30


# ── stopping and going on ────────────────────────────────────────────────────────────────────────────────────────


class Killed(BaseException):
    """Stands for a SIGKILL."""


def test_killed_in_a_training_it_goes_on_from_the_last_save(
    make_lab: MakeLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"seeds": 1, "epochs": 3}
    whole = running.run_experiment(find("A/s3.4"), make_lab(tmp_path / "whole", **changes))
    plain, steps = loop.train_batch, []

    def dying(job, *rest):
        if len(steps) == 13:
            raise Killed
        steps.append(job.cursor.step)
        return plain(job, *rest)

    monkeypatch.setattr(loop, "train_batch", dying)
    with pytest.raises(Killed):
        running.run_experiment(find("A/s3.4"), make_lab(tmp_path / "broken", **changes))
    resumed: list[int] = []
    monkeypatch.setattr(loop, "train_batch", lambda job, *rest: (resumed.append(job.cursor.step), plain(job, *rest))[1])
    lab = make_lab(tmp_path / "broken", **changes)
    again = running.run_experiment(find("A/s3.4"), lab)
    assert lab.seconds_trained > 0, "what was gone on with is training, not the rest"
    assert resumed[0] == 3, "the first network is found, the second taken up behind its first epoch of three updates"
    assert len(resumed) == 6
    assert json.loads(again.read_text())["rows"] == json.loads(whole.read_text())["rows"]


def test_stopped_it_says_that_the_same_command_goes_on(make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise Interrupted("stopped; everything is saved. Resume with: alexnet train …")

    monkeypatch.setattr(lab_module.loop, "train", stop)
    with pytest.raises(Interrupted, match="Rerun the same command to resume") as end:
        running.run_experiment(find("A/fig3"), make_lab())
    assert end.value.exit_code == 130


def test_a_rate_that_makes_the_loss_no_number_is_not_chosen_nor_tried_again(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, calls = make_lab(seeds=1), []
    trial = lab.base()

    def diverge(*_: object, **__: object) -> None:
        calls.append(1)
        raise Diverged("the loss is not a number")

    monkeypatch.setattr(lab_module.loop, "train", diverge)
    assert lab.training_errors(trial, 0) == []
    assert lab.training_errors(trial, 0) == []
    assert len(calls) == 1


def test_too_little_disk_is_said_before_anything_is_trained(make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = make_lab()
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(UserError, match=r"up to .* of disk; 1.0 kB are free.*Free some"):
        running.run_experiment(find("A/s7"), lab)
    assert not (lab.folder / "runs").exists()


def test_the_time_left_is_told(make_lab: MakeLab) -> None:
    lab, said = make_lab(seeds=1), []
    lab.say = said.append
    running.run_experiment(find("A/s3.4"), lab)
    training = [line for line in said if line.startswith("training ")]
    assert ", 2 networks to go" in training[0]
    assert re.search(r", 1 network to go: about \d+ s", training[1])


# ── names and fingerprints ───────────────────────────────────────────────────────────────────────────────────────


def test_names_tell_what_is_different_and_never_collide(make_lab: MakeLab) -> None:
    lab = make_lab(net=None, batch=128, input_size=None, width=0.5)
    base = lab.base()
    assert base.name(0).startswith("alexnet-width-0.5-seed0-")
    assert (
        lab.trial("x", crops="centre", mirror=False)
        .name(1)
        .startswith("alexnet-width-0.5-crops-centre-no-mirror-seed1-")
    )
    assert "-decay-0.0-" in lab.trial("x", decay=0.0).name(0)
    assert lab.trial("x", recipe="145").name(0).startswith("alexnet-recipe-145-width-0.5-seed0-")
    fingerprints = {
        lab.base().fingerprint(0), lab.base().fingerprint(1), lab.trial("x", decay=0.0).fingerprint(0),
        lab.ablation("no-norm", "x").fingerprint(0), lab.trial("x", start=base).fingerprint(0),
        lab.trial("x", epochs=3).fingerprint(0), make_lab(net=None).base().fingerprint(0),
    }  # fmt: skip
    assert len(fingerprints) == 7
    assert lab.trial("another label").fingerprint(0) == base.fingerprint(0)


def test_an_unknown_result_gets_its_neighbours() -> None:
    with pytest.raises(UsageError, match=r"There is no result 'A/s3.9'. Near it: A/s3"):
        find("A/s3.9")
    assert find("s3.2").id == "A/s3.2"
    assert find("fig5").id == "Z/fig5"
    with pytest.raises(UsageError, match=r"'fig4' is in both papers\. Say which: A/fig4 or Z/fig4"):
        find("fig4")
    assert [e.id for e in chosen("Z/all")] == [id for id in ISSUE if id.startswith("Z/")]
    assert len(chosen("A/all")) + len(chosen("Z/all")) == len(chosen("all"))


def test_what_does_not_suit_is_refused_or_among_all_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    synthetic.write(tmp_path / "pictures", train_per_class=1, val_per_class=1, side=40)
    store = prepare(open_source(tmp_path / "pictures"), tmp_path / "larger.store", size=40)
    out = ["--out", str(tmp_path / "papers")]
    assert cli.main(["paper", "run", "A/fig1", str(store.path), *out]) == 2
    assert "its records have 40 pixels; A/fig1 needs CIFAR-10, records of 32 pixels" in capsys.readouterr().err
    monkeypatch.setattr("alexnet.commands.paper.chosen", lambda _: [find("A/fig1"), find("Z/table4")])
    assert cli.main(["paper", "run", "all", str(store.path), *out]) == 0
    assert capsys.readouterr().err.count("It is skipped.") == 2
    assert cli.main(["paper", "run", "all", str(store.path), "--only", "ReLU", *out]) == 2
    assert "--only ReLU: names networks of one result" in capsys.readouterr().err


def test_numbers_out_of_range_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["list", "--seeds", "0"], ["run", "A/fig3", "x.store", "--out", "y", "--epochs", "0"]):
        assert cli.main(["paper", *words]) == 2
        assert f"{words[-2]} 0: at least 1 is needed." in capsys.readouterr().err


# ── the command line ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_command_line_lists_runs_and_reports(
    make_lab: MakeLab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["paper", "list"]) == 0
    listed = capsys.readouterr().out
    assert all(id in listed for id in ISSUE)
    assert cli.main(["paper", "runs"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 98 + 2
    lab: Lab = make_lab()
    toy = ["--net", "toy", "--epochs", "1", "--seeds", "1", "--batch", "32", "--input-size", "28"]
    toy += ["--precision", "fp32", "--threads", "1", "--device", "cpu"]
    out = tmp_path / "papers"
    assert cli.main(["paper", "run", "A/table1", str(lab.store.path), "--out", str(out), *toy]) == 0
    shown = capsys.readouterr()
    assert "claim: 37.5 / 17.0 on the test set with ten views" in shown.out
    assert "37.50 %" in shown.out
    assert "Does the direction agree? cannot be decided at this scale" in shown.out
    assert "1 network to train, 0 there already; they take up to" in shown.err
    assert cli.main(["paper", "report", str(out)]) == 0
    assert (out / "report.html").is_file()
