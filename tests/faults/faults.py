"""What is done to a command at a chosen moment, and what must hold afterwards.

Each fault knows at which of a command's calls it may strike (`kind`), how (`action`: the shim stops the process there,
then the fault does its work from outside; or the shim itself fails the call), and what a command may end with.
"""

import errno
import random
import signal
import stat
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from children import Child
from verbs import Place, Verb


@dataclass
class Fault:
    """One fault. `strikes`: with the process stopped at the call; `heals`: undoes what it did to disk and files."""

    name: ClassVar[str] = ""
    kind: ClassVar[str] = "all"
    action: ClassVar[str] = "stop"
    error: ClassVar[int] = 0
    obey: ClassVar[bool] = False
    """Whether permissions must bind the process though it is root's."""
    mortal: ClassVar[bool] = False
    """Whether the process is killed by it."""
    names: ClassVar[tuple[str, ...]] = ()
    """What the message must say, one of these."""

    def strikes(self, child: Child, verb: Verb, place: Place, chance: random.Random) -> None: ...
    def heals(self, place: Place) -> None: ...


class Kill(Fault):
    """SIGKILL; a write is then half done."""

    name, mortal = "kill", True

    def strikes(self, child: Child, verb: Verb, place: Place, chance: random.Random) -> None:
        child.send(signal.SIGKILL)


@dataclass
class Stop(Fault):
    """SIGSTOP, SIGCONT after `seconds`."""

    name = "stop"
    seconds: float = 0.2

    def strikes(self, child: Child, verb: Verb, place: Place, chance: random.Random) -> None:
        time.sleep(self.seconds)
        child.send(signal.SIGCONT)


class Cut(Fault):
    """SIGKILL to any one of several processes, wherever it is when the one that is watched comes to the call."""

    name, names = "cut a worker", ("lost: rank",)

    def strikes(self, child: Child, verb: Verb, place: Place, chance: random.Random) -> None:
        child.send(signal.SIGKILL)


@dataclass
class Full(Fault):
    """The disk is filled by another file until nothing, or a few kilobytes, fit onto it any more."""

    name, kind, names = "disk full", "writes", ("disk is full",)

    def strikes(self, child: Child, verb: Verb, place: Place, chance: random.Random) -> None:
        fill(place.case / "ballast", leave=chance.choice((0, 0, 4096, 16384)))
        child.send(signal.SIGCONT)

    def heals(self, place: Place) -> None:
        (place.case / "ballast").unlink(missing_ok=True)


class FullByShim(Fault):
    """The same where no file system can be mounted: every write fails with ENOSPC."""

    name, kind, action, error, names = "disk full", "writes", "fail on", errno.ENOSPC, ("disk is full",)


def fill(ballast: Path, leave: int) -> None:
    with open(ballast, "wb", buffering=0) as file:
        with suppress(OSError):
            while file.write(bytes(1 << 16)):
                pass
        file.truncate(max(0, file.tell() - leave))


FAILED = ("read or write error", "Input/output error")


class ReadsFailOnce(Fault):
    """One read, open or mapping fails (EIO)."""

    name, kind, action, error, names = "failing read", "reads", "fail once", errno.EIO, FAILED


class ReadsFail(ReadsFailOnce):
    """From one on, all do."""

    name, action = "failing reads", "fail on"


class WritesFailOnce(Fault):
    """One write, fsync or rename fails (EIO)."""

    name, kind, action, error, names = "failing write", "writes", "fail once", errno.EIO, FAILED


class WritesFail(WritesFailOnce):
    """From one on, all do."""

    name, action = "failing writes", "fail on"


@dataclass
class NoPermission(Fault):
    """The folder that it works in is no longer to be written to."""

    name, kind, obey, names = "no permission", "writes", True, ("permission denied", "not permitted")
    before: dict[Path, int] = field(default_factory=dict)

    def strikes(self, child: Child, verb: Verb, place: Place, chance: random.Random) -> None:
        folder = place.case / verb.makes
        while not folder.exists():
            folder = folder.parent
        paths = [folder, *folder.rglob("*")]
        self.before = {path: stat.S_IMODE(path.stat().st_mode) for path in paths}
        for path in reversed(paths):
            path.chmod(0o555 if path.is_dir() else 0o444)
        child.send(signal.SIGCONT)

    def heals(self, place: Place) -> None:
        for path, mode in self.before.items():
            if path.exists():
                path.chmod(mode)


@dataclass
class Flip(Fault):
    """Killed; and then a byte of a file that it reads, or has written, changes."""

    name, mortal = "flipped byte", True
    flipped: Path | None = None
    copy: bytes = b""

    def strikes(self, child: Child, verb: Verb, place: Place, chance: random.Random) -> None:
        child.send(signal.SIGKILL)
        child.ended()
        files = [path for path in place.case.rglob("*") if path.is_file() and not verb.left_alone(path)]
        filled = [path for path in sorted(files) if path.stat().st_size]
        if not filled:
            return
        self.flipped = chance.choice(filled)
        self.copy = self.flipped.read_bytes()
        where, bit = chance.randrange(len(self.copy)), 1 << chance.randrange(8)
        changed = bytearray(self.copy)
        changed[where] ^= bit
        self.flipped.write_bytes(changed)

    def restore(self, verb: Verb, place: Place) -> None:
        """What the messages advise: bring the file back from a copy."""
        assert self.flipped is not None
        self.flipped.parent.mkdir(parents=True, exist_ok=True)
        self.flipped.write_bytes(self.copy)


ALONE: tuple[type[Fault], ...] = (
    Kill, Stop, Full, ReadsFailOnce, ReadsFail, WritesFailOnce, WritesFail, NoPermission, Flip,
)  # fmt: skip


def faults_of(verb: Verb) -> tuple[type[Fault], ...]:
    """Those that a verb is put to."""
    return (Cut, Cut, Cut, *ALONE) if verb.processes > 1 else ALONE
