"""A table as an `nn.Module`: logits from `forward`, every map and switch from `activations`."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.fx import Proxy
from torch.nn.modules.module import _has_any_global_hook

from alexnet import kernels
from alexnet.errors import UserError
from alexnet.geometry import Window
from alexnet.isolation import isolated
from alexnet.kernels.reference import at_least_float32
from alexnet.nets import zoo
from alexnet.nets.dropout import DropoutLayer, Position
from alexnet.nets.init import Initialisation, initialise
from alexnet.nets.layers import Convolution, MaxPool, ResponseNorm, SpatialResponseNorm, adjoint, module_for
from alexnet.nets.table import Table, with_width
from alexnet.nets.trace import Layer, trace
from alexnet.nets.working_copies import WorkingCopies


@dataclass
class Activations:
    """What a network made of a batch: `maps[name]` of each row, (B, C, H, W) or (B, U); `switches[name]` of each
    max-pooling row: the position of each maximum in the map below, row·W + column."""

    maps: dict[str, Tensor] = field(default_factory=dict)
    switches: dict[str, Int[Tensor, "B C H W"]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Tensor:
        """The map of one row. Raises UserError, naming those that exist."""
        if name not in self.maps:
            raise UserError(f"There is no layer {name!r}. There are: {', '.join(self.maps)}.")
        return self.maps[name]


@lru_cache(maxsize=64)
def state_dict_shapes(table: Table, input_size: int | None = None) -> Mapping[str, Tensor]:
    """What a network's state dict holds, as shapes and types alone: no memory is taken."""
    with torch.device("meta"):
        return MappingProxyType(Network(table, input_size).state_dict())


def check_fits(
    needed: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    where: Path | str,
    network: str,
    missing_layers: Collection[str] = (),
    called: Mapping[str, str] | None = None,
) -> None:
    """Raises UserError, naming the layer and both shapes, unless `weights` are those `needed` by the network called
    `network`; those of `missing_layers` may be absent. `called`: names that the weights have in their file."""
    for name, tensor in needed.items():
        full_name = f"{name} ({called[name]})" if called and name in called else name
        found, shape = weights.get(name), tuple(tensor.shape)
        if found is None:
            if name.split(".")[0] in missing_layers:
                continue
            raise UserError(f"{where}: {full_name} is missing; {network} needs {shape}.")
        if found.shape != tensor.shape:
            raise UserError(f"{where}: {full_name} is {tuple(found.shape)}; {network} needs {shape}.")
        if found.dtype.is_floating_point != tensor.dtype.is_floating_point or found.dtype.is_complex:
            raise UserError(f"{where}: {full_name} holds {found.dtype}; {network} needs {tensor.dtype}.")
    if strange := sorted(set(weights) - set(needed)):
        raise UserError(f"{where}: {', '.join(strange[:3])} belong to no layer of {network}.")


END = "the end"
"""Stands for the row after the last one, in a network's `exchanges`."""


def exchange_before(row: str) -> str:
    """The name of the exchange that works before a row."""
    return f"exchange before {row}"


class Network(nn.Module):
    """The module of a table. Takes RGB on the scale 0–255 minus the mean, (B, 3, S, S); gives logits (B, classes).

    Each row is a submodule under its own name: `conv1.weight` … `fc8.bias` are the keys of the state dict.

    For one of several processes (`parallel.split`): `layers`, the rows with the units that it holds; `exchanges`, the
    modules that fetch what other processes hold, by the name of the row before which each works (or `END`).
    """

    temperature: float = 1.0
    """What `probabilities` divides the logits by; not 1 if the run was calibrated (`alexnet.measure.calibration`)."""

    def __init__(
        self,
        table: Table,
        input_size: int | None = None,
        *,
        layers: tuple[Layer, ...] | None = None,
        exchanges: Mapping[str, nn.Module] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.table = table
        self.input_size = table.input_size if input_size is None else input_size
        self.layers: tuple[Layer, ...] = trace(table, self.input_size) if layers is None else layers
        self.missing_layers: tuple[str, ...] = ()
        """Layers without weights (`alexnet import` of files that lack them); later layers can't be computed."""
        self.last = table.rows[-1].name
        """The row that computes in float32 at least: in bf16, distinct logits could become equal."""
        self.copies = WorkingCopies()
        self.order: tuple[str, ...] = ()
        """Names of the submodules in the order in which `forward` applies them."""
        for layer in self.layers:
            if hasattr(self, layer.row.name):
                raise UserError(f"{table.name}: no layer can be called {layer.row.name!r}; a network has that already.")
            self.add_module(layer.row.name, module_for(layer))
        for row, exchange in exchanges.items():
            self.add_module(exchange_before(row), exchange)
        names = [*(layer.row.name for layer in self.layers), END]
        steps = [step for name in names for step in (exchange_before(name), name)]
        self.order = tuple(step for step in steps if step in self._modules)

    def forward(self, x: Float[Tensor, "B 3 S S"], position: Position | None = None) -> Float[Tensor, "B K"]:
        """Logits. `position`: where the batch stands in a training run; dropout masks are functions of it."""
        self._check(x)
        if self.missing_layers:
            self.check_computable(self.layers[-1].row.name)
        return at_least_float32(self.through(self.order, x, position)).flatten(1)

    def probabilities(self, logits: Float[Tensor, "B ..."]) -> Float[Tensor, "B K"]:
        """Softmax of the outputs of the last row at the network's temperature; float32."""
        logits_bk = logits.flatten(1).float()
        return (logits_bk if self.temperature == 1 else logits_bk / self.temperature).softmax(dim=1)

    def through(self, steps: Sequence[str], x: Tensor, position: Position | None = None) -> Tensor:
        """`x` passed through these steps of `order`, consecutive ones."""
        index = 0
        while index < len(steps):
            x, index = self.advance(steps, index, x, position=position)
        return x

    def advance(
        self, steps: Sequence[str], index: int, x: Tensor, stops: Collection[str] = (), position: Position | None = None
    ) -> tuple[Tensor, int]:
        """The output of step number `index`, or of several that one kernel computes together, up to any of `stops`;
        and the number of the next step."""
        name = steps[index]
        if name == self.last:
            x = at_least_float32(x)
        modules = [self._modules.get(name) for name in steps[index : index + len(FUSED_ORDER)]]
        if kernels.is_ordinary(x) and (fused := _fusible(modules, steps[index:], stops)):
            return _fused(fused, x), index + len(fused)
        module = self.get_submodule(name)
        return (module(x, position) if isinstance(module, DropoutLayer) else module(x)), index + 1

    def activations(self, x: Tensor, first: int = 0, end: int | None = None) -> Activations:
        """Every row's output and every max-pooling row's switches, row by row, by the same modules as `forward`.

        Ends before a layer whose weights are missing. `x` (B, 3, S, S); or what enters row number `first`, and `end`
        one past the last row."""
        if first == 0:
            self._check(x)
        seen = Activations()
        for layer in self.computable_layers[first:end]:
            name, module = layer.row.name, self.get_submodule(layer.row.name)
            x = at_least_float32(x) if name == self.last else x
            if isinstance(module, MaxPool):
                x, seen.switches[name] = module.with_switches(x)
            else:
                x = module(x)
            seen.maps[name] = x
        return seen

    def maps(self, x: Float[Tensor, "B 3 S S"], names: Collection[str]) -> dict[str, Tensor]:
        """The outputs of the named rows, by the fused steps of `forward` cut at these rows; rows after the last of them
        are not computed. Raises UserError for a name that does not exist or can't be computed."""
        return dict(self.maps_in_turn(x, names))

    def maps_in_turn(self, x: Float[Tensor, "B 3 S S"], names: Collection[str]) -> Iterator[tuple[str, Tensor]]:
        """The same as a generator of (name, output), so that each output can be freed before the next is computed."""
        self._check(x)
        for name in names:
            self.check_computable(name)
        left, index = set(names), 0
        while left:
            x, index = self.advance(self.order, index, x, stops=names)
            if (name := self.order[index - 1]) in left:
                left.remove(name)
                yield name, x

    def adjoint(self, name: str, y: Tensor, x: Tensor) -> Tensor:
        """Row `name` crossed downwards: its transpose (at `x`, where it is not linear) applied to `y`, a signal at its
        output; `x` is what entered it."""
        return adjoint(self.get_submodule(name), y, x)

    @property
    def computable_layers(self) -> tuple[Layer, ...]:
        """The layers that can be computed: all, or those before the first whose weights are missing."""
        absent = [index for index, layer in enumerate(self.layers) if layer.row.name in self.missing_layers]
        return self.layers[: min(absent, default=len(self.layers))]

    def check_computable(self, name: str) -> None:
        """Raises UserError if the row `name` does not exist, or needs weights that are missing."""
        if self.layer(name) not in self.computable_layers:
            last = self.computable_layers[-1].row.name if self.computable_layers else "none"
            raise UserError(
                f"{name} can't be computed: the weights of {', '.join(self.missing_layers)} are missing (the imported "
                f"files lack them). The layers up to {last} can."
            )

    def fill(self, weights: Mapping[str, Tensor], where: Path | str) -> None:
        """Load `weights`; those of `missing_layers` become NaN, so that nothing can use them unseen. Raises UserError,
        naming the layer and both shapes, if they do not fit."""
        needed = self.state_dict()
        check_fits(needed, weights, where, self.table.name, self.missing_layers)
        absent = {name: tensor for name, tensor in needed.items() if name not in weights}
        unusable = {name: torch.full_like(t, torch.nan if t.is_floating_point() else 0) for name, t in absent.items()}
        self.load_state_dict({**weights, **unusable})

    def channels_last(self) -> "Network":
        """The same network with its filters in channels-last order in memory, in which training on the CPU is faster;
        `build` leaves them contiguous, as other tools expect."""
        for module in self.children():
            if isinstance(module, Convolution):
                module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
        return self

    def layer(self, name: str) -> Layer:
        """The traced row called `name`. Raises UserError, naming those that exist."""
        row = self.table[name]
        return next(layer for layer in self.layers if layer.row == row)

    def _check(self, x: Tensor) -> None:
        if isinstance(x, Proxy) or torch.jit.is_tracing():  # pyright: ignore[reportPrivateImportUsage] - sizes are no numbers
            return
        expected = (3, self.input_size, self.input_size)
        if x.ndim != 4 or tuple(x.shape[1:]) != expected:
            raise ValueError(f"{self.table.name} takes (B, {', '.join(map(str, expected))}), not {tuple(x.shape)}")


FUSED_ORDER = ("relu", "norm", "inside", "relu", "pool")
"""[ReLU] [norm] [norm inside each map] [ReLU] [max-pool by the ceil rule] are one kernel if any is a norm or a pool."""


def _fusible(modules: Sequence[object], names: Sequence[str], stops: Collection[str]) -> list[nn.Module]:
    """The leading modules that one kernel computes; none after a row among `stops`. Modules that a tool has replaced,
    subclassed or hung hooks on compute by themselves."""
    if _has_any_global_hook():
        return []
    run, kinds, order = [], set[str](), list(FUSED_ORDER)
    for name, module in zip(names, modules, strict=False):
        kind = _kind(module)
        while order and order[0] != kind:
            order.pop(0)
        if not order:
            break
        order.pop(0)
        run.append(module)
        kinds.add(kind)
        if name in stops:
            break
    return run if kinds & {"norm", "inside", "pool"} else []


def _kind(module: object) -> str:
    kind = KINDS.get(type(module), "")
    if not isinstance(module, nn.Module) or (isinstance(module, MaxPool) and not module.ceil_mode):
        return ""
    forward_hooks = module._forward_hooks or module._forward_pre_hooks
    return "" if forward_hooks or module._backward_hooks or module._backward_pre_hooks else kind


KINDS = {nn.ReLU: "relu", ResponseNorm: "norm", SpatialResponseNorm: "inside", MaxPool: "pool"}


def _fused(modules: Sequence[nn.Module], x: Tensor) -> Tensor:
    relus = [isinstance(module, nn.ReLU) for module in modules]
    norm = next((module.spec for module in modules if isinstance(module, ResponseNorm)), None)
    inside = next((module.spec for module in modules if isinstance(module, SpatialResponseNorm)), None)
    window = next((module.window for module in modules if isinstance(module, MaxPool)), Window(1))
    steps = kernels.NormPool(norm, inside, relus[0], any(relus[1:]), window.kernel, window.stride)
    return kernels.relu_norm_pool(x, steps)


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
    return network
