"""The program `alexnet`: streams, faults as one line, and exit codes. `commands/` holds the verbs.

Exit codes: 0 done, 1 a fault that the user can mend (UserError), 2 a wrong verb, option or argument, 130 interrupted,
141 the reader of the output stopped reading.
"""

import io
import os
import sys
from collections.abc import Sequence
from typing import Any

import alexnet
from alexnet.commands.dispatch import execute, overview
from alexnet.errors import UsageError, UserError
from alexnet.files.atomic import file_fault
from alexnet.text import printable

INTERRUPTED = 130  # 128 + SIGINT, as shells report it
UNREAD = 141  # 128 + SIGPIPE
STANDARD_OUTPUT = "standard output"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (by default this process's), return its exit code."""
    use_robust_streams()
    # libgomp's threads then wait in a loop for microseconds, not milliseconds: on a machine that others use too, steps
    # take half the time. A value that is set beforehand is kept (docs/performance.md).
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    try:
        try:
            return obey(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            sys.stdout.flush()  # here, where a fault can still be reported
    except UserError as fault:
        return say(str(fault), fault.exit_code)
    except KeyboardInterrupt:
        return say("interrupted", INTERRUPTED)
    except BrokenPipeError:
        discard_output()
        return UNREAD
    except OSError as fault:
        if fault.filename is None:
            raise
        if fault.filename == STANDARD_OUTPUT:
            discard_output()
        return say(str(file_fault(fault, os.fsdecode(fault.filename))), UserError.exit_code)


def obey(arguments: list[str]) -> int:
    if not arguments:
        print(overview(), file=sys.stderr)
        return UsageError.exit_code
    if arguments[0] in ("-h", "--help"):
        print(overview())
    elif arguments[0] == "--version":
        print(f"alexnet {alexnet.__version__}")
    else:
        execute(arguments)
    return 0


def say(message: str, code: int) -> int:
    print(printable(f"alexnet: {message}", keep="\n\t"), file=sys.stderr)
    return code


# ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Stream(io.FileIO):
    """Standard output, whose faults are named; or standard error, whose faults end nothing: no one could read them."""

    def write(self, data: Any) -> int | None:
        try:
            return super().write(data)
        except OSError as fault:
            if self.fileno() == 2:
                return len(data)
            fault.filename = STANDARD_OUTPUT
            raise


def use_robust_streams() -> None:
    """Open streams that the caller has closed; let no character that the terminal lacks, and no fault of stderr, end
    the program."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:  # else the next file that is opened gets the number, and what is printed
            os.dup2(os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY), number)
            setattr(sys, name, open(number, "r" if name == "stdin" else "w", closefd=False))  # noqa: SIM115
            setattr(sys, f"__{name}__", getattr(sys, name))
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper):
            continue
        if stream is getattr(sys, f"__{name}__"):  # not where a test or a notebook has put its own
            stream.flush()
            at_once = name == "stderr" or stream.line_buffering or stream.write_through
            buffer = io.BufferedWriter(Stream(stream.fileno(), "w", closefd=False))
            stream = io.TextIOWrapper(buffer, stream.encoding, line_buffering=at_once)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        stream.reconfigure(errors="backslashreplace")


def discard_output() -> None:
    """Python flushes stdout once more at its end: let that go nowhere, or it complains."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
