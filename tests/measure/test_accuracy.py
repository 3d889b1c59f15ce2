"""Views and counts against the same things written out by hand in numpy, float64.

B pictures · K classes · V views.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.data.store.read import Store
from alexnet.measure import accuracy
from alexnet.measure.accuracy import TOP, count, describe_errors, evaluate, nll_of_truth, rank_of_truth, wilson
from alexnet.measure.viewer import ViewAverager


def softmax(logits_bk: np.ndarray) -> np.ndarray:
    e = np.exp(logits_bk - logits_bk.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def ten_crops_by_hand(record: np.ndarray, mean: np.ndarray, size: int, mode: str) -> list[np.ndarray]:
    """(size, size, 3) each: four corners and the centre, then their mirror images ([A] §4.1)."""
    side = len(record)
    middle = (side - size) // 2
    places = [(0, 0), (0, side - size), (middle, middle), (side - size, 0), (side - size, side - size)]
    crops, mirrored = [], []
    for top, left in places:
        crop = record[top : top + size, left : left + size].astype(np.float64)
        own = mean[top : top + size, left : left + size].astype(np.float64)
        central = mean[middle : middle + size, middle : middle + size].astype(np.float64)
        if mode == "aligned":
            crops.append(crop - own)
            mirrored.append((crop - own)[:, ::-1])
        else:
            crops.append(crop - central)
            mirrored.append(crop[:, ::-1] - central)
    return crops + mirrored


@pytest.mark.parametrize("mean", ["aligned", "centre"])
@pytest.mark.parametrize("views", [1, 5, 10])
def test_the_mean_of_the_softmax_outputs_of_hand_made_views(make_run, store: Store, mean: str, views: int) -> None:
    run = make_run(mean=mean)
    records = store.splits["val"].read(np.arange(6))
    mean_image = run.mean_image.permute(1, 2, 0).numpy()
    chosen = {1: [2], 5: range(5), 10: range(10)}[views]
    logits_vbk = []
    for number in chosen:
        crops = [ten_crops_by_hand(record, mean_image, 32, mean)[number] for record in records]
        batch = torch.from_numpy(np.stack(crops).transpose(0, 3, 1, 2).copy())
        with torch.no_grad():
            logits_vbk.append(run.network(batch).double().numpy())
    expected = np.mean([softmax(logits) for logits in logits_vbk], axis=0)
    found = run.viewer.probabilities(torch.from_numpy(records), views).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    if views == 10:  # and this is not the softmax of the mean logits, by far
        assert np.abs(softmax(np.mean(logits_vbk, axis=0)) - expected).max() > 1e-3


def test_several_numbers_of_views_in_one_pass_give_the_same_bits(run, store: Store) -> None:
    records = torch.from_numpy(store.splits["val"].read(np.arange(9)))
    together = run.viewer.probabilities_by_views(records, (1, 5, 10))
    for views, probabilities in together.items():
        assert torch.equal(probabilities, run.viewer.probabilities(records, views))


def test_a_crop_as_large_as_the_record_has_one_place_for_all_views(run, store: Store) -> None:
    whole = ViewAverager(run.network, type(run.inputs)(run.mean_image[:, 4:36, 4:36].contiguous(), 32))
    records = torch.from_numpy(store.splits["val"].read(np.arange(3))[:, 4:36, 4:36].copy())
    centre, five, ten = (whole.probabilities(records, views) for views in (1, 5, 10))
    assert torch.allclose(centre, five, atol=1e-6)
    assert not torch.allclose(centre, ten, atol=1e-6)  # the mirror image is another picture


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 9).flatmap(
        lambda classes: st.lists(
            st.tuples(st.lists(st.integers(0, 4), min_size=classes, max_size=classes), st.integers(0, classes - 1)),
            min_size=1,
            max_size=20,
        )
    )
)
def test_ranks_and_counts_with_ties_equal_a_stable_sort(drawn: list[tuple[list[int], int]]) -> None:
    """Probabilities of few different values, zeros among them: ties abound."""
    values = np.array([row for row, _ in drawn], np.float32) / 8
    labels = np.array([label for _, label in drawn])
    order = np.argsort(-values, axis=1, kind="stable")
    ranks = [int(np.flatnonzero(order[b] == labels[b])[0]) for b in range(len(labels))]
    found = count(torch.from_numpy(values), torch.from_numpy(labels))
    assert rank_of_truth(torch.from_numpy(values), torch.from_numpy(labels)).tolist() == ranks
    assert found.pictures == len(labels)
    assert found.top1_errors == sum(rank > 0 for rank in ranks)
    assert found.top5_errors == sum(rank >= TOP for rank in ranks)
    smallest = float(np.finfo(np.float32).tiny)
    nll = sum(-math.log(max(float(values[b, labels[b]]), smallest)) for b in range(len(labels)))
    assert found.nll == pytest.approx(nll, rel=1e-12)


def test_what_is_no_number_never_counts_as_right() -> None:
    values, labels = torch.tensor([[math.nan, math.nan], [math.nan, 0.5]]), torch.tensor([0, 1])
    assert rank_of_truth(values, labels).tolist() == [2, 1]
    assert math.isnan(float(nll_of_truth(values, labels)[0]))


@pytest.mark.parametrize("batch", [1, 7, 59, 60, 61])
def test_each_picture_is_counted_once_whatever_the_batch(run, store: Store, batch: int, monkeypatch) -> None:
    part = store.splits["val"]
    whole = evaluate(run.viewer, part)
    monkeypatch.setattr(accuracy, "BATCH", batch)
    seen: list[tuple[int, int]] = []
    parted = evaluate(run.viewer, part, progress=lambda done, total: seen.append((done, total)))
    assert (parted.pictures, parted.top1_errors, parted.top5_errors) == (60, whole.top1_errors, whole.top5_errors)
    assert parted.nll == pytest.approx(whole.nll, rel=1e-6)
    assert seen[-1] == (60, 60)
    assert len(seen) == math.ceil(60 / batch)


@pytest.mark.parametrize(("errors", "pictures"), [(0, 10), (2, 48), (24, 48), (10, 10), (153, 480)])
def test_the_interval_holds_what_solves_wilson_s_equation(errors: int, pictures: int) -> None:
    """Its ends are the rates p that lie 1.96 of their own standard deviations from the share observed."""
    share = errors / pictures
    for end in wilson(errors, pictures):
        assert (share - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / pictures, abs=1e-12)
    assert describe_errors(2, 48) == "2 of 48 (1.2% to 14.0%)"
    assert wilson(0, 0) == (0.0, 1.0)
