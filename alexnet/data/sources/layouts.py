"""Which folders of pictures are classes, and which are containers: splits, folds, masks, archives in archives.

Downloads come in many layouts. Folders that are not classes are recognised by their names, or because they contain
folders with the names of their siblings. Such a layout is refused, and the message names the folder to pass.
"""

import os
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from alexnet.data.sources.base import in_order, listed, printable
from alexnet.data.sources.found import Folder
from alexnet.data.sources.labelme import is_labelme
from alexnet.errors import UserError

SPLITS = {
    **dict.fromkeys(("train", "training", "trn", "trainval", "train_val"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
FILLER = r"(?:seg|set|data|images?|imgs?|pictures?|photos?|split|folder|v(?=\d))"
SPLIT = re.compile(rf"(?:{FILLER}[\W_]*)*({'|'.join(SPLITS)})(?:[\W\d_]*{FILLER})*[\W\d_]*[ab]?")
"""A split in any usual spelling, in lower case: train, training_set, seg_train, train2017, images-val, trainA."""
FOLD = re.compile(r"(?:k?[\W_]*folds?|splits?|partition|subset)[\W_]*\d+")
NUMBERED = re.compile(r"(?:.*[\W_])?(?:images?|imgs?|pictures?|photos?|batch|part|chunk|shard|archive)[\W_]*\d+")
"""Numbered shares of one set, if all folders are called so: images_001, HAM10000_images_part_1."""
COPY = re.compile(r"copy of (.+)|(.+?)[\s_-]*(?:\(\d+\)|[\s_(-]copy\)?(?: \(?\d+\)?)?)")
BATCH = re.compile(r"(?:batch|part|chunk|shard|set|dataset|archive|folder|group)[\W_]*\d+")
MASKS = re.compile(
    r"(?:(?:train(?:ing)?|val(?:id(?:ation)?)?|test|images?|imgs?)[\W_]*)?"
    r"(?:masks?|labels?|annotations?|annots?|trimaps?|ground[\W_]*truths?|gts?|segmentations?|segmentationclass|"
    r"segmentationobject|bbox(?:es)?|bounding[\W_]*box(?:es)?)"
)
PICTURES = re.compile(
    r"(?:jpe?g|png|rgb)?[\W_]*(?:images?|imgs?|pictures?|photos?|originals?|inputs?)|jpe?gs?|pngs?|rgb"
)
NO_CLASS = re.compile(rf"(?:all|unlabell?ed|unsorted|unsup(?:ervised)?|thumbnails?)(?:[\W\d_]*{FILLER})*[\W\d_]*")
"""Names of folders, among class folders, that are never classes."""
SPARE = ("extra", "raw", "other", "misc", "data", "sample", "samples")
"""Names that may be those of classes, as in {raw, cooked}. A note says so if they are taken for classes."""


def split_names(names: Collection[str]) -> dict[str, str]:
    """Name → train, val or test, for the names that are those of splits. What all names begin with (asl_alphabet_train,
    asl_alphabet_test) does not count, if several splits follow; "valid" beside "invalid" is a class."""
    lowered = {name: name.lower() for name in names}
    tails = {name: re.split(r"[\W_]", low)[-1] for name, low in lowered.items()}
    several = len({SPLITS[match[1]] for tail in tails.values() if (match := SPLIT.fullmatch(tail))}) > 1
    same_heads = several and len({low.removesuffix(tails[name]) for name, low in lowered.items()}) == 1
    found: dict[str, str] = {}
    for name, low in lowered.items():
        match = SPLIT.fullmatch(low) or (SPLIT.fullmatch(tails[name]) if same_heads else None)
        if match and f"in{low}" not in lowered.values():
            found[name] = SPLITS[match[1]]
    return found


def unwrapped(folder: Folder) -> Folder:
    """The folder that holds the classes of a split: of training_set/training_set or train/images, the inner one."""
    while not folder.pictures and len(folder.folders) == 1:
        name, inner = next(iter(folder.folders.items()))
        same = name.lower() == os.path.basename(folder.path).lower()
        if not (same or split_names([name]) or PICTURES.fullmatch(name.lower())):
            break
        folder = inner
    return folder


@dataclass(frozen=True)
class _Level:
    """The folders in ``tree``, which would be classes. ``pictured``: those with pictures in them."""

    tree: Folder
    pictured: dict[str, Folder]
    where: Path

    def like(self, pattern: re.Pattern[str], names: Collection[str] = ()) -> list[str]:
        """The folders with pictures whose lower-case names match the pattern or are among ``names``."""
        return [name for name in self.pictured if pattern.fullmatch(name.lower()) or name.lower() in names]


def refuse_other_layouts(tree: Folder, root: Path) -> list[str]:
    """Notes for the screen. Raises UserError if the folders in ``tree`` are not classes, by the rules below."""
    pictured = {name: folder for name, folder in tree.folders.items() if folder.holds_pictures()}
    level = _Level(tree, pictured, root / tree.path)
    for rule in RULES:
        if fault := rule(level):
            sets = (path for path in (level.where, *(level.where / name for name in pictured)) if is_labelme(path))
            annotated = next(sets, None)
            remedy = f". Or pass {annotated}, whose pictures have annotations" if annotated else ""
            raise UserError(f"{level.where}: {fault}{'' if str(annotated) in fault else remedy}")
    return [f"{level.where}: {note}" for note in _notes(level)]


def _annotated_inside(level: _Level) -> str:
    """VOC2007 beside VOC2012; COVID/images beside COVID/masks."""
    pairs = {name: pair for name, folder in level.pictured.items() if (pair := _pictures_beside_masks(folder))}
    found = {
        name: masks
        for name, (pictures, masks) in pairs.items()
        if pictures.lower() == "jpegimages" or level.pictured[name].folders[masks].holds_pictures()
    }
    for name, masks in found.items():
        return (
            f"no class folders, because pictures are next to '{masks}' (annotations or masks) in them: "
            f"{listed(in_order(found))}. Pass one of them if it is an annotated set, as {level.where / name}; else "
            f"move '{masks}' elsewhere"
        )
    return ""


def _pictures_beside_masks(folder: Folder) -> tuple[str, str] | None:
    masks = next((name for name in folder.folders if MASKS.fullmatch(name.lower())), None)
    pictures = next((name for name in folder.folders if PICTURES.fullmatch(name.lower())), None)
    pictures = pictures or next(iter(split_names([name for name in folder.folders if name != masks])), None)
    return (pictures, masks) if pictures and masks else None


def _beside_masks(level: _Level) -> str:
    """images/ beside annotations/, masks/ or labels/: Oxford pets, YOLO, COCO, segmentation."""
    if not (found := _pictures_beside_masks(level.tree)):
        return ""
    inner = unwrapped(level.tree.folders[found[0]])
    remedy = "Sort the pictures into one folder per class, and pass the folder above these"
    if len(inner.folders) > 1 and not split_names(inner.folders):
        remedy = f"If the folders in '{found[0]}' are the classes, pass {_path(level, inner)}"
    return f"'{found[0]}' is next to '{found[1]}': pictures and their annotations or masks, not classes. {remedy}"


def _path(level: _Level, inner: Folder) -> Path:
    return level.where / Path(inner.path).relative_to(level.tree.path)


def _splits_in_classes(level: _Level) -> str:
    """cat/train and cat/val: the class above the split."""
    found = [name for name, inner in level.pictured.items() if len(set(split_names(inner.folders).values())) > 1]
    if not found or len(level.pictured) == 1:
        return ""
    name = printable(found[0])
    return (
        f"{listed(found)} hold splits of their own (train, val, test). If each is a set, pass one, as "
        f"{level.where / found[0]}; if they are classes, put the splits above them: train/{name}, val/{name}"
    )


def _split_in_names(level: _Level) -> str:
    """cat_train beside cat_test; cat and dog beside cat_test and dog_test."""
    same: dict[str, list[str]] = {}
    splits: dict[str, set[str]] = {}
    for name in level.pictured:
        words = re.split(r"[\W_]+", name.lower())
        rest = " ".join(word for word in words if word not in SPLITS)
        same.setdefault(rest, []).append(name)
        splits.setdefault(rest, set()).update(SPLITS[word] for word in words if word in SPLITS)
    found = {rest: names for rest, names in same.items() if rest and len(names) > 1 and splits[rest]}
    if not found or split_names(level.pictured) or (len(found) == 1 and len(splits[next(iter(found))]) == 1):
        return ""
    names = listed(next(iter(found.values())))
    return f"the folders' names hold the split, as {names}. Put the class folders into train/, val/ and test/"


def _one_too_high(level: _Level) -> str:
    """archive/dataset/{cat,dog}, PetImages/{Cat,Dog}."""
    folder, inner = level.tree, list(level.pictured.values())
    while len(inner) == 1 and not inner[0].pictures:
        folder = inner[0]
        inner = [one for one in folder.folders.values() if one.holds_pictures()]
    if folder is level.tree:
        return ""
    if pair := _pictures_beside_masks(folder):
        return f"this folder is too high up: if '{pair[1]}' holds annotations, pass {_path(level, folder)}"
    if len(inner) < 2:
        return ""
    names = listed(in_order(os.path.basename(one.path) for one in inner), 3)
    return f"this folder is too high up: if the folders {names} are the classes or splits, pass {_path(level, folder)}"


def _containers(level: _Level) -> str:
    """Flat train/ and test/, fold0 to fold9, images_1 and images_2, and val/, test/, all/ or unlabeled/ beside class
    folders."""
    splits = [name for name in level.pictured if name in split_names(level.tree.folders)]
    numbered = [name for name in level.like(NUMBERED) if not unwrapped(level.pictured[name]).folders]
    series = numbered if len(numbered) == len(level.pictured) > 1 else []
    found = list(dict.fromkeys([*splits, *level.like(FOLD), *level.like(NO_CLASS), *series]))
    classes = level.pictured.keys() - {*found, *level.like(PICTURES, SPARE)}
    if not found or (classes and found == splits and _are_classes(splits, level.pictured)):
        return ""
    if any(split == "train" and unwrapped(level.pictured[name]).folders for name, split in split_names(splits).items()):
        return f"holds splits of its own ({listed(found)}): pass {level.where}"
    names, others = listed([f"{name}/" for name in found]), listed(in_order(classes), 3)
    sound = [name for name in found if len(unwrapped(level.pictured[name]).folders) > 1]
    if not classes:
        remedy = f". If the folders in one of them are classes, pass it, as {level.where / sound[0]}" if sound else ""
        return (
            f"{names} are splits or parts of a set, not classes, and there are no class folders in a train/. Sort the "
            f"pictures into one folder per class, as train/CLASS and val/CLASS{remedy}"
        )
    remedy = "Move" if level.tree.path else "Put the class folders into train/, or move"
    return (
        f"{names} among the class folders ({others}): the name of a split or of unsorted pictures, not of a class. "
        f"{remedy} the other elsewhere; if it is a class, rename it"
    )


def _are_classes(splits: list[str], pictured: dict[str, Folder]) -> bool:
    """A flat train/ beside car/ and plane/ is a class, and then so is test/."""
    flat = not any(pictured[name].folders for name in splits)
    return flat and "train" in split_names(splits).values()


def _doubled(level: _Level) -> str:
    """{no,yes} beside brain_tumor_dataset/{no,yes}; "cat - Copy" beside "cat"."""
    names = {name.lower() for name in level.pictured}
    for name, folder in level.pictured.items():
        copied = COPY.fullmatch(name.lower())
        if copied and (copied[1] or copied[2]) in names:
            return f"'{printable(name)}' is named like a copy of another class. Remove it; if it is a class, rename it"
        again = [inner for inner in unwrapped(folder).folders if inner.lower() in names - {name.lower()}]
        if len(again) > 1:
            return (
                f"'{printable(name)}' repeats the names of folders next to it ({listed(again, 3)}), so it is a copy "
                f"or a container and no class. Move it elsewhere, or pass it alone: {level.where / name}"
            )
    return ""


def _same_folders_in_all(level: _Level) -> str:
    """photo/{dog,horse,house} beside sketch/{dog,horse,house}: domains or batches above the classes."""
    if len(level.pictured) < 2:
        return ""
    shared = set.intersection(*(set(unwrapped(folder).folders) for folder in level.pictured.values()))
    words = [name for name in shared if not re.search(r"\d", name)]
    batches = len(level.like(BATCH)) == len(level.pictured)
    if len(words) < max(3, len(level.pictured)) and not (batches and len(shared) > 1):
        return ""
    one = level.where / min(level.pictured)
    return (
        f"{listed(in_order(level.pictured), 3)} hold the same folders ({listed(in_order(shared), 3)}). If these inner "
        f"folders are the classes, pass one of the others, as {one}, or merge them, one folder per class"
    )


RULES: tuple[Callable[[_Level], str], ...] = (
    _annotated_inside,
    _beside_masks,
    _splits_in_classes,
    _split_in_names,
    _one_too_high,
    _containers,
    _doubled,
    _same_folders_in_all,
)
"""Each returns what is wrong and what to do, or "". The first fault found is reported."""


def _notes(level: _Level) -> Iterator[str]:
    """Folders that may be containers but are taken for classes."""
    if doubtful := [*split_names(level.pictured), *level.like(PICTURES, SPARE)]:
        yield f"taken for classes, because of the other folders: {listed([f'{name}/' for name in doubtful])}"
    inner = {name: list(folder.folders) for name, folder in level.pictured.items()}
    name = max(inner, key=lambda name: len(inner[name]), default="")
    if name and len(inner[name]) > 1 and not any(folder.pictures for folder in level.pictured.values()):
        yield (
            f"the classes are {listed(in_order(inner), 3)}; the folders in them are merged ('{printable(name)}' has "
            f"{listed(in_order(inner[name]), 2)})"
        )
