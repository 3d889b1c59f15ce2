"""A .caffemodel of Caffe's AlexNet or CaffeNet, read without Caffe: `caffe.proto`'s NetParameter, both its ways.

Layers stand in field 100 (`LayerParameter`) or, as in the models that were published, in field 2 (`V1LayerParameter`).
Caffe reads BGR; its norms run over all maps with k = 1; both are in the rows of `bvlc-alexnet` and `caffenet`. The two
differ in the order of norm and pool, which the layers' inputs tell.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from alexnet.errors import UserError
from alexnet.files.npy import array_in
from alexnet.files.schema import describe
from alexnet.nets.table import Table
from alexnet.nets.zoo import ZOO, find
from alexnet.weights import wire
from alexnet.weights.common import SORTED_SYNSETS, Files, ImportedWeights, ImportOptions, as_image

MEAN_RGB = torch.tensor([122.6789, 116.6688, 104.0070], dtype=torch.float32, device="cpu")
"""The mean colour of Caffe's `ilsvrc_2012_mean.npy`."""
NEW_LAYER, V1_LAYER = 100, 2  # fields of NetParameter
NAME, BOTTOM, BLOBS = {NEW_LAYER: 1, V1_LAYER: 4}, {NEW_LAYER: 3, V1_LAYER: 2}, {NEW_LAYER: 7, V1_LAYER: 6}
V0_INSIDE = 1  # a V1 layer that wraps a layer of Caffe's first months
DATA, DOUBLE_DATA, SHAPE, OLD_SHAPE = 5, 8, 7, (1, 2, 3, 4)  # of BlobProto
MEAN_FILES = (".binaryproto", "_mean.npy")


@dataclass(frozen=True)
class CaffeLayer:
    """A layer's name, the names of its inputs, and its blobs."""

    name: str
    bottoms: tuple[str, ...]
    blobs: tuple[np.ndarray, ...]


def read_caffe(files: Files, name: str, options: ImportOptions) -> ImportedWeights:
    """Weights of `bvlc_alexnet` or `bvlc_reference_caffenet`, or of a net fine-tuned from one: the last layer may have
    another name and number of classes. A mean image next to the file is used. Raises UserError for damaged files."""
    options.refuse(files.path, "Caffe's networks read BGR from 0 to 255", "std", "colours")
    try:
        layers = layers_of(memoryview(files.read(name)))
    except wire.DamagedMessage as fault:
        raise UserError(f"{files.where(name)} is damaged or no caffemodel ({fault}). Download it again.") from None
    table = network_of(layers, options.net, files.where(name))
    last, with_weights = table.weighted[-1].name, {layer.name: layer for layer in layers if layer.blobs}
    mine = [row.name for row in table.weighted]
    if last not in with_weights and len(others := [name for name in with_weights if name not in mine]) == 1:
        with_weights[last] = with_weights.pop(others[0])  # fine-tuned nets call it fc8_flickr and the like
    if strange := [name for name in with_weights if name not in mine]:
        raise UserError(f"{files.where(name)} has weights of {', '.join(strange[:3])}; {table.name} has no such layer.")
    if last in with_weights:
        if with_weights[last].blobs[0].ndim < 2:
            raise UserError(f"{files.where(name)}: the weights of {last} are no matrix. Download it again.")
        table = find(table.name, classes=max(2, with_weights[last].blobs[0].shape[-2]))
    weights, called = _named(with_weights)
    if "conv1.weight" in weights and weights["conv1.weight"].ndim == 4:
        weights["conv1.weight"] = weights["conv1.weight"].flip(1).contiguous()  # BGR → RGB
    mean, notes = _mean(files, options)
    return ImportedWeights(table, weights, mean, "caffemodel", order=SORTED_SYNSETS, notes=notes, called=called)


def network_of(layers: list[CaffeLayer], net: str | None, where: str) -> Table:
    """The zoo's table: the one asked for, or the one whose norm1 reads what this file's does."""
    if net is not None:
        return find(net)
    norms = [layer for layer in layers if layer.name == "norm1"]
    if not norms or not norms[0].bottoms:
        raise UserError(f"{where} has no norm1: neither bvlc_alexnet nor bvlc_reference_caffenet. Choose with --net.")
    return ZOO["caffenet" if norms[0].bottoms[0] == "pool1" else "bvlc-alexnet"]


def _named(layers: dict[str, CaffeLayer]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Weight and bias of each layer under our names, and what to call them in messages."""
    weights, called = {}, {}
    for name, layer in layers.items():
        for kind, blob in zip(("weight", "bias"), layer.blobs, strict=False):
            kept = 1 if kind == "bias" else 2 if name.startswith("fc") else 4
            while blob.ndim > kept and blob.shape[0] == 1:  # V1 stores 4096 × 9216 as 1 × 1 × 4096 × 9216
                blob = blob[0]
            weights[f"{name}.{kind}"] = torch.from_numpy(blob)
            called[f"{name}.{kind}"] = f"layer {layer.name}"
    return weights, called


def _mean(files: Files, options: ImportOptions) -> tuple[Tensor, tuple[str, ...]]:
    """The mean as an RGB image: the one asked for, an image next to the weights, or Caffe's mean colour."""
    if options.mean is not None:
        return as_image(options.mean, "bgr"), ()
    if found := files.ending(*MEAN_FILES):
        return as_image(mean_image_in(files.read(found[0]), found[0]), "bgr"), (f"mean image: {found[0]}",)
    colour = ", ".join(f"{value:.2f}" for value in MEAN_RGB.tolist())
    return as_image(MEAN_RGB), (
        f"mean: the colour {colour} (RGB) of Caffe's mean image; --mean takes the image itself",
    )


def mean_image_in(data: bytes, name: str) -> Tensor:
    """A mean image as Caffe keeps it, .binaryproto or .npy: (3, S, S) in the file's colours. UserError if damaged."""
    try:
        image = array_in(data).astype(np.float32) if name.endswith(".npy") else blob_in(memoryview(data))
    except (wire.DamagedMessage, ValueError) as fault:
        raise UserError(f"{name}: damaged, no mean image ({describe(fault)}).") from None
    image = image[0] if image.ndim == 4 and len(image) else image
    if image.ndim != 3 or image.shape[0] != 3 or image.shape[1] != image.shape[2] or not image.size:
        raise UserError(f"{name}: a mean image is (3, side, side), this is {image.shape}.")
    return torch.from_numpy(np.ascontiguousarray(image))


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────


def layers_of(net: memoryview) -> list[CaffeLayer]:
    """The layers of a NetParameter. Raises DamagedMessage, also if there is none."""
    layers = [_layer(field) for field in wire.fields(net) if field.number in (NEW_LAYER, V1_LAYER)]
    if not layers:
        raise wire.DamagedMessage("it has no layers")
    return layers


def _layer(found: wire.Field) -> CaffeLayer:
    kind, inside = found.number, list(wire.fields(found.bytes))
    if kind == V1_LAYER and any(field.number == V0_INSIDE for field in inside):
        raise wire.DamagedMessage("its layers are of Caffe's form of 2013: bring it up to date with Caffe's own tool")
    names = [field.text for field in inside if field.number == NAME[kind]]
    bottoms = tuple(field.text for field in inside if field.number == BOTTOM[kind])
    blobs = tuple(blob_in(field.bytes) for field in inside if field.number == BLOBS[kind])
    return CaffeLayer(names[0] if names else "", bottoms, blobs)


def blob_in(message: memoryview) -> np.ndarray:
    """A BlobProto as float32 of its shape. Raises DamagedMessage if values and shape do not agree."""
    by_number: dict[int, list[wire.Field]] = {}
    for field in wire.fields(message):
        by_number.setdefault(field.number, []).append(field)
    if SHAPE in by_number:
        dimensions = [field for field in wire.fields(by_number[SHAPE][-1].bytes) if field.number == 1]
        shape = wire.integers(dimensions, most=8)
    else:
        shape = [(wire.integers(by_number.get(number, []), most=8) or [1])[-1] for number in OLD_SHAPE]
    double = DATA not in by_number
    values = wire.reals(by_number.get(DOUBLE_DATA if double else DATA, []), double=double)
    if len(values) != prod(shape):
        raise wire.DamagedMessage(f"a blob of {len(values):,} numbers says that its shape is {tuple(shape)}")
    return values.reshape(shape)
