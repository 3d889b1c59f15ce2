"""The nearest of many vectors: every distance is computed, Euclidean between values, Hamming between codes.

N queries · M known vectors · D values of a vector · W words of a code.
"""

import numpy as np
import torch

from alexnet.data.batches import Progress
from alexnet.features.rows import Vectors

QUERIES_AT_ONCE = 256
KNOWN_AT_ONCE = 4096
WORDS_AT_ONCE = 1 << 16
"""Codes compared at a time: intermediate results stay in the processor's cache."""


def nearest(
    queries_nd: np.ndarray, known_md: Vectors, count: int, progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """For each query the positions of the `count` nearest of the known by Euclidean distance, the nearest first, int64
    (N, count), and the distances, float64. Of equals the first; fewer than `count` where fewer are known.

    Exact: every distance is computed, in float64. `known_md` may be on disk, of any float type: it is read block
    by block, once for every 256 queries. `progress` receives known vectors compared, and how many there are to compare.
    """
    count, total = min(count, len(known_md)), len(known_md)
    positions, distances = np.empty((len(queries_nd), count), np.int64), np.empty((len(queries_nd), count))
    rounds = range(0, len(queries_nd), QUERIES_AT_ONCE)
    for number, first in enumerate(rounds):
        rows = slice(first, first + QUERIES_AT_ONCE)
        queries = torch.from_numpy(queries_nd[rows].astype(np.float64))
        best, found = (torch.empty((len(queries), 0), dtype=dtype) for dtype in (torch.float64, torch.int64))
        for start in range(0, total, KNOWN_AT_ONCE):
            known = torch.from_numpy(np.array(known_md[start : start + KNOWN_AT_ONCE])).double()
            # |q − k|² = |k|² − 2 q·k + |q|²; the last term is the same for all of a query and is added at the end.
            squares = known.square().sum(dim=1) - 2 * queries @ known.T
            here = torch.arange(start, start + len(known)).expand(len(queries), -1)
            # The best so far come before their equals of this block, so that of equals the first is kept.
            both, both_positions = torch.cat([best, squares], dim=1), torch.cat([found, here], dim=1)
            order = both.sort(dim=1, stable=True).indices[:, :count]
            best, found = both.gather(1, order), both_positions.gather(1, order)
            if progress:
                progress(number * total + start + len(known), len(rounds) * total)
        squares = best + queries.square().sum(dim=1, keepdim=True)
        positions[rows], distances[rows] = found.numpy(), squares.clamp_min(0).sqrt().numpy()
    return positions, distances


def hamming(query_w: np.ndarray, codes_mw: np.ndarray) -> np.ndarray:
    """How many bits of each code differ from the query's, int16 (M,). Codes are words of any unsigned type."""
    differ = np.empty(len(codes_mw), np.int16)
    for first in range(0, len(codes_mw), WORDS_AT_ONCE):
        rows = slice(first, first + WORDS_AT_ONCE)
        np.add.reduce(np.bitwise_count(codes_mw[rows] ^ query_w), axis=1, dtype=np.int16, out=differ[rows])
    return differ


def hamming_nearest(queries_nw: np.ndarray, codes_mw: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """For each query's code the positions of the `count` codes with the fewest differing bits, the nearest first, int64
    (N, count), and the numbers of bits, int64. Of equals the first."""
    queries, known = as_words(queries_nw), as_words(codes_mw)
    count = min(count, len(known))
    positions, bits = np.empty((len(queries), count), np.int64), np.empty((len(queries), count), np.int64)
    for row, query_w in enumerate(queries):
        # Bits that differ are small whole numbers: counting them gives the radius without sorting all of them.
        differ = hamming(query_w, known)
        within = np.cumsum(np.bincount(differ, minlength=1))
        radius = int(np.searchsorted(within, count))
        inside = np.flatnonzero(differ <= radius)
        order = np.argsort(differ[inside], kind="stable")[:count]
        positions[row], bits[row] = inside[order], differ[inside[order]]
    return positions, bits


def as_words(codes: np.ndarray) -> np.ndarray:
    """Codes as bytes (M, bits / 8), or as wider words already, as the widest words that divide them."""
    width = codes.shape[1] * codes.itemsize
    word = np.uint64 if width % 8 == 0 else np.uint32 if width % 4 == 0 else np.uint8
    return np.ascontiguousarray(codes).view(word)


def recall(found: np.ndarray, true: np.ndarray) -> float:
    """The share of the true neighbours (N, count) that are among the found (N, at least count), 0 to 1."""
    return float(np.mean([np.isin(t, f).mean() for t, f in zip(true, found, strict=True)]))
