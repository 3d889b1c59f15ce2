"""/api/sides/…/layers/…/units/…: a unit, what activates it, what it is connected to, how it formed."""

from typing import Any, Literal, get_args

from alexnet.drawing import kernel_mosaic, png_of
from alexnet.nets.table import Conv, Dense
from alexnet.see import figures
from alexnet.see.connections import connection_sums, filters_of, weighted_layers
from alexnet.see.display import contrast, tile
from alexnet.see.evolution import Evolution, evolution_of
from alexnet.see.patches import UnitPatch, patches_of
from alexnet.see.top import NONE, Strongest, Top
from alexnet.see.units import is_rectified
from alexnet.serve.open_networks import Absent
from alexnet.serve.pages.layer import NOT_ANALYSED, TILE, describe_layer, layer_of_unit
from alexnet.serve.pages.routes import PNG, LayerName, Number, OfNetwork, Routes
from alexnet.serve.run_cache import RunCache

routes = Routes(tags=["units"])
Shown = Literal["patch", "projection"]
Sign = Literal["strongest", "negative"]
UNIT = "/layers/{layer}/units/{unit}"
CONNECTIONS = 6
"""Connections of each sign that are named, the strongest first."""
ANALYSED = ("strongest", "negative", "histogram", "evolution", "part")
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
        inputs = connections(context, found.row, below, unit)
    if isinstance(above, Conv | Dense):
        outputs = connections(context, above, above.name, unit)
    made = cache.optimised(layer, unit) if cache else None
    return {
        "layer": describe_layer(found),
        "unit": unit,
        "column": unit * found.columns // found.leaving.maps,
        "class": opened.run.class_names[unit] if found is network.layers[-1] else None,
        "rectified": is_rectified(network, layer),
        "filters": isinstance(found.row, Conv),
        "inputs": inputs,
        "outputs": outputs,
        "snapshots": list(opened.run.folder.snapshots),
        "optimised": made and made.about["activation"],
        **(analysed(context, cache, layer, unit) if cache else dict.fromkeys(ANALYSED)),
    }


def analysed(context: OfNetwork, cache: RunCache, layer: str, unit: int) -> dict[str, Any]:
    """What is known of a unit from passes over the pictures; None: there was no such pass yet."""
    top, spread, tops, parts = cache.top, cache.spread, cache.evolution, cache.parts
    silent = is_rectified(context.opened.network, layer)  # where it is not above 0
    found: dict[str, Any] = dict.fromkeys(ANALYSED)
    if spread and layer in spread.peaks:
        found["histogram"] = spread.as_json(layer, unit) | {"pictures": spread.about["pictures"]}
    if tops:
        after = {epoch: ranked(cache, one[layer], unit) for epoch, one in tops.items()}
        found["evolution"] = [{"epoch": epoch} | ranks[0] for epoch, ranks in after.items() if ranks]
    if top:
        found["strongest"] = [one for one in ranked(cache, top[layer], unit) if one["value"] > 0 or not silent]
        if lowest := top.negative.get(layer):
            turned = [one | {"value": -one["value"]} for one in ranked(cache, lowest, unit)]
            found["negative"] = [one for one in turned if one["value"] < 0]
    if parts and layer in parts:
        found["part"] = parts[layer]["units"][unit] | {name: parts[layer][name] for name in ("pictures", "least_iou")}
    return found


def connections(context: OfNetwork, row: Conv | Dense, other: str, unit: int) -> dict[str, Any]:
    """What joins a unit to each channel of the layer `other`, by the weights of `row`: the channel's own, if `other` is
    `row` itself, else the unit's. The sum of the weights with its sign; those of each sign with the largest."""
    network = context.opened.network
    sums_cm = context.found(("connections", row.name), lambda: connection_sums(network, row.name))
    sums = sums_cm[:, unit] if other == row.name else sums_cm[unit]
    order = sums.argsort(descending=True, stable=True).tolist()
    last = other == network.layers[-1].row.name
    return {
        "layer": other,
        "single": isinstance(row, Dense) and network.layer(row.name).entering.side == 1,
        "sums": [float(f"{value:.4g}") for value in sums.tolist()],
        "for": [channel for channel in order[:CONNECTIONS] if sums[channel] > 0],
        "against": [channel for channel in order[: -CONNECTIONS - 1 : -1] if sums[channel] < 0],
        "names": list(context.opened.run.class_names) if last else None,
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
    """The figure of `alexnet see top --negative`."""
    found = {sign: {unit: top_patches(context, layer, unit, sign)} for sign in get_args(Sign)}
    return png_of(figures.top_figure(found["strongest"], layer, found["negative"]))


@routes.page(f"{UNIT}/evolution.png", PNG)
def evolution_figure(context: OfNetwork, layer: LayerName, unit: Number) -> bytes:
    """The figure of `alexnet see evolution`."""
    return png_of(figures.evolution_figure(evolution(context, layer, unit)))


@routes.page(f"{UNIT}/optimised.png", PNG)
def optimised(context: OfNetwork, layer: LayerName, unit: Number) -> bytes:
    """The picture made for the unit. Raises Absent if it was not asked for yet."""
    layer_of_unit(context.opened, layer, unit)
    made = context.needed_cache.optimised(layer, unit)
    if made is None:
        raise Absent("no picture has been made for this unit yet")
    return png_of(made.image)


@routes.computation(f"{UNIT}/optimised")
def optimise(context: OfNetwork, layer: LayerName, unit: Number) -> dict[str, bool]:
    """Make the picture that excites the unit most (`alexnet see visualise`) and keep it. Server-sent events."""
    layer_of_unit(context.opened, layer, unit)
    context.needed_cache.optimise(layer, unit, context.progress)
    return {"made": True}


@routes.page(UNIT + "/evolution/{rank}/{shown}.png", PNG)
def after_snapshot(context: OfNetwork, layer: LayerName, unit: Number, rank: Number, shown: Shown) -> bytes:
    """The unit after one of the snapshots, by its number: the patch that activated it most, or its projection."""
    return drawn(evolution(context, layer, unit).features[layer][unit], rank, shown)


@routes.page(UNIT + "/{sign}/{rank}/{shown}.png", PNG)
def strongest(context: OfNetwork, layer: LayerName, unit: Number, sign: Sign, rank: Number, shown: Shown) -> bytes:
    """One of the pictures that activate the unit most, or make it most negative: the patch that it sees, or its
    projection."""
    return drawn(top_patches(context, layer, unit, sign), rank, shown)


def top_patches(context: OfNetwork, layer: str, unit: int, sign: Sign = "strongest") -> list[UnitPatch]:
    """What the unit sees of its strongest, or most negative, pictures. Raises Absent if they were not analysed."""

    def find() -> list[UnitPatch]:
        opened, cache = context.opened, context.needed_cache
        layer_of_unit(opened, layer, unit)
        top = cache.top
        if top is None:
            raise Absent(NOT_ANALYSED)
        if sign == "negative":
            top = Top({name: one for name, one in top.negative.items() if name == layer}, top.about)
            if not top.layers:
                return []
        silent = sign == "strongest" and not is_rectified(opened.network, layer)  # as good as any others
        return patches_of(opened.exact.viewer, cache.split, top, layer, [unit], silent=silent)[unit]

    return context.found(("patches", layer, unit, sign), find)


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
