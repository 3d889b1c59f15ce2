"""Tensors in one file with their metadata: safetensors, checksummed, written whole or not at all.

Files are read, not mapped: where a disk fails, a read raises an error that can be reported, a mapped page kills the
process.
"""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from alexnet.errors import UserError
from alexnet.files.atomic import faults_named, read_bounded, write_atomically
from alexnet.files.outputs import metadata_in
from alexnet.files.schema import parsed, reading_errors

LARGEST = 1 << 40
REMEDY = "Restore it from a copy."


class DamagedFile(UserError):
    """A file of tensors whose content is not what was written."""


def save_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, Any] | None = None) -> None:
    """Write `tensors` and the JSON object `about` into `path`. Raises UserError if the disk is full or not writable;
    the previous file is then still there."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    words = json.dumps(about or {}, sort_keys=True)
    write_atomically(path, save(plain, {"about": words, "sha256": tensor_digest(plain, words)}))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors in `path` and the JSON object saved with them. Raises DamagedFile if a byte differs."""
    data = read_bounded(path, LARGEST)
    with reading_errors(path, REMEDY, DamagedFile):
        metadata, tensors = metadata_in(io.BytesIO(data)), load(data)
        del data
        if tensor_digest(tensors, metadata["about"]) != metadata["sha256"]:
            raise DamagedFile(f"{path}: damaged, its checksum does not match. {REMEDY}")
        about = parsed(metadata["about"])
        if not isinstance(about, dict):
            raise ValueError("its metadata is not a JSON object")
        if "part" in about:  # an older name
            about["split"] = about.pop("part")
        return tensors, about


def digest_in(path: Path) -> str:
    """The checksum that a file of tensors records, without reading the tensors. Raises DamagedFile if there is
    none."""
    with reading_errors(path, REMEDY, DamagedFile), faults_named(path), open(path, "rb") as file:
        return metadata_in(file)["sha256"]


def tensor_digest(tensors: dict[str, Tensor], words: str = "") -> str:
    """sha256 hex over names, types, shapes and values: equal for equal weights, whatever file they are in. ``words``
    come before them."""
    digest = hashlib.sha256(words.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
