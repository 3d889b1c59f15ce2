"""Pictures that people bring: decoded at once by `alexnet.images.decode`, held in memory as records, never written.

S side of a record.
"""

import io
import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from alexnet.images.decode import decode, to_record
from alexnet.images.resample import Resample
from alexnet.measure.run import Run
from alexnet.serve.sides import Absent

LIMIT_BYTES = 32 << 20
LIMIT_PIXELS = 50_000_000
HELD = 32
"""Pictures in memory; of more, the one not used for longest goes."""


class Making(NamedTuple):
    """How a run makes a record of a picture: those of its training were made so."""

    side: int
    resample: Resample
    exif: bool

    @classmethod
    def of(cls, run: Run) -> "Making":
        data = run.config.get("data", {})
        return cls(run.inputs.side, data.get("resample", "bicubic"), data.get("exif", False))


@dataclass(frozen=True, eq=False)
class Held:
    """A picture: its record for each way of making them, uint8 (S, S, 3), and what was odd about the file."""

    id: str
    records: dict[Making, np.ndarray]
    notes: tuple[str, ...]
    size: tuple[int, int]

    def record(self, run: Run) -> np.ndarray:
        """As the run takes it. Raises Absent if the picture was brought for other runs."""
        making = Making.of(run)
        if making not in self.records:
            raise Absent("this picture was not made ready for that run; bring it again")
        return self.records[making]

    def as_json(self) -> dict[str, Any]:
        return {"id": self.id, "notes": list(self.notes), "width": self.size[0], "height": self.size[1]}


def decoded(data: bytes, makings: Sequence[Making]) -> Held:
    """The picture in `data`. Raises Undecodable, a UserError, for what is no sound picture or has too many pixels."""
    records, notes, size = {}, (), (0, 0)
    for exif in dict.fromkeys(making.exif for making in makings):
        found = decode(data, exif=exif, limit_pixels=LIMIT_PIXELS)
        notes, size = found.notes, (found.pixels.shape[1], found.pixels.shape[0])
        for making in makings:
            if making.exif == exif:
                records[making] = to_record(found.pixels, making.side, making.resample)
    return Held(secrets.token_urlsafe(9), records, notes, size)


def of_record(record: np.ndarray, makings: Sequence[Making]) -> Held:
    """A picture of the store, for all runs with records of its size."""
    side = record.shape[0]
    records = {making: record for making in makings if making.side == side}
    return Held(secrets.token_urlsafe(9), records, (), (side, side))


class Uploads:
    """The pictures that were brought last, by their id."""

    def __init__(self, most: int = HELD) -> None:
        self._most = most
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, picture: Held) -> Held:
        with self._lock:
            self._held[picture.id] = picture
            while len(self._held) > self._most:
                self._held.popitem(last=False)
        return picture

    def __getitem__(self, ident: str) -> Held:
        """Raises Absent for a picture that is not held (any more)."""
        with self._lock:
            if ident not in self._held:
                raise Absent("this picture is not held any more; bring it again")
            self._held.move_to_end(ident)
            return self._held[ident]


def jpeg_of(pixels: np.ndarray) -> bytes:
    """Pixels uint8 (H, W, 3) as a JPEG."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", quality=90)
    return data.getvalue()
