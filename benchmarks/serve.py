"""How fast the explorer answers: `python benchmarks/serve.py RUN STORE`. Starts `alexnet serve` in a process of its own
and asks it over the loopback; prints a table, the figures that are asked for beside those reached."""

import argparse
import asyncio
import http.client
import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
from PIL import Image

PEOPLE, CLICKS, UPLOADS = 20, 50, 1_000
ASKED = {
    "server up": 4.0,
    "page usable": 1.0,
    "centre": 0.3,
    "ten views": 1.5,
    "unit page, kept": 0.2,
    "coarse occlusion": 2.0,
    "20 people, p95": 0.5,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--uploads", type=int, default=UPLOADS, help="pictures brought while the memory is watched")
    options = parser.parse_args()
    began = time.perf_counter()
    words = ["-m", "alexnet", "serve", str(options.run), "--store", str(options.store), "--port", "0"]
    server = subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        address = server.stderr.readline().split()[1]
        site = Site(address)
        site.get("/")
        report("server up", [time.perf_counter() - began])
        measure(site, options.rounds, address, options.chromium)
        memory(site, server.pid, options.uploads)
    finally:
        server.terminate()


def measure(site: "Site", rounds: int, address: str, chromium: str) -> None:
    told = json.loads(site.get("/api/run"))
    report("page usable", page_seconds(address, chromium, rounds))
    for what in ("top", "spread", *(["evolution"] if told["snapshots"] else []), "evaluation"):
        begun = time.perf_counter()
        site.events(f"/api/sides/own/passes/{what}")
        print(f"{'pass: ' + what:24} {time.perf_counter() - begun:8.3f} s, or kept already")
    centre, ten, coarse, whole = [], [], [], []
    for number in range(rounds + 1):
        picture = site.bring(photograph(number))
        times = site.events(f"/api/sides/own/pictures/{picture}/prediction")
        centre.append(times["part"])
        ten.append(times["done"])
        times = site.events(f"/api/sides/own/pictures/{picture}/occlusion")
        coarse.append(times["part"])
        whole.append(times["done"])
    for name, times in (
        ("centre", centre),
        ("ten views", ten),
        ("coarse occlusion", coarse),
        ("whole occlusion", whole),
    ):
        report(name, times[1:])
    report("unit page, kept", [seconds(lambda: unit_page(site)) for _ in range(rounds + 1)][1:])
    latencies, bad = asyncio.run(crowd(site))
    latencies.sort()
    report("20 people, median", [statistics.median(latencies)])
    report("20 people, p95", [latencies[int(0.95 * len(latencies))]])
    print(f"{'20 people':24} {len(latencies):,} answers of {PEOPLE * CLICKS:,}, {bad} of them errors")


def report(name: str, times: list[float]) -> None:
    asked = f", asked {ASKED[name]:g}" if name in ASKED else ""
    missed = " MISSED" if name in ASKED and statistics.median(times) >= ASKED[name] else ""
    spread = f" ({min(times):.3f} – {max(times):.3f})" if len(times) > 1 else ""
    print(f"{name:24} {statistics.median(times):8.3f} s{spread}{asked}{missed}", flush=True)


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def photograph(number: int) -> bytes:
    """A picture of 500 × 375 pixels as a JPEG, another one for each number."""
    coarse = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC).save(data, "JPEG")
    return data.getvalue()


def page_seconds(address: str, chromium: str, rounds: int) -> list[float]:
    """From asking for the first page until its network is drawn, in a browser that holds nothing yet."""
    from playwright.sync_api import sync_playwright

    times = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(rounds + 1):
            page = browser.new_context().new_page()
            begun = time.perf_counter()
            page.goto(address, wait_until="commit")
            page.wait_for_selector(".flow svg a")
            times.append(time.perf_counter() - begun)
            page.context.close()
    return times[1:]


def unit_page(site: "Site") -> None:
    """All that the page of a unit asks for."""
    version = json.loads(site.get("/api/run"))["version"]
    here = "/api/sides/own/layers/conv3/units/12"
    site.get(here)
    for rank in range(9):
        for shown in ("patch", "projection"):
            site.get(f"{here}/strongest/{rank}/{shown}.png?v={version}")
    site.get(f"{here}/filters.png?v={version}")


async def crowd(site: "Site") -> tuple[list[float], int]:
    """People who click at once through pages that are kept: seconds of each answer, and errors."""
    paths = ["/api/run", "/api/sides/own/curves", "/", "/page/style.css"]
    paths += [f"/api/sides/own/layers/conv3/units/{unit}" for unit in range(8)]
    paths += [f"/api/sides/own/layers/conv3/units/{unit}/tile.png?v=1" for unit in range(8)]
    for path in paths:
        site.get(path)
    times: list[float] = []
    errors = 0

    async def person(number: int) -> None:
        nonlocal errors
        reader, writer = await asyncio.open_connection(site.host, site.port)
        for click in range(CLICKS):
            path = paths[(number * 7 + click) % len(paths)]
            begun = time.perf_counter()
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {site.host}:{site.port}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            lines = [line.split(b":") for line in head.lower().split(b"\r\n")]
            await reader.readexactly(next(int(line[1]) for line in lines if line[0] == b"content-length"))
            times.append(time.perf_counter() - begun)
            errors += b" 200 " not in head.split(b"\r\n")[0]
        writer.close()

    await asyncio.gather(*map(person, range(PEOPLE)))
    return times, errors


def memory(site: "Site", process: int, uploads: int) -> None:
    """Resident memory as many pictures are brought, each answered by the centre and ten views."""
    told = []
    for number in range(uploads + 1):
        if number % max(1, uploads // 5) == 0:
            told.append(resident(process))
        site.events(f"/api/sides/own/pictures/{site.bring(photograph(number % 50))}/prediction")
    print(f"{'memory, MB':24} {' → '.join(f'{value / 1e6:.0f}' for value in told)} over {uploads:,} uploads")


def resident(process: int) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Site:
    """The explorer, asked over one connection that is kept."""

    def __init__(self, address: str) -> None:
        parts = urlparse(address)
        assert parts.hostname is not None
        assert parts.port is not None
        self.host, self.port = parts.hostname, parts.port
        self.connection = http.client.HTTPConnection(self.host, self.port, timeout=600)

    def get(self, path: str, method: str = "GET", body: bytes | None = None) -> bytes:
        self.connection.request(method, path, body)
        answer = self.connection.getresponse()
        data = answer.read()
        assert answer.status == 200, (path, answer.status, data)
        return data

    def bring(self, data: bytes) -> str:
        return json.loads(self.get("/api/pictures", "POST", data))["id"]

    def events(self, path: str) -> dict[str, float]:
        """Seconds until each kind of event came first."""
        begun, found = time.perf_counter(), {}
        self.connection.request("POST", path)
        answer = self.connection.getresponse()
        while line := answer.readline():
            if line.startswith(b"event: "):
                found.setdefault(line[7:].strip().decode(), time.perf_counter() - begun)
        assert "done" in found, (path, found)
        return found


if __name__ == "__main__":
    main()
