"""The kernels of `cpu.cpp` for float32 and bfloat16 on the CPU: built once into a cache, called through ctypes.

The library has a plain C interface and knows nothing of PyTorch's headers: it compiles in seconds. It is linked with
the OpenMP runtime that PyTorch itself has loaded, and works in that pool with `torch.get_num_threads()` threads.
"""

import ctypes
import functools
from dataclasses import astuple, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alexnet.files import native
from alexnet.kernels import reference
from alexnet.kernels.reference import Crops, NormPool, NormSpec

SOURCES = (Path(__file__).with_name("lanes.h"), Path(__file__).with_name("cpu.cpp"))
DTYPES = (torch.float32, torch.bfloat16)
LARGEST_KERNEL = 16  # a switch inside its window is kept in one byte


@dataclass(frozen=True)
class Library:
    """The loaded library, and in words what it was built with."""

    functions: ctypes.CDLL
    description: str


class Norm(ctypes.Structure):
    """`struct Norm` of cpu.cpp: a `NormSpec`'s fields, and beta · 4 where that is a whole number."""

    _fields_ = (
        *((field.name, ctypes.c_float if field.type is float else ctypes.c_int64) for field in fields(NormSpec)),
        ("quarters", ctypes.c_int32),
    )


class Problem(ctypes.Structure):
    """`struct Problem` of cpu.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("pictures", "height", "width", "maps")),
        *((name, ctypes.c_int64) for name in ("out_height", "out_width", "kernel", "stride")),
        *((name, Norm) for name in ("across", "inside")),
        *((name, ctypes.c_int32) for name in ("relu_first", "relu_last", "is_bfloat16")),
        ("threads", ctypes.c_int64),
    )


class Tiles(ctypes.Structure):
    """`struct Tiles` of cpu.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("pictures", "height", "width", "maps", "before", "groups")),
        *((name, ctypes.c_int64) for name in ("rows", "columns", "size", "step", "threads")),
    )


# ---- Building ---------------------------------------------------------------------------------------------------


@functools.cache
def library() -> Library:
    """The library, built where the cache has none for this source, compiler, CPU and PyTorch; or `UnavailableError`."""
    runtime = _openmp_runtime()
    functions, version = native.library(
        "kernels", "the CPU kernels", SOURCES, links=(runtime,), key=str(torch.__version__)
    )
    for name, arguments in _SIGNATURES.items():
        function = getattr(functions, name)
        function.argtypes, function.restype = arguments, None
    lanes = ctypes.c_int32.in_dll(functions, "alexnet_lanes").value
    return Library(functions, f"{version}, {lanes} floats at a time")


def _openmp_runtime() -> str:
    """The OpenMP library this process has loaded with PyTorch. A second one would bring a second thread pool."""
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError as error:
        raise native.UnavailableError(f"the OpenMP runtime of PyTorch is only looked up on Linux: {error}") from error
    loaded = sorted({line.split(maxsplit=5)[5] for line in maps.splitlines() if line.count("/") and "omp" in line})
    runtimes = [path for path in loaded if Path(path).name.startswith(("libgomp", "libomp", "libiomp"))]
    beside_torch = [path for path in runtimes if Path(torch.__path__[0]) in Path(path).parents]
    if not runtimes:
        raise native.UnavailableError("this PyTorch has no OpenMP runtime to share")
    return (beside_torch or runtimes)[0]


_POINTER, _LONG, _INT, _FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32, ctypes.c_float
_PROBLEM, _TILES = ctypes.POINTER(Problem), ctypes.POINTER(Tiles)
_SIGNATURES: dict[str, list[Any]] = {
    "alexnet_forward": [_PROBLEM, _POINTER, _POINTER, _POINTER],
    "alexnet_backward": [_PROBLEM, _POINTER, _POINTER, _POINTER, _POINTER],
    "alexnet_update": [_POINTER, _POINTER, _POINTER, _POINTER, _INT, _LONG, _FLOAT, _FLOAT, _FLOAT, _LONG],
    "alexnet_into_tiles": [_TILES, _POINTER, _POINTER, _POINTER],
    "alexnet_out_of_tiles": [_TILES, _POINTER, _POINTER, _POINTER, _POINTER],
    "alexnet_space_to_depth": [_POINTER, *[_LONG] * 9, _POINTER, _LONG],
    "alexnet_augment": [
        *(_POINTER, _LONG, _LONG, _LONG, _POINTER, _POINTER),
        *(_POINTER, _LONG, _INT, _POINTER, _FLOAT, _LONG, _INT, _POINTER, _LONG),
    ],
}  # fmt: skip

# ---- Calling ----------------------------------------------------------------------------------------------------


def relu_norm_pool(x_bchw: Tensor, steps: NormPool) -> Tensor:
    """As `reference.relu_norm_pool`, in one pass forward and one backward; `kernel` ≤ LARGEST_KERNEL."""
    return _NormPool.apply(x_bchw, steps)  # pyright: ignore[reportReturnType]


@functools.cache
def _norm(spec: NormSpec | None) -> Norm:
    return Norm() if spec is None else Norm(*astuple(spec), {0.25: 1, 0.5: 2, 0.75: 3, 1.0: 4}.get(spec.beta, 0))


def _problem(x_bchw: Tensor, steps: NormPool) -> Problem:
    pictures, maps, height, width = x_bchw.shape
    out_height, out_width = steps.outputs(height, width)
    return Problem(
        *(pictures, height, width, maps, out_height, out_width, steps.kernel, steps.stride),
        *(_norm(steps.norm), _norm(steps.inside), steps.relu_first, steps.relu_last),
        *(x_bchw.dtype == torch.bfloat16, torch.get_num_threads()),
    )


def _channels_last(x: Tensor) -> Tensor:
    """Maps innermost in memory. The strides of axes of length 1 say nothing, so is_contiguous alone can be trusted."""
    return x.contiguous(memory_format=torch.channels_last)


def _empty(pictures: int, maps: int, height: int, width: int, dtype: torch.dtype) -> Tensor:
    shape = (pictures, maps, height, width)
    return torch.empty(shape, dtype=dtype, device="cpu", memory_format=torch.channels_last)  # whatever the default is


def space_to_depth(x_bchw: Tensor, stride: int, before: int, rows: int, columns: int) -> Tensor:
    """As `reference.space_to_depth`, in one pass; not differentiable."""
    x = _channels_last(x_bchw)
    pictures, maps, height, width = x.shape
    out = _empty(pictures, stride * stride * maps, rows, columns, x.dtype)
    library().functions.alexnet_space_to_depth(
        *(x.data_ptr(), pictures, height, width, maps, x.element_size()),
        *(stride, before, rows, columns, out.data_ptr(), torch.get_num_threads()),
    )
    return out


class _NormPool(torch.autograd.Function):
    """Saves the input as it came and, where it pools, one byte per output: the position of the maximum in its
    window."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, steps: NormPool) -> Tensor:
        given, x, problem = x, _channels_last(x), _problem(x, steps)
        shape = problem.pictures, problem.maps, problem.out_height, problem.out_width
        out = _empty(*shape, x.dtype)
        pools = problem.kernel > 1 or problem.stride > 1
        switches = _empty(*shape, torch.uint8) if pools and ctx.needs_input_grad[0] else None
        library().functions.alexnet_forward(problem, x.data_ptr(), out.data_ptr(), _pointer(switches))
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(given, *([] if switches is None else [switches]))
            ctx.problem, ctx.steps = problem, steps
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, *switches = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody differentiates the gradient too (create_graph)
            plain = partial(reference.relu_norm_pool, steps=ctx.steps, plain=True)
            return reference.differentiable_gradient(plain, x, gradient), None
        x = _channels_last(x)
        gradient = _channels_last(gradient.to(x.dtype))
        out = torch.empty_like(x, memory_format=torch.channels_last)
        ctx.problem.threads = torch.get_num_threads()
        library().functions.alexnet_backward(
            ctx.problem, x.data_ptr(), gradient.data_ptr(), _pointer(*switches), out.data_ptr()
        )
        return out, None


def _pointer(tensor: Tensor | None = None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def update_(
    weight: Tensor,
    velocity: Tensor,
    gradient: Tensor,
    copy: Tensor | None,
    learning_rate: float,
    momentum: float,
    decay: float,
) -> None:
    """As `reference.update_`, in one pass. Float32 state, all laid out alike without holes."""
    library().functions.alexnet_update(
        *(weight.data_ptr(), velocity.data_ptr(), gradient.data_ptr(), _pointer(copy)),
        *(gradient.dtype == torch.bfloat16, weight.numel(), learning_rate, momentum, decay, torch.get_num_threads()),
    )


def augment(pictures_bhwc: Tensor, crops: Crops) -> Tensor:
    """As `reference.augment`, in one pass."""
    count, height, width, _ = pictures_bhwc.shape
    mean_hwc, aligned = crops.mean_of(pictures_bhwc)
    # Held by names until the call returns: ctypes gets bare addresses, which keep nothing alive.
    pictures, mean, mirror = pictures_bhwc.contiguous(), mean_hwc.contiguous(), crops.mirror_b.bool().contiguous()
    offsets = crops.offsets_b2.to(torch.int64).contiguous()
    noise = None if crops.noise_b3 is None else crops.noise_b3.float().contiguous()
    out = _empty(count, 3, crops.size, crops.size, crops.dtype)
    library().functions.alexnet_augment(
        *(pictures.data_ptr(), count, height, width, offsets.data_ptr(), mirror.data_ptr()),
        *(mean.data_ptr(), mean.shape[1], aligned, _pointer(noise), crops.scale, crops.size),
        *(crops.dtype == torch.bfloat16, out.data_ptr(), torch.get_num_threads()),
    )
    return out
