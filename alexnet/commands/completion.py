"""`alexnet completion`: tyro's scripts, improved."""

import ast
import functools
import io
import operator
import re
from contextlib import redirect_stdout, suppress
from typing import Annotated, Any

import tyro

from alexnet.commands import VERBS
from alexnet.commands.dispatch import TYRO, summary
from alexnet.commands.options.tools import Completion
from alexnet.experiments.registry import every_result
from alexnet.files.packaged import read_toml
from alexnet.nets.zoo import ZOO

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

RECIPES = [name for name in read_toml("alexnet.train", "recipes.toml") if name != "family"]  # without importing torch

# Values of options, and of verbs' first arguments, that their types don't list.
SPLITS = ["train", "val", "test"]
VALUES = {"--net": list(ZOO), "--recipe": RECIPES, "--split": SPLITS, "--splits": SPLITS}
ARGUMENTS = {
    "nets": list(ZOO),
    "plan": list(ZOO),
    "bench": ["train", "infer", "views", "lrn", "prepare", "data", "see"],
    "completion": list(FILES_ELSEWHERE),
    "paper run": list(every_result()),
}

# After tyro's description, in its scripts' Python: an argument that is a name becomes one more level of verbs.
ADD_ARGUMENTS = """for words, names in ARGUMENTS.items():
    at = COMPLETION_SPEC
    for word in words.split():
        at = at["subcommands"][word]
    at["subcommands"] = {name: {**at, "description": name} for name in names}"""


def run(options: Completion) -> None:
    spec = ast.literal_eval(SPEC.findall(tyro_script("bash"))[0])
    for verb in [name for name in spec["subcommands"] if " " in name]:
        first, second = verb.split()
        spec["subcommands"][first]["subcommands"][second] = spec["subcommands"].pop(verb)
    improve(spec, options.shell)
    code = f"COMPLETION_SPEC = {spec!r}\nARGUMENTS = {ARGUMENTS!r}\n{ADD_ARGUMENTS}"
    if options.shell == "fish":  # whose script holds it between double quotes
        code = re.sub(r'([\\"$])', r"\\\1", code)
    print(SPEC.sub(lambda _: code, tyro_script(options.shell)).rstrip() + FILES_ELSEWHERE[options.shell])


def tyro_script(shell: str) -> str:
    """tyro's own script for all verbs, each a subcommand."""
    named = [Annotated[verb, tyro.conf.subcommand(name, description=summary(verb))] for name, verb in VERBS.items()]
    script = io.StringIO()
    with redirect_stdout(script), suppress(SystemExit):
        everything: Any = functools.reduce(operator.or_, named)
        tyro.cli(everything, prog="alexnet", config=TYRO, args=["--tyro-print-completion", shell])
    return script.getvalue()


def improve(verb: dict[str, Any], shell: str) -> None:
    """Change tyro's description of a verb: no line breaks, which would be offered as words; no "None"; values for
    options that name a network, a recipe or a split."""
    for option in verb["options"]:
        option["description"] = " ".join(option["description"].split())
        if found := VALUES.get(option["flags"][0]) or sorted({*option.get("choices", ())} - {"None"}):
            option |= {"type": "choice", "choices": found}
        elif option["type"] == "path" and shell == "bash":
            option["type"] = "value"  # left to bash itself, which keeps file names with spaces whole
    for inner in verb["subcommands"].values():
        improve(inner, shell)
