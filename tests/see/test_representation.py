"""CKA and the correlation of similarities against their formulas written out, and what must not change them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.measure.run import Run
from alexnet.see import representation
from alexnet.see.representation import (
    MEASURES,
    Representations,
    centred_gram,
    compare_representations,
    correlation,
    linear_cka,
    unbiased_cka,
)

N = 30


def features(width: int, seed: int) -> Tensor:
    return torch.randn(N, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 3


def gram(values_nd: Tensor) -> Tensor:
    centred = values_nd - values_nd.mean(dim=0)
    return centred @ centred.T


def direct_cka(x: Tensor, y: Tensor) -> float:
    """Kornblith et al. 2019, by the features' cross-products."""
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    return float((y.T @ x).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm()))


def direct_hsic(x: Tensor, y: Tensor) -> float:
    """The unbiased estimate of Song et al. 2012, written out."""
    one, two = (k - torch.diag(k.diag()) for k in (x @ x.T, y @ y.T))
    ones = torch.ones(N, dtype=torch.float64)
    found = torch.trace(one @ two) + (ones @ one @ ones) * (ones @ two @ ones) / ((N - 1) * (N - 2))
    return float((found - 2 / (N - 2) * (ones @ one @ two @ ones)) / (N * (N - 3)))


@pytest.mark.parametrize("widths", [(5, 7), (50, 8), (200, 300)])
def test_measures_as_their_formulas_say(widths: tuple[int, int]) -> None:
    x = features(widths[0], 0)
    y = features(widths[1], 1)
    y[:, :5] += 2 * x[:, :5]
    assert linear_cka(gram(x), gram(y)) == pytest.approx(direct_cka(x, y), rel=1e-10)
    unbiased = direct_hsic(x, y) / (direct_hsic(x, x) * direct_hsic(y, y)) ** 0.5
    assert unbiased_cka(gram(x), gram(y)) == pytest.approx(unbiased, rel=1e-10)
    centred = [one - one.mean(dim=0) for one in (x, y)]
    cosines = [
        [float(torch.cosine_similarity(one[i], one[j], dim=0)) for i in range(N) for j in range(i)] for one in centred
    ]
    assert correlation(gram(x), gram(y)) == pytest.approx(np.corrcoef(cosines)[0, 1], rel=1e-8)


@pytest.mark.parametrize("measure", [linear_cka, unbiased_cka, correlation])
def test_what_changes_nothing(measure: Callable[[Tensor, Tensor], float]) -> None:
    x, y = features(12, 0), features(9, 1)
    assert measure(gram(x), gram(x)) == pytest.approx(1)
    rotated = x @ torch.linalg.qr(features(12, 2)[:12]).Q  # by an orthogonal matrix
    for other in (rotated, 7 * x, x + features(12, 3)[0]):
        assert measure(gram(other), gram(y)) == pytest.approx(measure(gram(x), gram(y)))
        assert measure(gram(other), gram(x)) == pytest.approx(1)


def test_unrelated_wide_layers_are_alike_only_by_the_biased_measure() -> None:
    x, y = features(1000, 0), features(1000, 1)
    assert linear_cka(gram(x), gram(y)) > 0.9
    assert abs(unbiased_cka(gram(x), gram(y))) < 0.1


def test_a_gram_matrix_in_pieces(run: Run, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    split, numbers = store.splits["val"], np.arange(10)
    whole = centred_gram(run.viewer, split, numbers, "conv2")
    monkeypatch.setattr(representation, "HELD_BYTES", 4 * 10 * 999)
    monkeypatch.setattr(representation, "COLUMNS", 100)
    assert torch.allclose(centred_gram(run.viewer, split, numbers, "conv2"), whole, rtol=1e-9)
    views = run.viewer.maps(representation.inputs_of(run.viewer, torch.from_numpy(split.read(numbers))), ["conv2"])
    assert torch.allclose(whole, gram(views["conv2"].flatten(1).double()), rtol=1e-4)


@pytest.fixture(scope="module")
def found(run: Run, store: Store) -> Representations:
    return compare_representations(run, run, store, most=20)


def test_a_run_is_itself_layer_by_layer(found: Representations, tmp_path: Path) -> None:
    assert found.layers == found.other_layers == ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
    assert found.pictures == 20
    for name in MEASURES:
        values = getattr(found, name)
        assert np.allclose(np.diag(values), 1)
        assert np.allclose(values, values.T)
        assert values[0, -1] < 0.999
    assert found.save(tmp_path / "found.png").stat().st_size > 10_000
    assert found.as_json()["cka"][0][0] == pytest.approx(1)
    assert found.describe().startswith("linear CKA, unbiased")


def test_other_weights_are_another_representation(make: Callable[..., Run], run: Run, store: Store) -> None:
    other = make()
    with torch.no_grad():
        for weights in other.network.parameters():
            weights.copy_(weights.flatten().flip(0).reshape(weights.shape))
    found = compare_representations(run, other, store, ["conv1", "fc7"], most=30)
    assert (found.layers, found.other_layers) == (("conv1", "fc7"), ("conv1", "fc7"))
    assert found.unbiased_cka[1, 1] < 0.99


def test_what_is_refused(run: Run, store: Store, make: Callable[..., Run]) -> None:
    with pytest.raises(UserError, match="has no layer 'conv9'"):
        compare_representations(run, run, store, ["conv9"])
    with pytest.raises(UserError, match="3 pictures: at least 4 are needed"):
        compare_representations(run, run, store, most=3)
    dead = make()
    with torch.no_grad():
        dead.network.get_parameter("conv1.weight").zero_()
    with pytest.raises(UserError, match="conv1 gives every picture the same values"):
        compare_representations(dead, run, store, ["conv1"])
