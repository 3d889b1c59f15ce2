"""What the methods' options have in common, and where a run and its results come from."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from alexnet.commands.arguments import Device

if TYPE_CHECKING:
    from alexnet.measure.run import Run
    from alexnet.see.write import Folder

StoreArgument = Annotated[Positional[Path], arg(metavar="STORE")]
PictureArgument = Annotated[Positional[str], arg(metavar="PICTURE")]
Out = Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: RUN/see)")]
Method = Literal["deconvnet", "guided", "gradient"]
NormRule = Annotated[
    Literal["pass", "adjoint"] | None, arg(help_behavior_hint="(default: the method's; deconvnet: pass)")
]


def opened(path: Path, device: Device, precision: Literal["auto", "fp32"] = "fp32") -> "Run":
    """The run, in fp32 unless something else is asked for: these are looked at, not counted."""
    from alexnet.measure.run import Run

    return Run.open(path, device=device, precision=precision)


@contextmanager
def folder(out: Path | None, run: Path) -> "Iterator[Folder]":
    """Where results go; what was written is printed at the end."""
    from alexnet.see.write import Folder

    found = Folder(out or run / "see")
    yield found
    for path in found.written:
        print(path)
