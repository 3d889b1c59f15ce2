"""`alexnet serve`."""

from pathlib import Path

from alexnet.commands.options.tools import Serve
from alexnet.errors import UsageError, UserError
from alexnet.terminal import progress, say
from alexnet.text import counted, in_bytes

try:
    from alexnet.serve.app import serve
    from alexnet.serve.export import export_site
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
    if options.export:
        if options.teach or options.corrections:
            raise UsageError(
                "--export writes a copy, in which nothing is taught or marked: leave out --teach and --corrections."
            )
        return _export(options, options.export)
    return serve(
        options.run_folder,
        host=options.host,
        port=options.port,
        proxies=options.allowed_hosts,
        store=options.store,
        beside=options.beside,
        corrections=options.corrections,
        teach=options.teach,
    )


def _export(options: Serve, out: Path) -> None:
    with progress("steps") as report:
        made = export_site(options.run_folder, out, store=options.store, beside=options.beside, progress=report)
    say(f"{in_bytes(made.size)} in {made.files:,} files. Open {made.page} in a browser, from any disk or web host.")
    if made.network:
        say(f"The network runs in the browser: {in_bytes(made.network)} of weights, loaded with the first picture.")
    else:
        say(f"Without the network: {made.why}. Pictures of your own need `alexnet serve`.")
    if made.pictures:
        say(f"It holds {counted(made.pictures, 'prepared picture')}: publish it only if you may publish them.")
