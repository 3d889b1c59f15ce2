"""Prediction: the most probable classes of pictures of any kind.

S side of a record · H, W rows and columns of a picture · B pictures of a batch · K classes.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from alexnet.data.sources.base import printable
from alexnet.data.sources.found import read_tree, skipped_in_words
from alexnet.errors import UserError
from alexnet.files.schema import Key
from alexnet.images.decode import Decoded, Undecodable, make_record
from alexnet.images.resample import Resample
from alexnet.measure.pictures import Named, Picture, content_of, name_of, numbered
from alexnet.measure.viewer import ViewAverager
from alexnet.processors import threads_allowed
from alexnet.terminal import say

BATCH = 32
STDIN = "-"


@dataclass(frozen=True)
class Label:
    """A class and how probable it is, 0 to 1."""

    name: Annotated[str, Key("class")]
    id: str
    probability: float


@dataclass(frozen=True, eq=False)
class Prediction:
    """A network's prediction for the picture `name`: `labels`, the most probable classes first; `probabilities` float32
    (K,) of all; `notes` on what was odd about the file."""

    name: str
    labels: tuple[Label, ...]
    probabilities: np.ndarray = field(repr=False)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """A picture that could not be read, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Predictor:
    """A viewer with all that makes a picture of any kind one of its records: `resample`, `exif` as the store of its
    training had them; and the classes of its outputs."""

    viewer: ViewAverager
    class_names: tuple[str, ...]
    class_ids: tuple[str, ...]
    resample: Resample = "bicubic"
    exif: bool = False

    def each(self, pictures: Iterable[Named], *, views: int = 10, top: int = 5) -> Iterator[Prediction | Failure]:
        """Predict batch by batch, in order. A picture that can't be read becomes a `Failure`; the others are predicted.
        Raises UserError if the network gives NaN."""
        remaining = iter(pictures)
        while batch := list(islice(remaining, BATCH)):
            yield from self._batch(batch, self.records(batch), views, top)

    def sound(self, pictures: Iterable[Picture], *, views: int = 10, top: int = 5) -> Iterator[Prediction]:
        """Predict batch by batch, in order. Raises Undecodable, with number and file, for the first that can't be
        read."""
        named = (Named(name_of(picture, place), picture) for place, picture in enumerate(pictures))
        for place, found in enumerate(self.each(named, views=views, top=top)):
            if isinstance(found, Failure):
                raise Undecodable(found.reason, numbered(found.name, place))
            yield found

    def _batch(
        self, batch: Sequence[Named], read: Sequence[Decoded | Failure], views: int, top: int
    ) -> Iterator[Prediction | Failure]:
        sound = [record.pixels for record in read if isinstance(record, Decoded)]
        probabilities = self.viewer.probabilities(torch.from_numpy(np.stack(sound)), views).numpy() if sound else ()
        found = iter(probabilities)
        for named, record in zip(batch, read, strict=True):
            if isinstance(record, Failure):
                yield record
            else:
                probabilities_k = next(found)
                yield Prediction(named.name, self.labels(probabilities_k, top), probabilities_k, record.notes)

    def labels(self, probabilities_k: np.ndarray, top: int = 5) -> tuple[Label, ...]:
        """The `top` most probable classes; of equals the lower number first. Raises UserError for NaN."""
        if not np.isfinite(probabilities_k).all():
            raise UserError(
                "the network's probabilities are NaN: its weights are NaN, infinite or too large, as after a training "
                "that diverged. Use weights of an earlier epoch, or train again with a smaller learning rate."
            )
        best = np.argsort(-probabilities_k, kind="stable")[:top]
        return tuple(Label(self.class_names[k], self.class_ids[k], float(probabilities_k[k])) for k in best)

    def records(self, pictures: Sequence[Named]) -> list[Decoded | Failure]:
        """The record of each picture, or why it can't be read; decoded in several threads."""

        def record(named: Named) -> Decoded | Failure:
            try:
                return self.record(named.picture, named.name)
            except Undecodable as fault:
                return Failure(named.name, fault.reason)

        with ThreadPoolExecutor(threads_allowed()) as pool:
            return list(pool.map(record, pictures))

    def record(self, picture: Picture, name: str) -> Decoded:
        """The picture as a record of the run's size. Raises Undecodable if it can't be read."""
        content = content_of(picture, name, self.exif)
        return make_record(content, name, exif=self.exif, size=self.viewer.inputs.side, resample=self.resample)


def found_pictures(positions: Iterable[str]) -> Iterator[Named]:
    """What the arguments name: a file itself, "-" the picture on standard input, a folder the pictures in it and below,
    in order. The walk is that of `alexnet prepare`: links are followed; what is skipped is counted on stderr. Raises
    UserError for a folder without pictures."""
    for place in positions:
        if place == STDIN:
            yield Named("standard input", sys.stdin.buffer.read())
        elif os.path.isdir(place):
            skipped: list[str] = []
            files = list(read_tree(Path(place), "", skipped).below())
            if skipped:
                say(f"{printable(place)}: {skipped_in_words(skipped)}")
            if not files:
                raise UserError(f"{printable(place)}: there are no pictures in this folder.")
            yield from (Named(path, path) for path in (os.path.join(place, name) for name in files))
        else:
            yield Named(place, place)
