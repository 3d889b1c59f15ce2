"""Attribution: each method against captum's on the network written plainly, or a slow loop; what is refused.

The plain network is stock PyTorch; maps agree to 1e-4 of the largest value.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from made_networks import noise, small, viewer_of
from torch import Tensor, nn

from alexnet.choices import AttributionMethod
from alexnet.errors import UsageError, UserError
from alexnet.measure.run import Run
from alexnet.measure.viewer import ViewAverager
from alexnet.nets.network import Network
from alexnet.nets.table import Conv, Dense, Dropout, Norm, Pool
from alexnet.see.attribution import ATTRIBUTIONS, attribute, attribution_maps, gradient, lrp, rise
from alexnet.see.attribution.base import Front, placed
from alexnet.see.deconvnet import project
from alexnet.see.forward_pass import run_forward
from alexnet.see.units import Unit

ZOO = ["toy", "alexnet", "alexnet-145", "alexnet-bn", "alexnet-tanh", "zfnet", "torchvision", "cifar-11pct"]
ZOO += ["alexnet-4col", "cifar-18pct"]
SIZE = 33
"""Of the toy network's input, in which no window overhangs: stock layers are enough."""


class ColumnNorm(nn.Module):
    """`passed`: with the identity as its gradient, as the deconvnet passes a norm."""

    def __init__(self, row: Norm, columns: int, passed: bool) -> None:
        super().__init__()
        self.row, self.columns, self.passed = row, columns, passed

    def forward(self, x: Tensor) -> Tensor:
        row, columns = self.row, x.unflatten(1, (self.columns, -1)).flatten(0, 1)
        normed = F.local_response_norm(columns, row.size, row.coefficient * row.size, row.beta, row.k).view_as(x)
        return x + (normed - x).detach() if self.passed else normed


class Halved(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / 2


class Plain(nn.Module):
    """The toy network in stock layers."""

    def __init__(self, network: Network, passed: bool = False) -> None:
        super().__init__()
        self.rows = nn.ModuleDict()
        for layer in network.layers:
            row = layer.row
            match row:
                case Conv():
                    below, groups = layer.entering.maps, len(layer.reads) if row.reads == "own" else 1
                    module = nn.Conv2d(below, row.maps, row.kernel, row.stride, row.padding, groups=groups)
                case Dense():
                    module = nn.Linear(layer.entering.units, row.units)
                case Pool():
                    module = nn.MaxPool2d(row.kernel, row.stride)
                case Norm():
                    module = ColumnNorm(row, network.table.columns, passed)
                case Dropout():
                    module = Halved()
                case _:
                    module = nn.ReLU()
            self.rows[row.name] = module
        self.load_state_dict({f"rows.{name}": weight for name, weight in network.state_dict().items()})

    def forward(self, x: Tensor) -> Tensor:
        for row in self.rows.values():
            x = row(x.flatten(1) if isinstance(row, nn.Linear) else x)
        return x


@pytest.fixture
def viewer() -> ViewAverager:
    return viewer_of(small("toy", input_size=SIZE))


@pytest.fixture
def plain(viewer: ViewAverager) -> Plain:
    return Plain(viewer.network)


TARGETS = torch.tensor([3, 1])


def pictures(size: int = SIZE) -> Tensor:
    return noise(2, size, seed=4) + torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(5)) * 20


def close(found: Tensor, expected: Tensor) -> None:
    """To 1e-4 of the largest value."""
    assert float(expected.abs().max()) > 0
    torch.testing.assert_close(found, expected.float(), rtol=0, atol=1e-4 * float(expected.abs().max()))


def captum() -> Any:
    return pytest.importorskip("captum.attr", reason="captum is not installed (pip install captum)")


def test_the_plain_network_is_the_same(viewer: ViewAverager, plain: Plain) -> None:
    close(viewer.network(pictures()), plain(pictures()).detach())


# ── signals that come down ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.filterwarnings("ignore:Setting (backward|forward)", "ignore:Input Tensor 0 did not")
@pytest.mark.parametrize("method", ["gradient", "input-x-gradient", "guided", "deconvnet"])
def test_one_signal_is_captum_s(viewer: ViewAverager, method: str) -> None:
    attr, plain = captum(), Plain(viewer.network, passed=method == "deconvnet")
    theirs = {
        "gradient": attr.Saliency,
        "input-x-gradient": attr.InputXGradient,
        "guided": attr.GuidedBackprop,
        "deconvnet": attr.Deconvolution,
    }[method](plain).attribute(pictures().requires_grad_(), target=TARGETS)
    theirs = theirs if method == "input-x-gradient" else theirs.abs()
    close(attribution_maps(viewer, pictures(), TARGETS, method), theirs.sum(dim=1).detach())


def test_integrated_gradients_are_captum_s_and_complete(viewer: ViewAverager, plain: Plain) -> None:
    method = captum().IntegratedGradients(plain)
    expected, delta = method.attribute(pictures(), target=TARGETS, n_steps=40, return_convergence_delta=True)
    found = gradient.integrated_gradients(viewer, pictures(), TARGETS, steps=40)
    close(found.maps, expected.sum(dim=1))
    assert found.remainder is not None
    gained = (plain(pictures()) - plain(torch.zeros(2, 3, SIZE, SIZE))).detach()[[0, 1], TARGETS]
    torch.testing.assert_close(found.remainder, delta.float(), rtol=1e-2, atol=1e-4 * float(gained.abs().max()))
    fine = gradient.integrated_gradients(viewer, pictures(), TARGETS, steps=400)
    torch.testing.assert_close(fine.maps.sum(dim=(1, 2)), gained, rtol=1e-2, atol=0)


def test_smoothgrad_is_the_mean_of_captum_s_gradients(viewer: ViewAverager, plain: Plain) -> None:
    found = attribution_maps(viewer, pictures(), TARGETS, "smoothgrad", samples=7, noise=0.1, seed=3)
    for number, (x, target) in enumerate(zip(pictures().split(1), TARGETS.tolist(), strict=True)):
        copies = gradient.noisy_copies(x, 7, 0.1, 3 + number)
        assert float((copies - x).std()) == pytest.approx(0.1 * float(x.max() - x.min()), rel=0.02)
        expected = captum().Saliency(plain).attribute(copies.requires_grad_(), target=target, abs=False)
        close(found[number], expected.mean(dim=0).abs().sum(dim=0))


@pytest.mark.parametrize("name", ZOO)
def test_gradients_are_autograd_s(name: str) -> None:
    network = small(name)
    x = pictures(network.input_size).requires_grad_()
    (expected,) = torch.autograd.grad(network(x)[[0, 1], TARGETS].sum(), x)
    with torch.no_grad():
        found = gradient.input_gradients(network, x.detach(), TARGETS)
    close(found, expected)


# ── class activation maps ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("layer", ["relu5", "conv5", "norm2", "pool1", "conv1"])
def test_class_activation_maps(viewer: ViewAverager, plain: Plain, layer: str) -> None:
    """Against captum's Grad-CAM, and the formulas of both by autograd."""
    theirs = captum().LayerGradCam(plain, plain.rows[layer]).attribute(pictures(), TARGETS, relu_attributions=True)
    x, maps = pictures(), torch.zeros(0)
    for name, row in plain.rows.items():
        x = row(x.flatten(1) if isinstance(row, nn.Linear) else x)
        if name == layer:
            maps = x
    (g,) = torch.autograd.grad(x[[0, 1], TARGETS].sum(), maps)
    grad_cam = (g.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1).relu()
    alphas = torch.where(g > 0, g**2 / (2 * g**2 + maps.relu().sum(dim=(2, 3), keepdim=True) * g**3), 0)
    plus = ((alphas * g.relu()).sum(dim=(2, 3), keepdim=True) * maps).sum(dim=1).relu()
    field, side = viewer.network.layer(layer).field, maps.shape[-1]
    centres = [field.start + field.jump * number + field.size / 2 for number in range(side)]
    close(
        attribution_maps(viewer, pictures(), TARGETS, "grad-cam", layer=layer),
        placed(theirs[:, 0], centres, SIZE).detach(),
    )
    for method, expected in (("grad-cam", grad_cam), ("grad-cam++", plus)):
        found = attribution_maps(viewer, pictures(), TARGETS, method, layer=layer)
        close(found, placed(expected.detach(), centres, SIZE))


def test_maps_are_placed_where_their_units_look() -> None:
    values = torch.tensor([[[1.0, 2, 4], [2, 4, 8], [0, 1, 0]]])
    found = placed(values, [2.5, 5.5, 11.5], 14)[0]
    assert found[2, 2] == 1
    assert found[5, 11] == 8
    assert found[2, 3] == pytest.approx(4 / 3)
    assert found[0, 0] == found[2, 0] == 1  # beyond the outermost, its value
    assert found[13, 8] == pytest.approx(0.5)
    even = torch.rand(1, 7, 7, generator=torch.Generator().manual_seed(0))
    stretched = F.interpolate(even[None], (28, 28), mode="bilinear")[0]
    torch.testing.assert_close(placed(even, [4 * n + 2 for n in range(7)], 28), stretched)


# ── relevance ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_relevance_is_captum_s(viewer: ViewAverager, plain: Plain) -> None:
    """Down to the first row, whose rule captum does not have."""
    rules = pytest.importorskip("captum.attr._utils.lrp_rules")

    class Passed(rules.IdentityRule):
        """captum's, whose relevance also reaches a ReLU in front of the module: it looks for `replace_out`."""

        def _create_backward_hook_input(self, _: Tensor) -> Callable[[Tensor], Tensor]:
            def relevance(gradient: Any) -> Tensor:
                gradient.replace_out = self.relevance_output[gradient.device]
                return gradient.replace_out

            return relevance

    for module in plain.rows.values():
        if isinstance(module, ColumnNorm | Halved):
            module.rule = Passed()
        if isinstance(module, nn.Conv2d):
            module.rule = rules.GammaRule(gamma=0.4)
    method = captum().LayerLRP(plain, plain.rows["conv1"])
    expected = method.attribute(pictures().requires_grad_(), target=TARGETS).detach()
    passed = run_forward(viewer.network, pictures())
    with torch.no_grad():
        found = lrp.relevance_above(passed, passed["fc8"] * F.one_hot(TARGETS, 5), 1e-9, 0.4)
    close(found, expected)


@pytest.mark.parametrize("biased", [True, False])
def test_relevance_by_a_slow_walk_and_conserved(viewer: ViewAverager, biased: bool) -> None:
    """Every row's rule by autograd; without biases nothing is lost."""
    if not biased:
        for name, weight in viewer.network.named_parameters():
            weight.data *= not name.endswith("bias")
    plain, x, entering = Plain(viewer.network), pictures(), []
    for row in plain.rows.values():
        entering.append(x := (x.flatten(1) if isinstance(row, nn.Linear) else x).detach())
        x = row(x)
    relevance = (x * F.one_hot(TARGETS, 5)).detach()
    logits = relevance.sum(dim=1)
    conv1, *rest = plain.rows.values()
    for row, x in zip(reversed(rest), reversed(entering[1:]), strict=True):
        if isinstance(row, nn.Conv2d):
            row.weight.data += 0.25 * row.weight.data.clamp(min=0)
        if isinstance(row, nn.Conv2d | nn.Linear | nn.MaxPool2d):
            z = row(x.requires_grad_())
            factor, sums = (1, 1) if isinstance(row, nn.MaxPool2d) else (x, z + 1e-6 * z.sign())
            relevance = (factor * torch.autograd.grad(z, x, relevance.view_as(z) / sums)[0]).detach()
    x, weight = entering[0], conv1.get_parameter("weight").detach()
    low, high = -viewer.inputs.mean_image, 255 - viewer.inputs.mean_image
    parts = [(x, weight), (-low.expand_as(x), weight.clamp(min=0)), (-high.expand_as(x), weight.clamp(max=0))]
    z = sum(F.conv2d(values, w, stride=2) for values, w in parts)
    shares = [values * F.conv_transpose2d(relevance / (z + 1e-6), w, stride=2) for values, w in parts]
    with torch.no_grad():
        found = lrp.lrp(viewer, pictures(), TARGETS)
    close(found.maps, torch.stack(shares).sum(dim=(0, 2)))
    assert found.remainder is not None
    torch.testing.assert_close(found.maps.sum(dim=(1, 2)) + found.remainder, logits, rtol=1e-4, atol=1e-5)
    lost = float((found.remainder / logits).abs().max())
    assert lost > 0.01 if biased else lost < 1e-3


# ── parts hidden ─────────────────────────────────────────────────────────────────────────────────────────────────


def drawn_masks(count: int, cells: int, size: int, seed: int) -> list[tuple[Tensor, tuple[int, int], Tensor]]:
    """(grid, shift, mask) of each, as the paper makes masks: enlarged to a cell more than the view, then cut out."""
    cell, generator, found = -(-size // cells), torch.Generator().manual_seed(seed), []
    for first in range(0, count, 32):
        grids = (torch.rand(min(32, count - first), cells, cells, generator=generator) < 0.5).float()
        down, right = torch.randint(cell, (2,), generator=generator).tolist()
        for grid in grids:
            side = (cells + 1) * cell
            large = F.interpolate(grid[None, None], (side, side), mode="bilinear", align_corners=False)[0, 0]
            found.append((grid, (down, right), large[down : down + size, right : right + size]))
    return found


def test_rise_is_a_loop_over_masks(viewer: ViewAverager, plain: Plain) -> None:
    expected, kept = torch.zeros(2, SIZE, SIZE), torch.zeros(SIZE, SIZE)
    with torch.no_grad():
        for _, _, mask in drawn_masks(70, 4, SIZE, seed=2):
            weights = plain(pictures() * mask).softmax(dim=1)[[0, 1], TARGETS]
            expected, kept = expected + weights[:, None, None] * mask, kept + mask
    expected /= kept
    found = attribution_maps(viewer, pictures(), TARGETS, "rise", masks=70, cells=4, seed=2)
    close(found, expected)
    assert float(found.std()) > 1e-2 * float(found.mean()), "the test's masks must matter"


@pytest.mark.parametrize(("name", "cells"), [*((name, 7) for name in ZOO), ("alexnet", 1), ("toy", 12), ("zfnet", 20)])
@torch.no_grad()
def test_masks_put_together_behind_the_first_row(name: str, cells: int) -> None:
    network = small(name)
    x, front = pictures(network.input_size)[:1], Front(network)
    masks = drawn_masks(5, cells, network.input_size, seed=cells)
    grids, shift = torch.stack([grid for grid, _, _ in masks]), masks[0][1]
    expected = front.up(x * torch.stack([mask for _, _, mask in masks])[:, None])
    found = rise.masked(front, x, grids, list(shift))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_occlusion_is_the_logit_that_is_lost(viewer: ViewAverager, plain: Plain) -> None:
    """Against captum's Occlusion, whose squares lie side by side here; 33 = 3 · 11 pixels, each value at a middle."""
    grey = 128 - viewer.inputs.mean_image
    theirs = (
        captum()
        .Occlusion(plain)
        .attribute(pictures(), (3, 11, 11), strides=(3, 11, 11), target=TARGETS, baselines=grey[None])[:, 0]
    )
    found = attribution_maps(viewer, pictures(), TARGETS, "occlusion", size=11, stride=11)
    close(found[:, 5::11, 5::11], theirs[:, 5::11, 5::11])


# ── all of them ──────────────────────────────────────────────────────────────────────────────────────────────────

QUICK: dict[str, dict[str, Any]] = {
    "integrated-gradients": {"steps": 4},
    "smoothgrad": {"samples": 3},
    "occlusion": {"stride": 40},
    "rise": {"masks": 5},
}


@pytest.mark.parametrize("name", ["toy", "alexnet-145", "alexnet-bn", "alexnet-tanh", "cifar-11pct", "cifar-18pct"])
def test_every_method_on_every_kind_of_network(name: str) -> None:
    """Two pictures get what each gets alone, in float32 on the CPU; signs only where they are announced."""
    assert list(ATTRIBUTIONS) == list(get_args(AttributionMethod))
    viewer = viewer_of(small(name))
    x, size = pictures(viewer.inputs.size), viewer.inputs.size
    for method, known in ATTRIBUTIONS.items():
        both = attribution_maps(viewer, x, TARGETS, method, **QUICK.get(method, {}))
        first = attribution_maps(viewer, x[:1], TARGETS[:1], method, **QUICK.get(method, {}))
        assert (both.shape, both.dtype) == ((2, size, size), torch.float32)
        assert torch.isfinite(both).all()
        torch.testing.assert_close(both[:1], first, rtol=0, atol=1e-3 * float(first.abs().max()))
        assert known.signed or bool((both >= 0).all())


@pytest.mark.parametrize("method", [name for name, known in ATTRIBUTIONS.items() if known.reports])
def test_slow_methods_report_their_progress(run: Run, method: AttributionMethod) -> None:
    steps: list[tuple[int, int]] = []
    picture = np.random.default_rng(1).integers(0, 256, (run.inputs.side, run.inputs.side, 3), dtype=np.uint8)
    attribute(run, picture, method, progress=lambda *step: steps.append(step), **QUICK[method])
    assert [done for done, _ in steps] == sorted({done for done, _ in steps})
    assert steps[-1][0] == steps[-1][1]
    assert "progress" not in ATTRIBUTIONS[method].options


def test_bf16_comes_near(viewer: ViewAverager) -> None:
    rough = replace(viewer, dtype=torch.bfloat16)
    for method in ATTRIBUTIONS:
        exact, near = (
            attribution_maps(v, pictures(), TARGETS, method, **QUICK.get(method, {})) for v in (viewer, rough)
        )
        assert float(F.cosine_similarity(exact.flatten(), near.flatten(), dim=0)) > 0.9, method


def test_guided_and_deconvnet_are_the_projections_of_the_class(viewer: ViewAverager) -> None:
    passed = run_forward(viewer.network, pictures()[:1])
    best = int(passed.probabilities[0].argmax())
    pixels = project(passed, [Unit("fc8", best)], method="guided").pixels
    close(attribution_maps(viewer, pictures()[:1], torch.tensor([best]), "guided"), pixels.abs().sum(dim=1))


def test_weights_gather_neither_gradients_nor_copies(viewer: ViewAverager) -> None:
    for method in ATTRIBUTIONS:
        attribution_maps(viewer, pictures(), TARGETS, method, **QUICK.get(method, {}))
    assert all(weight.grad is None for weight in viewer.network.parameters())
    held = {id(weight) for weight in viewer.network.parameters()}
    assert {id(weight) for weight in viewer.network.copies._copies} <= held


def test_a_picture_of_a_run(run: Run, store: Any) -> None:
    record = store.splits["val"].pictures[7]
    found = attribute(run, record, "integrated-gradients", steps=30)
    predicted = run.predict(record, views=1, top=1).labels[0]
    assert (found.class_name, found.probability) == (predicted.name, pytest.approx(predicted.probability, rel=1e-4))
    assert found.view.shape == (*found.map.shape, 3)
    assert found.options == {"steps": 30}
    told = found.as_json()
    assert (told["class"], told["target"]) == (found.class_name, found.target)
    np.testing.assert_allclose(np.array(told["map"]), found.map, rtol=1e-3)
    assert len(found.plot().axes[1].child_axes) == 1, "a colour bar"
    assert attribute(run, record, target=2).options == {"layer": "relu5"}
    assert attribute(run, record, "grad-cam++", layer="conv3").remainder is None
    assert attribute(run, record, "lrp").remainder is not None


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("captum", {}, "there is no method of attribution 'captum'. There are: gradient, input-x-gradient"),
        ("grad-cam", {"layer": "conv9"}, "toy has no layer 'conv9'. It has: conv1"),
        ("grad-cam++", {"layer": "fc7"}, "needs a layer with maps, and fc7 has none: .* There are: conv1, .*relu5"),
        ("grad-cam", {"steps": 9}, "grad-cam takes no steps; its options: layer"),
        ("lrp", {"layer": "conv5"}, "lrp takes no layer; its options: epsilon, gamma"),
        ("gradient", {"steps": 9}, "gradient takes no steps; it has no options"),
        ("rise", {"masks": 0}, "masks 0: it must be above 0"),
        ("lrp", {"gamma": -1.0}, "gamma -1.0: it must be at least 0"),
        ("occlusion", {"size": 40}, "the square of 40 pixels is larger than the picture"),
        ("gradient", {"target": 9}, "there is no class 9. The run's classes are: angle0"),
    ],
)
def test_what_is_refused(run: Run, store: Any, method: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        attribute(run, store.splits["val"].pictures[7], method, **options)


def test_an_answer_that_rests_on_nothing_is_refused(make: Callable[..., Run], store: Any) -> None:
    run = make()
    run.network.get_parameter("fc7.bias").data.fill_(-1e9)
    for method in ATTRIBUTIONS.keys() & {"gradient", "grad-cam", "lrp"}:
        with pytest.raises(
            UserError, match=f"{method}.*: the map of angle0 is zero everywhere: nothing in this picture"
        ):
            attribute(run, store.splits["val"].pictures[7], method)


def test_missing_weights_are_named(make: Callable[..., Run], store: Any) -> None:
    run = make()
    run.network.missing_layers = ("fc6",)
    with pytest.raises(UserError, match="fc8 can't be computed: the weights of fc6 are missing"):
        attribute(run, store.splits["val"].pictures[7])
    with pytest.raises(UserError, match="fc8 can't be computed"):
        attribution_maps(run.viewer, noise(1, 32), torch.tensor([0]), "rise")


def test_a_target_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="there is no class number 5: there are 0 … 4"):
        attribution_maps(viewer_of(small("toy")), noise(1, 32), torch.tensor([5]), "gradient")
