"""What `alexnet export` writes beside weights in a layout that holds nothing else, and reads back: FILE.json.

network   the network's name in the zoo, its rows
input     sides of record and crop, colours, mean and standard deviation on the scale 0–255
classes   names and ids in the order of the outputs, and what that order is
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet.errors import UserError
from alexnet.nets.weights.foreign import Files

KIND = "alexnet weights"
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
    try:
        described = json.loads(beside)
        if described.get("kind") != KIND:
            return None
        image = files.beside(name, described["input"]["mean_image"]) if "mean_image" in described["input"] else None
        return understood(described, image)
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise UserError(
            f"{files.path}: {name}.json is damaged ({fault!r}). Restore it, or export the run again."
        ) from None


def understood(described: Mapping[str, Any], image: bytes | None) -> Description:
    """A description from its JSON, and the bytes of its mean image if it has one."""
    given = described["input"]
    mean = np.load(BytesIO(image), allow_pickle=False) if image is not None else np.array(given["mean"], np.float32)
    config = {key: dict(described[key]) for key in RUN_KEYS}
    std = torch.tensor(given["std"], dtype=torch.float64)
    if (mean.shape != (3,) and (mean.ndim != 3 or mean.shape[0] != 3)) or std.shape != (3,):
        raise ValueError(f"a mean of shape {mean.shape}, a deviation of shape {tuple(std.shape)}")
    return Description(config, torch.from_numpy(mean.astype(np.float32)), std)
