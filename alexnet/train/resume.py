"""Resuming a run with its recorded options and choices, or explaining why that is impossible."""

import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet import kernels
from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.files.schema import from_json, reading_errors
from alexnet.isolation import use_threads
from alexnet.nets.table import with_classes, with_width
from alexnet.parallel.grid import ProcessGrid
from alexnet.parallel.team import ALONE, Team
from alexnet.placement import find_device
from alexnet.processors import cores
from alexnet.runs.folder import MODEL, REMEDY, VELOCITIES, RunFolder
from alexnet.text import option_name
from alexnet.train.checks import checked_recipe
from alexnet.train.frozen import check_frozen
from alexnet.train.options import LAUNCH_OPTIONS, TrainOptions
from alexnet.train.recipes import find
from alexnet.train.state import (
    Standing,
    TrainingState,
    grid_note,
    make_state,
    options_of,
    set_threads,
    start_in,
)
from alexnet.train.warm_start import freeze, table_of, with_initial_weights


def resume_run(
    store: Store, folder: Path, given: TrainOptions, team: Team = ALONE
) -> tuple[TrainingState, list[str], int | None]:
    """Resume a run from its last undamaged checkpoint, a finished one from its end. Returns the state, notes for the
    user and the length of the log's valid prefix.

    The recorded options and choices are kept. Raises UsageError if other options are given (except more epochs),
    UserError if the store is another one or a choice can't be kept on this machine.
    """
    run = RunFolder.open(folder)
    options = recorded_options(run, given)
    check_same_store(run, store)
    recipe = checked_recipe(options)
    machine, remarks = _keep_choices(run, options, team)
    team.grid.check(run.table, recipe.batch, options.accumulation_steps)
    network = freeze(run.empty_network(), options.freeze)
    check_frozen(network, options.frozen_features, team)
    state = make_state(run, store, network, run.inputs, options)
    tensors, about, notes = (*run.end_state(), []) if run.value("finished") else run.latest_checkpoint()
    if tensors is None:
        if notes or (folder / "model.safetensors").exists():
            raise UserError(f"{folder}: no undamaged checkpoint to resume from. Start a new run, --from {folder}.")
        # Killed before its first checkpoint: start from the initial weights.
        if run.table.classes != len(store.class_ids):
            words = f"its network has {run.table.classes} outputs for {len(store.class_ids)} classes"
            raise UserError(f"{folder / 'config.json'}: {words}. {REMEDY}")
        with_initial_weights(state.network, store, recipe, options)
        return state, [*notes, *remarks, "no checkpoint was saved yet: starting from the beginning"], 0
    log_bytes = restored(state, tensors, about).log_bytes
    _check_epochs(state)
    if run.value("finished"):
        if state.finished:
            raise UserError(f"{folder}: the learning rate has reached its end there. {new_run(run, store, options)}")
        state.save_checkpoint(log_bytes)  # before the config says that the run has not ended
        run.config.pop("calibration", None)  # of weights that are about to change
    if state.best is not None and not (folder / MODEL).exists():  # killed after the checkpoint of the first epoch
        run.save_model(state.network.state_dict())
    run.write_config(
        **options_of(run.value("options") | {"epochs": options.epochs}),
        recipe=asdict(recipe),
        finished=False,
        epochs_trained=None,
        machine=machine,
        starts=[*run.config.get("starts", []), start_in(team, state.cursor.step, machine["threads"])],
    )
    where = f"resuming in epoch {state.cursor.epoch} after {state.cursor.step} updates"
    return state, [*notes, *remarks, *changed_machine(run), *grid_note(team, machine["threads"]), where], log_bytes


def restored(state: TrainingState, tensors: dict[str, Tensor], about: dict[str, Any]) -> Standing:
    """Restore a checkpoint that was read. Raises UserError if it is not one of this run's."""
    where, remedy = state.run.path / "state", "Remove the newest file there; the one before it is used."
    with reading_errors(where, remedy):
        standing = from_json(about, Standing, where, remedy)
        state.restore(tensors, standing)
    return standing


def more_epochs(run: RunFolder, store: Store, given: TrainOptions) -> bool:
    """Whether a finished run is to be trained for more epochs than it has. Raises UserError or UsageError if it is
    another run than the options request, or can't be trained further."""
    options = recorded_options(run, given)
    check_same_store(run, store)
    if given.epochs is None or given.epochs <= max(run.value("epochs_trained"), run.value("options", "epochs") or 0):
        return False
    if options.head == "linear":
        raise UsageError(f"--epochs {given.epochs}: {run.path} is a linear classifier, which is fitted without epochs.")
    if not (run.path / VELOCITIES).exists():
        raise UserError(f"{run.path}: has no {VELOCITIES}, so it can't be resumed. {new_run(run, store, options)}")
    return True


def new_run(run: RunFolder, store: Store, options: TrainOptions) -> str:
    """The advice to train a finished run further as a new one."""
    words = ["alexnet", "train", str(store.path), "--out", "NEW", "--from", str(run.path), "--take", "all"]
    left = (options.epochs or 0) - run.value("epochs_trained")
    return f"To train further, start a new run from its weights: {shlex.join([*words, '--epochs', str(left)])}"


def check_same_store(run: RunFolder, store: Store) -> None:
    """Raises UserError if the run was trained on another store."""
    if store.fingerprint != run.value("data", "fingerprint"):
        raise UserError(f"{store.path}: not the store that {run.path} was trained on. Give that one to resume.")


def check_same_weights(run: RunFolder, given: np.ndarray | None, team: Team) -> None:
    """Raises UserError if the run was trained with other sample weights than those `given` (None: not given), or if
    several processes are to resume a run that has any."""
    recorded = run.sample_weights
    if given is not None and not np.array_equal(given, np.full_like(given, given[0]) if recorded is None else recorded):
        raise UserError(f"{run.path}: trained with other sample or class weights. Give the same, or another folder.")
    if recorded is not None and not team.alone:
        raise UserError(f"{run.path}: trained with sample weights. Resume it in one process, without torchrun.")


def _check_epochs(state: TrainingState) -> None:
    """Raises UsageError if the resumed run can't have this number of epochs."""
    run, recipe = state.run, state.recipe
    trained, recorded = state.cursor.epoch - 1, run.value("options", "epochs") or find(recipe.name).epochs
    if recipe.epochs < trained:
        raise UsageError(f"--epochs {recipe.epochs}: the run in {run.path} has trained {trained} epochs already.")
    if (recipe.stages or recipe.power is not None) and recipe.epochs != recorded:
        raise UsageError(
            f"--epochs {recipe.epochs}: the schedule of recipe {recipe.name} covers {recorded} epochs "
            "and can't be stretched while it runs. Leave --epochs out, or start a new run."
        )


def recorded_options(run: RunFolder, given: TrainOptions) -> TrainOptions:
    """The options that a run was started with. Raises UsageError if `given` has a non-default value that differs."""
    where = f"{run.path / 'config.json'}: options"
    recorded = from_json(run.value("options"), TrainOptions, where, REMEDY, strict=True)
    for name, default in vars(TrainOptions()).items():
        asked, kept = getattr(given, name), getattr(recorded, name)
        if name not in ("epochs", "table", *LAUNCH_OPTIONS) and asked not in (default, kept):
            raise UsageError(
                f"{option_name(name)} {asked}: the run in {run.path} was started with {kept}. "
                "--resume keeps the run's own options: leave this one out, or start a new run."
            )
    if given.table is not None:
        table = with_classes(table_of(checked_recipe(recorded), given), run.table.classes)
        if with_width(table, recorded.width) != run.table:
            raise UsageError(
                f"--table: the run in {run.path} was started with another one. "
                "--resume keeps the run's own network: leave this out, or start a new run."
            )
    epochs = recorded.epochs if given.epochs is None else given.epochs
    return replace(recorded, epochs=epochs, **{name: getattr(given, name) for name in LAUNCH_OPTIONS})


def _keep_choices(run: RunFolder, options: TrainOptions, team: Team) -> tuple[dict[str, Any], list[str]]:
    """Apply the run's recorded choices on this machine. Returns them and remarks; in another process grid the number of
    threads is chosen again. Raises UserError if a choice can't be kept."""
    folder, machine, remarks = run.path, run.value("machine"), []
    device, recorded = find_device(run.value("machine", "device")), run.value("machine", "threads")
    starts = run.config.get("starts", [])
    before = starts[-1]["layout"] if starts else asdict(ProcessGrid())
    if before == asdict(team.grid):
        if recorded > (here := max(1, cores() // team.local)):
            remarks.append(
                f"{recorded} threads as before, so that sums are bit-identical: slow, as only {here} can run at a time"
            )
        use_threads(recorded)
    else:
        machine = machine | {"threads": set_threads(options.threads, team.local)}
        with reading_errors(folder / "config.json", REMEDY):
            was, now = ProcessGrid(**before).describe(), team.grid.describe()
        remarks.append(
            f"another process grid ({was} before, {now} now): sums are rounded differently, the last bits may differ"
        )
    there_are = kernels.available(device)
    recorded, here = run.value("machine", "kernels").partition(" ")[0], there_are.partition(" ")[0]
    if recorded != here:
        raise UserError(
            f"{folder}: trained with the {recorded} kernels; only the {here} ones are available here ({there_are}). "
            "Resuming would not give the same weights. Resume where it was trained, or start a new run with --from."
        )
    return machine, remarks


def changed_machine(run: RunFolder) -> list[str]:
    """Warnings if other versions or another compiler may round differently, so that resuming is not bit-identical."""
    there = {"torch": run.value("torch"), "kernels": run.value("machine", "kernels")}
    device = run.value("machine", "device")
    here = {"torch": str(torch.__version__), "kernels": kernels.available(device)}
    return [
        f"{name} was {there[name]!r} when this run was started and is {here[name]!r} now: the weights may differ from "
        "those of an uninterrupted run in the last bits"
        for name in there
        if there[name] != here[name]
    ]
