"""The command line: `alexnet VERB …`. One verb is one dataclass of options that hands them on; most are in `verbs/`.

Nothing heavy is imported up here: a verb imports what it needs when it runs, so that help answers at once. Exit codes:
0 done, 1 something the user can mend (UserError), 2 a wrong verb, option or argument, 130 interrupted, 141 whoever
read the output stopped reading.
"""

import ast
import difflib
import functools
import inspect
import io
import os
import re
import shlex
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import DisallowNone, Positional, arg

import alexnet
from alexnet.commands.arguments import Verb
from alexnet.commands.average import Average
from alexnet.commands.bench import Bench
from alexnet.commands.check import Check
from alexnet.commands.evaluate import Evaluate
from alexnet.commands.export import Export
from alexnet.commands.features import Features, Transfer
from alexnet.commands.import_ import Import
from alexnet.commands.nets import Nets
from alexnet.commands.paper import Paper
from alexnet.commands.plan import Plan
from alexnet.commands.predict import Predict
from alexnet.commands.prepare import Prepare
from alexnet.commands.report import Report
from alexnet.commands.see import See
from alexnet.commands.serve import Serve
from alexnet.commands.similar import Similar, SimilarBuild
from alexnet.commands.train import Train
from alexnet.commands.verify import Verify
from alexnet.errors import UsageError, UserError
from alexnet.files.atomic import expanded, file_fault
from alexnet.text import printable

INTERRUPTED = 130  # 128 + SIGINT, as shells report it
UNREAD = 141  # 128 + SIGPIPE
STANDARD_OUTPUT = "standard output"


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
        spec = ast.literal_eval(SPEC.findall(tyro_script("bash"))[0])
        for verb in [name for name in spec["subcommands"] if " " in name]:
            first, second = verb.split()
            spec["subcommands"][first]["subcommands"][second] = spec["subcommands"].pop(verb)
        improve_completion(spec, self.shell)
        code = f"COMPLETION_SPEC = {spec!r}\nARGUMENTS = {offered()[1]!r}\n{ADD_ARGUMENTS}"
        if self.shell == "fish":  # whose script holds it between double quotes
            code = re.sub(r'([\\"$])', r"\\\1", code)
        print(SPEC.sub(lambda _: code, tyro_script(self.shell)).rstrip() + FILES_ELSEWHERE[self.shell])


SPEC = re.compile("^COMPLETION_SPEC = (.*)$", re.MULTILINE)
"""The line of tyro's scripts (1.0) that describes verbs and options."""

# tyro's scripts offer verbs, options and choices, and nothing where a file or folder has to be named.
FILES_ELSEWHERE = {
    "bash": """
_alexnet_or_files() { _tyro_alexnet "$@"; [ -n "${COMPREPLY[0]}" ] || COMPREPLY=(); }
complete -o default -F _alexnet_or_files alexnet""",
    "zsh": " || _files",
    "fish": """
complete --command alexnet --condition 'test (count (commandline -opc)) -gt 1' --force-files""",
}


def tyro_script(shell: str) -> str:
    script = io.StringIO()
    with redirect_stdout(script), suppress(SystemExit):
        tyro.cli(all_verbs(), prog="alexnet", config=TYRO, args=["--tyro-print-completion", shell])
    return script.getvalue()


def improve_completion(verb: dict[str, Any], shell: str) -> None:
    """Change tyro's description of a verb: no line breaks, which would be offered as words; no "None"; values for
    options that name a network, a recipe or a split."""
    values = offered()[0]
    for option in verb["options"]:
        option["description"] = " ".join(option["description"].split())
        if found := values.get(option["flags"][0]) or sorted({*option.get("choices", ())} - {"None"}):
            option |= {"type": "choice", "choices": found}
        elif option["type"] == "path" and shell == "bash":
            option["type"] = "value"  # left to bash itself, which keeps file names with spaces whole
    for inner in verb["subcommands"].values():
        improve_completion(inner, shell)


@functools.cache
def offered() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Values of options, and of verbs' first arguments, that their types don't list."""
    from alexnet.bench.suite import GROUPS
    from alexnet.experiments.registry import every_result
    from alexnet.nets.zoo import ZOO
    from alexnet.train.recipes import every_recipe

    nets, splits = list(ZOO), ["train", "val", "test"]
    options = {"--net": nets, "--recipe": list(every_recipe()), "--part": splits, "--parts": splits}
    shells, groups, results = list(FILES_ELSEWHERE), list(GROUPS), list(every_result())
    return options, {"nets": nets, "plan": nets, "bench": groups, "completion": shells, "paper run": results}


# Behind tyro's description, in its scripts' Python: an argument that is a name becomes one more level of verbs.
ADD_ARGUMENTS = """for words, names in ARGUMENTS.items():
    at = COMPLETION_SPEC
    for word in words.split():
        at = at["subcommands"][word]
    at["subcommands"] = {name: {**at, "description": name} for name in names}"""


@dataclass(frozen=True)
class Demo:
    """Draw pictures, train on them, measure, ask, report: the whole way in some minutes, each line shown.

    Stopped, the same command goes on.

    Example:
        alexnet demo --out /tmp/demo
    """

    out: Annotated[Path, arg(metavar="FOLDER")] = Path("demo")
    """Where everything goes: pictures, store, run and report."""

    def run(self) -> None:
        from alexnet.commands.demo import commands
        from alexnet.terminal import say

        for line in commands(self.out):
            say(f"\n$ alexnet {shlex.join(line)}")
            obey(line)
            sys.stdout.flush()
        say(f"\nThe report: {self.out / 'run' / 'report.html'}")


VERBS: dict[str, type[Verb]] = {
    "nets": Nets,
    "prepare": Prepare,
    "check": Check,
    "train": Train,
    "plan": Plan,
    "evaluate": Evaluate,
    "predict": Predict,
    "average": Average,
    "report": Report,
    "paper": Paper,
    "see": See,
    "serve": Serve,
    "features": Features,
    "transfer": Transfer,
    "similar build": SimilarBuild,
    "similar": Similar,
    "verify": Verify,
    "import": Import,
    "export": Export,
    "demo": Demo,
    "bench": Bench,
    "completion": Completion,
}

TYRO = (DisallowNone,)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (by default this process's), return its exit code."""
    # Threads that wait spin for microseconds rather than milliseconds: on a busy machine several times as fast.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    use_robust_streams()
    try:
        try:
            return obey(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            sys.stdout.flush()  # here, where a fault can still be reported
    except UserError as fault:
        return say(str(fault), fault.exit_code)
    except KeyboardInterrupt:
        return say("interrupted", INTERRUPTED)
    except BrokenPipeError:
        discard_output()
        return UNREAD
    except OSError as fault:
        if fault.filename is None:
            raise
        if fault.filename == STANDARD_OUTPUT:
            discard_output()
        return say(str(file_fault(fault, os.fsdecode(fault.filename))), UserError.exit_code)


class Stream(io.FileIO):
    """Standard output, whose faults are named; or standard error, whose faults end nothing: no one could read them."""

    def write(self, data: Any) -> int | None:
        try:
            return super().write(data)
        except OSError as fault:
            if self.fileno() == 2:
                return len(data)
            fault.filename = STANDARD_OUTPUT
            raise


def use_robust_streams() -> None:
    """Open streams that the caller has closed; let no character that the terminal lacks, and no fault of stderr, end
    the program."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:  # else the next file that is opened gets the number, and what is printed
            os.dup2(os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY), number)
            setattr(sys, name, open(number, "r" if name == "stdin" else "w", closefd=False))  # noqa: SIM115
            setattr(sys, f"__{name}__", getattr(sys, name))
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper):
            continue
        if stream is getattr(sys, f"__{name}__"):  # not where a test or a notebook has put its own
            stream.flush()
            at_once = name == "stderr" or stream.line_buffering or stream.write_through
            buffer = io.BufferedWriter(Stream(stream.fileno(), "w", closefd=False))
            stream = io.TextIOWrapper(buffer, stream.encoding, line_buffering=at_once)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        stream.reconfigure(errors="backslashreplace")


def discard_output() -> None:
    """Python flushes stdout once more at its end: let that go nowhere, or it complains."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def obey(arguments: list[str]) -> int:
    """Do what the arguments ask. Mistakes leave as exceptions, wrong options of a verb as tyro's SystemExit(2)."""
    if not arguments:
        print(overview(), file=sys.stderr)
        return UsageError.exit_code
    name, options = parted(arguments)
    if name in ("-h", "--help"):
        print(overview())
    elif name == "--version":
        print(f"alexnet {alexnet.__version__}")
    else:
        parse(find_verb(name), name, options).run()
    return 0


def parted(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The verb, of one word or of two, and what follows it."""
    two = " ".join(arguments[:2])
    return (two, list(arguments[2:])) if two in VERBS else (arguments[0], list(arguments[1:]))


def find_verb(name: str) -> type[Verb]:
    if name not in VERBS:
        near = difflib.get_close_matches(name, VERBS, n=1)
        hint = f"Did you mean `alexnet {near[0]}`? " if near else ""
        raise UsageError(f"there is no verb {name!r}. {hint}`alexnet --help` lists them all.")
    return VERBS[name]


def parse(verb: type[Verb], name: str, options: list[str]) -> Verb:
    getattr(tyro, "_experimental_options", {})["ansi_codes"] = coloured()
    words = list(map(with_home, options))
    return tyro.cli(verb, prog=f"alexnet {name}", description=inspect.getdoc(verb), config=TYRO, args=words)


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
    print(printable(f"alexnet: {message}", keep="\n\t"), file=sys.stderr)
    return code
