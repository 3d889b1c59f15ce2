"""The server and its addresses: pages, and a JSON API that is described at /api/openapi.json.

No path that a client sends reaches the file system: layers, units, sides and pictures are looked up by name or number,
and the page's own files stay in memory.
"""

import contextlib
import errno
import gzip
import hashlib
import signal
import socket
from collections.abc import Sequence
from http import HTTPStatus
from importlib import resources
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

import alexnet
from alexnet.errors import UsageError, UserError
from alexnet.files.atomic import file_fault
from alexnet.serve.explorer import Explorer
from alexnet.serve.guard import Access, Guard, for_a_person
from alexnet.serve.open_networks import Absent
from alexnet.serve.pages import compare, errors, follow, glance, home, layer, picture, teach, tour, unit, upload, why
from alexnet.serve.responses import error_response
from alexnet.terminal import say

PAGES = (
    "/",
    "/layer/{layer}",
    "/layer/{layer}/unit/{unit}",
    "/picture",
    "/follow",
    "/why",
    "/compare",
    "/errors",
    "/training",
    "/teach",
    "/tour",
    "/tour/{stop}",
)
NOWHERE = (
    "there is no such address; the pages begin at the one that `alexnet serve` printed, and below it "
    "api/openapi.json describes the API"
)
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "woff2": "font/woff2"}

CONNECTIONS = 512
"""More at a time are refused with 503."""


def create_app(explorer: Explorer, access: Access) -> Guard:
    """The explorer as an ASGI application, its guard in front."""
    app = FastAPI(
        title="alexnet serve",
        version=alexnet.__version__,
        description="A run folder in the browser. Addresses that compute respond with server-sent events: place, "
        "progress, part, then done or failed.",
        docs_url=None,  # its page loads scripts from another host
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.explorer = explorer

    @app.exception_handler(UserError)
    async def user_error(_: Request, fault: UserError) -> Response:
        return error_response(fault)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, fault: RequestValidationError) -> Response:
        words = (f"{one['loc'][-1]}: {one['msg']}" for one in fault.errors())
        return JSONResponse({"error": "; ".join(words)}, 422)

    for page in (home, layer, unit, picture, glance, why, upload, compare, errors, follow, teach, tour):
        app.include_router(page.routes, prefix="/api")
    _add_page(app, access)
    return Guard(app, access)


class PageFile:
    """One of the page's own files, read and compressed once. A browser asks each time whether it changed."""

    def __init__(self, name: str, data: bytes) -> None:
        self.kind, self.data = TYPES[name.rpartition(".")[2]], data
        self.small = data if self.kind == TYPES["woff2"] else gzip.compress(data, mtime=0)
        self.tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'

    def response(self, request: Request, status: int = 200) -> Response:
        headers = {"cache-control": "no-cache", "etag": self.tag, "vary": "accept-encoding"}
        if status == HTTPStatus.OK and request.headers.get("if-none-match") == self.tag:
            return Response(status_code=304, headers=headers)
        compressed = self.small is not self.data and "gzip" in request.headers.get("accept-encoding", "")
        headers |= {"content-encoding": "gzip"} if compressed else {}
        return Response(self.small if compressed else self.data, status, headers, self.kind)


def _add_page(app: FastAPI, access: Access) -> None:
    """The page's own files. Its JavaScript decides which page is shown, also that there is none."""
    folder = resources.files("alexnet.serve").joinpath("page")
    contents = {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in TYPES}
    contents["index.html"] = contents["index.html"].replace(b"{{base}}", access.base.encode())
    files = {name: PageFile(name, data) for name, data in contents.items()}
    index = files.pop("index.html")

    async def page(request: Request) -> Response:
        return index.response(request)

    for address in PAGES:
        app.add_api_route(address, page, include_in_schema=False)

    @app.get("/page/{name}", include_in_schema=False)
    async def file(request: Request, name: str) -> Response:
        if name not in files:
            raise Absent("there is no such file")
        return files[name].response(request)

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon(request: Request) -> Response:
        return files["icon.svg"].response(request)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, fault: HTTPException) -> Response:
        if for_a_person(request.headers) and not request.url.path.startswith("/api/"):
            return index.response(request, fault.status_code)
        unknown = fault.detail == HTTPStatus(fault.status_code).phrase and fault.status_code == HTTPStatus.NOT_FOUND
        return JSONResponse({"error": NOWHERE if unknown else fault.detail}, fault.status_code)


# ── starting it ──────────────────────────────────────────────────────────────────────────────────────────────────


def serve(
    run: Path,
    *,
    host: str,
    port: int,
    proxies: Sequence[str] = (),
    store: Path | None,
    beside: Path | None,
    corrections: Path | None = None,
    teach: Path | None = None,
) -> None:
    """Explore a run until interrupted. Raises UserError if the run or the store can't be opened, UsageError if the
    address is not available."""
    with listening(host, port) as listener:
        access = Access.at(host, listener.getsockname()[1], proxies)
        explorer = Explorer(run, store, beside, corrections, teach)
        app = create_app(explorer, access)
        say(f"open {access.address}    (Ctrl-C to stop)")
        if access.token:
            may = "view, mark, upload and teach" if teach else "view, mark and upload"
            say(f"Anyone with this address, token included, can {may} pictures; nothing is encrypted.")
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,  # it would show tokens
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=1,
            lifespan="off",
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is None:  # handled by code in C, which uvicorn can't put back
                signal.signal(number, signal.SIG_DFL)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
        if explorer.teaching:
            explorer.teaching.close()


def listening(host: str, port: int) -> socket.socket:
    """A socket at that address; port 0: any free one."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # asyncio sets TCP_NODELAY only if the protocol is named; without it responses take 40 ms longer.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except socket.gaierror as fault:
        raise UsageError(f"--host {host}: no address of this machine ({fault.strerror}).") from None
    except OSError as fault:
        if fault.errno == errno.EADDRINUSE:
            raise UsageError(f"--port {port}: in use already; choose another one, or 0 for any.") from None
        if fault.errno == errno.EADDRNOTAVAIL:
            raise UsageError(f"--host {host}: no address of this machine.") from None
        raise file_fault(fault, f"{host}:{port}") from None
    return listener
