"""From the worker's thread to the browser: an answer when it is there, or a stream of server-sent events on the way.

Whoever goes away is told to the worker, which then drops what nobody waits for.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Hashable
from typing import Any

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from alexnet.errors import UserError
from alexnet.files.schema import json_bytes
from alexnet.images.decode import Undecodable
from alexnet.serve.explorer import Explorer, as_json_bytes
from alexnet.serve.sides import Absent
from alexnet.serve.worker import Broken, Busy, Desk, Kind

LOOK_FOR_HANG_UP = 0.5  # seconds
HEARTBEAT = 10.0  # seconds: comments that keep the connection, and show that it is gone
STATUS: tuple[tuple[type[UserError], int], ...] = ((Absent, 404), (Busy, 503), (Undecodable, 415), (Broken, 500))
OTHERWISE = 409
"""A UserError of another kind: the run is not (yet) in a state to answer."""

Event = tuple[Kind, Any]


def status_of(fault: UserError) -> int:
    return next((status for kind, status in STATUS if isinstance(fault, kind)), OTHERWISE)


def refusal(fault: UserError) -> Response:
    """A fault as an answer."""
    headers = {"retry-after": "2"} if isinstance(fault, Busy) else {}
    return Response(json_bytes({"error": str(fault)}), status_of(fault), headers, "application/json")


class Waiting:
    """One request that waits for the worker: its events, in order."""

    def __init__(self, explorer: Explorer, key: Hashable, work: Callable[[Desk], Any], *, long: bool = False) -> None:
        """Raises Busy if too many wait."""
        loop = asyncio.get_running_loop()
        self.events: asyncio.Queue[Event] = asyncio.Queue()

        def hear(kind: Kind, value: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the explorer is being stopped
                loop.call_soon_threadsafe(self.events.put_nowait, (kind, value))

        self.leave = explorer.worker.ask(key, work, hear, long=long)


async def answer(
    request: Request,
    explorer: Explorer,
    key: tuple[Hashable, ...],
    make: Callable[[Desk], bytes],
    media_type: str = "application/json",
    *,
    keep: bool = False,
) -> Response:
    """What `make` makes in the worker's thread, or what lies on the shelf already. `key`: all that it depends on;
    `keep`: the browser may keep it (its address has the version)."""
    headers = {"cache-control": "private, max-age=86400" if keep else "no-cache"}
    found = explorer.shelf.get(key)
    if found is None:
        waiting = Waiting(explorer, key, explorer.shelved(key, make))
        try:
            found = await _result(request, waiting)
        finally:
            waiting.leave()
    return Response(found, media_type=media_type, headers=headers)


async def _result(request: Request, waiting: Waiting) -> bytes:
    while True:
        try:
            kind, value = await asyncio.wait_for(waiting.events.get(), LOOK_FOR_HANG_UP)
        except TimeoutError:
            if await request.is_disconnected():
                raise Absent("nobody waits for this any more") from None
            continue
        if kind == "failed":
            raise value
        if kind == "done":
            return value


def stream(explorer: Explorer, key: Hashable, work: Callable[[Desk], Any], *, long: bool = False) -> StreamingResponse:
    """The work's events as they come; the last is "done" or "failed". Raises Busy if too many wait."""
    waiting = Waiting(explorer, key, work, long=long)
    return event_stream(_events(waiting))


async def _events(waiting: Waiting) -> AsyncIterator[bytes]:
    try:
        while True:
            try:
                kind, value = await asyncio.wait_for(waiting.events.get(), HEARTBEAT)
            except TimeoutError:
                yield b": still at it\n\n"
                continue
            yield event(kind, {"error": str(value)} if kind == "failed" else value)
            if kind in ("done", "failed"):
                return
    finally:
        waiting.leave()


def event(kind: str, value: Any) -> bytes:
    """One server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), as_json_bytes(value))


def event_stream(events: AsyncIterator[bytes]) -> StreamingResponse:
    return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-store"})
