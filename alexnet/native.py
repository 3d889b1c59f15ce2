"""C++ source → a loaded library: built once into the user's cache, for this source, compiler and processor.

A library has a plain C interface and is called through ctypes, which lets other Python threads run meanwhile.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

COMPILERS = ("g++", "c++", "clang++")
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math")


class UnavailableError(Exception):
    """Why there is no compiled form here: one line."""


def library(
    name: str,
    what: str,
    sources: Sequence[Path],
    *,
    flags: Sequence[str] = (),
    links: Sequence[str] = (),
    key: str = "",
) -> tuple[ctypes.CDLL, str]:
    """The library ``name`` and its compiler's version; built where the cache has none, or `UnavailableError`.

    ``what`` it is, for the line on stderr that tells of the building. The last of ``sources`` is compiled, the others
    are what it includes; ``links`` are libraries to link with; ``key`` is what else the result depends on.
    """
    compiler, version = _compiler()
    digest = hashlib.sha256()
    for part in (*(source.read_bytes() for source in sources), version.encode(), _cpu().encode()):
        digest.update(hashlib.sha256(part).digest())
    digest.update(f"{key} {links} {FLAGS} {flags}".encode())
    path = _cache_folder() / f"{name}-{digest.hexdigest()[:16]}.so"

    def build() -> None:
        print(f"alexnet: compiling {what} with {version}, once, into {path}", file=sys.stderr, flush=True)
        _build(compiler, (*FLAGS, *flags), (str(sources[-1]), *links), path)

    if not path.exists():
        build()
    try:
        return ctypes.CDLL(str(path)), version
    except OSError:  # cut short by a full disk, or of another system: build it once more
        build()
    try:
        return ctypes.CDLL(str(path)), version
    except OSError as error:
        raise UnavailableError(f"the library built by {compiler} does not load: {error}") from error


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


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "alexnet"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(
            f"the cache folder {folder} cannot be made: {error.strerror} (set XDG_CACHE_HOME)"
        ) from error
    return folder


def _build(compiler: str, flags: Sequence[str], inputs: Sequence[str], path: Path) -> None:
    """Compile to a file of its own, then rename: two processes may build at once, and none loads half a library."""
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix="building-") as folder:
            built = Path(folder) / path.name
            fault = ""
            for tuned in (("-march=native",), ("-mcpu=native",), ()):  # some ARM compilers know only the second
                command = [compiler, *flags, *tuned, "-o", str(built), *inputs]
                answer = subprocess.run(command, capture_output=True, text=True, timeout=600)
                if answer.returncode == 0:
                    built.replace(path)
                    return
                fault = fault or next(iter(answer.stderr.strip().splitlines()), f"exit code {answer.returncode}")
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(f"{compiler} could not be run into {path.parent}: {error}") from error
    raise UnavailableError(f"{compiler} failed: {fault}")
