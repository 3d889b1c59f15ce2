"""The output of the frozen first rows of a network, computed once for some views of each picture (`--frozen-features`).

    RUN.features/train.npy   float32 (N, V, D), next to the run folder; removed when the training ends
    RUN.features/train.json  what it was made of, and how much of it is there; likewise val

N pictures · V views of each · D values of a view · B pictures of a batch.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from alexnet import kernels
from alexnet.choices import FrozenFeatures, FrozenViews
from alexnet.data import order
from alexnet.data.augment import Augmentation
from alexnet.data.batches import StepProgress, batches, upload
from alexnet.data.preprocessing import Records
from alexnet.data.store.layout import NPY_HEADER_BYTES, npy_header
from alexnet.data.store.read import Store
from alexnet.data.views import views_of
from alexnet.errors import UsageError
from alexnet.files.atomic import faults_named, space_checked, write_atomically
from alexnet.files.growing import GrowingFile, UnsoundFile
from alexnet.files.outputs import mark, refuse_foreign
from alexnet.files.schema import Count, canonical_digest, from_json, is_altered, json_bytes, read_json, sealed, to_json
from alexnet.files.tensors import tensor_digest
from alexnet.isolation import isolated
from alexnet.kernels.reference import at_least_float32
from alexnet.measure.accuracy import Counts, count
from alexnet.measure.viewer import BATCH, ViewAverager
from alexnet.nets.dropout import Position
from alexnet.nets.network import Network
from alexnet.nets.table import Dense, Dropout, Row, Weighted
from alexnet.parallel.team import Team
from alexnet.text import in_bytes

KIND = "frozen features"
SAVE_SECONDS = 5.0


@dataclass(frozen=True)
class Views:
    """The views kept of each picture. `kind`: the centre, the ten of a test, or a number of random crops: those
    of so many epochs of training, which then come again. With `mirror`, the centre is kept with its mirror, and half of
    the crops are mirrored."""

    kind: FrozenViews
    mirror: bool
    seed: int = 0

    @property
    def count(self) -> int:
        if isinstance(self.kind, int):
            return self.kind
        return 10 if self.kind == "ten" else 1 + self.mirror

    def inputs(self, viewer: ViewAverager, records: Records, indices: np.ndarray) -> Iterator[Float[Tensor, "B 3 C C"]]:
        """The views of records that are on the device, as the network takes them, one after another."""
        side, size = viewer.inputs.side, viewer.inputs.size
        if isinstance(self.kind, int):
            crop = partial(Augmentation(mirror=self.mirror, colour="off").apply, records, viewer.inputs, seed=self.seed)
            for epoch in range(1, self.kind + 1):
                yield crop(epoch=epoch, indices=indices, first=0, dtype=viewer.dtype)
            return
        for row, column, mirrored in views_of(side, size, 10 if self.kind == "ten" else 1):
            yield viewer.view(records, (row, column, mirrored))
            if self.kind == "centre" and self.mirror:
                yield viewer.view(records, (row, column, True))

    def seen(self, epoch: int, indices: np.ndarray) -> np.ndarray:
        """Which view of each picture an epoch of training sees, (B,): that of `Augmentation` with the same crops."""
        if isinstance(self.kind, int):
            return np.full(len(indices), (epoch - 1) % self.kind)
        if self.kind == "ten":
            return order.crop_offsets(self.seed, epoch, indices, 10)[:, 0]
        return order.mirrors(self.seed, epoch, indices).astype(np.int64) * self.mirror


@dataclass(frozen=True)
class Journal:
    """What the values were made of, as a digest; how many pictures are in the file; the sha256 of their bytes."""

    generator: str
    fingerprint: str
    pictures: Count = 0
    sha256: str = ""


@isolated(inference=True)
def cached_features(
    viewer: ViewAverager,
    store: Store,
    split: str,
    layer: str,
    views: Views,
    folder: Path,
    follow: StepProgress | None = None,
) -> Float[np.ndarray, "N V D"]:
    """The values of `layer` for the views of a split's pictures, memory-mapped from a file in `folder`.

    A file that an interrupted call left is continued; a damaged one, and one of another network, store or other views,
    is made again. Raises UserError for a full disk, and for a file that this program did not write."""
    pictures, path, journal = store.splits[split], folder / f"{split}.npy", folder / f"{split}.json"
    shape = len(pictures), views.count, viewer.network.layer(layer).leaving.units
    refuse_foreign(journal, KIND)
    refuse_foreign(path, lambda _: journal.exists())
    fresh = Journal(mark(KIND), _fingerprint(viewer, store, split, layer, views))
    file, done = _opened(path, journal, fresh, shape)
    report, saved = None if follow is None else partial(follow, f"features, {split}"), time.monotonic()
    with closing(file):
        for records, indices in batches(pictures, BATCH, np.arange(done, len(pictures)), report):
            inputs = views.inputs(viewer, records.to(viewer.device), indices)
            maps = [viewer.maps(view, [layer])[layer].flatten(1).float().cpu() for view in inputs]
            file.append(torch.stack(maps, dim=1).numpy().tobytes())
            if len(indices) + indices[0] == len(pictures) or time.monotonic() - saved > SAVE_SECONDS:
                file.sync()
                _write(journal, replace(fresh, pictures=int(indices[-1]) + 1, sha256=file.digest))
                saved = time.monotonic()
    with faults_named(path):
        return np.memmap(path, np.float32, "r", NPY_HEADER_BYTES, shape)


def _fingerprint(viewer: ViewAverager, store: Store, split: str, layer: str, views: Views) -> str:
    """Of all that decides the bits of the values."""
    rows = _up_to(viewer.network, layer)
    weights, names = viewer.network.state_dict(), {row.name for row in rows}
    read = {name: tensor for name, tensor in weights.items() if name.split(".")[0] in names}
    inputs = [viewer.inputs.size, viewer.inputs.mean_mode, str(viewer.dtype), kernels.available(viewer.device)]
    made_of = tensor_digest(read | viewer.inputs.statistics, canonical_digest([list(map(repr, rows)), inputs]))
    return canonical_digest([store.fingerprint, split, made_of, asdict(views)])


def _up_to(network: Network, layer: str) -> tuple[Row, ...]:
    rows = network.table.rows
    return rows[: rows.index(network.table[layer]) + 1]


def _opened(path: Path, journal: Path, fresh: Journal, shape: tuple[int, int, int]) -> tuple[GrowingFile, int]:
    """The file to append to, and how many pictures are in it."""
    head, picture_bytes, known = npy_header("<f4", shape), 4 * shape[1] * shape[2], fresh
    if journal.exists():
        content = read_json(journal)
        there = from_json(content, Journal, journal, f"Remove it and {path}.")
        known = there if there.fingerprint == fresh.fingerprint and not is_altered(content) else fresh
    try:
        length = len(head) + known.pictures * picture_bytes
        file = GrowingFile(path, head, length, digested=True, sha256_hex=known.sha256)
    except UnsoundFile:
        known, file = fresh, GrowingFile(path, head, len(head), digested=True)
    needed = (shape[0] - known.pictures) * picture_bytes
    words = f"the frozen layers' output for {shape[1]} views of each picture takes {in_bytes(needed)}"
    space_checked(path.parent, needed, words, ". Free some, or keep fewer views with --frozen-features.")
    _write(journal, known)
    return file, known.pictures


def _write(path: Path, journal: Journal) -> None:
    write_atomically(path, json_bytes(sealed(to_json(journal))))


def features_folder(run: Path) -> Path:
    return run.with_name(f"{run.name}.features")


def remove_features(run: Path) -> None:
    """Remove what `cached_features` wrote for a run."""
    folder = features_folder(run)
    with faults_named(folder), suppress(FileNotFoundError):
        for split in ("train", "val"):
            for suffix in ("npy", "json"):
                (folder / f"{split}.{suffix}").unlink(missing_ok=True)
        folder.rmdir()


# ── training on them ─────────────────────────────────────────────────────────────────────────────────────────────


def last_frozen(network: Network, views: FrozenFeatures) -> str:
    """The last row whose output is the same in every epoch: before the first that learns or drops units. Raises
    UsageError if no layer with weights is among them."""
    rows = network.table.rows
    learns = {name.split(".")[0] for name, weight in network.named_parameters() if weight.requires_grad}
    count = next(number for number, row in enumerate(rows) if row.name in learns or isinstance(row, Dropout))
    if not any(isinstance(row, Weighted) for row in rows[:count]):
        raise UsageError(
            f"--frozen-features {views}: no layer is frozen at the network's beginning. Name some, as in "
            "--freeze conv1-conv5, or leave it out."
        )
    return rows[count - 1].name


def check_frozen(network: Network, kind: FrozenFeatures | None, team: Team) -> None:
    """Raises UsageError if the output of frozen rows is to be kept, and there are none or several processes train."""
    if kind not in (None, "exact"):
        last_frozen(network, kind)
        if not team.alone:
            raise UsageError(f"--frozen-features {kind}: works in one process only. Leave it out under torchrun.")


def frozen_notes(network: Network, kind: FrozenFeatures | None) -> list[str]:
    """A note for a run that trains on kept features."""
    if kind is None or kind == "exact":
        return []
    words = {"centre": "the centre", "ten": "the ten views"}.get(str(kind), f"{kind} random crops")
    return [
        f"the layers up to {last_frozen(network, kind)} are computed once, for {words} of each picture; "
        "--frozen-features exact computes them in every epoch, with crops and colour noise"
    ]


@dataclass(frozen=True, eq=False)
class FrozenPart:
    """The output of a network's frozen rows, up to the row `last`, for the pictures of the splits train (N, V, D) and
    val (M, 1, D), and the `network`, which continues from there."""

    network: Network
    last: str
    views: Views
    train: Float[np.ndarray, "N V D"]
    val: Float[np.ndarray, "M 1 D"]

    @property
    def steps(self) -> Sequence[str]:
        """The steps of the network's `order` after the frozen rows."""
        return self.network.order[self.network.order.index(self.last) + 1 :]

    def maps(self, features_bd: Float[Tensor, "B D"]) -> Tensor:
        """Features in the shape in which the frozen rows put them out."""
        shape = self.network.layer(self.last).leaving
        flat = any(isinstance(row, Dense) for row in _up_to(self.network, self.last))
        return features_bd if flat else features_bd.view(-1, shape.maps, shape.side, shape.side)

    def logits(self, features_bd: Float[Tensor, "B D"], position: Position | None = None) -> Float[Tensor, "B K"]:
        """As `Network.forward` with the pictures that the features are of."""
        return at_least_float32(self.network.through(self.steps, self.maps(features_bd), position)).flatten(1)

    @isolated(inference=True)
    def evaluate(self, labels: np.ndarray, device: torch.device, dtype: torch.dtype) -> Counts:
        """As `measure.accuracy.evaluate` of the split val."""
        counts = Counts()
        for first in range(0, len(labels), BATCH):
            features_bd = upload(np.array(self.val[first : first + BATCH, 0]), device).to(dtype)
            with self.network.copies.in_use():
                probabilities_bk = self.network.probabilities(self.logits(features_bd)).cpu()
            counts += count(probabilities_bk, torch.from_numpy(labels[first : first + BATCH].astype(np.int64)))
        return counts


@dataclass(eq=False)
class SeenFeatures:
    """The training pictures as a stream reads them: the features of the view that each has in one epoch."""

    part: FrozenPart
    labels: np.ndarray
    epoch: int
    size: int = 0

    def read(self, indices: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        found = self.part.train[indices, self.part.views.seen(self.epoch, indices)]
        if out is None:
            return found
        out[:] = found
        return out

    def buffer(self, shape: tuple[int, ...]) -> np.ndarray:
        """What a stream reads so many pictures (the first of `shape`) into."""
        return np.empty((shape[0], self.part.train.shape[2]), np.float32)
