"""One folder per class, with train/ and val/ (and test/) above them, or one tree to be split."""

import os
import unicodedata
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from alexnet.data.sources.base import (
    FileReader,
    Reader,
    Source,
    SourceSplit,
    check,
    distinct,
    in_order,
    key_of,
    listed,
    printable,
)
from alexnet.data.sources.class_text import MOST_BYTES, WNID, entries_in
from alexnet.data.sources.found import Folder, read_tree
from alexnet.data.sources.layouts import refuse_other_layouts, split_names, unwrapped
from alexnet.data.sources.zipped import ZipReader, read_zip
from alexnet.errors import UserError
from alexnet.files.atomic import read_bounded
from alexnet.text import counted

Names = tuple[str, ...]
WORDS_FILES = ("synset_words.txt", "words.txt", "LOC_synset_mapping.txt")


def open_folder(root: Path, own: Collection[Path] = ()) -> Source:
    """A folder per class. Class names are folder names, or those of a ``synset_words.txt`` next to the folders.

    ``own``: outputs of the running command, which may be in ``root`` and do not belong to the source. Raises
    ``UserError`` for a layout whose folders are not classes; the message names the layout and the folder to pass.
    """
    listing = Listing(root)
    return _of_tree(read_tree(root, "", listing.ignored, own), listing, partial(FileReader, root))


def open_zip(path: Path) -> Source:
    """A zip archive of what `open_folder` takes; the folders around it do not matter. Raises as that does."""
    listing = Listing(path, packed=True)
    tree, archive, above = read_zip(path, listing.ignored)
    return _of_tree(tree, listing, lambda names: ZipReader(archive, [above + name for name in names]))


def _of_tree(tree: Folder, listing: "Listing", reader: Callable[[list[str]], Reader]) -> Source:
    root = listing.root
    folders = find_splits(tree, listing) or {"train": tree}
    train = folders["train"]
    listing.notes += refuse_other_layouts(train, root)
    for folder in folders.values():
        listing.loose(folder)
    class_ids = tuple(in_order(train.folders))
    splits = {"train": of_classes(root, [train.folders[class_id] for class_id in class_ids], reader)}
    for name, folder in folders.items():
        if name != "train" and (found := match_classes(name, folder, train, listing)):
            splits[name] = of_classes(root, [found.get(same_name(class_id)) for class_id in class_ids], reader)
    source = listing.source("folder", class_ids, "sorted folder name", splits)
    return replace(source, upright=not all(map(WNID.fullmatch, class_ids)))  # wnids: ImageNet's pictures


@dataclass
class Listing:
    """What is found in the folder of a source besides items: ``ignored`` for the report, ``notes`` for the screen.
    ``packed``: it is an archive."""

    root: Path
    ignored: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    packed: bool = False

    def classes(self, folder: str) -> dict[str, Folder]:
        """Class → its folder in ``root/folder``, sorted. Pictures outside of them are ignored."""
        tree = read_tree(self.root, folder, self.ignored)
        self.loose(tree)
        return {name: tree.folders[name] for name in in_order(tree.folders)}

    def names(self, folder: str) -> list[str]:
        """What is in ``root/folder`` itself and may be a picture, or is a folder; the rest is ignored."""
        tree = read_tree(self.root, folder, self.ignored)
        return in_order([*tree.folders, *map(os.path.basename, tree.pictures)])

    def skip(self, folder: Folder, reason: str, *, note: bool = True) -> None:
        line = f"{folder.path}/: {reason}"
        self.ignored.append(line)
        if note:
            self.notes.append(f"{self.root}: skipped {line}")

    def loose(self, folder: Folder) -> None:
        """Ignore the pictures outside of the class folders."""
        for name in folder.pictures:
            there = self.packed or (self.root / name).exists()
            self.ignored.append(f"{name}: {'in no class folder' if there else 'a link that leads nowhere'}")

    def source(self, kind: str, ids: Names, order: str, splits: dict[str, SourceSplit], names: Names = ()) -> Source:
        """The source, after ``check``. ``names``: by default from a list of synset words, else the ids."""
        names = names or human_names(self.root, ids)
        found = Source(kind, names, ids, order, splits, tuple(self.ignored), notes=tuple(self.notes))
        return check(found, str(self.root))


def find_splits(tree: Folder, listing: Listing) -> dict[str, Folder]:
    """Split → its folder; empty if the class folders are in the root itself.

    A class may also be called "train": only a folder that holds folders is a split. Everything else in the root is
    then skipped.
    """
    found: dict[str, Folder] = {}
    named = split_names(tree.folders)
    for name, split in named.items():
        if not (folder := unwrapped(tree.folders[name])).folders:
            continue
        if split in found:
            first = found[split].path.partition("/")[0]
            raise UserError(f"{listing.root}: both '{first}' and '{name}' look like its {split} split: keep one")
        found[split] = folder
    if "train" not in found:
        return {}
    used = {folder.path.partition("/")[0] for folder in found.values()}
    others = [name for name, folder in tree.folders.items() if folder.folders and folder.holds_pictures()]
    if len(named) == 1 and len(others) > 2:
        name = next(iter(named))
        raise UserError(
            f"{listing.root}: '{name}' may be a split or a class like {listed(in_order({*others} - {name}), 3)}. If it "
            f"is the training split, pass {listing.root / name}; if it is a class, rename it"
        )
    for name, folder in tree.folders.items():
        if name not in used:
            count = sum(1 for _ in folder.below())
            pictures = counted(count, "picture")
            reason = f"not one of train, val, test ({pictures})"
            if name in named:
                reason = f"{pictures} in no class folder, so without labels" if count else "holds no pictures"
                reason += "; --holdout takes a validation split from the others" if named[name] == "val" else ""
            listing.skip(folder, reason, note=bool(count) or name in named)
    listing.loose(tree)
    return {split: found[split] for split in ("train", "val", "test") if split in found}


def match_classes(split: str, folder: Folder, train: Folder, listing: Listing) -> dict[str, Folder]:
    """Class, by ``same_name`` → its folder in another split than train; empty if it has no labels, and is skipped.

    Raises ``UserError`` if it has other classes than the training split, or if "val" lacks some.
    """
    classes = {same_name(name): name for name in train.folders}
    names = [name for name, inner in folder.folders.items() if split != "test" or inner.holds_pictures()]
    there = {same_name(name): name for name in names}
    if len(there) < len(names):
        twice = in_order({*names} - {*there.values()})
        raise UserError(
            f"{listing.root / folder.path}: has a second folder of the same class: {listed(twice)}: keep one"
        )
    if split == "test" and not there.keys() & classes:
        listing.skip(folder, "no folder of it is named after a class, so it has no labels")
        return {}
    strange = in_order(there[name] for name in there.keys() - classes)
    missing = in_order(classes[name] for name in classes.keys() - there)
    if strange:
        where = f"{listing.root}: {folder.path}/"
        raise UserError(f"{where} has classes that {train.path}/ has not: {listed(strange)}. Remove or rename them")
    if missing and split == "val":
        raise UserError(f"{listing.root}: {folder.path}/ lacks classes of the training split: {listed(missing)}")
    if missing:
        some = f"{len(missing):,} of the {len(classes):,} classes"
        listing.notes.append(f"{listing.root}: {folder.path}/ has no pictures of {some}: {listed(missing)}")
    return {name: folder.folders[there[name]] for name in there}


def same_name(name: str) -> str:
    """Equal for the spellings of a name that are one name on some file systems: Unicode's forms, case."""
    return unicodedata.normalize("NFC", name).casefold()


def of_classes(
    root: Path, folders: Iterable[Folder | None], reader: Callable[[list[str]], Reader] | None = None
) -> SourceSplit:
    """The pictures in these folders, one for each class, in the order of their paths; None: no pictures of it.
    ``reader``: makes what reads these paths; by default `FileReader`."""
    names: list[str] = []
    counts: list[int] = []
    for folder in folders:
        of_class = in_order(folder.below()) if folder else []
        if folder and not of_class:
            raise UserError(f"{root / folder.path}: an empty class folder: add pictures or remove it")
        names += of_class
        counts.append(len(of_class))
    return of_files(root, names, np.repeat(np.arange(len(counts)), counts), reader)


def of_files(
    root: Path, names: list[str], labels: np.ndarray, reader: Callable[[list[str]], Reader] | None = None
) -> SourceSplit:
    """These files (paths below ``root``); their keys are their paths, see ``key_of``."""
    return SourceSplit(
        [key_of(name) for name in names], labels.astype(np.int64), (reader or partial(FileReader, root))(names)
    )


def human_names(root: Path, class_ids: tuple[str, ...]) -> tuple[str, ...]:
    """What people call the classes: from a list of synset words in ``root``, else the ids themselves."""
    words = next((words for name in WORDS_FILES if (words := read_words(root / name, class_ids))), {})
    return distinct([words.get(class_id, class_id) for class_id in class_ids], class_ids)


def read_words(path: Path, class_ids: Collection[str]) -> dict[str, str]:
    """Class id → name of those ids that a list of classes knows; empty if there is no such file."""
    entries = entries_in(read_bounded(path, MOST_BYTES), str(path), class_ids) if path.is_file() else []
    words: dict[str, str] = {}
    for number, ident, name in entries:
        ident = ident or str(number)
        if words.setdefault(ident, name) != name and ident in class_ids:
            raise UserError(f"{path}: {printable(ident)} has two names in it. Keep one, or remove the file")
    return {ident: name for ident, name in words.items() if ident in class_ids}
