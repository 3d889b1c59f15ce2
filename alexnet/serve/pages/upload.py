"""/api/pictures, /api/store: pictures that people upload, or choose among the prepared ones."""

import asyncio
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from alexnet.serve.explorer import Explorer
from alexnet.serve.open_networks import Absent
from alexnet.serve.pages.routes import JPEG, LONGEST_NAME, Number, TheExplorer
from alexnet.serve.uploads import LIMIT_BYTES, decoded, jpeg_of, of_record
from alexnet.text import in_bytes

routes = APIRouter(tags=["pictures"])
SplitName = Annotated[str, Path(max_length=LONGEST_NAME)]
LONGEST_UPLOAD = 60.0  # seconds
_decoding = asyncio.Semaphore(3)
"""Uploads are read and decoded so many at a time, which bounds the memory that they take; others wait unread."""


@routes.post("/pictures")
async def upload(request: Request, explorer: TheExplorer) -> JSONResponse:
    """Upload a picture: the bytes of its file as the body, up to 32 MiB and 50 million pixels. It is decoded, held in
    memory and written nowhere."""
    _refuse_large(int(request.headers.get("content-length") or 0))  # before any of it is read
    async with _decoding:
        try:
            data = await asyncio.wait_for(_body(request), LONGEST_UPLOAD)
        except TimeoutError:
            raise HTTPException(408, "the picture took too long to arrive") from None
        picture = await asyncio.to_thread(decoded, data, explorer.record_formats)
    return JSONResponse(explorer.uploads.put(picture.id, picture).as_json())


async def _body(request: Request) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        _refuse_large(len(data))  # the header may lack the size, or be wrong
    return bytes(data)


def _refuse_large(size: int) -> None:
    if size > LIMIT_BYTES:
        raise HTTPException(413, f"the file is larger than {in_bytes(LIMIT_BYTES)}; choose a smaller picture")


@routes.post("/store/{split}/{number}")
async def choose(explorer: TheExplorer, split: SplitName, number: Number) -> JSONResponse:
    """Choose a prepared picture instead of uploading one."""
    record, label = await asyncio.to_thread(_record, explorer, split, number)
    picture = of_record(record, explorer.record_formats)
    return JSONResponse(explorer.uploads.put(picture.id, picture).as_json() | {"class": label})


@routes.get("/store/{split}/{number}.jpg")
async def prepared(explorer: TheExplorer, split: SplitName, number: Number) -> Response:
    """A prepared picture."""
    record, _ = await asyncio.to_thread(_record, explorer, split, number)
    return Response(jpeg_of(record), media_type=JPEG, headers={"cache-control": "private, max-age=3600"})


def _record(explorer: Explorer, split: str, number: int) -> tuple[np.ndarray, str]:
    store = explorer.prepared.store if explorer.prepared else None
    pictures = store.splits.get(split) if store else None
    if store is None or pictures is None or number >= len(pictures):
        raise Absent("there is no such prepared picture")
    return pictures.read(np.array([number]))[0], store.class_names[int(pictures.labels[number])]
