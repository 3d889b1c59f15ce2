"""A run in one file, `alexnet export --to safetensors`: weights, mean, colour statistics, classes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import alexnet
from alexnet.errors import UserError
from alexnet.files.schema import check
from alexnet.files.tensors import load_tensors, save_tensors
from alexnet.nets import table_json
from alexnet.weights.common import ExportedWeights, Files, ImportedWeights, ImportOptions
from alexnet.weights.description import KIND, RUN_KEYS


@dataclass(frozen=True)
class OwnNetwork:
    """What is read of the network's description."""

    table: dict[str, Any]


@dataclass(frozen=True)
class OwnMetadata:
    """What is read of the file's metadata."""

    network: OwnNetwork
    missing_layers: tuple[str, ...] | None = None


INPUTS = "inputs."
"""Prefix of the names of the tensors that are not weights."""


def write_own(run: ExportedWeights, path: Path) -> tuple[str, ...]:
    """All of the run in one file: weights under our names, mean and colour statistics under "inputs."."""
    inputs = {f"{INPUTS}{name}": tensor for name, tensor in run.statistics.items()}
    about = {"kind": KIND, "alexnet": alexnet.__version__, "missing_layers": list(run.network.missing_layers)}
    save_tensors(path, run.weights | inputs, about | run.config)
    return ()


def read_own(files: Files, name: str, options: ImportOptions) -> ImportedWeights:
    """The run in the file. Raises UserError if a byte of it differs from what was written."""
    path = files.on_disk(name)
    options.refuse(path, "the file says that itself")
    tensors, about = load_tensors(path)
    check(about, OwnMetadata, path, "Export the run again.")
    inputs = {name.removeprefix(INPUTS): tensors.pop(name) for name in list(tensors) if name.startswith(INPUTS)}
    if "mean_image" not in inputs:
        raise UserError(f"{path}: {INPUTS}mean_image is missing. Export the run again.")
    has_eigen = inputs.keys() >= {"eigenvalues", "eigenvectors"}
    return ImportedWeights(
        table_json.from_json(about["network"]["table"], str(path)),
        tensors,
        inputs["mean_image"],
        "alexnet",
        missing_layers=tuple(about.get("missing_layers") or ()),
        eigen=(inputs["eigenvalues"], inputs["eigenvectors"]) if has_eigen else None,
        config={key: about[key] for key in RUN_KEYS if about.get(key) is not None},
    )
