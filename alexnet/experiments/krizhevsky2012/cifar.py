"""The authors' CIFAR-10 nets: cuda-convnet's examples, on which [A] §3.3's footnote on normalisation rests."""

from dataclasses import replace

from alexnet.experiments import charts
from alexnet.experiments.finding import Finding, Row
from alexnet.experiments.lab import Lab, Trial, how_trained, too_weak
from alexnet.experiments.registry import result
from alexnet.experiments.statistics import higher, reaches
from alexnet.train.recipes import every_recipe

ORDER = ("A/cifar",)

CLAIMS = {
    "cifar-80sec": (0.26, 1),
    "cifar-19pct": (0.19, 1),
    "cifar-18pct": (0.18, 1),
    "cifar-13pct": (0.13, 9),
    "cifar-12pct": (0.12, 9),
    "cifar-11pct": (0.11, 9),
}
"""Net → its authors' test error and the number of views of it."""
SAME_FILES = {"cifar-12pct": "cifar-13pct"}
"""What is configured alike is trained once."""
TRAINING, CLASSES, SIDE = 45_000, 10, 32
READING = "the 2012 code's configurations"


@result(
    "A/cifar",
    "The authors' CIFAR-10 nets",
    claim="Test errors of 26, 19, 18, 13, 12 and 11 %, those from 13 % on with nine views.",
    needs="CIFAR-10, records of 32 pixels",
    trainings=len(CLAIMS) - len(SAME_FILES),
    full_scale="80 seconds, 20 minutes … hours on one GPU",
    here="in all their epochs some 4 hours for each seed on two cores with AMX",
    own=("reading", "net", "recipe", "learning_rate", "width", "input_size"),
    only=True,
    record=SIDE,
)
def cifar(lab: Lab) -> Finding:
    """Each net by its own recipe."""
    trials = {name: trial_of(lab, name) for name in lab.chosen(CLAIMS)}
    lab.plan(list(trials.values()))
    rows, verdicts = [], []
    for name, trial in trials.items():
        target, views = CLAIMS[name]
        errors = [e.top1 for e in lab.each(trial, views)]
        told = "nine views" if views > 1 else "whole pictures"
        same = f"the files of {SAME_FILES[name]}" if name in SAME_FILES else ""
        fewer = fewer_epochs(trial)
        note = "; ".join(filter(None, (same, fewer)))
        rows.append(Row(f"{name}: error, {told}", tuple(errors), target, "%", lab.names(trial), note))
        claim = f"{name} errs in {target * 100:.0f} % of the test pictures"
        verdict = reaches(claim, errors, target, pictures=lab.pictures, comparable=incomparable(lab))
        if verdict.agrees == "no" and fewer:
            verdict = replace(verdict, agrees="undecided", why=f"{verdict.why}; {fewer}")
        verdicts.append(verdict)
    first = next(iter(trials.values()))
    bars = charts.drawing("errors", charts.bars(rows), "Errors, each seed a dot, the mean a bar")
    return Finding(
        tuple(rows), tuple(verdicts), READING, how_trained(lab, first), notes=pictures_told(lab), drawings=(bars,)
    )


def normalisation(lab: Lab) -> Finding:
    """A/s3.3 on CIFAR-10: the 13 % net, the same with LRN alone, and the 11 % net, which also has a wider local3 and
    another decay."""
    without, alone, eleven = (trial_of(lab, name) for name in ("cifar-13pct", "cifar-13pct-norm", "cifar-11pct"))
    labels = {without: "13 % net", alone: "13 % net with LRN", eleven: "11 % net"}
    papers = {without: 0.13, alone: None, eleven: 0.11}
    lab.plan(list(labels))
    found = {trial: lab.each(trial, views=9) for trial in labels}
    errors = {trial: [e.top1 for e in judged] for trial, judged in found.items()}
    rows = tuple(
        Row(f"{label}: error, nine views", tuple(errors[trial]), papers[trial], "%", lab.names(trial),
            incomparable(lab) or fewer_epochs(trial))
        for trial, label in labels.items()
    )  # fmt: skip
    verdicts = tuple(
        higher(f"13 % net: the error is higher than the {labels[trial]}'s", errors[without], errors[trial],
               pictures=lab.pictures)
        for trial in (alone, eleven)
    )  # fmt: skip
    bars = charts.drawing("errors", charts.bars(rows), "Errors with nine views, each seed a dot")
    invalid = too_weak(found[without], views=9)
    notes = ("The 11 % net has normalisation, and beside it 64 maps in place of 32 in local3 and another decay.",)
    notes += pictures_told(lab)
    return Finding(rows, verdicts, READING, how_trained(lab, without), notes, (bars,), invalid)


def trial_of(lab: Lab, name: str) -> Trial:
    """One of the nets as it is configured, whatever the settings say of networks and rates."""
    recipe = every_recipe()[SAME_FILES.get(name, name)]
    return lab.trial(name, net=recipe.net, recipe=recipe.name, learning_rate=None, width=1.0, input_size=None)


def pictures_told(lab: Lab) -> tuple[str, ...]:
    return (f"Trained on {len(lab.store.parts['train']):,} pictures; CIFAR-10 has 50,000.",)


def incomparable(lab: Lab) -> str:
    """Why the authors' number can't be held against ours; empty if it can."""
    if len(lab.store.class_ids) != CLASSES or len(lab.store.parts["train"]) < TRAINING:
        return f"the number is one of CIFAR-10 with at least {TRAINING:,} training pictures; this store is another"
    return ""


def fewer_epochs(trial: Trial) -> str:
    """How many of the authors' epochs a trial has; empty if it has them all. A number that is missed then is not
    refuted."""
    theirs = every_recipe()[trial.options.recipe].epochs
    return "" if trial.epochs >= theirs else f"{trial.epochs} of the authors' {theirs} epochs"
