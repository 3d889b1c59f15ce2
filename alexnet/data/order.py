"""Randomness as a function of position: the same (seed, purpose, epoch, picture) gives the same number, always.

So an epoch's order, a crop or a mirror can be recomputed after a resume, on any rank, with any batch size, without
any state to save. The numbers come from splitmix64 (Steele, Lea, Flood, OOPSLA 2014), written out here in
unsigned 64-bit arithmetic, so that no library's change of generator can alter a run.

Shapes: N pictures of the split · B pictures of a batch.
The 2012 code draws one crop and one mirror per chunk of 32 consecutive pictures: pass chunk numbers
(position in the epoch // 32) instead of picture indices.
"""

from enum import IntEnum

import numpy as np

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
FACTOR_1, FACTOR_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB

CROP_POSITIONS = 33
"""Offsets 0 … 32 of a 224 crop in 256 pixels, both ends included: 33 × 33 positions (2012 code)."""


class Purpose(IntEnum):
    """What a random number is for. Each purpose is a stream of its own; the values are part of every run's result."""

    ORDER = 1
    CROP = 2
    MIRROR = 3
    COLOUR = 4
    CUTOUT = 5


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which ``count`` pictures are visited in ``epoch``: a permutation, (N,) int64.

    Pictures are sorted by their random 64-bit number. For a fixed key splitmix64 is a bijection of the index, so
    no two numbers are equal and the order does not depend on the sorting method.
    """
    if count < 0:
        raise ValueError(f"count must not be negative, got {count}")
    numbers_n = bits_at(seed, Purpose.ORDER, epoch, np.arange(count))[:, 0]
    return np.argsort(numbers_n).astype(np.int64, copy=False)


def bits_at(seed: int, purpose: int, epoch: int, indices: np.ndarray, columns: int = 1) -> np.ndarray:
    """Uniform random bits for each position, (B, columns) uint64. ``indices`` (B,) integers: pictures or chunks."""
    places_b1 = np.asarray(indices).astype(np.uint64).reshape(-1, 1)
    keys_1c = np.array([[key_of_position(seed, purpose, epoch, column) for column in range(columns)]], dtype=np.uint64)
    return _mixed((places_b1 + np.uint64(1)) * np.uint64(GOLDEN) + keys_1c)


def key_of_position(*words: int) -> int:
    """One 64-bit number from several integers, each of them mixed in whole, their order included."""
    key = 0
    for word in words:
        key = _mixed_integer((key ^ _mixed_integer((word + GOLDEN) & MASK)) + GOLDEN & MASK)
    return key


def crop_offsets(seed: int, epoch: int, indices: np.ndarray, positions: int = CROP_POSITIONS) -> np.ndarray:
    """Upper and left edge of each picture's crop, each uniform over 0 … positions − 1, (B, 2) int64."""
    return uniform_integers(seed, Purpose.CROP, epoch, indices, positions, 2)


def uniform_integers(
    seed: int, purpose: int, epoch: int, indices: np.ndarray, bound: int, columns: int = 1
) -> np.ndarray:
    """Integers uniform over 0 … bound − 1 for each position, (B, columns) int64: of the upper 32 bits, uneven by
    less than bound / 2³²."""
    upper = bits_at(seed, purpose, epoch, indices, columns) >> np.uint64(32)
    return (upper * np.uint64(bound) >> np.uint64(32)).astype(np.int64)


def mirrors(seed: int, epoch: int, indices: np.ndarray) -> np.ndarray:
    """Whether each picture is mirrored left to right, with probability ½, (B,) bool."""
    return bits_at(seed, Purpose.MIRROR, epoch, indices)[:, 0] >> np.uint64(63) == 1


def normals(seed: int, epoch: int, indices: np.ndarray, columns: int = 3, purpose: int = Purpose.COLOUR) -> np.ndarray:
    """Standard normal numbers for each position, (B, columns) float32, by Box and Muller's formula. [A] §4.1."""
    bits_bc2 = bits_at(seed, purpose, epoch, indices, 2 * columns).reshape(-1, columns, 2)
    unit_bc2 = ((bits_bc2 >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53  # inside (0, 1): no log of 0
    radius_bc = np.sqrt(-2.0 * np.log(unit_bc2[..., 0]))
    return (radius_bc * np.cos(2.0 * np.pi * unit_bc2[..., 1])).astype(np.float32)


def _mixed(words: np.ndarray) -> np.ndarray:
    """splitmix64's finishing function: each output bit depends on all input bits; a bijection."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(FACTOR_1)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(FACTOR_2)
    return words ^ (words >> np.uint64(31))


def _mixed_integer(word: int) -> int:
    """``_mixed`` for one Python integer of 64 bits."""
    word = (word ^ (word >> 30)) * FACTOR_1 & MASK
    word = (word ^ (word >> 27)) * FACTOR_2 & MASK
    return word ^ (word >> 31)
