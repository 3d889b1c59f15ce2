"""`alexnet export`."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from alexnet.commands.options.weights import Export
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.measure.evaluation import check_size, split_of
from alexnet.runs.export import TOLERANCE, compare_onnx, export
from alexnet.runs.folder import RunFolder
from alexnet.terminal import say

PICTURES = 64
"""How many pictures go through both sides of the comparison."""


def run(options: Export) -> None:
    folder = RunFolder.open(options.run_folder)
    made = export(folder, options.to, options.out, preprocessing=options.preprocessing)
    for note in made.notes:
        say(note)
    if options.to == "onnx":
        say(checked(folder, made.path, options.check))
    print(made.path)


def checked(folder: RunFolder, path: Path, store: Path | None) -> str:
    """What the comparison of an ONNX graph with PyTorch found. Raises UserError if the two differ."""
    if find_spec("onnxruntime") is None:
        return "not checked: onnxruntime is not installed (pip install 'alexnet[onnx]')"
    found = compare_onnx(folder, path, pictures_for_check(folder, store))
    differences = f"largest difference {found.probability:.1e} in a probability, {found.logit:.1e} in a logit"
    if not found.agrees:
        raise UserError(
            f"{path}: does not compute what PyTorch does: {differences} (at most {TOLERANCE:g}). Report it."
        )
    return f"onnxruntime agrees with PyTorch on {found.pictures} pictures: {differences}"


def pictures_for_check(folder: RunFolder, store: Path | None) -> np.ndarray:
    """uint8 (N, S, S, 3): the store's first validation pictures, or noise."""
    if store is None:
        side = folder.inputs.side
        return np.random.default_rng(0).integers(0, 256, (PICTURES, side, side, 3), np.uint8)
    opened = Store.open(store)
    check_size(folder, opened)
    split = split_of(opened, "val")
    return split.read(np.arange(min(PICTURES, len(split))))
