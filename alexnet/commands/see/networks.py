"""Methods that look at a whole network: its strongest pictures, how its maps formed, its filters."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from alexnet.commands.arguments import Device, RunFolderArgument
from alexnet.commands.see.common import Method, NormRule, Out, StoreArgument, folder, opened
from alexnet.errors import UsageError

if TYPE_CHECKING:
    from alexnet.measure.run import Run


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
        from alexnet.data.store.read import Store
        from alexnet.see.top import Top, merge
        from alexnet.see.units import layers_in, numbers_in
        from alexnet.see.write import about, claim_top, look_for_top, write_top
        from alexnet.terminal import progress

        run, store, shard = opened(self.run_folder, self.device), Store.open(self.store), share_of(self.shard)
        layers = layers_in(run.network, self.layers) or [
            layer.row.name for layer in run.network.present if layer.parameters and layer.macs
        ]
        merged = merge(map(Top.load, self.merge)) if self.merge else None
        layers = layers if merged is None else list(merged.layers)
        maps = {layer: run.network.layer(layer).leaving.maps for layer in layers}
        chosen = {layer: numbers_in(self.channels, count, "channels") for layer, count in maps.items()}
        shown = {"part": self.part, "channels": chosen, "method": self.method, "norms": self.norms}
        with folder(self.out, self.run_folder) as out:
            name = "top" if shard == (0, 1) else f"top-{shard[0] + 1}-of-{shard[1]}"
            claim = out.claim(name, about(run, store, self.part), layers, shard, ends=(".safetensors",))
            if shard == (0, 1):
                claim_top(run, store, out, layers, **shown)
            with progress("pictures") as report:
                top = merged or look_for_top(
                    run, store, self.part, layers, shard=shard, progress=partial(report, self.part)
                )
            top.save(claim.path(".safetensors"), claim.kind)
            if shard == (0, 1):
                write_top(run, store, top, out, **shown)


def share_of(words: str) -> tuple[int, int]:
    """ "2/3" → (1, 3); nothing → the whole. Raises UsageError."""
    first, _, last = words.partition("/")
    if not words:
        return 0, 1
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise UsageError(f"--shard {words}: I/N is expected, as in 1/4 to 4/4.")
    return int(first) - 1, int(last)


def chosen_channels(run: "Run", layers: str, channels: str) -> dict[str, list[int]]:
    """The channels that the words name in each of the layers; without any, six of each."""
    from alexnet.see.units import layers_in, numbers_in
    from alexnet.see.write import spread_over

    counts = {layer: run.network.layer(layer).leaving.maps for layer in layers_in(run.network, layers)}
    return {layer: numbers_in(channels, count, "channels") or spread_over(count, 6) for layer, count in counts.items()}


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
        from alexnet.data.store.read import Store
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
        from alexnet.data.store.read import Store
        from alexnet.see.write import write_activations
        from alexnet.terminal import progress

        run, store = opened(self.run_folder, self.device), Store.open(self.store)
        chosen = chosen_channels(run, self.layers, self.channels)
        with folder(self.out, self.run_folder) as out, progress("pictures") as report:
            write_activations(run, store, out, part=self.part, channels=chosen, progress=partial(report, self.part))


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
