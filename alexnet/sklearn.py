"""Classifier and features for scikit-learn: fit, predict, score; they can be cloned, searched over and pickled.

N pictures · H, W rows and columns of a picture · K classes.
"""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import KW_ONLY, dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_type_hints

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from alexnet.choices import DeviceChoice, FrozenFeatures, Head, PrecisionChoice
from alexnet.data.sources.base import Source
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.features.examples import Examples
from alexnet.features.extract import Describer, describer, features_of
from alexnet.features.linear_head import train_linear_head
from alexnet.files.atomic import expanded
from alexnet.files.schema import from_json
from alexnet.files.temporary import TemporaryFolder, space_named
from alexnet.isolation import isolated
from alexnet.measure.pictures import picture_list, refuse_set
from alexnet.measure.run import Run, check_views
from alexnet.nets import zoo
from alexnet.nets.table import Table
from alexnet.runs.folder import RunFolder
from alexnet.runs.pretrained import run_folder
from alexnet.terminal import progress, say
from alexnet.train.checks import check_options, with_decided_defaults
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions
from alexnet.train.step import Diverged
from alexnet.train.stop import Interrupted

NAMES_OF_OPTIONS = {"from": "start_from", "holdout": "validation"}
"""Options of the command line that are parameters under another name."""
RECORD_SHARE = 8 / 7
"""Side of a record over the side of the crops that a network takes: 256 for 224, as in [A] §2 and §4.1."""


class InvalidParameter(UsageError, ValueError):
    """A parameter of the wrong type or out of its range; the message begins with its name."""


@dataclass(eq=False, repr=False)
class Classifier(ClassifierMixin, BaseEstimator):
    """A network of the two papers as a scikit-learn classifier.

        model = alexnet.Classifier("alexnet", width=0.25, epochs=30, batch=16)
        model.fit(pictures, labels).predict(others)

    `fit` does what `alexnet prepare` and `alexnet train` do: pictures become a store, the store trains a run. A
    share `validation` of them is held out for the rule that drops the learning rate. Without `folder` both lie in
    temporary folders (below TMPDIR): the store's is removed after `fit`, the run's when neither the classifier nor
    `run_` is used any more. With `folder` the run stays there, and an interrupted `fit` is resumed there.

    With fewer than some thousand pictures, start from pretrained weights: `start_from="torchvision"` (another name of
    `alexnet weights`, a run folder, or "hf:OWNER/NAME") and `head="linear"`, a linear classifier on its convolutions,
    give a far lower error within seconds; `freeze="conv1-conv5"` trains its dense layers.

    `X` is whatever `pictures.picture_list` takes: a list of file names, an array uint8 (N, H, W, 3), a series …

    net, width, input_size, recipe, epochs, batch, learning_rate, patience, mirror, start_from, freeze, frozen_features,
    head, device, precision, threads: as of `alexnet train` (None: what the recipe says; `net`: or a table of your
    own, as `alexnet.nets.table_file.read_table` gives; `start_from`: a run folder, whose network is taken unless `net`
    names one). size: side of the records in pixels (None: 8/7 of the network's
    input, as 256 for 224; or as the run started from). class_weight: None, "balanced" or {label: weight}, factors of
    each picture's loss. views: 1, 5, 9 or 10, averaged in predictions. random_state: of weights, order, crops, noise
    and dropout, and of which pictures are held out; an int, a RandomState, or None for other ones at each fit. verbose:
    progress on stderr.
    rate: deprecated name of learning_rate.

    Fitted: `classes_` (K,), the labels in the order of the outputs; `run_`, the `alexnet.Run`.
    """

    net: str | Table | None = None
    _: KW_ONLY
    width: float = 1.0
    epochs: int | None = None
    batch: int | None = None
    learning_rate: float | None = None
    patience: int = 5
    recipe: str = "paper"
    mirror: bool | None = None
    input_size: int | None = None
    size: int | None = None
    start_from: str | PathLike[str] | None = None
    freeze: str = ""
    frozen_features: FrozenFeatures | None = None
    head: Head = "network"
    validation: float = 0.1
    class_weight: dict[Any, float] | Literal["balanced"] | None = None
    views: Literal[1, 5, 9, 10] = 10
    folder: str | PathLike[str] | None = None
    random_state: int | np.random.RandomState | None = 0
    device: DeviceChoice = "auto"
    precision: PrecisionChoice = "auto"
    threads: int = 0
    verbose: bool | int = False
    rate: float | None = None

    # ── learning ─────────────────────────────────────────────────────────────────────────────────────────────────

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "Classifier":
        """Learn to predict the labels `y` (N,), of any kind that can be sorted, from the pictures `X`.

        `sample_weight` (N,): factors of each picture's loss, at least 0; only their ratios count. Pictures of weight 0
        are skipped. The rule that drops the learning rate measures the held-out pictures without weights.

        Raises ValueError for pictures, labels and weights that do not fit together; InvalidParameter (a ValueError and
        a UsageError), UserError for what `alexnet prepare` and `alexnet train` refuse, and for the first picture that
        can't be read, with its number and file."""
        with _parameters_named():
            options = self._options()
            pictures = picture_list(X, with_labels=True)
            examples = Examples.of(pictures, y, sample_weight, self.class_weight)
            source = examples.source(self.validation, options.seed)
            weights = examples.weights_of(source.splits["train"])
            if self.folder:
                with space_named("Free some space, or pass a folder=… on another disk."):
                    folder = Path(expanded(self.folder))
                    run = self._trained(source, Path(f"{folder}.store"), folder, options, weights)
            else:
                run = self._trained_in_temporary_folders(source, options, weights)
        self.classes_, self.run_ = examples.classes, run
        return self

    def _trained_in_temporary_folders(self, source: Source, options: TrainOptions, weights: np.ndarray) -> Run:
        home = TemporaryFolder("alexnet-run-")
        try:
            with TemporaryFolder("alexnet-store-") as store, space_named():
                run = self._trained(source, store / "store", home.path, options, weights)
            run.folder.temporary = home
        except BaseException as fault:
            home.remove()
            if isinstance(fault, Interrupted):
                raise KeyboardInterrupt("stopped; with folder=… the next fit would resume there") from None
            if isinstance(fault, Diverged):
                raise Diverged(str(fault).replace(f"The last good checkpoint is kept in {home.path}. ", "")) from None
            raise
        return run

    def _trained(self, source: Source, place: Path, folder: Path, options: TrainOptions, weights: np.ndarray) -> Run:
        with isolated(threads=self.threads):
            store, resume = self._prepared(source, place), (folder / "config.json").exists()
            if options.head != "linear":
                options = with_decided_defaults(options, store, folder)
            fit = train_linear_head if options.head == "linear" else train
            fit(store, folder, options, resume=resume, quiet=not self.verbose, sample_weights=weights)
            run = Run.open(folder, device=self.device)
            run.folder.load()
        return run

    def _options(self) -> TrainOptions:
        """Raises InvalidParameter for a parameter of the wrong type or out of its range."""
        given = self._parameters()
        if self.rate is not None:
            warnings.warn("rate is deprecated, use learning_rate", FutureWarning, stacklevel=3)
            given["learning_rate"] = self.rate
        same = {name: given[name] for name in get_type_hints(TrainOptions) if name in given}
        start_from = None if self.start_from is None else run_folder(self.start_from)
        own = {"net": None, "table": self.net} if isinstance(self.net, Table) else {}
        options = TrainOptions(**same | own | {"start_from": start_from, "seed": self._seed()})
        check_options(options)
        return options

    def _parameters(self) -> dict[str, Any]:
        """The parameters as plain Python values. Raises InvalidParameter for one of the wrong type."""
        found = {}
        for name, kind in get_type_hints(Classifier.__init__).items():
            value = getattr(self, name, None)
            if name in ("random_state", "class_weight", "return") or isinstance(value, Table):
                continue
            plain = value.item() if isinstance(value, np.generic) else value
            plain = os.fspath(plain) if isinstance(plain, PathLike) else plain
            try:
                found[name] = from_json(plain, kind, name, "")
            except UserError:
                words = kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")
                raise InvalidParameter(f"{name}={value!r}: must be {words}") from None
        if not 0 < found["validation"] < 1:
            raise InvalidParameter(f"validation={self.validation!r}: must lie between 0 and 1, for example 0.1")
        return found

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        folder = Path(expanded(self.folder or ""))
        if self.random_state is None and self.folder and (folder / "config.json").exists():
            return RunFolder.open(folder).value("options", "seed")  # the run there is resumed
        try:
            return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        except ValueError as fault:
            raise InvalidParameter(
                f"random_state={self.random_state!r}: must be an int, a RandomState or None"
            ) from fault

    def _prepared(self, source: Source, place: Path) -> Store:
        with progress("pictures") if self.verbose else nullcontext() as report:
            follow = (lambda split, done, total, _: report(split, done, total)) if report else None
            return prepare(source, place, size=self._side(), progress=follow, say=say if self.verbose else None)

    def _side(self) -> int:
        """The side of the records."""
        if self.size is not None:
            return int(self.size)
        if self.start_from is not None:
            return RunFolder.open(run_folder(self.start_from)).inputs.side
        table = self.net if isinstance(self.net, Table) else zoo.find(self.net or "alexnet")
        return round((self.input_size or table.input_size) * RECORD_SHARE)

    # ── predicting ───────────────────────────────────────────────────────────────────────────────────────────────

    def predict_proba(self, X: Any) -> np.ndarray:
        """How probable each class is, the mean over the views: float32 (N, K), in the order of `classes_`.

        Raises NotFittedError before `fit`, ValueError for what can't be pictures, Undecodable (a UserError) for the
        first picture that can't be read, with its number and file."""
        check_is_fitted(self, "run_")
        check_views(self.views)
        pictures = picture_list(X)
        found = np.empty((len(pictures), len(self.classes_)), np.float32)
        with progress("pictures") if self.verbose else nullcontext() as report, isolated(threads=self.threads):
            for number, prediction in enumerate(self.run_.predictor.sound(pictures, views=self.views, top=1)):
                found[number] = prediction.probabilities
                if report:
                    report("predicting", number + 1, len(pictures))
        return found

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each picture, (N,)."""
        probabilities_nk = self.predict_proba(X)
        return self.classes_[probabilities_nk.argmax(axis=1)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of the pictures `X` whose most probable label is that of `y` (N,); with weights, of their sum."""
        refuse_set(X)
        return super().score(X, y, sample_weight)

    # ── for scikit-learn and pickle ──────────────────────────────────────────────────────────────────────────────

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string, tags.no_validation = False, True, True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """A fitted one carries its run: the weights, and how pictures become inputs."""
        state: dict[str, Any] = {**super().__getstate__()}  # pyright: ignore[reportGeneralTypeIssues] - a dictionary
        if (run := state.pop("run_", None)) is not None:
            state["_run_files"] = run.folder.files()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The run that it carries is put into a temporary folder of its own."""
        files = state.pop("_run_files", None)
        super().__setstate__(state)  # what an older pickle lacks has its default
        if files is not None:
            with space_named():
                self.run_ = Run.of_files(files, device=self.device)


@contextmanager
def _parameters_named() -> Iterator[None]:
    """Inside, messages about options of the command line become messages about parameters."""

    def name(match: re.Match[str]) -> str:
        return NAMES_OF_OPTIONS.get(match[1], match[1].replace("-", "_"))

    try:
        yield
    except UserError as fault:
        words = re.sub(r"--([a-z][a-z-]*)", name, str(fault))
        if isinstance(fault, UsageError):
            raise InvalidParameter(words) from None
        fault.args = (words,)
        raise


@dataclass(eq=False, repr=False)
class Features(TransformerMixin, BaseEstimator):
    """The values of one layer of a trained network, as a scikit-learn transformer.

        features = alexnet.Features("runs/photos", layer="pool5")
        classifier = make_pipeline(features, StandardScaler(), LinearSVC())
        classifier.fit(files, names)

    `run`: a run folder, or a `Run`; `layer`: a row by name, a layer by number, or None for the last hidden one;
    `views`: 1, 5, 9 or 10, averaged; `device` and `precision` as `alexnet.load` takes them, of a folder. There is
    nothing to fit. Pickled, it names the run folder and opens it again: the weights stay there.
    """

    run: Run | str | PathLike[str]
    _: KW_ONLY
    layer: str | int | None = None
    views: int = 1
    device: DeviceChoice = "auto"
    precision: PrecisionChoice = "auto"

    def fit(self, X: Any = None, y: Any = None) -> "Features":
        """Open the run and look for the layer; learns nothing. Raises UserError for a run or a layer that is not
        there, UsageError for a number of views that is not defined, ValueError for a set of pictures with labels `y`,
        whose order is not defined."""
        if y is not None:
            refuse_set(X)
        self._describer()
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Pictures of any kind that `pictures.picture_list` takes to float32 (N, D): a list of file names, an array
        uint8 (N, H, W, 3), a series, a frame of one column … Raises ValueError for what can't be pictures, Undecodable
        for the first one that can't be read, with its number and file."""
        describe = self._describer()
        return features_of(self._opened(), X, describe.layer, self.views)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:  # noqa: ARG002
        """The names of the D columns: relu7_0, relu7_1 …; for maps relu5_MAP_ROW_COLUMN."""
        describe = self._describer()
        positions = np.ndindex(describe.shape)
        return np.array(["_".join([describe.layer, *map(str, position)]) for position in positions], object)

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
