"""The way from pictures to a classifier as scikit-learn knows it: fit, predict, score; cloned, searched over, pickled.

N pictures · H, W rows and columns of a picture · K classes.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from alexnet.data.prepare import prepare
from alexnet.data.sources.base import Part, Source, printable, split
from alexnet.data.store import Store
from alexnet.errors import UserError
from alexnet.measure.arithmetic import DeviceWish, PrecisionWish
from alexnet.measure.predict import Failure, Named, Picture, Prediction, file_of, read_file
from alexnet.measure.run import Run, check_views
from alexnet.nets import zoo
from alexnet.runs import RunFolder
from alexnet.temporary import TemporaryFolder, space_named
from alexnet.terminal import progress, say
from alexnet.train.checks import check_options
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions
from alexnet.train.stop import Interrupted

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted
except ImportError as fault:
    raise UserError(
        f"scikit-learn is needed for this, and is not here ({fault}): pip install 'alexnet[sklearn]'"
    ) from fault

Pictures = np.ndarray | Sequence[Picture]
"""uint8 (N, H, W, 3), RGB; or N files, arrays (H, W, 3) of any sizes, bytes of files or Pillow images."""

RECORD_SHARE = 8 / 7
"""Side of a record over the side of the crops that a network takes: 256 for 224, as in [A] §2 and §4.1."""


class Classifier(ClassifierMixin, BaseEstimator):
    """A network of the two papers as a scikit-learn classifier.

        model = alexnet.Classifier("alexnet", width=0.25, epochs=30, batch=16)
        model.fit(pictures, labels).predict(others)

    `fit` goes the way of `alexnet prepare` and `alexnet train`: pictures become a store, the store trains a run. A
    share `validation` of them is held out for the rule that drops the rate. Without `folder` both lie in temporary
    folders (below TMPDIR): the store's is removed after `fit`, the run's when neither the classifier nor `run_` is used
    any more. With `folder` the run stays there, and a `fit` that was stopped is resumed there.

    net, width, input_size, recipe, epochs, batch, rate, patience, mirror, start_from, freeze, device, precision,
    threads: as of `alexnet train` (None: what the recipe says; `start_from`: a run folder, whose network is taken
    unless `net` names one). size: side of the records in pixels (None: 8/7 of the network's input, as 256 for 224; or
    as the run started from). views: 1, 5, 9 or 10, averaged in predictions. random_state: of weights, order, crops,
    noise and dropout, and of which pictures are held out. verbose: progress on stderr.

    Fitted: `classes_` (K,), the labels in the order of the outputs; `run_`, the `alexnet.Run`.
    """

    def __init__(
        self,
        net: str | None = None,
        *,
        width: float = 1.0,
        epochs: int | None = None,
        batch: int | None = None,
        rate: float | None = None,
        patience: int = 5,
        recipe: str = "paper",
        mirror: bool | None = None,
        input_size: int | None = None,
        size: int | None = None,
        start_from: str | PathLike[str] | None = None,
        freeze: str = "",
        validation: float = 0.1,
        views: Literal[1, 5, 9, 10] = 10,
        folder: str | PathLike[str] | None = None,
        random_state: int = 0,
        device: DeviceWish = "auto",
        precision: PrecisionWish = "auto",
        threads: int = 0,
        verbose: bool = False,
    ) -> None:
        self.net = net
        self.width = width
        self.epochs = epochs
        self.batch = batch
        self.rate = rate
        self.patience = patience
        self.recipe = recipe
        self.mirror = mirror
        self.input_size = input_size
        self.size = size
        self.start_from = start_from
        self.freeze = freeze
        self.validation = validation
        self.views = views
        self.folder = folder
        self.random_state = random_state
        self.device: DeviceWish = device
        self.precision: PrecisionWish = precision
        self.threads = threads
        self.verbose = verbose

    # ── learning ─────────────────────────────────────────────────────────────────────────────────────────────────

    def fit(self, X: Pictures, y: Sequence[Any] | np.ndarray) -> "Classifier":
        """Learn to tell the labels `y` (N,), of any kind that can be sorted, from the pictures `X`.

        Raises ValueError for X and y that do not fit together; UserError (UsageError for a parameter) for what
        `alexnet prepare` and `alexnet train` refuse, and naming the first picture that can't be read."""
        options = self._options()
        check_options(options)
        check_views(self.views)
        pictures = as_list(X)
        classes, labels = _classes_and_labels(y, len(pictures))
        source = _source(pictures, labels, classes, self.validation, self.random_state)
        if self.folder:
            with space_named("Free some space, or pass a folder=… on another disk."):
                run = self._trained(source, Path(f"{self.folder}.store"), Path(self.folder), options)
        else:
            run = self._trained_in_temporary_folders(source, options)
        self.classes_ = classes
        self.run_ = run
        return self

    def _trained_in_temporary_folders(self, source: Source, options: TrainOptions) -> Run:
        home = TemporaryFolder("alexnet-run-")
        try:
            with TemporaryFolder("alexnet-store-") as store, space_named():
                run = self._trained(source, store / "store", home.path, options)
            run.folder.temporary = home
        except BaseException as fault:
            home.remove()
            if isinstance(fault, Interrupted):
                raise KeyboardInterrupt("stopped; with folder=… the next fit would resume there") from None
            raise
        return run

    def _trained(self, source: Source, place: Path, folder: Path, options: TrainOptions) -> Run:
        store = self._prepared(source, place)
        train(store, folder, options, resume=(folder / "config.json").exists(), quiet=not self.verbose)
        run = Run.open(folder, device=self.device)
        run.folder.load()
        return run

    def _options(self) -> TrainOptions:
        same = ("net", "width", "epochs", "batch", "rate", "patience", "recipe", "mirror", "input_size", "freeze")
        return TrainOptions(
            **{name: getattr(self, name) for name in same},
            start_from=None if self.start_from is None else Path(self.start_from),
            seed=self.random_state,
            device=self.device,
            precision=self.precision,
            threads=self.threads,
        )

    def _prepared(self, source: Source, place: Path) -> Store:
        with progress("pictures") if self.verbose else nullcontext() as report:
            follow = (lambda part, done, total, _: report(part, done, total)) if report else None
            store = prepare(
                source, place, size=self._side(), max_bad=1.0, progress=follow, say=say if self.verbose else None
            )
        for entry in store.report():
            if entry["outcome"] == "refused":
                raise UserError(f"{entry['key']}: no picture ({'; '.join(entry['why'])}). Leave it out, and its label.")
        return store

    def _side(self) -> int:
        """The side of the records."""
        if self.size is not None:
            return self.size
        if self.start_from is not None:
            return RunFolder.open(Path(self.start_from)).inputs.side
        return round((self.input_size or zoo.find(self.net or "alexnet").input_size) * RECORD_SHARE)

    # ── answering ────────────────────────────────────────────────────────────────────────────────────────────────

    def predict_proba(self, X: Pictures) -> np.ndarray:
        """How probable each class is, the mean over the views: float32 (N, K), in the order of `classes_`.

        Raises NotFittedError before `fit`, Undecodable (a UserError) for the first picture that can't be read."""
        check_is_fitted(self, "run_")
        pictures = as_list(X)
        found = np.empty((len(pictures), len(self.classes_)), np.float32)
        with progress("pictures") if self.verbose else nullcontext() as report:
            for place, probabilities_k in enumerate(self._probabilities(pictures)):
                found[place] = probabilities_k
                if report:
                    report("predicting", place + 1, len(pictures))
        return found

    def _probabilities(self, pictures: Sequence[Picture]) -> Iterator[np.ndarray]:
        from alexnet.data.decode import Undecodable

        named = (Named(name_of(picture, place), picture) for place, picture in enumerate(pictures))
        for found in self.run_.predictor.each(named, views=self.views, top=1):
            if isinstance(found, Failure):
                raise Undecodable(found.reason, found.name)
            assert isinstance(found, Prediction)
            yield found.probabilities

    def predict(self, X: Pictures) -> np.ndarray:
        """The most probable label of each picture, (N,)."""
        probabilities_nk = self.predict_proba(X)
        return self.classes_[probabilities_nk.argmax(axis=1)]

    # ── what scikit-learn and pickle ask ─────────────────────────────────────────────────────────────────────────

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
        super().__setstate__(state)
        if files is not None:
            with space_named():
                self.run_ = Run.of_files(files, device=self.device)


# ── pictures and labels as a source ──────────────────────────────────────────────────────────────────────────────


def as_list(X: Pictures) -> Sequence[Picture]:
    """The pictures one by one; an array of them stays where it is. Raises ValueError for what can't be pictures."""
    if isinstance(X, str | bytes | PathLike):
        raise ValueError("X is one picture; several are wanted: a list of them, or an array uint8 (N, H, W, 3)")
    if isinstance(X, np.ndarray) and X.dtype.kind not in "OUS":
        if X.dtype != np.uint8 or X.ndim != 4 or X.shape[3] != 3:
            raise ValueError(f"X must be uint8 (N, H, W, 3), RGB, not {X.dtype} {X.shape}")
        return X  # pyright: ignore[reportReturnType] - a sequence of arrays in all that is asked of it
    return list(X)


def name_of(picture: Picture, place: int) -> str:
    """What a picture goes by in messages."""
    return printable(str(picture)) if isinstance(picture, str | PathLike) else f"picture {place + 1}"


def _classes_and_labels(y: Sequence[Any] | np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The distinct labels, sorted, and for each picture the place of its own among them."""
    labels = np.asarray(y)
    if labels.ndim != 1 or len(labels) != count:
        raise ValueError(f"y must hold a label for each of the {count:,} pictures, (N,), not {labels.shape}")
    check_classification_targets(labels)
    classes, places = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y holds {len(classes)} class; at least two are needed to tell them apart")
    return classes, places


class _Reader:
    """Reads pictures that lie in memory or in files, one at a time."""

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self.pictures = pictures

    def __call__(self, place: int) -> bytes | np.ndarray:
        picture = self.pictures[place]
        if isinstance(picture, str | PathLike):
            return read_file(str(picture))
        if isinstance(picture, bytes | np.ndarray):
            return picture
        return file_of(picture, name_of(picture, place), exif=False)

    def size_of(self, place: int) -> int | None:
        """Bytes of a file; None of what lies in memory."""
        picture = self.pictures[place]
        path = Path(picture) if isinstance(picture, str | PathLike) else None
        return path.stat().st_size if path is not None and path.exists() else None


def _source(
    pictures: Sequence[Picture], labels: np.ndarray, classes: np.ndarray, validation: float, seed: int
) -> Source:
    """The pictures as any other source, a share of each class held out by the picture's place in X alone. Then keys
    get the file's name or a digest of the pixels, so that other pictures in the same folder are noticed."""
    names = tuple(str(label) for label in classes)
    whole = Part([f"{place:07}" for place in range(len(pictures))], labels, _Reader(pictures))
    source = Source("classifier", names, names, "sorted labels", {"train": whole})
    parts = split(source, validation, seed, "the pictures given").parts
    named = {
        name: replace(part, keys=[f"{key} {_identity(pictures[int(key)])}" for key in part.keys])
        for name, part in parts.items()
    }
    return replace(source, parts=named)


def _identity(picture: Picture) -> str:
    if isinstance(picture, str | PathLike):
        return printable(str(picture))
    data = picture if isinstance(picture, bytes) else np.ascontiguousarray(picture).tobytes()
    return sha256(data).hexdigest()[:16]
