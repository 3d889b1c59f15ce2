"""Lists of classes that come beside weights, and the order of a network's outputs.

Three orders of the 1,000 classes of ILSVRC go about: by ILSVRC id (the devkits), by synset (Caffe, torchvision, Keras,
and every store prepared here), and whatever a list says. Confused, a network answers as if by chance.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from alexnet.data.sources.base import distinct
from alexnet.data.sources.ilsvrc import EDITIONS, WNID, leaves_of
from alexnet.data.sources.mat import read_mat
from alexnet.errors import UserError
from alexnet.files import faults_named

ClassOrder = Literal["sorted", "devkit", "listed"]
SORTED, DEVKIT = "sorted synset", "ILSVRC id"
"""What a run and a store call the two orders."""
LIMIT_BYTES = 1 << 26
ORDERS = "--order sorted (by synset: Caffe, torchvision), --order devkit (by ILSVRC id)"


@dataclass(frozen=True)
class ClassList:
    """Classes of a file in its order: ids (wnids, or any names), names; `numbers`: ILSVRC ids, of a devkit's list."""

    ids: tuple[str, ...]
    names: tuple[str, ...]
    where: str
    wish: ClassOrder | None = None
    numbers: tuple[int, ...] = ()
    order: str = ""

    def arranged(self, known: str) -> "ClassList":
        """In the order of the outputs: the one wished for, or the one `known` of the weights ("" if none is).

        Raises UserError if the list is in another order than is known, or can't be brought into the one wished for.
        """
        are_wnids = all(WNID.fullmatch(ident) for ident in self.ids)
        wish = self.wish or ("sorted" if self.numbers and known == SORTED else None)
        if wish == "devkit":
            if not self.numbers:
                raise UserError(f"{self.where}: knows no ILSVRC ids. --order devkit needs meta.mat of the devkit.")
            return self._by(self.numbers, DEVKIT)
        if wish == "sorted":
            if not are_wnids:
                raise UserError(f"{self.where}: --order sorted needs wnids (n01440764), not names alone.")
            return self._by(self.ids, SORTED)
        if wish is None and self.numbers:
            raise UserError(f"{self.where}: these weights do not say how their outputs stand: {ORDERS}?")
        if wish is None and known == SORTED and are_wnids and list(self.ids) != sorted(self.ids):
            line = next(n for n, (a, b) in enumerate(zip(self.ids, sorted(self.ids), strict=True), start=1) if a != b)
            raise UserError(
                f"{self.where}: the outputs of these weights stand in the order of sorted synsets, this list does not "
                f"(entry {line} is {self.ids[line - 1]}). Give --order sorted to sort it, --order listed if these "
                "weights were trained in the order of the list."
            )
        is_sorted = are_wnids and list(self.ids) == sorted(self.ids)
        return replace(self, order=SORTED if is_sorted else f"as listed in {Path(self.where).name}")

    def _by(self, keys: tuple[int, ...] | tuple[str, ...], order: str) -> "ClassList":
        _, ids, names = zip(*sorted(zip(keys, self.ids, self.names, strict=True)), strict=True)
        return replace(self, ids=ids, names=names, order=order)


def read_classes(path: Path, wish: ClassOrder | None = None) -> ClassList:
    """The classes listed in a file: lines of "WNID words" or of names (Caffe's synset_words.txt), Keras's
    imagenet_class_index.json, or a devkit's meta.mat. Raises UserError if it is none of these, or if a class is
    there twice.
    """
    with faults_named(path), open(path, "rb") as file:
        data = file.read(LIMIT_BYTES + 1)
    if len(data) > LIMIT_BYTES:
        raise UserError(f"{path}: larger than {LIMIT_BYTES >> 20} MB, no list of classes.")
    numbers: tuple[int, ...] = ()
    if path.suffix == ".mat":
        numbers, ids, names = _kit(data, path)
    elif path.suffix == ".json":
        ids, names = _index(data, path)
    else:
        ids, names = _lines(data, path)
    if len(ids) < 2 or len(set(ids)) != len(ids):
        twice = next((ident for ident in ids if ids.count(ident) > 1), None)
        raise UserError(f"{path}: {f'{twice} is in it twice' if twice else 'fewer than two classes are in it'}.")
    return ClassList(tuple(ids), distinct(names, ids), str(path), wish, numbers)


def _kit(data: bytes, path: Path) -> tuple[tuple[int, ...], list[str], list[str]]:
    """ILSVRC ids, wnids and words of a devkit's meta.mat, of 2012 or 2010."""
    synsets = read_mat(data, str(path)).get("synsets") or [{}]
    edition = next((edition for edition in EDITIONS if f"ILSVRC{edition.year}_ID" in synsets[0]), EDITIONS[0])
    leaves = leaves_of(data, edition, path)
    return tuple(leaf[0] for leaf in leaves), [leaf[1] for leaf in leaves], [leaf[2] for leaf in leaves]


def _lines(data: bytes, path: Path) -> tuple[list[str], list[str]]:
    try:
        lines = [line.strip() for line in data.decode().splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise UserError(f"{path}: no text. Give synset_words.txt, imagenet_class_index.json or meta.mat.") from None
    words = [line.partition(" ") for line in lines]
    if all(WNID.fullmatch(first) for first, _, _ in words):
        return [first for first, _, _ in words], [rest.strip() or first for first, _, rest in words]
    counted = [line if lines.index(line) == number else f"{line} {number}" for number, line in enumerate(lines)]
    return counted, lines


def _index(data: bytes, path: Path) -> tuple[list[str], list[str]]:
    try:
        index = {int(number): (str(ident), str(name)) for number, (ident, name) in json.loads(data).items()}
        pairs = [index[number] for number in range(len(index))]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f'{path}: no class index; it has the form {{"0": ["n01440764", "tench"], …}}.') from None
    return [ident for ident, _ in pairs], [name for _, name in pairs]
