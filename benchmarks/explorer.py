"""What people feel at the explorer: `python benchmarks/explorer.py RUN STORE`. Starts `alexnet serve` in a process of
its own; a browser and thirty people come to it. Prints a table of figures beside those that are asked for, and JSON.

Alone, and while one other person looks at something else: how long after a photograph is given it is seen, the answer,
maps, and the coarse positions of an occlusion map. Thirty people: each gives a photograph at the same moment and wants
all of that, waiting as the page does where the explorer refuses because its queue is full. A loaded
machine is called so.
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from alexnet.bench.machine import describe
from serve import Site, photograph, resident  # benchmarks/serve.py

PEOPLE, UPLOADS, ROUNDS = 30, 1_000, 7
MEGABYTE, KILOBYTE = 1e6, 1e3
ASKED = {
    "page usable, s": 1.0,
    "first contentful paint, s": 0.5,
    "layout shift, home": 0.05,
    "layout shift, picture": 0.05,
    "home page, kB": 250,
    "picture, s": 0.1,
    "answer and maps, s": 0.3,
    "seen in the browser: picture, s": 0.1,
    "seen in the browser: answer, s": 0.3,
    "seen in the browser: maps, s": 0.5,
    "coarse occlusion, s": 1.0,
    "30 people: first answer, p95, s": 5.0,
    "30 people: failures": 1,
}
"""Every figure is to be less. With a full-size run the answer has 0.6 s."""
FULL_SIZE = {"answer and maps, s": 0.6, "seen in the browser: answer, s": 0.6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--uploads", type=int, default=UPLOADS, help="photographs given while the memory is watched")
    options = parser.parse_args()
    found: dict[str, Any] = {"machine": describe(), "load before": round(os.getloadavg()[0], 2)}
    with explorer(options.run, options.store) as (address, process):
        figures = alone_and_beside(address, options.rounds)
        figures |= in_browser(address, options.chromium, options.rounds)
        with another_person(address):
            figures |= {
                f"{name}, beside another": value
                for name, value in in_browser(address, options.chromium, options.rounds).items()
                if name.startswith(SEEN)
            }
        figures |= crowd(address, options.people)
        figures |= memory(address, process, options.uploads)
        asked = ASKED | (FULL_SIZE if full_size(address) else {})
    found |= {"load after": round(os.getloadavg()[0], 2), "figures": figures}
    report(found, asked)
    print(json.dumps(found))


def report(found: dict[str, Any], asked: dict[str, float]) -> None:
    say = lambda *words: print(*words, file=sys.stderr)  # noqa: E731
    say(found["machine"])
    loaded = found["load before"] > 0.5
    say(f"load {found['load before']} before, {found['load after']} after{': A LOADED MACHINE' if loaded else ''}")
    for name, value in found["figures"].items():
        limit = asked.get(name.removesuffix(", beside another"))
        words = "" if limit is None else f"  asked: < {limit:g}{'' if value < limit else '  MISSED'}"
        say(f"{name:44} {value:10.3f}{words}")


@contextlib.contextmanager
def explorer(run: Path, store: Path) -> Iterator[tuple[str, int]]:
    """Address and process of an explorer."""
    words = ["-m", "alexnet", "serve", str(run), "--store", str(store), "--port", "0"]
    server = subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        yield server.stderr.readline().split()[1], server.pid
    finally:
        server.terminate()
        server.wait()


def full_size(address: str) -> bool:
    layers = json.loads(Site(address).get("/api/run"))["network"]["layers"]
    return sum(layer["macs"] for layer in layers) > 5e8


# ── by requests ──────────────────────────────────────────────────────────────────────────────────────────────────


def patiently(site: Site, method: str, path: str, body: bytes | None = None, told: list[int] | None = None) -> bytes:
    """As page/api.js does: if the queue is full, it waits and asks again. `told` counts the refusals."""
    while True:
        site.connection.request(method, path, body)
        answer = site.connection.getresponse()
        data = answer.read()
        if answer.status == 200 and b"event: failed" not in data:
            return data
        refused = b'"before":' in data
        assert refused, (path, answer.status, data[:200])
        if told is not None:
            told.append(answer.status)
        time.sleep(float(answer.headers.get("retry-after", 2)) * random.uniform(0.5, 1.5))


def first_event(site: Site, path: str, kind: str, told: list[int] | None = None) -> None:
    """Wait for the first event of a kind, and leave."""
    while True:
        site.connection.request("POST", path)
        answer = site.connection.getresponse()
        found = next((line for line in answer if line.split(b": ")[-1].strip().decode() in (kind, "failed")), b"")
        site.connection.close()
        if kind.encode() in found:
            return
        assert answer.status == 503 or b"failed" in found, (path, answer.status)
        if told is not None:
            told.append(answer.status)
        time.sleep(2 * random.uniform(0.5, 1.5))


def alone_and_beside(address: str, rounds: int) -> dict[str, float]:
    figures = named(looks(address, rounds), "")
    with another_person(address):
        figures |= named(looks(address, rounds), ", beside another")
    return figures


def named(times: dict[str, list[float]], suffix: str) -> dict[str, float]:
    return {f"{name}, s{suffix}": statistics.median(some) for name, some in times.items()}


def looks(address: str, rounds: int) -> dict[str, list[float]]:
    """Seconds from giving a photograph; all is asked for at once, as the page does. The first round doesn't count."""
    times: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for name, seconds in look(address, photograph(1000 + number)).items():
            times.setdefault(name, []).append(seconds)
    return {name: some[1:] for name, some in times.items()}


def look(address: str, data: bytes, told: list[int] | None = None) -> dict[str, float]:
    begun = time.perf_counter()
    ident = json.loads(patiently(Site(address), "POST", "/api/pictures", data, told))["id"]
    here = f"/api/sides/own/pictures/{ident}"

    parts: dict[str, Callable[[], object]] = {
        "picture": lambda: patiently(Site(address), "GET", f"/api/pictures/{ident}/record.jpg", None, told),
        "answer and maps": lambda: patiently(Site(address), "GET", f"{here}/glance", None, told),
        "ten views": lambda: first_event(Site(address), f"{here}/prediction", "done", told),
        "coarse occlusion": lambda: first_event(Site(address), f"{here}/occlusion", "part", told),
    }

    def timed(part: Callable[[], object]) -> float:
        part()
        return time.perf_counter() - begun

    with ThreadPoolExecutor(len(parts)) as pool:
        return dict(zip(parts, pool.map(timed, parts.values()), strict=True))


@contextlib.contextmanager
def another_person(address: str) -> Iterator[None]:
    """Somebody who looks at one picture after another, with everything that the page asks for."""
    gone = threading.Event()

    def wander() -> None:
        number = 0
        while not gone.is_set():
            site, number = Site(address), number + 1
            ident = site.bring(photograph(number))
            for what in ("prediction", "occlusion"):
                with contextlib.suppress(http.client.HTTPException):
                    patiently(site, "POST", f"/api/sides/own/pictures/{ident}/{what}")

    person = threading.Thread(target=wander)
    person.start()
    time.sleep(0.5)
    try:
        yield
    finally:
        gone.set()
        person.join()


def crowd(address: str, people: int) -> dict[str, float]:
    """All give a photograph at the same moment."""
    told: list[int] = []
    failures: list[str] = []
    together = threading.Barrier(people)
    pictures = [photograph(2000 + number) for number in range(people)]

    def person(number: int) -> dict[str, float] | None:
        together.wait()
        try:
            return look(address, pictures[number], told)
        except Exception as fault:
            failures.append(repr(fault))
            return None

    with ThreadPoolExecutor(people) as pool:
        found = [one for one in pool.map(person, range(people)) if one]
    name = f"{people} people: "
    figures = {f"{name}failures": float(len(failures)), f"{name}refusals that waited": float(len(told))}
    for what in ("answer and maps", "ten views", "coarse occlusion"):
        words = "first answer" if what == "answer and maps" else what
        times = sorted(one[what] for one in found)
        figures |= {f"{name}{words}, median, s": statistics.median(times)}
        figures |= {f"{name}{words}, p95, s": times[int(0.95 * (len(times) - 1))]}
    return figures


def memory(address: str, process: int, uploads: int) -> dict[str, float]:
    """Resident memory as photographs are given, each with its centre answer; the second half beside the first."""
    site, held = Site(address), []
    for number in range(uploads):
        ident = site.bring(photograph(number % 50))
        first_event(site, f"/api/sides/own/pictures/{ident}/prediction", "part")
        held.append(resident(process) / MEGABYTE)
    if not held:
        return {}
    half = len(held) // 2
    return {f"memory after {half:,}, MB": max(held[:half]), f"memory after {uploads:,}, MB": max(held[half:])}


# ── in a browser ─────────────────────────────────────────────────────────────────────────────────────────────────

SEEN = "seen in the browser: "
WATCH = """
window.shift = 0;
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) window.shift += one.value;
}).observe({ type: "layout-shift", buffered: true });
"""
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime / 1000"
DROPPED = """
(() => {
  const [picture, painted] = [".flow .source img", ".flow canvas"];
  const sizes = () => [...document.querySelectorAll(painted)].map((one) => one.width).join();
  const answer = () => document.querySelector(".flow .answer")?.textContent ?? "";
  const before = [document.querySelector(picture)?.src, answer(), sizes()];
  const begun = performance.now();
  window.seen = {};
  const look = () => {
    const image = document.querySelector(picture);
    const now = [
      image?.complete && image.naturalWidth && image.src !== before[0],
      answer() !== before[1],
      answer() !== before[1] && sizes().replaceAll(/[1,]/g, "") !== "",
    ];
    ["picture", "answer", "maps"].forEach((name, n) => {
      if (now[n]) window.seen[name] ??= (performance.now() - begun) / 1000;
    });
    if (Object.keys(window.seen).length < 3) requestAnimationFrame(look);
  };
  document.querySelector("#file").addEventListener("change", look, { once: true, capture: true });
})()"""
BYTES = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .reduce((sum, one) => sum + one.encodedBodySize, 0)"""
USABLE = "() => document.querySelector('.flow svg a') && performance.now() / 1000"


def in_browser(address: str, chromium: str, rounds: int) -> dict[str, float]:
    """The home page in a browser that holds nothing yet, and a photograph given to it; what moves meanwhile."""
    from playwright.sync_api import sync_playwright

    times: dict[str, list[float]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for number in range(rounds + 1):
            context = browser.new_context()
            context.add_init_script(WATCH)
            page = context.new_page()
            page.goto(address, wait_until="commit")
            usable = page.wait_for_function(USABLE, timeout=120_000).json_value()
            page.wait_for_timeout(3000)
            home = {
                "page usable, s": usable,
                "first contentful paint, s": page.evaluate(PAINT),
                "home page, kB": page.evaluate(BYTES) / KILOBYTE,
                "layout shift, home": page.evaluate("shift"),
            }
            page.evaluate("shift = 0")
            page.evaluate(DROPPED)
            page.set_input_files(
                "#file", {"name": "it.jpg", "mimeType": "image/jpeg", "buffer": photograph(3000 + number)}
            )
            page.wait_for_function("() => Object.keys(window.seen).length === 3", timeout=120_000)
            home |= {f"{SEEN}{name}, s": value for name, value in page.evaluate("seen").items()}
            page.wait_for_timeout(3000)
            home["layout shift, picture"] = page.evaluate("shift")
            for name, value in home.items():
                times.setdefault(name, []).append(value)
            context.close()
        browser.close()
    return {name: statistics.median(some[1:]) for name, some in times.items()}


if __name__ == "__main__":
    main()
