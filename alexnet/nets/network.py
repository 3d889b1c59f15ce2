"""A table as an `nn.Module`: logits from `forward`, every map and switch from `activations`."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from types import MappingProxyType

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from alexnet import kernels
from alexnet.errors import UserError
from alexnet.geometry import Window
from alexnet.isolation import isolated
from alexnet.nets import zoo
from alexnet.nets.init import Initialisation, initialise
from alexnet.nets.layers import (
    Convolution,
    DropUnits,
    MaxPool,
    Place,
    ResponseNorm,
    SpatialResponseNorm,
    WeightedLayer,
    module_for,
)
from alexnet.nets.table import Activation, Layer, Norm, Pool, SpatialNorm, Table, trace, with_width


@dataclass
class Activations:
    """What a network made of a batch: `maps[name]` of each row, (B, C, H, W) or (B, U); `switches[name]` of each
    max-pooling row: where in the map below each maximum stood, row·W + column."""

    maps: dict[str, Tensor] = field(default_factory=dict)
    switches: dict[str, Int[Tensor, "B C H W"]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Tensor:
        """The map of one row. Raises UserError, naming those that exist."""
        if name not in self.maps:
            raise UserError(f"There is no layer {name!r}. There are: {', '.join(self.maps)}.")
        return self.maps[name]


@lru_cache(maxsize=64)
def wanted(table: Table, input_size: int | None = None) -> Mapping[str, Tensor]:
    """What a network's state dict holds, as shapes and types alone: no memory is taken."""
    with torch.device("meta"):
        return MappingProxyType(Network(table, input_size).state_dict())


class Network(nn.Module):
    """The module of a table. Takes RGB on the scale 0–255 minus the mean, (B, 3, S, S); gives logits (B, classes).

    Each row is a submodule under its own name: `conv1.weight` … `fc8.bias` are the keys of the state dict.
    """

    def __init__(self, table: Table, input_size: int | None = None) -> None:
        super().__init__()
        self.table = table
        self.input_size = table.input_size if input_size is None else input_size
        self.layers: tuple[Layer, ...] = trace(table, self.input_size)
        self.missing: tuple[str, ...] = ()
        """Layers whose weights nobody has (`alexnet import` of files that lack them): nothing behind them computes."""
        for layer in self.layers:
            if hasattr(self, layer.row.name):
                raise UserError(f"{table.name}: no layer can be called {layer.row.name!r}; a network has that already.")
            self.add_module(layer.row.name, module_for(layer))
        self.steps = [step for _, step in fused_steps(self)]

    def forward(self, x: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B K"]:
        self._check(x)
        if self.missing:
            self.refuse_behind_missing(self.layers[-1].row.name)
        for step in self.steps[:-1]:
            x = step(x)
        return self.steps[-1](at_least_float32(x)).flatten(1)

    def activations(self, x: Float[Tensor, "B 3 S S"]) -> Activations:
        """Every row's output and every max-pooling row's switches, row by row, by the same modules as `forward`.

        Ends before a layer whose weights are missing."""
        self._check(x)
        seen = Activations()
        for layer in self.present:
            name, module = layer.row.name, self.get_submodule(layer.row.name)
            x = at_least_float32(x) if layer is self.layers[-1] else x
            if isinstance(module, MaxPool):
                x, seen.switches[name] = module.with_switches(x)
            else:
                x = module(x)
            seen.maps[name] = x
        return seen

    def maps(self, x: Float[Tensor, "B 3 S S"], names: Collection[str]) -> dict[str, Tensor]:
        """The outputs of the named rows, by the fused steps of `forward` cut at these rows; what lies behind the last
        of them is not computed. Raises UserError for a name that there is not, or that can't be computed."""
        return dict(self.maps_in_turn(x, names))

    def maps_in_turn(self, x: Float[Tensor, "B 3 S S"], names: Collection[str]) -> Iterator[tuple[str, Tensor]]:
        """The same one by one, (name, output), as they are computed: who lets go of each needs no memory for all."""
        self._check(x)
        for name in names:
            self.refuse_behind_missing(name)
        left = set(names)
        for name, step in fused_steps(self, names):
            x = step(at_least_float32(x) if name == self.layers[-1].row.name else x)
            if name in left:
                left.remove(name)
                yield name, x
            if not left:
                break

    def adjoint(self, name: str, y: Tensor, x: Tensor) -> Tensor:
        """Row `name` crossed downwards: its transpose (at `x`, where it is not linear) applied to `y`, a signal at its
        output; `x` is what entered it."""
        return self.get_submodule(name).adjoint(y, x)  # pyright: ignore[reportCallIssue] - every row's module has one

    @property
    def present(self) -> tuple[Layer, ...]:
        """The layers that can be computed: all, or those before the first whose weights are missing."""
        absent = [place for place, layer in enumerate(self.layers) if layer.row.name in self.missing]
        return self.layers[: min(absent, default=len(self.layers))]

    def refuse_behind_missing(self, name: str) -> None:
        """Raises UserError if the row `name` is not there, or needs weights that are missing."""
        if self.layer(name) not in self.present:
            last = self.present[-1].row.name if self.present else "none"
            raise UserError(
                f"{name} can't be computed: the weights of {', '.join(self.missing)} are missing (the imported files "
                f"lack them). The layers up to {last} can."
            )

    def channels_last(self) -> "Network":
        """The same network with its filters in channels-last order in memory, the faster one here."""
        for module in self.children():
            if isinstance(module, Convolution):
                module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
        return self

    def learn_by_copies(self, wish: bool = True, *, but: Collection[str] = ()) -> None:
        """In half precision, let gradients arrive at the layers' copies of their weights: see `WeightedLayer`. Not
        where several gradients are added up, which wants float32; not in the layers `but`, in whose parameters torch
        looks for them."""
        for name, module in self.named_children():
            if isinstance(module, WeightedLayer):
                module.learns_by_copies = wish and name not in but

    def set_place(self, place: Place | None) -> None:
        """Make the dropout masks of the following passes functions of `place`; None: draw them from torch."""
        for module in self.children():
            if isinstance(module, DropUnits):
                module.place = place

    def layer(self, name: str) -> Layer:
        """The traced row called `name`. Raises UserError, naming those that exist."""
        row = self.table[name]
        return next(layer for layer in self.layers if layer.row == row)

    def _check(self, x: Tensor) -> None:
        expected = (3, self.input_size, self.input_size)
        if x.ndim != 4 or tuple(x.shape[1:]) != expected:
            raise ValueError(f"{self.table.name} takes (B, {', '.join(map(str, expected))}), not {tuple(x.shape)}")


def at_least_float32(x: Tensor) -> Tensor:
    """The last layer works in float32 at least: bf16's 8 bits would make classes tie that do not."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def fused_steps(network: Network, stops: Collection[str] = ()) -> list[tuple[str, Callable[[Tensor], Tensor]]]:
    """The steps of `forward`, each with the name of its last row: each row's module; ReLU, response norms and
    max-pooling in a row as one kernel, which ends at any row among `stops`."""
    steps: list[tuple[str, Callable[[Tensor], Tensor]]] = []
    layers = list(network.layers)
    while layers:
        run = _fusible(layers, stops)
        step = _fused(network, run) if run else network.get_submodule(layers[0].row.name)
        steps.append(((run or layers[:1])[-1].row.name, step))
        del layers[: max(1, len(run))]
    return steps


def _fusible(layers: list[Layer], stops: Collection[str]) -> list[Layer]:
    """The leading rows that follow [ReLU] [norm] [norm inside each map] [ReLU] [max-pool by the ceil rule], if norm or
    pool is among them; none behind a row among `stops`."""
    order = ["relu", "norm", "inside", "relu", "pool"]
    run: list[Layer] = []
    for layer in layers:
        while order and order[0] != _kind(layer):
            order.pop(0)
        if not order:
            break
        order.pop(0)
        run.append(layer)
        if layer.row.name in stops:
            break
    return run if {_kind(layer) for layer in run} & {"norm", "inside", "pool"} else []


def _kind(layer: Layer) -> str:
    match layer.row:
        case Activation(kind="relu"):
            return "relu"
        case Norm():
            return "norm"
        case SpatialNorm():
            return "inside"
        case Pool(kind="max", rounding="ceil"):
            return "pool"
        case _:
            return "other"


def _fused(network: Network, run: list[Layer]) -> partial[Tensor]:
    kinds = [_kind(layer) for layer in run]
    modules = [network.get_submodule(layer.row.name) for layer in run]
    pool = next((layer.window for layer in run if _kind(layer) == "pool"), Window(1))
    return partial(
        kernels.relu_norm_pool,
        relu_first=kinds[0] == "relu",
        norm=next((module.spec for module in modules if isinstance(module, ResponseNorm)), None),
        inside=next((module.spec for module in modules if isinstance(module, SpatialResponseNorm)), None),
        relu_last="relu" in kinds[1:],
        kernel=pool.kernel,
        stride=pool.stride,
    )


@isolated()
def build(
    name: str | Table = "alexnet",
    classes: int | None = None,
    *,
    width: float = 1.0,
    input_size: int | None = None,
    init: Initialisation = "code",
    seed: int = 0,
) -> Network:
    """A network of the zoo (or of your own table) with fresh weights.

    `classes`: outputs (default: the table's); `width`: factor on the maps and units of every layer but the last;
    `input_size`: side of the pictures in pixels (default: the table's). Raises UserError for an unknown name or an
    input that leaves no map.
    """
    table = zoo.find(name) if isinstance(name, str) else name
    if classes is not None:
        table = zoo.with_classes(table, classes)
    network = Network(with_width(table, width), input_size)
    initialise(network, network.table, init, seed, width)
    return network.channels_last()
