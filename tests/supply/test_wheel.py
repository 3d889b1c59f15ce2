"""The wheel and the source archive: what is in them, and the wheel at work in an environment of its own."""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest

import alexnet

ROOT = Path(__file__).parents[2]
pytest.importorskip(
    "hatchling", reason="hatchling, which builds the project, is not installed: make .venv/installed-test"
)


def build(source: Path, target: Path, *kinds: str) -> None:
    """With the backend that is installed, no other being fetched."""
    words = [word for kind in kinds for word in ("--target", kind)]
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(target), *words]
    subprocess.run(command, cwd=source, check=True, capture_output=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder, "wheel", "sdist")
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def of_the_package() -> list[str]:
    """Every file of the package that the repository has or would take."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "alexnet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        pytest.skip(f"no checkout to compare with: {done.stderr.strip()}")
    return done.stdout.split("\0")[:-1]


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    files = {name: data for name, data in contents(wheel).items() if ".dist-info/" not in name}
    assert files == {name: (ROOT / name).read_bytes() for name in of_the_package()}
    for kind in (".cpp", ".h", ".html", ".js", ".css", "py.typed"):  # kernels, the explorer's page, types
        assert any(name.endswith(kind) for name in files), kind


def test_the_source_archive_makes_the_same_wheel(built: Path, wheel: Path, tmp_path: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)  # 3.11.0 to 3.11.3 have none
        tar.extractall(tmp_path)
    (source,) = tmp_path.iterdir()
    build(source, tmp_path / "again", "wheel")
    (again,) = (tmp_path / "again").iterdir()
    assert again.name == wheel.name
    assert contents(again) == contents(wheel)


def test_the_metadata_say_what_an_index_shows(wheel: Path) -> None:
    files = contents(wheel)
    about = Parser().parsestr(files[f"alexnet-{alexnet.__version__}.dist-info/METADATA"].decode())
    assert (about["Name"], about["Version"]) == ("alexnet", alexnet.__version__)
    assert about["License-Expression"] == "MIT"
    assert about.get_all("License-File") == ["LICENSE"]
    assert files[f"alexnet-{alexnet.__version__}.dist-info/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    assert about["Description-Content-Type"] == "text/markdown"
    assert about.get_payload() == (ROOT / "README.md").read_text()


# ── at work ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment: the core's releases from the locks, the wheel, and torch alone of here."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=True, symlinks=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    locks = [f"--requirement={ROOT}/requirements/{name}.txt" for name in ("core", "torch")]
    subprocess.run([*install, "--require-hashes", *locks], check=True)
    lend_torch(folder)
    subprocess.run([*install, wheel], check=True)
    return python


def lend_torch(environment: Path) -> None:
    """Links to the torch that is here: none of what lies beside it is seen."""
    (packages,) = environment.glob("lib/python*/site-packages")
    torch = metadata.distribution("torch")
    tops = {Path(file).parts[0] for file in torch.files or () if not file.parts[0].startswith((".", "__"))}
    for top in tops:
        (packages / top).symlink_to(torch.locate_file(top))


def bare() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


@pytest.mark.long
def test_the_wheel_works_in_an_environment_of_its_own(python: Path, tmp_path: Path) -> None:
    for command in (["-m", "pip", "check"], [ROOT / "tools" / "smoke.py"]):
        done = subprocess.run([python, *command], cwd=tmp_path, env=bare(), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        print(done.stdout)
