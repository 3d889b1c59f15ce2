"""What a file is, by its content: a suffix proves nothing, and what can't be read is named with a remedy."""

import io
import re
import zipfile
from itertools import islice
from typing import Literal

from alexnet.files.kinds import in_place_of_a_file, text_in
from alexnet.files.outputs import metadata_in
from alexnet.files.schema import parsed
from alexnet.weights import wire

Kind = Literal["torch", "safetensors", "own", "onnx", "caffe", "convnet"]
"""What is read here. "own": a run in one file, as `alexnet export --to safetensors` writes it."""

SUFFIXES: dict[str, Kind] = {
    ".pth": "torch",
    ".pt": "torch",
    ".tar": "torch",
    ".ckpt": "torch",
    ".bin": "torch",
    ".pkl": "torch",
    ".safetensors": "safetensors",
    ".onnx": "onnx",
    ".caffemodel": "caffe",
    ".npz": "convnet",
}
"""Suffixes of files with weights: how they are found in a folder, and what a file is whose content does not tell."""
OTHER_SUFFIXES = (".h5", ".hdf5", ".keras", ".pb", ".pt2", ".msgpack", ".npy", ".mat", ".tflite")
"""Suffixes of other tools' weights, looked at in a folder that has none of `SUFFIXES`."""

DOWNLOAD = "Download the file itself again."
STATE_DICT = "Save its state dict where it was made: torch.save(model.state_dict(), 'weights.pth')."
TO_ONNX = "Export the model to ONNX with its own tools and import that."
TO_NPZ = "If you trust it, open it yourself and save plain arrays as .npz (docs/weights.md, cuda-convnet's layout)."
PICKLE = f"a Python pickle that torch.save did not write; opening it may run anything. {TO_NPZ}"
BEGINNINGS = {
    rb"\x89HDF\r\n\x1a\n": f"an HDF5 file (Keras, or MATLAB 7.3). {TO_ONNX}",
    rb"\x93NUMPY": f"a NumPy array (.npy). {TO_NPZ}",
    rb"MATLAB 5\.0 MAT-file": f"a MATLAB file (MatConvNet). {TO_NPZ}",
    rb".{7}\0\{": "safetensors",
    rb".{,22}l\xfc\x9cF\xf9 j\xa8P\x19": "torch",  # what torch.save wrote before it wrote zip archives
    rb"\x80[\x02-\x05]": PICKLE,
}
"""A regular expression for the first bytes → the kind, or a sentence. The first that matches counts."""
MEMBERS = {
    r"/constants\.pkl$|/code/": f"a TorchScript archive (torch.jit.save). {STATE_DICT}",
    r"/(serialized_exported_program\.json|archive_format)$": f"a program of torch.export (.pt2). {STATE_DICT}",
    r"/data\.pkl$": "torch",
    r"/(model\.weights\.h5|metadata\.json)$": f"a Keras model (.keras). {TO_ONNX}",
    r"\A(.*\.npy(\n|\Z))+\Z": "convnet",
    r"": "a zip archive. Unpack it and give the file inside.",
}
"""The same for the paths of a zip archive's files, each with a slash before it, a line for each."""
MOST_FIELDS = 10_000
"""How many fields of a message are looked at."""


def content_of(data: bytes, name: str) -> str:
    """The kind of a file's content, one of `Kind`; or a sentence that says what it is instead and what to do. "" if
    nothing is known of it."""
    if not data:
        return f"empty (0 bytes). {DOWNLOAD}"
    if data[:4] == b"PK\3\4":
        return _zip(data) or _by_suffix(name)
    if other := in_place_of_a_file(data):
        return f"{other}."
    head = data[:512]
    found = next((kind for start, kind in BEGINNINGS.items() if re.match(start, head, re.DOTALL)), "")
    if found == "safetensors" and _is_own(data):
        return "own"
    if found and not (found == PICKLE and name.endswith(".msgpack")):  # a msgpack map begins with the same byte
        return found
    if text := text_in(head):
        what = "XML" if text[0] == "<" else "JSON" if text[0] in "{[" else "text"
        return f"{what}, of no known format; it begins {text[:60]!r}. {DOWNLOAD}"
    return _message(data) or _by_suffix(name)


def _by_suffix(name: str) -> str:
    suffix = "." + name.lower().rpartition(".")[2]
    return f"Flax's weights (.msgpack). {TO_ONNX}" if suffix == ".msgpack" else SUFFIXES.get(suffix, "")


def _zip(data: bytes) -> str:
    try:
        members = "\n".join(f"/{member}" for member in zipfile.ZipFile(io.BytesIO(data)).namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):  # cut short: its reader says so
        return ""
    return next(kind for pattern, kind in MEMBERS.items() if re.search(pattern, members, re.MULTILINE))


def _is_own(data: bytes) -> bool:
    """Whether the header of a safetensors file has a network's table."""
    try:
        about = parsed(metadata_in(io.BytesIO(data)).get("about", "{}"))
    except ValueError:
        return False
    return isinstance(about, dict) and "network" in about


def _message(data: bytes) -> str:
    """ONNX, Caffe and TensorFlow all write protocol buffers; the fields tell them apart. "" for what is none."""
    try:
        found = {(field.number, field.kind) for field in islice(wire.fields(memoryview(data)), MOST_FIELDS)}
    except wire.DamagedMessage:
        return ""
    if {(1, wire.VARINT), (7, wire.BYTES)} <= found:
        return "onnx"
    if (1, wire.BYTES) in found and found & {(2, wire.BYTES), (100, wire.BYTES)}:
        return "caffe"
    saved_model = {(1, wire.VARINT), (2, wire.BYTES)} <= found and len(found) <= 3
    return f"a TensorFlow SavedModel. {TO_ONNX}" if saved_model else ""
