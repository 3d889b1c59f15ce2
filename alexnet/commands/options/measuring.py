"""Options of the commands that measure a run and use it on pictures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from alexnet.choices import Views
from alexnet.commands.options.common import (
    Compute,
    ComputeOptions,
    DeviceOption,
    RunArgument,
    SaveProbabilities,
    SplitOption,
    StoreArgument,
    option,
)
from alexnet.files.schema import Range


@dataclass(frozen=True)
class Evaluate:
    """Measure a run on a split of a store: loss, top-1 and top-5 error, errors by class, confusions.

    The store may have all of the run's classes or some of them; its records must be of the size the run was trained on.

    Examples:
        alexnet evaluate runs/photos photos.store
        alexnet evaluate runs/photos photos.store --split test --json > figures.json
        torchrun --nproc-per-node 4 -m alexnet evaluate runs/photos photos.store    # shared among four processes
    """

    run_folder: RunArgument
    store: StoreArgument
    views: Views = 10
    """Crops of a picture whose softmax outputs are averaged: 1 (centre), 5 (with corners), 10 (with mirrors; [A] §4.1);
    9 is a grid of 3 × 3 without mirrors (the 2012 CIFAR nets'). With more than one, the centre's figures are given
    too."""
    split: SplitOption = "val"
    json: bool = False
    """Print one JSON object: shares from 0 to 1, counts, nll in nats, every class, every confused pair and every wrong
    picture, worst first."""
    save_probabilities: SaveProbabilities = None
    compute: ComputeOptions = Compute()


@dataclass(frozen=True)
class Calibrate:
    """Make a run's probabilities mean what they say, by one temperature fitted to validation pictures.

    Logits are divided by the temperature with the lowest mean −ln p of the true class. It is stored with the run: from
    then on every probability of the run has it. Writes the reliability diagram before and after to RUN/reliability.png
    and its numbers to RUN/reliability.json. Pictures of other splits are not looked at.

    Examples:
        alexnet calibrate runs/photos photos.store
        alexnet calibrate runs/photos photos.store --precision 0.95
        alexnet predict runs/photos holiday/ --threshold calibrated
    """

    run_folder: RunArgument
    store: StoreArgument
    views: Views = 10
    """Crops of a picture whose softmax outputs are averaged, as you will predict: 1, 5, 9 or 10."""
    precision: Annotated[float | None, option("P", default="no threshold"), Range(0, 1)] = None
    """Also choose and store the probability below which the answer is "don't know", so that at least this share of the
    other answers is right, 0 to 1."""
    replace: bool = False
    """Replace an earlier calibration of the run."""
    json: bool = False
    """Print one JSON object: what is stored with the run."""
    device: DeviceOption = "auto"


@dataclass(frozen=True)
class Errors:
    """List the pictures that a run gets wrong, the worst first, with the training pictures most like them.

    Writes errors-SPLIT.csv, errors-SPLIT.json and a contact sheet errors-SPLIT.png. Often a wrong picture has the wrong
    label, shows two things, or is nearly the same as a training picture of another class.

    Examples:
        alexnet errors runs/photos photos.store
        alexnet errors runs/photos photos.store --true cat --answered dog
    """

    run_folder: RunArgument
    store: StoreArgument
    split: SplitOption = "val"
    views: Views = 10
    """Crops of a picture whose softmax outputs are averaged: 1, 5, 9 or 10."""
    true: Annotated[str | None, option("CLASS", default="all")] = None
    """Only pictures of this class."""
    answered: Annotated[str | None, option("CLASS", default="all")] = None
    """Only pictures that were taken for this class."""
    out: Annotated[Path | None, option("FOLDER", default="RUN")] = None
    """Folder for the files."""
    compute: ComputeOptions = Compute()


@dataclass(frozen=True)
class Predict:
    """Classify pictures: the most probable classes of each, with bars.

    Unreadable pictures are listed on stderr and the others are still classified; the exit code is then 1.

    Examples:
        alexnet predict runs/photos cat.jpg dog.png
        alexnet predict runs/photos holiday/ --json > answers.jsonl
        alexnet predict runs/photos holiday/ --csv answers.csv --move-into sorted/ --threshold 0.6
        curl -s https://example.org/cat.jpg | alexnet predict runs/photos -
    """

    run_folder: RunArgument
    pictures: Annotated[Positional[tuple[str, ...]], arg(metavar="FILE|FOLDER|- ...", help_behavior_hint="(required)")]
    """Picture files, folders of them, or - for one picture on standard input."""
    views: Literal[1, 5, 10] = 10
    """Crops of a picture whose softmax outputs are averaged: 1 (centre), 5 (with corners), 10 (with mirrors)."""
    top: Annotated[int, arg(metavar="N"), Range(1)] = 5
    """How many classes to print."""
    json: bool = False
    """Print one JSON object per line: file, labels with class, id and probability, notes; or file and error."""
    csv: Annotated[Path | None, option("FILE", default="not written")] = None
    """Also write a table: file, answer, error, and the --top classes with their probabilities."""
    threshold: Annotated[float | Literal["calibrated"], arg(metavar="P|calibrated"), Range(0, 1)] = 0.0
    """The answer is "don't know" where the most probable class has a probability below P, 0 to 1; "calibrated": below
    the threshold that `alexnet calibrate --precision` chose."""
    move_into: Annotated[Path | None, option("FOLDER", default="nothing is copied")] = None
    """Sort copies of the pictures into FOLDER/ANSWER, after a question. The originals stay where they are."""
    link: bool = False
    """With --move-into: make symbolic links instead of copies."""
    yes: bool = False
    """With --move-into: don't ask."""
    save_probabilities: SaveProbabilities = None
    compute: ComputeOptions = Compute()


@dataclass(frozen=True)
class Average:
    """Average several networks: saved probabilities, weighted equally, by given or by searched weights.

    The search is that of 2012: one weight after another, in steps of 0.05. Errors on the pictures that were searched
    say little about the weights found: search on one split and measure on another with --weights.

    Examples:
        alexnet average one.safetensors two.safetensors
        alexnet average one.safetensors two.safetensors --search top5
        alexnet average one.safetensors two.safetensors --weights 0.7,1 --submission answers.txt
    """

    files: Annotated[Positional[tuple[Path, ...]], arg(metavar="FILE ...", help_behavior_hint="(required)")]
    """Files that `alexnet evaluate` or `alexnet predict` wrote with --save-probabilities, of the same pictures."""
    weights: Annotated[str, option("W,W,…", default="all equal")] = ""
    """A weight for each file."""
    search: Annotated[Literal["top1", "top5"] | None, option("{top1,top5}", default="no search")] = None
    """Search the weights with the lowest error of this kind."""
    save: Annotated[Path | None, option("FILE", default="not written")] = None
    """Write the averaged probabilities to this file."""
    submission: Annotated[Path | None, option("FILE", default="not written")] = None
    """Write a competition's answers: one line per picture, its five most probable classes counted from 1."""


@dataclass(frozen=True)
class Report:
    """Write a run's report into its folder: one page that opens offline, and its figures as PNG.

    Curves, first-layer kernels, network, recipe; with a store also accuracy by centre and ten views, the worst wrong
    pictures, confusions and the table of classes.

    Examples:
        alexnet report runs/photos    # with the store it was trained on, if that still exists
        alexnet report runs/photos --store photos.store
    """

    run_folder: RunArgument
    store: Annotated[Path | None, option("STORE", default="the training's, if it still exists")] = None
    """A prepared store to measure on; its classes must be among the run's, and its records of the same size."""
    split: SplitOption = "val"
    compute: ComputeOptions = Compute()


@dataclass(frozen=True)
class Verify:
    """Check a run folder's integrity: checksums, config, weights, log; with its store also the accuracy.

    The exit code is 1 if anything differs from what was written.

    Examples:
        alexnet verify runs/photos
        alexnet verify runs/photos photos.store --json
    """

    run_folder: RunArgument
    store: Annotated[Positional[Path | None], option("[STORE]", default="accuracy is not measured")] = None
    """The store it was trained on: its validation pictures are measured again, with the centre view."""
    json: bool = False
    """Print a JSON list: what, finding, sound."""
    compute: ComputeOptions = Compute()
