"""A static copy of the explorer in a browser, opened from the disk: nothing of ours runs meanwhile."""

import asyncio
import json
import os
import re
import shutil
import zlib
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from explored import Place

import alexnet
from alexnet.errors import UserError
from alexnet.serve import export, run_cache
from alexnet.serve.app import create_app
from alexnet.serve.bundle import bundle
from alexnet.serve.explorer import Explorer
from alexnet.serve.export import KIND, asked, export_site, kind_of, refuse_foreign_folder
from alexnet.serve.guard import Access
from alexnet.serve.pages.glance import glance_of

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[test]'")
CHROMIUM = shutil.which(os.environ.get("ALEXNET_CHROMIUM", "chromium"))


def quiet(what: str, done: int, total: int, remark: str = "") -> None:
    """No progress."""


def texts_of(copied: Path) -> Iterator[str]:
    """All that the scripts of a copy say."""
    for path in copied.rglob("*.js"):
        text = path.read_text()
        packed = re.fullmatch(r'alexnetScopes\[[^]]*\] = "([^"]+)";\n', text)
        yield zlib.decompress(b64decode(packed[1])).decode() if packed else text


@pytest.fixture(scope="module")
def copied(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with little of everything, and without what takes long."""
    out = tmp_path_factory.mktemp("copied") / "site"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_cache, "OFFERED", 1)
        for name, value in {"UNITS": 1, "TILES": 3, "PICTURES": 4, "ANALYSES": ("top", "evaluation")}.items():
            patch.setattr(export, name, value)
        long = r"/occlusion|/invariance|/attribution|/projection|/contributions|/evolution/"
        patch.setattr(export, "LEFT_OUT", re.compile(f"{export.LEFT_OUT.pattern}|{long}"))
        made = export_site(place.run, out, store=place.store, beside=None, progress=quiet)
    assert made.size == sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    assert made.network > 0
    assert any("api/sides/own/compare" in text for text in texts_of(out))
    assert kind_of(out / "index.html") == KIND
    return out


WRONG = "api/sides/own/errors/pictures?split=val&right=false&search=ANGLE4&order=worst&page=0"


@pytest.fixture(scope="module")
def wrong(place: Place, copied: Path) -> Any:
    """What the explorer itself answers."""
    app = create_app(Explorer(place.run, place.store), Access("localhost", 80))
    status, body = asyncio.run(asked(app, "GET", WRONG))
    assert status == 200
    found = json.loads(body)
    return found | {"pictures": [one | {"nearest": None} for one in found["pictures"]]}


@pytest.fixture
def page(copied: Path) -> Iterator["sync_api.Page"]:
    """A page that can reach nothing but the disk; at its end nothing may have gone wrong."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )
        page = browser.new_page()
        page.set_default_timeout(60_000)
        faults, asked = [], []
        page.on("console", lambda told: told.type in ("error", "warning") and faults.append(told.text))
        page.on("pageerror", lambda fault: faults.append(str(fault)))
        page.on("request", lambda request: asked.append(request.url))
        yield page
        assert faults == []
        inside = (copied.as_uri(), "data:", "blob:")
        assert [url for url in asked if not url.startswith(inside)] == []
        browser.close()


def test_pages_open_from_the_disk_and_a_picture_is_looked_at_without_python(
    wrong: Any, page: "sync_api.Page", copied: Path, place: Place, picture: bytes, tmp_path: Path
) -> None:
    index = (copied / "index.html").as_uri()
    page.goto(index)
    page.locator("h1").first.wait_for()
    (unit,) = (path.stem for path in (copied / "data/sides/own/layers/conv2/units").iterdir())
    page.goto(f"{index}#compare")  # two requests at once for what one file has
    page.locator("h1", has_text="Side by side").wait_for()
    page.goto(f"{index}#layer/conv2/unit/{unit}")
    page.locator("h1", has_text=f"conv2 · {unit}").wait_for()
    page.wait_for_function("[...document.images].every(one => one.complete && one.naturalWidth > 1)")
    page.get_by_role("link", name="conv2", exact=True).first.click()
    page.locator("h1", has_text="conv2").wait_for()
    assert page.url == f"{index}#layer/conv2"
    page.go_back()
    page.locator("h1", has_text=f"conv2 · {unit}").wait_for()
    links = page.locator("nav a").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    assert all(one.startswith("index.html#") for one in links)
    assert str(place.run.parent) not in "".join(texts_of(copied))

    (tmp_path / "stripes.png").write_bytes(picture)
    page.goto(index)
    page.locator("#file").set_input_files(tmp_path / "stripes.png")
    page.locator("#answer", has_text="of 180 × 90 pixels").wait_for()
    assert page.url == f"{index}#?picture=brought-1&name=stripes.png"
    page.get_by_role("link", name="Units").click()
    page.locator("h1", has_text="conv1").wait_for()
    page.go_back()  # the picture is still known
    page.locator("#answer", has_text="of 180 × 90 pixels").wait_for()
    expected = alexnet.load(place.run, precision="fp32").predict(tmp_path / "stripes.png", views=1)
    found = page.evaluate(
        """async ([bytes, wrong]) => {
          const api = alexnetBundle.required("site/api.js");
          const held = await api.post("api/pictures", new Blob([Uint8Array.from(bytes)], { type: "image/png" }));
          const parts = [], own = `api/sides/own/pictures/${held.id}`, { signal } = new AbortController();
          const done = await api.compute(`${own}/prediction`, { part: (one) => parts.push(one) }, signal);
          const frame = await api.post("api/sides/own/frame?rows=conv1", new Blob([Uint8Array.from(bytes)]));
          return {
            held,
            frame,
            first: parts[0].labels,
            ten: done.labels,
            map: api.address(`${own}/maps/conv1.png`),
            glance: await api.get(`${own}/glance`),
            wrong: await api.get(wrong),
            stored: await api.get("api/pictures/val.0"),
            seen: await api.get("api/sides/own/pictures/val.0/glance"),
          };
        }""",
        [list(picture), WRONG],
    )
    for label, ours in zip(found["first"], expected.labels, strict=True):
        assert label["class"] == ours.name
        assert label["probability"] == pytest.approx(ours.probability, abs=1e-3)
    assert found["map"].startswith("data:image/png")
    ten = alexnet.load(place.run, precision="fp32").predict(tmp_path / "stripes.png").labels
    assert [one["probability"] for one in found["ten"]] == pytest.approx([one.probability for one in ten], abs=1e-3)
    ours = alexnet.load(place.run, precision="fp32")
    assert found["wrong"] == wrong
    assert found["stored"]["id"] == "val.0"
    assert len(found["seen"]["labels"]) == 5
    seen = ours.look(tmp_path / "stripes.png").passed
    opened: Any = SimpleNamespace(run=ours, network=ours.network)
    glance = glance_of(opened, seen.probabilities, seen.activations.maps, 4)
    assert list(found["glance"]["rows"]) == list(glance["rows"])
    assert list(found["frame"]["rows"]) == ["conv1", "fc8"]
    for name, row in glance["rows"].items():
        copys = found["glance"]["rows"][name]
        assert [copys[key] for key in ("low", "high", "active")] == pytest.approx(
            [row[key] for key in ("low", "high", "active")], abs=1e-3 * max(1, row["high"] - row["low"])
        )
        for column, copys_column in zip(row["strongest"], copys["strongest"], strict=True):
            assert [len(column), column[0].get("side")] == [len(copys_column), copys_column[0].get("side")]
            assert column[0]["value"] == pytest.approx(copys_column[0]["value"], rel=2e-3, abs=1e-3)
            if column[0]["unit"] == copys_column[0]["unit"] and "values" in column[0]:
                levels = [np.frombuffer(b64decode(one[0]["values"]), np.uint8) for one in (column, copys_column)]
                assert np.abs(levels[0].astype(int) - levels[1]).max() <= 1


def test_only_a_copy_of_ours_is_replaced(copied: Path, tmp_path: Path) -> None:
    refuse_foreign_folder(copied)
    (tmp_path / "empty").mkdir()
    refuse_foreign_folder(tmp_path / "empty")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.html").write_text("<title>mine</title>")
    shutil.copytree(copied, tmp_path / "published")
    (tmp_path / "published" / "CNAME").write_text("www.example.org")  # of a web host, next to the copy
    for taken in ("other", "other/index.html", "published"):
        with pytest.raises(UserError, match="not replaced"):
            refuse_foreign_folder(tmp_path / taken)


def test_a_copy_stays_where_a_new_one_can_t_take_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "site"
    export.write_folder(out, {"index.html": b"old"})
    plain = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name.endswith(export.TEMPORARY_SUFFIX):
            raise OSError(5, "Input/output error")
        return plain(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(UserError):
        export.write_folder(out, {"index.html": b"new"})
    assert (out / "index.html").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_what_stands_for_the_api_has_all_that_the_api_has() -> None:
    page = Path(export.__file__).parent / "page"
    ours, copys = (
        set(re.findall(r"^export (?:async )?(?:function|class|const) (\w+)", (page / name).read_text(), re.M))
        for name in ("api.js", "site/api.js")
    )
    assert ours - copys <= {"Refused"}  # that one is exported in a list


def test_modules_are_bundled_as_they_are_linked() -> None:
    modules = {
        "main.js": 'import {\n  one,\n  two as second,\n} from "./a.js";\nimport * as b from "./b.js";\none(b);\n',
        "a.js": 'import { later } from "./b.js";\nexport const two = 2;\nexport function one() {\n  later();\n}\n',
        "b.js": 'import { one } from "./a.js";\nexport { one as again } from "./a.js";\nexport const later = one;\n',
    }
    text = bundle(modules, "main.js", {})
    assert "import" not in text.replace("imported", "")
    assert "const { \n  one" not in text
    assert 'again: { get: () => require("a.js").one }' in text
    with pytest.raises(ValueError, match="can't be bundled"):
        bundle({"main.js": "export default 1;\n"}, "main.js", {})
