"""Optimised pictures and inverted codes against what is known in closed form, and against the strongest of many
pictures."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.look import Run
from alexnet.see.forward_pass import centre_mean, inputs_of, run_forward
from alexnet.see.invert import invert
from alexnet.see.visualise import EIGENVALUES, PRESETS, Ascent, Basis, blurred, frequencies, regularise, visualise

STEPS = 60


# ── the basis ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [32, 27])
def test_the_basis_is_linear_and_has_an_inverse(run: Run, size: int) -> None:
    basis, generator = Basis.of(replace(run.inputs, size=size)), torch.Generator().manual_seed(0)
    pixels = torch.randn(2, 3, size, size, generator=generator) * 50
    white = basis.white(pixels)
    torch.testing.assert_close(basis.pixels(white), pixels, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(
        basis.pixels(white[:1] * 2 + white[1:]), pixels[:1] * 2 + pixels[1:], rtol=1e-4, atol=1e-2
    )


def test_white_noise_becomes_pictures_with_the_run_s_colours_and_a_falling_spectrum(run: Run) -> None:
    basis, size = Basis.of(run.inputs), run.inputs.size
    pixels = basis.pixels(basis.noise(4000, torch.Generator().manual_seed(0)))
    assert run.inputs.eigenvectors is not None
    assert run.inputs.eigenvalues is not None
    covariance = run.inputs.eigenvectors @ torch.diag(run.inputs.eigenvalues) @ run.inputs.eigenvectors.T
    found = pixels.transpose(0, 1).flatten(1)
    torch.testing.assert_close((found @ found.T) / found.shape[1], covariance.float(), rtol=0.05, atol=1.0)
    power = torch.fft.rfft2(pixels, norm="ortho").abs().square().mean(dim=(0, 1))
    flat = (power * frequencies(size) ** 2).flatten()[1:]
    torch.testing.assert_close(flat / flat.mean(), torch.ones_like(flat), rtol=0, atol=0.1)  # power falls as 1 / f²


def test_colours_that_are_not_known_are_imagenet_s(run: Run) -> None:
    basis = Basis.of(replace(run.inputs, eigenvalues=None, eigenvectors=None))
    values = torch.linalg.eigvalsh(basis.colours @ basis.colours.T)
    torch.testing.assert_close(values.flip(0), EIGENVALUES, rtol=1e-2, atol=1.0)


# ── presets ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_presets_are_the_rows_of_table_1() -> None:
    table = {
        "yosinski-1": (0, 0.5, 4, 50, 0),
        "yosinski-2": (0.3, 0, 0, 20, 0),
        "yosinski-3": (0.0001, 1.0, 4, 0, 0),
        "yosinski-4": (0, 0.5, 4, 0, 90),
    }
    found = {
        name: (one.decay, one.blur_width, one.blur_every, one.small_norm, one.small_contribution)
        for name, one in PRESETS.items()
        if one.basis == "pixels"
    }
    assert found == table


def test_regularisers_do_what_they_say() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels, gradient = torch.randn(2, 2, 3, 20, 20, generator=generator)
    plain = Ascent("pixels", 1.0)
    assert torch.equal(regularise(pixels, gradient, plain, 0), pixels)
    torch.testing.assert_close(regularise(pixels, gradient, replace(plain, decay=0.3), 0), pixels * 0.7)
    every_fourth = replace(plain, blur_width=1.0, blur_every=4)
    assert torch.equal(regularise(pixels, gradient, every_fourth, 3), pixels)
    expected = np.stack([gaussian_filter(one, (0, 1, 1), mode="wrap", truncate=8) for one in pixels.numpy()])
    torch.testing.assert_close(
        regularise(pixels, gradient, every_fourth, 4), torch.from_numpy(expected), rtol=0, atol=0.01
    )
    torch.testing.assert_close(blurred(pixels, 1.0).mean(), pixels.mean())
    norms, contributions = pixels.norm(dim=1), (pixels * gradient).sum(dim=1).abs()
    for name, sizes, percent in (("small_norm", norms, 50), ("small_contribution", contributions, 90)):
        kept = regularise(pixels, gradient, replace(plain, **{name: percent}), 0).any(dim=1)
        assert int(kept.sum()) == round(kept.numel() * (1 - percent / 100))
        for one, size in zip(kept, sizes, strict=True):
            assert float(size[one].min()) > float(size[~one].max())


# ── what is found ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("preset", PRESETS)
def test_the_activation_exceeds_that_of_every_picture(run: Run, store: Store, preset: str) -> None:
    """Of 200 pictures of the store, and of 200 of noise that uses the whole range."""
    noise = torch.randint(0, 256, (200, *store.splits["train"].pictures.shape[1:]), dtype=torch.uint8)
    records = torch.cat([torch.from_numpy(np.array(store.splits["train"].pictures[:200])), noise])
    passed = run_forward(run.network, inputs_of(run.viewer, records))
    strongest = float(passed["conv3"][:, 5].mean(dim=(1, 2)).max())
    found = visualise(run, "conv3", 5, preset=preset, steps=STEPS)  # pyright: ignore[reportArgumentType]
    assert float(found.activations[0]) > strongest
    assert found.images.shape == (1, 3, 32, 32)
    assert 0 <= float(found.images.min()) < float(found.images.max()) <= 255
    inputs = found.images - centre_mean(run.viewer)
    own = run_forward(run.network, inputs)["conv3"][0, 5].mean()
    torch.testing.assert_close(found.activations[0], own, rtol=1e-3, atol=1e-3)


def test_a_unit_of_the_first_layer_wants_its_filter(run: Run) -> None:
    """A linear unit: among pictures of one length, the strongest is its filter."""
    layer, side = run.network.layer("conv1"), run.network.layer("conv1").leaving.side
    position = (side // 2, side // 2)
    found = visualise(run, "conv1", 3, position=position, preset="yosinski-2", steps=30)
    left, top, right, bottom = found.box
    patch = (found.images[0] - centre_mean(run.viewer).mean(dim=(1, 2), keepdim=True))[:, top:bottom, left:right]
    weight = run.network.get_parameter(f"{layer.row.name}.weight")[3].detach()
    assert patch.shape == weight.shape
    assert float(torch.nn.functional.cosine_similarity(patch.flatten(), weight.flatten(), dim=0)) > 0.9


def test_a_class_is_a_unit_of_the_last_layer(run: Run) -> None:
    found = visualise(run, "fc8", 2, steps=STEPS)
    assert found.name == run.class_names[2]
    logits = run_forward(run.network, found.images - centre_mean(run.viewer))["fc8"]
    assert float(logits[0, 2]) == pytest.approx(float(found.activations[0]), rel=1e-4)
    assert float(found.history[-5:].mean()) > float(found.history[:5].mean())


def test_the_same_seed_gives_the_same_picture_and_a_single_1_the_map(run: Run) -> None:
    maps = run.network.layer("conv2").leaving.maps
    one, again = (visualise(run, "conv2", 4, steps=5, seed=3) for _ in range(2))
    assert torch.equal(one.images, again.images)
    assert not torch.equal(one.images, visualise(run, "conv2", 4, steps=5, seed=4).images)
    direction = torch.eye(maps)[4]
    assert torch.equal(visualise(run, "conv2", direction=direction.tolist(), steps=5, seed=3).images, one.images)
    opposite = visualise(run, "conv2", direction=-direction, steps=STEPS)
    assert float(opposite.activations[0]) > -float(one.history[0, 0])


def test_several_starts_differ_the_more_with_diversity(run: Run) -> None:
    def likeness(diversity: float) -> float:
        found = visualise(run, "relu3", 5, starts=3, diversity=diversity, steps=STEPS)
        vectors = torch.nn.functional.normalize((found.images - found.images.mean()).flatten(1), dim=1)
        return float((vectors @ vectors.T).sum() - 3) / 6

    assert likeness(3.0) < likeness(0.0)


def test_a_silent_unit_is_climbed_below_its_relu_and_a_dead_one_is_refused(make: Callable[..., Run]) -> None:
    run = make()
    bias, weight = run.network.get_parameter("conv3.bias"), run.network.get_parameter("conv3.weight")
    with torch.no_grad():
        climbed = visualise(run, "conv3", 1, position=(2, 2), steps=STEPS).history
        bias[1] -= float(climbed[0, 0] + climbed[-1, 0]) / 2  # silent on noise; yet there are pictures that excite it
        weight[2] = 0
        bias[2] = -1
    assert float(visualise(run, "relu3", 1, position=(2, 2), steps=STEPS).activations[0]) > 0
    with pytest.raises(UserError, match=r"conv3 · 2 can't be visualised: its gradient is zero everywhere"):
        visualise(run, "conv3", 2)
    with torch.no_grad():
        bias[1] = -1e6
    with pytest.raises(UserError, match=r"relu3 · 1 can't be visualised: it stayed silent \(0\) for all of 3 steps"):
        visualise(run, "relu3", 1, steps=3)


def test_rows_behind_the_layer_are_not_computed(make: Callable[..., Run]) -> None:
    run = make()
    run.network.missing_layers = ("fc6",)
    assert math.isfinite(float(visualise(run, "conv5", 0, steps=2).activations[0]))
    with pytest.raises(UserError, match=r"fc7 can't be computed: the weights of fc6 are missing"):
        visualise(run, "fc7", 0)
    with pytest.raises(UserError, match=r"fc7 can't be computed: the weights of fc6 are missing"):
        invert(run, np.zeros((40, 40, 3), np.uint8), "fc7")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "conv9", "unit": 0}, "has no layer 'conv9'. It has: conv1"),
        ({"layer": "conv3", "unit": 99}, "conv3 has no map 99; it has 48: 0 … 47"),
        ({"layer": "conv3", "unit": 1, "position": (9, 0)}, "conv3's maps have no position 9,0"),
        ({"layer": "conv3"}, "name a unit of conv3 .0 … 47., or give a direction over its 48 maps"),
        ({"layer": "conv3", "direction": [1.0, 2.0]}, "a direction in conv3 has 48 finite numbers"),
        (
            {"layer": "conv3", "unit": 1, "preset": "dream"},
            "there is no preset 'dream'. There are: fourier, yosinski-1",
        ),
        ({"layer": "conv3", "unit": 1, "starts": 0}, "from 0 starts: at least 1 each"),
    ],
)
def test_what_there_is_not_is_named(run: Run, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        visualise(run, **options)


def test_results_draw_themselves(run: Run) -> None:
    found = visualise(run, "conv3", 1, position=(0, 0), starts=2, steps=2)
    assert isinstance(found.plot(), Figure)
    assert found.as_json()["steps"] == 2
    axes = Figure().add_subplot()
    assert found.plot(axes) is axes.figure


# ── inversion ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_first_layer_s_code_gives_the_picture_back(run: Run, store: Store) -> None:
    picture = gaussian_filter(store.splits["val"].pictures[7], (1.5, 1.5, 0))
    found = invert(run, picture, "conv1", steps=150)
    assert found.error < 0.05
    assert invert(run, picture, "conv1", steps=150, variation_weight=0.1).error > found.error
    wanted = torch.from_numpy(found.view.copy()).permute(2, 0, 1).float()
    plain = torch.stack([(one - one.mean()).flatten() for one in (found.image, wanted)])
    assert float(torch.nn.functional.cosine_similarity(plain[0], plain[1], dim=0)) > 0.95
    assert isinstance(found.plot(), Figure)
    assert found.as_json()["layer"] == "conv1"
    assert torch.equal(found.image, invert(run, picture, "conv1", steps=150).image)


def test_a_code_that_can_t_be_inverted_is_refused(make: Callable[..., Run]) -> None:
    run, picture = make(), np.full((40, 40, 3), 90, np.uint8)
    with torch.no_grad():
        run.network.get_parameter("conv1.bias").fill_(-1e6)
    with pytest.raises(UserError, match="relu1 is zero on all of this picture"):
        invert(run, picture, "relu1")
    with pytest.raises(UserError, match="has no layer 'conv9'"):
        invert(run, picture, "conv9")
    with pytest.raises(UsageError, match="at least 1 step"):
        invert(run, picture, "conv1", steps=0)
