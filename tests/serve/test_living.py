"""The living network: what a picture, the camera or a drawing makes of it, by the API and in a browser."""

import base64
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from explored import SIDE, Place, Site, Visit, png, stripes
from PIL import Image

from alexnet.look import Run

if TYPE_CHECKING:
    from playwright.sync_api import Request

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[test]'")
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
ROWS = "relu1,relu5,relu7"


def test_a_glance_and_a_frame_have_the_answer_and_the_strongest_maps(site: Site) -> None:
    record = stripes(3, 5)
    look = Run.open(site.place.run, precision="fp32").look(record)
    maps = look.passed["relu5"][0].numpy()
    still = site.get(f"/api/sides/own/pictures/{site.bring(png(record))}/glance")
    kept = len(site.explorer.uploads._values), len(site.explorer.responses._values)
    status, headers, body = site.ask("POST", f"/api/sides/own/frame?rows={ROWS},nothing", png(record))
    frame = json.loads(body)
    assert (status, headers["cache-control"]) == (200, "no-store")
    assert (len(site.explorer.uploads._values), len(site.explorer.responses._values)) == kept
    assert set(frame["rows"]) == {*ROWS.split(","), "fc8"}
    assert set(still["rows"]) == {layer.row.name for layer in look.run.network.layers}
    probabilities = look.passed.probabilities[0].numpy()
    for found in (still, frame):
        labels, row = found["labels"], found["rows"]["relu5"]
        assert [one["class"] for one in labels] == [look.run.class_names[k] for k in np.argsort(-probabilities)[:5]]
        assert labels[0]["probability"] == pytest.approx(probabilities.max(), abs=1e-4)
        strongest = [column[0] for column in row["strongest"]]
        halves = np.split(maps.reshape(len(maps), -1).max(axis=1), 2)
        assert [one["unit"] for one in strongest] == [halves[0].argmax(), len(halves[0]) + halves[1].argmax()]
        levels = np.frombuffer(base64.b64decode(strongest[0]["values"]), np.uint8) / 255
        values = row["low"] + levels.reshape(strongest[0]["side"], -1) * (row["high"] - row["low"])
        assert values == pytest.approx(maps[strongest[0]["unit"]], abs=float(maps.max()) / 400)
    assert site.ask("POST", "/api/sides/own/frame", b"<svg/>")[0] == 415


def test_the_camera_is_answered_frame_by_frame_and_none_waits(equipped: Callable[..., Visit]) -> None:
    here = equipped(*CAMERA)
    page = here.open()
    page.get_by_role("button", name="Use the camera").click()
    waiting: list[int] = [0]
    most: list[int] = []

    def sent(request: "Request") -> None:
        if "/frame" in request.url:
            waiting.append(waiting[-1] + 1)
            most.append(waiting[-1])

    def answered(request: "Request") -> None:
        if "/frame" in request.url:
            waiting.append(waiting[-1] - 1)

    page.on("request", sent)
    page.on("requestfinished", answered)
    page.locator(".rate", has_text="answers a second").wait_for()
    assert page.locator("#answer li", has_text="%").count() == 5
    assert max(most) == 1
    page.get_by_role("button", name="Stop the camera").click()
    page.locator("#answer .answer[data-views='10'] li").first.wait_for()  # the picture is back
    count = len(most)
    page.wait_for_timeout(200)
    assert len(most) == count


def test_a_drawing_by_pointer_or_keyboard_is_answered_and_kept(visit: Callable[..., Visit]) -> None:
    page = visit().open()
    page.get_by_role("button", name="Draw", exact=True).click()
    page.locator("#answer h2", has_text="Your drawing").wait_for()
    sheet = page.locator("canvas.sketch")
    ink = "one => one.getContext('2d').getImageData(0, 0, one.width, one.height).data.filter((v) => v < 100).length"
    assert sheet.evaluate(ink) == 0
    page.keyboard.press("Space")
    for key in ("ArrowRight",) * 3 + ("ArrowDown",):
        page.keyboard.press(key)
    by_key = sheet.evaluate(ink)
    assert by_key > 0
    box = sheet.bounding_box()
    assert box is not None
    with page.expect_response("**/frame**"):
        page.mouse.move(box["x"] + 20, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + 90, box["y"] + 40, steps=4)
        page.mouse.up()
    assert sheet.evaluate(ink) > by_key
    page.get_by_role("button", name="Keep the drawing").click()
    page.wait_for_url("**picture=*&name=a+drawing**")
    page.locator("#answer h2", has_text="a drawing").wait_for()
    address = page.url
    page.go_back()
    page.locator("#answer h2", has_text="val").wait_for()
    page.goto(address)
    page.locator("#answer h2", has_text="a drawing").wait_for()


def test_what_was_chosen_is_in_the_address_and_selects_wait_for_enter(visit: Callable[..., Visit]) -> None:
    page = visit().open("?picture=val.7&row=relu2&unit=3&method=guided")
    page.locator(".projected img").first.wait_for()
    assert page.locator("#row strong").first.inner_text() == "relu2"
    select = page.locator(".projected select")
    assert select.input_value() == "guided"
    select.focus()
    page.keyboard.press("ArrowDown")
    assert "method=guided" in page.url
    page.keyboard.press("Enter")
    page.wait_for_url("**method=gradient**")


def test_words_are_explained_on_focus_and_escape_puts_it_away(visit: Callable[..., Visit]) -> None:
    page = visit().open()
    page.get_by_role("button", name="nll", exact=True).first.focus()
    tip = page.get_by_role("tooltip")
    assert "log-likelihood" in tip.inner_text()
    page.keyboard.press("Escape")
    assert not tip.is_visible()


def test_the_saved_network_has_its_maps_and_names(visit: Callable[..., Visit]) -> None:
    page = visit(viewport={"width": 1280, "height": 800}).open()
    page.locator("#answer li", has_text="%").first.wait_for()
    frame, name = (page.locator(one).first.bounding_box() for one in ("svg.network", ".label strong"))
    assert frame is not None
    assert name is not None
    with page.expect_download() as saved:
        page.locator("#network").get_by_role("button", name="PNG").click()
    with Image.open(saved.value.path()) as drawn:
        pixels = np.asarray(drawn.convert("L"), int)
    top, left = (int(2 * (name[one] - frame[one])) for one in ("y", "x"))
    letters = pixels[top : top + int(2 * name["height"]), left : left + int(2 * name["width"])]
    assert (letters < letters.max() - 100).mean() > 0.03


def test_while_a_run_trains_the_page_keeps_its_place_and_history(
    visit: Callable[..., Visit], place: Place, serve: Callable[..., Site], tmp_path: Path
) -> None:
    run = shutil.copytree(place.run, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    unfinished = {key: value for key, value in config.items() if key not in ("finished", "checksum")}
    (run / "config.json").write_text(json.dumps(unfinished | {"checksum": ""}))
    site = serve(replace(place, run=run))
    here = visit()
    page = here.page
    here.base = site.access.address
    page.goto(here.base)
    page.locator("#answer li", has_text="%").first.wait_for()
    before = page.evaluate("history.length")
    page.evaluate("document.querySelector('#run').scrollIntoView({ behavior: 'instant' })")
    place_before = page.evaluate("scrollY")
    assert place_before > 600
    with page.expect_response("**/glance**"):  # the picture is looked at again, by the new weights
        (run / "model.safetensors").touch()
    page.wait_for_timeout(100)
    assert page.evaluate("history.length") == before
    assert abs(page.evaluate("scrollY") - place_before) < 500  # figures above may still arrive; the top is farther


def test_a_record_of_the_run_is_taken_as_it_is(site: Site) -> None:
    assert site.get("/api/run")["network"]["record"] == SIDE
