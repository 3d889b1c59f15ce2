"""A program of `torch.export` (.pt2), for torch alone: written here, not read back."""

import io
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from alexnet.files.atomic import write_atomically
from alexnet.nets.network import Network
from alexnet.weights.common import ExportedWeights
from alexnet.weights.description import KIND, write_description


class FromRecords(nn.Module):
    """A network that takes records, uint8 (B, S, S, 3): subtracts the mean, cuts out the centre, gives logits."""

    mean_image: Tensor

    def __init__(self, network: Network, mean_image: Float[Tensor, "3 S S"]) -> None:
        super().__init__()
        self.network, self.size = network, network.input_size
        self.edge = (mean_image.shape[-1] - self.size) // 2
        self.register_buffer("mean_image", mean_image)

    def forward(self, pictures_bhwc: UInt8[Tensor, "B S S 3"]) -> Float[Tensor, "B K"]:
        return self.network(self.centre_view(pictures_bhwc))

    def centre_view(self, pictures_bhwc: UInt8[Tensor, "B S S 3"]) -> Float[Tensor, "B 3 s s"]:
        inside = slice(self.edge, self.edge + self.size)
        maps = pictures_bhwc.permute(0, 3, 1, 2).float() - self.mean_image
        return maps[:, :, inside, inside]


def write_torch_export(run: ExportedWeights, path: Path) -> tuple[str, ...]:
    """The graph of plain torch operators that `torch.export` traces; the compiled kernels are not used."""
    side, size = run.mean_image.shape[-1], run.network.input_size
    module, example = run.network, torch.zeros(2, 3, size, size)
    if run.preprocessing:
        module, example = FromRecords(run.network, run.mean_image), torch.zeros(2, side, side, 3, dtype=torch.uint8)
    program = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={"kind": KIND})
    write_atomically(path, buffer.getbuffer())
    write_description(run, path)
    return ()
