"""The whole way on built-in pictures, as the command lines a person would type."""

from pathlib import Path

from alexnet.data.synthetic import CLASSES

SETTINGS = ["--width", "0.25", "--epochs", "28", "--batch", "64", "--patience", "3"]
"""A thin net learns the built-in set in about two minutes on two cores (docs/results.md)."""

ASKED_ABOUT = 3
"""Validation pictures that the demo asks about."""


def commands(folder: Path) -> list[list[str]]:
    """The demo's command lines, everything they make inside `folder`: draw and prepare, train, measure, ask, report.

    Each goes on where it was stopped and leaves what is finished as it is, so that the demo can be given again.
    """
    pictures, store, run = (str(folder / name) for name in ("pictures", "store", "run"))
    asked = [
        str(folder / "pictures" / "val" / name / f"{name}_{place:05d}.jpg")
        for place, name in enumerate(CLASSES[:: len(CLASSES) // ASKED_ABOUT][:ASKED_ABOUT])
    ]
    return [
        ["prepare", f"synthetic:{pictures}", store],
        ["train", store, "--out", run, *SETTINGS, "--resume"],
        ["evaluate", run, store],
        ["predict", run, *asked],
        ["report", run, "--store", store],
    ]
