"""From the worker's thread to the browser: a response when it is ready, or a stream of server-sent events meanwhile.

A client that goes away cancels its request.
"""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Callable, Hashable
from typing import Any

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from alexnet.errors import UserError
from alexnet.files.schema import canonical_digest
from alexnet.images.decode import Undecodable
from alexnet.serve.explorer import Explorer
from alexnet.serve.open_networks import Absent
from alexnet.serve.worker import Busy, Cancelled, InternalError, Kind, Task, Urgency

CHECK_CONNECTION = 0.5  # seconds
JSON = "application/json"
HEARTBEAT = 10.0  # seconds between comments that keep the connection open, and show whether it still is
RETRY_AFTER = "2"  # seconds
SMALL = 2000  # bytes of JSON that are not worth compressing
STATUS: tuple[tuple[type[UserError], int], ...] = ((Absent, 404), (Busy, 503), (Undecodable, 415), (InternalError, 500))
CONFLICT = 409
"""For any other UserError: the run is not (yet) in a state to respond."""


def as_json(value: Any) -> bytes:
    """Values as JSON, bytes as they are; NaN and infinities, which JSON lacks, become null."""
    return value if isinstance(value, bytes) else to_json(value, inf_nan_mode="null")


def error_response(fault: UserError) -> Response:
    status = next((status for kind, status in STATUS if isinstance(fault, kind)), CONFLICT)
    headers = {"retry-after": RETRY_AFTER} if isinstance(fault, Busy) else {}
    return Response(as_json(described(fault)), status, headers, JSON)


def described(fault: UserError) -> dict[str, Any]:
    """With "before", the length of the queue, it may be tried again."""
    return {"error": str(fault)} | ({"before": fault.before} if isinstance(fault, Busy) else {})


class Subscription:
    """One request to the worker: its events, in order."""

    def __init__(self, explorer: Explorer, key: Hashable, work: Callable[[Task], Any], urgency: Urgency):
        """Raises Busy if too many requests wait."""
        loop = asyncio.get_running_loop()
        self.events: asyncio.Queue[tuple[Kind, Any]] = asyncio.Queue()

        def listen(kind: Kind, value: Any) -> None:
            # Called in the worker's thread; a queue of asyncio may be filled in its loop's thread only.
            with contextlib.suppress(RuntimeError):  # the loop is closed: the explorer is shutting down
                loop.call_soon_threadsafe(self.events.put_nowait, (kind, value))

        self.cancel = explorer.worker.submit(key, work, listen, urgency=urgency)

    async def next(self, seconds: float) -> tuple[Kind, Any] | None:
        """The next event; None if there is none in this time."""
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self.events.get(), seconds)


async def respond(
    request: Request, key: Hashable, make: Callable[[], Any], media_type: str = JSON, *, drawn: bool = False
) -> Response:
    """What `make` returns in the worker's thread, or returned before: bytes as they are, anything else as JSON. `key`:
    everything that it depends on. Drawings wait until what a page needs to be read is there; `drawn` from what is in
    memory they need no network, so any thread makes them at once."""

    explorer: Explorer = request.app.state.explorer
    tag = f'"{canonical_digest(repr(key))[:16]}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"etag": tag})

    def compute(_: Task | None = None) -> bytes:
        # The cache is read again here: an equal request may have been computed since.
        return explorer.responses.get_or_make(key, lambda: as_json(make()))

    found = explorer.responses.get(key)
    if found is None and drawn:
        found = await asyncio.to_thread(compute)
    if found is None:
        subscription = Subscription(explorer, key, compute, Urgency.ANSWER if media_type == JSON else Urgency.MAPS)
        try:
            found = await _result(request, subscription)
        finally:
            subscription.cancel()
    # A browser may keep what has a version in its address; of all else it asks whether it is still so.
    keep = "max-age=86400" if "v" in request.query_params else "no-cache"
    headers = {"cache-control": f"private, {keep}", "etag": tag, "vary": "accept-encoding"}
    if media_type == JSON and len(found) > SMALL and "gzip" in request.headers.get("accept-encoding", ""):
        found = await asyncio.to_thread(gzip.compress, found, 5)
        headers["content-encoding"] = "gzip"
    return Response(found, media_type=media_type, headers=headers)


async def once(request: Request, make: Callable[[], Any]) -> Any:
    """What `make` returns in the worker's thread; neither cached nor shared with other requests."""
    subscription = Subscription(request.app.state.explorer, object(), lambda _: make(), Urgency.MAPS)
    try:
        return await _result(request, subscription)
    finally:
        subscription.cancel()


async def _result(request: Request, subscription: Subscription) -> Any:
    while True:
        received = await subscription.next(CHECK_CONNECTION)
        if received is None and await request.is_disconnected():
            raise Cancelled("the request was cancelled")
        match received:
            case "done", found:
                return found
            case "failed", fault:
                raise fault


def stream(explorer: Explorer, key: Hashable, work: Callable[[Task], Any], urgency: Urgency) -> StreamingResponse:
    """The task's events as they come; the last is "done" or "failed". Raises Busy if too many requests wait."""
    return event_stream(_events(Subscription(explorer, key, work, urgency)))


async def _events(subscription: Subscription) -> AsyncIterator[bytes]:
    kind = ""
    try:
        while kind not in ("done", "failed"):
            received = await subscription.next(HEARTBEAT)
            if received is None:
                yield b": in progress\n\n"
                continue
            kind, value = received
            yield event(kind, described(value) if kind == "failed" else value)
    finally:  # also when the client has gone: starlette then closes this generator
        subscription.cancel()


def event(kind: str, value: Any) -> bytes:
    """One server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), as_json(value))


def event_stream(events: AsyncIterator[bytes]) -> StreamingResponse:
    return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-store"})
