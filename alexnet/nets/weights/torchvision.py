"""torchvision's `alexnet`: its state dict, as .pth or as .safetensors.

Its inputs are (x / 255 − mean) / std. What it is fed here is x − 255·mean: zero is the same colour, so the zeros that
pad conv1 mean the same, and dividing by 255·std is left to conv1's weights. Nothing else differs.
"""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from alexnet.errors import UserError
from alexnet.nets.weights.description import description_beside
from alexnet.nets.weights.foreign import SORTED_SYNSETS, Asked, Files, Foreign, as_image, fold_std
from alexnet.nets.zoo import find

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
ENDS = (".pth", ".pt", ".bin", ".safetensors")


def is_torchvision(files: Files) -> bool:
    return bool(files.ending(*ENDS))


def read_torchvision(files: Files, asked: Asked) -> Foreign:
    """A state dict of torchvision's `alexnet`, also under "state_dict" or "model" and with DataParallel's "module.".

    Raises UserError for another network's, and for a pickle that holds anything but tensors.
    """
    asked.refuse(("net", "colours"), str(files.path), "torchvision's alexnet reads RGB")
    name = files.only(*ENDS)
    there = plain_names(state_dict_in(files.read(name), name, str(files.path)))
    weights = {ours: there.pop(theirs) for ours, theirs in CALLED.items() if theirs in there}
    if not weights or there:
        raise UserError(_another_network(files.path, there))
    if strange := next((name for name, tensor in weights.items() if not isinstance(tensor, Tensor)), None):
        raise UserError(f"{files.path}: {name}: {CALLED[strange]} is no tensor. Save the model's state_dict() alone.")
    last = weights.get("fc8.bias")
    known = description_beside(files, name)
    mean = known.mean if asked.mean is None and known else asked.mean
    std = known.std if asked.std is None and known else asked.std
    std = STD if std is None else std
    unfolded = None
    if (first := weights.get("conv1.weight")) is not None and first.ndim == 4 and first.shape[1] == 3:
        weights["conv1.weight"] = fold_std(first, std)
        unfolded = (first, std) if bool((std != 1).any()) else None
    return Foreign(
        find("torchvision", classes=None if last is None or last.ndim != 1 else max(2, len(last))),
        weights,
        as_image(MEAN if mean is None else mean),
        "torchvision",
        order=SORTED_SYNSETS,
        called=CALLED,
        unfolded=unfolded,
        config=known.config if known else {},
    )


def state_dict_in(data: bytes, name: str, where: str) -> Mapping[str, Any]:
    """The tensors of a file, by name. Raises UserError if it is damaged or holds more than tensors."""
    try:
        if name.lower().endswith(".safetensors"):
            return load_safetensors(data)
        found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError) as fault:
        reason = next(iter(str(fault).splitlines()), type(fault).__name__)[:200]
        raise UserError(
            f"{where}: {name} can't be read ({reason}). Of a pickle only plain tensors are taken; nothing is run. "
            "Download it again, or save the model's state_dict() alone."
        ) from None
    except Exception as fault:  # torch's reader has many ways to say that a file is damaged
        raise UserError(
            f"{where}: {name} is damaged or cut short ({type(fault).__name__}). Download it again."
        ) from None
    for key in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping):
        raise UserError(
            f"{where}: {name} holds a {type(found).__name__}, a state dict is needed: save model.state_dict()."
        )
    return found


def plain_names(tensors: Mapping[str, Any]) -> dict[str, Tensor]:
    """The names without what DataParallel puts in ("module.")."""
    return {str(name).replace("module.", ""): tensor for name, tensor in tensors.items()}


def _another_network(path: Path, there: Mapping[str, Any]) -> str:
    strange = ", ".join(name[:60] for name in list(there)[:3]) or "nothing"
    return (
        f"{path}: not torchvision's alexnet: it holds {strange}, which that network does not have. Its state dict has "
        f"{CALLED['conv1.weight']} … {CALLED['fc8.bias']}."
    )
