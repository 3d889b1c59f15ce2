"""Training as in [A] §5: batches of 128, momentum, decay, the learning rate divided by 10 when validation stalls."""

import math
import time
from contextlib import ExitStack, nullcontext
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from alexnet.data.batches import Stream, pinned
from alexnet.data.order import epoch_order
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.files.locks import locked
from alexnet.files.schema import to_json
from alexnet.files.tensors import save_tensors
from alexnet.isolation import isolated
from alexnet.measure.accuracy import Counts, evaluate
from alexnet.measure.viewer import ViewAverager
from alexnet.parallel.grid import BatchShard
from alexnet.parallel.launch import agree
from alexnet.parallel.team import ALONE, Team
from alexnet.runs.folder import LAST, MODEL, VELOCITIES, RunFolder, snapshot_epochs
from alexnet.runs.log import Curves, Everyone, Listener, Log, Now, Screen, Unwritten
from alexnet.terminal import progress, say
from alexnet.train.frozen import SeenFeatures, remove_features
from alexnet.train.join import broadcast_end, broadcast_state, receive_state
from alexnet.train.options import TrainOptions
from alexnet.train.resume import check_same_weights, more_epochs, resume_run
from alexnet.train.state import Best, TrainingState, start_run
from alexnet.train.step import Diverged, Outcome, divergence_message, is_asynchronous, train_batch
from alexnet.train.stop import Stop, stop_signals

SHORT_EPOCH_SECONDS = 15.0
"""An epoch that ends within this many seconds of the last save is not saved."""
STUCK_STEPS = 200
"""Updates after which a loss still near ln(classes) deserves a warning."""
STUCK_SHARE = 0.98
"""Fraction of ln(classes) above which the loss counts as near it."""


@isolated()
def train(
    store: Store,
    folder: Path,
    options: TrainOptions,
    *,
    resume: bool = False,
    quiet: bool = False,
    team: Team = ALONE,
    sample_weights: np.ndarray | None = None,
) -> RunFolder:
    """Train a network on `store` and write the run to `folder`. With `resume`, continue the run that is there, if any;
    a finished run is returned as it is, unless `options.epochs` are more than it has. Each process of a `team` calls
    this function; only the leader uses the folder. `sample_weights`: float32 (N,), factors of the training pictures'
    losses, saved in the folder; one process only.

    Raises UserError (UsageError for an option) for what a user can fix: see `start_run` and `resume_run`; a loss that
    is NaN or infinite; a full disk. The last checkpoint is kept in every case.
    """
    resume = agree(team, store, options.device, vars(options)) or resume
    with ExitStack() as stack:
        if not team.leads:
            state, keep_log, notes = receive_state(store, folder, team), 0, []
        else:
            try:
                found = open_or_create_run(store, folder, options, resume, team, stack, sample_weights)
            except UserError as fault:
                broadcast_end(team, fault.exit_code)
                raise
            if isinstance(found, RunFolder):
                broadcast_end(team)
                if not quiet:
                    say(f"{folder}: this run ended after {found.value('epochs_trained')} epochs; nothing is left to do")
                return found
            state, notes, keep_log = found
            broadcast_state(state, team)
        if state is None:
            return RunFolder(folder, {})
        state.take_shard(team)
        if not team.leads:
            run_epochs(state, Unwritten(), Everyone())
            return state.run
        log = Log(folder / "log.jsonl", keep_log)
        screen = [] if quiet else [Screen(state.recipe.epochs)]
        curves = Curves(folder / "tensorboard", state.run.value("options") | state.run.value("recipe"))
        listeners = Everyone(log, Now(folder / "now.json"), curves, *screen)
        try:
            for note in notes:
                listeners.event("note", text=note)
            with nullcontext() if quiet else progress("pictures") as follow:
                state.compute_frozen_features(follow)
            run_epochs(state, log, listeners)
        finally:
            listeners.close()
    return state.run


def open_or_create_run(
    store: Store,
    folder: Path,
    options: TrainOptions,
    resume: bool,
    team: Team,
    stack: ExitStack,
    sample_weights: np.ndarray | None = None,
) -> tuple[TrainingState, list[str], int | None] | RunFolder:
    """A new or resumed run, notes about it and the length of its log's valid prefix; or a run that has ended. The
    folder stays locked until `stack` exits."""
    lock = locked(folder / ".lock", f"{folder}: another process is training in this folder. Wait for it, or end it.")
    if resume and (folder / "config.json").exists():
        stack.enter_context(lock)
        run = RunFolder.open(folder)
        run.sweep()
        check_same_weights(run, sample_weights, team)
        if run.value("finished") and not more_epochs(run, store, options):
            return run
        return resume_run(store, folder, options, team)
    state, notes = start_run(store, folder, options, lambda: stack.enter_context(lock), team, sample_weights)
    if resume:
        notes = [f"{folder}: there is no run to resume, so a new one starts", *notes]
    return state, notes, 0


def run_epochs(state: TrainingState, log: Log | Unwritten, listeners: Listener) -> None:
    """The remaining epochs: train, validate, update the schedule, save."""
    with stop_signals(quiet=not state.team.alone) as stop:
        while not state.finished:
            start = time.monotonic()
            trained = train_epoch(state, log, listeners, stop)
            seconds = time.monotonic() - start
            counts = validate(state)
            refuse_unsound(state, counts)
            log_epoch(state, counts, trained / seconds, listeners)
            warn_if_stuck(state, listeners)
            if change := state.schedule.after(state.cursor.epoch, counts.top1):
                listeners.event("note", text=change)
            stop.agree(state)
            end_epoch(state, counts, log, stop)
            stop.obey(state)
    finish(state, log, listeners)


def train_epoch(state: TrainingState, log: Log | Unwritten, listeners: Listener, stop: Stop) -> int:
    """Train on the rest of the cursor's epoch. Returns the number of pictures it trained on, of all processes."""
    cursor, pictures_before = state.cursor, state.cursor.pictures
    first, start = cursor.batch, time.monotonic()
    outcomes: list[Outcome] = []
    shards, stream = micro_batches(state)
    with stream:
        for shard, micro_batch in zip(shards, stream, strict=True):
            outcomes.append(train_batch(state, micro_batch, state.rates, shard))
            ends_epoch = shard.ends_batch and cursor.batch + 1 == state.batches
            saves = shard.ends_batch and stop.needs_checkpoint(state) and not ends_epoch
            # Don't wait for a GPU: read a batch's loss one batch later, unless a checkpoint depends on it.
            add_outcomes(state, outcomes, leave=int(is_asynchronous(state.device) and not (saves or ends_epoch)))
            if not shard.ends_batch:
                continue
            cursor.next_batch()
            report_step(state, listeners, (time.monotonic() - start) / (cursor.batch - first))
            if saves:
                state.save_checkpoint(log.size)
                stop.obey(state)
    return cursor.pictures - pictures_before


def micro_batches(state: TrainingState) -> tuple[list[BatchShard], Stream]:
    """This process's shards of the rest of the epoch, and a stream that reads their pictures ahead."""
    split, cursor = state.store.splits["train"], state.cursor
    order = epoch_order(len(split), state.options.seed, cursor.epoch)
    numbered = state.team.epoch_shards(order, state.recipe.batch, state.options.accumulation_steps)
    shards = [shard for number, shard in numbered if number >= cursor.batch]
    allocate = pinned if state.device.type == "cuda" else None
    if state.frozen is not None:
        split = SeenFeatures(state.frozen, split.labels, cursor.epoch)
        allocate = split.buffer
    pictures = np.concatenate([shard.indices for shard in shards])
    return shards, Stream(split, len(shards[0].indices), pictures, allocate=allocate)


def add_outcomes(state: TrainingState, outcomes: list[Outcome], leave: int = 0) -> None:
    """Add all but the `leave` newest outcomes to the epoch's sums. Raises Diverged if a loss is not finite.
    All outcomes are read before a checkpoint is saved, so NaN weights are never saved."""
    while len(outcomes) > leave:
        outcome = outcomes.pop(0)
        loss, errors = outcome.read()
        if not math.isfinite(loss):
            raise Diverged(divergence_message(state, outcome.batch, noticed_in=None))
        state.cursor.loss_sum += loss * outcome.pictures
        state.cursor.errors += errors
        state.cursor.pictures += outcome.pictures


def validate(state: TrainingState) -> Counts:
    """Errors on the validation split, one centre view of each picture."""
    state.network.eval()
    if state.frozen is not None:
        return state.frozen.evaluate(state.store.splits["val"].labels, state.device, state.dtype)
    viewer = ViewAverager(state.network, state.inputs, state.device, state.dtype)
    return evaluate(viewer, state.store.splits["val"], team=state.team, network=state.network_shard)


def end_epoch(state: TrainingState, counts: Counts, log: Log | Unwritten, stop: Stop) -> None:
    """Move to the next epoch; save the weights, a snapshot if one is due, and a checkpoint.

    Very short epochs are not all saved: writing a large network would take longer than training it."""
    epoch = state.cursor.epoch
    state.cursor.next_epoch()
    if state.options.snapshots and (epoch in snapshot_epochs(state.recipe.epochs) or state.finished):
        weights = state.weights()
        if state.team.leads:
            state.run.save_snapshot(weights, epoch)
    improves = state.best is None or (counts.top1, counts.mean_nll) < (state.best.error, state.best.nll)
    if state.keeps_best and improves:
        state.best = Best(counts.top1, counts.mean_nll, epoch)
        if epoch > 1:  # before the checkpoint that names this epoch as the best
            save_model(state)
    due = epoch == 1 or state.finished or state.save_is_due or state.seconds_since_save > SHORT_EPOCH_SECONDS
    if stop.agree(state, due) or stop.agreed:
        # The checkpoint is written before model.safetensors: a run that breaks between the two can then be resumed, and
        # a folder with a model but no checkpoint is one of a finished run.
        state.save_checkpoint(log.size)
        if epoch == 1 or not state.keeps_best:
            save_model(state)


def save_model(state: TrainingState, name: str = MODEL) -> None:
    weights = state.weights()
    if state.team.leads:
        state.run.save_model(weights, name=name)


def refuse_unsound(state: TrainingState, counts: Counts) -> None:
    """Raises Diverged if the validation loss or a weight is not finite: such weights are not saved."""
    finite = math.isfinite(counts.nll) and all(bool(torch.isfinite(w).all()) for w in state.network.parameters())
    if any(state.team.any(not finite)):
        raise Diverged(divergence_message(state, state.cursor.batch - 1, noticed_in=None))


def finish(state: TrainingState, log: Log | Unwritten, listeners: Listener) -> None:
    """Mark the run as ended and replace its checkpoints by the files of a finished run: see `RunFolder.end_state`."""
    kept = {}
    save_model(state, LAST if state.keeps_best else MODEL)
    tensors, standing = state.contents(log.size)
    if state.team.leads:
        velocities = {name: tensor for name, tensor in tensors.items() if name.startswith("velocity/")}
        save_tensors(state.run.path / VELOCITIES, velocities, to_json(standing))
    if state.best is not None:
        kept = {"best": asdict(state.best)}
        text = (
            f"model.safetensors has the weights of epoch {state.best.epoch}, the best of {state.cursor.epoch - 1} on "
            f"the validation split ({state.best.error:.2%} wrong); choosing on few pictures flatters this figure"
        )
        listeners.event("note", text=text)
    listeners.event("end", epochs=state.cursor.epoch - 1)
    if state.team.leads:
        state.run.write_config(finished=True, epochs_trained=state.cursor.epoch - 1, **kept)
        state.run.drop_checkpoints()
        remove_features(state.run.path)


# ── reporting ────────────────────────────────────────────────────────────────────────────────────────────────────


def report_step(state: TrainingState, listeners: Listener, seconds_per_batch: float) -> None:
    """Report the running loss, error and speed, once the first outcome is known."""
    cursor = state.cursor
    if not cursor.pictures:
        return
    batches_left = (state.recipe.epochs - cursor.epoch + 1) * state.batches - cursor.batch
    figures = {
        "loss": cursor.loss_sum / cursor.pictures,
        "top1_error": cursor.errors / cursor.pictures,
        "speed": state.recipe.batch / seconds_per_batch,
        "seconds_left": batches_left * seconds_per_batch,
    }
    listeners.step(cursor.epoch, cursor.batch, state.batches, figures)


def log_epoch(state: TrainingState, counts: Counts, pace: float, listeners: Listener) -> None:
    cursor = state.cursor
    listeners.event(
        "epoch",
        epoch=cursor.epoch,
        step=cursor.step,
        learning_rate=state.schedule.rates(cursor.epoch, 1 - 1 / cursor.batch).weights,  # of the epoch's last update
        train_loss=cursor.loss_sum / cursor.pictures,
        train_top1_error=cursor.errors / cursor.pictures,
        val_nll=counts.mean_nll,
        val_top1_error=counts.top1,
        val_top5_error=counts.top5,
        pictures_per_second=round(pace, 1),
    )


def warn_if_stuck(state: TrainingState, listeners: Listener) -> None:
    """Warn once, with the usual causes, if the loss stays at ln(classes): the network is then guessing."""
    cursor, chance = state.cursor, math.log(state.network.table.classes)
    epoch_steps = math.ceil(cursor.pictures / state.recipe.batch)
    due = cursor.step >= STUCK_STEPS > cursor.step - max(epoch_steps, 1)
    if due and cursor.loss_sum / cursor.pictures > STUCK_SHARE * chance:
        text = (
            f"stuck at ln(classes): after {cursor.step} updates the loss is still {chance:.2f}, as for guesses. "
            "Usual causes: initial weights too small for the data (--init code rather than paper), a learning rate too "
            "small or too large (--learning-rate), labels that do not match their pictures (`alexnet report` shows "
            "some). Small data sets can need some hundred updates more."
        )
        listeners.event("note", text=text)
