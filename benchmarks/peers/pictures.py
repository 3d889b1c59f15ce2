"""Pictures on their way: preparing them beside one Pillow thread, read, opened by the million."""

import io
import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from alexnet.bench.own import Bench, endless_order
from alexnet.bench.timing import Act, Row, compare, race
from alexnet.data.batches import Stream
from alexnet.data.sources import Item, Source, open_source
from alexnet.data.sources.base import FileReader, SourceSplit
from alexnet.data.store.prepare import prepare
from alexnet.data.store.records import Decode
from alexnet.errors import UserError
from alexnet.processors import cores
from peers import large
from peers.memory import in_own_process
from peers.rows import reaching, within

MADE_PICTURES = 400
MOST_PICTURES = 2000
SIZE = 256
JPEG_QUALITY = 90
SHAPES = ((500, 375), (375, 500), (500, 333), (640, 480))
"""Width and height of the pictures made here: ImageNet's commonest, and one larger."""
MADE_LARGE, LARGE_SHAPES = 40, ((2048, 1536), (1536, 2048))
RECORDS_ASKED = 8000
RECORDS_READ = 8192
IMAGENET = 1_281_167
LIMITS = {"open": ("s", 0.5), "memory": ("MB", 80.0), "order": ("s", 0.5), "first_batch": ("s", 1.0)}


# ── preparing ────────────────────────────────────────────────────────────────────────────────────────────────────


def prepare_rows(bench: Bench) -> list[Row]:
    """prepare: pictures a second of `prepare` beside those of one Pillow thread times the cores; prepare.scaled: the
    same of pictures as a camera makes them, decoded at a reduced scale."""
    source = _source(bench)
    large = source if bench.pictures else made_pictures(bench.folder / "large", MADE_LARGE, LARGE_SHAPES)
    scaled = _prepare_row(bench, "prepare.scaled", large, "scaled", None)
    return [_prepare_row(bench, "prepare", source, "full", 0.9), scaled]


def _prepare_row(bench: Bench, name: str, source: Source, decode: Decode, at_least: float | None) -> Row:
    items = list(source.splits["train"])
    numbers = itertools.count()

    def ours() -> None:
        prepare(source, bench.folder / f"{name}-{next(numbers)}.store", size=SIZE, decode=decode)

    def one_thread() -> None:
        for item in items:
            record_by_pillow(item)

    times = race(
        {"ours": ours, "Pillow": one_thread},
        bench.rounds,
        progress=bench.progress_of(f"{name}: {len(items):,} pictures, beside one Pillow thread"),
    )
    row = compare(
        name,
        "pictures/s",
        times["ours"],
        times["Pillow"],
        work=len(items),
        peer_work=len(items) * cores(),
        at_least=at_least,
    )
    width, height = np.mean([_size_of(item) for item in items], axis=0)
    return replace(row, note=f"the peer is one Pillow thread × {cores()} cores; {width:.0f} × {height:.0f} on average")


def _size_of(item: Item) -> tuple[int, int]:
    data = item.read()
    assert isinstance(data, bytes)
    return Image.open(io.BytesIO(data)).size


def record_by_pillow(item: Item) -> np.ndarray:
    """A record as a user makes it: decode, shorter side to 256, centre square."""
    data = item.read()
    assert isinstance(data, bytes)
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    width, height = picture.size
    factor = SIZE / min(width, height)
    width, height = round(width * factor), round(height * factor)
    left, top = (width - SIZE) // 2, (height - SIZE) // 2
    resized = picture.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized.crop((left, top, left + SIZE, top + SIZE)))


def _source(bench: Bench) -> Source:
    """The pictures of --pictures (at most 2,000), or made ones."""
    if bench.pictures is None:
        return made_pictures(bench.folder / "pictures", MADE_PICTURES)
    source = open_source(bench.pictures)
    train = source.splits["train"]
    if not isinstance(train[0].read(), bytes):
        raise UserError(f"--pictures {bench.pictures}: holds arrays, not picture files; there is nothing to decode")
    # Spread over the whole part: a folder's first pictures are of one class, and may be alike.
    chosen = np.linspace(0, len(train) - 1, min(len(train), MOST_PICTURES)).astype(int)
    return replace(source, splits={"train": train.take(chosen)})


def made_pictures(folder: Path, count: int, shapes: Sequence[tuple[int, int]] = SHAPES) -> Source:
    """JPEG files of soft colour fields under fine grain, about as large as ImageNet's (110 kB on average)."""
    folder.mkdir()
    names = [f"{number:05}.jpg" for number in range(count)]
    for number, name in enumerate(names):
        _made_picture(number, *shapes[number % len(shapes)]).save(folder / name, quality=JPEG_QUALITY)
    part = SourceSplit(names, np.arange(count) % 2, FileReader(folder, names))
    return Source("made", ("even", "odd"), ("even", "odd"), "by number", {"train": part})


def _made_picture(number: int, width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(number)
    field = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(field) + rng.normal(0, 12, (height, width, 1))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────


def data_rows(bench: Bench) -> list[Row]:
    """data.records: whole records a second from the page cache to a consumer that does nothing, beside indexing a
    memory map; data.open, .memory, .order, .first_batch: a store of 1,281,167 records, opened by a fresh process."""
    return [*_records_rows(bench), *_large_rows(bench)]


def _records_rows(bench: Bench) -> list[Row]:
    part = bench.store.splits["train"]
    order = endless_order(bench.store, RECORDS_READ)

    def streamed() -> None:
        with Stream(part, bench.batch, order) as stream:
            for _ in stream:
                pass

    def mapped() -> None:
        pictures = part.pictures
        for first in range(0, len(order), bench.batch):
            pictures[order[first : first + bench.batch]]

    contenders: dict[str, Act] = {"streamed": streamed, "mapped": mapped}
    times = race(contenders, bench.rounds, progress=bench.progress_of("data: records from the page cache"))
    rate = RECORDS_READ / median(times["streamed"])
    size = f"{rate * part.size**2 * 3 / 1e9:.2f} GB/s, in shuffled order"
    return [
        reaching("data.records", "records/s", rate, RECORDS_ASKED, size),
        compare(
            "data.records.map",
            "records/s",
            times["streamed"],
            times["mapped"],
            work=RECORDS_READ,
            note="the peer is indexing numpy's memory map",
        ),
    ]


def _large_rows(bench: Bench) -> list[Row]:
    left_out = f"data.{', data.'.join(LIMITS)} are left out"
    if sys.platform != "linux":
        bench.say(f"{left_out}: memory is only measured on Linux")
        return []
    folder = bench.folder / "large.store"
    try:
        large.make_sparse_store(folder, IMAGENET)
    except OSError as error:
        bench.say(f"{left_out}: no sparse file of {IMAGENET:,} records can be made here ({error})")
        return []
    report = bench.progress_of(f"data: a store of {IMAGENET:,} records")
    found = []
    for done in range(bench.rounds):
        found.append(opened_elsewhere(folder, bench.batch))
        if report:
            report(done + 1, bench.rounds)
    return _limited(found, f"{IMAGENET:,} records, a fresh process, median of {bench.rounds}")


def opened_elsewhere(folder: Path, batch: int) -> dict[str, float]:
    """The figures of ``large.measured_opening``, of a process of its own."""
    with in_own_process("large", folder, batch) as child:
        return json.loads(child.communicate()[0])


def _limited(found: Sequence[dict[str, float]], note: str) -> list[Row]:
    """The median of each figure beside its limit."""
    rows = []
    for name, (unit, limit) in LIMITS.items():
        value = median(figures[name] for figures in found) / (1e6 if unit == "MB" else 1)
        rows.append(within(f"data.{name}", unit, value, limit, note))
    return rows
