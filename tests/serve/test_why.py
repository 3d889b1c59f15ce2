"""Why an answer: sums over units, switches, attributions; by the API and in a browser."""

import base64
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from explored import Place, Site, Visit

from alexnet.look import Look, Run
from alexnet.see.attribution import ATTRIBUTIONS

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[test]'")


@pytest.fixture(scope="module")
def look(place: Place, picture: bytes) -> Look:
    return Run.open(place.run, precision="fp32").look(picture)


def test_contributions_are_those_of_see_and_add_up(site: Site, picture: bytes, look: Look) -> None:
    path = f"/api/sides/own/pictures/{site.bring(picture)}"
    for query, asked in (("", {}), ("?class=2&against=4", {"true": 2, "against": 4})):
        found, wanted = site.get(f"{path}/contributions{query}"), look.contributions(**asked)
        assert found["answer"] == pytest.approx(wanted.answer, abs=1e-4)
        assert [one["layer"] for one in found["layers"]] == [one.layer for one in wanted.layers] == ["fc7", "conv5"]
        for one, split in zip(found["layers"], wanted.layers, strict=True):
            assert [line["unit"] for line in one["strongest"]] == split.strongest(8)
            named = sum(line["added"] for line in one["strongest"])
            total = named + one["others"] + one["biases"] + one["remainder"]
            assert total == pytest.approx(found["answer"], abs=1e-4)
    assert site.ask("GET", f"{path}/contributions?class=99")[0] == 409
    assert site.ask("GET", f"{path}/contributions?class=2&against=2")[0] == 409


def test_units_switched_off_change_the_answer_as_intervene_says(site: Site, picture: bytes, look: Look) -> None:
    path = f"/api/sides/own/pictures/{site.bring(picture)}/intervention"
    found = site.get(f"{path}?edits=fc7:1,3=0%20conv5:0*2")
    wanted = look.intervene(["fc7:1,3=0", "conv5:0*2"])
    assert found["edits"] == ["fc7:1,3=0", "conv5:0*2"]
    for line in found["classes"]:
        assert line["after"] == pytest.approx(float(wanted.after[line["number"]]), abs=1e-4)
    assert site.ask("GET", f"{path}?edits=fc7:99999=0")[0] == 409


def test_every_method_of_attribution_is_that_of_see(site: Site, picture: bytes, look: Look) -> None:
    path = f"/api/sides/own/pictures/{site.bring(picture)}/attribution"
    for method in ("grad-cam", "lrp", "smoothgrad"):
        events = site.compute(f"{path}/{method}?class=1")
        if ATTRIBUTIONS[method].reports:
            assert "progress" in [kind for kind, _ in events]
        map_ss, wanted = events[-1][1]["map"], look.attribution(method, true=1).map
        levels = np.frombuffer(base64.b64decode(map_ss["levels"]), np.int8).reshape(wanted.shape)
        shown = levels / 127 * map_ss["full"]
        inside = np.abs(wanted) <= map_ss["full"]
        assert shown[inside] == pytest.approx(wanted[inside], abs=map_ss["full"] / 200)


def test_why_is_asked_in_a_browser(visit: Callable[..., Visit]) -> None:
    page = visit().open("why?picture=val.7")
    box = partial(page.get_by_role, "checkbox")
    page.locator(".attribution canvas").nth(2).wait_for()
    before = page.locator(".changed .bars li").first.inner_text()
    switch = page.get_by_role("switch").first
    switch.focus()
    page.keyboard.press("Space")  # by keyboard
    page.locator(".changed h3", has_text="1 unit off").wait_for()
    assert switch.get_attribute("aria-checked") == "false"
    assert "was" in page.locator(".changed .bars li").first.inner_text()
    box(name="smoothgrad").check()
    page.locator(".attribution", has_text="smoothgrad").get_by_role("button", name="Compute it").click()
    page.locator(".attribution", has_text="smoothgrad").locator("canvas").wait_for()
    box(name="lrp").uncheck()
    page.reload()  # the address keeps what was chosen
    page.locator(".changed h3", has_text="1 unit off").wait_for()
    assert box(name="smoothgrad").is_checked()
    assert not box(name="lrp").is_checked()
    page.get_by_role("button", name="Switch all on").click()
    page.get_by_role("heading", name="The answer", exact=True).wait_for()
    assert page.locator(".changed .bars li").first.inner_text() == before
    page.get_by_role("combobox", name="Why").select_option(label="angle3")
    page.wait_for_url("**class=angle3*")
    page.locator("strong", has_text="angle3").first.wait_for()
