"""Make the virtual environment for the Makefile: `python tools/environment.py .venv`.

A torch that is there already, in the environment or beside the interpreter that runs this, is kept.
What pip shall obey goes to `.venv/constraints.txt`: all of constraints.txt, but torch's own block only where
pip installs torch. Standard library only, and old syntax: it has to tell an old Python that it is too old.
"""

import pathlib
import re
import shutil
import subprocess
import sys

OLDEST_PYTHON = (3, 11)
OLDEST_TORCH = (2, 6)  # as in pyproject.toml
TORCH_BLOCK = re.compile(r"^# torch and what it brings\n(?:.+\n)+", re.MULTILINE)

FIND_TORCH = "import os, torch; print(torch.__version__); print(os.path.dirname(torch.__path__[0]))"
FIND_PACKAGES = "import sysconfig; print(sysconfig.get_path('purelib'))"
FIND_VERSION = "import sys; print(f'{sys.version_info[0]}.{sys.version_info[1]}')"
THIS_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/environment.py ENVIRONMENT")
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(f"Python 3.11 or newer is needed, this is {THIS_PYTHON}: try make PYTHON=python3.12 ...")
    environment = pathlib.Path(sys.argv[1])
    python = environment / "bin" / "python"
    if python.exists():
        refuse_another_interpreter(environment, python)
    if answer(python, "import pip") is None:
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    torch = find_torch(python) or borrow_torch(python)
    if torch is None:
        print(about_download(python), flush=True)
    wanted = pathlib.Path("constraints.txt").read_text()
    if torch is not None:
        print("torch " + torch[0] + " is there and is kept", flush=True)
        wanted = TORCH_BLOCK.sub("torch==" + torch[0] + "\n", wanted)
    write_if_new(environment / "constraints.txt", wanted)


def refuse_another_interpreter(environment, python):
    made_with = answer(python, FIND_VERSION)
    if made_with is not None and made_with != [THIS_PYTHON]:
        sys.exit(
            f"{environment} was made with Python {made_with[0]}, not {THIS_PYTHON}: "
            "run `make clean` first, or leave PYTHON= away"
        )


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
    if torch is None or packages is None:
        return None
    (pathlib.Path(packages[0]) / "torch-of-the-interpreter.pth").write_text(torch[1] + "\n")
    return torch


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


def write_if_new(path, text):
    """Leave the file's date alone where nothing changed, so that make installs nothing again."""
    source = pathlib.Path("constraints.txt")
    if path.exists() and path.read_text() == text and path.stat().st_mtime >= source.stat().st_mtime:
        return
    path.write_text(text)


if __name__ == "__main__":
    main()
