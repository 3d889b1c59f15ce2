"""A trained network: load it, predict with it, measure it."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, Self, overload

from jaxtyping import Float
from torch import Tensor

from alexnet.choices import DeviceChoice, PrecisionChoice
from alexnet.data.batches import Progress
from alexnet.data.preprocessing import Preprocessing
from alexnet.data.store.read import Store
from alexnet.data.views import VIEW_NUMBERS
from alexnet.errors import UsageError
from alexnet.files.atomic import expanded
from alexnet.measure.evaluation import Evaluation, evaluate_run
from alexnet.measure.pictures import Picture, each_picture, is_one
from alexnet.measure.predict import Prediction, Predictor
from alexnet.measure.viewer import ViewAverager
from alexnet.nets.network import Network
from alexnet.placement import Placement
from alexnet.runs.folder import RunFolder, placement_for
from alexnet.runs.hub import fetch, push, save_folder
from alexnet.runs.pretrained import run_folder
from alexnet.text import first_few


class Run:
    """A finished (or still growing) training run, from its folder alone.

        run = alexnet.load("runs/photos")
        run.predict("cat.jpg").labels[0].name
        run.evaluate(alexnet.Store.open("photos.store")).top1_error

    `folder` is the run folder on disk, `placement` the device and type that the network computes with.
    """

    def __init__(self, folder: RunFolder, placement: Placement) -> None:
        self.folder, self.placement = folder, placement

    @classmethod
    def open(
        cls, path: str | PathLike[str], *, device: DeviceChoice = "auto", precision: PrecisionChoice = "auto"
    ) -> Self:
        """The run in the folder `path`, or by name: of `alexnet weights`, or "hf:OWNER/NAME". `precision` "auto": as it
        was trained, if the device is of the same kind, else fp32. Raises UserError if it is no run or the device is not
        here."""
        folder = RunFolder.open(run_folder(path))
        return cls(folder, placement_for(folder, device, precision))

    @classmethod
    def of_files(
        cls, files: Mapping[str, bytes], *, device: DeviceChoice = "auto", precision: PrecisionChoice = "auto"
    ) -> Self:
        """The run that `RunFolder.files` gave, in a temporary folder that is removed with it. Raises UserError if there
        is no space or this machine lacks the device."""
        folder = RunFolder.of_files(files)
        return cls(folder, placement_for(folder, device, precision))

    @classmethod
    def from_pretrained(
        cls,
        name: str | PathLike[str],
        *,
        revision: str | None = None,
        device: DeviceChoice = "auto",
        precision: PrecisionChoice = "auto",
    ) -> Self:
        """A run in a folder or, if there is none of this name, in the Hugging Face Hub ("owner/name"; downloaded once).
        Raises UserError if there is neither."""
        return cls.open(fetch(expanded(name), revision), device=device, precision=precision)

    def save_pretrained(self, folder: str | PathLike[str], *, license: str | None = None) -> Path:
        """Write weights, config, mean and a model card into a folder to share; no paths, no options.

        `license`: of the weights, as the Hub names it, for example "cc-by-4.0"; without it the card says that none is
        stated."""
        return save_folder(self.folder, Path(expanded(folder)), license)

    def push_to_hub(
        self, repo_id: str, *, private: bool = False, token: str | None = None, license: str | None = None
    ) -> str:
        """Upload what `save_pretrained` writes to the Hugging Face Hub as `repo_id` ("owner/name"); the address."""
        return push(self.folder, repo_id, private=private, token=token, license=license)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.folder.table.name}, {len(self.class_names)} classes, {self.placement})"

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickled run names its folder, which is opened again; a run in a temporary folder carries its files."""
        place = self.path.resolve() if self.folder.temporary is None else self.folder.files()
        return _reopened, (type(self), place, self.placement.device.type, self.placement.precision)

    # ── what is in it ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def path(self) -> Path:
        return self.folder.path

    @property
    def config(self) -> dict[str, Any]:
        """What was trained, how, on what: the content of config.json."""
        return self.folder.config

    @property
    def class_names(self) -> tuple[str, ...]:
        """What a person calls the classes, in the order of the outputs."""
        return self.folder.class_names

    @property
    def class_ids(self) -> tuple[str, ...]:
        """The classes' identifiers (wnid or folder name), in the order of the outputs."""
        return tuple(self.folder.value("classes", "ids"))

    def class_number(self, known: str | int) -> int:
        """The output of a class: of its id or name, or the number itself. Raises UsageError if there is none."""
        for names in (self.class_ids, self.class_names, range(len(self.class_ids))):
            if found := [number for number, name in enumerate(names) if name == known]:
                return found[0]
        raise UsageError(f"there is no class {known!r}. The run's classes are: {first_few(self.class_names, 5)}.")

    @property
    def inputs(self) -> Preprocessing:
        """How a record becomes an input of the network."""
        return self.folder.inputs

    @property
    def mean_image(self) -> Float[Tensor, "3 S S"]:
        """The mean of the training records, RGB 0–255, S their side (256)."""
        return self.inputs.mean_image

    @property
    def eigenvalues(self) -> Float[Tensor, "3"]:
        """Of the training pixels' RGB covariance on the scale 0–255, descending."""
        assert self.inputs.eigenvalues is not None
        return self.inputs.eigenvalues

    @property
    def eigenvectors(self) -> Float[Tensor, "3 3"]:
        """The covariance's eigenvectors, in columns."""
        assert self.inputs.eigenvectors is not None
        return self.inputs.eigenvectors

    @cached_property
    def network(self) -> Network:
        """The trained network, in evaluation mode, on its device. Raises UserError if no epoch has ended yet."""
        return self.folder.network.to(self.placement.device)

    # ── predicting and measuring────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def viewer(self) -> ViewAverager:
        """Records in, probabilities out."""
        device = self.placement.device
        return ViewAverager(self.network, self.inputs.to(device), device, self.placement.dtype)

    @cached_property
    def predictor(self) -> Predictor:
        """Pictures of any kind in, predictions out; decoded as the store of the training was."""
        data = self.config.get("data", {})
        return Predictor(
            self.viewer,
            self.class_names,
            self.class_ids,
            resample=data.get("resample", "bicubic"),
            exif=data.get("exif", False),
        )

    @overload
    def predict(self, pictures: Picture, *, views: int = 10, top: int = 5) -> Prediction: ...
    @overload
    def predict(self, pictures: Iterable[Picture], *, views: int = 10, top: int = 5) -> list[Prediction]: ...
    def predict(
        self, pictures: Picture | Iterable[Picture], *, views: int = 10, top: int = 5
    ) -> Prediction | list[Prediction]:
        """The `top` most probable classes of a picture, or of each of several: the mean over 1, 5, 9 or 10 `views`.

        A picture is a file name, the bytes of a file, an open file, a Pillow image, or an array or tensor uint8
        (H, W, 3), RGB. Several are a list or another iterable of them, an array (N, H, W, 3), a series, a frame of one
        column, a pattern such as "photos/*.jpg" or a folder (see `pictures.picture_list`). Raises Undecodable (a
        UserError) for the first that can't be read and ValueError for what can't be a picture; both give its number.
        """
        check_views(views)
        if is_one(pictures):
            return self.predict([pictures], views=views, top=top)[0]  # pyright: ignore[reportReturnType, reportCallIssue, reportArgumentType]
        return list(self.predictor.sound(each_picture(pictures), views=views, top=top))

    def evaluate(
        self,
        store: Store | str | PathLike[str],
        *,
        split: str = "val",
        views: int = 10,
        progress: Progress | None = None,
        part: str | None = None,
    ) -> Evaluation:
        """Judge every picture of a split of a store: the mean over 1, 5, 9 or 10 `views`. Raises UserError if the
        store's classes or picture size are not the run's. `part`: deprecated name of `split`."""
        check_views(views)
        split = part or split
        store = store if isinstance(store, Store) else Store.open(Path(store))
        found, _ = evaluate_run(self.folder, self.viewer, store, split=split, views=(views,), progress=progress)
        return found[views]


def _reopened(kind: type[Run], place: Path | dict[str, bytes], device: DeviceChoice, precision: PrecisionChoice) -> Run:
    if isinstance(place, Path):
        return kind.open(place, device=device, precision=precision)
    return kind.of_files(place, device=device, precision=precision)


def check_views(views: int) -> None:
    """Raises UsageError for a number of views that is not defined."""
    if views not in VIEW_NUMBERS:
        raise UsageError(f"--views {views}: choose one of {', '.join(map(str, VIEW_NUMBERS))}.")
