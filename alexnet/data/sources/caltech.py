"""Caltech-101 and Caltech-256: one folder per category, and one of clutter."""

from pathlib import Path

from alexnet.data.sources.base import Source, check, in_order
from alexnet.data.sources.folder import class_part, class_tree

CLUTTER = {"caltech-101": "BACKGROUND_Google", "caltech-256": "257.clutter"}
PICTURES = ("101_ObjectCategories", "256_ObjectCategories")


def caltech_folder(root: Path) -> Path | None:
    """Where the category folders of a Caltech set in ``root`` lie, or None if it is none."""
    for folder in (root, *(root / name for name in PICTURES)):
        if _kind(folder):
            return folder
    return None


def _kind(folder: Path) -> str:
    return next((kind for kind, clutter in CLUTTER.items() if (folder / clutter).is_dir()), "")


def open_caltech(root: Path, *, background: bool = False) -> Source:
    """The categories in ``root``, unsplit. The folder of clutter is a category only with ``background``.

    Clutter is what detectors are tried against: no category to recognise. ([Z] counts 9,144 and 30,607 pictures,
    which includes it.) Class names are folder names, without Caltech-256's numbers.
    """
    kind = _kind(root)
    ignored: list[str] = []
    tree = class_tree(root, "", ignored)
    class_ids = tuple(in_order(tree.folders))
    if not background:
        class_ids = tuple(class_id for class_id in class_ids if class_id != CLUTTER[kind])
        ignored.append(f"{CLUTTER[kind]}/: clutter, which is no category")
    names = tuple(
        class_id.split(".", 1)[1] if kind == "caltech-256" and "." in class_id else class_id for class_id in class_ids
    )
    train = class_part(root, [tree.folders[class_id] for class_id in class_ids])
    return check(Source(kind, names, class_ids, "sorted folder name", {"train": train}, tuple(ignored)), str(root))
