"""A run that `alexnet export --to safetensors` put into one file: weights, mean, colour statistics, classes."""

import json

from alexnet.errors import UserError
from alexnet.files import metadata_in
from alexnet.nets import table
from alexnet.nets.weights.foreign import Asked, Files, Foreign
from alexnet.tensor_files import load_tensors

INPUTS = "inputs."
"""What the names of the tensors begin with that are no weights."""


def is_own(files: Files) -> bool:
    """Whether a single .safetensors file is one of ours: its header has a table of rows."""
    found = files.ending(".safetensors")
    if len(found) != 1 or not files.is_on_disk(found[0]):
        return False
    try:
        with open(files.on_disk(found[0]), "rb") as file:
            return "network" in json.loads(metadata_in(file).get("about", "{}"))
    except (ValueError, OSError):
        return False


def read_own(files: Files, asked: Asked) -> Foreign:
    """The run in the file. Raises UserError if a byte of it differs from what was written."""
    path = files.on_disk(files.only(".safetensors"))
    asked.refuse(("net", "mean", "std", "colours"), str(path), "the file says that itself")
    tensors, about = load_tensors(path)
    inputs = {name.removeprefix(INPUTS): tensors.pop(name) for name in list(tensors) if name.startswith(INPUTS)}
    if "mean_image" not in inputs:
        raise UserError(f"{path}: {INPUTS}mean_image is missing. Export the run again.")
    eigen = (inputs["eigenvalues"], inputs["eigenvectors"]) if "eigenvalues" in inputs else None
    return Foreign(
        table.from_json(about["network"].get("table", {}), str(path)),
        tensors,
        inputs["mean_image"],
        "alexnet",
        missing=tuple(about.get("missing_layers", ())),
        eigen=eigen,
        config={key: about[key] for key in ("network", "classes", "data") if key in about},
    )
