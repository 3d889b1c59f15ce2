"""Weights made elsewhere: the files they come in, what was read of them, and the check that they fit a network."""

import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from alexnet.choices import Colours
from alexnet.errors import UserError
from alexnet.files.atomic import faults_named, read_bounded
from alexnet.files.schema import reading_errors
from alexnet.nets.network import Network
from alexnet.nets.table import Table

AGAIN = "Download it again."
LIMIT_BYTES = 1 << 31
"""No file of weights of these networks is as large."""
MOST_VALUES = 1 << 28
"""No layer of these networks has as many weights. A file of some bytes may ask for any number."""
ALONE = "Save the model's state_dict() alone."
SIDE = 256
"""Side of a record, where the files do not give it ([A] §2)."""
Order = Literal["sorted", "devkit", "listed"]
SORTED_SYNSETS = "sorted synset"
"""The order of the outputs in Caffe's and torchvision's files; also what a prepared ImageNet store calls it."""


@dataclass(frozen=True, eq=False)
class ImportOptions:
    """What a user states about weights, where the file does not.

    `mean`: an RGB colour (3,), or an image (3, S, S) in the colours that the weights read, on the scale 0–255;
    `colours`: what these are; `std`: what the inputs were divided by, RGB (3,), on the same scale; `net`: a name in
    the zoo.
    """

    net: str | None = None
    mean: Tensor | None = None
    std: Float[Tensor, "3"] | None = None
    colours: Colours | None = None

    def refuse(self, where: Path, why: str, *names: str) -> None:
        """Raises UserError if one of the named options, by default of all, was given, though the files need none."""
        for name in names or [one.name for one in fields(self)]:
            if getattr(self, name) is not None:
                raise UserError(f"{where}: {why}; leave out --{name}.")


@dataclass(frozen=True, eq=False)
class ImportedWeights:
    """What was read. `weights` under our names, `missing_layers` those that the files lack.

    `mean_image`: (3, S, S), RGB 0–255. `class_names`: in the order of the outputs, empty if unknown; `order`: what is
    known of that order. `called`: our names → the file's, for messages. `unfolded`: the first layer's weights as they
    were before the inputs' deviation went into them, and that deviation (3,). `config`: what the file says for the
    run's config.json, put over the rest.
    """

    table: Table
    weights: dict[str, Tensor]
    mean_image: Float[Tensor, "3 S S"]
    format: str
    missing_layers: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    order: str = ""
    notes: tuple[str, ...] = ()
    called: Mapping[str, str] = field(default_factory=dict)
    unfolded: tuple[Tensor, Tensor] | None = None
    eigen: tuple[Tensor, Tensor] | None = None
    mean_mode: Literal["aligned", "centre"] = "aligned"
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The weights as float32. Raises UserError for what holds no real numbers, or NaN or infinite ones."""
        for name, tensor in self.weights.items():
            if not (isinstance(tensor, Tensor) and name.endswith("num_batches_tracked")):
                self.weights[name] = real_numbers(tensor, f"{self.format}: {self.called.get(name, name)}")
        for name, tensor in zip(("eigenvalues", "eigenvectors"), self.eigen or (), strict=False):
            real_numbers(tensor, f"{self.format}: {name}")
        real_numbers(self.mean_image, f"{self.format}: the mean image")


@dataclass(frozen=True, eq=False)
class ExportedWeights:
    """A run as the writers take it. `where`: its folder, for messages. `statistics`: mean_image (3, S, S), RGB 0–255,
    and eigenvalues and eigenvectors if it has them. `config`: the entries of its config.json that go with the weights
    (`RUN_KEYS`). `unfolded`: as in `ImportedWeights`. `preprocessing`: the model takes uint8 records (B, S, S, 3) and
    does the rest itself. `calibration`: batches of its inputs, for int8."""

    where: str
    network: Network
    statistics: dict[str, Tensor]
    config: dict[str, Any]
    unfolded: tuple[Tensor, Tensor] | None = None
    preprocessing: bool = False
    calibration: Iterable[np.ndarray] | None = None

    @property
    def mean_image(self) -> Float[Tensor, "3 S S"]:
        return self.statistics["mean_image"]

    @property
    def weights(self) -> dict[str, Tensor]:
        """The state dict, without the layers whose weights are missing."""
        missing = self.network.missing_layers
        return {name: t for name, t in self.network.state_dict().items() if name.split(".")[0] not in missing}


def real_numbers(tensor: Any, where: str) -> Tensor:
    """A tensor of a file as float32, without a gradient. Raises UserError, naming it, unless it holds finite real
    numbers, not more of them than any layer has."""
    if not isinstance(tensor, Tensor):
        raise UserError(f"{where} is no tensor. {ALONE}")
    if tensor.is_quantized or tensor.is_sparse or tensor.layout != torch.strided or tensor.is_meta or tensor.is_nested:
        kind = "quantised" if tensor.is_quantized else "without values (meta)" if tensor.is_meta else "sparse or nested"
        raise UserError(f"{where} is {kind}; plain numbers are needed. Save the state dict of the plain float model.")
    if not tensor.dtype.is_floating_point:
        raise UserError(f"{where} holds {tensor.dtype}, not floats. Save the state dict of the plain float model.")
    if tensor.numel() > MOST_VALUES:
        raise UserError(f"{where} is {tuple(tensor.shape)}, larger than any layer of these networks.")
    found = tensor.detach().to(torch.float32)
    if not bool(found.isfinite().all()):
        count = int((~found.isfinite()).sum())
        raise UserError(
            f"{where} has {count:,} values that are NaN, infinite or too large. The training diverged or the file is "
            "damaged: use an earlier checkpoint, or download it again."
        )
    return found


class Files:
    """The files of a folder or of a tar archive, or one file, by their names without folders."""

    def __init__(self, path: Path) -> None:
        """Raises UserError if there is no such file or folder, or it can't be read."""
        self.path = path
        with reading_errors(path, AGAIN), faults_named(path):
            path.stat()
            archived = path.is_file() and tarfile.is_tarfile(path)
        self._locations: dict[str, dict[str, Path | tarfile.TarInfo]] = {}
        for inside, location in self._archived() if archived else self._on_disk():
            if not inside.name.startswith("._") and "__MACOSX" not in inside.parts:  # what macOS adds to files
                self._locations.setdefault(inside.name, {})[str(inside)] = location

    def _on_disk(self) -> Iterator[tuple[Path, Path]]:
        """Path inside, and path, of each file."""
        for file in sorted(self.path.rglob("*")) if self.path.is_dir() else [self.path]:
            if file.is_file() or file == self.path:
                yield (Path(file.name) if file == self.path else file.relative_to(self.path)), file

    def _archived(self) -> Iterator[tuple[Path, tarfile.TarInfo]]:
        """Path inside, and entry, of each plain file of an archive; the size of all that it unpacks to is bounded."""
        total = 0
        with reading_errors(self.path, AGAIN), tarfile.open(self.path) as archive:
            for member in archive:
                total += max(0, member.size)
                if member.size < 0 or total > LIMIT_BYTES:
                    raise UserError(f"{self.path}: it unpacks to more than any network's files. Give the file itself.")
                if member.isfile() and not member.issparse():
                    yield Path(member.name.replace("\0", "")), member

    @property
    def names(self) -> list[str]:
        return list(self._locations)

    def where(self, name: str) -> str:
        """How a message names a file: its path, or that of the folder or archive and its name in it."""
        return str(self.path) if self.path.name == name else f"{self.path}: {name}"

    def __contains__(self, name: str) -> bool:
        return name in self._locations

    def ending(self, *ends: str) -> list[str]:
        """The names with one of these ends."""
        return [name for name in self._locations if name.lower().endswith(ends)]

    def inside(self, *names: str) -> list[str]:
        """The paths inside the folder or archive of the files that have these names."""
        return [path for name in names for path in self._locations[name]]

    def neighbour(self, name: str, other: str) -> bytes | None:
        """The bytes of the file `other` in the folder of the file `name`; None if there is none."""
        if other in self._locations:
            return self.read(other)
        location = self._only(name)
        path = location.with_name(other) if isinstance(location, Path) else None
        return None if path is None or not path.is_file() else read_bounded(path, LIMIT_BYTES)

    def _only(self, name: str) -> Path | tarfile.TarInfo:
        """The one file of this name. Raises UserError if there is none, or several in different folders."""
        found = self._locations.get(name)
        if not found:
            raise UserError(f"{self.path}: {name} is not in it. Give the whole set of files.")
        if len(found) > 1:
            raise UserError(f"{self.path}: {' and '.join(list(found)[:3])} are all in it. Name the one you mean.")
        return next(iter(found.values()))

    def on_disk(self, name: str) -> Path:
        """The path of a file. Raises UserError if it is inside an archive."""
        location = self._only(name)
        if not isinstance(location, Path):
            raise UserError(f"{self.path}: unpack the archive and give {name} itself.")
        return location

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises UserError if it does not exist, is too large or can't be read."""
        location = self._only(name)
        if isinstance(location, Path):
            with faults_named(location):
                if location.stat().st_size > LIMIT_BYTES:
                    raise UserError(f"{location}: larger than any file of these networks; it is not one of them.")
                return location.read_bytes()
        with reading_errors(self.path, AGAIN), tarfile.open(self.path) as archive:
            member = archive.extractfile(location)
            assert member is not None  # only plain files are listed
            return member.read()


def as_image(mean: Tensor, colours: Colours = "rgb") -> Float[Tensor, "3 S S"]:
    """A mean as an RGB image: of a colour (3,), which is RGB, or of an image (3, S, S) in the colours named."""
    if mean.numel() == 3:
        return mean.float().reshape(3, 1, 1).repeat(1, SIDE, SIDE)
    return (mean.float().flip(0) if colours == "bgr" else mean.float()).contiguous()


def fold_std(weight: Tensor, std: Float[Tensor, "3"]) -> Tensor:
    """A first layer's weights (C, 3, k, k) for inputs that are not divided by `std`: rounded once."""
    return (weight.double() / std.double()[:, None, None]).float()
