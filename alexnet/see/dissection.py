"""Network dissection (Bau et al. 2017): which unit of a layer looks where which object or part is.

N pictures · U units (maps) of a layer · P objects and parts · H rows (and columns) of a map · C side of the view.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from alexnet.data.batches import StepProgress
from alexnet.drawing import LIGHT, TITLE, Result, literal_legend, plot_figure, shortened
from alexnet.errors import UsageError, UserError
from alexnet.isolation import isolated
from alexnet.measure.run import Run
from alexnet.measure.viewer import ViewAverager
from alexnet.nets.network import Network, build
from alexnet.nets.trace import Layer
from alexnet.see.annotated import AnnotatedPictures
from alexnet.see.forward_pass import BATCH, inputs_of
from alexnet.text import counted, table

LEVEL = 0.005
"""Share of all positions in all pictures whose activation exceeds a unit's threshold, as in Bau et al. 2017."""
LEAST_IOU = 0.04
"""Intersection over union above which a unit detects a part, as in Bau et al. 2017."""
MOST_PARTS = 24
"""Parts in a figure."""


@dataclass(frozen=True, eq=False)
class Dissection(Result):
    """How well each unit of a layer covers each object and part.

    `layer` its name; `parts` (P,) names; `pictures` N; `level`: the share of all positions whose activation exceeds a
    unit's threshold; `thresholds` float64 (U,); `areas` float64 (P,), the share of all pixels that show a part: no IoU
    is above about `level` / area; `iou` float64 (U, P), 0 to 1: over all pictures, the pixels where the activation,
    upsampled, exceeds its threshold and the part is, over those where either holds; `control` (U, P), the same for a
    network of the same table with random weights.
    """

    layer: str
    parts: tuple[str, ...]
    pictures: int
    level: float
    thresholds: Float[np.ndarray, "U"]
    areas: Float[np.ndarray, "P"]
    iou: Float[np.ndarray, "U P"]
    control: Float[np.ndarray, "U P"]

    def detectors(self, iou: Float[np.ndarray, "U P"]) -> tuple[str, ...]:
        """The part that each unit detects, by `self.iou` or `self.control`: that of its largest IoU, if it is above
        LEAST_IOU; "" for none."""
        best = iou.argmax(axis=1)
        return tuple(self.parts[p] if iou[u, p] > LEAST_IOU else "" for u, p in enumerate(best.tolist()))

    @property
    def labels(self) -> tuple[str, ...]:
        """(U,): the part that each unit detects, "" for none."""
        return self.detectors(self.iou)

    @property
    def units_per_part(self) -> dict[str, tuple[int, int]]:
        """How many units detect each part; the second number is that of the control. The most detected comes first."""
        trained, random = self.labels, self.detectors(self.control)
        counts = {part: (trained.count(part), random.count(part)) for part in self.parts}
        return dict(sorted(counts.items(), key=lambda item: (-item[1][0], -item[1][1])))

    def as_json(self) -> dict[str, Any]:
        best = self.iou.max(axis=1)
        return {
            "layer": self.layer,
            "pictures": self.pictures,
            "level": self.level,
            "least_iou": LEAST_IOU,
            "units_per_part": {part: {"run": n, "random": r} for part, (n, r) in self.units_per_part.items()},
            "units": [
                {"unit": unit, "part": part, "iou": float(best[unit]), "threshold": float(self.thresholds[unit])}
                for unit, part in enumerate(self.labels)
            ],
            "parts": list(self.parts),
            "areas": self.areas.round(5).tolist(),
            "iou": self.iou.round(5).tolist(),
            "control": self.control.round(5).tolist(),
        }

    def best_of_units(self) -> dict[str, Any]:
        """For each unit the part that it covers best, its IoU, and the best that any unit of the control has there."""
        best = self.iou.argmax(axis=1).tolist()
        units = [
            {"part": self.parts[p], "iou": float(self.iou[unit, p]), "random": float(self.control[:, p].max())}
            for unit, p in enumerate(best)
        ]
        return {"pictures": self.pictures, "least_iou": LEAST_IOU, "units": units}

    def describe(self) -> str:
        """How many units detect each part, and the best of them, as a table; below it, how many detect any."""
        heading = ("part", "of all pixels", "units", "best unit", "its IoU", "units, random weights", "best IoU")
        rows = []
        for part, (count, random) in self.units_per_part.items():
            column = self.parts.index(part)
            best, chance = int(self.iou[:, column].argmax()), float(self.control[:, column].max())
            found = (f"{count}", f"{best}", f"{self.iou[best, column]:.3f}", f"{random}", f"{chance:.3f}")
            rows.append((part, f"{self.areas[column]:.2%}", *found))
        return f"{table(heading, rows)}\n{self.summary}"

    @property
    def summary(self) -> str:
        """How many units detect a part, and how many of a network with random weights do."""
        (units, parts), (random, _) = map(_detecting, (self.labels, self.detectors(self.control)))
        return (
            f"{self.layer}: {units} of {counted(len(self.iou), 'unit')} detect {parts} of {len(self.parts)} parts; "
            f"with random weights {random} do"
        )

    def draw(self) -> Figure:
        """Bars: how many units detect each part, beside the control."""
        shown = {part: both for part, both in self.units_per_part.items() if any(both)}
        parts = list(shown)[:MOST_PARTS]
        figure, axes = plot_figure(6.4, 1.5 + 0.26 * max(3, len(parts)))
        places = np.arange(len(parts))
        for number, name in enumerate(("this network", "random weights")):
            colour = (LIGHT.lines[0], LIGHT.lines[2])[number]
            counts = [shown[part][number] for part in parts]
            axes.barh(places + 0.4 * (number - 0.5), counts, 0.4, color=colour, label=name)
        axes.set_yticks(places, [shortened(part, 28) for part in parts], parse_math=False)
        axes.set_ylim(max(1, len(parts)) - 0.4, -0.6)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel(f"units that detect it (IoU above {LEAST_IOU:g})", fontsize=TITLE, color=LIGHT.ink)
        axes.set_title(self.summary.replace("; ", "\n"), fontsize=TITLE, color=LIGHT.ink)
        literal_legend(axes, loc="lower right", fontsize=8.5)
        return figure


def _detecting(labels: Sequence[str]) -> tuple[int, int]:
    """How many units detect a part, and how many parts are detected."""
    found = [label for label in labels if label]
    return len(found), len(set(found))


@isolated()
def dissect(
    run: Run,
    pictures: AnnotatedPictures,
    layer: str,
    *,
    level: float = LEVEL,
    seed: int = 0,
    progress: StepProgress | None = None,
) -> Dissection:
    """Compare where each unit of `layer` is active with where each part is, over all pictures (centre view), and do the
    same with random weights (drawn by `seed`).

    The thresholds are exact quantiles: each unit's largest activations are kept, a share `level` of all. Raises
    UserError for a layer that does not exist, can't be computed or has no maps, and for pictures without parts;
    UsageError for a level that is no share.
    """
    if not 0 < level < 1:
        raise UsageError(f"--level {level:g}: a share between 0 and 1 is needed, as 0.005.")
    run.network.check_computable(layer)
    traced = run.network.layer(layer)
    if traced.field.jump == 0:
        raise UserError(f"{layer} has no maps to compare with parts: it is fully connected. Choose a layer before it.")
    viewers = run.viewer, replace(run.viewer, network=_untrained(run, seed))
    thresholds = _thresholds(run, viewers, pictures, layer, level, progress)
    size = run.inputs.size
    matrix = upsampling(traced, size).to(run.viewer.device)
    areas: dict[str, float] = {}
    overlaps: list[dict[str, Tensor]] = [{} for _ in viewers]
    active = [torch.zeros(traced.leaving.maps, dtype=torch.float64) for _ in viewers]
    for start in range(0, len(pictures), BATCH):
        views = [pictures[number] for number in range(start, min(start + BATCH, len(pictures)))]
        records = torch.from_numpy(np.stack([view.record for view in views]))
        for view in views:
            areas |= {part: areas.get(part, 0.0) + float(mask.sum()) for part, mask in view.masks.items()}
        for number, viewer in enumerate(viewers):
            for view, maps_uhh in zip(views, _maps(viewer, records, layer), strict=True):
                # Only these units A have pixels above their threshold: interpolated, no map exceeds its maximum.
                some = (maps_uhh.amax(dim=(1, 2)) > thresholds[number]).nonzero()[:, 0]
                heights_ac = (matrix @ maps_uhh[some] @ matrix.T).flatten(1)
                exceeds_ac = heights_ac.sub_(thresholds[number][some, None]).gt_(0)
                masks = np.array([*view.masks.values(), np.ones((size, size), bool)])  # the last one for all pixels
                masks_pc = torch.from_numpy(masks).flatten(1).to(exceeds_ac)
                *by_part, everywhere = (exceeds_ac @ masks_pc.T).T.double().cpu()
                active[number][some.cpu()] += everywhere
                for part, pixels_a in zip(view.masks, by_part, strict=True):
                    overlaps[number].setdefault(part, torch.zeros_like(active[number]))[some.cpu()] += pixels_a
        if progress:
            progress("overlaps", start + len(views), len(pictures))
    if not areas:
        raise UserError(f"none of the {counted(len(pictures), 'picture')} has a part within its centre view.")
    parts = tuple(sorted(areas))
    total = torch.tensor([areas[part] for part in parts], dtype=torch.float64)
    both = [torch.stack([overlap[part] for part in parts], dim=1) for overlap in overlaps]
    iou = [(one / (covered[:, None] + total - one)).numpy() for one, covered in zip(both, active, strict=True)]
    shares = total.numpy() / (len(pictures) * size**2)
    return Dissection(layer, parts, len(pictures), level, thresholds[0].double().cpu().numpy(), shares, *iou)


def upsampling(layer: Layer, size: int) -> Float[Tensor, "C H"]:
    """Bilinear interpolation along one axis, from the rows of a map to the pixels of the view: a unit's value stands at
    the middle of what the unit sees; outside of the outermost units, theirs holds."""
    field, side = layer.field, layer.leaving.side
    places_c = (torch.arange(size) + 0.5 - field.start - field.size / 2) / field.jump
    return (1 - (places_c.clamp(0, side - 1)[:, None] - torch.arange(side)).abs()).clamp(min=0)


def _untrained(run: Run, seed: int) -> Network:
    """A network of the run's table with random weights, the 2012 code's."""
    network = build(run.network.table, input_size=run.network.input_size, seed=seed)
    return network.eval().to(run.viewer.device)


@isolated(inference=True)
def _maps(viewer: ViewAverager, records: Tensor, layer: str) -> Float[Tensor, "B U H H"]:
    return viewer.maps(inputs_of(viewer, records), [layer])[layer].float()


def _thresholds(
    run: Run,
    viewers: Sequence[ViewAverager],
    pictures: AnnotatedPictures,
    layer: str,
    level: float,
    progress: StepProgress | None,
) -> list[Float[Tensor, "U"]]:
    """For each viewer the activation of each unit that a share `level` of all positions in all pictures exceeds."""
    leaving = run.network.layer(layer).leaving
    kept = int(level * len(pictures) * leaving.side**2) + 1
    largest = [torch.empty(leaving.maps, 0, device=run.viewer.device) for _ in viewers]
    for start in range(0, len(pictures), BATCH):
        numbers = range(start, min(start + BATCH, len(pictures)))
        records = torch.from_numpy(np.stack([pictures.record(number) for number in numbers]))
        for number, viewer in enumerate(viewers):
            values_un = torch.cat([largest[number], _maps(viewer, records, layer).transpose(0, 1).flatten(1)], dim=1)
            largest[number] = values_un.topk(min(kept, values_un.shape[1])).values
        if progress:
            progress("thresholds", numbers.stop, len(pictures))
    return [values_uk[:, -1] for values_uk in largest]
