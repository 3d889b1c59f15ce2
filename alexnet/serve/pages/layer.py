"""/api/sides/…/layers and …/kernels: a layer, its units at a glance, and the first layer's kernels. C channels."""

from dataclasses import asdict
from typing import Any

import numpy as np

from alexnet.drawing import kernel_mosaic, png_of
from alexnet.nets import summary
from alexnet.nets.table import Conv
from alexnet.nets.trace import Layer
from alexnet.see.connections import filters_of, weighted_layers
from alexnet.see.diagnosis import diagnose
from alexnet.see.display import cut, tile
from alexnet.see.forward_pass import centre_views
from alexnet.see.top import NONE
from alexnet.see.units import box_of, frame_of, is_rectified, unit_at
from alexnet.serve.open_networks import Absent, OpenNetwork
from alexnet.serve.pages.routes import PNG, LayerName, Number, OfNetwork, Routes

routes = Routes(tags=["layers"])
TILE = 96
"""Side of a patch, pixels."""
NOT_ANALYSED = "the pictures have not been analysed yet"


def layer_at(opened: OpenNetwork, name: str) -> Layer:
    """A layer that has a page: one with weights. Raises Absent, naming those that exist."""
    layers = {layer.row.name: layer for layer in weighted_layers(opened.network)}
    if name not in layers:
        raise Absent(f"{opened.name} has no layer with weights of that name; it has: {', '.join(layers)}.")
    return layers[name]


def layer_of_unit(opened: OpenNetwork, name: str, channel: int) -> Layer:
    """Raises Absent if there is no such layer or unit."""
    layer = layer_at(opened, name)
    if not 0 <= channel < layer.leaving.maps:
        raise Absent(f"{name} has units 0 … {layer.leaving.maps - 1}.")
    return layer


def describe_layer(layer: Layer) -> dict[str, Any]:
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


def describe_row(layer: Layer) -> dict[str, Any]:
    """Any row of the table: its shapes, and the constants of its formula."""
    constants = {name: value for name, value in asdict(layer.row).items() if name not in ("name", "kind")}
    shapes = {"maps": layer.leaving.maps, "side": layer.leaving.side, "columns": layer.columns}
    entering = {"maps": layer.entering.maps, "side": layer.entering.side}
    names = {"name": layer.row.name, "row": type(layer.row).__name__, "kind": summary.kind(layer.row)}
    return names | shapes | {"entering": entering, "constants": constants}


@routes.page("/layers/{layer}")
def layer_page(context: OfNetwork, layer: LayerName) -> dict[str, Any]:
    """A layer and, once the pictures were analysed, how strongly each unit was activated, and which are dead."""
    opened, cache = context.opened, context.cache
    found = layer_at(opened, layer)
    top, spread = (cache.top, cache.spread) if cache else (None, None)
    best = top[layer] if top else None
    return describe_layer(found) | {
        "known": best is not None,
        "pictures": top.about["pictures"] if top else None,
        "strongest": best.values[:, 0].tolist() if best else None,
        "dead": (best.dead.tolist() if is_rectified(opened.network, layer) else []) if best else None,
        "rectified": is_rectified(opened.network, layer),
        "active": spread.active(layer).tolist() if spread else None,
        "classes": list(opened.run.class_names) if found is opened.network.layers[-1] else None,
    }


@routes.page("/layers/{layer}/units/{unit}/tile.png", PNG)
def unit_tile(context: OfNetwork, layer: LayerName, unit: Number) -> bytes:
    """A unit at a glance: its kernel in the first layer, else the patch that activates it most."""
    opened, cache = context.opened, context.cache
    network, found = opened.network, layer_of_unit(opened, layer, unit)
    if found is network.layers[0] and isinstance(found.row, Conv):
        return png_of(kernel_mosaic(filters_of(network, layer, unit)[None].numpy(), 1))
    top = cache.top if cache else None
    if cache is None or top is None:
        raise Absent(NOT_ANALYSED)
    picture, position = int(top[layer].pictures[unit, 0]), int(top[layer].positions[unit, 0])
    if picture == NONE or (is_rectified(network, layer) and top[layer].values[unit, 0] <= 0):
        raise Absent("no picture activates this unit")
    where = unit_at(network, layer, unit, position)
    view = centre_views(cache.split.read(np.array([picture])), opened.run.inputs.size)[0]
    box = box_of(network, where)
    return png_of(tile(cut(view, box), TILE, box, frame_of(network, where)))


@routes.page("/kernels/{column}.png", PNG)
def kernels(context: OfNetwork, column: Number) -> bytes:
    """The first layer's kernels in one column ([A] Fig. 3)."""
    network = context.opened.network
    first = network.layers[0]
    if not isinstance(first.row, Conv) or column >= first.columns:
        raise Absent("there are no such kernels")
    weights = network.get_parameter(f"{first.row.name}.weight").detach().float().cpu().numpy()
    return png_of(kernel_mosaic(np.split(weights, first.columns)[column], clear=True))


@routes.page("/kernels")
def kernel_numbers(context: OfNetwork) -> dict[str, Any]:
    """The first layer's kernels in numbers, with their diagnosis ([Z] Fig. 6)."""
    found = diagnose(context.opened.network)
    return found.as_json() | {"columns": context.opened.network.table.columns, "weights": found.weights.tolist()}
