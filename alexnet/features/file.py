"""Features of many pictures on disk: an .npy file to be memory-mapped, and next to it a JSON file that describes it.

    F.npy              float32 or float16, (N, units) or (N, maps, rows, columns)
    F.json             run, layer, views; keys of the pictures and, of a store, labels and classes; unreadable pictures
    F.npy.unfinished   with F.npy.journal: what an interrupted process has done; the same call resumes from there

N pictures · D values of a picture.
"""

import math
import os
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alexnet.choices import NumberType
from alexnet.data.batches import Progress
from alexnet.data.store.layout import NPY_HEADER_BYTES, npy_header
from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.features.extract import Describer, describer
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
from alexnet.measure.evaluation import check_size
from alexnet.measure.pictures import Named
from alexnet.measure.run import Run
from alexnet.measure.viewer import BATCH

FORMAT_VERSION = 1
SAVE_SECONDS = 5.0
LARGEST_JSON = 1 << 32  # keys of millions of pictures
AGAIN = "Make it again."


@dataclass(frozen=True)
class FeaturesJson:
    """What is read of the JSON file next to the values."""

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
class Skipped:
    """A picture that can't be read, and why."""

    key: str
    why: str


@dataclass
class FeaturesJournal:
    """How far an unfinished file is: `items` pictures processed, of which `rows` are in the file, the others
    `left_out`. `sha256`: of the file's content so far."""

    fingerprint: str | None = None
    items: Count = 0
    rows: Count = 0
    left_out: list[Skipped] = field(default_factory=list)
    sha256: str = ""


@dataclass(frozen=True, eq=False)
class Collection:
    """Pictures with all that the JSON file says of them. `identity` distinguishes them from any others; `classes`: of
    a store, "labels", "class_ids" and "class_names"."""

    pictures: Pool | UnpreparedImages
    keys: Sequence[str]
    identity: dict[str, Any]
    classes: dict[str, Any]

    @classmethod
    def of_store(cls, run: Run, store: Store, splits: Sequence[str] = ()) -> "Collection":
        """The named splits of a store, in this order; by default all. Raises UserError if its records are not as large
        as the run's, or if there is no such split."""
        check_size(run.folder, store)
        pool = Pool.of(store, splits)
        counts = {name: len(split) for name, split in pool.splits.items()}
        identity = {"store": str(store.path.resolve()), "fingerprint": store.fingerprint, "parts": counts}
        classes = {"labels": pool.labels.tolist(), "class_ids": store.class_ids, "class_names": store.class_names}
        return cls(pool, pool.keys, identity, classes)

    @classmethod
    def of_files(cls, run: Run, named: Sequence[Named]) -> "Collection":
        """Files and other pictures by their names."""
        identity = {"files": len(named), "fingerprint": canonical_digest([_stamp(one) for one in named])}
        nothing = {"labels": None, "class_ids": None, "class_names": None}
        return cls(UnpreparedImages(run, named), [one.name for one in named], identity, nothing)


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
    """Write the features of all pictures to `path` and the JSON file next to it, whose content is returned.

    If interrupted, the same call resumes and ends with the same bytes; if finished, it does nothing. A file that can't
    be read is skipped and listed. Raises UsageError for a path that does not end in .npy, UserError if other features
    are there, for values that are not numbers or too large for float16, and for a full disk.
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
    about["fingerprint"] = canonical_digest({name: about[name] for name in about if name != "run"})
    unfinished, journal = _beside(path)
    refuse_foreign(path, lambda _: True)  # which features it holds is compared below
    refuse_foreign(path.with_suffix(".json"), describes_features)
    refuse_foreign(unfinished, lambda begun: not any(head_of(begun)[:NPY_HEADER_BYTES]) or journal.exists())
    refuse_foreign(journal, lambda journal: b'"fingerprint"' in head_of(journal))
    busy = f"{path}: another process is writing it. Wait for it to end."
    with locked(path.with_name(f".{path.name}.lock"), busy), faults_named(path):
        content = _finished(path, about) if path.exists() else _written(path, describe, collection, about, progress)
        for left in (unfinished, journal):
            left.unlink(missing_ok=True)
        return content


def describes_features(path: Path) -> bool:
    """Whether a JSON file is one that says what features, or an index of them, were made of."""
    return b'"run_fingerprint": "' in head_of(path)


def _beside(path: Path) -> tuple[Path, Path]:
    """The unfinished file and its journal."""
    return path.with_name(f"{path.name}.unfinished"), path.with_name(f"{path.name}.journal")


def _finished(path: Path, about: dict[str, Any]) -> dict[str, Any]:
    """The JSON of the features that are there. Raises UserError unless they are those of `about`, undamaged."""
    beside = path.with_suffix(".json")
    there = read_json(beside, LARGEST_JSON) if beside.exists() else {}
    if there.get("fingerprint") != about["fingerprint"]:
        what = f"{there.get('layer')} of {there.get('run')}" if there else "an array of another origin"
        raise UserError(f"{path}: holds other features ({what}). Name another file, or remove this one.")
    check_features(path, there)
    return there


def _written(
    path: Path, describe: Describer, collection: Collection, about: dict[str, Any], progress: Progress | None
) -> dict[str, Any]:
    """Batch by batch, always the same batches, whatever was done before, so that the bits are those of an unbroken
    run."""
    file, done = _opened(path, about)
    total, saved = len(collection.keys), time.monotonic()
    with closing(file):
        while done.items < total:
            indices = np.arange(done.items, min(done.items + BATCH, total))
            records, failures = collection.pictures.sound(indices)
            if len(records):
                values_bd = describe(torch.from_numpy(records)).numpy()
                _refuse_unsound(values_bd, about)
                file.append(values_bd.astype(about["type"]).tobytes())
            done.items, done.rows = done.items + len(indices), done.rows + len(records)
            done.left_out += [Skipped(failure.name, failure.reason) for failure in failures]
            if time.monotonic() - saved >= SAVE_SECONDS:
                file.sync()
                done.sha256 = file.digest
                write_atomically(_beside(path)[1], json_bytes(sealed(to_json(done))))
                saved = time.monotonic()
            if progress:
                progress(done.items, total)
        file.write_at(0, npy_header(np.dtype(about["type"]).str, (done.rows, *describe.shape)))
        file.sync()
    skipped = {one.key for one in done.left_out}
    found = {
        "count": done.rows,
        "sha256": file.digest,
        "left_out": to_json(done.left_out),
        "keys": [key for key in collection.keys if key not in skipped],
    }
    content = sealed(about | found | collection.classes)
    write_atomically(path.with_suffix(".json"), json_bytes(content))
    file.path.replace(path)
    return content


def _opened(path: Path, about: dict[str, Any]) -> tuple[GrowingFile, FeaturesJournal]:
    """The unfinished file and how far it is: at the start if there is none, or if it is shorter than its journal says
    or damaged. Raises UserError if other features were begun."""
    unfinished, journal = _beside(path)
    begun, remedy = FeaturesJournal(about["fingerprint"]), f"Remove it and {unfinished}."
    known = begun
    if journal.exists() and unfinished.exists():
        content = read_json(journal)
        known = from_json(content, FeaturesJournal, journal, remedy)
        if is_altered(content):
            known = begun
        elif known.fingerprint != about["fingerprint"]:
            raise UserError(
                f"{path}: other features were begun there (another run, layer or other pictures). Resume those, name "
                f"another file, or remove {unfinished}."
            )
    head, row_bytes = bytes(NPY_HEADER_BYTES), math.prod(about["shape"]) * np.dtype(about["type"]).itemsize
    try:
        length = len(head) + known.rows * row_bytes
        return GrowingFile(unfinished, head, length, digested=True, sha256_hex=known.sha256), known
    except UnsoundFile:
        return GrowingFile(unfinished, head, len(head), digested=True), begun


def _refuse_unsound(values_bd: np.ndarray, about: dict[str, Any]) -> None:
    largest = float(np.abs(values_bd).max())
    if not np.isfinite(largest):
        raise UserError(f"{about['run']}: {about['layer']} gives values that are not numbers. Try --precision fp32.")
    if about["type"] == "float16" and largest > np.finfo(np.float16).max:
        raise UserError(f"{about['layer']} has values up to {largest:,.0f}, float16 holds 65,504. Use --type float32.")


def load_features(path: str | Path) -> tuple[np.ndarray, dict[str, Any]]:
    """The array, memory-mapped and read-only, and the content of the JSON file next to it. Raises UserError if one of
    them is absent or if they do not belong together."""
    path = Path(path)
    dtype, shape, start, about = _header(path)
    with faults_named(path):
        return np.memmap(path, dtype, "r", start, shape), about


def open_features(path: Path) -> tuple[LazyArray, dict[str, Any]]:
    """The same, the values as vectors that are read from disk on access."""
    dtype, shape, start, about = _header(path)
    return LazyArray(path, dtype, shape, start), about


def _header(path: Path) -> tuple[np.dtype, tuple[int, ...], int, dict[str, Any]]:
    """Type, shape and first byte of the array, and what the JSON file says of it."""
    beside = path.with_suffix(".json")
    about = check(read_json(beside, LARGEST_JSON), FeaturesJson, beside, AGAIN)
    try:
        with faults_named(path), open(path, "rb") as file:
            head = described(file.read(LONGEST_HEADER))
            size = os.fstat(file.fileno()).st_size
    except ValueError as fault:
        raise UserError(f"{path}: damaged or no .npy file ({fault}). {AGAIN}") from fault
    if list(head.shape) != [about["count"], *about["shape"]] or head.dtype != about["type"] or head.columns_first:
        raise UserError(f"{path}: {head.dtype} {head.shape} is not what {beside} says it holds.")
    if size != head.start + head.bytes:
        raise UserError(f"{path}: damaged, it has {size:,} bytes. {AGAIN}")
    for name in ("keys", "labels"):
        if about.get(name) is not None and len(about[name]) != about["count"]:
            raise UserError(f"{beside}: damaged, {len(about[name]):,} {name} for {about['count']:,} rows. {AGAIN}")
    return head.dtype, head.shape, head.start, about


def check_features(path: Path, about: dict[str, Any]) -> None:
    """Raises UserError unless values and JSON file (`about`) are as they were written. Files of
    an older version, without checksums, are accepted."""
    if is_altered(about):
        words = f"damaged or edited, its checksum does not fit. Remove it and {path}, and make both again."
        raise UserError(f"{path.with_suffix('.json')}: {words}")
    with faults_named(path):
        size = path.stat().st_size
    promised = about.get("sha256")
    if promised and sha256_between(path, NPY_HEADER_BYTES, size).hexdigest() != promised:
        raise UserError(f"{path}: damaged, its bytes have changed. Remove it and make it again.")
