"""What [Z] does to single pictures: moves them, covers parts of them, masks the same part of several.

R, Q rows and columns of positions of the square · S side of a view.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch

from alexnet.errors import UserError
from alexnet.experiments import charts
from alexnet.experiments.finding import Finding, Row, Verdict, measured_rows
from alexnet.experiments.lab import Lab
from alexnet.experiments.registry import published
from alexnet.experiments.statistics import above_zero
from alexnet.experiments.trial import Trial
from alexnet.experiments.zeiler2014.figures import SHOWN_LAYERS, top_of
from alexnet.experiments.zeiler2014.training import our_model, reading
from alexnet.files.schema import canonical_digest, read_json
from alexnet.measure.run import Run
from alexnet.nets.table import Conv, Local
from alexnet.see import charts as see_charts
from alexnet.see import figures
from alexnet.see.correspondence import OTHER, RANDOM, correspondence_of, default_layers
from alexnet.see.faces import Faces, drawn_faces, mask_over
from alexnet.see.forward_pass import centre_views, inputs_of, records_of
from alexnet.see.invariance import Invariance, invariance_of
from alexnet.see.keypoints import in_view, read_keypoints, region_in_view
from alexnet.see.occlusion import Occlusion, occlusion_map
from alexnet.see.patches import patches_of, projection_of
from alexnet.see.units import evenly_spread


def right_first(lab: Lab, run: Run, wanted: int) -> np.ndarray:
    """Numbers of so many pictures of the measured split, evenly spread: those that the run gets right in the centre
    view, and after them, where there are too few, others."""
    split = lab.store.splits[lab.split]
    # Four times as many are looked at: a network that errs in three of four has enough right ones among them.
    spread = np.array(evenly_spread(len(split), 4 * wanted))
    answers = run.viewer.probabilities(torch.from_numpy(split.read(spread))).argmax(dim=1).numpy()
    right, wrong = (spread[chosen] for chosen in (answers == split.labels[spread], answers != split.labels[spread]))
    return np.concatenate([right[evenly_spread(len(right), wanted)], wrong])[:wanted]


# ── Figure 5 ─────────────────────────────────────────────────────────────────────────────────────────────────────

PICTURES, DRAWN = 20, 5  # [Z] Fig. 5 has five
KINDS = ("translation", "scale", "rotation")


def fig5(lab: Lab) -> Finding:
    """[Z] §4.2, Fig. 5: vertical translation by −60 … 60 pixels of 224, scale 1 … 1.8, rotation 0 … 350°. Distances are
    divided by the unmoved features' length ([Z] names no scale); means over all steps of 20 pictures."""
    ours = our_model(lab)
    lab.plan([ours])
    found = lab.cached_each(ours, f"{lab.split}-invariance", _moved_in_figures)
    rows, verdicts = [], []
    for kind in KINDS:
        moved = [one[kind] for one in found]
        rows += measured_rows(moved, published("Z/fig5")["rows"], lab.names(ours), f"{kind}: ")
        more = [one["layer1"] - one["layer7"] for one in moved]
        verdicts.append(above_zero(f"{kind} changes layer 1 more than layer 7", more, unit=""))
    worse = [min(o["translation"]["right"], o["scale"]["right"]) - o["rotation"]["right"] for o in found]
    verdicts.append(above_zero("the prediction is less robust to rotation than to translation and scale", worse))
    drawn = see_charts.invariance_figure(_moved(lab, ours, 0, DRAWN))
    caption = "Five pictures moved, enlarged and turned: distances at layers 1 and 7, probability of the true class"
    drawing = charts.drawing("invariance", drawn, caption, photographs=not lab.built_in)
    notes = [_how_many_right(found)]
    return lab.finding(ours, rows, verdicts, reading=reading(lab), notes=notes, drawings=[drawing])


def _moved(lab: Lab, trial: Trial, seed: int, pictures: int) -> Invariance:
    run, split = lab.opened_in_fp32(trial, seed), lab.store.splits[lab.split]
    numbers = right_first(lab, run, pictures)
    return invariance_of(
        run.viewer,
        torch.from_numpy(split.read(numbers)),
        split.labels[numbers].tolist(),
        names=[str(split.keys[number]) for number in numbers.tolist()],
        class_names=run.class_names,
    )


def _moved_in_figures(lab: Lab, trial: Trial, seed: int) -> dict[str, Any]:
    found = _moved(lab, trial, seed, PICTURES)
    first, seventh = found.layers
    still = found.curves[0].amounts.index(0.0)
    curves: dict[str, Any] = {
        one.kind: {
            "layer1": float(one.distances[first].mean()),
            "layer7": float(one.distances[seventh].mean()),
            "probability": float(one.probability.mean()),
            "right": one.stays_right,
        }
        for one in found.curves
    }
    return curves | {"pictures": len(found.names), "right": int(found.curves[0].right[:, still].sum())}


def _how_many_right(found: Sequence[dict[str, Any]]) -> str:
    counts = ", ".join(f"{one['right']} of {one['pictures']}" for one in found)
    return f"Pictures that the network gets right as they are, for each seed: {counts}."


# ── Figure 7 ─────────────────────────────────────────────────────────────────────────────────────────────────────

MEASURED, SHOWN = 12, 3  # [Z] Fig. 7 shows three


def fig7(lab: Lab) -> Finding:
    """[Z] §4.2, Fig. 7; the square is a seventh of the view's side, grey 128, moved by a quarter of itself ([Z] names
    none of these). For each picture, over the positions of the square: the correlation of the projection's energy below
    it with the fall of the map's total, and with the fall of the probability; means over 12 pictures."""
    ours = our_model(lab)
    watched_convolution(ours)  # refused before anything is trained
    lab.plan([ours])
    found = lab.cached_each(ours, f"{lab.split}-occlusion", _covered_in_figures)
    rows = measured_rows(found, published("Z/fig7")["rows"], lab.names(ours))
    claims = published("Z/fig7")["claims"]
    verdicts = [above_zero(claim, [one[name] for one in found], unit="") for name, claim in claims.items()]
    notes, drawings = [_how_many_right(found)], _occlusion_drawings(lab, ours)
    return lab.finding(ours, rows, verdicts, reading=reading(lab), notes=notes, drawings=drawings)


def _covered(lab: Lab, run: Run, number: int) -> tuple[Occlusion, np.ndarray]:
    """The maps for one picture, and the watched map's projection, float32 (3, S, S)."""
    split = lab.store.splits[lab.split]
    record = torch.from_numpy(split.read(np.array([number])))
    found = occlusion_map(run.viewer, record[0], int(split.labels[number]))
    return found, projection_of(run.viewer, record, found.watched)


def _covered_in_figures(lab: Lab, trial: Trial, seed: int) -> dict[str, Any]:
    run, each = lab.opened_in_fp32(trial, seed), []
    numbers = right_first(lab, run, MEASURED)
    with lab.progress(f"{run.path.name}, square") as report:
        for done, number in enumerate(numbers.tolist(), 1):
            found, projection = _covered(lab, run, number)
            below = energy_below(projection, found.corners, found.square.size)
            each.append({
                "map": correlation(below, found.clean_total - found.total.numpy()),
                "class": correlation(below, found.clean_probability - found.probability.numpy()),
                "clean": found.clean_probability,
                "weakest": float(found.probability.min()),
                "changed": float((found.predicted != found.clean_predicted).double().mean()),
                "right": found.clean_predicted == found.label,
            })  # fmt: skip
            if report:
                report(done, len(numbers))
    means = {name: mean(one[name] for one in each) for name in published("Z/fig7")["rows"]}
    return means | {"pictures": len(each), "right": sum(one["right"] for one in each)}


def energy_below(projection: np.ndarray, corners: Sequence[int], size: int) -> np.ndarray:
    """The energy of a projection (3, S, S) below a square at each of its positions, (R, Q)."""
    energy = np.square(projection, dtype=np.float64).sum(axis=0)
    # A summed-area table: the sum over any square is four of its entries.
    summed = np.pad(energy.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    near = np.array(corners)
    far = near + size
    return summed[far][:, far] - summed[near][:, far] - summed[far][:, near] + summed[near][:, near]


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's; 0 where either does not vary."""
    if one.std() == 0 or other.std() == 0:
        return 0.0
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def watched_convolution(trial: Trial) -> str:
    """The last convolution. The map that is watched comes out of its ReLU, so the strongest pictures are the same.
    Raises UserError if it is none of those whose strongest pictures are searched for."""
    name = [row.name for row in trial.table.weighted if isinstance(row, Conv | Local)][-1]
    if name not in SHOWN_LAYERS:
        raise UserError(
            f"{trial.table.name}: its last convolution is {name}, and Z/fig7 shows the strongest pictures of a map of "
            f"the last one, which it has for {', '.join(SHOWN_LAYERS)}. Choose a --net that ends in one of these."
        )
    return name


def _occlusion_drawings(lab: Lab, trial: Trial) -> list[charts.Drawing]:
    run, split, drawings = lab.opened_in_fp32(trial, 0), lab.store.splits[lab.split], []
    top, layer = top_of(lab, trial, 0), watched_convolution(trial)
    for position, number in enumerate(right_first(lab, run, SHOWN).tolist(), 1):
        found, projection = _covered(lab, run, number)
        best = patches_of(run.viewer, split, top, layer, [found.watched.channel])[found.watched.channel]
        view = centre_views(split.read(np.array([number])), run.inputs.size)[0]
        figure = figures.occlusion_figure(view, found, projection, run.class_names, best)
        caption = f"A square moves over a picture of class {run.class_names[found.label]}; seed 0"
        drawings.append(charts.drawing(f"picture{position}", figure, caption, photographs=not lab.built_in))
    return drawings


# ── Table 1 ──────────────────────────────────────────────────────────────────────────────────────────────────────

GROUP = 5  # [Z] §4.3: five pictures
FACES = 100


def table1(lab: Lab) -> Finding:
    """[Z] §4.3, Table 1: Δ of groups of five pictures, per pair and feature; means over the groups. Networks trained on
    the built-in set look at drawn faces that stand alike."""
    ours, papers = our_model(lab), published("Z/table1")
    if lab.keypoints is None and not lab.built_in:
        why = "no key points were given (--keypoints FILE)"
        verdicts = [Verdict(claim, "unmeasured", why) for claim in papers["claims"].values()]
        return Finding((), verdicts, reading(lab), "nothing trained")
    lab.plan([ours])
    found = lab.cached_each(ours, f"parts-{_which(lab)}", _parts_in_figures)
    first, rows, verdicts = found[0], [], []
    for column, layer in enumerate((5, 7)):
        for part in first["parts"]:
            values = tuple(one[f"layer {layer}"][part] for one in found)
            paper = papers[part][column] if part in papers else None
            rows.append(Row(f"{part}, layer {layer}", values, paper, "", lab.names(ours)))
    for control, claim in papers["claims"].items():
        for layer in (5, 7) if control in first["parts"] else ():
            excess = [_excess(one[f"layer {layer}"], control) for one in found]
            verdicts.append(above_zero(claim.format(layer=layer), excess, unit=""))
    note = (
        f"{first['pictures']} pictures in groups of {first['group']}, masks of {first['mask']} pixels, the mean's "
        f"level; each group's random positions drawn ten times. “{OTHER}” is a control of ours."
    )
    return lab.finding(ours, rows, verdicts, reading=reading(lab), notes=[note])


def _excess(cells: dict[str, float], control: str) -> float:
    return cells[control] - mean(value for part, value in cells.items() if part not in (RANDOM, OTHER))


def _which(lab: Lab) -> str:
    """Which pictures are looked at, for a file's name."""
    return f"faces{FACES}" if lab.keypoints is None else canonical_digest(read_json(lab.keypoints))[:8]


def _pictures_with_parts(lab: Lab, run: Run) -> tuple[Faces, int]:
    """What is looked at, and the mask's side in pixels: over an eye of the drawn faces, else a seventh of the view."""
    side, size = run.inputs.side, run.inputs.size
    if lab.keypoints is None:
        return drawn_faces(FACES, side, size), mask_over(size, side)
    known = read_keypoints(Path(lab.keypoints))
    faces = Faces(
        records_of(run, [str(one.file) for one in known]),
        tuple(in_view(one, side, size) for one in known),
        tuple(region_in_view(one, side, size) for one in known),
    )
    return faces, max(1, round(size / 7))


def _parts_in_figures(lab: Lab, trial: Trial, seed: int) -> dict[str, Any]:
    run = lab.opened_in_fp32(trial, seed)
    faces, mask = _pictures_with_parts(lab, run)
    group = min(GROUP, len(faces))
    inputs, layers = inputs_of(run.viewer, torch.from_numpy(faces.records)), default_layers(run.network)
    tables = []
    for first in range(0, len(faces) - group + 1, group):
        some = slice(first, first + group)
        names = [f"picture {number + 1}" for number in range(first, first + group)]
        tables.append(
            correspondence_of(
                run.viewer, inputs[some], faces.points[some], names=names, layers=layers, mask=mask,
                regions=faces.boxes[some], seed=first,
            )
        )  # fmt: skip
    parts = list(tables[0].parts)
    deltas: dict[str, Any] = {
        f"layer {number}": {part: mean(table.cells[part, layer].normalised for table in tables) for part in parts}
        for number, layer in zip((5, 7), layers, strict=True)
    }
    return deltas | {"parts": parts, "pictures": len(tables) * group, "group": group, "mask": mask}
