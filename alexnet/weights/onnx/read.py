"""An ONNX graph as a table of rows: a chain of the operators that these networks are made of, read by its structure.

The metadata of our own exports has their rows; in other graphs the rows are found: groups become columns, explicit pads
become padding or rounding. Weights may be initialisers or outputs of constant nodes. The user must state what a graph
does not contain: the mean, and whether it reads RGB or BGR.
"""

from math import prod
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import torch

from alexnet.errors import UserError, optional_package
from alexnet.files.npy import array_in
from alexnet.files.schema import from_json, parsed, reading_errors
from alexnet.nets import table_json
from alexnet.nets.network import state_dict_shapes
from alexnet.nets.zoo import ZOO
from alexnet.weights.common import LIMIT_BYTES, Files, ImportedWeights, ImportOptions, as_image, fold_std
from alexnet.weights.description import Description
from alexnet.weights.onnx.rows import AGAIN, METADATA, Reading, array_of

if TYPE_CHECKING:
    import onnx


def read_onnx(files: Files, name: str, options: ImportOptions) -> ImportedWeights:
    """The graph's rows and weights. Raises UserError, naming the node, for what these networks do not have."""
    model = _load(files.read(name), files.where(name))
    described = next((entry.value for entry in model.metadata_props if entry.key == METADATA), None)
    if described is not None:
        return _own(model, described, files, name, options)
    if options.mean is None or options.colours is None:
        raise UserError(
            f"{files.path}: an ONNX graph does not say which mean is subtracted from its inputs, nor their colours. "
            "Give --mean (a file, or R,G,B from 0 to 255; 0,0,0 for none), --colours rgb or bgr, and --std if the "
            "inputs are divided by one."
        )
    with reading_errors(files.where(name), AGAIN):
        reading = Reading(model, _constants(model, files, name), files.where(name))
    weights = reading.weights
    first = f"{reading.table.weighted[0].name}.weight"
    if options.colours == "bgr":
        weights[first] = weights[first].flip(1).contiguous()
    if options.std is not None:
        weights[first] = fold_std(weights[first], options.std)
    notes = (f"the graph is the network {reading.table.name}",) if reading.table.name in ZOO else ()
    notes += (f"{reading.ended} is left out: outputs are logits here",) if reading.ended else ()
    mean = as_image(options.mean, options.colours)
    return ImportedWeights(reading.table, weights, mean, "ONNX", notes=notes, called=reading.called)


def _load(data: bytes, where: str) -> "onnx.ModelProto":
    model = optional_package("onnx", "onnx", f"{where}: reading ONNX").ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as fault:  # protobuf's DecodeError has moved from module to module
        raise UserError(f"{where}: damaged, or no ONNX file ({type(fault).__name__}). Download it again.") from None
    if not model.graph.node:
        raise UserError(f"{where}: damaged, or no ONNX file (it has no nodes). Download it again.")
    return model


def _own(model: "onnx.ModelProto", described: str, files: Files, name: str, options: ImportOptions) -> ImportedWeights:
    """Our own export: its metadata has the rows, and its weights have our names."""
    options.refuse(files.path, "the graph says that itself")
    if any(node.op_type == "DequantizeLinear" for node in model.graph.node):
        raise UserError(f"{files.where(name)}: its weights are int8; import one exported without --int8.")
    constants = _constants(model, files, name)
    where, remedy = f"{files.where(name)}: its metadata", "Export the run again."
    with reading_errors(where, remedy):
        known: Description = from_json(parsed(described), Description, where, remedy)
        end = known.input.mean_image
        beside = None if end is None else files.neighbour(name, name + end)
        image = constants.get("mean_image") if beside is None else array_in(beside)
        if image is None and end is not None:
            raise UserError(f"{files.path}: {name}{end} is missing next to it.")
        mean = known.mean(image)
        rows = table_json.from_json(known.network["table"], files.where(name))
    needed = state_dict_shapes(rows)
    weights = {key: torch.from_numpy(constants[key]) for key in needed if key in constants}
    weights |= {key: torch.tensor(0) for key in needed if key.endswith("num_batches_tracked")}
    return ImportedWeights(rows, weights, as_image(mean), "ONNX", config=known.config)


# ── the tensors of a graph ───────────────────────────────────────────────────────────────────────────────────────


def _constants(model: "onnx.ModelProto", files: Files, name: str) -> dict[str, np.ndarray]:
    """The tensors of a graph, in all not larger than any network's. Those stored in another file of the same folder
    are read from there."""
    where, outside = files.where(name), dict[str, bytes]()
    if sum(4 * prod(max(0, length) for length in tensor.dims) for tensor in model.graph.initializer) > LIMIT_BYTES:
        raise UserError(f"{where}: its tensors are larger than any of these networks. It is not one of them.")
    for tensor in model.graph.initializer:
        if tensor.data_location == tensor.EXTERNAL:
            tensor.raw_data = _from_outside(tensor, files, name, outside)
            tensor.data_location = tensor.DEFAULT
    return {tensor.name: array_of(tensor, where) for tensor in model.graph.initializer}


def _from_outside(tensor: "onnx.TensorProto", files: Files, name: str, outside: dict[str, bytes]) -> bytes:
    """The bytes of a tensor in another file. Raises UserError if that is not next to the graph, or too short."""
    import onnx

    where, given = files.where(name), {entry.key: entry.value for entry in tensor.external_data}
    location = given.get("location", "")
    if location in ("", "..") or PurePosixPath(location).name != location or "\\" in location or "\0" in location:
        raise UserError(f"{where}: {tensor.name} is stored in {location!r}; it must be in the graph's own folder.")
    if location not in outside:
        found = files.neighbour(name, location)
        if found is None:
            raise UserError(f"{where}: its weights are in {location}, which is missing. Put it next to the graph.")
        outside[location] = found
    with reading_errors(f"{where}: {tensor.name}", AGAIN):
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        start, length = int(given.get("offset") or 0), kind.itemsize * prod(tensor.dims)
        if start < 0 or length < 0 or start + length > len(outside[location]):
            raise ValueError(f"{location} ends before it")
        return outside[location][start : start + length]
