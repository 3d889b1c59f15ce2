"""Follow one number through a network: what each row reads, and how the number comes of it.

A row reads a block of the maps below: a convolution a window of some maps, a pool a window of its own map, a response
norm the neighbouring maps at one position, a fully connected unit everything. A `Step` is that block, the weights that
lie over it, and the row's formula; a `NumberPath` one step for each row, each reading the number of the step before.

C maps · M maps that are read · h, w rows and columns of a window · H, W those of a map · K classes.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from alexnet.errors import UsageError, UserError
from alexnet.isolation import isolated
from alexnet.nets.layers import ResponseNorm, SpatialResponseNorm, WeightedLayer
from alexnet.nets.network import Activations
from alexnet.nets.table import Activation, BatchNorm, Conv, Dense, Dropout, Local, Norm, Pool, SpatialNorm, Weighted
from alexnet.nets.trace import Layer
from alexnet.see.deconvnet import row_index
from alexnet.see.forward_pass import ForwardPass
from alexnet.see.units import Unit, check_unit, unit_at

PICTURE = "picture"
"""What the first row reads; its maps are red, green and blue."""
READERS = 8
"""Readers of a number that are named, those to which it adds most or takes most away."""

CONSIDERED = 256
"""Readers of each column and position among which the one that the path goes to is looked for."""

Place = tuple[int, int, int]
"""A map's place among those that a step reads, a row and a column of its window."""


@dataclass(frozen=True, eq=False)
class Step:
    """How one row makes one number: `value`, that of `unit`.

    `maps`: what it reads of the row `below`, from row `top` and column `left` on: `inputs`, NaN beyond the edges;
    `weights` lie over them; `constants` are the other numbers of the formula; `chosen`: where in the inputs the number
    of the step before stands, if it is not the strongest. float64.
    """

    layer: Layer
    unit: Unit
    value: float
    below: str
    maps: tuple[int, ...]
    top: int
    left: int
    inputs: Float[Tensor, "M h w"]
    weights: Float[Tensor, "M h w"] | None
    constants: Mapping[str, float]
    chosen: Place | None = None

    @property
    def place(self) -> Place:
        """Where in the inputs the number of the step before stands: the `chosen` one, or the strongest."""
        return self.chosen or self.strongest

    @property
    def source(self) -> Unit:
        """The unit of the step before."""
        k, row, column = self.place
        return Unit(self.below, self.maps[k], self.top + row, self.left + column)

    def place_of(self, unit: Unit) -> Place | None:
        """Where in the inputs the number of a unit of the row below stands, if it is read."""
        row, column = (unit.row or 0) - self.top, (unit.column or 0) - self.left
        high, wide = self.inputs.shape[1:]
        if unit.channel not in self.maps or not (0 <= row < high and 0 <= column < wide):
            return None
        return self.maps.index(unit.channel), row, column

    @cached_property
    def strongest(self) -> Place:
        """The largest input of a row without weights; else the one whose product has the number's sign and is largest,
        or where there is none the one with the largest weight."""
        sizes_mhw = self.inputs
        if self.weights is not None:
            sizes_mhw = self.inputs * self.weights * math.copysign(1, self.value)
            if float(sizes_mhw.nan_to_num().max()) <= 0:
                sizes_mhw = torch.where(self.inputs.isnan(), self.inputs, self.weights.abs())
        flat = int(sizes_mhw.nan_to_num(-math.inf).argmax())
        k, position = divmod(flat, sizes_mhw[0].numel())
        return k, *divmod(position, sizes_mhw.shape[2])

    @property
    def products(self) -> Float[Tensor, "M h w"]:
        """Inputs times weights; 0 beyond the edges. Raises UserError for a row without weights."""
        if self.weights is None:
            raise UserError(f"{self.unit.layer} has no weights.")
        return self.inputs.nan_to_num() * self.weights

    def computed(self) -> float:
        """The number by the row's formula, from the inputs."""
        own, c = float(self.inputs[self.place]), self.constants
        match self.layer.row:
            case Conv() | Local() | Dense():
                return float(self.products.sum()) + c["bias"]
            case Activation(kind="relu"):
                return max(0.0, own)
            case Activation(kind="tanh"):
                return math.tanh(own)
            case Activation():
                return 1 / (1 + math.exp(-own))
            case Norm() | SpatialNorm():
                denominator = c["k"] + c["alpha"] * float(self.inputs.nan_to_num().square().sum())
                return own / denominator ** c["beta"] if denominator else 0.0
            case Pool(kind="max"):
                return float(self.inputs.nan_to_num(-math.inf).max())
            case Pool():
                return float(self.inputs.nanmean())
            case BatchNorm():
                return (own - c["mean"]) / math.sqrt(c["variance"] + c["epsilon"]) * c["scale"] + c["shift"]
            case Dropout():
                return own * c["factor"]


@dataclass(frozen=True)
class Reader:
    """A `unit` that reads a number, what the number adds to it (`effect`; of a pool: 1 if it is the maximum, of an
    average its share), and the unit's `value`."""

    unit: Unit
    effect: float
    value: float


@dataclass(frozen=True, eq=False)
class NumberPath:
    """One number in each row, each read by the next: `steps`; and by row the strongest `readers` of its number."""

    passed: ForwardPass
    steps: tuple[Step, ...]

    @cached_property
    def readers(self) -> dict[str, list[Reader]]:
        after = range(1, len(self.steps))
        return {self.steps[n - 1].unit.layer: readers_of(self.passed, n, self.steps[n - 1].unit) for n in after}


def follow(passed: ForwardPass, unit: Unit, via: Sequence[Unit] = ()) -> NumberPath:
    """A path through a unit of one picture's forward pass (without a position: where its map peaks).

    Below it the path goes to the input whose product adds most to the number (of a pool: to the maximum), above it to
    the active unit to which the number adds most, in the last row to the most probable class; or to the units `via`, at
    most one for each row. It ends where nothing reads the number (at an edge). Raises UserError for a unit that there
    is not or that can't be computed, UsageError for one of `via` that the path does not reach.
    """
    network, anchor = passed.network, _placed(passed, unit)
    network.check_computable(unit.layer)
    wanted = {one.layer: _placed(passed, one) for one in via if one.layer != anchor.layer}
    middle, steps = row_index(network, anchor.layer), list[Step]()
    target = anchor
    for index in range(middle, -1, -1):
        steps.insert(0, step_of(passed, index, target, wanted.get(_below(passed, index))))
        target = _placed(passed, steps[0].source) if index else target
    for index in range(middle + 1, len(network.computable_layers)):
        below, name = steps[-1].unit, network.layers[index].row.name
        if (reader := wanted.get(name) or default_reader(passed, index, below)) is None:
            break
        steps.append(step_of(passed, index, reader, below))
    return NumberPath(passed, tuple(steps))


def default_reader(passed: ForwardPass, index: int, below: Unit) -> Unit | None:
    """Of the units of row number `index` that read a number, the one that its path goes to."""
    row = passed.network.layers[index].row
    if row.name == passed.network.last and isinstance(row, Dense):
        return Unit(row.name, int(passed[row.name].flatten(1).argmax()))
    weighted = isinstance(row, Weighted)
    readers = readers_of(passed, index, below, CONSIDERED)
    best = max(readers, key=lambda one: (weighted and one.value > 0, one.effect), default=None)
    return best and best.unit


# ── one row ──────────────────────────────────────────────────────────────────────────────────────────────────────


def step_of(passed: ForwardPass, index: int, unit: Unit, source: Unit | None = None) -> Step:
    """How row number `index` makes the number of a unit. `source`: the unit below that the path comes from. Raises
    UsageError if that is not read."""
    network = passed.network
    layer, module = network.layers[index], network.get_submodule(unit.layer)
    row, below = layer.row, _maps(passed.entering(index))
    top, left = _corner(layer, unit.row or 0, unit.column or 0)
    constants, maps, weights, high, wide = _constants(layer, module, unit), (unit.channel,), None, 1, 1
    if isinstance(row, Weighted):
        maps = maps_read(layer, module, unit.channel)
        weights = _filters(layer, module, unit)[unit.channel].detach().double().cpu()
        high, wide = weights.shape[1:]
    elif isinstance(row, Pool):
        high = wide = row.kernel
    elif isinstance(row, SpatialNorm):
        high = wide = row.size
    elif isinstance(row, Norm):
        assert isinstance(module, ResponseNorm)
        spec = module.spec
        block = layer.leaving.maps // spec.blocks
        first = unit.channel // block * block  # of the block of maps that the window stays in
        last = min(unit.channel + (spec.size - 1) // 2, first + block - 1)
        maps = tuple(range(max(first, unit.channel - spec.size // 2), last + 1))
    inputs = block_of(below, maps, top, left, high, wide)
    value = float(_maps(passed[unit.layer])[unit.channel, unit.row or 0, unit.column or 0])
    step = Step(layer, unit, value, _below(passed, index), maps, top, left, inputs, weights, constants)
    if source is None:
        return step if isinstance(row, Weighted | Pool) else replace(step, chosen=step.place_of(unit))
    place = step.place_of(source)
    if place is None:
        raise UsageError(f"{unit} does not read {source}.")
    return replace(step, chosen=place)


def _corner(layer: Layer, row: int, column: int) -> tuple[int, int]:
    """Where the block that a unit reads begins on the maps below."""
    match layer.row:
        case Dense():
            return 0, 0
        case Conv() | Local() | Pool():
            window = layer.window
            return row * window.stride - window.before, column * window.stride - window.before
        case SpatialNorm(size=size):
            return row - size // 2, column - size // 2
        case _:
            return row, column


def maps_read(layer: Layer, module: nn.Module, channel: int) -> tuple[int, ...]:
    """The maps below that a map (or unit) of a row with weights reads, in the order of its weights."""
    if isinstance(layer.row, Local):
        return tuple(range(layer.entering.maps))
    assert isinstance(module, WeightedLayer)
    width = layer.entering.maps // module.columns_below
    column = channel * len(layer.reads) // layer.leaving.maps
    return tuple(width * below + n for below in layer.reads[column] for n in range(width))


def _filters(layer: Layer, module: nn.Module, unit: Unit) -> Float[Tensor, "C M h w"]:
    """The weights of all maps at the unit's position."""
    weight = module.get_parameter("weight")
    match layer.row:
        case Conv():
            return weight
        case Local(kernel=side):
            return weight[_position(layer, unit)].unflatten(1, (-1, side, side))
        case _:
            return weight.unflatten(1, (-1, layer.entering.side, layer.entering.side))


def _constants(layer: Layer, module: nn.Module, unit: Unit) -> dict[str, float]:
    """The numbers of a row's formula other than weights."""
    match layer.row:
        case Conv() | Dense():
            return {"bias": module.get_parameter("bias")[unit.channel].item()}
        case Local():
            return {"bias": module.get_parameter("bias")[_position(layer, unit), unit.channel].item()}
        case Norm() | SpatialNorm():
            assert isinstance(module, ResponseNorm | SpatialResponseNorm)
            return {"k": module.spec.k, "alpha": module.spec.alpha, "beta": module.spec.beta}
        case BatchNorm():
            assert isinstance(module, nn.BatchNorm2d)
            names = {"mean": "running_mean", "variance": "running_var", "scale": "weight", "shift": "bias"}
            values = {name: getattr(module, which)[unit.channel].item() for name, which in names.items()}
            return values | {"epsilon": module.eps}
        case Dropout(keep=keep, kind=kind):
            return {"keep": keep, "factor": keep if kind == "2012" else 1.0}
        case _:
            return {}


def _position(layer: Layer, unit: Unit) -> int:
    return (unit.row or 0) * layer.leaving.side + (unit.column or 0)


def block_of(
    maps_chw: Float[Tensor, "C H W"], maps: Sequence[int], top: int, left: int, high: int, wide: int
) -> Float[Tensor, "M h w"]:
    """A window of some maps, NaN beyond the edges."""
    chosen, (height, width) = maps_chw[list(maps)].double().cpu(), maps_chw.shape[1:]
    found = torch.full((len(maps), high, wide), torch.nan, dtype=torch.float64)
    rows, columns = slice(max(0, top), min(height, top + high)), slice(max(0, left), min(width, left + wide))
    down, right = rows.start - top, columns.start - left
    inside = chosen[:, rows, columns]
    found[:, down : down + inside.shape[1], right : right + inside.shape[2]] = inside
    return found


def _maps(values: Tensor) -> Float[Tensor, "C H W"]:
    """One picture's output of a row as maps; units of fully connected rows are maps of 1 × 1."""
    return values[0] if values.ndim == 4 else values[0, :, None, None]


def _below(passed: ForwardPass, index: int) -> str:
    return passed.network.layers[index - 1].row.name if index else PICTURE


def _placed(passed: ForwardPass, unit: Unit) -> Unit:
    """The unit with a position, that of its map's peak if it has none; without one in fully connected rows."""
    side = check_unit(passed.network, unit).leaving.side
    if unit.row is not None and side > 1:
        return unit
    return unit_at(passed.network, unit.layer, unit.channel, int(_maps(passed[unit.layer])[unit.channel].argmax()))


# ── who reads a number ───────────────────────────────────────────────────────────────────────────────────────────


def readers_of(passed: ForwardPass, index: int, below: Unit, count: int = READERS) -> list[Reader]:
    """The units of row number `index` that read a number of the row below, those first to which it adds (or from which
    it takes) most. Of rows that work unit by unit, and of norms: the unit of the same map and position."""
    layer, outputs = passed.network.layers[index], _maps(passed[passed.network.layers[index].row.name])
    name = layer.row.name

    def reader(channel: int, row: int, column: int, effect: float) -> Reader:
        unit = unit_at(passed.network, name, channel, row * layer.leaving.side + column)
        return Reader(unit, effect, float(outputs[channel, row, column]))

    at = below.row or 0, below.column or 0
    if isinstance(layer.row, Weighted):
        found = [reader(*one) for one in _strongest_products(passed, index, below, count)]
    elif isinstance(layer.row, Pool):
        steps = [step_of(passed, index, reader(below.channel, *one, 0).unit, below) for one in _reached(layer, at)]
        maximum = layer.row.kind == "max"
        shares = [float(s.place == s.strongest) if maximum else 1 / int((~s.inputs.isnan()).sum()) for s in steps]
        readers = [Reader(s.unit, share, s.value) for s, share in zip(steps, shares, strict=True)]
        found = sorted(readers, key=lambda one: -one.effect)
    else:
        found = [reader(below.channel, *at, 1.0)]
    return found


def _reached(layer: Layer, at: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The positions of a row whose windows hold a position of the maps below."""
    if isinstance(layer.row, Dense):
        yield 0, 0
        return
    (top, bottom), (left, right) = (layer.window.reached(one, one + 1, layer.entering.side) for one in at)
    yield from ((row, column) for row in range(top, bottom) for column in range(left, right))


def _strongest_products(passed: ForwardPass, index: int, below: Unit, count: int) -> list[tuple[int, int, int, float]]:
    """(map, row, column, product) of the units of a row with weights to which a number adds or takes most."""
    layer, network = passed.network.layers[index], passed.network
    module = network.get_submodule(layer.row.name)
    at, x = (below.row or 0, below.column or 0), float(_maps(passed[below.layer])[below.channel][below.at or (0, 0)])
    columns = len(layer.reads) if len(set(layer.reads)) > 1 else 1
    each = layer.leaving.maps // columns
    found = []
    for row, column in _reached(layer, at):
        unit = unit_at(network, layer.row.name, 0, row * layer.leaving.side + column)
        top, left = _corner(layer, row, column)
        filters = _filters(layer, module, unit)[:, :, at[0] - top, at[1] - left].detach().float().cpu()
        for one in range(columns):
            maps = maps_read(layer, module, one * each)
            if below.channel in maps:
                weights_c = filters[one * each : (one + 1) * each, maps.index(below.channel)]
                best = (weights_c * x if x else weights_c).abs().topk(min(count, each)).indices.tolist()
                found += [(one * each + c, row, column, float(weights_c[c]) * x, float(weights_c[c])) for c in best]
    found.sort(key=lambda one: (-abs(one[3]), -abs(one[4])))
    return [one[:4] for one in found[:count]]


# ── what if a number or a weight were another ────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Change:
    """Of a step: the input or the weight at a place of its window, and the number that it becomes."""

    what: Literal["input", "weight"]
    place: Place
    number: float


@isolated()
@torch.no_grad()
def changed(passed: ForwardPass, step: Step, changes: Sequence[Change]) -> ForwardPass:
    """The forward pass with some inputs or weights of a step changed: an input for every unit that reads it, a weight
    of a convolution at every position. Only the rows from the step's on are in it, and the row below, changed. Raises
    UsageError for a place that there is not."""
    network, index = passed.network, row_index(passed.network, step.unit.layer)
    before = passed.entering(index).clone()
    for one in changes:
        _check(step, one)
        if one.what == "input":
            k, row, column = one.place
            _maps(before)[step.maps[k], step.top + row, step.left + column] = one.number
    after = network.activations(before, index, index + 1)
    output = after.maps[step.unit.layer]
    for one in changes:
        if one.what == "weight" and step.weights is not None:
            delta, channel = one.number - float(step.weights[one.place]), step.unit.channel
            _maps(output)[channel] += delta * _read_at(step, before, one.place)
    rest = network.activations(output, index + 1)
    maps = ({} if index == 0 else {step.below: before}) | after.maps | rest.maps
    return ForwardPass(network, passed.inputs if index else before, Activations(maps, after.switches | rest.switches))


def _check(step: Step, change: Change) -> None:
    inside = all(0 <= at < size for at, size in zip(change.place, step.inputs.shape, strict=True))
    if not inside or (change.what == "weight" and step.weights is None) or not math.isfinite(change.number):
        raise UsageError(f"{step.unit} has no {change.what} at {change.place} that could become {change.number}.")
    if change.what == "input" and bool(step.inputs[change.place].isnan()):
        raise UsageError(f"{step.unit}: {change.place} lies beyond the edge of {step.below}.")


def _read_at(step: Step, below: Tensor, place: Place) -> Float[Tensor, "H W"]:
    """What the weight at a place is multiplied by, at every position of the unit's map (0 where it is not used)."""
    k, row, column = place
    map_hw, side = _maps(below)[step.maps[k]], step.layer.leaving.side
    match step.layer.row:
        case Conv():
            window = step.layer.window
            pad = window.before, max(0, window.far_padding(step.layer.entering.side))
            padded = F.pad(map_hw, (*pad, *pad))
            return padded[row :: window.stride, column :: window.stride][:side, :side]
        case Local():
            used = torch.zeros(side, side, dtype=below.dtype, device=below.device)
            used[step.unit.row or 0, step.unit.column or 0] = map_hw[step.top + row, step.left + column]
            return used
        case _:
            return map_hw[row, column].reshape(1, 1)
