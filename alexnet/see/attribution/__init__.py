"""Which pixels an answer rests on: the methods of attribution, all by one signature.

    run = alexnet.load("runs/photos")
    attribute(run, "cat.jpg", "integrated-gradients").plot()

Every method explains the logit of one class (RISE: its probability), by a value for each pixel of the centre view.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from matplotlib.figure import Figure
from torch import Tensor

from alexnet.choices import AttributionMethod
from alexnet.data.batches import Progress
from alexnet.drawing import LIGHT, TITLE, Result, figure_grid, shortened, show
from alexnet.errors import UsageError, UserError
from alexnet.files.schema import attributes
from alexnet.isolation import isolated
from alexnet.measure.run import Run
from alexnet.measure.viewer import ViewAverager
from alexnet.see.attribution import cam, gradient, lrp, rise
from alexnet.see.attribution.base import Attributed
from alexnet.see.display import SATURATED
from alexnet.see.forward_pass import centre_views, inputs_of, records_of
from alexnet.see.units import last_convolution

__all__ = ["ATTRIBUTIONS", "Attributed", "Attribution", "attribute", "attribution_maps"]


@dataclass(frozen=True)
class Method:
    """A method of attribution. `function(viewer, inputs, targets, **options)`; `signed`: values below 0 speak against
    the class; `scale`: what a value is."""

    function: Callable[..., Attributed]
    signed: bool
    scale: str

    @property
    def options(self) -> dict[str, Any]:
        """The method's options and their defaults."""
        return {name: default for name, default in self._keywords.items() if name != "progress"}

    @property
    def reports(self) -> bool:
        """Whether it takes long enough to report its progress."""
        return "progress" in self._keywords

    @cached_property
    def _keywords(self) -> dict[str, Any]:
        parameters = inspect.signature(self.function).parameters.values()
        return {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}


ATTRIBUTIONS: dict[AttributionMethod, Method] = {
    "gradient": Method(gradient.gradient, signed=False, scale="logit per grey level"),
    "input-x-gradient": Method(gradient.input_x_gradient, signed=True, scale="logit"),
    "integrated-gradients": Method(gradient.integrated_gradients, signed=True, scale="logit"),
    "smoothgrad": Method(gradient.smoothgrad, signed=False, scale="logit per grey level"),
    "deconvnet": Method(gradient.deconvnet, signed=False, scale="signal"),
    "guided": Method(gradient.guided, signed=False, scale="signal"),
    "grad-cam": Method(cam.grad_cam, signed=False, scale="weighted activation"),
    "grad-cam++": Method(cam.grad_cam_plus_plus, signed=False, scale="weighted activation"),
    "lrp": Method(lrp.lrp, signed=True, scale="logit"),
    "occlusion": Method(rise.occlusion, signed=True, scale="logit lost"),
    "rise": Method(rise.rise, signed=False, scale="mean probability where kept"),
}


@isolated()
@torch.no_grad()
def attribution_maps(
    viewer: ViewAverager,
    inputs: Float[Tensor, "B 3 S S"],
    targets: Int[Tensor, "B"],
    method: str,
    **options: Any,
) -> Float[Tensor, "B S S"]:
    """The attribution of each input's target class, a value for each pixel of the view, float32 on the CPU.

    `inputs`: views as the network takes them (`inputs_of`); computed in the viewer's type. `method`: a name in
    `ATTRIBUTIONS`, whose functions say what a value is; `options`: that function's. Raises UserError for an unknown
    method, option, class or layer, for a layer without maps, and where weights are missing.
    """
    return _attributed(viewer, inputs, targets, method, options).maps.float().cpu()


def _attributed(
    viewer: ViewAverager,
    inputs: Tensor,
    targets: Tensor,
    method: str,
    options: dict[str, Any],
    progress: Progress | None = None,
) -> Attributed:
    known = _method(method)
    _check_options(method, known.options, options)
    network = viewer.network
    network.check_computable(network.layers[-1].row.name)
    classes = network.table.classes
    if wrong := [number for number in targets.tolist() if not 0 <= number < classes]:
        raise UsageError(f"there is no class number {wrong[0]}: there are 0 … {classes - 1}.")
    inputs, targets = inputs.to(viewer.device, viewer.dtype), targets.to(viewer.device, torch.int64)
    with network.copies.in_use():
        follow = {"progress": progress} if known.reports else {}
        return known.function(viewer, inputs, targets, **options, **follow)


def _method(name: str) -> Method:
    if name not in ATTRIBUTIONS:
        raise UsageError(f"there is no method of attribution {name!r}. There are: {', '.join(ATTRIBUTIONS)}.")
    return ATTRIBUTIONS[name]


def _check_options(method: str, known: dict[str, Any], given: dict[str, Any]) -> None:
    """Raises UsageError for an option that the method does not have, or a number that is too small."""
    for name, value in given.items():
        if name not in known:
            those = f"its options: {', '.join(known)}" if known else "it has no options"
            raise UsageError(f"{method} takes no {name}; {those}.")
        if isinstance(value, int | float) and (value < 0 or (value == 0 and name in ABOVE_0)):
            raise UsageError(f"{name} {value}: it must be {'above' if name in ABOVE_0 else 'at least'} 0.")


ABOVE_0 = ("steps", "samples", "masks", "cells", "keep")


@dataclass(frozen=True, eq=False)
class Attribution(Result):
    """What an answer rests on in one picture.

    `target`: the class explained, `class_name` its name, with its `probability` and `logit` on the centre view;
    `view`: that view, uint8 (S, S, 3); `map`: a value for each of its pixels, float32 (S, S); `options`: the method's,
    all of them; `remainder`: of integrated gradients and LRP, by how much the map's sum misses what it should be.
    """

    method: AttributionMethod
    target: int
    class_name: str
    probability: float
    logit: float
    view: UInt8[np.ndarray, "S S 3"]
    map: Float32[np.ndarray, "S S"]
    options: dict[str, Any]
    remainder: float | None

    def draw(self) -> Figure:
        """The view, and the map laid over it in grey. The colours' ends leave out half a percent of the
        values; of signed maps, red speaks for the class and blue against it."""
        figure, axes = figure_grid(1, 2, 3.3, 3.5)
        picture, laid = axes[0]
        layer = f" at {self.options['layer']}" if "layer" in self.options else ""
        show(picture, self.view, f"{shortened(self.class_name, 30)}\nprobability {self.probability:.3f}")
        title = f"{self.method}{layer}" + ("" if self.remainder is None else f"\nremainder {self.remainder:.2g}")
        grey = self.view.mean(axis=2)
        laid.imshow(grey, cmap="gray", vmin=0, vmax=255)
        signed = ATTRIBUTIONS[self.method].signed
        low, high = np.quantile(np.abs(self.map) if signed else self.map, (SATURATED, 1 - SATURATED)).tolist()
        high = high if high > low else float(np.abs(self.map).max())
        image = laid.imshow(
            self.map, "RdBu_r" if signed else "inferno", vmin=-high if signed else low, vmax=high, alpha=0.65
        )
        laid.set_axis_off()
        laid.set_title(title, fontsize=TITLE, color=LIGHT.ink)
        bar = figure.colorbar(image, cax=laid.inset_axes((1.03, 0, 0.05, 1)), extend="both")
        bar.set_label(ATTRIBUTIONS[self.method].scale, fontsize=TITLE - 1, color=LIGHT.ink)
        bar.ax.tick_params(labelsize=7.5, colors=LIGHT.ink)
        return figure

    def as_json(self) -> dict[str, Any]:
        told = attributes(self, "method", "target", "probability", "logit", "options", "remainder")
        return told | {"class": self.class_name, "map": [[float(f"{v:.4g}") for v in row] for row in self.map.tolist()]}


@isolated()
@torch.no_grad()
def attribute(
    run: Run,
    picture: Any,
    method: AttributionMethod = "grad-cam",
    *,
    target: str | int | None = None,
    layer: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Attribution:
    """What a run's answer for a picture rests on, computed as the run computes.

    `picture`: of any kind that `Run.predict` takes; `target`: the class, by name, id or number (default: the most
    probable one); `layer`: for Grad-CAM and Grad-CAM++ only (default: the last convolution's output past its
    non-linearity); `progress`: of methods that take long. Raises UserError as `attribution_maps` does, and if the map
    is zero at every pixel.
    """
    known, viewer, layered = _method(method), run.viewer, {} if layer is None else {"layer": layer}
    if "layer" in known.options and layer is None:
        layered = {"layer": last_convolution(viewer.network)}
    records = records_of(run, [picture])
    inputs = inputs_of(viewer, torch.from_numpy(records))
    viewer.network.check_computable(viewer.network.layers[-1].row.name)
    with viewer.network.copies.in_use():
        logits = viewer.network(inputs)
    probabilities = viewer.network.probabilities(logits)[0]
    number = int(probabilities.argmax()) if target is None else run.class_number(target)
    found = _attributed(viewer, inputs, torch.tensor([number]), method, layered | options, progress)
    pixels, name = found.maps[0].float().cpu().numpy(), run.class_names[number]
    if not pixels.any():
        where = f" at {layered['layer']}" if layered else ""
        raise UserError(
            f"{method}{where}: the map of {name} is zero everywhere: nothing in this picture speaks for it there. "
            "Choose another class, method or layer."
        )
    return Attribution(
        method=method,
        target=number,
        class_name=name,
        probability=float(probabilities[number]),
        logit=float(logits[0, number]),
        view=centre_views(records, run.inputs.size)[0],
        map=pixels,
        options=known.options | layered | options,
        remainder=None if found.remainder is None else float(found.remainder[0]),
    )
