"""What [A] says that each part of its network is worth: a network without it, compared with the network with it.

published.toml lists the changes; where nothing else is measured ([A] §3.4, §7), `ablate` is the whole result. All
results share one base network. Values are shares, 0 to 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from statistics import mean
from typing import Any

from alexnet.experiments import charts
from alexnet.experiments.finding import TOPS, Errors, Finding, Row, Verdict, differences_of, error_rows, top1_of
from alexnet.experiments.krizhevsky2012 import cifar
from alexnet.experiments.krizhevsky2012.columns import paces
from alexnet.experiments.lab import Lab
from alexnet.experiments.registry import find, published
from alexnet.experiments.statistics import above_zero, higher, margin_of
from alexnet.experiments.trial import Trial

LOSSES = "What each change loses in top-1 error, with its margin as a line; a cross where the paper has it"


@dataclass(frozen=True)
class Change:
    """A changed network: by a suffix of the zoo's names (`net`) or by training `options`. `lost`: the top-1 and top-5
    error that it costs, as far as the paper or a logged run has a number. `claimed` False: the paper claims nothing of
    it. `overfits`: the paper claims that it overfits more."""

    label: str
    net: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    lost: Sequence[float] = ()
    claimed: bool = True
    overfits: bool = False
    note: str = ""

    def trial(self, lab: Lab) -> Trial:
        return lab.ablation(self.net, self.label) if self.net else lab.trial(self.label, **self.options)


def ablate(lab: Lab, id: str) -> Finding:
    """Train base and changed networks over the seeds, compare their errors with ten views. A change that the base
    network already has, by the settings, is left out."""
    base = lab.base()
    changes = [(change, change.trial(lab)) for change in (Change(**one) for one in find(id).changes)]
    changes = [(change, trial) for change, trial in changes if trial.fingerprint(0) != base.fingerprint(0)]
    trials = [base, *(trial for _, trial in changes)]
    lab.plan(trials)
    plain = lab.each(base)
    rows = error_rows(base.label, plain, (), lab.names(base))
    differences: list[Row] = []
    verdicts: list[Verdict] = []
    for change, trial in changes:
        found = lab.each(trial)
        rows += error_rows(change.label, found, (), lab.names(trial), change.note)
        differences += _differences(change, found, plain)
        if change.claimed:
            claim = f"{change.label}: the top-1 error is higher"
            verdicts.append(higher(claim, top1_of(found), top1_of(plain), pictures=lab.pictures))
        if change.overfits:
            # How far the errors on new pictures are above those on training pictures, both with the centre view.
            gaps = {
                one.label: differences_of(lab.each_top1(one, views=1), lab.each_top1(one, views=1, split="train"))
                for one in (base, trial)
            }
            differences += [
                Row(f"{label}: new minus training pictures, top-1", gap, None, "points") for label, gap in gaps.items()
            ]
            claim = f"{change.label}: the gap between training and new pictures is wider"
            verdicts.append(higher(claim, gaps[change.label], gaps[base.label], pictures=lab.pictures))
    lost = charts.losses([row for row in differences if "loses, top-1" in row.what])
    return lab.finding(
        base,
        [*rows, *differences],
        verdicts,
        notes=cut_off(lab, trials),
        drawings=[charts.drawing("losses", lost, LOSSES)],
        base=plain,
    )


def _differences(change: Change, found: Sequence[Errors], plain: Sequence[Errors]) -> list[Row]:
    """What a change loses: the difference of the means."""
    rows = []
    for (what, name), paper in zip_longest(TOPS.items(), change.lost):
        changed, usual = ([getattr(errors, name) for errors in some] for some in (found, plain))
        margin = margin_of(changed, usual) if len(usual) > 1 else None
        lost = (mean(changed) - mean(usual),)
        rows.append(Row(f"{change.label} loses, {what}", lost, paper, "points", (), change.note, margin, len(usual)))
    return rows


def cut_off(lab: Lab, trials: Sequence[Trial]) -> tuple[str, ...]:
    """A note where the epochs ended before the plateau rule did: then one network may be past a drop of the learning
    rate and another before it."""
    ends = {trial: [lab.drops(trial, seed) for seed in lab.seeds] for trial in trials if trial.by_plateau}
    cut = sum(epochs == trial.epochs for trial, found in ends.items() for epochs, _ in found)
    if not cut:
        return ()
    by_network = "; ".join(
        f"{trial.label} {', '.join(' and '.join(map(str, drops)) or 'never' for _, drops in found)}"
        for trial, found in ends.items()
    )
    return (
        f"The epochs ended before the plateau rule did in {cut} of {sum(map(len, ends.values()))} networks, so part of "
        f"a difference may be when the learning rate dropped. Epochs from which on it was lower, by seeds: "
        f"{by_network}." + (" With --recipe steps they are the same for all." if lab.base().by_plateau else ""),
    )


# ── section 3: the architecture ──────────────────────────────────────────────────────────────────────────────────


def two_columns(lab: Lab) -> Finding:
    """[A] §3.2."""
    found = ablate(lab, "A/s3.2")
    timed, untimed = paces(lab)
    how = ["Paces: the faster of two epochs each, on the whole machine, one after the other."] if timed else []
    claim, why = "two columns train faster than the control", "it takes a machine for each column"
    return found.plus(timed, [Verdict(claim, "unmeasured", why)], [*how, *untimed])


def response_normalisation(lab: Lab) -> Finding:
    """[A] §3.3."""
    if lab.store.size == cifar.SIDE and lab.settings.net is None:
        return cifar.normalisation(lab)
    return ablate(lab, "A/s3.3")


# ── section 4: against overfitting ───────────────────────────────────────────────────────────────────────────────


def augmentation(lab: Lab) -> Finding:
    """[A] §4.1 and footnote 5; both readings of the colour noise."""
    found, base = ablate(lab, "A/s4.1"), lab.base()
    centre, ten = lab.each(base, views=1), lab.each(base, views=10)
    gains = {
        what: differences_of([getattr(one, field) for one in centre], [getattr(one, field) for one in ten])
        for what, field in TOPS.items()
    }
    rows = error_rows("the network, centre view", centre, (), lab.names(base))[:1]
    for (what, gain), paper in zip(gains.items(), published("A/s4.1")["ten_views_gain"], strict=True):
        rows.append(Row(f"ten views gain, {what}", gain, paper, "points"))
    verdict = above_zero("ten views err less than the centre", gains["top-1"], pictures=lab.pictures)
    return found.plus(rows, [verdict])


def dropout(lab: Lab) -> Finding:
    """[A] §4.2."""
    claim, why = "dropout takes about twice as many iterations to converge", "all are trained equally long"
    return ablate(lab, "A/s4.2").plus(verdicts=[Verdict(claim, "unmeasured", why)])


# ── section 5: learning ──────────────────────────────────────────────────────────────────────────────────────────


def learning(lab: Lab) -> Finding:
    """[A] §5: no weight decay; the printed initial weights (σ 0.01 in every layer); the plateau rule and a logged run's
    schedule."""
    found = ablate(lab, "A/s5")
    with_decay, without = (
        (trial.label, lab.each_top1(trial, views=1, split="train"))
        for trial in (lab.base(), lab.trial("no weight decay", decay=0.0))
    )
    rows = [
        Row(f"{label}: top-1 error on the training pictures, centre", errors) for label, errors in (with_decay, without)
    ]
    claim = "no weight decay: the error on the training pictures is higher"
    verdict = higher(claim, without[1], with_decay[1], pictures=len(lab.store.splits["train"]))
    return replace(found, rows=[*found.rows, *rows], verdicts=[verdict, *found.verdicts])
