"""What the explorer holds: the networks, the prepared pictures, uploads, and caches of what was computed."""

from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.measure.overlap import training_store
from alexnet.measure.run import Run
from alexnet.see.forward_pass import ForwardPass
from alexnet.serve.cache import LRUCache
from alexnet.serve.marks import Marks
from alexnet.serve.open_networks import OWN, Absent, OpenNetwork, OpenNetworks, version_of
from alexnet.serve.run_cache import Prepared, RunCache
from alexnet.serve.teaching import Teaching
from alexnet.serve.uploads import RecordFormat, Upload, of_record
from alexnet.serve.worker import Worker

RESPONSES = 128 << 20  # bytes
FORWARD_PASSES = 256 << 20  # bytes
UPLOADS, FINDINGS = 128, 16


class Taken(NamedTuple):
    """How a run takes pictures: the format of its records, and the side of its centre view."""

    record: RecordFormat
    view: int

    @classmethod
    def by(cls, run: Run) -> "Taken":
        return cls(RecordFormat.of(run), run.inputs.size)


def bytes_of(passed: ForwardPass) -> int:
    """What it counts for: its bytes, and so many at least that there are never more passes than uploads."""
    return max(FORWARD_PASSES // UPLOADS, sum(maps.nbytes for maps in passed.activations.maps.values()))


class Explorer:
    """The state that all addresses share. Only the worker's thread uses the networks and what they compute."""

    def __init__(
        self,
        run: Path,
        store: Path | None = None,
        beside: Path | None = None,
        corrections: Path | None = None,
        teach: Path | None = None,
    ) -> None:
        """`corrections`: the file of marked pictures, by default corrections.csv beside the store; `teach`: the folder
        in which classes are collected. Raises UserError if a run or the store can't be opened, the folder can't be
        made, or that file is another's."""
        self.worker = Worker()
        self._first = run, store, beside, corrections
        self.teaching = None if teach is None else Teaching(teach, run)
        self.responses: LRUCache[Hashable, bytes] = LRUCache(RESPONSES, len)
        self.uploads: LRUCache[str, Upload] = LRUCache(UPLOADS)
        self.forward_passes: LRUCache[Hashable, ForwardPass] = LRUCache(FORWARD_PASSES, bytes_of)
        self.findings: LRUCache[Hashable, Any] = LRUCache(FINDINGS)
        self._run_caches: dict[tuple[str, str], RunCache] = {}
        self._open(*self._first)

    def _open(self, run: Path, store: Path | None, beside: Path | None, corrections: Path | None) -> None:
        networks = OpenNetworks(run, beside)
        found = Store.open(store) if store else training_store(networks[OWN].run.folder)
        self.marks = None if found is None else Marks(found, corrections)
        self.networks, self.prepared = networks, None if found is None else Prepared.of(found)
        self._taken = {key: Taken.by(Run.open(path)) for key, path in networks.paths.items()}

    def look_at(self, taught: Path | None) -> None:
        """Explore a run that was taught here, beside the one that the explorer was started with; None: that one again.
        Raises UserError if it can't be opened."""
        self._open(*(self._first if taught is None else (taught, None, self._first[0], None)))

    @property
    def record_formats(self) -> list[RecordFormat]:
        """The formats that uploads are converted to, one for each way in which the runs made their records."""
        return list(dict.fromkeys(taken.record for taken in self._taken.values()))

    def taken(self, key: str) -> "Taken":
        """How a side takes pictures; from any thread, since no network is opened for it."""
        return self._taken.get(key, self._taken[OWN])  # an epoch takes them as its run does

    def stamp(self, key: str) -> str:
        """A version of everything that a response about a network depends on: weights, log, run cache."""
        run = self.networks.paths.get(key, self.networks.paths[OWN])
        split = self.prepared.split if self.prepared else ""
        files = ("explorer", f"explorer/epochs-{split}", "see/top.safetensors", "log.jsonl", "config.json")
        trains = [str((run / name).exists()) for name in (".lock", "now.json")]
        return "-".join([self.networks.version(key), *(version_of(run / name) for name in files), *trains])

    def run_cache(self, opened: OpenNetwork, split: str = "") -> RunCache | None:
        """What the run folder caches of a network and a split (by default that which all pages use); None if no
        prepared pictures fit it. Raises UserError for a split without pictures."""
        if self.prepared is None:
            return None
        prepared = replace(self.prepared, split=split or self.prepared.split)
        known = self._run_caches.get((opened.key, prepared.split))
        if known is None or known.opened is not opened:
            try:
                prepared.check(opened)
            except UserError:
                return None
            known = self._run_caches[opened.key, prepared.split] = RunCache(opened, prepared)
        return known

    def upload(self, ident: str) -> Upload:
        """An uploaded picture; or a prepared one, whose id is its split and number, as in "val.12". Raises Absent for a
        picture that is not in memory (any more)."""
        if found := self.uploads.get(ident):
            return found
        split, _, number = ident.rpartition(".")
        if split and number.isdecimal():
            record, label = self.prepared_picture(split, int(number))
            return of_record(ident, record, label, self.record_formats)
        raise Absent("this picture is no longer in memory; upload it again")

    def prepared_picture(self, split: str, number: int) -> tuple[np.ndarray, str]:
        """A prepared picture's record and class. Raises Absent if there is none."""
        store = self.prepared.store if self.prepared else None
        pictures = store.splits.get(split) if store else None
        if store is None or pictures is None or number >= len(pictures):
            raise Absent("there is no such prepared picture")
        return pictures.read(np.array([number]))[0], store.class_names[int(pictures.labels[number])]
