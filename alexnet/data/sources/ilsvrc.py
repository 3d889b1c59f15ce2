"""ImageNet as downloaded: ILSVRC-2012 and ILSVRC-2010, as tars or unpacked, labelled by their development kits.

The kits number the classes by ILSVRC id, from 1; every label here is the index of the synset in the sorted order of
wnids, from 0, as Caffe, torchvision and Keras have it. The kit's ``meta.mat`` translates one into the other.
"""

import os
import re
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from alexnet.data.sources.archive import Member, TarReader, members
from alexnet.data.sources.base import (
    UNLABELLED,
    Source,
    SourceSplit,
    distinct,
    in_order,
    key_of,
    listed,
    printable,
)
from alexnet.data.sources.class_text import WNID
from alexnet.data.sources.folder import Listing, of_classes, of_files
from alexnet.data.sources.found import has_entry
from alexnet.data.sources.mat import MOST_BYTES, read_mat
from alexnet.errors import UserError
from alexnet.files.atomic import read_bounded
from alexnet.files.schema import reading_errors

NUMBERED = re.compile(r"ILSVRC\d{4}_(?:val|test)_(\d{8})\.JPEG", re.I)
DEEPEST_KIT = 3
"""How many folders down a kit's files are looked for: ILSVRC2012_devkit_t12/data/meta.mat."""


@dataclass(frozen=True)
class Edition:
    """One year's challenge: the names its files are downloaded under."""

    year: int
    pictures: str
    kit: str

    def tar(self, split: str) -> str:
        """The archive of "train", "val" or "test"."""
        return f"ILSVRC{self.year}_{self.pictures}_{split}.tar"

    def truth(self, split: str) -> str:
        """The kit's list of the labels of "val" or "test"."""
        return f"ILSVRC{self.year}_{'validation' if split == 'val' else split}_ground_truth.txt"


EDITIONS = (
    Edition(2012, "img", "ILSVRC2012_devkit_t12.tar.gz"),
    Edition(2010, "images", "ILSVRC2010_devkit-1.0.tar.gz"),
)
PATCHES = "patch_images.tar"  # 2010: intact copies of pictures that are blank in the large archives


def edition_of(root: Path) -> Edition | None:
    """Which year's files are in ``root``, or None. Unpacked ones are known by their numbered validation pictures.

    Validation pictures sorted into class folders already need no kit: that is a plain folder source.
    """
    if has_entry(root / "val", WNID):
        return None
    for edition in EDITIONS:
        if any((root / name).exists() for name in (*map(edition.tar, ("train", "val", "test")), edition.kit)):
            return edition
        if has_entry(root / "val", re.compile(rf"ILSVRC{edition.year}_val_\d{{8}}\.JPEG")):
            return edition
    return None


def has_kit(root: Path) -> bool:
    """Whether ``root`` has a development kit, packed or unpacked."""
    packed = any((root / edition.kit).exists() for edition in EDITIONS)
    return packed or bool(_files_of_kit(root, EDITIONS[0], ["meta.mat"]))


def open_ilsvrc(root: Path, edition: Edition) -> Source:
    """ILSVRC-2012 or -2010 in ``root``: tars or folders train/, val/ (and 2010's labelled test/), and the kit.

    Checked against the kit: the classes, the number of validation and test pictures, and for whole tars the number of
    training pictures of each class. Raises ``UserError`` that says which file is missing or at fault.
    """
    listing, kit = Listing(root), Kit.read(root, edition)
    splits = {"train": _train(listing, edition, kit)}
    for split, truth in kit.truths.items():
        pictures = _numbered(listing, edition, split)
        if pictures is not None and truth:
            splits[split] = _labelled(pictures, truth, kit, root, split)
        elif pictures is not None:
            listing.ignored.append(f"{split} pictures: unlabelled ({edition.truth(split)} is not there)")
        elif split == "val":
            raise UserError(
                f"{root}: no validation pictures; put {edition.tar('val')} (or its contents, in val/) there"
            )
    names = distinct(kit.words, kit.wnids)
    return listing.source(f"ilsvrc-{edition.year}", kit.wnids, "sorted synset", splits, names)


@dataclass(frozen=True)
class Kit:
    """What a development kit knows: classes in the sorted order of wnids, and the labels of numbered pictures."""

    wnids: tuple[str, ...]
    words: tuple[str, ...]
    train_counts: tuple[int, ...]
    truths: dict[str, tuple[int, ...]]
    """Of "val" and "test", the pictures' labels in the order of their numbers; () if the kit has none."""

    @staticmethod
    def read(root: Path, edition: Edition) -> "Kit":
        """The kit in ``root``, packed or unpacked."""
        wanted = ("meta.mat", edition.truth("val"), edition.truth("test"))
        files = _files_of_kit(root, edition, wanted)
        for name in wanted[:2]:
            if name not in files:
                raise UserError(
                    f"{root}: {name} of the development kit is missing; download {edition.kit} "
                    f"from image-net.org (ILSVRC{edition.year}), or Kaggle's LOC_val_solution.csv, into this folder"
                )
        leaves = leaves_of(files["meta.mat"], edition, root)
        ids, wnids, words, counts = zip(*sorted(leaves, key=lambda leaf: leaf[1]), strict=True)
        label_of_id = {ilsvrc_id: label for label, ilsvrc_id in enumerate(ids)}
        names = {split: edition.truth(split) for split in ("val", "test")}
        truths = {split: _truth(files.get(name), name, root, label_of_id) for split, name in names.items()}
        return Kit(wnids, words, counts, truths)


def leaves_of(meta: bytes, edition: Edition, root: Path) -> list[tuple[int, str, str, int]]:
    """(ILSVRC id, wnid, words, number of training pictures) of each synset of ``meta.mat`` without children."""
    where = f"{root}: meta.mat"
    synsets = read_mat(meta, where).get("synsets")
    field = f"ILSVRC{edition.year}_ID"
    try:
        leaves = [
            (_number(row[field]), str(row["WNID"]), str(row["words"]), _number(row["num_train_images"]))
            for row in synsets or []
            if _number(row["num_children"]) == 0
        ]
    except (KeyError, TypeError, ValueError, OverflowError, IndexError):
        raise UserError(f"{where} is not the one of ILSVRC{edition.year}: it has no field {field}") from None
    if sorted(leaf[0] for leaf in leaves) != list(range(1, len(leaves) + 1)):
        raise UserError(f"{where}: its classes are not numbered from 1 to their number: download the kit again")
    wnids = [leaf[1] for leaf in leaves]
    if len(set(wnids)) != len(wnids) or not all(WNID.fullmatch(wnid) for wnid in wnids):
        raise UserError(f"{where}: its wnids are not distinct names like n01440764: download the kit again")
    if len(leaves) < 2:
        raise UserError(f"{where}: {len(leaves)} classes without children; 1000 are expected: download the kit again")
    return leaves


def _number(value: object) -> int:
    return int(np.asarray(value).reshape(-1)[0])


def _truth(text: bytes | None, name: str, root: Path, label_of_id: dict[int, int]) -> tuple[int, ...]:
    if text is None:
        return ()
    labels = []
    for number, line in enumerate(text.split(), 1):
        label = label_of_id.get(int(line)) if line.isdigit() else None
        if label is None:
            raise UserError(
                f"{root}: {name}, line {number}: {printable(line.decode('latin-1'))[:40]} is no class of meta.mat"
            )
        labels.append(label)
    return tuple(labels)


def _files_of_kit(root: Path, edition: Edition, wanted: Iterable[str]) -> dict[str, bytes]:
    """Name → content of the wanted files, from folders below ``root`` first, then from the packed kit."""
    found: dict[str, bytes] = {}
    for folder, inner, files in os.walk(root, followlinks=True):  # the depth ends circles
        depth = len(Path(folder).relative_to(root).parts)
        inner[:] = [name for name in in_order(inner) if depth < DEEPEST_KIT and not WNID.fullmatch(name)]
        for name in set(wanted) & set(files) - set(found):
            found[name] = read_bounded(Path(folder) / name, MOST_BYTES)
    if (root / edition.kit).is_file():
        for name, content in _unpacked(root / edition.kit, set(wanted) - set(found)).items():
            found[name] = content
    return found


def _unpacked(path: Path, wanted: set[str]) -> dict[str, bytes]:
    """The wanted files of a small packed tar, in memory; the amount unpacked is bounded."""
    found: dict[str, bytes] = {}
    total = 0
    with reading_errors(path, "Download it again."), tarfile.open(path, "r|*") as archive:
        for info in archive:
            total += abs(info.size)  # a size below 0 leads back, for ever
            if total > MOST_BYTES:
                raise UserError(f"{path}: unpacks to over {MOST_BYTES >> 20} MB, not a development kit")
            name = info.name.rpartition("/")[2]
            stream = archive.extractfile(info) if info.isreg() and name in wanted else None
            if stream is not None:
                found.setdefault(name, stream.read())
    return found


def _train(listing: Listing, edition: Edition, kit: Kit) -> SourceSplit:
    root, path = listing.root, listing.root / edition.tar("train")
    if path.is_file():
        return _train_tar(path, edition, kit, _patches(root, "train"))
    if (root / "train").is_dir():
        folders = listing.classes("train")
        check_classes(folders, kit.wnids, root / "train", "the kit")
        return of_classes(root, folders.values())
    raise UserError(f"{root}: no training pictures; put {path.name} (or its contents, in train/) there")


def check_classes(found: Iterable[str], class_ids: Sequence[str], where: Path, whose: str) -> None:
    """UserError unless exactly these classes were found."""
    there = set(found)
    missing, strange = in_order(set(class_ids) - there), in_order(there - set(class_ids))
    if missing:
        raise UserError(f"{where}: lacks {len(missing)} of {whose}'s {len(class_ids)} classes: {listed(missing)}")
    if strange:
        raise UserError(f"{where}: has what is no class of {whose}: {listed(strange)}")


def sorted_validation(listing: Listing, folder: str, class_ids: tuple[str, ...]) -> SourceSplit:
    """Validation pictures in folders named after their classes; other folders are skipped if they hold no pictures."""
    folders = listing.classes(folder)
    found = {name: inner for name, inner in folders.items() if name in class_ids or inner.holds_pictures()}
    check_classes(found, class_ids, listing.root / folder, "train/")
    return of_classes(listing.root, found.values())


def _train_tar(path: Path, edition: Edition, kit: Kit, patches: dict[str, Member]) -> SourceSplit:
    """The tar of tars: one inner archive per class, named after its wnid."""
    inner = {name.removesuffix(".tar"): member for name, member in _by_base_name(members(path), path).items()}
    check_classes(inner, kit.wnids, path, "the kit")
    found: list[tuple[int, Member]] = []
    keys: list[str] = []
    labels: list[int] = []
    for label, wnid in enumerate(kit.wnids):
        pictures = _by_base_name(members(path, inner[wnid]), path)
        expected = kit.train_counts[label]
        if edition.year == 2012 and len(pictures) != expected:
            raise UserError(
                f"{path}: {wnid}.tar has {len(pictures)} pictures, the kit says {expected}: download it again"
            )
        for name in in_order(pictures):
            found.append(_patched(name, pictures, patches))
            keys.append(f"{wnid}/{key_of(name)}")
            labels.append(label)
    return SourceSplit(keys, np.array(labels, np.int64), TarReader([path, path.parent / PATCHES], found))


def _by_base_name(found: Iterable[Member], where: Path) -> dict[str, Member]:
    named: dict[str, Member] = {}
    for member in found:
        name = member.name.rpartition("/")[2]
        if name in named:
            raise UserError(f"{where}: holds two files called {printable(name)}: download it again")
        named[name] = member
    return named


def _patches(root: Path, split: str) -> dict[str, Member]:
    """Name → replacement of pictures of this split, from 2010's archive of them, where it is there."""
    path = root / PATCHES
    found = members(path) if path.is_file() else ()
    return {member.name.rpartition("/")[2]: member for member in found if split in member.name.split("/")[:-1]}


def _patched(name: str, plain: dict[str, Member], patches: dict[str, Member]) -> tuple[int, Member]:
    """Which of the two archives, the plain one or the patches, has the picture to read, and where."""
    return (1, patches[name]) if name in patches else (0, plain[name])


def _numbered(listing: Listing, edition: Edition, split: str) -> SourceSplit | None:
    """The pictures of "val" or "test", unlabelled (-1) and in the order of their numbers; None if there are none."""
    path, folder = listing.root / edition.tar(split), listing.root / split
    if path.is_file():
        patches = _patches(listing.root, split)
        plain = _by_base_name(members(path), path)
        names = _by_number(plain, path)
        reader = TarReader([path, path.with_name(PATCHES)], [_patched(name, plain, patches) for name in names])
        return SourceSplit(names, np.full(len(names), UNLABELLED, np.int64), reader)
    if folder.is_dir():
        names = [f"{split}/{name}" for name in _by_number(listing.names(split), folder)]
        return of_files(listing.root, names, np.full(len(names), UNLABELLED))
    return None


def _by_number(names: Iterable[str], where: Path) -> list[str]:
    """The names in the order of the numbers they carry, which must be 1, 2, 3 … without a gap."""
    numbers: dict[int, str] = {}
    for name in names:
        match = NUMBERED.fullmatch(name)
        if not match:
            raise UserError(f"{where}: '{printable(name)}' is not named like ILSVRC2012_val_00000001.JPEG")
        numbers[int(match[1])] = name
    for number in range(1, len(numbers) + 1):
        if number not in numbers:
            raise UserError(f"{where}: picture number {number} of {max(numbers)} is missing: download it again")
    return [numbers[number] for number in sorted(numbers)]


def _labelled(pictures: SourceSplit, truth: tuple[int, ...], kit: Kit, root: Path, split: str) -> SourceSplit:
    if len(pictures) != len(truth):
        raise UserError(
            f"{root}: {len(pictures)} {split} pictures, but the ground truth labels {len(truth)}: one is incomplete"
        )
    if lacking := [kit.wnids[label] for label in sorted({*range(len(kit.wnids))} - {*truth})]:
        raise UserError(f"{root}: the {split} ground truth has no picture of {listed(lacking)}")
    return replace(pictures, labels=np.array(truth, np.int64))
