"""Features of many pictures on disk: an .npy file to be memory-mapped, and beside it, as JSON, what it holds.

    F.npy              float32 or float16, (N, units) or (N, maps, rows, columns)
    F.json             run, layer, views, pictures: keys and, of a store, labels and classes; what could not be read
    F.npy.unfinished   with F.npy.journal: what was done when the process was stopped; the same call goes on there

N pictures · D values of a picture.
"""

import math
import os
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alexnet.choices import NumberType
from alexnet.data.store.layout import NPY_HEADER_BYTES, npy_header
from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.features.extract import Describer, Progress, describer
from alexnet.features.pictures import Pool, UnpreparedImages
from alexnet.features.rows import LazyArray
from alexnet.files.atomic import faults_named, sha256_between, write_atomically
from alexnet.files.growing import GrowingFile, UnsoundFile
from alexnet.files.locks import locked
from alexnet.files.npy import LONGEST_HEADER, described
from alexnet.files.outputs import head_of, refuse_foreign
from alexnet.files.schema import (
    Count,
    canonical_digest,
    check,
    from_json,
    is_altered,
    json_bytes,
    read_json,
    sealed,
    to_json,
)
from alexnet.files.tensors import tensor_digest
from alexnet.measure.evaluation import check_size, part_of
from alexnet.measure.pictures import Named
from alexnet.measure.run import Run
from alexnet.measure.viewer import BATCH

FORMAT_VERSION = 1
SAVE_SECONDS = 5.0
LARGEST_JSON = 1 << 32  # keys of millions of pictures


@dataclass(frozen=True)
class FeaturesJson:
    """What is read of the JSON file beside the values."""

    count: Count
    shape: tuple[Count, ...]
    type: NumberType
    layer: str | None = None
    run: str | None = None
    sha256: str | None = None
    keys: tuple[str, ...] | None = None
    labels: tuple[Count, ...] | None = None
    class_ids: tuple[str, ...] | None = None
    class_names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class LeftOut:
    """A picture that can't be read, and why."""

    key: str
    why: str


@dataclass(frozen=True)
class FeaturesJournal:
    """How far an unfinished file is: `items` pictures processed, of which `rows` are in the file, the others
    `left_out`. `sha256`: of the file's content so far."""

    fingerprint: str | None = None
    items: Count = 0
    rows: Count = 0
    left_out: tuple[LeftOut, ...] = ()
    sha256: str = ""


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
        names = list(parts) or [name for name, part in store.splits.items() if len(part)]
        pool = Pool(tuple(part_of(store, name) for name in names))
        counts = {name: len(store.splits[name]) for name in names}
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

    If interrupted, the same call resumes and ends with the same bytes; if finished, it does nothing. A file that can't
    be read is skipped and listed. Raises UsageError for a path that does not end in .npy, UserError
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
    file, journal = _opened(path, about)
    with closing(file):
        journal = _fill(path, file, journal, describe, collection, about, progress)
        shape = (journal.rows, *describe.shape)
        file.write_at(0, npy_header(np.dtype(about["type"]).str, shape))
        file.sync()
    absent = {left_out.key for left_out in journal.left_out}
    found = {
        "count": journal.rows,
        "sha256": file.digest,
        "left_out": [asdict(one) for one in journal.left_out],
        "keys": [key for key in collection.keys if key not in absent],
        "labels": None if collection.labels is None else collection.labels.tolist(),
        "class_ids": collection.class_ids,
        "class_names": collection.class_names,
    }
    content = sealed(about | found)
    write_atomically(path.with_suffix(".json"), json_bytes(content))
    _unfinished(path).replace(path)
    _journal(path).unlink(missing_ok=True)
    return content


def _fill(
    path: Path,
    file: GrowingFile,
    journal: FeaturesJournal,
    describe: Describer,
    collection: Collection,
    about: dict[str, Any],
    progress: Progress | None,
) -> FeaturesJournal:
    """Batch by batch, always the same batches, whatever was done before: so the bits are those of an unbroken run."""
    total, saved = len(collection.keys), time.monotonic()
    while journal.items < total:
        indices = np.arange(journal.items, min(journal.items + BATCH, total))
        records, failures = collection.pictures.sound(indices)
        if len(records):
            values_bd = describe(torch.from_numpy(records)).numpy()
            _refuse_unsound(values_bd, about)
            file.append(values_bd.astype(about["type"]).tobytes())
        journal = replace(
            journal,
            items=int(indices[-1]) + 1,
            rows=journal.rows + len(records),
            left_out=(*journal.left_out, *(LeftOut(failure.name, failure.reason) for failure in failures)),
        )
        if time.monotonic() - saved >= SAVE_SECONDS:
            file.sync()
            content = sealed(to_json(replace(journal, sha256=file.digest)))
            write_atomically(_journal(path), json_bytes(content))
            saved = time.monotonic()
        if progress:
            progress(journal.items, total)
    return journal


def _refuse_unsound(values_bd: np.ndarray, about: dict[str, Any]) -> None:
    largest = float(np.abs(values_bd).max())
    if not np.isfinite(largest):
        raise UserError(f"{about['run']}: {about['layer']} gives values that are not numbers. Try --precision fp32.")
    if about["type"] == "float16" and largest > np.finfo(np.float16).max:
        raise UserError(f"{about['layer']} has values up to {largest:,.0f}, float16 holds 65,504. Take --type float32.")


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
    about = check(read_json(beside, LARGEST_JSON), FeaturesJson, beside, "Make it again.")
    try:
        with faults_named(path), open(path, "rb") as file:
            head = described(file.read(LONGEST_HEADER))
            size = os.fstat(file.fileno()).st_size
    except ValueError as fault:
        raise UserError(f"{path}: damaged or no .npy file ({fault}). Make it again.") from fault
    if list(head.shape) != [about["count"], *about["shape"]] or head.dtype != about["type"] or head.columns_first:
        raise UserError(f"{path}: {head.dtype} {head.shape} is not what {beside} says it holds.")
    if size != head.start + head.bytes:
        raise UserError(f"{path}: damaged, it has {size:,} bytes. Make it again.")
    for name in ("keys", "labels"):
        if about.get(name) is not None and len(about[name]) != about["count"]:
            raise UserError(
                f"{beside}: damaged, {len(about[name]):,} {name} for {about['count']:,} rows. Make it again."
            )
    return head.dtype, head.shape, head.start, about


def check_features(path: Path, about: dict[str, Any]) -> None:
    """Raises UserError unless values and JSON file (`about`) are as they were written. Those of an older version that
    says nothing of it are taken."""
    if is_altered(about):
        words = f"damaged or edited, its checksum does not fit. Remove it and {path}, and make both again."
        raise UserError(f"{path.with_suffix('.json')}: {words}")
    with faults_named(path):
        size = path.stat().st_size
    promised = about.get("sha256")
    if promised and sha256_between(path, NPY_HEADER_BYTES, size).hexdigest() != promised:
        raise UserError(f"{path}: damaged, its bytes have changed. Remove it and make it again.")


# ── resuming ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _unfinished(path: Path) -> Path:
    return path.with_name(f"{path.name}.unfinished")


def _journal(path: Path) -> Path:
    return path.with_name(f"{path.name}.journal")


def _opened(path: Path, about: dict[str, Any]) -> tuple[GrowingFile, FeaturesJournal]:
    """The unfinished file and how far it is: at the start where nothing, or less than the journal says, or damaged
    bytes are there. Raises UserError if other features were begun."""
    head, bytes_each = bytes(NPY_HEADER_BYTES), math.prod(about["shape"]) * np.dtype(about["type"]).itemsize
    known = _known(path, about["fingerprint"])
    try:
        length = len(head) + known.rows * bytes_each
        return GrowingFile(_unfinished(path), head, length, digested=True, sha256_hex=known.sha256), known
    except UnsoundFile:
        begun = FeaturesJournal(about["fingerprint"])
        return GrowingFile(_unfinished(path), head, len(head), digested=True), begun


def _known(path: Path, fingerprint: str) -> FeaturesJournal:
    """What the journal says; the beginning where there is none."""
    journal = _journal(path)
    if not (journal.exists() and _unfinished(path).exists()):
        return FeaturesJournal(fingerprint)
    content = read_json(journal)
    known = from_json(content, FeaturesJournal, journal, f"Remove it and {_unfinished(path)}.")
    if is_altered(content):
        return FeaturesJournal(fingerprint)
    if known.fingerprint != fingerprint:
        raise UserError(
            f"{path}: other features were begun there (another run, layer or other pictures). Resume those, name "
            f"another file, or remove {_unfinished(path)}."
        )
    return known
