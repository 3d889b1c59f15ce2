"""Methods that look at single pictures: projections, invariance, occlusion, correspondence of parts."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from alexnet.commands.arguments import Device, RunFolderArgument
from alexnet.commands.see.common import Method, NormRule, Out, PictureArgument, folder, opened
from alexnet.errors import UsageError


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
    precision: Literal["auto", "fp32"] = "auto"
    """What the maps are computed in; auto: as the run was trained."""
    out: Out = None
    """Where the PNG and the JSON file go."""
    device: Device = "auto"
    """Where to compute; auto: the first of cuda, mps, cpu that is there."""

    def run(self) -> None:
        from alexnet.data.store.read import Store
        from alexnet.see.occlusion import Square
        from alexnet.see.write import write_occlusion
        from alexnet.terminal import progress

        run = opened(self.run_folder, self.device, self.precision)
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
