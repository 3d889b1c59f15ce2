"""Caltech-101 and Caltech-256: one folder per category, and one of clutter."""

from pathlib import Path

from alexnet.data.sources.base import Source
from alexnet.data.sources.folder import Listing, of_classes

CLUTTER = {"caltech-101": "BACKGROUND_Google", "caltech-256": "257.clutter"}
PICTURES = ("101_ObjectCategories", "256_ObjectCategories")


def caltech_folder(root: Path) -> Path | None:
    """The folder of the category folders of a Caltech set in ``root``, or None if it is none."""
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
    kind, listing = _kind(root), Listing(root)
    folders = listing.classes("")
    if not background:
        del folders[CLUTTER[kind]]
        listing.ignored.append(f"{CLUTTER[kind]}/: clutter, which is no category")
    names = [name.partition(".")[2] if kind == "caltech-256" and "." in name else name for name in folders]
    splits = {"train": of_classes(root, folders.values())}
    return listing.source(kind, tuple(folders), "sorted folder name", splits, tuple(names))
