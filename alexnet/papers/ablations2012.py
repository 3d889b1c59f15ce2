"""What [A] says that each part of its network is worth: a network without it, beside the network with it.

Every one trains the same base network, once for all of them. Values are shares, 0 to 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from alexnet.papers import charts
from alexnet.papers.columns2012 import paces
from alexnet.papers.finding import Finding, Row, Verdict
from alexnet.papers.lab import Errors, Lab, Trial
from alexnet.papers.registry import result
from alexnet.papers.statistics import above_zero, higher

COUNTS_FROM = 0.60
"""Ten-view accuracy below which a base network is too weak for an ablation to mean anything."""
CIFAR_SIDE = 32
ANY = "any store; full size wants ImageNet"
DAYS = "5–6 days on two GTX 580 for each network"

ORDER = ("A/s3.2", "A/s3.3", "A/s3.4", "A/s4.1", "A/s4.2", "A/s5", "A/s7")

Measure = Callable[[Trial], list[float]]


@dataclass(frozen=True)
class Change:
    """A changed network: what the paper says it loses in top-1 and top-5 error, as shares; None where it says nothing
    but the direction. `claimed` False: the paper claims nothing of it."""

    trial: Trial
    top1: float | None = None
    top5: float | None = None
    claimed: bool = True
    note: str = ""


def ablate(lab: Lab, changes: Sequence[Change], *, base: Trial | None = None, views: int = 10) -> Finding:
    """Train base and changed networks over the seeds, compare their errors."""
    base = base or lab.base()
    lab.plan([base, *(change.trial for change in changes)])
    plain = lab.each(base, views)
    rows = [*_error_rows(lab, base, plain)]
    verdicts: list[Verdict] = []
    differences: list[Row] = []
    for change in changes:
        found = lab.each(change.trial, views)
        rows += _error_rows(lab, change.trial, found, change.note)
        differences += _differences(change, found, plain)
        if change.claimed:
            verdicts.append(_worse(lab, change, found, plain))
    bars = charts.bars([row for row in rows if "top-1" in row.what])
    return Finding(
        rows=(*rows, *differences),
        verdicts=tuple(verdicts),
        reading=lab.reading,
        recipe=in_words(lab, base),
        drawings=(charts.drawing("errors", bars, "Top-1 errors, each seed a dot, the mean a bar"),),
        invalid=too_weak(plain),
    )


def _error_rows(lab: Lab, trial: Trial, found: Sequence[Errors], note: str = "") -> list[Row]:
    return [
        Row(f"{trial.label}: top-1 error", tuple(e.top1 for e in found), None, "%", lab.names(trial), note),
        Row(f"{trial.label}: top-5 error", tuple(e.top5 for e in found), None, "%", lab.names(trial), note),
    ]


def _differences(change: Change, found: Sequence[Errors], plain: Sequence[Errors]) -> list[Row]:
    return [
        Row(
            f"{change.trial.label} loses, {what}",
            tuple(getattr(theirs, name) - getattr(ours, name) for theirs, ours in zip(found, plain, strict=True)),
            paper,
            "points",
        )
        for what, name, paper in (("top-1", "top1", change.top1), ("top-5", "top5", change.top5))
    ]


def _worse(lab: Lab, change: Change, found: Sequence[Errors], plain: Sequence[Errors]) -> Verdict:
    claim = f"{change.trial.label}: the top-1 error is higher"
    return higher(claim, [e.top1 for e in found], [e.top1 for e in plain], pictures=lab.pictures)


def too_weak(plain: Sequence[Errors]) -> str:
    """Why an ablation does not count: its base network is too weak. Empty if it counts."""
    right = 1 - sum(e.top1 for e in plain) / len(plain)
    if right >= COUNTS_FROM:
        return ""
    return (
        f"does not count: the base network is right in {right * 100:.1f} %; with ten views {COUNTS_FROM * 100:.0f} % "
        "are asked for"
    )


def in_words(lab: Lab, trial: Trial, seeds: int | None = None) -> str:
    """How the base network was trained, with `seeds` of them (by default as many as the settings say)."""
    options, run = trial.options, lab.trained(trial, 0)
    machine = run.value("machine")
    width = "" if options.width == 1 else f", width {options.width:g}"
    return (
        f"recipe {options.recipe}, {trial.table.name}{width}, at most {trial.epochs} epochs, batch {options.batch}, "
        f"rate {run.value('recipe', 'rate'):g}, seeds 0 to {(seeds or lab.settings.seeds) - 1}; "
        f"{machine['precision']} on {machine['device']}"
    )


# ── section 3: the architecture ──────────────────────────────────────────────────────────────────────────────────


@result(
    "A/s3.2",
    "Two columns",
    claim="Against one GPU's net with half the maps two columns gain 1.7 / 1.2 points and train slightly faster; "
    "without communication (run 150) 1.2 / 1.1 are lost.",
    needs=ANY,
    trainings=3,
    full_scale=DAYS,
)
def two_columns(lab: Lab) -> Finding:
    """[A] §3.2; runs 145, 145-half (ILSVRC-2010 test) and 150 (ILSVRC-2012 validation)."""
    half = Change(lab.ablation("half", "one column of half the maps"), 0.017, 0.012)
    apart = Change(
        lab.ablation("nocomm", "columns that meet only in fc8"), 0.4183 - 0.4066, 0.1933 - 0.1821, note="run 150"
    )
    found = ablate(lab, [half, apart])
    timed = "Paces: two epochs each, on the whole machine, one after the other."
    return replace(found, rows=(*found.rows, *paces(lab)), notes=(*found.notes, timed))


@result(
    "A/s3.3",
    "Response normalisation",
    claim="Normalisation gains 1.4 / 1.2 points; on CIFAR-10 13 % → 11 %.",
    needs="any store; of 32-pixel records (CIFAR-10) the CIFAR nets are trained",
    trainings=4,
    full_scale=DAYS,
)
def response_normalisation(lab: Lab) -> Finding:
    """[A] §3.3; runs 148 (all norms away) and 167 (layer 2's away). On CIFAR-10 the 13 % net, the same with LRN alone,
    and the 11 % net, which also has a wider local3 and another decay."""
    if lab.store.size == CIFAR_SIDE and lab.settings.net is None:
        return _normalisation_on_cifar(lab)
    return ablate(
        lab,
        [
            Change(lab.ablation("no-norm", "no normalisation"), 0.014, 0.012, note="run 148"),
            Change(lab.ablation("no-norm1", "layer 1 not normalised"), claimed=False),
            # 167 against 169, which differs in the last rate too: 40.488 − 40.596, 18.118 − 18.112
            Change(lab.ablation("no-norm2", "layer 2 not normalised"), -0.0011, 0.0001, claimed=False, note="run 167"),
        ],
    )


def _normalisation_on_cifar(lab: Lab) -> Finding:
    def net(recipe: str, label: str) -> Trial:
        return lab.trial(label, net=recipe, recipe=recipe, rate=None)

    without, alone, eleven = (
        net("cifar-13pct", "13 % net"),
        net("cifar-13pct-norm", "13 % net with LRN"),
        net("cifar-11pct", "11 % net"),
    )
    lab.plan([without, alone, eleven])
    errors = {trial.label: [e.top1 for e in lab.each(trial, views=9)] for trial in (without, alone, eleven)}
    papers = {"13 % net": 0.13, "13 % net with LRN": None, "11 % net": 0.11}
    trials = {trial.label: trial for trial in (without, alone, eleven)}
    rows = tuple(
        Row(f"{label}: error, nine views", tuple(found), papers[label], "%", lab.names(trials[label]))
        for label, found in errors.items()
    )
    plain = errors["13 % net"]
    verdicts = tuple(
        higher(f"13 % net: the error is higher than the {label}'s", plain, errors[label], pictures=lab.pictures)
        for label in ("13 % net with LRN", "11 % net")
    )
    bars = charts.drawing("errors", charts.bars(rows), "Errors with nine views, each seed a dot")
    return Finding(rows, verdicts, "the authors' CIFAR nets, as configured", in_words(lab, without), drawings=(bars,))


@result(
    "A/s3.4",
    "Overlapping pooling",
    claim="Pools of 3 × 3 with stride 2 gain 0.4 / 0.3 points over 2 × 2; slightly harder to overfit.",
    needs=ANY,
    trainings=2,
    full_scale=DAYS,
)
def overlapping_pools(lab: Lab) -> Finding:
    """[A] §3.4; run 147, which also changed the paddings of conv2 and conv4."""
    return ablate(lab, [Change(lab.ablation("pool2x2", "pools of 2 × 2"), 0.004, 0.003, note="run 147")])


# ── section 4: against overfitting ───────────────────────────────────────────────────────────────────────────────


@result(
    "A/s4.1",
    "Crops, mirrors, colour noise, ten views",
    claim="Without crops and mirrors the network overfits; colour noise gains over 1 point of top-1 error; ten views "
    "gain 1.5 / 1.3 over the centre.",
    needs=ANY,
    trainings=4,
    full_scale=DAYS,
)
def augmentation(lab: Lab) -> Finding:
    """[A] §4.1 and footnote 5; the two readings of the colour noise beside each other."""
    base, plain = lab.base(), lab.trial("centre crops, no mirrors", crops="centre", mirror=False)
    used = "code"  # both recipes' colour noise
    found = ablate(
        lab,
        [
            Change(plain),
            Change(lab.trial("no colour noise", colour_noise="off"), 0.01, None, note=f"the network has the {used}'s"),
            Change(
                lab.trial("colour noise as printed", colour_noise="paper"),
                claimed=False,
                note=f"in place of the {used}'s",
            ),
        ],
    )
    found = overfitting(lab, found, base, plain)
    centre, ten = lab.each(base, views=1), lab.each(base, views=10)
    gains = [c.top1 - t.top1 for c, t in zip(centre, ten, strict=True)]
    rows = (
        Row("the network, centre view: top-1 error", tuple(e.top1 for e in centre), None, "%", lab.names(base)),
        Row("ten views gain, top-1", tuple(gains), 0.390 - 0.375, "points"),
        Row("ten views gain, top-5", tuple(c.top5 - t.top5 for c, t in zip(centre, ten, strict=True)), 0.013, "points"),
    )
    verdict = above_zero("ten views err less than the centre", gains, pictures=lab.pictures)
    return replace(found, rows=(*found.rows, *rows), verdicts=(*found.verdicts, verdict))


@result(
    "A/s4.2",
    "Dropout",
    claim="Without dropout the network overfits; with it, it takes about twice as many iterations to converge.",
    needs=ANY,
    trainings=2,
    full_scale=DAYS,
)
def dropout(lab: Lab) -> Finding:
    """[A] §4.2."""
    base, changed = lab.base(), lab.ablation("no-dropout", "no dropout")
    return overfitting(lab, ablate(lab, [Change(changed)]), base, changed)


def overfitting(lab: Lab, found: Finding, base: Trial, changed: Trial) -> Finding:
    """The finding, and whether the gap between errors on new and on training pictures is wider in the changed network
    (the centre view of both)."""
    gaps = {trial.label: _gaps(lab, trial) for trial in (base, changed)}
    rows = tuple(
        Row(f"{label}: new minus training pictures, top-1", tuple(g), None, "points") for label, g in gaps.items()
    )
    verdict = higher(
        f"{changed.label}: the gap between training and new pictures is wider", gaps[changed.label], gaps[base.label]
    )
    return replace(found, rows=(*found.rows, *rows), verdicts=(*found.verdicts, verdict))


def _gaps(lab: Lab, trial: Trial) -> list[float]:
    new, known = lab.each(trial, views=1), lab.each(trial, views=1, part="train")
    return [n.top1 - k.top1 for n, k in zip(new, known, strict=True)]


# ── section 5: learning ──────────────────────────────────────────────────────────────────────────────────────────


@result(
    "A/s5",
    "Weight decay, first weights, schedule",
    claim="Weight decay of 0.0005 lowers the training error too. (Of first weights and schedule the paper claims "
    "nothing; its code had others.)",
    needs=ANY,
    trainings=4,
    full_scale=DAYS,
)
def learning(lab: Lab) -> Finding:
    """[A] §5; decay away; the printed first weights (σ 0.01 in every layer); a logged run's schedule in place of the
    plateau rule, or the other way round."""
    base, no_decay = lab.base(), lab.trial("no weight decay", decay=0.0)
    other = {"paper": ("145", "run 145's schedule"), "code": ("paper", "the plateau rule")}[lab.settings.reading]
    changes = [
        Change(no_decay),
        Change(lab.trial("first weights as printed", init="paper"), claimed=False),
        Change(lab.trial(other[1], recipe=other[0]), claimed=False, note="with that recipe's other settings"),
    ]
    found = ablate(lab, changes)
    training = {t.label: [e.top1 for e in lab.each(t, views=1, part="train")] for t in (base, no_decay)}
    rows = tuple(
        Row(f"{label}: top-1 error on the training pictures, centre", tuple(e), None, "%")
        for label, e in training.items()
    )
    claim = "no weight decay: the error on the training pictures is higher"
    pictures = len(lab.store.parts["train"])
    verdict = higher(claim, training["no weight decay"], training[base.label], pictures=pictures)
    return replace(found, rows=(*found.rows, *rows), verdicts=(verdict, *found.verdicts))


# ── section 7: depth ─────────────────────────────────────────────────────────────────────────────────────────────

MIDDLE = ("conv2", "conv3", "conv4", "conv5", "fc6", "fc7")


@result(
    "A/s7",
    "Each middle layer removed",
    claim="Removing any of the middle layers loses about 2 points of top-1 error.",
    needs=ANY,
    trainings=1 + len(MIDDLE),
    full_scale=DAYS,
)
def depth(lab: Lab) -> Finding:
    """[A] §7; no run of 2012 is logged for it. Where columns met in the layer removed, they meet in the next one."""
    return ablate(lab, [Change(lab.ablation(f"no-{layer}", f"no {layer}"), 0.02) for layer in MIDDLE])
