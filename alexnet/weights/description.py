"""What `alexnet export` writes beside weights in a layout that holds nothing else, and reads back: FILE.json.

network   the network's name in the zoo, its rows
input     sides of record and crop, colours, mean and standard deviation on the scale 0–255
classes   names and ids in the order of the outputs, and what that order is
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet.files.npy import array_in
from alexnet.files.schema import number, parsed, reading_errors, validate, whole
from alexnet.weights.foreign import Files

KIND = "alexnet weights"
REMEDY = "Restore it, or export the run again."
LARGEST_SIDE = 4096
FORM = {
    "network": {"table": dict, "input_size": whole(1, LARGEST_SIDE), "mean??": str},
    "classes": {"names": [str], "ids": [str], "order??": str},
    "data": dict,
    "input": {"mean_image??": lambda end: isinstance(end, str) and "/" not in end, "std": [number]},
}
RUN_KEYS = ("network", "classes", "data")
"""The parts of a run's config.json that go with its weights wherever they go."""


@dataclass(frozen=True, eq=False)
class Description:
    """`config`: the parts of a run's config; `mean` (3,) or (3, S, S) and `std` (3,): RGB on the scale 0–255."""

    config: dict[str, Any]
    mean: Tensor
    std: Tensor


def description_beside(files: Files, name: str) -> Description | None:
    """What lies beside the file `name` about it. None if nothing does; UserError if it can't be understood."""
    beside = files.beside(name, ".json")
    if beside is None:
        return None
    where = f"{files.path}: {name}.json"
    with reading_errors(where, REMEDY):
        described = parsed(beside)
        if not isinstance(described, dict) or described.get("kind") != KIND:
            return None
        validate(described, FORM, where, REMEDY)
        end = described["input"].get("mean_image")
        return understood(described, None if end is None else files.beside(name, end))


def understood(described: Mapping[str, Any], image: bytes | None) -> Description:
    """A description, held against its form before, and the bytes of its mean image if it has one. ValueError for
    numbers that don't fit."""
    given = described["input"]
    if image is None and given.get("mean") is None:
        raise ValueError("no mean")
    mean = array_in(image) if image is not None else np.array(given["mean"], np.float32)
    config = {key: dict(described[key]) for key in RUN_KEYS}
    std = torch.tensor(given["std"], dtype=torch.float64)
    square = mean.ndim == 3 and mean.shape[0] == 3 and 1 <= mean.shape[1] == mean.shape[2] <= LARGEST_SIDE
    if (mean.shape != (3,) and not square) or std.shape != (3,) or not bool((std > 0).all()):
        raise ValueError(f"a mean of shape {mean.shape}, a deviation of shape {tuple(std.shape)}")
    return Description(config, torch.from_numpy(mean.astype(np.float32)), std)
