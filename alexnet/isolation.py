"""Computing apart from the caller's settings of torch: they don't affect results, and are restored afterwards.

Settings that are kept out: grad and inference mode, autocast, the default type and device, the precision of float32
products, NumPy's handling of floating-point errors. The number of threads may only be lowered. Settings that make torch
deterministic are the caller's choice and stay in force.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch

from alexnet.processors import cores

PRECISIONS: tuple[Any, ...] = ()
"""Operations whose precision can be set one by one: since torch 2.9."""
if hasattr(torch.backends.cuda.matmul, "fp32_precision"):
    PRECISIONS = (torch.backends.cuda.matmul, *(getattr(torch.backends.mkldnn, name) for name in ("matmul", "conv")))


class _ProcessWide:
    """Settings that all threads of a process share: the first thread that enters sets them, the last restores them."""

    def __init__(self) -> None:
        self.lock, self.inside, self.restore = threading.Lock(), 0, ExitStack()
        self.computed_with_threads = self.one_thread = False
        """GNU's OpenMP can't use several threads in a forked child of a process that did: it would wait for ever."""

    @contextmanager
    def standard(self) -> Iterator[None]:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self._set()
        try:
            yield
        finally:
            with self.lock:
                self.inside -= 1
                if not self.inside:
                    self.restore.close()

    def _set(self) -> None:
        if (dtype := torch.get_default_dtype()) != torch.float32:
            self.restore.callback(torch.set_default_dtype, dtype)
            torch.set_default_dtype(torch.float32)
        overall = _matmul_precision()
        for operation in PRECISIONS:
            if overall != "highest" or operation.fp32_precision not in ("ieee", "none"):
                before, operation.fp32_precision = operation.fp32_precision, "none"
                inherited = operation.fp32_precision == before  # from torch.backends.fp32_precision
                self.restore.callback(setattr, operation, "fp32_precision", "none" if inherited else before)
                operation.fp32_precision = "ieee"
        if overall != "highest":  # restored first, since it changes single operations
            self.restore.callback(torch.set_float32_matmul_precision, overall)
            torch.set_float32_matmul_precision("highest")

    def after_fork(self) -> None:
        self.lock = threading.Lock()  # another thread of the parent may have held it
        self.one_thread = self.computed_with_threads


def _matmul_precision() -> str:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # single operations were set; then this was not
        return "highest"


_process = _ProcessWide()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.after_fork)


_here = threading.local()
"""Whether this thread is inside `isolated`: what it calls need not do it again."""


@contextmanager
def isolated(*, inference: bool = False, threads: int = 0) -> Iterator[None]:
    """Inside, torch computes as in a new process, with gradients or in `inference` mode. Also a decorator of functions
    (not of generators: their callers would run inside).

    `threads`: of the CPU; 0: as many as the caller uses. No more than `cores`, and one in a forked child of a process
    that has computed with several. On leaving, the caller's settings hold again."""
    with ExitStack() as stack:
        if not getattr(_here, "inside", False):
            _enter(stack, threads)
        stack.enter_context(torch.inference_mode(inference))
        yield


def _enter(stack: ExitStack, threads: int) -> None:
    _here.inside = True
    stack.callback(setattr, _here, "inside", False)
    stack.enter_context(_process.standard())
    stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
    for kind in ("cpu", "cuda", "mps"):
        if torch.is_autocast_enabled(kind):
            torch.set_autocast_enabled(kind, False)
            stack.callback(torch.set_autocast_enabled, kind, True)
    if torch.get_default_device().type != "cpu":
        stack.enter_context(torch.device("cpu"))
    before, determinism = torch.get_num_threads(), _determinism()
    stack.callback(torch.set_num_threads, before)
    stack.callback(_restore_determinism, *determinism)
    use_threads(min(threads or before, cores()))


def _determinism() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _restore_determinism(wanted: bool, warn_only: bool) -> None:
    if _determinism() != (wanted, warn_only):  # else not called: it imports much
        torch.use_deterministic_algorithms(wanted, warn_only=warn_only)


def use_threads(count: int) -> int:
    """Compute with `count` threads; with one in a forked child that can't use more. Gives their number."""
    count = 1 if _process.one_thread else count
    _process.computed_with_threads |= count > 1
    if count != torch.get_num_threads():
        torch.set_num_threads(count)
    return count
