"""A zip archive of class folders, read in place."""

import errno
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from alexnet.data.sources.base import MOST_FILE_BYTES, in_order, printable
from alexnet.data.sources.found import Folder, why_skipped
from alexnet.errors import UserError
from alexnet.images.decode import Undecodable


class ZipReader:
    """Reads members of a zip, by position. Thread-safe: ZipFile locks its file while it reads."""

    def __init__(self, archive: zipfile.ZipFile, names: Sequence[str]) -> None:
        self.archive, self.names = archive, names

    def size_of(self, position: int) -> int:
        """Bytes of the file, unpacked, as the archive has it."""
        return self.archive.getinfo(self.names[position]).file_size

    def __call__(self, position: int) -> bytes:
        name = self.names[position]
        if self.size_of(position) > MOST_FILE_BYTES:
            raise Undecodable(f"over {MOST_FILE_BYTES >> 20} MB, more than any picture", printable(name))
        try:
            return self.archive.read(name)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # a disk's, not the archive's
                raise UserError(f"{self.archive.filename}: {error.strerror}; see its disk") from None
            raise Undecodable(f"damaged or encrypted in the archive ({error})", printable(name)) from None


def read_zip(path: Path, ignored: list[str]) -> tuple[Folder, zipfile.ZipFile, str]:
    """The folders in an archive, without those that all pictures share; the archive; the path of these folders.

    What is skipped is added to ``ignored``, by the rules for folders. Names are only names here: nothing is written.
    Raises UserError if the archive is damaged or holds no pictures.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise UserError(f"{path}: a damaged zip archive ({error}): download or pack it again") from None
    names: list[str] = []
    for name in in_order({info.filename for info in archive.infolist() if info.filename and not info.is_dir()}):
        parts = name.split("/")
        reasons = (why_skipped(part, place < len(parts) - 1) for place, part in enumerate(parts))
        if reason := next(filter(None, reasons), ""):
            ignored.append(f"{name}: {reason}")
        else:
            names.append(name)
    if not names:
        raise UserError(f"{path}: there are no pictures in this archive")
    above = ""
    while len({name[len(above) :].partition("/")[0] for name in names}) == 1 and all(
        name[len(above) :].count("/") > 1 for name in names
    ):
        above += names[0][len(above) :].partition("/")[0] + "/"
    tree = Folder("")
    for name in names:
        *folders, _ = name[len(above) :].split("/")
        inner = tree
        for folder in folders:
            inner = inner.folders.setdefault(folder, Folder(f"{inner.path}/{folder}".lstrip("/")))
        inner.pictures.append(name[len(above) :])
    return tree, archive, above
