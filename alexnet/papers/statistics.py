"""When a difference counts. One rule everywhere: a difference of means against its margin over seeds, Student's t-test.

With s the standard deviation over n seeds, a mean's standard error is s/√n, a difference's √(s₁²/n₁ + s₂²/n₂). The
margin is t of them, Student's t that chance exceeds in 5 % of cases with as many seeds. Larger than it in the claimed
direction: yes; in the other: no; in between, or with one seed: cannot be decided at this scale.
"""

from collections.abc import Sequence
from math import sqrt
from statistics import mean, variance

from alexnet.papers.finding import Agrees, Verdict

STUDENT = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
)
"""|t| that chance exceeds in 5 % of cases, for 1 to 20 degrees of freedom; for more it is about `TWO`."""
TWO = 2.0
RULE = (
    "A direction agrees (or does not) where the difference of the means is larger than its margin: t standard errors "
    "over seeds, √(s₁²/n₁ + s₂²/n₂), with Student's t for 5 % (4.3 with two networks of each kind, 2.8 with three, 2.3 "
    "with five), and two pictures at least. Otherwise, and with a single seed, it cannot be decided at this scale. A "
    "target is reached, also by a single network, at two standard errors above it, those of seeds and of counting "
    "pictures together, or below."
)


def margin_of(*samples: Sequence[float], least: float = 0.0) -> float:
    """The margin of the difference of the samples' means (of the mean, for one sample); not below `least`. A sample of
    one value adds nothing."""
    freedom = sum(len(sample) - 1 for sample in samples)
    t = STUDENT[freedom - 1] if 1 <= freedom <= len(STUDENT) else TWO
    return max(t * standard_error(*samples), least)


def standard_error(*samples: Sequence[float]) -> float:
    """Of the difference of the samples' means, or of the mean of one."""
    return sqrt(sum(variance(sample) / len(sample) for sample in samples if len(sample) > 1))


def higher(
    claim: str,
    values: Sequence[float],
    reference: Sequence[float],
    *,
    pictures: int = 0,
    alone: bool = False,
    unit: str = "points",
) -> Verdict:
    """Whether `values` lie above the `reference`, by the rule. `pictures`: of the set, for the least margin.
    `alone`: the reference is one by its nature (an average of networks), not for want of seeds. `unit`: of the values;
    "points" are shares."""
    difference = mean(values) - mean(reference)
    few = len(values) < 2 or (len(reference) < 2 and not alone)
    return _judged(claim, difference, margin_of(values, reference, least=_two(pictures)), few, unit)


def above_zero(claim: str, differences: Sequence[float], *, pictures: int = 0, unit: str = "points") -> Verdict:
    """Whether paired differences, one for each seed, lie above 0, by the rule."""
    margin = margin_of(differences, least=_two(pictures))
    return _judged(claim, mean(differences), margin, len(differences) < 2, unit)


def reaches(claim: str, errors: Sequence[float], target: float, *, pictures: int, comparable: str = "") -> Verdict:
    """Whether errors on `pictures` pictures are as low as the `target`: at most two standard errors above it, those of
    seeds and of counting (√(p(1−p)/N)) together. `comparable`: why the number can't be held against ours, if so."""
    error = mean(errors)
    counting = sqrt(target * (1 - target) / pictures)
    margin = TWO * sqrt(standard_error(errors) ** 2 + counting**2)
    if comparable:
        return Verdict(claim, "undecided", comparable, error - target, margin)
    agrees: Agrees = "yes" if error <= target + margin else "no"
    why = f"ours {_in_words(error - target, 'points')} from it, two standard errors {margin * 100:.2f}"
    return Verdict(claim, agrees, why, error - target, margin)


def unmeasured(claim: str, why: str) -> Verdict:
    return Verdict(claim, "undecided", why)


def _judged(claim: str, difference: float, margin: float, few: bool, unit: str) -> Verdict:
    told = f"difference {_in_words(difference, unit)}"
    if few:
        return Verdict(claim, "undecided", f"{told}, one seed", difference, None)
    agrees: Agrees = "undecided" if abs(difference) <= margin else ("yes" if difference > 0 else "no")
    return Verdict(claim, agrees, f"{told}, margin {_size(margin, unit)}", difference, margin)


def _in_words(value: float, unit: str) -> str:
    told = f"{value * 100:+.2f} points" if unit == "points" else f"{value:+.3g} {unit}"
    return told.rstrip().replace("-", "−")


def _size(margin: float, unit: str) -> str:
    return f"{margin * 100:.2f}" if unit == "points" else f"{margin:.3g}"


def _two(pictures: int) -> float:
    return 2 / pictures if pictures else 0.0
