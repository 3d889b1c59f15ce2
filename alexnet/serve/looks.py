"""What a network makes of one picture: answers, maps, strongest units, projections, occlusion, invariance, neighbours.

Used by the worker's thread. C maps · H, W rows and columns · S side of a view · R places of the square along an axis.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet.files.schema import json_bytes
from alexnet.measure.pictures import Named
from alexnet.measure.predict import Prediction
from alexnet.report.drawing import mosaic, png_of
from alexnet.report.text import prediction_as_json
from alexnet.see import figures
from alexnet.see.charts import invariance_figure
from alexnet.see.deconvnet import Method, project
from alexnet.see.display import contrast
from alexnet.see.forward_pass import ForwardPass, centre_views, inputs_of, look
from alexnet.see.invariance import UNITS, Invariance, invariance_of
from alexnet.see.occlusion import Occluder, Occlusion, Square, strongest_map
from alexnet.see.units import Unit, check_unit, last_convolution, peaks, strongest_units
from alexnet.serve.kept import Kept
from alexnet.serve.shelf import Shelf
from alexnet.serve.sides import Absent, Side
from alexnet.serve.uploads import Held, jpeg_of
from alexnet.serve.worker import Desk

STRONGEST = 9
MAP_PIXELS = 28
"""Least side of a drawn map, pixels."""
COARSE = 4
"""Steps of the square's grid between the places that are tried first."""
SHOWN_NEIGHBOURS = 9
SIGHTS = 3


@dataclass
class Sights:
    """The pictures that networks looked at last, with all that they made of them."""

    held: OrderedDict[tuple[str, str, str], ForwardPass] = field(default_factory=OrderedDict)

    def of(self, side: Side, picture: Held) -> ForwardPass:
        key = (side.key, side.version, picture.id)
        if key not in self.held:
            record = torch.from_numpy(picture.record(side.run))
            self.held[key] = look(side.network, inputs_of(side.looking.viewer, record[None]))
            while len(self.held) > SIGHTS:
                self.held.popitem(last=False)
        self.held.move_to_end(key)
        return self.held[key]


def view_of(side: Side, picture: Held) -> np.ndarray:
    """What the centre view shows, uint8 (S, S, 3)."""
    return centre_views(picture.record(side.run)[None], side.run.inputs.size)[0]


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def answer(side: Side, picture: Held, desk: Desk) -> dict[str, Any]:
    """The five most probable classes: of the centre first, then of ten views."""
    desk.part(_answered(side, picture, 1))
    return _answered(side, picture, 10)


def _answered(side: Side, picture: Held, views: int) -> dict[str, Any]:
    named = Named("picture", picture.record(side.run))
    (found,) = side.run.predictor.each([named], views=views)
    assert isinstance(found, Prediction)
    return {"views": views, "labels": prediction_as_json(found)["labels"]}


# ── maps and units ───────────────────────────────────────────────────────────────────────────────────────────────


def layers_seen(side: Side, sight: ForwardPass) -> list[dict[str, Any]]:
    """Of every row its maps and the units that answer most."""
    return [_layer_seen(side, sight, name) for name in sight.activations.maps]


def _layer_seen(side: Side, sight: ForwardPass, name: str) -> dict[str, Any]:
    layer, values_c = side.network.layer(name), peaks(sight[name])[0][0].float()
    order = values_c.argsort(descending=True, stable=True)[:STRONGEST].tolist()
    return {
        "name": name,
        "maps": layer.leaving.maps,
        "side": layer.leaving.side,
        "columns": layer.columns,
        "per_row": _per_row(layer.leaving.maps),
        "active": float((values_c > 0).float().mean()),
        "strongest": [{"unit": unit, "value": float(values_c[unit])} for unit in order],
    }


def maps_png(sight: ForwardPass, name: str) -> bytes:
    """All maps of a row, white the largest value of the row and black 0 (or the smallest, if that is less)."""
    return png_of(maps_sheet(_maps(sight, name)))


def map_png(sight: ForwardPass, name: str, channel: int) -> bytes:
    """One map, white its own largest value. Raises Absent if there is no such map."""
    maps_chw = _maps(sight, name)
    if not 0 <= channel < len(maps_chw):
        raise Absent(f"{name} has maps 0 … {len(maps_chw) - 1}")
    return png_of(maps_sheet(maps_chw[channel : channel + 1]))


def _maps(sight: ForwardPass, name: str) -> np.ndarray:
    """(C, H, W) float32; units of dense layers are maps of one place."""
    if name not in sight.activations.maps:
        raise Absent("there is no such layer")
    maps = sight[name][0].float().cpu().numpy()
    return maps.reshape(len(maps), *(maps.shape[1:] or (1, 1)))


def maps_sheet(maps_chw: np.ndarray) -> np.ndarray:
    """Maps side by side, uint8 (rows, columns, 3)."""
    low, high = min(0.0, float(maps_chw.min())), float(maps_chw.max())
    levels = ((maps_chw - low) / ((high - low) or 1.0) * 255).round().astype(np.uint8)
    count, side = levels.shape[0], levels.shape[1]
    gap, factor = (1, 8) if side == 1 else (2, max(1, -(-MAP_PIXELS // side)))
    levels = levels.repeat(factor, axis=1).repeat(factor, axis=2)
    sheet = mosaic(levels, min(_per_row(count), count), gap, ground=128)
    return np.repeat(sheet[:, :, None], 3, axis=2)


def _per_row(count: int) -> int:
    return 16 if count <= 128 else 32 if count <= 512 else 1 << math.ceil(math.log2(math.sqrt(2 * count)))


def projection_png(side: Side, sight: ForwardPass, name: str, channel: int, method: Method) -> bytes:
    """The unit at a map's peak, projected down to the pixels of the whole view."""
    check_unit(side.network, Unit(name, channel))
    seen = project(sight, strongest_units(side.network, sight[name], name, [channel]), method=method)
    return png_of(contrast(seen.pixels[0].cpu().numpy()))


def projection_figure_png(
    side: Side, picture: Held, sight: ForwardPass, name: str, channel: int, method: Method
) -> bytes:
    """The figure of `alexnet see project`."""
    seen = project(sight, strongest_units(side.network, sight[name], name, [channel]), method=method)
    return png_of(figures.projection_figure(view_of(side, picture), seen, method))


# ── occlusion ────────────────────────────────────────────────────────────────────────────────────────────────────


def occlusion(side: Side, sight: ForwardPass, desk: Desk) -> Occlusion:
    """[Z] Fig. 7, coarse first: each part has the places tried since the last one."""
    viewer, size = side.looking.viewer, side.run.inputs.size
    square = Square.fitting(size)
    watched = strongest_map(sight, last_convolution(side.network))
    occluder = Occluder(viewer, sight, square, watched)
    corners = square.corners(size)
    clean_k = sight.probabilities[0]
    label, count = int(clean_k.argmax()), len(corners)
    totals, probabilities = torch.zeros(count, count), torch.zeros(count, count, len(clean_k))
    done = 0
    for step, rows, columns in rounds(count):
        edges = torch.tensor(corners)
        found_totals, found = occluder.places(edges[rows], edges[columns])
        totals[rows, columns], probabilities[rows, columns] = found_totals.cpu(), found.cpu()
        done += len(rows)
        desk.part(
            {
                "step": step,
                "corners": corners,
                "square": square.size,
                "class": side.run.class_names[label],
                "clean": float(clean_k[label]),
                "watched": {"layer": watched.layer, "channel": watched.channel},
                "rows": rows.tolist(),
                "columns": columns.tolist(),
                "probability": found[:, label].tolist(),
                "total": found_totals.tolist(),
                "most_probable": [side.run.class_names[k] for k in found.argmax(dim=1).tolist()],
            }
        )
        desk.progress(done, count**2)
    return Occlusion(
        square=square,
        label=label,
        watched=watched,
        corners=tuple(corners),
        total=totals,
        probability=probabilities[..., label],
        predicted=probabilities.argmax(dim=2),
        clean_total=float(sight[watched.layer][0, watched.channel].float().sum()),
        clean_probability=float(clean_k[label]),
        clean_predicted=label,
    )


BATCH = 64


def rounds(count: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Every place of a grid of `count` × `count` once, coarse ones first: how coarse, rows, columns; some at a time."""
    seen = torch.zeros(count, count, dtype=torch.bool)
    for step in (COARSE, COARSE // 2, 1):
        along = torch.tensor(sorted({*range(0, count, step), count - 1}))
        places = torch.cartesian_prod(along, along)
        fresh = places[~seen[places[:, 0], places[:, 1]]]
        seen[places[:, 0], places[:, 1]] = True
        for some in fresh.split(BATCH):
            yield step, some[:, 0], some[:, 1]


def occlusion_numbers(side: Side, found: Occlusion) -> bytes:
    """The numbers of `alexnet see occlusion`."""
    return json_bytes(found.as_json(side.run.class_names))


def occlusion_figure_png(side: Side, picture: Held, sight: ForwardPass, found: Occlusion) -> bytes:
    """The figure of `alexnet see occlusion`."""
    projection = project(sight, [found.watched]).pixels[0].cpu().numpy()
    return png_of(figures.occlusion_figure(view_of(side, picture), found, projection, side.run.class_names))


# ── invariance ───────────────────────────────────────────────────────────────────────────────────────────────────


def invariance(side: Side, picture: Held, label: int) -> Invariance:
    """[Z] Fig. 5 for one picture."""
    record = torch.from_numpy(picture.record(side.run))
    return invariance_of(
        side.looking.viewer, record[None], [label], names=["picture"], class_names=side.run.class_names
    )


def invariance_page(
    side: Side, found: Invariance, shelf: Shelf, key: tuple[str, ...], names: int = 5
) -> dict[str, Any]:
    """The curves, with the probabilities of the classes that come first anywhere near the top; what the network saw at
    each step goes onto the shelf under (*key, kind, step)."""
    curves = []
    for one in found.curves:
        outputs_tk = one.outputs[0]
        shown = outputs_tk.amax(dim=0).argsort(descending=True, stable=True)[:names].tolist()
        for step, view in enumerate(one.views[0].numpy()):
            shelf.put((*key, one.kind, step), jpeg_of(view))
        curves.append(
            {
                "kind": one.kind,
                "unit": UNITS[one.kind],
                "amounts": list(one.amounts),
                "distances": {layer: one.distances[layer][0].tolist() for layer in found.layers},
                "classes": [
                    {"class": side.run.class_names[k], "probability": outputs_tk[:, k].tolist()} for k in shown
                ],
            }
        )
    return {"class": found.classes[0], "layers": list(found.layers), "curves": curves}


def invariance_figure_png(found: Invariance) -> bytes:
    """The figure of `alexnet see invariance`."""
    return png_of(invariance_figure(found))


# ── neighbours ───────────────────────────────────────────────────────────────────────────────────────────────────


def neighbours(sight: ForwardPass, kept: Kept) -> list[dict[str, Any]]:
    """The training pictures nearest in the last hidden layer ([A] Fig. 4, right). Raises Absent if those were not
    looked at."""
    index = kept.index
    if index is None:
        raise Absent("the training pictures were not looked at yet")
    query = sight[index.layer].float().flatten(1).cpu().numpy()
    places, distances = index.search(query, SHOWN_NEIGHBOURS)
    return [
        {"picture": int(place), "class": index.class_names[int(index.labels[place])], "distance": float(distance)}
        for place, distance in zip(places[0], distances[0], strict=True)
    ]
