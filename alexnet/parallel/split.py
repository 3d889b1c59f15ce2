"""The shard of a network that one process holds, and whole tensors cut in the same way.

The shard is a `Network` too, built from the same rows with fewer units, and with an exchange before each row that reads
what other processes hold. A tensor of a row is cut along its first dimension, its units.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from alexnet.nets.dropout import DropoutLayer, Position
from alexnet.nets.layers import ResponseNorm
from alexnet.nets.network import END, Network
from alexnet.nets.table import Conv, Dense, Table
from alexnet.nets.trace import Layer, Shape
from alexnet.parallel.exchange import GatherPictures, ReadOthers, ReturnPictures, Sizes, Wires
from alexnet.parallel.grid import BatchShard, ProcessGrid, Spans, dense_rows, readers, spans


@dataclass(frozen=True)
class Member:
    """One process among those that hold shards of one network: its number among them, everybody's rank, and the wires'
    group, type and meter, given as `Wires` that connect nobody."""

    number: int
    ranks: tuple[int, ...]
    wires: Wires

    def wires_for(self, reads: Sequence[Sequence[int]]) -> Wires:
        """The wires of an exchange in which member m reads the members `reads[m]`."""
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

    def cut(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """What this member holds of whole tensors, by name, without those of which it holds nothing."""
        found = {}
        for name, tensor in tensors.items():
            span = self.span(name, tensor, self.number)
            if span is None:
                found[name] = tensor
            elif span.stop > span.start:
                found[name] = tensor[span].clone()
        return found

    def span(self, name: str, tensor: Tensor, number: int) -> slice | None:
        """Which units of a tensor a member holds; None: all members hold the whole tensor."""
        cut = self.spans.get(name.split(".")[0])
        return None if cut is None or tensor.ndim == 0 else cut[number]

    def begin_batch(self, seed: int, epoch: int, shard: BatchShard, device: torch.device) -> Position:
        """Note the sizes of a batch's shares, for batch normalisation; return its position, for dropout masks."""
        self.sizes.of_shares, self.sizes.total, self.sizes.counts = shard.sizes, shard.size, shard.counts
        own, everyone = (torch.from_numpy(of).to(device) for of in (shard.indices, np.concatenate(shard.shares)))
        return Position(seed, epoch, own, everyone)


@torch.no_grad()
def split(network: Network, grid: ProcessGrid, member: Member) -> NetworkShard:
    """A member's shard of a network, with the weights of its units; the network itself where nothing is split."""
    shard = NetworkShard(network, spans(network.table, grid), member.number)
    if not shard.spans:
        return shard
    layers = _column_layers(network, member) if grid.columns > 1 else _hybrid_layers(network, shard)
    exchanges = _column_exchanges(network, member) if grid.columns > 1 else _hybrid_exchanges(network, shard, member)
    with torch.device("meta"):
        shard.network = Network(network.table, network.input_size, layers=layers, exchanges=exchanges)
    # Assigned, not copied: the tensors keep their device and memory order, and those held whole are not doubled.
    shard.network.load_state_dict(shard.cut(network.state_dict()), assign=True)
    for name, weight in shard.network.named_parameters():
        weight.requires_grad_(network.get_parameter(name).requires_grad)
    _set_units(network, shard, grid)
    return shard


def _set_units(whole: Network, shard: NetworkShard, grid: ProcessGrid) -> None:
    """What rows without weights must know of the units here: dropout masks are functions of a unit's number, and a
    window of normalisation is as wide as in the whole network, however few maps it finds."""
    first = None
    for layer in shard.network.layers:
        name = layer.row.name
        module, whole_module = shard.network.get_submodule(name), whole.get_submodule(name)
        first = shard.spans[name][shard.number].start if name in shard.spans else first
        if isinstance(module, DropoutLayer) and first is not None:
            module.first_unit, module.sees_everyone = first * layer.leaving.side**2, grid.hybrid
        elif isinstance(module, ResponseNorm) and isinstance(whole_module, ResponseNorm) and grid.columns > 1:
            module.spec = replace(whole_module.spec, blocks=1)


# ── columns ([A] §3.2) ───────────────────────────────────────────────────────────────────────────────────────────


def _column_layers(network: Network, member: Member) -> tuple[Layer, ...]:
    """The last layer is whole on column 0 alone, which reads all columns; the others end in logits of no class."""
    table = network.table
    end = len(table.rows) if member.number == 0 else table.rows.index(table.weighted[-1])
    return tuple(_of_column(table, layer, member.number) for layer in network.layers[:end])


def _of_column(table: Table, layer: Layer, column: int) -> Layer:
    """A layer as one column sees it: its own units, over the columns that it reads taken together as one."""
    row, columns = layer.row, layer.columns
    if isinstance(row, Conv | Dense):
        read = len(readers(table, row)[column])
        # Every column has the whole picture; of any other map it has its own units and receives those that it reads.
        below = layer.entering.maps // (1 if row is table.rows[0] else columns) * read
        entering = Shape(below, layer.entering.side)
    else:
        entering = _share(layer.entering, columns)
    if row is table.weighted[-1]:
        return replace(layer, entering=entering, columns=1, reads=((0,),))
    narrow = row
    if isinstance(row, Conv | Dense):
        units = "maps" if isinstance(row, Conv) else "units"
        narrow = replace(row, reads="all", **{units: row.outputs // columns})
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


def _column_exchanges(network: Network, member: Member) -> dict[str, nn.Module]:
    """By row: exchanges before the rows that read what other columns hold."""
    table, found = network.table, {}
    for layer in network.layers[1:]:
        row = layer.row
        if not isinstance(row, Conv | Dense):
            continue
        reads = readers(table, row)
        if any(read not in ((column,), ()) for column, read in enumerate(reads)):
            widths = (layer.entering.maps // layer.columns,) * layer.columns
            before = END if row is table.weighted[-1] and member.number > 0 else row.name
            found[before] = ReadOthers(member.wires_for(reads), member.number, widths, Sizes(), reads[member.number])
    return found


# ── hybrid (One Weird Trick, arXiv 1404.5997, its first scheme) ──────────────────────────────────────────────────


def _hybrid_exchanges(network: Network, shard: NetworkShard, member: Member) -> dict[str, nn.Module]:
    """By row. The convolutions are whole, and each process computes its share of the pictures there. Before the first
    dense layer all maps of all pictures come together; from there on each process computes its units for all pictures.
    At the end the logits return to the processes whose pictures they are of."""
    everyone = tuple(range(len(member.ranks)))
    wires, dense = member.wires_for((everyone,) * len(everyone)), dense_rows(network.table)
    found: dict[str, nn.Module] = {dense[0].name: GatherPictures(wires, shard.number, (), shard.sizes)}
    for below, row in pairwise(dense):
        found[row.name] = ReadOthers(wires, shard.number, _widths(shard, below), shard.sizes, everyone)
    return found | {END: ReturnPictures(wires, shard.number, _widths(shard, dense[-1]), shard.sizes)}


def _hybrid_layers(network: Network, shard: NetworkShard) -> tuple[Layer, ...]:
    """The convolutions whole; dense layers, and what stands between them, with the units that a member holds."""
    layers, own = [], None
    for layer in network.layers:
        row = layer.row
        if isinstance(row, Dense):
            own = Shape(_widths(shard, row)[shard.number], 1)
            costs = {"parameters": layer.parameters * own.maps // row.units, "macs": layer.macs * own.maps // row.units}
            narrow = replace(row, units=own.maps)
            layers.append(replace(layer, row=narrow, leaving=own, columns=1, reads=((0,),), **costs))
        elif own is not None:
            layers.append(replace(layer, entering=own, leaving=own, columns=1))
        else:
            layers.append(layer)
    return tuple(layers)


def _widths(shard: NetworkShard, row: Dense) -> tuple[int, ...]:
    return tuple(span.stop - span.start for span in shard.spans[row.name])
