"""``store.json``: what a store says of itself, made, read back and believed only after a check.

A store may come from a stranger or from a failing disk: every field that is used is checked for its type and range
here, and nothing is allocated on its word alone, only up to the real size of a file.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alexnet.data.store import layout
from alexnet.errors import UserError
from alexnet.files.atomic import faults_named, sha256_of
from alexnet.files.schema import canonical_digest, read_json

ANEW = "prepare the store anew"
ANEW_OR_COPIED = f"{ANEW}, or copy it again if it was copied"


def sealed(description: dict[str, Any]) -> dict[str, Any]:
    """The description with its fingerprint and, last, the checksum over all the rest."""
    complete = {**description, "fingerprint": fingerprint_of(description)}
    return {**complete, "checksum": canonical_digest(complete)}


def fingerprint_of(description: dict[str, Any]) -> str:
    """sha256 hex of the content: records, order, labels, keys and classes; not of how or from where it was made."""
    files = (layout.LABELS, layout.DIGESTS, layout.KEYS)
    parts = {
        name: {"count": part["count"], **{file: part["files"][file]["sha256"] for file in files}}
        for name, part in description["parts"].items()
    }
    content = {field: description[field] for field in ("size", "format", "class_ids", "class_order")}
    if "decode" in description:
        content["decode"] = description["decode"]
    return canonical_digest({**content, "parts": parts})


def promise(path: Path, *, digest: bool = True) -> dict[str, Any]:
    """What ``store.json`` says of a file: its size and, unless it is one of the large ones, its sha256."""
    with faults_named(path):
        size = path.stat().st_size
    return {"bytes": size, "sha256": sha256_of(path)} if digest else {"bytes": size}


def read_description(store: Path) -> dict[str, Any]:
    """The checked content of a store's ``store.json``. UserError with the remedy where there is none to trust."""
    path = store / layout.DESCRIPTION
    _refuse_what_is_no_store(store, path)
    description = read_json(path)
    if description.get("kind") != layout.KIND:
        raise UserError(f"{path}: does not describe a store; give a folder made by `alexnet prepare`")
    version = description.get("format_version")
    if type(version) is int and version > layout.FORMAT_VERSION:
        raise UserError(
            f"{path}: format {version}, made by a newer alexnet (this one reads up to "
            f"{layout.FORMAT_VERSION}); update alexnet"
        )
    if type(version) is not int or version != layout.FORMAT_VERSION:
        raise UserError(f"{path}: format {version!r} is not known; {ANEW}")
    _check_checksum(path, description)
    _Checker(path).check(description)
    if description["fingerprint"] != fingerprint_of(description):
        raise UserError(f"{path}: the fingerprint does not fit the content; {ANEW}")
    return description


def is_store(folder: Path) -> bool:
    """Whether a store is there, finished or not."""
    return any((folder / name).exists() for name in (layout.DESCRIPTION, layout.JOURNAL)) or has_shards(folder)


def has_shards(folder: Path) -> bool:
    """Whether the folder holds parts of a store that are to be joined."""
    return folder.is_dir() and any(layout.SHARD.fullmatch(path.name) for path in folder.iterdir())


def check_file(path: Path, promised: dict[str, Any]) -> None:
    """UserError unless ``path`` is a regular file of the promised size."""
    if fault := _fault_of_size(path, promised):
        raise UserError(f"{fault}; {ANEW_OR_COPIED}")


def check_digest(path: Path, promised: dict[str, Any]) -> None:
    """UserError unless ``path`` can be read and has the promised size and content."""
    check_file(path, promised)
    if fault := _fault_of_content(path, promised):
        raise UserError(f"{fault}; {ANEW_OR_COPIED}")


def fault_of(path: Path, promised: dict[str, Any]) -> str | None:
    """What is wrong with a file, in a sentence: its size or its content; None if it is as promised."""
    if fault := _fault_of_size(path, promised):
        return fault
    try:
        return _fault_of_content(path, promised)
    except UserError as error:
        return str(error)


def _fault_of_content(path: Path, promised: dict[str, Any]) -> str | None:
    damaged = sha256_of(path) != promised.get("sha256")
    return f"{path}: damaged, its content has changed since the store was made" if damaged else None


def _fault_of_size(path: Path, promised: dict[str, Any]) -> str | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return f"{path}: is missing"
    except OSError as error:
        return f"{path}: cannot be read ({error.strerror})"
    if not stat.S_ISREG(status.st_mode):
        return f"{path}: is not a regular file"
    if status.st_size != promised["bytes"]:
        return f"{path}: has {status.st_size:,} bytes instead of {promised['bytes']:,}"
    return None


def _refuse_what_is_no_store(store: Path, path: Path) -> None:
    if not store.exists():
        raise UserError(f"{store}: no such folder; make a store with `alexnet prepare SOURCE {store}`")
    if path.is_file():
        return
    if has_shards(store):
        raise UserError(
            f"{store}: holds parts of a store; put them together with `alexnet prepare SOURCE {store} --join`"
        )
    if (store / layout.JOURNAL).exists():
        raise UserError(f"{store}: the store is not finished; run the same `alexnet prepare` again, it continues")
    raise UserError(f"{store}: is not a store (no {layout.DESCRIPTION}); make one with `alexnet prepare SOURCE STORE`")


def _check_checksum(path: Path, description: dict[str, Any]) -> None:
    rest = {field: value for field, value in description.items() if field != "checksum"}
    try:
        checksum = canonical_digest(rest)
    except (ValueError, RecursionError):
        checksum = None
    if description.get("checksum") != checksum:
        raise UserError(f"{path}: damaged or edited, its checksum does not fit; restore it or {ANEW}")


class _Checker:
    """Types and ranges of the fields. The checksum shows damage; this shows a file made wrongly or with ill intent."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self, description: dict[str, Any]) -> None:
        self._need("size", description.get("size"), _whole(1, layout.MAXIMUM_SIZE))
        self._need("format", description.get("format"), lambda value: value in layout.FORMATS)
        for field in ("resample", "class_order", "fingerprint"):
            self._need(field, description.get(field), _text)
        self._need("decode", description.get("decode", "full"), _text)
        self._need("exif", description.get("exif"), lambda value: isinstance(value, bool))
        for field in ("class_ids", "class_names"):
            self._need(field, description.get(field), _texts)
        ids, names = description["class_ids"], description["class_names"]
        self._need("class_names", names, lambda value: len(value) == len(ids) > 0)
        parts = self._need("parts", description.get("parts"), _table)
        for name, part in parts.items():
            self._need(f"parts: {name[:80]!r}", name, lambda value: bool(layout.PART_NAME.fullmatch(value)))
            self._check_part(name, part, description["size"], description["format"])
        files = self._need("files", description.get("files"), _table)
        allowed = {layout.REPORT, *([layout.STATISTICS] if "train" in parts else [])}
        self._need("files", files, lambda value: set(value) == allowed)
        for name, promised in files.items():
            self._check_promise(name, promised, digest=True)

    def _check_part(self, name: str, part: Any, size: int, format: layout.Format) -> None:
        self._need(f"parts.{name}", part, _table)
        for field in ("count", "items", "refused", "noted"):
            self._need(f"parts.{name}.{field}", part.get(field), _whole(0, layout.MAXIMUM_COUNT))
        files = self._need(f"parts.{name}.files", part.get("files"), _table)
        self._need(f"parts.{name}.files", files, lambda value: set(value) == set(layout.files_of(format)))
        for file, promised in files.items():
            large = file in layout.LARGE
            self._check_promise(f"{name}/{file}", promised, digest=not large)
            if file.endswith(".npy"):
                expected = layout.array_bytes(file, part["count"], size)
                self._need(f"{name}/{file}", promised["bytes"], lambda value, expected=expected: value == expected)

    def _check_promise(self, name: str, promised: Any, *, digest: bool) -> None:
        self._need(name, promised, _table)
        self._need(f"{name}: bytes", promised.get("bytes"), _whole(0, 1 << 62))
        if digest:
            self._need(f"{name}: sha256", promised.get("sha256"), _text)

    def _need(self, field: str, value: Any, holds: Callable[[Any], bool]) -> Any:
        if not holds(value):
            raise UserError(f"{self.path}: {field} is {repr(value)[:80]}, which cannot be; {ANEW}")
        return value


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _table(value: Any) -> bool:
    return isinstance(value, dict)
