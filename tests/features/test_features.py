"""What a layer makes of pictures: against the network itself, row by row, view by view; for every kind of picture."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.features.extract import describer, features_of, layer_named
from alexnet.features.pictures import Pool
from alexnet.images.decode import Undecodable
from alexnet.measure.run import Run
from alexnet.nets.network import build


def by_hand(run: Run, records: np.ndarray, layer: str, row: int, column: int, mirrored: bool) -> np.ndarray:
    """A view cut with numpy, through `activations`."""
    size = run.inputs.size
    mean = run.mean_image.permute(1, 2, 0).numpy()
    views = (records.astype(np.float32) - mean)[:, row : row + size, column : column + size]
    views = views[:, :, ::-1] if mirrored else views
    with torch.no_grad():
        seen = run.network.activations(torch.from_numpy(np.ascontiguousarray(views.transpose(0, 3, 1, 2))))
    return seen[layer].flatten(1).numpy()


@pytest.mark.parametrize("layer", ["conv1", "relu1", "pool1", "conv2", "relu7", "fc8"])
def test_the_centre_view_of_every_kind_of_row(run: Run, store: Store, layer: str) -> None:
    part = store.splits["val"]
    records = part.read(np.arange(len(part)))
    found = features_of(run, part, layer)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_hand(run, records, layer, 4, 4, False), rtol=2e-4, atol=2e-4)
    assert found.shape[1] == describer(run, layer).size


def test_ten_views_are_averaged(run: Run, store: Store) -> None:
    part = store.splits["val"]
    records = part.read(np.arange(7))
    corners = [(0, 0), (0, 8), (4, 4), (8, 0), (8, 8)]
    views = [by_hand(run, records, "relu6", *corner, mirrored) for corner in corners for mirrored in (False, True)]
    found = features_of(run, part, "relu6", 10, indices=np.arange(7))
    np.testing.assert_allclose(found, np.mean(views, axis=0), rtol=2e-4, atol=2e-4)


def test_files_arrays_and_records_are_the_same_picture(run: Run, store: Store, tmp_path: Path) -> None:
    records = store.splits["val"].read(np.array([3, 1]))
    files = [tmp_path / f"{name}.png" for name in "ab"]
    for file, record in zip(files, records, strict=True):
        Image.fromarray(record).save(file)
    expected = features_of(run, store.splits["val"], indices=np.array([3, 1]))
    for pictures in (files, [str(f) for f in files], np.array([str(f) for f in files]), records, list(records)):
        np.testing.assert_array_equal(features_of(run, pictures), expected)  # type: ignore[arg-type]
    np.testing.assert_array_equal(features_of(run, files[0])[0], features_of(run, records[0])[0])


def test_parts_pooled_are_read_in_any_order(store: Store) -> None:
    train, val = store.splits["train"], store.splits["val"]
    pool = Pool({"train": train, "val": val})
    assert len(pool) == len(pool.keys) == len(pool.labels) == 260
    order = np.array([259, 0, 199, 200, 0])
    expected = np.concatenate([val.read(np.array([59])), train.read(np.array([0, 199])), val.read(np.array([0]))])
    np.testing.assert_array_equal(pool.read(order)[:4], expected)
    np.testing.assert_array_equal(pool.read(order)[4], expected[1])
    assert pool.keys[200] == val.keys[0]
    assert pool.labels[200] == val.labels[0]


def test_layers_by_number_are_the_papers_with_pool_and_norm() -> None:
    network = build("alexnet", 10, width=1 / 16)
    assert [layer_named(network, number) for number in range(1, 9)] == [
        "pool1", "pool2", "relu3", "relu4", "pool5", "relu6", "relu7", "fc8",
    ]  # fmt: skip
    assert layer_named(build("zfnet", 10, width=1 / 16), "1") == "norm1"
    assert layer_named(network) == "relu7"
    assert layer_named(build("alexnet-no-fc7", 10, width=1 / 16)) == "relu6"
    with pytest.raises(UserError, match=r"alexnet has no layer 9; its layers with weights are 1 … 8"):
        layer_named(network, 9)


def test_mistakes_are_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="conv9"):
        features_of(run, np.zeros((1, 40, 40, 3), np.uint8), "conv9")
    with pytest.raises(UsageError, match="--views 3: choose one of 1, 5, 9, 10"):
        features_of(run, np.zeros((1, 40, 40, 3), np.uint8), views=3)
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(Undecodable, match=r"torn\.jpg"):
        features_of(run, [tmp_path / "torn.jpg"])


def test_nothing_gives_nothing(run: Run) -> None:
    assert features_of(run, []).shape == (0, describer(run).size)
