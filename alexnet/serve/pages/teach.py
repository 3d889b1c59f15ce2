"""/api/teach: classes that are collected, trainings on them, their runs. Only with `alexnet serve --teach`."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from alexnet.images.decode import make_record
from alexnet.serve.open_networks import Absent
from alexnet.serve.pages.routes import JPEG, LONGEST_NAME, TheExplorer
from alexnet.serve.pages.upload import received
from alexnet.serve.responses import event, event_stream
from alexnet.serve.teaching import Head, Teaching
from alexnet.serve.uploads import LIMIT_PIXELS, jpeg_of

routes = APIRouter(prefix="/teach", tags=["teaching"])
WATCH_EVERY, HEARTBEAT = 0.5, 30  # seconds, and so many of them
THUMBNAIL = 128


def _teaching(explorer: TheExplorer) -> Teaching:
    if explorer.teaching is None:
        raise Absent("teaching is off; start the explorer with --teach FOLDER, where pictures and runs are to be kept")
    return explorer.teaching


OfTeaching = Annotated[Teaching, Depends(_teaching)]
Name = Annotated[str, Path(max_length=LONGEST_NAME)]
Words = Annotated[str, Query(max_length=4 * LONGEST_NAME)]


@routes.get("")
def everything(teaching: OfTeaching) -> dict[str, Any]:
    """The folder, the classes with their newest pictures, the training in progress, all runs."""
    return teaching.as_json()


@routes.get("/events")
async def events(teaching: OfTeaching) -> StreamingResponse:
    """ "training" with the training in progress and all runs, whenever they change."""

    async def changes() -> AsyncIterator[bytes]:
        known, quiet = b"", 0
        while True:
            told = event("training", await asyncio.to_thread(teaching.progress))
            quiet += 1
            if told != known:
                yield told
            elif quiet % HEARTBEAT == 0:
                yield b": quiet\n\n"
            known = told
            await asyncio.sleep(WATCH_EVERY)

    return event_stream(changes())


# ── classes and pictures ─────────────────────────────────────────────────────────────────────────────────────────


@routes.post("/classes")
def add_class(teaching: OfTeaching, name: Words) -> dict[str, Any]:
    """Make a class, or find the one of that name."""
    return teaching.class_json(teaching.add_class(name))


@routes.get("/classes/{name}")
def pictures(teaching: OfTeaching, name: Name) -> dict[str, Any]:
    """A class with all of its pictures."""
    return teaching.class_json(name, every=True)


@routes.post("/classes/{name}/pictures")
async def add_picture(request: Request, teaching: OfTeaching, name: Name) -> dict[str, Any]:
    """Add a picture: the bytes of its file as the body."""
    async with received(request) as data:
        await asyncio.to_thread(teaching.add_picture, name, data)
    return await asyncio.to_thread(teaching.class_json, name)


@routes.get("/classes/{name}/pictures/{file}")
def picture(teaching: OfTeaching, name: Name, file: Name) -> Response:
    """A picture of a class, small."""
    found = make_record(teaching.picture(name, file).read_bytes(), exif=True, limit_pixels=LIMIT_PIXELS, size=THUMBNAIL)
    return Response(jpeg_of(found.pixels), media_type=JPEG, headers={"cache-control": "private, max-age=86400"})


@routes.post("/classes/{name}/remove")
def remove_class(teaching: OfTeaching, name: Name) -> dict[str, int]:
    """Move all pictures of a class that were collected here to the folder `removed`."""
    return {"removed": teaching.remove(name)}


@routes.post("/classes/{name}/pictures/{file}/remove")
def remove(teaching: OfTeaching, name: Name, file: Name) -> dict[str, Any]:
    """Move a picture that was collected here to the folder `removed`."""
    teaching.remove(name, file)
    return teaching.class_json(name)


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@routes.post("/runs")
def train(
    teaching: OfTeaching,
    name: Words,
    head: Head = "linear",
    epochs: Annotated[int, Query(ge=1, le=1000)] = 20,
    learning_rate: Annotated[float, Query(gt=0, le=1)] = 0.001,
) -> dict[str, Any]:
    """Start a training from the explored run: a linear classifier on its convolutions, or all of the network."""
    teaching.train(name, head, epochs, learning_rate)
    return teaching.progress()


@routes.post("/runs/{name}/resume")
def resume(teaching: OfTeaching, name: Name) -> dict[str, Any]:
    """Resume a training that was paused."""
    teaching.resume(name)
    return teaching.progress()


@routes.post("/pause")
def pause(teaching: OfTeaching) -> dict[str, Any]:
    """Pause the training in progress: the trainer saves a checkpoint and stops."""
    teaching.pause()
    return teaching.progress()


@routes.post("/look")
def look(explorer: TheExplorer, teaching: OfTeaching, name: Words = "") -> dict[str, str]:
    """Explore a run that was trained here, or without a name the one that trainings start from again."""
    explorer.look_at(teaching.run(name) if name else None)
    return {"run": name or teaching.start.name}
