"""The command line: `alexnet VERB …`. One verb is one dataclass of options with a function that hands them on.

Nothing heavy is imported up here: a verb imports what it needs when it runs, so that help answers at once. Exit codes:
0 done, 1 something the user can mend (UserError), 2 a wrong verb, option or argument, 130 interrupted, 141 whoever
read the output stopped reading.
"""

import difflib
import inspect
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import tyro
from tyro.conf import FlagCreatePairsOff, Positional, arg

import alexnet
from alexnet.errors import UsageError, UserError

INTERRUPTED = 130  # 128 + SIGINT, as shells report it
UNREAD = 141  # 128 + SIGPIPE


class Verb(Protocol):
    """The options of a verb, as a dataclass, and what it does with them. The docstring is its help."""

    def run(self) -> None: ...


@dataclass(frozen=True)
class Completion:
    """Print a shell's completion script, for verbs, options and their choices.

    Example:
        alexnet completion bash > ~/.local/share/bash-completion/completions/alexnet
        alexnet completion zsh  > ~/.zfunc/_alexnet    # with ~/.zfunc in fpath, before compinit
        alexnet completion fish > ~/.config/fish/completions/alexnet.fish
    """

    shell: Annotated[Positional[Literal["bash", "zsh", "fish"]], arg(metavar="{bash,zsh,fish}")]
    """Whose script."""

    def run(self) -> None:
        tyro.cli(all_verbs(), prog="alexnet", config=TYRO, args=["--tyro-print-completion", self.shell])


VERBS: dict[str, type[Verb]] = {
    "completion": Completion,
}

TYRO = (FlagCreatePairsOff,)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (by default this process's), return its exit code."""
    try:
        code = obey(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()  # here, where a closed pipe can still be caught
        return code
    except UserError as fault:
        return say(str(fault), fault.exit_code)
    except KeyboardInterrupt:
        return say("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # Python flushes once more at its end: let that go nowhere, or it complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except OSError as fault:
        if fault.filename is None:
            raise
        return say(f"{os.fsdecode(fault.filename)}: {fault.strerror}", UserError.exit_code)


def obey(arguments: list[str]) -> int:
    """Do what the arguments ask. Mistakes leave as exceptions, wrong options of a verb as tyro's SystemExit(2)."""
    if not arguments:
        print(overview(), file=sys.stderr)
        return UsageError.exit_code
    name, *options = arguments
    if name in ("-h", "--help"):
        print(overview())
    elif name == "--version":
        print(f"alexnet {alexnet.__version__}")
    else:
        parse(find_verb(name), name, options).run()
    return 0


def find_verb(name: str) -> type[Verb]:
    if name not in VERBS:
        near = difflib.get_close_matches(name, VERBS, n=1)
        hint = f"Did you mean `alexnet {near[0]}`? " if near else ""
        raise UsageError(f"there is no verb {name!r}. {hint}`alexnet --help` lists them all.")
    return VERBS[name]


def parse(verb: type[Verb], name: str, options: list[str]) -> Verb:
    return tyro.cli(verb, prog=f"alexnet {name}", description=inspect.getdoc(verb), config=TYRO, args=options)


def overview() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:{width}}  {summary(verb)}" for name, verb in VERBS.items())
    return (
        f"usage: alexnet VERB …\n\n{alexnet.__doc__}\n\n{verbs}\n\n"
        "`alexnet VERB --help` has a verb's options, units, defaults and an example; `alexnet --version` the version."
    )


def summary(verb: type[Verb]) -> str:
    """The first line of the verb's docstring, without its full stop."""
    return (inspect.getdoc(verb) or "").partition("\n")[0].rstrip(".")


def all_verbs() -> Any:
    """Every verb as one type, for what needs the whole tree."""
    named = (Annotated[verb, tyro.conf.subcommand(name, description=summary(verb))] for name, verb in VERBS.items())
    union: Any = next(named)
    for verb in named:
        union |= verb
    return union


def say(message: str, code: int) -> int:
    print(f"alexnet: {message}", file=sys.stderr)
    return code
