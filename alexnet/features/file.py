"""Features of many pictures on disk: an .npy file to be memory-mapped, and beside it, as JSON, what it holds.

    F.npy              float32 or float16, (N, units) or (N, maps, rows, columns)
    F.json             run, layer, views, pictures: keys and, of a store, labels and classes; what could not be read
    F.npy.unfinished   with F.npy.journal: what was done when the process was stopped; the same call goes on there

N pictures · D values of a picture.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from alexnet.choices import NumberType
from alexnet.data.store.journal import GrowingFile
from alexnet.data.store.layout import NPY_HEADER_BYTES, npy_header
from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.features.extract import Describer, Progress, describer
from alexnet.features.pictures import Pool, UnpreparedImages
from alexnet.features.rows import LazyArray
from alexnet.files.atomic import faults_named, sha256_between, write_atomically
from alexnet.files.locks import locked
from alexnet.files.npy import LONGEST_HEADER, described
from alexnet.files.outputs import head_of, refuse_foreign
from alexnet.files.schema import canonical_digest, is_altered, json_bytes, one_of, read_json, sealed, validate, whole
from alexnet.files.tensors import tensor_digest
from alexnet.measure.evaluation import check_size, part_of
from alexnet.measure.pictures import Named
from alexnet.measure.predict import Failure
from alexnet.measure.run import Run
from alexnet.measure.viewer import BATCH

FORMAT_VERSION = 1
SAVE_SECONDS = 5.0
LARGEST_JSON = 1 << 32  # keys of millions of pictures
ABOUT = {
    "count": whole(),
    "shape": [whole()],
    "type": one_of(*get_args(NumberType)),
    "layer??": str,
    "run??": str,
    "sha256??": str,
    "keys??": [str],
    "labels??": [whole()],
    "class_ids??": [str],
    "class_names??": [str],
}
JOURNAL = {
    "fingerprint??": str,
    "items": whole(),
    "rows": whole(),
    "left_out": [{"key": str, "why": str}],
    "sha256": str,
}
"""What the JSON files hold, as far as it is read."""


@dataclass(frozen=True, eq=False)
class Collection:
    """Pictures with all that the JSON file says of them. `identity` tells them from any others."""

    pictures: Pool | UnpreparedImages
    keys: Sequence[str]
    identity: dict[str, Any]
    labels: np.ndarray | None = None
    class_ids: tuple[str, ...] | None = None
    class_names: tuple[str, ...] | None = None

    @classmethod
    def of_store(cls, run: Run, store: Store, parts: Sequence[str] = ()) -> "Collection":
        """The named parts of a store, one behind the other; by default all. Raises UserError if its records are not
        as large as the run's, or if there is no such part."""
        check_size(run.folder, store)
        names = list(parts) or [name for name, part in store.parts.items() if len(part)]
        pool = Pool(tuple(part_of(store, name) for name in names))
        counts = {name: len(store.parts[name]) for name in names}
        identity = {"store": str(store.path.resolve()), "fingerprint": store.fingerprint, "parts": counts}
        return cls(pool, pool.keys, identity, pool.labels, store.class_ids, store.class_names)

    @classmethod
    def of_files(cls, run: Run, named: Sequence[Named]) -> "Collection":
        """Files and other pictures by their names."""
        names = [one.name for one in named]
        identity = {"files": len(named), "fingerprint": canonical_digest([_stamp(one) for one in named])}
        return cls(UnpreparedImages(run, [one.picture for one in named], names), names, identity)


def _stamp(named: Named) -> list[Any]:
    """Name, size and time of a file: another one has other features."""
    if not isinstance(named.picture, str):
        return [named.name, sha256(named.picture).hexdigest() if isinstance(named.picture, bytes) else ""]
    try:
        about = Path(named.picture).stat()
    except OSError:  # reading it will say so
        return [named.name, None]
    return [named.name, about.st_size, about.st_mtime_ns]


@dataclass
class Cursor:
    """How far it is: `items` pictures looked at, `rows` of them in the file, the others `left_out`."""

    items: int
    rows: int
    left_out: list[dict[str, str]]


def write_features(
    run: Run,
    collection: Collection,
    path: Path,
    *,
    layer: str | int | None = None,
    views: int = 1,
    number_type: NumberType = "float32",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The features of all pictures into `path` and the JSON file beside it, whose content is given back.

    Stopped, the same call goes on where it was and ends with the same bytes; finished, it finds that and does nothing.
    A file that can't be read is left out and listed. Raises UsageError for a path that does not end in .npy, UserError
    if other features are there, for values that are no numbers or too large for float16, and for a full disk.
    """
    if path.suffix != ".npy":
        raise UsageError(f"--out {path}: the name must end in .npy, as NumPy's files do.")
    describe = describer(run, layer, views)
    about = {
        "format_version": FORMAT_VERSION,
        "run": str(run.path.resolve()),
        "run_fingerprint": tensor_digest(run.network.state_dict()),
        "network": run.folder.table.name,
        "layer": describe.layer,
        "views": views,
        "shape": list(describe.shape),
        "type": number_type,
        "precision": run.placement.precision,
        "pictures": collection.identity,
    }
    fingerprint = canonical_digest({name: about[name] for name in about if name != "run"})
    refuse_foreign(path, lambda _: True)  # which features it holds is compared below
    refuse_foreign(path.with_suffix(".json"), describes_features)
    refuse_foreign(
        _unfinished(path), lambda begun: not any(head_of(begun)[:NPY_HEADER_BYTES]) or _journal(path).exists()
    )
    refuse_foreign(_journal(path), lambda journal: b'"fingerprint"' in head_of(journal))
    busy = f"{path}: another process is writing it. Wait for it to end."
    with locked(path.with_name(f".{path.name}.lock"), busy), faults_named(path):
        if path.exists():
            return _finished(path, fingerprint)
        return _written(path, describe, collection, about | {"fingerprint": fingerprint}, progress)


def describes_features(path: Path) -> bool:
    """Whether a JSON file is one that says what features, or an index of them, were made of."""
    return b'"run_fingerprint": "' in head_of(path)


def _finished(path: Path, fingerprint: str) -> dict[str, Any]:
    beside = path.with_suffix(".json")
    there = read_json(beside, LARGEST_JSON) if beside.exists() else {}
    if there.get("fingerprint") != fingerprint:
        what = f"{there.get('layer')} of {there.get('run')}" if there else "an array of another origin"
        raise UserError(f"{path}: holds other features ({what}). Name another file, or remove this one.")
    check_features(path, there)
    for left in (_journal(path), _unfinished(path)):
        left.unlink(missing_ok=True)
    return there


def _written(
    path: Path, describe: Describer, collection: Collection, about: dict[str, Any], progress: Progress | None
) -> dict[str, Any]:
    cursor = _taken_up(path, about)
    width = describe.size * np.dtype(about["type"]).itemsize
    head = bytes(NPY_HEADER_BYTES)
    file = GrowingFile(_unfinished(path), head, len(head) + cursor.rows * width, digested=True)
    with ExitStack() as stack:
        stack.callback(file.close)
        _fill(file, describe, collection, about, cursor, lambda: _save(path, file, about, cursor), progress)
        shape = (cursor.rows, *describe.shape)
        file.write_at(0, npy_header(np.dtype(about["type"]).str, shape))
        file.sync()
    found = {"count": cursor.rows, "sha256": file.digest, "left_out": cursor.left_out}
    content = sealed({**about, **found, **_listed(collection, cursor)})
    write_atomically(path.with_suffix(".json"), json_bytes(content))
    _unfinished(path).replace(path)
    _journal(path).unlink(missing_ok=True)
    return content


def _fill(
    file: GrowingFile,
    describe: Describer,
    collection: Collection,
    about: dict[str, Any],
    cursor: Cursor,
    save: Callable[[], None],
    progress: Progress | None,
) -> None:
    """Batch by batch, always the same batches, whatever was done before: so the bits are those of an unbroken run."""
    total, saved = len(collection.keys), time.monotonic()
    while cursor.items < total:
        indices = np.arange(cursor.items, min(cursor.items + BATCH, total))
        records, failures = _read(collection.pictures, indices)
        if len(records):
            values_bd = describe(torch.from_numpy(records)).numpy()
            _refuse_unsound(values_bd, about)
            file.append(values_bd.astype(about["type"]).tobytes())
        cursor.items, cursor.rows = int(indices[-1]) + 1, cursor.rows + len(records)
        cursor.left_out += [{"key": failure.name, "why": failure.reason} for failure in failures]
        if time.monotonic() - saved >= SAVE_SECONDS:
            save()
            saved = time.monotonic()
        if progress:
            progress(cursor.items, total)


def _read(pictures: Pool | UnpreparedImages, indices: np.ndarray) -> tuple[np.ndarray, list[Failure]]:
    return pictures.sound(indices) if isinstance(pictures, UnpreparedImages) else (pictures.read(indices), [])


def _refuse_unsound(values_bd: np.ndarray, about: dict[str, Any]) -> None:
    largest = float(np.abs(values_bd).max())
    if not np.isfinite(largest):
        raise UserError(f"{about['run']}: {about['layer']} gives values that are not numbers. Try --precision fp32.")
    if about["type"] == "float16" and largest > np.finfo(np.float16).max:
        raise UserError(f"{about['layer']} has values up to {largest:,.0f}, float16 holds 65,504. Take --type float32.")


def _listed(collection: Collection, cursor: Cursor) -> dict[str, Any]:
    """Keys, labels and classes of the rows."""
    absent = {entry["key"] for entry in cursor.left_out}
    return {
        "keys": [key for key in collection.keys if key not in absent],
        "labels": None if collection.labels is None else collection.labels.tolist(),
        "class_ids": collection.class_ids,
        "class_names": collection.class_names,
    }


def load_features(path: str | Path) -> tuple[np.ndarray, dict[str, Any]]:
    """The array, memory-mapped and read-only, and the content of the JSON file beside it. Raises UserError if one of
    them is absent or if they do not belong together."""
    path = Path(path)
    dtype, shape, start, about = _header(path)
    with faults_named(path):
        return np.memmap(path, dtype, "r", start, shape), about


def open_features(path: Path) -> tuple[LazyArray, dict[str, Any]]:
    """The same, the values as vectors that are read when they are asked for."""
    dtype, shape, start, about = _header(path)
    return LazyArray(path, dtype, shape, start), about


def _header(path: Path) -> tuple[np.dtype, tuple[int, ...], int, dict[str, Any]]:
    """Type, shape and first byte of the array, and what the JSON file says of it."""
    beside = path.with_suffix(".json")
    about = validate(read_json(beside, LARGEST_JSON), ABOUT, beside, "Make it anew.")
    try:
        with faults_named(path), open(path, "rb") as file:
            head = described(file.read(LONGEST_HEADER))
            size = os.fstat(file.fileno()).st_size
    except ValueError as fault:
        raise UserError(f"{path}: damaged or no .npy file ({fault}). Make it anew.") from fault
    if list(head.shape) != [about["count"], *about["shape"]] or head.dtype != about["type"] or head.columns_first:
        raise UserError(f"{path}: {head.dtype} {head.shape} is not what {beside} says it holds.")
    if size != head.start + head.bytes:
        raise UserError(f"{path}: damaged, it has {size:,} bytes. Make it anew.")
    for name in ("keys", "labels"):
        if about.get(name) is not None and len(about[name]) != about["count"]:
            raise UserError(
                f"{beside}: damaged, {len(about[name]):,} {name} for {about['count']:,} rows. Make it anew."
            )
    return head.dtype, head.shape, head.start, about


def check_features(path: Path, about: dict[str, Any]) -> None:
    """Raises UserError unless values and JSON file (`about`) are as they were written. Those of an older version that
    says nothing of it are taken."""
    if is_altered(about):
        words = f"damaged or edited, its checksum does not fit. Remove it and {path}, and make both anew."
        raise UserError(f"{path.with_suffix('.json')}: {words}")
    with faults_named(path):
        size = path.stat().st_size
    promised = about.get("sha256")
    if promised and sha256_between(path, NPY_HEADER_BYTES, size).hexdigest() != promised:
        raise UserError(f"{path}: damaged, its bytes have changed. Remove it and make it anew.")


# ── going on ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _unfinished(path: Path) -> Path:
    return path.with_name(f"{path.name}.unfinished")


def _journal(path: Path) -> Path:
    return path.with_name(f"{path.name}.journal")


def _save(path: Path, file: GrowingFile, about: dict[str, Any], cursor: Cursor) -> None:
    file.sync()
    content = {"fingerprint": about["fingerprint"], **asdict(cursor), "sha256": file.digest}
    write_atomically(_journal(path), json_bytes(sealed(content)))


def _taken_up(path: Path, about: dict[str, Any]) -> Cursor:
    """Where to go on: at the start where nothing, or less than the journal says, or damaged bytes are there. Raises
    UserError if other features were begun."""
    if not (_journal(path).exists() and _unfinished(path).exists()):
        return Cursor(0, 0, [])
    journal = _journal(path)
    known = validate(read_json(journal), JOURNAL, journal, f"Remove it and {_unfinished(path)}.")
    if is_altered(known):
        return Cursor(0, 0, [])
    if known.get("fingerprint") != about["fingerprint"]:
        raise UserError(
            f"{path}: other features were begun there (another run, layer or other pictures). Go on with those, name "
            f"another file, or remove {_unfinished(path)}."
        )
    cursor = Cursor(known["items"], known["rows"], known["left_out"])
    bytes_each = int(np.prod(about["shape"])) * np.dtype(about["type"]).itemsize
    end = NPY_HEADER_BYTES + cursor.rows * bytes_each
    if end > _unfinished(path).stat().st_size:
        return Cursor(0, 0, [])
    sound = sha256_between(_unfinished(path), NPY_HEADER_BYTES, end).hexdigest() == known["sha256"]
    return cursor if sound else Cursor(0, 0, [])
