"""The Triton kernels against their naive float64 twins; test_triton.py runs this in a process of its own.

On a GPU where there is one (ALEXNET_TRITON_DEVICE=cuda), else in Triton's interpreter on the CPU: that is chosen by
TRITON_INTERPRET before triton is imported, for the whole process. The interpreter takes milliseconds for each operation
of each program, so all is tiny here; with several programs for each kernel all the same.
"""

import math
import os

import kernel_twins as twins
import numpy as np
import pytest
import torch
from test_kernels import ORDERS, PAPER, SPECS, layouts, signed

from alexnet.kernels import Crops, NormPool, NormSpec, triton_kernels

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, of 1/0, in the interpreter
DEVICE = torch.device(os.environ.get("ALEXNET_TRITON_DEVICE", "cpu"))
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}  # of the largest value
DTYPES = list(TOLERANCE)
FLOATS_FIRST = [
    torch.float32,
    *(pytest.param(half, marks=() if DEVICE.type == "cuda" else pytest.mark.long) for half in DTYPES[1:]),
]
"""All on a GPU; in the interpreter halves are loaded and stored as in test_relu_norm_pool_in_half_precision."""
NARROW = (
    *PAPER[:-1],
    3,
    2,
)  # the paper's normalisation over three maps, in two blocks: half as long in the interpreter


@pytest.fixture(autouse=True)
def small_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    if DEVICE.type == "cpu":
        monkeypatch.setattr(triton_kernels, "BLOCK", 256)


def double(x: torch.Tensor) -> np.ndarray:
    return x.detach().cpu().double().numpy()


def assert_close(got: torch.Tensor, wanted: np.ndarray) -> None:
    assert got.device.type == DEVICE.type
    assert tuple(got.shape) == wanted.shape
    if wanted.size:
        error = np.abs(double(got) - wanted).max()
        assert error <= TOLERANCE[got.dtype] * np.abs(wanted).max(), error


def value_and_gradient(function, x: torch.Tensor, seed=1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x = x.detach().to(DEVICE).requires_grad_()
    y = function(x)
    g = signed(y.shape, dtype=x.dtype, scale=1.0, seed=seed).to(DEVICE)
    y.backward(g)
    assert x.grad is not None
    assert y.dtype == x.grad.dtype == x.dtype
    assert y.is_contiguous(memory_format=torch.channels_last)
    return y.detach(), x.grad, g


@pytest.mark.parametrize("dtype", FLOATS_FIRST)
@pytest.mark.parametrize(("spec", "maps"), [case for case in SPECS if case.values[0][3] <= 9])
def test_local_response_norm(spec, maps, dtype):
    x = signed((2, maps, 1, 2), dtype=dtype)
    y, gradient, g = value_and_gradient(lambda x: triton_kernels.relu_norm_pool(x, NormPool(norm=NormSpec(*spec))), x)
    assert_close(y, twins.map_norm(double(x), *spec))
    assert_close(gradient, twins.map_norm_gradient(double(x), double(g), *spec))


def check_relu_norm_pool(x, norm, **rows) -> None:
    spec = NormSpec(*norm) if norm else None
    y, gradient, g = value_and_gradient(lambda x: triton_kernels.relu_norm_pool(x, NormPool(norm=spec, **rows)), x)
    values, wanted = twins.relu_norm_pool(double(x), lambda _: double(g), norm=norm, **rows)
    assert_close(y, values)
    assert_close(gradient, wanted)


@pytest.mark.parametrize("norm", [None, (*PAPER, 2)])
@pytest.mark.parametrize(("relu_first", "relu_last"), ORDERS)
def test_relu_norm_pool_in_every_order(relu_first, relu_last, norm):
    x = signed((2, 10, 3, 5), dtype=torch.float32)
    check_relu_norm_pool(x, norm, relu_first=relu_first, relu_last=relu_last, kernel=3, stride=2)


@pytest.mark.parametrize("norm", [None, NARROW])
@pytest.mark.parametrize(
    ("height", "width", "kernel", "stride"),
    [(7, 4, 3, 2), (5, 6, 2, 2), (4, 3, 3, 1), (2, 2, 3, 2), (1, 1, 1, 1), (9, 4, 4, 3), (6, 5, 5, 4)],
)
def test_relu_norm_pool_on_awkward_sizes(height, width, kernel, stride, norm):
    x = signed((2, 6, height, width), dtype=torch.float32)
    check_relu_norm_pool(x, norm, relu_first=True, relu_last=False, kernel=kernel, stride=stride)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("relu_first", "relu_last"), ORDERS)
def test_relu_norm_pool_in_half_precision(relu_first, relu_last, dtype):
    x = signed((2, 6, 5, 4), dtype=dtype)
    check_relu_norm_pool(x, NARROW, relu_first=relu_first, relu_last=relu_last, kernel=3, stride=2)


@pytest.mark.parametrize("dtype", FLOATS_FIRST)
@pytest.mark.parametrize("norm", [(0.0, 1.0, 1.0, 3, 1), (0.0, 1.0, 0.75, 3, 2), (*PAPER, 1), (0.0, 1.0, 0.6, 3, 1)])
def test_all_zero_maps_stay_finite(norm, dtype):
    x = torch.zeros(2, 6, 3, 3, dtype=dtype)
    x[0, 3, 2, 2] = 3.0
    spec = NormSpec(*norm)
    for function in (
        lambda x: triton_kernels.relu_norm_pool(x, NormPool(norm=spec)),
        lambda x: triton_kernels.relu_norm_pool(
            x, NormPool(relu_first=True, norm=spec, relu_last=False, kernel=3, stride=2)
        ),
    ):
        y, gradient, _ = value_and_gradient(function, x)
        assert y.isfinite().all()
        assert gradient.isfinite().all()
        assert y[1].eq(0).all()
        assert y[0].ne(0).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_activations_of_ten_thousand(dtype):
    x = signed((2, 24, 2, 3), dtype=dtype, scale=1e4)
    y, gradient, g = value_and_gradient(lambda x: triton_kernels.relu_norm_pool(x, NormPool(norm=NormSpec(*PAPER))), x)
    assert_close(y, twins.map_norm(double(x), *PAPER, 1))
    assert_close(gradient, twins.map_norm_gradient(double(x), double(g), *PAPER, 1))


@pytest.mark.parametrize("place", [(0, 0, 0, 0), (1, 4, 3, 2), (1, 9, 4, 4)])
def test_nan_is_not_hidden(place):
    x = signed((2, 10, 5, 5), dtype=torch.float32)
    x[place] = math.nan
    norm = NormSpec(*PAPER, 2)
    for first, last, spec in ((True, False, norm), (False, True, norm), (True, False, None)):
        steps = NormPool(relu_first=first, norm=spec, relu_last=last, kernel=3, stride=2)
        y = triton_kernels.relu_norm_pool(x.to(DEVICE), steps)
        assert y[place[0], place[1], min(place[2] // 2, 1), min(place[3] // 2, 1)].isnan()


def test_nan_stays_in_its_tower_and_place():
    x = signed((1, 20, 3, 3), dtype=torch.float32)
    x[0, 9, 1, 1] = math.nan
    y, gradient, _ = value_and_gradient(
        lambda x: triton_kernels.relu_norm_pool(x, NormPool(norm=NormSpec(*PAPER, 2))), x
    )
    spoilt = torch.zeros_like(y, dtype=torch.bool)
    spoilt[0, 5:10, 1, 1] = True
    assert not y.isnan()[~spoilt].any()
    assert not gradient.isnan()[~spoilt].any()
    assert gradient[0, 7:10, 1, 1].isnan().all()


@pytest.mark.parametrize("batch", [0, 1])
def test_batches_of_none_and_one(batch):
    x = signed((batch, 10, 5, 5), dtype=torch.float32)
    rows = {"relu_first": True, "relu_last": False, "kernel": 3, "stride": 2}
    y, gradient, _ = value_and_gradient(
        lambda x: triton_kernels.relu_norm_pool(x, NormPool(norm=NormSpec(*PAPER), **rows)), x
    )  # fmt: skip
    assert y.shape == (batch, 10, 2, 2)
    assert gradient.shape == x.shape


@pytest.mark.parametrize("shape", [(2, 6, 3, 4), (3, 1, 4, 4), (2, 5, 1, 1)])
@pytest.mark.parametrize("name", ["contiguous", "slice", "transposed", "expanded"])
def test_any_memory_layout_of_input_and_gradient(shape, name):
    def function(x):
        return triton_kernels.relu_norm_pool(
            x, NormPool(relu_first=True, norm=NormSpec(*PAPER), relu_last=False, kernel=1, stride=1)
        )

    x = signed(shape, dtype=torch.float32)
    wanted, gradient, g = value_and_gradient(function, x)
    odd = layouts(x)[name].to(DEVICE).detach()
    if name == "expanded":
        wanted, gradient, _ = value_and_gradient(function, odd.clone(memory_format=torch.channels_last))
    odd.requires_grad_()
    y = function(odd)
    y.backward(layouts(g.cpu())[name].to(DEVICE) if name != "expanded" else g)
    assert torch.equal(y, wanted)
    assert torch.equal(odd.grad, gradient)


def test_bit_identical_at_every_run_whatever_the_programs_size(monkeypatch):
    x = signed((2, 12, 3, 4), dtype=torch.bfloat16)

    def function(x):
        return triton_kernels.relu_norm_pool(
            x, NormPool(relu_first=True, norm=NormSpec(*NARROW), relu_last=False, kernel=3, stride=2)
        )

    first = value_and_gradient(function, x)
    for block in (256, 128, 1024):
        monkeypatch.setattr(triton_kernels, "BLOCK", block)
        again = value_and_gradient(function, x)
        assert torch.equal(first[0], again[0])
        assert torch.equal(first[1], again[1])


def test_the_first_of_equal_maxima_takes_the_gradient():
    x = torch.full((1, 4, 5, 5), 7.0)
    rows = {"relu_first": True, "norm": None, "relu_last": False, "kernel": 3, "stride": 2}
    x = x.to(DEVICE).requires_grad_()
    triton_kernels.relu_norm_pool(x, NormPool(**rows)).sum().backward()
    wanted = torch.zeros(5, 5)
    wanted[::2, ::2][:2, :2] = 1
    assert x.grad is not None
    assert torch.equal(x.grad.cpu(), wanted.expand(1, 4, 5, 5))


@pytest.mark.parametrize("gradient_dtype", DTYPES)
@pytest.mark.parametrize("copy_dtype", [None, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(30, 37), (6, 3, 5, 5), (5,), (), (0,)])
def test_update(shape, copy_dtype, gradient_dtype):
    generator = torch.Generator().manual_seed(0)
    weight, velocity, gradient = (torch.randn(shape, generator=generator).to(DEVICE) for _ in range(3))
    gradient = gradient.to(gradient_dtype)
    copy = None if copy_dtype is None else torch.zeros_like(weight, dtype=copy_dtype)
    wanted = twins.update(double(weight), double(velocity), double(gradient), 0.01, 0.9, 5e-4)
    triton_kernels.update_(weight, velocity, gradient, copy, 0.01, 0.9, 5e-4)
    assert_close(weight, wanted[0])
    assert_close(velocity, wanted[1])
    if copy is not None:
        assert_close(copy, wanted[0])  # the interpreter cuts bfloat16 where a GPU rounds
        assert DEVICE.type == "cpu" or torch.equal(copy, weight.to(copy.dtype))


def crops(count: int, mean_shape: tuple[int, ...]) -> dict[str, torch.Tensor]:
    random = np.random.default_rng(0)
    arrays = {
        "pictures_bhwc": random.integers(0, 256, (count, 9, 11, 3), dtype=np.uint8),
        "offsets_b2": np.stack([random.integers(0, 4, count), random.integers(0, 6, count)], axis=1),
        "mirror_b": np.arange(count) % 2 == 0,
        "mean": random.uniform(90, 150, mean_shape).astype(np.float32),
        "noise_b3": random.normal(0, 5, (count, 3)).astype(np.float32),
    }
    return {name: torch.from_numpy(array).to(DEVICE) for name, array in arrays.items()}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mean_shape", [(3, 1, 1), (3, 6, 6), (3, 9, 11)])
@pytest.mark.parametrize("count", [0, 5])
def test_augment(count, mean_shape, dtype):
    given = crops(count, mean_shape)
    for noise in (given["noise_b3"], None):
        call = {**given, "noise_b3": noise}
        pictures = call.pop("pictures_bhwc")
        got = triton_kernels.augment(pictures, Crops(**call, scale=1 / 1.1, size=6, dtype=dtype))
        assert got.dtype == dtype
        assert got.is_contiguous(memory_format=torch.channels_last)
        arrays = [given[name].cpu().numpy() for name in ("pictures_bhwc", "offsets_b2", "mirror_b", "mean")]
        added = np.zeros((count, 3)) if noise is None else noise.cpu().numpy()
        assert_close(got, twins.augment(*arrays, added, 1 / 1.1, 6))


def test_a_crop_beyond_its_picture_shows():
    given = crops(3, (3, 9, 11))
    given["offsets_b2"] = torch.tensor([[0, 0], [4, 0], [-1, 5]], device=DEVICE)
    got = triton_kernels.augment(given.pop("pictures_bhwc"), Crops(**given, scale=1.0, size=6, dtype=torch.float32))
    assert got[0].isfinite().all()
    assert got[1, :, 5].isnan().all()
    assert got[1, :, :5].isfinite().all()
    assert got[2, :, 0].isnan().all()
