"""The whole way on built-in pictures, as the command lines a person would type."""

from pathlib import Path

from alexnet.data.synthetic import CLASSES
from alexnet.runs import RunFolder

SETTINGS = ["--width", "0.25", "--epochs", "28", "--batch", "64", "--patience", "3"]
"""A thin net learns the built-in set in about two minutes on two cores (docs/results.md)."""

ASKED_ABOUT = 3
"""Validation pictures that the demo asks about."""


def commands(folder: Path) -> list[list[str]]:
    """The demo's command lines, everything they make inside `folder`: draw and prepare, train, measure, ask, report.

    Where the training has ended already it is left out, so that the demo can be given again.
    """
    pictures, store, run = (str(folder / name) for name in ("pictures", "store", "run"))
    asked = [
        str(folder / "pictures" / "val" / name / f"{name}_{place:05d}.jpg")
        for place, name in enumerate(CLASSES[:: len(CLASSES) // ASKED_ABOUT][:ASKED_ABOUT])
    ]
    lines = [
        ["prepare", f"synthetic:{pictures}", store],
        ["train", store, "--out", run, *SETTINGS, "--resume"],
        ["evaluate", run, store],
        ["predict", run, *asked],
        ["report", run, "--store", store],
    ]
    return [line for line in lines if line[0] != "train" or not has_ended(Path(run))]


def has_ended(run: Path) -> bool:
    """Whether a training in the run folder `run` came to its end."""
    return (run / "config.json").exists() and RunFolder.open(run).value("finished")
