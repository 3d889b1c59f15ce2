"""The addresses: pages, and a JSON API that is described at /api/openapi.json.

No path that a client sends reaches the file system: layers, units, sides and pictures are looked up by name or number,
and the page's own files are held in memory.
"""

from http import HTTPStatus
from importlib import resources

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

import alexnet
from alexnet.errors import UserError
from alexnet.serve.explorer import Explorer
from alexnet.serve.guard import Access, Guard
from alexnet.serve.open_networks import Absent
from alexnet.serve.pages import compare, home, layer, picture, unit, upload
from alexnet.serve.responses import error_response

PAGES = ("/", "/layer/{layer}", "/layer/{layer}/unit/{unit}", "/picture", "/compare", "/training")
NOWHERE = (
    "there is no such address; the pages begin at the one that `alexnet serve` printed, and below it "
    "api/openapi.json describes the API"
)
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


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
    app.add_exception_handler(UserError, _user_error)
    app.add_exception_handler(HTTPException, _http_error)
    for page in (home, layer, unit, picture, upload, compare):
        app.include_router(page.routes, prefix="/api")
    _add_page(app, access)
    return Guard(app, access)


async def _user_error(_: Request, fault: Exception) -> Response:
    assert isinstance(fault, UserError)
    return error_response(fault)


async def _http_error(_: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    unknown = fault.detail == HTTPStatus(fault.status_code).phrase and fault.status_code == HTTPStatus.NOT_FOUND
    return JSONResponse({"error": NOWHERE if unknown else fault.detail}, fault.status_code)


def _add_page(app: FastAPI, access: Access) -> None:
    """The page's own files, read once. Which page is shown, its JavaScript decides."""
    folder = resources.files("alexnet.serve").joinpath("page")
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in TYPES}
    index = files.pop("index.html").replace(b"{{base}}", access.base.encode())

    async def page() -> Response:
        return Response(index, media_type="text/html", headers={"cache-control": "no-cache"})

    for address in PAGES:
        app.add_api_route(address, page, include_in_schema=False)

    @app.get("/page/{name}", include_in_schema=False)
    async def file(name: str) -> Response:
        if name not in files:
            raise Absent("there is no such file")
        kind = TYPES[name.rpartition(".")[2]]
        return Response(files[name], media_type=kind, headers={"cache-control": "no-cache"})
