"""[Z]'s transfer to Caltech-101 and -256: Tables 4, 5 and 7, Fig. 9. (Table 6, Pascal VOC, whose pictures have several
classes each, is `alexnet transfer RUN VOC-FOLDER`.)

One network is pre-trained, as in the paper; values are those of the folds.
"""

from collections.abc import Sequence

from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.experiments import charts
from alexnet.experiments.finding import Finding, Row, Verdict
from alexnet.experiments.lab import Lab, Trial, how_trained
from alexnet.experiments.registry import Unsuited, result
from alexnet.experiments.statistics import above_zero
from alexnet.features.charts import Line, accuracy_over_pictures
from alexnet.features.duplicates import find_duplicates
from alexnet.features.probes import Outcome, largest_per_class, require_scikit_learn
from alexnet.features.transfer import Study, TransferPlan, pooled, store_of
from alexnet.text import counted

ORDER = ("Z/table4", "Z/table5", "Z/table7", "Z/fig9")

NEEDS = "Caltech-{}, or any store of classes that the pre-training does not have; one to pre-train on (--pretrain)"
DAYS = "12 days on one GTX 580 for the network; 17 minutes for 30 pictures a class"
OF_256 = 200
"""With so many classes a store is held against Caltech-256's numbers."""
LAST = "7"

# Accuracies of [Z] Tables 4 and 5 by training pictures per class.
CALTECH_101 = {"pre-trained": {15: 0.838, 30: 0.865}, "trained on these only": {15: 0.228, 30: 0.465}}
CALTECH_256 = {
    "pre-trained": {15: 0.657, 30: 0.706, 45: 0.727, 60: 0.742},
    "trained on these only": {15: 0.090, 30: 0.225, 45: 0.312, 60: 0.388},
}
BO_256 = {15: 0.405, 30: 0.480, 45: 0.519, 60: 0.552}  # Bo et al. 2013, the best before
# [Z] Table 7: kind of probe, layer → Caltech-101 with 30 per class, Caltech-256 with 60.
TABLE_7 = {
    ("svm", "1"): (0.448, 0.246), ("svm", "2"): (0.662, 0.396), ("svm", "3"): (0.723, 0.460),
    ("svm", "4"): (0.766, 0.513), ("svm", "5"): (0.862, 0.656), ("svm", "7"): (0.855, 0.717),
    ("softmax", "5"): (0.829, 0.657), ("softmax", "7"): (0.854, 0.726),
}  # fmt: skip


@result(
    "Z/table4",
    "Transfer to Caltech-101",
    claim="A softmax on layer 7 of a pre-trained network is right in 83.8 % with 15 and 86.5 % with 30 pictures of "
    "each class; the same network trained on these only in 22.8 % and 46.5 %.",
    needs=NEEDS.format(101),
    once=1,
    full_scale=DAYS,
)
def table4(lab: Lab) -> Finding:
    """[Z] Table 4. Besides the pre-training, a network is trained on each fold."""
    return _pretrained_or_not(lab, CALTECH_101)


@result(
    "Z/table5",
    "Transfer to Caltech-256",
    claim="With 15, 30, 45 and 60 pictures of each class 65.7, 70.6, 72.7 and 74.2 %; trained on these only 9.0, 22.5, "
    "31.2 and 38.8 %.",
    needs=NEEDS.format(256),
    once=1,
    full_scale=DAYS,
)
def table5(lab: Lab) -> Finding:
    """[Z] Table 5."""
    return _pretrained_or_not(lab, CALTECH_256)


def _pretrained_or_not(lab: Lab, papers: dict[str, dict[int, float]]) -> Finding:
    trial, counts, notes = _prepared(lab, tuple(papers["pre-trained"]))
    wish = TransferPlan(
        (LAST,), ("softmax",), counts, ("random", "target"), epochs=lab.settings.epochs or TransferPlan().epochs
    )
    outcomes = _study(lab, trial, wish).outcomes()
    pretrained, frozen, target = (outcomes[place : place + len(counts)] for place in (0, len(counts), 2 * len(counts)))
    rows = (
        *_rows(trial, "pre-trained, softmax on layer 7", pretrained, papers["pre-trained"]),
        *_rows(trial, "trained on these only", target, papers["trained on these only"]),
        *_rows(trial, "untrained and frozen, softmax on layer 7", frozen, {}),
    )
    verdicts = [
        _better(f"pre-trained is better than trained on these only, {mine.per_class} per class", mine, other)
        for mine, other in zip(pretrained, target, strict=True)
    ]
    return Finding(rows, tuple(verdicts), lab.reading, how_trained(lab, trial), notes)


@result(
    "Z/table7",
    "Accuracy by layer",
    claim="The deeper the layer, the better a linear classifier on it: 44.8 % on layer 1 to 86.2 % on layer 5 on "
    "Caltech-101, 24.6 to 71.7 % (layer 7) on Caltech-256.",
    needs=NEEDS.format("101 or -256"),
    once=1,
    full_scale=DAYS,
)
def table7(lab: Lab) -> Finding:
    """[Z] Table 7: 30 pictures a class, 60 of Caltech-256; beside it the same layers of the network untrained."""
    of_256 = len(lab.store.class_ids) >= OF_256
    trial, counts, notes = _prepared(lab, (60,) if of_256 else (30,))
    layers = tuple(dict.fromkeys(layer for _, layer in TABLE_7))
    wish = TransferPlan(layers, per_class=counts)
    outcomes = _study(lab, trial, wish).outcomes()
    places = [(kind, layer) for kind in wish.kinds for layer in layers]
    trained = dict(zip(places, outcomes[: len(places)], strict=True))
    frozen = dict(zip(places, outcomes[len(places) :], strict=True))
    rows = [
        Row(f"{kind} on layer {layer}{told}", found[kind, layer].accuracies, paper, "%", runs)
        for found, told, runs in ((trained, "", (trial.name(0),)), (frozen, ", untrained", ()))
        for kind, layer in places
        for paper in [TABLE_7.get((kind, layer), (None, None))[of_256] if not told else None]
    ]
    best, by_chance = (max(found.values(), key=lambda one: one.mean) for found in (trained, frozen))
    verdicts = (
        _better("svm: layer 5 is better than layer 1", trained["svm", "5"], trained["svm", "1"]),
        _better("softmax: layer 7 is better than layer 5", trained["softmax", "7"], trained["softmax", "5"]),
        _better(f"the best layer ({best.what}) is better than any untrained ({by_chance.what})", best, by_chance),
    )
    return Finding(tuple(rows), verdicts, lab.reading, how_trained(lab, trial), notes)


@result(
    "Z/fig9",
    "Accuracy over training pictures",
    claim="Pre-trained, six pictures of each class are enough to be better than the best method before with 60 "
    "(55.2 % on Caltech-256).",
    needs=NEEDS.format(256),
    once=1,
    full_scale=DAYS,
)
def fig9(lab: Lab) -> Finding:
    """[Z] Fig. 9. Here the best method before is the untrained network with the most pictures."""
    trial, counts, notes = _prepared(lab, (1, 2, 4, 6, 10, 15, 20, 30, 45, 60))
    outcomes = _study(lab, trial, TransferPlan((LAST,), ("softmax",), counts)).outcomes()
    trained, frozen = outcomes[: len(counts)], outcomes[len(counts) :]
    papers = CALTECH_256 if len(lab.store.class_ids) >= OF_256 else CALTECH_101
    rows = (
        *_rows(trial, "pre-trained", trained, papers["pre-trained"]),
        *_rows(trial, "untrained and frozen", frozen, {}),
    )
    few = next((one for one in trained if one.per_class == 6), trained[-1])
    claim = f"{few.per_class} per class pre-trained are better than {frozen[-1].per_class} untrained"
    lines: list[Line] = [(name, list(points.items())) for name, points in papers.items()]
    figure = accuracy_over_pictures(outcomes, lines)
    drawn = charts.drawing("accuracy", figure, "Accuracy over training pictures per class; bars: the folds' deviation")
    return Finding(rows, (_better(claim, few, frozen[-1]),), lab.reading, how_trained(lab, trial), notes, (drawn,))


# ── what they share ──────────────────────────────────────────────────────────────────────────────────────────────


def _prepared(lab: Lab, counts: Sequence[int]) -> tuple[Trial, tuple[int, ...], tuple[str, ...]]:
    """The network to pre-train, without the pictures that the target has too; how many training pictures per class the
    target allows of those wanted (else as many as it can give); notes."""
    if lab.pretraining is None:
        raise Unsuited("transfer needs a store to pre-train on: --pretrain STORE.")
    try:
        require_scikit_learn()
    except UserError as fault:
        raise Unsuited(f"{fault}.") from None
    most = largest_per_class(pooled(lab.store).labels)
    possible = tuple(count for count in counts if count <= most) or (most,)
    store, note = _without_duplicates(lab, lab.pretraining)
    trial = lab.trial("pre-trained", store=store)
    lab.plan([trial], seeds=[0])
    lab.trained(trial, 0)
    notes = ["One network; the values, and their ±, are those of the folds, where the heading says seeds.", note]
    if possible != tuple(counts):
        notes.append(f"The smallest class gives {most} training pictures at most and keeps one to test on.")
    return trial, possible, tuple(notes)


def _without_duplicates(lab: Lab, pretraining: Store) -> tuple[Store, str]:
    """[Z] §5.2: what is in both sets, by normalised correlation, is left out of the pre-training."""
    name = f"duplicates-{pretraining.fingerprint[:8]}-{lab.store.fingerprint[:8]}"
    pool = pooled(pretraining)

    def look() -> dict[str, list[int]]:
        return {"pictures": sorted({one.first for one in find_duplicates(pool, pooled(lab.store))})}

    found = set(lab.kept(name, look)["pictures"])
    note = f"{counted(len(found), 'picture')} left out of the pre-training set: near-duplicates are in the other one."
    if not found:
        return pretraining, note
    ends, first = {}, 0
    for part, pictures in pretraining.parts.items():
        ends[part] = [place for place in range(first, first + len(pictures)) if place not in found]
        first += len(pictures)
    return store_of(pretraining, pool, ends, lab.folder / "stores" / f"without-{name}.store"), note


def _study(lab: Lab, trial: Trial, wish: TransferPlan) -> Study:
    folder = lab.folder / "transfer" / f"{trial.name(0)}-{lab.store.fingerprint[:8]}"
    return Study(lab.opened(trial, 0), lab.store, folder, wish)


def _rows(trial: Trial, what: str, found: Sequence[Outcome], papers: dict[int, float]) -> list[Row]:
    return [
        Row(f"{what}, {one.per_class} per class", one.accuracies, papers.get(one.per_class), "%", (trial.name(0),))
        for one in found
    ]


def _better(claim: str, mine: Outcome, other: Outcome) -> Verdict:
    """By the folds' differences, pair by pair: the same pictures are trained on and tested where the numbers agree."""
    return above_zero(claim, [a - b for a, b in zip(mine.accuracies, other.accuracies, strict=True)])
