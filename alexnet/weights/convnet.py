"""cuda-convnet's layout (the authors' code of 2012): matrices of (channels·k·k, filters), a layer for each tower.

Their checkpoints are pickles, which can run anything when read, so this module reads an .npz with the arrays of the
layers (docs/weights.md has the few lines that make one):

    NAME.weights.0, NAME.weights.1 …   a matrix for each input of the layer, (inputs, outputs)
    NAME.inputs                        the names of these inputs, if they are not in the order of the towers
    NAME.biases                        one for each output
    data_mean                          the mean image, 3·S·S values, RGB (optional)

NAME as in layers-145.cfg: conv1a, conv1b, …, fc2048a, fc2048ba, fc1000; in nets of one tower the row's own name.
"""

import io
import zipfile
from math import isqrt

import numpy as np
import torch
from torch import Tensor

from alexnet.errors import UserError
from alexnet.files.npy import array_in
from alexnet.files.schema import reading_errors
from alexnet.nets.table import Conv, Dense, Weighted
from alexnet.nets.trace import Layer, trace
from alexnet.nets.zoo import find
from alexnet.weights.common import LIMIT_BYTES, Files, ImportedWeights, ImportOptions, as_image

NET = "alexnet-145"
IN_CFG = {"fc6": "fc2048", "fc7": "fc2048b", "fc8": "fc1000"}
"""Our name of a layer and that of layers-145.cfg, less the tower's letter."""
TOWERS = "abcd"
OWN_TOWER_FIRST = ("fc2048bb", "conv6b")
"""Layers of layers-145.cfg and -146.cfg whose first input is tower b's."""


def read_convnet(files: Files, name: str, options: ImportOptions) -> ImportedWeights:
    """Weights in cuda-convnet's layout, for `alexnet-145` or the net asked for. Raises UserError for damaged files."""
    options.refuse(files.path, "cuda-convnet reads RGB from 0 to 255", "std", "colours")
    where, table = files.where(name), find(options.net or NET)
    arrays = _arrays(files.read(name), where)
    weights: dict[str, Tensor] = {}
    for layer in trace(table):
        if isinstance(layer.row, Weighted):
            weight, bias = _layer(arrays, layer, table.columns, where)
            weights |= {f"{layer.row.name}.weight": weight, f"{layer.row.name}.bias": bias}
    mean = options.mean if options.mean is not None else _mean(arrays, where)
    return ImportedWeights(table, weights, as_image(mean), "cuda-convnet", mean_mode="centre")


def _layer(arrays: dict[str, np.ndarray], layer: Layer, columns: int, where: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of one row, from the whole layer's matrices or, one below the other, its towers'."""
    row = layer.row
    if not isinstance(row, Conv | Dense):
        raise UserError(f"{where}: {row.name} has weights for each position; this layout has no such layers.")
    known = {name.split(".")[0] for name in arrays}
    own, in_cfg = row.name, IN_CFG.get(row.name, row.name)
    towers = [in_cfg + TOWERS[column] for column in range(columns)] if columns > 1 else [own]
    whole = next((name for name in (own, in_cfg) if name in known), None)
    reads: dict[str, tuple[int, ...]] = dict(zip(towers, layer.reads, strict=True))
    if whole is not None and (columns == 1 or not known.issuperset(towers)):  # fc2048b is no fc7, it is fc6's tower b
        reads = {whole: tuple(sorted({column for read in layer.reads for column in read}))}
    weights, biases = zip(*(_tower(arrays, name, row, read, where) for name, read in reads.items()), strict=True)
    return torch.cat(weights), torch.cat(biases)


def _tower(
    arrays: dict[str, np.ndarray], name: str, row: Conv | Dense, reads: tuple[int, ...], where: str
) -> tuple[Tensor, Tensor]:
    """(outputs, …) weight and (outputs) bias of the layer `name`, its inputs in the order of `reads`."""
    wanted = [*(f"{name}.weights.{number}" for number in range(len(reads))), f"{name}.biases"]
    if absent := [array for array in wanted if array not in arrays]:
        raise UserError(f"{where}: {absent[0]} is missing; {row.name} needs {', '.join(wanted)}.")
    matrices = [arrays[array] for array in wanted[:-1]]
    for array, matrix in zip(wanted, matrices, strict=False):
        window = 1 if isinstance(row, Dense) else row.kernel**2
        if matrix.dtype != np.float32 or matrix.ndim != 2 or matrix.shape[0] % window:
            layout = "(inputs, outputs)" if isinstance(row, Dense) else f"(maps·{row.kernel}·{row.kernel}, filters)"
            kind = "" if matrix.dtype == np.float32 else f" of {matrix.dtype}"
            raise UserError(f"{where}: {array} is {matrix.shape}{kind}; {row.name} needs {layout}.")
    ordered = [matrices[index] for index in _order(arrays, name, reads, where)]
    if len({matrix.shape[1] for matrix in ordered}) != 1:
        shapes = ", ".join(str(matrix.shape) for matrix in ordered)
        raise UserError(f"{where}: the matrices of {name} are {shapes}: they don't fit.")
    blocks = [torch.from_numpy(np.ascontiguousarray(matrix.T)) for matrix in ordered]
    if not isinstance(row, Dense):
        blocks = [block.unflatten(1, (-1, row.kernel, row.kernel)) for block in blocks]
    biases = arrays[wanted[-1]]
    if biases.dtype != np.float32:
        raise UserError(f"{where}: {wanted[-1]} is {biases.dtype}; numbers are needed.")
    return torch.cat(blocks, dim=1), torch.from_numpy(biases.reshape(-1).copy())


def _order(arrays: dict[str, np.ndarray], name: str, reads: tuple[int, ...], where: str) -> list[int]:
    """Which of the layer's matrices belongs to each tower below, in the order of `reads`."""
    if f"{name}.inputs" not in arrays:
        return list(reversed(range(len(reads)))) if name in OWN_TOWER_FIRST else list(range(len(reads)))
    towers = [str(given)[-1:] for given in arrays[f"{name}.inputs"].reshape(-1)]
    wanted = [TOWERS[column] for column in reads]
    if sorted(towers) != sorted(wanted):
        raise UserError(f"{where}: {name}.inputs names the towers {', '.join(towers)}; {', '.join(wanted)} are needed.")
    return [towers.index(tower) for tower in wanted]


def _mean(arrays: dict[str, np.ndarray], where: str) -> Tensor:
    if "data_mean" not in arrays:
        raise UserError(f"{where}: has no data_mean. Give the mean that was subtracted from the pictures with --mean.")
    values = arrays["data_mean"].reshape(-1)
    side = isqrt(len(values) // 3)
    if side < 1 or 3 * side**2 != len(values) or values.dtype != np.float32:
        raise UserError(f"{where}: data_mean has {len(values):,} values, a square picture of three colours is needed.")
    return torch.from_numpy(values.reshape(3, side, side).copy())


def _arrays(data: bytes, where: str) -> dict[str, np.ndarray]:
    """The arrays of an .npz: numbers as float32, names as they are. Nothing pickled is read."""
    with reading_errors(where, "What is in it must be plain arrays."), zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(member.file_size for member in archive.infolist()) > LIMIT_BYTES:
            raise UserError(f"{where}: unpacked it is larger than any file of these networks; it is not one of them.")
        names = [name for name in archive.namelist() if name.endswith(".npy")]
        arrays = {name.removesuffix(".npy"): array_in(_unpacked(archive, name)) for name in names}
    return {name: array.astype(np.float32) if array.dtype.kind in "fiu" else array for name, array in arrays.items()}


def _unpacked(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member's bytes, never more than its entry declares."""
    with archive.open(name) as member:
        size = archive.getinfo(name).file_size
        found = member.read(size)
    if len(found) != size:
        raise ValueError(f"{name} is cut short")
    return found
