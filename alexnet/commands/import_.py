"""`alexnet import`: other people's weights become a run folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from alexnet.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Import:
    """Make a run folder from other people's weights.

    Known: torchvision's alexnet (.pth, .safetensors), Caffe's AlexNet and CaffeNet (.caffemodel, or product-quantised),
    ONNX, cuda-convnet's layout (.npz), and what `alexnet export` writes. What a file lacks is named, and asked for or
    refused where it is needed. docs/weights.md tells where the usual files come from.

    Examples:
        alexnet import alexnet-owt-7be5be79.pth runs/torchvision --classes synset_words.txt
        alexnet import bvlc_alexnet.caffemodel runs/caffe --mean ilsvrc_2012_mean.npy --classes synset_words.txt
        alexnet import net.onnx runs/net --mean 123.68,116.78,103.94 --colours bgr
    """

    file: Annotated[Positional[Path], arg(metavar="FILE")]
    """A file of weights, a folder or a tar archive."""
    run_folder: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run folder to make."""
    classes: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: what the file knows)")] = None
    """The list of classes: synset_words.txt, imagenet_class_index.json, meta.mat, CSV, JSON, a class in each line."""
    order: Annotated[
        Literal["sorted", "devkit", "listed"] | None, arg(help_behavior_hint="(default: as the format has it)")
    ] = None
    """How the outputs stand: by sorted synset, by ILSVRC id, or as the list of classes has them."""
    mean: Annotated[str | None, arg(metavar="FILE|R,G,B", help_behavior_hint="(default: the format's)")] = None
    """What is taken off the pictures: an image (.npy, .binaryproto; in the colours the weights read), or a colour."""
    std: Annotated[str | None, arg(metavar="R,G,B", help_behavior_hint="(default: the format's)")] = None
    """What the inputs were divided by, on the scale 0–255; it is put into the first layer's weights."""
    colours: Annotated[Literal["rgb", "bgr"] | None, arg(help_behavior_hint="(default: the format's)")] = None
    """What the first layer reads."""
    net: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: the format's)")] = None
    """The network of the zoo that the weights belong to (.npz, .caffemodel)."""

    def run(self) -> None:
        from alexnet.data.sources.classes import read_classes
        from alexnet.runs.import_weights import import_run
        from alexnet.terminal import say
        from alexnet.weights import ImportOptions

        if self.order is not None and self.classes is None:
            raise UsageError(f"--order {self.order}: orders the list of classes; give that with --classes.")
        classes = None if self.classes is None else read_classes(self.classes, self.order)
        std = None if self.std is None else colour_of(self.std, "--std")
        asked = ImportOptions(self.net, None if self.mean is None else mean_of(self.mean), std, self.colours)
        made = import_run(self.file, self.run_folder, asked, classes)
        for note in made.config["imported"]["notes"]:
            say(note)
        say(f"{made.table.name}, {made.table.classes:,} classes, in the order: {made.config['classes']['order']}")
        if missing := made.config["missing_layers"]:
            say(f"no weights for {', '.join(missing)}: the layers before can be looked into, answers can't be given")
        print(made.path)


def colour_of(text: str, option: str) -> "Tensor":
    """Three numbers "R,G,B" as (3,). Raises UsageError if they are not."""
    import torch

    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 3 or not all(0 <= number <= 255 for number in numbers) or (option == "--std" and 0 in numbers):
        raise UsageError(f"{option} {text}: three numbers from 0 to 255 are needed, as 123.7,116.3,103.5.")
    return torch.tensor(numbers, dtype=torch.float64)


def mean_of(text: str) -> "Tensor":
    """The mean that the option says: an image in a file, or a colour given as R,G,B."""
    from alexnet.files.atomic import faults_named
    from alexnet.weights.caffe import mean_image_in

    if text.endswith((".npy", ".binaryproto")):
        with faults_named(text):
            return mean_image_in(Path(text).read_bytes(), text)
    return colour_of(text, "--mean")
