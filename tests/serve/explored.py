"""What the explorer's tests speak of: where they work, a running explorer, drawn pictures."""

import http.client
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from alexnet.serve.explorer import Explorer
from alexnet.serve.guard import Access

CLASSES, SIDE = 6, 40


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


def png(pixels: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()
