"""What takes a look at every picture of a store: copies that are not bit-identical, and odd pictures.

Copies are found by difference hashes (each of 8 × 8 cells brighter than its right neighbour or not) and count as
copies if they also correlate as in `duplicates`. Blurred pictures are those whose Laplacian varies little (Pech-Pacheco
et al., Diatom autofocusing in brightfield microscopy, ICPR 2000). N pictures · B of a batch · E pairs · S side.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from alexnet.data.batches import Pictures, Progress, StepProgress, batches
from alexnet.data.store.check import Remark, remarks_on
from alexnet.data.store.read import Store
from alexnet.drawing import figure_grid, shortened, show
from alexnet.features.duplicates import BATCH, THRESHOLD, thumbnails_of
from alexnet.features.pictures import Pool
from alexnet.images.decode import ELONGATED_NOTE
from alexnet.text import counted, first_few, printable, table

BITS_APART = 3
"""Bits of 64 in which the hashes of copies may differ. Four bands of 16: one of them is then equal."""
BANDS, BAND_BITS = 4, 16
BLOCK = 4096
FLAT = 4.0
"""Standard deviation of the brightness, levels of 255, below which a picture shows nothing and its hash is chance."""
DARK, BRIGHT = 85.0, 170.0
"""Levels of 255: a picture is dark if 99 % of it lies below the first, bright if 99 % lies above the second."""
BLURRED, OF_MEDIAN = 30.0, 0.1
"""Variance of the Laplacian, levels², below which a picture is blurred, if it is also below this share of the set's
median. Finds 92 of 94 photographs that a Gaussian of 2 pixels at 256 blurred, and one of 374 others."""
SHOWN, COLUMNS = 24, 6
CLASSES_SHOWN = 30
TONES = 64
"""Side to which a picture is averaged before its tones are looked at: specks do not count."""
LAPLACIAN = torch.tensor([[[[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]]])


@dataclass(frozen=True, eq=False)
class Look:
    """Figures of each picture: `hashes` uint64 (N,); float32 (N,) in levels of 255: `dimmest` and `brightest`, the
    1 % and 99 % quantiles of the brightness, `contrast`, its standard deviation, `detail`, the variance of its
    Laplacian."""

    hashes: np.ndarray
    dimmest: np.ndarray
    brightest: np.ndarray
    contrast: np.ndarray
    detail: np.ndarray

    @property
    def flat(self) -> np.ndarray:
        """bool (N,): of nearly one tone."""
        return self.contrast < FLAT

    def odd(self) -> dict[str, np.ndarray]:
        """What is odd → the numbers of such pictures, the oddest first. A flat picture is only that."""
        shown, least = ~self.flat, min(BLURRED, OF_MEDIAN * float(np.median(self.detail)))
        kinds = {
            "of one tone": (self.flat, self.contrast),
            "dark": (shown & (self.brightest < DARK), self.brightest),
            "bright": (shown & (self.dimmest > BRIGHT), -self.dimmest),
            "blurred": (shown & (self.detail < least), self.detail),
        }
        return {what: _lowest(np.flatnonzero(odd), key) for what, (odd, key) in kinds.items()}


def _lowest(numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
    return numbers[np.argsort(values[numbers], kind="stable")]


def look_at(pictures: Pictures, progress: Progress | None = None) -> Look:
    """Read every picture once."""
    hashes, figures = [], []
    for records, indices in batches(pictures, BATCH, None, progress):
        grey_b1ss = records.float().mean(dim=3)[:, None]
        cells_b89 = F.adaptive_avg_pool2d(grey_b1ss, (8, 9))[:, 0].numpy()
        bits_b64 = (cells_b89[:, :, :-1] > cells_b89[:, :, 1:]).reshape(len(indices), 64)
        hashes.append(np.packbits(bits_b64, axis=1).view(">u8")[:, 0].astype(np.uint64))
        parts = F.adaptive_avg_pool2d(grey_b1ss, min(TONES, grey_b1ss.shape[-1])).flatten(1)
        tones = torch.quantile(parts, torch.tensor([0.01, 0.99]), dim=1)
        detail = F.conv2d(grey_b1ss, LAPLACIAN).flatten(1).var(dim=1, correction=0)
        contrast = grey_b1ss.flatten(1).std(dim=1, correction=0)
        figures.append(torch.stack([*tones, contrast, detail]).numpy())
    return Look(np.concatenate(hashes), *np.concatenate(figures, axis=1))


def copies(pictures: Pictures, look: Look, progress: Progress | None = None) -> np.ndarray:
    """int64 (E, 2): pairs of pictures that are copies, the earlier one first; of many copies of a picture each is
    paired with the first. Flat pictures are skipped, and mirrored copies are not searched for."""
    seen = np.flatnonzero(~look.flat)
    order = seen[np.argsort(look.hashes[seen], kind="stable")]
    distinct, starts, counts = np.unique(look.hashes[order], return_index=True, return_counts=True)
    firsts = order[starts]
    equal_e2 = np.column_stack([np.repeat(firsts, counts), order])
    near_e2 = firsts[near_pairs(distinct)]
    pairs = np.concatenate([equal_e2[equal_e2[:, 0] != equal_e2[:, 1]], np.sort(near_e2, axis=1)])
    pairs = pairs[np.lexsort(pairs.T[::-1])]
    return pairs[_correlations(pictures, pairs, progress) >= THRESHOLD]


def near_pairs(hashes: np.ndarray, apart: int = BITS_APART) -> np.ndarray:
    """int64 (E, 2): positions of hashes (all different) that differ in at most `apart` bits. Exact, for up to 3
    bits."""
    found = [np.zeros((0, 2), np.int64)]
    for band in range(BANDS):
        keys = (hashes >> np.uint64(band * BAND_BITS)) & np.uint64((1 << BAND_BITS) - 1)
        order = np.argsort(keys, kind="stable")
        ends = np.flatnonzero(np.diff(keys[order])) + 1
        for positions in np.split(order, ends):
            found += list(_near_in(hashes, positions, apart)) if len(positions) > 1 else []
    return np.unique(np.concatenate(found), axis=0)


def _near_in(hashes: np.ndarray, positions: np.ndarray, apart: int) -> Iterator[np.ndarray]:
    for start in range(0, len(positions), BLOCK):
        rows = positions[start : start + BLOCK]
        for other in range(start, len(positions), BLOCK):
            columns = positions[other : other + BLOCK]
            bits = np.bitwise_count(hashes[rows][:, None] ^ hashes[columns][None])
            pairs = np.argwhere(bits <= apart)
            both = np.column_stack([rows[pairs[:, 0]], columns[pairs[:, 1]]])
            yield np.sort(both[both[:, 0] != both[:, 1]], axis=1)


def _correlations(pictures: Pictures, pairs: np.ndarray, progress: Progress | None) -> np.ndarray:
    """float32 (E,), of the pairs' thumbnails."""
    found = [np.zeros(0, np.float32)]
    for first in range(0, len(pairs), BATCH):
        block = pairs[first : first + BATCH]
        once, positions = np.unique(block, return_inverse=True)
        one, other = thumbnails_of(pictures.read(once))[positions.reshape(block.shape).T]
        found.append(np.einsum("ed,ed->e", one, other))
        if progress:
            progress(first + len(block), len(pairs))
    return np.concatenate(found)


# ── a store ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Checked:
    """What was found in a store. Pictures go by their number in `pool`; `pairs` (E, 2) copies, `odd`
    what is odd → such pictures, the oddest first; `balance`: of each split, pictures of each class;
    `damaged`: records can't be read, so none was looked at."""

    remarks: list[Remark]
    pool: Pool
    pairs: np.ndarray
    odd: dict[str, np.ndarray]
    balance: dict[str, list[int]]
    classes: tuple[str, ...]
    damaged: bool

    def as_json(self) -> dict[str, Any]:
        """Plain values, pictures by their paths in the source."""
        keys = self.pool.keys
        return {
            "remarks": [remark.as_json() for remark in self.remarks],
            "classes": dict(zip(self.classes, zip(*self.balance.values(), strict=True), strict=True)),
            "parts": list(self.balance),
            "copies": [[keys[one], keys[other]] for one, other in self.pairs.tolist()],
            "odd": {what: [keys[number] for number in numbers.tolist()] for what, numbers in self.odd.items()},
        }

    def describe(self) -> str:
        """A table of classes and below it the remarks, faults first."""
        by_class = zip(self.classes, *self.balance.values(), strict=True)
        rows = [(name, *map("{:,}".format, counts)) for name, *counts in by_class]
        left = len(rows) - CLASSES_SHOWN
        more = [f"… and {left:,} more classes (--json has all)"] if left > 0 else []
        remarks = sorted(self.remarks, key=lambda remark: not remark.fault)
        lines = [f"{'FAULT: ' if remark.fault else ''}{remark.words}" for remark in remarks]
        classes = table(("class", *self.balance), rows[:CLASSES_SHOWN])
        return "\n".join([classes, *more, "", *(lines or ["nothing unusual was found"])])


def check_store(store: Store, progress: StepProgress | None = None) -> Checked:
    """Check every picture against its digest, look at each for copies and oddities, and count the classes."""
    report = progress or (lambda _what, _done, _total: None)
    damage = store.verify(lambda what, *done: report(f"digests, {what}", *done))
    pool, classes = Pool.of(store), len(store.class_ids)
    balance = {name: np.bincount(split.labels, minlength=classes).tolist() for name, split in pool.splits.items()}
    remarks = [*(Remark(fault, fault=True) for fault in damage), *remarks_on(store)]
    pairs, odd = np.zeros((0, 2), np.int64), dict[str, np.ndarray]()
    if len(pool) and not damage:
        look = look_at(pool, partial(report, "looking"))
        pairs, odd = (
            copies(pool, look, partial(report, "comparing")),
            look.odd() | {"elongated": _elongated(store, pool)},
        )
        remarks += [*_on_copies(store, pool, pairs), *_on_odd(store, pool, odd)]
    return Checked(remarks, pool, pairs, odd, balance, store.class_names, bool(damage))


def _on_copies(store: Store, pool: Pool, pairs: np.ndarray) -> Iterator[Remark]:
    names, owners = list(pool.splits), pool.owners(pairs)
    for one, other in sorted(set(map(tuple, owners.tolist()))):
        here = pairs[(owners == (one, other)).all(axis=1)]
        where = f"within {names[one]}" if one == other else f"between {names[one]} and {names[other]}"
        differ = int((pool.labels[here[:, 0]] != pool.labels[here[:, 1]]).sum())
        under = f", {differ:,} of them under two labels" if differ else ""
        first = " and ".join(printable(pool.keys[number]) for number in here[0])
        found = counted(len(here), "pair of pictures looks", "pairs of pictures look")
        yield Remark(f"{store.path}: {found} alike {where}{under}; the first: {first}")


def _on_odd(store: Store, pool: Pool, odd: dict[str, np.ndarray]) -> Iterator[Remark]:
    keys = pool.keys
    for what, numbers in odd.items():
        if len(numbers):
            some = first_few([printable(keys[number]) for number in numbers.tolist()])
            yield Remark(f"{store.path}: {counted(len(numbers), 'picture is', 'pictures are')} {what}: {some}")


def _elongated(store: Store, pool: Pool) -> np.ndarray:
    """The numbers of the pictures that `prepare` noted as such."""
    noted = {(one.split, one.key) for one in store.report() if ELONGATED_NOTE in one.why}
    places = [(name, key) for name, split in pool.splits.items() for key in split.keys] if noted else []
    return np.array([number for number, place in enumerate(places) if place in noted], np.int64)


# ── for people ───────────────────────────────────────────────────────────────────────────────────────────────────


def sheet(pool: Pool, odd: dict[str, np.ndarray], pairs: np.ndarray) -> Figure:
    """Odd pictures, then copies side by side, each with its path in the source."""
    named = [(what, number) for what, numbers in odd.items() for number in numbers.tolist()][:SHOWN]
    named += [("copy", number) for number in pairs[: SHOWN // 2].reshape(-1).tolist()]
    titles, numbers = zip(*named, strict=True)
    records, keys = pool.read(np.array(numbers, np.int64)), pool.keys
    figure, grid = figure_grid(-(-len(numbers) // COLUMNS), COLUMNS, 1.3, 1.5)
    for axes, number, title, record in zip(grid.flat, numbers, titles, records, strict=False):
        show(axes, record, f"{title}: {shortened(Path(keys[number]).name, 16)}", size=6)
    return figure
