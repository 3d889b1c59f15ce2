"""What an experiment found, as values: rows of a table, verdicts, figures.

Rows and verdicts are also the schema of that part of a result file.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from statistics import mean, stdev
from typing import Annotated, Any, Literal

from alexnet.files.schema import AnyFloat, Count, Range

Agrees = Literal["yes", "no", "undecided", "unmeasured"]
Unit = Literal["%", "points", "epochs", "×", "s", "pictures/s", ""]
ANSWERS: dict[str, str] = {
    "yes": "yes",
    "no": "no",
    "undecided": "cannot be decided at this scale",
    "unmeasured": "not measured",
}


def in_points(share: float) -> str:
    """A difference of shares as text, with its sign."""
    return f"{round(share * 100, 2) + 0.0:+.2f} points".replace("-", "−")  # + 0.0: no minus before a zero


@dataclass(frozen=True)
class Errors:
    """What was measured of a run: shares of the pictures, 0 to 1; nll in nats."""

    top1: float
    top5: float
    nll: AnyFloat
    pictures: Annotated[int, Range(1)]


@dataclass(frozen=True)
class Row:
    """A line of the table: our value for each seed, next to the paper's. Values of unit "%" and "points" are shares, 0
    to 1. `runs`: the trained networks behind the values, by folder name. A difference of means is a single value, with
    the `margin` that it must exceed and the number of `seeds` behind each mean."""

    what: str
    values: tuple[AnyFloat, ...]
    paper: AnyFloat | None = None
    unit: Unit = "%"
    runs: tuple[str, ...] = ()
    note: str = ""
    margin: AnyFloat | None = None
    seeds: Count | None = None

    @property
    def mean(self) -> float | None:
        return mean(self.values) if self.values else None

    @property
    def spread(self) -> float | None:
        """The standard deviation over seeds; None of fewer than two."""
        return stdev(self.values) if len(self.values) > 1 else None


def top1_of(errors: Iterable[Errors]) -> tuple[float, ...]:
    return tuple(one.top1 for one in errors)


def differences_of(ones: Sequence[float], others: Sequence[float]) -> tuple[float, ...]:
    """Of the same networks, seed by seed."""
    return tuple(one - other for one, other in zip(ones, others, strict=True))


TOPS = {"top-1": "top1", "top-5": "top5"}
"""The two errors by the name that tables give them: the field of `Errors`."""


def error_rows(
    what: str, errors: Sequence[Errors], paper: Sequence[float | None] = (), runs: tuple[str, ...] = (), note: str = ""
) -> list[Row]:
    """The top-1 and top-5 errors of networks that differ in their seed, next to the `paper`'s, as far as it has
    them."""
    return [
        Row(f"{what}: {name} error", tuple(getattr(one, field) for one in errors), theirs, "%", runs, note)
        for (name, field), theirs in zip_longest(TOPS.items(), paper[:2])
    ]


def measured_rows(
    found: Sequence[Mapping[str, Any]], what: Mapping[str, Sequence[Any]], runs: tuple[str, ...], prefix: str = ""
) -> list[Row]:
    """A row for each key of `what`, its name and unit, of the figures `found` for each seed."""
    return [
        Row(f"{prefix}{name}", tuple(one[key] for one in found), None, unit, runs) for key, (name, unit) in what.items()
    ]


@dataclass(frozen=True)
class Verdict:
    """Whether our result agrees with a claim. `difference` and `margin` in the values' own unit; `why` for people."""

    claim: str
    agrees: Agrees
    why: str
    difference: AnyFloat | None = None
    margin: AnyFloat | None = None


@dataclass(frozen=True)
class Drawing:
    """A figure as the bytes of a PNG. `photographs`: it shows other people's pictures and must not be published."""

    name: str
    png: bytes
    caption: str
    photographs: bool = False


@dataclass(frozen=True)
class Finding:
    """What came out of an experiment. `reading`: whose constants were used, the paper's or the 2012 code's; `recipe`:
    how the networks were trained, for people. `invalid`: why it does not count, if it does not."""

    rows: Sequence[Row]
    verdicts: Sequence[Verdict]
    reading: str
    recipe: str
    notes: Sequence[str] = ()
    drawings: Sequence[Drawing] = ()
    invalid: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def plus(self, rows: Sequence[Row] = (), verdicts: Sequence[Verdict] = (), notes: Sequence[str] = ()) -> "Finding":
        """The finding with more of each."""
        return replace(
            self, rows=[*self.rows, *rows], verdicts=[*self.verdicts, *verdicts], notes=[*self.notes, *notes]
        )

    @property
    def agrees(self) -> Agrees:
        """Over all claims that were measured: "no" if one is, "yes" if all are; "undecided" if it does not count."""
        answers = {verdict.agrees for verdict in self.verdicts} - {"unmeasured"}
        if not answers:
            return "unmeasured" if self.verdicts else "undecided"
        if self.invalid:
            return "undecided"
        if "no" in answers:
            return "no"
        return "yes" if answers == {"yes"} else "undecided"
