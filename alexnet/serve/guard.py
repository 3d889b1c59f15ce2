"""Access control: the host that a request names, its token, its origin; and the headers of every response.

The explorer shows its user's own pictures. It listens on the loopback interface by default; otherwise every address
begins with a token. Pages of other origins get nothing: there is no CORS, requests that a browser marks as cross-site
are refused, and so is a Host that is not ours (a foreign name that resolves to this machine, "DNS rebinding"). The port
in a Host doesn't matter: `ssh -L`, containers and proxies forward others.
"""

import html
import ipaddress
import re
import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "::1")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
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
class Access:
    """Where the explorer listens: `host` and `port`; `token`, empty on the loopback interface."""

    host: str
    port: int
    token: str = ""
    names: frozenset[str] = field(default_factory=frozenset)
    """Names of this machine that a Host header may have, besides its addresses."""
    proxies: frozenset[str] = field(default_factory=frozenset)
    """Names of proxies in front of this machine that a Host or Origin header may have."""

    @classmethod
    def at(cls, host: str, port: int, proxies: Sequence[str] = ()) -> "Access":
        """With a token, unless it is on the loopback interface and no proxy opens it to others."""
        if host in LOOPBACK and not proxies:
            return cls(host, port)
        names = set() if host in LOOPBACK else {host, socket.gethostname(), socket.getfqdn()}
        lower = frozenset(name.lower() for name in names)
        return cls(host, port, secrets.token_urlsafe(16), lower, frozenset(map(_host, proxies)))

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
        """Whether a Host header names this machine: by its loopback names or a proxy's; if it is open to others, also
        by its own names or any address (a page can't make an address resolve to another machine)."""
        host = _host(host_header)
        if host in LOOPBACK or host in self.proxies:
            return True
        return self.host not in LOOPBACK and (host in self.names or _is_address(host))

    def is_ours(self, origin: str, host_header: str) -> bool:
        """Whether a page at `origin` is ours: it has the request's own host and port, or a proxy's name. Its scheme
        may be https where a proxy encrypts."""
        scheme, _, host = origin.partition("://")
        return scheme in ("http", "https") and (host.lower() == host_header.lower() or _host(host) in self.proxies)


def _host(header: str) -> str:
    """The name or address in a Host header, without its port; "" if the header is malformed."""
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]/@]+)(:[0-9]{1,5})?", header)
    return found[1].strip("[]").lower().rstrip(".") if found else ""


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


def for_a_person(headers: Headers) -> bool:
    """Whether a browser is to show the response as a page, which needs words instead of JSON."""
    return "text/html" in headers.get("accept", "")


def refused(headers: Headers, why: str, status: int) -> Response:
    if not for_a_person(headers):
        return JSONResponse({"error": why}, status)
    words = f"<h1>This can't be shown</h1><p>{html.escape(why[:1].upper() + why[1:])}.</p>"
    return HTMLResponse(f'<!doctype html><html lang="en"><title>alexnet</title>{words}</html>', status)


class Guard:
    """ASGI middleware that refuses what has no access, takes the token off the path and adds the headers."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if refusal := self._refusal(scope, Headers(scope=scope)):
            await refusal(scope, receive, send_with_headers)
        else:
            await self.app(self._without_token(scope), receive, send_with_headers)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        host, status, why = headers.get("host", ""), 403, ""
        if not self.access.knows(host):
            status = 421
            why = (
                f"this explorer is not known by that name ({host[:80]!r}); open it as localhost or 127.0.0.1, at any "
                "forwarded port; behind a proxy, start `alexnet serve` with --allowed-hosts and the proxy's name"
            )
        elif not self._has_token(scope["path"]):
            why = "the address must begin with the token that `alexnet serve` printed"
        elif self._from_elsewhere(scope["method"], headers, host):
            why = "requests of other pages are refused; behind a proxy, name its host with --allowed-hosts"
        return refused(headers, why, status) if why else None

    def _from_elsewhere(self, method: str, headers: Headers, host: str) -> bool:
        """Whether a browser sent this for a page of another origin. Following a link to here is allowed."""
        if "origin" in headers and not self.access.is_ours(headers["origin"], host):
            return True
        # Fetch metadata, which pages can't forge; "none": typed, or from a client that is no browser.
        site = headers.get("sec-fetch-site", "none")
        mode, target = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
        link = method == "GET" and mode == "navigate" and target == "document"
        return site not in ("same-origin", "none") and not link

    def _has_token(self, path: str) -> bool:
        # Compared in constant time, so that response times don't reveal how many characters are right.
        given = path.split("/", 2)[1] if path.startswith("/") else ""
        return not self.access.token or secrets.compare_digest(given.encode(), self.access.token.encode())

    def _without_token(self, scope: Scope) -> Scope:
        cut = len(self.access.base) - 1
        return {**scope, "path": scope["path"][cut:] or "/", "raw_path": scope.get("raw_path", b"")[cut:] or b"/"}
