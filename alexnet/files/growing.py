"""Files that grow by appending and can be continued after a crash."""

import os
from hashlib import sha256
from pathlib import Path

from alexnet.errors import UserError
from alexnet.files.atomic import faults_named, sha256_between, sync_file

COPY_BYTES = 8 << 20
OTHER_BYTES = "damaged, its bytes are not those that its journal records"


class UnsoundFile(UserError):
    """An unfinished file differs from its journal."""


class GrowingFile:
    """A file that is only appended to. A journal next to it records its length and the digest of what follows its head,
    whenever its content has reached the disk; after a crash it is opened again and cut off at that length."""

    def __init__(
        self, path: Path, head: bytes, length: int, *, digested: bool = False, sha256_hex: str = "", remedy: str = ""
    ) -> None:
        """Open or create it and cut off what follows ``length`` bytes. ``head`` is what an unfinished file begins with.

        ``digested``: keep a digest of all that follows the head, which has to be ``sha256_hex`` unless that is empty.
        Raises UnsoundFile, with the ``remedy``, if the file is shorter or holds other bytes than its journal says.
        """
        self.path = path
        self._digest = sha256() if digested else None
        with faults_named(path):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                present = os.fstat(self._descriptor).st_size
                if not len(head) <= length <= max(present, len(head)):
                    raise UnsoundFile(f"{path}: has {present:,} bytes, its journal records {length:,}; {remedy}")
                self.length = length
                os.ftruncate(self._descriptor, length)
                self.write_at(0, head)  # also over a final head that a killed process has written
                if self._digest is not None:
                    self._digest = sha256_between(path, len(head), length)
                    if sha256_hex and sha256_hex != self.digest:
                        raise UnsoundFile(f"{path}: {OTHER_BYTES}; {remedy}")
            except BaseException:
                os.close(self._descriptor)
                raise

    def append(self, data: bytes | memoryview) -> None:
        """Write at the end."""
        self.write_at(self.length, data)
        self.length += len(data)
        if self._digest is not None:
            self._digest.update(data)

    @property
    def digest(self) -> str:
        """sha256 hex of what follows the head. Only of a file that was opened with ``digested``."""
        assert self._digest is not None
        return self._digest.hexdigest()

    def append_from(self, path: Path, start: int, end: int, remedy: str) -> None:
        """Write the bytes ``start`` to ``end`` of another file at the end. Raises UnsoundFile if it is shorter."""
        with faults_named(path), open(path, "rb", buffering=0) as other:
            other.seek(start)
            while start < end:
                block = other.read(min(COPY_BYTES, end - start))
                if not block:
                    raise UnsoundFile(f"{path}: has {start:,} bytes, its journal records {end:,}; {remedy}")
                self.append(block)
                start += len(block)

    def write_at(self, position: int, data: bytes | memoryview) -> None:
        """Write over what is there."""
        rest = memoryview(data)
        with faults_named(self.path):
            while rest:
                written = os.pwrite(self._descriptor, rest, position)
                rest, position = rest[written:], position + written

    def sync(self) -> None:
        """Force the content to disk."""
        with faults_named(self.path):
            sync_file(self._descriptor, self.path)

    def close(self) -> None:
        os.close(self._descriptor)
