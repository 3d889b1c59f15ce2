"""Stopping on request: between two batches, after saving a checkpoint."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from alexnet.errors import UserError
from alexnet.train.state import TrainingState


class Interrupted(UserError):
    """The user or the system asked the run to stop; a checkpoint is saved."""

    exit_code = 130


class Stop:
    """Whether the run was asked to stop. `agreed` is the same on all processes of a run."""

    asked = False
    agreed = False

    def agree(self, state: TrainingState, due: bool = False) -> bool:
        """Exchange with all processes: sets `agreed` if any was asked to stop; returns whether a save is `due` for
        any."""
        due, self.agreed = state.team.any(due, self.asked)
        return due

    def needs_checkpoint(self, state: TrainingState) -> bool:
        """Whether all processes save now: any was asked to stop, or a save is due for any."""
        return self.agree(state, state.save_is_due) or self.agreed

    def obey(self, state: TrainingState) -> None:
        if self.agreed:
            alone = f"alexnet train {state.store.path} --out {state.run.path} --resume"
            command = alone if state.team.alone else "the same torchrun command and --resume"
            raise Interrupted(f"stopped; everything is saved. Resume with: {command}")


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stop_signals(quiet: bool = False) -> Iterator[Stop]:
    """Turn Ctrl-C, SIGTERM and the closing of the terminal into a request to stop; a second one stops at once.

    Signals that are ignored (`nohup`, a shell's background job) stay ignored, and those handled by C code, whose
    handlers Python can't restore, stay with it. Outside the main thread, where Python handles no signals, nothing
    changes.
    """
    stop = Stop()

    def ask(number: int, _frame: object) -> None:
        if stop.asked:
            if number == signal.SIGHUP:  # a closing terminal often sends two
                return
            raise KeyboardInterrupt
        stop.asked = True
        if not quiet:
            print("stopping after this batch; press again to stop at once", file=sys.stderr, flush=True)

    before = {number: signal.getsignal(number) for number in SIGNALS}
    mine = {number: handler for number, handler in before.items() if handler not in (None, signal.SIG_IGN)}
    if threading.current_thread() is not threading.main_thread():
        mine = {}
    for number in mine:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in mine.items():
            signal.signal(number, handler)
