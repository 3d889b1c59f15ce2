"""Options that several commands share."""

from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from tyro.conf import Positional, arg

from alexnet.choices import DeviceChoice, PrecisionChoice


def option(metavar: str, *, default: str, help: str | None = None) -> Any:
    """An option whose default is described in words."""
    return arg(metavar=metavar, help=help, help_behavior_hint=f"(default: {default})")


RunArgument = Annotated[Positional[Path], arg(metavar="RUN", help="A run folder.")]
StoreArgument = Annotated[Positional[Path], arg(metavar="STORE", help="A prepared store.")]
PictureArgument = Annotated[Positional[str], arg(metavar="PICTURE", help="A picture file.")]
SplitOption = Annotated[str, arg(metavar="NAME", help="Split of the store: train, val, or test where there is one.")]
DEVICE_HELP = "Where to compute; auto picks the first available of cuda, mps and cpu."
DeviceOption = Annotated[DeviceChoice, arg(help=DEVICE_HELP)]
PROBABILITIES_HELP = "Also write every picture's class probabilities to this safetensors file, for `alexnet average`."
SaveProbabilities = Annotated[Path | None, option("FILE", default="not written", help=PROBABILITIES_HELP)]


@dataclass(frozen=True)
class Compute:
    """Where, and in which precision, a network computes."""

    device: DeviceOption = "auto"
    precision: PrecisionChoice = "auto"
    """Precision of the layers; auto uses that of the training, or fp32 on another kind of device."""


ComputeOptions = Annotated[Compute, arg(name="")]


def described_by_default(options: type, **named: str) -> type:
    """The options without "(default: None)" in their help, where the text says it; `named` renames options."""
    hints = get_type_hints(options, include_extras=True)
    unsaid = [
        (field.name, Annotated[hints[field.name], arg(name=named.get(field.name), help_behavior_hint="")], None)
        for field in fields(options)
        if field.default is None
    ]
    return make_dataclass(options.__name__, unsaid, bases=(options,), frozen=True)
