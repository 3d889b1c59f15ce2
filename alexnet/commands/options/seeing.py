"""Options of `alexnet see METHOD`: each method of [Z]."""

import functools
import inspect
import operator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import OmitSubcommandPrefixes, Positional, arg, subcommand

from alexnet.choices import (
    AblationOrder,
    AttributionMethod,
    Control,
    Embedding,
    Fill,
    Method,
    Normalisation,
    NormRule,
    Overlap,
    PrecisionChoice,
    Preset,
)
from alexnet.commands.options.common import (
    DeviceOption,
    PictureArgument,
    RunArgument,
    SplitOption,
    StoreArgument,
    option,
)
from alexnet.files.schema import Range

MethodOption = Annotated[Method, arg(help="How to go back through ReLUs and norms: see docs/seeing.md.")]
NormOption = Annotated[
    NormRule | None,
    arg(
        help="At a response norm: pass the signal unchanged, or apply the adjoint of the norm.",
        help_behavior_hint="(default: the method's; deconvnet: pass)",
    ),
]
Layers = Annotated[str, arg(metavar="NAMES", help="Which rows of the network, as in conv2-conv5.")]
Channels = Annotated[str, option("NUMBERS", default="6, evenly spread", help="Which maps of each row, as in 3,17-20.")]


@dataclass(frozen=True, kw_only=True)
class OfRun:
    """What every method has: the run, and where its results go."""

    run_folder: RunArgument
    out: Annotated[Path | None, option("FOLDER", default="RUN/see")] = None
    """Where to write the results."""


@dataclass(frozen=True, kw_only=True)
class OnDevice(OfRun):
    """And the device, for methods that compute."""

    device: DeviceOption = "auto"


@dataclass(frozen=True)
class Project(OnDevice):
    """Project units down to the pixels: what in a picture excites them ([Z] §2.1).

    Examples:
        alexnet see project runs/photos cat.jpg --layer conv5
        alexnet see project runs/photos cat.jpg --layer conv3 --channels 3,17-20 --method guided
    """

    picture: PictureArgument
    layer: Annotated[str, arg(metavar="NAME")]
    """Which row of the network (`alexnet nets NAME` lists them): conv5, relu5, fc7 …"""
    channels: Annotated[str, option("NUMBERS", default="the strongest")] = ""
    """Which maps (or units of a fully connected layer), as in 3,17-20."""
    strongest: Annotated[int, arg(metavar="N")] = 9
    """How many of the strongest maps, if none are named."""
    at: Annotated[tuple[int, int] | None, option("ROW COLUMN", default="each map's peak")] = None
    """Which unit of each map."""
    whole: bool = False
    """All units of each map at once."""
    method: MethodOption = "deconvnet"
    norms: NormOption = None
    overlap: Overlap = "add"
    """Where two pooling windows share a maximum: add the two signals, or keep the larger."""


@dataclass(frozen=True)
class TopNine(OnDevice):
    """Find the nine pictures that excite each map most; show their patches and projections ([Z] Fig. 2).

    One pass over the pictures for all maps of all layers; its shards can run as separate processes.

    Examples:
        alexnet see top runs/photos photos.store --layers conv2-conv5
        alexnet see top runs/photos photos.store --layers conv5 --negative
        alexnet see top runs/photos photos.store --shard 1/2 --out shards &
        alexnet see top runs/photos photos.store --shard 2/2 --out shards
        alexnet see top runs/photos photos.store --merge shards/top-1-of-2.safetensors shards/top-2-of-2.safetensors
    """

    store: StoreArgument
    layers: Annotated[str, option("NAMES", default="all that have weights")] = ""
    """Which rows, as in conv2-conv5,fc7."""
    channels: Annotated[str, option("NUMBERS", default="12, evenly spread")] = ""
    """Which maps are shown, as in 3,17-20. The JSON file has the strongest pictures of all."""
    split: SplitOption = "val"
    shard: Annotated[str, option("I/N", default="the whole split")] = ""
    """Look only at the I-th of N shards of the split, and save what is found for --merge."""
    merge: Annotated[tuple[Path, ...], option("FILE ...", default="look at the pictures")] = ()
    """Show what these shards found."""
    negative: bool = False
    """Also find the most negative pictures, and show them below the strongest."""
    method: MethodOption = "deconvnet"
    norms: NormOption = None


@dataclass(frozen=True)
class EvolutionOfFeatures(OnDevice):
    """Show how maps formed in training: their strongest activation at each snapshot, projected ([Z] Fig. 4).

    The run must have been trained with --snapshots.

    Example:
        alexnet see evolution runs/photos photos.store --layers conv1-conv5
    """

    store: StoreArgument
    layers: Layers = "conv1-conv5"
    channels: Channels = ""
    epochs: Annotated[tuple[int, ...], option("N ...", default="all snapshots")] = ()
    """Which snapshots."""
    split: SplitOption = "train"


@dataclass(frozen=True)
class ActivationsOfMaps(OnDevice):
    """Show how strongly, and how often, maps are active: histograms of each picture's largest activation.

    Uses at most 1,000 pictures, evenly spread over the split.

    Example:
        alexnet see activations runs/photos photos.store --layers conv3 --channels 12
    """

    store: StoreArgument
    layers: Layers = "conv1-conv5"
    channels: Channels = ""
    split: SplitOption = "val"


@dataclass(frozen=True)
class InvarianceOfFeatures(OnDevice):
    """Shift, scale and rotate pictures; show how far the features move and what is predicted ([Z] Fig. 5).

    Examples:
        alexnet see invariance runs/photos cat.jpg dog.jpg
        alexnet see invariance runs/photos cat.jpg --true tabby --normalise unit --fill edge
    """

    pictures: Annotated[Positional[tuple[str, ...]], arg(metavar="PICTURE ...", help_behavior_hint="(required)")]
    """Picture files; [Z] has five."""
    true: Annotated[tuple[str, ...], option("CLASS ...", default="the most probable")] = ()
    """The true class of each, by id or name."""
    layers: Annotated[str, option("NAMES", default="layers 1 and 7")] = ""
    """Rows whose outputs are compared, as in relu1,relu7."""
    normalise: Normalisation = "relative"
    """Euclidean distance: relative to the length of the original features, unchanged, or of unit vectors."""
    fill: Fill = "mean"
    """What lies outside the record: the mean, or its outermost pixels."""


@dataclass(frozen=True)
class FiltersOfLayers(OfRun):
    """Show the first two layers' filters and measure their defects ([Z] Fig. 6).

    Dead filters, shares of very low and very high frequencies, aliasing. Two runs can be compared.

    Examples:
        alexnet see filters runs/alexnet
        alexnet see filters runs/alexnet --beside runs/zfnet
    """

    beside: Annotated[Path | None, option("RUN", default="none")] = None
    """Another run to compare with."""


@dataclass(frozen=True)
class OcclusionOfPicture(OnDevice):
    """Slide a grey square over a picture: what does the prediction depend on? ([Z] Fig. 7).

    Maps of the strongest layer-5 map's total activation, of the true class's probability and of the predicted class.

    Examples:
        alexnet see occlusion runs/photos cat.jpg
        alexnet see occlusion runs/photos cat.jpg --true tabby --size 48 --stride 4 --store photos.store
    """

    picture: PictureArgument
    true: Annotated[str | None, option("CLASS", default="the most probable")] = None
    """The true class, by id or name."""
    size: Annotated[int | None, option("PIXELS", default="a seventh, 32 of 224")] = None
    """Side of the square, in pixels of the network's input."""
    stride: Annotated[int | None, option("PIXELS", default="a quarter of the square")] = None
    """How far it moves each time."""
    grey: Annotated[float, arg(metavar="LEVEL")] = 128.0
    """Grey level of the square, 0–255."""
    layer: Annotated[str | None, option("NAME", default="the last convolution's")] = None
    """Row of the map that is watched."""
    channel: Annotated[int | None, option("N", default="the strongest")] = None
    """The map that is watched."""
    store: Annotated[Path | None, option("STORE", default="not shown")] = None
    """A prepared store in which the watched map's strongest patches are looked for."""
    split: SplitOption = "val"
    precision: Literal["auto", "fp32"] = "fp32"
    """Precision of the computation; auto: that of the training, twice as fast in bf16."""


@dataclass(frozen=True)
class AttributionOfPicture(OnDevice):
    """Show which pixels an answer rests on: Grad-CAM, integrated gradients, LRP, RISE and others.

    Examples:
        alexnet see attribution runs/photos cat.jpg
        alexnet see attribution runs/photos cat.jpg --method integrated-gradients --true tabby --steps 100
    """

    picture: PictureArgument
    method: Annotated[AttributionMethod, arg(help="How: see docs/seeing.md.")] = "grad-cam"
    true: Annotated[str | None, option("CLASS", default="the most probable")] = None
    """The class that is explained, by id or name."""
    layer: Annotated[str | None, option("NAME", default="the last convolution's")] = None
    """grad-cam, grad-cam++: row of the maps that are weighted."""
    steps: Annotated[int | None, option("N", default="50")] = None
    """integrated-gradients: points on the path from the mean picture."""
    samples: Annotated[int | None, option("N", default="50")] = None
    """smoothgrad: noisy copies."""
    noise: Annotated[float | None, option("SHARE", default="0.15")] = None
    """smoothgrad: σ of the noise, as a share of the picture's range."""
    epsilon: Annotated[float | None, option("NUMBER", default="1e-6")] = None
    """lrp: what the ε rule adds to the sums."""
    gamma: Annotated[float | None, option("NUMBER", default="0.25")] = None
    """lrp: how much more positive weights of convolutions count."""
    size: Annotated[int | None, option("PIXELS", default="a seventh of the view")] = None
    """occlusion: side of the square."""
    stride: Annotated[int | None, option("PIXELS", default="a quarter of the square")] = None
    """occlusion: how far it moves each time."""
    masks: Annotated[int | None, option("N", default="500")] = None
    """rise: random masks."""
    cells: Annotated[int | None, option("N", default="7")] = None
    """rise: cells of a mask along each axis."""
    seed: Annotated[int | None, option("N", default="0")] = None
    """smoothgrad, rise: random seed."""


@dataclass(frozen=True)
class PartsOfPictures(OnDevice):
    """Mask the same part in several pictures: do the features change alike? ([Z] Table 1; lower is more alike).

    The file lists the parts of each picture: {"cat.jpg": {"left_eye": [x, y], …}, …}, in pixels of the picture.

    Example:
        alexnet see parts runs/photos dogs/keypoints.json --parts left_eye right_eye nose
    """

    keypoints: Annotated[Positional[Path], arg(metavar="JSON")]
    """Keypoints; the pictures are next to the file."""
    parts: Annotated[tuple[str, ...], option("NAME ...", default="those in all pictures")] = ()
    """Which parts."""
    match: Annotated[str, option("TEXT", default="all")] = ""
    """Only pictures with this in their path, as in face/ for the built-in set."""
    most: Annotated[int | None, option("N", default="all")] = None
    """How many pictures at most; [Z] has five."""
    layers: Annotated[str, option("NAMES", default="layers 5 and 7")] = ""
    """Rows whose outputs are compared, as in relu5,relu7."""
    mask: Annotated[int | None, option("PIXELS", default="a seventh, 32 of 224")] = None
    """Side of the mask, in pixels of the network's input."""
    grey: Annotated[float | None, option("LEVEL", default="the mean")] = None
    """Grey level of the mask, 0–255."""
    control: Control = "object"
    """Where the control masks: on the object as in [Z] (in its box, or around the keypoints), or anywhere."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Random seed of the control's positions."""


@dataclass(frozen=True)
class ContributionsToAnswer(OnDevice):
    """Split an answer into what each unit adds to it, down to the maps of the last convolution.

    Exact for what the last layer reads; below, what LRN and the like leave over is printed as the remainder.

    Examples:
        alexnet see contributions runs/photos cat.jpg
        alexnet see contributions runs/photos cat.jpg --true cat --against dog --store photos.store
    """

    picture: PictureArgument
    true: Annotated[str | None, option("CLASS", default="the most probable")] = None
    """The class whose logit is split, by id or name."""
    against: Annotated[str | None, option("CLASS", default="none")] = None
    """A class whose logit is taken off: what speaks for the one and not for the other?"""
    layers: Annotated[str, option("NAMES", default="what the last layer reads, and the last convolution")] = ""
    """Layers with weights that the answer is split over, as in fc7,fc6,conv5."""
    strongest: Annotated[int, arg(metavar="N")] = 5
    """How many units of each sign are followed down to the next of the layers."""
    store: Annotated[Path | None, option("STORE", default="not shown")] = None
    """A prepared store in which the maps' strongest patches are looked for."""
    split: SplitOption = "val"


@dataclass(frozen=True)
class InterventionOnUnits(OnDevice):
    """Silence, scale or swap maps and units, and see the answer change; with --store the errors on a split.

    Examples:
        alexnet see intervene runs/photos cat.jpg --edit conv5:139=0
        alexnet see intervene runs/photos cat.jpg --edit "conv5:3,17-20*2" "fc7:12<->40"
        alexnet see intervene runs/photos --edit conv5:139=0 --store photos.store
    """

    picture: Annotated[Positional[str | None], arg(metavar="PICTURE", help_behavior_hint="(or --store)")] = None
    """A picture file."""
    edit: Annotated[tuple[str, ...], option("EDIT ...", default="needed")] = ()
    """ROW:MAPS=NUMBER sets maps, ROW:MAPS*NUMBER scales them, ROW:MAP<->MAP swaps two; made in this order."""
    store: Annotated[Path | None, option("STORE", default="a picture")] = None
    """A prepared store, all of whose pictures are judged before and after."""
    split: SplitOption = "val"
    precision: PrecisionChoice = "auto"
    """Precision of the computation; auto: that of the training."""


@dataclass(frozen=True)
class AblationOfLayer(OnDevice):
    """Silence more and more units of a layer: how the accuracy falls, in the order of their activation or effect.

    The control silences them in random order.

    Example:
        alexnet see ablation runs/photos photos.store --layer conv5
    """

    store: StoreArgument
    layer: Annotated[str, arg(metavar="NAME")]
    """Which row of the network; one with weights is silenced past its non-linearity."""
    orders: Annotated[tuple[AblationOrder, ...], option("ORDER ...", default="all three")] = (
        "activation",
        "effect",
        "random",
    )
    """In which orders: activation (largest mean first), effect (largest first), random."""
    points: Annotated[int, arg(metavar="N")] = 11
    """Points of each curve, from none silenced to all."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Random seed of the random order."""
    split: SplitOption = "val"
    precision: PrecisionChoice = "auto"
    """Precision of the computation; auto: that of the training."""


@dataclass(frozen=True)
class DissectionOfUnits(OnDevice):
    """Find out which units look where which objects and parts are: network dissection (Bau et al. 2017).

    PICTURES is a folder of the built-in set, of Oxford's pets, or with annotations in Pascal VOC's form. A network of
    the same table with random weights stands beside the run's.

    Examples:
        alexnet see dissect runs/photos pictures --layer conv5
        alexnet see dissect runs/photos VOC2007 --layer relu5 --most 500
    """

    pictures: Annotated[Positional[Path], arg(metavar="PICTURES")]
    """Folder of pictures with known objects or parts."""
    layer: Annotated[str, arg(metavar="NAME")] = "conv5"
    """Which row of the network; it must have maps."""
    level: Annotated[float, arg(metavar="SHARE")] = 0.005
    """Share of all positions where a map counts as active; more for parts that cover over an eighth of the pictures."""
    split: Annotated[str, arg(metavar="NAME")] = "val"
    """Split of the built-in set: train or val."""
    most: Annotated[int | None, option("N", default="all")] = None
    """How many pictures at most, evenly spread."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Random seed of the control's weights."""


@dataclass(frozen=True)
class ComparisonOfRuns(OnDevice):
    """Compare how two runs represent the same pictures, layer by layer: linear CKA (Kornblith et al. 2019).

    Examples:
        alexnet see compare runs/photos runs/other photos.store
        alexnet see compare runs/alexnet runs/zfnet photos.store --layers conv1-conv5,fc7 --most 1000
    """

    other: Annotated[Positional[Path], arg(metavar="OTHER")]
    """Another run folder."""
    store: StoreArgument
    layers: Annotated[str, option("NAMES", default="all that have weights")] = ""
    """Which rows of both networks, as in conv1-conv5,fc7."""
    split: SplitOption = "val"
    most: Annotated[int, arg(metavar="N"), Range(4, 10_000)] = 500
    """How many pictures at most, evenly spread over the split."""


@dataclass(frozen=True)
class MapOfPictures(OnDevice):
    """Draw a map of pictures on which those lie close together that the network finds alike.

    Examples:
        alexnet see map runs/photos photos.store
        alexnet see map runs/photos photos.store --layer pool5 --method pca --thumbnails
    """

    store: StoreArgument
    layer: Annotated[str | None, option("NAME", default="the last hidden one")] = None
    """Which layer: a row by name, or a layer by number."""
    method: Embedding = "t-sne"
    """Principal components; or t-SNE or UMAP (needs `pip install 'alexnet[umap]'`) of the first 50 of them."""
    split: SplitOption = "val"
    most: Annotated[int, arg(metavar="N"), Range(5, 100_000)] = 2000
    """How many pictures at most, evenly spread over the split."""
    thumbnails: bool = False
    """Show the pictures themselves, small, instead of points."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Random seed of the layout."""


@dataclass(frozen=True)
class ScoreOfAttributions(OnDevice):
    """Measure whether attribution maps are true: deletion, insertion, ROAD, pointing game, energy, randomised weights.

    Every method beside two controls, a random map and a blob at the centre, with 95 % intervals over the pictures.
    Where objects are known, name the folder: of the built-in set, of Oxford's pets or of Pascal VOC. The maps explain
    the most probable class. If interrupted, rerun the same command: methods that are finished are in the JSON file.

    Examples:
        alexnet see score runs/photos photos.store --pictures 50
        alexnet see score runs/demo demo/pictures --methods gradient grad-cam random centre --metrics deletion pointing
    """

    source: Annotated[Positional[Path], arg(metavar="STORE_OR_FOLDER")]
    """A prepared store, or a folder of annotated pictures."""
    methods: Annotated[tuple[str, ...], option("NAME ...", default="all, and both controls")] = ()
    """Which methods and controls (random, centre)."""
    metrics: Annotated[tuple[str, ...], option("NAME ...", default="all that are possible")] = ()
    """Which metrics."""
    pictures: Annotated[int, arg(metavar="N")] = 200
    """How many pictures at most, evenly spread."""
    again: Annotated[int, arg(metavar="N")] = 16
    """Of how many of these maps are made again, for randomisation and stability: ten times the work of a map."""
    split: SplitOption = "val"
    seed: Annotated[int, arg(metavar="N")] = 0
    """Random seed of the controls, of the random weights and of what is filled in."""
    precision: Literal["auto", "fp32"] = "auto"
    """Precision of the answers to changed pictures; auto: that of the training. Maps are made in fp32."""


@dataclass(frozen=True)
class VisualisationOfUnits(OnDevice):
    """Make pictures that excite maps, units or classes: optimised from noise (Olah et al. 2017, Yosinski et al. 2015).

    Examples:
        alexnet see visualise runs/photos --layer conv5 --channels 139,17
        alexnet see visualise runs/photos --classes cat dog --starts 3
        alexnet see visualise runs/photos --layer conv3 --at 6 6 --preset yosinski-3
    """

    layer: Annotated[str, option("NAME", default="the last")] = ""
    """Which row of the network (`alexnet nets NAME` lists them): conv5, relu5, fc7 …"""
    channels: Annotated[str, option("NUMBERS", default="6, evenly spread")] = ""
    """Which maps (or units of a fully connected layer), as in 3,17-20."""
    classes: Annotated[tuple[str, ...], option("CLASS ...", default="none")] = ()
    """Classes by id or name, instead of a layer and its channels."""
    at: Annotated[tuple[int, int] | None, option("ROW COLUMN", default="the mean of the map")] = None
    """Which unit of each map."""
    preset: Preset = "fourier"
    """How a picture is optimised: in a Fourier basis with decorrelated colours, or by a row of Yosinski's Table 1."""
    steps: Annotated[int, arg(metavar="N")] = 256
    """Steps of gradient ascent."""
    starts: Annotated[int, arg(metavar="N")] = 1
    """Pictures for each, from different noise, kept from being alike."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Random seed of the noise and the jitter."""


@dataclass(frozen=True)
class InversionOfCode(OnDevice):
    """Find a picture from a layer's output on another: what does the layer keep? (Mahendran and Vedaldi 2015).

    Example:
        alexnet see invert runs/photos cat.jpg --layer conv5
    """

    picture: PictureArgument
    layer: Annotated[str, arg(metavar="NAME")]
    """Which row of the network (`alexnet nets NAME` lists them): conv5, relu5, fc7 …"""
    steps: Annotated[int, arg(metavar="N")] = 300
    """Steps of gradient descent."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Random seed of the noise that it starts from."""


METHODS: dict[str, type] = {
    "project": Project,
    "top": TopNine,
    "evolution": EvolutionOfFeatures,
    "activations": ActivationsOfMaps,
    "invariance": InvarianceOfFeatures,
    "filters": FiltersOfLayers,
    "occlusion": OcclusionOfPicture,
    "attribution": AttributionOfPicture,
    "parts": PartsOfPictures,
    "contributions": ContributionsToAnswer,
    "intervene": InterventionOnUnits,
    "ablation": AblationOfLayer,
    "dissect": DissectionOfUnits,
    "compare": ComparisonOfRuns,
    "map": MapOfPictures,
    "score": ScoreOfAttributions,
    "visualise": VisualisationOfUnits,
    "invert": InversionOfCode,
}


def _choice() -> Any:
    """The methods as one type, each described by the first line of its help."""
    first_line = {name: (inspect.getdoc(one) or "").partition("\n")[0] for name, one in METHODS.items()}
    named = (Annotated[one, subcommand(name, description=first_line[name])] for name, one in METHODS.items())
    return functools.reduce(operator.or_, named)


if TYPE_CHECKING:
    Choice = Any
else:
    Choice = _choice()


@dataclass(frozen=True)
class See:
    """Look inside a run by the methods of Zeiler and Fergus: projections, strongest pictures, occlusion …

    Each writes a PNG and a JSON file. `alexnet see METHOD --help` lists a method's options.

    Example:
        alexnet see occlusion runs/photos cat.jpg
    """

    method: Annotated[OmitSubcommandPrefixes[Choice], arg(name="")]
    """Which method."""
