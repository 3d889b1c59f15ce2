"""Class activation maps: a layer's maps weighted by their gradients, Grad-CAM and Grad-CAM++.

B pictures · C maps · H rows and columns · S side of a view.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from alexnet.errors import UserError
from alexnet.measure.viewer import ViewAverager
from alexnet.see.attribution.base import BATCH, Attributed, Tape, placed, signal_of
from alexnet.see.units import last_convolution

Weigh = Float[Tensor, "B C"]


def grad_cam(
    viewer: ViewAverager, inputs: Float[Tensor, "B 3 S S"], targets: Int[Tensor, "B"], *, layer: str | None = None
) -> Attributed:
    """The positive part of Σ w·map, w the map's mean gradient (Selvaraju et al. 2017). Unsigned.

    `layer`: default the last convolution's output past its non-linearity. Each value is placed at the middle of what
    its units see, bilinear in between. Raises UserError for a layer without maps.
    """
    name = layer or last_convolution(viewer.network)
    found = [grad_cam_at(*pair) for pair in _maps_and_gradients(viewer, inputs, targets, name, "grad-cam")]
    return _in_place(viewer, name, torch.cat(found), inputs)


def grad_cam_plus_plus(
    viewer: ViewAverager, inputs: Float[Tensor, "B 3 S S"], targets: Int[Tensor, "B"], *, layer: str | None = None
) -> Attributed:
    """The same with w = Σ relu(g) / (2 + Σ A·g) over the positions, A the map and g its gradient (Chattopadhay et al.
    2018, eq. 19 for exp(logit), but for a factor that all maps of a picture share)."""
    name = layer or last_convolution(viewer.network)
    found = [grad_cam_plus_plus_at(*pair) for pair in _maps_and_gradients(viewer, inputs, targets, name, "grad-cam++")]
    return _in_place(viewer, name, torch.cat(found), inputs)


def grad_cam_at(maps: Float[Tensor, "B C H H"], gradients: Float[Tensor, "B C H H"]) -> Float[Tensor, "B H H"]:
    """Grad-CAM at the positions of the map."""
    return torch.einsum("bc,bchw->bhw", gradients.mean(dim=(2, 3)), maps).relu()


def grad_cam_plus_plus_at(
    maps: Float[Tensor, "B C H H"], gradients: Float[Tensor, "B C H H"]
) -> Float[Tensor, "B H H"]:
    """Grad-CAM++ at the positions of the map. Where g > 0 and maps are past a ReLU, the denominator is 2 or more."""
    totals = maps.relu().sum(dim=(2, 3), keepdim=True)
    positive = gradients.relu()
    weights = (positive / (2 + totals * positive)).sum(dim=(2, 3))
    return torch.einsum("bc,bchw->bhw", weights, maps).relu()


def _maps_and_gradients(
    viewer: ViewAverager, inputs: Tensor, targets: Tensor, layer: str, method: str
) -> list[tuple[Tensor, Tensor]]:
    """What left the layer, and the gradient of each target's logit there; batch by batch, float32."""
    network, found = viewer.network, []
    network.check_computable(layer)
    for x, some in zip(inputs.split(BATCH), targets.split(BATCH), strict=True):
        tape = Tape(network, x, stop=layer)
        if tape[layer].ndim != 4:
            known = [one.row.name for one in network.layers if one.leaving.side > 1]
            raise UserError(
                f"{method} needs a layer with maps, and {layer} has none: its units have no positions. "
                f"There are: {', '.join(known)}."
            )
        found.append((tape[layer].float(), tape.gradient(signal_of(some, network), layer).float()))
    return found


def _in_place(viewer: ViewAverager, layer: str, found: Float[Tensor, "B H H"], inputs: Tensor) -> Attributed:
    field = viewer.network.layer(layer).field
    centres = [field.start + number * field.jump + field.size / 2 for number in range(found.shape[1])]
    return Attributed(placed(found, centres, inputs.shape[-1]))
