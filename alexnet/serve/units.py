"""What the pages of layers and units show: as JSON values and as PNG. Used by the worker's thread.

C channels of a layer · M channels of the layer below.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from alexnet.nets import summary
from alexnet.nets.network import Network
from alexnet.nets.table import Conv, Dense
from alexnet.nets.trace import Layer
from alexnet.report.drawing import kernel_mosaic, png_of
from alexnet.see import figures
from alexnet.see.connections import filters_of, strengths, weighted_layers
from alexnet.see.diagnosis import diagnose
from alexnet.see.display import contrast, cut, tile
from alexnet.see.evolution import Evolution
from alexnet.see.forward_pass import centre_views
from alexnet.see.patches import Portrait, portraits_of
from alexnet.see.top import NONE, Strongest
from alexnet.see.units import Unit, box_of, frame_of, unit_at
from alexnet.serve.kept import Kept
from alexnet.serve.sides import Absent, Side

TILE = 96
"""Side of a patch, pixels."""
NEIGHBOURS = 8
"""Strongest connections that are named."""
FILTERS = 64
"""Filters of a unit that are drawn, the strongest first."""


def layer_at(side: Side, name: str) -> Layer:
    """A layer that has a page: one with weights. Raises Absent, naming those that there are."""
    layers = weighted_layers(side.network)
    for layer in layers:
        if layer.row.name == name:
            return layer
    there = ", ".join(layer.row.name for layer in layers)
    raise Absent(f"{side.name} has no layer with weights of that name; it has: {there}.")


def unit_of(side: Side, name: str, channel: int) -> Layer:
    """The layer of a unit. Raises Absent if there is no such unit."""
    layer = layer_at(side, name)
    if not 0 <= channel < layer.leaving.maps:
        raise Absent(f"{name} has units 0 … {layer.leaving.maps - 1}.")
    return layer


def layer_words(layer: Layer) -> dict[str, Any]:
    """A layer in figures, as the drawing of the network and the pages need it."""
    return {
        "name": layer.row.name,
        "row": type(layer.row).__name__,
        "kind": summary.kind(layer.row),
        "maps": layer.leaving.maps,
        "side": layer.leaving.side,
        "entering": {"maps": layer.entering.maps, "side": layer.entering.side},
        "kernel": layer.row.kernel if isinstance(layer.row, Conv) else None,
        "columns": layer.columns,
        "reads": [list(read) for read in layer.reads],
        "parameters": layer.parameters,
        "macs": layer.macs,
        "sees": layer.field.size,
        "every": layer.field.jump,
    }


# ── layers ───────────────────────────────────────────────────────────────────────────────────────────────────────


def layer_page(side: Side, kept: Kept | None, name: str) -> dict[str, Any]:
    """A layer and, where the pictures were looked at, how strong each of its units became, and which are dead."""
    layer = layer_at(side, name)
    top = kept.top if kept else None
    best = top[name] if top else None
    spread = kept.spread if kept else None
    return layer_words(layer) | {
        "known": best is not None,
        "part": kept.pictures.part if kept else None,
        "pictures": top.about["pictures"] if top else None,
        "strongest": best.values[:, 0].tolist() if best else None,
        "dead": best.dead.tolist() if best else None,
        "active": spread.active(name).tolist() if spread else None,
        "classes": list(side.run.class_names) if layer is side.network.layers[-1] else None,
    }


def unit_tile(side: Side, kept: Kept | None, name: str, channel: int) -> bytes:
    """A unit at a glance: the patch that excited it most; where pictures were not looked at, its kernel (first layer).
    Raises Absent if neither is there."""
    layer = unit_of(side, name, channel)
    if layer is side.network.layers[0] and isinstance(layer.row, Conv):
        return png_of(kernel_mosaic(filters_of(side.network, name, channel)[None].numpy(), 1))
    top = kept.top if kept else None
    if kept is None or top is None:
        raise Absent("the pictures were not looked at yet")
    best = top[name]
    picture, place = int(best.pictures[channel, 0]), int(best.places[channel, 0])
    if picture == NONE:
        raise Absent("no picture excites this unit")
    return png_of(patch_of(side, kept, unit_at(side.network, name, channel, place), picture))


def patch_of(side: Side, kept: Kept, unit: Unit, picture: int) -> np.ndarray:
    """What a unit sees of a picture of the store, as a tile."""
    view = centre_views(kept.part.read(np.array([picture])), side.run.inputs.size)[0]
    box = box_of(side.network, unit)
    return tile(cut(view, box), TILE, box, frame_of(side.network, unit))


# ── units ────────────────────────────────────────────────────────────────────────────────────────────────────────


def unit_page(side: Side, kept: Kept | None, name: str, channel: int) -> dict[str, Any]:
    """All of a unit that needs no picture to go through the network again."""
    layer = unit_of(side, name, channel)
    return {
        "layer": layer_words(layer),
        "unit": channel,
        "column": channel * layer.columns // layer.leaving.maps,
        "class": side.run.class_names[channel] if layer is side.network.layers[-1] else None,
        "filters": isinstance(layer.row, Conv),
        "hears": hears(side.network, name, channel),
        "heard_by": heard_by(side.network, name, channel),
        "strongest": strongest(kept, name, channel) if kept else None,
        "histogram": histogram(kept, name, channel) if kept else None,
        "evolution": evolution_page(kept, name, channel) if kept else None,
        "snapshots": list(side.run.folder.snapshots),
    }


def hears(network: Network, name: str, channel: int) -> dict[str, Any] | None:
    """The unit's connections down: strengths, and the strongest by number; None where weights join no channels."""
    layers = [layer.row.name for layer in weighted_layers(network)]
    place = layers.index(name)
    if not isinstance(network.layer(name).row, Conv | Dense):
        return None
    return _connections(strengths(network, name)[channel], layers[place - 1] if place else "picture")


def heard_by(network: Network, name: str, channel: int) -> dict[str, Any] | None:
    """The unit's connections up."""
    layers = [layer.row.name for layer in weighted_layers(network)]
    place = layers.index(name) + 1
    if place == len(layers) or not isinstance(network.layer(layers[place]).row, Conv | Dense):
        return None
    return _connections(strengths(network, layers[place])[:, channel], layers[place])


def _connections(lengths: torch.Tensor, layer: str) -> dict[str, Any]:
    order = lengths.argsort(descending=True, stable=True)[:NEIGHBOURS]
    return {
        "layer": layer,
        "strengths": [round(value, 5) for value in lengths.tolist()],
        "strongest": [int(number) for number in order if lengths[number] > 0],
    }


def strongest(kept: Kept, name: str, channel: int) -> list[dict[str, Any]] | None:
    """The pictures that excite the unit most; None if they were not looked for."""
    top = kept.top
    return None if top is None else _ranks(kept, top[name], channel)


def _ranks(kept: Kept, best: Strongest, channel: int) -> list[dict[str, Any]]:
    return [
        {
            "rank": rank,
            "value": float(best.values[channel, rank]),
            "picture": int(best.pictures[channel, rank]),
            "class": kept.pictures.store.class_names[int(kept.part.labels[int(best.pictures[channel, rank])])],
        }
        for rank in range(best.values.shape[1])
        if best.pictures[channel, rank] != NONE
    ]


def histogram(kept: Kept, name: str, channel: int) -> dict[str, Any] | None:
    """How strongly the unit answers pictures; None if that was not looked at."""
    spread = kept.spread
    if spread is None or name not in spread.peaks:
        return None
    return spread.as_json(name, channel) | {"pictures": spread.about["pictures"]}


def evolution_page(kept: Kept, name: str, channel: int) -> list[dict[str, Any]] | None:
    """The picture that excited the unit most after each snapshot; None if that was not looked at."""
    tops = kept.evolution()
    if tops is None:
        return None
    return [{"epoch": epoch} | ranks[0] for epoch, top in tops.items() if (ranks := _ranks(kept, top[name], channel))]


def filters_png(side: Side, name: str, channel: int) -> bytes:
    """A unit's filters: in colour in the first layer, else one for each of the channels that it hears most, grey."""
    unit_of(side, name, channel)
    filters_mkk = filters_of(side.network, name, channel)
    if name == side.network.layers[0].row.name:
        return png_of(kernel_mosaic(filters_mkk[None].numpy(), 1))
    order = filters_mkk.flatten(1).norm(dim=1).argsort(descending=True, stable=True)[:FILTERS]
    grey = filters_mkk[order][:, None].expand(-1, 3, -1, -1).numpy()
    return png_of(kernel_mosaic(grey, 16, together=True, clear=True))


def portrait_pngs(some: Sequence[Portrait]) -> list[tuple[bytes, bytes]]:
    """Of each portrait the patch and the projection."""
    return [
        (
            png_of(tile(one.patch, TILE, one.box, one.frame)),
            png_of(tile(contrast(one.projection), TILE, one.box, one.frame)),
        )
        for one in some
    ]


def top_portraits(side: Side, kept: Kept, name: str, channel: int) -> list[Portrait]:
    """The unit's strongest pictures, looked at again. Raises Absent if they were not looked for."""
    unit_of(side, name, channel)
    top = kept.top
    if top is None:
        raise Absent("the pictures were not looked at yet")
    return portraits_of(side.looking.viewer, kept.part, top, name, [channel])[channel]


def evolution_portraits(side: Side, kept: Kept, name: str, channel: int) -> Evolution:
    """The unit after each snapshot. Raises Absent if the snapshots were not looked at."""
    unit_of(side, name, channel)
    tops = kept.evolution()
    if not tops:
        raise Absent("the snapshots were not looked at yet")
    folder, looking, found = side.run.folder, side.looking, []
    for epoch, top in tops.items():
        network = folder.load_weights(folder.snapshots[epoch]).to(looking.placement.device)
        viewer = replace(looking.viewer, network=network)
        found += portraits_of(viewer, kept.part, top, name, [channel])[channel]
    strongest_ec = torch.stack([top[name].pictures[:, 0] for top in tops.values()])
    features = {name: {channel: found}}
    return Evolution(tuple(tops), features, {name: strongest_ec}, kept.pictures.part, len(kept.part))


def top_figure_png(side: Side, kept: Kept, name: str, channel: int) -> bytes:
    """The figure of `alexnet see top`."""
    return png_of(figures.top_figure({channel: top_portraits(side, kept, name, channel)}, name))


def evolution_figure_png(side: Side, kept: Kept, name: str, channel: int) -> bytes:
    """The figure of `alexnet see evolution`."""
    return png_of(figures.evolution_figure(evolution_portraits(side, kept, name, channel)))


def kernels_png(side: Side, column: int) -> bytes:
    """The first layer's kernels in one column ([A] Fig. 3). Raises Absent if there is no such column or no kernel."""
    first = side.network.layers[0]
    if not isinstance(first.row, Conv) or not 0 <= column < first.columns:
        raise Absent("there are no such kernels")
    weights = side.network.get_parameter(f"{first.row.name}.weight").detach().float().cpu().numpy()
    return png_of(kernel_mosaic(np.split(weights, first.columns)[column], clear=True))


def kernels_page(side: Side) -> dict[str, Any]:
    """The first layer's kernels in numbers. Raises UserError for a network that doesn't begin with a convolution."""
    found = diagnose(side.network)
    return found.as_json() | {"columns": side.network.table.columns, "weights": found.weights.tolist()}
