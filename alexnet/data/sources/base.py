"""What every source of pictures has in common: its items, its splits, and the checks that all share."""

import hashlib
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import overload

import numpy as np

from alexnet.errors import UsageError, UserError
from alexnet.images.decode import Decoded, Undecodable
from alexnet.text import counted, first_few, printable

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
    upright: bool = field(default=False, kw_only=True)
    """Whether to turn pictures as their EXIF data say: people's own photographs, but not those of research sets."""

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


LEAST_TO_SPLIT = 5
"""Pictures that a class must have before some are set apart without being asked for."""


def split(
    source: Source, holdout: float, seed: int, where: str, known: Mapping[str, str] = MappingProxyType({})
) -> Source:
    """The source with the share ``holdout`` of its training pictures as split "val"; see ``_held_out``.

    ``known``: key → split of pictures that stay in it if the source has others too.
    Raises UsageError for a share out of range or a source with a split "val", UserError if a class has one picture.
    """
    if not 0 < holdout < 1:
        raise UsageError(f"--holdout {holdout}: must be between 0 and 1, for example 0.1")
    if "val" in source.splits:
        raise UsageError(f"--holdout: {where} has a validation split of its own; leave the option out")
    alone = np.flatnonzero(_counts(source, source.splits["train"].labels) == 1)
    if alone.size and not source.groups:
        name = source.class_ids[alone[0]]
        raise UserError(f"{where}: class '{name}' has one picture; --holdout needs at least two in each class")
    grown = any(key not in known for key in source.splits["train"].keys)
    chosen = _held_out(source, holdout, seed, known=known if grown else {})
    if not chosen.any():
        raise UserError(f"{where}: no whole group of pictures can be held out and leave every class some to train on")
    return _divided(source, chosen)


def split_unless_there(
    source: Source, seed: int, where: str, known: Mapping[str, str] = MappingProxyType({})
) -> Source:
    """The source as it is if it has a split "val", otherwise with a tenth of each class as "val", and a note on it.

    Classes of fewer than LEAST_TO_SPLIT pictures give none. ``known``: key → split of pictures that stay in it.
    """
    if "val" in source.splits or "train" not in source.splits:
        return source
    chosen = _held_out(source, 0.1, seed, LEAST_TO_SPLIT, known)
    given = _counts(source, source.splits["train"].labels[chosen])
    without = [name for name, count in zip(source.class_ids, given, strict=True) if count == 0]
    words = f"{where}: has no validation split, so {int(chosen.sum()):,} of {len(chosen):,} pictures, a tenth of each "
    words += 'class (at least one), become "val"; --holdout 0 leaves all of them for training'
    if without:
        words += f". No pictures of {listed(without)}: fewer than {LEAST_TO_SPLIT}, or in groups that cannot be parted"
    return replace(_divided(source, chosen) if chosen.any() else source, notes=(*source.notes, words))


def _divided(source: Source, chosen: np.ndarray) -> Source:
    train = source.splits["train"]
    splits = {"train": train.take(np.flatnonzero(~chosen)), "val": train.take(np.flatnonzero(chosen))}
    return replace(source, splits=splits | {name: kept for name, kept in source.splits.items() if name != "train"})


def _rank(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{key}".encode("utf-8", "surrogatepass")).digest()


def _counts(source: Source, labels: np.ndarray) -> np.ndarray:
    """Items of each class, int64 (K,)."""
    return np.bincount(labels[labels != UNLABELLED], minlength=len(source.class_ids))


def _held_out(
    source: Source, holdout: float, seed: int, least: int = 1, known: Mapping[str, str] = MappingProxyType({})
) -> np.ndarray:
    """Which training items to hold out, bool (N,): in each class of at least ``least`` its share, at least one, never
    all.

    Which ones is a function of (seed, key) alone: the groups of a class (by default each item is one) are put in the
    order of SHA-256 of both, and whole groups are taken from the first on. Groups of items that are ``known`` stay in
    their split.
    """
    train, group_of = source.splits["train"], source.groups or str
    groups: dict[str, list[int]] = {}
    of_class: list[dict[str, None]] = [{} for _ in source.class_ids]
    for index, (key, label) in enumerate(zip(train.keys, train.labels.tolist(), strict=True)):
        if label != UNLABELLED:
            group = group_of(key)
            groups.setdefault(group, []).append(index)
            of_class[label][group] = None
    chosen, total = np.zeros(len(train), bool), _counts(source, train.labels)
    fixed: set[str] = set()
    for group, members in groups.items() if known else ():
        if there := {known[train.keys[index]] for index in members if train.keys[index] in known}:
            fixed.add(group)
            chosen[members] = "val" in there
    left = total - _counts(source, train.labels[chosen])
    for label, names in enumerate(of_class):
        wanted = min(max(1, int(total[label] * holdout + 0.5)), total[label] - 1) if total[label] >= least else 0
        for group in sorted(names.keys() - fixed, key=lambda group: _rank(seed, group)):
            if total[label] - left[label] >= wanted:
                break
            taken = _counts(source, train.labels[groups[group]])
            if not chosen[groups[group][0]] and np.all(left - taken > 0):
                left -= taken
                chosen[groups[group]] = True
    return chosen


def grouped(source: Source, pattern: str, where: str) -> Source:
    """The source with items in groups that no split parts: those whose keys agree in what the regular expression
    ``pattern`` finds (in its first parentheses, if it has some). A note says if the source's own splits part some.

    Raises UsageError for a pattern that is no regular expression, UserError if it fits no key.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--group {pattern}: not a regular expression ({error})") from None

    def group_of(key: str) -> str:
        found = expression.search(key)
        return key if found is None else (found[1] if expression.groups else found[0]) or key

    keys = {name: split.keys for name, split in source.splits.items()}
    if not any(map(expression.search, chain(*keys.values()))):
        raise UserError(f"{where}: --group {pattern} fits no picture, such as {next(chain(*keys.values()))}")
    return with_groups(source, group_of, where)


def with_groups(source: Source, group_of: Callable[[str], str], where: str) -> Source:
    """The source with these groups, and a note if its own splits part some."""
    splits: dict[str, set[str]] = {}
    for name, split in source.splits.items():
        for group in map(group_of, split.keys):
            splits.setdefault(group, set()).add(name)
    parted = [group for group, names in splits.items() if len(names) > 1]
    words = f"{where}: {counted(len(parted), 'group')} with pictures in two of the source's own splits: "
    notes = (f"{words}{listed(parted)}",) if parted else ()
    return replace(source, groups=group_of, notes=(*source.notes, *notes))
