"""Files written whole or not at all, checked by digest, guarded by a lock: the basis of stores and run folders."""

import errno
import functools
import hashlib
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from alexnet.errors import UsageError, UserError
from alexnet.text import in_bytes

TEMPORARY_SUFFIX = ".unfinished"
READ_BYTES = 1 << 20

REMEDIES: dict[int, str] = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EACCES: "permission denied; change the permissions or choose another place",
    errno.EPERM: "operation not permitted; change the permissions or choose another place",
    errno.EROFS: "the file system is mounted read-only; choose another place",
    errno.EIO: "the disk reports a read or write error; check it, then run the same command again",
    errno.ENOENT: "no such file or folder; check the path",
    errno.ENOTDIR: "a part of this path is a file, not a folder; check the path",
    errno.EISDIR: "this is a folder, a file was expected",
    errno.EEXIST: "a file or folder of this name exists; choose another name",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.EMFILE: "too many open files; raise the limit (ulimit -n)",
    errno.EBADF: "it is closed",
    errno.ENODEV: "this file system cannot map files into memory; copy the file to a local disk",
    errno.ESTALE: "the network file system lost the file; run the same command again",
}

UNSUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EPERM})
"""What `flock` and `fsync` fail with on file systems (network, FUSE) and in sandboxes that lack them."""


@functools.cache
def warn_once(message: str) -> None:
    """Print a line on stderr, once in a process."""
    print(f"alexnet: {message}", file=sys.stderr, flush=True)


def cache_home() -> Path:
    """The user's folder for caches: XDG_CACHE_HOME if that is an absolute path, otherwise ~/.cache. Raises UserError
    if there is no home directory."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):
        return Path(base)
    try:
        return Path.home() / ".cache"
    except RuntimeError:
        raise UserError("there is no home directory to keep a cache in; set XDG_CACHE_HOME to a folder") from None


class DiskFull(UserError):
    """A disk has too little space: `fact` says which and how much; the message adds the remedy."""

    def __init__(self, fact: str, remedy: str = "") -> None:
        super().__init__(f"{fact}{remedy}")
        self.fact = fact


def expanded(path: str | os.PathLike[str]) -> str:
    """``path`` with a leading ``~`` or ``~user`` replaced by that user's home folder, as a shell does it.

    Shells leave ``--out=~/run`` and quoted paths as they are. UsageError if the home folder is not known, unless a file
    or folder has that very name.
    """
    words = os.path.expanduser(path)
    name, slash, _ = words.partition("/")
    if name.startswith("~") and (slash or name == "~") and not os.path.lexists(words):
        raise UsageError(f"{words}: the home folder {name} is not known. Give the whole path, or ./{words}.")
    return words


def file_fault(error: OSError, path: Path | str) -> UserError:
    """What an operating-system error means for the user: the file, the fault and the remedy."""
    remedy = REMEDIES.get(error.errno or 0, error.strerror or str(error))
    code = f" ({errno.errorcode.get(error.errno or 0, 'OSError')})"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        fact, _, remedy = remedy.partition("; ")
        return DiskFull(f"{path}: {fact}", f"; {remedy}{code}")
    return UserError(f"{path}: {remedy}{code}")


@contextmanager
def faults_named(path: Path | str) -> Iterator[None]:
    """Inside, an OSError becomes a UserError that names ``path``."""
    try:
        yield
    except OSError as error:
        raise file_fault(error, path) from error


def space_checked(place: Path, needed: int, words: str, remedy: str, kind: type[DiskFull] = DiskFull) -> str:
    """The ``words`` on what is ``needed`` of the disk at ``place``, which need not exist yet, and how much is free.
    Raises the ``kind`` of DiskFull, with the ``remedy``, if that is less."""
    with faults_named(place):
        there = next(path for path in (place, *place.absolute().parents) if path.exists())
        free = shutil.disk_usage(there).free
    words = f"{words}; {in_bytes(free)} are free"
    if free < needed:
        raise kind(f"{place}: {words}: {in_bytes(needed - free)} too little", remedy)
    return words


def write_atomically(path: Path, data: bytes | memoryview, durable: bool = True) -> None:
    """Put ``data`` into ``path``: readers see the old content or the whole new one, also after a power cut.

    A temporary file next to it is written, forced to disk and renamed over it. A fault (disk full, no
    permission) leaves the old file as it was and raises UserError. Not ``durable``: the disk is not waited for. A link
    stays one: the file that it points to is written.
    """
    path = path.resolve() if path.is_symlink() else path
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    with faults_named(path):
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                if durable:
                    file.flush()
                    sync_file(file.fileno(), path)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if durable:
            sync_folder(path.parent)


def read_bounded(path: Path, limit_bytes: int) -> bytes:
    """The bytes of a file. UserError where it is absent, no regular file, or larger than ``limit_bytes``."""
    with faults_named(path):
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # a pipe would be waited for
            raise UserError(f"{path}: a file was expected here, this is none; remove it")
        if about.st_size > limit_bytes:
            raise UserError(f"{path}: larger than {limit_bytes:,} bytes; this is not a file of ours")
        return path.read_bytes()


def sha256_of(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """sha256 hex of a file's content. ``progress`` receives the bytes of each step. UserError if unreadable."""
    return sha256_between(path, 0, sys.maxsize, progress).hexdigest()


def sha256_between(path: Path, start: int, end: int, progress: Callable[[int], None] | None = None) -> "hashlib._Hash":
    """sha256 of the bytes ``start`` to ``end`` of a file, which can be updated further. UserError if unreadable."""
    digest = hashlib.sha256()
    with faults_named(path), open(path, "rb", buffering=0) as file:
        file.seek(start)
        while start < end and (block := file.read(min(READ_BYTES, end - start))):
            digest.update(block)
            start += len(block)
            if progress:
                progress(len(block))
    return digest


def sync_file(descriptor: int, path: Path) -> None:
    """Force the content of the file to disk; one line on stderr if its file system cannot."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        code = errno.errorcode[error.errno or 0]
        warn_once(f"{path.parent}: this file system has no fsync ({code}); a power cut may damage files written last")


def sync_folder(folder: Path) -> None:
    """Force a folder's entries (new names, renames) to disk. File systems that cannot do it are ignored."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED | {errno.EBADF, errno.EROFS, errno.EISDIR, errno.EACCES}:
            raise


def is_temporary(path: Path) -> bool:
    """Whether this is a temporary file of ``write_atomically``, left behind by a killed process."""
    return path.name.startswith(".") and path.name.endswith(TEMPORARY_SUFFIX)


def remove_temporaries(folder: Path, of: Collection[str] | None = None) -> None:
    """Remove what killed processes left behind in ``folder``; with ``of``, only what was to become files of these
    names. Call it only while holding the folder's lock."""
    for path in folder.iterdir():
        if is_temporary(path) and (of is None or path.name[1:].rsplit(".", 2)[0] in of):
            path.unlink(missing_ok=True)
