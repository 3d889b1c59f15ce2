"""The two forms of making a record square: the same bytes, whatever the picture; and which one runs."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from alexnet.images import compiled, resample
from alexnet.images.resample import FILTERS, Resample, by_library, by_pillow, square

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built() -> None:
    if compiled.library() is None:
        pytest.skip("no C++ compiler here")


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.usefixtures("built")
@settings(max_examples=150, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 70), st.sampled_from(list(FILTERS)), st.integers(0, 9))
@example(1, 1, 1, "bicubic", 0)
@example(1, 3000, 7, "lanczos", 0)
@example(3000, 2, 64, "bilinear", 0)
@example(256, 300, 256, "lanczos", 0)
def test_the_compiled_form_gives_pillows_bytes(height: int, width: int, size: int, name: Resample, seed: int) -> None:
    picture = noise(height, width, seed)
    assert np.array_equal(by_library(picture, size, name), by_pillow(picture, size, name))


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("shape", [(375, 500), (500, 333), (129, 97), (1300, 1100)])
def test_the_compiled_form_gives_pillows_bytes_at_full_size(shape: tuple[int, int], name: Resample) -> None:
    sharp = Image.fromarray(np.where(np.asarray(noise(*shape)) < 128, 0, 255).astype(np.uint8))  # sums leave 0–255
    assert np.array_equal(by_library(sharp, 256, name), by_pillow(sharp, 256, name))


@pytest.mark.usefixtures("built")
def test_a_form_that_differs_from_this_pillow_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resample._agree()
    monkeypatch.setattr(resample, "by_library", lambda *order: by_pillow(*order) ^ np.uint8(1))
    assert not resample._agree()


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    picture = noise(40, 40)
    assert np.array_equal(square(picture, 40, "lanczos"), np.asarray(picture))


@pytest.mark.parametrize("environment", [{"ALEXNET_KERNELS": "reference"}, {"PATH": ""}], ids=["asked", "no compiler"])
def test_without_the_compiled_form_pillow_resizes(tmp_path: Path, environment: dict[str, str]) -> None:
    code = "import sys; from alexnet.images.resample import fastest; print(fastest().__name__, 'torch' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (answer.stdout.split(), answer.stderr) == (["by_pillow", "False"], "")
