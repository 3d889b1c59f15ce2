"""torchvision's `alexnet`: its state dict, as .pth or as .safetensors.

Its inputs are (x / 255 − mean) / std. What it is fed here is x − 255·mean: zero is the same colour, so the zeros that
pad conv1 mean the same, and dividing by 255·std is left to conv1's weights. Nothing else differs.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from alexnet.errors import UserError
from alexnet.files.schema import reading_errors
from alexnet.nets.zoo import find
from alexnet.weights.checkpoint import loaded, network_in
from alexnet.weights.description import description_beside
from alexnet.weights.foreign import (
    ALONE,
    SORTED_SYNSETS,
    Files,
    ImportedWeights,
    ImportOptions,
    as_image,
    fold_std,
    real_numbers,
)

LAYERS = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    "fc6": "classifier.1",
    "fc7": "classifier.4",
    "fc8": "classifier.6",
}
"""Our name of each layer and torchvision's."""
CALLED = {f"{ours}.{kind}": f"{theirs}.{kind}" for ours, theirs in LAYERS.items() for kind in ("weight", "bias")}
MEAN = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64, device="cpu") * 255
STD = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64, device="cpu") * 255


def read_torchvision(files: Files, name: str, asked: ImportOptions) -> ImportedWeights:
    """A state dict of torchvision's `alexnet`, alone or in a checkpoint (see `checkpoint`).

    Raises UserError for another network's, and for a pickle that holds a model instead of its tensors.
    """
    asked.refuse(("net", "colours"), str(files.path), "torchvision's alexnet reads RGB")
    where = files.where(name)
    with reading_errors(where, ALONE):
        found, notes = network_in(loaded(files.read(name), where), CALLED.values(), where)
    weights = {ours: found.tensors[theirs] for ours, theirs in CALLED.items() if theirs in found.tensors}
    if not weights or found.strange:
        raise UserError(_another_network(files.path, found.strange))
    weights = {ours: real_numbers(tensor, f"{where}: {CALLED[ours]}") for ours, tensor in weights.items()}
    last = weights.get("fc8.bias")
    known = description_beside(files, name)
    mean = known.mean if asked.mean is None and known else asked.mean
    std = known.std if asked.std is None and known else asked.std
    std = STD if std is None else std
    unfolded = None
    if (first := weights.get("conv1.weight")) is not None and first.ndim == 4 and first.shape[1] == 3:
        weights["conv1.weight"] = fold_std(first, std)
        unfolded = (first, std) if bool((std != 1).any()) else None
    return ImportedWeights(
        find("torchvision", classes=None if last is None or last.ndim != 1 else max(2, len(last))),
        weights,
        as_image(MEAN if mean is None else mean),
        "torchvision",
        order=SORTED_SYNSETS,
        notes=notes,
        called=CALLED,
        unfolded=unfolded,
        config=known.config if known else {},
    )


def _another_network(path: Path, strange: Sequence[str]) -> str:
    ours = any(name.startswith("conv1.") for name in strange)
    hint = " These are the names of alexnet's own run folders: give the folder to the commands." if ours else ""
    return (
        f"{path}: not torchvision's alexnet: it holds {', '.join(strange[:3])}, which that network does not have. Its "
        f"state dict has {CALLED['conv1.weight']} … {CALLED['fc8.bias']}.{hint}"
    )
