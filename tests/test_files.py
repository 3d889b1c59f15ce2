"""Files whole or not at all."""

import errno
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save

import alexnet
from alexnet.data.sources import open_source
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.features.similar.index import Index
from alexnet.files import atomic as files
from alexnet.files import locks
from alexnet.files.atomic import remove_temporaries, sha256_between, sha256_of, write_atomically
from alexnet.files.locks import locked
from alexnet.files.outputs import metadata_in
from alexnet.files.schema import canonical_digest, is_altered, json_bytes, read_json, sealed
from alexnet.measure.pictures import decoded, picture_list


def test_written_whole(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.bin", b"old")
    write_atomically(tmp_path / "a.bin", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.bin": b"new"}


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_fault_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    write_atomically(tmp_path / "a.bin", b"old")

    def fault(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, fails, fault)
    with pytest.raises(UserError, match=r"a\.bin: the disk is full"):
        write_atomically(tmp_path / "a.bin", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.bin": b"old"}


def test_a_really_full_disk() -> None:
    with pytest.raises(UserError, match="/dev/full"), files.faults_named("/dev/full"), open("/dev/full", "wb") as full:
        full.write(b"x" * 100_000)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        write_atomically(tmp_path / "absent" / "a.bin", b"")


def test_temporaries_of_killed_processes_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".a.bin.0011aabb.unfinished").touch()
    (tmp_path / "mine.unfinished").touch()
    remove_temporaries(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.unfinished"]


def test_sha256(tmp_path: Path) -> None:
    content, seen = os.urandom(3_000_000), []
    (tmp_path / "a").write_bytes(content)
    assert sha256_of(tmp_path / "a", seen.append) == hashlib.sha256(content).hexdigest()
    assert sum(seen) == 3_000_000
    with pytest.raises(UserError, match="no such file"):
        sha256_of(tmp_path / "b")


def test_json(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None, "ü"], "a": {"x": True}}
    write_atomically(tmp_path / "a.json", json_bytes(value))
    assert read_json(tmp_path / "a.json") == value
    assert canonical_digest({"a": 1, "b": 2}) == canonical_digest({"b": 2, "a": 1})
    with pytest.raises(UserError, match="larger than 5 bytes"):
        read_json(tmp_path / "a.json", limit_bytes=5)
    (tmp_path / "a.json").write_bytes(b"[1]")
    with pytest.raises(UserError, match="object was expected"):
        read_json(tmp_path / "a.json")


HOLDER = """
import sys, pathlib
from alexnet.files.locks import locked
with locked(pathlib.Path(sys.argv[1]), "busy"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_goes_with_its_process(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path.cwd()
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    with holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="taken"), locked(lock, "taken"):
            pass
        holder.kill()
    assert lock.exists()
    with locked(lock, "taken"):
        pass
    assert not lock.exists()


def test_a_lock_that_cannot_be_removed_hides_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that was closed to us while it was held: what is told is what happened, not that the lock stays."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / ".lock"))

    def work() -> None:
        with locked(tmp_path / ".lock", "busy"):
            monkeypatch.setattr(Path, "unlink", refuse)
            raise UserError("the fault itself")

    with pytest.raises(UserError, match="the fault itself"):
        work()
    monkeypatch.undo()
    with locked(tmp_path / ".lock", "busy"):
        pass


UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM)


def failing(number: int) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", UNSUPPORTED)
def test_a_file_system_without_locks_is_named_once_and_the_work_is_done(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files.warn_once.cache_clear()
    monkeypatch.setattr(locks.fcntl, "flock", failing(number))
    for _ in range(2):
        with locked(tmp_path / ".lock", "busy"):
            assert (tmp_path / ".lock").exists()
    error = capsys.readouterr().err
    assert error.startswith(f"alexnet: {tmp_path}: this file system has no file locks")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_lock_that_fails_otherwise_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks.fcntl, "flock", failing(errno.EIO))
    with pytest.raises(UserError, match=r"\.lock: the disk reports"), locked(tmp_path / ".lock", "busy"):
        pass


def test_a_file_system_that_numbers_files_anew_is_locked_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_leads_to", lambda *_: False)
    with locked(tmp_path / ".lock", "busy"):
        assert (tmp_path / ".lock").exists()


@pytest.mark.parametrize("number", [*UNSUPPORTED, errno.EIO, errno.ENOSPC])
def test_a_file_system_without_fsync_is_named_and_real_faults_are_not_hidden(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files.warn_once.cache_clear()
    monkeypatch.setattr(files.os, "fsync", failing(number))
    if number in UNSUPPORTED:
        write_atomically(tmp_path / "a.bin", b"new")
        assert (tmp_path / "a.bin").read_bytes() == b"new"
        assert "this file system has no fsync" in capsys.readouterr().err
    else:
        with pytest.raises(UserError, match=r"a\.bin"):
            write_atomically(tmp_path / "a.bin", b"new")
        assert not list(tmp_path.iterdir())


def test_only_what_was_to_become_certain_files_is_removed(tmp_path: Path) -> None:
    names = (".a.npy.journal.0123abcd", ".a.npy.0123abcd", ".b.json.0123abcd", "a.npy")
    for name in names:
        (tmp_path / f"{name}.unfinished").touch()
    remove_temporaries(tmp_path, ("a.npy", "c"))
    left = sorted(path.name.removesuffix(".unfinished") for path in tmp_path.iterdir())
    assert left == sorted({*names} - {".a.npy.0123abcd"})


def test_a_sealed_table_shows_every_change() -> None:
    table = sealed({"a": (1, 2), "name": "café", "deep": {"b": None}})
    read = json.loads(json_bytes(table))
    assert list(read)[-1] == "checksum"
    assert not is_altered(read)
    for change in ({"a": [1, 3]}, {"more": 1}, {"deep": {"b": float("nan")}}):
        assert is_altered(read | change)
    assert not is_altered({"a": 1})  # an older one, or a person has taken it off
    assert not is_altered(read | {"a": 5, "checksum": ""})


def test_a_digest_goes_on_from_any_byte(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000
    (tmp_path / "a").write_bytes(data)
    for start, end in ((0, len(data)), (7, 1_500_001), (128, 128)):
        digest = sha256_between(tmp_path / "a", start, end)
        digest.update(b"more")
        assert digest.hexdigest() == hashlib.sha256(data[start:end] + b"more").hexdigest()


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=4))
def test_what_safetensors_say_beside_their_tensors(about: dict[str, str]) -> None:
    data = save({"x": np.zeros(3, np.float32)}, about)
    assert metadata_in(io.BytesIO(data)) == about


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 8,
        (4).to_bytes(8, "little") + b"[12]",
        (200_000).to_bytes(8, "little") + b"[" * 200_000,
        (24).to_bytes(8, "little") + b'{"__metadata__":{"a":1}}',
    ],
)
def test_what_is_no_safetensors_file_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        metadata_in(io.BytesIO(data))


def test_a_home_folder_is_expanded_as_a_shell_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert files.expanded("~") == f"{tmp_path}/home"
    assert files.expanded(Path("~/runs/a")) == f"{tmp_path}/home/runs/a"
    assert files.expanded("~root/x") == os.path.expanduser("~root/x") != "~root/x"
    assert [files.expanded(name) for name in ("a/~/b", "./~x/y", "~$letter.jpg", "~~x")] == [
        "a/~/b",
        "./~x/y",
        "~$letter.jpg",
        "~~x",
    ]
    with pytest.raises(UsageError, match="~nobody-here/x: the home folder ~nobody-here is not known"):
        files.expanded("~nobody-here/x")
    (tmp_path / "~nobody-here").mkdir()
    (tmp_path / "~nobody-here" / "x").touch()
    assert files.expanded("~nobody-here/x") == "~nobody-here/x"


def test_a_home_folder_is_expanded_in_python_too(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "s").symlink_to(store.path)
    (tmp_path / "pictures").symlink_to(store.path.parent / "pictures")
    assert Store.open("~/s").path == tmp_path / "s"
    assert prepare(open_source("~/pictures"), "~/again", size=8).path == tmp_path / "again"
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    assert len(picture_list("~/*.png")) == 1
    assert decoded("~/a.png", "a", False).pixels.shape == (3, 4, 3)
    for opened in (alexnet.load, Index.open):
        with pytest.raises(UserError, match=f"{tmp_path}/none: no"):
            opened("~/none")
