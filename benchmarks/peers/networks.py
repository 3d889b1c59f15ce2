"""The networks as a user would write them: stock PyTorch layers, stock optimiser, none of ours.

Their parameters stand in the order of ours, so weights can be carried over (the tests do, and compare the logits).
B pictures · C maps · H, W rows and columns · K classes.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

UNITS = 4096
"""Of the two hidden dense layers."""
SETTINGS = ("fp32", "bf16")
"""How a peer is run: as it is written; or at its best stock setting, bf16 autocast over channels_last."""


class ColumnNorm(nn.Module):
    """`nn.LocalResponseNorm` inside each of two columns: seen as pictures of their own, which costs nothing in NCHW.

    torch divides alpha by the window; the formula printed in [A] §3.3 does not.
    """

    def __init__(self, columns: int, size: int, alpha: float, beta: float, k: float) -> None:
        super().__init__()
        self.columns, self.norm = columns, nn.LocalResponseNorm(size, alpha * size, beta, k)

    def forward(self, x: Tensor) -> Tensor:
        batch, maps, height, width = x.shape
        return self.norm(x.reshape(batch * self.columns, maps // self.columns, height, width)).reshape(x.shape)


class SameMapNorm(nn.Module):
    """x / (k + alpha · mean of x² over 3×3 places of the same map)^beta (2012 code, the 18 % CIFAR net)."""

    def __init__(self, size: int, alpha: float, beta: float, k: float) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        mean = F.avg_pool2d(x * x, self.size, stride=1, padding=self.size // 2)
        return x / (self.k + self.alpha * mean) ** self.beta


def alexnet(classes: int = 1000) -> nn.Sequential:
    """[A] as printed, 224 pixels: two columns as groups, response normalisation in each."""
    norm = (2, 5, 1e-4, 0.75, 2.0)
    return nn.Sequential(
        nn.ZeroPad2d((0, 3, 0, 3)),
        nn.Conv2d(3, 96, 11, stride=4),
        nn.ReLU(),
        ColumnNorm(*norm),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2),
        nn.ReLU(),
        ColumnNorm(*norm),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 384, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        *head(256 * 6 * 6, classes),
    )


def zfnet(classes: int = 1000) -> nn.Sequential:
    """[Z] Fig. 3, 224 pixels: no columns, pooling before the normalisation."""
    norm = (5, 1e-4, 0.75, 2.0)
    return nn.Sequential(
        nn.ZeroPad2d((0, 1, 0, 1)),
        nn.Conv2d(3, 96, 7, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.LocalResponseNorm(*norm),
        nn.Conv2d(96, 256, 5, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.LocalResponseNorm(*norm),
        nn.Conv2d(256, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        *head(256 * 6 * 6, classes),
    )


def head(units: int, classes: int) -> list[nn.Module]:
    """The fully connected layers of [A], with torch's dropout (which divides in training what 2012 halves in test)."""
    return [
        nn.Flatten(),
        nn.Linear(units, UNITS),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(UNITS, UNITS),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(UNITS, classes),
    ]


def torchvision(classes: int = 1000) -> nn.Sequential:
    """The shape of torchvision's alexnet: no groups, no response normalisation."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(256 * 6 * 6, UNITS),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(UNITS, UNITS),
        nn.ReLU(),
        nn.Linear(UNITS, classes),
    )


def cifar(classes: int = 10) -> nn.Sequential:
    """The authors' CIFAR-10 net of 18 %, 32 pixels."""
    norm = (3, 5e-5, 0.75, 1.0)
    average = {"kernel_size": 3, "stride": 2, "ceil_mode": True, "count_include_pad": False}
    return nn.Sequential(
        nn.Conv2d(3, 32, 5, padding=2),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.ReLU(),
        SameMapNorm(*norm),
        nn.Conv2d(32, 32, 5, padding=2),
        nn.ReLU(),
        nn.AvgPool2d(**average),
        SameMapNorm(*norm),
        nn.Conv2d(32, 64, 5, padding=2),
        nn.ReLU(),
        nn.AvgPool2d(**average),
        nn.Flatten(),
        nn.Linear(64 * 4 * 4, classes),
    )


@dataclass
class Peer:
    """A network in a setting, with a batch that lies ready and torch's SGD (fused, its fastest)."""

    network: nn.Module
    inputs: Tensor
    labels: Tensor
    optimiser: torch.optim.Optimizer
    autocast: bool

    @classmethod
    def of(cls, network: nn.Module, inputs: Tensor, labels: Tensor, setting: str, *, compile: bool = False) -> "Peer":
        """`setting`: one of SETTINGS; `compile`: through torch.compile (minutes, at the first call)."""
        autocast = setting == "bf16"
        if autocast:
            network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        optimiser = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4, fused=True)
        runs = torch.compile(network) if compile else network
        assert isinstance(runs, nn.Module)
        return cls(runs, inputs, labels, optimiser, autocast)

    def logits(self) -> Tensor:
        with torch.autocast(self.inputs.device.type, torch.bfloat16, enabled=self.autocast):
            return self.network(self.inputs)

    def learn(self) -> Tensor:
        """A whole training step. Gives the loss, still on the device."""
        self.network.train()
        loss = F.cross_entropy(self.logits().float(), self.labels)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return loss.detach()

    @torch.inference_mode()
    def look(self) -> Tensor:
        """Probabilities (B, K), as in a test."""
        self.network.eval()
        return self.logits().float().softmax(dim=1)
