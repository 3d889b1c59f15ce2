"""Options of probes and of an index, declared once: the command line and Python read them here. Imports no torch."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from alexnet.choices import Beside, NumberType, ProbeKind, Views

LAYER_HELP = (
    "A row of the network (conv1, relu7, …: `alexnet nets NAME` lists them), or a layer by its number as the papers "
    "count, 1 to 8, with its non-linearity, pooling and norm."
)
VIEWS_HELP = "Views that are averaged: 1 is the centre; 10 are centre, corners and their mirrors."
SPLITS_HELP = "Splits of the store, in this order."
Layer = Annotated[
    str | None, arg(metavar="NAME", help=LAYER_HELP, help_behavior_hint="(default: the last hidden layer)")
]
Splits = Annotated[tuple[str, ...], arg(metavar="NAME ...", help=SPLITS_HELP, help_behavior_hint="(default: all)")]
AveragedViews = Annotated[Views, arg(metavar="{1,5,9,10}", help=VIEWS_HELP)]


@dataclass(frozen=True)
class TransferOptions:
    """What a study of transfer measures."""

    layers: Annotated[tuple[str, ...], arg(metavar="NAME ...")] = ("1", "2", "3", "4", "5", "7")  # [Z] Table 7
    """Rows of the network, or layers by their numbers as the papers count."""
    probes: Annotated[tuple[ProbeKind, ...], arg(metavar="{svm,softmax} ...")] = ("svm", "softmax")
    """What is trained on a layer: a linear SVM for each class, softmax regression."""
    per_class: Annotated[tuple[int, ...], arg(metavar="N ...")] = (15, 30)  # [Z] Table 4
    """Training pictures of each class."""
    beside: Annotated[tuple[Beside, ...], arg(metavar="WHAT ...")] = ("random",)
    """What to compare with. random: the same probes on the untrained network; target: the network trained on these
    pictures only; fine-tune: the run with all its layers trained further."""
    folds: int = 5  # [Z] Tables 4–7
    """Number of random draws of the pictures."""
    views: AveragedViews = 1
    epochs: int = 60
    """Epochs of the trainings for target and fine-tune."""
    seed: int = 0
    """Random seed of the draws."""


@dataclass(frozen=True)
class IndexOptions:
    """What an index of similar pictures holds."""

    layer: Layer = None
    views: AveragedViews = 1
    type: NumberType = "float16"
    """Type of the numbers on disk; sums are always in float64."""
    splits: Splits = ()
    bits: Annotated[int | None, arg(metavar="{32,64,128,256}", help_behavior_hint="(default: no codes)")] = None
    """Length of a picture's code."""
    lists: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: none)")] = None
    """Number of faiss's inverted lists, about the square root of the number of pictures; needs faiss."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Random seed of the auto-encoder."""
