"""Golden runs: the losses of the first updates of small networks, as they were, to be compared with as they are.

    python tools/golden.py            # compare with tests/golden/losses.json; exit code 1 if a loss differs
    python tools/golden.py --write    # write them anew: after a change that is meant to alter training, and says so
    python tools/golden.py --bounds   # how far other threads, kernels and bf16 lead away, as docs/reliability.md tells

The pictures are whole numbers by a formula, so that no library's random numbers can change them. One thread, float32.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from alexnet import kernels
from alexnet.data.sources import open_source
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from alexnet.runs.log import Listener, Unwritten
from alexnet.train.loop import run_epochs
from alexnet.train.options import TrainOptions
from alexnet.train.state import TrainingState, start_run

LOSSES = Path(__file__).parents[1] / "tests" / "golden" / "losses.json"
TOLERANCE = 1e-4
"""Relative. Losses of one machine repeat to the bit; another processor adds in another order."""
SIDE, CLASSES, TRAIN, VAL = 72, 4, 40, 8
"""Of the pictures; TRAIN and VAL of each class."""
SHORT: dict[str, Any] = {"epochs": 3, "batch": 16, "precision": "fp32", "threads": 1, "device": "cpu"}
"""Three epochs of ten updates: order, validation and schedule have their part in the losses."""

# Rates so small that no run is chaotic: at larger ones a unit's ReLU that opens on one processor and stays shut on
# another leads the losses percents apart within 30 updates.
CASES: dict[str, dict[str, Any]] = {
    "toy": {"net": "toy", "learning_rate": 1e-3},  # two columns, response norms, dropout; colour noise as in the code
    # biases' own rates, shared crops, stages
    "toy of 2012": {"recipe": "145", "net": "toy", "learning_rate": 1e-3, "seed": 1},
    "cifar-18pct": {"recipe": "cifar-18pct", "learning_rate": 3e-4, "seed": 2},  # norms within a map, average pools
    "cifar-11pct": {"recipe": "cifar-11pct", "learning_rate": 2e-5, "seed": 3},  # local layers, crops
    # both norms
    "narrow alexnet-145": {"recipe": "145", "learning_rate": 1e-3, "seed": 4} | {"width": 1 / 16, "input_size": 64},
    "narrow zfnet": {"recipe": "zf", "init": "code", "learning_rate": 1e-3, "seed": 5}
    | {"width": 1 / 8, "input_size": 64},
}


def picture(label: int, number: int) -> np.ndarray:
    """Stripes whose slope tells the class, with noise from an integer hash over them: uint8 (SIDE, SIDE, 3)."""
    rows, columns, colours = np.mgrid[:SIDE, :SIDE, :3].astype(np.uint32)
    stripes = (rows * (3 * label + 1) + columns * (13 - 4 * label) + 37 * number) // 8 % 2 * 96
    place = ((rows * SIDE + columns) * 3 + colours) * 1009 + (97 * number + label)
    return (stripes + hashed(place) % 128 + colours * (number * 5 % 15)).astype(np.uint8)


def hashed(numbers: np.ndarray) -> np.ndarray:
    """Other numbers below 2³² for numbers below 2³² (the finaliser of MurmurHash3), uint32."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        numbers = (numbers ^ (numbers >> np.uint32(shift))) * np.uint32(factor)
    return numbers


def make_store(folder: Path) -> Store:
    """The pictures as a store."""
    for part, first, count in (("train", 0, TRAIN), ("val", TRAIN, VAL)):
        for label in range(CLASSES):
            target = folder / "pictures" / part / f"class{label}"
            target.mkdir(parents=True)
            for number in range(first, first + count):
                Image.fromarray(picture(label, number)).save(target / f"{number:03}.png")
    return prepare(open_source(folder / "pictures"), folder / "store", size=SIDE)


@dataclass
class Losses(Listener):
    """Listens to a job: the mean loss of every update, and the validation's after every epoch."""

    state: TrainingState
    training: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    before: tuple[float, int] = (0.0, 0)

    def step(self, epoch: int, batch: int, batches: int, figures: dict[str, float]) -> None:  # noqa: ARG002
        total, pictures = self.state.cursor.loss_sum, self.state.cursor.pictures
        self.training.append((total - self.before[0]) / (pictures - self.before[1]))
        self.before = (total, pictures)

    def event(self, kind: str, **facts: Any) -> None:
        if kind == "epoch":
            self.validation.append(facts["val_nll"])
            self.before = (0.0, 0)

    def close(self) -> None: ...

    def as_json(self) -> dict[str, list[float]]:
        """Rounded to what is compared and some digits more."""
        return {
            "training": [float(f"{loss:.8g}") for loss in self.training],
            "validation": [float(f"{loss:.8g}") for loss in self.validation],
        }


def losses_of(store: Store, case: str, form: str = "reference", **changes: Any) -> dict[str, list[float]]:
    """The losses of a case with the kernels of one form. `changes`: of its options."""
    kernels.choose(form)
    with tempfile.TemporaryDirectory() as folder:
        state, _ = start_run(store, Path(folder) / "run", TrainOptions(**SHORT | CASES[case] | changes))
        losses = Losses(state)
        run_epochs(state, Unwritten(), losses)
    return losses.as_json()


def distance(here: dict[str, list[float]], there: dict[str, list[float]]) -> float:
    """The largest relative difference of two runs' losses; infinite where they have not as many."""
    pairs = [(a, b) for name in there for a, b in zip(here[name], there[name], strict=False)]
    if [len(values) for values in here.values()] != [len(values) for values in there.values()]:
        return float("inf")
    return max(abs(a - b) / abs(b) for a, b in pairs)


def write(store: Store) -> None:
    found = {case: losses_of(store, case) for case in CASES}
    LOSSES.parent.mkdir(exist_ok=True)
    LOSSES.write_text(json.dumps(found, indent=1) + "\n")
    print(LOSSES)


def compare(store: Store) -> int:
    """A line for each case and form; how many differ."""
    there, differ = json.loads(LOSSES.read_text()), 0
    for case in CASES:
        for form in ("reference", "compiled"):
            far = distance(losses_of(store, case, form), there[case])
            differ += far > TOLERANCE
            print(f"{case:20} {form:10} {far:.1e} {'differs' if far > TOLERANCE else 'as it was'}", flush=True)
    return differ


def bounds(store: Store) -> None:
    """How far each change leads from one thread, float32, compiled kernels, on this machine."""
    changes: dict[str, dict[str, Any]] = {"again": {}, "2 threads": {"threads": 2}, "bf16": {"precision": "bf16"}}
    for case in CASES:
        base = losses_of(store, case, "compiled")
        far = {name: distance(losses_of(store, case, "compiled", **change), base) for name, change in changes.items()}
        far["reference kernels"] = distance(losses_of(store, case, "reference"), base)
        print(f"{case:20}", ", ".join(f"{name} {value:.1e}" for name, value in far.items()), flush=True)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the losses anew")
    parser.add_argument("--bounds", action="store_true", help="how far threads, kernels and bf16 lead away")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder))
        if asked.write:
            write(store)
        elif asked.bounds:
            bounds(store)
        else:
            return 1 if compare(store) else 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
