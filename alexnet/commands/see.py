"""`alexnet see METHOD`. Networks are opened in fp32 unless said otherwise: they are looked at, not counted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from alexnet.commands.options import seeing as options
from alexnet.data.store.read import Store
from alexnet.data.store.shards import Shard
from alexnet.errors import UsageError
from alexnet.measure.run import Run
from alexnet.report.results import Folder
from alexnet.see.charts import describe_correspondence, describe_invariance
from alexnet.see.keypoints import read_keypoints
from alexnet.see.occlusion import Square
from alexnet.see.top import Top, merge
from alexnet.see.units import evenly_spread, layers_in, numbers_in
from alexnet.see.write import (
    about,
    claim_top,
    look_for_top,
    write_activations,
    write_correspondence,
    write_evolution,
    write_filters,
    write_invariance,
    write_occlusion,
    write_projection,
    write_top,
)
from alexnet.terminal import progress


def run(see: options.See) -> None:
    ACTIONS[type(see.method)](see.method)


@contextmanager
def folder(method: Any) -> Iterator[Folder]:
    """Where results go; the files that were written are printed at the end."""
    found = Folder(method.out or method.run_folder / "see")
    yield found
    for path in found.written:
        print(path)


def opened(method: Any) -> Run:
    return Run.open(method.run_folder, device=method.device, precision="fp32")


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────────────────────


def project(method: options.Project) -> None:
    run = opened(method)
    run.network.check_computable(method.layer)
    maps = run.network.layer(method.layer).leaving.maps
    with folder(method) as out:
        write_projection(
            run,
            method.picture,
            out,
            layer=method.layer,
            channels=numbers_in(method.channels, maps, "channels") or method.strongest,
            place=method.at,
            whole=method.whole,
            method=method.method,
            norms=method.norms,
            overlap=method.overlap,
        )


def invariance(method: options.InvarianceOfFeatures) -> None:
    if not method.pictures:
        raise UsageError("no picture given. Name one or more files.")
    run = opened(method)
    with folder(method) as out:
        found = write_invariance(
            run,
            method.pictures,
            out,
            true=method.true,
            layers=layers_in(run.network, method.layers),
            normalisation=method.normalise,
            fill=method.fill,
        )
        print(describe_invariance(found))


def occlusion(method: options.OcclusionOfPicture) -> None:
    run = Run.open(method.run_folder, device=method.device, precision=method.precision)
    if (method.layer is None) != (method.channel is None):
        raise UsageError("--layer and --channel name the watched map together: give both, or neither.")
    square = Square.fitting(run.inputs.size, method.size, method.stride, method.grey)
    with folder(method) as out, progress("places") as report:
        write_occlusion(
            run,
            method.picture,
            out,
            true=method.true,
            square=square,
            layer=method.layer,
            channel=method.channel,
            store=None if method.store is None else Store.open(method.store),
            part=method.split,
            progress=partial(report, "square"),
        )


def parts(method: options.PartsOfPictures) -> None:
    run = opened(method)
    pictures = [one for one in read_keypoints(method.keypoints) if method.match in str(one.file)][: method.most]
    with folder(method) as out:
        found = write_correspondence(
            run,
            pictures,
            out,
            parts=method.parts,
            layers=layers_in(run.network, method.layers),
            mask=method.mask,
            grey=method.grey,
            control=method.control,
            seed=method.seed,
        )
        print(describe_correspondence(found))


# ── networks ─────────────────────────────────────────────────────────────────────────────────────────────────────


def top(method: options.TopNine) -> None:
    run, store, shard = opened(method), Store.open(method.store), shard_of(method.shard)
    layers = layers_in(run.network, method.layers) or [
        layer.row.name for layer in run.network.computable_layers if layer.parameters and layer.macs
    ]
    merged = merge(map(Top.load, method.merge)) if method.merge else None
    layers = layers if merged is None else list(merged.layers)
    maps = {layer: run.network.layer(layer).leaving.maps for layer in layers}
    channels = {layer: numbers_in(method.channels, count, "channels") for layer, count in maps.items()}
    shown = {"part": method.split, "channels": channels, "method": method.method, "norms": method.norms}
    with folder(method) as out:
        name = "top" if shard == (0, 1) else f"top-{shard[0] + 1}-of-{shard[1]}"
        claim = out.claim(name, about(run, store, method.split), layers, shard, ends=(".safetensors",))
        if shard == (0, 1):
            claim_top(run, store, out, layers, **shown)
        with progress("pictures") as report:
            follow = partial(report, method.split)
            found = merged or look_for_top(run, store, method.split, layers, shard=shard, progress=follow)
        found.save(claim.path(".safetensors"), claim.kind)
        if shard == (0, 1):
            write_top(run, store, found, out, **shown)


def shard_of(text: str) -> tuple[int, int]:
    """ "2/3" → (1, 3); nothing → the whole. Raises UsageError."""
    if not text:
        return 0, 1
    shard = Shard.parse(text)
    return shard.number - 1, shard.of


def chosen_channels(run: Run, method: options.EvolutionOfFeatures | options.ActivationsOfMaps) -> dict[str, list[int]]:
    """The channels that are named, in each of the layers; six of each if none are."""
    counts = {layer: run.network.layer(layer).leaving.maps for layer in layers_in(run.network, method.layers)}
    return {
        layer: numbers_in(method.channels, count, "channels") or evenly_spread(count, 6)
        for layer, count in counts.items()
    }


def evolution(method: options.EvolutionOfFeatures) -> None:
    run, store = opened(method), Store.open(method.store)
    channels = chosen_channels(run, method)
    with folder(method) as out, progress("pictures") as report:
        follow = partial(report, method.split)
        write_evolution(run, store, out, part=method.split, channels=channels, epochs=method.epochs, progress=follow)


def activations(method: options.ActivationsOfMaps) -> None:
    run, store = opened(method), Store.open(method.store)
    channels = chosen_channels(run, method)
    with folder(method) as out, progress("pictures") as report:
        write_activations(run, store, out, part=method.split, channels=channels, progress=partial(report, method.split))


def filters(method: options.FiltersOfLayers) -> None:
    paths = [path for path in (method.run_folder, method.beside) if path is not None]
    runs = [Run.open(path, device="cpu", precision="fp32") for path in paths]
    with folder(method) as out:
        write_filters(runs, out)


ACTIONS: dict[type, Callable[[Any], None]] = {
    options.Project: project,
    options.TopNine: top,
    options.EvolutionOfFeatures: evolution,
    options.ActivationsOfMaps: activations,
    options.InvarianceOfFeatures: invariance,
    options.FiltersOfLayers: filters,
    options.OcclusionOfPicture: occlusion,
    options.PartsOfPictures: parts,
}
