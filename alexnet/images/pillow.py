"""Pillow for this package alone: a second copy of its Python modules, with settings of its own.

Pillow's settings belong to the whole process. A program that sets ``ImageFile.LOAD_TRUNCATED_IMAGES``, lowers
``Image.MAX_IMAGE_PIXELS`` or registers further formats would change what is decoded here; setting them back for a
moment would change what that program's other threads decode. The copy has variables of its own and shares the compiled
parts of Pillow, so that a picture decodes alike in every process.

Messages of Pillow and libtiff about a picture reach the thread that decodes it (`capturing`), not the screen.
"""

import atexit
import ctypes
import importlib
import importlib.util
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import PIL
from PIL import _imaging

NAME = f"{__name__}_copy"
COMPILED = ("_imaging", "_imagingcms", "_webp", "_avif")
PLUGINS = ("Bmp", "Gif", "Jpeg", "Ppm", "Png", "WebP", "Tiff", "Ico", "Jpeg2K", "Mpo", "Avif")

LARGEST_TEXT = 1 << 24
"""Bytes that compressed metadata of a PNG may have when unpacked; larger metadata is ignored."""
TEXT_WITH_ORIENTATION = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0", b"exif\0")


@dataclass
class Messages:
    """Reports on a picture while it was decoded: each of ``warnings``, and the last ``error`` ("" if none)."""

    warnings: list[str] = field(default_factory=list)
    error: str = ""


_thread = threading.local()


@contextmanager
def capturing() -> Iterator[Messages]:
    """Inside, collect what Pillow and libtiff report in this thread. Other threads are not affected."""
    before, _thread.messages = _messages(), Messages()
    try:
        yield _thread.messages
    finally:
        _thread.messages = before


def _messages() -> Messages | None:
    return getattr(_thread, "messages", None)


def module(name: str) -> ModuleType:
    """A module of the copy, by its name in Pillow: "ImageCms"."""
    return importlib.import_module(f"{NAME}.{name}")


def _warn(message: Warning | str, *rest: Any, **options: Any) -> None:
    if messages := _messages():
        messages.warnings.append(" ".join(str(message).split())[:300])
    else:
        warnings.warn(message, *rest, **options)


class _Log(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if messages := _messages():
            messages.error = record.getMessage()


def _copy() -> None:
    spec = importlib.util.spec_from_file_location(NAME, PIL.__file__, submodule_search_locations=[*PIL.__path__])
    assert spec is not None
    assert spec.loader is not None
    package = sys.modules[NAME] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    for name in COMPILED:
        with suppress(ImportError):  # a Pillow built without it
            sys.modules[f"{NAME}.{name}"] = importlib.import_module(f"PIL.{name}")
    for name in PLUGINS:
        with suppress(ImportError):  # no Avif before Pillow 11.2
            module(f"{name}ImagePlugin")
    redirected = SimpleNamespace(**{**vars(warnings), "warn": _warn})
    for name, copied in list(sys.modules.items()):
        if name.startswith(NAME) and hasattr(copied, "warnings"):
            copied.warnings = redirected  # pyright: ignore[reportAttributeAccessIssue]
    logger = logging.getLogger(NAME)
    logger.propagate = False
    logger.addHandler(_Log(logging.ERROR))


def _skip_large_text() -> None:
    """Text and colour profiles in a PNG have no influence on its pixels. They are read only where they can hold the
    orientation, and then within bounds."""
    png: Any
    png, safe_read = module("PngImagePlugin"), module("ImageFile")._safe_read
    png.MAX_TEXT_CHUNK = LARGEST_TEXT

    def bounded(read: Callable[[Any, int, int], bytes]) -> Callable[[Any, int, int], bytes]:
        def chunk(stream: Any, at: int, length: int) -> bytes:
            data = safe_read(stream.fp, length)
            if data.startswith(TEXT_WITH_ORIENTATION) and stream.text_memory < png.MAX_TEXT_MEMORY:
                stream.text_memory += LARGEST_TEXT
                stream.fp.seek(at)
                with suppress(ValueError, SyntaxError):
                    read(stream, at, length)
            return data

        return chunk

    for name in ("chunk_tEXt", "chunk_zTXt", "chunk_iTXt", "chunk_iCCP"):
        setattr(png.PngStream, name, bounded(getattr(png.PngStream, name)))


_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)


def _capture_libtiff() -> Any:
    """libtiff prints errors on the screen. Here they go to the thread that captures them, if it does.
    Returns the handler, which has to live as long as the process."""
    try:
        set_handler = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
        describe = ctypes.CDLL(None).vsnprintf
    except (OSError, AttributeError):  # a Pillow without libtiff, or with one that shows no functions
        return None
    before: int | None = None
    describe.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p)

    @_HANDLER
    def handler(function: bytes | None, form: bytes, values: int) -> None:
        if messages := _messages():
            words = ctypes.create_string_buffer(300)
            describe(words, len(words), form, values)
            messages.error = f"libtiff: {words.value.decode(errors='replace')}"
        elif before:
            _HANDLER(before)(function, form, values)

    set_handler.argtypes, set_handler.restype = (ctypes.c_void_p,), ctypes.c_void_p
    before = set_handler(handler)
    atexit.register(set_handler, before)
    return handler


_copy()
_skip_large_text()
_LIBTIFF_HANDLER = _capture_libtiff()

if TYPE_CHECKING:
    from PIL import ExifTags, Image, ImageOps, TiffImagePlugin, UnidentifiedImageError
else:
    UnidentifiedImageError = sys.modules[NAME].UnidentifiedImageError
    ExifTags, Image, ImageOps, TiffImagePlugin = map(module, ("ExifTags", "Image", "ImageOps", "TiffImagePlugin"))

__all__ = ["ExifTags", "Image", "ImageOps", "TiffImagePlugin", "UnidentifiedImageError"]
