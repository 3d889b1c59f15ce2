"""The page of errors: the numbers of the commands, filters, marks that `prepare` applies."""

import csv
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from explored import CLASSES, SIDE, Place, Site, Visit

from alexnet.cli import main
from alexnet.data.store.read import Store
from alexnet.features.check import check_store
from alexnet.features.errors import find_errors
from alexnet.features.picture_map import picture_map
from alexnet.features.suspects import find_suspects
from alexnet.measure.evaluation import Evaluation
from alexnet.measure.run import Run
from alexnet.serve.pages import errors as page
from alexnet.serve.run_cache import beside
from alexnet.serve.worker import Cancelled

OWN = "/api/sides/own"
JSON = {"content-type": "application/json"}
DONE = ("done", {"made": True})


@pytest.fixture(scope="module")
def found(site: Site, place: Place) -> Evaluation:
    """The answers to the pictures of val, as a run gives them; the explorer has them too."""
    assert site.compute(f"{OWN}/passes/evaluation")[-1] == DONE
    return Run.open(place.run).evaluate(place.store, views=10)


def test_the_worst_pictures_are_those_of_the_command_with_their_nearest(site: Site, place: Place) -> None:
    assert site.compute(f"{OWN}/passes/nearest")[-1] == DONE
    wanted, pictures = find_errors(Run.open(place.run), Store.open(place.store))
    told = site.get(f"{OWN}/errors/pictures?right=false&order=worst")
    names = site.get("/api/run")["classes"]
    assert (told["total"], told["of"]) == (len(wanted), pictures)
    for one, error in zip(told["pictures"], wanted, strict=False):
        assert (one["number"], one["file"]) == (error.index, error.file)
        assert (names[one["true"]], names[one["answered"]]) == (error.true, error.answered)
        assert one["true_probability"] == pytest.approx(error.true_probability, abs=1e-6)
        assert tuple((near["file"], near["class"]) for near in one["nearest"]) == error.nearest
    figures = site.get(f"{OWN}/errors")["found"]
    assert (figures["wrong"], figures["pictures"], figures["views"]) == (len(wanted), pictures, 10)
    assert figures["interval"][0] < len(wanted) / pictures < figures["interval"][1]


@pytest.mark.usefixtures("found")
def test_suspects_and_the_map_are_those_of_the_commands(site: Site, place: Place) -> None:
    run, store = Run.open(place.run), Store.open(place.store)
    assert site.get(f"{OWN}/errors/suspects")["suspects"] is None
    events = site.compute(f"{OWN}/passes/suspects")
    assert {"fits", "features"} <= {value.get("step") for kind, value in events if kind == "progress"}
    wanted, told = find_suspects(run, store, check_store(store)), site.get(f"{OWN}/errors/suspects")["suspects"]
    assert [(one["split"], one["file"], one["suggested"], one["apply"]) for one in told] == [
        (one.split, one.file, one.suggested, one.apply) for one in wanted
    ]
    assert all(store.splits[one["split"]].keys[one["number"]] == one["file"] for one in told)
    assert site.compute(f"{OWN}/passes/map-pca")[-1] == DONE
    on_map = site.get(f"{OWN}/errors/map?method=pca")["pictures"]
    assert [one["at"] for one in on_map] == picture_map(run, store, method="pca").positions.round(4).tolist()
    assert site.get(f"{OWN}/errors/map?method=umap") == {"pictures": None}


def test_pictures_are_filtered_by_class_answer_words_and_turned_by_the_page(site: Site, found: Evaluation) -> None:
    matrix = site.get(f"{OWN}/errors/matrix")
    assert matrix["counts"] == found.confusion.tolist()
    assert [(pair["true"], pair["predicted"]) for pair in matrix["pairs"]] == [
        (pair.true, pair.predicted) for pair in found.confused(60)
    ]
    some = site.get(f"{OWN}/errors/matrix?classes=4,1")
    assert some["counts"] == found.confusion[np.ix_([4, 1], [4, 1])].tolist()
    assert some["elsewhere"] == [10 - sum(row) for row in some["counts"]]
    cell = site.get(f"{OWN}/errors/pictures?true=2&answered=3")
    assert cell["total"] == found.confusion[2, 3]
    assert site.get(f"{OWN}/errors/pictures?search=ANGLE4/003")["total"] >= 1
    assert site.get(f"{OWN}/errors/pictures?search=no+such+picture")["total"] == 0
    both = [site.get(f"{OWN}/errors/pictures?page={number}")["pictures"] for number in (0, 1, 2)]
    assert [one["number"] for some in both for one in some] == list(range(10 * CLASSES))
    assert site.ask("GET", f"{OWN}/errors/pictures?split=nonsense")[0] == 404


def test_with_many_classes_and_pictures_pages_stay_small_and_quick() -> None:
    many, pictures = 1000, 50_000
    noise = np.random.default_rng(0)
    labels, nlls = noise.integers(many, size=pictures), noise.exponential(size=pictures)
    predicted = np.where(noise.random(pictures) < 0.6, labels, noise.integers(many, size=pictures))
    names = tuple(f"class {number}" for number in range(many))
    found = Evaluation(10, names, names, labels, predicted, (predicted != labels).astype(int), nlls, np.exp(-nlls))
    split = SimpleNamespace(keys=[f"{label}/{number}.jpg" for number, label in enumerate(labels)])
    cache = SimpleNamespace(
        evaluations={10: found}, split=split, nearest=None, prepared=SimpleNamespace(split="val"), opened=None
    )
    context: Any = SimpleNamespace(cache_of=lambda _: cache, explorer=SimpleNamespace(marks=None))
    began = time.process_time()
    matrix = page.matrix(context)
    assert len(matrix["classes"]) == page.PART
    assert len(matrix["pairs"]) == page.PAIRS
    assert not matrix["whole"]
    last = page.pictures(context, order="worst", right=False, page=100)
    assert len(last["pictures"]) == page.PAGE
    assert page.pictures(context, search="class 777")["total"] == (labels == 777).sum()
    assert time.process_time() - began < 2
    assert len(json.dumps([matrix, last])) < 30_000


def test_a_layout_leaves_the_worker_free_and_is_not_waited_for_when_nobody_wants_it() -> None:
    called, go_on = [], threading.Event()

    def work() -> int:
        assert go_on.wait(60)
        return 7

    def meanwhile() -> None:
        called.append(1)
        if len(called) == 3:
            go_on.set()

    assert beside(work, meanwhile) == 7
    assert len(called) >= 3

    def leave() -> None:
        raise Cancelled("the request was cancelled")

    go_on.clear()
    with pytest.raises(Cancelled):
        beside(work, leave)
    go_on.set()
    with pytest.raises(ZeroDivisionError):
        beside(lambda: 1 / 0, lambda: None)


# ── marks ────────────────────────────────────────────────────────────────────────────────────────────────────────


def mark(site: Site, picture: str, kind: str | None, name: str = "", **headers: str) -> tuple[int, Any]:
    body = json.dumps({"kind": kind, "class": name}).encode()
    status, _, told = site.ask("POST", f"/api/marks/{picture}", body, JSON | headers)
    return status, json.loads(told)


@pytest.fixture
def marked(place: Place, serve: Callable[..., Site], tmp_path: Path) -> Site:
    return serve(place, corrections=tmp_path / "mine.csv")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_marks_are_written_as_corrections_and_taken_away(marked: Site, place: Place, tmp_path: Path) -> None:
    keys, path = Store.open(place.store).splits["val"].keys, tmp_path / "mine.csv"
    assert mark(marked, "val.3", "wrong", "angle5")[0] == 200
    assert mark(marked, "val.4", "leave out")[0] == 200
    assert mark(marked, "val.5", "right")[1]["marks"]["val.5"] == {"kind": "right", "class": None}
    assert [(row["file"], row["label"], row["suggested"], row["apply"]) for row in rows(path)] == [
        (keys[3], "angle0", "angle5", "yes"),
        (keys[4], "angle0", "leave out", "yes"),
        (keys[5], "angle0", "", "no"),
    ]
    assert mark(marked, "val.4", None)[1]["marks"].keys() == {"val.3", "val.5"}
    assert len(rows(path)) == 2
    told = marked.get(f"{OWN}/errors")["found"] or marked.compute(f"{OWN}/passes/evaluation")
    assert told
    shown = marked.get(f"{OWN}/errors/pictures?marked=true")
    assert [one["number"] for one in shown["pictures"]] == [3, 5]
    mark(marked, "val.3", None)
    assert marked.get(f"{OWN}/errors/pictures?marked=true")["total"] == 1


@pytest.mark.parametrize(
    ("picture", "kind", "name"),
    [
        ("val.99999", "right", ""),
        ("val.3", "wrong", "no such class"),
        ("../../x.1", "right", ""),
        ("val.-1", "right", ""),
    ],
)
def test_what_is_no_picture_or_class_is_not_marked(
    marked: Site, tmp_path: Path, picture: str, kind: str, name: str
) -> None:
    assert mark(marked, quote(picture, safe=""), kind, name)[0] == 404
    assert not (tmp_path / "mine.csv").exists()


def test_only_a_page_of_ours_can_mark(marked: Site, tmp_path: Path) -> None:
    foreign = (
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    )
    assert [mark(marked, "val.3", "right", **headers)[0] for headers in foreign] == [403] * 3
    for kind in ("text/plain", "application/x-www-form-urlencoded"):  # what a form of another page could send
        status, _, _ = marked.ask("POST", "/api/marks/val.3", b'{"kind": "right", "class": ""}', {"content-type": kind})
        assert status in (415, 422)
    assert not (tmp_path / "mine.csv").exists()


def test_another_file_is_not_overwritten(place: Place, serve: Callable[..., Site], tmp_path: Path) -> None:
    site, path = serve(place, corrections=tmp_path / "mine.csv"), tmp_path / "mine.csv"
    path.write_text("shopping,list\nmilk,2\n")
    status, told = mark(site, "val.3", "right")
    assert status == 409
    assert "no file of corrections" in told["error"]
    assert path.read_text() == "shopping,list\nmilk,2\n"
    assert "no file of corrections" in site.get("/api/marks")["fault"]


def test_in_a_browser_a_mark_becomes_a_label_of_the_next_store(
    visit: Callable[..., Visit], site: Site, place: Place, found: Evaluation, tmp_path: Path
) -> None:
    here = visit()
    tab = here.open("errors")
    tab.locator(".lead strong", has_text=f"{(found.ranks > 0).sum()} of {10 * CLASSES}").wait_for()
    tab.locator(".confusion td.right a").first.focus()
    tab.keyboard.press("ArrowDown")
    true, answered = np.argwhere(found.confusion * (1 - np.eye(CLASSES, dtype=int)))[0]
    tab.locator(f"#matrix a[href*='true={true}&answered={answered}']").click()
    cards = tab.locator("#cell .card.wrong")
    cards.first.wait_for()
    assert cards.count() == found.confusion[true, answered]
    file = cards.first.locator(".file").get_attribute("title")
    cards.first.get_by_role("button", name="no …").click()
    dialog = tab.get_by_role("dialog")
    assert dialog.get_by_role("button", name="suggested").inner_text().startswith(f"angle{answered}")
    dialog.get_by_role("searchbox").fill(f"angle{answered}")
    tab.keyboard.press("Enter")
    tab.locator(".said", has_text=f"wrong, it is angle{answered}").wait_for()
    assert "1 picture is marked" in tab.locator(".marks-status").inner_text()
    tab.reload()
    tab.locator("#cell .said", has_text="wrong, it is").wait_for()
    file_of_marks = place.store.parent / "corrections.csv"
    new = tmp_path / "corrected"
    line = ["prepare", str(place.store.parent / "pictures"), str(new), "--size", str(SIDE)]
    try:
        assert main([*line, "--corrections", str(file_of_marks)]) == 0
    finally:
        file_of_marks.unlink()
    before, after = (Store.open(path).splits["val"] for path in (place.store, new))
    changed = {str(key): label for key, label in zip(after.keys, after.labels, strict=True)}
    assert {key for key, label in zip(before.keys, before.labels, strict=True) if changed[str(key)] != label} == {file}
    assert changed[file] == answered


def test_pictures_are_searched_and_opened_and_the_map_is_read_by_keyboard(
    visit: Callable[..., Visit], site: Site, found: Evaluation
) -> None:
    tab = visit().open("errors?show=gallery")
    tab.locator("#gallery .card").nth(40).wait_for()
    tab.get_by_role("button", name="Next →").click()
    tab.locator(".pager span", has_text="page 2 of 2").wait_for()
    tab.get_by_label("Search").fill("angle4/10")
    tab.get_by_label("The answer is").select_option(label="✓ right")
    tab.wait_for_function("['right=true', 'search='].every((part) => location.search.includes(part))")
    tab.locator(".gallery .count", has_text=" of 60").wait_for()
    assert tab.locator("#gallery .card.wrong").count() == 0
    assert site.compute(f"{OWN}/passes/map-pca")[-1] == DONE
    tab.goto(f"{tab.url.partition('?')[0]}?show=map&method=pca")
    canvas = tab.get_by_role("application")
    canvas.focus()
    tab.locator(".plane .count", has_text="60 of 60 (100.0 %) pictures in sight").wait_for()
    for _ in range(4):
        tab.keyboard.press("+")
    tab.wait_for_function("!document.querySelector('.plane .count').textContent.startsWith('60 ')")
    tab.locator("summary", has_text="As a list").click()
    tab.locator(".insight button").first.click()
    tab.locator(".chosen .card a").first.click()
    tab.wait_for_url("**picture=val.*")


def test_only_none_is_no_percent_and_only_all_is_all(visit: Callable[..., Visit]) -> None:
    tab = visit().open("training")
    told = tab.evaluate(
        """async () => {
          const { outOf, percent } = await import(new URL("page/text.js", document.baseURI).href);
          const shares = [[0, 0], [0.0033, 0], [0.0033, 1], [0.00001, 1], [1, 0], [0.9996, 1], [0.9996, 2], [0.5, 0]];
          return [...shares.map((given) => percent(...given)), outOf(4, 144), outOf(0, 0)];
        }"""
    )
    wanted = ["0 %", "0.3 %", "0.3 %", "< 0.01 %", "100 %", "> 99.9 %", "99.96 %", "50 %"]
    assert told == [*wanted, "4 of 144 (2.8 %)", "0 of 0"]
