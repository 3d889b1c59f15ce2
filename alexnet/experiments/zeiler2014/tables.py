"""[Z]'s tables of errors: single networks and averages; the size of every layer."""

from collections.abc import Sequence
from typing import Any

from alexnet.experiments import charts
from alexnet.experiments.finding import Errors, Finding, Row, Verdict, error_rows
from alexnet.experiments.krizhevsky2012.tables import average_rows, judged, wrong_classes
from alexnet.experiments.lab import Lab, how_trained, too_weak
from alexnet.experiments.registry import published
from alexnet.experiments.statistics import higher, reaches, undecided
from alexnet.experiments.trial import Trial
from alexnet.experiments.zeiler2014.training import our_model, reading, replication
from alexnet.measure.probabilities import Probabilities

SINGLES = 5  # (a): five networks as in Fig. 3


def table2(lab: Lab) -> Finding:
    """[Z] Table 2. [Z] does not say how many views; ten here, averaged as in [A]."""
    theirs, ours, wide = replication(lab), our_model(lab), our_model(lab, "512", "our model, 512-1024-512")
    lab.plan([ours], range(SINGLES))
    lab.plan([theirs, wide])
    singles = [lab.probabilities(ours, seed) for seed in range(SINGLES)]
    larger = [lab.probabilities(wide, seed) for seed in lab.seeds]
    copies = [lab.probabilities(theirs, seed) for seed in lab.seeds]
    names = tuple(ours.name(seed) for seed in range(SINGLES))
    groups = (
        ("replication of [A]", [[one] for one in copies], lab.names(theirs)),
        ("1 convnet as Fig. 3", [[one] for one in singles], names),
        ("5 convnets as Fig. 3, (a)", [singles], names),
        ("1 convnet 512-1024-512, (b)", [[one] for one in larger], lab.names(wide)),
        ("6 convnets, (a) and (b)", [[*singles, larger[0]]], (*names, wide.name(0))),
    )
    rows = average_rows(lab, groups, "Z/table2")
    return Finding(
        tuple(rows),
        _table2_verdicts(lab, copies, singles, larger),
        reading(lab),
        how_trained(lab, ours, SINGLES),
        drawings=(charts.top1_bars(rows),),
        invalid=too_weak([lab.errors(ours, seed) for seed in range(SINGLES)]),
    )


def _table2_verdicts(
    lab: Lab, copies: Sequence[Probabilities], singles: Sequence[Probabilities], larger: Sequence[Probabilities]
) -> tuple[Verdict, ...]:
    copy, single, wide = ([judged(lab, [one]).top1 for one in some] for some in (copies, singles, larger))
    five, six = (judged(lab, some).top1 for some in (singles, [*singles, larger[0]]))
    pictures, difference = lab.pictures, (five - six) * 100
    target = published("Z/table2")["1 convnet as Fig. 3"][0]
    return (
        reaches("top-1 error of 38.4 %", single, target, pictures=pictures, comparable=wrong_classes(lab)),
        higher("our model errs less than the replication of [A]", copy, single, pictures=pictures),
        higher("five networks averaged err less than one", single, [five], pictures=pictures, alone=True),
        higher("512, 1024, 512 maps lower the error", single, wide, pictures=pictures),
        undecided("all six err less than the five", f"difference {difference:+.2f} points, of one average each"),
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
    verdicts = tuple(
        higher(one["claim"], *([e.top1 for e in found[one[end]]] for end in ("worse", "better")), pictures=lab.pictures)
        for one in published("Z/table3")["claims"]
        if one["worse"] in found and one["better"] in found
    )
    return Finding(
        tuple(rows),
        verdicts,
        reading(lab),
        how_trained(lab, trials[base]),
        drawings=(charts.top1_bars(rows),),
        invalid=too_weak(found[base]),
    )


def _size_rows(lab: Lab, size: dict[str, Any], trial: Trial, found: Sequence[Errors]) -> list[Row]:
    training = tuple(e.top1 for e in lab.each(trial, views=1, split="train"))
    what = f"{size['label']}: training top-1 error"
    return [
        Row(what, training, size["training"], "%", lab.names(trial), "centre view"),
        *error_rows(size["label"], found, size["errors"], lab.names(trial)),
    ]
