"""Files of results, a PNG and a JSON file under one name, marked with what they were made of."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from alexnet.drawing import png_of
from alexnet.files.atomic import sha256_of, write_atomically
from alexnet.files.outputs import GENERATOR, kind_of, mark, refuse_foreign
from alexnet.files.schema import canonical_digest, json_bytes
from alexnet.files.tensors import tensor_digest
from alexnet.measure.pictures import Picture
from alexnet.measure.run import Run

LONGEST_NAME = 80
"""Characters of a result's name; file systems take 255 bytes."""


@dataclass
class Folder:
    """Where figures and numbers of a `kind` go; `written` lists them."""

    path: Path
    kind: str = "see"
    written: list[Path] = field(default_factory=list)

    def claim(self, name: str, *made_of: Any, ends: Sequence[str] = (".png", ".json")) -> "Claim":
        """Where results called `name` go, in files with these `ends`: NAME, or NAME-DIGEST if results of something else
        than `made_of` (plain values: run, pictures, options) have that name. Raises UserError if a file there is not
        ours. Call it before the work."""
        digest = canonical_digest(made_of)[:8]
        stems = (f"{name[:LONGEST_NAME]}", f"{name[:LONGEST_NAME]}-{digest}")
        for stem in stems:
            paths = [self.path / f"{stem}{end}" for end in ends]
            for path in paths:
                refuse_foreign(path, lambda path: kind_of(path).startswith(f"{self.kind} "))
            if all(kind_of(path) == f"{self.kind} {digest}" for path in paths if path.exists()):
                return Claim(self, stem, f"{self.kind} {digest}")
        raise AssertionError("a name that ends in its digest is taken by another")


@dataclass(frozen=True)
class Claim:
    """The names that results may be written to: STEM.png, STEM.json and others that begin with STEM."""

    folder: Folder
    stem: str
    kind: str

    def put(self, drawing: Figure | np.ndarray | None, numbers: Mapping[str, Any] | list[dict[str, Any]]) -> None:
        """Write STEM.png, if there is something drawn, and STEM.json. Raises UserError if that can't be done."""
        if drawing is not None:
            write_atomically(self.path(".png"), png_of(drawing, self.kind))
        entries = numbers if isinstance(numbers, list) else [numbers]
        marked = [{GENERATOR: mark(self.kind), **entry} for entry in entries]
        write_atomically(self.path(".json"), json_bytes(marked if isinstance(numbers, list) else marked[0]))

    def path(self, end: str) -> Path:
        """The file of the claim with this end, listed as written."""
        path = self.folder.path / f"{self.stem}{end}"
        if path not in self.folder.written:
            self.folder.written.append(path)
        return path


def identity(run: Run, *pictures: Picture) -> list[Any]:
    """What tells results of one run and of some picture files (or bytes of them) from others': weights, paths,
    contents."""
    files = [(str(Path(one).resolve()), sha256_of(Path(one))) for one in pictures if isinstance(one, str)]
    loose = [hashlib.sha256(one).hexdigest() for one in pictures if isinstance(one, bytes)]
    return [tensor_digest(run.network.state_dict()), files, loose]
