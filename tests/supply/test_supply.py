"""What is installed is what was looked at: every release has hashes, nothing is missing, and no other file is taken."""

import re
import sys
import tomllib
import zipfile
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PIN = re.compile(r"^([a-z0-9-]+)==([^\s;]+)(?: ; .+?)?(?= \\$|$)", re.MULTILINE)
HASHES = re.compile(r"( \\\n    --hash=sha256:[0-9a-f]{64})+\n")
EXTRAS = ("serve", "sklearn", "faiss", "onnx", "hub")
BROWSER = "httpx2-jsfetch"


def tool(name: str) -> ModuleType:
    spec = spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pins(path: Path) -> dict[str, str]:
    return dict(PIN.findall(path.read_text()))


CONSTRAINTS = pins(ROOT / "constraints.txt")


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_a_lock_holds_the_constraints_versions_each_with_hashes_and_nothing_else(path: Path) -> None:
    assert pins(path).items() <= CONSTRAINTS.items()
    comment, rest = path.read_text().split("\n", 1)
    assert comment.startswith("#")
    assert HASHES.sub("\n", PIN.sub("", rest)).strip() == ""
    assert len(HASHES.findall(rest)) == len(pins(path)) > 0


def test_every_release_but_torch_has_its_hashes() -> None:
    locked = set().union(*(pins(path) for path in LOCKS))
    assert set(CONSTRAINTS) - locked == {"torch"}


@pytest.mark.parametrize(
    ("group", "extras", "groups"),
    [("core", (), ()), ("extras", EXTRAS, ()), ("test", (*EXTRAS, "datasets", "heic", "raw"), ("test", "lint"))],
    ids=lambda value: str(value),
)
def test_a_lock_holds_all_that_its_extras_and_groups_ask_for(
    group: str, extras: tuple[str, ...], groups: tuple[str, ...]
) -> None:
    """By what the packages that are installed say they need here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    for extra in extras:
        wanted += project["project"]["optional-dependencies"][extra]
    for name in groups:
        wanted += project["dependency-groups"][name]
    here = pins(ROOT / "requirements" / f"{group}.txt")
    given = {*here, *pins(ROOT / "requirements" / "torch.txt"), "torch", "triton", "alexnet", BROWSER}
    assert sorted(closure(map(Requirement, wanted), project) - given) == []
    for requirement in map(Requirement, wanted):
        pinned = CONSTRAINTS.get(canonicalize_name(requirement.name))
        assert pinned is None or pinned in requirement.specifier


def closure(wanted: "map[Requirement]", project: dict) -> set[str]:
    """The names of all that has to be there."""
    found: set[str] = set()
    left = [(canonicalize_name(one.name), tuple(one.extras)) for one in wanted]
    seen = set()
    while left:
        name, extras = here = left.pop()
        if here in seen:
            continue
        seen.add(here)
        found.add(name)
        left += needs(name, extras, project)
    return found


def needs(name: str, extras: tuple[str, ...], project: dict) -> list[tuple[str, tuple[str, ...]]]:
    if name == "alexnet":
        asked = [line for extra in extras for line in project["project"]["optional-dependencies"][extra]]
    else:
        try:
            asked = requires(name) or []
        except PackageNotFoundError:
            return []
    found = []
    for requirement in map(Requirement, asked):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            found.append((canonicalize_name(requirement.name), tuple(requirement.extras)))
    return found


def test_the_licence_of_each_is_listed_as_its_metadata_say() -> None:
    licences = tool("licences")
    listed = {found[1]: found[0] for found in licences.ROW.finditer(licences.PAGE.read_text())}
    purposes = licences.purposes()
    assert listed.keys() == purposes.keys() == CONSTRAINTS.keys()
    for name, purpose in purposes.items():
        if is_installed(name):
            assert listed[name] == licences.row(name, purpose)


def is_installed(name: str) -> bool:
    """At the version that the list was made of."""
    try:
        return version(name).partition("+")[0] == CONSTRAINTS[name]
    except PackageNotFoundError:
        return False


# ── a file that is another one ───────────────────────────────────────────────────────────────────────────────────


def make_wheel(folder: Path, name: str, version: str) -> Path:
    """A wheel of one module, as anybody could make one."""
    folder.mkdir(exist_ok=True)
    module, about = f"{name}.py", f"{name}-{version}.dist-info"
    files = {
        module: "HARM = True\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{about}/RECORD"))
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes wheels from, and nothing else; what it installs goes to `target`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "shop"))
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "target"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    (tmp_path / "requirements").mkdir()
    return tmp_path / "shop"


def test_a_wheel_that_was_tampered_with_is_refused(
    shop: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    entry = tool("lock").parsed((ROOT / "requirements" / "core.txt").read_text())["mdurl"]
    (tmp_path / "requirements" / "core.txt").write_text(entry)
    make_wheel(shop, "mdurl", CONSTRAINTS["mdurl"])
    with pytest.raises(SystemExit) as ended:
        tool("environment").install_hashed(Path(sys.executable), "core")
    assert ended.value.code == 1
    assert "DO NOT MATCH THE HASHES" in capfd.readouterr().err
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("hashed", [True, False])
def test_a_wheel_is_installed_with_its_own_hash_and_not_without(
    shop: Path, tmp_path: Path, hashed: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    wheel = make_wheel(shop, "mdurl", "9")
    told = f" --hash=sha256:{sha256(wheel.read_bytes()).hexdigest()}" if hashed else ""
    (tmp_path / "requirements" / "core.txt").write_text(f"mdurl==9{told}\n")
    if hashed:
        tool("environment").install_hashed(Path(sys.executable), "core")
    else:
        with pytest.raises(SystemExit):
            tool("environment").install_hashed(Path(sys.executable), "core")
        assert "--require-hashes" in capfd.readouterr().err
    assert (tmp_path / "target" / "mdurl.py").exists() == hashed
