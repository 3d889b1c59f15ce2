"""Do the same parts of different pictures change the features alike? ([Z] §4.3, Fig. 8, Table 1)

A part (an eye) is masked in every picture; ε = features − features with the mask. Where the signs of ε agree between
pictures, the network sees the part as the same thing.

P pictures · F features of a layer · S side of a view.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from alexnet.errors import UserError
from alexnet.files.schema import attributes
from alexnet.isolation import isolated
from alexnet.measure.viewer import ViewAverager
from alexnet.nets.network import Network
from alexnet.see.forward_pass import centre_mean, flat_features
from alexnet.see.units import hidden_row, number_of_last_convolution, output_row

RANDOM, OTHER = "random", "other parts"
DRAWS = 10
"""Random positions in each picture that the control is the mean of."""

Points = Mapping[str, tuple[float, float]]
"""A picture's parts: x and y in pixels of its view; 0 is the left or upper edge of the first pixel."""
Region = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels of the view."""


Signs = Int[Tensor, "P F"]
"""Of ε: −1, 0 or 1 for each picture and feature."""


def hamming(signs_pf: Signs, others_pf: Signs | None = None) -> Int[Tensor, "P P"]:
    """H between every two rows of signs, or every row and every one of `others_pf`: in how many of them they differ."""
    others_pf = signs_pf if others_pf is None else others_pf
    return torch.stack([(others_pf != one).sum(dim=1) for one in signs_pf])


def delta(pairs: Int[Tensor, "pairs"], draws: int = 1) -> float:
    """Δ_l as printed ([Z] §4.3): Σ over ordered pairs i ≠ j of H(sign ε_i, sign ε_j), from the H of the unordered
    pairs; of several `draws` the mean."""
    return 2 * float(pairs.sum()) / draws


@dataclass(frozen=True, eq=False)
class Consistency:
    """One part at one layer. `pairs`: H of each unordered pair of pictures (of each draw, for a control); `features` F;
    `draws` how often each pair of pictures was compared."""

    part: str
    layer: str
    pairs: Int[Tensor, "pairs"]
    features: int
    draws: int = 1

    @property
    def delta(self) -> float:
        return delta(self.pairs, self.draws)

    @property
    def normalised(self) -> float:
        """Δ_l per ordered pair and feature, 0 to 1: the share of features whose signs differ. Table 1's scale."""
        return float(self.pairs.double().mean()) / self.features

    @property
    def deviation(self) -> float:
        """Standard deviation of that share over the pairs."""
        return float(self.pairs.double().std()) / self.features if len(self.pairs) > 1 else 0.0

    def as_json(self) -> dict[str, Any]:
        named = attributes(self, "part", "layer", "delta", "normalised", "deviation", "features", "draws")
        return named | {"pairs": len(self.pairs)}


@dataclass(frozen=True, eq=False)
class Correspondence:
    """Table 1: rows are `parts`, then "random" and, of two parts or more, "other parts"; columns are layers. `mask` is
    the square's side in pixels; `control`: random positions on the object, or of the whole picture."""

    parts: tuple[str, ...]
    layers: tuple[str, ...]
    mask: int
    grey: float | None
    control: Literal["object", "picture"]
    pictures: tuple[str, ...]
    cells: dict[tuple[str, str], Consistency]

    def as_json(self) -> dict[str, Any]:
        table = [self.cells[part, layer].as_json() for part in self.parts for layer in self.layers]
        grey = "mean" if self.grey is None else self.grey
        return attributes(self, "pictures", "mask", "control") | {"grey": grey, "table": table}


def default_layers(network: Network) -> tuple[str, str]:
    """[Z]'s layers 5, with its pooling ([Z] Fig. 3), and 7; of a network whose last layers are missing, layer 5 and the
    layer before it."""
    whole, fifth = network.computable_layers == network.layers, number_of_last_convolution(network)
    return output_row(network, fifth), hidden_row(network) if whole else output_row(network, fifth - 1)


@isolated()
def correspondence_of(
    viewer: ViewAverager,
    inputs: Float[Tensor, "P 3 S S"],
    points: Sequence[Points],
    *,
    names: Sequence[str],
    parts: Sequence[str] = (),
    layers: Sequence[str] = (),
    mask: int | None = None,
    grey: float | None = None,
    regions: Sequence[Region] | None = None,
    seed: int = 0,
    draws: int = DRAWS,
) -> Correspondence:
    """Mask each part in every picture and compare the signs of what changes.

    `points`: each picture's key points; `parts`: which of them (default: those that all pictures have); `mask`: side of
    the square in pixels (default: a seventh of the view, 32 of 224); `grey`: its level 0–255 (default: the mean, so
    that the network sees 0).

    Two controls. "random", as in [Z], masks another random position of each picture's object, `draws` times: inside
    `regions`, where the objects are; without them anywhere. "other parts", ours, compares an eye of one picture with
    the nose of another: masks that stir as much as the parts do, because they are parts, but not the same one.

    Raises UserError for fewer than two pictures, an absent part, or a point outside the picture.
    """
    size = viewer.inputs.size
    mask = max(1, round(size / 7)) if mask is None else mask
    layers = tuple(layers) or default_layers(viewer.network)
    parts = tuple(parts) or common_parts(points)
    check(points, names, parts, size, mask)
    clean = flat_features(viewer, inputs, layers)

    def signs_at(centres_p2: Tensor) -> dict[str, Signs]:
        hidden = flat_features(viewer, masked(viewer, inputs, centres_p2, mask, grey), layers)
        return {layer: (clean[layer] - hidden[layer]).sign().to(torch.int8) for layer in layers}

    # The signs of ε for each part, then for each draw of random positions; of the latter the distances are enough.
    of_parts = [signs_at(torch.tensor([found[part] for found in points], dtype=torch.float64)) for part in parts]
    positions = _random_positions(len(inputs), regions, size, mask, draws, seed)
    of_random = [{layer: pairs_of(found) for layer, found in signs_at(centres).items()} for centres in positions]
    cells: dict[tuple[str, str], Consistency] = {}
    for layer in layers:
        features, signs = clean[layer].shape[1], [found[layer] for found in of_parts]
        for part, one in zip(parts, signs, strict=True):
            cells[part, layer] = Consistency(part, layer, pairs_of(one), features)
        random = torch.cat([found[layer] for found in of_random])
        cells[RANDOM, layer] = Consistency(RANDOM, layer, random, features, draws)
        # An eye of one picture against the nose of another: the distance between parts that do not correspond.
        if others := [pairs_of(one, other) for one, other in permutations(signs, 2)]:
            cells[OTHER, layer] = Consistency(OTHER, layer, torch.cat(others), features, len(others))
    rows = (*parts, RANDOM, OTHER) if len(parts) > 1 else (*parts, RANDOM)
    control = "picture" if regions is None else "object"
    return Correspondence(rows, layers, mask, grey, control, tuple(names), cells)


def _random_positions(
    count: int, regions: Sequence[Region] | None, size: int, mask: int, draws: int, seed: int
) -> list[Float[Tensor, "P 2"]]:
    """For each draw a position of each picture's own, x and y: inside its region, or anywhere that holds a whole
    mask."""
    random = np.random.default_rng(seed)
    inner = (mask / 2, mask / 2, size - mask / 2, size - mask / 2)
    spans = np.array([inner] * count if regions is None else regions).clip(0, size)
    return [torch.from_numpy(random.uniform(spans[:, :2], spans[:, 2:])) for _ in range(draws)]


def masked(
    viewer: ViewAverager, inputs: Float[Tensor, "P 3 S S"], centres: Float[Tensor, "P 2"], mask: int, grey: float | None
) -> Float[Tensor, "P 3 S S"]:
    """The pictures, each with a square of `mask` pixels about its centre (x, y); what falls outside is cut off."""
    covered = inputs.clone()
    # Inputs have lost the mean: 0 is the mean's level, and any other grey differs from pixel to pixel.
    fill = torch.zeros_like(inputs[0]) if grey is None else (grey - centre_mean(viewer)).to(inputs.dtype)
    for number, (x, y) in enumerate(centres.tolist()):
        left, top = round(x - mask / 2), round(y - mask / 2)
        rows, columns = slice(max(0, top), max(0, top + mask)), slice(max(0, left), max(0, left + mask))
        covered[number, :, rows, columns] = fill[:, rows, columns]
    return covered


def pairs_of(signs: Signs, others: Signs | None = None) -> Int[Tensor, "pairs"]:
    """H of every two pictures i < j: of `signs` of both, or of `signs` of i and `others` of j."""
    first, second = torch.triu_indices(len(signs), len(signs), offset=1)
    return hamming(signs, others)[first, second]


def common_parts(points: Sequence[Points]) -> tuple[str, ...]:
    """The parts that every picture has, in the first one's order."""
    return tuple(name for name in (points[0] if points else ()) if all(name in found for found in points))


def check(points: Sequence[Points], names: Sequence[str], parts: Sequence[str], size: int, mask: int) -> None:
    """Raises UserError for what can't be compared."""
    if len(points) < 2:
        raise UserError(f"{len(points)} picture with key points: at least two are compared. Name more pictures.")
    if not parts:
        raise UserError("the pictures have no key point in common. Name the parts that are to be masked.")
    if not 1 <= mask <= size:
        raise UserError(f"a mask of {mask} pixels: between 1 and {size}, the side of what the network sees.")
    for name, found in zip(names, points, strict=True):
        for part in parts:
            if part not in found:
                raise UserError(f"{name}: has no key point {part!r}; it has: {', '.join(found)}.")
            x, y = found[part]
            if not (0 <= x <= size and 0 <= y <= size):
                raise UserError(
                    f"{name}: its key point {part!r} lies outside what the network sees of it (at {x:.0f}, {y:.0f} of "
                    f"{size} × {size} pixels). Leave the picture out, or give one with the part nearer to its middle."
                )
