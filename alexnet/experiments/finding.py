"""What an experiment found, as values: rows of a table, verdicts, figures. `as_json` is a result file's content."""

from dataclasses import asdict, dataclass, field
from statistics import mean, stdev
from typing import Any, Literal

Agrees = Literal["yes", "no", "undecided", "unmeasured"]
Unit = Literal["%", "points", "epochs", "×", "s", "pictures/s", ""]
WORDS: dict[str, str] = {
    "yes": "yes",
    "no": "no",
    "undecided": "cannot be decided at this scale",
    "unmeasured": "not measured",
}


def in_points(share: float) -> str:
    """A difference of shares in words, with its sign."""
    return f"{round(share * 100, 2) + 0.0:+.2f} points".replace("-", "−")  # + 0.0: no minus before nothing


@dataclass(frozen=True)
class Row:
    """A line of the table: ours, a value for each seed, beside the paper's. Of unit "%" and "points" values are shares,
    0 to 1. `runs`: the trained networks behind the values, by folder name. A difference of means is one value, with the
    `margin` it is held against and the number of `seeds` behind each mean."""

    what: str
    values: tuple[float, ...]
    paper: float | None = None
    unit: Unit = "%"
    runs: tuple[str, ...] = ()
    note: str = ""
    margin: float | None = None
    seeds: int | None = None

    @property
    def mean(self) -> float | None:
        return mean(self.values) if self.values else None

    @property
    def spread(self) -> float | None:
        """The standard deviation over seeds; None of fewer than two."""
        return stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Verdict:
    """Whether ours goes the way of a claim. `difference` and `margin` in the values' own unit; `why` in words."""

    claim: str
    agrees: Agrees
    why: str
    difference: float | None = None
    margin: float | None = None


@dataclass(frozen=True)
class Drawing:
    """A figure as the bytes of a PNG. `photographs`: it shows other people's pictures and stays where it was made."""

    name: str
    png: bytes
    caption: str
    photographs: bool = False


@dataclass(frozen=True)
class Finding:
    """What came out of an experiment. `reading`: whose constants were used, the paper's or the 2012 code's; `recipe`:
    how was trained, in words. `invalid`: why it does not count, if it does not."""

    rows: tuple[Row, ...]
    verdicts: tuple[Verdict, ...]
    reading: str
    recipe: str
    notes: tuple[str, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    invalid: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def agrees(self) -> Agrees:
        """Over all that was measured: no if one says so, yes if all do; undecided where it does not count."""
        answers = {verdict.agrees for verdict in self.verdicts} - {"unmeasured"}
        if not answers:
            return "unmeasured" if self.verdicts else "undecided"
        if self.invalid:
            return "undecided"
        if "no" in answers:
            return "no"
        return "yes" if answers == {"yes"} else "undecided"

    def as_json(self) -> dict[str, Any]:
        """Plain values: rows with mean and spread, verdicts, the names of the figures."""
        return {
            "agrees": self.agrees,
            "invalid": self.invalid,
            "reading": self.reading,
            "recipe": self.recipe,
            "rows": [{**asdict(row), "mean": row.mean, "spread": row.spread} for row in self.rows],
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "notes": list(self.notes),
            "figures": [
                {"name": drawing.name, "caption": drawing.caption, "photographs": drawing.photographs}
                for drawing in self.drawings
            ],
            "extra": self.extra,
        }
