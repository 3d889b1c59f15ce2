"""Which pictures of a split a run was trained on: records that are equal, byte for byte.

A run folder keeps the first 8 bytes of each training record's digest in `trained_on.safetensors`, those of the run that
it was started from among them. N records of a split.
"""

from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch

from alexnet.data.store.description import is_store
from alexnet.data.store.read import Store, StoreSplit
from alexnet.errors import UserError
from alexnet.files.schema import check
from alexnet.files.tensors import load_tensors, save_tensors
from alexnet.runs.folder import TRAINED_ON, RunFolder

KEPT_BYTES = 8


class TrainedOn(TypedDict):
    """What is read of the file's metadata: how the records were made, of each store."""

    records: list[dict[str, Any]]


def save_trained_on(folder: Path, store: Store, source: RunFolder | None = None) -> None:
    """Keep the digests of a store's training split, and of what `source`, where the weights come from, was trained on,
    in a run folder that is being made."""
    records, digests = [kind_of_records(store)], digests_of(store.splits["train"])
    if source is not None and (known := trained_on(source)):
        records, digests = [*records, *known[0]], np.concatenate([digests, known[1]])
    rows = np.unique(digests).view(np.uint8).reshape(-1, KEPT_BYTES)
    save_tensors(folder / TRAINED_ON, {"digests": torch.from_numpy(rows)}, {"records": records})


def trained_on(run: RunFolder, store: Store | None = None) -> tuple[list[dict[str, Any]], np.ndarray] | None:
    """How the records were made that a run was trained on, and their digests, uint64. A run of an older version does
    not keep them: they are read from the store of its training, if that is `store` or still in its place. None if they
    are not known. Raises UserError for a damaged file."""
    path = run.path / TRAINED_ON
    if path.exists():
        tensors, about = load_tensors(path)
        check(about, TrainedOn, path, "Restore it from a copy, or remove it.")
        rows = tensors.get("digests", torch.zeros(0))
        if rows.dtype != torch.uint8 or rows.ndim != 2 or rows.shape[1] != KEPT_BYTES:
            held = f"{rows.dtype} {tuple(rows.shape)}"
            raise UserError(f"{path}: damaged, {held} are not digests. Restore it from a copy.")
        return about["records"], rows.contiguous().numpy().view(np.uint64)[:, 0]
    fingerprint = run.config.get("data", {}).get("fingerprint")
    if store is None or store.fingerprint != fingerprint:
        store = training_store(run)
    if store is None or store.fingerprint != fingerprint or "train" not in store.splits:
        return None
    return [kind_of_records(store)], digests_of(store.splits["train"])


def training_store(run: RunFolder) -> Store | None:
    """The store that the run was trained on; None if it is no longer there."""
    path = run.config.get("data", {}).get("path")
    return Store.open(Path(path)) if path and is_store(Path(path)) else None


def seen_in_training(run: RunFolder, store: Store, split: StoreSplit) -> np.ndarray | None:
    """For each picture of a split whether the run was trained on an equal record, bool (N,). None if that can't be
    checked: the run's training pictures are not known, or their records were made in another way."""
    known = trained_on(run, store)
    if known is None or kind_of_records(store) not in known[0]:
        return None
    return np.isin(digests_of(split), known[1])


def digests_of(split: StoreSplit) -> np.ndarray:
    """uint64 (N,): the beginning of each record's digest."""
    return np.ascontiguousarray(split.digests[:, :KEPT_BYTES]).view(np.uint64)[:, 0]


def kind_of_records(store: Store) -> dict[str, Any]:
    """What decides how a picture becomes a record: only records made alike can be compared by their digests."""
    made = {name: store.description[name] for name in ("resample", "exif")}
    return {"size": store.size, "format": store.format, **made, "decode": store.description.get("decode", "full")}
