"""[A]'s figures.

N, M pictures · D features · K kernels · C columns.
"""

from collections.abc import Sequence
from dataclasses import replace
from statistics import mean

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from alexnet.data.store.read import StoreSplit
from alexnet.experiments import charts
from alexnet.experiments.finding import Finding, Row, Verdict, in_points
from alexnet.experiments.krizhevsky2012.colour import specialisation
from alexnet.experiments.lab import Lab, how_trained
from alexnet.experiments.registry import published
from alexnet.experiments.statistics import above_zero, higher, undecided
from alexnet.experiments.trial import Trial
from alexnet.features.extract import described, features_of
from alexnet.features.similar.search import nearest
from alexnet.features.similar.sheet import contact_sheet
from alexnet.measure.run import Run
from alexnet.report.drawing import columns_mosaic
from alexnet.report.figures import pictures_figure
from alexnet.report.run import choose_pictures
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
    return Finding(
        rows=(*_epochs_rows(lab, reached, chosen), *_factor_rows(reached)),
        verdicts=tuple(slower(kind, reached, epochs, diverged) for kind in kinds if kind != "ReLU"),
        reading=f"{FOUR_LAYERS} (the paper does not name its net)",
        recipe=f"{how_trained(lab, chosen[kinds[0]])}; constant rates, "
        f"{', '.join(f'{kind} {rate:g}' for kind, rate in rates.items())}; no decay, crops, mirrors, noise or dropout",
        notes=(
            f"Training errors of seed 0 after {search_epochs} epochs, by learning rate, of which the one with the "
            f"lowest was taken: {by_rate}.",
            "Training error is the running mean over an epoch.",
            *(
                f"{kind}: the chosen learning rate, {rate:g}, is at the edge of those tried: one beyond may be better."
                for kind, rate in rates.items()
                if rate in (RATES[0], RATES[-1])
            ),
        ),
        drawings=(charts.drawing("curves", figure, "Training error over epochs; the level of the claim dashed"),),
        extra={"curves": training, "rates": rates, "tried": tried},
    )


def unit_trial(lab: Lab, kind: str, learning_rate: float, epochs: int) -> Trial:
    return lab.trial(
        kind,
        net=FOUR_LAYERS + UNITS[kind],
        recipe="paper",
        learning_rate=learning_rate,
        epochs=epochs,
        patience=epochs + 1,  # the learning rate never drops
        decay=0.0,
        crops="centre",
        mirror=False,
        colour_noise="off",
        width=1.0,
        input_size=None,
    )


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
    papers = published("A/fig1")["epochs"]
    return [
        Row(
            f"{kind}: epochs to {LEVEL_TEXT} training error",
            tuple(epochs for epochs in found if epochs is not None),
            papers.get(kind),
            "epochs",
            lab.names(chosen[kind]),
            "" if all(found) else f"{sum(epochs is None for epochs in found)} of {len(found)} did not reach it",
        )
        for kind, found in reached.items()
    ]


def _factor_rows(reached: dict[str, list[float | None]]) -> list[Row]:
    papers, fast = published("A/fig1")["factor"], reached.get("ReLU")
    return [
        Row(f"{kind} over ReLU", _factors(slow, fast), papers.get(kind), "×")
        for kind, slow in reached.items()
        if fast and kind != "ReLU"
    ]


def _factors(slow: Sequence[float | None], fast: Sequence[float | None]) -> tuple[float, ...]:
    return tuple(s / f for s, f in zip(slow, fast, strict=True) if s is not None and f is not None)


def slower(kind: str, reached: dict[str, list[float | None]], given: int, diverged: Sequence[str] = ()) -> Verdict:
    """Networks that did not reach the level in the epochs `given` need more than those: they count as so many, which
    can only make the difference too small. ReLU has to reach it. `diverged`: kinds whose loss became NaN or
    infinite."""
    claim = f"{kind} needs more epochs than ReLU to {LEVEL_TEXT} training error"
    fast = [epochs for epochs in reached.get("ReLU", ()) if epochs is not None]
    if {kind, "ReLU"} & set(diverged):
        return undecided(claim, "the loss of a network became NaN or infinite")
    if not fast or len(fast) < len(reached["ReLU"]):
        return undecided(claim, "ReLU did not reach it in the epochs given")
    slow = [given if epochs is None else epochs for epochs in reached[kind]]
    verdict, late = higher(claim, slow, fast, unit="epochs"), reached[kind].count(None)
    if late:
        more = f"at least {mean(slow) - mean(fast):.3g} epochs more"
        verdict = replace(verdict, why=f"{more}; {late} of {len(slow)} were not there in {given}")
    return verdict


# ── Figure 3 ─────────────────────────────────────────────────────────────────────────────────────────────────────

RARE = 0.05


def fig3(lab: Lab) -> Finding:
    """[A] §6.1, Fig. 3. A kernel is as colourful as the share of its energy that is not grey (colour.py)."""
    base = lab.base()
    lab.plan([base])
    columns = base.table.columns
    found = [specialisation(_kernels(lab.opened(base, seed)), columns) for seed in lab.seeds]
    rare = f"networks of which fewer than {RARE * 100:g} % of random splits differ as much"
    shares = f"the shares, by seeds: {', '.join(f'{f.chance_of_as_much * 100:.3g} %' for f in found)}"
    rows = (
        Row("less colourful column: colourfulness", tuple(f.least for f in found), runs=lab.names(base)),
        Row("more colourful column: colourfulness", tuple(f.most for f in found), runs=lab.names(base)),
        Row("their difference", tuple(f.difference for f in found), unit="points"),
        Row("difference of random splits of the kernels, mean", tuple(f.by_chance for f in found), unit="points"),
        Row(rare, (mean(f.chance_of_as_much < RARE for f in found),), 1.0, note=shares, seeds=len(found)),
    )
    excess = [f.difference - f.by_chance for f in found]
    verdict = above_zero("the columns differ in colourfulness by more than a random split of the kernels", excess)
    mosaic, first = columns_mosaic(_kernels(lab.opened(base, 0)), columns), found[0]
    shown = (
        "First-layer kernels, the columns one above the other; seed 0, whose columns differ by "
        f"{in_points(first.difference)} ({in_points(first.by_chance)} by chance)"
    )
    drawing = charts.drawing("kernels", mosaic, shown)
    return Finding(rows, (verdict,), lab.reading, how_trained(lab, base), drawings=(drawing,))


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
    by_features, by_pixels = ([share[name] for share in shares] for name in ("features", "pixels"))
    rows = (
        Row(f"same class among the {NEIGHBOURS} nearest in fc7", tuple(by_features), runs=lab.names(base)),
        Row(f"same class among the {NEIGHBOURS} nearest by pixels", tuple(by_pixels)),
        Row("top-5 error, ten views", tuple(e.top5 for e in lab.each(base))),
    )
    claim = "the nearest in fc7 are of the same class more often than the nearest by pixels"
    gains = [features - pixels for features, pixels in zip(by_features, by_pixels, strict=True)]
    verdict, drawings = above_zero(claim, gains, pictures=lab.pictures), tuple(_fig4_drawings(lab, base))
    return Finding(rows, (verdict,), lab.reading, how_trained(lab, base), drawings=drawings)


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
    labels = pictures_figure(choose_pictures(run, lab.store, lab.split))
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
