"""Nobody waits for another's work or sees a failure: order, refusals, a server that stopped, words for people."""

import contextlib
import gzip
import http.client
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explored import Place, Site, Visit

import alexnet
from alexnet.serve.worker import MOST_WAITING, Urgency

PERSON = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@contextlib.contextmanager
def busy(site: Site, waiting: int = 0) -> Iterator[Callable[[], None]]:
    """The network at work for somebody else, until the function is called; so many urgent requests wait for it."""
    begun, done = threading.Event(), threading.Event()
    leave = []

    def work(_: Any) -> None:
        begun.set()
        done.wait(60)

    for number in range(waiting + 1):
        submit, key = site.explorer.worker.submit, ("busy", number)
        leave.append(submit(key, work, lambda *_: None, urgency=Urgency.ANSWER))
        assert begun.wait(20)
    try:
        yield done.set
    finally:
        done.set()
        for one in leave:
            one()


def test_a_picture_is_there_while_the_network_is_busy(site: Site, picture: bytes) -> None:
    with busy(site):
        ident = site.bring(picture)
        for path in (f"pictures/{ident}", f"pictures/{ident}/record.jpg", f"sides/own/pictures/{ident}/view.jpg"):
            assert site.ask("GET", f"/api/{path}")[0] == 200
        assert site.ask("GET", f"/api/sides/epoch-1/pictures/{ident}/view.jpg")[2].startswith(b"\xff\xd8")
    site.get(f"/api/sides/own/pictures/{ident}/glance")
    with busy(site):  # the network has looked at it: its maps are in memory
        for maps in ("conv2.png", "conv2/1.png"):
            assert site.ask("GET", f"/api/sides/own/pictures/{ident}/maps/{maps}")[0] == 200
        assert site.ask("GET", f"/api/sides/own/pictures/{ident}/maps/nowhere.png")[0] == 404


def test_answers_come_before_maps_and_maps_before_occlusion_whoever_asked_first(site: Site, picture: bytes) -> None:
    one, other = site.bring(picture), site.bring(picture)
    paths = {
        "occlusion": ("POST", f"/api/sides/own/pictures/{one}/occlusion"),
        "maps": ("GET", f"/api/sides/own/pictures/{one}/maps/conv2.png?of={one}"),
        "answer": ("POST", f"/api/sides/own/pictures/{one}/prediction"),
        "the other's answer": ("POST", f"/api/sides/own/pictures/{other}/prediction"),
    }
    order: list[str] = []

    def ask(name: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", site.access.port, timeout=60)
        connection.request(*paths[name])
        answer = connection.getresponse()
        if name == "maps":
            order.append(name)
        while line := answer.readline():
            if line in (b"event: part\n", b"event: done\n") and f"{name}: {line[7:-1].decode()}" not in order:
                order.append(f"{name}: {line[7:-1].decode()}")
        connection.close()

    with busy(site) as done:
        threads = []
        for number, name in enumerate(paths, 1):
            threads.append(threading.Thread(target=ask, args=(name,)))
            threads[-1].start()
            deadline = time.monotonic() + 20
            while site.explorer.worker.waiting < number and time.monotonic() < deadline:
                time.sleep(0.01)
        done()
        for thread in threads:
            thread.join(60)
    assert set(order[:2]) == {"answer: part", "the other's answer: part"}
    after = [what for what in order if what not in order[:2]]
    assert after.index("maps") < after.index("occlusion: part") < after.index("occlusion: done")
    assert after.index("the other's answer: done") < after.index("occlusion: done")


def test_one_picture_has_one_probability_on_its_page_in_its_map_and_in_the_command(
    place: Place, serve: Callable[..., Site], picture: bytes, tmp_path: Path
) -> None:
    """Also where the run was trained in bf16, in which ten views are still computed."""
    shutil.copytree(place.run, tmp_path / "rough", ignore=shutil.ignore_patterns("explorer", "snapshots"))
    config = json.loads((place.run / "config.json").read_text())
    config["machine"] |= {"device": "cpu", "precision": "bf16"}
    (tmp_path / "rough" / "config.json").write_text(json.dumps(config | {"checksum": ""}))
    site = serve(Place(tmp_path / "rough", place.beside, place.store))
    ident = site.bring(picture)
    answer = next(
        value for kind, value in site.compute(f"/api/sides/own/pictures/{ident}/prediction") if kind == "part"
    )
    events = site.compute(f"/api/sides/own/pictures/{ident}/occlusion")
    part, whole = next(value for kind, value in events if kind == "part"), events[-1][1]
    look = alexnet.load(tmp_path / "rough").look(picture)
    found = look.occlusion().as_json()
    assert part["clean"]["probability"] == pytest.approx(found["clean"]["probability"], abs=1e-6)
    assert answer["labels"][0]["probability"] == pytest.approx(found["clean"]["probability"], abs=1e-6)
    assert np.array(whole["logit"]) == pytest.approx(np.array(found["logit"]), abs=1e-3)
    rough = look.occlusion(precision="auto").as_json()["clean"]["probability"]
    assert abs(rough - found["clean"]["probability"]) > 1e-6
    # The page's colours have the saved figure's scales.
    assert {name: pytest.approx(scale, rel=1e-4) for name, scale in whole["scales"].items()} == found["scales"]
    assert part["scales"]["probability"] == [0, 1]
    drawn = {axes.get_title().split("\n")[0][:1]: axes for axes in look.occlusion().draw().axes if axes.images}
    assert list(drawn["b"].images[0].get_clim()) == pytest.approx(part["scales"]["total"], rel=1e-4)


# ── words for people ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", ["/units", "/photos/of/cats", "/nets.html"])
def test_an_unknown_address_is_a_page_for_people_and_json_for_programs(site: Site, path: str) -> None:
    status, headers, body = site.ask("GET", path, headers=PERSON)
    assert (status, headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert b"page/main.js" in body
    status, headers, body = site.ask("GET", path)
    assert (status, headers["content-type"]) == (404, "application/json")
    assert "error" in json.loads(body)


def test_the_icon_is_where_browsers_look_for_it_and_a_refusal_has_words(site: Site) -> None:
    status, headers, body = site.ask("GET", "/favicon.ico")
    assert (status, headers["content-type"]) == (200, "image/svg+xml")
    assert body.startswith(b"<svg")
    status, headers, body = site.ask("GET", "/", headers=PERSON | {"Host": "evil.example"})
    assert (status, headers["content-type"]) == (421, "text/html; charset=utf-8")
    assert b"<h1>This can't be shown</h1>" in body
    status, _, body = site.ask("GET", "/api/sides/own/layers/conv1/units/99999999999")
    assert status == 422
    assert json.loads(body)["error"].startswith("unit: ")


def test_the_page_s_files_are_sent_small_and_only_when_they_changed(site: Site) -> None:
    status, headers, body = site.ask("GET", "/page/main.js", headers={"Accept-Encoding": "gzip"})
    assert (status, headers["content-encoding"]) == (200, "gzip")
    whole = site.ask("GET", "/page/main.js")[2]
    assert gzip.decompress(body) == whole
    assert len(body) < len(whole) / 2
    status, _, body = site.ask("GET", "/page/main.js", headers={"If-None-Match": headers["etag"]})
    assert (status, body) == (304, b"")


# ── in the browser ───────────────────────────────────────────────────────────────────────────────────────────────

QUICKLY = (
    "Math.random = () => -0.45"  # pauses are drawn from half to one and a half of two seconds; this makes them 0.1
)


def forgive(here: Visit, *words: str) -> None:
    """The browser notes what did not arrive; that is no fault of the page."""
    here.faults[:] = [fault for fault in here.faults if not any(one in fault for one in words)]


def test_a_page_that_is_refused_waits_says_so_and_asks_again(visit: Callable[..., Visit], site: Site) -> None:
    here = visit()
    here.context.add_init_script(QUICKLY)
    page = here.open("training")
    with busy(site, waiting=MOST_WAITING) as done:
        page.goto(f"{here.base}layer/conv2")
        page.locator(".notice", has_text=f"{MOST_WAITING} before you").wait_for()
        status, headers, body = site.ask("GET", "/api/sides/own/layers/conv1/units/1/tile.png?v=busy")
        assert (status, headers["retry-after"], json.loads(body)["before"]) == (503, "2", MOST_WAITING)
        done()
        page.locator("h1", has_text="conv2").wait_for()
        page.wait_for_function("() => document.querySelector('.notice').textContent === ''")
    assert page.locator(".fault").count() == 0
    forgive(here, "503")


def test_a_drawing_that_is_refused_is_asked_for_again(visit: Callable[..., Visit], site: Site) -> None:
    here = visit()
    here.context.add_init_script(QUICKLY)
    page = here.open("training")
    with busy(site, waiting=MOST_WAITING) as done:
        page.evaluate("""() => {
          const image = document.createElement("img");
          image.id = "drawing";
          image.src = "api/sides/own/layers/conv1/units/2/tile.png?v=again";
          document.querySelector("main").append(image);
        }""")
        page.locator(".notice", has_text="before you").wait_for()
        done()
        page.wait_for_function("() => document.querySelector('#drawing').naturalWidth > 0")
    forgive(here, "503")


def test_a_page_says_that_the_explorer_stopped_and_goes_on_when_it_is_back(visit: Callable[..., Visit]) -> None:
    here = visit()
    here.context.add_init_script(QUICKLY)
    page = here.open("training")
    here.context.set_offline(True)
    page.locator("nav a[data-page='compare']").click()
    page.locator(".notice", has_text="it was stopped").wait_for()
    assert page.locator("text=Failed to fetch").count() == 0
    here.context.set_offline(False)
    page.locator("select[name='Right']").wait_for()
    forgive(here, "ERR_INTERNET_DISCONNECTED")


def test_an_unknown_page_says_so_and_leads_back(visit: Callable[..., Visit]) -> None:
    here = visit()
    page = here.open("units")
    assert page.locator("h1").inner_text() == "There is no such page"
    page.get_by_role("link", name="The network").click()
    page.locator("svg.network").wait_for()
    forgive(here, "404")


def test_a_heat_map_is_read_with_the_arrow_keys_on_a_labelled_scale(visit: Callable[..., Visit]) -> None:
    page = visit().open("picture?picture=val.3")
    page.locator(".in-sight").first.scroll_into_view_if_needed()
    page.locator("#occlusion .save a").first.wait_for()
    shades = page.locator("#occlusion .shades").first.inner_text()
    assert shades.startswith("0")
    assert "uncovered" in shades
    assert shades.rstrip().endswith("%")
    heat = page.locator("#occlusion").get_by_role("slider").first
    heat.focus()
    assert page.locator("#occlusion .covering").first.is_visible()
    for _ in range(50):
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowLeft")
    assert heat.get_attribute("aria-valuenow") == "0"
    page.keyboard.press("ArrowRight")
    told = heat.get_attribute("aria-valuetext")
    assert told is not None
    assert told.startswith("Row 1, column 2 of ")
    assert " %, most probable angle" in told
    assert page.locator("#occlusion .read").inner_text() == told
