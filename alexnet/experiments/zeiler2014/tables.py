"""[Z]'s tables of errors: single networks and averages; the size of every layer."""

from collections.abc import Sequence
from typing import Any

from alexnet.experiments import charts
from alexnet.experiments.finding import Errors, Finding, Row, error_rows, top1_of
from alexnet.experiments.krizhevsky2012.tables import Group, average_rows, judged, of_one_average, reached
from alexnet.experiments.lab import Lab
from alexnet.experiments.registry import published
from alexnet.experiments.statistics import higher
from alexnet.experiments.trial import Trial
from alexnet.experiments.zeiler2014.training import our_model, reading, replication

SINGLES = 5  # (a): five networks as in Fig. 3


def table2(lab: Lab) -> Finding:
    """[Z] Table 2. [Z] does not say how many views; ten here, averaged as in [A]."""
    theirs, ours, wide = replication(lab), our_model(lab), our_model(lab, "512", "our model, 512-1024-512")
    lab.plan([ours], range(SINGLES))
    lab.plan([theirs, wide])
    singles = [lab.probabilities(ours, seed) for seed in range(SINGLES)]
    larger = [lab.probabilities(wide, seed) for seed in lab.seeds]
    copies = [lab.probabilities(theirs, seed) for seed in lab.seeds]
    names = lab.names(ours, range(SINGLES))
    groups: list[Group] = [
        ("replication of [A]", [[one] for one in copies], lab.names(theirs)),
        ("1 convnet as Fig. 3", [[one] for one in singles], names),
        ("5 convnets as Fig. 3, (a)", [singles], names),
        ("1 convnet 512-1024-512, (b)", [[one] for one in larger], lab.names(wide)),
        ("6 convnets, (a) and (b)", [[*singles, larger[0]]], (*names, wide.name(0))),
    ]
    rows = average_rows(lab, groups, "Z/table2")
    copy, single, five, wider, six = (row.values for row in rows if row.what.endswith("top-1 error"))
    pictures, target = lab.pictures, published("Z/table2")["1 convnet as Fig. 3"][0]
    verdicts = [
        reached(lab, "top-1 error of 38.4 %", single, target),
        higher("our model errs less than the replication of [A]", copy, single, pictures=pictures),
        higher("five networks averaged err less than one", single, five, pictures=pictures, alone=True),
        higher("512, 1024, 512 maps lower the error", single, wider, pictures=pictures),
        of_one_average("all six err less than the five", five[0] - six[0]),
    ]
    return lab.finding(
        ours,
        rows,
        verdicts,
        reading=reading(lab),
        seeds=SINGLES,
        drawings=[charts.top1_bars(rows)],
        base=[judged(lab, [one]) for one in singles],
    )


# ── Table 3 ──────────────────────────────────────────────────────────────────────────────────────────────────────


def sizes() -> dict[str, dict[str, Any]]:
    """The lines of the table by the network's name: its family and suffix, and what is printed of it."""
    return {"-".join(filter(None, (one["family"], one["suffix"]))): one for one in published("Z/table3")["networks"]}


def trial_of(lab: Lab, size: dict[str, Any]) -> Trial:
    make = our_model if size["family"] == "zfnet" else replication
    return make(lab, size["suffix"], size["label"])


def table3(lab: Lab) -> Finding:
    """[Z] Table 3, each network trained from scratch. Validation errors with ten views, training errors of the centre
    view ([Z] does not say)."""
    names = lab.chosen(sizes())
    trials = {name: trial_of(lab, size) for name, size in sizes().items() if name in names}
    lab.plan(list(trials.values()))
    found = {name: lab.each(trial) for name, trial in trials.items()}
    rows = [row for name, trial in trials.items() for row in _size_rows(lab, sizes()[name], trial, found[name])]
    base = "zfnet" if "zfnet" in found else next(iter(found))
    verdicts = [
        higher(one["claim"], top1_of(found[one["worse"]]), top1_of(found[one["better"]]), pictures=lab.pictures)
        for one in published("Z/table3")["claims"]
        if one["worse"] in found and one["better"] in found
    ]
    drawings = [charts.top1_bars(rows)]
    return lab.finding(trials[base], rows, verdicts, reading=reading(lab), drawings=drawings, base=found[base])


def _size_rows(lab: Lab, size: dict[str, Any], trial: Trial, found: Sequence[Errors]) -> list[Row]:
    training = lab.each_top1(trial, views=1, split="train")
    what = f"{size['label']}: training top-1 error"
    return [
        Row(what, training, size["training"], "%", lab.names(trial), "centre view"),
        *error_rows(size["label"], found, size["errors"], lab.names(trial)),
    ]
