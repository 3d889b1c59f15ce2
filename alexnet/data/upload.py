"""From numpy arrays to tensors on a device. On CUDA a copy waits for nothing and runs beside the computing."""

import functools

import numpy as np
import torch
from torch import Tensor


def upload(array: np.ndarray, device: torch.device) -> Tensor:
    """The array as a tensor on `device`; on the CPU the same memory.

    On CUDA the copy is only under way when this returns. What computes with the tensor there waits for it; whoever
    fills a pinned `array` anew must wait for such a computation first. Other arrays are copied to pinned memory here.
    """
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    if not tensor.is_pinned():
        tensor = tensor.pin_memory()
    computing, copying = torch.cuda.current_stream(device), _copying(device)
    with torch.cuda.stream(copying):
        tensor = tensor.to(device, non_blocking=True)
    computing.wait_stream(copying)
    tensor.record_stream(computing)  # its memory is not given to another copy before this stream is done with it
    return tensor


@functools.cache
def _copying(device: torch.device) -> "torch.cuda.Stream":
    return torch.cuda.Stream(device)


def pinned(shape: tuple[int, ...]) -> np.ndarray:
    """Uninitialised uint8 memory that a GPU reads by itself: a stream's buffers. CUDA only."""
    return torch.empty(shape, dtype=torch.uint8, pin_memory=True).numpy()
