"""Files written whole or not at all, checked by digest, guarded by a lock: what stores and run folders stand on."""

import errno
import fcntl
import functools
import hashlib
import json
import math
import os
import re
import secrets
import stat
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from alexnet.errors import UsageError, UserError

TEMPORARY_SUFFIX = ".unfinished"
READ_BYTES = 1 << 20
LOCK_ATTEMPTS = 100
"""Some file systems number a file anew each time they are asked: there a lock's name never seems to lead to it."""
LARGEST_HEADER = 100_000_000
"""Bytes that safetensors itself allows."""

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


def write_atomically(path: Path, data: bytes | memoryview, durable: bool = True) -> None:
    """Put ``data`` into ``path``: whoever looks sees the old content or the whole new one, also after a power cut.

    A temporary file beside it is written, forced to disk and renamed over it. A fault (disk full, no
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


def json_bytes(value: Any) -> bytes:
    """``value`` as readable JSON, always the same bytes for the same value (keys keep their order)."""
    return (json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode()


def canonical_digest(value: Any) -> str:
    """sha256 hex of ``value`` as JSON with sorted keys and no spaces: independent of layout and key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(table: dict[str, Any]) -> dict[str, Any]:
    """The table with, last, "checksum" over all the rest, as it will be read back from JSON."""
    rest = {name: value for name, value in table.items() if name != "checksum"}
    return {**rest, "checksum": canonical_digest(json.loads(json.dumps(rest, allow_nan=False)))}


def is_altered(table: dict[str, Any]) -> bool:
    """Whether a table that was read has a checksum, and that of something else."""
    try:
        return bool(table.get("checksum")) and sealed(table)["checksum"] != table["checksum"]
    except (ValueError, RecursionError):  # what was never written by us
        return True


def read_json(path: Path, limit_bytes: int = 1 << 26) -> dict[str, Any]:
    """The JSON object in ``path``. UserError where it is absent, larger than ``limit_bytes`` or no JSON object."""
    data = read_bounded(path, limit_bytes)
    try:
        value = parsed(data)
    except ValueError as error:
        raise UserError(f"{path}: damaged, not JSON ({error}); restore it or make it anew") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: damaged, a JSON object was expected; restore it or make it anew")
    return value


def read_bounded(path: Path, limit_bytes: int) -> bytes:
    """The bytes of a file. UserError where it is absent, no regular file, or larger than ``limit_bytes``."""
    with faults_named(path):
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # a pipe would be waited for
            raise UserError(f"{path}: a file was expected here, this is none; remove it")
        if about.st_size > limit_bytes:
            raise UserError(f"{path}: larger than {limit_bytes:,} bytes; this is not a file of ours")
        return path.read_bytes()


def parsed(data: bytes | str, *, strange_numbers: bool = False) -> Any:
    """The value in JSON text. ValueError for what is none, nested without end, or (unless ``strange_numbers``) holds a
    number that is NaN or infinite."""
    try:
        if strange_numbers:
            return json.loads(data)
        return json.loads(data, parse_constant=_refused, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested without end") from None


def _refused(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _finite(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise ValueError(f"{digits[:20]} is too large")
    return value


def metadata_in(file: BinaryIO) -> dict[str, str]:
    """What a safetensors file, at its beginning, says beside its tensors. ValueError if it is none."""
    length = int.from_bytes(file.read(8), "little")
    if length > LARGEST_HEADER:
        raise ValueError(f"a header of {length:,} bytes")
    header = parsed(file.read(length))
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("no header of safetensors")
    return metadata


# ── outputs that the user names ──────────────────────────────────────────────────────────────────────────────────

GENERATOR = "generator"
"""The key in JSON files, and in what a safetensors file says of itself, that names this program and the output."""
_MARKED = rb'tEXtSoftware\0|<meta name="generator" content="|"generator": "|<!-- '
_MARK = re.compile(rb"(?:" + _MARKED + rb")alexnet \(([a-z0-9 ]+)\)")
RUN_NEEDS = ("config.json", "model.safetensors", "inputs.safetensors")
"""Files without which a folder is no trained run."""
_RUN_FILES = {*RUN_NEEDS, "sample_weights.safetensors", "trained_on.safetensors", "log.jsonl"}
_RUN_FOLDERS = {"state", "snapshots", "tensorboard"}


def about_in(path: Path) -> dict[str, Any]:
    """What a safetensors file of ours says of itself, read from its header; empty for any other file."""
    try:
        with open(path, "rb") as file:
            found = parsed(metadata_in(file)["about"])
    except (OSError, ValueError, KeyError):
        return {}
    return found if isinstance(found, dict) else {}


def mark(kind: str) -> str:
    """What an output file says of where it comes from: the Software text of a PNG, the generator of an HTML page, a
    JSON file or a safetensors file. `kind`: lower-case words and digits, as in "report"."""
    return f"alexnet ({kind})"


def head_of(path: Path) -> bytes:
    """The first 4096 bytes of a file."""
    with faults_named(path), open(path, "rb") as file:
        return file.read(4096)


def kind_of(path: Path) -> str:
    """The kind in the `mark` that an output file begins with; empty for a file that this program did not write."""
    found = _MARK.search(head_of(path))
    return found[1].decode() if found else str(about_in(path).get(GENERATOR, ""))[len("alexnet (") : -1]


def refuse_foreign(path: Path, ours: str | Callable[[Path], bool], option: str = "--out") -> None:
    """Raises UserError if writing an output to `path` would replace anything but an earlier output of the same kind.

    Call it before the work. `ours`: the output's `kind_of`, or a test of the file itself; `option`: what the user
    chooses the path with, "" where it is fixed. The parent folders are made.
    """
    remedy = f"It is not replaced: {f'choose another {option}, or ' if option else ''}move it."
    for folder in path.resolve().parents:
        inside = path.resolve().relative_to(folder).parts
        if (store := folder / "store.json").is_file() and b"alexnet store" in head_of(store):
            raise UserError(f"{path}: lies in the store {folder}, which holds nothing else; choose another {option}.")
        own = inside[0] in _RUN_FOLDERS or (len(inside) == 1 and inside[0] in _RUN_FILES)
        if own and (folder / "config.json").exists() and (folder / "inputs.safetensors").exists():
            raise UserError(f"{path}: is a file of the run {folder} itself. {remedy}")
    with faults_named(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise file_fault(PermissionError(errno.EACCES, ""), path.parent)
    if not os.path.lexists(path):
        return
    if not path.is_file():
        raise UserError(f"{path}: exists and is no regular file. {remedy}")
    if not (ours(path) if callable(ours) else kind_of(path) == ours):
        raise UserError(f"{path}: exists, and was not written by this command. {remedy}")


def sha256_of(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """sha256 hex of a file's content. ``progress`` receives the bytes of each step. UserError if unreadable."""
    digest = hashlib.sha256()
    with faults_named(path), open(path, "rb", buffering=0) as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
            if progress:
                progress(len(block))
    return digest.hexdigest()


def sha256_between(path: Path, start: int, end: int) -> "hashlib._Hash":
    """sha256 of the bytes ``start`` to ``end`` of a file, which can be updated further. UserError if unreadable."""
    digest = hashlib.sha256()
    with faults_named(path), open(path, "rb", buffering=0) as file:
        file.seek(start)
        while start < end and (block := file.read(min(READ_BYTES, end - start))):
            digest.update(block)
            start += len(block)
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
    """Force a folder's entries (new names, renames) to disk. File systems that cannot do it are left alone."""
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
    names. Only for the one who holds the folder's lock."""
    for path in folder.iterdir():
        if is_temporary(path) and (of is None or path.name[1:].rsplit(".", 2)[0] in of):
            path.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock file ``path``; raises UserError(``busy``) at once if another process holds it.

    The lock goes with the process, however it ends. The file is removed at the end. Its holder may remove it between
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
                    with suppress(OSError):  # a folder that was closed to us keeps the file; the lock goes all the same
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
