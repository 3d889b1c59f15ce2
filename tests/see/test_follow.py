"""One number followed through every kind of row: each step's formula gives what the network gave."""

import pytest
import torch
from made_networks import noise, small
from torch import nn

from alexnet.errors import UsageError
from alexnet.nets.network import Network
from alexnet.see.follow import PICTURE, Change, Step, changed, follow, readers_of, step_of
from alexnet.see.forward_pass import ForwardPass, run_forward
from alexnet.see.units import Unit

NETWORKS = ["toy", "alexnet", "alexnet-4col", "alexnet-bn", "alexnet-145", "torchvision", "bvlc-alexnet"]
CIFAR = ["cifar-13pct", "cifar-18pct", "cifar-19pct"]
"""Between them: columns that read their own, all, three of four; both dropouts, norms over a column and over all maps,
inside a map, batch norm, average pools, local rows, tanh."""


def looked(name: str) -> ForwardPass:
    network = small(name)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 2)
            torch.nn.init.uniform_(module.bias, -1, 1)
            module.get_buffer("running_mean").uniform_(-1, 1)
            module.get_buffer("running_var").uniform_(0.5, 2)
    return run_forward(network, noise(1, network.input_size))


@pytest.fixture(scope="module", params=[*NETWORKS, "alexnet-tanh", *CIFAR])
def passed(request: pytest.FixtureRequest) -> ForwardPass:
    return looked(request.param)


def near(passed: ForwardPass, layer: str, value: float) -> object:
    """To float32 rounding of a sum whose terms are as large as the row's largest value."""
    return pytest.approx(value, rel=1e-5, abs=2e-6 * float(passed[layer].abs().max()))


def test_every_row_by_its_formula_is_what_the_network_gave(passed: ForwardPass) -> None:
    chance = torch.Generator().manual_seed(1)
    for index, layer in enumerate(passed.network.layers):
        name, side = layer.row.name, layer.leaving.side
        for corner in (0, side - 1, None):
            channel = int(torch.randint(layer.leaving.maps, (), generator=chance))
            row, column = (int(torch.randint(side, (), generator=chance)) for _ in "rc")
            at = (row, column) if corner is None else (corner, corner)
            step = step_of(passed, index, Unit(name, channel, *(at if passed[name].ndim == 4 else ())))
            assert step.computed() == near(passed, name, step.value), (name, at)


def test_a_path_joins_the_picture_to_a_class(passed: ForwardPass) -> None:
    network = passed.network
    middle = network.layers[len(network.layers) // 2].row.name
    path = follow(passed, Unit(middle, 1))
    assert [step.unit.layer for step in path.steps] == [layer.row.name for layer in network.layers]
    assert path.steps[0].below == PICTURE
    for below, step in zip(path.steps, path.steps[1:], strict=False):
        place = step.place_of(below.unit)
        assert place is not None
        assert float(step.inputs[place]) == pytest.approx(below.value)
    assert path.steps[-1].unit.channel == int(passed.probabilities[0].argmax())


def test_readers_are_those_to_which_the_number_adds_most(passed: ForwardPass) -> None:
    path = follow(passed, Unit(passed.network.layers[0].row.name, 0))
    for n, step in enumerate(path.steps[1:], 1):
        below = path.steps[n - 1]
        for one in path.readers[below.unit.layer]:
            reading = step_of(passed, n, one.unit, below.unit)
            if reading.weights is not None:
                assert one.effect == pytest.approx(float(reading.products[reading.place]), rel=1e-5)
        if step.weights is not None and step.inputs.shape[1:] == (1, 1):  # a dense row: by hand, over all its units
            module = passed.network.get_submodule(step.unit.layer)
            if isinstance(module, nn.Linear):
                products = module.weight.detach()[:, below.unit.channel] * below.value
                found = [one.effect for one in readers_of(passed, n, below.unit)]
                assert found[0] == pytest.approx(float(products[products.abs().argmax()]), rel=1e-5)


def test_a_path_through_named_units(passed: ForwardPass) -> None:
    network = passed.network
    last = network.layers[-1].row.name
    path = follow(passed, Unit(network.layers[0].row.name, 1), [Unit(last, 3)])
    assert path.steps[-1].unit == Unit(last, 3)
    assert path.steps[0].unit.channel == 1


def test_a_unit_that_is_not_read_is_refused() -> None:
    passed = looked("toy")
    with pytest.raises(UsageError, match="does not read"):  # the other column's
        follow(passed, Unit("conv2", 0), [Unit("pool1", 15, 0, 0)])


@pytest.mark.parametrize("name", ["toy", "alexnet-bn", "cifar-13pct", "cifar-18pct"])
def test_a_changed_number_goes_through_the_whole_network(name: str) -> None:
    passed = looked(name)
    first = {type(layer.row): index for index, layer in reversed([*enumerate(passed.network.layers)])}
    for index in first.values():  # one row of each kind
        name = passed.network.layers[index].row.name
        step = step_of(passed, index, follow(passed, Unit(name, 2)).steps[index].unit)
        changes = [Change("input", step.place, float(step.inputs[step.place]) + 3)]
        if step.weights is not None:
            changes.append(Change("weight", step.place, float(step.weights[step.place]) * 2 + 0.1))
        found = changed(passed, step, changes)
        wanted = changed_plainly(passed, step, changes)
        torch.testing.assert_close(found[passed.network.last], wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


def changed_plainly(passed: ForwardPass, step: Step, changes: list[Change]) -> torch.Tensor:
    """A copy of the network with the weight changed, run from the changed input on."""
    network = Network(passed.network.table, passed.network.input_size).eval()
    network.load_state_dict(passed.network.state_dict())
    index = [layer.row.name for layer in network.layers].index(step.unit.layer)
    x = passed.entering(index).clone()
    k, row, column = step.place
    x[(0, step.maps[k], step.top + row, step.left + column)[: x.ndim]] = changes[0].number
    if step.weights is not None:
        weight = network.get_parameter(f"{step.unit.layer}.weight")
        local = type(step.layer.row).__name__ == "Local"
        position = ((step.unit.row or 0) * step.layer.leaving.side + (step.unit.column or 0),) if local else ()
        with torch.no_grad():
            own = weight[(*position, step.unit.channel)].view(step.weights.shape)
            own[step.place] = changes[1].number
    with torch.no_grad():
        for layer in network.layers[index:]:
            x = network.get_submodule(layer.row.name)(x)
    return x
