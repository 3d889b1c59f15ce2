"""What the explorer holds: the runs, the prepared pictures, the pictures that people bring, and the answers it has."""

import json
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import cached_property
from pathlib import Path
from typing import Any

from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.serve.kept import Kept
from alexnet.serve.looks import Sights
from alexnet.serve.shelf import Shelf
from alexnet.serve.sides import OWN, Absent, Pictures, Side, Sides, find_store, version_of
from alexnet.serve.uploads import Held, Making, Uploads
from alexnet.serve.worker import Desk, Worker

REMEMBERED = 8
"""Findings kept for their figures: occlusion, invariance."""


class Explorer:
    """Everything behind the addresses. Sides and what is kept of them are for the worker's thread."""

    def __init__(self, run: Path, store: Path | None = None, beside: Path | None = None) -> None:
        """Raises UserError if a run or the store can't be opened."""
        self.sides = Sides(run, beside)
        found = find_store(self.sides[OWN].run, store)
        self.pictures = None if found is None else Pictures(found, part_to_look_at(found))
        self.worker, self.shelf, self.uploads, self.sights = Worker(), Shelf(), Uploads(), Sights()
        self._kept: dict[str, Kept] = {}
        self._found: OrderedDict[Hashable, Any] = OrderedDict()

    @cached_property
    def makings(self) -> list[Making]:
        """How the runs make records of pictures that are brought."""
        return list(dict.fromkeys(Making.of(self.sides[key].run) for key in self.sides.paths))

    def stamp(self, key: str) -> str:
        """A word that changes with all that an answer about a side is made of: its weights, and what is kept."""
        run = self.sides.paths.get(key, self.sides.paths[OWN])
        part = self.pictures.part if self.pictures else ""
        places = ("explorer", f"explorer/epochs-{part}", "see/top.safetensors", "log.jsonl", "config.json")
        return "-".join([self.sides.version(key), *(version_of(run / place) for place in places)])

    def kept(self, side: Side) -> Kept | None:
        """What is kept of a side; None where no pictures are prepared for it."""
        if self.pictures is None:
            return None
        known = self._kept.get(side.key)
        if known is None or known.side is not side:
            try:
                self.pictures.check(side)
            except UserError:
                return None
            known = self._kept[side.key] = Kept(side, self.pictures)
        return known

    def picture(self, ident: str) -> Held:
        """Raises Absent for a picture that is not held."""
        return self.uploads[ident]

    def remember(self, key: Hashable, found: Any) -> None:
        """Keep what was found for a figure that may be asked for later; the last few. For the worker's thread."""
        self._found[key] = found
        while len(self._found) > REMEMBERED:
            self._found.popitem(last=False)

    def remembered(self, key: Hashable) -> Any:
        """Raises Absent for what was not asked for, or is forgotten."""
        if key not in self._found:
            raise Absent("this was not asked for yet, or is forgotten; ask again")
        return self._found[key]

    def shelved(self, key: Hashable, make: Callable[[Desk], bytes]) -> Callable[[Desk], bytes]:
        """`make`, but for what lies on the shelf."""

        def look_first(desk: Desk) -> bytes:
            found = self.shelf.get(key)
            if found is None:
                found = make(desk)
                self.shelf.put(key, found)
            return found

        return look_first


def part_to_look_at(store: Store) -> str:
    """ "val", or the first part that has pictures."""
    filled = [name for name, part in store.parts.items() if len(part)]
    return "val" if "val" in filled else filled[0]


def as_json_bytes(value: Any) -> bytes:
    """Values as JSON, numbers that are none as null."""
    return json.dumps(_without_nan(value), separators=(",", ":"), allow_nan=False).encode()


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and (value != value or value in (float("inf"), -float("inf"))) else value
