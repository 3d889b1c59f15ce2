"""What networks are like, and what many devices would make of them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

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


@dataclass(frozen=True)
class Plan:
    """Predict step and epoch time on many devices: data parallel, by columns, hybrid.

    From the bytes that each layout sends, the speed of one device and of its link. Nothing is hidden or waited for in
    this model: it compares layouts and shows what the link costs.

    Examples:
        alexnet plan alexnet --devices 8 --link 12.5 --speed 3000
        alexnet plan --run runs/photos --devices 4 --link 1.2 --batch 512 --json
    """

    devices: Annotated[int, arg(metavar="N")]
    """How many devices."""
    link: Annotated[float, arg(metavar="GB/S")]
    """What a device sends in a second, in GB, while it receives as much: 1.25 for 10 Gbit Ethernet."""
    name: Annotated[
        Positional[str | None], arg(metavar="[NET]", help_behavior_hint="(default: the run's, or alexnet)")
    ] = None
    """The network."""
    speed: Annotated[float | None, arg(metavar="IMG/S", help_behavior_hint="(default: the run's)")] = None
    """Pictures a second in training on one device, as `alexnet bench train` or a run's log has it."""
    run_folder: Annotated[Path | None, arg(name="run", metavar="RUN", help_behavior_hint="(default: none)")] = None
    """A run on one device: its network and its measured speed."""
    batch: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 128 for each device)")] = None
    """Pictures in a batch, on all devices together."""
    pictures: Annotated[int, arg(metavar="N")] = 1_281_167
    """Pictures of an epoch; as many as ILSVRC-2012 has, if not said."""
    wire: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Numbers as they are sent."""
    width: Annotated[float, arg(metavar="FACTOR")] = 1.0
    """Factor on the maps and units of every layer but the last."""
    json: bool = False
    """Print a JSON list: seconds, bytes, pictures a second of each layout."""

    def run(self) -> None:
        from alexnet.train import plan

        subject = plan.Subject.of(self.name, self.run_folder, self.width, self.speed)
        cluster = plan.Cluster(self.devices, self.link * 1e9, subject.speed, plan.NUMBER_BYTES[self.wire])
        found = plan.forecasts(subject, cluster, batch=self.batch, pictures=self.pictures)
        print(json.dumps(plan.as_json(found), indent=1) if self.json else plan.in_words(found))
