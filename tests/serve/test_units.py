"""Pages of layers and units: signs, names, dead units and logits; preparation, made pictures, pins, the keyboard."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from explored import Place, Site, Visit

from alexnet.data import synthetic
from alexnet.data.sources.folder import open_folder
from alexnet.data.store.prepare import prepare
from alexnet.files.tensors import load_tensors, save_tensors
from alexnet.measure.run import Run
from alexnet.serve.open_networks import OWN, OpenNetwork
from alexnet.serve.pages import home
from alexnet.serve.run_cache import Prepared, RunCache

DEAD = 3


@pytest.fixture(scope="module")
def fresh(place: Place, serve: Callable[..., Site], tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A run of which nothing was prepared, with a dead unit in conv3."""
    run = tmp_path_factory.mktemp("fresh") / "run"
    shutil.copytree(place.run, run, ignore=shutil.ignore_patterns("explorer", "see", "snapshots", "velocities*"))
    weights, about = load_tensors(run / "model.safetensors")
    weights["conv3.weight"][DEAD], weights["conv3.bias"][DEAD] = 0, -1
    save_tensors(run / "model.safetensors", weights, about)
    return serve(replace(place, run=run, beside=None))


def test_connections_have_signs_and_classes_have_names(site: Site, place: Place) -> None:
    run = Run.open(place.run)
    weight = run.network.get_parameter("fc8.weight").detach()
    unit = site.get("/api/sides/own/layers/fc7/units/5")["outputs"]
    assert unit["names"] == list(run.class_names)
    assert unit["sums"] == pytest.approx(weight[:, 5].tolist(), rel=1e-3, abs=1e-6)
    assert all(weight[k, 5] > 0 for k in unit["for"])
    assert all(weight[k, 5] < 0 for k in unit["against"])
    assert unit["for"][0] == int(weight[:, 5].argmax())
    assert unit["against"][0] == int(weight[:, 5].argmin())
    inputs = site.get("/api/sides/own/layers/conv2/units/1")["inputs"]
    own = run.network.get_parameter("conv2.weight").detach()[1].sum(dim=(1, 2))
    reads = torch.tensor(inputs["sums"])
    assert reads[reads != 0] == pytest.approx(own.tolist(), rel=1e-3)  # the other column's are 0


def test_what_is_missing_is_prepared_by_one_button_or_by_itself(
    fresh: Site, visit: Callable[..., Visit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "AT_ONCE", 0.0)
    page = visit(fresh).open(f"layer/conv3/unit/{DEAD}")
    button = page.get_by_role("button", name="Prepare everything (about 1 minute)")
    button.wait_for()
    assert page.get_by_role("button", name="nalyse").count() == 0
    monkeypatch.setattr(home, "AT_ONCE", 180.0)
    (fresh.place.run / "explorer").mkdir()  # a new version, for which the answer is not cached
    page = visit(fresh).open(f"layer/conv3/unit/{DEAD}")
    page.locator(".preparation:not([aria-busy])").wait_for(state="attached")
    assert fresh.get("/api/sides/own/preparation")["missing"] == []
    # A dead unit excites nothing, and says so.
    assert page.get_by_text("it is dead").count() == 1
    assert page.locator("figure:not(#negative) .patches li").count() == 0
    assert page.locator("#negative .patches li").count() == 9
    assert fresh.ask("GET", f"/api/sides/own/layers/conv3/units/{DEAD}/tile.png")[0] == 404
    assert DEAD in fresh.get("/api/sides/own/layers/conv3")["dead"]


def test_logits_are_not_rectified(fresh: Site, visit: Callable[..., Visit]) -> None:
    fresh.compute("/api/sides/own/passes/everything")
    unit = fresh.get("/api/sides/own/layers/fc8/units/2")
    assert not unit["rectified"]
    assert len(unit["strongest"]) == len(unit["negative"]) == 9
    assert fresh.get("/api/sides/own/layers/fc8")["dead"] == []
    for sign in ("strongest", "negative"):
        assert fresh.ask("GET", f"/api/sides/own/layers/fc8/units/2/{sign}/8/patch.png")[0] == 200
    page = visit(fresh).open("layer/fc8/unit/2")
    words = page.locator("article").inner_text()
    assert "It sees the whole view of 32 × 32 pixels" in words
    assert "What speaks most against angle2" in words
    assert "before the softmax" in words.lower()
    assert "ReLU is silent" not in words
    assert "linearity" not in words
    page.locator("h1").click()
    page.keyboard.press("u")
    page.locator("h1 small", has_text="fully").wait_for()
    assert "dead" not in page.locator("article").inner_text()


def test_a_sheet_of_units_is_one_tab_stop(fresh: Site, visit: Callable[..., Visit]) -> None:
    page = visit(fresh).open("layer/conv1")
    assert "Each unit by its kernel" in page.locator(".order").inner_text()
    sheet = page.locator(".sheet")
    assert sheet.locator("a[tabindex='0']").count() == 1
    assert "arrow keys" in (sheet.get_attribute("aria-label") or "")
    sheet.locator("a").first.focus()
    for key in ("ArrowRight", "ArrowDown", "End", "ArrowRight", "Home", "ArrowRight"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.getAttribute('href')") == "layer/conv1/unit/1"
    assert sheet.locator("a[tabindex='0']").count() == 1
    page.keyboard.press("Enter")
    page.locator("h1", has_text="conv1 · 1").wait_for()
    assert "Its kernel" in page.locator("article").inner_text()


def test_units_are_pinned_and_a_picture_is_made(fresh: Site, visit: Callable[..., Visit]) -> None:
    page = visit(fresh).open("layer/conv2/unit/1")
    page.get_by_role("button", name="Pin to compare").click()
    page.get_by_role("button", name="Unpin").first.wait_for()
    page.get_by_label("The next unit").click()
    page.locator("h1", has_text="conv2 · 2").wait_for()
    page.get_by_role("button", name="Pin to compare").click()
    page.wait_for_url("**pins=conv2.1%2Cconv2.2")
    page.reload()
    page.locator(".pin-card").nth(1).wait_for()
    assert page.locator(".pin-card h3").all_inner_texts() == ["conv2 · 1", "conv2 · 2"]
    page.locator(".pin-card").first.get_by_role("button", name="Unpin").click()
    page.wait_for_url("**pins=conv2.2")
    page.get_by_role("button", name="Make the picture").click()
    page.locator("#optimised img").wait_for(timeout=240_000)
    kept = fresh.place.run / "explorer" / "optimised-conv2-2-val.safetensors"
    assert load_tensors(kept)[0]["image"].shape == (32, 32, 3)
    assert fresh.ask("GET", "/api/sides/own/layers/conv2/units/2/optimised.png")[2].startswith(b"\x89PNG")
    assert fresh.ask("GET", "/api/sides/own/layers/conv2/units/3/optimised.png")[0] == 404


def test_parts_of_the_built_in_set_are_found_in_its_store(place: Place, tmp_path: Path) -> None:
    written = synthetic.write(tmp_path / "set", train_per_class=1, val_per_class=1)
    source = replace(open_folder(written), kind="synthetic")
    run = tmp_path / "run"
    shutil.copytree(place.run, run, ignore=shutil.ignore_patterns("explorer", "snapshots", "velocities*"))
    store = prepare(source, tmp_path / "store", size=40)
    cache = RunCache(OpenNetwork(OWN, "run", "1", Run.open(run)), Prepared.of(store))
    assert cache.missing["parts"] > 0
    cache.compute("parts", lambda done, total: None)
    units = (cache.parts or {})["conv3"]["units"]
    assert len(units) == cache.opened.network.layer("conv3").leaving.maps
    assert {unit["part"].split("/")[0] for unit in units} <= set(synthetic.CLASSES)
    assert "parts" not in cache.missing
