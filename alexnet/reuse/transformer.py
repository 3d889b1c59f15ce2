"""A layer's features as a step of scikit-learn: pictures in, vectors out.

N pictures · H, W rows and columns of a picture · D values of a layer.
"""

from os import PathLike
from typing import Any

import numpy as np

from alexnet.errors import UserError
from alexnet.measure.arithmetic import DeviceWish, PrecisionWish
from alexnet.measure.pictures import refuse_set
from alexnet.measure.run import Run
from alexnet.reuse.features import Describer, describer, features_of

try:
    from sklearn.base import BaseEstimator, TransformerMixin
    from sklearn.utils import Tags
except ImportError as fault:
    raise UserError(
        f"scikit-learn is needed for this, and is not here ({fault}): pip install 'alexnet[sklearn]'"
    ) from fault


class Features(TransformerMixin, BaseEstimator):
    """The values of one layer of a trained network, as a scikit-learn transformer.

        features = alexnet.Features("runs/photos", layer="pool5")
        classifier = make_pipeline(features, StandardScaler(), LinearSVC())
        classifier.fit(files, names)

    `run`: a run folder, or a `Run`; `layer`: a row by name, a layer by number, or None for the last hidden one;
    `views`: 1, 5, 9 or 10, averaged; `device` and `precision` as `alexnet.load` takes them, of a folder. There is
    nothing to fit. Pickled, it names the run folder and opens it again: the weights stay there.
    """

    def __init__(
        self,
        run: Run | str | PathLike[str],
        *,
        layer: str | int | None = None,
        views: int = 1,
        device: DeviceWish = "auto",
        precision: PrecisionWish = "auto",
    ) -> None:
        self.run = run
        self.layer = layer
        self.views = views
        self.device: DeviceWish = device
        self.precision: PrecisionWish = precision

    def fit(self, X: Any = None, y: Any = None) -> "Features":  # noqa: N803 - scikit-learn's names
        """Open the run and look for the layer; learns nothing. Raises UserError for a run or a layer that is not
        there, UsageError for a number of views that is not defined, ValueError for a set of pictures with labels `y`,
        whose order is not defined."""
        if y is not None:
            refuse_set(X)
        self._describer()
        return self

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """Pictures of any kind that `pictures.picture_list` takes to float32 (N, D): a list of file names, an array
        uint8 (N, H, W, 3), a series, a frame of one column … Raises ValueError for what can't be pictures, Undecodable
        for the first one that can't be read, with its number and file."""
        describe = self._describer()
        return features_of(self._opened(), X, describe.layer, self.views)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:  # noqa: ARG002
        """The names of the D columns: relu7_0, relu7_1 …; for maps relu5_MAP_ROW_COLUMN."""
        describe = self._describer()
        places = np.ndindex(describe.shape)
        return np.array(["_".join([describe.layer, *map(str, place)]) for place in places], object)

    def _opened(self) -> Run:
        if isinstance(self.run, Run):
            return self.run
        asked = (str(self.run), self.device, self.precision)
        if getattr(self, "_run", (None, None))[0] != asked:
            self._run = asked, Run.open(self.run, device=self.device, precision=self.precision)
        return self._run[1]

    def _describer(self) -> Describer:
        return describer(self._opened(), self.layer, self.views)

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_run"}

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = False
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags
