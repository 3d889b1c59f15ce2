"""The tour: eight stops with their own addresses, live pictures, formulas, and files of the code that are there."""

from collections.abc import Callable
from pathlib import Path

from explored import Site, Visit

import alexnet
from alexnet.serve.pages.tour import FILES

STOPS = ("data", "kernels", "relu", "norm", "pool", "columns", "dropout", "results")


def test_eight_stops_by_keys_and_each_with_its_code(visit: Callable[..., Visit], site: Site) -> None:
    page = visit().open("tour")
    names = []
    for number, stop in enumerate(STOPS):
        page.locator(".stops-of-tour [aria-current=step]").filter(
            has_text=page.locator(".stops-of-tour a").nth(number).inner_text()
        ).wait_for()
        if number:
            assert page.url.endswith(f"/tour/{stop}")
        names.append(page.locator("h1").inner_text())
        assert page.locator("article figure").count(), stop
        for link in page.locator(".code a").all():
            file, _, part = (link.get_attribute("href") or "").removeprefix("api/code/").partition("#:~:text=")
            text = site.ask("GET", f"/api/code/{file}")[2].decode()
            assert text == (Path(alexnet.__file__).parents[1] / file).read_text()
            assert part.replace("%20", " ") in text
        page.keyboard.press("ArrowRight")
        if stop != STOPS[-1]:
            page.wait_for_url(f"**/tour/{STOPS[number + 1]}")
            page.locator("h1").filter(has_not_text=names[-1]).wait_for()
    assert len(set(names)) == len(STOPS)
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**/tour/dropout")


def test_a_stop_keeps_its_picture_and_shows_the_run_s_numbers(visit: Callable[..., Visit]) -> None:
    page = visit().open("tour/norm?picture=val.12")
    page.locator(".number-on-its-way", has_text="norm1 makes").wait_for()
    assert page.locator("figure h2").inner_text() == "angle1, val 12"
    page.get_by_role("link", name="Windows that overlap").click()
    page.locator("h1", has_text="Windows that overlap").wait_for()
    assert page.url.endswith("/tour/pool?picture=val.12")
    page.get_by_role("link", name="Follow this number").click()
    page.locator("h1", has_text="Follow").wait_for()
    assert "layer=pool1" in page.url


def test_no_path_but_the_tour_s_reaches_the_code(site: Site) -> None:
    for name in ("alexnet/cli.py", "alexnet/../setup.py", "..%2f..%2fetc/passwd", "/etc/passwd", ""):
        assert site.ask("GET", f"/api/code/{name}")[0] == 404
    assert all(site.ask("GET", f"/api/code/alexnet/{name}")[0] == 200 for name in FILES)
