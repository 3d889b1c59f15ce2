"""/api/sides/…/compare, /api/filters.png: two networks side by side."""

from typing import Any

from fastapi import Query, Request, Response

from alexnet.drawing import png_of
from alexnet.errors import UserError
from alexnet.nets.network import Network
from alexnet.nets.table import Conv
from alexnet.see.diagnosis import diagnose
from alexnet.see.figures import filters_figure, filters_of
from alexnet.see.top import Top
from alexnet.see.units import is_rectified
from alexnet.serve.pages.routes import LONGEST_NAME, PNG, OfNetwork, Routes, TheExplorer
from alexnet.serve.responses import respond

routes = Routes(tags=["comparisons"])
LISTS = ("confused", "wrong")
"""What the page of errors has, and a comparison does not need."""


@routes.page("/compare")
def compared(context: OfNetwork) -> dict[str, Any]:
    """What a comparison shows of one side."""
    opened, cache = context.opened, context.cache
    table, top = opened.run.folder.table, cache.top if cache else None
    figures = cache.evaluation if cache else None
    return {
        "side": opened.key,
        "name": opened.name,
        "version": opened.version,
        "network": table.name,
        "columns": table.columns,
        "filters": diagnose(opened.network).as_json() if isinstance(table.rows[0], Conv) else None,
        "dead": dead_units(opened.network, top) if top else None,
        "maps": {layer: len(best.values) for layer, best in top.layers.items()} if top else None,
        "evaluation": figures if figures is None else {name: figures[name] for name in figures if name not in LISTS},
    }


def dead_units(network: Network, top: Top) -> dict[str, int]:
    """How many units of each layer are dead; only a unit whose layer a ReLU reads can be."""
    return {layer: len(best.dead) for layer, best in top.layers.items() if is_rectified(network, layer)}


@routes.get("/filters.png")
async def filters(
    request: Request,
    explorer: TheExplorer,
    left: str = Query(max_length=LONGEST_NAME),
    right: str = Query(max_length=LONGEST_NAME),
) -> Response:
    """Both sides' filters, as `alexnet see filters` draws them."""

    def make() -> bytes:
        drawn = []
        for key in dict.fromkeys((left, right)):
            opened = explorer.networks[key]
            if not isinstance(opened.run.folder.table.weighted[1], Conv):
                raise UserError(f"{opened.name}: its second layer is not a convolution; this figure shows two.")
            drawn.append(filters_of(opened.network, opened.name))
        return png_of(filters_figure(drawn))

    key = ("filters", left, right, explorer.stamp(left), explorer.stamp(right))
    return await respond(request, key, make, PNG)
