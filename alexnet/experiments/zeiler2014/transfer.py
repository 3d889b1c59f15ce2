"""[Z]'s transfer to Caltech-101 and -256: Tables 4, 5 and 7, Fig. 9. (Table 6, Pascal VOC, whose pictures have several
classes each, is `alexnet transfer RUN VOC-FOLDER`.)

One network is pre-trained, as in the paper; values are those of the folds.
"""

from collections.abc import Sequence

from alexnet.data.store.read import Store
from alexnet.experiments import charts
from alexnet.experiments.finding import Finding, Row, Verdict, differences_of
from alexnet.experiments.lab import Lab
from alexnet.experiments.registry import Unsuited, published
from alexnet.experiments.statistics import above_zero
from alexnet.experiments.trial import Trial
from alexnet.features.charts import Line, accuracy_over_pictures
from alexnet.features.duplicates import find_duplicates
from alexnet.features.options import TransferOptions
from alexnet.features.pictures import Pool
from alexnet.features.probes import Outcome, largest_per_class
from alexnet.features.transfer import Study, store_of
from alexnet.text import counted

OF_256 = 200
"""With so many classes a store is compared with Caltech-256's numbers."""
LAST = "7"


def accuracies(id: str) -> dict[str, dict[int, float]]:
    """The paper's accuracies by training pictures per class, pre-trained and not."""
    return {what: {int(count): share for count, share in shares.items()} for what, shares in published(id).items()}


def pretrained_or_not(lab: Lab, id: str) -> Finding:
    """[Z] Tables 4 and 5, by their `id`. Besides the pre-training, a network is trained on each fold."""
    papers = accuracies(id)
    trial, counts, notes = _prepared(lab, tuple(papers["pre-trained"]))
    plan = TransferOptions(
        (LAST,), ("softmax",), counts, ("random", "target"), epochs=lab.settings.epochs or TransferOptions().epochs
    )
    outcomes = _study(lab, trial, plan).outcomes()
    pretrained, frozen, target = (outcomes[first : first + len(counts)] for first in (0, len(counts), 2 * len(counts)))
    rows = [
        *_rows(trial, "pre-trained, softmax on layer 7", pretrained, papers["pre-trained"]),
        *_rows(trial, "trained on these only", target, papers["trained on these only"]),
        *_rows(trial, "untrained and frozen, softmax on layer 7", frozen, {}),
    ]
    verdicts = [
        _better(f"pre-trained is better than trained on these only, {mine.per_class} per class", mine, other)
        for mine, other in zip(pretrained, target, strict=True)
    ]
    return lab.finding(trial, rows, verdicts, notes=notes)


def table7(lab: Lab) -> Finding:
    """[Z] Table 7: 30 pictures a class, 60 of Caltech-256; next to it the same layers of the network untrained."""
    of_256 = len(lab.store.class_ids) >= OF_256
    trial, counts, notes = _prepared(lab, (60,) if of_256 else (30,))
    papers = published("Z/table7")
    layers = tuple(papers["svm"])
    plan = TransferOptions(layers, per_class=counts)
    outcomes = _study(lab, trial, plan).outcomes()
    probed = [(kind, layer) for kind in plan.probes for layer in layers]
    trained = dict(zip(probed, outcomes[: len(probed)], strict=True))
    frozen = dict(zip(probed, outcomes[len(probed) :], strict=True))
    rows = []
    for (kind, layer), outcome in trained.items():
        paper = papers[kind][layer][of_256] if layer in papers[kind] else None
        rows.append(Row(f"{kind} on layer {layer}", outcome.accuracies, paper, "%", (trial.name(0),)))
    rows += [Row(f"{kind} on layer {layer}, untrained", one.accuracies) for (kind, layer), one in frozen.items()]
    best, by_chance = (max(found.values(), key=lambda one: one.mean) for found in (trained, frozen))
    verdicts = [
        _better("svm: layer 5 is better than layer 1", trained["svm", "5"], trained["svm", "1"]),
        _better("softmax: layer 7 is better than layer 5", trained["softmax", "7"], trained["softmax", "5"]),
        _better(f"the best layer ({best.what}) is better than any untrained ({by_chance.what})", best, by_chance),
    ]
    return lab.finding(trial, rows, verdicts, notes=notes)


def fig9(lab: Lab) -> Finding:
    """[Z] Fig. 9. Here the best method before is the untrained network with the most pictures."""
    trial, counts, notes = _prepared(lab, (1, 2, 4, 6, 10, 15, 20, 30, 45, 60))
    outcomes = _study(lab, trial, TransferOptions((LAST,), ("softmax",), counts)).outcomes()
    trained, frozen = outcomes[: len(counts)], outcomes[len(counts) :]
    papers = accuracies("Z/table5" if len(lab.store.class_ids) >= OF_256 else "Z/table4")
    rows = [
        *_rows(trial, "pre-trained", trained, papers["pre-trained"]),
        *_rows(trial, "untrained and frozen", frozen, {}),
    ]
    few = next((one for one in trained if one.per_class == 6), trained[-1])
    claim = f"{few.per_class} per class pre-trained are better than {frozen[-1].per_class} untrained"
    lines: list[Line] = [(name, list(points.items())) for name, points in papers.items()]
    figure = accuracy_over_pictures(outcomes, lines)
    drawn = charts.drawing("accuracy", figure, "Accuracy over training pictures per class; bars: the folds' deviation")
    return lab.finding(trial, rows, [_better(claim, few, frozen[-1])], notes=notes, drawings=[drawn])


# ── what they share ──────────────────────────────────────────────────────────────────────────────────────────────


def _prepared(lab: Lab, counts: Sequence[int]) -> tuple[Trial, tuple[int, ...], tuple[str, ...]]:
    """The network to pre-train, without the pictures that the target has too; how many training pictures per class the
    target allows of those wanted (else as many as it can give); notes."""
    if lab.pretraining is None:
        raise Unsuited("transfer needs a store to pre-train on: --pretrain STORE.")
    most = largest_per_class(Pool.of(lab.store).labels)
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
    pool = Pool.of(pretraining)

    def look() -> dict[str, list[int]]:
        return {"pictures": sorted({one.first for one in find_duplicates(pool, Pool.of(lab.store))})}

    found = set(lab.cached(name, look)["pictures"])
    note = f"{counted(len(found), 'picture')} left out of the pre-training set: near-duplicates are in the other one."
    if not found:
        return pretraining, note
    kept, first = {}, 0  # the pool numbers the pictures of all splits through
    for split, pictures in pretraining.splits.items():
        kept[split] = [number for number in range(first, first + len(pictures)) if number not in found]
        first += len(pictures)
    return store_of(pretraining, pool, kept, lab.folder / "stores" / f"without-{name}.store"), note


def _study(lab: Lab, trial: Trial, plan: TransferOptions) -> Study:
    folder = lab.folder / "transfer" / f"{trial.name(0)}-{lab.store.fingerprint[:8]}"
    return Study(lab.opened(trial, 0), lab.store, folder, plan)


def _rows(trial: Trial, what: str, found: Sequence[Outcome], papers: dict[int, float]) -> list[Row]:
    return [
        Row(f"{what}, {one.per_class} per class", one.accuracies, papers.get(one.per_class), "%", (trial.name(0),))
        for one in found
    ]


def _better(claim: str, mine: Outcome, other: Outcome) -> Verdict:
    """By the folds' differences, pair by pair: the same pictures are trained on and tested where the numbers agree."""
    return above_zero(claim, differences_of(mine.accuracies, other.accuracies))
