"""`alexnet export`."""

from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from alexnet.commands.options.weights import Export
from alexnet.data.batches import batches
from alexnet.data.preprocessing import Records
from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.measure.evaluation import check_size, class_map, split_of
from alexnet.measure.int8 import errors_in_int8
from alexnet.runs.export import TOLERANCE, compare_onnx, export
from alexnet.runs.folder import RunFolder
from alexnet.terminal import progress, say

PICTURES = 64
"""How many pictures go through both sides of the comparison."""
CALIBRATION = 128
"""How many training pictures int8 is calibrated on."""


def run(options: Export) -> None:
    folder = RunFolder.open(options.run_folder)
    if options.check and (options.to != "onnx" or options.int8):
        raise UsageError(
            "--check: only --to onnx without --int8 is compared with PyTorch number by number; leave it out."
        )
    store = None if options.int8 is None else Store.open(options.int8)
    calibration = None if store is None else pictures_for_calibration(folder, store)
    made = export(folder, options.to, options.out, preprocessing=options.preprocessing, calibration=calibration)
    for note in made.notes:
        say(note)
    if store is not None:
        with progress("pictures") as report:
            said = errors_in_int8(folder, made.path, store, partial(report, "val"))
        say(said)
    elif options.to == "onnx":
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


def pictures_for_calibration(folder: RunFolder, store: Store) -> Iterator[Records]:
    """Training pictures, evenly spread. Raises UserError for a store that the network can't be measured on."""
    check_size(folder, store)
    class_map(folder, store, split_of(store, "val"))
    train = split_of(store, "train")
    chosen = np.unique(np.linspace(0, len(train) - 1, CALIBRATION).astype(int))
    return (records for records, _ in batches(train, 16, chosen))


def pictures_for_check(folder: RunFolder, store: Path | None) -> np.ndarray:
    """uint8 (N, S, S, 3): the store's first validation pictures, or noise."""
    if store is None:
        side = folder.inputs.side
        return np.random.default_rng(0).integers(0, 256, (PICTURES, side, side, 3), np.uint8)
    opened = Store.open(store)
    check_size(folder, opened)
    split = split_of(opened, "val")
    return split.read(np.arange(min(PICTURES, len(split))))
