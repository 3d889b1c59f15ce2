"""Lists of classes that come with weights, and the order of a network's outputs.

Three orders of the 1,000 classes of ILSVRC are in use: by ILSVRC id (the devkits), by synset (Caffe, torchvision,
Keras, and every store prepared here), and whatever a list says. With the wrong order a network seems to guess.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from alexnet.choices import ClassOrder
from alexnet.data.sources.base import distinct
from alexnet.data.sources.class_text import FORMS, MOST_BYTES, WNID, entries_in
from alexnet.data.sources.ilsvrc import EDITIONS, leaves_of
from alexnet.data.sources.mat import read_mat
from alexnet.errors import UserError
from alexnet.files.atomic import read_bounded

SORTED, DEVKIT = "sorted synset", "ILSVRC id"
"""What a run and a store call the two orders."""
ORDERS = "--order sorted (by synset: Caffe, torchvision), --order devkit (by ILSVRC id)"


@dataclass(frozen=True)
class ClassList:
    """Classes of a file in its order: ids (wnids, or any names), names; `numbers`: ILSVRC ids, of a devkit's list."""

    ids: tuple[str, ...]
    names: tuple[str, ...]
    where: str
    requested: ClassOrder | None = None
    numbers: tuple[int, ...] = ()
    order: str = ""

    def arranged(self, known: str) -> "ClassList":
        """In the order of the outputs: the one requested, or the one `known` of the weights ("" if none is).

        Raises UserError if the list is in another order than is known, or can't be brought into the requested one.
        """
        requested = self.requested or ("sorted" if self.numbers and known == SORTED else None)
        if requested == "devkit":
            if not self.numbers:
                raise UserError(f"{self.where}: knows no ILSVRC ids. --order devkit needs meta.mat of the devkit.")
            return self._by(self.numbers, DEVKIT)
        if requested == "sorted":
            if not are_wnids(self.ids):
                raise UserError(f"{self.where}: --order sorted needs wnids (n01440764), not names alone.")
            return self._by(self.ids, SORTED)
        if requested is None and self.numbers:
            raise UserError(f"{self.where}: these weights do not record the order of their outputs: {ORDERS}?")
        if requested is None and known == SORTED and are_wnids(self.ids) and list(self.ids) != sorted(self.ids):
            line = next(n for n, (a, b) in enumerate(zip(self.ids, sorted(self.ids), strict=True), start=1) if a != b)
            raise UserError(
                f"{self.where}: the outputs of these weights are in the order of sorted synsets, this list does not "
                f"(entry {line} is {self.ids[line - 1]}). Give --order sorted to sort it, --order listed if these "
                "weights were trained in the order of the list."
            )
        is_sorted = are_wnids(self.ids) and list(self.ids) == sorted(self.ids)
        return replace(self, order=SORTED if is_sorted else f"as listed in {Path(self.where).name}")

    def _by(self, keys: tuple[int, ...] | tuple[str, ...], order: str) -> "ClassList":
        _, ids, names = zip(*sorted(zip(keys, self.ids, self.names, strict=True)), strict=True)
        return replace(self, ids=ids, names=names, order=order)


def are_wnids(ids: Sequence[str]) -> bool:
    """Whether all of them are names like n01440764."""
    return all(map(WNID.fullmatch, ids))


def unlike(names: Sequence[str]) -> list[str]:
    """The names as identifiers: a repeated one gets its number appended (ImageNet has two cranes)."""
    before: set[str] = set()
    return [f"{name} {number}" if name in before or before.add(name) else name for number, name in enumerate(names)]


def read_classes(path: Path, requested: ClassOrder | None = None) -> ClassList:
    """The classes listed in a file: a devkit's meta.mat, or any list that `entries_in` reads. Wnids that are numbered
    from 1 in another than their sorted order have ILSVRC ids (map_clsloc.txt).

    Raises UserError if the file is no such list, or if it lists a class twice.
    """
    data = read_bounded(path, MOST_BYTES)
    if path.suffix == ".mat":
        numbers, ids, names = _kit(data, path)
    else:
        entries = entries_in(data, str(path))
        names = [entry.name for entry in entries]
        ids = [entry.ident or name for entry, name in zip(entries, unlike(names), strict=True)]
        by_id = bool(entries) and entries[0].number == 1 and are_wnids(ids) and ids != sorted(ids)
        numbers = tuple(range(1, len(ids) + 1)) if by_id else ()
    if len(ids) < 2 or len(set(ids)) != len(ids):
        twice = next((ident for ident in ids if ids.count(ident) > 1), None)
        fault = f"{twice} is in it twice" if twice else f"fewer than two classes are in it. {FORMS}"
        raise UserError(f"{path}: {fault}.")
    return ClassList(tuple(ids), distinct(names, ids), str(path), requested, tuple(numbers))


def _kit(data: bytes, path: Path) -> tuple[tuple[int, ...], list[str], list[str]]:
    """ILSVRC ids, wnids and words of a devkit's meta.mat, of 2012 or 2010."""
    synsets = read_mat(data, str(path)).get("synsets") or [{}]
    edition = next((edition for edition in EDITIONS if f"ILSVRC{edition.year}_ID" in synsets[0]), EDITIONS[0])
    leaves = leaves_of(data, edition, path)
    return tuple(leaf[0] for leaf in leaves), [leaf[1] for leaf in leaves], [leaf[2] for leaf in leaves]
