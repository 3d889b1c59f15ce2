"""What verbs have in common: their form, and options that several have."""

from dataclasses import fields, make_dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol, get_type_hints

from tyro.conf import Positional, arg

RunFolderArgument = Annotated[Positional[Path], arg(metavar="RUN")]
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16"]


class Verb(Protocol):
    """The options of a verb, as a dataclass, and what it does with them. The docstring is its help."""

    def run(self) -> None: ...


def left_to_words(options: type, **named: str) -> type:
    """The options with "(default: None)" left out of their help, where the words say it; `named` renames options."""
    hints = get_type_hints(options, include_extras=True)
    unsaid = [
        (field.name, Annotated[hints[field.name], arg(name=named.get(field.name), help_behavior_hint="")], None)
        for field in fields(options)
        if field.default is None
    ]
    return make_dataclass(options.__name__, unsaid, bases=(options,), frozen=True)
