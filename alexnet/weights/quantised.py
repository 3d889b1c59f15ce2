"""Product-quantised weights of Caffe's AlexNet (Wu et al. 2016, Quantized CNN).

C, C_below maps · k side of a filter · M sub-spaces of d values each, W words of a codebook.
"""

import math

import numpy as np
import torch
from torch import Tensor

from alexnet.errors import UserError
from alexnet.files import npy
from alexnet.files.schema import reading_errors
from alexnet.nets.network import state_dict_shapes
from alexnet.nets.table import Dense, Weighted
from alexnet.nets.zoo import find
from alexnet.weights.common import SORTED_SYNSETS, Files, ImportedWeights, ImportOptions

QUANTISED_LAYERS = {"conv1": 1, "conv2": 5, "conv3": 9, "conv4": 11, "conv5": 13, "fc6": 16, "fc7": 19, "fc8": 22}
"""Caffe's number of each layer, which the files' names carry."""
CODEBOOK, ASSIGNMENT, BIAS = "ctrdLst.{:02}.bin", "asmtLst.{:02}.cbn", "biasVec.{:02}.bin"
PREFIX = "bvlc_alexnet_aCaF."
MEAN, CLASSES, EXACT_CONV1 = "imagenet_mean.single.bin", "class_names.txt", "conv1_bvlc_alexnet_OIHW.npy"
BLOCK_BYTES = 4096


def is_quantised(files: Files) -> bool:
    return PREFIX + CODEBOOK.format(1) in files


def read_quantised(files: Files, options: ImportOptions) -> ImportedWeights:
    """Caffe's bvlc_alexnet, product-quantised: each run of d inputs of a unit is a word of a codebook. An exact conv1
    replaces the quantised one if the set has it. Layers without a list of words are missing.

    Raises UserError for files that are damaged.
    """
    options.refuse(files.path, "the set holds its mean and the colours are known")
    with reading_errors(files.path, "Download the set again."):
        return _read(files)


def _read(files: Files) -> ImportedWeights:
    table, weights, missing, notes = find("bvlc-alexnet"), {}, [], []
    shapes = state_dict_shapes(table)
    for row in table.weighted:
        number = QUANTISED_LAYERS[row.name]
        if PREFIX + ASSIGNMENT.format(number) not in files:
            missing.append(row.name)
            continue
        codebook = array_in(files, PREFIX + CODEBOOK.format(number))
        words = packed_in(files, PREFIX + ASSIGNMENT.format(number))
        below = shapes[f"{row.name}.weight"].shape[1]
        weights[f"{row.name}.weight"] = _unquantised(files, row, codebook, words)[:, :below]
        weights[f"{row.name}.bias"] = torch.from_numpy(array_in(files, PREFIX + BIAS.format(number)).reshape(-1))
    if EXACT_CONV1 in files:
        exact = npy.array_in(files.read(EXACT_CONV1))
        weights["conv1.weight"] = torch.from_numpy(exact.astype(np.float32))
        notes.append("conv1 is exact, not quantised")
    if "conv1.weight" in weights:
        weights["conv1.weight"] = weights["conv1.weight"].flip(1).contiguous()  # Caffe reads BGR
    mean = torch.from_numpy(array_in(files, MEAN).reshape(3, 256, 256)).flip(0).contiguous()
    names = files.read(CLASSES).decode("utf-8", "replace").splitlines() if CLASSES in files else []
    return ImportedWeights(
        table,
        weights,
        mean,
        "product-quantised",
        missing_layers=tuple(missing),
        class_names=tuple(names),
        order=SORTED_SYNSETS,
        notes=tuple(notes),
    )


def _unquantised(files: Files, row: Weighted, codebook: np.ndarray, words: np.ndarray) -> Tensor:
    """Convolution: words (C, k, k, M) → (C, M·d, k, k). Dense: words (U, M) → (U, M·d). Codebook (M, W, d). M·d may be
    more than the maps below (conv1 has 3); the surplus has no meaning."""
    fit = codebook.ndim == 3 and words.ndim >= 2 and words.shape[-1] == codebook.shape[0]
    if not fit or words.max(initial=0) >= codebook.shape[1]:
        raise UserError(f"{files.path}: the codebook of {row.name} and its list of words don't belong together.")
    values = codebook[np.arange(codebook.shape[0]), words]  # (…, M, d)
    joined = torch.from_numpy(values.reshape(*values.shape[:-2], -1).astype(np.float32))
    return joined if isinstance(row, Dense) else joined.permute(0, 3, 1, 2)


def array_in(files: Files, name: str) -> np.ndarray:
    """int32 number of dimensions, int32 each, float32 values, little endian. Raises UserError for a file cut short."""
    data = files.read(name)
    shape, start = _shape_in(data, files, name)
    if len(data) - start != 4 * math.prod(shape):
        raise UserError(f"{files.where(name)} is cut short or too long: {len(data) - start:,} bytes for {shape}.")
    return np.frombuffer(data, "<f4", offset=start).reshape(shape).copy()


def packed_in(files: Files, name: str) -> np.ndarray:
    """Like `array_in`, but whole numbers of b bits, the first bit highest, in blocks of 4,096 bytes, each holding as
    many as fit."""
    data = files.read(name)
    shape, start = _shape_in(data, files, name)
    bits = int(np.frombuffer(data, "<i4", 1, offset=start)[0])
    count, body = math.prod(shape), np.frombuffer(data, np.uint8, offset=start + 4)
    if not 1 <= bits <= 16 or len(body) % BLOCK_BYTES:
        raise UserError(f"{files.where(name)} is cut short or no list of words.")
    each = BLOCK_BYTES * 8 // bits
    spread = np.unpackbits(body).reshape(-1, BLOCK_BYTES * 8)[:, : each * bits].reshape(-1, bits)
    if len(spread) < count:
        raise UserError(f"{files.where(name)} is cut short: {len(spread):,} words for {shape}.")
    values = spread[:count].astype(np.int64) @ (1 << np.arange(bits)[::-1])
    return values.reshape(shape)


def _shape_in(data: bytes, files: Files, name: str) -> tuple[tuple[int, ...], int]:
    """The dimensions at a file's beginning, and where they end."""
    count = int.from_bytes(data[:4], "little", signed=True)
    shape = tuple(np.frombuffer(data[4 : 4 + 4 * count], "<i4").tolist()) if 1 <= count <= 4 else ()
    if len(shape) != count or not all(0 < length <= 1 << 24 for length in shape):
        raise UserError(f"{files.where(name)} is damaged, its first bytes are no list of dimensions.")
    return shape, 4 + 4 * count
