"""Convolution by tiles against float64, and where it steps aside."""

import pytest
import torch
import torch.nn.functional as F

from alexnet import kernels
from alexnet.kernels import winograd

CASES = [
    # maps below, above, side, groups, kernel, padding, pictures
    pytest.param(6, 4, 13, 2, 3, 1, 3, id="conv4"),
    pytest.param(16, 24, 27, 2, 5, 2, 10, id="conv2, more than are worked on at a time"),
    pytest.param(3, 1, 5, 1, 5, 0, 1, id="one place"),
    pytest.param(9, 17, 11, 1, 3, 2, 2, id="wide padding, odd numbers of maps"),
    pytest.param(8, 8, 4, 4, 3, 0, 1, id="less than a tile"),
]


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("below", "above", "side", "groups", "kernel", "padding", "pictures"), CASES)
def test_up_and_down(
    below: int, above: int, side: int, groups: int, kernel: int, padding: int, pictures: int, order: torch.memory_format
) -> None:
    if not kernels.available().startswith("compiled"):
        pytest.skip(kernels.available())
    x = noise(pictures, below, side, side).contiguous(memory_format=order)
    weight, bias = noise(above, below // groups, kernel, kernel).contiguous(memory_format=order), noise(above)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), padding=padding, groups=groups)
    y = noise(*expected.shape).contiguous(memory_format=order)
    back = F.conv_transpose2d(y.double(), weight.double(), padding=padding, groups=groups)
    with torch.no_grad(), winograd.in_use():
        found = x
        for _ in range(2):
            found = kernels.convolution(x, weight, bias, stride=1, padding=padding, groups=groups)
            torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5 * float(expected.abs().max()))
            down = kernels.convolution_transpose(y, weight, stride=1, padding=padding, groups=groups)
            torch.testing.assert_close(down.double(), back, rtol=0, atol=2e-5 * float(back.abs().max()))
    assert not torch.equal(found, F.conv2d(x, weight, bias, padding=padding, groups=groups)), "tiles were not used"


@pytest.mark.parametrize("case", ["outside", "gradients", "bf16", "kernel", "stride", "reference"])
def test_where_it_steps_aside(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, stride = 2 if case == "kernel" else 3, 2 if case == "stride" else 1
    dtype = torch.bfloat16 if case == "bf16" else torch.float32
    x, weight, bias = (some.to(dtype) for some in (noise(1, 4, 9, 9), noise(4, 4, kernel, kernel), noise(4)))
    monkeypatch.setattr(winograd, "convolution", None)
    if case == "reference":
        monkeypatch.setattr(kernels, "_decide", lambda _: (kernels.reference, "reference"))
    with torch.set_grad_enabled(case == "gradients"):
        if case == "outside":
            found = kernels.convolution(x, weight, bias, stride=1, padding=1)
        else:
            with winograd.in_use():
                found = kernels.convolution(x, weight, bias, stride=stride, padding=1)
                kernels.convolution_transpose(x, weight, stride=stride, padding=1)
    assert torch.equal(found, F.conv2d(x, weight, bias, stride, 1))
