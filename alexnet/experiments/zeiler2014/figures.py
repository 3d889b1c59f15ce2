"""[Z]'s figures of whole networks: what excites the maps, how they form, what is wrong with an architecture.

E epochs · C maps of a layer.
"""

import numpy as np

from alexnet.experiments import charts
from alexnet.experiments.finding import Finding, Row, differences_of, measured_rows
from alexnet.experiments.lab import Lab
from alexnet.experiments.registry import published
from alexnet.experiments.statistics import above_zero, higher
from alexnet.experiments.trial import Trial
from alexnet.experiments.zeiler2014.training import our_model, reading, replication
from alexnet.see import figures
from alexnet.see.diagnosis import diagnose
from alexnet.see.evolution import Evolution, evolve
from alexnet.see.patches import patches_of
from alexnet.see.top import KEPT, Strongest, Top, find_top
from alexnet.see.units import evenly_spread

# ── Figure 2 ─────────────────────────────────────────────────────────────────────────────────────────────────────

SHOWN_LAYERS = ("conv2", "conv3", "conv4", "conv5")  # [Z] Fig. 2
BY_CHANCE = 2000


def fig2(lab: Lab) -> Finding:
    """[Z] §4, Fig. 2. In figures: the share of the most frequent class among a map's nine pictures, mean over the maps
    that any picture excites."""
    ours = our_model(lab)
    lab.plan([ours])
    tops = [top_of(lab, ours, seed) for seed in lab.seeds]
    labels = lab.store.splits[lab.split].labels
    shares = {layer: tuple(class_share(top[layer], labels) for top in tops) for layer in SHOWN_LAYERS}
    dead = {layer: tuple(dead_share(top[layer]) for top in tops) for layer in SHOWN_LAYERS}
    chance = share_by_chance(labels)
    rows = [
        *(Row(f"{layer}: most frequent class among the nine", shares[layer], runs=lab.names(ours)) for layer in shares),
        Row("the same of nine pictures drawn at random", (chance,)),
        *(Row(f"{layer}: maps that no picture excites", dead[layer]) for layer in dead),
    ]
    high = shares["conv5"]
    verdicts = [
        above_zero("the nine of a layer-5 map share a class more than by chance", [one - chance for one in high]),
        above_zero("they do so more in layer 5 than in layer 2", differences_of(high, shares["conv2"])),
    ]
    drawings = [_top_drawing(lab, ours, tops[0], layer) for layer in SHOWN_LAYERS]
    return lab.finding(ours, rows, verdicts, reading=reading(lab), drawings=drawings)


def top_of(lab: Lab, trial: Trial, seed: int) -> Top:
    """The strongest pictures of the measured split, in all of SHOWN_LAYERS; searched once and kept."""
    path = lab.folder / "measured" / f"{trial.name(seed)}-{lab.split}-top.safetensors"
    run = lab.opened_in_fp32(trial, seed)
    if not path.exists():
        with lab.progress(f"{run.path.name}, {lab.split}") as report:
            found = find_top(run.viewer, lab.store.splits[lab.split], SHOWN_LAYERS, progress=report)
        path.parent.mkdir(parents=True, exist_ok=True)
        found.save(path)
    return Top.load(path)


def class_share(best: Strongest, labels: np.ndarray) -> float:
    """The share of the most frequent class among a map's strongest pictures, mean over the maps that are not dead."""
    living = best.pictures[best.values[:, 0] > 0].numpy()
    found = [_most_frequent(labels[pictures[pictures >= 0]]) for pictures in living]
    return float(np.mean(found)) if found else 0.0


def share_by_chance(labels: np.ndarray) -> float:
    # By simulation: how often the most frequent class of nine falls by chance has no short formula.
    random = np.random.default_rng(0)
    kept = min(KEPT, len(labels))
    drawn = (labels[random.choice(len(labels), kept, replace=False)] for _ in range(BY_CHANCE))
    return float(np.mean([_most_frequent(some) for some in drawn]))


def _most_frequent(labels: np.ndarray) -> float:
    return float(np.bincount(labels).max() / len(labels))


def dead_share(best: Strongest) -> float:
    return len(best.dead) / len(best.values)


def _top_drawing(lab: Lab, trial: Trial, top: Top, layer: str) -> charts.Drawing:
    run, split = lab.opened_in_fp32(trial, 0), lab.store.splits[lab.split]
    shown = evenly_spread(len(top[layer].values))
    figure = figures.top_figure(patches_of(run.viewer, split, top, layer, shown), layer)
    caption = f"{layer}: projections of the nine strongest activations of {len(shown)} maps, next to what they saw"
    return charts.drawing(layer, figure, caption, photographs=not lab.built_in)


# ── Figure 4 ─────────────────────────────────────────────────────────────────────────────────────────────────────

FORMING_LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")
MAPS = 6  # of each layer in the figure


def fig4(lab: Lab) -> Finding:
    """[Z] §4.1, Fig. 4: over snapshots of epochs 1, 2, 5, 10, 20, 30, 40, 64 and the last. A map has settled at the
    first of them from which on the same training picture excites it most; mean over all maps of a layer."""
    ours = our_model(lab)
    lab.plan([ours])
    found = lab.cached_each(ours, "settled", _settled)
    rows = [
        Row(f"{layer}: epoch from which the strongest picture stays", tuple(one[layer] for one in found), unit="epochs",
            runs=lab.names(ours))
        for layer in FORMING_LAYERS
    ]  # fmt: skip
    later = differences_of(rows[-1].values, rows[0].values)
    verdict = above_zero("layer 5 settles later than layer 1", later, unit="epochs")
    figure = figures.evolution_figure(_evolution(lab, ours, 0))
    caption = "The strongest training picture of six maps of each layer over the epochs, projected; seed 0"
    # Projections show parts of the photographs, much changed.
    drawing = charts.drawing("evolution", figure, caption, photographs=not lab.built_in)
    return lab.finding(ours, rows, [verdict], reading=reading(lab), drawings=[drawing])


def _settled(lab: Lab, trial: Trial, seed: int) -> dict[str, float]:
    found = _evolution(lab, trial, seed)
    return {layer: float(found.settled(layer).mean()) for layer in FORMING_LAYERS}


def _evolution(lab: Lab, trial: Trial, seed: int) -> Evolution:
    run = lab.opened_in_fp32(trial, seed)
    counts = {layer: run.network.layer(layer).leaving.maps for layer in FORMING_LAYERS}
    shown = {layer: evenly_spread(count, MAPS) for layer, count in counts.items()}
    with lab.progress(f"{run.path.name}, snapshots") as report:
        return evolve(run, lab.store.splits["train"], shown, progress=report)


# ── Figure 6 ─────────────────────────────────────────────────────────────────────────────────────────────────────


def fig6(lab: Lab) -> Finding:
    """[Z] §4.1, Fig. 6. Figures of the first layer's filters as `alexnet see filters` takes them."""
    trials = {
        "[A]'s first layer": replication(lab),
        "without clipping": our_model(lab, label="our model without clipping", rms_limit=0.0),
        "our first layer": our_model(lab),
    }
    lab.plan(list(trials.values()))
    found = {what: [_first_layer(lab, trial, seed) for seed in lab.seeds] for what, trial in trials.items()}
    numbers = published("Z/fig6")
    rows = [
        row
        for what, trial in trials.items()
        for row in measured_rows(found[what], numbers["rows"], lab.names(trial), f"{what}: ")
    ]
    verdicts = []
    for one in numbers["claims"]:
        worse, ours = ([measured[one["row"]] for measured in found[what]] for what in (one["worse"], "our first layer"))
        verdicts.append(higher(one["claim"], worse, ours, unit=one["unit"]))
    named = [figures.filters_of(lab.opened_in_fp32(trial, 0).network, what) for what, trial in trials.items()]
    caption = "First layer, each filter scaled alone and all together; second layer as linear patterns; seed 0"
    drawing = charts.drawing("filters", figures.filters_figure(named), caption)
    return lab.finding(trials["our first layer"], rows, verdicts, reading=reading(lab), drawings=[drawing])


def _first_layer(lab: Lab, trial: Trial, seed: int) -> dict[str, float]:
    found = diagnose(lab.opened_in_fp32(trial, seed).network)
    share = found.mean_share
    return {
        "dominance": found.dominance,
        "dead": float(found.dead.double().mean()),
        "extreme": share["very_low"] + share["very_high"],
        "aliased": share["aliased"],
    }
