"""Bytes of a picture file → RGB pixels, odd files included; and pixels → the record of a store.

Shapes: H, W rows and columns of the picture · S side of a record. Pixels are uint8, RGB, 0–255.

The rules, so that no picture is changed silently (``Decoded.notes`` names each case):

- Grey, palette, CMYK, L*a*b* and 16-bit pictures become 8-bit RGB. CMYK by Pillow's plain formula (Adobe's
  inverted CMYK JPEGs included); embedded colour profiles are not applied, as in 2012. 16 bits (12 in some
  TIFFs) are scaled, not clipped.
- Transparent pixels are composited over white, as a browser shows them; their hidden colours are not used.
- EXIF orientation is not applied unless asked for: the pictures of 2012 were not rotated. TIFF's own
  orientation tag is part of the format and always applied.
- Of an animation, a multi-page TIFF or a stereo pair the first frame counts.
- Of a picture three times as long as wide, or more, the square record keeps a third or less.
- A picture that is damaged or cut short is refused, never filled up with grey. (libjpeg mends some kinds of
  damage silently; such files cannot be distinguished from intact ones.)
- With ``scaled``, a JPEG much larger than its record is decoded at 1/2, 1/4 or 1/8 of its size.
- Samples without a defined black and white (signed, 32-bit, floating point) are refused, and so are pages,
  drawings and files whose reading would start another program.
"""

import importlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any, cast

import numpy as np

from alexnet.errors import UserError
from alexnet.files.kinds import described, unread
from alexnet.images.pillow import (
    ExifTags,
    Image,
    ImageOps,
    Messages,
    TiffImagePlugin,
    UnidentifiedImageError,
    capturing,
    module,
)
from alexnet.images.resample import Resample, square

LIMIT_PIXELS = 178_956_970
"""A larger picture is refused as a decompression bomb, by its header alone. This is Pillow's own limit."""

SCALED_MARGIN = 2
"""Record sides that a JPEG decoded at a reduced scale keeps, so that the filter still has something to average: with 1
the records of large ImageNet pictures differ by 2.0 levels on average, with 2 by 0.5."""

ELONGATED = 3
ELONGATED_NOTE = "elongated: a third of it or less is kept"

# Raster pictures only, recognised by their first bytes, decoded in this process. AVIF only from Pillow 11.2 on.
FORMATS = tuple(
    name
    for name in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "ICO", "JPEG2000", "AVIF")
    if name in Image.OPEN
)

FORMATS_OF_SUFFIX: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), ("JPEG", "MPO")),
    **dict.fromkeys((".png", ".apng"), ("PNG",)),
    **dict.fromkeys((".tif", ".tiff"), ("TIFF",)),
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), ("PPM",)),
    **dict.fromkeys((".jp2", ".j2k", ".jpx", ".jpf"), ("JPEG2000",)),
    ".mpo": ("MPO", "JPEG"),
    ".gif": ("GIF",),
    ".webp": ("WEBP",),
    ".bmp": ("BMP",),
    ".ico": ("ICO",),
    ".avif": ("AVIF",),
    **dict.fromkeys((".heic", ".heif"), ("HEIC",)),
}

CAMERA_RAW_NAMED = re.compile(
    r"\.(3fr|arw|cr2|cr3|dcr|dng|erf|iiq|kdc|mef|mos|mrw|nef|nrw|orf|pef|raf|raw|rw2|sr2|srw|x3f)$", re.I
)

TIFF_BITS_PER_SAMPLE, TIFF_PHOTOMETRIC, TIFF_SAMPLE_FORMAT, TIFF_SUB_IFDS = 258, 262, 339, 330
TIFF_WHITE_IS_ZERO, TIFF_UNSIGNED = 0, 1
TIFF_OF_CAMERAS = {50706, 50740}
"""Tags that only camera RAW files have: DNG's version, the private data of DNG and Sony."""
TIFF_MOSAICS = (32803, 34892)
"""Photometric interpretations of samples that are not developed: colour filter array, linear RAW."""
WHITE = 255
NO_MEMORY = "not enough memory to decode it"


class Undecodable(UserError):
    """A file that does not hold an intact picture. ``name`` is the file, ``reason`` what is wrong with it."""

    def __init__(self, reason: str, name: str = "") -> None:
        super().__init__(f"{name}: {reason}" if name else reason)
        self.reason = reason
        self.name = name

    def __reduce__(self) -> tuple[type["Undecodable"], tuple[str, str]]:
        return Undecodable, (self.reason, self.name)


@dataclass(frozen=True)
class Decoded:
    """``pixels`` (H, W, 3) uint8 RGB, and ``notes`` on what was odd about the file, in fixed wordings."""

    pixels: np.ndarray
    notes: tuple[str, ...]


def decode(data: bytes, name: str = "", *, exif: bool = False, limit_pixels: int = LIMIT_PIXELS) -> Decoded:
    """The picture in ``data``, as RGB.

    The format is recognised by content; ``name`` is for messages and the note on a wrong suffix. ``exif``
    applies the EXIF orientation. ``limit_pixels`` (at most Pillow's 178,956,970) is compared with the
    header before any pixel is decoded. Pillow's warnings become notes. Thread-safe.
    Raises ``Undecodable``, whatever is wrong with the bytes.
    """
    with _faults_as_undecodable(data, name) as notes:
        pixels = np.array(_rgb_picture(data, name, exif, limit_pixels, notes, at_least=None))
    return Decoded(pixels, tuple(notes))


def make_record(
    picture: "bytes | np.ndarray | Decoded",
    name: str = "",
    *,
    exif: bool = False,
    limit_pixels: int = LIMIT_PIXELS,
    size: int = 256,
    resample: Resample = "bicubic",
    scaled: bool = False,
) -> Decoded:
    """A picture's record (S, S, 3), as everything here makes it: the bytes of a file, decoded as by ``decode``, or
    pixels; the shorter side resized to ``size``, the centre square kept.

    ``scaled``: a JPEG is decoded at 1/2, 1/4 or 1/8 of its size, whatever leaves the shorter side at least
    SCALED_MARGIN · ``size``. Faster for large pictures, and not the same pixels. Raises ``Undecodable``.
    """
    if isinstance(picture, Decoded):
        notes = (*picture.notes, *_on_shape(*picture.pixels.shape[:2]))
        return Decoded(to_record(picture.pixels, size, resample), notes)
    if isinstance(picture, np.ndarray):
        return Decoded(to_record(picture, size, resample), _on_shape(*picture.shape[:2]))
    _check_size(size)
    at_least = SCALED_MARGIN * size if scaled else None
    with _faults_as_undecodable(picture, name) as notes:
        rgb = _rgb_picture(picture, name, exif, limit_pixels, notes, at_least)
    try:  # resized from Pillow's own memory: the whole picture never becomes an array
        return Decoded(square(rgb, size, resample), (*notes, *_on_shape(*rgb.size)))
    except MemoryError:
        raise Undecodable(NO_MEMORY, name) from None


def _on_shape(*sides: int) -> tuple[str, ...]:
    return (ELONGATED_NOTE,) if max(sides) >= ELONGATED * min(sides) else ()


def picture_size(data: bytes, name: str = "") -> tuple[int, int]:
    """Width and height in pixels, by the header alone. Raises ``Undecodable`` if ``data`` holds no picture."""
    with _faults_as_undecodable(data, name), Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        return picture.size


def to_record(pixels: np.ndarray, size: int = 256, resample: Resample = "bicubic") -> np.ndarray:
    """The record of a picture, ``pixels`` (H, W, 3) uint8 → (S, S, 3) uint8, as ``resample.square`` makes it."""
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise ValueError(f"pixels must be uint8 (H, W, 3) and not empty, got {pixels.dtype} {pixels.shape}")
    _check_size(size)
    return square(Image.fromarray(np.ascontiguousarray(pixels)), size, resample)


def _check_size(size: int) -> None:
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")


@contextmanager
def _faults_as_undecodable(data: bytes, name: str) -> Iterator[list[str]]:
    """Inside, any fault that Pillow finds in ``data`` becomes ``Undecodable``. Gives the list of
    notes, to which Pillow's warnings are added at the end."""
    if not data:
        raise Undecodable("the file is empty (0 bytes)", name)
    notes: list[str] = []
    with capturing() as messages:
        try:
            yield notes
        except Undecodable:
            raise
        except UnidentifiedImageError:
            raise Undecodable("; ".join(filter(None, (described(data), messages.error))), name) from None
        except Image.DecompressionBombError as error:
            raise Undecodable(f"too large, taken for a decompression bomb: {error}", name) from None
        except MemoryError:
            raise Undecodable(NO_MEMORY, name) from None
        except Exception as error:  # Pillow's readers raise every kind, from SyntaxError to struct.error
            raise Undecodable(_fault(error, messages), name) from None
    notes += [f"Pillow: {message}" for message in dict.fromkeys(messages.warnings)]


def _rgb_picture(
    data: bytes, name: str, exif: bool, limit_pixels: int, notes: list[str], at_least: int | None
) -> Image.Image:
    """``at_least``: what the shorter side must keep where libjpeg scales; None: no scaling."""
    with _opened(data, name, limit_pixels) as picture:
        _refuse_bomb(picture.size, limit_pixels, name)
        _note_suffix(picture, name, notes)
        samples = _samples(picture)
        if not samples.defined:
            raise Undecodable("signed, 32-bit or floating-point samples: black and white are not defined", name)
        turned_by_pillow = _orientation(picture, []) if _tiff_tags(picture) else 1  # gone once it is loaded
        if at_least is not None:
            picture.draft(None, (at_least, at_least))
        picture.load()
        _refuse_bomb(picture.size, limit_pixels, name)  # an icon can hold more than its header says
        rgb = _to_rgb(picture, samples, notes)
        if turned_by_pillow != 1:
            notes.append(f"TIFF orientation {turned_by_pillow} applied")
        else:
            rgb = _turned(rgb, _orientation(picture, notes), exif, notes)
        _note_frames(picture, notes)
    return rgb


def _opened(data: bytes, name: str, limit_pixels: int) -> Image.Image:
    """The picture, not decoded yet, as Pillow opens it; or decoded by another library, if that is installed: HEIC by
    pillow-heif, camera RAW by rawpy. Both turn it as its format says."""
    kind = unread("camera_raw")
    if not _is_camera_raw(data, name):
        try:
            return Image.open(io.BytesIO(data), formats=FORMATS)
        except UnidentifiedImageError:
            if (kind := described(data)) not in (unread("camera_raw"), unread("heic")):
                raise
    form, needed, read = (
        ("HEIC", "pillow_heif", _from_heic) if kind == unread("heic") else ("camera RAW", "rawpy", _developed)
    )
    try:
        library = importlib.import_module(needed)
    except ImportError:
        raise Undecodable(kind, name) from None
    try:
        picture = read(library, data, partial(_refuse_bomb, limit_pixels=limit_pixels, name=name))
    except (Undecodable, MemoryError):
        raise
    except Exception as error:  # these libraries raise errors of their own
        raise Undecodable(f"a {form} picture, damaged or of a kind that {needed} cannot read: {error}", name) from None
    picture.format = form
    return picture


def _from_heic(pillow_heif: Any, data: bytes, check_size: Callable[[tuple[int, int]], None]) -> Image.Image:
    found = pillow_heif.open_heif(data)
    check_size(found.size)
    return Image.frombytes(found.mode, found.size, bytes(found.data), "raw", found.mode, found.stride)


def _developed(rawpy: Any, data: bytes, check_size: Callable[[tuple[int, int]], None]) -> Image.Image:
    with rawpy.imread(io.BytesIO(data)) as raw:
        check_size((raw.sizes.width, raw.sizes.height))
        return Image.fromarray(raw.postprocess(use_camera_wb=True))


def _refuse_bomb(size: tuple[int, int], limit_pixels: int, name: str) -> None:
    if size[0] * size[1] > limit_pixels:
        found = f"{size[0]} × {size[1]} pixels, the limit is {limit_pixels}"
        raise Undecodable(f"too large, taken for a decompression bomb: {found}", name)


def _note_suffix(picture: Image.Image, name: str, notes: list[str]) -> None:
    suffix = PurePosixPath(name).suffix
    if picture.format not in FORMATS_OF_SUFFIX.get(suffix.lower(), (picture.format,)):
        notes.append(f"{picture.format} named {suffix}")


def _orientation(picture: Image.Image, notes: list[str]) -> int:
    """1 (upright) to 8 of the EXIF or TIFF tag; 1 where there is none or it makes no sense."""
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF affects only the orientation
        notes.append("EXIF data unreadable")
        return 1
    if orientation in range(1, 9):
        return int(orientation)
    notes.append(f"EXIF orientation {str(orientation)[:20]} means nothing")
    return 1


def _turned(rgb: Image.Image, orientation: int, exif: bool, notes: list[str]) -> Image.Image:
    if orientation == 1:
        return rgb
    if not exif:
        notes.append(f"EXIF orientation {orientation} not applied")
        return rgb
    notes.append(f"EXIF orientation {orientation} applied")
    rgb.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(rgb)


@dataclass(frozen=True)
class _Samples:
    """What the numbers in the file mean: their bits, whether 0 is white, whether their range is defined."""

    bits: int = 8
    white_is_zero: bool = False
    defined: bool = True


def _samples(picture: Image.Image) -> _Samples:
    if picture.format == "TIFF":
        tags = _tiff_tags(picture)
        kinds = _as_tuple(tags.get(TIFF_SAMPLE_FORMAT, TIFF_UNSIGNED))
        bits = max(_as_tuple(tags.get(TIFF_BITS_PER_SAMPLE, 1)))
        defined = picture.mode not in ("F", "I") and set(kinds) <= {TIFF_UNSIGNED}
        return _Samples(bits, tags.get(TIFF_PHOTOMETRIC) == TIFF_WHITE_IS_ZERO, defined)
    if picture.format == "PNG":
        return _Samples(16 if any("16" in str(tile[3]) for tile in picture.tile) else 8)  # pyright: ignore
    if picture.mode in ("I", "F"):  # Pillow brings PGM's wider numbers to the scale 0–65535; a PFM has none
        return _Samples(16, defined=picture.mode == "I")
    return _Samples(16 if picture.mode.startswith("I;16") else 8)


def _tiff_tags(picture: Image.Image) -> Mapping[int, Any]:
    return picture.tag_v2 if isinstance(picture, TiffImagePlugin.TiffImageFile) else {}


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _to_rgb(picture: Image.Image, samples: _Samples, notes: list[str]) -> Image.Image:
    if samples.bits > 8:
        notes.append(f"{samples.bits}-bit samples to 8")
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        picture = _wide_grey_to_eight(picture, samples)
    elif picture.mode == "LAB":
        picture = _lab_to_rgb(picture)
        notes.append("L*a*b* to RGB")
    if picture.has_transparency_data:
        return _on_white(picture, notes)
    words = {"1": "black and white", "L": "grey", "P": "palette", "CMYK": "CMYK"}
    if picture.mode in words:
        notes.append(f"{words[picture.mode]} to RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _wide_grey_to_eight(picture: Image.Image, samples: _Samples) -> Image.Image:
    """Grey of 9 to 16 bits on the scale of 8, rounded. (Of 16-bit colours Pillow keeps the upper byte.)"""
    grey_hw = np.asarray(picture).astype(np.int32)
    largest = (1 << samples.bits) - 1
    scaled_hw = (np.minimum(grey_hw, largest) * 510 + largest) // (2 * largest)
    if samples.white_is_zero:
        scaled_hw = 255 - scaled_hw
    grey = Image.fromarray(scaled_hw.astype(np.uint8))
    key = picture.info.get("transparency")
    if key is not None:  # PNG's tRNS: one grey value that is transparent
        grey.putalpha(Image.fromarray(np.where(grey_hw == key, 0, 255).astype(np.uint8)))
    return grey


def _lab_to_rgb(picture: Image.Image) -> Image.Image:
    colours = module("ImageCms")  # a library of its own, needed by one file in a million
    lab, srgb = colours.createProfile("LAB"), colours.createProfile("sRGB")
    to_srgb = colours.buildTransform(lab, srgb, "LAB", "RGB")
    return cast(Image.Image, colours.applyTransform(picture, to_srgb))


def _on_white(picture: Image.Image, notes: list[str]) -> Image.Image:
    rgba = picture.convert("RGBA")
    least, _ = cast(tuple[int, int], rgba.getchannel("A").getextrema())
    if least == 255:
        notes.append("alpha channel, opaque throughout")
        return rgba.convert("RGB")
    notes.append("transparency laid on white")
    canvas = Image.new("RGBA", rgba.size, (WHITE, WHITE, WHITE, 255))
    canvas.alpha_composite(rgba)
    return canvas.convert("RGB")


def _note_frames(picture: Image.Image, notes: list[str]) -> None:
    try:
        several = getattr(picture, "is_animated", False)
    except Exception:  # the first frame is intact, and it is the one that counts
        several = True
    if several:
        notes.append("first of several frames")


def _is_camera_raw(data: bytes, name: str) -> bool:
    """Whether a TIFF is one of the many RAW formats of cameras that are TIFFs, whose first picture is a thumbnail."""
    if not data.startswith((b"II*\0", b"MM\0*")):
        return False
    raw = bool(CAMERA_RAW_NAMED.search(name)) or data[8:10] == b"CR"
    with suppress(Exception), capturing():  # a damaged directory is reported by Pillow
        first = _tiff_directory(data, int.from_bytes(data[4:8], "little" if data[:1] == b"I" else "big"))
        inner = [_tiff_directory(data, offset) for offset in _as_tuple(first.get(TIFF_SUB_IFDS, ()))]
        raw = raw or any(
            TIFF_OF_CAMERAS & {*tags} or tags.get(TIFF_PHOTOMETRIC) in TIFF_MOSAICS for tags in (first, *inner)
        )
    return raw


def _tiff_directory(data: bytes, offset: int) -> Mapping[int, Any]:
    directory, stream = TiffImagePlugin.ImageFileDirectory_v2(data[:8]), io.BytesIO(data)
    stream.seek(offset)
    directory.load(stream)
    return directory


def _fault(error: Exception, messages: Messages) -> str:
    missing = isinstance(error, ImportError) or "not available" in str(error)
    more = f" ({messages.error})" if messages.error else ""
    words = " ".join(str(error).split())[:300] or type(error).__name__
    return f"{'this Pillow cannot read it' if missing else 'damaged'}: {words}{more}"
