"""A training that is watched: what pages show while it has no weights yet, when they come, and when it ends."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from explored import Place, Site, Visit

from alexnet.files.schema import json_bytes, read_json, sealed


@pytest.fixture
def growing(place: Place, serve: Callable[..., Site], tmp_path: Path) -> Site:
    """A run of which no epoch has ended, as while it trains."""
    run = tmp_path / "growing"
    ignored = shutil.ignore_patterns("model.safetensors", "snapshots", "explorer", "velocities*")
    shutil.copytree(place.run, run, ignore=ignored)
    lines = (run / "log.jsonl").read_text().splitlines(keepends=True)
    (run / "log.jsonl").write_text("".join(line for line in lines if '"epoch"' not in line and '"end"' not in line))
    config = read_json(run / "config.json")
    (run / "config.json").write_bytes(json_bytes(sealed(config | {"finished": False})))
    (run / ".lock").touch()
    now = {"epoch": 1, "batch": 3, "batches": 8, "loss": 1.7, "top1_error": 0.8, "speed": 900.0, "seconds_left": 9.0}
    (run / "now.json").write_text(json.dumps(now))
    return serve(replace(place, run=run, beside=None))


def test_pages_opened_before_the_first_epoch_show_it_when_it_ends(growing: Site, visit: Callable[..., Visit]) -> None:
    here = visit(growing)
    page = here.open("layer/conv1/unit/0")
    page.get_by_text("no weights yet").wait_for()
    assert page.locator("#run-state").inner_text() == "training"
    entries = page.evaluate("history.length")
    run, others = growing.place.run, growing.place.store.parent
    shutil.copy(others / "first" / "model.safetensors", run)
    page.locator("h1", has_text="conv1 · 0").wait_for()
    page.evaluate("scrollTo(0, 150)")
    page.locator(".unit").evaluate("it => (it.dataset.old = 'yes')")
    time.sleep(0.02)
    shutil.copy(others / "second" / "model.safetensors", run)
    page.locator(".unit:not([data-old])").wait_for()
    assert page.evaluate("scrollY") == 150
    assert page.evaluate("history.length") == entries
    here.open("tour/kernels")
    shutil.copy(others / "first" / "model.safetensors", run)
    page.get_by_role("button", name="Show the newer ones").click()
    page.locator(".newer").wait_for(state="detached")
    assert all("409" in fault for fault in here.faults)
    here.faults.clear()


def test_the_badge_goes_when_the_training_ends(growing: Site, visit: Callable[..., Visit]) -> None:
    page = visit(growing).open("training")
    page.locator("#now", has_text="epoch").wait_for()
    assert page.locator("#run-state").inner_text() == "training"
    run = growing.place.run
    shutil.copy(growing.place.store.with_name("first") / "model.safetensors", run)
    (run / "now.json").unlink()
    (run / "config.json").write_bytes(json_bytes(sealed(read_json(run / "config.json") | {"finished": True})))
    (run / ".lock").unlink()
    page.locator("#run-state:empty").wait_for(state="attached")
    page.locator("#live .readings", has_text="finished").wait_for()


def test_an_interrupted_training_is_not_said_to_train(growing: Site) -> None:
    assert growing.get("/api/run")["state"]["word"] == "training"
    (growing.place.run / "now.json").unlink()
    (growing.place.run / ".lock").unlink()
    assert growing.get("/api/run")["state"]["word"] == "stopped"


def test_epochs_are_whole_and_small_errors_are_not_zero(growing: Site, visit: Callable[..., Visit]) -> None:
    lines = [json.loads(line) for line in (growing.place.store.parent / "first/log.jsonl").read_text().splitlines()]
    epochs = [line | {"val_top1_error": 1 / 300, "val_top5_error": 0.0} for line in lines if line["event"] == "epoch"]
    with (growing.place.run / "log.jsonl").open("a") as log:
        log.writelines(json.dumps(epoch) + "\n" for epoch in epochs)
    page = visit(growing).open("training")
    charts = page.locator("#live svg.chart")
    charts.nth(1).wait_for()
    ticks = [text for chart in charts.all() for text in chart.locator("text.x").all_text_contents()]
    assert set(ticks) <= {"1", "2", "3"}
    charts.nth(1).focus()
    page.keyboard.press("ArrowRight")
    assert "validation, top-1 0.33 %" in charts.nth(1).locator(".read").all_text_contents()


def test_the_command_that_trained_it_names_both_paths_and_what_was_chosen(site: Site) -> None:
    told = site.get("/api/run")["commands"]["train"]
    assert told.startswith(f"alexnet train {site.place.store} --out {site.place.run} --net toy --epochs 3 --batch 16")
    assert "None" not in str(site.get("/api/run")["recipe"])
    assert "timeout" not in told
