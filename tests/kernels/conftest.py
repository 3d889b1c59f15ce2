"""Every test of a kernel runs on both forms; the compiled one is skipped, saying why, where it cannot be built."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alexnet import kernels
from alexnet.errors import UserError

sys.path.insert(0, str(Path(__file__).parent))  # for kernel_twins: test folders are not packages


@pytest.fixture(params=["reference", "compiled"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(kernels, "_chosen", None)  # so that what was chosen before comes back
    try:
        kernels.choose(request.param)
    except UserError as reason:
        pytest.skip(str(reason))
    yield request.param
    monkeypatch.undo()
    kernels._decide.cache_clear()
