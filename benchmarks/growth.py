"""How a training step of `alexnet` grows: with the batch (8–512) and with the classes (10–22,000); and how reading a
store grows with its pictures (10³–10⁷, sparse files; ten million take 0.5 GB of disk while they are measured)."""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from alexnet.bench.machine import describe
from alexnet.bench.own import Bench, Subject, noise_store
from alexnet.bench.timing import race
from peers import large
from peers.pictures import opened_elsewhere

BATCHES = (8, 16, 32, 64, 128, 256, 512)
CLASSES = (10, 100, 1000, 10_000, 22_000)
PICTURES = (1000, 10_000, 100_000, 1_000_000, 10_000_000)


def step_seconds(bench: Bench, classes: int) -> float:
    store = noise_store(Path(tempfile.mkdtemp(dir=bench.folder)) / "store", 512, classes=classes, size=256)
    ours = Subject(bench, "alexnet", store=store)
    return median(race({"ours": ours.step}, bench.rounds)["ours"])


def reading(bench: Bench, pictures: int) -> dict[str, float]:
    """The medians of what a fresh process measures on a store of so many pictures."""
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        large.make_sparse_store(Path(folder) / "store", pictures)
        found = [opened_elsewhere(Path(folder) / "store", bench.batch) for _ in range(bench.rounds)]
    return {name: median(figures[name] for figures in found) for name in found[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, nargs="*", default=BATCHES)
    parser.add_argument("--classes", type=int, nargs="*", default=CLASSES)
    parser.add_argument("--pictures", type=int, nargs="*", default=PICTURES)
    parser.add_argument("--repeats", dest="rounds", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), rounds=options.rounds)
        print(f"{describe()}\n\n| pictures | open, ms | memory, MB | order, ms | first batch, ms | records/s |")
        print("|---|---|---|---|---|---|")
        for pictures in options.pictures:
            took = reading(bench, pictures)
            opening = f"{1e3 * took['open']:.1f} | {took['memory'] / 1e6:.1f} | {1e3 * took['order']:.1f}"
            print(
                f"| {pictures:,} | {opening} | {1e3 * took['first_batch']:.1f} | {1 / took['record']:,.0f} |",
                flush=True,
            )
        print("\n| batch | classes | step, ms | img/s |\n|---|---|---|---|")
        for batch, classes in [(batch, 1000) for batch in options.batches] + [(128, n) for n in options.classes]:
            took = step_seconds(replace(bench, batch=batch), classes)
            print(f"| {batch} | {classes:,} | {1e3 * took:.0f} | {batch / took:.1f} |", flush=True)


if __name__ == "__main__":
    main()
