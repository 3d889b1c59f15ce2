"""How a training step of `alexnet` grows: with the batch (8–512) and with the classes (10–22,000)."""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from alexnet.bench.machine import describe
from alexnet.bench.subject import Bench, Subject, noise_store
from alexnet.bench.timing import race

BATCHES = (8, 16, 32, 64, 128, 256, 512)
CLASSES = (10, 100, 1000, 10_000, 22_000)


def step_seconds(bench: Bench, classes: int) -> float:
    store = noise_store(Path(tempfile.mkdtemp(dir=bench.folder)) / "store", 512, classes=classes, size=256)
    ours = Subject(bench, "alexnet", store=store)
    return median(race({"ours": ours.step}, bench.rounds)["ours"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, nargs="*", default=BATCHES)
    parser.add_argument("--classes", type=int, nargs="*", default=CLASSES)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), rounds=options.rounds)
        print(f"{describe()}\n\n| batch | classes | step, ms | img/s |\n|---|---|---|---|")
        for batch, classes in [(batch, 1000) for batch in options.batches] + [(128, n) for n in options.classes]:
            took = step_seconds(replace(bench, batch=batch), classes)
            print(f"| {batch} | {classes:,} | {1e3 * took:.0f} | {batch / took:.1f} |", flush=True)


if __name__ == "__main__":
    main()
