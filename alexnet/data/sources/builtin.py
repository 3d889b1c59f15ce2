"""``synthetic:``, the built-in set: drawn on first use, then read like any folder per class."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import PIL

from alexnet.data.sources.base import Source
from alexnet.data.sources.folder import open_folder
from alexnet.files.atomic import cache_home, expanded

PREFIX = "synthetic:"


def open_builtin(spec: str, progress: Callable[[int, int], None] | None = None) -> Source:
    """``synthetic:FOLDER`` draws the set in that folder, plain ``synthetic:`` in the user's cache; once.

    ``progress`` is called with the number of pictures drawn and to draw. Raises ``UserError`` if the folder holds
    something else or cannot be written.
    """
    from alexnet.data import synthetic

    place = spec.removeprefix(PREFIX)
    folder = Path(expanded(place)) if place else cache_folder()
    synthetic.write(folder, progress=progress)
    return replace(open_folder(folder), kind="synthetic")


def cache_folder() -> Path:
    """Where the set is kept. The versions that its files' bytes depend on are in the name."""
    from alexnet.data.synthetic.write import DRAWING_VERSION

    return cache_home() / "alexnet" / f"synthetic-{DRAWING_VERSION}-pillow-{PIL.__version__}"
