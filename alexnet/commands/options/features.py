"""Options of the commands that use a run's layers on other pictures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from alexnet.choices import NumberType, Way
from alexnet.commands.options.common import Compute, ComputeOptions, RunArgument, StoreArgument, option
from alexnet.features.options import AveragedViews, IndexOptions, Layer, Splits, TransferOptions
from alexnet.files.schema import Range

IndexFolder = Annotated[Path | None, arg(name="index", metavar="FOLDER", help_behavior_hint="(default: RUN/similar)")]


@dataclass(frozen=True)
class Features:
    """Write a layer's outputs for pictures to an .npy file, with a JSON file that describes it.

    The file can be memory-mapped: numpy.load(F, mmap_mode="r"). If interrupted, rerun the same command to resume.

    Examples:
        alexnet features runs/photos photos.store --out fc7.npy
        alexnet features runs/photos holiday/ cat.jpg --layer pool5 --views 10 --type float16 --out pool5.npy
    """

    run_folder: RunArgument
    pictures: Annotated[Positional[tuple[str, ...]], arg(metavar="STORE|FILE ...", help_behavior_hint="(required)")]
    """A store; or picture files, folders of them, and - for one on standard input."""
    out: Annotated[Path, arg(metavar="F.npy")]
    """The file to write; F.json goes next to it."""
    layer: Layer = None
    views: AveragedViews = 1
    type: NumberType = "float32"
    """Type of the numbers in the file."""
    splits: Splits = ()
    compute: ComputeOptions = Compute()


@dataclass(frozen=True)
class Transfer:
    """Measure how well a run's layers describe other pictures: a probe on each layer, over folds ([Z] §5.2).

    All pictures of the store are pooled, and each fold draws so many training pictures of each class and up to 50 of
    the others to test. For an annotated folder (Pascal VOC, LabelMe) the average precision of each class is measured.
    If interrupted, rerun the same command to resume.

    Examples:
        alexnet transfer runs/photos caltech.store --per-class 15 30 --out transfer
        alexnet transfer runs/photos caltech.store --beside random target fine-tune --seen photos.store --out transfer
        alexnet transfer runs/photos VOCdevkit/VOC2012/ --layers 7 --out transfer
    """

    run_folder: RunArgument
    store: Annotated[Positional[Path], arg(metavar="STORE|VOC")]
    """The other pictures, prepared; or a folder with Annotations/ next to JPEGImages/ or Images/."""
    out: Annotated[Path, arg(metavar="FOLDER")]
    """Where to write the measurements, the table and the figure."""
    options: Annotated[TransferOptions, arg(name="")] = TransferOptions()
    seen: Annotated[Path | None, option("STORE", default="no check")] = None
    """The store the run was trained on: pictures that are also there, by normalised correlation, are left out."""
    compute: ComputeOptions = Compute()


@dataclass(frozen=True)
class SimilarBuild:
    """Build an index of a store's pictures, for `alexnet similar` to search.

    It holds a layer's outputs for every picture; with --bits also short binary codes, by an auto-encoder; with --lists
    also what faiss needs. If interrupted, rerun the same command to resume.

    Examples:
        alexnet similar build runs/photos photos.store
        alexnet similar build runs/photos photos.store --bits 64 --splits train
    """

    run_folder: RunArgument
    store: StoreArgument
    index_folder: IndexFolder = None
    """The folder to make."""
    options: Annotated[IndexOptions, arg(name="")] = IndexOptions()
    compute: ComputeOptions = Compute()


@dataclass(frozen=True)
class Similar:
    """Find the pictures of an index that look most like yours to a run ([A] Fig. 4).

    Prints a table, and writes a sheet of the pictures, similar.png, and similar.json to the index folder.

    `alexnet similar build` makes the index first.

    Examples:
        alexnet similar runs/photos cat.jpg holiday/
        alexnet similar runs/photos cat.jpg --by codes --count 20 --json > found.json
    """

    run_folder: RunArgument
    pictures: Annotated[Positional[tuple[str, ...]], arg(metavar="FILE|FOLDER|- ...", help_behavior_hint="(required)")]
    """Picture files, folders of them, or - for one picture on standard input."""
    index_folder: IndexFolder = None
    """The index."""
    count: Annotated[int, arg(metavar="N"), Range(1)] = 6
    """How many pictures to find for each; [A] shows six."""
    by: Way = "exact"
    """exact: all Euclidean distances; codes: Euclidean distances among those with the nearest codes; hamming: codes
    only; faiss: in its nearest lists."""
    store: Annotated[Path | None, option("STORE", default="where it was")] = None
    """The store of the index, if it has moved. The sheet shows its pictures; without it there is no sheet."""
    out: Annotated[Path | None, option("FOLDER", default="the index")] = None
    """Where to write similar.png and similar.json."""
    json: bool = False
    """Print a JSON list instead of the table: for each query its pictures, classes and distances."""
    compute: ComputeOptions = Compute()
