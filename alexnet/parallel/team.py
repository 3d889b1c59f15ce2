"""The processes of a run, as one of them sees them. A run of one process has a team of one, which does nothing.

What is agreed (to save, to stop, what an evaluation counted) is the same on all, so that all take the same way.
"""

import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from alexnet.nets.dropout import Position
from alexnet.nets.layers import MapBatchNorm
from alexnet.nets.network import Network, exchange_before
from alexnet.parallel.exchange import HALVES, Meter, WholeBatchNorm, Wires
from alexnet.parallel.gradients import GradientSum, SummedLayers, with_summed_gradients
from alexnet.parallel.grid import BatchShard, ProcessGrid, dense_rows, epoch_shards, shard_batch
from alexnet.parallel.split import Member, NetworkShard, split

Norms = dict[str, Tensor]
"""By the name of a weight tensor, the norms of its values and of its gradient, (2,)."""


@dataclass(frozen=True)
class Groups:
    """torch's process groups. `control`: all, on CPU tensors; `members`: those that hold one network together;
    `twins`: those that hold the same weights."""

    control: Any = None
    members: Any = None
    twins: Any = None


@dataclass
class Team:
    """`rank` of `grid.processes`, `local` of them on this host; `progress` counts the steps taken together."""

    grid: ProcessGrid = ProcessGrid()
    rank: int = 0
    local: int = 1
    groups: Groups = Groups()
    meter: Meter = field(default_factory=Meter)
    host: str = field(default_factory=socket.gethostname)
    progress: int = 0

    @property
    def alone(self) -> bool:
        return self.grid.processes == 1

    @property
    def leads(self) -> bool:
        """Whether this one writes the run folder and speaks to the user."""
        return self.rank == 0

    # ── pictures ─────────────────────────────────────────────────────────────────────────────────────────────────

    def shard(self, pictures: np.ndarray, *, offset: int = 0, total: int | None = None) -> BatchShard:
        """This process's share of a batch, or of its micro-batch after the first `offset` of `total` pictures."""
        return shard_batch(pictures, self.grid.shares, self.grid.share_of(self.rank), offset=offset, total=total)

    def epoch_shards(self, order: np.ndarray, batch: int, steps: int = 1) -> Iterator[tuple[int, BatchShard]]:
        """This process's share of an epoch: see `grid.epoch_shards`."""
        return epoch_shards(order, batch, steps, self.grid.shares, self.grid.share_of(self.rank))

    def evaluation_shards(self, count: int, batch: int) -> Iterator[BatchShard]:
        """What this process computes of `count` pictures that are evaluated in their order, each of them once.

        Networks take whole batches in turn, so that a batch is the same whatever their number. Only the processes of a
        hybrid, who hold one network together, divide each of theirs."""
        grid = self.grid
        networks, network = grid.processes // grid.members, self.rank // grid.members
        shares, share = (grid.members, self.rank) if grid.hybrid else (1, 0)
        for first in range(batch * shares * network, count, batch * shares * networks):
            yield shard_batch(np.arange(first, min(first + batch * shares, count)), shares, share)

    # ── agreeing ─────────────────────────────────────────────────────────────────────────────────────────────────

    def sum(self, figures: Tensor) -> Tensor:
        """The figures added up over all."""
        if not self.alone:
            dist.all_reduce(figures)
        return figures

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """For each flag, whether anyone has raised it."""
        if self.alone:
            return flags
        self.progress += 1
        raised = torch.tensor(flags, dtype=torch.int32)
        dist.all_reduce(raised, group=self.groups.control)
        return tuple(bool(flag) for flag in raised)

    def everyones(self, facts: Any) -> list[Any]:
        """The facts of each process, in the order of ranks."""
        if self.alone:
            return [facts]
        found: list[Any] = [None] * self.grid.processes
        dist.all_gather_object(found, facts, group=self.groups.control)
        return found

    def from_leader(self, facts: Any) -> Any:
        """The leader's facts; the others' are ignored."""
        found = [facts]
        if not self.alone:
            dist.broadcast_object_list(found, src=0, group=self.groups.control)
        return found[0]

    def tensors_from_leader(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The leader's tensors, on the CPU; the others' are ignored."""
        kinds = self.from_leader({name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()})
        found = {
            name: tensors[name].detach().cpu().contiguous() if self.leads else torch.empty(shape, dtype=dtype)
            for name, (shape, dtype) in kinds.items()
        }
        for tensor in found.values():
            dist.broadcast(tensor, src=0, group=self.groups.control)
        return found

    # ── the network ──────────────────────────────────────────────────────────────────────────────────────────────

    def shard_of(self, network: Network) -> NetworkShard:
        """What this process holds of the network, which is not to be used any more."""
        wires = Wires((), (), self.groups.members, HALVES.get(self.grid.wire), self.meter)
        shard = split(network, self.grid, Member(self.grid.member_of(self.rank), self._members, wires))
        if self.grid.shares > 1:
            for layer in shard.network.layers:
                module = shard.network.get_submodule(layer.row.name)
                if isinstance(module, MapBatchNorm):
                    norm = WholeBatchNorm(layer, module, self.groups.twins, shard.sizes)
                    shard.network.add_module(layer.row.name, norm)
        return shard

    @property
    def _members(self) -> tuple[int, ...]:
        """Ranks of those that hold this network together."""
        first = self.grid.share_of(self.rank) * self.grid.members if not self.grid.hybrid else 0
        return tuple(range(first, first + self.grid.members))

    def gradient_sum(self, shard: NetworkShard) -> GradientSum:
        """The network as it learns in this layout."""
        network, half = shard.network, HALVES.get(self.grid.gradients)
        if self.grid.shares == 1:
            return GradientSum(network)
        layers = {name: network.get_submodule(name) for name in self.summed_layers(shard)}
        dense = dense_rows(network.table)
        first = dense[0].name if dense else ""
        if not self.grid.hybrid:
            summing = with_summed_gradients(SummedLayers(layers, network, first), self.groups.twins, self.meter, half)
            return GradientSum(summing or network, summing)
        # Only the convolutions' gradients are summed: data parallel ends before the exchange that gathers all pictures.
        end = network.order.index(exchange_before(first))
        below, above = network.order[:end], network.order[end:]
        compute = partial(network.through, below)
        summing = with_summed_gradients(SummedLayers(layers, compute, ""), self.groups.twins, self.meter, half)
        if summing is None:
            return GradientSum(network)

        def forward(x: Tensor, position: Position | None) -> Tensor:
            return network.through(above, summing(x, position), position).flatten(1)

        return GradientSum(forward, summing)

    def summed_layers(self, shard: NetworkShard) -> list[str]:
        """The layers whose gradients are summed over processes: each of these has other pictures for them."""
        names = [name for name, _ in shard.network.named_children()] if self.grid.shares > 1 else []
        return [name for name in names if not (self.grid.hybrid and name in shard.spans)]

    def norms_of_whole(self, shard: NetworkShard, names: Sequence[str]) -> Callable[[Norms], Norms] | None:
        """For `Lars`: adds up squares over the processes that share the same layers. All pass the same `names`, those
        of the whole network's weight tensors, whatever they hold of it. None: nothing is split."""
        split_here = [name for name in names if name.split(".")[0] in shard.spans]

        def of_whole(norms: Norms) -> Norms:
            nothing = torch.zeros(2, dtype=torch.float64, device=shard.device)  # of layers that it holds nothing of
            squares = torch.stack([norms.get(name, nothing).double().square() for name in split_here])
            dist.all_reduce(squares, group=self.groups.members)
            whole = dict(zip(split_here, squares.sqrt(), strict=True))
            return {name: whole.get(name, own.double()) for name, own in norms.items()}

        return of_whole if split_here else None

    def whole(self, shard: NetworkShard, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """On the leader the whole tensors, of which each process holds some units, on the CPU; elsewhere nothing."""
        if not shard.spans:
            return tensors if self.leads else {}
        if self.grid.share_of(self.rank) > 0 and not self.grid.hybrid:
            return {}
        split_here = {name: tensor for name, tensor in tensors.items() if shard.span(name, tensor, 0) is not None}
        if not self.leads:
            for tensor in split_here.values():
                dist.send(tensor.detach().cpu().contiguous(), 0, group=self.groups.control)
            return {}
        return {
            name: self._collected(shard, name, tensor) if name in split_here else tensor
            for name, tensor in tensors.items()
        }

    def _collected(self, shard: NetworkShard, name: str, own: Tensor) -> Tensor:
        found = [own.detach().cpu().contiguous()]
        for number, rank in list(enumerate(self._members))[1:]:
            span = shard.span(name, own, number)
            if span is not None and span.stop > span.start:
                found.append(torch.empty((span.stop - span.start, *own.shape[1:]), dtype=own.dtype))
                dist.recv(found[-1], rank, group=self.groups.control)
        return torch.cat(found)


ALONE = Team()
