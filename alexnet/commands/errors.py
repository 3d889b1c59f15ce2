"""`alexnet errors`."""

from functools import partial

from alexnet.commands.options.measuring import Errors
from alexnet.data.store.read import Store
from alexnet.errors import UsageError
from alexnet.features.errors import describe_errors, find_errors, write_errors
from alexnet.measure.run import Run
from alexnet.terminal import progress, say
from alexnet.text import first_few


def run(options: Errors) -> None:
    opened, store = Run.open(options.run_folder, **vars(options.compute)), Store.open(options.store)
    for name, wanted in (("true", options.true), ("answered", options.answered)):
        if wanted is not None and wanted not in opened.class_names:
            raise UsageError(f"--{name} {wanted}: no such class. There are: {first_few(opened.class_names, 8)}.")
    with progress("pictures") as report:
        errors, pictures = find_errors(opened, store, options.split, options.views, partial(report, options.split))
    asked = {"true": options.true, "answered": options.answered}
    chosen = [error for error in errors if all(getattr(error, name) == one for name, one in asked.items() if one)]
    print(describe_errors(chosen, pictures, options.views))
    out = options.out or options.run_folder
    for path in write_errors(chosen, opened, store, options.split, out, (options.true, options.answered)):
        say(str(path))
