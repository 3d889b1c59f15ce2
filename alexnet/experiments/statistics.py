"""When a difference counts: a difference of means over seeds against its margin.

Two kinds of networks are compared by Welch's t-test: with s the standard deviation over n seeds, the margin is t of the
standard errors √(s₁²/n₁ + s₂²/n₂), Student's t that chance exceeds in 5 % of cases. The same networks measured in two
ways are compared by the differences of each, with n − 1 degrees of freedom. Larger than the margin in the claimed
direction: yes; in the other: no; in between, or with one seed: cannot be decided at this scale.
"""

from collections.abc import Sequence
from math import sqrt
from statistics import mean, variance

from scipy.special import stdtrit

from alexnet.experiments.finding import Agrees, Verdict, in_points

RULE = (
    "A direction agrees (or does not) where the difference of the means is larger than its margin, and than two "
    "pictures. Between two kinds of networks the margin is t standard errors over seeds, √(s₁²/n₁ + s₂²/n₂), by "
    "Welch's test for 5 %: t is 4.3 to 12.7 with two of each kind, 2.8 to 4.3 with three, 2.3 to 2.8 with five, by "
    "how alike their spreads are. Where the same networks are measured in two ways, or several beside one average of "
    "them, it is t standard errors of the differences, s/√n: 12.7 with two, 4.3 with three, 2.8 with five. Otherwise, "
    "and with a single seed, it cannot be decided at this scale. Margins are about other seeds on the same pictures, "
    "not about other pictures. A target is reached by a mean that is not above it, and missed by two networks or more "
    "whose mean is above it by more than seeds and the counting of pictures explain."
)


def margin_of(*samples: Sequence[float], pictures: int = 0) -> float:
    """The margin of the difference of the samples' means (of the mean, for one sample); at least two of so many
    `pictures`. A sample of one value adds nothing."""
    squares = [(variance(sample) / len(sample), len(sample) - 1) for sample in samples if len(sample) > 1]
    whole = sum(square for square, _ in squares)  # the squared standard error of the difference: Σ sᵢ²/nᵢ
    # Degrees of freedom by Welch and Satterthwaite: (Σ sᵢ²/nᵢ)² / Σ (sᵢ²/nᵢ)²/(nᵢ − 1); 1 where there is no spread.
    parts = sum(square**2 / freedom for square, freedom in squares)
    freedom = max(whole**2 / parts, 1.0) if parts else 1.0
    student = float(stdtrit(freedom, 0.975))  # |t| that chance exceeds in 5 % of cases
    return max(student * sqrt(whole), 2 / pictures if pictures else 0.0)


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
    return _judged(claim, difference, margin_of(values, reference, pictures=pictures), few, unit)


def above_zero(claim: str, differences: Sequence[float], *, pictures: int = 0, unit: str = "points") -> Verdict:
    """Whether paired differences, one for each seed, lie above 0, by the rule."""
    margin = margin_of(differences, pictures=pictures)
    return _judged(claim, mean(differences), margin, len(differences) < 2, unit)


def reaches(claim: str, errors: Sequence[float], target: float, *, pictures: int, comparable: str = "") -> Verdict:
    """Whether errors on `pictures` pictures are as low as the `target`. A mean above it misses it if by more than the
    margin: that of seeds and two standard errors of counting (√(p(1−p)/N)) together. `comparable`: why the number
    can't be compared with ours, if so."""
    difference = mean(errors) - target
    counting = 2 * sqrt(target * (1 - target) / pictures)
    margin = sqrt(margin_of(errors) ** 2 + counting**2)
    if comparable:
        return Verdict(claim, "undecided", comparable, difference, margin)
    distance = f"ours {_describe(difference, 'points')} from it"
    if difference > 0 and len(errors) < 2:
        return Verdict(claim, "undecided", f"{distance}, one seed", difference, None)
    agrees: Agrees = "yes" if difference <= 0 else ("no" if difference > margin else "undecided")
    return Verdict(claim, agrees, f"{distance}, margin {margin * 100:.2f}", difference, margin)


def _judged(claim: str, difference: float, margin: float, few: bool, unit: str) -> Verdict:
    change = f"difference {_describe(difference, unit)}"
    if few:
        return Verdict(claim, "undecided", f"{change}, one seed", difference, None)
    agrees: Agrees = "undecided" if abs(difference) <= margin else ("yes" if difference > 0 else "no")
    return Verdict(claim, agrees, f"{change}, margin {_size(margin, unit)}", difference, margin)


def _describe(value: float, unit: str) -> str:
    return in_points(value) if unit == "points" else f"{value:+.3g} {unit}".rstrip().replace("-", "−")


def _size(margin: float, unit: str) -> str:
    return f"{margin * 100:.2f}" if unit == "points" else f"{margin:.3g}"
