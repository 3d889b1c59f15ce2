"""Training as in [A] §5: batches of 128, momentum, decay, the learning rate divided by 10 when validation stalls."""

import math
import shlex
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch

from alexnet.data.batches import Stream, pinned
from alexnet.data.order import epoch_order
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.files.locks import locked
from alexnet.isolation import isolated
from alexnet.measure.accuracy import Counts
from alexnet.measure.viewer import ViewAverager
from alexnet.parallel.grid import Deal
from alexnet.parallel.launch import agree
from alexnet.parallel.team import ALONE, Team
from alexnet.runs.folder import RunFolder, snapshot_epochs
from alexnet.runs.log import Curves, Everyone, Listener, Log, Now, Screen, Unwritten
from alexnet.terminal import say
from alexnet.train.join import joined_job, tell_ended, tell_team
from alexnet.train.options import TrainOptions
from alexnet.train.resume import check_same_store, check_same_weights, recorded_options, resumed_job
from alexnet.train.state import TrainingState, new_job
from alexnet.train.step import Diverged, Outcome, train_batch, went_wrong, works_behind
from alexnet.train.stop import Stop, stop_signals

SHORT_EPOCH_SECONDS = 15.0
"""An epoch that ends sooner after the last save is not saved itself."""
STUCK_STEPS = 200
"""Updates after which a loss that still stands at ln(classes) is worth a warning."""
STUCK_SHARE = 0.98


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
    """Train a network on `store` into the run folder `folder`; with `resume` go on with the run that is there, if any
    (a run that has ended is given back as it is). Each process of a `team` calls this; only its leader uses the folder.
    `sample_weights`: float32 (N,), factors of the training pictures' losses, kept in the folder; in one process only.

    Raises UserError (UsageError for an option) for what a user can mend: see `new_job`, `resumed_job`; a loss that is
    no number; a full disk. Whatever happens, the last saved state stays.
    """
    resume = agree(team, store, options) or resume
    with ExitStack() as stack:
        if not team.leads:
            job, keep_log, notes = joined_job(store, folder, options, team), 0, []
        else:
            try:
                found = lay_out(store, folder, options, resume, team, stack, sample_weights)
            except UserError as fault:
                tell_ended(team, fault.exit_code)
                raise
            if isinstance(found, RunFolder):
                tell_ended(team)
                if not quiet:
                    say(f"{folder}: this run ended after {found.value('epochs_trained')} epochs; nothing is left to do")
                return found
            job, notes, keep_log = found
            tell_team(job, team)
        if job is None:
            return RunFolder(folder, {})
        job.take_part(team)
        if not team.leads:
            run_epochs(job, Unwritten(), Everyone())
            return job.run
        log = Log(folder / "log.jsonl", keep_log)
        screen = [] if quiet else [Screen(job.epochs)]
        curves = Curves(folder / "tensorboard", job.run.value("options") | job.run.value("recipe"))
        listeners = Everyone(log, Now(folder / "now.json"), curves, *screen)
        try:
            for note in notes:
                listeners.event("note", text=note)
            run_epochs(job, log, listeners)
        finally:
            listeners.close()
    return job.run


def lay_out(
    store: Store,
    folder: Path,
    options: TrainOptions,
    resume: bool,
    team: Team,
    stack: ExitStack,
    sample_weights: np.ndarray | None = None,
) -> tuple[TrainingState, list[str], int | None] | RunFolder:
    """A job, new or taken up again, with notes and the bytes of its log that stand; or a run that has ended. The
    folder's lock is held until `stack` is left."""
    lock = locked(folder / ".lock", f"{folder}: another process is training in this folder. Wait for it, or end it.")
    if resume and (folder / "config.json").exists():
        stack.enter_context(lock)
        run = RunFolder.open(folder)
        run.sweep()
        check_same_weights(run, sample_weights, team)
        if run.value("finished"):
            return ended(run, store, options)
        return resumed_job(store, folder, options, team)
    job, notes = new_job(store, folder, options, lambda: stack.enter_context(lock), team, sample_weights)
    if resume:
        notes = [f"{folder}: there is no run to go on with; this is a new one", *notes]
    return job, notes, 0


def ended(run: RunFolder, store: Store, options: TrainOptions) -> RunFolder:
    """A run that has ended already: nothing is left to do, unless more epochs, or another run, are asked for."""
    recorded_options(run, options)
    check_same_store(run, store)
    trained = run.value("epochs_trained")
    if options.epochs is not None and options.epochs > max(trained, run.value("options", "epochs") or 0):
        raise UserError(
            f"{run.path}: this run ended after {trained} epochs. To train further, start a new run from its weights: "
            f"alexnet train {shlex.quote(str(store.path))} --out NEW --from {shlex.quote(str(run.path))} --take all"
            f" --epochs {options.epochs - trained}"
        )
    return run


def run_epochs(job: TrainingState, log: Log | Unwritten, listeners: Listener) -> None:
    """Every epoch that is left: train, validate, let the schedule hear of it, save."""
    with stop_signals(quiet=not job.team.alone) as stop:
        while not job.finished:
            start = time.monotonic()
            trained = train_epoch(job, log, listeners, stop)
            seconds = time.monotonic() - start
            counts = validate(job)
            refuse_unsound(job, counts)
            tell_epoch(job, counts, trained / seconds, listeners)
            warn_if_stuck(job, listeners)
            if change := job.schedule.after(job.cursor.epoch, counts.top1):
                listeners.event("note", text=change)
            stop.agree(job)
            end_epoch(job, log, stop)
            stop.obey(job)
    finish(job, listeners)


def train_epoch(job: TrainingState, log: Log | Unwritten, listeners: Listener, stop: Stop) -> int:
    """The rest of the epoch that the cursor stands in. Gives the pictures trained on here."""
    part, cursor, team = job.store.parts["train"], job.cursor, job.team
    pictures_before = cursor.pictures
    order = epoch_order(len(part), job.seed, cursor.epoch)
    batches, first, start = math.ceil(len(part) / job.batch), cursor.batch, time.monotonic()
    waiting: list[Outcome] = []
    allocate = pinned if job.device.type == "cuda" else None
    own, size = team.own_order(order, job.piece), len(team.deal(np.arange(job.piece)).indices)
    with Stream(part, size, own, start=cursor.batch * job.accumulation_steps, allocate=allocate) as stream:
        for place, piece in enumerate(stream):
            rates = job.schedule.rates(cursor.epoch, cursor.batch / batches)
            dealt = dealt_out(job, order, place % job.accumulation_steps)
            waiting.append(train_batch(job, piece, rates, dealt))
            ends = dealt.ends and cursor.batch + 1 == batches
            saves = dealt.ends and (stop.agree(job, job.save_is_due) or stop.agreed) and not ends
            count_all(job, waiting, stay=1 if works_behind(job.device) and not (saves or ends) else 0)
            if not dealt.ends:
                continue
            cursor.batch, cursor.step = cursor.batch + 1, cursor.step + 1
            seconds = (time.monotonic() - start) / (cursor.batch - first)
            if cursor.pictures:
                listeners.step(cursor.epoch, cursor.batch, batches, running_figures(job, seconds, batches))
            if saves:
                job.save_state(log.size)
                stop.obey(job)
    return cursor.pictures - pictures_before


def count_in(job: TrainingState, outcome: Outcome) -> None:
    """Add an update's outcome to the epoch's sums. Raises UserError if the loss is no number: that is before any state
    made from it is saved, since nothing is saved while an outcome waits."""
    loss, errors = outcome.read()
    if not math.isfinite(loss):
        raise Diverged(went_wrong(job, outcome.batch, noticed_in=None))
    job.cursor.loss_sum += loss * outcome.pictures
    job.cursor.errors += errors
    job.cursor.pictures += outcome.pictures


def count_all(job: TrainingState, waiting: list[Outcome], stay: int) -> None:
    """Add all but the `stay` newest of the waiting outcomes to the epoch's sums."""
    while len(waiting) > stay:
        count_in(job, waiting.pop(0))


def dealt_out(job: TrainingState, order: np.ndarray, number: int) -> Deal:
    """Piece `number` (from 0) of the batch at the cursor, dealt out over the processes; the last batch of an epoch may
    be short."""
    whole = order[job.cursor.batch * job.batch : (job.cursor.batch + 1) * job.batch]
    before = number * job.piece
    return job.team.deal(whole[before : before + job.piece], before=before, of=len(whole))


def validate(job: TrainingState) -> Counts:
    """The centre view of every validation picture."""
    job.network.eval()
    viewer = ViewAverager(job.network, job.inputs, job.device, job.dtype)
    return job.team.evaluate(viewer, job.part, job.store.parts["val"])


def end_epoch(job: TrainingState, log: Log | Unwritten, stop: Stop) -> None:
    """Move to the next epoch; keep the weights, a snapshot where one is due, and the state.

    Epochs of a few seconds are not all kept: writing a large network would take longer than training it."""
    epoch = job.cursor.epoch
    job.cursor.next_epoch()
    if job.snapshots and (epoch in snapshot_epochs(job.epochs) or job.finished):
        weights = job.weights()
        if job.team.leads:
            job.run.save_snapshot(weights, epoch)
    due = epoch == 1 or job.finished or job.save_is_due or job.seconds_since_save > SHORT_EPOCH_SECONDS
    if stop.agree(job, due) or stop.agreed:
        # The state first: whoever finds a model.safetensors finds a state to go on from, or a run that has ended.
        job.save_state(log.size)
        save_model(job)


def save_model(job: TrainingState) -> None:
    weights = job.weights()
    if job.team.leads:
        job.run.save_model(weights)


def refuse_unsound(job: TrainingState, counts: Counts) -> None:
    """Raises UserError if the validation gave no number or a weight is none: such weights are not saved."""
    spoilt = not math.isfinite(counts.nll) or not all(bool(torch.isfinite(w).all()) for w in job.network.parameters())
    if any(job.team.any(spoilt)):
        raise Diverged(went_wrong(job, job.cursor.batch - 1, noticed_in=None))


def finish(job: TrainingState, listeners: Listener) -> None:
    """Say that the run has ended. Its states go: the weights are in model.safetensors."""
    save_model(job)
    listeners.event("end", epochs=job.cursor.epoch - 1)
    if job.team.leads:
        job.run.write_config(finished=True, epochs_trained=job.cursor.epoch - 1)
        job.run.drop_states()


# ── what a person should know ────────────────────────────────────────────────────────────────────────────────────


def running_figures(job: TrainingState, seconds_per_batch: float, batches: int) -> dict[str, float]:
    cursor = job.cursor
    batches_left = (job.epochs - cursor.epoch + 1) * batches - cursor.batch
    return {
        "loss": cursor.loss_sum / cursor.pictures,
        "top1_error": cursor.errors / cursor.pictures,
        "speed": job.batch / seconds_per_batch,
        "seconds_left": batches_left * seconds_per_batch,
    }


def tell_epoch(job: TrainingState, counts: Counts, pace: float, listeners: Listener) -> None:
    cursor = job.cursor
    listeners.event(
        "epoch",
        epoch=cursor.epoch,
        step=cursor.step,
        learning_rate=job.schedule.rates(cursor.epoch, 1 - 1 / cursor.batch).weights,  # its last update's
        train_loss=cursor.loss_sum / cursor.pictures,
        train_top1_error=cursor.errors / cursor.pictures,
        val_nll=counts.mean_nll,
        val_top1_error=counts.top1,
        val_top5_error=counts.top5,
        pictures_per_second=round(pace, 1),
    )


def warn_if_stuck(job: TrainingState, listeners: Listener) -> None:
    """A loss at ln(classes) says that the network guesses: name it, with the usual causes (once)."""
    cursor, chance = job.cursor, math.log(job.network.table.classes)
    epoch_steps = math.ceil(cursor.pictures / job.batch)
    due = cursor.step >= STUCK_STEPS > cursor.step - max(epoch_steps, 1)
    if due and cursor.loss_sum / cursor.pictures > STUCK_SHARE * chance:
        text = (
            f"stuck at ln(classes): after {cursor.step} updates the loss still stands at {chance:.2f}, as for guesses. "
            "Usual causes: initial weights too small for the data (--init code rather than paper), a learning rate too "
            "small or too large (--learning-rate), labels that do not belong to their pictures (`alexnet report` shows "
            "some). Small sets can take some hundred updates more."
        )
        listeners.event("note", text=text)
