"""Training, as [A] §5 tells it: batches of 128, momentum, decay, the rate divided by 10 when validation stalls.

B pictures of a batch · K classes.
"""

import math
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.data.order import epoch_order
from alexnet.data.store import Store
from alexnet.data.stream import Batch, Stream
from alexnet.data.upload import pinned, upload
from alexnet.errors import UserError
from alexnet.files import locked
from alexnet.measure.accuracy import Counts, Viewer, rank_of_truth
from alexnet.runs import RunFolder, snapshot_epochs
from alexnet.train.job import Job, new_job
from alexnet.train.options import TrainOptions
from alexnet.train.parallel.join import joined_job, tell_ended, tell_team
from alexnet.train.parallel.launch import agree
from alexnet.train.parallel.layout import Deal, deal
from alexnet.train.parallel.team import ALONE, Team
from alexnet.train.record import Curves, Everyone, Listener, Log, Screen, Unwritten
from alexnet.train.resume import check_same_store, recorded_options, resumed_job
from alexnet.train.schedule import Rates

SHORT_EPOCH_SECONDS = 15.0
"""An epoch that ends sooner after the last save is not saved itself."""
STUCK_STEPS = 200
"""Updates after which a loss that still stands at ln(classes) is worth a warning."""
STUCK_SHARE = 0.98


class Interrupted(UserError):
    """The user (or the system) asked the run to stop; its state is saved."""

    exit_code = 130


class Diverged(UserError):
    """The loss, or a weight, is not a number."""


def train(
    store: Store,
    folder: Path,
    options: TrainOptions,
    *,
    resume: bool = False,
    quiet: bool = False,
    team: Team = ALONE,
) -> RunFolder:
    """Train a network on `store` into the run folder `folder`; with `resume` go on with the run that is there, if any
    (a run that has ended is given back as it is). Each process of a `team` calls this; only its leader uses the folder.

    Raises UserError (UsageError for an option) for what a user can mend: see `new_job`, `resumed_job`; a loss that is
    no number; a full disk. Whatever happens, the last saved state stays.
    """
    resume = agree(team, store, options) or resume
    with ExitStack() as stack:
        if not team.leads:
            job, keep_log, notes = joined_job(store, folder, options, team), 0, []
        else:
            try:
                found = lay_out(store, folder, options, resume, team, stack)
            except UserError as fault:
                tell_ended(team, fault.exit_code)
                raise
            if isinstance(found, RunFolder):
                tell_ended(team)
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
        listeners = Everyone(log, Curves(folder / "tensorboard"), *([] if quiet else [Screen(job.epochs)]))
        try:
            for note in notes:
                listeners.event("note", text=note)
            run_epochs(job, log, listeners)
        finally:
            listeners.close()
    return job.run


def lay_out(
    store: Store, folder: Path, options: TrainOptions, resume: bool, team: Team, stack: ExitStack
) -> tuple[Job, list[str], int | None] | RunFolder:
    """A job, new or taken up again, with notes and the bytes of its log that stand; or a run that has ended. The
    folder's lock is held until `stack` is left."""
    lock = locked(folder / ".lock", f"{folder}: another process is training in this folder. Wait for it, or end it.")
    if resume and (folder / "config.json").exists():
        stack.enter_context(lock)
        run = RunFolder.open(folder)
        run.sweep()
        if run.value("finished"):
            return ended(run, store, options)
        return resumed_job(store, folder, options, team)
    job, notes = new_job(store, folder, options, claim=lambda: stack.enter_context(lock), team=team)
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
            f"{run.path}: this run ended after {trained} epochs. To train further start a new one --from {run.path}."
        )
    return run


def run_epochs(job: Job, log: Log | Unwritten, listeners: Listener) -> None:
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


def train_epoch(job: Job, log: Log | Unwritten, listeners: Listener, stop: "Stop") -> int:
    """The rest of the epoch that the cursor stands in. Gives the pictures trained on here."""
    part, cursor, team = job.store.parts["train"], job.cursor, job.team
    pictures_before = cursor.pictures
    order = epoch_order(len(part), job.seed, cursor.epoch)
    batches, first, start = math.ceil(len(part) / job.batch), cursor.batch, time.monotonic()
    waiting: list[Outcome] = []
    allocate = pinned if job.device.type == "cuda" else None
    own, size = team.own_order(order, job.piece), len(team.deal(np.arange(job.piece)).indices)
    with Stream(part, size, own, start=cursor.batch * job.accumulate, allocate=allocate) as stream:
        for place, piece in enumerate(stream):
            rates = job.schedule.rates(cursor.epoch, cursor.batch / batches)
            dealt = dealt_out(job, order, place % job.accumulate)
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


def works_behind(device: torch.device) -> bool:
    """Whether the device works behind the program that feeds it, and should never wait for it."""
    return device.type == "cuda"


class Outcome:
    """What a batch (or a piece of one) showed: its mean loss and its count of top-1 errors, on their way from the
    device.

    On a GPU they are looked at one later: they are copied here behind its work, and `read` waits for that copy
    only. When it returns, the batch's pictures are no longer needed: the stream may fill their buffer.
    """

    def __init__(self, figures: Tensor, batch: int, pictures: int) -> None:
        """`figures`: loss and errors, (2,)."""
        self.batch, self.pictures = batch, pictures
        self._figures = figures.to("cpu", non_blocking=works_behind(figures.device))
        self._arrived = None
        if figures.device.type == "cuda":
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    def read(self) -> tuple[float, int]:
        """(mean loss, errors)."""
        if self._arrived is not None:
            self._arrived.synchronize()
        loss, errors = self._figures.tolist()
        return loss, int(errors)


def count_in(job: Job, outcome: Outcome) -> None:
    """Add an update's outcome to the epoch's sums. Raises UserError if the loss is no number: that is before any state
    made from it is saved, since nothing is saved while an outcome waits."""
    loss, errors = outcome.read()
    if not math.isfinite(loss):
        raise Diverged(went_wrong(job, outcome.batch, noticed_in=None))
    job.cursor.loss_sum += loss * outcome.pictures
    job.cursor.errors += errors
    job.cursor.pictures += outcome.pictures


def count_all(job: Job, waiting: list[Outcome], stay: int) -> None:
    """Add all but the `stay` newest of the waiting outcomes to the epoch's sums."""
    while len(waiting) > stay:
        count_in(job, waiting.pop(0))


def dealt_out(job: Job, order: np.ndarray, number: int) -> Deal:
    """Piece `number` (from 0) of the batch at the cursor, dealt out over the processes; the last batch of an epoch may
    be short."""
    whole = order[job.cursor.batch * job.batch : (job.cursor.batch + 1) * job.batch]
    before = number * job.piece
    return job.team.deal(whole[before : before + job.piece], before=before, of=len(whole))


def train_batch(job: Job, batch: Batch, rates: Rates, dealt: Deal | None = None) -> Outcome:
    """One update; or, for a piece of a batch, its share of the gradient, and the update behind the last one. `batch` is
    the own share of what is `dealt` out; without, it is a whole batch."""
    dealt = dealt or deal(batch.indices)
    pictures, labels = upload(batch.pictures, job.device), upload(batch.labels, job.device)
    return learn(job, augmented(job, batch.indices, pictures, rates, dealt.first), labels, dealt, rates)


def learn(job: Job, inputs: Tensor, labels: Tensor, dealt: Deal, rates: Rates) -> Outcome:
    """The same with pictures that are augmented already. On the CPU a loss that is no number is seen before the update.

    Nothing depends on how a batch is cut but the order of additions: each picture has its own crop, noise and dropout
    masks, and the mean over the batch is the weighted mean over its pieces.
    """
    job.network.train()
    job.part.take_place(job.seed, job.cursor.epoch, dealt, job.device)
    if dealt.begins:
        job.update.forget_gradients()
    with job.learning.piece(last=dealt.ends):
        loss, errors = own_loss(job.learning.forward(inputs), labels, dealt)
        figures = job.team.sum(torch.stack((loss.detach(), errors.to(loss.dtype))))
        if not works_behind(job.device) and not math.isfinite(figures[0].item()):
            raise Diverged(went_wrong(job, job.cursor.batch, noticed_in=inputs if job.team.alone else None))
        if loss.requires_grad:  # where only the last layer learns, columns without it have nothing to do
            (loss * dealt.weight).backward()
    if dealt.ends:
        job.update.step(rates)
    return Outcome(figures, job.cursor.batch, dealt.total)


def own_loss(logits_bk: Tensor, labels: Tensor, dealt: Deal) -> tuple[Tensor, Tensor]:
    """What the own pictures add to the mean loss of those dealt out, and how many of them are wrong. Nothing comes from
    a stand-in for no picture, and from a column that has no last layer, (b, 0) logits."""
    if logits_bk.shape[1] == 0:
        return logits_bk.sum(), torch.zeros((), device=logits_bk.device)
    counts = float(dealt.counts)
    loss = F.cross_entropy(logits_bk, labels, reduction="sum") * counts / dealt.total
    return loss, (rank_of_truth(logits_bk.detach(), labels) > 0).sum() * counts


def augmented(job: Job, indices: np.ndarray, pictures: Tensor, rates: Rates, first: int = 0) -> Tensor:
    """The pictures as the network takes them; `first`: the place of the first of them in their batch."""
    augmentation = job.augmentation if rates.colour else job.augmentation.without_colour()
    return augmentation.apply(
        pictures,
        job.inputs,
        seed=job.seed,
        epoch=job.cursor.epoch,
        indices=indices,
        first=job.cursor.batch * job.batch + first,
        dtype=job.dtype,
    )


def validate(job: Job) -> Counts:
    """The centre view of every validation picture."""
    job.network.eval()
    viewer = Viewer(job.network, job.inputs, job.device, job.dtype)
    return job.team.evaluate(viewer, job.part, job.store.parts["val"])


def end_epoch(job: Job, log: Log | Unwritten, stop: "Stop") -> None:
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


def save_model(job: Job) -> None:
    weights = job.weights()
    if job.team.leads:
        job.run.save_model(weights)


def refuse_unsound(job: Job, counts: Counts) -> None:
    """Raises UserError if the validation gave no number or a weight is none: such weights are not saved."""
    spoilt = not math.isfinite(counts.nll) or not all(bool(torch.isfinite(w).all()) for w in job.network.parameters())
    if any(job.team.any(spoilt)):
        raise Diverged(went_wrong(job, job.cursor.batch - 1, noticed_in=None))


def finish(job: Job, listeners: Listener) -> None:
    """Say that the run has ended. Its states go: the weights are in model.safetensors."""
    save_model(job)
    listeners.event("end", epochs=job.cursor.epoch - 1)
    if job.team.leads:
        job.run.write_config(finished=True, epochs_trained=job.cursor.epoch - 1)
        job.run.drop_states()


# ── what a person should know ────────────────────────────────────────────────────────────────────────────────────


def running_figures(job: Job, seconds_per_batch: float, batches: int) -> dict[str, float]:
    cursor = job.cursor
    batches_left = (job.epochs - cursor.epoch + 1) * batches - cursor.batch
    return {
        "loss": cursor.loss_sum / cursor.pictures,
        "top1_error": cursor.errors / cursor.pictures,
        "speed": job.batch / seconds_per_batch,
        "seconds_left": batches_left * seconds_per_batch,
    }


def tell_epoch(job: Job, counts: Counts, pace: float, listeners: Listener) -> None:
    cursor = job.cursor
    listeners.event(
        "epoch",
        epoch=cursor.epoch,
        step=cursor.step,
        rate=job.schedule.rates(cursor.epoch, 1 - 1 / cursor.batch).weights,  # its last update's
        train_loss=cursor.loss_sum / cursor.pictures,
        train_top1_error=cursor.errors / cursor.pictures,
        val_nll=counts.mean_nll,
        val_top1_error=counts.top1,
        val_top5_error=counts.top5,
        pictures_per_second=round(pace, 1),
    )


def warn_if_stuck(job: Job, listeners: Listener) -> None:
    """A loss at ln(classes) says that the network guesses: name it, with the usual causes (once)."""
    cursor, chance = job.cursor, math.log(job.network.table.classes)
    epoch_steps = math.ceil(cursor.pictures / job.batch)
    due = cursor.step >= STUCK_STEPS > cursor.step - max(epoch_steps, 1)
    if due and cursor.loss_sum / cursor.pictures > STUCK_SHARE * chance:
        text = (
            f"stuck at ln(classes): after {cursor.step} updates the loss still stands at {chance:.2f}, as for guesses. "
            "Usual causes: initial weights too small for the data (--init code rather than paper), a rate too small or "
            "too large (--rate), labels that do not belong to their pictures (`alexnet report` shows some). Small sets "
            "can take some hundred updates more."
        )
        listeners.event("note", text=text)


def went_wrong(job: Job, batch: int, *, noticed_in: Tensor | None) -> str:
    """What to tell of a loss that is no number: the first layer whose output is none, or whose weights are, for the
    inputs it was `noticed_in`. None: it was noticed after the update, which has spoilt all weights."""
    where = (
        f"it first went wrong in {_culprit(job, noticed_in)}"
        if noticed_in is not None
        else "in which layer it went wrong is told by one process on the CPU only (--device cpu)"
    )
    return (
        f"the loss is not a number in epoch {job.cursor.epoch}, batch {batch + 1}; {where}. "
        f"The last good state is kept in {job.run.path}. Try a smaller --rate, or --precision fp32."
    )


def _culprit(job: Job, inputs: Tensor) -> str:
    for name, weight in job.network.named_parameters():
        if not torch.isfinite(weight).all():
            return name
    with torch.no_grad():
        maps = job.network.activations(inputs).maps
    return next((name for name, values in maps.items() if not torch.isfinite(values).all()), "the loss itself")


# ── being asked to stop ──────────────────────────────────────────────────────────────────────────────────────────


class Stop:
    """Whether the run was asked to stop; it does so between two batches, its state saved."""

    asked = False
    agreed = False

    def agree(self, job: Job, due: bool = False) -> bool:
        """Hear whether any process was asked to stop, and tell whether a save is `due` for any."""
        due, self.agreed = job.team.any(due, self.asked)
        return due

    def obey(self, job: Job) -> None:
        if self.agreed:
            alone = f"alexnet train {job.store.path} --out {job.run.path} --resume"
            command = alone if job.team.alone else "the same line of torchrun and --resume"
            raise Interrupted(f"stopped, all is saved. Go on with: {command}")


@contextmanager
def stop_signals(quiet: bool = False) -> Iterator[Stop]:
    """Turn Ctrl-C and SIGTERM into a wish to stop; a second one stops at once."""
    stop = Stop()

    def ask(_number: int, _frame: object) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True
        if not quiet:
            print("stopping after this batch; once more stops at once", file=sys.stderr, flush=True)

    try:
        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: signals stay with whoever handles them
        yield stop
        return
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
