"""The options of a training run, declared once: the command line, `alexnet.Classifier`, the experiments and recorded
runs read them from here. Plain values: nothing here imports torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from alexnet.choices import (
    ColourNoise,
    Crops,
    DeviceChoice,
    FixedViews,
    Head,
    Initialisation,
    Keep,
    MeanMode,
    PrecisionChoice,
)
from alexnet.files.schema import Range

if TYPE_CHECKING:
    from alexnet.nets.table import Table

    TableOption = Path | Table  # Python may hand over the table itself; a run records it as its network, not as a file
else:
    TableOption = Path
LAUNCH_OPTIONS = ("columns", "hybrid", "wire", "gradients", "timeout")
"""Options of how processes work together. A resumed run does not keep them: they belong to its torchrun command."""


@dataclass(frozen=True)
class SharedOptions:
    """Options of a training run that `alexnet paper run` has too, for every network that it trains. None: the recipe's
    value."""

    recipe: str | None = None
    """Recipe of the training (`alexnet train --help` lists them)."""
    net: str | None = None
    """Network of the zoo (`alexnet nets` lists them). Default: the recipe's, alexnet for "paper"."""
    width: float = 1.0
    """Factor on the maps and units of every layer but the last; below 1 for small data or a slow machine."""
    input_size: Annotated[int, Range(1)] | None = None
    """Side of the crops in pixels. Default: the network's, 224 for alexnet."""
    epochs: Annotated[int, Range(1)] | None = None
    """Passes over the training pictures, at most. Default: the recipe's, 90. A schedule by epochs is scaled to it."""
    batch: Annotated[int, Range(1)] | None = None
    """Pictures in a batch: between two updates, on all devices together. Default: the recipe's, 128 for "paper"."""
    learning_rate: Annotated[float | None, arg(aliases=("--lr",))] = None
    """Learning rate at the start. Default: the recipe's, 0.01."""
    patience: Annotated[int, Range(1)] = 5
    """Epochs without a better validation error before the learning rate is divided by 10 (plateau rule)."""
    init: Initialisation | None = None
    """Initial weights: code (the 2012 code's), paper ([A] §5 as printed) or zf ([Z] §3). Default: code (zf: zf)."""
    threads: Annotated[int, Range()] = 0
    """CPU threads; 0: one for each core that the process may use, or fewer where OMP_NUM_THREADS says so."""
    precision: PrecisionChoice = "auto"
    """Arithmetic of the layers; auto: bf16 where a check at the start finds it right and faster. Weights are fp32."""
    device: DeviceChoice = "auto"
    """Where to train; auto: the first of cuda, mps, cpu that is there."""


@dataclass(frozen=True)
class TrainOptions(SharedOptions):
    """Options of one training run. None: the recipe's value."""

    recipe: str = "paper"
    """paper ([A] §5), steps (the same, but the learning rate drops at set epochs), zf ([Z] §3), a logged run of 2012
    by its number (145, 145-2010, … 180: `alexnet paper runs` lists them), one of the authors' CIFAR nets (cifar-18pct
    …); for large batches bn-512 and, with LARS, bn-8k, bn-16k, bn-32k."""
    accumulation_steps: Annotated[int, Range(1)] = 1
    """Gradient-accumulation steps for each batch, to save memory. Must divide the batch."""
    momentum: float | None = None
    """Momentum. Default: the recipe's, 0.9."""
    warmup: Annotated[float, Range()] | None = None
    """Epochs over which the learning rate rises from 0 (recipes with a polynomial decay). Default: the recipe's."""
    decay: Annotated[float, Range()] | None = None
    """Weight decay. Default: the recipe's, 0.0005."""
    threshold: Annotated[float, Range()] = 0.1
    """Percentage points by which the validation error must fall to count as better."""
    colour_noise: ColourNoise | None = None
    """Colour noise: code (about ±12 levels), paper (about ±5.5) or off. Default: the recipe's, code."""
    mean: MeanMode | None = None
    """The mean taken off a crop: aligned (each pixel's own) or centre (the mean image's centre crop for every crop, as
    in the 2012 code). Default: the recipe's, aligned for "paper"."""
    crops: Crops | None = None
    """Training crops: random places, [Z]'s ten fixed ones or the centre. Default: the recipe's, random."""
    rms_limit: Annotated[float, Range()] | None = None
    """RMS to which convolution filters are cut back after each update ([Z] §3); 0 for none. Default: the recipe's, 0.1
    for "zf"."""
    mirror: bool | None = None
    """Mirror half of the pictures. Default: yes."""
    cutout: Annotated[int, Range()] = 0
    """Side in pixels of a square set to the mean in each training picture; 0: none."""
    table: TableOption | None = None
    """A network of your own in place of --net: a TOML file with its rows (`alexnet nets NAME --toml` prints one). The
    last row gets as many units as there are classes."""
    start_from: Path | None = None
    """Run folder whose weights to start from. The last layer is new, unless --take names it."""
    take: str = ""
    """Layers whose weights to take from there: names or spans, as in conv1-conv5; "all" takes the last one too.
    Default: every layer but the last, which must then be alike."""
    freeze: str = ""
    """Layers that keep their weights: names or spans, as in conv1-conv5,fc6."""
    frozen_features: FixedViews | Literal["exact"] | Annotated[int, Range(1, 1000)] | None = None
    """Where the first layers are frozen, compute their output once and train on it: of the centre of each picture and
    its mirror, of the ten views of a test, or of that many random crops; without colour noise. exact: compute it in
    each epoch, augmented as the recipe says. Default: centre for fewer than 5,000 pictures of your own with recipe
    paper or steps, else exact."""
    head: Head = "network"
    """What is trained: the network; or, with --from, a linear classifier on its frozen layers, which takes seconds.
    --freeze then names these layers (default: the convolutions), --frozen-features the views of each picture (default:
    the centre)."""
    keep: Keep | None = None
    """Weights that the run ends with: last, or best, those of the epoch with the lowest validation error (the last ones
    are then in last.safetensors). Default: best for pictures of your own with recipe paper or steps, else last."""
    snapshots: bool = False
    """Keep the weights at epochs 1, 2, 5, 10, 20, 30, 40, 64 and the last ([Z] Fig. 4)."""
    seed: int = 0
    """Random seed for weights, order, crops, mirrors, noise and dropout."""
    save_minutes: Annotated[float, Range()] = 5.0
    """Minutes between checkpoints within an epoch. Its end is saved too, unless the last checkpoint is less than 15
    seconds old."""
    deterministic: bool = False
    """On CUDA: repeated runs are bit-identical, but slower (sets CUBLAS_WORKSPACE_CONFIG unless it is set). On the CPU
    they always are."""
    columns: int = 1
    """Under torchrun: processes that share one network, a column each ([A] §3.2: 2). Batches are divided among the
    others."""
    hybrid: bool = False
    """Under torchrun: dense layers split over all processes, convolutions data parallel (One Weird Trick)."""
    wire: Literal["same", "bf16", "fp16"] = "same"
    """Type of the activations, and of their gradients, between processes; same: as they are computed."""
    gradients: Literal["same", "bf16"] = "same"
    """Type of the weight gradients that data-parallel processes add up; same: as they are computed."""
    timeout: float = 600.0
    """Seconds after which a process that does not respond is reported as lost."""

    @property
    def launch(self) -> dict[str, Any]:
        """The arguments of `parallel.launch.launched`."""
        return {name: getattr(self, name) for name in ("device", *LAUNCH_OPTIONS)}
