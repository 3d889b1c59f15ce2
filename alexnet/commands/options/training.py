"""Options of the commands about networks and their training."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from alexnet.commands.options.common import described_by_default, option
from alexnet.files.schema import Range
from alexnet.train.options import TrainOptions

if TYPE_CHECKING:
    TrainArguments = TrainOptions
else:
    TrainArguments = described_by_default(TrainOptions, start_from="from")

Width = Annotated[float, arg(metavar="FACTOR", help="Multiplies the maps and units of every layer but the last.")]


@dataclass(frozen=True)
class Nets:
    """List the networks, or describe one layer by layer.

    For each layer: output shape, units, parameters, multiply-adds per picture, size and spacing of the receptive
    fields, and the memory of its maps in float32; then the totals.

    Examples:
        alexnet nets
        alexnet nets alexnet --batch 128
        alexnet nets toy --toml > mine.toml    # a start for `alexnet train --table mine.toml`
    """

    name: Annotated[Positional[str | None], option("[NAME]", default="list all")] = None
    """The network; or a TOML file with a table of your own."""
    toml: bool = False
    """Print its table as TOML, to be edited and trained by `alexnet train --table FILE`."""
    batch: Annotated[int, arg(metavar="N"), Range(1)] = 1
    """Number of pictures for which memory is counted."""
    classes: Annotated[int | None, option("N", default="the network's, 1000")] = None
    """Outputs of the last layer."""
    width: Width = 1.0
    input: Annotated[int | None, option("PIXELS", default="the network's, 224")] = None
    """Side of the input."""


@dataclass(frozen=True)
class Train:
    """Train a network on a store.

    A run that stopped for any reason resumes with --resume and ends with exactly the same weights.

    Examples:
        alexnet train photos.store --out runs/photos
        alexnet train photos/ --out runs/photos --width 0.5 --epochs 30    # prepares the folder first
        alexnet train photos.store --out runs/photos --resume
        alexnet train pets.store --out runs/pets --from runs/photos --freeze conv1-conv5
        alexnet train photos.store --out runs/mine --table mine.toml
    """

    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """A prepared store; or a folder of pictures, which is first prepared into RUN.store, with --from in the size
    of that run's records."""
    out: Annotated[Path, arg(metavar="RUN")]
    """The run folder to make or to resume."""
    resume: bool = False
    """Resume the run in RUN, with the options it was started with. A finished run is trained further if you give more
    --epochs."""
    balance: bool = False
    """Weigh each training picture's loss by the inverse of its class's size, so that all classes count alike."""
    find_learning_rate: bool = False
    """Instead of training, try learning rates from 1e-5 to 1 on some updates, draw the loss over them into
    RUN-learning-rate.png and suggest one."""
    show_traffic: bool = False
    """First print how many numbers the processes exchange, per picture and layer, forward and backward."""
    options: Annotated[TrainArguments, arg(name="")] = TrainArguments()


@dataclass(frozen=True)
class CrossValidate:
    """Measure the error of a way of training on every picture of a store, by cross-validation.

    The pictures of the splits train and val are divided into folds; on each fold a classifier is tested, by the centre
    view, that was trained on the others. The split test is left alone. Options are those of `alexnet train`. If
    interrupted, rerun the same command to resume.

    Examples:
        alexnet crossvalidate photos.store --from torchvision --head linear
        alexnet crossvalidate photos.store --folds 10 --from runs/photos --freeze conv1-conv5 --epochs 20
    """

    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """A prepared store. Pictures of one group (`alexnet prepare --group`) are in one fold."""
    folds: Annotated[int, arg(metavar="N"), Range(2)] = 5
    """Into how many folds the pictures of each class are divided, by --seed."""
    out: Annotated[Path | None, option("FOLDER", default="STORE.folds")] = None
    """Folder that keeps the counts of each fold."""
    json: bool = False
    """Print one JSON object: pictures, errors and the 95 % interval of each fold and of all."""
    options: Annotated[TrainArguments, arg(name="")] = TrainArguments()


@dataclass(frozen=True)
class Plan:
    """Predict step and epoch time on many devices: data parallel, by columns, hybrid.

    Computed from the bytes that each layout sends, the speed of one device and of its link. The model overlaps nothing
    with computation and adds no latency: it compares layouts and shows what the link costs.

    Examples:
        alexnet plan alexnet --devices 8 --link 12.5 --speed 3000
        alexnet plan --run runs/photos --devices 4 --link 1.2 --batch 512 --json
    """

    devices: Annotated[int, arg(metavar="N")]
    """How many devices."""
    link: Annotated[float, arg(metavar="GB/S")]
    """What a device can send per second, in GB, while it receives as much: 1.25 for 10 Gbit Ethernet."""
    name: Annotated[Positional[str | None], option("[NET]", default="the run's, or alexnet")] = None
    """The network."""
    speed: Annotated[float | None, option("IMG/S", default="the run's")] = None
    """Training speed of one device in pictures per second, as in `alexnet bench train` or a run's log."""
    run_folder: Annotated[Path | None, arg(name="run", metavar="RUN", help_behavior_hint="(default: none)")] = None
    """A run on one device, for its network and its measured speed."""
    batch: Annotated[int | None, option("N", default="128 for each device")] = None
    """Pictures in a batch, over all devices."""
    pictures: Annotated[int, arg(metavar="N")] = 1_281_167
    """Pictures in an epoch; the default is ILSVRC-2012's."""
    wire: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Type of the numbers that are sent."""
    width: Width = 1.0
    json: bool = False
    """Print a JSON list: seconds, bytes and pictures per second of each layout."""
