"""What the addresses have in common: the explorer at hand, the key of an answer, making it in the worker's thread."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Path, Request, Response

from alexnet.serve.answers import answer
from alexnet.serve.explorer import Explorer, as_json_bytes
from alexnet.serve.kept import Kept
from alexnet.serve.sides import Absent, Side

PNG, JPEG = "image/png", "image/jpeg"
LONGEST_NAME = 64

SideKey = Annotated[str, Path(alias="side", max_length=LONGEST_NAME, description="own, beside, or epoch-N")]
LayerName = Annotated[str, Path(alias="layer", max_length=LONGEST_NAME, description="a row of the network's table")]
Number = Annotated[int, Path(ge=0, lt=1 << 31)]


def _explorer(request: Request) -> Explorer:
    return request.app.state.explorer


The = Annotated[Explorer, Depends(_explorer)]


async def about_side(
    request: Request,
    explorer: Explorer,
    key: str,
    what: tuple[Any, ...],
    make: Callable[[Side, Kept | None], Any],
    media_type: str = "application/json",
) -> Response:
    """An answer about a side: bytes as they are, anything else as JSON."""

    def made(_: object) -> bytes:
        side = explorer.sides[key]
        found = make(side, explorer.kept(side))
        return found if isinstance(found, bytes) else as_json_bytes(found)

    keep = "v" in request.query_params
    return await answer(request, explorer, (*what, key, explorer.stamp(key)), made, media_type, keep=keep)


def needed(kept: Kept | None) -> Kept:
    """Raises Absent where no pictures are prepared for the side."""
    if kept is None:
        raise Absent("no prepared pictures fit this run here; start the explorer with --store STORE")
    return kept
