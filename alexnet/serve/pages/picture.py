"""/api/sides/…/pictures/…: what a network makes of one picture: predictions, maps, projections, occlusion, invariance,
neighbours.

C maps · H, W rows and columns · K classes.
"""

import asyncio
from typing import Any

import numpy as np
import torch
from fastapi import Response

from alexnet.drawing import png_of
from alexnet.files.schema import attributes, json_bytes, to_json
from alexnet.measure.pictures import Named
from alexnet.measure.predict import Prediction
from alexnet.see import figures
from alexnet.see.charts import invariance_figure
from alexnet.see.deconvnet import Method, project
from alexnet.see.display import contrast, maps_mosaic, maps_per_row
from alexnet.see.invariance import UNITS, Curves, Transformation, invariance_of
from alexnet.see.occlusion import Occlusion, Positions, Square, occlusion_steps, scale_of_total, strongest_map, total_of
from alexnet.see.units import last_convolution, peaks, strongest_units
from alexnet.serve.open_networks import Absent
from alexnet.serve.pages.layer import NOT_ANALYSED
from alexnet.serve.pages.routes import JPEG, PNG, LayerName, Number, OfPicture, Routes
from alexnet.serve.uploads import jpeg_of
from alexnet.serve.worker import Steps, Urgency

routes = Routes(tags=["pictures"])
PICTURE = "/pictures/{picture}"
STRONGEST = 9
COARSE, TOGETHER = 8, 32
"""Occlusion tries every so many positions of the square's grid first, and so many between two results."""
NEIGHBOURS = 9
NAMED_CLASSES = 5


@routes.get("/sides/{side}" + PICTURE + "/view.jpg")
async def view(context: OfPicture) -> Response:
    """What the network sees of a picture: its centre view, at once; the network is not asked."""
    data = await asyncio.to_thread(lambda: jpeg_of(context.view_hwc))
    return Response(data, media_type=JPEG, headers={"cache-control": "private, max-age=86400"})


@routes.computation(f"{PICTURE}/prediction", urgency=Urgency.ANSWER)
def prediction(context: OfPicture) -> Steps:
    """The five most probable classes: of the centre view first, in float32 as all that the pages explain; then of ten
    views, in the precision of the training. Server-sent events."""
    predictor = context.opened.run.predictor
    centre_k = context.forward_pass.probabilities[0].cpu().numpy()
    context.send({"views": 1, "labels": to_json(predictor.labels(centre_k))})
    yield Urgency.COARSE
    (found,) = predictor.each([Named("picture", context.record_hwc)], views=10)
    assert isinstance(found, Prediction)
    return {"views": 10, "labels": to_json(found.labels)}


# ── maps and units ───────────────────────────────────────────────────────────────────────────────────────────────


@routes.computation(f"{PICTURE}/layers", urgency=Urgency.MAPS)
def layers(context: OfPicture) -> list[dict[str, Any]]:
    """The units of every row that are most active. Server-sent events."""
    return [layer_activations(context, name) for name in context.forward_pass.activations.maps]


def layer_activations(context: OfPicture, name: str) -> dict[str, Any]:
    layer, values_c = context.opened.network.layer(name), peaks(context.forward_pass[name])[0][0].float()
    order = values_c.argsort(descending=True, stable=True)[:STRONGEST].tolist()
    return {
        "name": name,
        "maps": layer.leaving.maps,
        "side": layer.leaving.side,
        "columns": layer.columns,
        "per_row": maps_per_row(layer.leaving.maps),
        "active": float((values_c > 0).float().mean()),
        "strongest": [{"unit": unit, "value": float(values_c[unit])} for unit in order],
    }


@routes.page(f"{PICTURE}/maps/{{layer}}.png", PNG, maps=True)
def maps(context: OfPicture, layer: LayerName) -> bytes:
    """All maps of a row on one scale."""
    return png_of(maps_mosaic(maps_of(context, layer)))


@routes.page(f"{PICTURE}/maps/{{layer}}/{{unit}}.png", PNG, maps=True)
def one_map(context: OfPicture, layer: LayerName, unit: Number) -> bytes:
    """One map on its own scale."""
    maps_chw = maps_of(context, layer)
    if unit >= len(maps_chw):
        raise Absent(f"{layer} has maps 0 … {len(maps_chw) - 1}")
    return png_of(maps_mosaic(maps_chw[unit : unit + 1]))


def maps_of(context: OfPicture, layer: str) -> np.ndarray:
    """(C, H, W) float32; units of dense layers are maps of 1 × 1."""
    if layer not in context.forward_pass.activations.maps:
        raise Absent("there is no such layer")
    maps = context.forward_pass[layer][0].float().cpu().numpy()
    return maps.reshape(len(maps), *(maps.shape[1:] or (1, 1)))


@routes.page(f"{PICTURE}/projection/{{layer}}/{{unit}}.png", PNG)
def projection(
    context: OfPicture, layer: LayerName, unit: Number, method: Method = "deconvnet", figure: bool = False
) -> bytes:
    """A unit at its map's peak, projected down to the pixels; `figure`: as `alexnet see project` draws it."""
    units = strongest_units(context.opened.network, context.forward_pass[layer], layer, [unit])
    seen = project(context.forward_pass, units, method=method)
    if figure:
        return png_of(figures.projection_figure(context.view_hwc, seen, method))
    return png_of(contrast(seen.pixels[0].cpu().numpy()))


# ── occlusion ────────────────────────────────────────────────────────────────────────────────────────────────────


@routes.computation(f"{PICTURE}/occlusion")
def occlusion(context: OfPicture) -> Steps:
    """[Z] Fig. 7, coarse first: each part has the positions tried since the last one. Server-sent events."""
    opened, forward, names = context.opened, context.forward_pass, context.opened.run.class_names
    square = Square.fitting(opened.run.inputs.size)
    watched = strongest_map(forward, last_convolution(opened.network))
    clean_k, clean_total = forward.probabilities[0], total_of(forward, watched)
    label = int(clean_k.argmax())
    constant = {
        "corners": square.corners(opened.run.inputs.size),
        "square": square.size,
        "grey": square.grey,
        "class": names[label],
        "clean": {"probability": float(clean_k[label]), "total": clean_total},
        "scales": {"probability": (0.0, 1.0), "total": scale_of_total(clean_total)},
        "watched": {"layer": watched.layer, "channel": watched.channel},
    }

    how = {"square": square, "watched": watched, "coarse": COARSE, "together": TOGETHER}
    found = None
    for found in occlusion_steps(opened.exact.viewer, forward, label, **how):
        if isinstance(found, Positions):
            context.send(
                constant
                | {
                    "step": found.step,
                    "rows": found.rows.tolist(),
                    "columns": found.columns.tolist(),
                    "probability": found.probabilities[:, label].tolist(),
                    "total": found.totals.tolist(),
                    "most_probable": [names[k] for k in found.probabilities.argmax(dim=1).tolist()],
                }
            )
            yield Urgency.COARSE if found.step == COARSE else Urgency.FINE
    assert isinstance(found, Occlusion)
    context.explorer.findings.put(context.key("occlusion"), found)
    return attributes(found, "saturated", "scales", "logit") | {"clean": {"logit": found.clean_logit}}


@routes.page(f"{PICTURE}/occlusion.png", PNG)
def occlusion_figure(context: OfPicture) -> bytes:
    """The figure of `alexnet see occlusion`, once that was computed."""
    found = context.finding("occlusion")
    projection = project(context.forward_pass, [found.watched]).pixels[0].cpu().numpy()
    names = context.opened.run.class_names
    return png_of(figures.occlusion_figure(context.view_hwc, found, projection, names))


@routes.page(f"{PICTURE}/occlusion.json")
def occlusion_numbers(context: OfPicture) -> bytes:
    """The numbers of `alexnet see occlusion`, once that was computed."""
    return json_bytes(context.finding("occlusion").as_json(context.opened.run.class_names))


# ── invariance ───────────────────────────────────────────────────────────────────────────────────────────────────


@routes.computation(f"{PICTURE}/invariance")
def invariance(context: OfPicture) -> dict[str, Any]:
    """[Z] Fig. 5 for one picture: probabilities and distances of features at each step. Server-sent events."""
    opened, record = context.opened, torch.from_numpy(context.record_hwc)
    label, names = int(context.forward_pass.probabilities[0].argmax()), opened.run.class_names
    named = {"names": ["picture"], "class_names": names, "progress": context.progress}
    found = invariance_of(opened.exact.viewer, record[None], [label], **named)
    context.explorer.findings.put(context.key("invariance"), found)
    return {
        "class": found.classes[0],
        "layers": list(found.layers),
        "curves": [invariance_curve(curve, names) for curve in found.curves],
    }


def invariance_curve(curve: Curves, names: tuple[str, ...]) -> dict[str, Any]:
    """One transformation, with the classes whose probability rises highest at any step."""
    outputs_tk = curve.outputs[0]
    shown = outputs_tk.amax(dim=0).argsort(descending=True, stable=True)[:NAMED_CLASSES].tolist()
    return {
        "kind": curve.kind,
        "unit": UNITS[curve.kind],
        "amounts": list(curve.amounts),
        "distances": {layer: distances[0].tolist() for layer, distances in curve.distances.items()},
        "classes": [{"class": names[k], "probability": outputs_tk[:, k].tolist()} for k in shown],
    }


@routes.page(f"{PICTURE}/invariance.png", PNG)
def invariance_png(context: OfPicture) -> bytes:
    """The figure of `alexnet see invariance`, once that was computed."""
    return png_of(invariance_figure(context.finding("invariance")))


@routes.get("/sides/{side}" + PICTURE + "/invariance/{kind}/{step}.jpg")
async def transformed(context: OfPicture, kind: Transformation, step: Number) -> Response:
    """What the network saw at one step of a transformation, once invariance was computed."""
    # Not in the worker's thread, since a slider requests many at once, and a pass may be running there.
    (curve,) = (curve for curve in context.finding("invariance").curves if curve.kind == kind)
    if step >= len(curve.amounts):
        raise Absent(f"{kind} has steps 0 … {len(curve.amounts) - 1}")
    return Response(jpeg_of(curve.views[0][step].numpy()), media_type=JPEG, headers={"cache-control": "no-store"})


# ── neighbours ───────────────────────────────────────────────────────────────────────────────────────────────────


@routes.computation(f"{PICTURE}/neighbours")
def neighbours(context: OfPicture) -> list[dict[str, Any]]:
    """The training pictures nearest in the last hidden layer ([A] Fig. 4, right). Server-sent events."""
    index = context.needed_cache.index
    if index is None:
        raise Absent(NOT_ANALYSED)
    query = context.forward_pass[index.layer].float().flatten(1).cpu().numpy()
    positions, distances = index.search(query, NEIGHBOURS)
    return [
        {"picture": int(position), "class": index.class_names[int(index.labels[position])], "distance": float(distance)}
        for position, distance in zip(positions[0], distances[0], strict=True)
    ]
