"""The rule against cases worked out by hand."""

import pytest

from alexnet.papers.finding import Finding, Row, Verdict
from alexnet.papers.statistics import STUDENT, TWO, above_zero, higher, margin_of, reaches


def test_margin_by_hand() -> None:
    # s² of (1, 2, 3) is 1, of (2, 4) is 2: √(1/3 + 2/2) = 1.1547, by t of 3 degrees of freedom, 3.182: 3.6743
    assert margin_of([1, 2, 3], [2, 4]) == pytest.approx(3.6743, abs=1e-4)
    assert margin_of([1, 2, 3]) == pytest.approx(4.303 / 3**0.5)
    assert margin_of([0.5, 0.5], [0.5, 0.5], least=2 / 100) == pytest.approx(0.02)
    assert margin_of([0.5], [0.4, 0.6]) == pytest.approx(12.706 * (0.02 / 2) ** 0.5)
    assert margin_of([0.5]) == 0


def test_student_s_t_leaves_five_percent_outside() -> None:
    t = pytest.importorskip("scipy.stats").t
    assert pytest.approx([t.ppf(0.975, freedom) for freedom in range(1, 21)], abs=5e-4) == STUDENT
    assert t.ppf(0.975, 40) == pytest.approx(TWO, abs=0.03)


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
    # √(0.18 · 0.82 / 10000) = 0.00384; twice 0.00768
    assert reaches("claim", [0.187], 0.18, pictures=10_000).agrees == "yes"
    assert reaches("claim", [0.188], 0.18, pictures=10_000).agrees == "no"
    # seeds 0.18, 0.20: s² = 0.0002, two standard errors 0.02; with counting √(0.02² + 0.00768²) = 0.0214
    assert reaches("claim", [0.19, 0.21], 0.18, pictures=10_000).margin == pytest.approx(0.0214, abs=1e-4)
    assert reaches("claim", [0.9], 0.18, pictures=10, comparable="another set").agrees == "undecided"


@pytest.mark.parametrize(
    ("answers", "invalid", "agrees"),
    [
        (("yes", "yes"), "", "yes"),
        (("yes", "undecided"), "", "undecided"),
        (("yes", "no"), "", "no"),
        (("yes", "yes"), "too weak", "undecided"),
        ((), "", "undecided"),
    ],
)
def test_over_all_verdicts(answers: tuple, invalid: str, agrees: str) -> None:
    verdicts = tuple(Verdict("claim", answer, "") for answer in answers)
    assert Finding((), verdicts, "", "", invalid=invalid).agrees == agrees


def test_a_row_has_mean_and_spread() -> None:
    row = Row("errors", (0.1, 0.2, 0.3))
    assert (row.mean, row.spread) == (pytest.approx(0.2), pytest.approx(0.1))
    assert (Row("errors", (0.1,)).spread, Row("errors", ()).mean) == (None, None)
