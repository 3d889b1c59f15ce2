"""`alexnet.Features` among scikit-learn's own: its estimator checks as far as they apply, pipelines, copies."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted

import alexnet
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.features.extract import features_of
from alexnet.measure.run import Run

# Those that do not feed it vectors of numbers where pictures are wanted.
CHECKS = (
    "check_estimator_cloneable", "check_estimator_tags_renamed", "check_valid_tag_types", "check_estimator_repr",
    "check_no_attributes_set_in_init", "check_get_params_invariance", "check_set_params", "check_mixin_order",
    "check_parameters_default_constructible",
)  # fmt: skip


@pytest.mark.parametrize("check", CHECKS)
def test_scikit_learn_s_own_checks(trained: Path, check: str) -> None:
    getattr(estimator_checks, check)("Features", alexnet.Features(trained, device="cpu"))


@pytest.mark.parametrize("as_what", ["records", "files"])
def test_in_a_pipeline(trained: Path, store: Store, tmp_path: Path, as_what: str) -> None:
    part = store.splits["val"]
    records, labels = part.read(np.arange(len(part))), part.labels
    pictures: object = records
    if as_what == "files":
        pictures = [str(tmp_path / f"{place}.png") for place in range(len(part))]
        for file, record in zip(pictures, records, strict=True):
            Image.fromarray(record).save(file)
    classifier = make_pipeline(alexnet.Features(trained, layer="relu6"), StandardScaler(), LogisticRegression())
    assert classifier.fit(pictures, labels).score(pictures, labels) > 0.9


def test_its_parameters_can_be_searched(trained: Path, store: Store) -> None:
    part = store.splits["val"]
    records = part.read(np.arange(len(part)))
    pipeline = make_pipeline(alexnet.Features(trained), LogisticRegression(max_iter=500))
    search = GridSearchCV(pipeline, {"features__layer": ["pool1", 7]}, cv=2)
    search.fit(records, part.labels)
    assert set(search.cv_results_["param_features__layer"]) == {"pool1", 7}


def test_it_is_what_features_of_gives_also_copied_and_pickled(trained: Path, run: Run, store: Store) -> None:
    records = store.splits["val"].read(np.arange(9))
    expected = features_of(run, records, "conv2", 10)
    for given in (trained, str(trained), run):
        made = alexnet.Features(given, layer="conv2", views=10, device="cpu")
        for one in (made, clone(made), pickle.loads(pickle.dumps(made))):
            np.testing.assert_array_equal(one.fit_transform(records), expected)
            check_is_fitted(one)
    used = alexnet.Features(trained).fit()
    assert len(pickle.dumps(used)) < 2000, "no weights in it"


def test_another_layer_set_later_is_obeyed(trained: Path, run: Run, store: Store) -> None:
    records = store.splits["val"].read(np.arange(3))
    features = alexnet.Features(trained).fit()
    assert features.transform(records).shape == (3, 64)
    features.set_params(layer="pool1")
    np.testing.assert_array_equal(features.transform(records), features_of(run, records, "pool1"))
    names = features.get_feature_names_out()
    assert (names[0], len(names)) == ("pool1_0_0_0", features.transform(records).shape[1])


def test_mistakes_are_told_when_it_is_fitted_not_when_it_is_made(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such run folder"):
        alexnet.Features(tmp_path / "nowhere").fit()
    with pytest.raises(UserError, match="conv9"):
        alexnet.Features(trained, layer="conv9").fit()
    with pytest.raises(ValueError, match="pixels must be uint8"):
        alexnet.Features(trained).transform(np.zeros((2, 40, 40, 3)))
