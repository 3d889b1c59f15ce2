"""Ours, as it is measured: real runs on a store of noise, in a scratch folder.

B pictures · S side of a record.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from alexnet.bench.timing import Progress
from alexnet.data.batches import Batch, Stream, upload
from alexnet.data.order import epoch_order
from alexnet.data.sources.base import Source, SourceSplit
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from alexnet.measure.viewer import ViewAverager
from alexnet.parallel.grid import deal
from alexnet.train.options import TrainOptions
from alexnet.train.state import TrainingState, new_job
from alexnet.train.step import augmented, learn, train_batch

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

    def part(count: int) -> SourceSplit:
        return SourceSplit([str(place) for place in range(count)], np.arange(count) % classes, draw)

    names = tuple(f"class {label}" for label in range(classes))
    return Source("noise", names, names, "by number", {"train": part(count), "val": part(8)})


class Subject:
    """A network of ours in a real run: what `alexnet train` makes of the same options."""

    def __init__(
        self, bench: Bench, net: str, precision: Literal["auto", "fp32"] = "auto", store: Store | None = None
    ) -> None:
        self.store = store or bench.store
        options = TrainOptions(net=net, batch=bench.batch, learning_rate=RATE, precision=precision, device=bench.device)
        folder = Path(tempfile.mkdtemp(dir=bench.folder)) / "run"
        self.job: TrainingState = new_job(self.store, folder, options)[0]
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
        learn(self.job, inputs, self.labels, deal(self.batch.indices), self.rates)

    def look(self, views: int) -> Tensor:
        """Probabilities (B, K) of the batch's records, from as many views."""
        self.job.network.eval()
        viewer = ViewAverager(self.job.network, self.job.inputs, self.job.device, self.job.dtype)
        return viewer.probabilities(torch.from_numpy(self.batch.pictures), views)


def first_batch(store: Store, batch: int) -> Batch:
    part = store.parts["train"]
    indices = np.arange(batch) % len(part)
    return Batch(part.read(indices), part.labels[indices], indices)


def endless_order(store: Store, count: int) -> np.ndarray:
    """`count` indices: shuffled epochs, one after the other."""
    length = len(store.parts["train"])
    epochs = [epoch_order(length, 0, epoch) for epoch in range(-(-count // length))]
    return np.concatenate(epochs)[:count]
