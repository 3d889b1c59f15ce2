"""torchvision's `alexnet`: its state dict, as .pth or as .safetensors.

Its inputs are (x / 255 − mean) / std. Here they are x − 255·mean: zero is the same colour, so padding conv1 with zeros
has the same effect, and conv1's weights include the division by 255·std. Nothing else differs.
"""

import io
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from alexnet.errors import UserError
from alexnet.files.atomic import write_atomically
from alexnet.files.schema import reading_errors
from alexnet.nets.table import Table, with_classes
from alexnet.nets.zoo import ZOO, find
from alexnet.weights.checkpoint import loaded, network_in
from alexnet.weights.common import (
    ALONE,
    SORTED_SYNSETS,
    ExportedWeights,
    Files,
    ImportedWeights,
    ImportOptions,
    as_image,
    fold_std,
    real_numbers,
)
from alexnet.weights.description import KIND, NOT_DIVIDED, description_beside, uniform_colour, write_description
from alexnet.weights.onnx.rows import signature

NUMBERS = {"features": (0, 3, 6, 8, 10), "classifier": (1, 4, 6)}
NAMES = [f"{sequence}.{number}" for sequence, numbers in NUMBERS.items() for number in numbers]
LAYERS = {row.name: name for row, name in zip(ZOO["torchvision"].weighted, NAMES, strict=True)}
"""Our name of each layer and torchvision's."""
CALLED = {f"{ours}.{kind}": f"{theirs}.{kind}" for ours, theirs in LAYERS.items() for kind in ("weight", "bias")}
MEAN = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64, device="cpu") * 255
STD = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64, device="cpu") * 255


def read_torchvision(files: Files, name: str, options: ImportOptions) -> ImportedWeights:
    """A state dict of torchvision's `alexnet`, alone or in a checkpoint (see `checkpoint`).

    Raises UserError for another network's, and for a pickle that holds a model instead of its tensors.
    """
    options.refuse(files.path, "torchvision's alexnet reads RGB", "net", "colours")
    where = files.where(name)
    with reading_errors(where, ALONE):
        found, notes = network_in(loaded(files.read(name), where), CALLED.values(), where)
    weights = {ours: found.tensors[theirs] for ours, theirs in CALLED.items() if theirs in found.tensors}
    if not weights or found.strange:
        raise UserError(_another_network(files.path, found.strange))
    weights = {ours: real_numbers(tensor, f"{where}: {CALLED[ours]}") for ours, tensor in weights.items()}
    last = weights.get("fc8.bias")
    described, mean_beside = description_beside(files, name) or (None, MEAN)
    mean = mean_beside if options.mean is None else options.mean
    std = options.std if options.std is not None else described.std if described else STD
    unfolded = None
    if (first := weights.get("conv1.weight")) is not None and first.ndim == 4 and first.shape[1] == 3:
        weights["conv1.weight"] = fold_std(first, std)
        unfolded = (first, std) if bool((std != 1).any()) else None
    return ImportedWeights(
        find("torchvision", classes=None if last is None or last.ndim != 1 else max(2, len(last))),
        weights,
        as_image(mean),
        "torchvision",
        order=SORTED_SYNSETS,
        notes=notes,
        called=CALLED,
        unfolded=unfolded,
        config=described.config if described else {},
    )


def _another_network(path: Path, strange: Sequence[str]) -> str:
    ours = any(name.startswith("conv1.") for name in strange)
    hint = " These are the names of alexnet's own run folders: give the folder to the commands." if ours else ""
    return (
        f"{path}: not torchvision's alexnet: it holds {', '.join(strange[:3])}, which that network does not have. Its "
        f"state dict has {CALLED['conv1.weight']} … {CALLED['fc8.bias']}.{hint}"
    )


def write_torchvision(run: ExportedWeights, path: Path) -> tuple[str, ...]:
    """torchvision's names. conv1 as it was in the file that it came from, if it has not learned since; else as it is:
    for inputs that are not divided by a standard deviation. Raises UserError unless the network is torchvision's."""
    _refuse_another_table(run.network.table, run.where)
    weights, std = run.weights, NOT_DIVIDED
    if run.unfolded is not None and torch.equal(fold_std(*run.unfolded), weights["conv1.weight"]):
        weights["conv1.weight"], std = run.unfolded
    named = OrderedDict((theirs, weights[ours].contiguous()) for ours, theirs in CALLED.items())
    if path.suffix == ".safetensors":
        write_atomically(path, safetensors_bytes(named, {"format": "pt", "kind": KIND}))
    else:
        named._metadata = {"": {"version": 1, "kind": KIND}}  # pyright: ignore - as `Module.state_dict` keeps versions
        buffer = io.BytesIO()
        torch.save(named, buffer)
        write_atomically(path, buffer.getbuffer())
    write_description(run, path, std)
    return (_normalisation(run.mean_image, std),)


def _refuse_another_table(table: Table, where: str) -> None:
    """Raises UserError, naming the first row that differs, unless the table computes what torchvision's does."""
    ours, theirs = signature(table), signature(with_classes(ZOO["torchvision"], table.classes))
    if ours == theirs:
        return
    first = next((index for index, (line, needed) in enumerate(zip(ours, theirs, strict=False)) if line != needed), 0)
    rows = [row for row in table.rows if not hasattr(row, "keep")]
    raise UserError(
        f"{where}: {table.name} is not torchvision's alexnet: they differ at {rows[min(first, len(rows) - 1)].name}. "
        "Only networks trained as --net torchvision, or imported from there, fit its layout; choose another --to."
    )


def _normalisation(mean_image: Tensor, std: Tensor) -> str:
    """What must be done to a picture, in torchvision's words."""
    colour = uniform_colour(mean_image)
    if colour is None:
        return "inputs: RGB 0–255 minus the mean image next to it (.mean.npy), centre crop"
    scaled = [", ".join(f"{float(value) / 255:.7g}" for value in values) for values in (colour, std)]
    return f"inputs: torchvision.transforms.Normalize(mean=[{scaled[0]}], std=[{scaled[1]}]) of pixels from 0 to 1"
