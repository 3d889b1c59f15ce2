"""The choice of precision: accurate, repeatable, fp32 where bf16 is inaccurate."""

import pytest
import torch
from torch import nn

from alexnet.nets.layers import Convolution, FullyConnected
from alexnet.nets.network import build
from alexnet.train import precision

CPU = torch.device("cpu")


def test_as_asked() -> None:
    assert precision.choose(build("toy"), CPU, "bf16").precision == "bf16"
    assert precision.choose(build("toy"), CPU, "fp32").precision == "fp32"


def test_a_small_network_is_not_tried() -> None:
    assert "too small" in precision.choose(build("toy"), CPU, "auto").reason


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """All layers are tried, also where the hardware makes bf16 hopelessly slow."""
    monkeypatch.setattr(precision, "HOPELESS_GAIN", 0.0)


@pytest.mark.usefixtures("patient")
def test_a_wrong_layer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build("alexnet", 10, width=0.25)
    layer = network.get_submodule("conv3")
    plain = layer.forward
    monkeypatch.setattr(layer, "forward", lambda x: plain(x) * (1.1 if x.dtype == torch.bfloat16 else 1))
    choice = precision.choose(network, CPU, "auto")
    assert choice.precision == "fp32"
    assert "bf16 is inaccurate here: conv3 is off by" in choice.reason


@pytest.mark.usefixtures("patient")
def test_a_layer_that_gives_nan_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build("alexnet", 10, width=0.25)
    layer = network.get_submodule("conv3")
    plain = layer.forward
    monkeypatch.setattr(layer, "forward", lambda x: plain(x) * (float("nan") if x.dtype == torch.bfloat16 else 1))
    assert "bf16 is inaccurate here: conv3" in precision.choose(network, CPU, "auto").reason


def test_a_disturbed_trial_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program that slows the first round down must not cost a run its speed."""
    network = build("alexnet", 10, width=0.25)
    trials = iter(range(1000))
    layers = sum(1 for module in network.modules() if isinstance(module, Convolution | FullyConnected))

    def disturbed(_m: nn.Module, _s: object, _d: object, dtype: torch.dtype) -> precision._Trial:
        slow = next(trials) < 2 * layers
        return precision._Trial((torch.ones(1),), 3.0 if dtype == torch.float32 or slow else 1.0)

    monkeypatch.setattr(precision, "_try", disturbed)
    choice = precision.choose(network, CPU, "auto")
    assert choice.precision == "bf16"
    assert choice.reason.startswith("accurate and 3.0×")


def test_without_hardware_for_bf16_one_layer_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[nn.Module] = []

    def slow(module: nn.Module, _s: object, _d: object, dtype: torch.dtype) -> precision._Trial:
        tried.append(module)
        return precision._Trial((torch.ones(1),), 1.0 if dtype == torch.float32 else 10.0)

    monkeypatch.setattr(precision, "_try", slow)
    assert "slower here (0.10× fp32)" in precision.choose(build("alexnet", 10, width=0.25), CPU, "auto").reason
    assert len(set(tried)) == 1


@pytest.mark.parametrize(("gain", "chosen"), [(1.1, "fp32"), (1.3, "bf16")])
def test_bf16_must_be_clearly_faster(monkeypatch: pytest.MonkeyPatch, gain: float, chosen: str) -> None:
    seconds = {torch.float32: gain, torch.bfloat16: 1.0}
    result = (torch.ones(1),)
    monkeypatch.setattr(precision, "_try", lambda _m, _s, _d, dtype: precision._Trial(result, seconds[dtype]))
    assert precision.choose(build("alexnet", 10, width=0.25), CPU, "auto").precision == chosen
