"""How a page function becomes an address: its parameters, what it is given, its response and the key of that.

A page function gets a context (the network, the picture, the caches) and the values in its address. It runs in the
worker's thread; its docstring describes the address in the API.
"""

import inspect
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, TypeVar

import numpy as np
import torch
from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import StreamingResponse

from alexnet.see.forward_pass import ForwardPass, inputs_of, run_forward
from alexnet.serve.explorer import Explorer, as_json_bytes
from alexnet.serve.open_networks import Absent, OpenNetwork
from alexnet.serve.responses import respond, stream
from alexnet.serve.run_cache import RunCache
from alexnet.serve.uploads import Upload
from alexnet.serve.worker import TaskContext

JSON, PNG, JPEG = "application/json", "image/png", "image/jpeg"
LONGEST_NAME = 64
Function = TypeVar("Function", bound=Callable[..., Any])
Found = TypeVar("Found")

NetworkKey = Annotated[str, Path(max_length=LONGEST_NAME, description="own, beside, or epoch-N")]
PictureId = Annotated[str, Path(max_length=32)]
LayerName = Annotated[str, Path(max_length=LONGEST_NAME, description="a row of the network's table")]
Number = Annotated[int, Path(ge=0, lt=1 << 31)]


def _explorer(request: Request) -> Explorer:
    return request.app.state.explorer


TheExplorer = Annotated[Explorer, Depends(_explorer)]


@dataclass(frozen=True)
class NetworkContext:
    """What a page about a network is made of."""

    explorer: Explorer
    opened: OpenNetwork

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

    def found(self, what: Hashable, find: Callable[[], Found]) -> Found:
        """What `find` finds, or found before with the same weights and run cache."""
        key = (what, self.opened.key, self.explorer.stamp(self.opened.key))
        return self.explorer.findings.get_or_make(key, find)


@dataclass(frozen=True)
class PictureContext(NetworkContext):
    """What a page about a picture and a network is made of."""

    upload: Upload

    @cached_property
    def record_hwc(self) -> np.ndarray:
        """The picture as a record of the run, uint8."""
        return self.upload.record(self.opened.run)

    @cached_property
    def forward_pass(self) -> ForwardPass:
        """The network's activations for the centre view."""
        opened, record = self.opened, torch.from_numpy(self.record_hwc)
        return self.explorer.forward_passes.get_or_make(
            self.key("forward pass"), lambda: run_forward(opened.network, inputs_of(opened.exact.viewer, record[None]))
        )

    def key(self, what: str) -> Hashable:
        """The key under which something about the picture and the network is cached."""
        return picture_key(what, self.upload.id, self.opened.key, self.opened.version)

    def finding(self, what: str) -> Any:
        """What was computed on request. Raises Absent if it was not, or is no longer in memory."""
        return finding(self.explorer, self.key(what))


def picture_key(what: str, picture: str, side: str, version: str) -> Hashable:
    return what, picture, side, version


def finding(explorer: Explorer, key: Hashable) -> Any:
    """What was computed on request. Raises Absent if it was not, or is no longer in memory."""
    found = explorer.findings.get(key)
    if found is None:
        raise Absent("this was not computed yet, or is no longer in memory; request it again")
    return found


class Routes(APIRouter):
    """Addresses of page functions, below /sides/{side}/. Those with {picture} in them get a PictureContext."""

    def page(self, path: str, media_type: str = JSON) -> Callable[[Function], Function]:
        """GET: `function(context, **values)` makes the response, bytes as they are, anything else as JSON. Cached."""

        def register(function: Function) -> Function:
            async def endpoint(request: Request, explorer: Explorer, side: str, **values: Any) -> Response:
                context = _context(explorer, side, values)

                def make(_: TaskContext) -> bytes:
                    found = function(context(), **values)
                    return found if isinstance(found, bytes) else as_json_bytes(found)

                # A browser may keep what has a version or a picture's id in its address.
                keep = "v" in request.query_params or "{picture}" in path
                key = (path, *request.path_params.values(), *values.values(), explorer.stamp(side))
                return await respond(request, explorer, key, make, media_type, keep=keep)

            self._add("GET", path, function, endpoint, given=1)
            return function

        return register

    def computation(self, path: str, *, long: bool = False) -> Callable[[Function], Function]:
        """POST: server-sent events while `function(context, task, **values)` runs, the last with its result.

        `long` tasks let the quick ones go first at each of their steps."""

        def register(function: Function) -> Function:
            async def endpoint(request: Request, explorer: Explorer, side: str, **values: Any) -> StreamingResponse:
                context = _context(explorer, side, values)
                key = (path, *request.path_params.values(), explorer.stamp(side))
                return stream(explorer, key, lambda task: function(context(), task, **values), long=long)

            self._add("POST", path, function, endpoint, given=2)
            return function

        return register

    def _add(self, method: str, path: str, function: Callable[..., Any], endpoint: Any, *, given: int) -> None:
        """`given`: how many of the function's parameters do not come from the address."""
        of_address = list(inspect.signature(function).parameters.values())[given:]
        annotations = {"request": Request, "explorer": TheExplorer, "side": NetworkKey}
        if "{picture}" in path:
            annotations["picture"] = PictureId
        common = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=a) for name, a in annotations.items()
        ]
        # FastAPI reads what to take from the address, and to describe, from the signature.
        endpoint.__signature__ = inspect.Signature(
            [*common, *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in of_address)]
        )
        self.add_api_route(
            f"/sides/{{side}}{path}",
            endpoint,
            methods=[method],
            name=function.__name__,
            description=inspect.getdoc(function),
            operation_id=f"{function.__module__.rpartition('.')[2]}_{function.__name__}",
        )


def _context(explorer: Explorer, side: str, values: dict[str, Any]) -> Callable[[], NetworkContext]:
    """What makes the context in the worker's thread. Raises Absent at once for a picture that is not in memory."""
    if "picture" not in values:
        return lambda: NetworkContext(explorer, explorer.networks[side])
    upload = explorer.upload(values.pop("picture"))
    return lambda: PictureContext(explorer, explorer.networks[side], upload)
