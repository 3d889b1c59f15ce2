"""Toy scale: built-in pictures of 32 pixels, one epoch, the toy network."""

from collections.abc import Callable
from pathlib import Path

import pytest

from alexnet.data import synthetic
from alexnet.data.sources import open_source
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from alexnet.experiments.lab import Lab
from alexnet.experiments.settings import Settings

TOY = {
    "seeds": 2, "epochs": 1, "net": "toy", "batch": 32, "input_size": 28, "threads": 1, "precision": "fp32",
    "device": "cpu",
}  # fmt: skip
MakeLab = Callable[..., Lab]


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """96 training and 36 validation pictures of the twelve built-in classes."""
    folder = tmp_path_factory.mktemp("drawn")
    synthetic.write(folder / "pictures", train_per_class=8, val_per_class=3, side=32)
    return prepare(open_source(folder / "pictures"), folder / "drawn.store", size=32)


@pytest.fixture(scope="session")
def more(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Others of the same classes, standing for a larger label set."""
    folder = tmp_path_factory.mktemp("more")
    synthetic.write(folder / "pictures", train_per_class=6, val_per_class=1, side=32, seed=1)
    return prepare(open_source(folder / "pictures"), folder / "more.store", size=32)


@pytest.fixture
def make_lab(drawn: Store, tmp_path: Path) -> MakeLab:
    def make(folder: Path = tmp_path / "lab", pretraining: Store | None = None, **changes: object) -> Lab:
        settings = Settings(**(TOY | changes))  # type: ignore[arg-type]
        return Lab(folder, drawn, settings, pretraining, quiet=True)

    return make
