"""`alexnet bench`."""

import json
import tempfile
from functools import partial
from pathlib import Path

from alexnet.bench import machine, own, suite, timing
from alexnet.commands.options.tools import Bench
from alexnet.errors import UserError
from alexnet.files.schema import to_json
from alexnet.terminal import progress, say


def run(options: Bench) -> None:
    with progress("rounds") as report:
        bench = own.Bench(
            folder=Path(tempfile.gettempdir()),
            batch=options.batch,
            rounds=options.repeats,
            compile=options.compile,
            pictures=options.pictures,
            amx=machine.has_amx(),
            say=say,
            progress=lambda what: partial(report, what),
        )
        rows = suite.run(options.groups, bench)
    print(json.dumps(to_json(rows), indent=1) if options.json else timing.describe(rows))
    if missed := [row.name for row in rows if row.missed]:
        raise UserError(f"below the target: {', '.join(missed)}")
