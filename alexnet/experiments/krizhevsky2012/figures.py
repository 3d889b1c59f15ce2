"""[A]'s figures.

N pictures · K kernels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from alexnet.data.order import epoch_order
from alexnet.data.store.read import StoreSplit
from alexnet.drawing import columns_mosaic
from alexnet.experiments import charts
from alexnet.experiments.finding import Finding, Row, Verdict, differences_of, in_points
from alexnet.experiments.lab import Lab
from alexnet.experiments.registry import published
from alexnet.experiments.statistics import above_zero, higher
from alexnet.experiments.trial import Trial
from alexnet.features.extract import described, features_of
from alexnet.features.similar.search import nearest
from alexnet.features.similar.sheet import contact_sheet
from alexnet.measure.run import Run
from alexnet.report.figures import pictures_figure
from alexnet.report.run import SHOWN_PICTURES, predicted_pictures
from alexnet.see.forward_pass import inputs_of

# ── Figure 1 ─────────────────────────────────────────────────────────────────────────────────────────────────────

UNITS = {"ReLU": "", "tanh": "-tanh", "sigmoid": "-sigmoid"}
FOUR_LAYERS = "cifar-19pct"
"""[A] does not say which 4-layer net: this is the authors' plainest, three convolutions and a dense layer."""
LEVEL_TEXT = "25 %"  # of training error
RATES = (0.0003, 0.001, 0.003, 0.01, 0.03)
FIGURE_EPOCHS = 40  # the figure's axis
SEARCH_SHARE = 4
"""Rates are tried for a quarter of the epochs."""


def fig1(lab: Lab) -> Finding:
    """[A] §3.1, Fig. 1: no regularisation; for each kind of unit the constant learning rate with the fastest start."""
    epochs, kinds, level = lab.settings.epochs or FIGURE_EPOCHS, lab.chosen(UNITS), published("A/fig1")["level"]
    search_epochs = max(1, epochs // SEARCH_SHARE)
    searches = {kind: [unit_trial(lab, kind, rate, search_epochs) for rate in RATES] for kind in kinds}
    lab.plan([trial for trials in searches.values() for trial in trials], seeds=[0])
    tried = {kind: _tried(lab, trials) for kind, trials in searches.items()}
    rates = {kind: min(errors, key=lambda rate, errors=errors: (errors[rate], rate)) for kind, errors in tried.items()}
    chosen = {kind: unit_trial(lab, kind, rate, epochs) for kind, rate in rates.items()}
    lab.plan(list(chosen.values()))
    training = {kind: [lab.training_errors(trial, seed) for seed in lab.seeds] for kind, trial in chosen.items()}
    reached = {kind: [epochs_to(curve, level) for curve in curves] for kind, curves in training.items()}
    diverged = [kind for kind in kinds if not all(training[kind])]
    figure = charts.curves(list(training.items()), "training error", level)
    by_rate = "; ".join(
        f"{kind} {', '.join(f'{rate:g} {error * 100:.1f} %' for rate, error in errors.items())}"
        for kind, errors in tried.items()
    )
    notes = [
        f"Training errors of seed 0 after {search_epochs} epochs, by learning rate, of which the one with the lowest "
        f"was taken: {by_rate}.",
        "Training error is the running mean over an epoch.",
    ]
    notes += [
        f"{kind}: the chosen learning rate, {rate:g}, is at the edge of those tried: one beyond may be better."
        for kind, rate in rates.items()
        if rate in (RATES[0], RATES[-1])
    ]
    constant = ", ".join(f"{kind} {rate:g}" for kind, rate in rates.items())
    how = f"; constant rates, {constant}; no decay, crops, mirrors, noise or dropout"
    return lab.finding(
        chosen[kinds[0]],
        [*_epochs_rows(lab, reached, chosen), *_factor_rows(reached)],
        [slower(kind, reached, epochs, diverged) for kind in kinds if kind != "ReLU"],
        reading=f"{FOUR_LAYERS} (the paper does not name its net)",
        recipe=lab.how_trained(chosen[kinds[0]]) + how,
        notes=notes,
        drawings=[charts.drawing("curves", figure, "Training error over epochs; the level of the claim dashed")],
        extra={"curves": training, "rates": rates, "tried": tried},
    )


def unit_trial(lab: Lab, kind: str, learning_rate: float, epochs: int) -> Trial:
    constant = {"learning_rate": learning_rate, "epochs": epochs, "patience": epochs + 1}  # it never drops
    changes = published("A/fig1")["options"] | constant
    return lab.trial(kind, net=FOUR_LAYERS + UNITS[kind], recipe="paper", input_size=None, **changes)


def _tried(lab: Lab, trials: Sequence[Trial]) -> dict[float, float]:
    """Rate → the training error at the end of its trial; 1 where the loss became NaN or infinite."""
    return {trial.options.learning_rate or 0.0: (lab.training_errors(trial, 0) or [1.0])[-1] for trial in trials}


def epochs_to(errors: Sequence[float], level: float) -> float | None:
    """Epochs until a curve (its first value after one epoch) is at `level`, between two by a straight line."""
    before = 1.0
    for epoch, error in enumerate(errors, 1):
        if error <= level:
            return epoch - (level - error) / (before - error) if before > error else float(epoch)
        before = error
    return None


def _epochs_rows(lab: Lab, reached: dict[str, list[float | None]], chosen: dict[str, Trial]) -> list[Row]:
    rows, papers = [], published("A/fig1")["epochs"]
    for kind, found in reached.items():
        epochs, late = tuple(epoch for epoch in found if epoch is not None), found.count(None)
        what, note = f"{kind}: epochs to {LEVEL_TEXT} training error", f"{late} of {len(found)} did not reach it"
        rows.append(Row(what, epochs, papers.get(kind), "epochs", lab.names(chosen[kind]), note if late else ""))
    return rows


def _factor_rows(reached: dict[str, list[float | None]]) -> list[Row]:
    """By how much longer each kind takes than ReLU, seed by seed, where both reached the level."""
    rows, papers, fast = [], published("A/fig1")["factor"], reached.get("ReLU", [])
    for kind, slow in reached.items():
        if fast and kind != "ReLU":
            factors = tuple(s / f for s, f in zip(slow, fast, strict=True) if s is not None and f is not None)
            rows.append(Row(f"{kind} over ReLU", factors, papers.get(kind), "×"))
    return rows


def slower(kind: str, reached: dict[str, list[float | None]], given: int, diverged: Sequence[str] = ()) -> Verdict:
    """Networks that did not reach the level in the epochs `given` need more than those: they count as so many, which
    can only make the difference too small. ReLU has to reach it. `diverged`: kinds whose loss became NaN or
    infinite."""
    claim = f"{kind} needs more epochs than ReLU to {LEVEL_TEXT} training error"
    fast = [epochs for epochs in reached.get("ReLU", ()) if epochs is not None]
    if {kind, "ReLU"} & set(diverged):
        return Verdict(claim, "undecided", "the loss of a network became NaN or infinite")
    if not fast or len(fast) < len(reached["ReLU"]):
        return Verdict(claim, "undecided", "ReLU did not reach it in the epochs given")
    slow = [given if epochs is None else epochs for epochs in reached[kind]]
    verdict, late = higher(claim, slow, fast, unit="epochs"), reached[kind].count(None)
    if late:
        more = f"at least {mean(slow) - mean(fast):.3g} epochs more"
        verdict = replace(verdict, why=f"{more}; {late} of {len(slow)} were not there in {given}")
    return verdict


# ── Figure 3 ─────────────────────────────────────────────────────────────────────────────────────────────────────

RARE = 0.05
SPLITS = 2000
"""Random splits of the kernels into columns, with which a difference is compared."""


@dataclass(frozen=True)
class Specialisation:
    """Mean colourfulness of the least and the most colourful column; the mean difference of random splits, and the
    share of them that differ at least as much."""

    least: float
    most: float
    by_chance: float
    chance_of_as_much: float

    @property
    def difference(self) -> float:
        return self.most - self.least


def colourfulness(kernels: np.ndarray) -> np.ndarray:
    """Of kernels (K, 3, side, side): the share of a kernel's energy outside grey, 0 (all channels alike) to 1, (K,).
    Grey is the mean over the channels at each pixel; a kernel of zeros has 0."""
    energy = (kernels.astype(np.float64) ** 2).sum(axis=(1, 2, 3))
    grey = 3 * (kernels.astype(np.float64).mean(axis=1) ** 2).sum(axis=(1, 2))
    return np.divide(energy - grey, energy, out=np.zeros(len(energy)), where=energy > 0)


def specialisation(kernels: np.ndarray, columns: int, seed: int = 0) -> Specialisation:
    """Compare the columns' kernels (K, 3, side, side), column after column, with random splits of the same kernels."""
    values = colourfulness(kernels)
    means = _means(values, columns)
    # A permutation test: the columns are special if few random splits of the kernels differ as much.
    random = np.random.default_rng(seed)
    splits = np.array([np.ptp(_means(random.permutation(values), columns)) for _ in range(SPLITS)])
    as_much = float((splits >= np.ptp(means) - 1e-12).mean())
    return Specialisation(float(means.min()), float(means.max()), float(splits.mean()), as_much)


def _means(values: np.ndarray, columns: int) -> np.ndarray:
    return values.reshape(columns, -1).mean(axis=1)


def fig3(lab: Lab) -> Finding:
    """[A] §6.1, Fig. 3. A kernel is as colourful as the share of its energy that is not grey."""
    base = lab.base()
    lab.plan([base])
    columns, names = base.table.columns, lab.names(base)
    found = [specialisation(_kernels(lab.opened(base, seed)), columns) for seed in lab.seeds]
    rare = f"networks of which fewer than {RARE * 100:g} % of random splits differ as much"
    shares = f"the shares, by seeds: {', '.join(f'{f.chance_of_as_much * 100:.3g} %' for f in found)}"
    differences, by_chance = tuple(f.difference for f in found), tuple(f.by_chance for f in found)
    rows = [
        Row("less colourful column: colourfulness", tuple(f.least for f in found), runs=names),
        Row("more colourful column: colourfulness", tuple(f.most for f in found), runs=names),
        Row("their difference", differences, unit="points"),
        Row("difference of random splits of the kernels, mean", by_chance, unit="points"),
        Row(rare, (mean(f.chance_of_as_much < RARE for f in found),), 1.0, note=shares, seeds=len(found)),
    ]
    claim = "the columns differ in colourfulness by more than a random split of the kernels"
    verdict = above_zero(claim, differences_of(differences, by_chance))
    mosaic = columns_mosaic(_kernels(lab.opened(base, 0)), columns)
    shown = (
        "First-layer kernels, the columns one above the other; seed 0, whose columns differ by "
        f"{in_points(differences[0])} ({in_points(by_chance[0])} by chance)"
    )
    return lab.finding(base, rows, [verdict], drawings=[charts.drawing("kernels", mosaic, shown)])


def _kernels(run: Run) -> np.ndarray:
    return run.network.get_parameter("conv1.weight").detach().float().cpu().numpy()


# ── Figure 4 ─────────────────────────────────────────────────────────────────────────────────────────────────────

QUERIES, NEIGHBOURS = 5, 6  # [A] Fig. 4, right
THUMBNAIL = 32
FIG4_HEADS = ("test", "nearest training pictures →")


def fig4(lab: Lab) -> Finding:
    """[A] §6.1, Fig. 4. Right: exact search by Euclidean distance in fc7, the last hidden layer, of the centre view.
    For all test pictures: the share of the six nearest training pictures that are of the same class, next to that of
    the nearest by pixels (averaged to 32 × 32, the centre view as well)."""
    base = lab.base()
    lab.plan([base])
    shares = lab.cached_each(base, "nearest", _same_class_shares)
    by_features, by_pixels = (tuple(share[name] for share in shares) for name in ("features", "pixels"))
    rows = [
        Row(f"same class among the {NEIGHBOURS} nearest in fc7", by_features, runs=lab.names(base)),
        Row(f"same class among the {NEIGHBOURS} nearest by pixels", by_pixels),
        Row("top-5 error, ten views", tuple(e.top5 for e in lab.each(base))),
    ]
    claim = "the nearest in fc7 are of the same class more often than the nearest by pixels"
    verdict = above_zero(claim, differences_of(by_features, by_pixels), pictures=lab.pictures)
    return lab.finding(base, rows, [verdict], drawings=_fig4_drawings(lab, base))


def _same_class_shares(lab: Lab, base: Trial, seed: int) -> dict[str, float]:
    run, train, test = lab.opened(base, seed), lab.store.splits["train"], lab.store.splits[lab.split]
    shares = {}
    for name, describe in (("features", features_of), ("pixels", thumbnails_of)):
        order, _ = nearest(describe(run, test), describe(run, train), NEIGHBOURS)
        shares[name] = share_of_same_class(order, test.labels, train.labels)
    return shares


def thumbnails_of(run: Run, split: StoreSplit, indices: np.ndarray | None = None) -> np.ndarray:
    """The centre view's pixels, averaged to 32 × 32 where it is larger, float32 (N, 3·32·32)."""
    side = min(THUMBNAIL, run.inputs.size)

    def shrink(records: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(inputs_of(run.viewer, records).float(), side).flatten(1).cpu()

    return described(split, shrink, indices)


def share_of_same_class(order: np.ndarray, labels: np.ndarray, known_labels: np.ndarray) -> float:
    """The share of neighbours (N, count) whose class is the query's, 0 to 1."""
    return float((known_labels[order] == labels[:, None]).mean())


def _fig4_drawings(lab: Lab, base: Trial) -> list[charts.Drawing]:
    run, train, test = lab.opened(base, 0), lab.store.splits["train"], lab.store.splits[lab.split]
    drawn = epoch_order(len(test), seed=0, epoch=0)[:SHOWN_PICTURES]
    labels = pictures_figure(predicted_pictures(run, lab.store, lab.split, drawn))
    chosen = np.linspace(0, len(test) - 1, QUERIES).astype(int)
    order, _ = nearest(features_of(run, test, indices=chosen), features_of(run, train), NEIGHBOURS)
    found = np.stack([train.read(row) for row in order])
    same = train.labels[order] == test.labels[chosen][:, None]
    strangers = not lab.built_in
    return [
        charts.drawing("labels", labels, "Test pictures with their five most probable classes; the true one in red",
                       photographs=strangers),
        charts.drawing("nearest", contact_sheet(test.read(chosen), found, same, FIG4_HEADS),
                       "Test pictures and the training pictures nearest to them in fc7; of the same class framed",
                       photographs=strangers),
    ]  # fmt: skip
