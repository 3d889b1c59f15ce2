"""What may come of a file from a stranger: it is taken, or refused in one sentence. All else is a fault.

A `Watch` makes what must not happen into an exception: ten seconds passed, memory grown, a process started, code
compiled, an address called, a pickle's name looked up, a file outside the case's folder written.
"""

import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from alexnet.errors import UserError

SECONDS = 10.0
GROWTH_BYTES = 512 << 20
LONGEST_SENTENCE = 2_000
STARTS = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.forkpty",
    "subprocess.Popen",
    "pty.spawn",
    "os.startfile",
)
CALLS = ("socket.connect", "socket.bind", "socket.sendto", "urllib.Request", "ctypes.dlopen", "pickle.find_class")
WRITES = (
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.symlink",
    "os.link",
    "os.truncate",
    "os.chmod",
    "os.chown",
)
WRITES += ("os.utime", "shutil.rmtree", "shutil.copyfile", "shutil.move", "shutil.unpack_archive")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Forbidden(BaseException):
    """What no file may make the program do. No `Exception`: nothing on the way takes it for damage."""


class TooLong(BaseException):
    """The case took longer than SECONDS."""


class Watch:
    """Holds cases against the rules. One for each process; the hook stays, and looks only while a case is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = os.path.realpath(folder)
        self.code = tuple(os.path.realpath(path) for path in {*sys.path, sys.prefix, sys.base_prefix} if path)
        self._on, self._seen = False, ""
        self._most = _most_memory()
        sys.addaudithook(self._hook)

    def judge(self, take: Callable[[bytes], object], data: bytes) -> tuple[str, str]:
        """("taken", ""), ("refused", the sentence), or ("fault", what it was and where)."""
        self._seen, self._on = "", True
        before = signal.signal(signal.SIGALRM, _too_long)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            take(data)
            found = "taken", ""
        except UserError as fault:
            found = _as_sentence(fault)
        except OSError as fault:
            found = ("refused", str(fault)) if fault.filename is not None else ("fault", where_of(fault))
        except KeyboardInterrupt:
            raise
        except BaseException as fault:
            found = "fault", where_of(fault)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._on = False
            signal.signal(signal.SIGALRM, before)
        if self._seen:
            return "fault", self._seen
        most = _most_memory()
        grown, self._most = most - self._most, max(most, self._most)
        return ("fault", f"memory grew by {grown >> 20} MB") if grown > GROWTH_BYTES else found

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event == "open":
            self._check_open(*arguments)
        elif event in STARTS or event in CALLS:
            self._refuse(f"{event} {str(arguments)[:80]}")
        elif event in WRITES:
            within = (
                arguments[-1] if isinstance(arguments[-1], int) and len(arguments) > 1 and arguments[-1] >= 0 else None
            )
            self._check_place(event, arguments[0], within)
        elif event == "exec":
            self._check_code(arguments[0].co_filename)

    def _check_open(self, path: Any, mode: str | None, flags: int) -> None:
        if isinstance(path, str | bytes) and flags & WRITING:
            self._check_place("open for writing", path)

    def _check_place(self, event: str, path: Any, within: int | None = None) -> None:
        """`within`: the descriptor of the folder that the path begins at."""
        if isinstance(path, str | bytes | os.PathLike):
            start = "" if within is None else os.readlink(f"/proc/self/fd/{within}")
            real = os.path.realpath(os.path.join(start, os.fsdecode(path)))
            if real != self.folder and not real.startswith(self.folder + os.sep):
                self._refuse(f"{event} {real[:80]}")

    def _check_code(self, name: str) -> None:
        """Modules that are imported late are code too; a file's own is in no module."""
        if not name.startswith(("<frozen", *self.code)):
            self._refuse(f"exec of {name[:80]}")

    def _refuse(self, what: str) -> NoReturn:
        self._seen = f"Forbidden: {what}"
        raise Forbidden(what)


def _as_sentence(fault: UserError) -> tuple[str, str]:
    words = str(fault)
    if not words.strip() or len(words) > LONGEST_SENTENCE:
        return "fault", f"a sentence of {len(words):,} characters: {words[:80]} at {where_of(fault)}"
    return "refused", words


def where_of(fault: BaseException) -> str:
    """The kind of a fault, and the last line of the package that it went through."""
    frames = [
        frame for frame in traceback.extract_tb(fault.__traceback__) if f"{os.sep}alexnet{os.sep}" in frame.filename
    ]
    place = f"{Path(frames[-1].filename).name}:{frames[-1].name}" if frames else "outside"
    return f"{type(fault).__name__} in {place}"


def _too_long(number: int, frame: FrameType | None) -> NoReturn:
    raise TooLong(f"over {SECONDS:g} s")


def _most_memory() -> int:
    """Bytes of the largest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
