"""Sound files: of the formats that were given out, and small ones made on the spot."""

import io
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import mutate
import numpy as np
import torch
from mutate import Change
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load, save

from alexnet.files.outputs import metadata_in
from alexnet.files.schema import sealed
from alexnet.files.tensors import load_tensors, tensor_digest
from alexnet.nets import table_json
from alexnet.runs.folder import RunFolder

FORMATS = Path(__file__).resolve().parents[1] / "formats" / "store-1-run-1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))  # its makers of small sources


def copied(name: str, folder: Path) -> Path:
    """A store or run folder of a format that was given out, as a copy."""
    return Path(shutil.copytree(FORMATS / name, folder / name))


def small_run(name: str, folder: Path) -> Path:
    """A run folder of a format that was given out, its network cut down to six rows, which is faster."""
    path = copied(name, folder)
    run = RunFolder.open(path)
    rows = tuple(row for row in run.table.rows if row.name in ("conv1", "relu1", "norm1", "pool1", "dropout7", "fc8"))
    small = replace(run.table, rows=rows, columns=1)
    run.write_config(network=run.config["network"] | {"table": table_json.to_json(small)})
    run = RunFolder.open(path)
    weights = {name: torch.full_like(tensor, 0.01) for name, tensor in run.empty_network().state_dict().items()}
    if (path / "model.safetensors").exists():
        run.save_model(weights)
        run.save_snapshot(weights, 1)
    else:
        _, about = load_tensors(run.checkpoints()[0])
        state = {f"{kind}/{name}": one.clone() for kind in ("weight", "velocity") for name, one in weights.items()}
        run.save_checkpoint(0, state, about)
    return path


def npy_of(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def npz_of(arrays: dict[str, np.ndarray]) -> bytes:
    return mutate.zip_of({f"{name}.npy": npy_of(array) for name, array in arrays.items()})


def picture(kind: str, mode: str = "RGB", side: int = 8, **settings: Any) -> bytes:
    """A small drawn picture as a file."""
    pixels = np.random.default_rng(side).integers(0, 255, (side, side + 1, 4), np.uint8)
    stream = io.BytesIO()
    image = Image.fromarray(pixels).convert("RGB" if mode not in ("RGBA", "LA") else "RGBA")
    if mode.startswith("I;16"):
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 200)
    elif mode != image.mode:
        image = image.convert("L").convert(mode) if mode in ("1", "I", "F") else image.convert(mode)
    image.save(stream, kind, **settings)
    return stream.getvalue()


def json_sealed(change: Change) -> Change:
    """The change, and behind it, nine times in ten, a checksum that fits."""

    def changed(random: Random, data: bytes) -> bytes:
        found = change(random, data)
        return sealed_json(found) if random.random() < 0.9 else found

    return changed


def sealed_json(data: bytes) -> bytes:
    """A JSON object with a checksum that fits, where it can be written."""
    try:
        value = json.loads(data)
        return json.dumps(sealed(value)).encode() if isinstance(value, dict) else data
    except (ValueError, RecursionError):
        return data


def tensors_sealed(random: Random, data: bytes) -> bytes:
    """A file of `alexnet.files.tensors` with a tensor or what is said of them changed, its digest right."""
    if random.random() < 0.2:
        return mutate.safetensors(random, data)
    try:
        metadata, tensors = metadata_in(io.BytesIO(data)), load(data)
        about = json.loads(metadata["about"])
    except (SafetensorError, ValueError, KeyError, RecursionError):
        return mutate.any_bytes(random, data)
    words = json.dumps(about)
    if random.random() < 0.5:
        words = mutate.json_text(mutate.json_value(random, about)).decode("utf-8", "replace")
    else:
        plain = {name: tensor.numpy() for name, tensor in tensors.items() if tensor.dtype != torch.bfloat16}
        changed = mutate.arrays(random, plain)
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in changed.items()}
    return save(tensors, {"about": words, "sha256": tensor_digest(tensors, words)})


def either(first: Change, second: Change, share: float = 0.5) -> Change:
    return lambda random, data: (first if random.random() < share else second)(random, data)


def in_file(path: Path, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """Lay a case out as one file, and read it."""

    def take(data: bytes) -> object:
        path.write_bytes(data)
        return read(path)

    return take
