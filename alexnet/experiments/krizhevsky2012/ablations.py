"""What [A] says that each part of its network is worth: a network without it, beside the network with it.

Every one trains the same base network, once for all of them. Values are shares, 0 to 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean

from alexnet.experiments import charts
from alexnet.experiments.finding import Finding, Row, Verdict
from alexnet.experiments.krizhevsky2012 import cifar as cifar2012
from alexnet.experiments.krizhevsky2012.columns import paces
from alexnet.experiments.lab import Errors, Lab, Trial, how_trained, too_weak
from alexnet.experiments.registry import result
from alexnet.experiments.statistics import above_zero, higher, margin_of, unmeasured

ANY = "any store; full size wants ImageNet"
DAYS = "5–6 days on two GTX 580 for each network"

ORDER = ("A/s3.2", "A/s3.3", "A/s3.4", "A/s4.1", "A/s4.2", "A/s5", "A/s7")


LOSSES = "What each change loses in top-1 error, with its margin as a line; a cross where the paper has it"


@dataclass(frozen=True)
class Change:
    """A changed network: what the paper says it loses in top-1 and top-5 error, as shares; None where it says nothing
    but the direction. `claimed` False: the paper claims nothing of it."""

    trial: Trial
    top1: float | None = None
    top5: float | None = None
    claimed: bool = True
    note: str = ""


def ablate(lab: Lab, changes: Sequence[Change]) -> Finding:
    """Train base and changed networks over the seeds, compare their errors with ten views. A change that the base
    network has already, by the settings, is left out."""
    base = lab.base()
    changes = [change for change in changes if change.trial.fingerprint(0) != base.fingerprint(0)]
    trials = [base, *(change.trial for change in changes)]
    lab.plan(trials)
    plain = lab.each(base)
    rows = [*_error_rows(lab, base, plain)]
    verdicts: list[Verdict] = []
    differences: list[Row] = []
    for change in changes:
        found = lab.each(change.trial)
        rows += _error_rows(lab, change.trial, found, change.note)
        differences += _differences(change, found, plain)
        if change.claimed:
            verdicts.append(_worse(lab, change, found, plain))
    lost = charts.losses([row for row in differences if "top-1" in row.what])
    return Finding(
        rows=(*rows, *differences),
        verdicts=tuple(verdicts),
        reading=lab.reading,
        recipe=how_trained(lab, base),
        notes=cut_off(lab, trials),
        drawings=(charts.drawing("losses", lost, LOSSES),),
        invalid=too_weak(plain),
    )


def _error_rows(lab: Lab, trial: Trial, found: Sequence[Errors], note: str = "") -> list[Row]:
    return [
        Row(f"{trial.label}: top-1 error", tuple(e.top1 for e in found), None, "%", lab.names(trial), note),
        Row(f"{trial.label}: top-5 error", tuple(e.top5 for e in found), None, "%", lab.names(trial), note),
    ]


def _differences(change: Change, found: Sequence[Errors], plain: Sequence[Errors]) -> list[Row]:
    """What a change loses: the difference of the means."""
    rows = []
    for what, name, paper in (("top-1", "top1", change.top1), ("top-5", "top5", change.top5)):
        theirs, ours = ([getattr(errors, name) for errors in some] for some in (found, plain))
        lost, margin = (mean(theirs) - mean(ours),), margin_of(theirs, ours) if len(ours) > 1 else None
        told = f"{change.trial.label} loses, {what}"
        rows.append(Row(told, lost, paper, "points", (), change.note, margin, len(ours)))
    return rows


def cut_off(lab: Lab, trials: Sequence[Trial]) -> tuple[str, ...]:
    """What to say where the epochs ended before the plateau rule did: then one network may be behind a drop of the
    learning rate where another is before it."""
    ends = {trial: [lab.drops(trial, seed) for seed in lab.seeds] for trial in trials if trial.by_plateau}
    cut = sum(epochs == trial.epochs for trial, found in ends.items() for epochs, _ in found)
    if not cut:
        return ()
    told = "; ".join(
        f"{trial.label} {', '.join(' and '.join(map(str, drops)) or 'never' for _, drops in found)}"
        for trial, found in ends.items()
    )
    return (
        f"The epochs ended before the plateau rule did in {cut} of {sum(map(len, ends.values()))} networks, so part of "
        f"a difference may be when the learning rate dropped. Epochs from which on it was lower, by seeds: {told}."
        + (" With --recipe steps they are the same for all." if lab.base().by_plateau else ""),
    )


def _worse(lab: Lab, change: Change, found: Sequence[Errors], plain: Sequence[Errors]) -> Verdict:
    claim = f"{change.trial.label}: the top-1 error is higher"
    return higher(claim, [e.top1 for e in found], [e.top1 for e in plain], pictures=lab.pictures)


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
    meeting_late = lab.ablation("nocomm", "columns that meet only in fc8")
    apart = Change(meeting_late, 0.418280 - 0.406640, 0.193300 - 0.182100, note="run 150")
    found = ablate(lab, [half, apart])
    timed, untimed = paces(lab)
    how = "Paces: the faster of two epochs each, on the whole machine, one after the other."
    faster = unmeasured("two columns train faster than the control", "a machine for each column is wanted, here is one")
    return replace(
        found,
        rows=(*found.rows, *timed),
        verdicts=(*found.verdicts, faster),
        notes=(*found.notes, *((how,) if timed else ()), *untimed),
    )


@result(
    "A/s3.3",
    "Response normalisation",
    claim="Normalisation gains 1.4 / 1.2 points; on CIFAR-10 13 % → 11 %.",
    needs="any store; of 32-pixel records (CIFAR-10) the CIFAR nets are trained",
    trainings=4,
    full_scale=DAYS,
)
def response_normalisation(lab: Lab) -> Finding:
    """[A] §3.3; runs 148 (all norms away) and 167 (layer 2's away)."""
    if lab.store.size == cifar2012.SIDE and lab.settings.net is None:
        return cifar2012.normalisation(lab)
    return ablate(
        lab,
        [
            Change(lab.ablation("no-norm", "no normalisation"), 0.014, 0.012, note="run 148"),
            Change(lab.ablation("no-norm1", "layer 1 not normalised"), claimed=False),
            Change(
                lab.ablation("no-norm2", "layer 2 not normalised"),
                0.404880 - 0.405960,
                0.181180 - 0.181120,
                claimed=False,
                note="run 167 against 169, which ends with another rate",
            ),
        ],
    )


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
    base, changed = lab.base(), lab.ablation("pool2x2", "pools of 2 × 2")
    return overfitting(lab, ablate(lab, [Change(changed, 0.004, 0.003, note="run 147")]), base, changed)


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
    found = overfitting(lab, ablate(lab, [Change(changed)]), base, changed)
    longer = unmeasured("dropout takes about twice as many iterations to converge", "all are trained equally long")
    return replace(found, verdicts=(*found.verdicts, longer))


def overfitting(lab: Lab, found: Finding, base: Trial, changed: Trial) -> Finding:
    """The finding, and whether the gap between errors on new and on training pictures is wider in the changed network
    (the centre view of both)."""
    gaps = {trial.label: _gaps(lab, trial) for trial in (base, changed)}
    rows = tuple(
        Row(f"{label}: new minus training pictures, top-1", tuple(g), None, "points") for label, g in gaps.items()
    )
    verdict = higher(
        f"{changed.label}: the gap between training and new pictures is wider",
        gaps[changed.label],
        gaps[base.label],
        pictures=lab.pictures,
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
    """[A] §5; decay away; the printed first weights (σ 0.01 in every layer); the plateau rule and a logged run's
    schedule, whichever of them the base network has not."""
    base, no_decay = lab.base(), lab.trial("no weight decay", decay=0.0)
    changes = [
        Change(no_decay),
        Change(lab.trial("first weights as printed", init="paper"), claimed=False),
        *(
            Change(lab.trial(label, recipe=recipe), claimed=False, note="with that recipe's other settings")
            for recipe, label in (("paper", "the plateau rule"), ("145", "run 145's schedule"))
            if recipe != lab.recipe
        ),
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
    claim="Removing any of the middle convolutions loses about 2 points of top-1 error.",
    needs=ANY,
    trainings=1 + len(MIDDLE),
    full_scale=DAYS,
)
def depth(lab: Lab) -> Finding:
    """[A] §7, which says it of convolutions; the dense layers are removed beside them. No run of 2012 is logged for
    it. Where columns met in the layer removed, they meet in the next one."""
    changes = [
        Change(lab.ablation(f"no-{layer}", f"no {layer}"), *((0.02,) if claimed else ()), claimed=claimed)
        for layer, claimed in ((layer, layer.startswith("conv")) for layer in MIDDLE)
    ]
    return ablate(lab, changes)
