"""CIFAR-10 as downloaded: the batches of the python version, read without letting a pickle call anything."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.data.sources.base import Source, SourceSplit, check
from alexnet.errors import UserError
from alexnet.files.atomic import read_bounded
from alexnet.files.schema import reading_errors

FOLDER = "cifar-10-batches-py"
TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = "test_batch"
META = "batches.meta"
SIDE = 32
MOST_BYTES = 1 << 28


def cifar_folder(root: Path) -> Path | None:
    """The folder with the batches of a CIFAR-10 in ``root``, or None."""
    folders = (folder for folder in (root, root / FOLDER) if (folder / TRAIN[0]).is_file())
    return next(folders, None)


def open_cifar(root: Path) -> Source:
    """Splits "train" (50,000 pictures of 32 × 32 in five batches) and "test" (10,000), in the order of the batches."""
    meta = _load(root / META)
    names = _names(meta, root / META)
    splits = {"train": _split(root, TRAIN, len(names)), "test": _split(root, (TEST,), len(names))}
    return check(Source("cifar-10", names, names, "CIFAR-10 label", splits), str(root))


def _split(root: Path, batches: tuple[str, ...], classes: int) -> SourceSplit:
    loaded = {name: _batch(root / name, classes) for name in batches}
    pictures = np.concatenate([pictures_nhwc for pictures_nhwc, _ in loaded.values()])
    labels = np.concatenate([batch_labels for _, batch_labels in loaded.values()])
    keys = [f"{name}/{index:05d}" for name, (_, of_batch) in loaded.items() for index in range(len(of_batch))]
    return SourceSplit(keys, labels, pictures.__getitem__)


def _batch(path: Path, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, 32, 32, 3) and labels (N,) of one batch; the file holds planes: N × (3 · 32 · 32)."""
    batch = _load(path)
    data = batch.get("data")
    labels = batch.get("labels")
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != 3 * SIDE * SIDE:
        raise UserError(f"{path}: its 'data' are not rows of {3 * SIDE * SIDE} bytes: download it again")
    if not isinstance(labels, list) or len(labels) != len(data):
        raise UserError(f"{path}: does not have one label for each of its {len(data)} pictures: download it again")
    if not all(type(label) is int and 0 <= label < classes for label in labels):
        raise UserError(f"{path}: a label is not a whole number from 0 to {classes - 1}: download it again")
    pictures_nchw = data.reshape(-1, 3, SIDE, SIDE)
    return np.ascontiguousarray(pictures_nchw.transpose(0, 2, 3, 1)), np.array(labels, np.int64)


def _names(meta: dict[str, Any], path: Path) -> tuple[str, ...]:
    names = meta.get("label_names")
    if not isinstance(names, list) or not all(isinstance(name, bytes | str) for name in names):
        raise UserError(f"{path}: holds no 'label_names': download it again")
    return tuple(map(_text, names))


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _load(path: Path) -> dict[str, Any]:
    """The dictionary in a pickle file of plain data and byte arrays, its keys as text."""
    with reading_errors(path, "Download CIFAR-10's python version again."):
        content = _PlainUnpickler(io.BytesIO(read_bounded(path, MOST_BYTES)), encoding="bytes").load()
        if not isinstance(content, dict):
            raise ValueError("it holds no dictionary")
        named = {_text(key): value for key, value in content.items() if isinstance(key, bytes | str)}
        return {key: _array(value) if isinstance(value, _StandIn) else value for key, value in named.items()}


class _StandIn:
    """Stands in for numpy's array and dtype while unpickling: collects what the file says of them."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state


def _array(said: _StandIn) -> np.ndarray:
    """The array of bytes that a file describes. ValueError for another type."""
    _, shape, dtype, columns_first, data = said.state
    kind = dtype.arguments[0] if isinstance(dtype, _StandIn) and dtype.arguments else ""
    if _text(kind) not in ("u1", "|u1", "uint8") or not isinstance(data, bytes):
        raise ValueError("an array that is not of bytes")
    return np.frombuffer(data, np.uint8).reshape(shape, order="F" if columns_first else "C")


def _latin(text: str, encoding: bytes | str = "latin1") -> bytes:
    """Stands in for ``codecs.encode``, by which Python 3 writes bytes into an old pickle."""
    return text.encode(_text(encoding) if _text(encoding) == "latin1" else "ascii")


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _StandIn,
    ("numpy._core.multiarray", "_reconstruct"): _StandIn,
    ("numpy", "ndarray"): _StandIn,
    ("numpy", "dtype"): _StandIn,
    ("_codecs", "encode"): _latin,
}


class _PlainUnpickler(pickle._Unpickler):  # pyright: ignore[reportAttributeAccessIssue]
    """Knows arrays and plain values, nothing else. Python's own unpickler: the C one allocates what a file asks for."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch needs")
        return _KNOWN[module, name]
