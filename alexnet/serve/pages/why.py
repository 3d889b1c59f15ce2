"""/api/sides/…/pictures/…: why a network answers what it does: contributions, units switched off, attributions.

C maps · H, W rows and columns · S side of a view.
"""

import base64
from typing import Annotated, Any

import numpy as np
from fastapi import Query

from alexnet.choices import AttributionMethod
from alexnet.geometry import Field
from alexnet.see.attribution import ATTRIBUTIONS, attribute
from alexnet.see.attribution.base import placed
from alexnet.see.contributions import Contribution, contributions, reader_of
from alexnet.see.display import SATURATED
from alexnet.see.interventions import intervene
from alexnet.serve.pages.routes import OfPicture, Routes
from alexnet.serve.responses import as_json

routes = Routes(tags=["why"])
PICTURE = "/pictures/{picture}"
STRONGEST, THROUGH = 8, 3
"""Units of each sign that are named, and maps that each of them is followed to."""
LONGEST_EDITS = 4000
SLOW: tuple[AttributionMethod, ...] = ("smoothgrad", "occlusion", "rise")
"""Methods that take tens or hundreds of passes."""
ClassNumber = Annotated[int | None, Query(alias="class", ge=0, description="default: the most probable class")]
Against = Annotated[int | None, Query(ge=0, description="a class whose logit is taken off")]


@routes.page(f"{PICTURE}/contributions")
def split_answer(context: OfPicture, target: ClassNumber = None, against: Against = None) -> dict[str, Any]:
    """A class's logit, or by how much it exceeds another's, as a sum over the last hidden layer and over the maps
    below."""
    opened, passed = context.opened, context.forward_pass
    found = contributions(
        opened.exact, context.record_hwc, target=target, against=against, strongest=STRONGEST, passed=passed
    )
    top = context.cache.top if context.cache else None
    probabilities = passed.probabilities[0]
    answer = int(probabilities.argmax())
    number = answer if target is None else target
    return {
        "number": number,
        "target": found.target,
        "against": found.against,
        "what": found.what,
        "answer": found.answer,
        "probability": float(probabilities[number]),
        "most_probable": answer,
        "layers": [
            layer_split(context, one) | {"faces": bool(top and one.layer in top.layers)} for one in found.layers
        ],
        "paths": {unit: largest(one, THROUGH) for unit, one in found.paths.items()},
        "methods": [
            {"name": name, "signed": method.signed, "scale": method.scale, "slow": name in SLOW}
            for name, method in ATTRIBUTIONS.items()
        ],
    }


def layer_split(context: OfPicture, one: Contribution) -> dict[str, Any]:
    """What a layer's strongest units add, what all the others do, and where the maps lie from which it comes."""
    shown, total = named(one, STRONGEST), float(one.by_map.sum())
    where = None
    if one.added.ndim == 3 and one.added.shape[-1] > 1:
        network, side = context.opened.network, context.opened.run.inputs.size
        field = network.layers[reader_of(network, one.layer) - 1].field
        where = levels(placed(one.added.sum(dim=0)[None], centres(field, one.added.shape[-1]), side)[0].numpy())
    return {
        "layer": one.layer,
        "units": len(one.by_map),
        "contributing": int((one.by_map != 0).sum()),
        "maps": one.added.ndim == 3,
        "strongest": shown,
        "others": total - sum(line["added"] for line in shown),
        "biases": one.biases,
        "remainder": one.remainder,
        "curved": list(one.curved),
        "where": where,
    }


def named(one: Contribution, count: int) -> list[dict[str, Any]]:
    """The strongest of each sign."""
    return [{"unit": unit, "added": float(one.by_map[unit])} for unit in one.strongest(count)]


def largest(one: Contribution, count: int) -> list[dict[str, Any]]:
    """Those that add or take away most."""
    return sorted(named(one, count), key=lambda line: -abs(line["added"]))[:count]


def centres(field: Field, count: int) -> list[float]:
    """The middles, in pixels, of what the rows (and columns) of a map see."""
    return [field.start + field.size / 2 + number * field.jump for number in range(count)]


def levels(map_ss: np.ndarray) -> dict[str, Any]:
    """A map in steps of 1/127 of its `full` magnitude, which half a percent of its pixels exceed: signed bytes."""
    full = float(np.quantile(np.abs(map_ss), 1 - SATURATED)) or float(np.abs(map_ss).max())
    steps = np.rint((map_ss / (full or 1.0)).clip(-1, 1) * 127).astype(np.int8)
    return {"side": len(map_ss), "full": full, "levels": base64.b64encode(steps.tobytes()).decode()}


@routes.page(f"{PICTURE}/intervention")
def intervention(
    context: OfPicture, edits: Annotated[str, Query(max_length=LONGEST_EDITS)], target: ClassNumber = None
) -> dict[str, Any]:
    """The answer with units silenced, scaled or swapped: `edits` as "fc7:12,40=0 conv5:3*2"."""
    found = intervene(context.opened.run, context.record_hwc, edits.split())
    chosen = found.most_probable
    if target is not None and target not in chosen and target < len(found.class_names):
        chosen = [*chosen[:-1], target]
    return {
        "edits": list(map(str, found.edits)),
        "classes": [
            {
                "number": k,
                "class": found.class_names[k],
                "before": float(found.before[k]),
                "after": float(found.after[k]),
                "logit_change": float(found.logit_change[k]),
            }
            for k in chosen
        ],
    }


@routes.computation(PICTURE + "/attribution/{method}")
def attribution(context: OfPicture, method: AttributionMethod, target: ClassNumber = None) -> bytes:
    """Which pixels a class's logit rests on, by one method. Server-sent events."""

    def find() -> bytes:
        run = context.opened.run
        found = attribute(run, context.record_hwc, method, target=target, progress=context.progress)
        return as_json(
            {
                "method": method,
                "class": found.class_name,
                "options": found.options,
                "remainder": found.remainder,
                "map": levels(found.map),
            }
        )

    key = context.key_of("attribution", {"method": method, "target": target})
    return context.explorer.responses.get_or_make(key, find)
