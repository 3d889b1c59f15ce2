"""`alexnet demo`: everything on built-in pictures, as the command lines a person would type."""

import shlex
import sys
from pathlib import Path

from alexnet.commands.dispatch import execute
from alexnet.commands.options.tools import Demo
from alexnet.data.synthetic import CLASSES
from alexnet.terminal import say

SETTINGS = ["--width", "0.25", "--batch", "64", "--patience", "3", "--snapshots"]
"""A thin net learns the built-in set in 28 epochs, about two minutes on two cores (docs/results.md)."""

PREDICTED = 3
"""Validation pictures that the demo classifies."""


def run(options: Demo) -> None:
    for line in command_lines(options.out, options.epochs):
        say(f"\n$ alexnet {shlex.join(line)}")
        execute(line)
        sys.stdout.flush()
    say(f"\nThe report: {options.out / 'run' / 'report.html'}")


def command_lines(folder: Path, epochs: int) -> list[list[str]]:
    """The demo's command lines, everything they make inside `folder`. Each resumes where it was interrupted and leaves
    what is finished as it is, so that the demo can be rerun."""
    pictures, store, run = (str(folder / name) for name in ("pictures", "store", "run"))
    asked = [
        str(folder / "pictures" / "val" / name / f"{name}_{place:05d}.jpg")
        for place, name in enumerate(CLASSES[:: len(CLASSES) // PREDICTED][:PREDICTED])
    ]
    return [
        ["prepare", f"synthetic:{pictures}", store],
        ["train", store, "--out", run, "--epochs", str(epochs), *SETTINGS, "--resume"],
        ["evaluate", run, store],
        ["predict", run, *asked],
        ["report", run, "--store", store],
    ]
