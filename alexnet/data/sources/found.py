"""The walk over a folder of pictures: one list of what is skipped and why, for every command that is given a folder."""

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alexnet.data.store import layout
from alexnet.errors import UserError
from alexnet.files.packaged import read_toml
from alexnet.text import counted

_LISTS = read_toml("alexnet.data.sources", "not_pictures.toml")
NOT_PICTURES, TEXTS = frozenset(_LISTS["suffixes"].split()), frozenset(_LISTS["texts"].split())
"""Suffixes, and names without a suffix, of files next to pictures. Any other file is a picture until decoded."""
LEFT_BY_SYSTEM, STREAMS = frozenset(_LISTS["left_by_system"]), tuple(_LISTS["streams"].split())
FOUND_BY_CHKDSK = re.compile(r"found\.\d{3}")
HIDDEN, SYSTEM, BY_SUFFIX = "hidden", "left by the system", "not a picture by its suffix"
FIGURE = re.compile(r"(?:project|occlusion|top)-.+|invariance|activations|evolution|filters|transfer|similar")
"""Figures that `alexnet see`, `transfer` and `similar` write, each with a JSON file of the same name."""
STORE_FILES = {layout.JOURNAL, layout.LOCK}
RUN_FILES = {"model.safetensors", "inputs.safetensors", "log.jsonl"}
INDEX_FILES, LAB_FOLDERS = {"index.json", "features.npy"}, {"measured", "results", "runs"}
OUTPUT_FILES = STORE_FILES | RUN_FILES | INDEX_FILES | LAB_FOLDERS | {layout.DESCRIPTION, "config.json"}


@dataclass
class Folder:
    """A folder of a source and its contents. Paths are below the root: "" is the root itself."""

    path: str
    pictures: list[str] = field(default_factory=list)
    """Paths of the files directly in it that may be pictures, in order."""
    folders: dict[str, "Folder"] = field(default_factory=dict)

    def below(self) -> Iterator[str]:
        """The paths of all pictures in it, folder after folder."""
        yield from self.pictures
        for folder in self.folders.values():
            yield from folder.below()

    def holds_pictures(self) -> bool:
        """Whether there is at least one picture in it, however deep."""
        return next(self.below(), None) is not None


def read_tree(root: Path, folder: str, ignored: list[str], own: Collection[Path] = ()) -> Folder:
    """The files and folders in ``root/folder``, in one pass; what is skipped is added to ``ignored``, with reasons.

    Links to files and folders are followed, a link back to a folder above it is not. Stores, run folders and figures
    of this program are skipped. ``own``: the outputs of the running command, which are skipped silently.
    Raises ``UserError`` for a folder that cannot be read.
    """
    identities = {identity for path in own if (identity := _identity(path))}
    found = _Walk(root, ignored, identities).read(folder, frozenset())
    return found or Folder(folder)


class _Walk:
    def __init__(self, root: Path, ignored: list[str], own: set[tuple[int, int]]) -> None:
        self.root, self.ignored, self.own, self.outputs = root, ignored, own, 0

    def read(self, folder: str, above: frozenset[tuple[int, int]]) -> Folder | None:
        """None for a folder to skip. ``above``: the folders that lead here."""
        here, found, outputs = _identity(self.root / folder) or (0, 0), entries(self.root / folder), self.outputs
        names = {entry.name for entry in found}
        if here in above:
            self.ignored.append(f"{folder}/: a link back to a folder above it")
            return None
        if above and (output := output_in(self.root / folder, names)):
            self.outputs += 1
            if here not in self.own:
                self.ignored.append(f"{folder}/: {output}")
            return None
        tree, figures = Folder(folder), figures_among(names)
        for entry in found:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if reason := why_no_picture(entry) or figures.get(entry.name, ""):
                self.ignored.append(f"{path}: {reason}")
            elif not is_folder(entry):
                tree.pictures.append(path)
            elif (inner := self.read(path, above | {here})) is not None:
                tree.folders[entry.name] = inner
        only_outputs = not tree.holds_pictures() and (here in self.own or self.outputs > outputs)
        return None if above and only_outputs else tree


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:  # listing it says so, with the reason
        return None
    return status.st_dev, status.st_ino


def output_in(folder: Path, names: set[str]) -> str:
    """Which output of this program ``folder``, which holds these ``names``, is; empty if it is none."""
    if STORE_FILES & names or (layout.DESCRIPTION in names and _is_description(folder)):
        return "a store of alexnet"
    if "inputs.safetensors" in names or ("config.json" in names and RUN_FILES & names):
        return "a run folder of alexnet"
    return "results of alexnet" if names >= INDEX_FILES or names >= LAB_FOLDERS else ""


def output_of(folder: Path) -> str:
    """``output_in`` for a folder that has not been listed."""
    return output_in(folder, {name for name in OUTPUT_FILES if (folder / name).exists()})


def _is_description(folder: Path) -> bool:
    try:
        with open(folder / layout.DESCRIPTION, "rb") as file:
            return layout.KIND.encode() in file.read(4096)
    except OSError:
        return False


def figures_among(names: Collection[str]) -> dict[str, str]:
    """Name → reason for the figures of this program among the names in a folder."""
    stems = {name.removesuffix(".json") for name in names if name.endswith(".json")}
    figures = {f"{stem}.png" for stem in stems if FIGURE.fullmatch(stem)}
    figures |= {name for name in names if name.endswith(".check.png")}
    if "similar" in stems:
        figures |= {name for name in names if name.startswith("similar-") and name.endswith(".png")}
    return dict.fromkeys(figures, "a figure of alexnet")


def why_no_picture(entry: "os.DirEntry[str]") -> str:
    """Why a file or folder is skipped, by its name and type alone; empty if it may be a picture or hold pictures.

    A broken link is not skipped: reading it fails, and that puts its name into the report.
    """
    folder = is_folder(entry)
    reason = why_skipped(entry.name, folder)
    return reason or ("" if folder or _is_file(entry) else "neither a file nor a folder")


def why_skipped(name: str, folder: bool) -> str:
    """As `why_no_picture`, by the name of a file or ``folder`` alone."""
    name = name.lower()
    if name.startswith("."):
        return HIDDEN
    if name in LEFT_BY_SYSTEM or name.endswith(STREAMS) or FOUND_BY_CHKDSK.fullmatch(name):
        return SYSTEM
    if folder:
        return ""
    stem, dot, suffix = name.rpartition(".")
    if suffix in (NOT_PICTURES if dot and stem else TEXTS) or name.endswith("~"):
        return BY_SUFFIX
    return ""


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry is a folder or a link to one; False for a link that cannot be followed."""
    try:
        return entry.is_dir()
    except OSError:  # links in a circle
        return False


def _is_file(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry is a file, a link to one, or a link that leads nowhere."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:
        return True


def entries(folder: Path) -> list["os.DirEntry[str]"]:
    """The entries of a folder, sorted by name. Raises ``UserError`` if it cannot be read."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror}") from None


def has_entry(folder: Path, name: re.Pattern[str]) -> bool:
    """Whether the folder is there and holds something of such a name."""
    return folder.is_dir() and any(name.fullmatch(entry.name) for entry in entries(folder))


def skipped_in_words(ignored: Sequence[str], most: int = 4) -> str:
    """How many files and folders are skipped, for which reasons, with an example of each."""
    reasons: dict[str, list[str]] = {}
    for line in ignored:
        path, _, reason = line.rpartition(": ")
        reasons.setdefault(reason, []).append(path)
    groups = sorted(reasons.items(), key=lambda group: -len(group[1]))
    words = [f"{len(paths):,} {reason} (as '{paths[0]}')" for reason, paths in groups[:most]]
    if rest := sum(len(paths) for _, paths in groups[most:]):
        words.append(f"{rest:,} for other reasons")
    return f"skipped {counted(len(ignored), 'file or folder', 'files and folders')}: {', '.join(words)}"
