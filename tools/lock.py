"""Write requirements/*.txt: the versions of constraints.txt with the sha256 of every file of each release, so that pip
refuses any other: `python tools/lock.py`. Needs uv (`pip install uv`) and the package index; installs nothing.

For every platform and Python from 3.11 on, by markers. torch itself is in none of them: its CPU and CUDA builds are
different files under one version. `tools/environment.py` installs from them.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ("hatchling", "editables")
"""What builds the project itself: of pyproject's build-system, and what that asks for when it is editable."""
BROWSER = "httpx2-jsfetch"
"""For Python inside a browser, where there is no torch."""
CUDA = re.compile(r"nvidia-|cuda-|triton$")
"""What only torch's CUDA build brings."""
PIN = re.compile(r"^([a-z0-9-]+)==([^\s;]+)", re.MULTILINE)

Entries = dict[str, str]
"""A locked release by its name: the lines with its version, marker and hashes."""

ABOUT = {
    "core": "the core, and what builds the project",
    "extras": "the core with everything optional: the explorer, faiss, ONNX, the Hub",
    "test": "the same with tests, checks and the optional formats",
    "torch": "what every build of torch brings",
    "cuda": "what torch's CUDA build brings besides",
    "triton": "for tests beside a torch that brings none",
}


def main() -> None:
    if shutil.which("uv") is None:
        sys.exit("uv is not on the path; it knows the hashes of releases: pip install uv")
    for name, entries in locked().items():
        path = ROOT / "requirements" / f"{name}.txt"
        path.write_text(
            f"# {ABOUT[name]}; written by tools/lock.py from constraints.txt.\n" + "".join(entries.values())
        )
        print(f"{path.relative_to(ROOT)}: {len(entries)} packages")


def locked() -> dict[str, Entries]:
    """What each file holds."""
    project = str(ROOT / "pyproject.toml")
    extras = [f"--extra={extra}" for extra in ("serve", "sklearn", "faiss", "onnx", "hub")]
    formats = [f"--extra={extra}" for extra in ("datasets", "heic", "raw")]
    core = resolved([project], *BUILD, without=("torch", BROWSER))
    more = resolved([project, *extras], *BUILD, without=("torch", BROWSER))
    test = resolved([project, *extras, *formats, "--group=test", "--group=lint"], *BUILD, without=("torch", BROWSER))
    torch = resolved([], "torch")
    del torch["torch"]
    return {
        "core": core,
        "extras": more,
        "test": {name: entry for name, entry in test.items() if name != "triton"},
        "torch": {name: entry for name, entry in torch.items() if not CUDA.match(name)},
        "cuda": {name: entry for name, entry in torch.items() if CUDA.match(name)},
        "triton": {"triton": test["triton"]},
    }


def resolved(arguments: list[str], *requirements: str, without: tuple[str, ...] = ()) -> Entries:
    """All that pip would install for the project (its `arguments`) and the `requirements`, as constraints.txt says.
    Ends the program for a release that constraints.txt has no version of."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, excluded = Path(folder, "wanted.in"), Path(folder, "excluded.in")
        wanted.write_text("\n".join(requirements))
        excluded.write_text("\n".join(without))
        command = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version=3.11", "--generate-hashes"]
        command += ["--no-header", "--no-annotate", "--constraints", str(ROOT / "constraints.txt")]
        command += ["--excludes", str(excluded), *arguments, str(wanted)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(done.returncode)
    entries = parsed(done.stdout)
    known = dict(PIN.findall((ROOT / "constraints.txt").read_text()))
    if missing := entries.keys() - known.keys():
        told = "\n".join(entries[name].split()[0] for name in sorted(missing))
        sys.exit(f"constraints.txt has no version for what is needed; uv proposes:\n{told}")
    return entries


def parsed(text: str) -> Entries:
    """The releases of a requirements file: a line each, hashes on lines that are set in below it."""
    starts = list(PIN.finditer(text))
    ends = [start.start() for start in starts[1:]] + [len(text)]
    return {start[1]: text[start.start() : end] for start, end in zip(starts, ends, strict=True)}


if __name__ == "__main__":
    main()
