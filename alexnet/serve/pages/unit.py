"""/api/sides/…/layers/…/units/…: a unit, what activates it, what it is connected to, how it formed.

C channels of a layer.
"""

from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from alexnet.drawing import kernel_mosaic, png_of
from alexnet.nets.table import Conv, Dense
from alexnet.see import figures
from alexnet.see.connections import connection_strengths, filters_of, weighted_layers
from alexnet.see.display import contrast, tile
from alexnet.see.evolution import Evolution, evolution_of
from alexnet.see.patches import UnitPatch, patches_of
from alexnet.see.top import NONE, Strongest
from alexnet.serve.open_networks import Absent
from alexnet.serve.pages.layer import NOT_ANALYSED, TILE, describe_layer, layer_of_unit
from alexnet.serve.pages.routes import PNG, LayerName, Number, OfNetwork, Routes
from alexnet.serve.run_cache import RunCache

routes = Routes(tags=["units"])
Shown = Literal["patch", "projection"]
UNIT = "/layers/{layer}/units/{unit}"
CONNECTIONS = 8
"""Strongest connections that are named."""
FILTERS = 64
"""Filters of a unit that are drawn, the strongest first."""


@routes.page(UNIT)
def unit_page(context: OfNetwork, layer: LayerName, unit: Number) -> dict[str, Any]:
    """A unit: connections, strongest pictures, histogram, evolution; null is what has not been analysed yet."""
    opened, cache = context.opened, context.cache
    network, found = opened.network, layer_of_unit(opened, layer, unit)
    rows = [one.row for one in weighted_layers(network)]
    number = rows.index(found.row)
    below = rows[number - 1].name if number else "picture"
    above = rows[number + 1] if number + 1 < len(rows) else None
    inputs = outputs = None  # weights of locally connected layers don't join whole channels
    if isinstance(found.row, Conv | Dense):
        inputs = connections(connection_strengths(network, layer)[unit], below)
    if isinstance(above, Conv | Dense):
        outputs = connections(connection_strengths(network, above.name)[:, unit], above.name)
    return {
        "layer": describe_layer(found),
        "unit": unit,
        "column": unit * found.columns // found.leaving.maps,
        "class": opened.run.class_names[unit] if found is network.layers[-1] else None,
        "filters": isinstance(found.row, Conv),
        "inputs": inputs,
        "outputs": outputs,
        "snapshots": list(opened.run.folder.snapshots),
        **(analysed(cache, layer, unit) if cache else dict.fromkeys(("strongest", "histogram", "evolution"))),
    }


def analysed(cache: RunCache, layer: str, unit: int) -> dict[str, Any]:
    """What is known of a unit from passes over the pictures; None: there was no such pass yet."""
    top, spread, tops = cache.top, cache.spread, cache.evolution
    histogram = evolution = None
    if spread and layer in spread.peaks:
        histogram = spread.as_json(layer, unit) | {"pictures": spread.about["pictures"]}
    if tops:
        after = {epoch: ranked(cache, one[layer], unit) for epoch, one in tops.items()}
        evolution = [{"epoch": epoch} | ranks[0] for epoch, ranks in after.items() if ranks]
    strongest = [one for one in ranked(cache, top[layer], unit) if one["value"] > 0] if top else None
    return {"strongest": strongest, "histogram": histogram, "evolution": evolution}


def connections(norms_c: Float[Tensor, "C"], layer: str) -> dict[str, Any]:
    """The norm of the weights that join a unit to each channel of another layer, and the strongest channels."""
    order = norms_c.argsort(descending=True, stable=True)[:CONNECTIONS]
    return {
        "layer": layer,
        "strengths": [round(value, 5) for value in norms_c.tolist()],
        "strongest": [int(number) for number in order if norms_c[number] > 0],
    }


def ranked(cache: RunCache, best: Strongest, channel: int) -> list[dict[str, Any]]:
    """The pictures that activate a channel most, the strongest first."""
    names, labels = cache.prepared.store.class_names, cache.split.labels
    found = zip(best.values[channel].tolist(), best.pictures[channel].tolist(), strict=True)
    return [
        {"rank": rank, "value": value, "picture": picture, "class": names[int(labels[picture])]}
        for rank, (value, picture) in enumerate(found)
        if picture != NONE
    ]


# ── drawings ─────────────────────────────────────────────────────────────────────────────────────────────────────


@routes.page(f"{UNIT}/filters.png", PNG)
def filters(context: OfNetwork, layer: LayerName, unit: Number) -> bytes:
    """A unit's filters: in colour in the first layer, else one for each of the channels with the largest weights."""
    network = context.opened.network
    layer_of_unit(context.opened, layer, unit)
    filters_mkk = filters_of(network, layer, unit)
    if layer == network.layers[0].row.name:
        return png_of(kernel_mosaic(filters_mkk[None].numpy(), 1))
    order = filters_mkk.flatten(1).norm(dim=1).argsort(descending=True, stable=True)[:FILTERS]
    grey = filters_mkk[order][:, None].expand(-1, 3, -1, -1).numpy()
    return png_of(kernel_mosaic(grey, 16, together=True, clear=True))


@routes.page(f"{UNIT}/top.png", PNG)
def top_figure(context: OfNetwork, layer: LayerName, unit: Number) -> bytes:
    """The figure of `alexnet see top`."""
    return png_of(figures.top_figure({unit: top_patches(context, layer, unit)}, layer))


@routes.page(f"{UNIT}/evolution.png", PNG)
def evolution_figure(context: OfNetwork, layer: LayerName, unit: Number) -> bytes:
    """The figure of `alexnet see evolution`."""
    return png_of(figures.evolution_figure(evolution(context, layer, unit)))


@routes.page(UNIT + "/strongest/{rank}/{shown}.png", PNG)
def strongest(context: OfNetwork, layer: LayerName, unit: Number, rank: Number, shown: Shown) -> bytes:
    """One of the pictures that activate the unit most: the patch that it sees, or its projection."""
    return drawn(top_patches(context, layer, unit), rank, shown)


@routes.page(UNIT + "/evolution/{rank}/{shown}.png", PNG)
def after_snapshot(context: OfNetwork, layer: LayerName, unit: Number, rank: Number, shown: Shown) -> bytes:
    """The unit after one of the snapshots, by its number: the patch that activated it most, or its projection."""
    return drawn(evolution(context, layer, unit).features[layer][unit], rank, shown)


def top_patches(context: OfNetwork, layer: str, unit: int) -> list[UnitPatch]:
    """What the unit sees of its strongest pictures. Raises Absent if they were not analysed."""

    def find() -> list[UnitPatch]:
        opened, cache = context.opened, context.needed_cache
        layer_of_unit(opened, layer, unit)
        if cache.top is None:
            raise Absent(NOT_ANALYSED)
        return patches_of(opened.exact.viewer, cache.split, cache.top, layer, [unit])[unit]

    return context.found(("patches", layer, unit), find)


def evolution(context: OfNetwork, layer: str, unit: int) -> Evolution:
    """The unit after each snapshot. Raises Absent if the snapshots were not analysed."""

    def find() -> Evolution:
        opened, cache = context.opened, context.needed_cache
        layer_of_unit(opened, layer, unit)
        if cache.evolution is None:
            raise Absent("the snapshots have not been analysed yet")
        return evolution_of(opened.exact, cache.split, {layer: [unit]}, cache.evolution)

    return context.found(("evolution", layer, unit), find)


def drawn(patches: list[UnitPatch], rank: int, shown: Shown) -> bytes:
    if rank >= len(patches):
        raise Absent("there are fewer pictures")
    one = patches[rank]
    return png_of(tile(one.patch if shown == "patch" else contrast(one.projection), TILE, one.box, one.frame))
