"""[Z]'s tables of errors: single networks and averages; the size of every layer."""

from collections.abc import Sequence
from dataclasses import dataclass

from alexnet.experiments import charts
from alexnet.experiments.finding import Finding, Row, Verdict
from alexnet.experiments.krizhevsky2012.tables import error_rows, judged, of_imagenet
from alexnet.experiments.lab import Errors, Lab, Trial, how_trained, too_weak
from alexnet.experiments.registry import result
from alexnet.experiments.statistics import higher, reaches, undecided
from alexnet.experiments.zeiler2014.training import DAYS, OWN, SIZE_FREE, our_model, reading, replication
from alexnet.measure.ensemble import average
from alexnet.measure.probabilities import Probabilities

ORDER = ("Z/table2", "Z/table3")

# ── Table 2 ──────────────────────────────────────────────────────────────────────────────────────────────────────

SINGLES = 5  # (a): five networks as in Fig. 3


@result(
    "Z/table2",
    "Single networks and averages",
    claim="Replication of [A] 40.5 / 18.1; one network as in Fig. 3 38.4 / 16.5; five averaged 36.7 / 15.3; one with "
    "512, 1024, 512 maps 37.5 / 16.0; all six 36.0 / 14.7.",
    needs=SIZE_FREE,
    trainings=2,
    once=SINGLES,
    full_scale=DAYS,
    own=OWN,
)
def table2(lab: Lab) -> Finding:
    """[Z] Table 2. [Z] does not say how many views; ten here, averaged as in [A]."""
    theirs, ours, wide = replication(lab), our_model(lab), our_model(lab, "512", "our model, 512-1024-512")
    lab.plan([ours], range(SINGLES))
    lab.plan([theirs, wide])
    singles = [lab.probabilities(ours, seed) for seed in range(SINGLES)]
    larger = [lab.probabilities(wide, seed) for seed in lab.seeds]
    copies = [lab.probabilities(theirs, seed) for seed in lab.seeds]
    everyone = [*singles, larger[0]]
    names = tuple(ours.name(seed) for seed in range(SINGLES))
    groups = (
        ("replication of [A]", [[one] for one in copies], (0.405, 0.181), lab.names(theirs), ""),
        ("1 convnet as Fig. 3", [[one] for one in singles], (0.384, 0.165), names, ""),
        ("5 convnets as Fig. 3, (a)", [singles], (0.367, 0.153), names, "all weighed alike"),
        ("1 convnet 512-1024-512, (b)", [[one] for one in larger], (0.375, 0.160), lab.names(wide), ""),
        ("6 convnets, (a) and (b)", [everyone], (0.360, 0.147), (*names, wide.name(0)), "all weighed alike"),
    )
    rows = [row for group in groups for row in error_rows(lab, *group)]
    bars = charts.bars([row for row in rows if "top-1" in row.what])
    return Finding(
        tuple(rows),
        _table2_verdicts(lab, copies, singles, larger),
        reading(lab),
        how_trained(lab, ours, SINGLES),
        drawings=(charts.drawing("errors", bars, "Top-1 errors with ten views"),),
        invalid=too_weak([lab.errors(ours, seed) for seed in range(SINGLES)]),
    )


def _table2_verdicts(
    lab: Lab, copies: Sequence[Probabilities], singles: Sequence[Probabilities], larger: Sequence[Probabilities]
) -> tuple[Verdict, ...]:
    copy, single, wide = ([judged(lab, one).top1_error for one in some] for some in (copies, singles, larger))
    five, six = (judged(lab, average(some)).top1_error for some in (singles, [*singles, larger[0]]))
    pictures, difference = lab.pictures, (five - six) * 100
    return (
        reaches("top-1 error of 38.4 %", single, 0.384, pictures=pictures, comparable=of_imagenet(lab)),
        higher("our model errs less than the replication of [A]", copy, single, pictures=pictures),
        higher("five networks averaged err less than one", single, [five], pictures=pictures, alone=True),
        higher("512, 1024, 512 maps lower the error", single, wide, pictures=pictures),
        undecided("all six err less than the five", f"difference {difference:+.2f} points, of one average each"),
    )


# ── Table 3 ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Size:
    """A line of the table: family and suffix of the network; its printed errors on training and validation pictures."""

    family: str
    suffix: str
    label: str
    train: float
    top1: float
    top5: float

    @property
    def name(self) -> str:
        return f"{self.family}-{self.suffix}" if self.suffix else self.family

    def trial(self, lab: Lab) -> Trial:
        make = our_model if self.family == "zfnet" else replication
        return make(lab, self.suffix, self.label)


TABLE3 = (
    Size("alexnet", "", "replication of [A]", 0.351, 0.405, 0.181),
    Size("alexnet", "no-conv34", "replication without layers 3, 4", 0.418, 0.454, 0.221),
    Size("alexnet", "no-fc7", "replication without layer 7", 0.274, 0.400, 0.184),
    Size("alexnet", "no-fc67", "replication without layers 6, 7", 0.274, 0.448, 0.224),
    Size("alexnet", "no-conv34-fc67", "replication without layers 3, 4, 6, 7", 0.711, 0.713, 0.501),
    Size("alexnet", "fc2048", "replication, layers 6, 7 of 2048", 0.403, 0.417, 0.188),
    Size("alexnet", "fc8192", "replication, layers 6, 7 of 8192", 0.268, 0.400, 0.181),
    Size("zfnet", "", "our model", 0.331, 0.384, 0.165),
    Size("zfnet", "fc2048", "our model, layers 6, 7 of 2048", 0.382, 0.402, 0.176),
    Size("zfnet", "fc8192", "our model, layers 6, 7 of 8192", 0.220, 0.388, 0.170),
    Size("zfnet", "512", "our model, 512-1024-512", 0.188, 0.375, 0.160),
    Size("zfnet", "512-fc8192", "our model, 512-1024-512 and 8192", 0.100, 0.383, 0.169),
)

CLAIMS = (
    ("without layers 3, 4 it errs more", "alexnet-no-conv34", "alexnet"),
    ("without layers 6, 7 it errs more", "alexnet-no-fc67", "alexnet"),
    ("without both it errs more than without layers 3, 4", "alexnet-no-conv34-fc67", "alexnet-no-conv34"),
    ("without both it errs more than without layers 6, 7", "alexnet-no-conv34-fc67", "alexnet-no-fc67"),
    ("the replication of [A] errs more than our model", "alexnet", "zfnet"),
    ("a middle of 512, 1024, 512 maps lowers the error", "zfnet", "zfnet-512"),
    ("with wider layers 6, 7 as well it overfits: the error rises again", "zfnet-512-fc8192", "zfnet-512"),
)
"""[Z] §5.1: claim, the net that errs more, the one that errs less."""


@result(
    "Z/table3",
    "The size of the layers",
    claim="Without layers 3, 4 or without 6, 7 little is lost, without both much; wider dense layers change little; a "
    "wider middle gains; both together overfit.",
    needs=SIZE_FREE,
    trainings=len(TABLE3),
    full_scale=DAYS,
    own=OWN,
    only=True,
)
def table3(lab: Lab) -> Finding:
    """[Z] Table 3, each network trained from scratch. Validation errors with ten views, training errors of the centre
    view ([Z] does not say)."""
    sizes = {size.name: size for size in TABLE3}
    names = lab.chosen(sizes)
    trials = {name: sizes[name].trial(lab) for name in sizes if name in names}
    lab.plan(list(trials.values()))
    found = {name: lab.each(trial) for name, trial in trials.items()}
    rows = [row for name, trial in trials.items() for row in _size_rows(lab, sizes[name], trial, found[name])]
    base = "zfnet" if "zfnet" in found else next(iter(found))
    bars = charts.bars([row for row in rows if row.what.endswith(": top-1 error")])
    return Finding(
        tuple(rows),
        tuple(_table3_verdicts(lab, found)),
        reading(lab),
        how_trained(lab, trials[base]),
        drawings=(charts.drawing("errors", bars, "Top-1 errors with ten views"),),
        invalid=too_weak(found[base]),
    )


def _size_rows(lab: Lab, size: Size, trial: Trial, found: Sequence[Errors]) -> list[Row]:
    training = tuple(e.top1 for e in lab.each(trial, views=1, part="train"))
    return [
        Row(f"{size.label}: training top-1 error", training, size.train, "%", lab.names(trial), "centre view"),
        Row(f"{size.label}: top-1 error", tuple(e.top1 for e in found), size.top1, "%", lab.names(trial)),
        Row(f"{size.label}: top-5 error", tuple(e.top5 for e in found), size.top5, "%", lab.names(trial)),
    ]


def _table3_verdicts(lab: Lab, found: dict[str, list[Errors]]) -> list[Verdict]:
    return [
        higher(claim, [e.top1 for e in found[worse]], [e.top1 for e in found[better]], pictures=lab.pictures)
        for claim, worse, better in CLAIMS
        if worse in found and better in found
    ]
