"""Being asked to stop: between two batches, with the state saved."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from alexnet.errors import UserError
from alexnet.train.state import TrainingState


class Interrupted(UserError):
    """The user (or the system) asked the run to stop; its state is saved."""

    exit_code = 130


class Stop:
    """Whether the run was asked to stop; it does so between two batches, its state saved."""

    asked = False
    agreed = False

    def agree(self, state: TrainingState, due: bool = False) -> bool:
        """Hear whether any process was asked to stop, and tell whether a save is `due` for any."""
        due, self.agreed = state.team.any(due, self.asked)
        return due

    def needs_checkpoint(self, state: TrainingState) -> bool:
        """Whether all save now: any process was asked to stop, or a save is due for any."""
        return self.agree(state, state.save_is_due) or self.agreed

    def obey(self, state: TrainingState) -> None:
        if self.agreed:
            alone = f"alexnet train {state.store.path} --out {state.run.path} --resume"
            command = alone if state.team.alone else "the same line of torchrun and --resume"
            raise Interrupted(f"stopped, all is saved. Go on with: {command}")


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stop_signals(quiet: bool = False) -> Iterator[Stop]:
    """Turn Ctrl-C, SIGTERM and the closing of the terminal into a request to stop; a second one stops at once.

    Signals stay as they are if they are ignored (`nohup`, a shell's background job) or handled by code in C, whose
    handlers Python can't put back; and all of them outside the main thread, where Python handles none.
    """
    stop = Stop()

    def ask(number: int, _frame: object) -> None:
        if stop.asked:
            if number == signal.SIGHUP:  # a closing terminal often sends two
                return
            raise KeyboardInterrupt
        stop.asked = True
        if not quiet:
            print("stopping after this batch; once more stops at once", file=sys.stderr, flush=True)

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
