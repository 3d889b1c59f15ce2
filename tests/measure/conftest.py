"""A run folder made by hand: a toy network with random weights whose answers differ from picture to picture."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from alexnet.data.preprocessing import Preprocessing
from alexnet.data.store.read import Store
from alexnet.measure.run import Run
from alexnet.nets import table_json
from alexnet.nets.network import Network, build
from alexnet.runs.folder import RunFolder

SIZE = 32
GAIN = {"conv1.weight": 1 / 30, "fc8.weight": 40}
MakeRun = Callable[..., Run]


def toy_network(classes: int, pictures: Tensor) -> Network:
    """Weights that carry the signal to the end, and a last layer that says loudly how a picture differs from the mean
    of `pictures` (B, 3, 32, 32): each class is the answer for some."""
    network = build("toy", classes, input_size=SIZE, seed=3)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.endswith("weight"):
                deviation = (2 / weight[0].numel()) ** 0.5 * GAIN.get(name, 1)
                weight.copy_(torch.randn(weight.shape, generator=generator) * deviation)
            else:
                weight.zero_()
        logits = network.eval()(pictures)
        network.get_parameter("fc8.bias").copy_(-logits.mean(dim=0))
    return network


@pytest.fixture
def make_run(tmp_path: Path, store: Store) -> MakeRun:
    def make(name: str = "run", *, mean: str = "aligned", weights: bool = True, **changes: Any) -> Run:
        statistics = store.statistics
        inputs = Preprocessing(
            mean_image=torch.from_numpy(statistics.mean_image.copy()).permute(2, 0, 1).contiguous(),
            size=SIZE,
            eigenvalues=torch.from_numpy(statistics.eigenvalues.copy()),
            eigenvectors=torch.from_numpy(statistics.eigenvectors.copy()),
        )
        records = torch.from_numpy(store.splits["val"].pictures[:].copy()).permute(0, 3, 1, 2)
        network = toy_network(len(store.class_ids), (records - inputs.mean_image)[:, :, 4:36, 4:36])
        config = {
            "alexnet": "0",
            "torch": "0",
            "python": "3",
            "network": {"table": table_json.to_json(network.table), "input_size": SIZE, "mean": mean},
            "classes": {
                "names": [f"stripes {ident}" for ident in store.class_ids],
                "ids": list(store.class_ids),
                "order": store.class_order,
            },
            "data": {"fingerprint": store.fingerprint, "size": store.size, "pictures": {"train": 200, "val": 60}},
            "recipe": {"name": "paper", "about": "by hand", "learning_rate": 0.01, "augmentation": {"mirror": True}},
            "options": {"recipe": "paper", "net": "toy", "epochs": 3, "mirror": None, "snapshots": False},
            "machine": {"device": "cpu", "threads": 2, "precision": "fp32", "kernels": "none"},
            "finished": True,
        }
        folder = RunFolder.create(tmp_path / name, config | changes, inputs)
        if weights:
            folder.save_model(network.state_dict())
        return Run.open(folder.path, device="cpu")

    return make


@pytest.fixture
def run(make_run: MakeRun) -> Run:
    return make_run()
