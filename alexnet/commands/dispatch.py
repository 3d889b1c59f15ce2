"""From the words of a command line to the verb that runs."""

import difflib
import inspect
import io
import os
import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import is_dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import tyro
from tyro.conf import DisallowNone

import alexnet
from alexnet.commands import VERBS
from alexnet.errors import UsageError
from alexnet.files.atomic import expanded
from alexnet.files.packaged import read_toml
from alexnet.files.schema import check_ranges

TYRO = (DisallowNone,)

RENAMED = {
    "--rate": ("--learning-rate",),
    "--accumulate": ("--accumulation-steps",),
    "--part": ("--split", "--shard"),
    "--parts": ("--splits",),
}
"""Options' names in earlier versions → today's, of which a verb has one."""
RUN_FIELDS = ("run_folder", "start_from", "beside", "run")
"""Fields of options that hold a run."""


def execute(arguments: list[str]) -> None:
    """Run one command line. Mistakes leave as exceptions; wrong options of a verb may also as tyro's SystemExit(2)."""
    name, words = parted(arguments)
    options = parse(find_verb(name), name, words)
    check_ranges(options)
    if name != "import":
        options = with_named_runs(options)
    module = {"import": "import_"}.get(name, name.replace(" ", "_"))
    import_module(f"alexnet.commands.{module}").run(options)


def with_named_runs(options: Any) -> Any:
    """The options with each run that is given by name, as in `--from torchvision`, replaced by its folder."""
    found = {}
    for name, value in vars(options).items():
        if is_dataclass(value) and not isinstance(value, type):
            found[name] = with_named_runs(value)
        elif name in RUN_FIELDS and isinstance(value, Path) and is_run_name(value):
            from alexnet.runs.pretrained import run_folder

            found[name] = run_folder(value)
    return replace(options, **found) if found else options


def is_run_name(path: Path) -> bool:
    """Whether a path stands for pretrained weights or a run of the Hub: checked without importing torch."""
    known = str(path).startswith("hf:") or str(path) in read_toml("alexnet.runs", "pretrained.toml")
    return known and not path.exists()


def parted(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The verb, of one word or of two, and what follows it."""
    two = " ".join(arguments[:2])
    return (two, list(arguments[2:])) if two in VERBS else (arguments[0], list(arguments[1:]))


def find_verb(name: str) -> type:
    if name not in VERBS:
        near = difflib.get_close_matches(name, VERBS, n=1)
        hint = f"Did you mean `alexnet {near[0]}`? " if near else ""
        raise UsageError(f"there is no verb {name!r}. {hint}`alexnet --help` lists them all.")
    return VERBS[name]


def parse(verb: type, name: str, words: list[str]) -> Any:
    """The verb's options. Raises UsageError for an option that doesn't exist but looks like one that does; for other
    mistakes SystemExit, after tyro's message on stderr."""
    getattr(tyro, "_experimental_options", {})["ansi_codes"] = coloured()
    words = list(map(with_home, words))
    message = io.StringIO()
    try:
        with redirect_stderr(message):
            return tyro.cli(verb, prog=f"alexnet {name}", description=inspect.getdoc(verb), config=TYRO, args=words)
    except SystemExit as end:
        if end.code:
            check_names(verb, name, words)
        print(message.getvalue(), end="", file=sys.stderr)
        raise


def check_names(verb: type, name: str, words: Sequence[str]) -> None:
    """Raises UsageError for the first option of the command line that the verb lacks, if one of its own is like it."""
    known = options_of(verb, words)
    for word in words:
        option = word.partition("=")[0].replace("_", "-")
        if word == "--":
            return
        if not word.startswith("--") or option in known:
            continue
        near = [new for new in RENAMED.get(option, ()) if new in known]
        near = near or difflib.get_close_matches(option, known, n=1, cutoff=0.75)
        near = near or sorted(one for one in known if one.startswith(option) and len(option) > 4)
        if near:
            raise UsageError(f"`alexnet {name}` has no option {option}. Did you mean {near[0]}?")


def options_of(verb: type, words: Sequence[str]) -> set[str]:
    """The options that the verb's help shows, and that of the action that the words choose (`see top`)."""
    shown = io.StringIO()
    for action in ([], list(words[:1])):
        with redirect_stdout(shown), redirect_stderr(io.StringIO()), suppress(SystemExit):
            tyro.cli(verb, config=TYRO, args=[*action, "--help"])
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", shown.getvalue()))


def coloured() -> bool:
    """Whether help and usage errors may have colours: both outputs are a terminal, and NO_COLOR is not set."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not plain and sys.stdout.isatty() and sys.stderr.isatty()


def with_home(word: str) -> str:
    """A word of the command line with `~` in a path expanded: `~/run`, `--out=~/run`, `synthetic:~/pictures`."""
    option, path = re.fullmatch(r"(--[\w-]+=|\w+:)?(.*)", word, re.DOTALL).groups("")  # pyright: ignore[reportOptionalMemberAccess]
    return option + (expanded(path) if path.startswith("~") else path)


def overview() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:{width}}  {summary(verb)}" for name, verb in VERBS.items())
    return (
        f"usage: alexnet VERB …\n\n{alexnet.__doc__}\n\n{verbs}\n\n"
        "`alexnet VERB --help` has a verb's options, units, defaults and an example; `alexnet --version` the version."
    )


def summary(verb: type) -> str:
    """The first line of the verb's docstring, without its full stop."""
    return (inspect.getdoc(verb) or "").partition("\n")[0].rstrip(".")
