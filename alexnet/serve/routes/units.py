"""/api/sides/…/layers/…: layers and units."""

from typing import Literal

from fastapi import APIRouter, Request, Response

from alexnet.serve import units
from alexnet.serve.explorer import Explorer
from alexnet.serve.kept import Kept
from alexnet.serve.routes.common import PNG, LayerName, Number, SideKey, The, about_side, needed
from alexnet.serve.sides import Absent, Side

router = APIRouter(prefix="/sides/{side}/layers/{layer}", tags=["layers and units"])
Shown = Literal["patch", "projection"]
SHOWN: tuple[Shown, Shown] = ("patch", "projection")


@router.get("")
async def layer_page(request: Request, explorer: The, side: SideKey, layer: LayerName) -> Response:
    """A layer, and how strong each of its units became."""
    return await about_side(
        request, explorer, side, ("layer", layer), lambda found, kept: units.layer_page(found, kept, layer)
    )


@router.get("/units/{unit}")
async def unit_page(request: Request, explorer: The, side: SideKey, layer: LayerName, unit: Number) -> Response:
    """A unit: connections, strongest pictures, histogram, evolution; null is what was not looked at yet."""
    return await about_side(
        request, explorer, side, ("unit", layer, unit), lambda found, kept: units.unit_page(found, kept, layer, unit)
    )


@router.get("/units/{unit}/tile.png")
async def tile(request: Request, explorer: The, side: SideKey, layer: LayerName, unit: Number) -> Response:
    """A unit at a glance."""
    return await about_side(
        request,
        explorer,
        side,
        ("tile", layer, unit),
        lambda found, kept: units.unit_tile(found, kept, layer, unit),
        PNG,
    )


@router.get("/units/{unit}/filters.png")
async def filters(request: Request, explorer: The, side: SideKey, layer: LayerName, unit: Number) -> Response:
    """A unit's filters, those of the channels it hears most first."""
    return await about_side(
        request,
        explorer,
        side,
        ("unit-filters", layer, unit),
        lambda found, _: units.filters_png(found, layer, unit),
        PNG,
    )


@router.get("/units/{unit}/top.png")
async def top_figure(request: Request, explorer: The, side: SideKey, layer: LayerName, unit: Number) -> Response:
    """The figure of `alexnet see top`."""
    return await about_side(
        request,
        explorer,
        side,
        ("top-figure", layer, unit),
        lambda found, kept: units.top_figure_png(found, needed(kept), layer, unit),
        PNG,
    )


@router.get("/units/{unit}/evolution.png")
async def evolution_figure(request: Request, explorer: The, side: SideKey, layer: LayerName, unit: Number) -> Response:
    """The figure of `alexnet see evolution`."""
    return await about_side(
        request,
        explorer,
        side,
        ("evolution-figure", layer, unit),
        lambda found, kept: units.evolution_figure_png(found, needed(kept), layer, unit),
        PNG,
    )


@router.get("/units/{unit}/strongest/{rank}/{shown}.png")
async def strongest(
    request: Request, explorer: The, side: SideKey, layer: LayerName, unit: Number, rank: Number, shown: Shown
) -> Response:
    """One of the unit's strongest pictures: the patch that it saw, or its projection."""

    def one(found: Side, kept: Kept | None) -> bytes:
        some = units.top_portraits(found, needed(kept), layer, unit)
        return _one_of_all(explorer, found, ("strongest", layer, unit), units.portrait_pngs(some), rank, shown)

    return await about_side(request, explorer, side, ("strongest", layer, unit, rank, shown), one, PNG)


@router.get("/units/{unit}/evolution/{rank}/{shown}.png")
async def evolution(
    request: Request, explorer: The, side: SideKey, layer: LayerName, unit: Number, rank: Number, shown: Shown
) -> Response:
    """The unit after one of the snapshots, by its number: the patch that excited it most, or its projection."""

    def one(found: Side, kept: Kept | None) -> bytes:
        some = units.evolution_portraits(found, needed(kept), layer, unit).features[layer][unit]
        return _one_of_all(explorer, found, ("evolution", layer, unit), units.portrait_pngs(some), rank, shown)

    return await about_side(request, explorer, side, ("evolution", layer, unit, rank, shown), one, PNG)


def _one_of_all(
    explorer: Explorer, side: Side, what: tuple[str, str, int], pngs: list[tuple[bytes, bytes]], rank: int, shown: Shown
) -> bytes:
    """The picture that was asked for; the others, made with it, go onto the shelf: they will be asked for next."""
    for number, both in enumerate(pngs):
        for name, data in zip(SHOWN, both, strict=True):
            explorer.shelf.put((*what, number, name, side.key, explorer.stamp(side.key)), data)
    if rank >= len(pngs):
        raise Absent("there are fewer pictures")
    return pngs[rank][SHOWN.index(shown)]
