"""A training run, laid out: everything `loop` works with, made new or taken up again, and saved as one value."""

import math
import os
import platform
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import alexnet
from alexnet import kernels
from alexnet.data.augment import Augmentation, Inputs
from alexnet.data.store import Store, cores
from alexnet.errors import UsageError, UserError
from alexnet.files import faults_named
from alexnet.measure.arithmetic import DTYPES, find_device
from alexnet.nets import table, zoo
from alexnet.nets.network import Network, build
from alexnet.nets.table import BatchNorm, Weighted
from alexnet.runs import RunFolder, disk_needed, snapshot_epochs
from alexnet.terminal import in_bytes
from alexnet.train import precision
from alexnet.train.options import TrainOptions
from alexnet.train.parallel.gradients import Learning
from alexnet.train.parallel.layout import Layout
from alexnet.train.parallel.split import Part
from alexnet.train.parallel.team import ALONE, Team
from alexnet.train.recipes import Recipe, find, in_words
from alexnet.train.schedule import Logged, Plateau, Polynomial, Schedule
from alexnet.train.update import Lars, Update

FEW_UPDATES, SMALL_BATCH = 10, 16
LAYOUT_OPTIONS = ("columns", "hybrid", "wire", "gradients", "timeout")
"""Options that a run taken up again does not keep: they belong to the line of torchrun that starts it."""


@dataclass
class Cursor:
    """Where the run stands: in `epoch` (from 1), before its batch number `batch` (from 0), after `step` updates, with
    the running sums of the epoch's training loss and errors."""

    epoch: int = 1
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    errors: int = 0
    pictures: int = 0

    def next_epoch(self) -> None:
        self.epoch, self.batch = self.epoch + 1, 0
        self.loss_sum, self.errors, self.pictures = 0.0, 0, 0


@dataclass
class Job:
    """What a run works with. Its state, all that changes while it trains, is weights, velocities, schedule, cursor."""

    run: RunFolder
    store: Store
    network: Network
    update: Update
    schedule: Schedule
    inputs: Inputs
    augmentation: Augmentation
    epochs: int
    batch: int
    accumulate: int
    seed: int
    device: torch.device
    dtype: torch.dtype
    save_minutes: float
    snapshots: bool
    cursor: Cursor = field(default_factory=Cursor)
    saved_at: float = field(default_factory=time.monotonic)
    team: Team = field(default_factory=Team)
    part: Part = field(init=False)
    learning: Learning = field(init=False)

    def __post_init__(self) -> None:
        self.part, self.learning = Part(self.network), Learning(self.network)

    def take_part(self, team: Team) -> None:
        """Keep what this process holds of the network, of the whole one it has now."""
        names = self.update.scaled_names
        self.team, self.part = team, team.part_of(self.network)
        self.network.learn_by_copies(self.accumulate == 1, but=team.summed_layers(self.part))
        self.update.velocities = self.part.cut(self.update.velocities)
        if self.update.lars is not None:
            self.update.lars = replace(self.update.lars, of_whole=team.norms_of_whole(self.part, names))
        self.learning = team.learning(self.part)

    @property
    def piece(self) -> int:
        """Pictures that are computed at once."""
        return self.batch // self.accumulate

    @property
    def finished(self) -> bool:
        return self.cursor.epoch > self.epochs or self.schedule.finished

    def save_state(self, log_bytes: int) -> None:
        """Keep the state on disk. The log's length goes with it: what comes after is dropped when going on.

        The whole network's, as one process has it: all bring their parts, the leader writes."""
        tensors, about = self.state(log_bytes)
        if self.team.leads:
            self.run.save_state(self.cursor.step, tensors, about)
        self.saved_at = time.monotonic()

    def state(self, log_bytes: int = 0) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that changes in training: tensors (on the leader, whole) and plain values."""
        tensors = {f"weight/{name}": value for name, value in self.weights().items()}
        velocities = self.team.whole(self.part, self.update.velocities)
        tensors |= {f"velocity/{name}": value for name, value in velocities.items()}
        return tensors, {"cursor": asdict(self.cursor), "schedule": self.schedule.state(), "log_bytes": log_bytes}

    def weights(self) -> dict[str, Tensor]:
        """The whole network's weights, on the leader; all bring their parts."""
        return self.team.whole(self.part, self.network.state_dict())

    def restore(self, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
        """Take up the state that `save_state` kept."""
        self.network.load_state_dict(_under("weight/", tensors))
        for name, value in _under("velocity/", tensors).items():
            self.update.velocities[name].copy_(value)
        self.schedule.restore(about["schedule"])
        self.cursor = Cursor(**about["cursor"])

    @property
    def seconds_since_save(self) -> float:
        return time.monotonic() - self.saved_at

    @property
    def save_is_due(self) -> bool:
        return self.seconds_since_save > 60 * self.save_minutes


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


# ── a new run ────────────────────────────────────────────────────────────────────────────────────────────────────


def new_job(
    store: Store,
    folder: Path,
    options: TrainOptions,
    claim: Callable[[], None] = lambda: None,
    team: Team = ALONE,
) -> tuple[Job, list[str]]:
    """A run from its beginning, its folder made, and what a person should know of the choices made.

    `claim` is called once the folder is there and before anything is written into it: it takes the folder's lock. The
    job is that of one process still, with the whole network; `team` will train it.

    Raises UserError or UsageError for options, store or folder that can't be used; nothing is left behind then.
    """
    recipe = with_options(find(options.recipe), options)
    _check_numbers(options, recipe)
    network = _new_network(store, recipe, options)
    team.layout.check(network.table, recipe.batch, options.accumulate)
    inputs = _inputs(store, network, recipe, options)
    device, threads = find_device(options.device), set_threads(options.threads, team.local)
    choice = precision.choose(network.to(device), device, options.precision)
    machine = {
        "device": device.type,
        "threads": threads,
        "precision": choice.precision,
        "precision_reason": choice.reason,
        "kernels": kernels.available(device),
    }
    disk = _check_disk(folder, network, options.epochs or recipe.epochs, snapshots=options.snapshots)
    config = _config(store, network, recipe, options, machine) | {"starts": [_start(team, 0, threads)]}
    with faults_named(folder):
        folder.mkdir(parents=True, exist_ok=True)
    claim()
    run = RunFolder.create(folder, config, inputs)
    notes = [
        f"{network.table.name}: {sum(p.numel() for p in network.parameters()):,} parameters, "
        f"{len(store.parts['train']):,} pictures of {len(store.class_names)} classes; on {device.type}, "
        f"{threads} threads, {choice.precision} ({choice.reason}); kernels: {machine['kernels']}",
        disk,
        *starting_notes(store, network, options),
        *large_batch_notes(network, recipe, options),
        *few_updates(store, recipe.batch),
        *_laid_out(team, threads),
    ]
    return make_job(run, store, network, inputs, recipe, options, machine), notes


def check_options(options: TrainOptions) -> None:
    """Raises UsageError for options that no store could make right: before pictures are prepared for hours."""
    recipe = with_options(find(options.recipe), options)
    zoo.find(recipe.net)
    _check_numbers(options, recipe)


def large_batch_notes(network: Network, recipe: Recipe, options: TrainOptions) -> list[str]:
    """What to know of LARS or of batches computed in pieces."""
    if recipe.trust is None and options.accumulate == 1:
        return []
    notes = [in_words(recipe, options.epochs or recipe.epochs, options.accumulate)]
    if options.accumulate > 1 and any(isinstance(row, BatchNorm) for row in network.table.rows):
        piece = recipe.batch // options.accumulate
        notes.append(f"batch norms see one piece at a time, {piece:,} pictures, as on as many devices")
    return notes


def few_updates(store: Store, batch: int) -> list[str]:
    """Advice where an epoch has so few updates that the plateau rule drops the rate before anything is learned."""
    updates = -(-len(store.parts["train"]) // batch)
    if updates >= FEW_UPDATES or batch <= SMALL_BATCH:
        return []
    return [
        f"only {updates} updates an epoch: with so few pictures a smaller batch learns more, "
        f"--batch {SMALL_BATCH} --patience 10"
    ]


def _check_disk(folder: Path, network: Network, epochs: int, *, snapshots: bool) -> str:
    """What the run will take of the disk, in words. Raises UserError if there is less."""
    needed = disk_needed(network, epochs, snapshots=snapshots)
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    kept = f", {len(snapshot_epochs(epochs))} snapshots among it" if snapshots else ""
    words = f"the run takes up to {in_bytes(needed)} of disk{kept}; {in_bytes(free)} are free"
    if free < needed:
        raise UserError(f"{folder}: {words}. Free some, or train elsewhere.")
    return words


def with_options(recipe: Recipe, options: TrainOptions) -> Recipe:
    """The recipe with what the options change of it."""
    epochs = options.epochs or recipe.epochs
    given = {
        "batch": options.batch,
        "warmup": recipe.warmup * epochs / recipe.epochs if options.warmup is None else options.warmup,
        "rate": options.rate,
        "momentum": options.momentum,
        "decay": options.decay,
        "init": options.init,
        "mean": options.mean,
        "rms_limit": options.rms_limit,
        "layer_decays": None if options.decay is None else {},
    }
    augmentation = {"colour": options.colour_noise, "crops": options.crops, "mirror": options.mirror}
    return replace(
        recipe,
        net=options.net or recipe.net,
        **{name: value for name, value in given.items() if value is not None},
        augmentation=replace(
            recipe.augmentation,
            cutout=options.cutout,
            **{name: value for name, value in augmentation.items() if value is not None},
        ),
    )


def _check_numbers(options: TrainOptions, recipe: Recipe) -> None:
    """Raises UsageError for a number that is out of its range, or does not go with the recipe."""
    _check_ranges(options)
    if recipe.batch % options.accumulate:
        raise UsageError(
            f"--accumulate {options.accumulate}: it must divide the batch, {recipe.batch:,} pictures, in equal pieces."
        )
    if options.warmup and recipe.power is None:
        raise UsageError(
            f"--warmup {options.warmup:g}: the rates of recipe {recipe.name} know no warm-up. Leave it out."
        )
    if recipe.power is not None and recipe.warmup >= (epochs := options.epochs or recipe.epochs):
        raise UsageError(f"--warmup {recipe.warmup:g}: the run has only {epochs} epochs. Give fewer.")


def _check_ranges(options: TrainOptions) -> None:
    for name, number in (
        ("threshold", options.threshold),
        ("warmup", options.warmup),
        ("save-minutes", options.save_minutes),
        ("decay", options.decay),
        ("rms-limit", options.rms_limit),
    ):
        if number is not None and not math.isfinite(number):
            raise UsageError(f"--{name} {number}: a finite number is needed.")
    for name, value, least in (
        ("epochs", options.epochs, 1),
        ("batch", options.batch, 1),
        ("accumulate", options.accumulate, 1),
        ("warmup", options.warmup, 0),
        ("patience", options.patience, 1),
        ("threads", options.threads, 0),
        ("cutout", options.cutout, 0),
        ("threshold", options.threshold, 0),
        ("rms-limit", options.rms_limit, 0),
        ("save-minutes", options.save_minutes, 0),
        ("decay", options.decay, 0),
    ):
        if value is not None and value < least:
            raise UsageError(f"--{name} {value}: at least {least} is needed.")
    if options.rate is not None and not 0 < options.rate < float("inf"):
        raise UsageError(f"--rate {options.rate}: a number above 0 is needed.")
    if options.momentum is not None and not 0 <= options.momentum < 1:
        raise UsageError(f"--momentum {options.momentum}: a number from 0 to below 1 is needed.")


def _new_network(store: Store, recipe: Recipe, options: TrainOptions) -> Network:
    for part in ("train", "val"):
        if part not in store.parts or not len(store.parts[part]):
            raise UserError(f"{store.path}: no {part} pictures. Prepare it with --holdout 0.1 or from train/ and val/.")
    source = None if options.start_from is None else RunFolder.open(options.start_from)
    inherits = source is not None and options.net is None and options.width == 1
    network = build(
        source.table if source is not None and inherits else recipe.net,
        len(store.class_names),
        width=options.width,
        input_size=options.input_size
        or (int(source.value("network", "input_size")) if source is not None and inherits else None),
        init=recipe.init,
        seed=options.seed,
    )
    if network.input_size > store.size:
        raise UserError(
            f"{store.path}: its pictures have {store.size} pixels a side, {network.table.name} takes crops of "
            f"{network.input_size}. Prepare with --size, or train with --input-size {store.size} or less."
        )
    if source is not None:
        take_weights(network, source, options.take, store.class_ids)
    elif options.take:
        raise UsageError(f"--take {options.take}: say from which run, with --from.")
    freeze(network, options.freeze)
    return network


@torch.no_grad()
def take_weights(network: Network, source: RunFolder, take: str, class_ids: Sequence[str]) -> None:
    """Give the network weights of another run: of the layers that `take` names, by default of all but the last.

    Raises UserError if a layer differs, or if the last one is taken for other classes.
    """
    last = network.table.weighted[-1].name
    taken = taken_layers(network, source, take)
    if last in taken and list(class_ids) != source.value("classes", "ids"):
        raise UserError(f"--take {take}: the classes are not those of {source.path}, in that order; leave out {last}.")
    if lacking := [name for name in taken if name in source.missing]:
        raise UserError(
            f"--take {take}: {source.path} has no weights for {', '.join(lacking)} (it was imported without them); "
            "there is nothing to start those from. Leave them out."
        )
    theirs = source.network.state_dict()
    for name, tensor in network.state_dict().items():
        if name.split(".")[0] not in taken:
            continue
        if name not in theirs or theirs[name].shape != tensor.shape:
            found = tuple(theirs[name].shape) if name in theirs else "absent"
            raise UserError(
                f"--from {source.path}: {name} is {found} there, {tuple(tensor.shape)} here. "
                "Without --net and --width its own network is taken; --input-size must leave the same maps; "
                "--take takes some layers only."
            )
        tensor.copy_(theirs[name])


def taken_layers(network: Network, source: RunFolder, take: str) -> list[str]:
    """The layers that `take` names; by default all but the last and those that `source` has no weights for."""
    weighted = _layers_with_weights(network)
    if take:
        return spanned("take", take, weighted)
    return [name for name in weighted if name not in (network.table.weighted[-1].name, *source.missing)]


def starting_notes(store: Store, network: Network, options: TrainOptions) -> list[str]:
    """What a run that starts from another takes of it, what keeps still, and what begins anew."""
    if options.start_from is None:
        return []
    source = RunFolder.open(options.start_from)
    weighted, taken = _layers_with_weights(network), taken_layers(network, source, options.take)
    still = spanned("freeze", options.freeze, weighted)
    kinds = {
        "learning on": [name for name in taken if name not in still],
        "taken and frozen": [name for name in taken if name in still],
        "new": [name for name in weighted if name not in taken and name not in still],
        "new and frozen": [name for name in still if name not in taken],
    }
    told = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names)
    mean = ["its mean image too, which its frozen first layer knows"] if _keeps_mean(store, network, options) else []
    return ["; ".join([f"from {source.path}: {told}", *mean])]


def freeze(network: Network, names: str) -> None:
    """Stop the named layers from learning. `names`: layers or spans of layers, as in "conv1-conv5,fc6"."""
    for name in spanned("freeze", names, _layers_with_weights(network)):
        network.get_submodule(name).requires_grad_(False)
    if not any(weight.requires_grad for weight in network.parameters()):
        raise UsageError(f"--freeze {names}: leaves nothing to learn.")


def spanned(option: str, names: str, layers: Sequence[str]) -> list[str]:
    """The layers that `names` means: names and spans of them, as in "conv1-conv5,fc6", or "all". Raises UsageError,
    naming the `option`, for a layer that is not there."""
    found: list[str] = []
    for part in layers if names == "all" else filter(None, names.split(",")):
        first, _, last = part.partition("-")
        for name in (first, last or first):
            if name not in layers:
                raise UsageError(f"--{option} {names}: there is no layer {name!r}. There are: {', '.join(layers)}.")
        span = layers[layers.index(first) : layers.index(last or first) + 1]
        if not span:
            raise UsageError(f"--{option} {names}: {last} comes before {first}; write {last}-{first}.")
        found += span
    return found


def _layers_with_weights(network: Network) -> list[str]:
    return [row.name for row in network.table.rows if isinstance(row, Weighted | BatchNorm)]


def _keeps_mean(store: Store, network: Network, options: TrainOptions) -> bool:
    """Whether the source's mean image is taken off here too: its first layer is kept as it is, and the records have one
    size. A layer that does not learn can't get used to another mean, and that of some hundred pictures is mottled."""
    if options.start_from is None:
        return False
    source, first = RunFolder.open(options.start_from), _layers_with_weights(network)[0]
    kept = not any(weight.requires_grad for weight in network.get_submodule(first).parameters())
    return kept and first in taken_layers(network, source, options.take) and source.inputs.side == store.size


def _inputs(store: Store, network: Network, recipe: Recipe, options: TrainOptions) -> Inputs:
    statistics = store.statistics
    mean_image = torch.from_numpy(statistics.mean_image.copy()).permute(2, 0, 1).contiguous().float()
    if options.start_from is not None and _keeps_mean(store, network, options):
        mean_image = RunFolder.open(options.start_from).inputs.mean_image
    return Inputs(
        mean_image=mean_image,
        size=network.input_size,
        mean_mode=recipe.mean,
        eigenvalues=torch.from_numpy(statistics.eigenvalues.copy()),
        eigenvectors=torch.from_numpy(statistics.eigenvectors.copy()),
    )


def _config(
    store: Store, network: Network, recipe: Recipe, options: TrainOptions, machine: dict[str, Any]
) -> dict[str, Any]:
    return {
        "alexnet": alexnet.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "network": {
            "table": table.to_json(network.table),
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
            "pictures": {name: len(part) for name, part in store.parts.items()},
        },
        "rule": in_words(recipe, options.epochs or recipe.epochs, options.accumulate),
        "recipe": asdict(recipe),
        "options": {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()},
        "machine": machine,
        "finished": False,
    }


# ── going on with a run ──────────────────────────────────────────────────────────────────────────────────────────


def resumed_job(
    store: Store, folder: Path, given: TrainOptions, team: Team = ALONE
) -> tuple[Job, list[str], int | None]:
    """A run taken up again from its last undamaged state, notes for a person, and the bytes of its log that stand.

    Its recorded options and choices hold. Raises UsageError if other options are given (more epochs may be), UserError
    if the store is another one or a choice can't be kept on this machine.
    """
    run = RunFolder.open(folder)
    options = recorded_options(run, given)
    check_same_store(run, store)
    recipe = with_options(find(options.recipe), options)
    _check_numbers(options, recipe)
    machine, remarks = _keep_choices(run, options, team)
    network = run.empty_network()
    team.layout.check(network.table, recipe.batch, options.accumulate)
    freeze(network, options.freeze)
    job = make_job(run, store, network, run.inputs, recipe, options, machine)
    tensors, about, notes = run.latest_state()
    if tensors is None:
        if notes or (folder / "model.safetensors").exists():
            raise UserError(f"{folder}: no undamaged state to go on from. Start a new run, --from {folder}.")
        return _from_the_start(job, recipe, options), [*notes, *remarks, "no state was saved yet: from the start"], 0
    job.restore(tensors, about)
    _check_epochs(run, recipe, job)
    run.write_config(
        options=run.value("options") | {"epochs": options.epochs},
        machine=machine,
        starts=[*run.config.get("starts", []), _start(team, job.cursor.step, machine["threads"])],
    )
    where = f"going on in epoch {job.cursor.epoch} after {job.cursor.step} updates"
    return (
        job,
        [*notes, *remarks, *changed_machine(run), *_laid_out(team, machine["threads"]), where],
        about["log_bytes"],
    )


def check_same_store(run: RunFolder, store: Store) -> None:
    """Raises UserError if the run was trained on another store."""
    if store.fingerprint != run.value("data", "fingerprint"):
        raise UserError(f"{store.path}: not the store that {run.path} was trained on. Give that one to go on.")


def _check_epochs(run: RunFolder, recipe: Recipe, job: Job) -> None:
    """Raises UsageError where another number of epochs makes no sense for a run taken up again."""
    trained, recorded = job.cursor.epoch - 1, run.value("options", "epochs") or recipe.epochs
    if job.epochs < trained:
        raise UsageError(f"--epochs {job.epochs}: the run in {run.path} has trained {trained} epochs already.")
    if (recipe.stages or recipe.power is not None) and job.epochs != recorded:
        raise UsageError(
            f"--epochs {job.epochs}: the schedule of recipe {recipe.name} was laid out over {recorded} epochs "
            "and can't be stretched while it runs. Leave --epochs out, or start a new run."
        )


def recorded_options(run: RunFolder, given: TrainOptions) -> TrainOptions:
    """The options that a run was started with; `given` may differ from the defaults only where it agrees with them."""
    recorded, default = run.value("options"), asdict(TrainOptions())
    for name, value in asdict(given).items():
        plain = str(value) if isinstance(value, Path) else value
        if name not in ("epochs", *LAYOUT_OPTIONS) and value != default[name] and plain != recorded.get(name):
            option = "from" if name == "start_from" else name.replace("_", "-")
            raise UsageError(
                f"--{option} {plain}: the run in {run.path} was started with {recorded.get(name)}. "
                "With --resume its own options hold; leave this one out, or start a new run."
            )
    start_from = recorded.get("start_from")
    epochs = given.epochs if given.epochs is not None else recorded.get("epochs")
    changed = {"start_from": Path(start_from) if start_from else None, "epochs": epochs}
    return TrainOptions(**recorded | changed | {name: getattr(given, name) for name in LAYOUT_OPTIONS})


def _keep_choices(run: RunFolder, options: TrainOptions, team: Team) -> tuple[dict[str, Any], list[str]]:
    """Make the run's recorded choices hold here, or say why they can't. In another layout of processes the threads are
    chosen anew, and a remark says so."""
    folder, machine, remarks = run.path, run.value("machine"), []
    device = find_device(machine["device"])
    starts = run.config.get("starts", [])
    before = starts[-1]["layout"] if starts else Layout().as_json()
    if before == team.layout.as_json():
        set_threads(machine["threads"], team.local)
    else:
        machine = machine | {"threads": set_threads(options.threads, team.local)}
        was, now = Layout(**before).in_words(), team.layout.in_words()
        remarks.append(f"laid out anew ({was} before, {now} now): sums round otherwise, the last bits may differ")
    there_are = kernels.available(device)
    recorded, here = machine["kernels"].split()[0], there_are.split()[0]
    if recorded != here:
        raise UserError(
            f"{folder}: trained with the {recorded} kernels; here are only the {here} ones ({there_are}). "
            "Going on would not give the same weights. Go on where it was trained, or start a new run with --from."
        )
    return machine, remarks


def _start(team: Team, step: int, threads: int) -> dict[str, Any]:
    """For the config: from which update on, in which layout, with how many threads each."""
    return {"step": step, "layout": team.layout.as_json(), "threads": threads}


def _laid_out(team: Team, threads: int) -> list[str]:
    if team.alone:
        return []
    return [f"{team.layout.in_words()}; {team.local} on {team.host}, OMP_NUM_THREADS={threads} for each of them"]


def changed_machine(run: RunFolder) -> list[str]:
    """A warning where other versions or another compiler may round differently: then resuming is not bit-identical."""
    there = {"torch": run.value("torch"), "kernels": run.value("machine", "kernels")}
    device = run.value("machine", "device")
    here = {"torch": str(torch.__version__), "kernels": kernels.available(device)}
    return [
        f"{name} was {there[name]!r} when this run was started, here it is {here[name]!r}: the weights may differ from "
        "those of an unbroken run in the last bits"
        for name in there
        if there[name] != here[name]
    ]


def _from_the_start(job: Job, recipe: Recipe, options: TrainOptions) -> Job:
    """A run that was killed before its first state: its first weights again."""
    job.network.load_state_dict(_new_network(job.store, recipe, options).state_dict())
    return job


def make_job(
    run: RunFolder,
    store: Store,
    network: Network,
    inputs: Inputs,
    recipe: Recipe,
    options: TrainOptions,
    machine: dict[str, Any],
) -> Job:
    """The job of one process: the whole network, at rest at its beginning."""
    device, epochs = torch.device(machine["device"]), options.epochs or recipe.epochs
    if options.deterministic and device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats itself only with this
        torch.use_deterministic_algorithms(True)
    network = network.to(device)
    network.learn_by_copies(options.accumulate == 1)
    update = Update.of(
        network,
        momentum=recipe.momentum,
        decay=recipe.decay,
        decay_biases=recipe.decay_biases,
        rms_limit=recipe.rms_limit or None,
        layer_decays=recipe.layer_decays,
        lars=None if recipe.trust is None else Lars(recipe.trust),
    )
    return Job(
        run=run,
        store=store,
        network=network,
        update=update,
        schedule=_schedule(recipe, options, epochs),
        inputs=inputs.to(device),
        augmentation=recipe.augmentation,
        epochs=epochs,
        batch=recipe.batch,
        accumulate=options.accumulate,
        seed=options.seed,
        device=device,
        dtype=DTYPES[machine["precision"]],
        save_minutes=options.save_minutes,
        snapshots=options.snapshots,
    )


def _schedule(recipe: Recipe, options: TrainOptions, epochs: int) -> Schedule:
    if recipe.power is not None:
        return Polynomial(recipe.rate, recipe.bias_factor, epochs, recipe.warmup, recipe.power)
    if recipe.stages:
        rate = recipe.rate
        return Logged(find(recipe.name).staged(epochs, rate))
    return Plateau(recipe.rate, recipe.bias_factor, options.patience, options.threshold / 100)


# ── the machine ──────────────────────────────────────────────────────────────────────────────────────────────────


def set_threads(wish: int, processes: int = 1) -> int:
    """Use `wish` CPU threads (0: one for each core that this process may use, its share of them if there are several
    `processes` on the host) and say how many. Raises UsageError for more than that: they would wait for each other."""
    share = max(1, cores() // processes)
    if wish > share:
        among = "" if processes == 1 else f" for {processes} processes, {share} for each"
        raise UsageError(f"--threads {wish}: there are {cores()} cores here{among}. 0 takes them all.")
    torch.set_num_threads(wish or share)
    if processes > 1:
        os.environ["OMP_NUM_THREADS"] = str(wish or share)  # torchrun says 1, also where there are more cores
    return wish or share
