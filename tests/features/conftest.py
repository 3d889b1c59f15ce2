"""What the tests of `alexnet.features` use: a toy network, trained for some seconds on the stripes."""

from pathlib import Path

import pytest

from alexnet.data.store.read import Store
from alexnet.measure.run import Run
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions

SIZE = 32


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, store: Store) -> Path:
    """The run folder of a toy network that has learned something of the stripes."""
    folder = tmp_path_factory.mktemp("reuse") / "run"
    options = TrainOptions(
        net="toy", input_size=SIZE, epochs=4, batch=20, precision="fp32", device="cpu", threads=1, colour_noise="off"
    )
    train(store, folder, options, quiet=True)
    return folder


@pytest.fixture(scope="session")
def run(trained: Path) -> Run:
    return Run.open(trained, device="cpu")
