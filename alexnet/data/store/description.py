"""``store.json``: the description of a store, written, read back and checked.

A store may come from a stranger or from a failing disk: every field that is used is checked for its type and range
here, and no memory is taken on its word alone, only up to the real size of a file.
"""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from alexnet.data.store import layout
from alexnet.errors import UserError
from alexnet.files.atomic import faults_named, sha256_of
from alexnet.files.schema import Key, Range, canonical_digest, from_json, is_sealed, read_json, sealed

AGAIN = "prepare the store again"
AGAIN_OR_COPIED = f"{AGAIN}, or copy it again if it was copied"
Records = Annotated[int, Range(0, layout.MAXIMUM_COUNT)]


@dataclass(frozen=True)
class ListedFile:
    """A file's size and, unless it is too large to be read whenever it is opened, its sha256."""

    bytes: Annotated[int, Range(0, 1 << 62)]
    sha256: str | None = None

    @classmethod
    def of(cls, path: Path) -> "ListedFile":
        """The file as it is now. Raises UserError if it can't be read."""
        with faults_named(path):
            size = path.stat().st_size
        return cls(size, None if path.name in layout.LARGE else sha256_of(path))

    def check(self, path: Path, *, digest: bool = True) -> None:
        """Raises UserError unless ``path`` is a regular file of the listed size and, unless not ``digest``, content."""
        try:
            status = os.stat(path)
        except FileNotFoundError:
            fault = "is missing"
        except OSError as error:
            fault = f"cannot be read ({error.strerror})"
        else:
            if not stat.S_ISREG(status.st_mode):
                fault = "is not a regular file"
            elif status.st_size != self.bytes:
                fault = f"has {status.st_size:,} bytes instead of {self.bytes:,}"
            elif digest and sha256_of(path) != self.sha256:
                fault = "damaged, its content has changed since the store was made"
            else:
                return
        raise UserError(f"{path}: {fault}; {AGAIN_OR_COPIED}")


@dataclass(frozen=True)
class SplitDescription:
    """A split of a store: its ``count`` of records, made of ``items`` of the source."""

    count: Records
    items: Records
    refused: Records
    noted: Records
    files: dict[str, ListedFile]


@dataclass(frozen=True, kw_only=True)
class StoreDescription:
    """What ``store.json`` holds, besides its fingerprint and checksum."""

    kind: str = layout.KIND
    format_version: int = layout.FORMAT_VERSION
    size: Annotated[int, Range(1, layout.MAXIMUM_SIZE)]
    format: layout.Format
    jpeg: dict[str, Any] | None = None
    resample: str
    exif: bool
    decode: str = "full"
    decoder: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    class_order: str
    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    splits: Annotated[dict[Annotated[str, layout.SPLIT_NAME.fullmatch], SplitDescription], Key("parts")]
    files: dict[str, ListedFile]
    statistics: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Raises ValueError where fields contradict each other."""
        if not len(self.class_names) == len(self.class_ids) > 0:
            raise ValueError(f"class_names are {len(self.class_names)}, class_ids {len(self.class_ids)}")
        there = {layout.STATISTICS: "train" in self.splits, layout.GROUPS: layout.GROUPS in self.files}
        _check_files("files", self.files, (layout.REPORT, *(name for name, expected in there.items() if expected)))
        for name, split in self.splits.items():
            _check_files(f"parts.{name}.files", split.files, layout.files_of(self.format))
            for file, listed in split.files.items():
                if file.endswith(".npy") and listed.bytes != layout.array_bytes(file, split.count, self.size):
                    raise ValueError(f"{name}/{file} has {listed.bytes:,} bytes for {split.count:,} records")


def _check_files(what: str, listed: dict[str, ListedFile], expected: tuple[str, ...]) -> None:
    if set(listed) != set(expected):
        raise ValueError(f"{what} are {', '.join(sorted(listed))[:200]}, expected {', '.join(expected)}")
    for name, file in listed.items():
        if file.sha256 is None and name not in layout.LARGE:
            raise ValueError(f"{what}.{name}.sha256 is missing")


def completed(description: dict[str, Any]) -> dict[str, Any]:
    """The description with its fingerprint and, last, the checksum over all the rest."""
    return sealed({**description, "fingerprint": fingerprint_of(description)})


def fingerprint_of(description: dict[str, Any]) -> str:
    """sha256 hex of the content: records, order, labels, keys and classes; not of how or from where it was made."""
    files = (layout.LABELS, layout.DIGESTS, layout.KEYS)
    splits = {
        name: {"count": split["count"], **{file: split["files"][file]["sha256"] for file in files}}
        for name, split in description["parts"].items()
    }
    content = {field: description[field] for field in ("size", "format", "class_ids", "class_order")}
    if description.get("decode", "full") != "full":
        content["decode"] = description["decode"]
    return canonical_digest({**content, "parts": splits})


def read_description(store: Path) -> tuple[dict[str, Any], StoreDescription]:
    """The content of a store's ``store.json`` and what is read of it, checked. Raises UserError, with the remedy, if
    there is none or if it can't be trusted."""
    path = store / layout.DESCRIPTION
    _refuse_unfinished(store, path)
    content = read_json(path)
    if content.get("kind") != layout.KIND:
        raise UserError(f"{path}: does not describe a store; give a folder made by `alexnet prepare`")
    version = content.get("format_version")
    if type(version) is int and version > layout.FORMAT_VERSION:
        raise UserError(
            f"{path}: format {version}, made by a newer alexnet (this one reads up to "
            f"{layout.FORMAT_VERSION}); update alexnet"
        )
    if type(version) is not int or version != layout.FORMAT_VERSION:
        raise UserError(f"{path}: format {version!r} is not known; {AGAIN}")
    if not is_sealed(content):
        raise UserError(f"{path}: damaged or edited, its checksum does not fit; restore it or {AGAIN}")
    description = from_json(content, StoreDescription, path, f"Restore it or {AGAIN}")
    if content.get("fingerprint") != fingerprint_of(content):
        raise UserError(f"{path}: the fingerprint does not fit the content; {AGAIN}")
    return content, description


def is_store(folder: Path) -> bool:
    """Whether a store is there, finished or not."""
    return any((folder / name).exists() for name in (layout.DESCRIPTION, layout.JOURNAL)) or has_shards(folder)


def has_shards(folder: Path) -> bool:
    """Whether the folder holds shards of a store that are to be joined."""
    return folder.is_dir() and any(layout.SHARD.fullmatch(path.name) for path in folder.iterdir())


def _refuse_unfinished(store: Path, path: Path) -> None:
    if not store.exists():
        raise UserError(f"{store}: no such folder; make a store with `alexnet prepare SOURCE {store}`")
    if path.is_file():
        return
    if has_shards(store):
        raise UserError(f"{store}: holds shards of a store; join them with `alexnet prepare SOURCE {store} --join`")
    if (store / layout.JOURNAL).exists():
        raise UserError(f"{store}: the store is not finished; run the same `alexnet prepare` again, it continues")
    raise UserError(f"{store}: is not a store (no {layout.DESCRIPTION}); make one with `alexnet prepare SOURCE STORE`")
