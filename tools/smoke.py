"""Try out the alexnet that is installed, in an empty folder: `PYTHON tools/smoke.py`, PYTHON being the environment's.

Built-in pictures, prepared, trained on, measured, asked about, each by the command line; half a minute. Says which
alexnet it was, and on what Python; ends with 1 at the first thing that fails.
"""

import platform
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import alexnet
from alexnet.data import synthetic

CHECKOUT = Path(__file__).resolve().parents[1]
SETTINGS = ["--width", "0.05", "--epochs", "1", "--batch", "16"]


def main() -> None:
    place = Path(alexnet.__file__).resolve().parent
    if place.is_relative_to(CHECKOUT):
        sys.exit(f"{place} is the checkout's; install the wheel into an environment of its own and run this with that")
    if metadata.version("alexnet") != alexnet.__version__:
        sys.exit(f"the metadata say {metadata.version('alexnet')}, the package {alexnet.__version__}")
    with tempfile.TemporaryDirectory(prefix="alexnet-smoke-") as folder:
        synthetic.write(Path(folder, "pictures"), train_per_class=4, val_per_class=2)
        run("--version", folder=folder)
        run("prepare", "pictures", "store", folder=folder)
        run("train", "store", "--out", "run", *SETTINGS, folder=folder)
        run("evaluate", "run", "store", folder=folder)
        run("verify", "run", "store", folder=folder)
        run("predict", "run", "pictures/val/zebra", folder=folder)
        run("report", "run", "--store", "store", folder=folder)
    told = f"torch {metadata.version('torch')}, Python {platform.python_version()}, {platform.platform()}"
    print(f"alexnet {alexnet.__version__} works: {place}; {told}")


def run(*words: str, folder: str) -> None:
    """A command line of the installed program. Ends this one if it fails."""
    program = Path(sys.executable).parent / "alexnet"
    done = subprocess.run([program, *words], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"alexnet {' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
