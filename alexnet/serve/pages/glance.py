"""/api/sides/…/glance and …/frame: what a network makes of a picture in one response: the most probable classes, and of
every row the strongest maps, small.

C maps · H, W rows and columns · U units.
"""

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from fastapi import Request, Response
from torch import Tensor

from alexnet.files.schema import to_json
from alexnet.isolation import isolated
from alexnet.see.forward_pass import inputs_of
from alexnet.see.units import peaks
from alexnet.serve.open_networks import OpenNetwork
from alexnet.serve.pages.picture import PICTURE
from alexnet.serve.pages.routes import OfNetwork, OfPicture, Routes
from alexnet.serve.pages.upload import received
from alexnet.serve.responses import JSON, as_json, once
from alexnet.serve.uploads import decoded

routes = Routes(tags=["pictures"])
FACES = 4
"""Maps of each column that are sent of a row: of a picture so many, of a live frame one."""
LARGEST_SIDE = 64
"""Larger maps are halved until they have no more rows: the page draws them no larger."""


@routes.page(f"{PICTURE}/glance")
def glance(context: OfPicture) -> dict[str, Any]:
    """The five most probable classes of the centre view, and every row's strongest maps."""
    passed = context.forward_pass
    return glance_of(context.opened, passed.probabilities, passed.activations.maps, FACES)


@routes.post("/sides/{side}/frame")
async def frame(context: OfNetwork, request: Request, rows: str = "") -> Response:
    """The same of one frame of a camera or a drawing: the bytes of a picture file as the body. `rows`: those whose
    strongest map is wanted, separated by commas. Nothing is kept."""
    form = context.explorer.taken(context.side).record
    async with received(request) as data:
        record = (await asyncio.to_thread(decoded, data, [form])).record(form)

    @isolated(inference=True)
    def look() -> bytes:
        opened = context.opened
        network, viewer, last = opened.network, opened.run.viewer, opened.network.layers[-1].row.name
        known = {layer.row.name for layer in network.layers} & {last, *rows.split(",")}
        maps = viewer.maps(inputs_of(viewer, torch.from_numpy(record[None])), known)
        return as_json(glance_of(opened, network.probabilities(maps[last]), maps, 1))

    return Response(await once(request, look), media_type=JSON, headers={"cache-control": "no-store"})


def glance_of(opened: OpenNetwork, probabilities: Tensor, maps: Mapping[str, Tensor], faces: int) -> dict[str, Any]:
    """What the page paints: values as bytes in base64, 0 the row's `low` and 255 its `high`."""
    labels = opened.run.predictor.labels(probabilities[0].cpu().numpy())
    return {"labels": to_json(labels), "rows": {name: row(opened, name, one[0], faces) for name, one in maps.items()}}


def row(opened: OpenNetwork, name: str, maps: Tensor, faces: int) -> dict[str, Any]:
    """One row: of each column the strongest maps (C, H, W), or the values of all units (U)."""
    maps = maps.detach().float().cpu().nan_to_num()
    low, high = min(0.0, float(maps.min())), max(0.0, float(maps.max()))
    values_c, columns = peaks(maps[None])[0][0], opened.network.layer(name).columns
    found = {"low": low, "high": high, "active": float((values_c > 0).float().mean())}
    flat = maps.ndim == 1 or maps.shape[-1] == 1
    strongest = [
        [
            {"unit": unit, "value": float(values_c[unit])} | ({} if flat else small(maps[unit], low, high))
            for unit in (column[0] + values_c[column].argsort(descending=True, stable=True)[:faces]).tolist()
        ]
        for column in torch.arange(len(values_c)).chunk(columns)
    ]
    values = {"values": encoded(maps.flatten(), low, high)} if flat else {}
    return found | {"strongest": strongest} | values


def small(map_hw: Tensor, low: float, high: float) -> dict[str, Any]:
    """One map: its side and its values row by row."""
    while map_hw.shape[0] > LARGEST_SIDE:
        map_hw = F.max_pool2d(map_hw[None], 2, ceil_mode=True)[0]
    return {"side": len(map_hw), "values": encoded(map_hw, low, high)}


def encoded(values: Tensor, low: float, high: float) -> str:
    levels = ((values - low) * (255 / ((high - low) or 1.0))).round().to(torch.uint8)
    return base64.b64encode(np.ascontiguousarray(levels.numpy()).tobytes()).decode()
