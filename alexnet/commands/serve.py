"""`alexnet serve`: the explorer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from alexnet.commands.arguments import RunFolderArgument
from alexnet.errors import UsageError, UserError


@dataclass(frozen=True)
class Serve:
    """Explore a run in the browser: units, your pictures, two runs side by side, a training live.

    Nothing is loaded from other hosts. It listens to this machine alone unless --host says otherwise; then the address
    that it prints begins with a token.

    Examples:
        alexnet serve runs/photos
        alexnet serve runs/photos --store photos.store --beside runs/other
    """

    run_folder: RunFolderArgument
    """The run, finished or still in training."""
    host: Annotated[str, arg(metavar="ADDRESS")] = "127.0.0.1"
    """Where to listen; 0.0.0.0: to everybody who can reach this machine and has the token."""
    port: Annotated[int, arg(metavar="N")] = 8012
    """The port; 0: any free one."""
    allowed_hosts: Annotated[tuple[str, ...], arg(metavar="NAME ...", help_behavior_hint="(default: none)")] = ()
    """Host names under which a proxy (HTTPS or not) serves the explorer; the address then begins with a token too.
    localhost and 127.0.0.1 are known at every port, as `ssh -L` and containers forward it."""
    store: Annotated[
        Path | None, arg(metavar="STORE", help_behavior_hint="(default: the training's, where it still is)")
    ] = None
    """Prepared pictures in which the units' strongest ones are looked for."""
    beside: Annotated[Path | None, arg(metavar="RUN", help_behavior_hint="(default: none)")] = None
    """Another run to compare with."""

    def run(self) -> None:
        if not 0 <= self.port < 1 << 16:
            raise UsageError(f"--port {self.port}: between 0 and 65535.")
        try:
            from alexnet.serve.server import serve
        except ModuleNotFoundError as fault:
            if (fault.name or "").partition(".")[0] not in ("fastapi", "starlette", "uvicorn", "pydantic"):
                raise
            raise UserError(
                f"the explorer needs {fault.name}, which is not installed: pip install 'alexnet[serve]', or in a clone "
                "make extras."
            ) from None
        serve(
            self.run_folder,
            host=self.host,
            port=self.port,
            proxies=self.allowed_hosts,
            store=self.store,
            beside=self.beside,
        )
