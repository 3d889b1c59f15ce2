"""ImageNet as Kaggle ships it: ILSVRC/Data/CLS-LOC/{train,val,test}, and LOC_* files instead of a development kit."""

import os
import re
from pathlib import Path

import numpy as np

from alexnet.data.sources.base import Source, SourceSplit, listed, printable
from alexnet.data.sources.class_text import WNID, lines_of
from alexnet.data.sources.folder import Listing, human_names, of_classes, of_files
from alexnet.data.sources.found import has_entry
from alexnet.data.sources.ilsvrc import NUMBERED, check_classes, has_kit, sorted_validation
from alexnet.errors import UserError
from alexnet.text import counted

INSIDE = ("", "CLS-LOC", "Data/CLS-LOC", "ILSVRC/Data/CLS-LOC")
"""Where train/ and val/ are below the folder given; the lists are there or up to three folders above."""
TRUTHS = ("LOC_val_solution.csv", "imagenet_2012_validation_synset_labels.txt")
"""Wnids of the validation pictures: Kaggle's list, by their names, and TensorFlow's, a line for each in their order."""
WORDS = "LOC_synset_mapping.txt"
LINE = re.compile(r"(?:(?P<name>\S+?)(?:\.JPEG)?[,;\s]\s*)?(?P<wnids>(?:n\d{8}\b[\s\d.+-]*)+)[,;\s]*", re.I)


def kaggle_folder(root: Path) -> Path | None:
    """The folder of train/ and val/ in ``root`` if it is Kaggle's, or if one of the lists labels its flat val/."""
    for data in (root / inside for inside in INSIDE):
        if has_entry(data / "train", WNID):
            named = os.path.abspath(data).endswith("CLS-LOC")
            if named or (_is_flat(data) and not has_kit(data) and _list_of(data, *TRUTHS)):
                return data
    return None


def open_kaggle(data: Path) -> Source:
    """Splits "train", and "val" if there is one: sorted into folders by wnid, or flat and labelled by one of the lists.

    Raises ``UserError`` if there is no list, or if it does not fit the pictures.
    """
    listing = Listing(data)
    train = listing.classes("train")
    if (data / "test").is_dir():
        listing.ignored.append("test/: has no labels")
    class_ids = tuple(train)
    if strange := [class_id for class_id in class_ids if not WNID.fullmatch(class_id)]:
        raise UserError(f"{data / 'train'}: folders that are not named like n01440764: {listed(strange)}")
    splits = {"train": of_classes(data, train.values())}
    if _is_flat(data):
        splits["val"] = _labelled(listing, class_ids)
    elif (data / "val").is_dir():
        splits["val"] = sorted_validation(listing, "val", class_ids)
    words = _list_of(data, WORDS)
    names = human_names(words.parent if words else data, class_ids)
    return listing.source("ilsvrc-2012", class_ids, "sorted synset", splits, names)


def _is_flat(data: Path) -> bool:
    return has_entry(data / "val", NUMBERED)


def _list_of(data: Path, *names: str) -> Path | None:
    """The first of these files in the folder or in those above it."""
    here = Path(os.path.abspath(data))
    places = (folder / name for folder in (here, *here.parents[: len(INSIDE) - 1]) for name in names)
    return next((place for place in places if place.is_file()), None)


def _labelled(listing: Listing, class_ids: tuple[str, ...]) -> SourceSplit:
    data = listing.root
    path = _list_of(data, *TRUTHS)
    if path is None:
        raise UserError(
            f"{data / 'val'}: its pictures are in no class folder, and {TRUTHS[0]}, which labels them, is not in "
            f"{data} or a folder above it: put it there, or sort the pictures into folders named after their wnids"
        )
    wnids, label_of = _wnids(path), {class_id: label for label, class_id in enumerate(class_ids)}
    stem_of = {name: os.path.splitext(name)[0] for name in listing.names("val")}
    if lacking := [name for name, stem in stem_of.items() if stem not in wnids]:
        raise UserError(
            f"{path}: has no line for {counted(len(lacking), 'picture')} of {data / 'val'}: {listed(lacking)}"
        )
    if absent := len(wnids) - len(stem_of):
        listing.notes.append(f"{data / 'val'}: does not have {counted(absent, 'picture')} that {path.name} names")
    check_classes((wnids[stem] for stem in stem_of.values()), class_ids, data / "val", "train/")
    labels = np.array([label_of[wnids[stem]] for stem in stem_of.values()])
    return of_files(data, [f"val/{name}" for name in stem_of], labels)


def _wnids(path: Path) -> dict[str, str]:
    """Picture, without its suffix → wnid. Boxes in Kaggle's list, and a first line without a wnid, are passed over."""
    found: dict[str, str] = {}
    lines = [line.replace('"', "").strip() for line in lines_of(path)]
    for number, line in enumerate(lines, 1):
        match = LINE.fullmatch(line)
        wnids = set(re.findall(WNID, match["wnids"].lower())) if match else set[str]()
        name = match and (match["name"] or f"ILSVRC2012_val_{len(found) + 1:08d}")
        if name and len(wnids) == 1 and name not in found:
            found[name] = wnids.pop()
        elif line and number > 1:
            what = "names a picture twice" if name in found else "does not name a picture and one class"
            raise UserError(f"{path}, line {number}: '{printable(line)[:40]}' {what}: download it again")
    return found
