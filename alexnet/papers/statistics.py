"""When a difference counts. One rule everywhere: a difference of means against two standard errors over seeds.

With s the standard deviation over n seeds, a mean's standard error is s/√n, a difference's √(s₁²/n₁ + s₂²/n₂). Larger
than two of them in the claimed direction: yes; in the other: no; in between, or with one seed: cannot be decided at
this scale. The standard error is taken to be at least one picture of the set.
"""

from collections.abc import Sequence
from math import sqrt
from statistics import mean, variance

from alexnet.papers.finding import Agrees, Verdict

STANDARD_ERRORS = 2
RULE = (
    "A direction agrees (or does not) where the difference of the means is larger than two standard errors over "
    "seeds, √(s₁²/n₁ + s₂²/n₂), the standard error being one picture at least; otherwise, and with a single seed, it "
    "cannot be decided at this scale. By chance alone so large a difference comes about in 18 % of cases with two "
    "seeds of each, in 12 % with three, in 8 % with five. A target is reached, also by a single network, at two "
    "standard errors above it, those of counting pictures with them, or below."
)


def margin_of(*samples: Sequence[float], resolution: float = 0.0) -> float:
    """Two standard errors of the difference of the samples' means (of the mean, for one sample). `resolution`: the
    least standard error, one picture as a share. A sample of one value adds none."""
    squared = sum(variance(sample) / len(sample) for sample in samples if len(sample) > 1)
    return STANDARD_ERRORS * max(sqrt(squared), resolution)


def higher(
    claim: str,
    values: Sequence[float],
    reference: Sequence[float],
    *,
    pictures: int = 0,
    alone: bool = False,
    unit: str = "points",
) -> Verdict:
    """Whether `values` lie above the `reference`, by the rule. `pictures`: of the set, for the least standard error.
    `alone`: the reference is one by its nature (an average of networks), not for want of seeds. `unit`: of the values;
    "points" are shares."""
    difference = mean(values) - mean(reference)
    few = len(values) < 2 or (len(reference) < 2 and not alone)
    return _judged(claim, difference, margin_of(values, reference, resolution=_one(pictures)), few, unit)


def above_zero(claim: str, differences: Sequence[float], *, pictures: int = 0, unit: str = "points") -> Verdict:
    """Whether paired differences, one for each seed, lie above 0, by the rule."""
    margin = margin_of(differences, resolution=_one(pictures))
    return _judged(claim, mean(differences), margin, len(differences) < 2, unit)


def reaches(claim: str, errors: Sequence[float], target: float, *, pictures: int, comparable: str = "") -> Verdict:
    """Whether errors on `pictures` pictures are as low as the `target`: at most two standard errors above it, those of
    seeds and of counting (√(p(1−p)/N)) together. `comparable`: why the number can't be held against ours, if so."""
    error = mean(errors)
    counting = sqrt(target * (1 - target) / pictures)
    margin = sqrt(margin_of(errors) ** 2 + (STANDARD_ERRORS * counting) ** 2)
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
    return Verdict(claim, agrees, f"{told}, two standard errors {_size(margin, unit)}", difference, margin)


def _in_words(value: float, unit: str) -> str:
    told = f"{value * 100:+.2f} points" if unit == "points" else f"{value:+.3g} {unit}"
    return told.rstrip().replace("-", "−")


def _size(margin: float, unit: str) -> str:
    return f"{margin * 100:.2f}" if unit == "points" else f"{margin:.3g}"


def _one(pictures: int) -> float:
    return 1 / pictures if pictures else 0.0
