"""The zoo against the papers' numbers (docs/sources.md §2, §4 and §11)."""

import dataclasses
import json
from typing import Literal

import pytest
import torch

from alexnet.errors import UserError
from alexnet.nets import table, table_json
from alexnet.nets.init import initialise
from alexnet.nets.network import build
from alexnet.nets.table import Conv, Dense, Norm, Pool, with_classes, with_width
from alexnet.nets.trace import trace
from alexnet.nets.zoo import ZOO, find


def totals(name: str) -> tuple[int, int, int]:
    layers = trace(ZOO[name])
    units = sum(layer.leaving.units for layer in layers if isinstance(layer.row, Conv | Dense))
    return sum(layer.parameters for layer in layers), units, sum(layer.macs for layer in layers)


@pytest.mark.parametrize(
    ("name", "parameters", "units", "macs"),
    [
        ("alexnet", 60_965_224, 659_272, 724_406_816),
        ("alexnet-145", 60_965_224, 659_272, 724_406_816),
        ("alexnet-half", 59_798_312, None, 391_514_384),
        ("alexnet-conv6", 61_555_304, None, None),
        ("alexnet-nocomm", 60_714_408, None, None),
        ("alexnet-owt", 61_100_840, None, 714_188_480),
        ("torchvision", 61_100_840, None, 714_188_480),
        ("zfnet", 62_357_608, None, 1_168_032_896),
        ("zfnet-512", 107_627_624, None, 2_476_704_896),
        ("zfnet-fc2048", 28_848_232, None, None),
        ("zfnet-512-fc8192", 237_560_936, None, None),
    ],
)
def test_totals_are_the_published_ones(name: str, parameters: int, units: int | None, macs: int | None) -> None:
    found = totals(name)
    assert found[0] == parameters
    assert units is None or found[1] == units
    assert macs is None or found[2] == macs


def test_conv6_with_the_2009_classes() -> None:
    layers = trace(find("alexnet-conv6", 10_184))
    assert sum(layer.parameters for layer in layers) == 99_182_152


def sides(name: str) -> list[int]:
    layers = trace(ZOO[name])
    kept = [layer.leaving.side for layer in layers if isinstance(layer.row, Conv | Pool)]
    return [side for place, side in enumerate(kept) if place == 0 or side != kept[place - 1]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("alexnet", [55, 27, 13, 6]),
        ("zfnet", [110, 55, 26, 13, 6]),
        ("alexnet-pool2x2", [55, 28, 26, 13, 11, 6]),
        ("alexnet-227", [55, 27, 13, 6]),
        ("alexnet-pad2", [55, 27, 13, 6]),
        ("alexnet-pad12", [55, 27, 13, 6]),
        ("torchvision", [55, 27, 13, 6]),
        ("cifar-18pct", [32, 16, 8, 4]),
        ("cifar-13pct", [24, 12, 6]),
    ],
)
def test_map_sizes(name: str, expected: list[int]) -> None:
    assert sides(name) == expected


# docs/sources.md §9, activations aside: layer and size; the σ of the weighted ones.
CIFAR_NETS = {
    "cifar-80sec": ("conv32 max conv32 average conv64 average fc64 fc10", (1e-4, 0.01, 0.01, 0.1, 0.1)),
    "cifar-19pct": ("conv32 max conv32 average conv64 average fc10", (1e-4, 0.01, 0.01, 0.01)),
    "cifar-18pct": ("conv32 max rnorm conv32 average rnorm conv64 average fc10", (1e-4, 0.01, 0.01, 0.01)),
    "cifar-13pct": ("conv64 max conv64 max local32 local32 fc10", (1e-4, 0.01, 0.04, 0.04, 0.01)),
    "cifar-11pct": ("conv64 max cmrnorm conv64 cmrnorm max local64 local32 fc10", (1e-4, 0.01, 0.04, 0.04, 0.01)),
}


@pytest.mark.parametrize("name", CIFAR_NETS)
def test_the_cifar_nets_are_as_configured(name: str) -> None:
    layers, stds = CIFAR_NETS[name]
    said = {
        table.Conv: lambda row: f"conv{row.maps}",
        table.Local: lambda row: f"local{row.maps}",
        table.Dense: lambda row: f"fc{row.units}",
        table.Pool: lambda row: row.kind,
        table.Norm: lambda _: "cmrnorm",
        table.SpatialNorm: lambda _: "rnorm",
    }
    rows = [row for row in ZOO[name].rows if not isinstance(row, table.Activation)]
    assert " ".join(said[type(row)](row) for row in rows) == layers
    assert tuple(row.std for row in ZOO[name].weighted) == stds
    for row in rows:
        match row:
            case table.Conv():
                assert (row.kernel, row.stride, row.padding) == (5, 1, 2)
            case table.Local():
                assert (row.kernel, row.stride, row.padding) == (3, 1, 1)
            case table.Pool():
                assert (row.kernel, row.stride) == (3, 2)
            case table.Norm():  # its scale is divided by the size
                assert (row.size, row.alpha, row.beta, row.convention) == (9, 1e-3, 0.75, "mean")
            case table.SpatialNorm():
                assert (row.size, row.alpha, row.beta) == (3, 5e-5, 0.75)
            case _:
                pass


@pytest.mark.parametrize("name", sorted(ZOO))
def test_every_network_builds_and_gives_finite_logits(name: str) -> None:
    """Thin, with five classes: parameters as traced, logits of the right shape, forward equal to row by row."""
    network = build(name, 5, width=0.05 if name != "toy" else 1.0, seed=3).eval()
    traced = sum(layer.parameters for layer in network.layers)
    assert sum(weight.numel() for weight in network.parameters()) == traced
    pictures = (
        torch.randn(2, 3, network.input_size, network.input_size, generator=torch.Generator().manual_seed(0)) * 60
    )
    with torch.inference_mode():
        logits = network(pictures)
        rows = network.activations(pictures)
    assert logits.shape == (2, 5)
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(logits, rows[network.layers[-1].row.name], rtol=1e-4, atol=1e-5)
    pools = {row.name for row in network.table.rows if isinstance(row, Pool) and row.kind == "max"}
    assert set(rows.switches) == pools


@pytest.mark.parametrize("name", sorted(ZOO))
def test_a_table_survives_json(name: str) -> None:
    described = json.loads(json.dumps(table_json.to_json(ZOO[name])))
    assert table_json.from_json(described, "config.json") == ZOO[name]


def test_a_damaged_table_is_named() -> None:
    described = table_json.to_json(ZOO["toy"])
    described["rows"][0]["surprise"] = 1
    with pytest.raises(UserError, match=r"there\.json: its network table can't be read"):
        table_json.from_json(described, "there.json")


def test_unknown_names_get_neighbours() -> None:
    with pytest.raises(UserError, match=r"no network 'alexnet145'.*alexnet-145"):
        find("alexnet145")
    with pytest.raises(UserError, match=r"no layer 'conv9'. It has: conv1"):
        ZOO["alexnet"]["conv9"]


def test_classes_and_width() -> None:
    assert with_classes(ZOO["alexnet"], 7).classes == 7
    with pytest.raises(UserError, match="--classes 1"):
        with_classes(ZOO["alexnet"], 1)
    thin = with_width(ZOO["alexnet"], 0.25)
    assert [row.maps for row in thin.weighted if isinstance(row, Conv)] == [24, 64, 96, 96, 64]
    assert thin.classes == 1000
    for width in (0.0, -1.0, 17.0, float("nan")):
        with pytest.raises(UserError, match="--width"):
            with_width(ZOO["alexnet"], width)


def test_an_input_that_leaves_no_map_is_refused() -> None:
    with pytest.raises(UserError, match="conv1: a window of 11 leaves nothing"):
        build("alexnet", input_size=4)
    assert build("alexnet", width=0.05, input_size=64)(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)


def test_state_dict_keys_are_layer_names() -> None:
    keys = list(build("alexnet", 10, width=0.05).state_dict())
    assert keys == [
        f"{layer}.{kind}"
        for layer in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
        for kind in ("weight", "bias")
    ]


def test_the_authors_code_normalises_before_relu_in_layer_1_only() -> None:
    names = [row.name for row in ZOO["alexnet-145"].rows]
    assert names.index("norm1") < names.index("relu1") < names.index("pool1")
    assert names.index("relu2") < names.index("norm2") < names.index("spatial2") < names.index("pool2")
    norm = ZOO["alexnet-145"]["norm1"]
    assert isinstance(norm, Norm)
    assert norm.coefficient == pytest.approx(2e-5)
    printed = ZOO["alexnet"]["norm1"]
    assert isinstance(printed, Norm)
    assert printed.coefficient == 1e-4


@torch.no_grad()
def test_initialisations_follow_their_source_and_the_seed() -> None:
    code, again, other = (build("alexnet", 10, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(code.parameters(), again.parameters(), strict=True))
    assert not torch.equal(code.get_parameter("conv1.weight"), other.get_parameter("conv1.weight"))
    stds = {name: float(code.get_parameter(f"{name}.weight").std()) for name in ("conv1", "conv3", "conv5", "fc6")}
    assert stds == pytest.approx({"conv1": 0.01, "conv3": 0.03, "conv5": 0.03, "fc6": 0.01}, rel=0.05)
    biases = {name: float(code.get_parameter(f"{name}.bias")[0]) for name in ("conv1", "conv2", "conv3", "fc7", "fc8")}
    assert biases == {"conv1": 0, "conv2": 1, "conv3": 0, "fc7": 1, "fc8": 0}
    initialise(code, code.table, "paper", 1)
    assert float(code.get_parameter("conv3.weight").std()) == pytest.approx(0.01, rel=0.05)
    assert float(code.get_parameter("conv2.bias")[0]) == 1
    initialise(code, code.table, "zf", 1)
    assert float(code.get_parameter("conv2.bias")[0]) == 0


@pytest.mark.parametrize("init", ["code", "paper"])
def test_a_thin_net_hears_as_much(init: Literal["code", "paper"]) -> None:
    """The maps of a thin net are as lively at the start as the full net's, layer by layer."""
    pictures = torch.randn(4, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 60
    with torch.inference_mode():
        full, thin = (build("alexnet", 10, width=width, init=init).activations(pictures) for width in (1.0, 0.25))
    for name in ("conv2", "conv3", "conv5", "fc6", "fc7"):
        ratio = float((thin[name] - thin[name].mean()).std() / (full[name] - full[name].mean()).std())
        assert 0.6 < ratio < 1.6, name


def test_variants_differ_from_their_base_only_where_they_say() -> None:
    base, half = ZOO["alexnet"], ZOO["alexnet-half"]
    changed = {row.name for row in half.rows if dataclasses.asdict(row) != dataclasses.asdict(base[row.name])}
    assert changed == {"conv1", "conv2", "conv3", "conv4", "conv5"}
