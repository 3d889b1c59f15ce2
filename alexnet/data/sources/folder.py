"""One folder per class, with train/ and val/ (and test/) above them, or one tree to be split."""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from alexnet.data.class_text import MOST_BYTES, entries_in
from alexnet.data.sources.base import FileReader, Part, Source, check, distinct, in_order, listed, printable
from alexnet.errors import UserError
from alexnet.files import read_bounded

PART_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
# Files of these kinds lie beside pictures and are none. Everything else counts as a picture until it is decoded.
NOT_PICTURES = frozenset(
    (".txt", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".md", ".rst", ".html", ".htm", ".log")
)
DATA = frozenset((".mat", ".npy", ".npz", ".pkl", ".db", ".ini", ".py", ".sh", ".zip", ".tar", ".gz"))
CLUTTER = frozenset(("thumbs.db", "desktop.ini", "__macosx", "lost+found"))
WORDS_FILES = ("synset_words.txt", "words.txt", "LOC_synset_mapping.txt")


def open_folder(root: Path) -> Source:
    """A folder per class. Class names are folder names, or those of a ``synset_words.txt`` beside the folders."""
    ignored: list[str] = []
    part_folders = find_parts(root)
    if part_folders:
        top = set(visible_folders(root, "", ignored)) - set(part_folders.values())
        ignored += [f"{printable(name)}/: not one of train, val, test" for name in in_order(top)]
        loose = [entry.name for entry in entries(root) if not hidden(entry.name) and not entry.is_dir()]
        ignored += [f"{printable(name)}: lies in no class folder" for name in loose]
    classes_of = {
        part: class_folders(root, folder, ignored) for part, folder in (part_folders or {"train": ""}).items()
    }
    if part_folders:
        check_same_classes(classes_of, part_folders, root, ignored)
    class_ids = tuple(classes_of["train"])
    parts = {part: read_class_folders(root, part_folders.get(part, ""), class_ids, ignored) for part in classes_of}
    names = human_names(root, class_ids)
    return check(Source("folder", names, class_ids, "sorted folder name", parts, tuple(ignored)), str(root))


def find_parts(root: Path) -> dict[str, str]:
    """Part → the name of its folder; empty if the class folders lie in ``root`` itself.

    A class may be called "train" as well: only a folder that holds folders is a part.
    """
    found: dict[str, str] = {}
    for name in visible_folders(root, "", []):
        part = PART_NAMES.get(name.lower())
        if part and visible_folders(root, name, []):
            if part in found:
                raise UserError(f"{root}: both '{found[part]}' and '{name}' look like its part '{part}': keep one")
            found[part] = name
    return {part: found[part] for part in ("train", "val", "test") if part in found} if "train" in found else {}


def class_folders(root: Path, folder: str, ignored: list[str]) -> list[str]:
    """The class folders in one part, in order. Loose files beside them are put on the list of ignored ones."""
    names = visible_folders(root, folder, ignored)
    for entry in entries(root / folder):
        if not hidden(entry.name) and entry.name not in names:
            ignored.append(f"{printable(os.path.join(folder, entry.name))}: lies in no class folder")
    return in_order(names)


def check_same_classes(
    classes_of: dict[str, list[str]], part_folders: dict[str, str], root: Path, ignored: list[str]
) -> None:
    """Every part must have the classes of the training part; a "test" without any of them is left out, and said."""
    train = set(classes_of["train"])
    for part in [part for part in classes_of if part != "train"]:
        there, folder = set(classes_of[part]), part_folders[part]
        if part == "test" and not there & train:
            ignored.append(f"{folder}/: no folder of it is named after a class, so it has no labels")
            del classes_of[part]
            continue
        strange, missing = in_order(there - train), in_order(train - there)
        if strange:
            where = part_folders["train"]
            raise UserError(f"{root}: {folder}/ has classes that {where}/ has not: {listed(strange)}")
        if missing and part == "val":
            raise UserError(f"{root}: {folder}/ lacks classes of the training part: {listed(missing)}")


def read_class_folders(
    root: Path, folder: str, class_ids: tuple[str, ...], ignored: list[str], inner: str = ""
) -> Part:
    """All pictures below ``root/folder/CLASS/inner``, class by class, each in the order of its names."""
    names: list[str] = []
    counts: list[int] = []
    for class_id in class_ids:
        path = os.path.join(folder, class_id, inner) if inner else os.path.join(folder, class_id)
        of_class = in_order(pictures_below(root, path, ignored))
        if not of_class and (root / folder / class_id).is_dir():
            raise UserError(f"{root / path}: an empty class folder: add pictures or remove it")
        names += of_class
        counts.append(len(of_class))
    return files_part(root, names, np.repeat(np.arange(len(class_ids)), counts))


def files_part(root: Path, names: list[str], labels: np.ndarray) -> Part:
    """The part that these files (paths below ``root``) make; keys are their printable paths."""
    return Part([printable(name) for name in names], labels.astype(np.int64), FileReader(root, names))


def pictures_below(
    root: Path, folder: str, ignored: list[str], above: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[str]:
    """Paths below ``root`` of all files in ``folder`` that may be pictures, links followed but never in a circle."""
    status = os.stat(root / folder)
    here = (status.st_dev, status.st_ino)
    if here in above:
        ignored.append(f"{printable(folder)}/: a link back to a folder above it")
        return
    for entry in entries(root / folder):
        path = f"{folder}/{entry.name}" if folder else entry.name
        reason = why_no_picture(entry)
        if reason:
            ignored.append(f"{printable(path)}: {reason}")
        elif entry.is_dir():
            yield from pictures_below(root, path, ignored, above | {here})
        else:
            yield path


def why_no_picture(entry: "os.DirEntry[str]") -> str:
    """Why a file is no item of the source, by its name and nature alone; empty if it may be a picture."""
    if hidden(entry.name):
        return "hidden"
    if entry.is_dir():
        return ""
    if os.path.splitext(entry.name)[1].lower() in NOT_PICTURES | DATA:
        return "not a picture by its suffix"
    try:
        regular = stat.S_ISREG(entry.stat().st_mode)
    except OSError:  # a broken link: reading it will say so, with its name in the report
        return ""
    return "" if regular else "neither a file nor a folder"


def visible_folders(root: Path, folder: str, ignored: list[str]) -> list[str]:
    """Names of the folders in ``root/folder``, hidden ones put on the list of ignored."""
    names = []
    for entry in entries(root / folder):
        if hidden(entry.name):
            ignored.append(f"{printable(os.path.join(folder, entry.name))}: hidden")
        elif entry.is_dir():
            names.append(entry.name)
    return names


def hidden(name: str) -> bool:
    """Whether a name is one that file managers leave about (.DS_Store, ._x.jpg, Thumbs.db) or a hidden one."""
    return name.startswith(".") or name.lower() in CLUTTER


def entries(folder: Path) -> list["os.DirEntry[str]"]:
    """What lies in a folder, in the order of names. ``UserError`` if it cannot be read."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror}") from None


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
