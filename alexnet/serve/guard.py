"""Who comes in: the address that was asked for, the token, where a request comes from; and what every answer says.

The explorer shows pictures of whoever runs it. So it listens to this machine alone unless told otherwise, and then
every address begins with a token. Pages of other origins get nothing: no CORS, requests that a browser marks as coming
from elsewhere are refused, and so is a Host that is not ours (a foreign name that leads here, "DNS rebinding").
"""

import ipaddress
import json
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "::1")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: dict[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}


@dataclass(frozen=True)
class Door:
    """Where the explorer listens: `host` and `port`; `token`, empty on this machine alone."""

    host: str
    port: int
    token: str = ""
    names: frozenset[str] = field(default_factory=frozenset)
    """Names of this machine, beside its addresses, that a Host may give."""

    @classmethod
    def at(cls, host: str, port: int) -> "Door":
        """A door with a token, unless it is on this machine alone."""
        if host in LOOPBACK:
            return cls(host, port)
        names = {host, socket.gethostname(), socket.getfqdn()}
        return cls(host, port, secrets.token_urlsafe(16), frozenset(name.lower() for name in names))

    @property
    def base(self) -> str:
        """What every address begins with."""
        return f"/{self.token}/" if self.token else "/"

    @property
    def address(self) -> str:
        """What to open. For "all addresses" that of the machine's name."""
        host = socket.gethostname() if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}{self.base}"

    def knows(self, host_header: str) -> bool:
        """Whether a Host header names this machine: by its loopback names; where it is open to others, by any address
        (an address can't be made to lead elsewhere) or its own names."""
        host, port = _split(host_header)
        if port != self.port:
            return False
        if host in LOOPBACK:
            return True
        return bool(self.token) and (host in self.names or _is_address(host))


def _split(host_header: str) -> tuple[str, int]:
    name, _, port = host_header.rpartition(":") if not host_header.endswith("]") else (host_header, "", "80")
    if not name or not port.isdecimal():
        name, port = host_header, "80"
    return name.strip("[]").lower(), int(port[:6])


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class Guard:
    """ASGI middleware that lets in what the door knows, takes the token off the path and adds the headers."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self.app, self.door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_as_bytes(HEADERS.items())]
            await send(message)

        if refusal := self._refusal(scope, headers):
            await _refuse(send_with_headers, *refusal)
        else:
            await self.app(self._without_token(scope), receive, send_with_headers)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self.door.knows(host):
            return 421, "this explorer is not known by that name; open the address that it printed when it started"
        if not self._has_token(scope["path"]):
            return 403, "the address must begin with the token that `alexnet serve` printed"
        if _from_elsewhere(scope["method"], headers, host):
            return 403, "requests of other pages are refused"
        return None

    def _has_token(self, path: str) -> bool:
        given = path.split("/", 2)[1] if path.startswith("/") else ""
        return not self.door.token or secrets.compare_digest(given.encode(), self.door.token.encode())

    def _without_token(self, scope: Scope) -> Scope:
        cut = len(self.door.base) - 1
        return {**scope, "path": scope["path"][cut:] or "/", "raw_path": scope.get("raw_path", b"")[cut:] or b"/"}


def _from_elsewhere(method: str, headers: dict[str, str], host: str) -> bool:
    """Whether a browser sent this for a page of another origin. Following a link to here is allowed."""
    if "origin" in headers and headers["origin"] != f"http://{host}":
        return True
    site = headers.get("sec-fetch-site", "none")
    link = (
        method == "GET" and headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    )
    return site not in ("same-origin", "none") and not link


def _as_bytes(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers]


async def _refuse(send: Send, status: int, why: str) -> None:
    body = json.dumps({"error": why}).encode()
    headers = _as_bytes([("content-type", "application/json"), ("content-length", str(len(body)))])
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
