"""Whatever is passed as pictures → pictures of four kinds, each with its number and, if it has one, its file.

`Run.predict`, `features_of`, `alexnet.Features` and `alexnet.Classifier` all read their pictures here.

N pictures · H, W rows and columns of a picture.
"""

import glob
import io
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from alexnet.data.sources.base import in_order, read_picture
from alexnet.files.atomic import expanded
from alexnet.images.decode import Decoded, Undecodable, decode

Picture = str | os.PathLike[str] | bytes | Image.Image | np.ndarray
"""A file, the bytes of one, a Pillow image, or pixels: uint8 (H, W, 3), RGB."""

LIMIT_BYTES = 1 << 30
"""A larger file is not taken for a picture."""
THROUGH_PNG = ("1", "L", "P", "RGB", "I;16")
"""Modes of Pillow images whose transparent colours a PNG holds; what else there is goes through a TIFF."""
FILED_AS = {"HSV": "RGB", "RGBa": "RGBA", "La": "LA"}
"""Modes that no file holds, and what such images are converted to."""
NOTES_OF_MODES = {"RGB": (), "L": ("grey to RGB",), "1": ("black and white to RGB",)}
"""Modes that are converted directly, without a file between, unless a colour is transparent."""
KINDS = "a file name, the bytes of a file, an open file, a Pillow image, or pixels uint8 (H, W, 3), RGB"

_LOADING = [threading.Lock() for _ in range(16)]


@dataclass(frozen=True)
class Named:
    """A picture with the name it goes by in messages."""

    name: str
    picture: Picture


def numbered(name: str, place: int) -> str:
    """How a message names the picture at `place` (from 0): "picture 4", or "picture 4, photos/cat.jpg"."""
    number = f"picture {place + 1}"
    return number if name == number else f"{number}, {name}"


def name_of(picture: Picture, place: int) -> str:
    """The file of the picture at `place` (from 0), or its number."""
    return os.fspath(picture) if isinstance(picture, str | os.PathLike) else f"picture {place + 1}"


# ── one picture or several ───────────────────────────────────────────────────────────────────────────────────────────


def is_one(given: Any) -> bool:
    """Whether `given` is one picture: a file that is no pattern and no folder, bytes, an image, or an array (or tensor)
    of numbers with fewer than four dimensions."""
    given = _plain(given)
    if isinstance(given, str | os.PathLike):
        return not (_is_pattern(given) or os.path.isdir(given))
    if isinstance(given, bytes | bytearray | memoryview | Image.Image) or _is_file(given):
        return True
    return isinstance(given, np.ndarray) and given.ndim < 4 and not _holds_objects(given)


def picture_list(given: Any, *, with_labels: bool = False) -> Sequence[Picture]:
    """The pictures one by one; an array uint8 (N, H, W, 3) is returned as it is, and stays on disk if it is mapped.

    `given`: a list, tuple, generator or other iterable of pictures; an array (N, H, W, 3) or a tensor, which may be
    (N, 3, H, W) too; an array of names, (N,) or (N, 1); a series, an index, or a frame of one column (pandas, polars,
    pyarrow); a pattern such as "photos/*/*.jpg" or a folder, both sorted; or one picture. A picture is a file name, the
    bytes of a file, an open file, a Pillow image, or pixels uint8 (H, W, 3), RGB.

    `with_labels`: each picture has a label at the same place. One picture, a folder, and a set (which has no order)
    are refused then. Raises ValueError for what can't be pictures, naming the first one that is none by its number.
    """
    if with_labels:
        refuse_set(given)
    plain = _plain(given)
    if with_labels and (is_one(plain) or (isinstance(plain, str | os.PathLike) and os.path.isdir(plain))):
        if isinstance(plain, np.ndarray):
            _pixels(plain, "X", "(N, H, W, 3)", dimensions=4)
        raise ValueError("X is one picture or folder; pass a list of files, or an array uint8 (N, H, W, 3)")
    if isinstance(plain, np.ndarray) and not _holds_objects(plain) and plain.ndim >= 4:
        return _pixels(plain, "X", "(N, H, W, 3)", dimensions=4)  # pyright: ignore[reportReturnType] - a sequence of arrays
    return list(each_picture(plain))


def refuse_set(given: Any) -> None:
    """Raises ValueError for a set: it can't be paired with labels."""
    if isinstance(given, set | frozenset):
        raise ValueError("X is a set, whose order is not defined; pass sorted(X), and the labels in the same order")


def each_picture(given: Any) -> Iterator[Picture]:
    """The pictures of `picture_list` one after the other: a generator is read only as far as it is asked."""
    given = _plain(given)
    if is_one(given):
        given = [given]
    elif isinstance(given, str | os.PathLike):
        given = _files(os.fspath(given))
    elif isinstance(given, Mapping) or not (isinstance(given, Iterable) or hasattr(given, "__getitem__")):
        raise ValueError(f"X is of type {type(given).__name__}; pass a list of pictures, each {KINDS}")
    for place, one in enumerate(given):
        yield _picture(one, f"picture {place + 1}")


def _is_pattern(name: str | os.PathLike[str]) -> bool:
    return glob.has_magic(os.fspath(name)) and not os.path.lexists(name)


def _is_file(given: Any) -> bool:
    return (hasattr(given, "read") or hasattr(given, "read_bytes")) and not hasattr(given, "__len__")


def _holds_objects(given: np.ndarray) -> bool:
    """Whether an array holds names or objects, not numbers."""
    return given.dtype.kind in "OSTU"


def _files(name: str) -> list[str]:
    """The files that a pattern matches, or those below a folder, sorted."""
    if os.path.isdir(name):
        from alexnet.measure.predict import found_pictures

        return [str(found.picture) for found in found_pictures([name])]
    found = in_order(glob.glob(name, recursive=True))
    if not found:
        raise ValueError(f"{name}: no file matches this pattern")
    return found


def _plain(given: Any) -> Any:
    """Tensors, frames, series and other arrays as NumPy's; a frame's only column, or an array's, as (N,). The rest is
    returned as it is. Raises ValueError for several columns."""
    if isinstance(given, str | os.PathLike):
        return expanded(given)
    if hasattr(given, "collect"):
        given = given.collect()  # a lazy frame of polars
    names = getattr(given, "column_names", None)
    names = getattr(given, "columns", None) if names is None else names
    if names is not None and len(names) != 1:
        shown = ", ".join(repr(str(name)) for name in list(names)[:5]) + (" …" if len(names) > 5 else "")
        raise ValueError(f"X has {len(names)} columns ({shown}); pass the one with the pictures, as in X[['path']]")
    if isinstance(given, torch.Tensor):
        return _array_of(given)
    if hasattr(given, "__array__") and not isinstance(given, np.ndarray | np.generic | Image.Image):
        given = np.asarray(given)
    if not isinstance(given, np.ndarray) or not _holds_objects(given):
        return given
    if given.ndim == 2:
        if given.shape[1] != 1:
            raise ValueError(f"X has {given.shape[1]} columns; pass the one with the pictures, as in X[:, [0]]")
        given = given[:, 0]
    if given.dtype.kind == "S":  # names: such an array can't hold a file's bytes, it drops zeros at their end
        given = np.char.decode(given, "utf-8", "surrogateescape")
    return given if given.ndim else given.item()


def _array_of(tensor: torch.Tensor) -> np.ndarray:
    """(…, H, W, 3), also of a tensor (…, 3, H, W)."""
    if tensor.ndim in (3, 4) and tensor.shape[-3] == 3 and tensor.shape[-1] != 3:
        tensor = tensor.movedim(-3, -1)
    if tensor.is_meta:
        raise ValueError("X is a tensor without values (on the device meta); make it on the CPU")
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _picture(given: Any, name: str) -> Picture:
    """A picture as a file name, bytes, a Pillow image or an array. Raises ValueError, naming it, for anything else."""
    if isinstance(given, str | bytes):
        return given
    if isinstance(given, Image.Image):
        with suppress(Exception):  # of a damaged image: decoding it tells what is wrong
            return given.copy() if getattr(given, "is_animated", False) else given  # an iterator reuses the object
        return given
    if isinstance(given, os.PathLike):
        return os.fsdecode(given)
    if isinstance(given, bytearray | memoryview):
        return bytes(given)
    if hasattr(given, "read") or hasattr(given, "read_bytes"):
        return _bytes_of_file(given, name)
    if hasattr(given, "__array__") and not isinstance(given, np.generic):
        plain = _plain(given)
        return _pixels(plain, name, "(H, W, 3)", dimensions=3) if hasattr(plain, "dtype") else _picture(plain, name)
    raise ValueError(f"{name}: {_shown(given)} is not a picture; pass {KINDS}")


def _shown(given: Any) -> str:
    return "None" if given is None else f"{type(given).__name__} {repr(given)[:40]}"


def _bytes_of_file(file: Any, name: str) -> bytes:
    """All bytes of an open file, from its beginning, as Pillow reads it."""
    if isinstance(file, io.TextIOBase):
        raise ValueError(f'{name}: the file is open as text; open it with mode "rb"')
    try:
        if not hasattr(file, "read"):
            data = file.read_bytes()
        else:
            if hasattr(file, "seekable") and file.seekable():
                file.seek(0)
            data = file.read(LIMIT_BYTES + 1)
    except (OSError, ValueError) as fault:
        raise Undecodable(f"can't be read: {fault}", name) from fault
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ValueError(f"{name}: {_shown(file)} gives no bytes when it is read; pass {KINDS}")
    if len(data) > LIMIT_BYTES:
        raise Undecodable("too large for a picture", name)
    return bytes(data)


def _pixels(array: np.ndarray, name: str, shape: str, *, dimensions: int) -> np.ndarray:
    if array.dtype == np.uint8 and array.ndim == dimensions and array.shape[-1] == 3 and 0 not in array.shape[-3:]:
        return array
    hint = "pass x.astype('uint8') for values from 0 to 255, (255 * x).round().astype('uint8') for values from 0 to 1"
    if array.dtype == np.uint8:
        hint = "pass PIL.Image.fromarray(x) for a grey or RGBA picture, np.moveaxis(x, -3, -1) for channels first"
    raise ValueError(f"{name}: pixels must be uint8 {shape}, RGB, not {array.dtype} {array.shape}; {hint}")


# ── decoding ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def decoded(picture: Picture, name: str, exif: bool) -> Decoded:
    """The pixels of a picture, uint8 (H, W, 3), RGB, and notes on what was odd about its file; `exif` applies the EXIF
    orientation. Raises Undecodable if it can't be read, ValueError for an array of another shape or type."""
    content = content_of(picture, name, exif)
    return content if isinstance(content, Decoded) else decode(content, name, exif=exif)


def content_of(picture: Picture, name: str, exif: bool) -> bytes | Decoded:
    """What `make_record` takes: the bytes of a file, or the pixels of an array or a Pillow image. Raises as `decoded`
    does."""
    if isinstance(picture, np.ndarray):
        return Decoded(_pixels(picture, name, "(H, W, 3)", dimensions=3), ())
    if isinstance(picture, Image.Image):
        return _of_image(picture, name, exif)
    if isinstance(picture, bytes):
        return picture
    return read_picture(expanded(picture), os.fspath(picture), LIMIT_BYTES)


def _of_image(image: Image.Image, name: str, exif: bool) -> Decoded:
    """A Pillow image as its pixels; through a lossless file where the mode needs the rules for files."""
    try:
        with _LOADING[id(image) % len(_LOADING)]:  # two threads may load the same image
            image.load()
        upright = ImageOps.exif_transpose(image) if exif else image
        if image.mode in FILED_AS:
            upright = image = upright.convert(FILED_AS[image.mode])
        if image.mode in NOTES_OF_MODES and "transparency" not in image.info and 0 not in image.size:
            rgb = upright if image.mode == "RGB" else upright.convert("RGB")
            return Decoded(np.array(rgb), NOTES_OF_MODES[image.mode])
        data = io.BytesIO()
        bare = upright.copy()
        bare.info = {key: value for key, value in upright.info.items() if key == "transparency"}
        bare.getexif().clear()
        options = {"format": "PNG", "compress_level": 0} if image.mode in THROUGH_PNG else {"format": "TIFF"}
        bare.save(data, **options)
    except Exception as fault:  # of a closed file some versions of Pillow raise AssertionError or AttributeError
        why = str(fault) or type(fault).__name__
        raise Undecodable(
            f"damaged, its file is closed, or no file holds its mode ({image.mode}): {why}", name
        ) from fault
    return decode(data.getvalue(), name, exif=False)
