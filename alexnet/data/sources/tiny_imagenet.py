"""Tiny-ImageNet: 200 classes of 64 × 64 pictures, in the layout of Stanford's course CS231n."""

import os
from collections import Counter
from pathlib import Path

import numpy as np

from alexnet.data.sources.base import Source, SourceSplit, check, in_order, listed
from alexnet.data.sources.class_text import lines_of
from alexnet.data.sources.folder import class_part, class_tree, files_part, human_names
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
    ignored: list[str] = []
    tree = class_tree(root, "train", ignored)
    class_ids = tuple(in_order(tree.folders))
    if (root / "test").is_dir():
        ignored.append("test/: has no labels")
    train = class_part(root, [tree.folders[class_id] for class_id in class_ids])
    parts = {"train": train, "val": _validation(root, class_ids, ignored)}
    names = human_names(root, class_ids)
    return check(Source("tiny-imagenet", names, class_ids, "sorted synset", parts, tuple(ignored)), str(root))


def _validation(root: Path, class_ids: tuple[str, ...], ignored: list[str]) -> SourceSplit:
    labels = _annotations(root / ANNOTATIONS, class_ids) if (root / ANNOTATIONS).is_file() else {}
    places = [name for name in ("val/images", "val") if (root / name).is_dir()]
    trees = [read_tree(root, name, []) for name in places]
    folders = [tree.path for tree in trees if tree.folders.keys() & set(class_ids)]
    if folders and not trees[0].pictures:
        return _sorted(root, folders, class_ids, labels, ignored)
    ignored += [f"{folder}/: class folders beside the pictures of {places[0]}/, not used" for folder in folders]
    names = in_order(map(os.path.basename, read_tree(root, places[0], ignored).pictures))
    if strange := in_order(set(names) - set(labels)):
        raise UserError(f"{root / 'val'}: pictures without a line in val_annotations.txt: {listed(strange)}")
    if missing := in_order(set(labels) - set(names)):
        raise UserError(f"{root / places[0]}: lacks pictures named in val_annotations.txt: {listed(missing)}")
    return files_part(root, [f"{places[0]}/{name}" for name in names], np.array([labels[name] for name in names]))


def _sorted(
    root: Path, folders: list[str], class_ids: tuple[str, ...], labels: dict[str, int], ignored: list[str]
) -> SourceSplit:
    """Pictures sorted by hand, in the folders of one of these. UserError if one is in another than its annotation's."""
    if len(folders) > 1:
        raise UserError(f"{root / 'val'}: class folders lie in it and in its images/: keep one of them")
    part = sorted_validation(root, folders[0], class_ids, ignored)
    names = [key.rpartition("/")[2] for key in part.keys]
    count = Counter(names)
    for name, key, label in zip(names, part.keys, part.labels.tolist(), strict=True):
        if count[name] == 1 and labels.get(name, label) != label:
            raise UserError(f"{root / key}: val_annotations.txt says {class_ids[labels[name]]}: sort it again")
    return part


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
