"""On which device, and in which precision, a trained network computes: as in its training where possible."""

from dataclasses import dataclass

import torch

from alexnet.errors import UserError

DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Placement:
    """Where and how a network computes. `precision`: "fp32" or "bf16", of the layers; softmax is always fp32."""

    device: torch.device
    precision: str

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self.precision]

    def __str__(self) -> str:
        return f"{self.precision} on {self.device.type}"


def find_device(choice: str) -> torch.device:
    """The device of that kind; "auto": the first of cuda, mps, cpu that is there. Raises UserError if it is not."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if choice == "auto":
        return torch.device(next(name for name, present in there.items() if present))
    if not there[choice]:
        raise UserError(
            f"--device {choice}: not available here, or this build of torch can't use it. Try --device cpu."
        )
    return torch.device(choice)
