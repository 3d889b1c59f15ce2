"""Faces from the built-in set that stand alike, with their parts known: for the correspondence of parts ([Z] Table 1).

[Z] took five dogs in frontal pose. Here each face is cut from its picture so that all take up the same place.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import count

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from alexnet.data import synthetic
from alexnet.see.correspondence import Points, Region

MARGIN = 1.5
"""Side of the cut over the longer side of the face."""
EYE = 0.45
"""Width of an eye, on average, over half the height of the face (`data.synthetic`: 0.40 to 0.50)."""


@dataclass(frozen=True, eq=False)
class Faces:
    """`records` uint8 (P, S, S, 3); key points and box of each in pixels of its centre view."""

    records: UInt8[np.ndarray, "P S S 3"]
    points: tuple[Points, ...]
    boxes: tuple[Region, ...]

    def __len__(self) -> int:
        return len(self.records)


def mask_over(size: int, side: int) -> int:
    """Side of a mask that covers an eye, for views of `size` of records of `side` pixels: a multiple of 8 from 64
    pixels on, 40 for 224."""
    eye = EYE / (2 * MARGIN) * side
    return max(1, round(eye)) if size < 64 else 8 * -(-round(eye) // 8)


@lru_cache(maxsize=1)
def drawn_faces(wanted: int, side: int, size: int, seed: int = 1) -> Faces:
    """So many faces that no store of the usual built-in set has (its seed is 0), of backgrounds that training never
    shows; those too near to their picture's edge are passed over."""
    records, points, boxes = [], [], []
    for number in count():
        if len(records) == wanted:
            break
        drawing = synthetic.draw(seed, "val", synthetic.CLASSES.index("face") + len(synthetic.CLASSES) * number)
        x0, y0, x1, y1 = drawing.box
        height, width = drawing.pixels.shape[:2]
        whole = MARGIN * max(x1 - x0, y1 - y0)
        left, top = (x0 + x1 - whole) / 2, (y0 + y1 - whole) / 2
        if min(left, top) < 0 or left + whole > width or top + whole > height:
            continue
        corners = (left, top, left + whole, top + whole)
        cut = Image.fromarray(drawing.pixels).resize((side, side), Image.Resampling.BICUBIC, box=corners)
        records.append(np.array(cut))
        scale, edge = side / whole, (side - size) / 2
        points.append(
            {n: ((x - left) * scale - edge, (y - top) * scale - edge) for n, (x, y) in drawing.keypoints.items()}
        )
        placed = [(x0 - left) * scale, (y0 - top) * scale, (x1 - left) * scale, (y1 - top) * scale]
        boxes.append(tuple(corner - edge for corner in placed))
    return Faces(np.stack(records), tuple(points), tuple(boxes))
