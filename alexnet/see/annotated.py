"""Pictures with known objects and parts, as a network sees them: the built-in set's masks as they were drawn, the
Oxford pets' trimaps and head boxes, the boxes of Pascal VOC.

S side of a record · C side of its centre view · H, W rows and columns of a picture's file.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from alexnet.data.sources.base import MOST_FILE_BYTES, read_picture
from alexnet.data.sources.labelme import annotated_pictures, boxes_in, is_labelme
from alexnet.data.store.read import Store
from alexnet.data.synthetic import CLASSES, box_in_crop, draw, from_crop, read_annotations
from alexnet.data.synthetic.write import DRAWING_VERSION, MANIFEST
from alexnet.errors import UserError
from alexnet.files.schema import from_json, read_json
from alexnet.images.decode import decode, make_record, picture_size
from alexnet.measure.run import Run
from alexnet.see.correspondence import Region
from alexnet.see.units import evenly_spread

TRIMAPS = Path("annotations", "trimaps")
SEED, MOST_LOST = 0, 8.0
"""Of the usual built-in set; levels of 255 by which its records differ, in the mean, from what was drawn."""
PET = 1
"""What a trimap has where the pet is: 2 is the background, 3 the border between them, which is left out."""


@dataclass(frozen=True, eq=False)
class AnnotatedView:
    """A picture, and where in its centre view an object and its parts are.

    `name` is its file, `object` the name of its largest object ("" if none is in view), `record` uint8 (S, S, 3) what
    the run makes of the picture. `masks`: name → bool (C, C), the pixels of the centre view that show it: "face",
    "face/eye". `boxes`: name → (left, top, right, bottom) in pixels of the centre view, cut at its edges; one for each
    object of that name, and one around all that a mask shows. What lies outside the view is in neither.
    """

    name: str
    object: str
    record: UInt8[np.ndarray, "S S 3"]
    masks: dict[str, Bool[np.ndarray, "C C"]]
    boxes: dict[str, tuple[Region, ...]]


@dataclass(frozen=True, eq=False)
class AnnotatedPictures(Sequence[AnnotatedView]):
    """Annotated pictures, each read when it is asked for: `read`, or its `record` alone, uint8 (S, S, 3). Reading
    raises UserError for a picture or an annotation that is damaged. `files`: their names."""

    files: tuple[Path, ...]
    read: Callable[[int], AnnotatedView]
    record: Callable[[int], np.ndarray]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> AnnotatedView:  # pyright: ignore[reportIncompatibleMethodOverride] - no slices
        return self.read(range(len(self))[number])

    def some(self, most: int) -> "AnnotatedPictures":
        """`most` of them, evenly spread."""
        chosen = evenly_spread(len(self), most)
        files = tuple(self.files[n] for n in chosen)
        return AnnotatedPictures(files, lambda n: self.read(chosen[n]), lambda n: self.record(chosen[n]))


def open_annotated(run: Run, folder: Path | str, split: str = "val") -> AnnotatedPictures:
    """The annotated pictures in a folder of one of the three kinds. Raises UserError, saying which there are, for
    another folder, and for one without annotated pictures."""
    folder, found = Path(folder), None
    if (folder / MANIFEST).is_file():
        found = annotated_builtin(run, folder, split)
    elif (folder / TRIMAPS).is_dir():
        found = annotated_pets(run, folder)
    elif is_labelme(folder):
        found = annotated_voc(run, folder)
    if found:
        return found
    raise UserError(
        f"{folder}: holds no pictures with known parts. Name a folder of the built-in set ({MANIFEST}), of Oxford's "
        f"pets ({TRIMAPS}/ beside images/) or of Pascal VOC's form (Annotations/ beside JPEGImages/)."
    )


def annotated_builtin(run: Run, folder: Path | str, split: str = "val") -> AnnotatedPictures:
    """The pictures of a written built-in set. Their masks are drawn again: "face", "face/eye" … Raises UserError for a
    set that another version drew."""
    folder = Path(folder)
    manifest = from_json(read_json(folder / MANIFEST), _Manifest, folder / MANIFEST, "Write the set again.")
    if manifest.drawing_version != DRAWING_VERSION:
        raise UserError(f"{folder}: drawn by another version of alexnet. Remove it and write the built-in set again.")
    annotations = read_annotations(folder, split)
    files = tuple(folder / split / one.file for one in annotations)

    def read(number: int) -> AnnotatedView:
        drawing = draw(manifest.seed, split, annotations[number].index, side=manifest.side, with_masks=True)
        return _view(run, files[number], drawing.masks, {})

    return AnnotatedPictures(files, read, lambda number: record_of(run, files[number]))


def annotated_store(run: Run, store: Store, split: str) -> AnnotatedPictures | None:
    """The pictures of a store that was prepared from the built-in set, with its masks; None for other stores, and for
    a built-in set that isn't the usual one."""
    pictures = store.splits[split]
    if (
        store.description.get("source", {}).get("kind") != "synthetic"
        or split not in ("train", "val")
        or not len(pictures)
    ):
        return None
    places = [re.fullmatch(r".*?([a-z]+)_(\d{5})\.jpg", str(key)) for key in pictures.keys]
    indices = [CLASSES.index(p[1]) + len(CLASSES) * int(p[2]) for p in places if p and p[1] in CLASSES]
    if len(indices) != len(pictures) or not _is_drawn(run, pictures.read(np.array([0]))[0], split, indices[0]):
        return None

    def record(number: int) -> np.ndarray:
        return pictures.read(np.array([number]))[0]

    def read(number: int) -> AnnotatedView:
        drawing = draw(SEED, split, indices[number], with_masks=True)
        height, width, _ = drawing.pixels.shape
        return _placed(run, str(pictures.keys[number]), record(number), (width, height), drawing.masks, {})

    return AnnotatedPictures(tuple(map(Path, pictures.keys)), read, record)


def _is_drawn(run: Run, record: np.ndarray, split: str, index: int) -> bool:
    """Whether a record shows that picture of the usual set, but for what JPEG loses."""
    drawn = make_record(draw(SEED, split, index).pixels, size=run.inputs.side, resample=run.predictor.resample).pixels
    return float(np.abs(drawn.astype(float) - record).mean()) < MOST_LOST


@dataclass(frozen=True)
class _Manifest:
    """What is read of a built-in set's manifest."""

    drawing_version: int
    seed: int
    side: int | None


def annotated_pets(run: Run, folder: Path | str) -> AnnotatedPictures:
    """A folder of the Oxford-IIIT pets, images/ beside annotations/: "cat" and "dog" by the trimaps, "cat/head" and
    "dog/head" by the boxes in annotations/xmls/, where there are any."""
    folder = Path(folder)
    trimaps = sorted((folder / TRIMAPS).glob("[!.]*.png"))
    files = tuple(folder / "images" / f"{trimap.stem}.jpg" for trimap in trimaps)

    def read(number: int) -> AnnotatedView:
        path = trimaps[number]
        trimap_hw = decode(read_picture(str(path), str(path), MOST_FILE_BYTES), str(path)).pixels[:, :, 0]
        if not set(np.unique(trimap_hw)) <= {1, 2, 3}:
            raise UserError(f"{path}: no trimap, which holds 1 (pet), 2 (background) and 3 (border) only.")
        kind = "cat" if path.stem[0].isupper() else "dog"  # as the set's README says
        xml = folder / "annotations" / "xmls" / f"{path.stem}.xml"
        heads = boxes_in(xml) if xml.is_file() else ()
        return _view(run, files[number], {kind: trimap_hw == PET}, {f"{kind}/head": [box for _, box in heads]})

    return AnnotatedPictures(files, read, lambda number: record_of(run, files[number]))


def annotated_voc(run: Run, folder: Path | str) -> AnnotatedPictures:
    """A folder of Pascal VOC's or LabelMe's form: the boxes of its objects, and masks that fill them. Difficult objects
    are among them."""
    folder = Path(folder)
    annotated = [one for one in annotated_pictures(folder) if one.boxes and (folder / one.picture).is_file()]
    files = tuple(folder / one.picture for one in annotated)

    def read(number: int) -> AnnotatedView:
        boxes: dict[str, list[Region]] = {}
        for name, box in annotated[number].boxes:
            boxes.setdefault(name, []).append(box)
        return _view(run, files[number], {}, boxes)

    return AnnotatedPictures(files, read, lambda number: record_of(run, files[number]))


def record_of(run: Run, file: Path) -> UInt8[np.ndarray, "S S 3"]:
    """The picture as a record of the run, as its file has it: annotations are in its pixels, whatever EXIF says of the
    orientation. Raises Undecodable."""
    return _record(run, str(file), read_picture(str(file), str(file), MOST_FILE_BYTES))


def _record(run: Run, name: str, data: bytes) -> UInt8[np.ndarray, "S S 3"]:
    return make_record(data, name, exif=False, size=run.inputs.side, resample=run.predictor.resample).pixels


def _view(
    run: Run, file: Path, masks_hw: Mapping[str, np.ndarray], boxes_hw: Mapping[str, Sequence[Region]]
) -> AnnotatedView:
    """A picture with masks and boxes in pixels of its file. Raises UserError for a mask of another size."""
    name = str(file)
    data = read_picture(name, name, MOST_FILE_BYTES)
    return _placed(run, name, _record(run, name, data), picture_size(data, name), masks_hw, boxes_hw)


def _placed(
    run: Run,
    name: str,
    record: UInt8[np.ndarray, "S S 3"],
    picture: tuple[int, int],
    masks_hw: Mapping[str, np.ndarray],
    boxes_hw: Mapping[str, Sequence[Region]],
) -> AnnotatedView:
    """The same for a picture whose record and width and height are known."""
    side, size, (width, height) = run.inputs.side, run.inputs.size, picture
    masks, boxes = {}, {}
    middles = np.arange(size) + 0.5
    columns, rows = from_crop(np.stack([middles, middles], axis=1), width, height, side, size).T.astype(int)
    for part, mask_hw in masks_hw.items():
        if mask_hw.shape != (height, width):
            raise UserError(
                f"{name}: {width} × {height} pixels, but its mask has {mask_hw.shape[1]} × {mask_hw.shape[0]}."
            )
        mask = mask_hw[rows[:, None], columns]
        if mask.any():
            masks[part], boxes[part] = mask, (box_around(mask),)
    for part, some in boxes_hw.items():
        placed = [region_in_view(box, width, height, side, size) for box in some]
        if inside := tuple(box for box in placed if box[0] < box[2] and box[1] < box[3]):
            masks[part], boxes[part] = mask_of(inside, size), inside
    largest = max((part for part in masks if "/" not in part), key=lambda part: masks[part].sum(), default="")
    return AnnotatedView(name, largest, record, masks, boxes)


def region_in_view(box: Region, width: int, height: int, side: int, size: int) -> Region:
    """A box of a picture of width × height pixels, in the centre view of `size` of its record of `side` pixels, cut at
    the view's edges."""
    left, top, right, bottom = box_in_crop(box, width, height, side, size)
    return max(0.0, left), max(0.0, top), min(float(size), right), min(float(size), bottom)


def box_around(mask: Bool[np.ndarray, "C C"]) -> Region:
    """The smallest box that holds all that a mask, which is not empty, shows."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def mask_of(boxes: Sequence[Region], size: int) -> Bool[np.ndarray, "C C"]:
    """The pixels of a view of `size` whose middles lie in any of the boxes."""
    middles = np.arange(size) + 0.5
    mask = np.zeros((size, size), bool)
    for left, top, right, bottom in boxes:
        mask |= ((top <= middles) & (middles < bottom))[:, None] & ((left <= middles) & (middles < right))
    return mask
