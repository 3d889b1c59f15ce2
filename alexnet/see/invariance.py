"""What moves, scaled and turned pictures do to a network ([Z] §4.2, Fig. 5).

T steps of a transformation · P pictures · K classes · S side of a record · C side of a view · 2×3 an affine map of the
plane.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from alexnet.choices import Fill, Normalisation
from alexnet.data.batches import Progress
from alexnet.files.schema import attributes
from alexnet.isolation import isolated
from alexnet.measure.viewer import ViewAverager
from alexnet.nets.network import Network
from alexnet.see.forward_pass import centre_mean, flat_features
from alexnet.see.units import feature_row, hidden_row

Transformation = Literal["translation", "scale", "rotation"]

UNITS = {"translation": "pixels down", "scale": "times", "rotation": "degrees"}
REACH = 60 / 224  # [Z] Fig. 5: ±60 pixels of a view of 224


def steps_of(kind: Transformation, size: int) -> list[float]:
    """The amounts of [Z] Fig. 5: −60 … 60 pixels of 224 (of another `size` in proportion, whole pixels), 1 … 1.8 times,
    0 … 350 degrees."""
    if kind == "translation":
        reach = round(REACH * size)
        step = max(1, round(reach / 12))
        return sorted({float(sign * amount) for amount in range(0, reach + 1, step) for sign in (-1, 1)})
    if kind == "scale":
        return [1 + 0.05 * step for step in range(17)]
    return [10.0 * step for step in range(36)]


def affine(kind: Transformation, amount: float, size: int) -> Float[Tensor, "2 3"]:
    """Where each pixel of the transformed view of `size` pixels comes from, in coordinates of −1 … 1 about its centre.

    Positive amounts move the content down, enlarge it, turn it counter-clockwise.
    """
    if kind == "translation":
        return torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, -2 * amount / size]])
    if kind == "scale":
        return torch.tensor([[1 / amount, 0.0, 0.0], [0.0, 1 / amount, 0.0]])
    cosine, sine = math.cos(math.radians(amount)), math.sin(math.radians(amount))
    return torch.tensor([[cosine, -sine, 0.0], [sine, cosine, 0.0]])


def transformed(
    viewer: ViewAverager,
    record: UInt8[Tensor, "S S 3"],
    kind: Transformation,
    amounts: Sequence[float],
    fill: Fill = "mean",
) -> Float[Tensor, "T 3 C C"]:
    """The centre view of a record, transformed about its centre by each amount, bilinear; minus the mean.

    What a view reaches beyond its frame comes from the record as far as that goes; beyond it is the mean ("mean":
    the network sees 0) or the record's outermost pixels ("edge").
    """
    size, side = viewer.inputs.size, viewer.inputs.side
    edge = (side - size) // 2
    matrices_t23 = torch.stack([affine(kind, amount, size) for amount in amounts])
    grid_tcc2 = F.affine_grid(matrices_t23, [len(amounts), 3, size, size], align_corners=False)
    # From coordinates of the view to those of the record around it.
    centre = (edge + size / 2) * 2 / side - 1
    grid_tcc2 = grid_tcc2 * (size / side) + centre
    picture = record.permute(2, 0, 1)[None].float().expand(len(amounts), 3, side, side)
    if fill == "edge":
        pixels = F.grid_sample(picture, grid_tcc2, padding_mode="border", align_corners=False)
        inputs = pixels - centre_mean(viewer).cpu()
    else:
        pixels = F.grid_sample(picture, grid_tcc2, padding_mode="zeros", align_corners=False)
        covered = F.grid_sample(torch.ones_like(picture[:, :1]), grid_tcc2, padding_mode="zeros", align_corners=False)
        inputs = pixels - covered * centre_mean(viewer).cpu()
    return inputs.to(viewer.device, viewer.dtype)


def distances(
    features_tf: Float[Tensor, "T F"], original_f: Float[Tensor, "F"], normalisation: Normalisation
) -> Float[Tensor, "T"]:
    """Euclidean distance of each feature vector to the original's.

    "none": as it is. "relative": divided by the original's length. "unit": both scaled to length 1 first. [Z] does not
    say which it is.
    """
    features_tf, original_f = features_tf.double(), original_f.double()
    length = original_f.norm().clamp_min(1e-12)
    if normalisation == "unit":
        lengths = features_tf.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return (features_tf / lengths - original_f / length).norm(dim=1)
    found = (features_tf - original_f).norm(dim=1)
    return found / length if normalisation == "relative" else found


@dataclass(frozen=True, eq=False)
class Curves:
    """What one transformation changes. `distances[layer]` (P, T); `probability` (P, T) of each picture's true class;
    `right` (P, T) whether it is the most probable one; `outputs` (P, T, K), the probabilities of all classes; `views`
    uint8 (P, T, C, C, 3), what the network saw."""

    kind: Transformation
    amounts: tuple[float, ...]
    distances: dict[str, Float[Tensor, "P T"]]
    probability: Float[Tensor, "P T"]
    right: Tensor
    outputs: Float[Tensor, "P T K"]
    views: UInt8[Tensor, "P T C C 3"]

    def as_json(self) -> dict[str, Any]:
        named = attributes(self, "amounts", "distances", "probability")
        return {"transformation": self.kind, "unit": UNITS[self.kind]} | named

    @property
    def stays_right(self) -> float:
        """The share of steps at which the true class stays the most probable one."""
        return float(self.right.float().mean())


@dataclass(frozen=True, eq=False)
class Invariance:
    """Fig. 5 for some pictures: `names` of the pictures, `classes` true classes in words, and the curves."""

    names: tuple[str, ...]
    classes: tuple[str, ...]
    layers: tuple[str, ...]
    normalisation: Normalisation
    fill: Fill
    curves: tuple[Curves, ...]

    def summary(self) -> list[dict[str, Any]]:
        """For each transformation: mean distance of each layer, of the largest and smallest; mean probability of the
        true class, and the share of steps at which it stays the most probable."""
        return [
            {
                "transformation": one.kind,
                "mean_distance": {layer: float(one.distances[layer].mean()) for layer in self.layers},
                "largest_distance": {layer: float(one.distances[layer].amax()) for layer in self.layers},
                "mean_probability": float(one.probability.mean()),
                "lowest_probability": float(one.probability.amin()),
                "stays_right": one.stays_right,
            }
            for one in self.curves
        ]

    def as_json(self) -> dict[str, Any]:
        return attributes(self, "layers", "normalisation", "fill") | {
            "pictures": [{"name": n, "class": c} for n, c in zip(self.names, self.classes, strict=True)],
            "summary": self.summary(),
            "curves": [one.as_json() for one in self.curves],
        }


def default_layers(network: Network) -> tuple[str, str]:
    """[Z]'s layers 1 and 7: the first layer's features, and those below the classifier."""
    return feature_row(network, 1), hidden_row(network)


@isolated()
def invariance_of(
    viewer: ViewAverager,
    records: UInt8[Tensor, "P S S 3"],
    labels: Sequence[int],
    *,
    names: Sequence[str],
    class_names: Sequence[str],
    layers: Sequence[str] = (),
    kinds: Sequence[Transformation] = ("translation", "scale", "rotation"),
    normalisation: Normalisation = "relative",
    fill: Fill = "mean",
    progress: Progress | None = None,
) -> Invariance:
    """Transform each picture by every step and see what changes. `layers`: whose distance is taken, default
    `default_layers`. Raises UserError for a layer that there is not."""
    layers = tuple(layers) or default_layers(viewer.network)
    size = viewer.inputs.size
    curves = []
    for kind in kinds:
        steps = steps_of(kind, size)
        curves.append(invariance_curve(viewer, records, labels, kind, steps, layers, normalisation, fill))
        if progress:
            progress(len(curves), len(kinds))
    classes = tuple(class_names[label] for label in labels)
    return Invariance(tuple(names), classes, layers, normalisation, fill, tuple(curves))


def invariance_curve(
    viewer: ViewAverager,
    records: UInt8[Tensor, "P S S 3"],
    labels: Sequence[int],
    kind: Transformation,
    amounts: Sequence[float],
    layers: Sequence[str],
    normalisation: Normalisation = "relative",
    fill: Fill = "mean",
) -> Curves:
    """One transformation by any amounts, for each picture."""
    each = [
        _changes(viewer, record, label, transformed(viewer, record, kind, amounts, fill), layers, normalisation, fill)
        for record, label in zip(records, labels, strict=True)
    ]
    distances_of, *answers = zip(*each, strict=True)
    stacked = {layer: torch.stack([one[layer] for one in distances_of]) for layer in layers}
    return Curves(kind, tuple(amounts), stacked, *map(torch.stack, answers))


def _changes(
    viewer: ViewAverager,
    record: UInt8[Tensor, "S S 3"],
    label: int,
    inputs: Float[Tensor, "T 3 C C"],
    layers: Sequence[str],
    normalisation: Normalisation,
    fill: Fill,
) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, Tensor]:
    """What `Curves` has of one picture, of which `inputs` are the transformed views: distances by layer, probability,
    right, outputs, views."""
    last = viewer.network.layers[-1].row.name
    still = flat_features(viewer, transformed(viewer, record, "translation", [0.0], fill), layers)
    moved = flat_features(viewer, inputs, {*layers, last})
    far = {layer: distances(moved[layer], still[layer][0], normalisation) for layer in layers}
    outputs_tk = viewer.network.probabilities(moved[last])
    shown = (inputs.float().cpu() + centre_mean(viewer).cpu()).round().clamp(0, 255)
    views = shown.to(torch.uint8).permute(0, 2, 3, 1)
    return far, outputs_tk[:, label], outputs_tk.argmax(dim=1) == label, outputs_tk, views
