"""Make the virtual environment for the Makefile: `python tools/environment.py .venv test`.

What pip installs is in requirements/: versions, and the hashes of the files it may take. Only torch goes by its version
alone: its CPU and CUDA builds are different files. A torch that is there already, in the environment or beside the
interpreter that runs this, is kept. Without `core`, `extras` or `test` the environment is only made, or found to be of
this Python. Standard library only, and old syntax: it has to tell an old Python that it is too old.
"""

import pathlib
import re
import shutil
import subprocess
import sys

OLDEST_PYTHON = (3, 11)
OLDEST_TORCH = (2, 6)  # as in pyproject.toml
GROUPS = ("core", "extras", "test")
INSTALL = ["-m", "pip", "--disable-pip-version-check", "install", "--no-deps"]
HASHED = ["--require-hashes", "--only-binary=:all:"]
"""For releases of which every file is known; one that has to be built would bring its tools unasked."""

FIND_TORCH = "import os, torch; print(torch.__version__); print(os.path.dirname(torch.__path__[0]))"
FIND_PACKAGES = "import sysconfig; print(sysconfig.get_path('purelib'))"
FIND_VERSION = "import sys; print(f'{sys.version_info[0]}.{sys.version_info[1]}')"
NEEDS_OF_TORCH = "import importlib.metadata; print('\\n'.join(importlib.metadata.requires('torch') or []))"
THIS_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def main():
    if len(sys.argv) not in (2, 3) or (sys.argv[2:] and sys.argv[2] not in GROUPS):
        sys.exit("usage: python tools/environment.py ENVIRONMENT [core|extras|test]")
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(f"Python 3.11 or newer is needed, this is {THIS_PYTHON}: try make PYTHON=python3.12 ...")
    environment = pathlib.Path(sys.argv[1])
    python = environment / "bin" / "python"
    if python.exists():
        refuse_another_interpreter(environment, python)
    if answer(python, "import pip") is None:
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    if find_torch(python) is None:
        borrow_torch(python)
    for group in sys.argv[2:]:
        install(python, group)


def refuse_another_interpreter(environment, python):
    made_with = answer(python, FIND_VERSION)
    if made_with is not None and made_with != [THIS_PYTHON]:
        sys.exit(
            f"{environment} was made with Python {made_with[0]}, not {THIS_PYTHON}: "
            "run `make clean` first, or leave PYTHON= away"
        )


# ── installing ───────────────────────────────────────────────────────────────────────────────────────────────────────


def install(python, group):
    """A group's releases, torch where there is none, and the project itself, to be edited."""
    torch = find_torch(python)
    if torch is None:
        print(about_download(python), flush=True)
        install_hashed(python, group, "torch")
        install_torch(python)
    else:
        print("torch " + torch[0] + " is there and is kept", flush=True)
        install_hashed(python, group)
    if group == "test" and not torch_needs(python, "triton"):
        install_hashed(python, "triton")
    pip(python, ["--no-build-isolation", "--editable", "."])  # what builds it has hashes too


def install_torch(python):
    pip(python, re.findall("^torch==.+", pathlib.Path("constraints.txt").read_text(), re.MULTILINE))
    if torch_needs(python, "nvidia|cuda"):
        install_hashed(python, "cuda")


def install_hashed(python, *names):
    pip(python, HASHED + [f"--requirement=requirements/{name}.txt" for name in names])


def pip(python, arguments):
    done = subprocess.run([str(python), *INSTALL, *arguments])
    if done.returncode != 0:
        sys.exit(done.returncode)


def torch_needs(python, names):
    """Whether the environment's torch asks for a package whose name begins so."""
    return any(re.match(names, need) for need in answer(python, NEEDS_OF_TORCH) or [])


# ── the torch that is there ──────────────────────────────────────────────────────────────────────────────────────────


def find_torch(python):
    """Version and folder of the torch that `python` imports, or None if it has none or one too old."""
    found = answer(python, FIND_TORCH)
    if found is None:
        return None
    numbers = tuple(int(number) for number in re.findall(r"\d+", found[0])[:2])
    return found if numbers >= OLDEST_TORCH else None


def borrow_torch(python):
    """Let the environment see the torch of the interpreter that runs this, by a path file: unlike
    --system-site-packages, that works too where the interpreter is itself in a virtual environment."""
    torch, packages = find_torch(sys.executable), answer(python, FIND_PACKAGES)
    if torch is not None and packages is not None:
        (pathlib.Path(packages[0]) / "torch-of-the-interpreter.pth").write_text(torch[1] + "\n")


def about_download(python):
    told = "No torch here yet: pip fetches it, some 200 MB for the CPU, several GB with CUDA."
    if sys.platform.startswith("linux") and shutil.which("nvidia-smi") is None:
        told += (
            "\nOn Linux pip's usual choice is CUDA, and this machine shows no NVIDIA card: to save the rest,"
            "\nstop here, install the CPU build as pytorch.org says under Start locally, with"
            f"\n{python} -m pip, and run make again."
        )
    return told


def answer(python, program):
    """The lines `program` prints under `python`, None if it fails."""
    try:
        done = subprocess.run([str(python), "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return None
    return done.stdout.decode().splitlines() if done.returncode == 0 else None


if __name__ == "__main__":
    main()
