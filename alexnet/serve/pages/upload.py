"""/api/pictures, /api/store: pictures that people upload, and the prepared ones."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from alexnet.serve.pages.routes import JPEG, LONGEST_NAME, Number, PictureId, TheExplorer
from alexnet.serve.uploads import LIMIT_BYTES, decoded, jpeg_of
from alexnet.text import in_bytes

routes = APIRouter(tags=["pictures"])
SplitName = Annotated[str, Path(max_length=LONGEST_NAME)]
THUMBNAIL = 96  # pixels
LONGEST_UPLOAD = 60.0  # seconds
_decoding = asyncio.Semaphore(3)
"""Uploads are read and decoded so many at a time, which bounds the memory that they take; others wait unread."""


@routes.post("/pictures")
async def upload(request: Request, explorer: TheExplorer) -> JSONResponse:
    """Upload a picture: the bytes of its file as the body, up to 32 MiB and 50 million pixels. It is decoded, held in
    memory and written nowhere."""
    async with received(request) as data:
        picture = await asyncio.to_thread(decoded, data, explorer.record_formats)
    return JSONResponse(explorer.uploads.put(picture.id, picture).as_json())


@asynccontextmanager
async def received(request: Request) -> AsyncIterator[bytes]:
    """The body of an upload, to be decoded inside. Raises HTTPException if it is too large or too slow."""
    _refuse_large(int(request.headers.get("content-length") or 0))  # before any of it is read
    async with _decoding:
        try:
            data = await asyncio.wait_for(_body(request), LONGEST_UPLOAD)
        except TimeoutError:
            raise HTTPException(408, "the picture took too long to arrive") from None
        yield data


async def _body(request: Request) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        _refuse_large(len(data))  # the header may lack the size, or be wrong
    return bytes(data)


def _refuse_large(size: int) -> None:
    if size > LIMIT_BYTES:
        raise HTTPException(413, f"the file is larger than {in_bytes(LIMIT_BYTES)}; choose a smaller picture")


@routes.get("/pictures/{picture}")
async def about(explorer: TheExplorer, picture: PictureId) -> JSONResponse:
    """An uploaded picture, or a prepared one: its id is its split and number, as in val.12."""
    return JSONResponse((await asyncio.to_thread(explorer.upload, picture)).as_json())


@routes.get("/pictures/{picture}/record.jpg")
async def record(request: Request, explorer: TheExplorer, picture: PictureId) -> Response:
    """The picture as the run takes it, at once: the network is not asked."""
    found = await asyncio.to_thread(explorer.upload, picture)
    return _jpeg(request, next(iter(found.records.values())))


@routes.get("/store/{split}/{number}.jpg")
async def prepared(
    request: Request, explorer: TheExplorer, split: SplitName, number: Number, thumbnail: bool = False
) -> Response:
    """A prepared picture; or a small one, of which pages show many."""
    pixels = (await asyncio.to_thread(explorer.prepared_picture, split, number))[0]
    return _jpeg(request, pixels, THUMBNAIL if thumbnail else None)


def _jpeg(request: Request, pixels: np.ndarray, side: int | None = None) -> Response:
    tag = f'"{zlib.crc32(pixels.tobytes()):08x}"'  # another run may be explored by then, with other pictures
    headers = {"cache-control": "private, no-cache", "etag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(jpeg_of(pixels, side=side), media_type=JPEG, headers=headers)
