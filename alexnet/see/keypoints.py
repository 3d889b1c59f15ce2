"""Key points of pictures in a JSON file, and where they lie in what the network sees.

Two forms are read: {"cat.jpg": {"left_eye": [x, y], …}, …}, where values that are no points are passed over; and the
built-in set's {"pictures": [{"file": …, "keypoints": {…}}, …]}. x and y in pixels of the picture's file.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from alexnet.data.synthetic import to_crop
from alexnet.errors import UserError
from alexnet.files import faults_named, read_json
from alexnet.see.correspondence import Points


@dataclass(frozen=True)
class Annotated:
    """A picture file and its key points, in pixels of the file."""

    file: Path
    points: Points


def read_keypoints(path: Path, folder: Path | None = None) -> list[Annotated]:
    """The pictures that a JSON file has key points of; their files lie in `folder` (default: beside it; the built-in
    set's in the part's folder). Raises UserError if the file is no such thing."""
    value = read_json(path)
    try:
        if isinstance(value.get("pictures"), list):
            part = path.stem.removeprefix("annotations-")
            folder = folder or path.parent / part
            return [Annotated(folder / entry["file"], points_in(entry["keypoints"])) for entry in value["pictures"]]
        return [Annotated((folder or path.parent) / name, points_in(entry)) for name, entry in value.items()]
    except (KeyError, TypeError, AttributeError) as fault:
        raise UserError(
            f'{path}: no key points ({fault!r}). Expected is {{"cat.jpg": {{"left_eye": [x, y], …}}, …}}.'
        ) from None


def points_in(entry: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """What in an entry is a point: two numbers."""
    return {
        name: (float(value[0]), float(value[1]))
        for name, value in entry.items()
        if isinstance(value, list) and len(value) == 2 and all(isinstance(number, int | float) for number in value)
    }


def in_view(annotated: Annotated, side: int, size: int) -> dict[str, tuple[float, float]]:
    """The key points in the centre view of `size` pixels of the picture's record of `side` pixels.

    Raises UserError for one that lies outside the picture, or if the file can't be read.
    """
    with faults_named(annotated.file), Image.open(annotated.file) as picture:
        width, height = picture.size
    for name, (x, y) in annotated.points.items():
        if not (0 <= x <= width and 0 <= y <= height):
            raise UserError(
                f"{annotated.file}: its key point {name!r} at {x:g}, {y:g} lies outside the picture of "
                f"{width} × {height} pixels. Correct it."
            )
    names, points = list(annotated.points), np.array(list(annotated.points.values())).reshape(-1, 2)
    placed = to_crop(points, width, height, side, size)
    return {name: (float(x), float(y)) for name, (x, y) in zip(names, placed, strict=True)}
