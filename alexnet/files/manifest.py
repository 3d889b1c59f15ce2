"""What a description lists of the files beside it, so that damage shows: their sizes and checksums."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from alexnet.files.atomic import faults_named, sha256_of
from alexnet.files.schema import Range


@dataclass(frozen=True)
class ListedFile:
    """A file's size and, unless it is too large to be read whenever it is opened, its sha256."""

    bytes: Annotated[int, Range(0, 1 << 62)]
    sha256: str | None = None

    @classmethod
    def of(cls, path: Path, *, digest: bool = True) -> "ListedFile":
        """The file as it is now. Raises UserError if it can't be read."""
        with faults_named(path):
            size = path.stat().st_size
        return cls(size, sha256_of(path) if digest else None)

    def as_json(self) -> dict[str, Any]:
        return {"bytes": self.bytes} | ({} if self.sha256 is None else {"sha256": self.sha256})

    def fault_of_size(self, path: Path) -> str | None:
        """A sentence if the file is missing, no regular file, or of another size; else None."""
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return f"{path}: is missing"
        except OSError as error:
            return f"{path}: cannot be read ({error.strerror})"
        if not stat.S_ISREG(status.st_mode):
            return f"{path}: is not a regular file"
        if status.st_size != self.bytes:
            return f"{path}: has {status.st_size:,} bytes instead of {self.bytes:,}"
        return None

    def fault(self, path: Path) -> str | None:
        """A sentence if the file's size or content is not as listed; else None. UserError if it can't be read."""
        if fault := self.fault_of_size(path):
            return fault
        return f"{path}: damaged, its content has changed" if sha256_of(path) != self.sha256 else None
