"""Searches for similar pictures measured: recall@10 against the exact search, size, and time of one query.

    python benchmarks/similar.py RUN STORE       real features: the store's val part asks its train part
    python benchmarks/similar.py --made 1281167  made-up codes of 256 bits; 100,000 float16 vectors in --folder

One table each. Times are medians over the queries of one at a time; building them is timed once.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from alexnet import text
from alexnet.data.store.read import Store
from alexnet.features.extract import features_of
from alexnet.features.similar.codes import Coder, learn_coder
from alexnet.features.similar.index import LEAST_SHORTLIST, find_faiss
from alexnet.features.similar.search import hamming_nearest, nearest, recall
from alexnet.measure.run import Run
from alexnet.text import in_bytes

COUNT = 10
ROW = tuple[str, str, str, str, str, str]
HEAD = ("search", "recall@10", "same class", "size", "build", "a query")


def timed(ask: Callable[[np.ndarray], np.ndarray], asked: np.ndarray, some: int = 50) -> tuple[np.ndarray, float]:
    """The answers to all that is asked, and the median seconds of `some` of it asked one at a time."""
    seconds = []
    for number in range(min(some, len(asked))):
        start = time.perf_counter()
        ask(asked[number : number + 1])
        seconds.append(time.perf_counter() - start)
    return ask(asked), median(seconds)


def real(run: Run, store: Store, lengths: list[int]) -> list[ROW]:
    """A row for each search, over the features of a store's training pictures in float16."""
    train, val = store.splits["train"], store.splits["val"]
    known, asked = features_of(run, train).astype(np.float16), features_of(run, val)
    true, far = timed(lambda q: nearest(q, known, COUNT)[0], asked)

    def row(name: str, found: np.ndarray, size: int, build: float, seconds: float) -> ROW:
        same = (train.labels[found] == val.labels[:, None]).mean()
        share = recall(found, true)
        return name, f"{share:.3f}", f"{same:.3f}", in_bytes(size), f"{build:.1f} s", f"{1000 * seconds:.2f} ms"

    rows = [row("exact", true, known.nbytes, 0.0, far)]
    for bits in lengths:
        start = time.perf_counter()
        coder = learn_coder(known, bits)
        codes, build = coder.codes(known), time.perf_counter() - start
        found, seconds = timed(lambda q, k=coder, c=codes: hamming_nearest(k.codes(q), c, COUNT)[0], asked)
        rows.append(row(f"{bits} bits, Hamming", found, codes.nbytes, build, seconds))

        def decided(queries: np.ndarray, coder: Coder = coder, codes: np.ndarray = codes) -> np.ndarray:
            shortlists = np.sort(hamming_nearest(coder.codes(queries), codes, LEAST_SHORTLIST)[0], axis=1)
            pairs = zip(queries, shortlists, strict=True)
            return np.stack([chosen[nearest(query[None], known[chosen], COUNT)[0][0]] for query, chosen in pairs])

        found, seconds = timed(decided, asked)
        rows.append(
            row(f"{bits} bits, then the {LEAST_SHORTLIST} nearest exactly", found, codes.nbytes, build, seconds)
        )
    faiss, lists = find_faiss(), round(len(known) ** 0.5)
    start = time.perf_counter()
    size = known.shape[1]
    index = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatL2(size), size, lists, faiss.ScalarQuantizer.QT_fp16)
    wide = known.astype(np.float32)
    index.train(wide)
    index.add(wide)
    build, index.nprobe = time.perf_counter() - start, 16
    found, seconds = timed(lambda q: index.search(q, COUNT)[1], asked)
    rows.append(row(f"faiss, 16 of {lists} lists", found, known.nbytes, build, seconds))
    return rows


def made(count: int, kept: int, folder: Path, values: int) -> list[ROW]:
    """A row for `count` codes, and rows for `kept` float16 vectors on disk."""
    random = np.random.default_rng(0)
    codes = random.integers(0, 256, (count, 32), np.uint8)
    queries = random.integers(0, 256, (20, 32), np.uint8)
    _, seconds = timed(lambda q: hamming_nearest(q, codes, COUNT)[0], queries)
    rows = [(f"{count:,} codes of 256 bits", "", "", in_bytes(codes.nbytes), "", f"{1000 * seconds:.1f} ms")]
    path = folder / "made.npy"
    try:
        known = np.lib.format.open_memmap(path, "w+", np.float16, (kept, values))
        block = random.standard_normal((4096, values), np.float32).astype(np.float16)  # again and again: time is asked
        for first in range(0, kept, 4096):
            known[first : first + 4096] = block[: kept - first]
        known.flush()
        asked = random.standard_normal((3, values), np.float32)
        _, seconds = timed(lambda q: nearest(q, known, COUNT)[0], asked)
        start = time.perf_counter()
        nearest(np.repeat(asked, 32, axis=0), known, COUNT)
        together = (time.perf_counter() - start) / 96
    finally:
        path.unlink(missing_ok=True)
    name = f"{kept:,} vectors of {values:,} float16, exact"
    rows.append((name, "", "", in_bytes(kept * values * 2), "", f"{seconds:.2f} s"))
    rows.append((f"{name}, of 96 together", "", "", "", "", f"{1000 * together:.0f} ms"))
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="*", metavar="RUN STORE")
    parser.add_argument("--bits", type=int, nargs="*", default=[32, 64, 128, 256])
    parser.add_argument("--made", type=int, metavar="N")
    parser.add_argument("--vectors", type=int, default=100_000, metavar="N")
    parser.add_argument("--values", type=int, default=4096)
    parser.add_argument("--folder", type=Path, default=Path("."))
    given = parser.parse_args()
    table = (
        made(given.made, given.vectors, given.folder, given.values)
        if given.made
        else real(Run.open(given.places[0]), Store.open(given.places[1]), given.bits)
    )
    print(text.table(HEAD, table))
