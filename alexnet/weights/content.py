"""What a file is, by its content: a suffix proves nothing, and what can't be read is named with a remedy."""

import io
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
BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras, or MATLAB 7.3)", TO_ONNX),
    (b"\x93NUMPY", "a NumPy array (.npy)", TO_NPZ),
    (b"MATLAB 5.0 MAT-file", "a MATLAB file (MatConvNet)", TO_NPZ),
)
TORCH_MAGIC = b"l\xfc\x9cF\xf9 j\xa8P\x19"
"""In the first bytes of what torch.save wrote before it wrote zip archives."""
MOST_FIELDS = 10_000
"""How many fields of a message are looked at."""


def content_of(data: bytes, name: str) -> tuple[Kind | None, str]:
    """The kind of a file's content, or None and a sentence that says what it is instead and what to do."""
    head = data[:512]
    if not data:
        return None, f"empty (0 bytes). {DOWNLOAD}"
    if data[:4] == b"PK\3\4":
        return _zip(data, name)
    if other := in_place_of_a_file(data):
        return None, f"{other}."
    for beginning, what, remedy in BEGINNINGS:
        if head.startswith(beginning):
            return None, f"{what}. {remedy}"
    if data[8:9] == b"{" and data[7] == 0:
        return ("own" if _is_own(data) else "safetensors"), ""
    if TORCH_MAGIC in head[:32]:
        return "torch", ""
    if head[:1] == b"\x80" and head[1] in range(2, 6) and not name.endswith(".msgpack"):
        return None, f"a Python pickle that torch.save did not write; opening it may run anything. {TO_NPZ}"
    if text := text_in(head):
        what = "XML" if text[0] == "<" else "JSON" if text[0] in "{[" else "text"
        return None, f"{what}, of no known format; it begins {text[:60]!r}. {DOWNLOAD}"
    return _message(data) or _by_suffix(name)


def _by_suffix(name: str) -> tuple[Kind | None, str]:
    suffix = "." + name.lower().rpartition(".")[2]
    if suffix == ".msgpack":
        return None, f"Flax's weights (.msgpack). {TO_ONNX}"
    return SUFFIXES.get(suffix), ""


def _zip(data: bytes, name: str) -> tuple[Kind | None, str]:
    try:
        members = zipfile.ZipFile(io.BytesIO(data)).namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):  # cut short: its reader says so
        return _by_suffix(name)
    ends = {member.rpartition("/")[2] for member in members}
    if "constants.pkl" in ends or any("/code/" in member for member in members):
        return None, f"a TorchScript archive (torch.jit.save). {STATE_DICT}"
    if ends & {"serialized_exported_program.json", "archive_format"}:
        return None, f"a program of torch.export (.pt2). {STATE_DICT}"
    if "data.pkl" in ends:
        return "torch", ""
    if ends & {"model.weights.h5", "metadata.json"}:
        return None, f"a Keras model (.keras). {TO_ONNX}"
    if members and all(member.endswith(".npy") for member in members):
        return "convnet", ""
    return None, "a zip archive. Unpack it and give the file inside."


def _is_own(data: bytes) -> bool:
    """Whether the header of a safetensors file has a network's table."""
    try:
        about = parsed(metadata_in(io.BytesIO(data)).get("about", "{}"))
    except ValueError:
        return False
    return isinstance(about, dict) and "network" in about


def _message(data: bytes) -> tuple[Kind | None, str] | None:
    """ONNX, Caffe and TensorFlow all write protocol buffers; the fields tell them apart. None for what is none."""
    try:
        found = {(field.number, field.kind) for field in islice(wire.fields(memoryview(data)), MOST_FIELDS)}
    except wire.DamagedMessage:
        return None
    if {(1, wire.VARINT), (7, wire.BYTES)} <= found:
        return "onnx", ""
    if {(1, wire.BYTES)} <= found and found & {(2, wire.BYTES), (100, wire.BYTES)}:
        return "caffe", ""
    if {(1, wire.VARINT), (2, wire.BYTES)} <= found and len(found) <= 3:
        return None, f"a TensorFlow SavedModel. {TO_ONNX}"
    return None
