"""Pictures that people upload: decoded at once, kept in memory as records, never written. S side of a record."""

import io
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from alexnet.images.decode import decode, make_record
from alexnet.images.resample import Resample
from alexnet.measure.run import Run
from alexnet.serve.open_networks import Absent

LIMIT_BYTES = 32 << 20
LIMIT_PIXELS = 50_000_000


class RecordFormat(NamedTuple):
    """How a run makes a record of a picture: as those of its training were made."""

    side: int
    resample: Resample
    exif: bool

    @classmethod
    def of(cls, run: Run) -> "RecordFormat":
        data = run.config.get("data", {})
        return cls(run.inputs.side, data.get("resample", "bicubic"), data.get("exif", False))


@dataclass(frozen=True, eq=False)
class Upload:
    """A picture: its record in each format, uint8 (S, S, 3), what was odd about the file, its width and height."""

    id: str
    records: dict[RecordFormat, np.ndarray]
    notes: tuple[str, ...]
    size: tuple[int, int]
    label: str = ""
    """The class of a prepared picture."""

    def record(self, form: RecordFormat) -> np.ndarray:
        """As a run with records of this format takes it. Raises Absent if the picture was uploaded for other runs."""
        found = self.records.get(form)
        if found is None:
            raise Absent("this picture was not prepared for that run; upload it again")
        return found

    def as_json(self) -> dict[str, Any]:
        width, height = self.size
        return {"id": self.id, "notes": list(self.notes), "width": width, "height": height, "class": self.label or None}


def decoded(data: bytes, formats: Sequence[RecordFormat]) -> Upload:
    """The picture in `data`. Raises Undecodable, a UserError, if it can't be read or has too many pixels."""
    records, notes, size = {}, (), (0, 0)
    for exif in dict.fromkeys(one.exif for one in formats):  # decoded once for all formats, but for its orientation
        found = decode(data, exif=exif, limit_pixels=LIMIT_PIXELS)
        notes, size = found.notes, (found.pixels.shape[1], found.pixels.shape[0])
        for one in formats:
            if one.exif == exif:
                records[one] = make_record(found, size=one.side, resample=one.resample).pixels
    return Upload(secrets.token_urlsafe(9), records, notes, size)


def of_record(ident: str, record: np.ndarray, label: str, formats: Sequence[RecordFormat]) -> Upload:
    """A picture of the store, for all runs with records of its size."""
    side = record.shape[0]
    return Upload(ident, {one: record for one in formats if one.side == side}, (), (side, side), label)


def jpeg_of(pixels: np.ndarray, *, side: int | None = None) -> bytes:
    """Pixels uint8 (H, W, 3) as a JPEG; `side`: no larger than that."""
    data = io.BytesIO()
    image = Image.fromarray(pixels)
    if side is not None:
        image.thumbnail((side, side))
    image.save(data, "JPEG", quality=90 if side is None else 75)
    return data.getvalue()
