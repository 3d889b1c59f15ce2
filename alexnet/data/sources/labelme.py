"""Annotated pictures (LabelMe's XML, Pascal VOC's and its kin): the items are the objects, cut out by their boxes."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np

from alexnet.data.decode import Undecodable, decode
from alexnet.data.sources.base import FileReader, Part, Source, check, in_order, printable
from alexnet.data.sources.folder import pictures_below
from alexnet.errors import UserError

ANNOTATIONS = "Annotations"
PICTURES = ("JPEGImages", "Images")
MOST_BYTES = 1 << 24
DEEPEST = 32
Box = tuple[float, float, float, float]


def is_labelme(root: Path) -> bool:
    """Whether ``root`` has annotations beside pictures, as LabelMe and Pascal VOC lay them out."""
    return (root / ANNOTATIONS).is_dir() and any((root / name).is_dir() for name in PICTURES)


def open_labelme(root: Path) -> Source:
    """Part "train": every annotated object of at least one pixel, labelled by its name. A split keeps pictures whole.

    Boxes are in pixels as stored (EXIF orientation is not applied), rounded outwards, cut to the picture; a polygon
    counts by the box around it.
    """
    ignored: list[str] = []
    pictures = next(name for name in PICTURES if (root / name).is_dir())
    objects = [found for path in _annotation_files(root, ignored) for found in _objects(root, path, pictures, ignored)]
    class_ids = tuple(in_order({found.name for found in objects}))
    label_of = {class_id: label for label, class_id in enumerate(class_ids)}
    labels = np.array([label_of[found.name] for found in objects], np.int64)
    keys = [found.key for found in objects]
    reader = ObjectReader(root, [found.picture for found in objects], [found.box for found in objects])
    parts = {"train": Part(keys, labels, reader)}
    source = Source("labelme", class_ids, class_ids, "sorted object name", parts, tuple(ignored), _picture_of)
    return check(source, str(root))


@dataclass(frozen=True)
class Annotated:
    """A whole picture below the root, and the names of what is in it. `difficult`: names of which only objects marked
    as difficult are there; Pascal VOC counts them neither for nor against."""

    picture: str
    names: frozenset[str]
    difficult: frozenset[str]


def annotated_pictures(root: Path) -> list[Annotated]:
    """Every annotated picture of a VOC or LabelMe folder, in the order of the annotations' names, objects deleted by
    their annotator and empty ones left out. Raises UserError for an annotation that can't be read."""
    pictures = next(name for name in PICTURES if (root / name).is_dir())
    return [_annotated(root, path, pictures) for path in _annotation_files(root, [])]


def _annotated(root: Path, path: str, pictures: str) -> Annotated:
    where = f"{ANNOTATIONS}/{printable(path)}"
    tree = parse_xml(_bounded(root / ANNOTATIONS / path), str(root / where))
    counted, difficult = set(), set()
    for element in tree.findall("object"):
        if (name := " ".join(_text(element, "name").split())) and _text(element, "deleted") != "1":
            (difficult if _text(element, "difficult") == "1" else counted).add(name)
    picture = _picture(root, path, pictures, _text(tree, "filename"), where)
    return Annotated(picture, frozenset(counted), frozenset(difficult - counted))


class ObjectReader:
    """Decodes a picture and cuts one object out of it. Boxes are (left, top, right, bottom) in pixels."""

    def __init__(self, root: Path, pictures: list[str], boxes: list[Box]) -> None:
        self.files, self.boxes = FileReader(root, pictures), boxes

    def size_of(self, place: int) -> int | None:
        """Bytes of the picture's file; None if it is not there."""
        return self.files.size_of(place)

    def __call__(self, place: int) -> np.ndarray:
        name = printable(self.files.names[place])
        pixels = decode(self.files(place), name).pixels
        height, width = pixels.shape[:2]
        left, top, right, bottom = self.boxes[place]
        rows = slice(max(0, math.floor(top)), min(height, math.ceil(bottom)))
        columns = slice(max(0, math.floor(left)), min(width, math.ceil(right)))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            raise Undecodable(f"its object's box {self.boxes[place]} lies outside its {width} × {height} pixels", name)
        return pixels[rows, columns].copy()


@dataclass(frozen=True)
class _Object:
    key: str
    name: str
    picture: str
    box: Box


def _picture_of(key: str) -> str:
    return key.rpartition("#")[0]


def _annotation_files(root: Path, ignored: list[str]) -> list[str]:
    """Paths of the XML files below Annotations/, without that folder; the rest is put on the list of ignored."""
    others: list[str] = []
    plain = list(pictures_below(root, ANNOTATIONS, others))
    ignored += [f"{printable(name)}: no annotation" for name in plain if not name.lower().endswith(".xml")]
    found = []
    for line in others:
        name, _, reason = line.rpartition(": ")
        if name.lower().endswith(".xml") and reason == "not a picture by its suffix":
            found.append(name)
        else:
            ignored.append(line)
    return [os.path.relpath(name, ANNOTATIONS) for name in in_order(found)]


def _objects(root: Path, path: str, pictures: str, ignored: list[str]) -> Iterator[_Object]:
    """The objects of one annotation file that can be cut out; those that cannot are put on the list of ignored."""
    where = f"{ANNOTATIONS}/{printable(path)}"
    tree = parse_xml(_bounded(root / ANNOTATIONS / path), str(root / where))
    picture = _picture(root, path, pictures, _text(tree, "filename"), where)
    for number, element in enumerate(tree.findall("object")):
        key = f"{printable(picture)}#{number}"
        name = " ".join(_text(element, "name").split())
        box = _box(element)
        if _text(element, "deleted") == "1":
            ignored.append(f"{where}, object {number}: deleted by its annotator")
        elif not name:
            ignored.append(f"{where}, object {number}: has no name")
        elif box is None or not (box[0] < box[2] and box[1] < box[3]):
            ignored.append(f"{where}, object {number} ({name}): its box is missing or empty")
        else:
            yield _Object(key, name, picture, box)


def _picture(root: Path, path: str, pictures: str, filename: str, where: str) -> str:
    """The picture beside its annotation: the file it names, in the folder that answers the annotation's own."""
    folder = Path(pictures, path).parent
    name = filename or f"{Path(path).stem}.jpg"
    if Path(name).name != name or name in (".", ".."):
        raise UserError(f"{root / where}: its picture '{printable(name)[:60]}' is a path, not a file name")
    return str(folder / name)


def _box(element: ElementTree.Element) -> Box | None:
    """(left, top, right, bottom) of VOC's <bndbox> or around LabelMe's <polygon>; None if there is neither.

    VOC counts pixels from 1 and includes the last one; LabelMe's points are places between pixels, from 0.
    """
    bounds = element.find("bndbox")
    if bounds is not None:
        values = [_coordinate(_text(bounds, side)) for side in ("xmin", "ymin", "xmax", "ymax")]
        if any(value is None for value in values):
            return None
        left, top, right, bottom = (value for value in values if value is not None)
        return left - 1, top - 1, right, bottom
    points = [
        (_coordinate(_text(point, "x")), _coordinate(_text(point, "y"))) for point in element.iterfind("polygon/pt")
    ]
    known = [(x, y) for x, y in points if x is not None and y is not None]
    if len(known) < 2 or len(known) != len(points):
        return None
    columns, rows = zip(*known, strict=True)
    return min(columns), min(rows), max(columns), max(rows)


def _coordinate(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) < 1e9 else None


def _text(element: ElementTree.Element, name: str) -> str:
    return (element.findtext(name) or "").strip()


def _bounded(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{path}: over {MOST_BYTES >> 20} MB, not an annotation")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None


def parse_xml(data: bytes, where: str) -> ElementTree.Element:
    """The root of an XML document that declares no document type, and so no entities to expand.

    Raises ``UserError`` on a declaration, on nesting beyond 32 levels and on what is not well formed.
    """
    builder = ElementTree.TreeBuilder()
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise UserError(f"{where}: nested over {DEEPEST} levels deep, not an annotation")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: object) -> None:
        raise UserError(f"{where}: declares a document type, which annotations do not need; remove its <!DOCTYPE>")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise UserError(f"{where}: not well-formed XML: {error}") from None
    return builder.close()
