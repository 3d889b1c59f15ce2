"""An answer split into what each unit adds to it: exactly over what the last layer reads, and on over the maps below.

The last layer is linear: logit_k = b_k + Σ_u w_ku · a_u, so unit u adds w_ku · a_u. Further down the network is linear
too, once it is settled which units are active and where each maximum stands: a unit adds its activation times the
logit's derivative by it, and the biases on the way add the rest. Rows that are curved (response norms, tanh) leave a
remainder, which is stated.

N numbers that are split · C maps · H, W rows and columns · U units of a fully connected layer · K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from alexnet.data.batches import Progress
from alexnet.data.store.read import StoreSplit
from alexnet.drawing import LIGHT, TITLE, Result, figure_grid, plain_axes, shortened, show
from alexnet.errors import UsageError, UserError
from alexnet.isolation import isolated
from alexnet.measure.pictures import Picture, name_of
from alexnet.measure.run import Run
from alexnet.nets.network import Network
from alexnet.nets.table import Activation, BatchNorm, Conv, Local, Norm, SpatialNorm, Weighted
from alexnet.see.deconvnet import RULES, row_index, step_down
from alexnet.see.figures import patch_tiles
from alexnet.see.forward_pass import ForwardPass, centre_views, inputs_of, record_of, run_forward
from alexnet.see.local import MapPatch
from alexnet.see.patches import UnitPatch, patches_of
from alexnet.see.top import find_top
from alexnet.text import table

STRONGEST = 5
"""Units of each sign that are followed down, and named."""


@dataclass(frozen=True, eq=False)
class Contribution:
    """The number `total`, called `of` (a class, or a unit), split over a layer.

    `added`, (C, H, W) or (U,): what each unit of `layer` adds, as the next layer with weights reads it; `biases`: what
    the biases in between add; `curved`: the rows in between that are not linear.
    """

    of: str
    layer: str
    total: float
    biases: float
    added: Float[Tensor, "C ..."]
    curved: tuple[str, ...]

    @cached_property
    def by_map(self) -> Float[Tensor, "C"]:
        """What each map (or unit) adds, float64."""
        return self.added.double().flatten(1).sum(dim=1) if self.added.ndim == 3 else self.added.double()

    @property
    def remainder(self) -> float:
        """What neither units nor biases account for: 0 but for rounding if nothing in between is curved."""
        return self.total - self.biases - float(self.by_map.sum())

    def strongest(self, count: int = STRONGEST) -> list[int]:
        """The `count` maps that add most, the largest first, and those that take most away, the largest last."""
        order = self.by_map.argsort(descending=True, stable=True).tolist()
        up = [channel for channel in order[:count] if self.by_map[channel] > 0]
        return up + [channel for channel in order[max(0, len(order) - count) :] if self.by_map[channel] < 0]

    def as_json(self) -> dict[str, Any]:
        numbers = {"total": self.total, "biases": self.biases, "remainder": self.remainder, "curved": list(self.curved)}
        return {"of": self.of, "layer": self.layer} | numbers | {"added": self.by_map.tolist()}


@dataclass(frozen=True, eq=False)
class Contributions(Result):
    """A picture's logit of the class `target`, or by how much it exceeds that of `against`, as sums.

    `layers`: the split over each layer, the uppermost first; `paths`: what the strongest units of the first layer add,
    split over the second one, by unit; `patches`: the strongest patches of the second layer's strongest maps (of the
    only layer's), if a store was given; `view` uint8 (S, S, 3): the picture as the network sees it.
    """

    picture: str
    view: UInt8[np.ndarray, "S S 3"]
    target: str
    against: str | None
    layers: tuple[Contribution, ...]
    paths: dict[int, Contribution] = field(default_factory=dict)
    patches: dict[int, list[UnitPatch]] = field(default_factory=dict)

    @property
    def answer(self) -> float:
        """The logit, or the difference of two."""
        return self.layers[0].total

    @property
    def what(self) -> str:
        """What the answer is called."""
        return "logit" if self.against is None else "difference of logits"

    @property
    def remainder(self) -> dict[str, float]:
        """By layer, the answer less biases and contributions."""
        return {one.layer: one.remainder for one in self.layers}

    def as_json(self) -> dict[str, Any]:
        return {
            "picture": self.picture,
            "target": self.target,
            "against": self.against,
            "answer": self.answer,
            "layers": [one.as_json() | {"strongest": one.strongest()} for one in self.layers],
            "paths": [{"unit": unit} | one.as_json() for unit, one in self.paths.items()],
            "patches": {str(channel): [one.as_json() for one in some] for channel, some in self.patches.items()},
        }

    def describe(self) -> str:
        """The sums, and the strongest units of each layer, as tables."""
        parts = [(float(one.by_map.sum()), one.biases, one.remainder, one.total) for one in self.layers]
        sums = [(one.layer, *map(_number, numbers)) for one, numbers in zip(self.layers, parts, strict=True)]
        told = [table((self.layers[0].of, "units", "biases", "remainder", self.what), sums)]
        for one in self.layers:
            paths = self.paths if one is self.layers[0] else {}
            rows = [
                (
                    f"{channel}",
                    _number(float(one.by_map[channel])),
                    _in_words(paths[channel]) if channel in paths else "",
                )
                for channel in one.strongest()
            ]
            through = f"of it through {self.layers[1].layer}" if paths else ""
            told.append(table((one.layer, "adds", through), rows, left=1))
        return "\n\n".join(told)

    def draw(self) -> Figure:
        """The picture, where on the lowest maps the answer comes from, the strongest units of each layer; below, the
        maps that the strongest units are made of, and the strongest patches of the strongest maps."""
        units, channels, lower = _both_ends([*self.paths]), _both_ends([*self.patches]), self.layers[:2][-1]
        columns = max(2 + len(self.layers), len(units), len(channels))
        figure, axes = figure_grid(1 + bool(units) + bool(channels), columns, 2.3, 2.5)
        show(axes[0, 0], self.view, f"{shortened(self.layers[0].of, 30)}\n{self.what} {self.answer:+.2f}")
        _draw_where(figure, axes[0, 1], self.layers[-1])
        for panel, one in zip(axes[0, 2:], self.layers, strict=False):
            _draw_bars(panel, one, f"{one.layer}: {float(one.by_map.sum()):+.2f}\nremainder {_number(one.remainder)}")
        for panel, path in zip(axes[1 if units else 0], map(self.paths.__getitem__, units), strict=False):
            _draw_bars(panel, path, f"{path.of}: {path.total:+.2f}\nthrough {path.layer}", 3)
        for panel, channel in zip(axes[-1], channels, strict=False):
            title = f"{lower.layer} · {channel}: {float(lower.by_map[channel]):+.2f}"
            show(panel, patch_tiles(self.patches[channel])[1], title)
        return figure


@isolated()
@torch.no_grad()
def contributions(
    run: Run,
    picture: Picture,
    *,
    target: str | int | None = None,
    against: str | int | None = None,
    layers: Sequence[str] = (),
    strongest: int = STRONGEST,
    store: StoreSplit | None = None,
    passed: ForwardPass | None = None,
    progress: Progress | None = None,
) -> Contributions:
    """Split a picture's answer (centre view) into what units and maps add to it.

    `target`: the class whose logit is split (default: the most probable); `against`: another, whose logit is taken off;
    `layers`: rows with weights (default: what the last one reads, as fc7, and the last convolution); `strongest`: units
    of each sign of the first that are followed to the second; `store`: pictures in which the strongest patches of the
    second layer's strongest maps are looked for; `passed`: the picture's forward pass, where it is known. Logits are
    those before any temperature. Raises UserError for rows that there are not, without weights, or that can't be
    computed; UsageError for the last row or an unknown class.
    """
    network, records = run.network, record_of(run, picture)
    network.check_computable(network.last)
    readers = {name: reader_of(network, name) for name in layers or usual_layers(network)}
    names = sorted(readers, key=lambda name: -readers[name])
    passed = passed or run_forward(network, inputs_of(run.viewer, torch.from_numpy(records)))
    logits = passed[network.last]
    first = int(logits.flatten(1).argmax()) if target is None else run.class_number(target)
    second = None if against is None else run.class_number(against)
    if first == second:
        raise UsageError(f"{run.class_names[first]!r} against itself: name another class.")
    signal = torch.zeros_like(logits)
    signal.flatten(1)[0, first] = 1
    if second is not None:
        signal.flatten(1)[0, second] = -1
    words = run.class_names[first] + ("" if second is None else f" − {run.class_names[second]}")
    last = len(network.layers) - 1
    splits = [split_over(passed, signal, last, readers[name], [words], name) for name in names]
    found, paths = [some[0] for some, _ in splits], dict[int, Contribution]()
    if len(found) > 1 and (units := found[0].strongest(strongest)):
        signals = _one_map_each(splits[0][1], units)
        of = [f"{names[0]} · {unit}" for unit in units]
        some, _ = split_over(passed, signals, readers[names[0]] - 1, readers[names[1]], of, names[1])
        paths = dict(zip(units, some, strict=True))
    patches: dict[int, list[UnitPatch]] = {}
    if store is not None:
        lower = found[:2][-1]  # where the paths lead, or the only layer
        top = find_top(run.viewer, store, [lower.layer], progress=progress)
        patches = patches_of(run.viewer, store, top, lower.layer, lower.strongest(strongest))
    view, shown = centre_views(records, run.inputs.size)[0], None if second is None else run.class_names[second]
    return Contributions(name_of(picture, 0), view, run.class_names[first], shown, tuple(found), paths, patches)


def usual_layers(network: Network) -> list[str]:
    """The layer that the last one reads, and the last convolution. Raises UserError for a network of one layer."""
    rows = network.table.weighted[:-1]
    if not rows:
        raise UserError(f"{network.table.name} has no layer below its last one.")
    convolutions = [row.name for row in rows if isinstance(row, Conv | Local)]
    return list(dict.fromkeys([rows[-1].name, *convolutions[-1:]]))


def reader_of(network: Network, name: str) -> int:
    """The number of the row with weights that reads the layer `name`. Raises UserError for a row without weights,
    UsageError for the last."""
    rows, start = [layer.row for layer in network.layers], row_index(network, name)
    if not isinstance(rows[start], Weighted):
        known = ", ".join(row.name for row in network.table.weighted[:-1])
        raise UserError(f"{name} has no weights; an answer is split over layers with weights: {known}.")
    above = [index for index in range(start + 1, len(rows)) if isinstance(rows[index], Weighted)]
    if not above:
        raise UsageError(f"{name}: the last layer gives the answer itself; name one below it.")
    return above[0]


@torch.no_grad()
def split_over(
    passed: ForwardPass, signal: Tensor, start: int, reader: int, of: Sequence[str], layer: str
) -> tuple[list[Contribution], Tensor]:
    """N numbers, each the sum of its `signal` (N, …) times the output of row number `start`, split over what enters row
    number `reader`; and their derivatives there."""
    network, index = passed.network, start
    part, biases_n, curved = MapPatch.whole(signal), torch.zeros(len(signal), dtype=torch.float64), []
    numbers = torch.zeros(len(signal), dtype=torch.int64, device=signal.device)
    totals_n = _dot(signal, passed[network.layers[start].row.name])
    with network.copies.in_use():
        for index in range(start, reader - 1, -1):
            row, below = network.layers[index].row, passed.entering(index)
            if isinstance(row, Weighted | BatchNorm):
                # What such a row gives for nothing is what its biases (or shift) add.
                constant = network.get_submodule(row.name)(torch.zeros_like(below))
                biases_n += _dot(part.onto(torch.zeros_like(constant)), constant)
            elif isinstance(row, Norm | SpatialNorm) or (isinstance(row, Activation) and row.kind != "relu"):
                curved.append(row.name)
            part = step_down(passed, index, part, numbers, RULES["gradient"], "add")
    entering = passed.entering(reader)
    slopes = part.onto(torch.zeros_like(entering))
    added = (slopes * entering).float().cpu()
    numbered = zip(of, totals_n.tolist(), biases_n.tolist(), added, strict=True)
    return [Contribution(name, layer, total, bias, one, tuple(curved)) for name, total, bias, one in numbered], slopes


def _dot(signal: Float[Tensor, "N ..."], output: Float[Tensor, "1 ..."]) -> Float[Tensor, "N"]:
    return (signal.double() * output.double()).flatten(1).sum(dim=1).cpu()


def _one_map_each(slopes: Float[Tensor, "1 C ..."], units: Sequence[int]) -> Float[Tensor, "N C ..."]:
    """The derivatives with all maps but one at zero, for each of some maps."""
    signals = torch.zeros_like(slopes).repeat(len(units), *[1] * (slopes.ndim - 1))
    for number, unit in enumerate(units):
        signals[number, unit] = slopes[0, unit]
    return signals


# ── drawing and telling ──────────────────────────────────────────────────────────────────────────────────────────


def _in_words(path: Contribution, most: int = 3) -> str:
    chosen = path.by_map.abs().argsort(descending=True, stable=True)[:most].tolist()
    return ", ".join(f"{channel} {path.by_map[channel]:+.3f}" for channel in chosen)


def _number(value: float) -> str:
    """With its sign, and no minus before a rounded zero."""
    return f"{round(value, 4) + 0.0:+.4f}"


def _both_ends(units: Sequence[int], most: int = 6) -> list[int]:
    """Of units from the most positive to the most negative those at both ends."""
    return [*units] if len(units) <= most else [*units[: most // 2], *units[-(most // 2) :]]


def _draw_bars(axes: Axes, one: Contribution, title: str, most: int = STRONGEST) -> None:
    chosen = one.strongest(most)
    values = [float(one.by_map[channel]) for channel in chosen]
    axes.set_axis_on()
    plain_axes(axes)
    axes.barh(range(len(chosen)), values, color=[LIGHT.true if value > 0 else LIGHT.other for value in values])
    axes.set_yticks(range(len(chosen)), [str(channel) for channel in chosen])
    axes.invert_yaxis()
    axes.axvline(0, color=LIGHT.ink, linewidth=0.8)
    axes.tick_params(labelsize=7.5)
    axes.locator_params(axis="x", nbins=4)
    axes.set_xlabel("added to the logit", fontsize=TITLE - 1.5, color=LIGHT.ink)
    axes.set_title(title, fontsize=TITLE, color=LIGHT.ink, parse_math=False)


def _draw_where(figure: Figure, axes: Axes, one: Contribution) -> None:
    """What each position of a layer's maps adds, all maps together."""
    if one.added[0].numel() == 1:  # a map of one position, or none
        return
    summed = one.added.sum(dim=0).numpy()
    most = float(np.abs(summed).max()) or 1.0
    image = axes.imshow(summed, cmap="RdBu_r", vmin=-most, vmax=most)
    axes.set_title(f"{one.layer}, all maps", fontsize=TITLE, color=LIGHT.ink)
    bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.8, pad=0.02)
    bar.ax.tick_params(labelsize=7.5, colors=LIGHT.ink)
    bar.set_label("added to the logit", fontsize=TITLE - 1.5, color=LIGHT.ink)
