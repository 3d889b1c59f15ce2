"""/api/sides/…/pictures/…/follow: one number of a picture followed through the network, and what a change would do.

M maps that a number's row reads.
"""

import math
import re
from typing import Annotated, Any

import numpy as np
import torch
from fastapi import Query
from torch import Tensor

from alexnet.nets import summary
from alexnet.nets.table import Dense, Norm, Pool
from alexnet.see.deconvnet import row_index
from alexnet.see.follow import PICTURE as PIXELS
from alexnet.see.follow import Change, NumberPath, Place, Reader, Step, block_of, changed, follow, step_of
from alexnet.see.forward_pass import centre_mean
from alexnet.see.units import Unit, check_unit, strongest_units
from alexnet.serve.open_networks import Absent
from alexnet.serve.pages.picture import PICTURE
from alexnet.serve.pages.routes import LONGEST_NAME, OfPicture, Routes

routes = Routes(tags=["pictures"])
TERMS = 8
"""Products of each sign of a fully connected unit that are listed."""
PRODUCTS = 1 << 14
"""At most so many products of a convolution are sent, of the maps that add or take most."""
UNIT = re.compile(r"([\w-]{1,64})(?:\.(\d{1,6}))(?:\.(\d{1,5})\.(\d{1,5}))?")
EDIT = re.compile(r"(input|weight)\.(\d{1,6})\.(?:(\d{1,5})\.(\d{1,5})|\*)=([-+.\deE]{1,24})")

UnitName = Annotated[str, Query(max_length=LONGEST_NAME + 20, description="LAYER.UNIT or LAYER.UNIT.ROW.COLUMN")]
UnitNames = Annotated[str, Query(max_length=4000, description="several of them, with commas")]
Edits = Annotated[str, Query(max_length=4000, description="input or weight.PLACE.ROW.COLUMN=NUMBER, with commas")]


@routes.page(f"{PICTURE}/follow")
def path(context: OfPicture, unit: UnitName = "", via: UnitNames = "") -> dict[str, Any]:
    """A unit's number (default: the most probable class; without a position: the largest of its map) with a step
    for each row, from the pixel to the class, through the units `via`."""
    passed, named = context.forward_pass, [unit_in(context, one) for one in via.split(",") if one]
    top = passed.network.computable_layers[-1].row.name
    start = unit_in(context, unit) if unit else strongest_units(passed.network, passed[top], top, 1)[0]
    found = follow(passed, start, named)
    return {"steps": [step_json(context, found, n) for n in range(len(found.steps))], "answer": answer(context)}


@routes.page(f"{PICTURE}/follow/changed")
def with_changes(context: OfPicture, unit: UnitName, edits: Edits, watch: UnitNames = "") -> dict[str, Any]:
    """What becomes of the numbers of the units to `watch`, and of the answer, if inputs or weights of a unit were
    others: `PLACE` is the place of a map among those that the unit reads, `PLACE.*` all of its window."""
    passed, one = context.forward_pass, unit_in(context, unit)
    step = step_of(passed, row_index(passed.network, one.layer), one)
    after = changed(passed, step, [change for word in edits.split(",") for change in changes_in(step, word)])
    values = {}
    for name in filter(None, watch.split(",")):
        seen = unit_in(context, name)
        if seen.layer in after.activations.maps:
            values[name] = number(after.activations[seen.layer][(0, seen.channel, *(seen.at or ()))])
    logits = after.activations.maps.get(passed.network.last)
    return {"values": values, "logits": None if logits is None else numbers(logits[0].flatten())}


def changes_in(step: Step, words: str) -> list[Change]:
    """Raises Absent for words that can't be read."""
    found = EDIT.fullmatch(words)
    try:
        value = float(found[5]) if found else math.nan
    except ValueError:
        value = math.nan
    if not found or math.isnan(value):
        raise Absent("a change is written as in weight.0.2.1=0.5")
    high, wide = step.inputs.shape[1:]
    whole = [(row, column) for row in range(high) for column in range(wide)]
    positions = whole if found[3] is None else [(int(found[3]), int(found[4]))]
    return [Change("weight" if found[1] == "weight" else "input", (int(found[2]), *at), value) for at in positions]


def unit_in(context: OfPicture, words: str) -> Unit:
    """Raises Absent if there is none of that name."""
    network, found = context.opened.network, UNIT.fullmatch(words)
    if not found or found[1] not in context.forward_pass.activations.maps:
        raise Absent(f"there is no unit {words!r} here")
    place = (None, None) if found[3] is None else (int(found[3]), int(found[4]))
    unit = Unit(found[1], int(found[2]), *place)
    layer = check_unit(network, unit)
    return Unit(unit.layer, unit.channel) if context.forward_pass[layer.row.name].ndim == 2 else unit


# ── as JSON ──────────────────────────────────────────────────────────────────────────────────────────────────────


def number(value: float | Tensor) -> float:
    """A float32 with no more digits than it has."""
    return float(str(np.float32(float(value))))


def numbers(values: Tensor) -> list[Any]:
    """Nested lists of them."""
    return [numbers(one) if one.ndim else number(one) for one in values]


def unit_json(unit: Unit) -> dict[str, Any]:
    return {"layer": unit.layer, "unit": unit.channel, "at": unit.at}


def reader_json(reader: Reader) -> dict[str, Any]:
    return unit_json(reader.unit) | {"effect": number(reader.effect), "value": number(reader.value)}


def step_json(context: OfPicture, found: NumberPath, n: int) -> dict[str, Any]:
    """A step: `blocks` hold what it reads, map by map, those first that add or take most; of fully connected units
    the strongest products, `terms`, and how many others there are with their sum."""
    step = found.steps[n]
    layer, row = step.layer, step.layer.row
    k, *at = step.place
    told = unit_json(step.unit) | {
        "row": type(row).__name__,
        "kind": summary.kind(row),
        "rule": getattr(row, "kind", None),
        "value": number(step.value),
        "maps": layer.leaving.maps,
        "side": layer.leaving.side,
        "columns": layer.columns,
        "below": {"name": step.below, "maps": layer.entering.maps, "side": layer.entering.side},
        "top": step.top,
        "left": step.left,
        "constants": {name: float(f"{value:.9g}") for name, value in step.constants.items()},
        "from": [k, *at],
        "reads": len(step.maps),
        "readers": [reader_json(one) for one in found.readers.get(step.unit.layer, [])],
    }
    if isinstance(row, Norm):
        told["size"], told["scale"] = row.size, {"alpha": row.alpha, "convention": row.convention, "span": row.span}
    if isinstance(row, Pool):
        told["winner"] = list(step.strongest[1:]) if row.kind == "max" else None
    if isinstance(row, Dense):
        return told | terms_json(step)
    return told | {"blocks": blocks_json(context, step)}


def blocks_json(context: OfPicture, step: Step) -> list[dict[str, Any]]:
    order, sums = list(range(len(step.maps))), None
    if step.weights is not None:
        sums = step.products.sum(dim=(1, 2))
        order = sums.abs().argsort(descending=True, stable=True).tolist()
    most, own = max(1, PRODUCTS // step.inputs[0].numel()), step.place[0]
    mean = centre_mean(context.opened.exact.viewer) if step.below == PIXELS else None
    blocks = []
    for k in [*order[:most], *([own] if own in order[most:] else [])]:
        block: dict[str, Any] = {"place": k, "map": step.maps[k], "inputs": numbers(step.inputs[k])}
        if step.weights is not None and sums is not None:
            block |= {"weights": numbers(step.weights[k]), "sum": number(sums[k])}
        if mean is not None:
            block["mean"] = numbers(block_of(mean, [k], step.top, step.left, *step.inputs.shape[1:])[0])
        blocks.append(block)
    return blocks


def terms_json(step: Step) -> dict[str, Any]:
    products = step.products
    flat, side = products.flatten(), products.shape[2]
    order = flat.argsort(descending=True, stable=True).tolist()
    chosen = [i for i in order[:TERMS] if flat[i] > 0] + [i for i in order[TERMS:][-TERMS:] if flat[i] < 0]
    k, row, column = step.place
    path = (k * side + row) * side + column
    chosen = sorted({*chosen, path}, key=lambda i: -float(flat[i]))

    def term(i: int) -> dict[str, Any]:
        place: Place = (i // side**2, i % side**2 // side, i % side)
        assert step.weights is not None
        values = {"input": number(step.inputs[place]), "weight": number(step.weights[place])}
        return {"place": list(place), "map": step.maps[place[0]], **values, "product": number(flat[i])}

    left = torch.ones_like(flat, dtype=torch.bool)
    left[chosen] = False
    rest = {
        name: {"count": int(which.sum()), "sum": number(flat[which].sum())}
        for name, which in {"positive": left & (flat > 0), "negative": left & (flat < 0)}.items()
    }
    return {"terms": [term(i) for i in chosen], "rest": rest, "zeros": int((flat == 0).sum()), "products": len(flat)}


def answer(context: OfPicture) -> dict[str, Any] | None:
    """The logits and the temperature of the softmax; None if the last row can't be computed."""
    passed = context.forward_pass
    logits = passed.activations.maps.get(passed.network.last)
    if logits is None:
        return None
    return {"logits": numbers(logits[0].flatten()), "temperature": passed.network.temperature}
