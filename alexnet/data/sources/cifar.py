"""CIFAR-10 as downloaded: the batches of the python version, read without letting a pickle call anything."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.data.sources.base import Source, SourceSplit, check
from alexnet.errors import UserError

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
    keys: list[str] = []
    pictures: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for name in batches:
        pictures_nhwc, batch_labels = _batch(root / name, classes)
        pictures.append(pictures_nhwc)
        labels.append(batch_labels)
        keys += [f"{name}/{index:05d}" for index in range(len(batch_labels))]
    return SourceSplit(keys, np.concatenate(labels), np.concatenate(pictures).__getitem__)


def _batch(path: Path, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, 32, 32, 3) and labels (N,) of one batch; the file holds planes: N × (3 · 32 · 32)."""
    batch = _load(path)
    data = batch.get("data")
    labels = batch.get("labels")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3 * SIDE * SIDE:
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
    return tuple(_text(name) for name in names)


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _load(path: Path) -> dict[str, Any]:
    """The dictionary in a pickle file of plain data and byte arrays, its keys as text."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{path}: over {MOST_BYTES >> 20} MB, not a batch of CIFAR-10")
        content = _PlainUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        if not isinstance(content, dict):
            raise ValueError("it holds no dictionary")
        return {
            _text(key): value.array() if isinstance(value, _Array) else value
            for key, value in content.items()
            if isinstance(key, bytes | str)
        }
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UserError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise UserError(f"{path}: not a batch of CIFAR-10's python version ({error}): download it again") from None


class _Array:
    """Stands in for numpy's array while unpickling: collects what the file says, and checks it before use."""

    def __init__(self, *_: object) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def array(self) -> np.ndarray:
        _, shape, dtype, columns_first, data = self.state
        if not isinstance(dtype, _Type) or dtype.name not in ("u1", "|u1", "uint8") or not isinstance(data, bytes):
            raise ValueError("an array that is not of bytes")
        return np.frombuffer(data, np.uint8).reshape(shape, order="F" if columns_first else "C")


class _Type:
    """Stands in for numpy's dtype."""

    def __init__(self, name: bytes | str = "", *_: object) -> None:
        self.name = _text(name)

    def __setstate__(self, state: object) -> None:
        pass


def _latin(text: str, encoding: bytes | str = "latin1") -> bytes:
    """Stands in for ``codecs.encode``, by which Python 3 writes bytes into an old pickle."""
    return text.encode(_text(encoding) if _text(encoding) == "latin1" else "ascii")


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _latin,
}


class _PlainUnpickler(pickle._Unpickler):  # pyright: ignore[reportAttributeAccessIssue]
    """Knows arrays and plain values, nothing else. Python's own unpickler: the C one allocates what a file asks for."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch needs") from None
