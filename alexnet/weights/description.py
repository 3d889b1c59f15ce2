"""The files next to weights whose format holds nothing else: FILE.json, and FILE.mean.npy for a mean image.

Written by `alexnet export`, read back by `alexnet import`.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

import alexnet
from alexnet.files import schema
from alexnet.files.atomic import write_atomically
from alexnet.files.npy import array_in
from alexnet.nets.table import Pixels
from alexnet.weights.common import ExportedWeights, Files

KIND = "alexnet weights"
REMEDY = "Restore it, or export the run again."
LARGEST_SIDE = 4096
RUN_KEYS = ("network", "classes", "data")
"""The entries of a run's config.json that are exported with its weights."""
NOT_DIVIDED = torch.ones(3, dtype=torch.float64, device="cpu")
"""The standard deviation of inputs that are not divided by one."""
Positive = Annotated[float, lambda value: value > 0]


class NetworkPart(TypedDict):
    """The network's rows and the side of its crops."""

    table: dict[str, Any]
    input_size: Pixels
    mean: NotRequired[str | None]


class ClassesPart(TypedDict):
    """Names and ids in the order of the outputs, and what that order is."""

    names: list[str]
    ids: list[str]
    order: NotRequired[str | None]


@dataclass(frozen=True)
class InputPart:
    """Sides of record and crop, colours, mean and standard deviation on the scale 0–255. The mean is a colour, or an
    image whose file's name ends in `mean_image`, or inside the model (`preprocessing`)."""

    std: tuple[Positive, Positive, Positive]
    mean: tuple[float, float, float] | None = None
    mean_image: Annotated[str, lambda end: "/" not in end] | None = None
    record: Pixels | None = None
    crop: Pixels | None = None
    colours: str = "rgb"
    scale: tuple[float, float] = (0, 255)
    preprocessing: bool = False


@dataclass(frozen=True)
class Description:
    """FILE.json."""

    input: InputPart
    network: NetworkPart
    classes: ClassesPart
    data: dict[str, Any]
    kind: Literal["alexnet weights"] = KIND
    alexnet: str = alexnet.__version__

    @property
    def config(self) -> dict[str, Any]:
        """The entries for a run's config.json."""
        return {key: dict(getattr(self, key)) for key in RUN_KEYS}

    @property
    def std(self) -> Float[Tensor, "3"]:
        return torch.tensor(self.input.std, dtype=torch.float64)

    def mean(self, image: np.ndarray | None) -> Tensor:
        """`image` or else the colour, RGB on the scale 0–255: (3, S, S) or (3,). ValueError for what is neither."""
        if image is None and self.input.mean is None:
            raise ValueError("no mean")
        mean = np.array(self.input.mean) if image is None else image
        square = mean.ndim == 3 and mean.shape[0] == 3 and 1 <= mean.shape[1] == mean.shape[2] <= LARGEST_SIDE
        if mean.shape != (3,) and not square:
            raise ValueError(f"a mean of shape {mean.shape}")
        return torch.from_numpy(mean.astype(np.float32))


def describe(run: ExportedWeights, std: Float[Tensor, "3"] = NOT_DIVIDED) -> dict[str, Any]:
    """The content of FILE.json for a run whose inputs are divided by `std`."""
    colour, side = uniform_colour(run.mean_image), run.mean_image.shape[-1]
    mean = None if colour is None else tuple(colour.tolist())
    end = ".mean.npy" if mean is None and not run.preprocessing else None
    std_rgb = tuple(std.tolist())
    inputs = InputPart(std_rgb, mean, end, side, run.network.input_size, preprocessing=run.preprocessing)
    described = schema.to_json(Description(inputs, **run.config))
    return described | {"input": {key: value for key, value in described["input"].items() if value is not None}}


def write_description(run: ExportedWeights, path: Path, std: Float[Tensor, "3"] = NOT_DIVIDED) -> None:
    """FILE.json, and FILE.mean.npy (3, S, S), RGB, if the mean is an image that the model does not hold itself."""
    if uniform_colour(run.mean_image) is None and not run.preprocessing:
        buffer = io.BytesIO()
        np.save(buffer, run.mean_image.numpy())
        write_atomically(path.with_name(f"{path.name}.mean.npy"), buffer.getbuffer())
    write_atomically(path.with_name(f"{path.name}.json"), schema.json_bytes(describe(run, std)))


def uniform_colour(mean_image: Float[Tensor, "3 S S"]) -> Float[Tensor, "3"] | None:
    """The colour of a mean image that is one colour, else None."""
    colour = mean_image[:, 0, 0]
    return colour if torch.equal(mean_image, colour[:, None, None].expand_as(mean_image)) else None


def description_beside(files: Files, name: str) -> tuple[Description, Tensor] | None:
    """The description next to the file `name`, and the mean. None if there is none; UserError if it is damaged."""
    beside = files.neighbour(name, f"{name}.json")
    if beside is None:
        return None
    where = f"{files.path}: {name}.json"
    with schema.reading_errors(where, REMEDY):
        described = schema.parsed(beside)
        if not isinstance(described, dict) or described.get("kind") != KIND:
            return None
        known: Description = schema.from_json(described, Description, where, REMEDY)
        image = None if known.input.mean_image is None else files.neighbour(name, name + known.input.mean_image)
        return known, known.mean(None if image is None else array_in(image))
