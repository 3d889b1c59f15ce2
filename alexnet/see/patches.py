"""What the strongest pictures of a channel show: of each the exact patch that the unit saw, and its projection ([Z]
Fig. 2).

N units · S side of a view · h, w rows and columns of a patch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from alexnet.data.batches import batches
from alexnet.data.preprocessing import Records
from alexnet.data.store.read import StoreSplit
from alexnet.files.schema import attributes
from alexnet.geometry import Box
from alexnet.isolation import isolated
from alexnet.measure.viewer import ViewAverager
from alexnet.see.deconvnet import Method, NormRule, project
from alexnet.see.display import cut
from alexnet.see.forward_pass import centre_views, inputs_of, run_forward
from alexnet.see.top import NONE, Top
from alexnet.see.units import Unit, unit_at

PICTURES = 32
"""Pictures looked at together."""


@dataclass(frozen=True, eq=False)
class UnitPatch:
    """A unit excited by a picture: `value`, its activation; `picture`, the number in the split, `key` and `label` the
    picture's; `box`, the pixels of the centre view that it saw, `frame` the same with what lies beyond the edge;
    `patch` uint8 (h, w, 3) and `projection` float32 (3, h, w), both inside the box."""

    unit: Unit
    value: float
    picture: int
    key: str
    label: int
    box: Box
    frame: Box
    patch: np.ndarray
    projection: np.ndarray

    def as_json(self) -> dict[str, Any]:
        return attributes(self, "value", "picture", "key", "label", "box") | attributes(self.unit, "at")


@isolated()
def patches_of(
    viewer: ViewAverager,
    split: StoreSplit,
    top: Top,
    layer: str,
    channels: Sequence[int],
    *,
    method: Method = "deconvnet",
    norms: NormRule | None = None,
    silent: bool = False,
) -> dict[int, list[UnitPatch]]:
    """For each of `channels` its strongest pictures, the strongest first; fewer where fewer excite it above 0, none for
    a dead one. `silent`: those of the others too.

    The pictures are read and looked at again; a picture that several channels share, once for all of them.
    """
    best = top[layer]
    wanted = [
        (channel, rank, int(best.pictures[channel, rank]), int(best.positions[channel, rank]))
        for channel in channels
        for rank in range(best.values.shape[1])
        if best.pictures[channel, rank] != NONE and (silent or best.values[channel, rank] > 0)
    ]
    numbers = sorted({picture for _, _, picture, _ in wanted})
    found: dict[tuple[int, int], UnitPatch] = {}
    for records, indices in batches(split, PICTURES, numbers):
        batch = indices.tolist()
        here = [entry for entry in wanted if entry[2] in batch]
        units = [unit_at(viewer.network, layer, channel, position) for channel, _, _, position in here]
        passed = run_forward(viewer.network, inputs_of(viewer, records))
        of = [batch.index(picture) for _, _, picture, _ in here]
        seen = project(passed, units, of, method=method, norms=norms)
        views, pixels = centre_views(records.numpy(), viewer.inputs.size), seen.pixels.cpu().numpy()
        for number, (channel, rank, picture, _) in enumerate(here):
            left, top_edge, right, bottom = box = seen.boxes[number]
            found[channel, rank] = UnitPatch(
                unit=units[number],
                value=float(seen.values[number]),
                picture=picture,
                key=split.keys[picture],
                label=int(split.labels[picture]),
                box=box,
                frame=seen.frames[number],
                patch=cut(views[of[number]], box),
                projection=pixels[number][:, top_edge:bottom, left:right],
            )
    return {channel: [found[key] for key in sorted(found) if key[0] == channel] for channel in channels}


def projection_of(viewer: ViewAverager, record: Records, unit: Unit) -> np.ndarray:
    """The projection of a unit for one record, uint8 (1, S, S, 3): float32 (3, C, C), C the side of the centre view."""
    passed = run_forward(viewer.network, inputs_of(viewer, record))
    return project(passed, [unit]).pixels[0].cpu().numpy()
