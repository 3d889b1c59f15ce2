"""Going on with a run: its recorded options and choices hold, or it is said why they can't."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import torch
from torch import Tensor

from alexnet import kernels
from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.files.schema import LARGEST_WHOLE, any_number, number, one_of, reading_errors, validate, whole
from alexnet.isolation import use_threads
from alexnet.parallel.grid import Layout
from alexnet.parallel.team import ALONE, Team
from alexnet.placement import find_device
from alexnet.processors import cores
from alexnet.runs.folder import RunFolder, fill
from alexnet.train.checks import check_numbers, with_options
from alexnet.train.options import TrainOptions
from alexnet.train.recipes import Recipe, find
from alexnet.train.state import TrainingState, laid_out, make_job, set_threads, start_in
from alexnet.train.warm_start import first_network, freeze

STATE = {
    "cursor": {
        "epoch": whole(1),
        "batch": whole(),
        "step": whole(),
        "loss_sum": any_number,
        "errors": whole(),
        "pictures": whole(),
    },
    "schedule": {"best??": any_number, "waited??": whole(), "drops??": whole()},
    "log_bytes": whole(),
}
RECORDED = {
    "data": {"fingerprint": str},
    "machine": {
        "device": str,
        "precision": one_of("fp32", "bf16"),
        "threads": whole(1, 1024),
        "kernels": str,
    },
    "options": dict,
    "torch": str,
}
"""What going on needs of a config."""
LAYOUT_OPTIONS = ("columns", "hybrid", "wire", "gradients", "timeout")
"""Options that a run taken up again does not keep: they belong to the line of torchrun that starts it."""


def resumed_job(
    store: Store, folder: Path, given: TrainOptions, team: Team = ALONE
) -> tuple[TrainingState, list[str], int | None]:
    """A run taken up again from its last undamaged state, notes for a person, and the bytes of its log that stand.

    Its recorded options and choices hold. Raises UsageError if other options are given (more epochs may be), UserError
    if the store is another one or a choice can't be kept on this machine.
    """
    run = RunFolder.open(folder)
    options = recorded_options(run, given)
    validate(run.config, RECORDED, folder / "config.json", "Restore it from a copy.")
    check_same_store(run, store)
    recipe = with_options(find(options.recipe), options)
    check_numbers(options, recipe)
    machine, remarks = _keep_choices(run, options, team)
    network = run.empty_network()
    team.layout.check(network.table, recipe.batch, options.accumulation_steps)
    freeze(network, options.freeze)
    job = make_job(run, store, network, run.inputs, recipe, options, machine)
    tensors, about, notes = run.latest_state()
    if tensors is None:
        if notes or (folder / "model.safetensors").exists():
            raise UserError(f"{folder}: no undamaged state to go on from. Start a new run, --from {folder}.")
        return _from_the_start(job, recipe, options), [*notes, *remarks, "no state was saved yet: from the start"], 0
    restored(job, tensors, about)
    _check_epochs(run, recipe, job)
    run.write_config(
        options=run.value("options") | {"epochs": options.epochs},
        machine=machine,
        starts=[*run.config.get("starts", []), start_in(team, job.cursor.step, machine["threads"])],
    )
    where = f"going on in epoch {job.cursor.epoch} after {job.cursor.step} updates"
    return (
        job,
        [*notes, *remarks, *changed_machine(run), *laid_out(team, machine["threads"]), where],
        about["log_bytes"],
    )


def restored(job: TrainingState, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Take up a state that was read. Raises UserError if it is not one of this run's."""
    where, remedy = job.run.path / "state", "Remove the newest file there; the one before it is used."
    with reading_errors(where, remedy):
        validate(about, STATE, where, remedy)
        job.restore(tensors, about)


def check_same_store(run: RunFolder, store: Store) -> None:
    """Raises UserError if the run was trained on another store."""
    if store.fingerprint != run.value("data", "fingerprint"):
        raise UserError(f"{store.path}: not the store that {run.path} was trained on. Give that one to go on.")


def check_same_weights(run: RunFolder, given: np.ndarray | None, team: Team) -> None:
    """Raises UserError if the run was trained with other weights of its pictures than those `given` (None: not asked),
    or if several processes are to resume a run that has any."""
    recorded = run.sample_weights
    if given is not None and not np.array_equal(given, np.full_like(given, given[0]) if recorded is None else recorded):
        raise UserError(f"{run.path}: trained with other sample or class weights. Give the same, or another folder.")
    if recorded is not None and not team.alone:
        raise UserError(f"{run.path}: trained with sample weights. Resume it in one process, without torchrun.")


def _check_epochs(run: RunFolder, recipe: Recipe, job: TrainingState) -> None:
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
    check_options(recorded, run.path / "config.json")
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


def check_options(recorded: dict[str, Any], where: Path) -> None:
    """Raises UserError unless these are options of a training, each of the kind that its default is of."""
    kinds = get_type_hints(TrainOptions)
    for name, value in recorded.items():
        if name not in kinds or not is_of(value, kinds[name]):
            raise UserError(f"{where}: damaged, options.{name[:40]} is {repr(value)[:60]}. Restore it from a copy.")


def is_of(value: Any, kind: Any) -> bool:
    """Whether a value (of a config, where a path is text) is of an option's type."""
    if kind is float:
        return number(value)
    if kind is int:
        return whole(-LARGEST_WHOLE)(value)
    if isinstance(kind, type):
        return type(value) is (str if kind is Path else kind)
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    return any(is_of(value, one) for one in get_args(kind))


def _keep_choices(run: RunFolder, options: TrainOptions, team: Team) -> tuple[dict[str, Any], list[str]]:
    """Make the run's recorded choices hold here, or say why they can't. In another layout of processes the threads are
    chosen anew, and a remark says so."""
    folder, machine, remarks = run.path, run.value("machine"), []
    device = find_device(machine["device"])
    starts = run.config.get("starts", [])
    before = starts[-1]["layout"] if starts else Layout().as_json()
    if before == team.layout.as_json():
        if (recorded := machine["threads"]) > (here := max(1, cores() // team.local)):
            remarks.append(f"{recorded} threads as before, for equal sums: slow, as only {here} can run at a time")
        use_threads(recorded)
    else:
        machine = machine | {"threads": set_threads(options.threads, team.local)}
        with reading_errors(folder / "config.json", "Restore it from a copy."):
            was, now = Layout(**before).describe(), team.layout.describe()
        remarks.append(f"laid out anew ({was} before, {now} now): sums round otherwise, the last bits may differ")
    there_are = kernels.available(device)
    recorded, here = machine["kernels"].partition(" ")[0], there_are.partition(" ")[0]
    if recorded != here:
        raise UserError(
            f"{folder}: trained with the {recorded} kernels; here are only the {here} ones ({there_are}). "
            "Going on would not give the same weights. Go on where it was trained, or start a new run with --from."
        )
    return machine, remarks


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


def _from_the_start(job: TrainingState, recipe: Recipe, options: TrainOptions) -> TrainingState:
    """A run that was killed before its first state: its first weights again. Raises UserError if the config's options
    make another network than its table."""
    fill(job.network, first_network(job.store, recipe, options).state_dict(), job.run.path / "config.json")
    return job
