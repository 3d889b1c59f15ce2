"""What the explorer's tests speak of: where they work, a running explorer, drawn pictures."""

import http.client
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from alexnet.serve.explorer import Explorer
from alexnet.serve.guard import Access

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

CLASSES, SIDE = 6, 40
PATIENCE = 60_000  # milliseconds


def stripes(label: int, number: int, side: int = SIDE) -> np.ndarray:
    """Stripes whose direction tells the class, over noise. (side, side, 3) uint8."""
    noise = np.random.default_rng([label, number])
    rows, columns = np.mgrid[:side, :side]
    angle = np.pi * label / CLASSES
    wave = np.sin((rows * np.sin(angle) + columns * np.cos(angle)) * 0.9 + noise.uniform(0, 6))
    return np.clip(128 + 60 * wave[:, :, None] + noise.normal(0, 25, (side, side, 3)), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Place:
    """Where the explorer's tests work."""

    run: Path
    beside: Path
    store: Path


@dataclass(frozen=True)
class Site:
    """A running explorer."""

    explorer: Explorer
    access: Access
    place: Place

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body of one request on a connection of its own; `path` is sent as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.access.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """The JSON at an address that must be there."""
        status, _, body = self.ask("GET", path)
        assert status == 200, body
        return json.loads(body)

    def compute(self, path: str) -> list[tuple[str, Any]]:
        """The events of a computation."""
        status, _, body = self.ask("POST", path)
        assert status == 200, body
        found = []
        for block in body.decode().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if lines:
                found.append((lines["event"], json.loads(lines["data"])))
        return found

    def bring(self, data: bytes) -> str:
        """A picture's id."""
        status, _, body = self.ask("POST", "/api/pictures", data)
        assert status == 200, body
        return json.loads(body)["id"]


COUNT_SHIFTS = """
  window.shifted = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((one) => (shifted += one.hadRecentInput ? 0 : one.value)))
    .observe({ type: "layout-shift", buffered: true });
"""


class Visit:
    """A page opened at the explorer, with all that went wrong and all that was asked for."""

    def __init__(self, browser: "Browser", site: Site, **options: object) -> None:
        self.context = browser.new_context(**options)  # pyright: ignore[reportArgumentType]
        self.page, self.base = self.context.new_page(), site.access.address
        self.page.set_default_timeout(PATIENCE)
        self.page.add_init_script(COUNT_SHIFTS)
        self.faults: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda fault: self.faults.append(str(fault)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def _note(self, told: "ConsoleMessage") -> None:
        late = "preloaded using link preload but not used" in told.text  # the font, on a busy machine
        if told.type in ("error", "warning") and not late:
            self.faults.append(told.text)

    def open(self, path: str = "") -> "Page":
        self.page.goto(self.base + path)
        self.page.wait_for_selector("h1")
        return self.page


def png(pixels: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()
