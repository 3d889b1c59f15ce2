"""What a notebook works with: a run that looks inside itself. Each answer draws itself (`alexnet.drawing.Result`).

    run = alexnet.load("runs/photos")
    run.predict("cat.jpg")
    look = run.look("cat.jpg")
    look.occlusion(true="cat").plot()
    run.top(store, "conv5", unit=139).save("139.png")

Imports `see`, `report`, `measure`, `data`, `nets`.
S side of the centre view that the network sees · C maps · H, W rows and columns of a map · U units.
"""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike, fspath
from typing import Any, Literal, overload

import numpy as np
import torch
from matplotlib.figure import Figure

from alexnet.choices import AttributionMethod, Method, NormRule, Overlap
from alexnet.data.batches import Progress
from alexnet.data.store.read import Store, StoreSplit
from alexnet.drawing import LIGHT, Result, figure_grid, png_of, show
from alexnet.html import data_uri
from alexnet.measure import run as measured
from alexnet.measure.evaluation import check_size, split_of
from alexnet.measure.pictures import Picture, name_of
from alexnet.measure.predict import Prediction
from alexnet.measure.viewer import ViewAverager
from alexnet.report.figures import CURVES
from alexnet.report.text import describe_prediction
from alexnet.runs.history import History, read_history
from alexnet.see import figures
from alexnet.see.ablation import POINTS, AblationCurve, ablation_curve
from alexnet.see.attribution import Attribution, attribute
from alexnet.see.contributions import Contributions, contributions
from alexnet.see.deconvnet import Projections, project
from alexnet.see.diagnosis import Filters
from alexnet.see.display import maps_mosaic
from alexnet.see.forward_pass import ForwardPass, centre_views, inputs_of, record_of, run_forward
from alexnet.see.interventions import Edits, Intervention, intervene
from alexnet.see.invert import Inversion, invert
from alexnet.see.occlusion import Occlusion, Square, occlusion_map
from alexnet.see.patches import UnitPatch, patches_of, projection_of
from alexnet.see.top import find_top
from alexnet.see.units import Unit, check_unit, strongest_units
from alexnet.see.visualise import Visualisation, visualise


class Run(measured.Run):
    """A run as notebooks and scripts get it from `alexnet.load`: it predicts, measures, and looks inside itself."""

    @overload
    def predict(self, pictures: Picture, *, views: int = 10, top: int = 5) -> "Answer": ...
    @overload
    def predict(self, pictures: Iterable[Picture], *, views: int = 10, top: int = 5) -> list[Prediction]: ...
    def predict(
        self, pictures: Picture | Iterable[Picture], *, views: int = 10, top: int = 5
    ) -> Prediction | list[Prediction]:
        found = super().predict(pictures, views=views, top=top)
        if isinstance(found, list):
            return found
        view = centre_views(record_of(self, pictures), self.inputs.size)[0]
        return Answer(found.name, found.labels, found.probabilities, found.notes, view=view)

    predict.__doc__ = measured.Run.predict.__doc__

    def look(self, picture: Picture) -> "Look":
        """The network looking at a picture, of any kind that `predict` takes. Raises as `predict` does."""
        return Look(self, name_of(picture, 0), record_of(self, picture))

    def curves(self, which: Literal["loss", "error", "rate"] = "error") -> "Curves":
        """A curve of the training over the epochs: the loss, the errors, or the learning rate."""
        return Curves(which, read_history(self.path / "log.jsonl"))

    def filters(self) -> "FiltersOfRun":
        """The filters of the first layer and the second layer's linear patterns ([Z] Fig. 6). Raises UserError if the
        network doesn't begin with a convolution."""
        return FiltersOfRun(*figures.filters_of(self.network, self.path.resolve().name))

    def top(
        self,
        store: Store | str | PathLike[str],
        layer: str,
        unit: int | Sequence[int],
        *,
        split: str = "val",
        method: Method = "deconvnet",
        norms: NormRule | None = None,
        progress: Progress | None = None,
    ) -> "TopPatches":
        """The nine pictures of a split that excite a unit of `layer` most (or each of several), each with what the unit
        saw of it and its projection ([Z] Fig. 2). Raises UserError for records of another size, a layer or a unit that
        there is not."""
        store = _store(store)
        check_size(self.folder, store)
        units = [unit] if isinstance(unit, int) else list(unit)
        for one in units:
            check_unit(self.network, Unit(layer, one))
        pictures, viewer = split_of(store, split), _exact(self)
        strongest = find_top(viewer, pictures, [layer], progress=progress)
        return TopPatches(layer, patches_of(viewer, pictures, strongest, layer, units, method=method, norms=norms))

    def visualise(self, layer: str, unit: int | None = None, **options: Any) -> Visualisation:
        """Pictures made to excite a map, a unit, a class or a direction of a layer: see `see.visualise`."""
        return visualise(self, layer, unit, **options)

    def ablation(
        self, store: Store | str | PathLike[str], layer: str, *, split: str = "val", points: int = POINTS, seed: int = 0
    ) -> AblationCurve:
        """The accuracy on a split as more and more units of a layer are silenced: see `see.ablation`."""
        return ablation_curve(self, _store(store), layer, split=split, points=points, seed=seed)


load = Run.open


def _store(store: Store | str | PathLike[str]) -> Store:
    return store if isinstance(store, Store) else Store.open(fspath(store))


def _exact(run: measured.Run) -> ViewAverager:
    """The run's viewer in float32: single values are looked at, not counts."""
    return replace(run.viewer, dtype=torch.float32)


@dataclass(frozen=True, eq=False)
class Look:
    """A run looking at one picture, its file `name`, its `record` uint8 (1, R, R, 3), R the side of the run's records.
    Every method gives a `Result`. Raises UserError for layers and units that there are not or that can't be computed.
    """

    run: Run
    name: str
    record: np.ndarray = field(repr=False)

    @property
    def view(self) -> np.ndarray:
        """What the network sees of the picture: uint8 (S, S, 3)."""
        return centre_views(self.record, self.run.inputs.size)[0]

    @cached_property
    def passed(self) -> ForwardPass:
        """Every map and switch of the picture, in float32."""
        viewer = _exact(self.run)
        return run_forward(self.run.network, inputs_of(viewer, torch.from_numpy(self.record)))

    def label(self, true: str | None = None) -> int:
        """The output of the class `true`, an id or a name, or the most probable one."""
        return int(self.passed.probabilities[0].argmax()) if true is None else self.run.class_number(true)

    def maps(self, layer: str) -> "Maps":
        """The output of a layer."""
        values = self.passed[layer][0].float().cpu()
        return Maps(layer, values.reshape(len(values), *(values.shape[1:] or (1, 1))).numpy())

    def project(
        self,
        layer: str,
        units: Sequence[int] = (),
        *,
        best: int = 9,
        at: tuple[int, int] | None = None,
        whole: bool = False,
        method: Method = "deconvnet",
        norms: NormRule | None = None,
        overlap: Overlap = "add",
    ) -> "ProjectedUnits":
        """Units down to the pixels ([Z] §2.1): of these maps, or of the `best` with the highest peaks, the unit at the
        peak, or `at` a row and column, or the `whole` map."""
        chosen = strongest_units(self.run.network, self.passed[layer], layer, list(units) or best)
        if whole or at is not None:
            chosen = [Unit(layer, unit.channel, *(at or ())) for unit in chosen]
        seen = project(self.passed, chosen, method=method, norms=norms, overlap=overlap)
        return ProjectedUnits(self.view, seen, method)

    def occlusion(
        self,
        true: str | None = None,
        *,
        square: Square | None = None,
        watched: Unit | None = None,
        best: Sequence[UnitPatch] = (),
        precision: Literal["fp32", "auto"] = "fp32",
        progress: Progress | None = None,
    ) -> "OccludedPicture":
        """A grey square slid over the picture ([Z] Fig. 7): what happens to the probability of the class `true` (an id
        or a name; default: the most probable), and to the `watched` map (default: the strongest of the last
        convolution), whose `best` patches may be shown too. `precision` "auto": the run's."""
        record, label = torch.from_numpy(self.record), None if true is None else self.run.class_number(true)
        viewer = _exact(self.run) if precision == "fp32" else self.run.viewer
        found = occlusion_map(viewer, record[0], label, square=square, watched=watched, progress=progress)
        projection = projection_of(_exact(self.run), record, found.watched)
        return OccludedPicture(self.view, found, projection, self.run.class_names, tuple(best))

    def attribution(
        self, method: AttributionMethod = "grad-cam", true: str | None = None, **options: Any
    ) -> Attribution:
        """Which pixels the logit of a class (default: the most probable) rests on: see `see.attribution`."""
        return attribute(self.run, self.record[0], method, target=true, **options)

    def contributions(
        self, true: str | None = None, *, against: str | None = None, store: StoreSplit | None = None
    ) -> Contributions:
        """What units and maps add to the logit of a class (default: the most probable), or to its difference from
        another's: see `see.contributions`."""
        found = contributions(self.run, self.record[0], target=true, against=against, store=store)
        return replace(found, picture=self.name)

    def invert(self, layer: str, **options: Any) -> Inversion:
        """A picture that a layer can't tell from this one: see `see.invert`."""
        return invert(self.run, self.record[0], layer, **options)

    def intervene(self, edits: Edits) -> Intervention:
        """The answer with units silenced, scaled or swapped, as in "conv5:139=0": see `see.interventions`."""
        return replace(intervene(self.run, self.record[0], edits), picture=self.name)


# ── what they give ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False, repr=False)
class Answer(Prediction):
    """A prediction for one picture, of which the network saw the `view`, uint8 (S, S, 3). Shown as bars."""

    view: np.ndarray = field(kw_only=True)

    def __repr__(self) -> str:
        return describe_prediction(self)

    def _repr_html_(self) -> str:
        bars = "".join(
            f"<tr><td>{html.escape(label.name)}</td><td>{label.probability:.1%}</td><td><div style='height: 0.8em; "
            f"width: {12 * label.probability:.2f}em; background: #3b6ea8'></div></td></tr>"
            for label in self.labels
        )
        return f"<img src='{data_uri(png_of(self.view))}' height='140' alt=''><table>{bars}</table>"


@dataclass(frozen=True, eq=False)
class Curves(Result):
    """The `history` of a training: `history.curve(name)` gives the epochs and the values of one of its curves."""

    which: Literal["loss", "error", "rate"]
    history: History = field(repr=False)

    def draw(self) -> Figure:
        return CURVES[self.which](self.history, LIGHT)

    def as_json(self) -> dict[str, Any]:
        return {"epochs": self.history.epochs}


@dataclass(frozen=True, eq=False)
class Maps(Result):
    """The maps of a layer for one picture: `values` float32 (C, H, W); units of dense layers are maps of 1 × 1."""

    layer: str
    values: np.ndarray = field(repr=False)

    def draw(self) -> Figure:
        figure, axes = figure_grid(1, 1, 6.0, 5.0)
        low, high = min(0.0, float(self.values.min())), float(self.values.max())
        show(axes[0, 0], maps_mosaic(self.values), f"{self.layer}: {len(self.values)} maps, {low:.3g} to {high:.3g}")
        image = axes[0, 0].images[0]
        image.set(cmap="gray", clim=(0, 255))
        bar = figure.colorbar(image, ax=axes[0, 0], location="bottom", shrink=0.5, pad=0.02, ticks=[0, 255])
        bar.ax.set_xticklabels([f"{low:.3g}", f"{high:.3g}"])
        return figure

    def as_json(self) -> dict[str, Any]:
        peaks = self.values.reshape(len(self.values), -1).max(axis=1)
        return {"layer": self.layer, "maps": len(self.values), "largest": peaks.tolist()}


@dataclass(frozen=True, eq=False)
class ProjectedUnits(Result):
    """Units of one layer projected down to the pixels of a picture, whose `view` is uint8 (S, S, 3)."""

    view: np.ndarray = field(repr=False)
    projections: Projections
    method: str

    def draw(self) -> Figure:
        return figures.projection_figure(self.view, self.projections, self.method)

    def as_json(self) -> dict[str, Any]:
        layer = self.projections.units[0].layer
        return {"layer": layer, "method": self.method, "units": self.projections.as_json()}


@dataclass(frozen=True, eq=False)
class OccludedPicture(Result):
    """[Z] Fig. 7 for a picture, whose `view` is uint8 (S, S, 3): the maps `found`, the watched map's `projection`
    float32 (3, S, S), and its `best` patches, if they were looked for."""

    view: np.ndarray = field(repr=False)
    found: Occlusion
    projection: np.ndarray = field(repr=False)
    class_names: tuple[str, ...] = field(repr=False)
    best: tuple[UnitPatch, ...] = ()

    def draw(self) -> Figure:
        return figures.occlusion_figure(self.view, self.found, self.projection, self.class_names, self.best)

    def as_json(self) -> dict[str, Any]:
        return self.found.as_json(self.class_names)


@dataclass(frozen=True, eq=False)
class TopPatches(Result):
    """The strongest pictures of units of a layer ([Z] Fig. 2): `patches` of each unit, the strongest first."""

    layer: str
    patches: dict[int, list[UnitPatch]]

    def draw(self) -> Figure:
        return figures.top_figure(self.patches, self.layer)

    def as_json(self) -> dict[str, Any]:
        units = {str(unit): [patch.as_json() for patch in some] for unit, some in self.patches.items()}
        return {"layer": self.layer, "units": units}


@dataclass(frozen=True, eq=False)
class FiltersOfRun(Result):
    """A run's first-layer `filters` in figures, and the second layer's linear `patterns`, uint8 (rows, columns, 3)."""

    name: str
    filters: Filters
    patterns: np.ndarray = field(repr=False)

    def draw(self) -> Figure:
        return figures.filters_figure([(self.name, self.filters, self.patterns)])

    def as_json(self) -> dict[str, Any]:
        return {"run": self.name} | self.filters.as_json()
