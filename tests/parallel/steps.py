"""A few updates of a network on made-up pictures, by any team: what the layouts are compared by."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from alexnet.nets import zoo
from alexnet.nets.network import Network, build
from alexnet.nets.table import Dropout, Table, insert_after
from alexnet.parallel.launch import launched
from alexnet.parallel.team import Team
from alexnet.runs.folder import RunFolder
from alexnet.train.options import TrainOptions
from alexnet.train.recipes import find
from alexnet.train.schedule import Logged, Rates
from alexnet.train.state import TrainingState
from alexnet.train.step import update_on
from alexnet.train.update import Lars, Update

UNEVEN = (8, 8, 8, 5, 1)
"""Pictures of each batch, again and again: the fourth can't be dealt out evenly, the fifth leaves most with none."""


@dataclass(frozen=True)
class Case:
    """What is trained, and in which layout (`options`)."""

    table: Table
    options: TrainOptions = TrainOptions()
    dtype: torch.dtype = torch.float64
    updates: int = 10
    batches: tuple[int, ...] = UNEVEN
    classes: int = 12
    rates: Rates = field(default_factory=lambda: Rates(0.01, 0.02))
    frozen: str = ""
    lars: Lars | None = None
    decays: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """Losses of the updates, and the whole weights and velocities afterwards (on the leader)."""

    losses: list[float]
    weights: dict[str, np.ndarray]
    sent: int = 0
    sent_bytes: int = 0


def toy(**changes: object) -> Table:
    """The small two-column net, with a dropout over maps too: its masks are cut along the maps."""
    table = insert_after(zoo.TOY, "relu4", Dropout("dropout4", keep=0.8))
    return replace(table, **changes)


def train_apart(case: Case) -> Outcome:
    """The case in one of several processes."""
    with launched(**case.options.launch) as team:
        return train(case, team)


def train(case: Case, team: Team | None = None) -> Outcome:
    state = job_of(case, team or Team())
    losses, seen = [], 0
    for step in range(case.updates):
        batch = np.arange(seen, seen + case.batches[step % len(case.batches)])
        micro_batch = state.recipe.batch // state.options.accumulation_steps
        for offset in range(0, len(batch), micro_batch):
            shard = state.team.shard(batch[offset : offset + micro_batch], offset=offset, total=len(batch))
            inputs, labels = pictures_of(shard.indices, state.network, case)
            losses.append(update_on(state, inputs, labels, shard, case.rates).read()[0])
        state.cursor.step, seen = step + 1, seen + len(batch)
    tensors, _ = state.contents()
    weights = {name: tensor.detach().numpy() for name, tensor in tensors.items()}
    return Outcome(losses, weights, team.meter.activations if team else 0, team.meter.activation_bytes if team else 0)


def job_of(case: Case, team: Team) -> TrainingState:
    network = build(case.table, case.classes).to(case.dtype)
    for name in filter(None, case.frozen.split(",")):
        network.get_submodule(name).requires_grad_(False)
    team.grid.check(network.table, 24)
    rule = {"layer_decays": case.decays, "lars": case.lars}
    update = Update(network, momentum=0.9, decay=0.0005, decay_biases=True, **rule)
    stand_ins: dict = dict.fromkeys(("store", "inputs"))
    state = TrainingState(
        run=RunFolder(Path("nowhere"), {}),
        network=network,
        update=update,
        schedule=Logged(()),
        recipe=replace(find("paper"), epochs=1, batch=8),
        options=replace(case.options, seed=3),
        device=torch.device("cpu"),
        dtype=case.dtype,
        **stand_ins,
    )
    state.take_shard(team)
    return state


def pictures_of(indices: np.ndarray, network: Network, case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures and labels as a function of the pictures' numbers."""
    size = network.input_size
    drawn = [torch.randn(3, size, size, generator=torch.Generator().manual_seed(int(n))) for n in indices]
    labels = torch.tensor([int(n) * 7 % case.classes for n in indices])
    inputs = (torch.stack(drawn) * 60).to(case.dtype)
    return inputs.contiguous(memory_format=torch.channels_last), labels
