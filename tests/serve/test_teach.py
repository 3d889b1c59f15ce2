"""Teaching: hostile names, limits, what is written where; and in a browser two classes, a training, a prediction."""

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from explored import Place, Site, Visit, png, stripes
from PIL import Image

import alexnet
from alexnet.errors import UserError
from alexnet.files import atomic
from alexnet.serve import teaching
from alexnet.serve.teaching import Teaching, folder_name

HOSTILE = [
    *("..", ".", "", " ", "a/b", "a\\b", "/etc", "../x", "..%2fx", ".git", "a\0b", "nul\x7f", "\ud800", "x" * 61),
    *("train", "Val", "test", "__MACOSX", "C:", "a*", "<b>", "cat.", "\u202egnp.exe", "~/x/"),
]


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def taught(place: Place, serve: Callable[..., Site], tmp_path: Path) -> Iterator[Site]:
    """An explorer with teaching."""
    site = serve(replace(place, beside=None), teach=tmp_path / "teach")
    yield site
    assert site.explorer.teaching
    site.explorer.teaching.close(10)


def teach_of(site: Site) -> Teaching:
    assert site.explorer.teaching
    return site.explorer.teaching


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused_and_make_nothing(tmp_path: Path, name: str) -> None:
    teach = Teaching(tmp_path / "teach", tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError):
        teach.add_class(name)
    with pytest.raises(UserError):
        teach.train(name, "linear", 1, 0.1)
    for use in (teach.pictures_of, teach.run, teach.remove, teach.resume):
        with pytest.raises(UserError, match="there is no such"):
            use(name)
    teach.add_class("cat")
    with pytest.raises(UserError, match="no such picture"):
        teach.remove("cat", name)
    assert sorted(tmp_path.rglob("*")) == sorted([*before, teach.pictures / "cat"])


def test_names_that_people_give_are_kept(tmp_path: Path) -> None:
    teach = Teaching(tmp_path, tmp_path)
    assert teach.add_class("  Großer  Hund 🐕 ") == "Großer Hund 🐕"
    assert teach.add_class("GROSSER Hund 🐕") == "Großer Hund 🐕", "one folder where case does not count"
    assert folder_name("a. b-c (2)", "class") == "a. b-c (2)"


@pytest.mark.parametrize("path", ["classes/..%2f..%2fetc", "classes/cat/pictures/..%2f..%2f..%2frun", "classes/%2e%2e"])
def test_no_path_reaches_the_file_system(taught: Site, path: str) -> None:
    teach_of(taught).add_class("cat")
    for method, more in (("GET", ""), ("POST", "/remove"), ("POST", "/pictures")):
        assert taught.ask(method, f"/api/teach/{path}{more}", png(stripes(0, 0)))[0] in (404, 405)
    assert list(taught.place.run.parent.rglob("removed")) == []


def test_pictures_are_written_small_without_what_the_camera_noted_and_removed_ones_kept(taught: Site) -> None:
    folder = teach_of(taught).folder
    taught.ask("POST", "/api/teach/classes?name=cat")
    noted = Image.fromarray(stripes(0, 0, 900))
    exif = noted.getexif()
    exif[0x0132], exif[0x0112] = "2026:12:01 10:00:00", 6
    noted.save(folder / "noted.jpg", exif=exif)
    status, _, body = taught.ask("POST", "/api/teach/classes/cat/pictures", (folder / "noted.jpg").read_bytes())
    assert status == 200
    assert json.loads(body)["pictures"] == 1
    with Image.open(folder / "pictures" / "cat" / "000001.jpg") as kept:
        assert kept.size == (512, 512)
        assert not dict(kept.getexif())
    assert taught.ask("POST", "/api/teach/classes/cat/pictures", b"no picture")[0] == 415
    assert taught.ask("GET", "/api/teach/classes/cat/pictures/000001.jpg")[1]["content-type"] == "image/jpeg"
    Image.fromarray(stripes(0, 1)).save(folder / "pictures" / "cat" / "mine.jpg")
    status, _, body = taught.ask("POST", "/api/teach/classes/cat/pictures/mine.jpg/remove")
    assert (status, b"by hand" in body) == (409, True)
    assert taught.ask("POST", "/api/teach/classes/cat/pictures/000001.jpg/remove")[0] == 200
    assert (folder / "removed" / "cat" / "000001.jpg").is_file()
    taught.ask("POST", "/api/teach/classes/cat/pictures", png(stripes(0, 2)))
    assert sorted(content_of(folder / "pictures")) == ["cat/000002.jpg", "cat/mine.jpg"], "numbers are not used again"
    assert json.loads(taught.ask("POST", "/api/teach/classes/cat/remove")[2]) == {"removed": 1}
    assert sorted(content_of(folder / "pictures")) == ["cat/mine.jpg"]


def test_too_many_and_a_full_disk_are_one_sentence(taught: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teaching, "MOST_PICTURES", 1)
    monkeypatch.setattr(teaching, "MOST_CLASSES", 1)
    taught.ask("POST", "/api/teach/classes?name=cat")
    assert b"the most that can be taught here" in taught.ask("POST", "/api/teach/classes?name=dog")[2]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "replace", full)
        status, _, body = taught.ask("POST", "/api/teach/classes/cat/pictures", png(stripes(0, 0)))
    assert status == 409
    assert b"the disk is full: nothing more can be collected" in body
    assert os.listdir(teach_of(taught).pictures / "cat") == []
    assert taught.ask("POST", "/api/teach/classes/cat/pictures", png(stripes(0, 0)))[0] == 200
    status, _, body = taught.ask("POST", "/api/teach/classes/cat/pictures", png(stripes(0, 1)))
    assert (status, b"the most that a class can have" in body) == (409, True)
    assert taught.ask("POST", "/api/teach/classes/cat/pictures", bytes(40 << 20))[0] == 413


def test_without_the_option_there_is_no_teaching(site: Site, visit: Callable[..., Visit]) -> None:
    assert site.get("/api/run")["teaches"] is False
    for method, path in (("GET", ""), ("POST", "/classes?name=x"), ("POST", "/runs?name=x"), ("POST", "/look")):
        status, _, body = site.ask(method, f"/api/teach{path}")
        assert (status, b"--teach FOLDER" in body) == (404, True)
    page = visit().open("teach")
    page.get_by_text("Teaching is off").wait_for()
    assert not page.get_by_role("link", name="Teach", exact=True).is_visible()


@pytest.mark.long
def test_a_fine_tuning_is_paused_and_resumed(taught: Site, tmp_path: Path) -> None:
    teach = teach_of(taught)
    for label, name in enumerate(("flat", "steep")):
        teach.add_class(name)
        assert b"needs 5 or more" in taught.ask("POST", "/api/teach/runs?name=one")[2] or label == 0
        for number in range(40):
            teach.add_picture(name, png(stripes(3 * label, number)))
    assert taught.ask("POST", "/api/teach/runs?name=one&head=network&epochs=0")[0] == 422
    assert taught.ask("POST", "/api/teach/runs?name=one&head=network&epochs=400&learning_rate=0.01")[0] == 200
    assert b"is being trained" in taught.ask("POST", "/api/teach/runs?name=two")[2]
    until(lambda: teach.progress()["runs"] and len(teach.progress()["runs"][0]["epochs"]) > 1)
    assert taught.ask("POST", "/api/teach/pause")[0] == 200
    until(lambda: not teach.progress()["training"]["alive"])
    paused = teach.progress()
    assert paused["training"]["code"] == 130, paused
    done = len(paused["runs"][0]["epochs"])
    assert 1 < done < 400
    assert taught.ask("POST", "/api/teach/runs/one/resume")[0] == 200
    until(lambda: len(teach.progress()["runs"][0]["epochs"]) > done + 1)
    assert [epoch["epoch"] for epoch in teach.progress()["runs"][0]["epochs"]][: done + 1] == list(range(1, done + 2))
    assert {path.parts[0] for path in map(Path, content_of(teach.folder))} == {"pictures", "runs"}


def until(true: Callable[[], object], seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_two_classes_are_taught_and_the_run_predicts(
    launch: Callable[..., object], taught: Site, tmp_path: Path
) -> None:
    before = content_of(taught.place.run.parent)
    browser = launch("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    here = Visit(browser, taught)  # pyright: ignore[reportArgumentType]
    page = here.open("teach")
    page.get_by_label("New class").fill("../../evil")
    page.get_by_role("button", name="Add class").click()
    page.get_by_role("alert").filter(has_text="leave out").wait_for()
    for name in ("camera", "stripes"):
        page.get_by_label("New class").fill(name)
        page.get_by_role("button", name="Add class").click()
        page.locator(f"[data-class={name}]").wait_for()
    hold = page.locator("[data-class=camera] .hold")
    hold.hover()
    page.mouse.down()
    page.locator("[data-class=camera] .thumbs li").nth(5).wait_for()
    page.mouse.up()
    files = [{"name": f"{n}.png", "mimeType": "image/png", "buffer": png(stripes(2, n))} for n in range(12)]
    page.locator("[data-class=stripes] input[type=file]").set_input_files(files)  # pyright: ignore[reportArgumentType]
    page.get_by_text("12 pictures were added").wait_for()
    for name in ("one", "two"):
        (tmp_path / "folder" / name).mkdir(parents=True)
        (tmp_path / "folder" / name / "a.png").write_bytes(png(stripes(0, 0)))
    (tmp_path / "folder" / "two" / "notes.txt").write_text("none")
    page.locator("#class-folder").set_input_files(tmp_path / "folder")
    page.get_by_role("alert").filter(has_text="1 of 3 files were refused. notes.txt").wait_for()
    for name in ("one", "two"):
        page.locator(f"[data-class={name}]").get_by_role("button", name="Remove the class").click()
        page.locator(f"[data-class={name}]").wait_for(state="detached")
    page.get_by_role("button", name="Remove picture 000003 of stripes").click()
    page.locator("[data-class=stripes] h3", has_text="11 pictures").wait_for()
    page.get_by_role("button", name="Train", exact=True).click()
    page.get_by_role("heading", name="taught-1 is trained").wait_for()
    page.get_by_role("button", name="Look at it: taught-1").click()
    page.locator("#run-name", has_text="taught-1").wait_for()
    assert taught.get("/api/run")["classes"] == ["camera", "stripes"]
    assert taught.get("/api/sides/beside/home")["name"] == "first"
    browser.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert [fault for fault in here.faults if "409" not in fault and "415" not in fault] == []
    run = alexnet.load(teach_of(taught).runs / "taught-1")
    (tmp_path / "new.png").write_bytes(png(stripes(2, 99)))
    assert run.predict(tmp_path / "new.png").labels[0].name == "stripes"
    assert content_of(taught.place.run.parent) == before, "nothing is written outside of the folder"
