"""Tar archives read in place: indexed once, never unpacked, members read by position."""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from alexnet.data.sources.base import MOST_FILE_BYTES
from alexnet.errors import UserError
from alexnet.images.decode import Undecodable


class Member(NamedTuple):
    """A file in an archive, or in an archive inside it: its bytes are those from ``offset`` on, in the outer file."""

    name: str
    offset: int
    size: int


def members(path: Path, inside: Member | None = None) -> Iterator[Member]:
    """The plain files of an uncompressed tar, or of the tar that is its member ``inside``, in their order.

    Links, devices and sparse files have no bytes of their own to show and end in a ``UserError``; folders are passed
    over. Names are only names here: nothing is written anywhere.
    """
    start, size = inside[1:] if inside else (0, path.stat().st_size)
    where = path if inside is None else f"{path}: {inside.name}"
    try:
        with open(path, "rb") as stream:
            stream.seek(start)  # tarfile reads an archive from where the stream stands
            with tarfile.open(fileobj=stream, mode="r:") as archive:
                for info in archive:
                    if info.isdir():
                        continue
                    if not info.isreg() or info.issparse():
                        raise UserError(f"{where}: its member {info.name!r} is a link or a device, not a picture")
                    if info.size < 0 or info.offset_data + info.size > start + size:
                        raise UserError(f"{where}: damaged or cut short in {info.name!r}: download it again")
                    yield Member(info.name, info.offset_data, info.size)
                stream.seek(archive.offset)
                end = stream.read(min(tarfile.BLOCKSIZE, max(0, start + size - archive.offset)))
                if end != bytes(tarfile.BLOCKSIZE):  # tarfile stops at damage as at the end
                    position = archive.offset - start
                    raise UserError(f"{where}: damaged or cut short at byte {position}: download it again")
    except tarfile.TarError as error:
        raise UserError(f"{where}: not a whole, uncompressed tar ({error}): download it again") from None
    except OSError as error:
        raise UserError(f"{where}: cannot be read: {error.strerror or error}") from None


class TarReader:
    """Reads members of one or more tars by position. Threads share the open files; another process opens its own."""

    def __init__(self, paths: list[Path], found: list[tuple[int, Member]]) -> None:
        self.paths = paths
        self.names = [member.name for _, member in found]
        self.which = np.array([which for which, _ in found], np.int8)
        self.offsets = np.array([member.offset for _, member in found], np.int64)
        self.sizes = np.array([member.size for _, member in found], np.int64)
        self._open: dict[int, IO[bytes]] = {}

    def __call__(self, position: int) -> bytes:
        size, name, which = int(self.sizes[position]), self.names[position], int(self.which[position])
        if size > MOST_FILE_BYTES:
            raise Undecodable(f"{size} bytes by the archive's header: more than any picture", name)
        try:
            data = os.pread(self._file(which).fileno(), size, int(self.offsets[position]))
        except OSError as error:
            raise Undecodable(f"cannot be read from {self.paths[which]}: {error.strerror or error}", name) from None
        if len(data) != size:
            raise Undecodable(f"{self.paths[which]} has become shorter since it was indexed", name)
        return data

    def size_of(self, position: int) -> int:
        """Bytes of the member."""
        return int(self.sizes[position])

    def _file(self, which: int) -> IO[bytes]:
        if which not in self._open:
            self._open.setdefault(which, open(self.paths[which], "rb"))  # noqa: SIM115 - open as long as the reader
        return self._open[which]

    def close(self) -> None:
        """Closes the files; the next reading opens them again."""
        for stream in self._open.values():
            stream.close()
        self._open = {}

    __del__ = close

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": {}}
