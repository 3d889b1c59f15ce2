"""Being asked to stop: between two batches, with the state saved."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from alexnet.errors import UserError
from alexnet.train.job import Job


class Interrupted(UserError):
    """The user (or the system) asked the run to stop; its state is saved."""

    exit_code = 130


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
