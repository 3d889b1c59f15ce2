"""Tiny-ImageNet: 200 classes of 64 × 64 pictures, in the layout of Stanford's course CS231n."""

from pathlib import Path

import numpy as np

from alexnet.data.sources.base import Part, Source, check, in_order, listed
from alexnet.data.sources.folder import (
    class_folders,
    entries,
    files_part,
    human_names,
    printable,
    read_class_folders,
    why_no_picture,
)
from alexnet.errors import UserError

ANNOTATIONS = "val/val_annotations.txt"


def is_tiny_imagenet(root: Path) -> bool:
    """Whether ``root`` is laid out as Tiny-ImageNet."""
    return (root / ANNOTATIONS).is_file() and (root / "train").is_dir()


def open_tiny_imagenet(root: Path) -> Source:
    """train/WNID/images/*, val/images/* labelled by val_annotations.txt; test/ has no labels and is left out."""
    ignored: list[str] = []
    class_ids = tuple(class_folders(root, "train", ignored))
    boxes = (f"train/{class_id}/{class_id}_boxes.txt" for class_id in class_ids)
    ignored += [f"{name}: object boxes, not used" for name in boxes if (root / name).exists()]
    if (root / "test").is_dir():
        ignored.append("test/: has no labels")
    train = read_class_folders(root, "train", class_ids, ignored, inner="images")
    parts = {"train": train, "val": _validation(root, class_ids, ignored)}
    names = human_names(root, class_ids)
    return check(Source("tiny-imagenet", names, class_ids, "sorted synset", parts, tuple(ignored)), str(root))


def _validation(root: Path, class_ids: tuple[str, ...], ignored: list[str]) -> Part:
    labels = _annotations(root / ANNOTATIONS, class_ids)
    found: list[str] = []
    for entry in entries(root / "val" / "images"):
        reason = why_no_picture(entry)
        if reason:
            ignored.append(f"val/images/{printable(entry.name)}: {reason}")
        else:
            found.append(entry.name)
    if strange := in_order(set(found) - set(labels)):
        raise UserError(f"{root / 'val'}: pictures without a line in val_annotations.txt: {listed(strange)}")
    if missing := in_order(set(labels) - set(found)):
        raise UserError(f"{root / 'val/images'}: lacks pictures named in val_annotations.txt: {listed(missing)}")
    names = in_order(found)
    return files_part(root, [f"val/images/{name}" for name in names], np.array([labels[name] for name in names]))


def _annotations(path: Path, class_ids: tuple[str, ...]) -> dict[str, int]:
    """File name → label, from lines of name, wnid and box, with tabs between."""
    label_of = {class_id: label for label, class_id in enumerate(class_ids)}
    labels: dict[str, int] = {}
    for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), 1):
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
