"""The library of ``records.cpp``: resizing and sums of pictures in C++. Not needed: numpy and Pillow do the same."""

import ctypes
import functools
import os
import threading
from pathlib import Path

from alexnet.files import native
from alexnet.files.atomic import warn_once

SOURCE = Path(__file__).with_name("records.cpp")
EXACT = ("-ffp-contract=off",)  # a fused product and sum would round the weights differently from Pillow

_ASKING = threading.Lock()


def library() -> ctypes.CDLL | None:
    """The library, built, if it has to be, by the first thread that asks; None if it is unavailable (no compiler) or
    disabled (ALEXNET_KERNELS=reference)."""
    with _ASKING:
        return _library()


@functools.cache
def _library() -> ctypes.CDLL | None:
    if os.environ.get("ALEXNET_KERNELS") == "reference":
        return None
    try:
        functions, _ = native.library("records", "the resizing of pictures", (SOURCE,), flags=EXACT)
    except native.UnusableError as reason:
        warn_once(f"pictures are resized without compiled code (slower): {reason}")
        return None
    except native.UnavailableError:
        return None
    pointer, whole, place = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
    functions.alexnet_resample.argtypes = [
        *(pointer, whole, whole, whole, place, place, place, place),
        *(whole, ctypes.c_int32, pointer),
    ]
    functions.alexnet_add.argtypes = [pointer, whole, pointer, pointer]
    functions.alexnet_resample.restype = functions.alexnet_add.restype = None
    return functions
