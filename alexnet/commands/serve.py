"""`alexnet serve`."""

from alexnet.commands.options.tools import Serve
from alexnet.errors import UsageError, UserError

try:
    from alexnet.serve.app import serve
except ModuleNotFoundError as fault:
    if (fault.name or "").partition(".")[0] not in ("fastapi", "starlette", "uvicorn", "pydantic"):
        raise
    raise UserError(
        f"the explorer needs {fault.name}, which is not installed: pip install 'alexnet[serve]', or in a clone "
        "make extras."
    ) from None


def run(options: Serve) -> None:
    if not 0 <= options.port < 1 << 16:
        raise UsageError(f"--port {options.port}: between 0 and 65535.")
    serve(
        options.run_folder,
        host=options.host,
        port=options.port,
        proxies=options.allowed_hosts,
        store=options.store,
        beside=options.beside,
        corrections=options.corrections,
        teach=options.teach,
    )
