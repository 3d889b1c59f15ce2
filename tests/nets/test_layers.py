"""Layers against independent references, and each adjoint against its layer: ⟨A x, y⟩ = ⟨x, Aᵀ y⟩."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.geometry import Window
from alexnet.kernels import strided_convolution
from alexnet.nets.dropout import DropoutLayer, Position, uniform_by_position
from alexnet.nets.layers import (
    Convolution,
    FullyConnected,
    LocallyConnected,
    MaxPool,
    adjoint,
    unpool,
)
from alexnet.nets.network import Network, build
from alexnet.nets.table import Activation, Conv, Dense, Dropout, Local, Norm, Pool, SpatialNorm, Table

torch.manual_seed(0)


def double(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def network_of(*rows: object, columns: int = 1, size: int = 9) -> Network:
    network = Network(Table("made here", rows, size, columns)).double()  # type: ignore[arg-type]
    for place, weight in enumerate(network.parameters()):
        weight.data = double(tuple(weight.shape), seed=place)
    return network


THREE_OF_FOUR = ((0, 1, 2), (1, 0, 3), (2, 3, 0), (3, 2, 1))


@pytest.mark.parametrize("reads", ["all", "own", THREE_OF_FOUR])
def test_columns_read_what_their_wiring_names(reads: object) -> None:
    """Against one dense convolution and one dense layer in which the weights between strangers are zero."""
    rows = (Conv("a", 8, 3, padding=1), Conv("b", 12, 3, padding=1, reads=reads), Dense("c", 16, reads=reads))  # type: ignore[arg-type]
    network = network_of(*rows, columns=4, size=5)
    wires = (
        THREE_OF_FOUR
        if isinstance(reads, tuple)
        else {"all": ((0, 1, 2, 3),) * 4, "own": ((0,), (1,), (2,), (3,))}[reads]
    )  # type: ignore[index]
    picture = double((2, 3, 5, 5))
    seen = network.activations(picture)
    convolution, dense = network.get_submodule("b"), network.get_submodule("c")
    full = torch.zeros(12, 8, 3, 3, dtype=torch.double)
    full_dense = torch.zeros(16, 12 * 25, dtype=torch.double)
    for column, read in enumerate(wires):
        for place, below in enumerate(read):
            full[3 * column : 3 * column + 3, 2 * below : 2 * below + 2] = convolution.weight[  # type: ignore[index]
                3 * column : 3 * column + 3, 2 * place : 2 * place + 2
            ]
            full_dense[4 * column : 4 * column + 4, 75 * below : 75 * below + 75] = dense.weight[  # type: ignore[index]
                4 * column : 4 * column + 4, 75 * place : 75 * place + 75
            ]
    expected = F.conv2d(seen["a"], full, convolution.bias, padding=1)  # type: ignore[arg-type]
    torch.testing.assert_close(seen["b"], expected)
    torch.testing.assert_close(seen["c"], F.linear(expected.flatten(1), full_dense, dense.bias))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kernel", "stride", "before", "after", "size", "rounding"),
    [
        (11, 4, 0, 0, 224, "ceil"),
        (11, 4, 2, 2, 224, "floor"),
        (11, 4, 1, 2, 224, "ceil"),
        (7, 2, 0, 0, 37, "ceil"),
        (5, 2, 1, 1, 31, "floor"),
        (2, 3, 0, 0, 20, "ceil"),
        (4, 4, 0, 0, 19, "ceil"),
    ],
)
def test_a_convolution_by_space_to_depth_is_the_convolution(
    kernel: int, stride: int, before: int, after: int, size: int, rounding: str
) -> None:
    window = Window(kernel, stride, before, after, rounding)  # type: ignore[arg-type]
    picture, weight, bias = double((2, 3, size, size)), double((8, 3, kernel, kernel), 1), double((8,), 2)
    far = window.far_padding(size)
    expected = F.conv2d(F.pad(picture, (before, far, before, far)), weight, bias, stride)
    torch.testing.assert_close(strided_convolution(picture, weight, bias, window), expected)


def test_local_layers_have_weights_for_each_position() -> None:
    network = network_of(Local("local", 4, 3, padding=1), size=5)
    layer, picture = network.get_submodule("local"), double((2, 3, 5, 5))
    padded = F.pad(picture, (1, 1, 1, 1))
    found = layer(picture)
    for row in range(5):
        for column in range(5):
            patch = padded[:, :, row : row + 3, column : column + 3].flatten(1)
            position = 5 * row + column
            expected = patch @ layer.weight[position].T + layer.bias[position]  # type: ignore[index,union-attr]
            torch.testing.assert_close(found[:, :, row, column], expected)


def linear_part(module: nn.Module, switches: Tensor | None, x: Tensor) -> Tensor:
    if switches is not None:
        return x.flatten(2).gather(2, switches.flatten(2)).view_as(switches)
    return module(x) - module(torch.zeros_like(x))


@torch.no_grad()
@pytest.mark.parametrize(
    "name", ["toy", "alexnet", "alexnet-4col", "alexnet-nocomm", "zfnet", "torchvision", "cifar-11pct"]
)
def test_adjoints_of_linear_layers(name: str) -> None:
    network = build(name, 6, width=0.05 if name != "toy" else 1.0).double().eval()
    below = double((2, 3, network.input_size, network.input_size)) * 50
    seen = network.activations(below)
    for layer in network.layers:
        module, out = network.get_submodule(layer.row.name), seen[layer.row.name]
        if isinstance(module, Convolution | LocallyConnected | FullyConnected | MaxPool):
            x, y = double(tuple(below.shape), 5), double(tuple(out.shape), 6)
            forth = (linear_part(module, seen.switches.get(layer.row.name), x) * y).sum()
            back = (x * adjoint(module, y, below)).sum()
            assert float(forth) == pytest.approx(float(back), rel=1e-9), layer.row.name
        below = out


@pytest.mark.parametrize(
    "row",
    [
        Norm("n", size=3),
        SpatialNorm("n", size=3, alpha=0.1),
        Activation("n"),
        Activation("n", "tanh"),
        Activation("n", "sigmoid"),
    ],
)
def test_adjoints_of_curved_layers_are_their_derivatives(row: object) -> None:
    """Against the difference quotient."""
    network = network_of(Conv("c", 6, 1), row, columns=2, size=4)
    layer = network.get_submodule("n")
    x, step, y = double((1, 6, 4, 4), 1) * 5, double((1, 6, 4, 4), 2), double((1, 6, 4, 4), 3)
    quotient = (layer(x + 1e-6 * step) - layer(x - 1e-6 * step)) / 2e-6
    assert float((quotient * y).sum()) == pytest.approx(float((step * adjoint(layer, y, x)).sum()), rel=1e-6)


def test_normalisation_over_all_maps_is_finite_on_zeros() -> None:
    network = network_of(Conv("c", 6, 1), Norm("n", k=0, alpha=1, beta=0.5, size=11, span="all"), columns=2, size=4)
    layer = network.get_submodule("n")
    x = double((1, 6, 4, 4))
    x[0, :, 0, 0] = 0
    out = layer(x)
    assert torch.isfinite(out).all()
    ones = network_of(Conv("c", 6, 1), Norm("n", k=0, alpha=1, beta=1, size=6, span="all"), columns=2, size=4)
    expected = x / x.square().sum(dim=1, keepdim=True).clamp_min(1e-30)
    torch.testing.assert_close(ones.get_submodule("n")(x), expected)
    norms = out.square().sum(dim=1).sqrt()
    assert float(norms[0, 0, 0]) == 0
    torch.testing.assert_close(norms[0, 1:], torch.ones_like(norms[0, 1:]))


def test_max_pool_clips_its_last_window_and_keeps_switches() -> None:
    network = network_of(Conv("c", 2, 1), Pool("p", 3, 2), size=6)
    pool = network.get_submodule("p")
    assert isinstance(pool, MaxPool)
    x = double((1, 2, 6, 6))
    out, switches = pool.with_switches(x)
    assert out.shape == (1, 2, 3, 3)
    for row in range(3):
        for column in range(3):
            window = x[0, 1, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            assert out[0, 1, row, column] == window.max()
            assert x[0, 1].flatten()[switches[0, 1, row, column]] == window.max()


def test_unpool_adds_or_overwrites_where_windows_share_a_maximum() -> None:
    values = torch.tensor([[[[1.0, -3.0], [2.0, 4.0]]]])
    switches = torch.tensor([[[[4, 4], [4, 8]]]])
    added = unpool(values, switches, (3, 3))
    assert added.flatten().tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 4]
    assert unpool(values * torch.tensor([1, 1, 3, 1]).view(1, 1, 2, 2), switches, (3, 3))[0, 0, 1, 1] == 4
    overwritten = unpool(values, switches, (3, 3), "overwrite")
    assert overwritten.flatten().tolist() == [0, 0, 0, 0, -3, 0, 0, 0, 4]


@pytest.mark.parametrize("kind", ["2012", "inverted"])
def test_dropout_of_both_kinds(kind: str) -> None:
    network = network_of(Dense("d", 2000), Dropout("drop", kind=kind), size=2)  # type: ignore[arg-type]
    layer, x = network.get_submodule("drop"), torch.ones(3, 2000)
    assert isinstance(layer, DropoutLayer)
    layer.train()
    values = set(layer(x).unique().tolist())
    assert values == ({0.0, 1.0} if kind == "2012" else {0.0, 2.0})
    layer.eval()
    assert set(layer(x).unique().tolist()) == ({0.5} if kind == "2012" else {1.0})


def test_masks_are_functions_of_place() -> None:
    """The same picture has the same mask in any batch and any order; seeds, epochs, layers and pictures differ."""
    pictures = torch.tensor([5, 0, 1_281_166])
    here = uniform_by_position(Position(1, 2, pictures), "dropout6", 500)
    alone = uniform_by_position(Position(1, 2, pictures[2:]), "dropout6", 500)
    assert torch.equal(here[2:], alone)
    others = [
        uniform_by_position(Position(2, 2, pictures), "dropout6", 500),
        uniform_by_position(Position(1, 3, pictures), "dropout6", 500),
        uniform_by_position(Position(1, 2, pictures), "dropout7", 500),
        uniform_by_position(Position(1, 2, pictures + 1), "dropout6", 500),
    ]
    for other in others:
        assert abs(np.corrcoef(here.flatten(), other.flatten())[0, 1]) < 0.1
    columns = uniform_by_position(Position(1, 2, torch.arange(400)), "dropout6", 400)  # made in several parts
    assert torch.equal(columns[390:], uniform_by_position(Position(1, 2, torch.arange(390, 400)), "dropout6", 400))
    assert float(columns.mean()) == pytest.approx(0.5, abs=0.005)
    assert float(columns.mean(dim=0).std()) == pytest.approx(1 / (12 * 400) ** 0.5, rel=0.15)
    assert float(columns.mean(dim=1).std()) == pytest.approx(1 / (12 * 400) ** 0.5, rel=0.15)
    kept = (columns < 0.5).double()
    assert abs(float((kept[:, 1:] * kept[:, :-1]).mean()) - 0.25) < 0.01


def test_the_last_layer_works_in_float32() -> None:
    network = build("toy", 12).eval().bfloat16().float()
    picture = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 60
    assert network(picture.bfloat16()).dtype == torch.float32
    assert network.activations(picture.bfloat16())["fc8"].dtype == torch.float32
    assert network.activations(picture.bfloat16())["fc7"].dtype == torch.bfloat16
