"""Contributions against products by hand, and against autograd on networks written plainly with their masks fixed."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from made_networks import noise, small
from torch import Tensor

from alexnet.data.store.read import Store
from alexnet.drawing import blank_figure
from alexnet.errors import UsageError, UserError
from alexnet.measure.run import Run
from alexnet.nets.network import Network
from alexnet.nets.table import Activation, Conv, Dense, Table
from alexnet.see.contributions import Contribution, contributions, reader_of, split_over, usual_layers
from alexnet.see.forward_pass import ForwardPass, inputs_of, run_forward

ZOO = [
    "toy",
    "alexnet",
    "alexnet-nocomm",
    "alexnet-bn",
    "alexnet-tanh",
    "zfnet",
    "cifar-13pct",
    "cifar-18pct",
    "cifar-19pct",
]


@pytest.fixture(scope="module")
def picture(store: Store) -> np.ndarray:
    return store.splits["val"].pictures[7]


def class_signal(passed: ForwardPass, label: int) -> Tensor:
    signal = torch.zeros_like(passed[passed.network.last])
    signal.flatten(1)[0, label] = 1
    return signal


def split_of_class(passed: ForwardPass, label: int, layer: str) -> Contribution:
    network = passed.network
    found, _ = split_over(
        passed, class_signal(passed, label), len(network.layers) - 1, reader_of(network, layer), ["class"], layer
    )
    return found[0]


def test_the_last_layer_by_hand(run: Run, picture: np.ndarray) -> None:
    found = contributions(run, picture, target="angle1")
    passed = run_forward(run.network, inputs_of(run.viewer, torch.from_numpy(picture[None].copy())))
    weight, bias = (run.network.get_parameter(f"fc8.{name}").detach() for name in ("weight", "bias"))
    read = passed["dropout7"][0]
    top = found.layers[0]
    assert (top.layer, top.of, top.curved) == ("fc7", "angle1", ())
    torch.testing.assert_close(top.by_map, (weight[1] * read).double())
    assert top.biases == pytest.approx(float(bias[1]))
    assert found.answer == pytest.approx(float(passed["fc8"][0, 1]))
    assert max(map(abs, found.remainder.values())) < 1e-4
    order = (weight[1] * read).argsort(descending=True).tolist()
    assert top.strongest(3) == [*order[:3], *order[-3:]]
    difference = contributions(run, picture, target=1, against="angle3")
    torch.testing.assert_close(difference.layers[0].by_map, ((weight[1] - weight[3]) * read).double())
    assert difference.answer == pytest.approx(float(passed["fc8"][0, 1] - passed["fc8"][0, 3]), abs=1e-5)
    assert max(map(abs, difference.remainder.values())) < 1e-4
    assert contributions(run, picture).target == run.predict(picture, views=1).labels[0].name


@pytest.mark.parametrize("name", ZOO)
def test_units_and_biases_sum_to_the_logit(name: str) -> None:
    network = small(name)
    passed = run_forward(network, noise(1, network.input_size))
    for layer in usual_layers(network):
        found = split_of_class(passed, 2, layer)
        logit = float(passed[network.last].flatten(1)[0, 2])
        assert found.total == pytest.approx(logit, rel=1e-6)
        if not found.curved:
            assert abs(found.remainder) < 1e-4 * max(1.0, abs(logit), float(found.by_map.abs().sum()))
    assert usual_layers(network)[0] == network.table.weighted[-2].name
    assert bool(found.curved) == (name == "alexnet-tanh")


def plain_head(network: Network, entering: Tensor, masks: dict[str, Tensor]) -> dict[str, Tensor]:
    """fc6, fc7 and fc8 written plainly on what leaves pool5, linear: active units stay as they were found."""

    def dense(name: str, x: Tensor) -> Tensor:
        return F.linear(x, network.get_parameter(f"{name}.weight"), network.get_parameter(f"{name}.bias"))

    sixth = dense("fc6", entering.flatten(1)) * masks["fc6"] * 0.5
    seventh = dense("fc7", sixth) * masks["fc7"] * 0.5
    return {"fc7": seventh, "fc8": dense("fc8", seventh)}


def test_maps_add_gradient_times_activation_of_the_network_with_its_masks_fixed(run: Run, picture: np.ndarray) -> None:
    found = contributions(run, picture, target=0, strongest=4)
    passed = run_forward(run.network, inputs_of(run.viewer, torch.from_numpy(picture[None].copy())))
    masks = {name: (passed[name] > 0).float() for name in ("fc6", "fc7")}
    pooled = passed["pool5"].clone().requires_grad_()
    plain = plain_head(run.network, pooled, masks)
    (slope,) = torch.autograd.grad(plain["fc8"][0, 0], pooled, retain_graph=True)
    maps = found.layers[1]
    assert maps.layer == "conv5"
    torch.testing.assert_close(maps.added, (slope * pooled)[0].detach(), rtol=1e-4, atol=1e-5)
    weight = run.network.get_parameter("fc8.weight").detach()[0]
    assert list(found.paths) == found.layers[0].strongest(4)
    for unit, path in found.paths.items():
        (slope,) = torch.autograd.grad(weight[unit] * plain["fc7"][0, unit], pooled, retain_graph=True)
        torch.testing.assert_close(path.added, (slope * pooled)[0].detach(), rtol=1e-4, atol=1e-5)
        assert path.total == pytest.approx(float(found.layers[0].by_map[unit]), rel=1e-5)
        assert abs(path.remainder) < 1e-4


def test_pools_and_norms_on_the_way_are_crossed_by_their_derivative() -> None:
    """conv2 of the toy is read past its norm and pool; conv1's way crosses norm2 too, which leaves a remainder."""
    network = small("toy").double()
    passed = run_forward(network, noise(1, network.input_size).double())
    for layer, entering, curved in (("conv2", "pool2", ()), ("conv1", "pool1", ("norm2",))):
        found = split_of_class(passed, 1, layer)
        read = passed[entering].clone().requires_grad_()
        steps = network.order[network.order.index(entering) + 1 :]
        x = read
        for name in steps:
            x = network.get_submodule(name)(x)
        (slope,) = torch.autograd.grad(x[0, 1], read)
        torch.testing.assert_close(found.added, (slope * read)[0].detach().float(), rtol=1e-4, atol=1e-6)
        assert found.curved == curved
        assert (abs(found.remainder) < 1e-5) == (not curved)


def test_a_last_layer_that_reads_maps_directly() -> None:
    rows = (Conv("conv1", 6, 5, stride=2, std=0.02), Activation("relu1"), Dense("fc2", 3, std=0.1))
    network = Network(Table("linear head", rows, input_size=15)).eval()
    torch.manual_seed(0)
    for module in network.children():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    passed = run_forward(network, noise(1, 15))
    assert usual_layers(network) == ["conv1"]
    found = split_of_class(passed, 2, "conv1")
    weight = network.get_parameter("fc2.weight").detach()[2].view(6, 6, 6)
    torch.testing.assert_close(found.added, weight * passed["relu1"][0])
    assert abs(found.remainder) < 1e-4


def test_with_a_store_the_maps_on_the_paths_are_shown(run: Run, store: Store, picture: np.ndarray) -> None:
    found = contributions(run, picture, store=store.splits["val"], strongest=2)
    assert list(found.patches) == found.layers[1].strongest(2)
    assert {patch.unit.layer for some in found.patches.values() for patch in some} == {"conv5"}
    told = found.as_json()
    assert told["layers"][0]["remainder"] == pytest.approx(0, abs=1e-4)
    assert "of it through conv5" in found.describe()
    figure = blank_figure(6, 4)
    assert found.plot(ax=figure.add_subplot()) is figure


def test_what_can_t_be_split(run: Run, picture: np.ndarray) -> None:
    with pytest.raises(UsageError, match="fc8: the last layer gives the answer itself; name one below it"):
        contributions(run, picture, layers=["fc8"])
    with pytest.raises(UserError, match="relu5 has no weights; an answer is split over layers with weights: conv1"):
        contributions(run, picture, layers=["relu5"])
    with pytest.raises(UserError, match="has no layer 'conv9'"):
        contributions(run, picture, layers=["conv9"])
    with pytest.raises(UsageError, match=r"there is no class 'zebra'\. The run's classes are: angle0"):
        contributions(run, picture, against="zebra")
    with pytest.raises(UsageError, match="'angle1' against itself: name another class"):
        contributions(run, picture, target="angle1", against=1)
    with pytest.raises(UserError, match="linear has no layer below its last one"):
        usual_layers(Network(Table("linear", (Dense("fc1", 3),), input_size=4)))
