"""Does bf16 train as well as fp32? The same recipe from the same seeds in both, on one store: final errors and curves.

Six trainings; stopped, the same line goes on. Equal: the mean final errors (centre view, validation) differ by less
than two standard errors of the difference. Options that are not known here go to `alexnet train`:

    python benchmarks/precision.py imagenette.store --out runs/precision --width 0.5 --epochs 15
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

PRECISIONS = ("fp32", "bf16")
STEADY = 5
"""Epochs whose mean is steadier than the last one's error, where the rate has not been dropped."""


def train(store: Path, folder: Path, precision: str, seed: int, options: list[str]) -> None:
    command = [sys.executable, "-m", "alexnet", "train", str(store), "--out", str(folder), "--resume"]
    subprocess.run([*command, "--precision", precision, "--seed", str(seed), *options], check=True)


def curve(folder: Path) -> list[dict[str, float]]:
    """The epochs of a run, as its log has them."""
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == "epoch"]


def draw(curves: dict[str, list[list[float]]], path: Path) -> None:
    """Validation errors over the epochs, a line for each run."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for (name, runs), colour in zip(curves.items(), ("tab:blue", "tab:orange"), strict=True):
        for place, errors in enumerate(runs):
            axes.plot(range(1, len(errors) + 1), errors, color=colour, label=None if place else name)
    axes.set(xlabel="epoch", ylabel="validation error, %", ylim=(0, 100))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs; the figure goes there too")
    parser.add_argument("--seeds", type=int, default=3)
    given, options = parser.parse_known_args()  # all others are options of `alexnet train`, for every run
    curves: dict[str, list[list[float]]] = {precision: [] for precision in PRECISIONS}
    for seed in range(given.seeds):
        for precision in PRECISIONS:
            folder = given.out / f"{precision}-{seed}"
            train(given.store, folder, precision, seed, options)
            curves[precision].append([100 * epoch["val_top1_error"] for epoch in curve(folder)])
    draw(curves, given.out / "precision.png")
    for last in (1, STEADY):
        tell({name: [mean(errors[-last:]) for errors in runs] for name, runs in curves.items()}, last)


def tell(errors: dict[str, list[float]], last: int) -> None:
    """The errors of each seed, their means, and whether these differ. `last`: epochs that an error is the mean of."""
    what = "final error" if last == 1 else f"mean of the last {last} epochs"
    print(f"\n| seed | fp32, {what} | bf16, {what} |\n|---|---|---|")
    for seed, pair in enumerate(zip(*errors.values(), strict=True)):
        print(f"| {seed} | {pair[0]:.2f} % | {pair[1]:.2f} % |")
    means = {name: mean(values) for name, values in errors.items()}
    difference = means["bf16"] - means["fp32"]
    error = sum(stdev(values) ** 2 / len(values) for values in errors.values()) ** 0.5
    print(f"| mean | {means['fp32']:.2f} % | {means['bf16']:.2f} % |")
    print(f"\nbf16 − fp32: {difference:+.2f} points, standard error of the difference {error:.2f}:", end=" ")
    print("equal" if abs(difference) < 2 * error else "different")


if __name__ == "__main__":
    main()
