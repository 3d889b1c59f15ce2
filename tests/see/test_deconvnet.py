"""The deconvnet against a projection by hand, the three methods against autograd, and the whole way down as the
transpose of the way up."""

from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from made_networks import noise, small
from torch import Tensor

from alexnet.errors import UserError
from alexnet.nets.network import Network
from alexnet.nets.table import Activation, Conv, Dense, Norm, Pool, Table
from alexnet.see.deconvnet import RULES, Method, descend, project
from alexnet.see.forward_pass import run_forward
from alexnet.see.local import MapPatch
from alexnet.see.units import Unit, box_of, strongest_units

ZOO = ["toy", "alexnet", "alexnet-145", "alexnet-4col", "alexnet-nocomm", "alexnet-tanh", "zfnet", "torchvision"]
ZOO += ["alexnet-owt", "alexnet-bn", "cifar-11pct", "cifar-18pct"]


def all_of(count: int) -> Tensor:
    return torch.arange(count)


def test_by_hand() -> None:
    """One filter of 2×2 that slides over 5×5, ReLU, pools of 3/2 that overlap; one map in each colour's stead."""
    table = Table("by hand", (Conv("c", 1, 2, std=1), Activation("r"), Pool("p", 2, 1), Conv("d", 1, 2)), input_size=4)
    network = Network(table).double().eval()
    c, d = torch.tensor([[1.0, -1.0], [2.0, 0.5]]), torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    with torch.no_grad():
        network.get_parameter("c.weight").copy_(c.expand(1, 3, 2, 2))
        network.get_parameter("d.weight").copy_(d.expand(1, 1, 2, 2))
        network.get_parameter("c.bias").zero_()
        network.get_parameter("d.bias").zero_()
    picture = torch.zeros(1, 3, 4, 4, dtype=torch.double)
    picture[0, 0] = torch.tensor([[1.0, 2, 0, 1], [0, 3, 1, 0], [2, 0, 1, 4], [1, 1, 0, 2]])
    # Up by hand: conv of 4×4 → 3×3, ReLU, max over 2×2 → 2×2, conv → 1.
    up = torch.zeros(3, 3, dtype=torch.double)
    for y in range(3):
        for x in range(3):
            up[y, x] = max(0.0, float((picture[0, 0, y : y + 2, x : x + 2] * c).sum()))
    # Down by hand: activation times d, each value to where the maximum of its 2×2 stood, ReLU, c laid at each place.
    pooled = {
        (y, x): max((float(up[y + i, x + j]), -i, -j) for i in (0, 1) for j in (0, 1)) for y in (0, 1) for x in (0, 1)
    }
    activation = sum(pooled[y, x][0] * float(d[y, x]) for y in (0, 1) for x in (0, 1))
    unpooled = torch.zeros(3, 3, dtype=torch.double)
    for (y, x), (_, i, j) in pooled.items():
        unpooled[y - i, x - j] += activation * d[y, x]
    expected = torch.zeros(4, 4, dtype=torch.double)
    for y in range(3):
        for x in range(3):
            expected[y : y + 2, x : x + 2] += max(0.0, float(unpooled[y, x])) * c
    seen = project(run_forward(network, picture), [Unit("d", 0, 0, 0)])
    assert float(seen.values[0]) == pytest.approx(activation)
    for colour in range(3):
        torch.testing.assert_close(seen.pixels[0, colour].double(), expected)


@pytest.mark.parametrize("name", [name for name in ZOO if name != "alexnet-bn"])  # its norm works in float32
def test_the_gradient_is_autograd_s_and_guided_only_drops_what_is_negative(name: str) -> None:
    network = small(name).double()
    picture = noise(2, network.input_size).double().requires_grad_()
    layer = [row.name for row in network.table.weighted][-2]
    passed = run_forward(network, picture.detach())
    channels = [1, 2, 3]
    for number in (0, 1):
        units = [Unit(layer, c) for c in channels]
        found = project(passed, units, [number] * 3, method="gradient").pixels
        for unit, pixels in zip(units, found, strict=True):
            total = network.activations(picture)[layer][number, unit.channel].sum()
            (expected,) = torch.autograd.grad(total, picture)
            torch.testing.assert_close(
                pixels, expected[number].float(), rtol=1e-4, atol=1e-6 * float(expected.abs().max())
            )
            assert float(expected.abs().max()) > 0, "the test's signal must not die"


@pytest.mark.parametrize("name", ["toy", "alexnet", "alexnet-4col", "torchvision", "zfnet"])
@torch.no_grad()
def test_the_way_down_is_the_transpose_of_the_way_up(name: str) -> None:
    """With switches and masks of one picture held, the network is linear: ⟨A x, y⟩ = ⟨x, Aᵀ y⟩ in float64."""
    network = small(name).double()
    for weight in network.parameters():
        if weight.ndim == 1:
            weight.data.zero_()
    picture = noise(1, network.input_size, seed=1).double()
    layer = network.table.weighted[-2].name
    passed = run_forward(network, picture)
    y = torch.randn(1, *passed[layer].shape[1:], generator=torch.Generator().manual_seed(1), dtype=torch.double)
    down = descend(passed, layer, MapPatch.whole(y), all_of(1), RULES["gradient"])
    step = noise(1, network.input_size, seed=2).double() * 1e-7
    moved = network.activations(picture + step)[layer] - passed[layer]
    assert float((moved * y).sum()) == pytest.approx(float((step * down.double()).sum()), rel=1e-3)


@pytest.mark.parametrize("method", list(RULES))
def test_methods_are_lines_of_one_table(method: Method) -> None:
    """Written out once more, row by row, for a net of conv, ReLU, norm, pool, conv, ReLU."""
    rows = (Conv("a", 4, 3), Activation("ra"), Norm("n", alpha=1e-2), Pool("p"), Conv("b", 4, 3), Activation("rb"))
    network = small_of(rows, 15)
    picture = noise(1, 15).double()
    passed = run_forward(network, picture)
    unit = strongest_units(network, passed["rb"], "rb", [2])[0]
    found = project(passed, [unit], method=method).pixels.double()
    a, b = (network.get_parameter(f"{name}.weight").detach() for name in "ab")
    signal = torch.zeros_like(passed["rb"])
    start = float(passed["rb"][0, 2, unit.row, unit.column]) if method == "deconvnet" else 1.0
    signal[0, 2, unit.row, unit.column] = start
    rules = {"deconvnet": (True, False), "guided": (True, True), "gradient": (False, True)}[method]

    def relu(down: Tensor, up: Tensor) -> Tensor:
        down = down.clamp_min(0) if rules[0] else down
        return down * (up > 0) if rules[1] else down

    signal = F.conv_transpose2d(relu(signal, passed["b"]), b)
    flat = torch.zeros(1, 4, 13 * 13, dtype=torch.double)
    switches = passed.activations.switches["p"]
    for c in range(4):
        for position, value in zip(switches[0, c].flatten(), signal[0, c].flatten(), strict=True):
            flat[0, c, position] += value
    signal = flat.view(1, 4, 13, 13)
    if method != "deconvnet":
        x = passed["ra"].clone().requires_grad_()
        (signal,) = torch.autograd.grad(network.get_submodule("n")(x), x, signal)
    expected = F.conv_transpose2d(relu(signal, passed["a"]), a)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()))


def small_of(rows: tuple[object, ...], size: int) -> Network:
    network = Network(Table("made here", rows, size)).double().eval()  # type: ignore[arg-type]
    for number, weight in enumerate(network.parameters()):
        generator = torch.Generator().manual_seed(number)
        weight.data = torch.randn(weight.shape, generator=generator, dtype=torch.double) * 0.2
    return network


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("method", list(RULES))
def test_every_layer_of_every_kind_of_network_goes_down(name: str, method: Method) -> None:
    """Nothing reaches outside the unit's box, and what a batch gives is what each picture gives alone."""
    network = small(name)
    pictures = noise(2, network.input_size)
    both, second = run_forward(network, pictures), run_forward(network, pictures[1:])
    for layer in network.layers:
        units = strongest_units(network, second[layer.row.name], layer.row.name, 2)
        found = project(both, units, [1] * len(units), method=method)
        alone = project(second, units, method=method)
        scale = float(alone.pixels.abs().max())
        torch.testing.assert_close(found.pixels, alone.pixels, rtol=1e-3, atol=1e-3 * scale)
        assert torch.isfinite(found.pixels).all()
        for pixels, unit in zip(found.pixels, units, strict=True):
            left, top, right, bottom = box_of(network, unit)
            outside = pixels.clone()
            outside[:, top:bottom, left:right] = 0
            assert not outside.any(), layer.row.name


@pytest.mark.parametrize("name", ["alexnet", "alexnet-145", "zfnet", "torchvision", "toy"])
@pytest.mark.parametrize("method", list(RULES))
@pytest.mark.parametrize("overlap", ["add", "overwrite"])
@torch.no_grad()
def test_parts_of_maps_give_what_whole_maps_give(
    name: str, method: Method, overlap: Literal["add", "overwrite"]
) -> None:
    """Units in corners, at edges and inside, of two pictures, against their signals on whole maps."""
    network = small(name).double()
    passed = run_forward(network, noise(2, network.input_size).double())
    for layer in network.layers:
        if layer.leaving.side == 1:
            continue
        last = layer.leaving.side - 1
        positions = [(0, 0), (0, last), (last, last // 2), (last // 2, 0), (last // 2, last // 2), (last, last)]
        units = [
            Unit(layer.row.name, number % layer.leaving.maps, *position) for number, position in enumerate(positions)
        ]
        of = torch.arange(len(units)) % 2
        signal = torch.zeros(len(units), *passed[layer.row.name].shape[1:], dtype=torch.double)
        for number, unit in enumerate(units):
            position = (unit.channel, unit.row, unit.column)
            value = passed[layer.row.name][(int(of[number]), *position)] if method == "deconvnet" else 1.0
            signal[(number, *position)] = value
        expected = descend(passed, layer.row.name, MapPatch.whole(signal), of, RULES[method], overlap)
        found = project(passed, units, of.tolist(), method=method, overlap=overlap).pixels
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()))


def test_norms_and_overlaps_by_name() -> None:
    network = small("toy")
    passed = run_forward(network, noise(1, 32))
    unit = strongest_units(network, passed["conv5"], "conv5", 1)
    plain = project(passed, unit).pixels
    assert not torch.equal(plain, project(passed, unit, norms="adjoint").pixels)
    overwritten = project(passed, unit, overlap="overwrite").pixels
    assert overwritten.shape == plain.shape
    assert not torch.equal(plain, overwritten)


def test_a_whole_map_is_the_sum_of_its_units_where_nothing_is_rectified() -> None:
    network = small("toy").double()
    passed = run_forward(network, noise(1, 32).double())
    whole = project(passed, [Unit("relu5", 3)], method="gradient").pixels
    side = network.layer("relu5").leaving.side
    units = [Unit("relu5", 3, y, x) for y in range(side) for x in range(side)]
    torch.testing.assert_close(
        whole[0], project(passed, units, method="gradient").pixels.sum(dim=0), rtol=1e-4, atol=1e-8
    )


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        (Unit("conv9", 0), "has no layer 'conv9'. It has: conv1, relu1"),
        (Unit("conv5", 32), "conv5 has no map 32; it has 32: 0 … 31."),
        (Unit("conv5", 1, 9, 0), "conv5's maps have no position 9,0; rows and columns are 0 … 2"),
    ],
)
def test_what_there_is_not_is_named(unit: Unit, message: str) -> None:
    passed = run_forward(small("toy"), noise(1, 32))
    with pytest.raises(UserError, match=message):
        project(passed, [unit])


def test_layers_behind_missing_weights_are_refused() -> None:
    network = small("toy")
    network.missing_layers = ("fc6",)
    passed = run_forward(network, noise(1, 32))
    assert list(passed.activations.maps)[-1] == "pool5"
    with pytest.raises(UserError, match=r"fc7 can't be computed: the weights of fc6 are missing .* up to pool5 can"):
        project(passed, [Unit("fc7", 0)])
    with pytest.raises(UserError, match="fc8 can't be computed"):
        network(noise(1, 32))
    with pytest.raises(UserError, match="fc8 can't be computed"):
        _ = passed.probabilities
    assert Dense  # the table's rows are what is missing, not the table


def test_captum_s_methods_agree_where_their_assumptions_hold() -> None:
    """captum's Deconvolution and GuidedBackprop hook nn.ReLU modules and leave all else to autograd: the same table
    without norms, started with 1."""
    attr = pytest.importorskip("captum.attr", reason="captum is not installed (pip install captum)")
    from torch import nn

    rows = (Conv("a", 4, 3), Activation("ra"), Pool("p"), Conv("b", 6, 3), Activation("rb"), Dense("c", 3))
    network = small_of(rows, 15)
    plain = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(6 * 16, 3),
    ).double()  # fmt: skip
    plain.load_state_dict(dict(zip(plain.state_dict(), network.state_dict().values(), strict=True)))
    # Independent pixels: at the edges of smooth noise values are equal, and which one a pool takes is rounding.
    picture = torch.randn(1, 3, 15, 15, dtype=torch.double, generator=torch.Generator().manual_seed(0)) * 60
    passed = run_forward(network, picture)
    unit = int(passed["c"][0].argmax())  # positive: what is below 0 comes down as nothing
    for method, theirs in (("guided", attr.GuidedBackprop), ("deconvnet", attr.Deconvolution)):
        with pytest.warns(UserWarning, match="Setting backward hooks on ReLU"):
            expected = theirs(plain).attribute(picture.clone().requires_grad_(), target=unit)
        found = project(passed, [Unit("c", unit)], method=method).pixels.double()
        found = found / float(passed["c"][0, unit]) if method == "deconvnet" else found
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)
