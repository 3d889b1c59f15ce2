"""Annotated pictures (LabelMe's XML, Pascal VOC's and its kin): the items are the objects, cut out by their boxes."""

import io
import math
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from alexnet.data.sources.base import (
    UNLABELLED,
    FileReader,
    Source,
    SourceSplit,
    check,
    in_order,
    key_of,
    listed,
    printable,
)
from alexnet.data.sources.class_text import codec_of
from alexnet.data.sources.found import entries, is_folder, read_tree, why_no_picture
from alexnet.errors import UserError
from alexnet.files.atomic import read_bounded
from alexnet.images.decode import Undecodable, decode
from alexnet.text import counted

ANNOTATIONS = ("annotations", "annotation", "xmls", "xml")
PICTURES = ("jpegimages", "images", "pngimages", "image", "imgs", "img")
"""What the two folders are called, in any case. Oxford's pets have annotations/xmls/, others have images/xmls/."""
MOST_BYTES = 1 << 24
DEEPEST = 32
DECLARED = re.compile(rb"""\s*<\?xml[^>]*?encoding\s*=\s*["']([\w.-]{1,20})""")
CODECS = {"gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "shift-jis": "cp932", "sjis": "cp932"}
"""Encodings that annotation tools declare and what their files really are in."""
TEXT_CODEC = re.compile(r"(?P<east>gb|big5|cp9|euc)|cp\d|windows-|iso-?8859|latin|koi8")
LOST = "\N{REPLACEMENT CHARACTER}"
Box = tuple[float, float, float, float]


class Folders(NamedTuple):
    """Where annotations and pictures lie, below the root."""

    annotations: str
    pictures: str


def folders_of(root: Path) -> Folders | None:
    """The folder of pictures in ``root`` and the one with XML files, next to it or inside it. None if there are none.

    Where XML files are among the pictures, as LabelImg saves them, both are that folder: ``root`` itself, or the one of
    the pictures.
    """
    for pictures in _called(root, PICTURES):
        inside = [f"{pictures}/{name}" for name in _called(root / pictures, ANNOTATIONS)]
        for annotations in (*_called(root, ANNOTATIONS), *inside):
            if any(name.lower().endswith(".xml") for name in _files_below(root / annotations)):
                return Folders(annotations, pictures)
    return next((Folders(name, name) for name in (*_called(root, PICTURES), "") if _are_pairs(root / name)), None)


def _are_pairs(folder: Path) -> bool:
    """Whether the folder itself holds an XML file and a picture of the same name."""
    stems: dict[bool, set[str]] = {True: set(), False: set()}
    for entry in entries(folder):
        stem, suffix = os.path.splitext(entry.name)
        if (is_xml := suffix.lower() == ".xml") or (not is_folder(entry) and not why_no_picture(entry)):
            stems[is_xml].add(stem)
    return bool(stems[True] & stems[False])


def _called(root: Path, names: Sequence[str]) -> list[str]:
    """The folders in ``root`` that have one of the names, in the order of the names."""
    there = [entry.name for entry in entries(root) if entry.name.lower() in names and is_folder(entry)]
    return sorted(there, key=lambda name: names.index(name.lower()))


def _files_below(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[str]:
    """Paths of the files below a folder, without the hidden ones; links are followed but never in a circle."""
    here = os.path.realpath(folder)
    for entry in entries(folder) if here not in above else ():
        if entry.name.startswith("."):
            continue
        if is_folder(entry):
            yield from (f"{entry.name}/{inner}" for inner in _files_below(folder / entry.name, above | {here}))
        else:
            yield entry.name


def is_labelme(root: Path) -> bool:
    """Whether ``root`` has annotations next to pictures, as LabelMe and Pascal VOC lay them out."""
    return root.is_dir() and folders_of(root) is not None


def open_labelme(root: Path) -> Source:
    """Split "train": every annotated object of at least one pixel, labelled by its name. Holdouts keep pictures whole.

    Boxes are in pixels as stored (EXIF orientation is not applied), rounded outwards, cut to the picture; a polygon
    counts by the box around it. An annotation that can't be read, or has no picture, is an item without a label whose
    reading raises ``Undecodable``: it is counted and listed as a damaged picture is.
    """
    folders, ignored = folders_of(root), list[str]()
    assert folders is not None
    pictures = _Pictures(root, folders.pictures, ignored)
    annotations = list(_annotations(root, folders, pictures, ignored))
    objects = [found for annotation in annotations for found in _objects(annotation, ignored)]
    faults = [found for found in objects if found.fault]
    class_ids = tuple(in_order({found.name for found in objects if not found.fault}))
    if not class_ids:
        some = "; ".join([*(f"{found.key}: {found.fault}" for found in faults), *ignored][:2])
        raise UserError(f"{root}: no object with a name and a box in {folders.annotations or '.'}/ ({some})")
    bare = in_order(set(pictures.names) - {annotation.picture for annotation in annotations})
    ignored += [f"{name}: has no annotation" for name in bare]
    label_of = {class_id: label for label, class_id in enumerate(class_ids)}
    labels = np.array([label_of.get(found.name, UNLABELLED) for found in objects], np.int64)
    splits = {"train": SourceSplit([found.key for found in objects], labels, ObjectReader(root, objects))}
    where = f"cut out of the pictures by the annotations in {folders.annotations or root.name}/"
    note = f"{root}: {counted(len(objects) - len(faults), 'object')}, {where}"
    note += f"; {counted(len(faults), 'annotation')} can't be used" if faults else ""
    note += f"; {counted(len(bare), 'picture has', 'pictures have')} no annotation" if bare else ""
    order = "sorted object name"
    source = Source("labelme", class_ids, class_ids, order, splits, tuple(ignored), _picture_of, notes=(note,))
    return check(source, str(root))


@dataclass(frozen=True)
class Annotated:
    """A whole picture below the root, and the names of what is in it. `difficult`: names of which only objects marked
    as difficult are there; Pascal VOC counts them neither for nor against. `boxes`: names and boxes of all objects that
    have one, in pixels of the file."""

    picture: str
    names: frozenset[str]
    difficult: frozenset[str]
    boxes: tuple[tuple[str, Box], ...]


def annotated_pictures(root: Path) -> list[Annotated]:
    """Every annotated picture of a VOC or LabelMe folder, in the order of the annotations' names, objects deleted by
    their annotator and empty ones left out. Raises UserError for an annotation that can't be read."""
    folders = folders_of(root)
    assert folders is not None
    found = []
    for annotation in _annotations(root, folders, _Pictures(root, folders.pictures, []), []):
        if annotation.tree is None:
            raise UserError(f"{root / annotation.path}: {annotation.fault}. Correct or remove it")
        names: dict[bool, set[str]] = {True: set(), False: set()}
        for element in annotation.tree.findall("object"):
            if (name := _name(element)) and _text(element, "deleted") != "1":
                names[_text(element, "difficult") == "1"].add(name)
        if not annotation.fault:
            boxes = _boxes(annotation)
            difficult = frozenset(names[True] - names[False])
            found.append(Annotated(annotation.picture, frozenset(names[False]), difficult, boxes))
    return found


def boxes_in(path: Path) -> tuple[tuple[str, Box], ...]:
    """Names and boxes of the objects of one XML file, as of `Annotated`. Raises UserError if it can't be read."""
    return _boxes(_Annotation(str(path), parse_xml(read_bounded(path, MOST_BYTES), str(path)), "", ""))


class ObjectReader:
    """Decodes a picture and cuts one object out of it."""

    def __init__(self, root: Path, objects: "Sequence[_Object]") -> None:
        self.objects = objects
        self.files = FileReader(root, [found.picture for found in objects])
        self.size_of = self.files.size_of

    def __call__(self, position: int) -> np.ndarray:
        found, name = self.objects[position], printable(self.objects[position].picture)
        if found.fault:
            raise Undecodable(found.fault, name)
        pixels = decode(self.files(position), name).pixels
        height, width = pixels.shape[:2]
        left, top, right, bottom = found.box
        rows = slice(max(0, math.floor(top)), max(0, math.ceil(bottom)))
        columns = slice(max(0, math.floor(left)), max(0, math.ceil(right)))
        cut = pixels[rows, columns]
        if not cut.size:
            raise Undecodable(f"its object's box {found.box} is outside its {width} × {height} pixels", name)
        return cut.copy()


class _Object(NamedTuple):
    """An object with its box (left, top, right, bottom) in pixels; or the ``fault`` of an annotation."""

    key: str
    name: str
    picture: str
    box: Box
    fault: str = ""


class _Annotation(NamedTuple):
    """An XML file and its picture, below the root. ``fault``: why it can't be used; the picture is then a guess."""

    path: str
    tree: ElementTree.Element | None
    picture: str
    fault: str


def _picture_of(key: str) -> str:
    return key.rpartition("#")[0]


class _Pictures:
    """The files in the folder of pictures, to be found by what annotations call them."""

    def __init__(self, root: Path, folder: str, ignored: list[str]) -> None:
        others: list[str] = []
        self.folder, self.names = folder, list(read_tree(root, folder, others).below())
        ignored += [line for line in others if ".xml: " not in line.lower()]
        self.called: dict[str, list[str]] = {}
        for name in self.names:
            inside = _folded(os.path.relpath(name, folder or "."))
            for path in (inside, os.path.splitext(inside)[0]):
                for key in {path, os.path.basename(path)}:
                    self.called.setdefault(key, []).append(name)

    def of(self, path: str, tree: ElementTree.Element) -> str:
        """The picture of an annotation: the file that it names, with or without a suffix or the path on another
        machine, else the one with the annotation's own name. UserError if there is none, or several may be meant."""
        own, named = Path(path).stem, _text(tree, "filename").replace("\\", "/").rpartition("/")[2]
        folders = dict.fromkeys((os.path.dirname(path), _text(tree, "folder"), ""))
        by_name, by_own = self._find(folders, named), self._find(folders, own)
        if not (found := by_name or by_own):
            raise UserError(f"its picture, {printable(named or own)[:60]}, is not in {self.folder or '.'}/")
        if len(found) > 1 or (by_own and not set(found) & set(by_own)):
            raise UserError(f"its picture may be any of {listed(in_order({*found, *by_own}))}; correct its <filename>")
        return found[0]

    def named_like(self, path: str) -> str:
        """The picture with an annotation's own name; "" if there is none."""
        return next(iter(self._find((os.path.dirname(path), ""), Path(path).stem)), "")

    def _find(self, folders: Iterable[str], name: str) -> list[str]:
        stem, suffix = os.path.splitext(name)
        for folder in folders if name else ():
            for called in (name, stem) if re.fullmatch(r"\.[a-zA-Z]{3,4}", suffix) else (name,):
                if found := self.called.get(_folded(os.path.join(folder, called))):
                    here = os.path.join(self.folder, folder).rstrip("/")
                    found = [path for path in found if os.path.dirname(path) == here] or found
                    return [path for path in found if os.path.basename(path) == name] or found
        return []


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _annotations(root: Path, folders: Folders, pictures: _Pictures, ignored: list[str]) -> Iterator[_Annotation]:
    """The XML files below the folder of annotations; what else is there is put on the list of ignored."""
    for name in _files_below(root / folders.annotations):
        path, tree = os.path.join(folders.annotations, name), None
        if not name.lower().endswith(".xml"):
            if folders.annotations != folders.pictures:
                ignored.append(f"{path}: no annotation")
            continue
        try:
            tree = parse_xml(read_bounded(root / path, MOST_BYTES), str(root / path))
            yield _Annotation(path, tree, pictures.of(name, tree), "")
        except UserError as error:
            yield _Annotation(path, tree, pictures.named_like(name), str(error).removeprefix(f"{root / path}: "))


def _objects(annotation: _Annotation, ignored: list[str]) -> Iterator[_Object]:
    """The objects of one annotation that can be cut out; those that cannot are put on the list of ignored."""
    where, picture = key_of(annotation.path), annotation.picture
    if annotation.fault or annotation.tree is None:
        yield _Object(where, "", annotation.path, (0, 0, 0, 0), annotation.fault)
        return
    elements = annotation.tree.findall("object")
    if not elements:
        ignored.append(f"{where}: has no objects")
    for number, element in enumerate(elements):
        name, box = _name(element), _box(element)
        if _text(element, "deleted") == "1":
            ignored.append(f"{where}, object {number}: deleted by its annotator")
        elif not name:
            ignored.append(f"{where}, object {number}: has no name")
        elif not (box[0] < box[2] and box[1] < box[3]):
            ignored.append(f"{where}, object {number} ({name}): its box is missing or empty")
        else:
            yield _Object(f"{key_of(picture)}#{number}", name, picture, box)


def _boxes(annotation: _Annotation) -> tuple[tuple[str, Box], ...]:
    """Names and boxes of the objects of a sound annotation."""
    return tuple((found.name, found.box) for found in _objects(annotation, []))


def _box(element: ElementTree.Element) -> Box:
    """(left, top, right, bottom) of VOC's <bndbox> or around LabelMe's <polygon>; NaN where a coordinate is missing.

    VOC counts pixels from 1 and includes the last one; LabelMe's points lie between pixels and count from 0.
    """
    if (bounds := element.find("bndbox")) is not None:
        left, top, right, bottom = (_coordinate(bounds, side) for side in ("xmin", "ymin", "xmax", "ymax"))
        return left - 1, top - 1, right, bottom
    points = [(_coordinate(point, "x"), _coordinate(point, "y")) for point in element.iterfind("polygon/pt")]
    corners = np.array(points or [(math.nan, math.nan)])  # NumPy's minimum of numbers and NaN is NaN
    left, top, right, bottom = *corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()
    return left, top, right, bottom


def _coordinate(element: ElementTree.Element, name: str) -> float:
    try:
        value = float(_text(element, name))
    except ValueError:
        return math.nan
    return value if abs(value) < 1e9 else math.nan


def _name(element: ElementTree.Element) -> str:
    return " ".join(_text(element, "name").split())


def _text(element: ElementTree.Element, name: str) -> str:
    return (element.findtext(name) or "").strip()


def parse_xml(data: bytes, where: str) -> ElementTree.Element:
    """The root of an XML document that declares no document type, and so no entities to expand.

    Raises ``UserError`` on a declaration, on nesting beyond 32 levels, on what is not well formed or no annotation, and
    on an object whose name can't be decoded.
    """
    text = re.sub(r"\A\s*<\?xml.*?\?>", "", _decoded(data), flags=re.S).strip()
    if "<!DOCTYPE" in text:
        raise UserError(f"{where}: declares a document type, which annotations do not need; remove its <!DOCTYPE>")
    tree, depth = ElementTree.Element(""), 0
    try:
        for event, element in ElementTree.iterparse(io.BytesIO(text.encode()), ("start", "end")):
            tree = element  # the last one that ends is the root
            depth += 1 if event == "start" else -1
            if depth > DEEPEST:
                raise UserError(f"{where}: nested over {DEEPEST} levels deep, not an annotation")
    except ElementTree.ParseError as error:
        raise UserError(f"{where}: not well-formed XML: {error}") from None
    if tree.tag != "annotation" and tree.find("object") is None and tree.find("filename") is None:
        raise UserError(f"{where}: no annotation of VOC's or LabelMe's form: it begins with <{tree.tag[:40]}>")
    if any(LOST in (name.text or "") for name in tree.iterfind("object/name")):
        raise UserError(f"{where}: an object's name is neither UTF-8 nor in the encoding declared: save it as UTF-8")
    return tree


def _decoded(data: bytes) -> str:
    """The text of an XML file: UTF-8 where that fits, else the encoding declared; what fits neither becomes LOST."""
    if codec := codec_of(data):
        return data.decode(codec, "replace")
    declared = match[1].decode("ascii", "replace").lower() if (match := DECLARED.match(data)) else ""
    declared = CODECS.get(declared, declared)
    text, kind = data.decode("utf-8", "replace"), TEXT_CODEC.match(declared)
    # Two bytes of GBK may pass for a letter of UTF-8, like those of 猫 for è, but hardly for one of three bytes.
    if kind and (LOST in text or (kind["east"] and not text.isascii() and max(text) < "\u0800")):
        with suppress(UnicodeError, LookupError):
            return data.decode(declared)
    return text
