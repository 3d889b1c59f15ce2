"""Temporary folders, removed with the object that uses them, and only by the process that made them."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alexnet.errors import UserError
from alexnet.files.atomic import DiskFull

REMEDY = "Set the environment variable TMPDIR to a folder on another disk, or pass folder=… to Classifier."


class TemporaryFolder:
    """A new, empty folder `path`. `remove()` deletes it; so does the end of this object or of the process.

    A forked child inherits the object but leaves the folder to its parent. Raises UserError if no folder can be made.
    """

    def __init__(self, prefix: str) -> None:
        try:
            self.path = Path(tempfile.mkdtemp(prefix=prefix))
        except OSError as fault:
            raise UserError(f"no temporary folder can be made ({fault}). {REMEDY}") from fault
        self.remove = weakref.finalize(self, _remove, self.path, os.getpid())

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()


def _remove(path: Path, maker: int) -> None:
    if os.getpid() == maker:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def space_named(remedy: str = REMEDY) -> Iterator[None]:
    """Inside, too little space is a UserError with this remedy: a program that calls Python has no options to give."""
    try:
        yield
    except DiskFull as fault:
        raise UserError(f"{fault.fact}. {remedy}") from fault
