"""A lock on a folder, held by one process at a time."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from alexnet.errors import UserError
from alexnet.files.atomic import UNSUPPORTED, faults_named, file_fault, warn_once

LOCK_ATTEMPTS = 100
"""Some file systems report a new inode number on every call: there a lock's name never seems to lead to its file."""


@contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock file ``path``; raises UserError(``busy``) at once if another process holds it.

    The lock ends with the process, however that ends. The file is removed at the end. Its holder may remove it between
    another process's opening and locking it, so the process that gets the lock checks that the name still leads to the
    locked file. If the file system has no locks, a line on stderr says so, and nothing is locked.
    """
    for attempt in range(LOCK_ATTEMPTS):
        with faults_named(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            _lock_now(descriptor, path, busy)
            if _leads_to(path, descriptor) or attempt == LOCK_ATTEMPTS - 1:
                try:
                    yield
                finally:
                    with suppress(OSError):  # no longer writable: the file stays, the lock is released
                        path.unlink(missing_ok=True)
                return
        finally:
            os.close(descriptor)


def _lock_now(descriptor: int, path: Path, busy: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(busy) from None
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise file_fault(error, path) from error
        code = errno.errorcode[error.errno or 0]
        warn_once(f"{path.parent}: this file system has no file locks ({code}); start no second process on this folder")


def _leads_to(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
