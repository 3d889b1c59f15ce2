"""The rule against cases worked out by hand."""

import warnings

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from alexnet.experiments.finding import Finding, Row, Verdict
from alexnet.experiments.statistics import above_zero, higher, margin_of, reaches


def test_margin_by_hand() -> None:
    # s² of (1, 2, 3) is 1: √(1/3 + 1/3) = 0.8165, by t of 4 degrees of freedom, 2.7764: 2.2670
    assert margin_of([1, 2, 3], [7, 8, 9]) == pytest.approx(2.2670, abs=1e-4)
    assert margin_of([1, 2, 3]) == pytest.approx(4.3027 / 3**0.5, rel=1e-4)
    assert margin_of([0.5, 0.5], [0.5, 0.5], pictures=100) == pytest.approx(0.02)
    # the second is ten times as spread: freedom 2.04 in place of 4, t 4.2228
    assert margin_of([1, 2, 3], [10, 20, 30]) == pytest.approx(4.2228 * (101 / 3) ** 0.5, rel=1e-3)
    assert margin_of([0.5], [0.4, 0.6]) == pytest.approx(12.7062 * (0.02 / 2) ** 0.5)
    assert margin_of([0.5]) == 0


@given(samples=st.lists(st.lists(st.integers(0, 30), min_size=2, max_size=12), min_size=2, max_size=2))
def test_margins_are_those_of_welch_s_test(samples: list[list[int]]) -> None:
    assume(any(len(set(sample)) > 1 for sample in samples))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a sample without spread
        low, high = ttest_ind(*samples, equal_var=False).confidence_interval(0.95)
    assert margin_of(*samples) == pytest.approx((high - low) / 2)


@pytest.mark.parametrize(
    ("values", "reference", "agrees"),
    [
        # means 0.30 and 0.26, s² = 0.0001 each: margin 2.776·√(2 · 0.0001/3) = 0.0227
        ([0.29, 0.30, 0.31], [0.25, 0.26, 0.27], "yes"),
        ([0.25, 0.26, 0.27], [0.29, 0.30, 0.31], "no"),
        # difference 0.02 < 0.0227
        ([0.27, 0.28, 0.29], [0.25, 0.26, 0.27], "undecided"),
        # one seed, whatever the difference
        ([0.9], [0.1], "undecided"),
        ([0.9, 0.91], [0.1], "undecided"),
    ],
)
def test_higher(values: list[float], reference: list[float], agrees: str) -> None:
    assert higher("claim", values, reference).agrees == agrees


def test_a_single_reference_may_be_one_by_its_nature() -> None:
    # mean 0.26, s² 0.0001: margin 4.303·√(0.0001/3) = 0.0248
    assert higher("claim", [0.25, 0.26, 0.27], [0.235], alone=True).agrees == "yes"
    assert higher("claim", [0.25, 0.26, 0.27], [0.236], alone=True).agrees == "undecided"


def test_equal_seeds_leave_two_pictures() -> None:
    assert higher("claim", [0.10, 0.10], [0.09, 0.09], pictures=100).agrees == "undecided"
    assert higher("claim", [0.13, 0.13], [0.10, 0.10], pictures=100).agrees == "yes"


def test_paired_differences() -> None:
    # mean 0.025, s² = 0.0001: margin 4.303·√(0.0001/3) = 0.0248
    assert above_zero("claim", [0.015, 0.025, 0.035]).agrees == "yes"
    assert above_zero("claim", [-0.015, -0.025, -0.035]).agrees == "no"
    assert above_zero("claim", [0.014, 0.024, 0.034]).agrees == "undecided"
    assert above_zero("claim", [-0.01, 0.0, 0.02]).agrees == "undecided"
    assert above_zero("claim", [0.4]).agrees == "undecided"


def test_a_target_is_reached_within_seeds_and_counting() -> None:
    assert reaches("claim", [0.18], 0.18, pictures=10_000).agrees == "yes"
    assert reaches("claim", [0.9], 0.18, pictures=10_000).agrees == "undecided"
    # √(0.18 · 0.82 / 10000) = 0.00384; twice 0.00768. Seeds alike to the last digit: that alone
    assert reaches("claim", [0.187, 0.187], 0.18, pictures=10_000).agrees == "undecided"
    assert reaches("claim", [0.188, 0.188], 0.18, pictures=10_000).agrees == "no"
    # seeds 0.19, 0.20, 0.21: s² = 0.0001, 4.303·√(0.0001/3) = 0.02484; with counting √(0.02484² + 0.00768²) = 0.0260
    assert reaches("claim", [0.19, 0.20, 0.21], 0.18, pictures=10_000).margin == pytest.approx(0.0260, abs=1e-4)
    assert reaches("claim", [0.1], 0.18, pictures=10, comparable="another set").agrees == "undecided"


@pytest.mark.parametrize(
    ("answers", "invalid", "agrees"),
    [
        (("yes", "yes"), "", "yes"),
        (("yes", "undecided"), "", "undecided"),
        (("yes", "no"), "", "no"),
        (("yes", "yes"), "too weak", "undecided"),
        ((), "", "undecided"),
        (("yes", "unmeasured"), "", "yes"),
        (("unmeasured", "unmeasured"), "", "unmeasured"),
    ],
)
def test_over_all_verdicts(answers: tuple, invalid: str, agrees: str) -> None:
    verdicts = tuple(Verdict("claim", answer, "") for answer in answers)
    assert Finding((), verdicts, "", "", invalid=invalid).agrees == agrees


def test_a_row_has_mean_and_spread() -> None:
    row = Row("errors", (0.1, 0.2, 0.3))
    assert (row.mean, row.spread) == (pytest.approx(0.2), pytest.approx(0.1))
    assert (Row("errors", (0.1,)).spread, Row("errors", ()).mean) == (None, None)
