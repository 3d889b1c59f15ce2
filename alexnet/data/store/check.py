"""What is odd about a store and cheap to find: no picture is read. `train` reports it before the first epoch.

N records of a split · K classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from alexnet.data.store.layout import DIGEST_BYTES
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.text import counted, first_few

UNBALANCED = 10
"""How many times as many pictures as the smallest class the largest may have without a remark."""
SORTED_ORDERS = ("sorted", "sorted synset")
"""Beginnings of what a store calls an order of classes by their ids."""


@dataclass(frozen=True)
class Remark:
    """Something about a store, in a sentence. `fault`: the store is not what it should be; else it may be meant."""

    words: str
    fault: bool = False

    def as_json(self) -> dict[str, Any]:
        return {"remark": self.words, "fault": self.fault}


def remarks_on(store: Store) -> list[Remark]:
    """Classes without pictures, balance, order, equal pictures, statistics. Labels and sizes were checked when the
    store was opened."""
    return [*_classes(store), *_order(store), *_equal_pictures(store), *_statistics(store)]


def _classes(store: Store) -> Iterator[Remark]:
    for name, split in store.splits.items():
        if name not in ("train", "val") or not len(split):
            continue
        counts_k = np.bincount(split.labels, minlength=len(store.class_ids))
        if missing := [store.class_names[k] for k in np.flatnonzero(counts_k == 0)]:
            without = counted(len(missing), "class has", "classes have")
            yield Remark(f"{store.path}: {without} no {name} pictures: {first_few(missing)}", fault=name == "train")
        least, most = int(counts_k.argmin()), int(counts_k.argmax())
        if 0 < counts_k[least] * UNBALANCED <= counts_k[most]:
            yield Remark(
                f"{store.path}: {name} is unbalanced: {counts_k[most]:,} pictures of {store.class_names[most]}, "
                f"{counts_k[least]:,} of {store.class_names[least]}"
            )


def _order(store: Store) -> Iterator[Remark]:
    ids = store.class_ids
    if len(set(ids)) < len(ids):
        twice = sorted({ident for ident in ids if ids.count(ident) > 1})
        yield Remark(f"{store.path}: two classes with the id {first_few(twice)}", fault=True)
    if store.class_order.startswith(SORTED_ORDERS) and list(ids) != sorted(ids):
        index = next(k for k, (here, there) in enumerate(zip(ids, sorted(ids), strict=True)) if here != there)
        yield Remark(
            f"{store.path}: its order of classes is {store.class_order!r}, but class {index} is {ids[index]}; "
            " the labels may belong to other classes",
            fault=True,
        )


def _equal_pictures(store: Store) -> Iterator[Remark]:
    """By the records' digests: within a split, between training and the others, under several labels."""
    row = f"S{DIGEST_BYTES}"  # a digest as one value that can be sorted
    kept = {name: split for name, split in store.splits.items() if len(split)}
    splits = {name: (np.array(split.digests).view(row)[:, 0], split.labels) for name, split in kept.items()}
    for name, (rows_n, labels_n) in splits.items():
        distinct, first_n, back_n = np.unique(rows_n, return_index=True, return_inverse=True)
        if copies := len(rows_n) - len(distinct):
            other = int((labels_n != labels_n[first_n][back_n]).sum())
            under = f", {other:,} of them under another label" if other else ""
            yield Remark(f"{store.path}: {counted(copies, f'{name} picture is', f'{name} pictures are')} a copy{under}")
    for name, (rows_n, _) in splits.items():
        if name != "train" and "train" in splits and (shared := int(np.isin(rows_n, splits["train"][0]).sum())):
            yield Remark(
                f"{store.path}: {counted(shared, f'{name} picture is', f'{name} pictures are')} in train too; "
                "errors measured on them mean nothing"
            )


def _statistics(store: Store) -> Iterator[Remark]:
    if "train" not in store.splits or not len(store.splits["train"]):
        yield Remark(f"{store.path}: no train pictures, so no mean image", fault=True)
        return
    try:
        known, summed = store.statistics, store.sums.statistics()
    except UserError as fault:
        yield Remark(str(fault), fault=True)
        return
    for name in ("mean_image", "eigenvalues", "eigenvectors"):
        values = getattr(known, name)
        if not np.isfinite(values).all():
            yield Remark(f"{store.path}: {name} of its statistics holds NaN or infinite numbers", fault=True)
        elif not np.allclose(values, getattr(summed, name), rtol=1e-5, atol=1e-5):
            yield Remark(f"{store.path}: {name} of its statistics is not what its sums give", fault=True)
    if known.eigenvalues[0] < 1:
        yield Remark(f"{store.path}: all training pixels have nearly one colour")
