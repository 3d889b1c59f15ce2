"""What every source of pictures has in common: its items, its splits, and the checks that all share."""

import hashlib
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import overload

import numpy as np

from alexnet.errors import UsageError, UserError
from alexnet.images.decode import Decoded, Undecodable
from alexnet.text import first_few, printable

Reader = Callable[[int], "bytes | np.ndarray | Decoded"]
"""Position in a source → the bytes of the picture's file, or its pixels (H, W, 3) uint8 RGB, perhaps with notes.
Thread-safe."""


UNLABELLED = -1
"""The label of an item that can only be refused, such as a broken annotation; it stays in the training split."""

MOST_FILE_BYTES = 1 << 28
"""No picture's file is larger than 256 MB; what says so is no picture, or hostile."""


@dataclass(frozen=True, slots=True)
class Item:
    """One labelled picture. ``key`` is unique within its split (see ``key_of``); ``label`` counts from 0."""

    key: str
    label: int
    position: int
    reader: Reader

    def read(self) -> "bytes | np.ndarray | Decoded":
        """The bytes of the file, or pixels (H, W, 3) uint8 RGB, perhaps with notes. Raises ``Undecodable`` for a file
        that can't be read."""
        return self.reader(self.position)

    @property
    def size(self) -> int | None:
        """Bytes of the file, as the file system or the archive has it, without opening it; None where that is not
        known (pixels in an array) or the file is not there."""
        size_of = getattr(self.reader, "size_of", None)
        return None if size_of is None else size_of(self.position)


@dataclass(frozen=True, eq=False)
class SourceSplit(Sequence[Item]):
    """The items of "train", "val" or "test", made one at a time: a million of them are two lists and an array."""

    keys: Sequence[str]
    labels: np.ndarray
    """int64 (N,)"""
    reader: Reader
    positions: np.ndarray | None = None
    """int64 (N,): which position of the reader holds item i; i itself where absent."""

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> "SourceSplit": ...
    def __getitem__(self, index: int | slice) -> "Item | SourceSplit":
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        index = range(len(self))[index]
        position = index if self.positions is None else int(self.positions[index])
        return Item(self.keys[index], int(self.labels[index]), position, self.reader)

    def take(self, indices: np.ndarray) -> "SourceSplit":
        """The split that holds these items, in this order."""
        positions = indices if self.positions is None else self.positions[indices]
        return SourceSplit([self.keys[int(i)] for i in indices], self.labels[indices], self.reader, positions)


@dataclass(frozen=True)
class Source:
    """Labelled pictures, wherever they are stored.

    ``class_names`` are for people, ``class_ids`` for machines (wnid or folder name); a label is an index into both.
    ``class_order`` says what put the classes in this order. ``ignored`` names what is in the source and is no
    item of it, each with its reason. ``notes`` are lines for the screen: what was found that the user should know.
    """

    kind: str
    class_names: tuple[str, ...]
    class_ids: tuple[str, ...]
    class_order: str
    splits: Mapping[str, SourceSplit]
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    groups: Callable[[str], str] | None = field(default=None, compare=False)
    """Key → what must not be torn apart by a split (the picture that objects are cut from); None: the key."""

    @property
    def count(self) -> int:
        """Items in all splits."""
        return sum(map(len, self.splits.values()))


class FileReader:
    """Reads files below one folder."""

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self.root, self.names = root, names
        self.broken_links: set[int] = set()

    def size_of(self, position: int) -> int | None:
        """Bytes of the file; None if it is not there."""
        path = f"{self.root}/{self.names[position]}"
        try:
            return os.stat(path).st_size
        except OSError:  # reading it will say so, with its name in the report
            if os.path.islink(path):
                self.broken_links.add(position)
            return None

    def __call__(self, position: int) -> bytes:
        name = self.names[position]
        if position in self.broken_links:  # since the source was listed: no fault of the machine, so the pass continues
            raise Undecodable("a link to a file that is not there", printable(name))
        return read_picture(f"{self.root}/{name}", name, MOST_FILE_BYTES)


def read_picture(path: str, name: str, limit_bytes: int) -> bytes:
    """The bytes of a picture's file, which messages call ``name``. Raises ``Undecodable`` if the file cannot be read or
    is larger than the limit."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):  # reading one may never end
                raise Undecodable("a device, where a picture's file is expected", printable(name))
            size = status.st_size
            data = file.read(limit_bytes + 1) if size <= limit_bytes else b""  # a pipe has no size
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise Undecodable(getattr(error, "strerror", None) or str(error), printable(name)) from error
    if max(size, len(data)) > limit_bytes:
        raise Undecodable(f"over {limit_bytes >> 20} MB, more than any picture", printable(name))
    return data


UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def key_of(path: str) -> str:
    """The path of a file as the key of its picture: itself, escaped only where it holds control characters, line
    breaks or broken UTF-8. Use ``printable`` to show it on a screen."""
    return printable(path) if UNSAFE.search(path) else path


def in_order(names: Iterable[str]) -> list[str]:
    """Sorted by the bytes of their UTF-8: the same on every machine and in every locale."""
    return sorted(names, key=lambda name: name.encode("utf-8", "surrogatepass"))


def distinct(names: Sequence[str], ids: Sequence[str]) -> tuple[str, ...]:
    """Class names, with their ids where two classes share a name (ImageNet has two cranes)."""
    count = Counter(names)
    return tuple(f"{name} ({ident})" if count[name] > 1 else name for name, ident in zip(names, ids, strict=True))


def check(source: Source, where: str) -> Source:
    """The source itself, or a ``UserError`` that names what would spoil a training: see each message."""
    _check_class_names(source.class_ids, where)
    for name, split in source.splits.items():
        if len(split) == 0:
            raise UserError(f"{where}: no pictures in its split '{name}'")
        if len(set(split.keys)) != len(split):
            twice = [key for key, count in Counter(split.keys).items() if count > 1]
            raise UserError(f"{where}: two items of its split '{name}' have the same key: {listed(twice)}")
        counts = np.bincount(split.labels[split.labels != UNLABELLED], minlength=len(source.class_ids))
        empty = [source.class_ids[label] for label in np.flatnonzero(counts == 0)]
        if empty and name == "train":
            raise UserError(f"{where}: no pictures for {listed(empty)}: add pictures or remove the class")
    return source


def _check_class_names(class_ids: Sequence[str], where: str) -> None:
    if not class_ids:
        raise UserError(f"{where}: no classes found; put the pictures into one folder per class")
    if len(class_ids) == 1:
        raise UserError(f"{where}: one class only ({class_ids[0]}); at least two are needed to tell them apart")
    seen: dict[str, str] = {}
    for name in class_ids:
        folded = unicodedata.normalize("NFC", name).casefold()
        if folded in seen:
            raise UserError(f"{where}: two classes with the same name, '{seen[folded]}' and '{name}': rename one")
        seen[folded] = name


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first few names, quoted, and how many more there are."""
    return first_few([f"'{printable(name)}'" for name in names], most)


def split(source: Source, holdout: float, seed: int, where: str) -> Source:
    """The source with the share ``holdout`` of its training pictures as split "val".

    Which ones is a function of (seed, key) alone: each class (or, where objects share pictures, the whole set) is
    put in the order of SHA-256 of both, and the first are taken; at least one, never all.
    """
    if not 0 < holdout < 1:
        raise UsageError(f"--holdout {holdout}: must be between 0 and 1, for example 0.1")
    if "val" in source.splits:
        raise UsageError(f"--holdout: {where} has a validation split of its own; leave the option out")
    train = source.splits["train"]
    hold_out = _held_out_groups if source.groups else _held_out
    chosen = hold_out(source, holdout, seed, where)
    splits = {"train": train.take(np.flatnonzero(~chosen)), "val": train.take(np.flatnonzero(chosen))}
    return replace(source, splits=splits | {name: kept for name, kept in source.splits.items() if name != "train"})


def _rank(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{key}".encode("utf-8", "surrogatepass")).digest()


def _held_out(source: Source, holdout: float, seed: int, where: str) -> np.ndarray:
    train = source.splits["train"]
    chosen = np.zeros(len(train), bool)
    by_label = np.argsort(train.labels, kind="stable")
    ends = np.cumsum(np.bincount(train.labels, minlength=len(source.class_ids)))
    for name, members in zip(source.class_ids, np.split(by_label, ends[:-1]), strict=True):
        if len(members) < 2:
            raise UserError(f"{where}: class '{name}' has one picture; --holdout needs at least two in each class")
        ranked = sorted(members, key=lambda index: _rank(seed, train.keys[int(index)]))
        count = min(max(1, int(len(members) * holdout + 0.5)), len(members) - 1)
        chosen[ranked[:count]] = True
    return chosen


def _held_out_groups(source: Source, holdout: float, seed: int, where: str) -> np.ndarray:
    """Whole groups, as long as every class keeps an item to train on."""
    assert source.groups is not None
    train = source.splits["train"]
    groups: dict[str, list[int]] = {}
    labelled = np.flatnonzero(train.labels != UNLABELLED)
    for index in labelled.tolist():
        groups.setdefault(source.groups(train.keys[index]), []).append(index)
    left = np.bincount(train.labels[labelled], minlength=len(source.class_ids))
    wanted = max(1, int(len(groups) * holdout + 0.5))
    chosen = np.zeros(len(train), bool)
    for group in sorted(groups, key=lambda group: _rank(seed, group)):
        taken = np.bincount(train.labels[groups[group]], minlength=len(left))
        if wanted and np.all(left - taken > 0):
            left -= taken
            chosen[groups[group]] = True
            wanted -= 1
    if not chosen.any():
        raise UserError(f"{where}: no whole picture can be held out and leave every class something to train on")
    return chosen
