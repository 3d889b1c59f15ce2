"""What the explorer answers is what the command line finds; passes are kept; a run in training is followed."""

import http.client
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from explored import CLASSES, Place, Site

from alexnet.data.store.read import Store
from alexnet.files.schema import to_json
from alexnet.files.tensors import digest_in, load_tensors
from alexnet.measure.run import Run
from alexnet.runs.folder import Calibration, RunFolder
from alexnet.runs.history import NOW
from alexnet.see.occlusion import occlusion_map
from alexnet.see.top import find_top


def test_the_answer_is_that_of_predict_centre_first(site: Site, place: Place, picture: bytes) -> None:
    events = site.compute(f"/api/sides/own/pictures/{site.bring(picture)}/prediction")
    assert [kind for kind, _ in events if kind != "place"] == ["part", "done"]
    run = Run.open(place.run)
    for (_, found), views in zip(events[-2:], (1, 10), strict=True):
        wanted = run.predict(picture, views=views).labels
        assert [label["class"] for label in found["labels"]] == [label.name for label in wanted]
        assert [label["probability"] for label in found["labels"]] == pytest.approx([w.probability for w in wanted])


def test_occlusion_comes_coarse_first_and_is_that_of_see(site: Site, place: Place, picture: bytes) -> None:
    ident = site.bring(picture)
    events = site.compute(f"/api/sides/own/pictures/{ident}/occlusion")
    parts = [value for kind, value in events if kind == "part"]
    steps = [part["step"] for part in parts]
    assert steps == sorted(steps, reverse=True)
    assert steps[0] > 1
    count = len(parts[0]["corners"])
    grid, totals = np.full((count, count), np.nan), np.full((count, count), np.nan)
    for part in parts:
        assert np.isnan(grid[part["rows"], part["columns"]]).all()  # no place twice
        grid[part["rows"], part["columns"]] = part["probability"]
        totals[part["rows"], part["columns"]] = part["total"]
    run = Run.open(place.run, precision="fp32")
    found = occlusion_map(run.viewer, torch.from_numpy(run.predictor.record(picture, "").pixels))
    assert grid == pytest.approx(found.probability.numpy(), abs=1e-5)
    assert totals == pytest.approx(found.total.numpy(), rel=1e-3, abs=1e-3)
    numbers = site.get(f"/api/sides/own/pictures/{ident}/occlusion.json")
    assert np.array(numbers["probability"]) == pytest.approx(grid)
    assert site.ask("GET", f"/api/sides/own/pictures/{ident}/occlusion.png")[2].startswith(b"\x89PNG")


def test_a_pass_is_made_once_and_kept_in_the_run_folder(site: Site, place: Place) -> None:
    path = place.run / "explorer" / "top-val.safetensors"
    events = site.compute("/api/sides/own/passes/top")
    assert events[-1] == ("done", {"made": True})
    made = path.stat().st_mtime_ns
    assert [kind for kind, _ in site.compute("/api/sides/own/passes/top") if kind == "progress"] == []
    assert path.stat().st_mtime_ns == made
    run, store = Run.open(place.run, precision="fp32"), Store.open(place.store)
    wanted = find_top(run.viewer, store.splits["val"], ["conv2"])["conv2"]
    layer = site.get("/api/sides/own/layers/conv2")
    assert layer["strongest"] == pytest.approx(wanted.values[:, 0].tolist())
    unit = site.get("/api/sides/own/layers/conv2/units/3")
    assert [one["picture"] for one in unit["strongest"]] == wanted.pictures[3].tolist()
    for shown in ("patch", "projection"):
        status, _, data = site.ask("GET", f"/api/sides/own/layers/conv2/units/3/strongest/2/{shown}.png")
        assert (status, data[:4]) == (200, b"\x89PNG")
    assert site.ask("GET", "/api/sides/own/layers/conv2/units/3/strongest/99/patch.png")[0] == 404
    assert site.ask("GET", "/api/sides/own/layers/conv2/units/99999")[0] == 404


def test_a_kept_evaluation_that_changed_is_made_anew(site: Site, place: Place) -> None:
    path = place.run / "explorer" / "evaluation-val.safetensors"
    assert site.compute("/api/sides/own/passes/evaluation")[-1] == ("done", {"made": True})
    made, digest = path.read_bytes(), digest_in(path)
    path.write_bytes(made[:-1] + bytes([made[-1] ^ 1]))
    assert site.compute("/api/sides/own/passes/evaluation")[-1] == ("done", {"made": True})
    load_tensors(path)  # its checksum is right
    assert digest_in(path) == digest


def test_a_calibrated_run_is_opened_again_and_evaluated_again(site: Site, place: Place, picture: bytes) -> None:
    def answered() -> float:
        events = site.compute(f"/api/sides/own/pictures/{site.bring(picture)}/prediction")
        assert site.compute("/api/sides/own/passes/evaluation")[-1] == ("done", {"made": True})
        evaluated = site.get("/api/sides/own/compare")["evaluation"]["results"][-1]
        run = Run.open(place.run)
        assert evaluated["nll"] == pytest.approx(run.evaluate(place.store, views=10).nll)
        return events[-1][1]["labels"][0]["probability"]

    config = (place.run / "config.json").read_bytes()
    before, calibration = answered(), Calibration(3.0, 10, 60, "", (1.0, 0.9), (0.2, 0.1))
    RunFolder.open(place.run).write_config(calibration=to_json(calibration))
    try:
        assert answered() < before - 0.01
    finally:
        (place.run / "config.json").write_bytes(config)
    assert answered() == before


def test_activations_evolution_neighbours_and_errors_by_class(site: Site, place: Place, picture: bytes) -> None:
    for what in ("spread", "evolution", "neighbours", "evaluation"):
        assert site.compute(f"/api/sides/own/passes/{what}")[-1] == ("done", {"made": True})
    unit = site.get("/api/sides/own/layers/conv3/units/1")
    assert sum(unit["histogram"]["counts"]) == unit["histogram"]["pictures"] == 10 * CLASSES
    assert [one["epoch"] for one in unit["evolution"]] == unit["snapshots"] == [1, 2, 3]
    assert site.ask("GET", "/api/sides/own/layers/conv3/units/1/evolution/1/patch.png")[0] == 200
    number = site.get("/api/run")["store"]["splits"]["train"] - 1
    nearest = site.compute(f"/api/sides/own/pictures/train.{number}/neighbours")[-1][1]
    assert (nearest[0]["picture"], nearest[0]["distance"]) == (number, pytest.approx(0, abs=1e-3))  # itself
    wanted = Run.open(place.run).evaluate(place.store, views=10)
    told = site.get("/api/sides/own/compare")["evaluation"]
    assert [row["top1_errors"] for row in told["per_class"]] == [row.top1_errors for row in wanted.per_class]


def test_invariance_has_the_probability_of_each_step(site: Site, picture: bytes) -> None:
    ident = site.bring(picture)
    found = site.compute(f"/api/sides/own/pictures/{ident}/invariance")[-1][1]
    answer = site.compute(f"/api/sides/own/pictures/{ident}/prediction")[-2][1]["labels"]
    for one in found["curves"]:
        still = 0 if one["kind"] == "scale" else one["amounts"].index(0)
        at_rest = {line["class"]: line["probability"][still] for line in one["classes"]}
        assert at_rest[answer[0]["class"]] == pytest.approx(answer[0]["probability"], abs=1e-3)
        assert site.ask("GET", f"/api/sides/own/pictures/{ident}/invariance/{one['kind']}/{still}.jpg")[0] == 200


def test_two_runs_and_earlier_epochs_are_sides(site: Site, place: Place, picture: bytes) -> None:
    assert site.get("/api/run")["sides"] == ["own", "beside", "epoch-1", "epoch-2", "epoch-3"]
    ident = site.bring(picture)
    answers = {}
    for side in ("own", "beside", "epoch-1", "epoch-3"):
        answers[side] = site.compute(f"/api/sides/{side}/pictures/{ident}/prediction")[-1][1]["labels"]
    assert answers["own"] == answers["epoch-3"]
    assert answers["own"] != answers["epoch-1"] != answers["beside"]
    assert site.ask("GET", "/api/filters.png?left=own&right=beside")[2].startswith(b"\x89PNG")
    assert site.ask("GET", "/api/sides/epoch-7/home")[0] == 404


def test_the_recipe_names_the_batch_that_was_used(site: Site, serve: Callable[..., Site], tmp_path: Path) -> None:
    assert site.get("/api/run")["recipe"]["Batch"] == "16"
    place = site.place
    shutil.copytree(place.run, tmp_path / "default", ignore=shutil.ignore_patterns("explorer"))
    config = json.loads((place.run / "config.json").read_text())
    config["options"]["batch"], config["checksum"] = None, ""  # the recipe's own was used
    (tmp_path / "default" / "config.json").write_text(json.dumps(config))
    facts = serve(Place(tmp_path / "default", place.beside, place.store)).get("/api/run")["recipe"]
    assert facts["Batch"] == str(config["recipe"]["batch"])
    assert not [words for words in facts.values() if "None" in words]


def test_the_api_is_described(site: Site) -> None:
    described = site.get("/api/openapi.json")
    undescribed = [
        path for path, ways in described["paths"].items() for way in ways.values() if not way.get("description")
    ]
    assert undescribed == []


def test_a_run_in_training_is_followed(place: Place, serve: Callable[..., Site], tmp_path: Path) -> None:
    """Without weights; with the first ones; with others, after a restart that cut the log."""
    run = tmp_path / "growing"
    shutil.copytree(place.run, run, ignore=shutil.ignore_patterns("snapshots", "model.safetensors", "explorer"))
    log = (run / "log.jsonl").read_text().splitlines(keepends=True)
    config = json.loads((run / "config.json").read_text()) | {"finished": False, "checksum": ""}
    (run / "config.json").write_text(json.dumps(config))
    (run / "log.jsonl").write_text(log[0])
    site = serve(Place(run, place.beside, place.store))
    told = site.get("/api/run")
    assert (told["weights"], told["state"]["word"], told["state"]["epochs"]) == (False, "stopped", 0)
    status, _, body = site.ask("GET", "/api/sides/own/layers/conv1")
    assert (status, b"first epoch has not ended" in body) == (409, True)
    shutil.copy(place.run / "model.safetensors", run)
    (run / ".lock").touch()
    (run / "log.jsonl").write_text("".join(line for line in log if '"event": "end"' not in line))
    told = site.get("/api/run")
    assert (told["weights"], told["state"]["word"], told["state"]["epochs"]) == (True, "training", 3)
    kernels = site.ask("GET", "/api/sides/own/kernels/0.png")[2]
    version = told["version"]
    shutil.copy(place.beside / "model.safetensors", run / "new")
    (run / "new").replace(run / "model.safetensors")
    (run / "log.jsonl").write_text(log[0])
    told = site.get("/api/run")
    assert told["version"] != version
    assert told["state"]["epochs"] == 0
    assert site.ask("GET", "/api/sides/own/kernels/0.png")[2] != kernels


def test_where_a_training_stands_is_told_as_it_goes(place: Place, serve: Callable[..., Site], tmp_path: Path) -> None:
    """By `now.json`, each version once; nothing where there is none, or none that can be read."""
    run = tmp_path / "growing"
    shutil.copytree(place.run, run, ignore=shutil.ignore_patterns("snapshots", "explorer"))
    site = serve(Place(run, place.beside, place.store))
    connection = http.client.HTTPConnection("127.0.0.1", site.access.port, timeout=30)
    connection.request("GET", "/api/events")
    answer = connection.getresponse()

    def told() -> dict[str, float] | None:
        while answer.readline() != b"event: now\n":
            pass
        return json.loads(answer.readline().removeprefix(b"data: "))

    assert told() is None
    stands = dict.fromkeys(NOW, 0.5) | {"epoch": 2.0}
    (run / "now.json").write_text(json.dumps(stands))
    assert told() == stands
    (run / "now.json").write_text('{"epoch": NaN, "batch": []}')
    assert told() is None
    connection.close()


def test_going_away_ends_the_work(site: Site, picture: bytes) -> None:
    ident = site.bring(picture)
    connection = http.client.HTTPConnection("127.0.0.1", site.access.port, timeout=30)
    connection.request("POST", f"/api/sides/own/pictures/{ident}/occlusion")
    answer = connection.getresponse()
    answer.readline()
    answer.close()
    connection.close()
    deadline = time.monotonic() + 20
    while site.explorer.worker._tasks and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not site.explorer.worker._tasks


def test_an_address_that_is_not_there_names_where_to_begin(site: Site) -> None:
    status, _, body = site.ask("GET", "/photos")
    assert status == 404
    assert "the one that `alexnet serve` printed" in json.loads(body)["error"]
