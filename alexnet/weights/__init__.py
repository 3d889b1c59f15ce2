"""Weights in other tools' formats: one module for each, reading and writing side by side.

Reading: the content of a file decides which format it has (`content`), a reader of `READERS` finds which network it
belongs to, its tensors and the mean it was trained with. Writing: `WRITERS`. A new format needs a module with such
functions, a line in these tables, and a way to recognise its files.

Imports `nets`, `files`.
"""

import re
from collections.abc import Callable
from pathlib import Path

from alexnet.choices import Form
from alexnet.errors import UserError, optional_package
from alexnet.files.outputs import RUN_NEEDS
from alexnet.nets.network import check_fits, state_dict_shapes
from alexnet.weights import caffe, convnet, own, quantised, torch_export, torchvision
from alexnet.weights.common import ExportedWeights, Files, ImportedWeights, ImportOptions
from alexnet.weights.content import OTHER_SUFFIXES, SUFFIXES, Kind, content_of
from alexnet.weights.onnx import read as onnx_file

__all__ = ["READERS", "WRITERS", "ExportedWeights", "Files", "ImportOptions", "ImportedWeights", "read_weights"]

QUANTISED = "Caffe's AlexNet, product-quantised"
READERS: dict[Kind, tuple[str, Callable[[Files, str, ImportOptions], ImportedWeights]]] = {
    "own": ("a run exported by alexnet (.safetensors)", own.read_own),
    "torch": ("torchvision's alexnet (.pth and the like)", torchvision.read_torchvision),
    "safetensors": ("torchvision's alexnet (.safetensors)", torchvision.read_torchvision),
    "caffe": ("Caffe (.caffemodel)", caffe.read_caffe),
    "onnx": ("ONNX (.onnx)", onnx_file.read_onnx),
    "convnet": ("cuda-convnet's layout (.npz)", convnet.read_convnet),
}


def _write_onnx(run: ExportedWeights, path: Path) -> tuple[str, ...]:
    optional_package("onnx", "onnx", "--to onnx")
    from alexnet.weights.onnx.write import write_onnx

    return write_onnx(run, path)


WRITERS: dict[Form, tuple[tuple[str, ...], Callable[[ExportedWeights, Path], tuple[str, ...]]]] = {
    "safetensors": ((".safetensors",), own.write_own),
    "torchvision": ((".pth", ".safetensors"), torchvision.write_torchvision),
    "onnx": ((".onnx",), _write_onnx),
    "torch-export": ((".pt2",), torch_export.write_torch_export),
}
"""What the name of the file may end with, the first taken where none is given; and what writes it and returns notes."""
SHARD = re.compile(r"-\d+-of-\d+\.\w+$")


def read_weights(path: Path, options: ImportOptions | None = None) -> ImportedWeights:
    """The weights in a file, folder or archive, of whatever known format.

    Raises UserError if the format is not known (the message says what the file is), if the file is damaged, if there
    are several candidates, if `options` lacks what the file does not say, or if a layer is missing or does not fit (the
    message gives its name, the shape found and the shape needed).
    """
    files, options = Files(path), options or ImportOptions()
    if quantised.is_quantised(files):
        imported, label = quantised.read_quantised(files, options), QUANTISED
    else:
        name = _file_of_weights(files)
        content = content_of(files.read(name), name)
        if content not in READERS:
            raise UserError(f"{files.where(name)}: {content or _unknown()}")
        label, read = READERS[content]
        imported = read(files, name, options)
    needed, table = state_dict_shapes(imported.table), imported.table.name
    check_fits(needed, imported.weights, f"{path} ({label})", table, imported.missing_layers, imported.called)
    return imported


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
        raise UserError(f"{files.path}: {', '.join(paths[:5])}{more} are all in it. Name the one you mean.")
    return found[0]


def _unknown() -> str:
    known = ", ".join([QUANTISED, *(label for label, _ in READERS.values())])
    return f"unknown format. Supported: {known}."
