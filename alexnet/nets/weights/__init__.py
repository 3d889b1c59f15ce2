"""Other people's weights, turned into ours: which network they belong to, its tensors, the mean it was trained with.

Each format is an entry of `FORMATS`: a function that knows its files by what only they have, and one that reads them. A
new format is a module of such two functions and a line in that table.
"""

from collections.abc import Callable
from pathlib import Path

from alexnet.errors import UserError
from alexnet.nets.weights import caffe, convnet, onnx_file, own, quantised, torchvision
from alexnet.nets.weights.foreign import Asked, Files, Foreign, check, shapes_of

__all__ = ["FORMATS", "Asked", "Files", "Foreign", "read_weights", "shapes_of"]

FORMATS: dict[str, tuple[Callable[[Files], bool], Callable[[Files, Asked], Foreign]]] = {
    "Caffe's AlexNet, product-quantised": (quantised.is_quantised, quantised.read_quantised),
    "a run exported by alexnet (.safetensors)": (own.is_own, own.read_own),
    "torchvision's alexnet (.pth, .safetensors)": (torchvision.is_torchvision, torchvision.read_torchvision),
    "Caffe (.caffemodel)": (caffe.is_caffe, caffe.read_caffe),
    "ONNX (.onnx)": (onnx_file.is_onnx, onnx_file.read_onnx),
    "cuda-convnet's layout (.npz)": (convnet.is_convnet, convnet.read_convnet),
}


def read_weights(path: Path, asked: Asked | None = None) -> Foreign:
    """The weights in a file, folder or archive, of whatever known format.

    Raises UserError if it is of none, damaged, or if what it lacks was not `asked`; for a layer that is absent or does
    not fit, with the layer's name, the shape found and the shape needed.
    """
    files = Files(path)
    for name, (is_ours, read) in FORMATS.items():
        if is_ours(files):
            foreign = read(files, asked or Asked())
            check(foreign, f"{path} ({name})")
            return foreign
    known = ", ".join(FORMATS)
    raise UserError(f"{path}: of no format that is known. Known are: {known}. The end of the name tells them apart.")
