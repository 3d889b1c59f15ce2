"""`alexnet see WHAT …`: each method of [Z] as a dataclass of options that hands them to `alexnet.see.write`."""

import functools
import inspect
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import OmitSubcommandPrefixes, Positional, arg, subcommand

from alexnet.errors import UsageError
from alexnet.verbs.arguments import Device, RunFolderArgument, Verb

if TYPE_CHECKING:
    from alexnet.measure.run import Run
    from alexnet.see.write import Folder

StoreArgument = Annotated[Positional[Path], arg(metavar="STORE")]
PictureArgument = Annotated[Positional[str], arg(metavar="PICTURE")]
Out = Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: RUN/see)")]
Method = Literal["deconvnet", "guided", "gradient"]
NormRule = Annotated[
    Literal["pass", "adjoint"] | None, arg(help_behavior_hint="(default: the method's; deconvnet: pass)")
]


def opened(path: Path, device: Device) -> "Run":
    """The run, in fp32: these are looked at, not counted."""
    from alexnet.measure.run import Run

    return Run.open(path, device=device, precision="fp32")


@contextmanager
def folder(out: Path | None, run: Path) -> "Iterator[Folder]":
    """Where results go; what was written is printed at the end."""
    from alexnet.see.write import Folder

    found = Folder(out or run / "see")
    yield found
    for path in found.written:
        print(path)


def chosen_channels(run: "Run", layers: str, channels: str) -> dict[str, list[int]]:
    """The channels that the words name in each of the layers; without any, six of each."""
    from alexnet.see.units import layers_in, numbers_in
    from alexnet.see.write import spread_over

    counts = {layer: run.network.layer(layer).leaving.maps for layer in layers_in(run.network, layers)}
    return {layer: numbers_in(channels, count, "channels") or spread_over(count, 6) for layer, count in counts.items()}


@dataclass(frozen=True)
class Project:
    """Project units down to the pixels: what in a picture excites them ([Z] §2.1).

    Examples:
        alexnet see project runs/photos cat.jpg --layer conv5
        alexnet see project runs/photos cat.jpg --layer conv3 --channels 3,17-20 --method guided
    """

    run_folder: RunFolderArgument
    """The run."""
    picture: PictureArgument
    """A picture file."""
    layer: Annotated[str, arg(metavar="NAME")]
    """Which row of the network (`alexnet nets NAME` lists them): conv5, relu5, fc7 …"""
    channels: Annotated[str, arg(metavar="NUMBERS", help_behavior_hint="(default: the strongest)")] = ""
    """Which maps (or units of a fully connected layer), as in 3,17-20."""
    strongest: Annotated[int, arg(metavar="N")] = 9
    """How many of the strongest maps, where none are named."""
    at: Annotated[
        tuple[int, int] | None, arg(metavar="ROW COLUMN", help_behavior_hint="(default: each map's peak)")
    ] = None
    """Which unit of each map."""
    whole: bool = False
    """All units of each map at once."""
    method: Method = "deconvnet"
    """What happens at a ReLU and at a norm: see docs/seeing.md."""
    norms: NormRule = None
    """At a response norm: pass the signal by, or cross it by its adjoint."""
    overlap: Literal["add", "overwrite"] = "add"
    """Where two pooling windows share a maximum: add what comes down, or keep the larger."""
    out: Out = None
    """Where the PNG and the JSON file go."""
    device: Device = "auto"
    """Where to compute; auto: the first of cuda, mps, cpu that is there."""

    def run(self) -> None:
        from alexnet.see.units import numbers_in
        from alexnet.see.write import write_projection

        run = opened(self.run_folder, self.device)
        run.network.refuse_behind_missing(self.layer)
        maps = run.network.layer(self.layer).leaving.maps
        channels = numbers_in(self.channels, maps, "channels") or self.strongest
        with folder(self.out, self.run_folder) as out:
            write_projection(
                run,
                self.picture,
                out,
                layer=self.layer,
                channels=channels,
                place=self.at,
                whole=self.whole,
                method=self.method,
                norms=self.norms,
                overlap=self.overlap,
            )


@dataclass(frozen=True)
class TopNine:
    """Find the nine pictures that excite each map most; show their patches and projections ([Z] Fig. 2).

    One pass over the pictures for all maps of all layers. Shares of it can run in processes of their own.

    Examples:
        alexnet see top runs/photos photos.store --layers conv2-conv5
        alexnet see top runs/photos photos.store --shard 1/2 --out parts &
        alexnet see top runs/photos photos.store --shard 2/2 --out parts
        alexnet see top runs/photos photos.store --merge parts/top-1-of-2.safetensors parts/top-2-of-2.safetensors
    """

    run_folder: RunFolderArgument
    """The run."""
    store: StoreArgument
    """The pictures, prepared."""
    layers: Annotated[str, arg(metavar="NAMES", help_behavior_hint="(default: all that have weights)")] = ""
    """Which rows, as in conv2-conv5,fc7."""
    channels: Annotated[str, arg(metavar="NUMBERS", help_behavior_hint="(default: 12, evenly spread)")] = ""
    """Which maps are shown, as in 3,17-20. The JSON has the strongest pictures of all."""
    part: Annotated[str, arg(metavar="NAME")] = "val"
    """Which part of the store."""
    shard: Annotated[str, arg(metavar="I/N", help_behavior_hint="(default: the whole part)")] = ""
    """Look at the I-th of N shares of the part only, and keep what is found for --merge."""
    merge: Annotated[
        tuple[Path, ...], arg(metavar="FILE ...", help_behavior_hint="(default: look at the pictures)")
    ] = ()
    """Show what these shares found."""
    method: Method = "deconvnet"
    """What happens at a ReLU and at a norm: see docs/seeing.md."""
    norms: NormRule = None
    """At a response norm: pass the signal by, or cross it by its adjoint."""
    out: Out = None
    """Where the PNG and JSON files go."""
    device: Device = "auto"
    """Where to compute; auto: the first of cuda, mps, cpu that is there."""

    def run(self) -> None:
        from alexnet.data.store import Store
        from alexnet.see.top import Top, merge
        from alexnet.see.units import layers_in, numbers_in
        from alexnet.see.write import look_for_top, write_top
        from alexnet.terminal import progress

        run, store, shard = opened(self.run_folder, self.device), Store.open(self.store), share_of(self.shard)
        layers = layers_in(run.network, self.layers) or [
            layer.row.name for layer in run.network.present if layer.parameters and layer.macs
        ]
        if self.merge:
            top = merge(map(Top.load, self.merge))
        else:
            with progress("pictures") as report:
                top = look_for_top(run, store, self.part, layers, shard=shard, progress=partial(report, self.part))
        with folder(self.out, self.run_folder) as out:
            name = "top" if shard == (0, 1) else f"top-{shard[0] + 1}-of-{shard[1]}"
            out.path.mkdir(parents=True, exist_ok=True)
            top.save(out.path / f"{name}.safetensors")
            out.written.append(out.path / f"{name}.safetensors")
            if shard == (0, 1):
                chosen = {
                    layer: numbers_in(self.channels, len(best.values), "channels") for layer, best in top.layers.items()
                }
                write_top(run, store, top, out, part=self.part, channels=chosen, method=self.method, norms=self.norms)


def share_of(words: str) -> tuple[int, int]:
    """ "2/3" → (1, 3); nothing → the whole. Raises UsageError."""
    first, _, last = words.partition("/")
    if not words:
        return 0, 1
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise UsageError(f"--shard {words}: I/N is expected, as in 1/4 to 4/4.")
    return int(first) - 1, int(last)


@dataclass(frozen=True)
class EvolutionOfFeatures:
    """Show how maps formed in training: their strongest activation over the snapshots, projected ([Z] Fig. 4).

    The run must have been trained with --snapshots.

    Example:
        alexnet see evolution runs/photos photos.store --layers conv1-conv5
    """

    run_folder: RunFolderArgument
    """The run."""
    store: StoreArgument
    """The pictures, prepared."""
    layers: Annotated[str, arg(metavar="NAMES")] = "conv1-conv5"
    """Which rows, as in conv2-conv5."""
    channels: Annotated[str, arg(metavar="NUMBERS", help_behavior_hint="(default: 6, evenly spread)")] = ""
    """Which maps of each, as in 3,17-20."""
    epochs: Annotated[tuple[int, ...], arg(metavar="N ...", help_behavior_hint="(default: all snapshots)")] = ()
    """Which snapshots."""
    part: Annotated[str, arg(metavar="NAME")] = "train"
    """Which part of the store; [Z] looks at all training pictures."""
    out: Out = None
    """Where the PNG and the JSON file go."""
    device: Device = "auto"
    """Where to compute; auto: the first of cuda, mps, cpu that is there."""

    def run(self) -> None:
        from alexnet.data.store import Store
        from alexnet.see.write import write_evolution
        from alexnet.terminal import progress

        run, store = opened(self.run_folder, self.device), Store.open(self.store)
        channels = chosen_channels(run, self.layers, self.channels)
        with folder(self.out, self.run_folder) as out, progress("pictures") as report:
            write_evolution(
                run,
                store,
                out,
                part=self.part,
                channels=channels,
                epochs=self.epochs,
                progress=partial(report, self.part),
            )


@dataclass(frozen=True)
class ActivationsOfMaps:
    """Show how strongly, and how often, maps answer pictures: histograms of each picture's largest activation.

    Of at most 1,000 pictures, evenly spread over the part.

    Example:
        alexnet see activations runs/photos photos.store --layers conv3 --channels 12
    """

    run_folder: RunFolderArgument
    """The run."""
    store: StoreArgument
    """The pictures, prepared."""
    layers: Annotated[str, arg(metavar="NAMES")] = "conv1-conv5"
    """Which rows, as in conv2-conv5."""
    channels: Annotated[str, arg(metavar="NUMBERS", help_behavior_hint="(default: 6, evenly spread)")] = ""
    """Which maps of each, as in 3,17-20."""
    part: Annotated[str, arg(metavar="NAME")] = "val"
    """Which part of the store."""
    out: Out = None
    """Where the PNG and the JSON file go."""
    device: Device = "auto"
    """Where to compute; auto: the first of cuda, mps, cpu that is there."""

    def run(self) -> None:
        from alexnet.data.store import Store
        from alexnet.see.write import write_activations
        from alexnet.terminal import progress

        run, store = opened(self.run_folder, self.device), Store.open(self.store)
        chosen = chosen_channels(run, self.layers, self.channels)
        with folder(self.out, self.run_folder) as out, progress("pictures") as report:
            write_activations(run, store, out, part=self.part, channels=chosen, progress=partial(report, self.part))


@dataclass(frozen=True)
class InvarianceOfFeatures:
    """Move, enlarge and turn pictures; see how far the features go and what becomes of the answer ([Z] Fig. 5).

    Examples:
        alexnet see invariance runs/photos cat.jpg dog.jpg
        alexnet see invariance runs/photos cat.jpg --true tabby --normalise unit --fill edge
    """

    run_folder: RunFolderArgument
    """The run."""
    pictures: Annotated[Positional[tuple[str, ...]], arg(metavar="PICTURE ...", help_behavior_hint="(required)")]
    """Picture files; [Z] has five."""
    true: Annotated[tuple[str, ...], arg(metavar="CLASS ...", help_behavior_hint="(default: the most probable)")] = ()
    """The true class of each, by id or name."""
    layers: Annotated[str, arg(metavar="NAMES", help_behavior_hint="(default: layers 1 and 7)")] = ""
    """Rows whose outputs are compared, as in relu1,relu7."""
    normalise: Literal["relative", "none", "unit"] = "relative"
    """Euclidean distance divided by the unmoved features' length; as it is; or of vectors scaled to length 1."""
    fill: Literal["mean", "edge"] = "mean"
    """What lies beyond the record: the mean, or its outermost pixels."""
    out: Out = None
    """Where the PNG and the JSON file go."""
    device: Device = "auto"
    """Where to compute; auto: the first of cuda, mps, cpu that is there."""

    def run(self) -> None:
        from alexnet.see.charts import invariance_in_words
        from alexnet.see.units import layers_in
        from alexnet.see.write import write_invariance

        if not self.pictures:
            raise UsageError("no picture given. Name one or more files.")
        run = opened(self.run_folder, self.device)
        with folder(self.out, self.run_folder) as out:
            found = write_invariance(
                run,
                self.pictures,
                out,
                true=self.true,
                layers=layers_in(run.network, self.layers),
                normalisation=self.normalise,
                fill=self.fill,
            )
            print(invariance_in_words(found))


@dataclass(frozen=True)
class FiltersOfLayers:
    """Show the first two layers' filters, and in figures what is wrong with them ([Z] Fig. 6).

    Dead ones, shares of very low and very high frequencies, aliasing. Two runs stand side by side.

    Examples:
        alexnet see filters runs/alexnet
        alexnet see filters runs/alexnet --beside runs/zfnet
    """

    run_folder: RunFolderArgument
    """The run."""
    beside: Annotated[Path | None, arg(metavar="RUN", help_behavior_hint="(default: the run alone)")] = None
    """Another run to compare with."""
    out: Out = None
    """Where the PNG and the JSON file go."""

    def run(self) -> None:
        from alexnet.see.write import write_filters

        runs = [opened(path, "cpu") for path in (self.run_folder, self.beside) if path is not None]
        with folder(self.out, self.run_folder) as out:
            write_filters(runs, out)


@dataclass(frozen=True)
class OcclusionOfPicture:
    """Slide a grey square over a picture: where does the answer hang on? ([Z] Fig. 7).

    Maps of the strongest layer-5 map's total, of the true class's probability and of the most probable class.

    Examples:
        alexnet see occlusion runs/photos cat.jpg
        alexnet see occlusion runs/photos cat.jpg --true tabby --size 48 --stride 4 --store photos.store
    """

    run_folder: RunFolderArgument
    """The run."""
    picture: PictureArgument
    """A picture file."""
    true: Annotated[str | None, arg(metavar="CLASS", help_behavior_hint="(default: the most probable)")] = None
    """The true class, by id or name."""
    size: Annotated[int | None, arg(metavar="PIXELS", help_behavior_hint="(default: a seventh, 32 of 224)")] = None
    """Side of the square, pixels of the network's input."""
    stride: Annotated[int | None, arg(metavar="PIXELS", help_behavior_hint="(default: a quarter of the square)")] = None
    """How far it moves."""
    grey: Annotated[float, arg(metavar="LEVEL")] = 128.0
    """Its level, 0–255."""
    layer: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: the last convolution's)")] = None
    """Row of the watched map."""
    channel: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the strongest)")] = None
    """The watched map."""
    store: Annotated[Path | None, arg(metavar="STORE", help_behavior_hint="(default: not shown)")] = None
    """Prepared pictures in which the watched map's strongest patches are looked for."""
    part: Annotated[str, arg(metavar="NAME")] = "val"
    """Which part of that store."""
    out: Out = None
    """Where the PNG and the JSON file go."""
    device: Device = "auto"
    """Where to compute; auto: the first of cuda, mps, cpu that is there."""

    def run(self) -> None:
        from alexnet.data.store import Store
        from alexnet.see.occlusion import Square
        from alexnet.see.write import write_occlusion
        from alexnet.terminal import progress

        run = opened(self.run_folder, self.device)
        if (self.layer is None) != (self.channel is None):
            raise UsageError("--layer and --channel name the watched map together: give both, or neither.")
        square = Square.fitting(run.inputs.size, self.size, self.stride, self.grey)
        with folder(self.out, self.run_folder) as out, progress("places") as report:
            write_occlusion(
                run,
                self.picture,
                out,
                true=self.true,
                square=square,
                layer=self.layer,
                channel=self.channel,
                store=None if self.store is None else Store.open(self.store),
                part=self.part,
                progress=partial(report, "square"),
            )


@dataclass(frozen=True)
class PartsOfPictures:
    """Mask the same part in several pictures: do the features change alike? ([Z] Table 1). Lower is more alike.

    The file has, for each picture, its parts: {"cat.jpg": {"left_eye": [x, y], …}, …}, in pixels of the picture.

    Example:
        alexnet see parts runs/photos dogs/keypoints.json --parts left_eye right_eye nose
    """

    run_folder: RunFolderArgument
    """The run."""
    keypoints: Annotated[Positional[Path], arg(metavar="JSON")]
    """Key points; the pictures lie beside the file."""
    parts: Annotated[
        tuple[str, ...], arg(metavar="NAME ...", help_behavior_hint="(default: those in all pictures)")
    ] = ()
    """Which parts."""
    match: Annotated[str, arg(metavar="TEXT", help_behavior_hint="(default: all)")] = ""
    """Only pictures with this in their path, as in face/ for the built-in set."""
    most: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: all)")] = None
    """How many pictures at most; [Z] has five."""
    layers: Annotated[str, arg(metavar="NAMES", help_behavior_hint="(default: layers 5 and 7)")] = ""
    """Rows whose outputs are compared, as in relu5,relu7."""
    mask: Annotated[int | None, arg(metavar="PIXELS", help_behavior_hint="(default: a seventh, 32 of 224)")] = None
    """Side of the mask, pixels of the network's input."""
    grey: Annotated[float | None, arg(metavar="LEVEL", help_behavior_hint="(default: the mean)")] = None
    """Level of the mask, 0–255."""
    control: Literal["object", "picture"] = "object"
    """Where the control masks: on the object as in [Z] (in its box, or around the key points), or anywhere."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Of the random places of the control."""
    out: Out = None
    """Where the JSON file goes."""
    device: Device = "auto"
    """Where to compute; auto: the first of cuda, mps, cpu that is there."""

    def run(self) -> None:
        from alexnet.see.charts import correspondence_in_words
        from alexnet.see.keypoints import read_keypoints
        from alexnet.see.units import layers_in
        from alexnet.see.write import write_correspondence

        run = opened(self.run_folder, self.device)
        pictures = [one for one in read_keypoints(self.keypoints) if self.match in str(one.file)][: self.most]
        with folder(self.out, self.run_folder) as out:
            found = write_correspondence(
                run,
                pictures,
                out,
                parts=self.parts,
                layers=layers_in(run.network, self.layers),
                mask=self.mask,
                grey=self.grey,
                control=self.control,
                seed=self.seed,
            )
            print(correspondence_in_words(found))


METHODS: dict[str, type] = {
    "project": Project,
    "top": TopNine,
    "evolution": EvolutionOfFeatures,
    "activations": ActivationsOfMaps,
    "invariance": InvarianceOfFeatures,
    "filters": FiltersOfLayers,
    "occlusion": OcclusionOfPicture,
    "parts": PartsOfPictures,
}


def _choice() -> Any:
    """The methods as one type; each is told by the first line of its help."""
    first_line = {name: (inspect.getdoc(one) or "").partition("\n")[0] for name, one in METHODS.items()}
    named = (Annotated[one, subcommand(name, description=first_line[name])] for name, one in METHODS.items())
    return functools.reduce(operator.or_, named)


if TYPE_CHECKING:
    Choice = Verb
else:
    Choice = _choice()


@dataclass(frozen=True)
class See:
    """Look inside a run by the methods of Zeiler and Fergus: projections, strongest pictures, occlusion and more.

    Each writes a PNG and a JSON file. `alexnet see METHOD --help` has a method's options.

    Example:
        alexnet see occlusion runs/photos cat.jpg
    """

    method: Annotated[OmitSubcommandPrefixes[Choice], arg(name="")]
    """Which method."""

    def run(self) -> None:
        self.method.run()
