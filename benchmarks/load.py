"""What thousands of calls do to a process: `python benchmarks/load.py predict`, `serve`, `train`. Linux.

predict: a fitted `alexnet.Classifier`, one picture a call: bytes of files, arrays, Pillow images, sizes in turn.
serve: `alexnet serve` in a process of its own; a call brings a picture and asks for its answers, by ten views too.
train: `alexnet train` in a process of its own: updates, validation and log at the end of each epoch, as always. What
counts is the growth of the resident set (VmRSS of /proc/PID/status: files that are mapped are in it) after the first.
"""

import argparse
import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import alexnet
from alexnet.bench.machine import describe
from alexnet.data import synthetic
from alexnet.data.sources import open_source
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from peers.memory import memory_of
from serve import Site, photograph  # benchmarks/serve.py

MARKS = 10
"""Times that the memory is told on the way."""
DRAWN, BATCH = 96, 4
Watched = Iterator[tuple[int, int]]
"""Calls so far, and the bytes that the process holds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("predict", "serve", "train"))
    parser.add_argument("--calls", type=int, default=10_000, help="or updates")
    parser.add_argument("--warm", type=int, default=1000, help="calls after which growth counts")
    parser.add_argument("--net", default="alexnet")
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--side", type=int, default=256, help="of the records, pixels")
    parser.add_argument("--views", type=int, default=10, help="of predict")
    options = parser.parse_args()
    print(describe(), file=sys.stderr)
    watch = {"predict": predict, "serve": serve, "train": train}[options.what]
    with tempfile.TemporaryDirectory(prefix="alexnet-load-") as folder:
        print(json.dumps(growth(watch(Path(folder), options), options)))


def growth(watched: Watched, options: argparse.Namespace) -> dict[str, float]:
    """Bytes a call: by how much the most that was held in the second half of the calls that count is above the most in
    the first half. Single figures jump to and fro by a large page, 2 MB."""
    begun, told, halfway = time.perf_counter(), 0, (options.warm + options.calls) / 2
    calls, halves = 0, ([], [])
    for calls, held in watched:
        if calls > options.warm:
            halves[calls > halfway].append(held)
        if calls * MARKS >= told * options.calls:
            print(f"{calls:7,} calls: {held / 1e6:8.2f} MB, {time.perf_counter() - begun:6.0f} s", file=sys.stderr)
            told = calls * MARKS // options.calls + 1
    first, last = map(max, halves)
    return {"calls": calls, "bytes_a_call": (last - first) / (calls - halfway), "first": first, "last": last}


# ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────────


def predict(folder: Path, options: argparse.Namespace) -> Watched:
    model = fitted(folder, options)
    asked = [*map(photograph, range(20)), *drawings(40, options.side)]
    asked[30:] = [Image.fromarray(drawing) for drawing in asked[30:]]
    for call, picture in enumerate(itertools.islice(itertools.cycle(asked), options.calls), 1):
        model.predict([picture])
        yield call, memory_of(os.getpid(), "VmRSS")


def serve(folder: Path, options: argparse.Namespace) -> Watched:
    fitted(folder, options)
    words = ["serve", str(folder / "run"), "--store", str(folder / "run.store"), "--port", "0"]
    server = subprocess.Popen([sys.executable, "-m", "alexnet", *words], stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        site = Site(server.stderr.readline().split()[1])
        pictures = itertools.cycle(map(photograph, range(50)))
        for call, picture in enumerate(itertools.islice(pictures, options.calls), 1):
            site.events(f"/api/sides/own/pictures/{site.bring(picture)}/prediction")
            yield call, memory_of(server.pid, "VmRSS")
    finally:
        server.terminate()
        server.wait()


def train(folder: Path, options: argparse.Namespace) -> Watched:
    """Watched from outside, by its log, but for an epoch at its end, when the run is finished and saved."""
    store = drawn_store(folder, options.side)
    epochs = -(-options.calls // -(-len(store.splits["train"]) // BATCH)) + 1
    words = ["train", str(store.path), "--out", str(folder / "run"), "--net", options.net, "--batch", str(BATCH)]
    words += ["--width", str(options.width), "--epochs", str(epochs), "--patience", str(epochs)]
    words += ["--threads", str(torch.get_num_threads())]
    process = subprocess.Popen(
        [sys.executable, "-m", "alexnet", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    seen = 0
    while process.poll() is None:
        time.sleep(0.02)
        updates = updates_logged(folder / "run" / "log.jsonl")
        if seen < updates <= options.calls:
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                yield updates, memory_of(process.pid, "VmRSS")
            seen = updates
    if process.wait() != 0:
        sys.exit("the training failed: alexnet " + " ".join(words))


def updates_logged(log: Path) -> int:
    """As the last epoch that is logged whole says."""
    lines = log.read_text().split("\n")[:-1] if log.exists() else []
    return max((json.loads(line).get("step", 0) for line in lines[-3:]), default=0)


def fitted(folder: Path, options: argparse.Namespace) -> "alexnet.Classifier":
    """A classifier of drawn pictures, its run in `run`, its store in `run.store`; hardly trained."""
    how = {"width": options.width, "epochs": 1, "batch": BATCH, "size": options.side, "views": options.views}
    model = alexnet.Classifier(options.net, folder=folder / "run", **how)
    return model.fit(drawings(DRAWN, options.side), [number % len(synthetic.CLASSES) for number in range(DRAWN)])


def drawings(count: int, side: int) -> list[np.ndarray]:
    """Built-in pictures, uint8 (H, W, 3), the shorter side `side` pixels."""
    return [synthetic.draw(0, "train", number, side=side).pixels for number in range(count)]


def drawn_store(folder: Path, side: int) -> Store:
    """Drawn pictures, a third of them for validation."""
    shares = {"train_per_class": DRAWN // len(synthetic.CLASSES), "val_per_class": DRAWN // len(synthetic.CLASSES) // 2}
    pictures = synthetic.write(folder / "pictures", side=side, **shares)
    return prepare(open_source(pictures), folder / "store", size=side)


if __name__ == "__main__":
    main()
