"""A store whose source has grown: only the new pictures are decoded, the others' records are taken from the store."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

import numpy as np

from alexnet.data.sources import Item, Source, SourceSplit
from alexnet.data.sources.base import UNLABELLED
from alexnet.data.store import layout
from alexnet.data.store.prepare import Limits, Preparation, folder_made, is_finished, source_fingerprint
from alexnet.data.store.read import Store, StoreSplit
from alexnet.data.store.records import Kept, Options
from alexnet.errors import UserError
from alexnet.files.atomic import expanded, faults_named
from alexnet.files.locks import locked
from alexnet.images.decode import Decoded

BEFORE = "before"
"""Where the old store lies, in the new one's folder, while the two change places."""


def known_in(destination: Path) -> dict[str, str]:
    """Key → split of the files that the finished store at ``destination`` was made of; empty if there is none."""
    if not is_finished(destination):
        return {}
    store = Store.open(destination)
    refused = {one.key: one.split for one in store.report() if one.outcome == "refused"}
    return refused | {key: name for name, split in store.splits.items() for key in split.keys}


def prepare_grown(
    source: Source, destination: str | Path, options: Options | None = None, **limits: Unpack[Limits]
) -> Store:
    """As `prepare`; but if there is a finished store of a part of ``source``, the new pictures are added to it.

    The part must be unchanged: its files' names, sizes, classes and splits. The new store is made next to the old one,
    in STORE.growing, and takes its place when it is finished; if interrupted, the same call resumes.
    """
    folder = Path(expanded(destination))
    growing = folder.with_name(f"{folder.name}.growing")
    if not folder.exists() and is_finished(growing):  # killed between the two renames
        os.rename(growing, folder)
    shutil.rmtree(folder / BEFORE, ignore_errors=True)
    whole = Preparation.of(source, folder, options or Options(), **limits)
    larger = _with_records_of(source, Store.open(folder)) if is_finished(folder) and not whole.is_of_source() else None
    if larger is None:
        return whole.made()
    whole.check_options()
    with locked(folder / layout.LOCK, f"{folder}: another `alexnet prepare` is writing it; wait for it to end"):
        if (there := folder_made(growing)) and layout.JOURNAL not in there and not is_finished(growing):
            raise UserError(f"{growing}: needed to add pictures to {folder}, but it holds other things; move them away")
        replace(whole, source=larger, folder=growing).made()
        with faults_named(folder):
            os.rename(folder, growing / BEFORE)
            os.rename(growing, folder)
    shutil.rmtree(folder / BEFORE, ignore_errors=True)
    return Store.open(folder)


def _with_records_of(source: Source, store: Store) -> Source | None:
    """``source``, reading from ``store`` what is in it; None if the store's source is no part of it, or has changed."""
    if not set(store.splits) <= set(source.splits) or not set(store.class_ids) <= set(source.class_ids):
        return None
    labels = np.array([*map(source.class_ids.index, store.class_ids)])
    label_before = np.full(len(source.class_ids) + 1, len(source.class_ids))
    label_before[[*labels, UNLABELLED]] = [*range(len(labels)), UNLABELLED]
    before: dict[str, SourceSplit] = {}
    splits: dict[str, SourceSplit] = {}
    for name, split in source.splits.items():
        if name not in store.splits:
            splits[name] = split
            continue
        odd = {one.key: one for one in store.report() if one.split == name}
        records = {key: index for index, key in enumerate(store.splits[name].keys)}
        refused = {key for key, one in odd.items() if one.outcome == "refused"}
        old = split.take(np.array([i for i, key in enumerate(split.keys) if key in records or key in refused], int))
        before[name] = replace(old, labels=label_before[old.labels])
        notes = {key: one.why for key, one in odd.items()}
        splits[name] = SourceSplit(split.keys, split.labels, _Reader(split, store.splits[name], records, notes))
    classes = {"class_ids": store.class_ids, "class_names": store.class_names, "class_order": store.class_order}
    found = source_fingerprint(replace(source, splits=before, **classes))
    return replace(source, splits=splits) if found == store.description["source"]["fingerprint"] else None


@dataclass(frozen=True)
class _Reader:
    """Reads a split: ``records`` by key from the store, with their notes; other pictures from the source."""

    split: SourceSplit
    there: StoreSplit
    records: Mapping[str, int]
    notes: Mapping[str, tuple[str, ...]]

    def __call__(self, position: int) -> bytes | np.ndarray | Decoded:
        item: Item = self.split[position]
        if (index := self.records.get(item.key)) is None:
            return item.read()
        pixels = self.there.read(np.array([index]), threads=1)[0]
        return Kept(pixels, self.notes.get(item.key, ()), self.there.record(index))

    def size_of(self, position: int) -> int | None:
        return self.split[position].size
