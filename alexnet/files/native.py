"""C++ source → a loaded library: built once into the user's cache, for this source, compiler and processor.

A library has a plain C interface and is called through ctypes, which lets other Python threads run meanwhile.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from alexnet.errors import UserError
from alexnet.files.atomic import cache_home, warn_once

COMPILERS = ("g++", "c++", "clang++")
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math")
REMEDY = "to choose another folder, set XDG_CACHE_HOME"


class UnavailableError(Exception):
    """Why there is no compiled form here: one line."""


class UnusableError(UnavailableError):
    """Why compiled libraries can't be kept in a folder, or loaded from it."""


def library(
    name: str,
    what: str,
    sources: Sequence[Path],
    *,
    flags: Sequence[str] = (),
    links: Sequence[str] = (),
    key: str = "",
) -> tuple[ctypes.CDLL, str]:
    """The library ``name`` and its compiler's version, compiled if the cache doesn't have it.

    The cache is ``alexnet`` in XDG_CACHE_HOME or ~/.cache. If that is unusable (no home directory, not writable,
    mounted noexec, owned by another user), a private folder in the temporary directory takes its place, and a line on
    stderr gives the reason. Raises UnavailableError if there is no working compiler or no usable folder.

    ``what`` describes the library in the line on stderr that announces compilation. The last of ``sources`` is
    compiled, the others are included by it; ``links`` are libraries to link with; ``key`` names what else the result
    depends on.
    """
    compiler, version = _compiler()
    digest = hashlib.sha256()
    for part in (*(source.read_bytes() for source in sources), version.encode(), _cpu().encode()):
        digest.update(hashlib.sha256(part).digest())
    digest.update(f"{key} {links} {FLAGS} {flags}".encode())
    file = f"{name}-{digest.hexdigest()[:16]}.so"

    def build(path: Path) -> None:
        warn_once(f"compiling {what} with {version}, once, into {path}")
        _build(compiler, (*FLAGS, *flags), (str(sources[-1]), *links), path)

    reasons: list[str] = []
    for find_folder in (_user_cache, _temporary_cache):
        try:
            folder = find_folder()
            found = _loaded(folder / file, build)
        except UnusableError as reason:
            reasons.append(str(reason))
            continue
        if reasons:
            warn_once(f"{reasons[0]}; compiled code is kept in {folder} instead ({REMEDY})")
        return found, version
    raise UnusableError(f"{'; '.join(reasons)} ({REMEDY})")


def _loaded(path: Path, build: Callable[[Path], None]) -> ctypes.CDLL:
    """The library at ``path``, compiled if it is missing or damaged. The reason
    why a new file does not load is kept next to it, so that no later process compiles in vain."""
    failure = path.with_suffix(".failed")
    if failure.exists():
        raise UnusableError(failure.read_text())
    if path.exists() and _is_safe(path):
        with suppress(OSError):
            return ctypes.CDLL(str(path))
    build(path)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        reason = f"a library compiled into {path.parent} does not load: {error} (remove {failure} to try again)"
        with suppress(OSError):
            failure.write_text(reason)
        raise UnusableError(reason) from error


def _compiler() -> tuple[str, str]:
    """The first compiler of COMPILERS that answers, and the first line it says about its version."""
    for name in COMPILERS:
        path = shutil.which(name)
        if path is None:
            continue
        try:
            answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, timeout=60)
        except (OSError, subprocess.SubprocessError):
            continue
        return path, answer.stdout.partition("\n")[0].strip()
    raise UnavailableError(f"no C++ compiler found (looked for {', '.join(COMPILERS)} on PATH)")


def _cpu() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    wanted = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    described = dict.fromkeys(line for line in lines if line.startswith(wanted))
    return "\n".join((platform.machine(), platform.processor(), *described))


def _user_cache() -> Path:
    try:
        return _usable(cache_home() / "alexnet")
    except UserError as error:
        raise UnusableError(str(error).partition(";")[0]) from None


def _temporary_cache() -> Path:
    """A folder in the temporary directory that only this user can write to."""
    try:
        folder = Path(tempfile.gettempdir()) / f"alexnet-{os.getuid()}"
    except FileNotFoundError as error:
        raise UnusableError(str(error)) from None
    if folder.is_symlink():  # its owner can make it lead to another folder at any time
        raise UnusableError(f"{folder} is a symbolic link")
    return _usable(folder)


def _usable(folder: Path) -> Path:
    """The folder, made if it is missing. `UnusableError` if libraries can't be kept in it or loaded from it safely."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_noexec = os.statvfs(folder).f_flag & getattr(os, "ST_NOEXEC", 0)
    except OSError as error:
        raise UnusableError(f"the cache folder {folder} cannot be made: {error.strerror}") from error
    if is_noexec:
        raise UnusableError(f"the cache folder {folder} is on a file system mounted noexec")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise UnusableError(f"the cache folder {folder} can't be read")
    if not _is_safe(folder):
        raise UnusableError(f"the cache folder {folder} belongs to another user, or everybody can write to it")
    return folder


def _is_safe(path: Path) -> bool:
    """Whether only this user and root decide what the file or folder holds: its code runs in this process."""
    about = path.stat()
    return about.st_uid in (os.getuid(), 0) and not about.st_mode & stat.S_IWOTH


def _build(compiler: str, flags: Sequence[str], inputs: Sequence[str], path: Path) -> None:
    """Compile to a file of its own, then rename: two processes may build at once, and none loads half a library."""
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix="building-") as folder:
            built, environment = Path(folder) / path.name, {**os.environ, "TMPDIR": folder}
            fault = ""
            for tuned in (("-march=native",), ("-mcpu=native",), ()):  # some ARM compilers know only the second
                command = [compiler, *flags, *tuned, "-o", str(built), *inputs]
                answer = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
                if answer.returncode == 0:
                    built.chmod(0o700)
                    built.replace(path)
                    return
                fault = fault or next(iter(answer.stderr.strip().splitlines()), f"exit code {answer.returncode}")
    except OSError as error:
        raise UnusableError(f"{compiler} cannot write to {path.parent}: {error.strerror}") from error
    except subprocess.SubprocessError as error:
        raise UnavailableError(f"{compiler} could not be run: {error}") from error
    raise UnavailableError(f"{compiler} failed: {fault}")
