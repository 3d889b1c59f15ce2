"""What networks are like, and what many devices would make of them."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from alexnet.errors import UsageError


@dataclass(frozen=True)
class Nets:
    """List the networks, or describe one layer by layer.

    Shown are output shape, units, parameters, multiply-adds of a picture, the pixels that a unit sees and at what
    distance its neighbour looks, and the memory of all maps in float32; then the totals.

    Examples:
        alexnet nets
        alexnet nets alexnet --batch 128
    """

    name: Annotated[Positional[str | None], arg(metavar="[NAME]", help_behavior_hint="(default: list all)")] = None
    """The network."""
    batch: Annotated[int, arg(metavar="N")] = 1
    """Pictures whose maps are counted as memory."""
    classes: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the network's, 1000)")] = None
    """Outputs of the last layer."""
    width: Annotated[float, arg(metavar="FACTOR")] = 1.0
    """Factor on the maps and units of every layer but the last."""
    input: Annotated[int | None, arg(metavar="PIXELS", help_behavior_hint="(default: the network's, 224)")] = None
    """Side of the input, pixels."""

    def run(self) -> None:
        from alexnet.nets import summary, table, zoo

        if self.name is None:
            print(summary.overview(zoo.ZOO.values()))
            return
        if self.batch < 1:
            raise UsageError(f"--batch {self.batch}: at least 1")
        network = table.with_width(zoo.find(self.name, self.classes), self.width)
        print(summary.describe(network, self.batch, self.input))
