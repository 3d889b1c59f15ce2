"""/api/run, /api/events, /api/sides/…: runs as a whole, passes over pictures, comparisons."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from alexnet.runs.history import read_now
from alexnet.serve import compare, home, units
from alexnet.serve.answers import event, event_stream, stream
from alexnet.serve.kept import What
from alexnet.serve.routes.common import PNG, Number, SideKey, The, about_side, needed
from alexnet.serve.sides import OWN, version_of
from alexnet.serve.worker import Desk

router = APIRouter(tags=["runs"])
WATCH_EVERY = 1.0  # seconds
HEARTBEAT = 15.0  # seconds


@router.get("/run")
async def run(request: Request, explorer: The) -> Response:
    """What is explored: the sides, the prepared pictures, and the run in one look."""

    def page(side: Any, _: object) -> dict[str, Any]:
        pictures = explorer.pictures
        store = pictures and {
            "path": str(pictures.store.path),
            "part": pictures.part,
            "parts": {name: len(part) for name, part in pictures.store.parts.items()},
        }
        return home.home_page(side) | {"sides": explorer.sides.keys, "store": store}

    return await about_side(request, explorer, OWN, ("run",), page)


@router.get("/events")
async def events(explorer: The) -> StreamingResponse:
    """ "changed" whenever the run's log or weights are new, "now" with the place of a training inside its epoch (null
    where none goes on), as long as somebody listens."""
    place = explorer.sides.paths[OWN] / "now.json"

    async def changes() -> AsyncIterator[bytes]:
        known, stood, quiet = "", "", 0.0
        while True:
            found, stands = explorer.stamp(OWN), version_of(place)
            if found != known:
                known, quiet = found, 0.0
                yield event("changed", {"version": explorer.sides.version(OWN)})
            if stands != stood:
                stood, quiet = stands, 0.0
                yield event("now", read_now(place))
            elif quiet >= HEARTBEAT:
                quiet = 0.0
                yield b": quiet\n\n"
            await asyncio.sleep(WATCH_EVERY)
            quiet += WATCH_EVERY

    return event_stream(changes())


@router.get("/sides/{side}/home")
async def side_home(request: Request, explorer: The, side: SideKey) -> Response:
    """A side in one look."""
    return await about_side(request, explorer, side, ("home",), lambda found, _: home.home_page(found))


@router.get("/sides/{side}/curves")
async def curves(request: Request, explorer: The, side: SideKey) -> Response:
    """Every epoch's figures, the notes, and how the training stands."""
    return await about_side(request, explorer, side, ("curves",), lambda found, _: home.curves_page(found))


@router.get("/sides/{side}/curves/{name}.png")
async def curve(request: Request, explorer: The, side: SideKey, name: str, dark: bool = False) -> Response:
    """The curves of loss, error or rate, as `alexnet report` draws them."""
    return await about_side(
        request, explorer, side, ("curve", name, dark), lambda found, _: home.curve_png(found, name, dark), PNG
    )


@router.get("/sides/{side}/kernels/{column}.png")
async def kernels(request: Request, explorer: The, side: SideKey, column: Number) -> Response:
    """The first layer's kernels in one column ([A] Fig. 3)."""
    return await about_side(
        request, explorer, side, ("kernels", column), lambda found, _: units.kernels_png(found, column), PNG
    )


@router.get("/sides/{side}/kernels")
async def kernel_numbers(request: Request, explorer: The, side: SideKey) -> Response:
    """The first layer's kernels in numbers, and what is told by them ([Z] Fig. 6)."""
    return await about_side(request, explorer, side, ("kernel-numbers",), lambda found, _: units.kernels_page(found))


@router.post("/sides/{side}/kept/{what}")
async def make_kept(explorer: The, side: SideKey, what: What) -> StreamingResponse:
    """Look at all pictures for something that is not kept yet. Server-sent events."""

    def make(desk: Desk) -> dict[str, bool]:
        found = explorer.sides[side]
        needed(explorer.kept(found)).make(what, desk.progress)
        return {"made": True}

    return stream(explorer, ("kept", what, side, explorer.stamp(side)), make, long=True)


@router.get("/sides/{side}/compare")
async def one_side(request: Request, explorer: The, side: SideKey) -> Response:
    """What a comparison shows of one side."""
    return await about_side(request, explorer, side, ("compare",), compare.side_page)


@router.get("/filters.png")
async def filters(
    request: Request, explorer: The, left: str = Query(max_length=64), right: str = Query(max_length=64)
) -> Response:
    """Both sides' filters, as `alexnet see filters` draws them."""

    def draw(side: Any, _: object) -> bytes:
        return compare.filters_png([side] if left == right else [side, explorer.sides[right]])

    return await about_side(request, explorer, left, ("filters", right, explorer.stamp(right)), draw, PNG)
