"""Maps of pictures: classes that a network tells apart lie apart; PCA against the singular vectors; refusals."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.features.extract import features_of
from alexnet.features.picture_map import PictureMap, picture_map
from alexnet.measure.run import Run


@pytest.fixture(scope="module")
def by_pca(run: Run, store: Store) -> PictureMap:
    return picture_map(run, store, method="pca", layer="fc7", most=40)


def test_pca_is_the_projection_on_the_singular_vectors(run: Run, store: Store, by_pca: PictureMap) -> None:
    values = features_of(run, store.splits["val"], "fc7", indices=np.linspace(0, 59, 40).round().astype(int))
    centred = values - values.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred.astype(float), full_matrices=False)
    assert np.allclose(np.abs(by_pca.positions), np.abs(left[:, :2] * singular[:2]), rtol=1e-3, atol=1e-3)
    assert by_pca.explained == pytest.approx((singular[:2] ** 2).sum() / (singular**2).sum(), rel=1e-4)
    assert by_pca.keys[1] == store.splits["val"].keys[2]
    assert by_pca.thumbnails.shape == (40, 48, 48, 3)


def test_tsne_keeps_neighbours(run: Run, store: Store) -> None:
    found = picture_map(run, store, layer="conv2", most=60)
    again = picture_map(run, store, layer="conv2", most=60)
    assert np.array_equal(found.positions, again.positions)
    values = features_of(run, store.splits["val"], "conv2")
    near, close = (_nearest(one) for one in (values, found.positions))
    assert np.mean([len(set(a) & set(b)) for a, b in zip(near, close, strict=True)]) > 2  # by chance 0.4 of 5


def _nearest(points: np.ndarray) -> np.ndarray:
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    return np.argsort(distances, axis=1)[:, 1:6]


@pytest.mark.parametrize("thumbnails", [False, True])
def test_it_draws_points_and_pictures(by_pca: PictureMap, thumbnails: bool) -> None:
    figure = by_pca.draw(thumbnails=thumbnails)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["angle0", "angle1", "angle2", "angle3"]
    assert axes.get_title().startswith("40 pictures by fc7: pca")
    assert len(axes.images) == thumbnails


def test_numbers_are_saved(by_pca: PictureMap, tmp_path: Path) -> None:
    assert by_pca.save(tmp_path / "map.json").exists()
    assert len(by_pca.as_json()["pictures"]) == 40


def test_umap_is_asked_for_a_plane(run: Run, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def made(**options: object) -> SimpleNamespace:
        asked.update(options)
        return SimpleNamespace(fit_transform=lambda components: components[:, :2])

    module = ModuleType("umap")
    module.UMAP = made  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "umap", module)
    found = picture_map(run, store, method="umap", layer="fc7", most=10, seed=3)
    assert asked == {"n_neighbors": 9, "random_state": 3, "n_jobs": 1}
    assert found.positions.shape == (10, 2)


def test_what_is_refused(run: Run, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="has no layer 'conv9'"):
        picture_map(run, store, layer="conv9")
    with pytest.raises(UserError, match="4 pictures: a map needs at least 5"):
        picture_map(run, store, most=4)
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(UserError, match=r"needs the package umap: pip install 'alexnet\[umap\]'"):
        picture_map(run, store, method="umap")
