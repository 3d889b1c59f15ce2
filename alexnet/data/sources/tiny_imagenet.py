"""Tiny-ImageNet: 200 classes of 64 × 64 pictures, in the layout of Stanford's course CS231n."""

import os
from collections import Counter
from pathlib import Path

import numpy as np

from alexnet.data.sources.base import Source, SourceSplit, in_order, listed
from alexnet.data.sources.class_text import lines_of
from alexnet.data.sources.folder import Listing, of_classes, of_files
from alexnet.data.sources.found import read_tree
from alexnet.data.sources.ilsvrc import sorted_validation
from alexnet.errors import UserError

ANNOTATIONS = "val/val_annotations.txt"
CLASSES = "wnids.txt"


def is_tiny_imagenet(root: Path) -> bool:
    """Whether ``root`` is laid out as Tiny-ImageNet, its validation pictures perhaps sorted into class folders."""
    listed = (root / ANNOTATIONS).is_file() or ((root / CLASSES).is_file() and (root / "val").is_dir())
    return listed and (root / "train").is_dir()


def open_tiny_imagenet(root: Path) -> Source:
    """train/WNID/images/*, val/images/* labelled by val_annotations.txt, or val/WNID/*, or val/images/WNID/*; test/ has
    no labels and is left out."""
    listing = Listing(root)
    train = listing.classes("train")
    if (root / "test").is_dir():
        listing.ignored.append("test/: has no labels")
    class_ids = tuple(train)
    splits = {"train": of_classes(root, train.values()), "val": _validation(listing, class_ids)}
    return listing.source("tiny-imagenet", class_ids, "sorted synset", splits)


def _validation(listing: Listing, class_ids: tuple[str, ...]) -> SourceSplit:
    root = listing.root
    labels = _annotations(root / ANNOTATIONS, class_ids) if (root / ANNOTATIONS).is_file() else {}
    places = [name for name in ("val/images", "val") if (root / name).is_dir()]
    trees = [read_tree(root, name, []) for name in places]
    folders = [tree.path for tree in trees if tree.folders.keys() & set(class_ids)]
    if folders and not trees[0].pictures:
        return _sorted(listing, folders, class_ids, labels)
    listing.ignored += [f"{folder}/: class folders next to pictures of {places[0]}/, not used" for folder in folders]
    names = in_order(map(os.path.basename, read_tree(root, places[0], listing.ignored).pictures))
    if strange := in_order(set(names) - set(labels)):
        raise UserError(f"{root / 'val'}: pictures without a line in val_annotations.txt: {listed(strange)}")
    if missing := in_order(set(labels) - set(names)):
        raise UserError(f"{root / places[0]}: lacks pictures named in val_annotations.txt: {listed(missing)}")
    return of_files(root, [f"{places[0]}/{name}" for name in names], np.array([labels[name] for name in names]))


def _sorted(listing: Listing, folders: list[str], class_ids: tuple[str, ...], labels: dict[str, int]) -> SourceSplit:
    """Pictures sorted by hand, in the folders of one of these. UserError if one is in another than its annotation's."""
    if len(folders) > 1:
        raise UserError(f"{listing.root / 'val'}: class folders in it and in its images/: keep one of them")
    split = sorted_validation(listing, folders[0], class_ids)
    names = [key.rpartition("/")[2] for key in split.keys]
    count = Counter(names)
    for name, key, label in zip(names, split.keys, split.labels.tolist(), strict=True):
        if count[name] == 1 and labels.get(name, label) != label:
            raise UserError(f"{listing.root / key}: val_annotations.txt says {class_ids[labels[name]]}: sort it again")
    return split


def _annotations(path: Path, class_ids: tuple[str, ...]) -> dict[str, int]:
    """File name → label, from lines of name, wnid and box, with tabs between."""
    label_of = {class_id: label for label, class_id in enumerate(class_ids)}
    labels: dict[str, int] = {}
    for number, line in enumerate(lines_of(path), 1):
        if not line.strip():
            continue
        name, _, rest = line.partition("\t")
        wnid = rest.split("\t")[0].strip()
        if wnid not in label_of:
            raise UserError(f"{path}, line {number}: '{wnid[:40]}' is no class folder of train/")
        if name in labels:
            raise UserError(f"{path}, line {number}: '{name}' is labelled twice")
        labels[name] = label_of[wnid]
    return labels
