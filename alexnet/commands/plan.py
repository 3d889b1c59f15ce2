"""`alexnet plan`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


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
        print(json.dumps(plan.as_json(found), indent=1) if self.json else plan.describe(found))
