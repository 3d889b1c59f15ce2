"""A network cut down to the part that one process holds, and whole tensors cut and put together in the same way.

The part is a `Network` still: its layers are the whole one's with fewer units, its steps the whole one's with an
exchange before each layer that reads what others hold. A tensor of a layer is cut along its first dimension, its units.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from alexnet.nets.dropout import DropUnits, Position
from alexnet.nets.layers import ResponseNorm, module_for
from alexnet.nets.network import Network
from alexnet.nets.table import BatchNorm, Conv, Dense, Table
from alexnet.nets.trace import Layer, Shape
from alexnet.parallel.exchange import GatherPictures, ReadOthers, ReturnPictures, Sizes, Wires
from alexnet.parallel.grid import BatchShard, ProcessGrid, Spans, dense_rows, readers, spans


@dataclass(frozen=True)
class Member:
    """One process among those that hold parts of one network: its number there, everybody's rank, and the wires'
    group, type and meter, given as `Wires` that lead nowhere."""

    number: int
    ranks: tuple[int, ...]
    wires: Wires

    def wires_for(self, reads: Sequence[Sequence[int]]) -> Wires:
        """The wires of a meeting where member m reads the members `reads[m]`."""
        to = tuple(self.ranks[m] for m in range(len(self.ranks)) if m != self.number and self.number in reads[m])
        come = tuple(self.ranks[m] for m in reads[self.number] if m != self.number)
        return replace(self.wires, to=to, come=come)


@dataclass
class NetworkShard:
    """What a process holds of a network. `spans` and `number`: which units of which layers; `sizes`: see `Sizes`."""

    network: Network
    spans: Spans = field(default_factory=dict)
    number: int = 0
    sizes: Sizes = field(default_factory=Sizes)

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def cut(self, tensors: dict[str, Tensor], number: int | None = None) -> dict[str, Tensor]:
        """The own (or another member's) part of whole tensors, by name; layers of which it holds nothing left out."""
        found = {}
        for name, tensor in tensors.items():
            span = self.span(name, tensor, self.number if number is None else number)
            if span is None:
                found[name] = tensor
            elif span.stop > span.start:
                found[name] = tensor[span].clone()
        return found

    def span(self, name: str, tensor: Tensor, number: int) -> slice | None:
        """Which units of a tensor a member holds; None: it is held whole by all."""
        cut = self.spans.get(name.split(".")[0])
        return None if cut is None or tensor.ndim == 0 else cut[number]

    def begin_batch(self, seed: int, epoch: int, shard: BatchShard, device: torch.device) -> Position:
        """Note the sizes of a batch's shares, for batch normalisation; return its position, for dropout masks."""
        self.sizes.of_shares, self.sizes.total, self.sizes.counts = shard.sizes, shard.size, shard.counts
        own, everyone = (torch.from_numpy(of).to(device) for of in (shard.indices, np.concatenate(shard.shares)))
        return Position(seed, epoch, own, everyone)


NO_LOGITS, RETURN = "no logits", "exchange that returns logits"


@torch.no_grad()
def split(network: Network, grid: ProcessGrid, member: Member) -> NetworkShard:
    """Cut the network down to a member's part, in place."""
    shard = NetworkShard(network, spans(network.table, grid), member.number)
    if grid.columns > 1:
        _split_columns(network, shard, member)
    elif grid.hybrid:
        _split_dense(network, shard, member)
    return shard


# ── columns ([A] §3.2) ───────────────────────────────────────────────────────────────────────────────────────────


def _split_columns(network: Network, shard: NetworkShard, member: Member) -> None:
    table, layers = network.table, network.layers
    last = table.weighted[-1]
    end = table.rows.index(last)
    # The last layer is whole on column 0 alone, which reads all columns; the others end in logits of no class.
    held = layers if member.number == 0 else layers[:end]
    network.layers = tuple(_of_column(table, layer, member.number) for layer in held)
    for whole, layer in zip(held, network.layers, strict=True):
        _narrow(network, whole, layer, shard)
    for layer in layers[len(held) :]:
        delattr(network, layer.row.name)
    network.order = [layer.row.name for layer in network.layers]
    for layer in layers[1 : end + 1]:
        if isinstance(layer.row, Conv | Dense):
            _meet(network, table, layer, layer.row, member)
    if member.number > 0:
        network.last = NO_LOGITS
        network.between[NO_LOGITS] = lambda x, _: x  # ends in logits of no class, (B, 0)
        network.order.append(NO_LOGITS)


def _of_column(table: Table, layer: Layer, column: int) -> Layer:
    """A layer as one column sees it: its own units, over the columns that it reads taken together as one."""
    row, columns = layer.row, layer.columns
    if isinstance(row, Conv | Dense):
        read = len(readers(table, row)[column])
        # Every column has the whole picture; of any other map it has its own part and receives those that it reads.
        below = layer.entering.maps // (1 if row is table.rows[0] else columns) * read
        entering = Shape(below, layer.entering.side)
    else:
        entering = _share(layer.entering, columns)
    if row is table.weighted[-1]:
        return replace(layer, entering=entering, columns=1, reads=((0,),))
    narrow = row
    if isinstance(row, Conv):
        narrow = replace(row, maps=row.maps // columns, reads="all")
    elif isinstance(row, Dense):
        narrow = replace(row, units=row.units // columns, reads="all")
    return replace(
        layer,
        row=narrow,
        entering=entering,
        leaving=_share(layer.leaving, columns),
        parameters=layer.parameters // columns,
        macs=layer.macs // columns,
        columns=1,
        reads=((0,),) if layer.reads else (),
    )


def _share(shape: Shape, columns: int) -> Shape:
    return Shape(shape.maps // columns, shape.side)


def _narrow(network: Network, whole: Layer, layer: Layer, shard: NetworkShard) -> None:
    """Put the module of the part in the place of the whole layer's."""
    name = layer.row.name
    module = network.get_submodule(name)
    if isinstance(layer.row, Conv | Dense | BatchNorm):
        network.add_module(name, _part_of(module, layer, shard))
    elif isinstance(module, DropUnits):
        module.first_unit = shard.number * layer.leaving.units
    elif isinstance(module, ResponseNorm):
        module.spec = replace(module.spec, blocks=module.spec.blocks // whole.columns)


def _part_of(module: nn.Module, layer: Layer, shard: NetworkShard) -> nn.Module:
    """The layer's module with a part of the whole module's weights, learning where that one does."""
    name = layer.row.name
    example = module.get_parameter("weight")
    narrow = module_for(layer).to(example.device, example.dtype)
    own = shard.cut({f"{name}.{key}": value for key, value in module.state_dict().items()})
    narrow.load_state_dict({key.removeprefix(f"{name}."): value for key, value in own.items()})
    for key, weight in module.named_parameters():
        copy = narrow.get_parameter(key)
        copy.data = own[f"{name}.{key}"]  # in the whole one's order in memory
        copy.requires_grad_(weight.requires_grad)
    return narrow


def _meet(network: Network, table: Table, layer: Layer, row: Conv | Dense, member: Member) -> None:
    """An exchange before a layer that reads what other columns hold."""
    reads = readers(table, row)
    if all(read in ((column,), ()) for column, read in enumerate(reads)):
        return
    width = layer.entering.maps // layer.columns
    exchange = ReadOthers(member.wires_for(reads), member.number, tuple(reads[member.number]), (width,) * layer.columns)
    _insert_before(network, row.name, exchange)


def _insert_before(network: Network, name: str, exchange: nn.Module) -> None:
    """Into the steps, before the layer called `name`; where the shard has no such layer, at the end."""
    place = network.order.index(name) if name in network.order else len(network.order)
    step = f"exchange before {name}"
    network.between[step] = lambda x, _: exchange(x)
    network.order.insert(place, step)


# ── hybrid (One Weird Trick, arXiv 1404.5997, its first scheme) ──────────────────────────────────────────────────


def _split_dense(network: Network, shard: NetworkShard, member: Member) -> None:
    """The convolutions stay, each process has its share of the pictures there. Before the first dense layer all maps of
    all pictures come together; from there on each process has a part of the units for all of them. At the end the
    logits go back to the processes whose pictures they are of."""
    everyone = (tuple(range(len(member.ranks))),) * len(member.ranks)
    wires, dense, first_unit = member.wires_for(everyone), dense_rows(network.table), 0
    start = network.table.rows.index(dense[0])
    parts = _of_units(network.layers[start:], shard)
    network.layers = (*network.layers[:start], *parts)
    for layer in parts:
        module = network.get_submodule(layer.row.name)
        if isinstance(layer.row, Dense):
            network.add_module(layer.row.name, _part_of(module, layer, shard))
            first_unit = shard.spans[layer.row.name][shard.number].start
        elif isinstance(module, DropUnits):
            module.first_unit, module.sees_everyone = first_unit, True
    _insert_before(network, dense[0].name, GatherPictures(wires, shard.number, shard.sizes))
    for below, row in pairwise(dense):
        _insert_before(network, row.name, ReadOthers(wires, shard.number, everyone[0], _widths(shard, below)))
    returned = ReturnPictures(wires, shard.number, _widths(shard, dense[-1]), shard.sizes)
    network.between[RETURN] = lambda x, _: returned(x)
    network.order.append(RETURN)


def _of_units(layers: Sequence[Layer], shard: NetworkShard) -> list[Layer]:
    """Dense layers, and what stands between them, with the units that a member holds."""
    parts, own = [], Shape(0, 1)
    for layer in layers:
        row = layer.row
        if isinstance(row, Dense):
            own = Shape(_widths(shard, row)[shard.number], 1)
            costs = {"parameters": layer.parameters * own.maps // row.units, "macs": layer.macs * own.maps // row.units}
            narrow = replace(row, units=own.maps)
            parts.append(replace(layer, row=narrow, leaving=own, columns=1, reads=((0,),), **costs))
        else:
            parts.append(replace(layer, entering=own, leaving=own, columns=1))
    return parts


def _widths(shard: NetworkShard, row: Dense) -> tuple[int, ...]:
    return tuple(span.stop - span.start for span in shard.spans[row.name])
