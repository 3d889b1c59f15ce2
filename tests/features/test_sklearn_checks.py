"""scikit-learn's estimator checks, run through an adapter that turns their vectors into pictures; and the table in the
docs that says which pass."""

import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import SkipTest

import numpy as np
import pytest
import sklearn
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted, validate_data

from alexnet.sklearn import Classifier, Features

if not hasattr(estimator_checks, "estimator_checks_generator"):
    pytest.skip("scikit-learn before 1.6 has no generator of checks", allow_module_level=True)

SIDE = 32
PAGE = Path(__file__).parents[2] / "docs" / "classifier.md"
SKIPPED = {
    ("check_array_api_input", "both"): "scikit-learn skips it unless SCIPY_ARRAY_API is set",
    ("check_sample_weight_equivalence_on_dense_data", "Classifier"): (
        "weights count like repeated pictures in the loss, but repeated pictures fall into other batches"
    ),
    ("check_methods_subset_invariance", "Features"): (
        "a batch of another size adds float32 numbers in another order: the last digits differ"
    ),
}
OF_VECTORS = {
    "check_complex_data", "check_dtype_object", "check_estimator_sparse_array", "check_estimator_sparse_matrix",
    "check_estimators_empty_data_messages", "check_estimators_nan_inf", "check_fit1d", "check_fit2d_predict1d",
    "check_n_features_in", "check_n_features_in_after_fitting",
}  # fmt: skip
"""Checks of what vectors may hold: the adapter refuses it, before there are any pictures."""


def as_pictures(vectors_nf: np.ndarray) -> np.ndarray:
    """uint8 (N, SIDE, SIDE, 3): a band of grey for each number, 128 for 0 and 50 levels for 1. Different vectors stay
    different, within ±2.5 to 1/50."""
    levels = np.clip(128 + 50 * vectors_nf, 0, 255).round().astype(np.uint8)
    bands = np.arange(SIDE) * vectors_nf.shape[1] // SIDE
    return np.ascontiguousarray(np.broadcast_to(levels[:, bands, None, None], (len(levels), SIDE, SIDE, 3)))


class TakesVectors:
    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.two_d_array, tags.input_tags.string, tags.no_validation = True, False, False
        tags.requires_fit = True
        return tags

    def learned(self, vectors: Any) -> np.ndarray:
        return as_pictures(validate_data(self, vectors, dtype=np.float64))

    def asked(self, vectors: Any) -> np.ndarray:
        check_is_fitted(self)
        return as_pictures(validate_data(self, vectors, reset=False, dtype=np.float64))


class ClassifierOfVectors(TakesVectors, Classifier):
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Classifier:  # noqa: N803
        return super().fit(self.learned(X), y, sample_weight)

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        return super().predict_proba(self.asked(X))


class FeaturesOfVectors(TakesVectors, Features):
    def fit(self, X: Any, y: Any = None) -> Features:  # noqa: N803
        return super().fit(self.learned(X), y)

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        return super().transform(self.asked(X))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_features_in_")


CLASSIFIER = ClassifierOfVectors(
    "toy", input_size=SIDE, size=SIDE, epochs=2, batch=16, views=1, precision="fp32", device="cpu", threads=1
)


def checks_of(estimator: Any) -> Iterator[tuple[str, Callable[[], None]]]:
    """Each check's name, and a function that runs it."""
    for instance, check in estimator_checks.estimator_checks_generator(estimator, legacy=True):
        yield getattr(check, "func", check).__name__, lambda check=check, instance=instance: check(instance)


def expected(name: str, kind: str) -> str:
    if reason := SKIPPED.get((name, kind)) or SKIPPED.get((name, "both")):
        return f"skipped: {reason}"
    return "passes (adapter)" if name in OF_VECTORS else "passes"


def run_checks(estimator: Any, kind: str, chosen: Callable[[str], bool]) -> int:
    wrong, count = {}, 0
    for name, check in checks_of(estimator):
        if chosen(name) and not expected(name, kind).startswith("skipped"):
            count += 1
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    check()
            except (Exception, SkipTest) as fault:
                wrong[name] = f"{type(fault).__name__}: {fault}"
    assert not wrong, wrong
    return count


QUICK = {
    "check_all_zero_sample_weights_error", "check_classifiers_one_label",
    "check_classifiers_one_label_sample_weights", "check_classifiers_regression_target",
    "check_do_not_raise_errors_in_init_or_set_params", "check_estimator_cloneable", "check_estimator_repr",
    "check_estimators_unfitted", "check_get_params_invariance",
    "check_mixin_order", "check_no_attributes_set_in_init", "check_parameters_default_constructible",
    "check_requires_y_none", "check_sample_weights_shape", "check_set_params", "check_supervised_y_no_nan",
    "check_valid_tag_types",
}  # fmt: skip
"""Those of the classifier that take no or little training."""


def test_quick_checks_of_the_classifier() -> None:
    assert run_checks(CLASSIFIER, "Classifier", QUICK.__contains__) > 10


@pytest.mark.long
def test_all_checks_of_the_classifier() -> None:
    assert run_checks(CLASSIFIER, "Classifier", lambda _: True) > 40


def test_all_checks_of_the_features(trained: Path) -> None:
    estimator = FeaturesOfVectors(trained, device="cpu", layer="fc6")
    assert run_checks(estimator, "Features", lambda _: True) > 30


def test_the_table_in_the_docs_is_what_is_run(trained: Path) -> None:
    text = PAGE.read_text()
    version = re.search(r"checks of scikit-learn (\d+\.\d+)", text)
    assert version
    if not sklearn.__version__.startswith(f"{version[1]}."):
        pytest.skip(f"the table is of scikit-learn {version[1]}, here is {sklearn.__version__}")
    rows: dict[str, list[str]] = {}
    for column, (kind, estimator) in enumerate(
        (("Classifier", CLASSIFIER), ("Features", FeaturesOfVectors(trained, device="cpu")))
    ):
        for name, _ in checks_of(estimator):
            rows.setdefault(name, ["–", "–"])[column] = expected(name, kind)
    table = "\n".join(f"| `{name}` | {cells[0]} | {cells[1]} |" for name, cells in sorted(rows.items()))
    assert table in text, table
    assert len(re.findall(r"^\| `check_", text, re.M)) == len(rows)
