"""An explorer on the loopback: two small runs trained with snapshots, a store of six classes, a server in a thread."""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from alexnet.data.sources import open_source
from alexnet.data.store.prepare import prepare
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions

pytest.importorskip("fastapi", reason="the explorer's packages are not installed: pip install '.[serve]'")
pytest.importorskip("uvicorn", reason="the explorer's packages are not installed: pip install '.[serve]'")

import uvicorn

sys.path.insert(0, str(Path(__file__).parent))  # test folders are not packages
from explored import CLASSES, SIDE, Place, Site, Visit, png, stripes

from alexnet.serve.app import create_app, listening
from alexnet.serve.explorer import Explorer
from alexnet.serve.guard import Access

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = shutil.which(os.environ.get("ALEXNET_CHROMIUM", "chromium"))
ARGUMENTS = ["--no-sandbox", "--disable-background-networking"]


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("explored")
    for part, count in (("train", 20), ("val", 10)):
        for label in range(CLASSES):
            target = folder / "pictures" / part / f"angle{label}"
            target.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(stripes(label, number + 1000 * (part == "val"))).save(target / f"{number:03}.png")
    store = prepare(open_source(folder / "pictures"), folder / "store", size=SIDE)
    for number, name in enumerate(("first", "second")):
        options = TrainOptions(
            net="toy", epochs=3, batch=16, threads=1, precision="fp32", device="cpu", snapshots=True, seed=number
        )
        train(store, folder / name, options, quiet=True)
    return Place(folder / "first", folder / "second", store.path)


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[..., Site]]:
    """A function that starts an explorer at any free port of the loopback."""
    servers: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(place: Place, *, token: str = "", **options: Path) -> Site:
        listener = listening("127.0.0.1", 0)
        access = Access("127.0.0.1", listener.getsockname()[1], token)
        explorer = Explorer(place.run, place.store, place.beside, **options)
        config = uvicorn.Config(create_app(explorer, access), log_level="warning", access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        servers.append((server, thread))
        while not server.started:
            time.sleep(0.01)
        return Site(explorer, access, place)

    yield start
    for server, thread in servers:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="session")
def site(place: Place, serve: Callable[..., Site]) -> Site:
    return serve(place)


@pytest.fixture(scope="session")
def picture() -> bytes:
    """A drawn picture as the bytes of a file, not square."""
    return png(np.concatenate([stripes(2, 77, 90), stripes(2, 78, 90)], axis=1))


@pytest.fixture(scope="module")
def launch() -> Iterator["Callable[..., Browser]"]:
    """A function that starts a browser with arguments of its own."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[test]'")
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        yield lambda *more: playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *more])


@pytest.fixture(scope="module")
def browser(launch: "Callable[..., Browser]") -> "Browser":
    return launch()


@pytest.fixture
def visit(browser: "Browser", site: Site) -> Iterator[Callable[..., Visit]]:
    """Opens a visit; at its end nothing may have gone wrong or been asked of others."""
    visits: list[Visit] = []

    def begin(where: Site = site, **options: object) -> Visit:
        visits.append(Visit(browser, where, **options))
        return visits[-1]

    yield begin
    for one in visits:
        one.context.close()
        assert one.faults == []
        assert [url for url in one.asked if not url.startswith((one.base, "blob:", "data:"))] == []


@pytest.fixture
def equipped(launch: "Callable[..., Browser]", site: Site) -> Iterator[Callable[..., Visit]]:
    """Opens a visit with a browser of its own: what it can be asked for depends on its arguments."""
    visits: list[tuple["Browser", Visit]] = []

    def begin(*arguments: str) -> Visit:
        browser = launch(*arguments)
        visits.append((browser, Visit(browser, site)))
        return visits[-1][1]

    yield begin
    for browser, visit in visits:
        browser.close()
        assert visit.faults == []
