"""Small networks whose signal reaches the end, pictures for them, and viewers."""

import torch
from torch import Tensor

from alexnet.data.preprocessing import Preprocessing
from alexnet.measure.viewer import ViewAverager
from alexnet.nets import zoo
from alexnet.nets.network import Network, build

SMALL_PICTURE = 99
"""Large enough for every network of the zoo; windows overhang in it."""


def lively(network: Network, seed: int = 0) -> Network:
    """Weights that carry pictures on the scale 0–255 to the end, not too loud and not too faint."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for number, layer in enumerate(network.table.weighted):
            weight = network.get_parameter(f"{layer.name}.weight")
            spread = (2 / weight[0].numel()) ** 0.5 * (0.02 if number == 0 else 1.0)
            weight.copy_(torch.randn(weight.shape, generator=generator) * spread)
            network.get_parameter(f"{layer.name}.bias").fill_(0.05)
    return network.eval()


def small(name: str, classes: int = 5, *, width: float = 0.1, input_size: int | None = None) -> Network:
    """A thin network of the zoo for small pictures."""
    width = 1.0 if name == "toy" else width
    size = input_size or min(zoo.find(name).input_size, SMALL_PICTURE)
    return lively(build(name, classes, width=width, input_size=size))


def noise(count: int, size: int, seed: int = 0) -> Tensor:
    """Smooth noise on the scale of pictures minus their mean, (count, 3, size, size)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, max(2, size // 6), max(2, size // 6), generator=generator) * 60
    return torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear", align_corners=False)


def viewer_of(network: Network) -> ViewAverager:
    """A viewer of records as large as the network's input, with a mean of many levels."""
    size = network.input_size
    mean = 120 + torch.rand(3, size, size, generator=torch.Generator().manual_seed(9)) * 20
    return ViewAverager(network, Preprocessing(mean, size))
