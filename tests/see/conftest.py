"""What the tests of `alexnet.see` look into: small networks whose signal reaches the end, and a run folder made by hand
with snapshots."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from alexnet.data.preprocessing import Preprocessing
from alexnet.data.store.read import Store
from alexnet.measure.run import Run
from alexnet.nets import table_json
from alexnet.nets.network import build
from alexnet.runs.folder import RunFolder

sys.path.insert(0, str(Path(__file__).parent))  # for made_networks: test folders are not packages
from made_networks import lively

SIZE = 32


def make_run(folder: Path, store: Store, *, snapshots: tuple[int, ...] = ()) -> Run:
    """A run folder of the toy network, which takes 32 of the store's 40 pixels."""
    network = lively(build("toy", len(store.class_ids), input_size=SIZE), seed=1)
    statistics = store.statistics
    inputs = Preprocessing(
        mean_image=torch.from_numpy(statistics.mean_image.copy()).permute(2, 0, 1).contiguous(),
        size=SIZE,
        eigenvalues=torch.from_numpy(statistics.eigenvalues.copy()),
        eigenvectors=torch.from_numpy(statistics.eigenvectors.copy()),
    )
    config = {
        "network": {"table": table_json.to_json(network.table), "input_size": SIZE, "mean": "aligned"},
        "classes": {"names": list(store.class_names), "ids": list(store.class_ids), "order": store.class_order},
        "data": {"path": str(store.path), "fingerprint": store.fingerprint, "size": store.size},
        "machine": {"device": "cpu", "precision": "fp32"},
        "finished": True,
    }
    made = RunFolder.create(folder, config, inputs)
    for epoch in snapshots:
        (folder / "snapshots").mkdir(exist_ok=True)
        made.save_snapshot(lively(build("toy", len(store.class_ids), input_size=SIZE), seed=epoch).state_dict(), epoch)
    made.save_model(network.state_dict())
    return Run.open(folder, device="cpu")


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, store: Store) -> Run:
    """A run with snapshots of epochs 1, 2 and 5."""
    return make_run(tmp_path_factory.mktemp("see") / "run", store, snapshots=(1, 2, 5))


@pytest.fixture
def make(tmp_path: Path, store: Store) -> Callable[..., Run]:
    return lambda **options: make_run(tmp_path / "made", store, **options)
