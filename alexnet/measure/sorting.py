"""Predictions put to use: a table of answers, and copies of the pictures sorted into a folder per answer."""

import csv
import io
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from alexnet.data.sources.classes import unlike
from alexnet.errors import UserError
from alexnet.files.atomic import faults_named
from alexnet.measure.predict import Failure, Prediction

UNSURE = "don't know"
HEAD = ("file", "answer", "error")
"""The first columns of a table of answers."""
UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
"""Characters that some file system does not take in a name."""


def answer(found: Prediction, threshold: float) -> str:
    """The name of the most probable class; UNSURE if its probability is below ``threshold``."""
    return found.labels[0].name if found.labels[0].probability >= threshold else UNSURE


def as_csv(found: Sequence[Prediction | Failure], threshold: float) -> bytes:
    """A row for each picture: its file, the answer, why it can't be read, then the classes and their probabilities."""
    places = max((len(one.labels) for one in found if isinstance(one, Prediction)), default=0)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(
        [*HEAD, *(f"{what}_{place}" for place in range(1, places + 1) for what in ("class", "probability"))]
    )
    for one in found:
        if isinstance(one, Failure):
            writer.writerow([one.name, "", one.reason])
        else:
            labels = (cell for label in one.labels for cell in (label.name, f"{label.probability:.6f}"))
            writer.writerow([one.name, answer(one, threshold), "", *labels])
    return text.getvalue().encode(errors="surrogateescape")


def refuse_occupied(folder: Path) -> None:
    """Raises UserError if there is something in ``folder``: sorting never replaces or mixes files."""
    with faults_named(folder):
        if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder}: --move-into needs a new or an empty folder; choose another")


def sort_into(folder: Path, found: Sequence[Prediction], threshold: float, link: bool) -> int:
    """Copy each picture into ``folder``/ANSWER, or ``link`` to it there; the number of these folders.

    The originals stay as they are. Characters that no file name may have become "_"; equal names are numbered. Raises
    UserError if a picture can't be copied; those before it have been.
    """
    answers = sorted({answer(one, threshold) for one in found})
    folders = dict(zip(answers, unlike([UNSAFE.sub("_", name).strip(". ") or "_" for name in answers]), strict=True))
    for one in found:
        place, picture = folder / folders[answer(one, threshold)], Path(one.name)
        target, number = place / picture.name, 1
        while os.path.lexists(target):
            number += 1
            target = place / f"{picture.stem} ({number}){picture.suffix}"
        with faults_named(target):
            place.mkdir(parents=True, exist_ok=True)
            if link:
                target.symlink_to(picture.absolute())
            else:
                shutil.copy2(picture, target)
    return len(folders)
