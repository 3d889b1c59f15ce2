"""The state of a training run: everything `loop` works with, created, saved in checkpoints and restored."""

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from alexnet import kernels
from alexnet.data.batches import StepProgress
from alexnet.data.preprocessing import Preprocessing
from alexnet.data.store.check import remarks_on
from alexnet.data.store.read import Store
from alexnet.errors import UsageError
from alexnet.files.atomic import faults_named, remove_temporaries, space_checked
from alexnet.files.schema import AnyFloat, Count, Range, to_json
from alexnet.isolation import use_threads
from alexnet.measure.overlap import save_trained_on
from alexnet.measure.viewer import ViewAverager
from alexnet.nets import table_json
from alexnet.nets.network import Network
from alexnet.parallel.gradients import GradientSum
from alexnet.parallel.split import NetworkShard
from alexnet.parallel.team import ALONE, Team
from alexnet.placement import DTYPES, find_device
from alexnet.processors import cores, omp_threads
from alexnet.runs.folder import RunFolder, disk_needed, snapshot_epochs
from alexnet.text import changed, counted, in_bytes
from alexnet.train import precision
from alexnet.train.checks import checked_recipe, few_updates, large_batch_notes, pretrained_start, recipe_of
from alexnet.train.frozen import (
    FrozenPart,
    Views,
    cached_features,
    check_frozen,
    features_folder,
    frozen_notes,
    last_frozen,
)
from alexnet.train.options import TrainOptions
from alexnet.train.recipes import Recipe, describe
from alexnet.train.schedule import Rates, Schedule, ScheduleState, schedule_of
from alexnet.train.update import Lars, Update
from alexnet.train.warm_start import initial_inputs, initial_network, starting_notes


@dataclass
class Cursor:
    """The position of a run: in `epoch` (from 1), before batch number `batch` of it (from 0), after `step` updates,
    with the running sums of the epoch's training loss and errors."""

    epoch: Annotated[int, Range(1)] = 1
    batch: Count = 0
    step: Count = 0
    loss_sum: AnyFloat = 0.0
    errors: Count = 0
    pictures: Count = 0

    def next_batch(self) -> None:
        self.batch, self.step = self.batch + 1, self.step + 1

    def next_epoch(self) -> None:
        self.epoch, self.batch = self.epoch + 1, 0
        self.loss_sum, self.errors, self.pictures = 0.0, 0, 0


@dataclass(frozen=True)
class Best:
    """The epoch with the lowest validation error so far, of equal ones that with the lowest −ln p."""

    error: AnyFloat
    nll: AnyFloat
    epoch: Count


@dataclass(frozen=True)
class Standing:
    """What a checkpoint holds besides tensors. On resuming, the log is cut back to its first `log_bytes` bytes."""

    cursor: Cursor
    schedule: ScheduleState
    log_bytes: Count
    best: Best | None = None


@dataclass
class TrainingState:
    """What a run works with. Weights, velocities, schedule and cursor change during training; checkpoints save them."""

    run: RunFolder
    store: Store
    network: Network
    update: Update
    schedule: Schedule
    inputs: Preprocessing
    recipe: Recipe
    options: TrainOptions
    device: torch.device
    dtype: torch.dtype
    sample_weights: np.ndarray | None = None
    """float32 (N,): factors of the training pictures' losses; None: 1 for each."""
    cursor: Cursor = field(default_factory=Cursor)
    best: Best | None = None
    saved_at: float = field(default_factory=time.monotonic)
    team: Team = field(default_factory=Team)
    frozen: FrozenPart | None = None
    """With `--frozen-features`: the output of the frozen rows, on which the others train."""
    network_shard: NetworkShard = field(init=False)
    gradient_sum: GradientSum = field(init=False)

    def __post_init__(self) -> None:
        self.network_shard, self.gradient_sum = NetworkShard(self.network), GradientSum(self.network)

    def take_shard(self, team: Team) -> None:
        """Cut the whole network down to this process's shard."""
        self.team, self.network_shard = team, team.shard_of(self.network)
        self.network = self.update.network = self.network_shard.network
        layers = map(self.network.get_submodule, team.summed_layers(self.network_shard))
        summed = {weight for layer in layers for weight in layer.parameters()}
        self.network.copies.learn(self.options.accumulation_steps == 1, excluded=summed)
        if self.update.lars is not None:
            of_whole = team.norms_of_whole(self.network_shard, self.update.scaled_names)
            self.update.lars = replace(self.update.lars, of_whole=of_whole)
        self.update.velocities = self.network_shard.cut(self.update.velocities)
        self.gradient_sum = team.gradient_sum(self.network_shard)

    def compute_frozen_features(self, follow: StepProgress | None = None) -> None:
        """With `--frozen-features`, compute the output of the frozen rows, or find it, and train on it from now on."""
        kind = self.options.frozen_features
        if kind is None or kind == "exact":
            return
        last, folder = last_frozen(self.network, kind), features_folder(self.run.path)
        views = Views(kind, self.recipe.augmentation.mirror, self.options.seed)
        viewer = ViewAverager(self.network.eval(), self.inputs, self.device, self.dtype)
        values = [
            cached_features(viewer, self.store, split, last, kept, folder, follow)
            for split, kept in (("train", views), ("val", Views("centre", mirror=False)))
        ]
        self.frozen = FrozenPart(self.network, last, views, *values)
        self.gradient_sum = replace(self.gradient_sum, forward=self.frozen.logits)

    @property
    def batches(self) -> int:
        """Number of batches in an epoch."""
        return math.ceil(len(self.store.splits["train"]) / self.recipe.batch)

    @property
    def rates(self) -> Rates:
        """The learning rates of the next update."""
        return self.schedule.rates(self.cursor.epoch, self.cursor.batch / self.batches)

    @property
    def finished(self) -> bool:
        return self.cursor.epoch > self.recipe.epochs or self.schedule.finished

    def save_checkpoint(self, log_bytes: int) -> None:
        """Write a checkpoint of the whole network: every process sends its shard, the leader writes."""
        tensors, standing = self.contents(log_bytes)
        if self.team.leads:
            self.run.save_checkpoint(self.cursor.step, tensors, to_json(standing))
        self.saved_at = time.monotonic()

    def contents(self, log_bytes: int = 0) -> tuple[dict[str, Tensor], Standing]:
        """Everything that changes during training: tensors (whole on the leader) and plain values."""
        tensors = {f"weight/{name}": value for name, value in self.weights().items()}
        velocities = self.team.whole(self.network_shard, self.update.velocities)
        tensors |= {f"velocity/{name}": value for name, value in velocities.items()}
        return tensors, Standing(self.cursor, self.schedule.state, log_bytes, self.best)

    def weights(self) -> dict[str, Tensor]:
        """The whole network's weights on the leader; every process sends its shard."""
        return self.team.whole(self.network_shard, self.network.state_dict())

    def restore(self, tensors: dict[str, Tensor], standing: Standing) -> None:
        """The inverse of `contents`."""
        self.network.load_state_dict(under("weight/", tensors))
        for name, value in under("velocity/", tensors).items():
            self.update.velocities[name].copy_(value)
        self.schedule.state, self.cursor, self.best = standing.schedule, standing.cursor, standing.best

    @property
    def keeps_best(self) -> bool:
        return self.options.keep == "best"

    @property
    def seconds_since_save(self) -> float:
        return time.monotonic() - self.saved_at

    @property
    def save_is_due(self) -> bool:
        return self.seconds_since_save > 60 * self.options.save_minutes


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix`, by their names without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


# ── a new run ────────────────────────────────────────────────────────────────────────────────────────────────────


def start_run(
    store: Store,
    folder: Path,
    options: TrainOptions,
    claim: Callable[[], None] = lambda: None,
    team: Team = ALONE,
    sample_weights: np.ndarray | None = None,
) -> tuple[TrainingState, list[str]]:
    """Create a run and its folder. Returns the state and notes on the choices made.

    `claim` takes the folder's lock: it is called after the folder is created and before anything is written into it.
    The state is that of one process with the whole network; `team` will train it.

    Raises UserError or UsageError for options, a store or a folder that can't be used; nothing is left behind then.
    """
    recipe = checked_recipe(options)
    RunFolder.refuse_taken(folder)  # before anything is computed
    network = initial_network(store, recipe, options)
    check_frozen(network, options.frozen_features, team)
    team.grid.check(network.table, recipe.batch, options.accumulation_steps)
    inputs = initial_inputs(store, network, recipe, options)
    device, threads = find_device(options.device), set_threads(options.threads, team.local)
    choice = precision.choose(network.to(device), device, options.precision)
    machine = {
        "device": device.type,
        "threads": threads,
        "precision": choice.precision,
        "precision_reason": choice.reason,
        "kernels": kernels.available(device),
    }
    disk = _check_disk(folder, network, recipe.epochs, snapshots=options.snapshots)
    recorded = replace(options, table=None)  # which is the config's network
    config = config_of(store, network, recipe, recorded, machine) | {"starts": [start_in(team, 0, threads)]}
    with faults_named(folder):
        folder.mkdir(parents=True, exist_ok=True)
    claim()
    remove_temporaries(folder)
    save_trained_on(folder, store, options.start_from and RunFolder.open(options.start_from))
    run = RunFolder.create(folder, config, inputs, sample_weights)
    notes = [
        f"{network.table.name}: {sum(p.numel() for p in network.parameters()):,} parameters, "
        f"{len(store.splits['train']):,} pictures of {len(store.class_names)} classes; on {device.type}, "
        f"{threads} threads, {choice.precision} ({choice.reason}); kernels: {machine['kernels']}",
        disk,
        *(remark.words for remark in remarks_on(store)),
        *starting_notes(store, network, options),
        *frozen_notes(network, options.frozen_features),
        *large_batch_notes(network, recipe, options),
        *pretrained_start(store, options),
        *few_updates(store, recipe.batch),
        *grid_note(team, threads),
    ]
    return make_state(run, store, network, inputs, recorded), notes


def _check_disk(folder: Path, network: Network, epochs: int, *, snapshots: bool) -> str:
    """A note on the disk space that the run needs. Raises DiskFull if there is less."""
    needed = disk_needed(network, epochs, snapshots=snapshots)
    including = f", including {len(snapshot_epochs(epochs))} snapshots" if snapshots else ""
    words = f"the run takes up to {in_bytes(needed)} of disk{including}"
    return space_checked(folder, needed, words, ". Free some, or train elsewhere.")


def config_of(
    store: Store, network: Network, recipe: Recipe, options: TrainOptions, machine: dict[str, Any]
) -> dict[str, Any]:
    """What a new run's config.json says."""
    return {
        "network": {
            "table": table_json.to_json(network.table),
            "input_size": network.input_size,
            "mean": recipe.mean,
        },
        "classes": {"names": list(store.class_names), "ids": list(store.class_ids), "order": store.class_order},
        "data": {
            "path": str(store.path.resolve()),
            "fingerprint": store.fingerprint,
            "size": store.size,
            "resample": store.description["resample"],
            "exif": store.description["exif"],
            "pictures": {name: len(part) for name, part in store.splits.items()},
        },
        "rule": describe(recipe, options.accumulation_steps),
        "recipe": asdict(recipe),
        **options_of(to_json(options)),
        "machine": machine,
        "finished": False,
    }


def options_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """What config.json says of a run's options: their values, and the names of those that are not the defaults."""
    return {"options": dict(options), "chosen": list(changed(options, to_json(TrainOptions())))}


def start_in(team: Team, step: int, threads: int) -> dict[str, Any]:
    """An entry of the config's `starts`: the first update, the process grid, the threads of each process."""
    return {"step": step, "layout": asdict(team.grid), "threads": threads}


def grid_note(team: Team, threads: int) -> list[str]:
    if team.alone:
        return []
    return [f"{team.grid.describe()}; {team.local} on {team.host}, {threads} threads each"]


def make_state(
    run: RunFolder, store: Store, network: Network, inputs: Preprocessing, options: TrainOptions
) -> TrainingState:
    """The state of one process, with the whole network, before the first update."""
    recipe, device = recipe_of(options), torch.device(run.value("machine", "device"))
    if options.deterministic and device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with this
        torch.use_deterministic_algorithms(True)
    network = network.to(device).channels_last()
    network.copies.learn(options.accumulation_steps == 1)
    update = Update(
        network,
        momentum=recipe.momentum,
        decay=recipe.decay,
        decay_biases=recipe.decay_biases,
        rms_limit=recipe.rms_limit or None,
        layer_decays=recipe.layer_decays,
        lars=None if recipe.trust is None else Lars(recipe.trust),
    )
    return TrainingState(
        run=run,
        store=store,
        network=network,
        update=update,
        schedule=schedule_of(recipe, options.patience, options.threshold / 100),
        inputs=inputs.to(device),
        recipe=recipe,
        options=options,
        device=device,
        dtype=DTYPES[run.value("machine", "precision")],
        sample_weights=run.sample_weights,
    )


# ── the machine ──────────────────────────────────────────────────────────────────────────────────────────────────


def set_threads(threads: int, processes: int = 1) -> int:
    """Use that many CPU threads and return the number. 0: one for each core that this process may use, or fewer if the
    caller has limited torch's threads; with several `processes` on the host, a share of the cores. Raises UsageError
    for more threads than cores: they would wait for each other."""
    share = max(1, cores() // processes)
    if threads > share:
        among = "" if processes == 1 else f" for {processes} processes, {share} for each"
        raise UsageError(
            f"--threads {threads}: this process may use {counted(cores(), 'core')}{among}. 0 takes them all."
        )
    limit = torch.get_num_threads() if processes == 1 else omp_threads()
    if processes > 1 and limit == 1:  # torchrun says 1, also where there are more cores
        limit = share
    return use_threads(threads or min(share, limit))
