"""Edits against networks whose weights are edited instead; ablation curves against one evaluation for each point."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from made_networks import noise, small
from torch import Tensor

from alexnet.data.store.read import Store
from alexnet.drawing import blank_figure
from alexnet.errors import UsageError, UserError
from alexnet.measure.accuracy import evaluate, wilson
from alexnet.measure.run import Run
from alexnet.nets.network import Network
from alexnet.see.ablation import ablation_curve, past_non_linearity
from alexnet.see.forward_pass import inputs_of, run_forward
from alexnet.see.interventions import Edit, EditedViewer, edited_logits, edits_in, effect_on_split, intervene

ZOO = ["toy", "alexnet", "alexnet-bn", "alexnet-tanh", "zfnet", "torchvision", "cifar-13pct", "cifar-18pct"]


@pytest.fixture(scope="module")
def picture(store: Store) -> np.ndarray:
    return store.splits["val"].pictures[7]


def logits_of(network: Network, x: Tensor, *words: str) -> Tensor:
    with torch.inference_mode():
        return edited_logits(network, x, edits_in(network, words) if words else ())


@pytest.mark.parametrize("name", ZOO)
def test_scaling_by_one_changes_no_bit_and_swapping_twice_neither(name: str) -> None:
    network = small(name)
    x = noise(2, network.input_size)
    with torch.inference_mode():
        plain = network(x)
    assert torch.equal(logits_of(network, x), plain)
    for layer in network.layers:
        row = layer.row.name
        assert torch.equal(logits_of(network, x, f"{row}:0-{layer.leaving.maps - 1}*1"), plain), row
        assert torch.equal(logits_of(network, x, f"{row}:1<->2", f"{row}:1<->2"), plain), row


@pytest.mark.parametrize(
    ("edit", "reader"), [("conv5:3", "fc6"), ("relu5:3", "fc6"), ("fc6:3", "fc7"), ("relu7:3", "fc8")]
)
def test_silencing_is_setting_the_weights_that_read_the_unit_to_zero(edit: str, reader: str) -> None:
    for name in ("toy", "alexnet"):
        network = small(name)
        x, changed = noise(3, network.input_size), deepcopy(network)
        weight = changed.get_parameter(f"{reader}.weight")
        positions = changed.layer(reader).entering.side ** 2
        with torch.no_grad():
            weight.view(len(weight), -1, positions)[:, 3] = 0
        with torch.inference_mode():
            assert torch.equal(logits_of(network, x, f"{edit}=0"), changed(x))
            assert not torch.equal(network(x), changed(x))


def test_scaling_and_swapping_are_those_of_the_weights_above() -> None:
    network = small("toy").double()
    x, scaled, swapped = noise(2, network.input_size).double(), deepcopy(network), deepcopy(network)
    with torch.no_grad():
        scaled.get_parameter("fc8.weight")[:, [4, 5, 9]] *= -2.5
        swapped.get_parameter("fc8.weight")[:, [4, 9]] = swapped.get_parameter("fc8.weight")[:, [9, 4]]
    torch.testing.assert_close(logits_of(network, x, "dropout7:4-5,9*-2.5"), scaled(x).detach())
    torch.testing.assert_close(logits_of(network, x, "relu7:4<->9"), swapped(x).detach())
    # Several edits are made in their order.
    both = logits_of(network, x, "fc7:4=1", "fc7:4*3")
    torch.testing.assert_close(both, logits_of(network, x, "fc7:4=3"))
    assert not torch.allclose(both, logits_of(network, x, "fc7:4*3", "fc7:4=1"))


def test_an_answer_before_and_after(run: Run, picture: np.ndarray) -> None:
    weights = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    found = intervene(run, picture, ["conv5:0-15=0", Edit("fc7", (3, 5), "<->")])
    records = torch.from_numpy(picture[None].copy())
    assert torch.equal(found.before, run.viewer.probabilities(records)[0])
    logits = logits_of(run.network, inputs_of(run.viewer, records), "conv5:0-15=0", "fc7:3<->5")
    torch.testing.assert_close(found.after, logits.softmax(dim=1)[0])
    assert not torch.allclose(found.before, found.after)
    assert all(torch.equal(run.network.state_dict()[name], tensor) for name, tensor in weights.items())
    told = found.as_json()
    assert told["edits"] == ["conv5:0-15=0", "fc7:3<->5"]
    plain = run.network(inputs_of(run.viewer, records)).detach()
    torch.testing.assert_close(found.logit_change, (logits - plain)[0])
    assert [one["class"] for one in told["classes"]] == list(run.class_names)
    assert "after" in found.describe()
    assert found.plot(ax=(figure := blank_figure(6, 4)).add_subplot()) is figure


def test_the_errors_on_a_split_are_those_of_a_network_with_changed_weights(run: Run, store: Store) -> None:
    found = effect_on_split(run, store, "relu7:0-31=0")
    changed = deepcopy(run.network)
    with torch.no_grad():
        changed.get_parameter("fc8.weight")[:, :32] = 0
    viewer, split = replace(run.viewer, network=changed), store.splits["val"]
    for one, counts in (
        (found.before.counts, evaluate(run.viewer, split)),
        (found.after.counts, evaluate(viewer, split)),
    ):
        assert (one.top1_errors, one.top5_errors) == (counts.top1_errors, counts.top5_errors)
        assert one.nll == pytest.approx(counts.nll, rel=1e-12)
    right = [one.ranks == 0 for one in (found.before, found.after)]
    assert (found.broken, found.mended) == (int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum()))
    assert found.broken - found.mended == found.after.counts.top1_errors - found.before.counts.top1_errors
    told = found.as_json()
    assert tuple(told["all"]["after"]["interval"]) == wilson(found.after.counts.top1_errors, 60)
    assert sorted(one["class"] for one in told["classes"]) == sorted(run.class_names)
    assert "right pictures became wrong" in found.describe()
    assert found.plot(ax=(figure := blank_figure(6, 4)).add_subplot()) is figure


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        ("conv5", UsageError, "'conv5': write an edit as ROW:MAPS=NUMBER"),
        ("conv5:3=much", UsageError, "write an edit as"),
        ("conv5:3*nan", UsageError, "write an edit as"),
        ("conv9:3=0", UserError, "has no layer 'conv9'"),
        ("conv5:32=0", UsageError, "there is no conv5 map 32; there are 0 … 31"),
        ("fc7:12<->64", UsageError, "there is no fc7 map 64; there are 0 … 63"),
        ("conv5:5-3=0", UsageError, "conv5:5-3=0: names no map"),
    ],
)
def test_edits_that_make_no_sense(
    run: Run, picture: np.ndarray, words: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message.replace("*", r"\*")):
        intervene(run, picture, words)
    with pytest.raises(UsageError, match="2 pictures are given; give one"):
        intervene(run, [picture, picture], "conv5:0=0")
    with pytest.raises(UsageError, match="no edit is named; give at least one"):
        intervene(run, picture, [])


def test_edits_are_written_as_they_are_read(run: Run) -> None:
    words = ["conv5:3,17-20*2", "conv5:1-2=-0.5", "fc7:12<->40"]
    found = edits_in(run.network, words)
    assert [str(edit) for edit in found] == ["conv5:3,17-20*2", "conv5:1,2=-0.5", "fc7:12<->40"]
    assert edits_in(run.network, found) == found


# ── ablation curves ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("layer", ["conv1", "conv5", "fc7"])
def test_each_point_is_an_evaluation_with_so_many_units_silent(run: Run, store: Store, layer: str) -> None:
    found = ablation_curve(run, store, layer, points=4)
    split, units = store.splits["val"], run.network.layer(layer).leaving.maps
    assert found.row == f"relu{layer[-1]}"
    assert (found.silenced[0], found.silenced[-1], len(found.silenced)) == (0, units, 4)
    for order, counts in found.counts.items():
        assert counts[0] == evaluate(run.viewer, split)
        assert sorted(found.orders[order].tolist()) == list(range(units))
        for silenced, one in zip(found.silenced[1:], counts[1:], strict=True):
            edit = Edit(found.row, tuple(found.orders[order][:silenced].tolist()), "=")
            assert one.top1_errors == evaluate(EditedViewer.of(run.viewer, [edit]), split).top1_errors
        assert found.accuracy(order)[0] == 1 - counts[0].top1
    told = found.as_json()
    assert list(told["curves"]) == ["activation", "effect", "random"]
    assert (told["ranked_on"], told["pictures"]) == ("train", 60)


def test_the_orders_are_those_of_means_by_hand(run: Run, store: Store) -> None:
    found = ablation_curve(run, store, "conv5", points=2)
    split = store.splits["train"]
    passed = run_forward(run.network, inputs_of(run.viewer, torch.from_numpy(split.pictures[:].copy())))
    maps = passed["relu5"].clone().requires_grad_()
    x = maps
    for name in run.network.order[run.network.order.index("relu5") + 1 :]:
        x = run.network.get_submodule(name)(x)
    F.cross_entropy(x, torch.from_numpy(split.labels.astype(np.int64)), reduction="sum").backward()
    assert maps.grad is not None
    for order, values in (("activation", maps), ("effect", -maps * maps.grad)):
        means = values.detach().double().sum(dim=(0, 2, 3))[found.orders[order]]
        assert bool((means.diff() <= 1e-4 * means.abs().max()).all()), order
    again = ablation_curve(run, store, "relu5", points=2, orders=["random"])
    other = ablation_curve(run, store, "relu5", points=2, orders=["random"], seed=1)
    assert list(again.counts) == ["random"]
    assert torch.equal(again.orders["random"], found.orders["random"])
    assert not torch.equal(other.orders["random"], found.orders["random"])
    assert "largest effect first" in found.describe()
    assert found.plot(ax=(figure := blank_figure(6, 4)).add_subplot()) is figure


def test_layers_that_can_t_be_ablated(run: Run, store: Store) -> None:
    assert past_non_linearity(run.network, "conv2") == "relu2"
    assert past_non_linearity(run.network, "pool2") == "pool2"
    with pytest.raises(UsageError, match="fc8: the last row holds the answer itself"):
        ablation_curve(run, store, "fc8")
    with pytest.raises(UserError, match="has no layer 'conv7'"):
        ablation_curve(run, store, "conv7")
    with pytest.raises(UsageError, match="1 points: a curve has at least 2"):
        ablation_curve(run, store, "conv5", points=1)
