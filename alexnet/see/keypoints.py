"""Key points of pictures in a JSON file, and where they lie in what the network sees.

Two forms are read: {"cat.jpg": {"left_eye": [x, y], …, "box": [x0, y0, x1, y1]}, …}, where the object's box may be
absent and other values are passed over; and the built-in set's {"pictures": [{"file": …, "keypoints": {…}, "box": …},
…]}. x and y in pixels of the picture's file.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import numpy as np

from alexnet.data.sources.base import MOST_FILE_BYTES, read_picture
from alexnet.data.synthetic import to_crop
from alexnet.errors import UserError
from alexnet.files.schema import check, number, read_json
from alexnet.images.decode import Undecodable, picture_size
from alexnet.see import annotated as annotations
from alexnet.see.correspondence import Points, Region

REMEDY = 'Expected is {"cat.jpg": {"left_eye": [x, y], …}, …}.'


LONGEST_NAME = 4096
FileName = Annotated[str, lambda name: 0 < len(name) <= LONGEST_NAME and "\0" not in name]


class PlainEntry(TypedDict):
    """Of the plain form, of one picture; its parts go by names of any kind."""

    box: NotRequired[Region | None]


class BuiltInEntry(TypedDict):
    """Of the built-in set's form, of one picture."""

    file: FileName
    keypoints: dict[str, Any]
    box: NotRequired[Region | None]


@dataclass(frozen=True)
class AnnotatedPicture:
    """A picture file, its key points and its object's box, in pixels of the file. Where no box is known it is the one
    around the key points, doubled about its middle."""

    file: Path
    points: Points
    box: Region


def read_keypoints(path: Path, folder: Path | None = None) -> list[AnnotatedPicture]:
    """The pictures that a JSON file has key points of; their files lie in `folder` (default: next to it; the built-in
    set's in the part's folder). Raises UserError if the file is no such thing."""
    value = read_json(path)
    if isinstance(value.get("pictures"), list):
        check(value["pictures"], list[BuiltInEntry], path, REMEDY)
        folder = folder or path.parent / path.stem.removeprefix("annotations-")
        return [annotated(folder / entry["file"], entry["keypoints"], entry) for entry in value["pictures"]]
    check(value, dict[FileName, PlainEntry], path, REMEDY)
    return [annotated((folder or path.parent) / name, entry, entry) for name, entry in value.items()]


def annotated(file: Path, points: dict[str, Any], entry: dict[str, Any]) -> AnnotatedPicture:
    found = points_in(points)
    if entry.get("box") is None:
        return AnnotatedPicture(file, found, around(found))
    left, top, right, bottom = map(float, entry["box"])
    return AnnotatedPicture(file, found, (left, top, right, bottom))


def around(points: Points) -> Region:
    """The box around key points, doubled about its middle: more of the object than its parts."""
    x, y = (np.array([point[axis] for point in points.values()] or [0.0]) for axis in (0, 1))
    wide, high = np.ptp(x) / 2, np.ptp(y) / 2
    return float(x.min() - wide), float(y.min() - high), float(x.max() + wide), float(y.max() + high)


def points_in(entry: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """What in an entry is a point: two numbers."""
    return {
        name: (float(value[0]), float(value[1]))
        for name, value in entry.items()
        if isinstance(value, list) and len(value) == 2 and all(map(number, value))
    }


def in_view(annotated: AnnotatedPicture, side: int, size: int) -> dict[str, tuple[float, float]]:
    """The key points in the centre view of `size` pixels of the picture's record of `side` pixels.

    Raises UserError for one that lies outside the picture, or if the file can't be read.
    """
    width, height = size_of(annotated.file)
    for name, (x, y) in annotated.points.items():
        if not (0 <= x <= width and 0 <= y <= height):
            raise UserError(
                f"{annotated.file}: its key point {name!r} at {x:g}, {y:g} lies outside the picture of "
                f"{width} × {height} pixels. Correct it."
            )
    names, points = list(annotated.points), np.array(list(annotated.points.values())).reshape(-1, 2)
    placed = to_crop(points, width, height, side, size)
    return {name: (float(x), float(y)) for name, (x, y) in zip(names, placed, strict=True)}


def region_in_view(annotated: AnnotatedPicture, side: int, size: int) -> Region:
    """The object's box in the centre view, cut at its edges."""
    return annotations.region_in_view(annotated.box, *size_of(annotated.file), side, size)


def size_of(file: Path) -> tuple[int, int]:
    """Width and height in pixels. Raises UserError if the file can't be read."""
    try:
        return picture_size(read_picture(str(file), str(file), MOST_FILE_BYTES), str(file))
    except Undecodable as fault:
        raise UserError(f"{fault}. Restore it, or remove it from the key points.") from None
