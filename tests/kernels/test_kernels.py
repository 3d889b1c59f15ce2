"""Each kernel, in both forms, against its naive float64 twin on awkward sizes."""

import itertools
import math
from functools import cache

import kernel_twins as twins
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alexnet import kernels
from alexnet.kernels import Crops, NormPool, NormSpec, reference

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2}  # of the largest value
DTYPES = list(TOLERANCE)
both_forms = pytest.mark.usefixtures("form")

PAPER = (2.0, 1e-4, 0.75, 5)
SPECS = [
    pytest.param((*PAPER, 1), 20, id="paper"),
    pytest.param((*PAPER, 2), 96, id="two towers of 48"),
    pytest.param((*PAPER, 2), 34, id="towers of 17"),
    pytest.param((*PAPER, 1), 3, id="fewer maps than the window"),
    pytest.param((*PAPER, 1), 1, id="one map"),
    pytest.param((*PAPER, 2), 2, id="towers of one map"),
    pytest.param((1.0, 2e-5, 0.75, 4, 1), 19, id="even window"),
    pytest.param((1.0, 1e-3, 0.75, 9, 1), 33, id="window of nine"),
    pytest.param((1.0, 1e-3, 0.6, 5, 1), 17, id="a power without roots"),
    pytest.param((1.0, 1e-3, 0.25, 5, 1), 17, id="power 1/4"),
    pytest.param((1.0, 1e-3, 0.5, 3, 1), 17, id="power 1/2"),
    pytest.param((0.0, 1.0, 1.0, 13, 1), 13, id="k = 0, N maps"),
    pytest.param((0.0, 1.0, 0.75, 99, 1), 21, id="k = 0, window over all maps"),
]
ORDERS = [(True, False), (False, True), (False, False), (True, True)]


def signed(shape, *, dtype, scale=100.0, seed=0) -> torch.Tensor:
    """Random values that `dtype` holds exactly, so that the twin starts from the same ones."""
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale
    return drawn.to(dtype).to(memory_format=torch.channels_last)


def assert_close(got: torch.Tensor, wanted: np.ndarray) -> None:
    assert tuple(got.shape) == wanted.shape
    if wanted.size:
        error = np.abs(got.detach().double().numpy() - wanted).max()
        assert error <= TOLERANCE[got.dtype] * np.abs(wanted).max(), error


def value_and_gradient(function, x: torch.Tensor, seed=1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x = x.detach().requires_grad_()
    y = function(x)
    g = gradient_for(y.shape, x.dtype, seed)
    y.backward(g)
    assert x.grad is not None
    assert y.dtype == x.grad.dtype == x.dtype
    return y.detach(), x.grad, g


def gradient_for(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 1) -> torch.Tensor:
    return signed(shape, dtype=dtype, scale=1.0, seed=seed)


def double(x: torch.Tensor) -> np.ndarray:
    return x.double().numpy()


@both_forms
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("spec", "maps"), SPECS)
def test_local_response_norm(spec, maps, dtype):
    x = signed((2, maps, 3, 5), dtype=dtype)
    y, gradient, g = value_and_gradient(lambda x: kernels.local_response_norm(x, NormSpec(*spec)), x)
    assert_close(y, twins.map_norm(double(x), *spec))
    assert_close(gradient, twins.map_norm_gradient(double(x), double(g), *spec))


@both_forms
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 4, 5, 9])
@pytest.mark.parametrize("shape", [(2, 3, 7, 5), (1, 17, 1, 6), (2, 1, 3, 3)])
def test_spatial_response_norm(shape, size, dtype):
    x = signed(shape, dtype=dtype)
    constants = (1.0, 4e-5, 0.75, size)
    y, gradient, g = value_and_gradient(lambda x: kernels.spatial_response_norm(x, NormSpec(*constants)), x)
    assert_close(y, twins.place_norm(double(x), *constants))
    assert_close(gradient, twins.place_norm_gradient(double(x), double(g), *constants))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("norm", [None, (*PAPER, 2)])
@pytest.mark.parametrize(("relu_first", "relu_last"), ORDERS)
@pytest.mark.parametrize(
    ("height", "width", "kernel", "stride"),
    [(7, 7, 3, 2), (8, 6, 3, 2), (5, 9, 2, 2), (6, 7, 3, 1), (2, 2, 3, 2), (1, 1, 1, 1), (9, 4, 4, 3)],
)
def test_relu_norm_pool(form, height, width, kernel, stride, relu_first, relu_last, norm, dtype):
    rows = {"relu_first": relu_first, "relu_last": relu_last, "kernel": kernel, "stride": stride}
    x = signed((1, 38, height, width), dtype=dtype)
    spec = NormSpec(*norm) if norm else None
    y, gradient, g = value_and_gradient(lambda x: kernels.relu_norm_pool(x, NormPool(norm=spec, **rows)), x)
    if dtype == torch.bfloat16 and norm and form == "reference":
        assert_close(y, twins.relu_norm_pool(double(x), lambda _: double(g), norm=norm, **rows)[0])
        return  # values rounded before the pool tie, and the first of them takes the gradient: another true answer
    values, wanted = twins.relu_norm_pool(double(x), lambda _: double(g), norm=norm, **rows)
    assert_close(y, values)
    assert_close(gradient, wanted)


INSIDE_MAPS = 22
"""Whole vectors of 8 or 16 maps and a part of one."""


@both_forms
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("norm", [None, (*PAPER, 2), (1.0, 1e-3, 0.6, 4, 1)])
@pytest.mark.parametrize("inside", [(1.0, 4e-5, 0.75, 5), (1.0, 1e-3, 0.5, 4), (2.0, 1e-4, 0.75, 1)])
@pytest.mark.parametrize(("height", "width", "kernel", "stride"), [(7, 6, 3, 2), (1, 3, 1, 1), (9, 4, 4, 3)])
def test_with_a_norm_inside_each_map(height, width, kernel, stride, norm, inside, dtype):
    for order in ORDERS:
        rows = rows_of(order, kernel, stride)
        x = signed((1, INSIDE_MAPS, height, width), dtype=dtype)
        specs = {"norm": NormSpec(*norm) if norm else None, "inside": NormSpec(*inside)}
        y, gradient, _ = value_and_gradient(
            lambda x, specs=specs, rows=rows: kernels.relu_norm_pool(x, NormPool(**specs, **rows)), x
        )
        values, wanted = twin_inside(height, width, order, kernel, stride, norm, inside, dtype)
        assert_close(y, values)
        if dtype == torch.float32 or kernel == 1:  # else values rounded before the pool may tie
            assert_close(gradient, wanted)


def rows_of(order: tuple[bool, bool], kernel: int, stride: int) -> dict[str, object]:
    return {"relu_first": order[0], "relu_last": order[1], "kernel": kernel, "stride": stride}


@cache
def twin_inside(height, width, order, kernel, stride, norm, inside, dtype):
    """The slow twin's values and gradient, which are those of both forms."""
    x = double(signed((1, INSIDE_MAPS, height, width), dtype=dtype))
    rows = rows_of(order, kernel, stride)
    return twins.relu_norm_pool(x, lambda shape: double(gradient_for(shape, dtype)), norm=norm, inside=inside, **rows)


@both_forms
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(0, 3), st.integers(1, 40), st.integers(1, 9), st.integers(1, 9)),
    window=st.integers(1, 12),
    order=st.sampled_from(ORDERS),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    beta=st.sampled_from([0.75, 0.6, 1.0]),
    k=st.sampled_from([0.0, 2.0]),
    scale=st.sampled_from([1.0, 1e4]),
    seed=st.integers(0, 1000),
)
def test_both_forms_agree_with_the_twin_on_any_sizes(shape, window, order, kernel, stride, beta, k, scale, seed):
    kernel, stride = max(kernel, stride), stride
    if min(twins.outputs(size, kernel, stride) for size in shape[2:]) < 1:
        return
    norm = (k, 1e-4, beta, window, 1)
    rows = {"relu_first": order[0], "relu_last": order[1], "kernel": kernel, "stride": stride}
    x = signed(shape, dtype=torch.float32, scale=scale, seed=seed)
    y, gradient, g = value_and_gradient(lambda x: kernels.relu_norm_pool(x, NormPool(norm=NormSpec(*norm), **rows)), x)
    values, wanted = twins.relu_norm_pool(double(x), lambda _: double(g), norm=norm, **rows)
    assert_close(y, values)
    assert_close(gradient, wanted)


@both_forms
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("norm", [(0.0, 1.0, 1.0, 16, 1), (0.0, 1.0, 0.75, 64, 2), (*PAPER, 1), (0.0, 1.0, 0.6, 5, 1)])
def test_all_zero_maps_stay_finite(norm, dtype):
    x = torch.zeros(2, 16, 5, 5, dtype=dtype)
    x[0, 3, 2, 2] = 3.0
    for function in (
        lambda x: kernels.local_response_norm(x, NormSpec(*norm)),
        lambda x: kernels.spatial_response_norm(x, NormSpec(*norm[:3], 3)),
        lambda x: kernels.relu_norm_pool(
            x, NormPool(relu_first=True, norm=NormSpec(*norm), relu_last=False, kernel=3, stride=2)
        ),
    ):
        y, gradient, _ = value_and_gradient(function, x)
        assert y.isfinite().all()
        assert gradient.isfinite().all()
        assert y[1].eq(0).all()
        assert y[0].ne(0).any()


@both_forms
@pytest.mark.parametrize("dtype", DTYPES)
def test_activations_of_ten_thousand(dtype):
    x = signed((2, 24, 5, 5), dtype=dtype, scale=1e4)
    y, gradient, g = value_and_gradient(lambda x: kernels.local_response_norm(x, NormSpec(*PAPER)), x)
    assert_close(y, twins.map_norm(double(x), *PAPER, 1))
    assert_close(gradient, twins.map_norm_gradient(double(x), double(g), *PAPER, 1))


@both_forms
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("place", [(0, 0, 0, 0), (1, 47, 3, 4), (1, 95, 6, 6)])
def test_nan_is_not_hidden(place, dtype):
    x = signed((2, 96, 7, 7), dtype=dtype)
    x[place] = math.nan
    norm = NormSpec(*PAPER, 2)
    for first, last, spec in ((True, False, norm), (False, True, norm), (True, False, None)):
        y = kernels.relu_norm_pool(x, NormPool(relu_first=first, norm=spec, relu_last=last, kernel=3, stride=2))
        assert y[place[0], place[1], place[2] // 2 - (place[2] == 6), place[3] // 2 - (place[3] == 6)].isnan()
    assert kernels.local_response_norm(x, norm)[place].isnan()
    assert kernels.spatial_response_norm(x, NormSpec(1, 4e-5, 0.75, 5))[place].isnan()


@both_forms
def test_nan_stays_in_its_tower_and_place():
    x = signed((1, 96, 3, 3), dtype=torch.float32)
    x[0, 47, 1, 1] = math.nan
    y, gradient, _ = value_and_gradient(lambda x: kernels.local_response_norm(x, NormSpec(*PAPER, 2)), x)
    spoilt = torch.zeros_like(x, dtype=torch.bool)
    spoilt[0, 43:48, 1, 1] = True
    assert not y.isnan()[~spoilt].any()
    assert not gradient.isnan()[~spoilt].any()
    assert gradient[0, 45:48, 1, 1].isnan().all()


@both_forms
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", [0, 1])
def test_batches_of_none_and_one(batch, dtype):
    x = signed((batch, 10, 5, 5), dtype=dtype)
    norm = NormSpec(*PAPER)
    rows = {"relu_first": True, "relu_last": False, "kernel": 3, "stride": 2}
    y, gradient, _ = value_and_gradient(lambda x: kernels.relu_norm_pool(x, NormPool(norm=norm, **rows)), x)
    assert y.shape == (batch, 10, 2, 2)
    assert gradient.shape == x.shape
    assert kernels.local_response_norm(x, norm).shape == x.shape
    assert kernels.spatial_response_norm(x, NormSpec(1, 1, 1, 3)).shape == x.shape


def layouts(x: torch.Tensor) -> dict[str, torch.Tensor]:
    batch, maps, height, width = x.shape
    wide = torch.zeros(batch, maps, height, width + 3, dtype=x.dtype)
    wide[..., 1:-2] = x
    return {
        "contiguous": x.contiguous(),
        "channels_last": x.contiguous(memory_format=torch.channels_last),
        "slice": wide[..., 1:-2],
        "transposed": x.transpose(2, 3).contiguous().transpose(2, 3),
        "expanded": x[:1].expand(batch, -1, -1, -1) if batch else x,
    }


@both_forms
@pytest.mark.parametrize("shape", [(2, 17, 5, 4), (2, 1, 5, 4), (3, 17, 1, 1), (1, 1, 1, 1)])
@pytest.mark.parametrize("name", ["contiguous", "channels_last", "slice", "transposed", "expanded"])
def test_any_memory_layout_of_input_and_gradient(shape, name):
    x = layouts(signed(shape, dtype=torch.float32))[name]
    norm = NormSpec(*PAPER)
    for function in (
        lambda x: kernels.local_response_norm(x, norm),
        lambda x: kernels.spatial_response_norm(x, NormSpec(1, 1e-4, 0.75, 3)),
        lambda x: kernels.relu_norm_pool(x, NormPool(relu_first=True, norm=norm, relu_last=False, kernel=1, stride=1)),
    ):
        leaf = x.clone(memory_format=torch.channels_last).requires_grad_()
        other = x.detach().requires_grad_()
        y, z = function(leaf), function(other)
        g = signed(shape, dtype=torch.float32, seed=3)
        y.backward(g)
        z.backward(layouts(g)[name] if name != "expanded" else g)
        torch.testing.assert_close(y, z, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(leaf.grad, other.grad, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_bit_identical_for_every_run_and_number_of_threads(form, dtype):
    x = signed((5, 96, 13, 11), dtype=dtype)
    norm, inside = NormSpec(*PAPER, 2), NormSpec(1, 4e-5, 0.75, 5)
    threads = torch.get_num_threads()
    rows = {"relu_first": True, "norm": norm, "relu_last": False, "kernel": 3, "stride": 2}
    functions = (
        lambda x: kernels.relu_norm_pool(x, NormPool(**rows)),
        lambda x: kernels.relu_norm_pool(x, NormPool(**rows, inside=inside)),
        lambda x: kernels.local_response_norm(x, norm),
        lambda x: kernels.spatial_response_norm(x, inside),
    )
    try:
        for function in functions:
            first = value_and_gradient(function, x)
            for count in (threads, 1, 3) if form == "compiled" else (threads, threads):
                torch.set_num_threads(count)
                again = value_and_gradient(function, x)
                assert torch.equal(first[0], again[0])
                assert torch.equal(first[1], again[1])
    finally:
        torch.set_num_threads(threads)


@both_forms
def test_the_first_of_equal_maxima_takes_the_gradient():
    x = torch.full((1, 20, 5, 5), 7.0, requires_grad=True)
    kernels.relu_norm_pool(
        x, NormPool(relu_first=True, norm=None, relu_last=False, kernel=3, stride=2)
    ).sum().backward()
    wanted = torch.zeros(5, 5)
    wanted[::2, ::2][:2, :2] = 1
    assert x.grad is not None
    assert torch.equal(x.grad, wanted.expand(1, 20, 5, 5))


def test_max_pool_gives_the_switches_of_the_ceil_rule():
    x = signed((2, 5, 8, 6), dtype=torch.float32)
    values, switches = torch.nn.functional.max_pool2d(x, 3, 2, ceil_mode=True, return_indices=True)
    wanted_values, wanted_switches = twins.pool(double(x), 3, 2)
    assert np.array_equal(double(values), wanted_values)
    assert np.array_equal(switches.numpy(), wanted_switches)
    again = kernels.relu_norm_pool(x, NormPool(relu_first=False, norm=None, relu_last=False, kernel=3, stride=2))
    assert torch.equal(values, again)


def test_gradients_of_the_reference_in_float64():
    x = (torch.rand(1, 7, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.5) * 4
    x = x.requires_grad_()
    for spec in (
        NormSpec(2, 0.3, 0.75, 5),
        NormSpec(1, 0.2, 0.6, 4),
        NormSpec(0, 1, 1, 7),
        NormSpec(0.5, 1, 0.5, 3, 7),
    ):
        assert torch.autograd.gradcheck(lambda x, spec=spec: reference.local_response_norm(x, spec), x)
    assert torch.autograd.gradcheck(lambda x: reference.spatial_response_norm(x, NormSpec(1, 0.3, 0.75, 3)), x)
    assert torch.autograd.gradcheck(lambda x: reference.spatial_response_norm(x, NormSpec(1, 0.3, 0.75, 4)), x)
    assert torch.autograd.gradcheck(
        lambda x: reference.relu_norm_pool(
            x, NormPool(relu_first=True, norm=NormSpec(2, 0.3, 0.75, 5), relu_last=False, kernel=2, stride=2)
        ),
        x,
    )


@both_forms
def test_the_stock_layer_computes_the_same():
    x = signed((2, 30, 4, 5), dtype=torch.float32)
    for size in (3, 4, 5):
        stock = torch.nn.LocalResponseNorm(size, alpha=1e-3 * size, beta=0.75, k=2)
        torch.testing.assert_close(
            kernels.local_response_norm(x, NormSpec(2, 1e-3, 0.75, size)), stock(x), rtol=1e-5, atol=1e-5
        )


@both_forms
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize(("before", "rows", "columns"), [(0, 4, 3), (2, 4, 3), (1, 2, 6)])
@pytest.mark.parametrize("shape", [(2, 3, 9, 7), (1, 1, 5, 8), (0, 3, 9, 7)])
def test_space_to_depth(shape, before, rows, columns, stride, dtype):
    x = signed(shape, dtype=dtype)
    padded = np.zeros((*shape[:2], 40, 40))
    padded[:, :, before : before + shape[2], before : before + shape[3]] = double(x)
    got = double(kernels.space_to_depth(x, stride, before, rows, columns))
    assert got.shape == (shape[0], stride * stride * shape[1], rows, columns)
    for row, column in itertools.product(range(rows), range(columns)):
        window = padded[:, :, stride * row : stride * (row + 1), stride * column : stride * (column + 1)]
        assert np.array_equal(got[:, :, row, column], window.transpose(0, 2, 3, 1).reshape(shape[0], got.shape[1]))


def test_space_to_depth_is_differentiable():
    x = signed((1, 2, 5, 5), dtype=torch.float64).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: kernels.space_to_depth(x, 2, 1, 3, 3), x)


# ---- Update ------------------------------------------------------------------------------------------------------


LAYOUTS = [
    *((shape, "same") for shape in [(1000, 37), (96, 3, 11, 11), (5,), (), (0,)]),
    *(((6, 3, 5, 5), name) for name in ("weight channels_last", "gradient channels_last", "gradient expanded")),
]


@both_forms
@pytest.mark.parametrize("copies", [True, False])
@pytest.mark.parametrize("gradient_dtype", DTYPES)
@pytest.mark.parametrize(("shape", "layout"), LAYOUTS)
def test_update(shape, layout, gradient_dtype, copies):
    generator = torch.Generator().manual_seed(0)
    weight, velocity, gradient = (torch.randn(shape, generator=generator) for _ in range(3))
    gradient = gradient.to(gradient_dtype)
    if layout == "weight channels_last":
        weight, velocity = (t.contiguous(memory_format=torch.channels_last) for t in (weight, velocity))
    if layout == "gradient channels_last":
        gradient = gradient.contiguous(memory_format=torch.channels_last)
    if layout == "gradient expanded":
        gradient = gradient[:1].expand(shape)
    wanted = twins.update(double(weight), double(velocity), double(gradient), 0.01, 0.9, 5e-4)
    version = weight._version
    copy = torch.zeros_like(weight, dtype=torch.bfloat16) if copies else None
    kernels.update_(weight, velocity, gradient, learning_rate=0.01, momentum=0.9, decay=5e-4, copy=copy)
    assert_close(weight, wanted[0])
    assert_close(velocity, wanted[1])
    assert weight._version > version  # autograd must see that a saved weight has changed
    assert copy is None or torch.equal(copy, weight.bfloat16())


@both_forms
def test_update_of_a_copy_laid_out_otherwise():
    weight, velocity, gradient = (torch.randn(6, 3, 5, 5) for _ in range(3))
    copy = torch.zeros_like(weight, dtype=torch.bfloat16, memory_format=torch.channels_last)
    kernels.update_(weight, velocity, gradient, learning_rate=0.01, momentum=0.9, decay=5e-4, copy=copy)
    assert torch.equal(copy, weight.bfloat16())


@both_forms
def test_update_of_a_parameter_and_the_state_of_another_dtype():
    parameter = torch.nn.Parameter(torch.ones(8))
    kernels.update_(parameter, torch.zeros(8), torch.ones(8), learning_rate=0.5, momentum=0.9, decay=0.0)
    assert torch.equal(parameter.detach(), torch.full((8,), 0.5))
    double_weight = torch.ones(8, dtype=torch.float64)
    kernels.update_(
        double_weight, torch.zeros(8, dtype=torch.float64), torch.ones(8), learning_rate=0.5, momentum=0.9, decay=0.0
    )
    assert torch.equal(double_weight, torch.full((8,), 0.5, dtype=torch.float64))
    with pytest.raises(ValueError, match="shapes differ"):
        kernels.update_(torch.ones(8), torch.ones(8), torch.ones(4), learning_rate=0.5, momentum=0.9, decay=0.0)


# ---- Augmentation ------------------------------------------------------------------------------------------------


@both_forms
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mean_shape", [(3, 1, 1), (3, 6, 6), (3, 9, 11)])
@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("noisy", [True, False])
def test_augment(count, mean_shape, noisy, dtype):
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (count, 9, 11, 3), dtype=np.uint8)
    offsets = np.stack([random.integers(0, 4, count), random.integers(0, 6, count)], axis=1)
    mirror = np.arange(count) % 2 == 0
    mean = random.uniform(90, 150, mean_shape).astype(np.float32)
    noise = random.normal(0, 5, (count, 3)).astype(np.float32) * noisy
    crops = Crops(
        offsets_b2=torch.from_numpy(offsets),
        mirror_b=torch.from_numpy(mirror),
        mean=torch.from_numpy(mean),
        noise_b3=torch.from_numpy(noise) if noisy else None,
        scale=1 / 1.1,
        size=6,
        dtype=dtype,
    )
    got = kernels.augment(torch.from_numpy(pictures), crops)
    assert got.dtype == dtype
    assert got.is_contiguous(memory_format=torch.channels_last)
    assert_close(got, twins.augment(pictures, offsets, mirror, mean, noise, 1 / 1.1, 6))


@both_forms
def test_augment_refuses_what_would_read_beyond_a_picture():
    def crop(**changes):
        given_ = {
            "offsets_b2": torch.zeros(2, 2, dtype=torch.int64),
            "mirror_b": torch.zeros(2, dtype=torch.bool),
            "mean": torch.zeros(3, 1, 1),
            "noise_b3": None,
            "scale": 1.0,
            "size": 6,
            "dtype": torch.float32,
        }
        pictures = changes.pop("pictures", torch.zeros(2, 8, 8, 3, dtype=torch.uint8))
        return kernels.augment(pictures, Crops(**(given_ | changes)))

    assert crop().shape == (2, 3, 6, 6)
    for offset in ([-1, 0], [0, 3], [3, 0]):
        with pytest.raises(ValueError, match="leaves its picture"):
            crop(offsets_b2=torch.tensor([[0, 0], offset]))
    with pytest.raises(ValueError, match="leaves its picture"):
        crop(size=9)
    with pytest.raises(ValueError, match="the mean has shape"):
        crop(mean=torch.zeros(3, 7, 7))
    with pytest.raises(ValueError, match="expected uint8"):
        crop(pictures=torch.zeros(2, 8, 8, 3))
    with pytest.raises(ValueError, match="2 pictures"):
        crop(mirror_b=torch.zeros(3, dtype=torch.bool))


@both_forms
def test_refusals_name_the_numbers():
    with pytest.raises(ValueError, match="7 maps do not divide into 2"):
        kernels.local_response_norm(torch.zeros(1, 7, 2, 2), NormSpec(*PAPER, 2))
    with pytest.raises(ValueError, match="B × C × H × W"):
        kernels.local_response_norm(torch.zeros(7, 2), NormSpec(*PAPER))
    with pytest.raises(ValueError, match="size=0"):
        NormSpec(1, 1, 1, 0)


@both_forms
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_other_dtypes_take_the_reference(dtype):
    x = signed((1, 20, 5, 5), dtype=dtype)  # squares of these overflow float16
    y = kernels.local_response_norm(x, NormSpec(*PAPER))
    assert y.dtype == dtype
    wanted = twins.map_norm(double(x), *PAPER, 1)
    assert np.abs(double(y) - wanted).max() <= (1e-12 if dtype == torch.float64 else 1e-3) * np.abs(wanted).max()
