"""What wrote a file: the mark in each output, and the refusal to overwrite anybody else's."""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from alexnet.errors import UserError
from alexnet.files.atomic import faults_named, file_fault
from alexnet.files.schema import parsed

LARGEST_HEADER = 100_000_000
"""Bytes that safetensors itself allows."""


def metadata_in(file: BinaryIO) -> dict[str, str]:
    """The metadata at the beginning of a safetensors file. ValueError if there is none."""
    length = int.from_bytes(file.read(8), "little")
    if length > LARGEST_HEADER:
        raise ValueError(f"a header of {length:,} bytes")
    header = parsed(file.read(length))
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("no header of safetensors")
    return metadata


# ── outputs that the user names ──────────────────────────────────────────────────────────────────────────────────

GENERATOR = "generator"
"""The key in JSON files, and in the metadata of safetensors files, that names this program and the output."""
_MARKED = rb'tEXtSoftware\0|<meta name="generator" content="|"generator": "|<!-- '
_MARK = re.compile(rb"(?:" + _MARKED + rb")alexnet \(([a-z0-9 ]+)\)")
RUN_NEEDS = ("config.json", "model.safetensors", "inputs.safetensors")
"""Files without which a folder is no trained run."""
_RUN_TENSORS = {f"{name}.safetensors" for name in ("last", "velocities", "sample_weights", "trained_on")}
_RUN_FILES = {*RUN_NEEDS, *_RUN_TENSORS, "log.jsonl"}
_RUN_FOLDERS = {"state", "snapshots", "tensorboard"}


def about_in(path: Path) -> dict[str, Any]:
    """What a safetensors file of ours records about itself, read from its header; empty for any other file."""
    try:
        with open(path, "rb") as file:
            found = parsed(metadata_in(file)["about"])
    except (OSError, ValueError, KeyError):
        return {}
    return found if isinstance(found, dict) else {}


def mark(kind: str) -> str:
    """The mark of origin in an output file: the Software text of a PNG, the generator of an HTML page, a
    JSON file or a safetensors file. `kind`: lower-case words and digits, as in "report"."""
    return f"alexnet ({kind})"


def head_of(path: Path) -> bytes:
    """The first 4096 bytes of a file."""
    with faults_named(path), open(path, "rb") as file:
        return file.read(4096)


def kind_of(path: Path) -> str:
    """The kind in the `mark` that an output file begins with; empty for a file that this program did not write."""
    found = _MARK.search(head_of(path))
    return found[1].decode() if found else str(about_in(path).get(GENERATOR, ""))[len("alexnet (") : -1]


def refuse_foreign(path: Path, ours: str | Callable[[Path], bool], option: str = "--out") -> None:
    """Raises UserError if writing an output to `path` would replace anything but an earlier output of the same kind.

    Call it before the work. `ours`: the output's `kind_of`, or a test of the file itself; `option`: what the user
    chooses the path with, "" where it is fixed. The parent folders are made.
    """
    remedy = f"It is not replaced: {f'choose another {option}, or ' if option else ''}move it."
    for folder in path.resolve().parents:
        inside = path.resolve().relative_to(folder).parts
        if (store := folder / "store.json").is_file() and b"alexnet store" in head_of(store):
            raise UserError(f"{path}: is inside the store {folder}, which holds nothing else; choose another {option}.")
        own = inside[0] in _RUN_FOLDERS or (len(inside) == 1 and inside[0] in _RUN_FILES)
        if own and (folder / "config.json").exists() and (folder / "inputs.safetensors").exists():
            raise UserError(f"{path}: is a file of the run {folder} itself. {remedy}")
    with faults_named(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise file_fault(PermissionError(errno.EACCES, ""), path.parent)
    if not os.path.lexists(path):
        return
    if not path.is_file():
        raise UserError(f"{path}: exists and is no regular file. {remedy}")
    if not (ours(path) if callable(ours) else kind_of(path) == ours):
        raise UserError(f"{path}: exists, and was not written by this command. {remedy}")
