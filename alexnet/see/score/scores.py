"""The table of truth: attribution methods and two controls by every metric, with 95 % intervals over pictures.

N pictures · S side of a record · C side of its centre view.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from matplotlib.figure import Figure
from scipy.special import stdtrit
from torch import Tensor

from alexnet.data.batches import Progress, StepProgress
from alexnet.data.store.read import Store
from alexnet.drawing import LIGHT, TITLE, Result, figure_grid, plain_axes
from alexnet.errors import UsageError, UserError
from alexnet.files.schema import read, to_json
from alexnet.isolation import isolated
from alexnet.measure.evaluation import check_size, split_of
from alexnet.measure.run import Run
from alexnet.measure.viewer import ViewAverager
from alexnet.see.annotated import AnnotatedView
from alexnet.see.attribution import ATTRIBUTIONS, attribution_maps
from alexnet.see.forward_pass import inputs_of
from alexnet.see.score import metrics as measures
from alexnet.see.score.metrics import METRICS, Explain
from alexnet.see.units import evenly_spread
from alexnet.text import table

PICTURES = 200
"""Pictures that are scored, evenly spread over those that there are."""
AGAIN = 16
"""Of these the pictures whose maps are made again, moved and by random weights: ten times the work of a map."""
BATCH = 8
"""Pictures whose maps are made together."""


# ── controls ─────────────────────────────────────────────────────────────────────────────────────────────────────


def random_maps(_: ViewAverager, inputs: Tensor, __: Tensor, *, generator: torch.Generator) -> Float[Tensor, "B C C"]:
    """Values between 0 and 1, other ones at each call: what knows nothing."""
    return torch.rand(len(inputs), *inputs.shape[2:], generator=generator)


def centre_blobs(_: ViewAverager, inputs: Tensor, __: Tensor) -> Float[Tensor, "B C C"]:
    """A Gaussian about the view's centre, its σ a quarter of the side: what knows only where photographers put
    things."""
    along = torch.linspace(-2, 2, inputs.shape[-1])
    bell = torch.exp(-(along**2) / 2)
    return (bell[:, None] * bell).expand(len(inputs), -1, -1)


CONTROLS = ("random", "centre")
CONTROL = "#7a7f87"
"""Colour of the controls."""


def explain_by(method: str, seed: int) -> Explain:
    """The function that makes the maps of a method or a control."""
    if method == "random":
        return partial(random_maps, generator=torch.Generator().manual_seed(seed))
    return centre_blobs if method == "centre" else partial(attribution_maps, method=method)


# ── what is found ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class MethodScores:
    """Of one method: `values[metric]`, one for each picture, N of them, or fewer for metrics that make maps again;
    `seconds` that a map takes: on a CPU of the processor, all cores together, else of the clock; `cascade[layer]`: the
    mean rank correlation after the weights of this layer and of all above it were made random."""

    values: dict[str, tuple[float, ...]]
    seconds: float
    cascade: dict[str, float]

    def interval(self, metric: str) -> tuple[float, float]:
        """Mean and half-width of its 95 % interval over pictures, t · s / √N by Student's t (0 for one picture)."""
        values, count = np.array(self.values[metric]), len(self.values[metric])
        spread = stdtrit(count - 1, 0.975) * values.std(ddof=1) / count**0.5 if count > 1 else 0.0
        return float(values.mean()), float(spread)


@dataclass(frozen=True, eq=False)
class Scores(Result):
    """How true the maps of several methods are. `methods`: each one's values; `about`: network, pictures, how targets
    were chosen, how many of them are right where that is known; `left_out`: sentences on what was not measured."""

    methods: dict[str, MethodScores]
    about: dict[str, Any]
    left_out: tuple[str, ...] = ()

    @property
    def metrics(self) -> tuple[str, ...]:
        return tuple(next(iter(self.methods.values())).values)

    @property
    def worst(self) -> dict[str, str]:
        """For each metric the method whose mean is worst, controls aside."""
        methods = [method for method in self.methods if method not in CONTROLS]
        return {
            metric: min(methods, key=lambda method: goodness(metric, self.methods[method].interval(metric)[0]))
            for metric in (self.metrics if methods else ())
        }

    def table(self, *, markdown: bool = False) -> str:
        """A line for each method: means ± half-widths, and seconds for the map of one picture."""
        rows = [
            (name, *("{:.3f} ± {:.3f}".format(*found.interval(one)) for one in self.metrics), f"{found.seconds:.2g}")
            for name, found in self.methods.items()
        ]
        good = ("good is", *(METRICS[metric].better for metric in self.metrics), "lower")
        return table(("", *self.metrics, "s a picture"), [*rows, good], markdown=markdown)

    def in_words(self) -> str:
        """The table and what belongs to it."""
        first = next(iter(self.methods.values()))
        counts = ", ".join(f"{metric} {len(first.values[metric]):,}" for metric in self.metrics)
        about = f"± are 95 % intervals over pictures by Student's t. Pictures: {counts}."
        lines = [self.table(), about, *self.left_out]
        if self.worst:
            lines.append(f"Worst: {', '.join(f'{method} by {metric}' for metric, method in self.worst.items())}.")
        return "\n".join(lines)

    @classmethod
    def load(cls, path: Path) -> "Scores":
        """What `as_json` wrote to a file. Raises UserError if it is damaged."""
        return read(path, cls, "Remove it and score again.")

    def as_json(self) -> dict[str, Any]:
        """All values, and for each method and metric the mean and the half-width of its interval."""
        intervals = {name: {one: found.interval(one) for one in self.metrics} for name, found in self.methods.items()}
        about = {"about": self.about, "left_out": self.left_out, "mean_and_half_width": intervals}
        return to_json(about | {"methods": self.methods})

    def draw(self) -> Figure:
        """A panel for each metric, a line for each method: mean and interval, controls grey; and seconds a picture."""
        names, panels = list(self.methods), [*self.metrics, "seconds"]
        across = min(4, len(panels))
        figure, axes = figure_grid(-(-len(panels) // across), across, 2.7, 0.21 * len(names) + 0.75)
        for number, (metric, panel) in enumerate(zip(panels, axes.flat, strict=False)):
            panel.set_axis_on()
            plain_axes(panel)
            for line, (name, found) in enumerate(self.methods.items()):
                mean, half = (found.seconds, 0.0) if metric == "seconds" else found.interval(metric)
                colour = CONTROL if name in CONTROLS else LIGHT.other
                panel.errorbar(mean, line, xerr=half or None, fmt="o", color=colour, markersize=3.5, capsize=2)
            panel.set_yticks(range(len(names)), names if number % across == 0 else [""] * len(names))
            panel.set_ylim(len(names) - 0.4, -0.6)
            panel.tick_params(labelsize=8)
            if metric == "seconds":
                panel.set_xscale("log")
            title = "seconds a picture" if metric == "seconds" else f"{metric}\ngood is {METRICS[metric].better}"
            panel.set_title(title, fontsize=TITLE, color=LIGHT.ink)
        return figure


def goodness(metric: str, mean: float) -> float:
    """A mean on a scale on which more is better."""
    return {"higher": mean, "lower": -mean, "near 0": -abs(mean)}[METRICS[metric].better]


# ── measuring ────────────────────────────────────────────────────────────────────────────────────────────────────


@isolated()
def score(
    run: Run,
    source: Store | Sequence[AnnotatedView],
    *,
    methods: Sequence[str] = (),
    metrics: Sequence[str] = (),
    pictures: int = PICTURES,
    again: int = AGAIN,
    split: str = "val",
    seed: int = 0,
    earlier: Scores | None = None,
    finished: Callable[[Scores], None] | None = None,
    progress: StepProgress | None = None,
) -> Scores:
    """Measure attribution methods on `pictures` pictures of a store's split, or of annotated ones, evenly spread.

    The maps explain the most probable class of each picture; they are made in float32, answers are computed as the run
    computes. `methods`: names of ATTRIBUTIONS and CONTROLS, by default all; `metrics`: names of METRICS, by default
    all, but for those that need objects where the source has none. Methods that are in `earlier`, scores by the same
    settings, are taken from there; `finished` receives what is known after each method. Raises UsageError for an
    unknown name, UserError for layers without weights or pictures that do not fit the run."""
    if min(pictures, again) < 1:
        raise UsageError(f"{min(pictures, again)} pictures: score at least 1.")
    run.network.check_computable(run.network.layers[-1].row.name)
    records, objects, classes = _read(run, source, split, pictures, seed)
    methods = _known("method", methods, (*ATTRIBUTIONS, *CONTROLS))
    metrics, left_out = _possible(metrics, objects is not None)
    exact = replace(run.viewer, dtype=torch.float32)
    targets = run.viewer.probabilities(records).argmax(dim=1)
    inputs = inputs_of(exact, records).cpu()
    known = {*classes} <= {*run.class_names}
    about = {
        "network": run.folder.table.name,
        "pictures": len(records),
        "targets": "the most probable class",
        "right": sum(run.class_names[k] == name for k, name in zip(targets, classes, strict=True)) if known else None,
        "precision": run.placement.precision,
        "seed": seed,
    }
    found = dict(earlier.methods) if earlier is not None else {}
    for method in methods:
        if method in found:
            continue
        asked = Asked(explain_by(method, seed), exact, run.viewer, inputs, targets, objects)
        found[method] = _measured(asked, metrics, again, seed, partial(progress, method) if progress else None)
        if finished:
            finished(Scores(found, about, left_out))
    ordered = {name: found[name] for name in (*ATTRIBUTIONS, *CONTROLS) if name in found}
    return Scores(ordered, about, left_out)


@dataclass(frozen=True, eq=False)
class Asked:
    """What a method is asked: maps of these inputs for these targets, made by `explain` in float32 (`exact`), answers
    as the run computes (`viewer`)."""

    explain: Explain
    exact: ViewAverager
    viewer: ViewAverager
    inputs: Float[Tensor, "N 3 C C"]
    targets: Int[Tensor, "N"]
    objects: Bool[Tensor, "N C C"] | None


def _measured(asked: Asked, metrics: Sequence[str], again: int, seed: int, report: Progress | None) -> MethodScores:
    values = {metric: list[float]() for metric in metrics}
    cascade, seconds = defaultdict[str, list[float]](list), 0.0
    clock = time.process_time if asked.viewer.device.type == "cpu" else time.perf_counter
    asked.explain(asked.exact, asked.inputs[:1], asked.targets[:1])  # what is loaded or compiled once is not timed
    for first in range(0, len(asked.inputs), BATCH):
        some = slice(first, first + BATCH)
        inputs, targets = asked.inputs[some], asked.targets[some]
        started = clock()
        maps = asked.explain(asked.exact, inputs, targets)
        seconds += clock() - started
        remade = inputs[: max(0, again - first)], targets[: max(0, again - first)], maps[: max(0, again - first)]
        for metric in metrics if len(remade[0]) else (one for one in metrics if METRICS[one].kind != "again"):
            if metric in CURVES:
                found = CURVES[metric](asked.viewer, inputs, targets, maps, seed)
            elif metric in OBJECTS:
                assert asked.objects is not None
                found = OBJECTS[metric](maps, asked.objects[some])
            elif metric == "stability":
                found = measures.stability(asked.explain, asked.exact, *remade)
            else:
                layers = measures.randomisation(asked.explain, asked.exact, *remade, seed)
                for layer, correlations in layers.items():
                    cascade[layer] += correlations.tolist()
                found = list(layers.values())[-1]
            values[metric] += found.tolist()
        if report:
            report(min(first + BATCH, len(asked.inputs)), len(asked.inputs))
    means = {layer: float(np.mean(found)) for layer, found in cascade.items()}
    return MethodScores({name: tuple(some) for name, some in values.items()}, seconds / len(asked.inputs), means)


CURVES = {"deletion": measures.deletion, "insertion": measures.insertion, "road": measures.road}
OBJECTS = {"pointing": measures.pointing, "energy": measures.energy}


def _known(what: str, names: Sequence[str], there: Sequence[str]) -> tuple[str, ...]:
    """The names, or all that there are; controls come last. Raises UsageError for one that there is not."""
    if strange := [name for name in names if name not in there]:
        raise UsageError(f"there is no {what} {strange[0]!r}. There are: {', '.join(there)}.")
    return tuple(name for name in there if name in (names or there))


def _possible(names: Sequence[str], with_objects: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The metrics that can be measured, and a sentence on those that can't. Raises UsageError if one of them is
    named."""
    metrics = _known("metric", names, tuple(METRICS))
    lost = [] if with_objects else [metric for metric in metrics if metric in OBJECTS]
    if lost and names:
        raise UsageError(
            f"{lost[0]} needs pictures whose objects are known; a store has none. Name an annotated folder."
        )
    said = f"Left out, since a store does not say where objects are: {' and '.join(lost)}."
    return tuple(metric for metric in metrics if metric not in lost), (said,) if lost else ()


def _read(
    run: Run, source: Store | Sequence[AnnotatedView], split: str, most: int, seed: int
) -> tuple[UInt8[Tensor, "N S S 3"], Bool[Tensor, "N C C"] | None, list[str]]:
    """Records, objects' masks if they are known, and names of what is in the pictures; evenly spread over the source,
    in random order. Raises UserError if there is none, or if the store's records are not as large as the run's."""
    order = np.random.default_rng(seed)
    if isinstance(source, Store):
        check_size(run.folder, source)
        pictures = split_of(source, split)
        chosen = order.permutation(evenly_spread(len(pictures), most))
        classes = [source.class_names[label] for label in pictures.labels[chosen]]
        return torch.from_numpy(pictures.read(chosen)), None, classes
    chosen = order.permutation(evenly_spread(len(source), most))
    views = [view for number in chosen if (view := source[number]).object]
    if not views:
        raise UserError("no object lies in the centre view of any of these pictures; there is nothing to score.")
    objects = torch.from_numpy(np.stack([view.masks[view.object] for view in views]))
    return torch.from_numpy(np.stack([view.record for view in views])), objects, [view.object for view in views]
