"""The run folder: all that a training run knows, enough to predict, to visualize and to resume.

    config.json          what was trained, how, on what, with which result; enough to repeat it
    model.safetensors    the weights after the last whole epoch, or after the best one (`--keep best`)
    last.safetensors     with `--keep best`: the weights after the last epoch, when the run has ended
    velocities.safetensors   of the update rule, and the schedule, when the run has ended: to train further from there
    inputs.safetensors   mean image and colour statistics of the training pictures
    sample_weights.safetensors   factors of the training pictures' losses, if `alexnet.Classifier` was given any
    trained_on.safetensors   digests of the training pictures (`alexnet.measure.overlap`)
    state/               the last two checkpoints, to resume from; removed when training ends
    snapshots/           weights at chosen epochs, for [Z] Fig. 4
    log.jsonl            one line for each event
    now.json             progress within the epoch; removed when training ends
    report.html          made by `alexnet report`
    explorer/            what `alexnet serve` computed (`alexnet.serve.run_cache`)

Files are written whole or not at all and carry checksums.
"""

import platform
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, Required, TypedDict

import numpy as np
import torch
from torch import Tensor

from alexnet import __version__
from alexnet.choices import DeviceChoice, MeanMode, PrecisionChoice
from alexnet.data.preprocessing import Preprocessing
from alexnet.errors import UserError
from alexnet.files.atomic import expanded, faults_named, is_temporary, remove_temporaries, write_atomically
from alexnet.files.outputs import RUN_NEEDS
from alexnet.files.schema import Count, Range, check, from_json, is_altered, json_bytes, read_json, sealed
from alexnet.files.temporary import TemporaryFolder
from alexnet.files.tensors import DamagedFile, digest_in, load_tensors, save_tensors
from alexnet.images.resample import Resample
from alexnet.isolation import isolated
from alexnet.nets import table, table_json
from alexnet.nets.network import Network, check_fits, state_dict_shapes
from alexnet.placement import Placement, find_device
from alexnet.runs.formats import FORMAT_VERSION, current_config

MODEL, LAST, VELOCITIES = "model.safetensors", "last.safetensors", "velocities.safetensors"
"""The weights that a run is opened with; the last epoch's, where these are the best epoch's; what else an ended run
needs to be trained further."""
KEPT_CHECKPOINTS = 2
CHECKPOINT_FILES = KEPT_CHECKPOINTS + 1
"""Checkpoints on disk while a new one is written."""
PRIVATE = ("options", "machine", "starts")
LARGEST_SIDE = 4096
"""Of a record and of a network's input, pixels."""
SNAPSHOT = re.compile(r"epoch-(\d{4,9})\.safetensors")
STATE = re.compile(r"step-(\d{9,15})\.safetensors")
REMEDY = "Restore it from a copy."
Side = Annotated[int, Range(1, LARGEST_SIDE)]


class NetworkConfig(TypedDict):
    table: dict[str, Any]
    input_size: Side
    mean: NotRequired[MeanMode]


class ClassesConfig(TypedDict):
    names: list[str]
    ids: list[str]
    order: NotRequired[str]


class DataConfig(TypedDict, total=False):
    path: str
    fingerprint: str
    size: Side
    resample: Resample
    exif: bool
    decode: str
    pictures: dict[str, Count]


class MachineConfig(TypedDict, total=False):
    device: Literal["cpu", "cuda", "mps"]
    precision: Literal["fp32", "bf16"]
    threads: Annotated[int, Range(1, 1024)]
    kernels: str


class RecipeConfig(TypedDict, total=False):
    name: str | None
    about: str | None
    init: str | None
    learning_rate: float | None
    momentum: float | None
    decay: float | None
    epochs: Count | None
    augmentation: dict[str, Any] | None


class OptionsConfig(TypedDict, total=False):
    epochs: Count | None
    width: float | None
    input_size: Side | None


class StartConfig(TypedDict):
    layout: dict[str, Any]


@dataclass(frozen=True)
class Calibration:
    """What `alexnet calibrate` fitted to validation pictures, for the mean of so many `views`: the `temperature` that
    logits are divided by; mean −ln p and expected calibration error of the `pictures` before and after; the fingerprint
    of their store; if a `precision` (0 to 1) was wanted, the `threshold`: the probability below which the answer is
    "don't know"."""

    temperature: Annotated[float, Range(0.01, 100)]
    views: Literal[1, 5, 9, 10]
    pictures: Count
    store: str
    nll: tuple[float, float]
    ece: tuple[float, float]
    precision: Annotated[float, Range(0, 1)] | None = None
    threshold: Annotated[float, Range(0, 1)] | None = None


ImportConfig = TypedDict("ImportConfig", {"from": str, "format": str, "notes": list[str]}, total=False)


class Config(TypedDict, total=False):
    """The content of config.json, as far as it is read. What a run lacks, as an import its recipe, is absent."""

    network: Required[NetworkConfig]
    classes: ClassesConfig
    data: DataConfig
    machine: MachineConfig
    recipe: RecipeConfig
    options: OptionsConfig
    starts: list[StartConfig]
    imported: ImportConfig
    calibration: Calibration
    missing_layers: list[str]
    finished: bool
    sample_weights: bool
    epochs_trained: Count | None
    alexnet: str
    torch: str
    python: str
    rule: str


RUN_FILES = (*RUN_NEEDS, "sample_weights.safetensors", "log.jsonl")
"""Files of a run folder that make a trained run: they travel with a pickle."""
TRAINED_ON = "trained_on.safetensors"
FIRST_FILES = ("inputs.safetensors", "sample_weights.safetensors", TRAINED_ON, ".lock")
SNAPSHOT_EPOCHS = (1, 2, 5, 10, 20, 30, 40, 64)  # [Z] Fig. 4


def snapshot_epochs(epochs: int) -> list[int]:
    """The epochs whose weights a run of `epochs` keeps with --snapshots: [Z] Fig. 4's, and the last."""
    return sorted({epoch for epoch in SNAPSHOT_EPOCHS if epoch < epochs} | {epochs})


def disk_needed(network: Network, epochs: int, *, snapshots: bool) -> int:
    """Bytes that a run of `network` takes at most: weights (twice while they are replaced), states, snapshots."""
    weights = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    kept = len(snapshot_epochs(epochs)) if snapshots else 0
    return (2 + 2 * CHECKPOINT_FILES + kept) * weights + (1 << 20)


class RunFolder:
    """A run folder on disk. `create` makes one, `open` finds one; both raise UserError for what a user can fix."""

    temporary: TemporaryFolder | None = None
    """The temporary folder that contains it, if any: it stays as long as this object."""

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.path, self.config = path, config

    @staticmethod
    def refuse_taken(path: Path) -> None:
        """Raises UserError if a folder holds anything but what a run that was killed at its start leaves."""
        with faults_named(path):
            there = set(path.iterdir()) if path.exists() else set()
        if (statistics := path / FIRST_FILES[0]) in there:
            digest_in(statistics)
        if there - {entry for entry in there if is_temporary(entry) or entry.name in FIRST_FILES}:
            raise UserError(f"{path}: not empty. Name a new folder, or resume the run there with --resume.")

    @classmethod
    def create(
        cls, path: Path, config: dict[str, Any], inputs: Preprocessing, sample_weights: np.ndarray | None = None
    ) -> "RunFolder":
        """A new run folder with its config, input statistics and, unless all are equal, the weights of its training
        pictures, in a folder that `refuse_taken` lets pass."""
        with faults_named(path):
            path.mkdir(parents=True, exist_ok=True)
        cls.refuse_taken(path)
        made_by = {"alexnet": __version__, "torch": str(torch.__version__), "python": platform.python_version()}
        run = cls(path, {"format_version": FORMAT_VERSION, **made_by, **config})
        save_tensors(path / "inputs.safetensors", inputs.statistics)
        if sample_weights is not None and (sample_weights != sample_weights[0]).any():
            save_tensors(path / "sample_weights.safetensors", {"sample_weights": torch.from_numpy(sample_weights)})
            run.config["sample_weights"] = True
        run.write_config()
        return run

    @classmethod
    def open(cls, path: str | Path, *, altered: bool = False) -> "RunFolder":
        """The run folder at `path`. `altered`: open it also if its config is not as it was written."""
        path = Path(expanded(path))
        if not path.is_dir():
            raise UserError(f"{path}: no such run folder. `alexnet train … --out {path}` makes one.")
        if not (path / "config.json").exists():
            raise UserError(f"{path}: not a run folder, it has no config.json. Give the folder named with --out.")
        config = read_json(path / "config.json")
        version = config.get("format_version")
        if version is None:
            raise UserError(
                f"{path}: not a run folder of alexnet: its config.json has no format_version; another tool wrote it. "
                "`alexnet import` reads weights of other tools."
            )
        if version not in range(1, FORMAT_VERSION + 1):
            raise UserError(
                f"{path}: run format {version}, this version of alexnet reads up to {FORMAT_VERSION}. Update alexnet."
            )
        if is_altered(config) and not altered:
            raise UserError(
                f"{path / 'config.json'}: damaged or edited, its checksum does not fit. Restore it from a copy; or, if "
                'you edited it, end it with "checksum": "".'
            )
        config = current_config(config)
        if not altered:
            check_config(config, path / "config.json")
        return cls(path, config)

    def write_config(self, **changes: Any) -> None:
        """Write config.json with the `changes`."""
        self.config = sealed(self.config | changes)
        write_atomically(self.path / "config.json", json_bytes(self.config))

    def value(self, *keys: str) -> Any:
        """A value of the config by its path of keys. Raises UserError, naming file and key, if it is not there."""
        found: Any = self.config
        for key in keys:
            if not isinstance(found, dict) or key not in found:
                raise UserError(f"{self.path / 'config.json'}: damaged, {'.'.join(keys)} is missing.")
            found = found[key]
        return found

    def files(self) -> dict[str, bytes]:
        """Name → content of the files that make this trained run, for a copy of it.

        If the folder has lost files or holds another run by now, they are made from the network in memory (`load`).
        Raises UserError if there is none."""
        with suppress(OSError, UserError):
            if current_config(read_json(self.path / "config.json")) == self.config:
                found = [self.path / name for name in RUN_FILES]
                return {path.name: path.read_bytes() for path in found if path.name in RUN_NEEDS or path.exists()}
        if not vars(self).keys() >= {"inputs", "network"}:
            raise UserError(f"{self.path}: files of this run were removed or replaced. Restore them from a copy.")
        with TemporaryFolder("alexnet-run-") as place:
            RunFolder.create(place, self.config, self.inputs).save_model(self.network.state_dict(), self.missing_layers)
            return {path.name: path.read_bytes() for path in place.iterdir()}

    @classmethod
    def of_files(cls, files: Mapping[str, bytes]) -> "RunFolder":
        """The run that these `files()` make, loaded, in a temporary folder that is removed with the returned object."""
        temporary = TemporaryFolder("alexnet-run-")
        for name, data in files.items():
            write_atomically(temporary.path / name, data, durable=False)
        run = cls.open(temporary.path)
        run.temporary = temporary
        return run.load()

    def load(self) -> "RunFolder":
        """Read the network and its input statistics into memory: from now on the files may be removed. Returns this
        run."""
        _ = self.inputs, self.network
        return self

    def public_config(self) -> dict[str, Any]:
        """The config without what concerns only this machine and its owner: paths, options, the machine."""
        kept = {name: value for name, value in self.config.items() if name not in PRIVATE}
        if "data" in kept:
            kept["data"] = {name: value for name, value in kept["data"].items() if name != "path"}
        return sealed(kept)

    # ── the network and its inputs ───────────────────────────────────────────────────────────────────────────────

    @cached_property
    def table(self) -> table.Table:
        """The network's rows."""
        return table_json.from_json(self.value("network", "table"), f"{self.path / 'config.json'}")

    @property
    def class_names(self) -> tuple[str, ...]:
        """What a person calls the classes, in the order of the outputs."""
        return tuple(self.value("classes", "names"))

    @property
    def calibration(self) -> Calibration | None:
        """What `alexnet calibrate` found, if it was called."""
        found = self.config.get("calibration")
        return found and from_json(found, Calibration, self.path / "config.json", REMEDY)

    @property
    def missing_layers(self) -> tuple[str, ...]:
        """Layers that it has no weights for: an import of files that lack them."""
        return tuple(self.config.get("missing_layers", ()))

    @cached_property
    @isolated()
    def inputs(self) -> Preprocessing:
        """How a record becomes an input of this run's network."""
        path = self.path / "inputs.safetensors"
        statistics, _ = load_tensors(path)
        check_statistics(statistics, path)
        return self.inputs_of(statistics)

    def inputs_of(self, statistics: dict[str, Tensor]) -> Preprocessing:
        """The same from the tensors of `inputs.safetensors`."""
        return Preprocessing(
            size=int(self.value("network", "input_size")), mean_mode=self.value("network", "mean"), **statistics
        )

    @property
    def sample_weights(self) -> np.ndarray | None:
        """float32 (N,): factors of the training pictures' losses; None: 1 for each. Raises UserError if lost."""
        if not self.config.get("sample_weights"):
            return None
        path, count = self.path / "sample_weights.safetensors", self.value("data", "pictures", "train")
        weights = load_tensors(path)[0].get("sample_weights", torch.empty(0))
        if weights.dtype != torch.float32 or weights.shape != (count,):
            raise UserError(f"{path}: not the weights of the {count:,} training pictures. {REMEDY}")
        return weights.numpy()

    @isolated()
    def empty_network(self) -> Network:
        """The run's network with weights yet to be filled in."""
        return Network(self.table, int(self.value("network", "input_size")))

    @cached_property
    @isolated()
    def network(self) -> Network:
        """The trained network, in evaluation mode. Raises UserError if no epoch has ended yet."""
        path = self.path / "model.safetensors"
        if not path.exists():
            raise UserError(f"{self.path}: no weights yet; the first epoch has not ended. Try again later.")
        network = self.load_weights(path)
        if calibration := self.calibration:
            network.temperature = calibration.temperature
        return network

    @isolated()
    def load_weights(self, path: Path) -> Network:
        """The run's network with the weights in `path`, in evaluation mode."""
        weights, size = load_tensors(path)[0], int(self.value("network", "input_size"))
        # Shapes alone, until it is known that the file has as many numbers.
        check_fits(state_dict_shapes(self.table, size), weights, path, self.table.name, self.missing_layers)
        network = self.empty_network()
        network.missing_layers = self.missing_layers
        network.fill(weights, path)
        return network.eval()

    def save_model(self, weights: dict[str, Tensor], missing: Collection[str] = (), name: str = MODEL) -> None:
        """Write the weights, those of missing layers left out."""
        there = {name: tensor for name, tensor in weights.items() if name.split(".")[0] not in missing}
        save_tensors(self.path / name, there)

    # ── snapshots and training state ─────────────────────────────────────────────────────────────────────────────

    def save_snapshot(self, weights: dict[str, Tensor], epoch: int) -> None:
        with faults_named(self.path):
            (self.path / "snapshots").mkdir(exist_ok=True)
        save_tensors(self.path / "snapshots" / f"epoch-{epoch:04}.safetensors", weights, {"epoch": epoch})

    @property
    def snapshots(self) -> dict[int, Path]:
        """Epoch → file of the weights kept then."""
        found = [(SNAPSHOT.fullmatch(path.name), path) for path in sorted(self.path.glob("snapshots/epoch-*"))]
        return {int(match[1]): path for match, path in found if match}

    def save_checkpoint(self, step: int, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
        """Write the checkpoint after `step` updates and drop all but the last two."""
        folder = self.path / "state"
        with faults_named(folder):
            folder.mkdir(exist_ok=True)
        save_tensors(folder / f"step-{step:09}.safetensors", tensors, about)
        for old in self.checkpoints()[KEPT_CHECKPOINTS:]:
            old.unlink(missing_ok=True)

    def latest_checkpoint(self) -> tuple[dict[str, Tensor] | None, dict[str, Any], list[str]]:
        """The newest undamaged checkpoint (None if there is none), its metadata, and a complaint for each damaged
        one."""
        complaints = []
        for path in self.checkpoints():
            try:
                return *load_tensors(path), complaints
            except DamagedFile as fault:
                complaints.append(f"{fault} The one before it is used.")
        return None, {}, complaints

    def end_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What a checkpoint at the end of a finished run would hold, and its metadata. Raises UserError for a damaged
        or missing file."""
        last = self.path / (LAST if self.value("options").get("keep") == "best" else MODEL)
        velocities, about = load_tensors(self.path / VELOCITIES)
        return {f"weight/{name}": tensor for name, tensor in load_tensors(last)[0].items()} | velocities, about

    def drop_checkpoints(self) -> None:
        for path in self.checkpoints():
            path.unlink(missing_ok=True)
        if (self.path / "state").is_dir() and not any((self.path / "state").iterdir()):
            (self.path / "state").rmdir()

    def sweep(self) -> None:
        """Remove what killed processes left: half-written files, and the checkpoints of a finished run. Only for the
        holder of the folder's lock."""
        for folder in (self.path, self.path / "state", self.path / "snapshots"):
            if folder.is_dir():
                remove_temporaries(folder)
        if self.value("finished"):
            self.drop_checkpoints()

    def checkpoints(self) -> list[Path]:
        """The files of the training state, newest first."""
        return sorted((path for path in self.path.glob("state/step-*") if STATE.fullmatch(path.name)), reverse=True)


def check_config(config: dict[str, Any], where: Path) -> None:
    """Raises UserError, naming the key, unless what is read of a config has the types of `Config`."""
    check(config, Config, where, REMEDY)


def check_statistics(statistics: dict[str, Tensor], where: Path) -> None:
    """Raises UserError unless these are a square mean image and, optionally, the colours' covariance."""
    shapes = {name: tuple(tensor.shape) for name, tensor in statistics.items()}
    mean = shapes.pop("mean_image", ())
    square = len(mean) == 3 and mean[0] == 3 and mean[1] == mean[2] and 1 <= mean[1] <= LARGEST_SIDE
    real = all(tensor.dtype.is_floating_point for tensor in statistics.values())
    if not square or not real or shapes not in ({}, {"eigenvalues": (3,), "eigenvectors": (3, 3)}):
        raise UserError(f"{where}: not the statistics of a run: a mean image {mean}, {shapes}. {REMEDY}")


def placement_for(folder: RunFolder, device: DeviceChoice = "auto", precision: PrecisionChoice = "auto") -> Placement:
    """The device and precision for a trained run. Precision "auto": what the run was trained with if the device is of
    the same kind, else fp32. Raises UserError for a device that this machine lacks."""
    found = find_device(device)
    if precision != "auto":
        return Placement(found, precision)
    machine = folder.config.get("machine", {})
    same = machine.get("device") == found.type and "precision" in machine
    return Placement(found, machine["precision"] if same else "fp32")
