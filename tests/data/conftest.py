"""Small sources of pictures made in memory, for tests of what stands on them."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from PIL import Image

from alexnet.data.sources import Source, SourceSplit

BAD = b"<html>not a picture</html>"


@dataclass
class FakeReader:
    """Generated JPEG files of varied sizes; ``odd`` replaces what the item at a place reads as."""

    part: str
    odd: dict[int, bytes | np.ndarray | BaseException]

    def __call__(self, place: int) -> bytes | np.ndarray:
        odd = self.odd.get(place)
        if isinstance(odd, BaseException):
            raise odd
        return picture_file(self.part, place) if odd is None else odd


@cache
def picture_file(part: str, place: int) -> bytes:
    """A smooth coloured picture with noise: not square, different for each place."""
    random = np.random.default_rng([len(part), place])
    width, height = random.integers(20, 90, 2)
    ramp = np.add.outer(np.arange(height), np.arange(width))[..., None] * random.uniform(0, 3, 3)
    pixels = np.clip(ramp + random.normal(60, 20, (height, width, 3)), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


@pytest.fixture(scope="session")
def make_source() -> Callable[..., Source]:
    """A function: counts of the parts, and what is odd as {(part, place): …} → a source of three classes."""

    def make(odd: dict[tuple[str, int], bytes | np.ndarray | BaseException] | None = None, **counts: int) -> Source:
        odd = odd or {}
        parts = {
            name: SourceSplit(
                keys=[f"{name}/class{i % 3}/pic ture_{i:04d}.jpg" for i in range(count)],
                labels=np.arange(count) % 3,
                reader=FakeReader(name, {place: what for (part, place), what in odd.items() if part == name}),
            )
            for name, count in (counts or {"train": 40, "val": 11}).items()
        }
        ids = ("class0", "class1", "class2")
        return Source("fake", ("aye", "bee", "sea"), ids, "as listed", parts, ("notes.txt: no picture",))

    return make
