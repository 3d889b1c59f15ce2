"""/api/pictures, /api/store, /api/sides/…/pictures/…: pictures that people bring or choose, and what networks make of
them."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException

from alexnet.see.deconvnet import Method
from alexnet.see.occlusion import Occlusion
from alexnet.serve import looks
from alexnet.serve.answers import answer, stream
from alexnet.serve.explorer import Explorer
from alexnet.serve.routes.common import JPEG, PNG, LayerName, Number, SideKey, The, needed
from alexnet.serve.sides import Absent, Side
from alexnet.serve.uploads import LIMIT_BYTES, Held, decoded, jpeg_of, of_record
from alexnet.serve.worker import Desk
from alexnet.text import in_bytes

router = APIRouter(tags=["pictures"])
Ident = Annotated[str, Path(max_length=32)]
Name = Annotated[str, Path(max_length=64)]
ImportOptions = Literal["answer", "layers", "occlusion", "invariance", "neighbours"]
AT_A_TIME = 3
"""Uploads read and decoded together; others wait at the door."""
LONGEST_UPLOAD = 60.0  # seconds
_reading = asyncio.Semaphore(AT_A_TIME)


# ── bringing and choosing ────────────────────────────────────────────────────────────────────────────────────────


@router.post("/pictures")
async def bring(request: Request, explorer: The) -> JSONResponse:
    """Bring a picture: the bytes of its file as the body, up to 32 MiB and 50 million pixels. It is decoded, held in
    memory and written nowhere."""
    _refuse_large(int(request.headers.get("content-length") or 0))
    async with _reading:
        try:
            data = await asyncio.wait_for(_body(request), LONGEST_UPLOAD)
        except TimeoutError:
            raise HTTPException(408, "the picture took too long to arrive") from None
        held = await asyncio.to_thread(decoded, data, explorer.makings)
    return JSONResponse(explorer.uploads.put(held).as_json())


async def _body(request: Request) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        _refuse_large(len(data))
    return bytes(data)


def _refuse_large(size: int) -> None:
    if size > LIMIT_BYTES:
        raise HTTPException(413, f"the file is larger than {in_bytes(LIMIT_BYTES)}; choose a smaller picture")


@router.post("/store/{part}/{number}")
async def choose(explorer: The, part: Name, number: Number) -> JSONResponse:
    """Choose a prepared picture instead of bringing one."""
    record, label = await asyncio.to_thread(_record, explorer, part, number)
    held = explorer.uploads.put(of_record(record, explorer.makings))
    return JSONResponse(held.as_json() | {"class": label})


@router.get("/store/{part}/{number}.jpg")
async def stored(explorer: The, part: Name, number: Number) -> Response:
    """A prepared picture."""
    record, _ = await asyncio.to_thread(_record, explorer, part, number)
    return Response(jpeg_of(record), media_type=JPEG, headers={"cache-control": "private, max-age=3600"})


def _record(explorer: Explorer, part: str, number: int) -> tuple[np.ndarray, str]:
    store = explorer.pictures.store if explorer.pictures else None
    if store is None or part not in store.parts or number >= len(store.parts[part]):
        raise Absent("there is no such prepared picture")
    record = store.parts[part].read(np.array([number]))[0]
    return record, store.class_names[int(store.parts[part].labels[number])]


@router.get("/sides/{side}/pictures/{ident}/view.jpg")
async def view(request: Request, explorer: The, side: SideKey, ident: Ident) -> Response:
    """What the network sees of a picture: its centre view."""
    return await _about_picture(
        request, explorer, side, ident, ("view",), lambda found, held: jpeg_of(looks.view_of(found, held)), JPEG
    )


# ── what a network makes of it ───────────────────────────────────────────────────────────────────────────────────


@router.post("/sides/{side}/pictures/{ident}/{asked}")
async def ask(explorer: The, side: SideKey, ident: Ident, asked: ImportOptions) -> StreamingResponse:
    """answer: the classes, by the centre and by ten views; layers: the units that answer most; occlusion, coarse first;
    invariance; neighbours: the nearest training pictures. Server-sent events."""
    explorer.picture(ident)

    def work(desk: Desk) -> Any:
        found, held = explorer.sides[side], explorer.picture(ident)
        match asked:
            case "answer":
                return looks.answer(found, held, desk)
            case "layers":
                return looks.layers_seen(found, explorer.sights.of(found, held))
            case "occlusion":
                occluded = _occlusion(explorer, found, held, desk)
                return {"weakest": list(occluded.weakest)}
            case "invariance":
                return _invariance(explorer, found, held)
            case "neighbours":
                return looks.neighbours(explorer.sights.of(found, held), needed(explorer.kept(found)))

    return stream(explorer, (asked, ident, side, explorer.sides.version(side)), work)


def _occlusion(explorer: Explorer, side: Side, held: Held, desk: Desk) -> Occlusion:
    found = looks.occlusion(side, explorer.sights.of(side, held), desk)
    explorer.remember(("occlusion", held.id, side.key, side.version), found)
    return found


def _invariance(explorer: Explorer, side: Side, held: Held) -> dict[str, Any]:
    label = int(explorer.sights.of(side, held).probabilities[0].argmax())
    found = looks.invariance(side, held, label)
    key = ("invariance", held.id, side.key, side.version)
    explorer.remember(key, found)
    return looks.invariance_page(side, found, explorer.shelf, key)


@router.get("/sides/{side}/pictures/{ident}/maps/{layer}.png")
async def maps(request: Request, explorer: The, side: SideKey, ident: Ident, layer: LayerName) -> Response:
    """All maps of a row on one scale."""
    return await _about_picture(
        request,
        explorer,
        side,
        ident,
        ("maps", layer),
        lambda found, held: looks.maps_png(explorer.sights.of(found, held), layer),
    )


@router.get("/sides/{side}/pictures/{ident}/maps/{layer}/{unit}.png")
async def one_map(
    request: Request, explorer: The, side: SideKey, ident: Ident, layer: LayerName, unit: Number
) -> Response:
    """One map on its own scale."""
    return await _about_picture(
        request,
        explorer,
        side,
        ident,
        ("map", layer, unit),
        lambda found, held: looks.map_png(explorer.sights.of(found, held), layer, unit),
    )


@router.get("/sides/{side}/pictures/{ident}/projection/{layer}/{unit}.png")
async def projection(
    request: Request,
    explorer: The,
    side: SideKey,
    ident: Ident,
    layer: LayerName,
    unit: Number,
    method: Method = "deconvnet",
    figure: bool = False,
) -> Response:
    """A unit at its map's peak, projected down to the pixels; `figure`: as `alexnet see project` draws it."""

    def draw(found: Side, held: Held) -> bytes:
        sight = explorer.sights.of(found, held)
        if figure:
            return looks.projection_figure_png(found, held, sight, layer, unit, method)
        return looks.projection_png(found, sight, layer, unit, method)

    what = ("projection", layer, unit, method, figure)
    return await _about_picture(request, explorer, side, ident, what, draw)


@router.get("/sides/{side}/pictures/{ident}/{what}.png")
async def figure(
    request: Request, explorer: The, side: SideKey, ident: Ident, what: Literal["occlusion", "invariance"]
) -> Response:
    """The figure of `alexnet see occlusion` or `invariance`, once that was asked for."""

    def draw(found: Side, held: Held) -> bytes:
        seen = explorer.remembered((what, held.id, found.key, found.version))
        if what == "invariance":
            return looks.invariance_figure_png(seen)
        return looks.occlusion_figure_png(found, held, explorer.sights.of(found, held), seen)

    return await _about_picture(request, explorer, side, ident, ("figure", what), draw)


@router.get("/sides/{side}/pictures/{ident}/occlusion.json")
async def occlusion_numbers(request: Request, explorer: The, side: SideKey, ident: Ident) -> Response:
    """The numbers of `alexnet see occlusion`, once that was asked for."""

    def numbers(found: Side, held: Held) -> bytes:
        return looks.occlusion_numbers(found, explorer.remembered(("occlusion", held.id, found.key, found.version)))

    return await _about_picture(request, explorer, side, ident, ("occlusion-numbers",), numbers, "application/json")


@router.get("/sides/{side}/pictures/{ident}/invariance/{kind}/{step}.jpg")
async def moved(
    explorer: The, side: SideKey, ident: Ident, kind: Literal["translation", "scale", "rotation"], step: Number
) -> Response:
    """What the network saw at one step of a transformation, once invariance was asked for."""
    found = explorer.shelf.get(("invariance", ident, side, explorer.sides.version(side), kind, step))
    if found is None:
        raise Absent("this was not asked for, or is forgotten; ask again")
    return Response(found, media_type=JPEG, headers={"cache-control": "no-store"})


async def _about_picture(
    request: Request,
    explorer: Explorer,
    key: str,
    ident: str,
    what: tuple[Any, ...],
    make: Callable[[Side, Held], bytes],
    media_type: str = PNG,
) -> Response:
    explorer.picture(ident)
    full = (*what, ident, key, explorer.sides.version(key))
    return await answer(
        request, explorer, full, lambda _: make(explorer.sides[key], explorer.picture(ident)), media_type, keep=True
    )
