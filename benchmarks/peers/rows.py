"""Rows of other kinds than `alexnet.bench.timing.compare` makes: times, limits, figures that are asked for."""

from collections.abc import Sequence
from statistics import median

from alexnet.bench.timing import Row, Times, join


def compare_durations(
    name: str, ours: Sequence[float], peer: Sequence[float], *, unit: str, factor: float, at_least: float | None
) -> Row:
    """As `compare`, for figures that are times: `factor` units for each second measured; less is better."""
    ratios = [theirs / mine for mine, theirs in zip(ours, peer, strict=True)]
    spread = (min(ratios), max(ratios))
    return Row(name, unit, factor * median(ours), factor * median(peer), median(ratios), at_least, spread)


def within(name: str, unit: str, value: float, limit: float, note: str = "") -> Row:
    """A row for a value that must not exceed `limit`, which stands in the peer's place."""
    return Row(name, unit, value, limit, limit / value, 1.0, note=join(note, "the peer is the limit"))


def reaching(name: str, unit: str, value: float, wanted: float, note: str = "") -> Row:
    """A row for a value that must reach `wanted`, which stands in the peer's place."""
    return Row(name, unit, value, wanted, value / wanted, 1.0, note=join(note, "the peer is the figure asked for"))


def fastest(times: Times, names: Sequence[str]) -> str:
    """The contender among `names` with the smallest median time."""
    return min(names, key=lambda name: median(times[name]))
