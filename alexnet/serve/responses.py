"""From the worker's thread to the browser: a response when it is ready, or a stream of server-sent events meanwhile.

A client that goes away cancels its request.
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
from alexnet.serve.open_networks import Absent
from alexnet.serve.worker import Busy, Cancelled, InternalError, Kind, TaskContext

CHECK_CONNECTION = 0.5  # seconds
HEARTBEAT = 10.0  # seconds between comments that keep the connection open, and show whether it still is
STATUS: tuple[tuple[type[UserError], int], ...] = ((Absent, 404), (Busy, 503), (Undecodable, 415), (InternalError, 500))
CONFLICT = 409
"""Of any other UserError: the run is not (yet) in a state to respond."""


def error_response(fault: UserError) -> Response:
    status = next((status for kind, status in STATUS if isinstance(fault, kind)), CONFLICT)
    headers = {"retry-after": "2"} if isinstance(fault, Busy) else {}
    return Response(json_bytes({"error": str(fault)}), status, headers, "application/json")


class Subscription:
    """One request to the worker: its events, in order."""

    def __init__(self, explorer: Explorer, key: Hashable, work: Callable[[TaskContext], Any], *, long: bool = False):
        """Raises Busy if too many requests wait."""
        loop = asyncio.get_running_loop()
        self.events: asyncio.Queue[tuple[Kind, Any]] = asyncio.Queue()

        def listen(kind: Kind, value: Any) -> None:
            # Called in the worker's thread; a queue of asyncio may be filled in its loop's thread only.
            with contextlib.suppress(RuntimeError):  # the loop is closed: the explorer is shutting down
                loop.call_soon_threadsafe(self.events.put_nowait, (kind, value))

        self.cancel = explorer.worker.submit(key, work, listen, long=long)


async def respond(
    request: Request,
    explorer: Explorer,
    key: Hashable,
    make: Callable[[TaskContext], bytes],
    media_type: str,
    *,
    keep: bool = False,
) -> Response:
    """What `make` returns in the worker's thread, or returned before. `key`: everything that it depends on; `keep`: the
    browser may cache it."""
    headers = {"cache-control": "private, max-age=86400" if keep else "no-cache"}
    found = explorer.responses.get(key)
    if found is None:
        # Looked for again in the worker's thread: an equal request may have been responded to in the meantime.
        subscription = Subscription(explorer, key, lambda task: explorer.responses.get_or_make(key, lambda: make(task)))
        try:
            found = await _result(request, subscription)
        finally:
            subscription.cancel()
    return Response(found, media_type=media_type, headers=headers)


async def _result(request: Request, subscription: Subscription) -> bytes:
    while True:
        try:
            kind, value = await asyncio.wait_for(subscription.events.get(), CHECK_CONNECTION)
        except TimeoutError:
            if await request.is_disconnected():
                raise Cancelled("the request was cancelled") from None
            continue
        if kind == "failed":
            raise value
        if kind == "done":
            return value


def stream(
    explorer: Explorer, key: Hashable, work: Callable[[TaskContext], Any], *, long: bool = False
) -> StreamingResponse:
    """The task's events as they come; the last is "done" or "failed". Raises Busy if too many requests wait."""
    return event_stream(_events(Subscription(explorer, key, work, long=long)))


async def _events(subscription: Subscription) -> AsyncIterator[bytes]:
    try:
        while True:
            try:
                kind, value = await asyncio.wait_for(subscription.events.get(), HEARTBEAT)
            except TimeoutError:
                yield b": in progress\n\n"
                continue
            yield event(kind, {"error": str(value)} if kind == "failed" else value)
            if kind in ("done", "failed"):
                return
    finally:  # also when the client has gone: starlette then closes this generator
        subscription.cancel()


def event(kind: str, value: Any) -> bytes:
    """One server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), as_json_bytes(value))


def event_stream(events: AsyncIterator[bytes]) -> StreamingResponse:
    return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-store"})
