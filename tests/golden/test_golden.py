"""The losses of the first updates are those that were committed. Meant to change? `python tools/golden.py --write`."""

import json
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import torch

from alexnet import kernels
from alexnet.data.store.read import Store

ROOT = Path(__file__).parents[2]


def load_tool(name: str) -> ModuleType:
    spec = spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


golden = load_tool("golden")
COMMITTED = json.loads(golden.LOSSES.read_text())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return golden.make_store(tmp_path_factory.mktemp("golden"))


@pytest.fixture(autouse=True)
def left_as_found(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads and kernels as they were."""
    monkeypatch.setattr(kernels, "_chosen", None)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    monkeypatch.undo()
    kernels._decide.cache_clear()


def test_every_case_is_committed_with_thirty_updates_that_move() -> None:
    assert list(COMMITTED) == list(golden.CASES)
    for case, losses in COMMITTED.items():
        assert (len(losses["training"]), len(losses["validation"])) == (30, 3), case
        assert len(set(losses["training"])) == 30, case


@pytest.mark.parametrize("form", ["reference", "compiled"])
@pytest.mark.parametrize("case", golden.CASES)
def test_losses_are_as_committed(pictures: Store, case: str, form: str) -> None:
    assert golden.distance(golden.losses_of(pictures, case, form), COMMITTED[case]) <= golden.TOLERANCE


@pytest.mark.parametrize("change", [{"decay": 0.01}, {"momentum": 0.89}, {"mirror": False}, {"seed": 9}])
def test_a_change_of_the_rule_shows(pictures: Store, change: dict[str, float]) -> None:
    """Small changes lead farther away than another processor may."""
    assert golden.distance(golden.losses_of(pictures, "toy", **change), COMMITTED["toy"]) > golden.TOLERANCE


def test_two_runs_of_a_machine_agree_to_the_bit(pictures: Store) -> None:
    twice = [golden.losses_of(pictures, "narrow alexnet-145") for _ in range(2)]
    assert twice[0] == twice[1]


def test_the_pictures_are_those_they_were() -> None:
    """Worked out with Python's whole numbers."""

    def hashed(number: int) -> int:
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
            number = ((number ^ number >> shift) * factor) % 2**32
        return number

    drawn = golden.picture(2, 17)
    for row, column, colour in ((0, 0, 0), (5, 70, 2), (71, 71, 1)):
        stripes = (row * 7 + column * 5 + 37 * 17) // 8 % 2 * 96
        noise = hashed(((row * 72 + column) * 3 + colour) * 1009 + 97 * 17 + 2) % 128
        assert drawn[row, column, colour] == stripes + noise + colour * (17 * 5 % 15)
