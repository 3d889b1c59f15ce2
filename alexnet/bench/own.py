"""Our own speed: real runs on a store of noise, in a scratch folder, and their rows.

B pictures · S side of a record.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from alexnet.bench.timing import Act, Progress, Row, compare, join, race
from alexnet.data.batches import Batch, Stream, upload
from alexnet.data.order import epoch_order
from alexnet.data.sources.base import Source, SourceSplit
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from alexnet.measure.viewer import ViewAverager
from alexnet.parallel.grid import shard_batch
from alexnet.train.options import TrainOptions
from alexnet.train.state import TrainingState, start_run
from alexnet.train.step import augmented, train_batch, update_on

RATE = 1e-4
"""Of the measured steps: noise teaches nothing, and must not make the loss run away."""
STORE_RECORDS = 1024


@dataclass(frozen=True)
class Bench:
    """What is measured with: pictures in a batch, rounds, a scratch folder; whether the figures for bf16 are due;
    the machine's own figures by their names."""

    folder: Path
    batch: int = 128
    rounds: int = 7
    compile: bool = False
    device: Literal["cpu", "cuda"] = "cpu"
    pictures: Path | None = None
    amx: bool = False
    ceilings: Mapping[str, float] = field(default_factory=dict)
    say: Callable[[str], None] = print
    progress: Callable[[str], Progress] | None = None

    def due_in_bf16(self, least: float) -> tuple[float | None, str]:
        """What a row must reach that rests on bf16 products, and the note to it."""
        return (least, "") if self.amx else (None, f"{least:g} is due with AMX only")

    def progress_of(self, what: str) -> Progress | None:
        """Where a race reports its rounds."""
        return self.progress(what) if self.progress else None

    @cached_property
    def store(self) -> Store:
        """Noise in ImageNet's shape: 1,000 classes, records of 256."""
        return noise_store(self.folder / "noise.store", STORE_RECORDS, classes=1000, size=256)

    @cached_property
    def small_store(self) -> Store:
        """Noise in CIFAR-10's shape."""
        return noise_store(self.folder / "small.store", STORE_RECORDS, classes=10, size=32)


def noise_store(folder: Path, count: int, *, classes: int, size: int) -> Store:
    """A store of `count` training pictures of noise, and a few to validate on."""
    return prepare(noise_source(count, classes=classes, size=size), folder, size=size)


def noise_source(count: int, *, classes: int, size: int) -> Source:
    def draw(place: int) -> np.ndarray:
        return np.random.default_rng(place).integers(0, 256, (size, size, 3), np.uint8)

    def split(count: int) -> SourceSplit:
        return SourceSplit([str(place) for place in range(count)], np.arange(count) % classes, draw)

    names = tuple(f"class {label}" for label in range(classes))
    return Source("noise", names, names, "by number", {"train": split(count), "val": split(8)})


class Subject:
    """A network of ours in a real run: what `alexnet train` makes of the same options."""

    def __init__(
        self, bench: Bench, net: str, precision: Literal["auto", "fp32"] = "auto", store: Store | None = None
    ) -> None:
        self.store = store or bench.store
        options = TrainOptions(net=net, batch=bench.batch, learning_rate=RATE, precision=precision, device=bench.device)
        folder = Path(tempfile.mkdtemp(dir=bench.folder)) / "run"
        self.job: TrainingState = start_run(self.store, folder, options)[0]
        self.rates = self.job.schedule.rates(1)
        self.batch = first_batch(self.store, bench.batch)
        self.precision = "bf16" if self.job.dtype == torch.bfloat16 else "fp32"

    @property
    def labels(self) -> Tensor:
        return upload(self.batch.labels, self.job.device)

    @property
    def macs(self) -> int:
        """Multiply-adds of one picture."""
        return sum(layer.macs for layer in self.job.network.layers)

    def ready_inputs(self) -> Tensor:
        """The batch, augmented."""
        return augmented(self.job, self.batch.indices, upload(self.batch.pictures, self.job.device), self.rates)

    def step(self) -> None:
        """A whole training step from records in memory: augmentation, both passes, update."""
        train_batch(self.job, self.batch, self.rates)

    def step_from(self, stream: Stream) -> None:
        train_batch(self.job, next(stream), self.rates)

    def step_on(self, inputs: Tensor) -> None:
        """A training step on a batch that was augmented before."""
        update_on(self.job, inputs, self.labels, shard_batch(self.batch.indices), self.rates)

    def look(self, views: int) -> Tensor:
        """Probabilities (B, K) of the batch's records, from as many views."""
        self.job.network.eval()
        viewer = ViewAverager(self.job.network, self.job.inputs, self.job.device, self.job.dtype)
        return viewer.probabilities(torch.from_numpy(self.batch.pictures), views)


def first_batch(store: Store, batch: int) -> Batch:
    split = store.splits["train"]
    indices = np.arange(batch) % len(split)
    return Batch(split.read(indices), split.labels[indices], indices)


def endless_order(store: Store, count: int) -> np.ndarray:
    """`count` indices: shuffled epochs, one after the other."""
    length = len(store.splits["train"])
    epochs = [epoch_order(length, 0, epoch) for epoch in range(-(-count // length))]
    return np.concatenate(epochs)[:count]


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def train_rows(bench: Bench) -> list[Row]:
    """train: pictures a second of the training step; train.mfu: compared with the machine's matrix products."""
    ours = Subject(bench, "alexnet")
    times = race({"ours": ours.step}, bench.rounds, progress=bench.progress_of("train: alexnet"))["ours"]
    return [Row("train", "img/s", bench.batch / median(times), note=ours.precision), mfu(bench, ours, times)]


def infer_rows(bench: Bench) -> list[Row]:
    """infer: pictures a second of the test with one view."""
    ours = Subject(bench, "alexnet")
    times = race({"ours": partial(ours.look, 1)}, bench.rounds, progress=bench.progress_of("infer: one view"))["ours"]
    return [Row("infer", "img/s", bench.batch / median(times), note=ours.precision)]


def views_rows(bench: Bench) -> list[Row]:
    """views: views a second of the test with ten, compared with one."""
    ours = Subject(bench, "alexnet")
    contenders: dict[str, Act] = {"ten": partial(ours.look, 10), "one": partial(ours.look, 1)}
    times = race(contenders, bench.rounds, progress=bench.progress_of("views: ten and one"))
    return [
        compare(
            "views",
            "views/s",
            times["ten"],
            times["one"],
            work=10 * bench.batch,
            peer_work=bench.batch,
            at_least=0.9,
            note=join(ours.precision, "the peer is our test with one view"),
        )
    ]


def mfu(bench: Bench, ours: Subject, times: list[float]) -> Row:
    """The share of the bf16 matrix ceiling that the step's products make: 6 × MACs of a picture (forward, and twice
    as much backward) × pictures a second."""
    rate, ceiling = 6 * ours.macs * bench.batch / median(times) / 1e12, bench.ceilings["machine.bf16"]
    least, note = bench.due_in_bf16(0.33)
    return Row(
        name="train.mfu",
        unit="TFLOP/s",
        ours=rate,
        peer=ceiling,
        ratio=rate / ceiling,
        at_least=least,
        note=join("the peer is the bf16 ceiling, the ratio the MFU", note),
    )


GROUPS = {"train": train_rows, "infer": infer_rows, "views": views_rows}
