"""A run that `alexnet export --to safetensors` put into one file: weights, mean, colour statistics, classes."""

from alexnet.errors import UserError
from alexnet.files.schema import validate
from alexnet.files.tensors import load_tensors
from alexnet.nets import table_json
from alexnet.weights.foreign import Files, ImportedWeights, ImportOptions

ABOUT = {"network": {"table": dict}, "missing_layers??": [str]}
INPUTS = "inputs."
"""What the names of the tensors begin with that are no weights."""


def read_own(files: Files, name: str, asked: ImportOptions) -> ImportedWeights:
    """The run in the file. Raises UserError if a byte of it differs from what was written."""
    path = files.on_disk(name)
    asked.refuse(("net", "mean", "std", "colours"), str(path), "the file says that itself")
    tensors, about = load_tensors(path)
    validate(about, ABOUT, path, "Export the run again.")
    inputs = {name.removeprefix(INPUTS): tensors.pop(name) for name in list(tensors) if name.startswith(INPUTS)}
    if "mean_image" not in inputs:
        raise UserError(f"{path}: {INPUTS}mean_image is missing. Export the run again.")
    eigen = (
        (inputs["eigenvalues"], inputs["eigenvectors"]) if inputs.keys() >= {"eigenvalues", "eigenvectors"} else None
    )
    return ImportedWeights(
        table_json.from_json(about["network"]["table"], str(path)),
        tensors,
        inputs["mean_image"],
        "alexnet",
        missing=tuple(about.get("missing_layers") or ()),
        eigen=eigen,
        config={key: about[key] for key in ("network", "classes", "data") if about.get(key) is not None},
    )
