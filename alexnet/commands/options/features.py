"""Options of the commands that use a run's layers on other pictures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from alexnet.choices import Beside, NumberType, ProbeKind, Views, Way
from alexnet.commands.options.common import Compute, ComputeOptions, RunArgument, StoreArgument, option
from alexnet.files.schema import Range

Layer = Annotated[
    str | None,
    option(
        "NAME",
        default="the last hidden layer",
        help="A row of the network (conv1, relu7, …: `alexnet nets NAME` lists them), or a layer by its number as the "
        "papers count, 1 to 8, with its non-linearity, pooling and norm.",
    ),
]
Splits = Annotated[tuple[str, ...], option("NAME ...", default="all", help="Splits of the store, in this order.")]
AveragedViews = Annotated[
    Views,
    arg(
        metavar="{1,5,9,10}",
        help="Views that are averaged: 1 is the centre; 10 are centre, corners and their mirrors.",
    ),
]
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
    layers: Annotated[tuple[str, ...], arg(metavar="NAME ...")] = ("1", "2", "3", "4", "5", "7")
    """Rows of the network, or layers by their numbers as the papers count."""
    probes: Annotated[tuple[ProbeKind, ...], arg(metavar="{svm,softmax} ...")] = ("svm", "softmax")
    """What is trained on a layer: a linear SVM for each class, softmax regression."""
    per_class: Annotated[tuple[int, ...], arg(metavar="N ...")] = (15, 30)
    """Training pictures of each class."""
    beside: Annotated[tuple[Beside, ...], arg(metavar="WHAT ...")] = ("random",)
    """What to compare with. random: the same probes on the untrained network; target: the network trained on these
    pictures only; fine-tune: the run with all its layers trained further."""
    folds: int = 5
    """Number of random draws of the pictures."""
    views: AveragedViews = 1
    epochs: int = 60
    """Epochs of the trainings for target and fine-tune."""
    seen: Annotated[Path | None, option("STORE", default="no check")] = None
    """The store the run was trained on: pictures that are also there, by normalised correlation, are left out."""
    seed: int = 0
    """Random seed of the draws."""
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
    layer: Layer = None
    views: AveragedViews = 1
    type: NumberType = "float16"
    """Type of the numbers on disk; sums are always in float64."""
    splits: Splits = ()
    bits: Annotated[int | None, option("{32,64,128,256}", default="no codes")] = None
    """Length of a picture's code."""
    lists: Annotated[int | None, option("N", default="none")] = None
    """Number of faiss's inverted lists, about the square root of the number of pictures; needs faiss."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Random seed of the auto-encoder."""
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
