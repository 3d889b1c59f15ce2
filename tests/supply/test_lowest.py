"""The lower bounds of pyproject.toml are honest: the program works with the oldest versions that they allow."""

import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
EXTRAS = ("serve", "sklearn", "faiss", "onnx", "hub")
TESTS = (  # what meets each of the libraries
    "test_cli.py", "train/test_record.py", "features/test_export.py", "features/test_estimator.py",
    "features/test_transformer.py", "serve/test_guard.py", "serve/test_answers.py", "measure/test_hub.py",
    "features/test_similar.py", "see/test_commands.py",
)  # fmt: skip


@pytest.mark.long
def test_the_oldest_allowed_versions_work(tmp_path: Path) -> None:
    """All but torch, of which the one that is here is taken: older ones are too large to fetch for a test."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is needed: pip install uv")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(line for extra in EXTRAS for line in project["optional-dependencies"][extra])]
    wanted = [line for line in asked if Requirement(line).name != "torch"]
    of_torch = [line for line in map(Requirement, requires("torch") or ()) if not line.marker or line.marker.evaluate()]
    python = tmp_path / "lowest" / "bin" / "python"
    install = [uv, "pip", "install", "--python", str(python)]
    subprocess.run([uv, "venv", "--python", sys.executable, str(tmp_path / "lowest")], check=True)
    subprocess.run([*install, "--resolution", "lowest-direct", *wanted], check=True)
    subprocess.run([*install, "pytest", "hypothesis", "packaging", *map(str, of_torch)], check=True)
    packages = next((tmp_path / "lowest" / "lib").glob("python*")) / "site-packages"
    here = Path(torch.__file__).parents[1]
    for path in (here / "torch", here / "torchgen", here / "functorch", *here.glob("torch-*.dist-info")):
        (packages / path.name).symlink_to(path)
    (packages / "alexnet.pth").write_text(f"{ROOT}\n")
    tests = [str(ROOT / "tests" / name) for name in TESTS]
    command = [str(python), "-m", "pytest", "-o", "filterwarnings=default", "-p", "no:cacheprovider", *tests]
    subprocess.run(command, cwd=ROOT, check=True)  # newer libraries below the old ones warn of what is deprecated
