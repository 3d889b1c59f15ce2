"""Other people's weights, turned into ours: which network they belong to, its tensors, the mean it was trained with.

The content of a file decides which format it has (`content`); each kind has a reader in `READERS`. A new format needs a
module with such a function, a line in that table, and a way to recognise its files.
"""

import re
from collections.abc import Callable
from pathlib import Path

from alexnet.errors import UserError
from alexnet.files.outputs import RUN_NEEDS
from alexnet.weights import caffe, convnet, own, quantised, torchvision
from alexnet.weights.content import OTHER_SUFFIXES, SUFFIXES, Kind, content_of
from alexnet.weights.foreign import Files, ImportedWeights, ImportOptions, check, shapes_of
from alexnet.weights.onnx import read as onnx_file

__all__ = ["READERS", "Files", "ImportOptions", "ImportedWeights", "read_weights", "shapes_of"]

QUANTISED = "Caffe's AlexNet, product-quantised"
READERS: dict[Kind, tuple[str, Callable[[Files, str, ImportOptions], ImportedWeights]]] = {
    "own": ("a run exported by alexnet (.safetensors)", own.read_own),
    "torch": ("torchvision's alexnet (.pth and the like)", torchvision.read_torchvision),
    "safetensors": ("torchvision's alexnet (.safetensors)", torchvision.read_torchvision),
    "caffe": ("Caffe (.caffemodel)", caffe.read_caffe),
    "onnx": ("ONNX (.onnx)", onnx_file.read_onnx),
    "convnet": ("cuda-convnet's layout (.npz)", convnet.read_convnet),
}
SHARD = re.compile(r"-\d+-of-\d+\.\w+$")


def read_weights(path: Path, asked: ImportOptions | None = None) -> ImportedWeights:
    """The weights in a file, folder or archive, of whatever known format.

    Raises UserError if the format is not known (the message says what the file is), if the file is damaged, if there
    are several candidates, if `asked` lacks what the file does not say, or if a layer is missing or does not fit (the
    message gives its name, the shape found and the shape needed).
    """
    files, asked = Files(path), asked or ImportOptions()
    if quantised.is_quantised(files):
        foreign, label = quantised.read_quantised(files, asked), QUANTISED
    else:
        name = _file_of_weights(files)
        kind, what = content_of(files.read(name), name)
        if kind is None:
            raise UserError(f"{files.where(name)}: {what if what else _unknown()}")
        label, read = READERS[kind]
        foreign = read(files, name, asked)
    check(foreign, f"{path} ({label})")
    return foreign


def _file_of_weights(files: Files) -> str:
    """The name of the one file of weights. Raises UserError, naming them, if there are several."""
    folder = files.path if files.path.is_dir() else files.path.parent
    in_run = files.path.is_dir() or files.path.name in RUN_NEEDS
    if in_run and all((folder / name).is_file() for name in RUN_NEEDS):
        raise UserError(f"{files.path}: {folder} is a run folder already; the commands take it as it is.")
    if len(files.names) == 1:
        return files.names[0]
    found = files.ending(*SUFFIXES) or files.ending(*OTHER_SUFFIXES)
    if not found:
        raise UserError(f"{files.path}: {_unknown()}")
    if len(paths := files.inside(*found)) > 1:
        if all(SHARD.search(path) for path in paths):
            raise UserError(f"{files.path}: {', '.join(paths[:3])} are shards of one model. Save it in one file.")
        more = ", …" if len(paths) > 5 else ""
        raise UserError(f"{files.path}: {', '.join(paths[:5])}{more} are in it. Give the one that is meant.")
    return found[0]


def _unknown() -> str:
    known = ", ".join([QUANTISED, *(label for label, _ in READERS.values())])
    return f"of no format that is known. Known are: {known}."
