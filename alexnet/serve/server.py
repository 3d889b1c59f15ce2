"""Starting the explorer: the socket, the server, what is printed."""

import contextlib
import errno
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from alexnet.errors import UsageError
from alexnet.files.atomic import file_fault
from alexnet.serve.app import create_app
from alexnet.serve.explorer import Explorer
from alexnet.serve.guard import Access
from alexnet.terminal import say

CONNECTIONS = 512
"""More at a time are refused with 503."""


def serve(
    run: Path, *, host: str, port: int, proxies: Sequence[str] = (), store: Path | None, beside: Path | None
) -> None:
    """Explore a run until interrupted. Raises UserError if the run or the store can't be opened, UsageError if the
    address is not available."""
    with listening(host, port) as listener:
        access = Access.at(host, listener.getsockname()[1], proxies)
        app = create_app(Explorer(run, store, beside), access)
        say(f"open {access.address}    (Ctrl-C to stop)")
        if access.token:
            say("Anyone with this address, token included, can view and upload pictures; nothing is encrypted.")
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
