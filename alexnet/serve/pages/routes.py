"""How a page function becomes an address. It gets a context (the network, the picture, the caches) and the values in
its address, runs in the worker's thread, and its docstring describes the address in the API."""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import cached_property, update_wrapper
from inspect import signature
from typing import Annotated, Any, TypeVar

import numpy as np
import torch
from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import StreamingResponse

from alexnet.measure.evaluation import filled_splits
from alexnet.see.forward_pass import ForwardPass, centre_views, inputs_of, run_forward
from alexnet.serve.explorer import Explorer
from alexnet.serve.open_networks import Absent, OpenNetwork
from alexnet.serve.responses import JSON, respond, stream
from alexnet.serve.run_cache import RunCache
from alexnet.serve.uploads import Upload
from alexnet.serve.worker import Task, Urgency

PNG, JPEG = "image/png", "image/jpeg"
LONGEST_NAME = 64
Function = TypeVar("Function", bound=Callable[..., Any])
Found = TypeVar("Found")

PictureId = Annotated[str, Path(max_length=2 * LONGEST_NAME, description="of an upload, or as val.12 in the store")]
LayerName = Annotated[str, Path(max_length=LONGEST_NAME, description="a row of the network's table")]
Number = Annotated[int, Path(ge=0, lt=1 << 31)]


def _explorer(request: Request) -> Explorer:
    return request.app.state.explorer


TheExplorer = Annotated[Explorer, Depends(_explorer)]
Side = Annotated[str, Path(max_length=LONGEST_NAME, description="own, beside, or epoch-N")]


@dataclass(frozen=True)
class NetworkContext:
    """What a page about a network is made of. `stamp` changes with all that the page depends on; `task` is that of a
    computation."""

    request: Request
    side: str
    stamp: str
    task: Task | None = None

    @property
    def explorer(self) -> Explorer:
        return _explorer(self.request)

    @cached_property
    def opened(self) -> OpenNetwork:
        """For the worker's thread."""
        return self.explorer.networks[self.side]

    @cached_property
    def cache(self) -> RunCache | None:
        """What is known of the prepared pictures; None if none fit the network."""
        return self.explorer.run_cache(self.opened)

    @property
    def needed_cache(self) -> RunCache:
        """Raises Absent if no prepared pictures fit the network."""
        if self.cache is None:
            raise Absent("no prepared pictures fit this run here; start the explorer with --store STORE")
        return self.cache

    def cache_of(self, split: str) -> RunCache:
        """The same for a split, "" being the usual one. Raises Absent, also for a split without pictures."""
        store = self.needed_cache.prepared.store
        if split and split not in filled_splits(store):
            raise Absent(f"there are the splits {', '.join(filled_splits(store))}")
        return self.explorer.run_cache(self.opened, split) or self.needed_cache

    def progress(self, done: int, total: int, step: str = "") -> None:
        """Of a computation."""
        if self.task:
            self.task.progress(done, total, step)

    def send(self, part: Any) -> None:
        """A first result of a computation, before the whole."""
        if self.task:
            self.task.part(part)

    def key_of(self, path: str, values: dict[str, Any]) -> Hashable:
        """The key of a response."""
        return (path, *self.request.path_params.values(), *values.values(), self.stamp)

    def found(self, what: Hashable, find: Callable[[], Found]) -> Found:
        """What `find` finds, or found before."""
        return self.explorer.findings.get_or_make((what, self.side, self.stamp), find)


@dataclass(frozen=True, kw_only=True)
class PictureContext(NetworkContext):
    """What a page about a picture and a network is made of."""

    upload: Upload
    version: str

    @cached_property
    def record_hwc(self) -> np.ndarray:
        """The picture as a record of the run, uint8."""
        return self.upload.record(self.explorer.taken(self.side).record)

    @property
    def view_hwc(self) -> np.ndarray:
        """What the network sees of it, its centre view, uint8."""
        return centre_views(self.record_hwc[None], self.explorer.taken(self.side).view)[0]

    @cached_property
    def forward_pass(self) -> ForwardPass:
        """The network's activations for the centre view."""

        def look() -> ForwardPass:
            record = torch.from_numpy(self.record_hwc)
            return run_forward(self.opened.network, inputs_of(self.opened.exact.viewer, record[None]))

        return self.explorer.forward_passes.get_or_make(self.key("forward pass"), look)

    @property
    def drawn(self) -> bool:
        """Whether the network has looked at the picture already, so that its maps can be drawn without it."""
        return self.explorer.forward_passes.get(self.key("forward pass")) is not None

    def key(self, what: str) -> Hashable:
        """The key under which something about the picture and the network's weights is cached."""
        return what, self.upload.id, self.side, self.version

    def finding(self, what: str) -> Any:
        """What was computed on request. Raises Absent if it was not, or is no longer in memory."""
        found = self.explorer.findings.get(self.key(what))
        if found is None:
            raise Absent("this was not computed yet, or is no longer in memory; request it again")
        return found


async def _network_context(request: Request, side: Side) -> NetworkContext:
    """Raises Absent if the network does not exist, before the request is queued."""
    return NetworkContext(request, side, _explorer(request).stamp(side))


async def _picture_context(request: Request, side: Side, picture: PictureId) -> PictureContext:
    """The same, also for the picture."""
    explorer = _explorer(request)
    upload, version = await asyncio.to_thread(explorer.upload, picture), explorer.networks.version(side)
    return PictureContext(request, side, explorer.stamp(side), upload=upload, version=version)


OfNetwork = Annotated[NetworkContext, Depends(_network_context)]
OfPicture = Annotated[PictureContext, Depends(_picture_context)]


def _described_by(function: Callable[..., Any]) -> Callable[[Function], Function]:
    """FastAPI takes an endpoint's parameters and description from this function. It may not find the function itself:
    it would iterate over a generator."""

    def describe(endpoint: Function) -> Function:
        update_wrapper(endpoint, function)
        vars(endpoint).update(__signature__=signature(function))
        del vars(endpoint)["__wrapped__"]
        return endpoint

    return describe


class Routes(APIRouter):
    """Addresses of page functions, below /sides/{side}/. Their parameters are `context` and what the address has."""

    def page(
        self, path: str, media_type: str = JSON, *, marked: bool = False, maps: bool = False
    ) -> Callable[[Function], Function]:
        """GET: what the function returns is the response, bytes as they are, anything else as JSON. Cached; `marked`:
        until a picture is marked. `maps`: the function needs no more than a picture's forward pass."""

        def register(function: Function) -> Function:
            @self.get(f"/sides/{{side}}{path}", response_model=None)
            @_described_by(function)
            async def endpoint(context: NetworkContext, **values: Any) -> Response:
                key = context.key_of(path, values)
                if marked and context.explorer.marks:
                    key = (key, context.explorer.marks.version)
                drawn = maps and isinstance(context, PictureContext) and context.drawn
                return await respond(context.request, key, lambda: function(context, **values), media_type, drawn=drawn)

            return function

        return register

    def computation(
        self, path: str, *, urgency: Urgency = Urgency.COARSE, long: bool = False
    ) -> Callable[[Function], Function]:
        """POST: server-sent events while the function runs, the last with what it returns. A generator yields after
        each step how urgent the next one is; else what is more urgent is run at every `context.progress`. `long`: a
        pass over a store."""

        def register(function: Function) -> Function:
            @self.post(f"/sides/{{side}}{path}", response_model=None)
            @_described_by(function)
            async def endpoint(context: NetworkContext, **values: Any) -> StreamingResponse:
                def run(task: Task) -> Any:
                    return function(replace(context, task=task), **values)

                key = context.key_of(path, values)
                return stream(context.explorer, key, run, Urgency.PASS if long else urgency)

            return function

        return register
