"""Where compiled libraries are kept: the user's cache or, if that is unusable, a private temporary folder."""

import ctypes
import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from alexnet.files import atomic as files
from alexnet.files import native

pytestmark = pytest.mark.skipif(not any(map(shutil.which, native.COMPILERS)), reason="no C++ compiler here")


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary directory, a home directory beside it, and no other setting."""
    for name in ("home", "temporary"):
        (tmp_path / name).mkdir()
    (tmp_path / "answer.cpp").write_text('extern "C" int answer() { return 42; }\n')
    monkeypatch.setattr(native, "FLAGS", ("-O0", "-fPIC", "-shared"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    files.warn_once.cache_clear()
    return tmp_path / "temporary" / f"alexnet-{os.getuid()}"


def ask(tmp_path: Path) -> None:
    library, _ = native.library("answer", "the answer", (tmp_path / "answer.cpp",))
    assert library.answer() == 42


def replace_library(tmp_path: Path, data: bytes) -> None:
    """By a new file: this process has the old one mapped."""
    (library,) = (tmp_path / "home" / ".cache" / "alexnet").iterdir()
    library.unlink()
    library.write_bytes(data)


def no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A container's user without an entry in /etc/passwd."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda _: {}[0])
    return "no home directory"


def home_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HOME", str(tmp_path / "answer.cpp"))
    return "Not a directory"


def home_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HOME", "/proc/none")
    return "No such file or directory"


def mounted_noexec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    asked = os.statvfs(tmp_path)
    flags = (*tuple(asked)[:8], asked.f_flag | os.ST_NOEXEC, asked.f_namemax)

    def statvfs(path: Path) -> os.statvfs_result:
        return os.statvfs_result(flags) if "home" in str(path) else asked

    monkeypatch.setattr(os, "statvfs", statvfs)
    return "mounted noexec"


def of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A library there was planted: it must not be loaded."""
    ask(tmp_path)
    replace_library(tmp_path, b"planted")
    (tmp_path / "home" / ".cache" / "alexnet").chmod(0o777)
    return "belongs to another user, or everybody can write to it"


def does_not_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    load = ctypes.CDLL

    def refuse(path: str) -> ctypes.CDLL:
        if "home" in path:
            raise OSError("failed to map segment from shared object")
        return load(path)

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    return "does not load: failed to map segment"


@pytest.mark.parametrize(
    "fault", [no_home, home_is_a_file, home_is_absent, mounted_noexec, of_another_user, does_not_load]
)
def test_an_unusable_cache_is_replaced_and_the_reason_said_once_in_a_process(
    fault, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = fault(tmp_path, monkeypatch)
    capsys.readouterr()
    files.warn_once.cache_clear()
    ask(tmp_path)
    ask(tmp_path)
    error = capsys.readouterr().err
    assert error.count(reason) == 1
    assert f"kept in {temporary} instead (to choose another folder, set XDG_CACHE_HOME)" in error
    assert [path.suffix for path in temporary.iterdir()] == [".so"]
    assert stat.S_IMODE(temporary.stat().st_mode) == 0o700
    files.warn_once.cache_clear()
    ask(tmp_path)  # as the next process
    error = capsys.readouterr().err
    assert "compiling" not in error
    assert reason in error


def test_a_usable_cache_is_used(tmp_path: Path, temporary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask(tmp_path)
    assert "compiling the answer" in capsys.readouterr().err
    assert [path.suffix for path in (tmp_path / "home" / ".cache" / "alexnet").iterdir()] == [".so"]
    assert not temporary.exists()


@pytest.mark.parametrize("given", ["relative/folder", ""])
def test_a_relative_cache_folder_is_ignored_as_the_xdg_specification_says(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    assert files.cache_home() == tmp_path / "home" / ".cache"
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert files.cache_home() == Path("/elsewhere")


def test_a_temporary_folder_that_may_be_anothers_is_not_used(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/proc/none")
    temporary.symlink_to(tmp_path / "home")
    with pytest.raises(native.UnusableError, match=r"is a symbolic link \(to choose another folder, set XDG_CACHE"):
        ask(tmp_path)


def test_a_compiler_that_fails_does_so_once(tmp_path: Path) -> None:
    (tmp_path / "answer.cpp").write_text("no C++\n")
    with pytest.raises(native.UnavailableError, match=r"failed: .*answer\.cpp"):
        ask(tmp_path)
