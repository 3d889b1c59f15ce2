"""The authors' CIFAR-10 nets: cuda-convnet's examples, on which [A] §3.3's footnote on normalisation rests."""

from collections.abc import Sequence
from dataclasses import replace

from alexnet.experiments import charts
from alexnet.experiments.finding import Finding, Row, Verdict
from alexnet.experiments.lab import Lab, too_weak
from alexnet.experiments.registry import published
from alexnet.experiments.statistics import higher, reaches
from alexnet.experiments.trial import Trial
from alexnet.train.recipes import every_recipe

SAME_FILES = {"cifar-12pct": "cifar-13pct"}
"""Nets whose configurations are alike are trained once."""
TRAINING, CLASSES, SIDE = 45_000, 10, 32
READING = "the 2012 code's configurations"


def cifar(lab: Lab) -> Finding:
    """Each net by its own recipe."""
    papers = published("A/cifar")
    trials = {name: trial_of(lab, name) for name in lab.chosen(papers)}
    lab.plan(list(trials.values()))
    rows, verdicts = [], []
    for name, trial in trials.items():
        target, views = papers[name]["error"], papers[name]["views"]
        what = "nine views" if views > 1 else "whole pictures"
        same = f"the files of {SAME_FILES[name]}" if name in SAME_FILES else ""
        note = "; ".join(filter(None, (same, fewer_epochs(trial))))
        rows.append(_row(lab, trial, views, what, target, note))
        verdicts.append(_reached(lab, trial, rows[-1].values, target))
    return _finding(lab, next(iter(trials.values())), rows, verdicts, "Errors, each seed a dot, the mean a bar")


def normalisation(lab: Lab) -> Finding:
    """A/s3.3 on CIFAR-10: the 13 % net, the same with LRN alone, and the 11 % net, which also has a wider local3 and
    another decay."""
    names = {"13 % net": "cifar-13pct", "13 % net with LRN": "cifar-13pct-norm", "11 % net": "cifar-11pct"}
    trials = [trial_of(lab, name, label) for label, name in names.items()]
    lab.plan(trials)
    rows = [
        _row(lab, trial, 9, "nine views", paper, incomparable(lab) or fewer_epochs(trial))
        for trial, paper in zip(trials, (0.13, None, 0.11), strict=True)
    ]
    verdicts = [
        higher(f"13 % net: the error is higher than the {trial.label}'s", rows[0].values, row.values,
               pictures=lab.pictures)
        for trial, row in zip(trials[1:], rows[1:], strict=True)
    ]  # fmt: skip
    note = "The 11 % net has normalisation, and also 64 maps in place of 32 in local3 and another decay."
    finding = _finding(lab, trials[0], rows, verdicts, "Errors with nine views, each seed a dot")
    weak = too_weak(lab.each(trials[0], views=9), views=9)
    return replace(finding, notes=[note, *finding.notes], invalid=weak)


def _row(lab: Lab, trial: Trial, views: int, what: str, paper: float | None, note: str) -> Row:
    errors = lab.each_top1(trial, views)
    return Row(f"{trial.label}: error, {what}", errors, paper, "%", lab.names(trial), note)


def _reached(lab: Lab, trial: Trial, errors: Sequence[float], target: float) -> Verdict:
    claim = f"{trial.label} errs in {target * 100:.0f} % of the test pictures"
    verdict = reaches(claim, errors, target, pictures=lab.pictures, comparable=incomparable(lab))
    if verdict.agrees == "no" and (fewer := fewer_epochs(trial)):
        return replace(verdict, agrees="undecided", why=f"{verdict.why}; {fewer}")
    return verdict


def _finding(lab: Lab, first: Trial, rows: Sequence[Row], verdicts: Sequence[Verdict], caption: str) -> Finding:
    note = f"Trained on {len(lab.store.splits['train']):,} pictures; CIFAR-10 has 50,000."
    bars = charts.drawing("errors", charts.bars(rows), caption)
    return lab.finding(first, rows, verdicts, reading=READING, notes=[note], drawings=[bars])


def trial_of(lab: Lab, name: str, label: str = "") -> Trial:
    """One of the nets as it is configured, whatever the settings say of networks and learning rates."""
    recipe = every_recipe()[SAME_FILES.get(name, name)]
    return lab.trial(label or name, net=recipe.net, recipe=recipe.name, learning_rate=None, width=1.0, input_size=None)


def incomparable(lab: Lab) -> str:
    """Why the authors' number can't be compared with ours; empty if it can."""
    if len(lab.store.class_ids) != CLASSES or len(lab.store.splits["train"]) < TRAINING:
        return f"the number is one of CIFAR-10 with at least {TRAINING:,} training pictures; this store is another"
    return ""


def fewer_epochs(trial: Trial) -> str:
    """How many of the authors' epochs a trial has; empty if it has them all. A number that is missed then is not
    refuted."""
    theirs = every_recipe()[trial.options.recipe].epochs
    return "" if trial.epochs >= theirs else f"{trial.epochs} of the authors' {theirs} epochs"
