"""What verbs have in common: their form, and options that several have."""

from pathlib import Path
from typing import Annotated, Literal, Protocol

from tyro.conf import Positional, arg

RunFolderArgument = Annotated[Positional[Path], arg(metavar="RUN")]
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16"]


class Verb(Protocol):
    """The options of a verb, as a dataclass, and what it does with them. The docstring is its help."""

    def run(self) -> None: ...
