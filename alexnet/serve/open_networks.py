"""The networks that can be explored: the run's, another run's to compare with, and those of earlier epochs.

A run may still be training: its weights are reopened when their file changes, and `version` tells pages that what they
show is out of date.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from alexnet.errors import UserError
from alexnet.files.schema import canonical_digest
from alexnet.measure.run import Run
from alexnet.nets.network import Network
from alexnet.placement import Placement
from alexnet.serve.cache import LRUCache

OWN, BESIDE, EPOCH = "own", "beside", "epoch-"
OPEN = 3
"""Networks in memory: both runs and the epoch that was opened last."""


class Absent(UserError):
    """Nothing exists at this address."""


@dataclass(frozen=True, eq=False)
class OpenNetwork:
    """A network in memory. `name` is shown on the pages; `version` changes with the weights; `run` computes as in
    training; `epoch` is that of a snapshot, None for a run's newest weights."""

    key: str
    name: str
    version: str
    run: Run
    epoch: int | None = None

    @cached_property
    def exact(self) -> Run:
        """The same network in float32, as `alexnet see` computes."""
        return Run(self.run.folder, Placement(self.run.placement.device, "fp32"))

    @property
    def network(self) -> Network:
        """Raises UserError if no epoch has ended yet."""
        return self.run.network


def version_of(path: Path) -> str:
    """A string that changes when the file does; "none" if there is no file."""
    try:
        about = path.stat()
    except FileNotFoundError:
        return "none"
    return canonical_digest([about.st_mtime_ns, about.st_size, about.st_ino])[:12]


class OpenNetworks:
    """Opens networks by their key: "own", "beside", "epoch-5". Indexing is for the worker's thread."""

    def __init__(self, run: Path, beside: Path | None = None) -> None:
        """Raises UserError if a run can't be opened."""
        self.paths = {OWN: run} | ({BESIDE: beside} if beside else {})
        self._open: LRUCache[str, OpenNetwork] = LRUCache(OPEN)
        for path in self.paths.values():
            Run.open(path)

    @property
    def keys(self) -> list[str]:
        """All that can be opened, the runs first."""
        return list(self._weights())

    def __getitem__(self, key: str) -> OpenNetwork:
        """Raises Absent for an unknown key."""
        version = self.version(key)
        known = self._open.get(key)
        if known is not None and known.version == version:
            return known
        run = Run.open(self.paths.get(key, self.paths[OWN]))
        name, epoch = run.path.resolve().name, None
        if key not in self.paths:
            epoch = int(key.removeprefix(EPOCH))
            run.folder.network = run.folder.load_weights(self._weights()[key])
            name = f"{name}, epoch {epoch}"
        return self._open.put(key, OpenNetwork(key, name, version, run, epoch))

    def version(self, key: str) -> str:
        """The version of a network's weights and of its run's config (the temperature), without opening it. From any
        thread. Raises Absent for an unknown key."""
        if (path := self._weights().get(key)) is None:
            raise Absent("there is no such run or epoch here")
        found = version_of(path)
        return found if found == "none" else found + version_of(path.with_name("config.json"))

    def _weights(self) -> dict[str, Path]:
        """The files with weights by key, the runs' first."""
        own = self._open.get(OWN)
        snapshots = (own.run if own else Run.open(self.paths[OWN])).folder.snapshots
        runs = {key: run / "model.safetensors" for key, run in self.paths.items()}
        return runs | {f"{EPOCH}{epoch}": path for epoch, path in snapshots.items()}
