"""Where pictures come from: every kind of source as one ``Source`` of (key, label, bytes)."""

from pathlib import Path

from alexnet.data.sources.base import Item, Part, Source, split
from alexnet.data.sources.folder import open_folder
from alexnet.errors import UserError

__all__ = ["Item", "Part", "Source", "open_source"]


def open_source(spec: str | Path, *, holdout: float | None = None, seed: int = 0) -> Source:
    """The pictures at ``spec``, whatever kind of source it is (told by what lies there).

    ``holdout`` splits that share off the training part as part "val", by ``seed``; without it a source that has no
    validation part stays without. Raises ``UserError`` with the remedy if the source is unsound.
    """
    root = Path(spec)
    _check_folder(root)
    source = open_folder(root)
    return source if holdout is None else split(source, holdout, seed, str(root))


def _check_folder(root: Path) -> None:
    if not root.exists():
        raise UserError(f"{root}: there is no such folder")
    if not root.is_dir():
        raise UserError(f"{root}: a file, where a folder of pictures is expected; unpack it if it is an archive")
