"""The runs that are looked at: the one the explorer was started with, another beside it, and their earlier epochs.

A run may still be training: its weights are opened anew when their file changes, and `version` tells pages that what
they hold is old.
"""

import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.files.schema import canonical_digest
from alexnet.files.tensors import tensor_digest
from alexnet.measure.evaluation import check_size
from alexnet.measure.run import Run
from alexnet.nets.network import Network
from alexnet.placement import Placement

OWN, BESIDE, EPOCH = "own", "beside", "epoch-"


class Absent(UserError):
    """There is no such thing at this address."""


@dataclass(frozen=True, eq=False)
class Side:
    """A network to look at. `name` is what the page calls it; `version` changes with its weights; `run` computes as in
    training, `looking` in float32, as `alexnet see` does; `epoch`, of an earlier one of its snapshots."""

    key: str
    name: str
    version: str
    run: Run
    epoch: int | None = None

    @cached_property
    def looking(self) -> Run:
        """The same network in float32."""
        return Run(self.run.folder, Placement(self.run.placement.device, "fp32"))

    @property
    def network(self) -> Network:
        """Raises UserError if no epoch has ended yet."""
        return self.run.network

    @cached_property
    def digest(self) -> str:
        """Tells the weights from all others."""
        return tensor_digest(self.network.state_dict())


def version_of(path: Path) -> str:
    """A word that changes when the file does; "none" where there is none."""
    try:
        about = path.stat()
    except FileNotFoundError:
        return "none"
    return canonical_digest([about.st_mtime_ns, about.st_size, about.st_ino])[:12]


class Sides:
    """Opens sides by their key: "own", "beside", "epoch-5". From any thread."""

    def __init__(self, run: Path, beside: Path | None = None) -> None:
        self.paths = {OWN: run} | ({BESIDE: beside} if beside else {})
        self._open: dict[str, Side] = {}
        self._lock = threading.Lock()
        for path in self.paths.values():
            Run.open(path)  # says at once what is wrong with it

    @property
    def keys(self) -> list[str]:
        """All that can be opened, the runs first."""
        return [*self.paths, *(f"{EPOCH}{epoch}" for epoch in self[OWN].run.folder.snapshots)]

    def __getitem__(self, key: str) -> Side:
        """Raises Absent for a key that there is not."""
        with self._lock:
            path, epoch = self._place(key)
            version = version_of(path)
            side = self._open.get(key)
            if side is None or side.version != version:
                side = self._open[key] = self._opened(key, version, epoch)
                self._drop_but(key)
            return side

    def version(self, key: str) -> str:
        """A word that changes with a side's weights; without opening it. Raises Absent for a key that there is not."""
        return version_of(self._place(key)[0])

    def _place(self, key: str) -> tuple[Path, int | None]:
        """The file with a side's weights."""
        if key in self.paths:
            return self.paths[key] / "model.safetensors", None
        snapshots = {f"{EPOCH}{epoch}": (path, epoch) for epoch, path in self._own_snapshots().items()}
        if key not in snapshots:
            raise Absent("there is no such run or epoch here")
        return snapshots[key]

    def _own_snapshots(self) -> dict[int, Path]:
        own = self._open.get(OWN)
        return (own.run if own else Run.open(self.paths[OWN])).folder.snapshots

    def _opened(self, key: str, version: str, epoch: int | None) -> Side:
        run = Run.open(self.paths.get(key, self.paths[OWN]))
        name = run.path.resolve().name
        if epoch is not None:
            run.folder.network = run.folder.load_weights(run.folder.snapshots[epoch])
            name = f"{name}, epoch {epoch}"
        return Side(key, name, version, run, epoch)

    def _drop_but(self, key: str) -> None:
        """Of earlier epochs only the one that was opened last stays in memory."""
        for other in [other for other in self._open if other.startswith(EPOCH) and other != key]:
            del self._open[other]


@dataclass(frozen=True)
class Pictures:
    """The prepared pictures that networks are asked about: a part of a store."""

    store: Store
    part: str

    def check(self, side: Side) -> None:
        """Raises UserError if they don't fit a side."""
        check_size(side.run.folder, self.store)


def find_store(run: Run, path: Path | None) -> Store | None:
    """The store at `path`; without one that of the training, where it still is; else none."""
    place = path or Path(run.config.get("data", {}).get("path", ""))
    return Store.open(place) if path or (place / "store.json").exists() else None
