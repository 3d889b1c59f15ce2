"""Randomness by place: fixed for ever, uniform, and without ties between its streams."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alexnet.data.order import Purpose, bits_at, crop_offsets, epoch_order, key_of_position, mirrors, normals

MASK = (1 << 64) - 1

GOLDEN_ORDER = [3, 0, 7, 9, 4, 2, 8, 1, 6, 5]
GOLDEN_ORDER_SEED_1 = [9, 1, 2, 5, 3, 6, 7, 0, 8, 4]
GOLDEN_ORDER_EPOCH_1 = [0, 3, 9, 4, 7, 1, 5, 6, 8, 2]
GOLDEN_CROPS = [[29, 6], [24, 9], [27, 26], [18, 12]]
GOLDEN_MIRRORS = [1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1]
GOLDEN_NORMALS = [[0.9886133, -0.4220752, -0.5656342], [0.582212, -0.2853973, -1.161955]]


def splitmix64(state: int) -> int:
    """One output of the published generator (Vigna's splitmix64.c), in Python integers."""
    state = (state + 0x9E3779B97F4A7C15) & MASK
    word = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & MASK
    return word ^ (word >> 31)


def chi_square(counts: np.ndarray) -> float:
    """How many standard deviations the χ² of equal expected counts lies above its mean."""
    expected = counts.sum() / counts.size
    freedom = counts.size - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom))


def test_reference_of_the_generator() -> None:
    # Published: the first output of splitmix64 from state 0.
    assert splitmix64(0) == 0xE220A8397B1DCDAF


def test_bits_are_the_outputs_of_splitmix64_from_the_key() -> None:
    key = key_of_position(7, Purpose.CROP, 3, 0)
    state, expected = key, []
    for _ in range(5):
        expected.append(splitmix64(state))
        state = (state + 0x9E3779B97F4A7C15) & MASK
    assert bits_at(7, Purpose.CROP, 3, np.arange(5))[:, 0].tolist() == expected


def test_golden_values() -> None:
    """Whoever changes these changes every run there is."""
    assert epoch_order(10, seed=0, epoch=0).tolist() == GOLDEN_ORDER
    assert epoch_order(10, seed=1, epoch=0).tolist() == GOLDEN_ORDER_SEED_1
    assert epoch_order(10, seed=0, epoch=1).tolist() == GOLDEN_ORDER_EPOCH_1
    assert crop_offsets(0, 0, np.arange(4)).tolist() == GOLDEN_CROPS
    assert mirrors(0, 0, np.arange(12)).astype(int).tolist() == GOLDEN_MIRRORS
    np.testing.assert_allclose(normals(0, 0, np.arange(2)), GOLDEN_NORMALS, rtol=1e-6)


@given(st.integers(0, 3000), st.integers(0, 2**63), st.integers(0, 10_000))
def test_order_is_a_permutation_and_pure(count: int, seed: int, epoch: int) -> None:
    order = epoch_order(count, seed, epoch)
    assert order.dtype == np.int64
    assert np.array_equal(np.sort(order), np.arange(count))
    assert np.array_equal(order, epoch_order(count, seed, epoch))


@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 2**40), min_size=1, max_size=50))
def test_a_place_has_its_number_whatever_the_batch(seed: int, indices: list[int]) -> None:
    together = crop_offsets(seed, 5, np.array(indices))
    alone = np.concatenate(
        [crop_offsets(seed, 5, np.array([index], np.int32 if index < 2**31 else None)) for index in indices]
    )
    assert np.array_equal(together, alone)


def test_columns_do_not_depend_on_how_many_are_asked_for() -> None:
    assert np.array_equal(bits_at(1, 2, 3, np.arange(9), 5)[:, :2], bits_at(1, 2, 3, np.arange(9), 2))


def test_order_of_imagenet_in_half_a_second() -> None:
    start = time.process_time()
    epoch_order(1_281_167, 0, 0)
    assert time.process_time() - start < 0.5


def test_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        epoch_order(-1, 0, 0)


def test_crops_are_uniform_over_33_by_33() -> None:
    offsets = crop_offsets(11, 2, np.arange(500_000))
    counts = np.bincount(offsets[:, 0] * 33 + offsets[:, 1], minlength=33 * 33)
    assert counts.size == 33 * 33
    assert abs(chi_square(counts)) < 5


def test_other_crop_ranges() -> None:
    assert set(np.unique(crop_offsets(0, 0, np.arange(2000), 5))) == set(range(5))
    assert not crop_offsets(0, 0, np.arange(100), 1).any()


def test_mirrors_are_even() -> None:
    share = mirrors(3, 1, np.arange(400_000)).mean()
    assert abs(share - 0.5) < 5 * 0.5 / np.sqrt(400_000)


def test_normals_are_normal() -> None:
    values = normals(5, 6, np.arange(300_000)).astype(np.float64)
    assert np.isfinite(values).all()
    count = values.size
    assert abs(values.mean()) < 5 / np.sqrt(count)
    assert abs(values.var() - 1) < 5 * np.sqrt(2 / count)
    assert abs((values**4).mean() - 3) < 5 * np.sqrt(96 / count)
    assert np.abs(np.corrcoef(values.T) - np.eye(3)).max() < 5 / np.sqrt(len(values))
    inside = [np.mean(np.abs(values) < sigma) for sigma in (1, 2, 3)]
    np.testing.assert_allclose(inside, [0.6827, 0.9545, 0.9973], atol=2e-3)


def test_all_bits_are_uniform_and_neighbours_independent() -> None:
    bits = bits_at(9, 1, 0, np.arange(1 << 16))[:, 0]
    ones = np.array([np.mean(bits >> np.uint64(bit) & np.uint64(1)) for bit in range(64)])
    assert np.abs(ones - 0.5).max() < 5 * 0.5 / 2**8
    flipped = np.bitwise_count(bits[1:] ^ bits[:-1]).astype(float)
    assert abs(flipped.mean() - 32) < 5 * 4 / 2**8


@pytest.mark.parametrize(
    "other", [(1, Purpose.ORDER, 0), (0, Purpose.CROP, 0), (0, Purpose.ORDER, 1), (2**63, Purpose.ORDER, 0)]
)
def test_seeds_purposes_and_epochs_are_independent(other: tuple[int, int, int]) -> None:
    """No joint structure: 16 × 16 cells of the top bits of both streams are equally full."""
    places = np.arange(200_000)
    ours, theirs = bits_at(0, Purpose.ORDER, 0, places)[:, 0], bits_at(*other, places)[:, 0]
    cells = (ours >> np.uint64(60)) * np.uint64(16) + (theirs >> np.uint64(60))
    assert abs(chi_square(np.bincount(cells.astype(int), minlength=256))) < 5
    assert abs(np.corrcoef(np.argsort(ours), np.argsort(theirs))[0, 1]) < 5 / np.sqrt(len(places))


def test_keys_tell_their_words_apart() -> None:
    keys = {key_of_position(*words) for words in np.ndindex(12, 6, 12, 3)}
    assert len(keys) == 12 * 6 * 12 * 3
    assert key_of_position(1, 2) != key_of_position(2, 1)
    assert key_of_position(0) != key_of_position(0, 0)


def test_every_picture_gets_everywhere() -> None:
    """Over many epochs the first picture's place in the order is uniform."""
    places = [int(np.flatnonzero(epoch_order(16, 4, epoch) == 0)[0]) for epoch in range(4000)]
    assert abs(chi_square(np.bincount(places, minlength=16))) < 5
