"""What is wrong with an architecture, read off its filters ([Z] §4.1, Fig. 6).

K filters · k side of a filter · F side of a spectrum.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alexnet.errors import UserError
from alexnet.files.schema import attributes
from alexnet.isolation import isolated
from alexnet.nets.network import Network
from alexnet.nets.table import Activation, Conv, Norm, Pool, SpatialNorm
from alexnet.see.deconvnet import row_index
from alexnet.see.units import Unit, check_unit

SPECTRUM = 64
"""Frequencies of a spectrum along one axis; filters are padded with zeros to it."""
FAINT = 0.1
"""A filter counts as dead if its RMS is below this share of the layer's median."""
RENORMALISED = 0.1  # [Z] §3: filters whose RMS exceeds it are scaled back to it
LOW = 0.5
"""Cycles per filter: slower than that is no pattern but a mean colour or a ramp."""
HIGH = 0.25
"""Cycles per pixel: a period of four pixels."""
PATTERNS = 32


@dataclass(frozen=True, eq=False)
class Filters:
    """The filters of the first layer (K, 3, k, k) in figures, each (K,): `rms`; `low` and `high`, the shares of energy
    below LOW cycles per filter and above HIGH cycles per pixel; `aliased`, the share above the layer's own sampling
    limit, 1 / (2 · stride) cycles per pixel, which its map can't carry and folds back."""

    layer: str
    stride: int
    weights: Float[Tensor, "K 3 k k"]
    rms: Float[Tensor, "K"]
    low: Float[Tensor, "K"]
    high: Float[Tensor, "K"]
    aliased: Float[Tensor, "K"]

    @property
    def dead(self) -> Tensor:
        """bool (K,): filters that hardly have weights."""
        return self.rms < FAINT * self.rms.median()

    @property
    def size(self) -> int:
        """Side of a filter."""
        return self.weights.shape[-1]

    @property
    def dominance(self) -> float:
        """The largest RMS over the median."""
        return float(self.rms.max() / self.rms.median())

    @property
    def mean_share(self) -> dict[str, float]:
        """Means over the living filters of their shares of energy."""
        shares = {"very_low": self.low, "very_high": self.high, "aliased": self.aliased}
        return {name: float(of_each[~self.dead].mean()) for name, of_each in shares.items()}

    def as_json(self) -> dict[str, Any]:
        return attributes(self, "layer", "size", "stride", "dominance", "mean_share") | {
            "filters": len(self.rms),
            "dead": int(self.dead.sum()),
            "rms": {"median": float(self.rms.median()), "largest": float(self.rms.max())},
            "at_or_above_rms_limit": int((self.rms >= RENORMALISED * (1 - 1e-4)).sum()),
            "only_very_low_or_high": int(((self.low + self.high)[~self.dead] > 0.9).sum()),
        }


@isolated()
def diagnose(network: Network) -> Filters:
    """The first layer's filters in figures. Raises UserError if the network doesn't begin with a convolution."""
    first = network.layers[0]
    if not isinstance(first.row, Conv):
        raise UserError(f"{network.table.name}: its first layer is no convolution, so there are no filters to look at.")
    weights = network.get_parameter(f"{first.row.name}.weight").detach().float().cpu()
    energy, radius = spectrum(weights)
    # Of each filter's energy; one without weights has 0 everywhere.
    share = energy / energy.sum(dim=(1, 2), keepdim=True).clamp_min(1e-30)

    def within(chosen: Tensor) -> Float[Tensor, "K"]:
        return (share * chosen).sum(dim=(1, 2))

    kernel, stride = first.row.kernel, first.row.stride
    return Filters(
        layer=first.row.name,
        stride=stride,
        weights=weights,
        rms=weights.square().mean(dim=(1, 2, 3)).sqrt(),
        low=within(radius < LOW / kernel),
        high=within(radius > HIGH),
        aliased=within(axis_frequency() > 0.5 / stride),
    )


def spectrum(weights: Float[Tensor, "K 3 k k"]) -> tuple[Float[Tensor, "K F F"], Float[Tensor, "F F"]]:
    """Energy of each filter at each spatial frequency, the colours added, and the frequencies' magnitudes in cycles
    per pixel."""
    padded = F.pad(weights, (0, SPECTRUM - weights.shape[-1]) * 2)
    energy = torch.fft.fft2(padded).abs().square().sum(dim=1)
    along = torch.fft.fftfreq(SPECTRUM)
    return energy, torch.hypot(along[:, None], along[None, :])


def axis_frequency() -> Float[Tensor, "F F"]:
    """The larger of the two axes' frequencies: sampling every s pixels carries up to 1 / (2 s) along each axis."""
    along = torch.fft.fftfreq(SPECTRUM).abs()
    return torch.maximum(along[:, None], along[None, :])


@isolated()
@torch.no_grad()
def linear_pattern(network: Network, layer: str, channels: Sequence[int]) -> Float[Tensor, "K 3 S S"]:
    """What the filters below a map add up to in the pixels, no picture being there: weights transposed all the way
    down, non-linearities and norms passed by, pooled values put into the middle of their windows.

    The patterns of the second layer's filters show aliasing as a checkerboard of the first layer's stride. Raises
    UserError for a layer or map that there is not.
    """
    shape = network.layer(layer).leaving
    for channel in channels:
        check_unit(network, Unit(layer, channel))
    device = next(network.parameters()).device
    signal = torch.zeros(len(channels), shape.maps, shape.side, shape.side, device=device)
    signal[range(len(channels)), list(channels), shape.side // 2, shape.side // 2] = 1
    for index in range(row_index(network, layer), -1, -1):
        below = network.layers[index].entering
        entering = signal.new_zeros(1, below.maps, below.side, below.side).expand(len(channels), -1, -1, -1)
        match network.layers[index].row:
            case Activation() | Norm() | SpatialNorm():
                continue
            case Pool(kernel=kernel, stride=stride):
                signal = middle_of_windows(signal, kernel, stride, below.side)
            case _:
                signal = network.adjoint(network.layers[index].row.name, signal, entering)
    return signal.cpu()


def middle_of_windows(signal: Float[Tensor, "K C h w"], kernel: int, stride: int, side: int) -> Tensor:
    """Each value at the middle of its pooling window, on maps of `side`; zeros elsewhere."""
    below = signal.new_zeros(*signal.shape[:2], side, side)
    at = (torch.arange(signal.shape[-1]) * stride + kernel // 2).clamp(max=side - 1)
    below[:, :, at[:, None], at[None, :]] = signal
    return below
