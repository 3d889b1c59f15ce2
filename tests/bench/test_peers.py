"""The peers compute what our networks compute: the same logits and gradients from the same weights."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from alexnet.nets.network import Network, build
from alexnet.nets.table import Dropout, change, with_classes
from alexnet.nets.trace import trace
from alexnet.nets.zoo import ZOO
from peers import networks
from peers.networks import Peer

NETS = {
    "alexnet": (networks.alexnet, 224),
    "zfnet": (networks.zfnet, 224),
    "torchvision": (networks.torchvision, 224),
    "cifar-18pct": (networks.cifar, 32),
}
CLASSES, FEW = 10, 256
"""`FEW`: units of the hidden dense layers in place of 4,096, whose size is compared apart."""


@torch.no_grad()
def carry_over(ours: Network, peer: nn.Module) -> None:
    """Our weights in the peer. What 2012 halves in test (×keep behind a dropout), torch doubles in training: so the
    weights that read it are halved for the peer in test."""
    for mine, theirs in zip(ours.parameters(), peer.parameters(), strict=True):
        theirs.copy_(mine)
    rows = ours.table.rows
    weights = dict(zip((name for name, _ in ours.named_parameters()), peer.parameters(), strict=True))
    for row, reader in pairwise(rows):
        if isinstance(row, Dropout) and row.kind == "2012":
            weights[f"{reader.name}.weight"].mul_(row.keep)


@pytest.mark.parametrize("name", NETS)
def test_a_peer_has_our_parameters(name: str) -> None:
    with torch.device("meta"):
        peer = NETS[name][0](CLASSES)
    layers = trace(with_classes(ZOO[name], CLASSES))
    assert sum(weight.numel() for weight in peer.parameters()) == sum(layer.parameters for layer in layers)


@pytest.mark.parametrize("name", NETS)
def test_a_peer_s_logits_and_gradients_are_ours(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "UNITS", FEW)
    make, side = NETS[name]
    table = ZOO[name] if name.startswith("cifar") else change(ZOO[name], "fc6", "fc7", units=FEW)
    ours, peer = build(table, CLASSES).double().eval(), make(CLASSES).double().eval()  # rounding decides no maximum
    with torch.no_grad():
        for weight in ours.parameters():  # twice as loud, so that what the norms do is heard in the logits
            weight.mul_(2)
    carry_over(ours, peer)
    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 60
    mine, theirs = ours(x), peer(x)
    scale = mine.abs().max()
    assert (mine[0] - mine[1]).abs().max() > 0.01 * scale, "the logits must depend on the picture"
    assert (mine - theirs).abs().max() <= 1e-4 * scale
    labels = torch.tensor([1, 2])
    first = [
        torch.autograd.grad(F.cross_entropy(logits, labels), next(net.parameters()))[0]
        for logits, net in ((mine, ours), (theirs, peer))
    ]
    assert (first[0] - first[1]).abs().max() <= 1e-3 * first[0].abs().max()


@pytest.mark.parametrize("setting", networks.SETTINGS)
def test_a_step_learns_and_a_look_gives_probabilities(setting: str) -> None:
    torch.manual_seed(0)
    x, labels = torch.randn(8, 3, 32, 32) * 10, torch.arange(8) % CLASSES
    peer = Peer.of(networks.cifar(CLASSES), x, labels, setting)
    for group in peer.optimiser.param_groups:
        group["lr"] = 0.01
    losses = [peer.learn() for _ in range(12)]
    assert losses[-1] < losses[0]
    probabilities = peer.look()
    assert probabilities.dtype == torch.float32
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(8))


def test_the_column_norm_stays_inside_its_column() -> None:
    x = torch.zeros(1, 8, 2, 2)
    x[:, 3] = 100.0  # the last map of the first column
    x[:, 4] = 1.0
    found = networks.ColumnNorm(2, 5, 1e-2, 0.75, 2.0)(x)
    assert found[0, 4, 0, 0] == pytest.approx(1.0 / (2 + 1e-2 * 1) ** 0.75)
    assert found[0, 3, 0, 0] == pytest.approx(100.0 / (2 + 1e-2 * 1e4) ** 0.75)
