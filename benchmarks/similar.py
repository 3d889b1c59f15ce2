"""Searches for similar pictures measured: recall@10 against the exact search, size, and time of one query.

    python benchmarks/similar.py RUN STORE       real features: the store's val part asks its train part
    python benchmarks/similar.py --made 1281167  made-up codes of 256 bits and, in --folder, float16 vectors

One table each. Times are medians over the queries of one at a time; building them is timed once.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from alexnet.data.store import Store
from alexnet.measure.run import Run
from alexnet.nets.summary import columns
from alexnet.reuse.features import features_of
from alexnet.reuse.similar.codes import learn_coder
from alexnet.reuse.similar.index import LEAST_SHORTLIST, find_faiss
from alexnet.reuse.similar.search import hamming_nearest, nearest, recall
from alexnet.terminal import in_bytes

COUNT = 10
ROW = tuple[str, str, str, str, str, str]
HEAD = ("search", "recall@10", "same class", "size", "build", "a query")


def timed(ask: Callable[[int], np.ndarray], queries: int, some: int = 100) -> tuple[np.ndarray, float]:
    """The answers to all queries, each asked alone, and the median seconds of `some` of them."""
    found, seconds = [], []
    for number in range(queries):
        start = time.perf_counter()
        found.append(ask(number))
        seconds.append(time.perf_counter() - start)
    return np.stack(found), median(seconds[:some])


def real(run: Run, store: Store, lengths: list[int]) -> list[ROW]:
    """A row for each search, over the features of a store's training pictures in float16."""
    train, val = store.parts["train"], store.parts["val"]
    known, asked = features_of(run, train).astype(np.float16), features_of(run, val)
    true, far = timed(lambda n: nearest(asked[n : n + 1], known, COUNT)[0][0], len(asked))

    def row(name: str, found: np.ndarray, size: int, build: float, seconds: float) -> ROW:
        same = (train.labels[found] == val.labels[:, None]).mean()
        share = recall(found, true)
        return name, f"{share:.3f}", f"{same:.3f}", in_bytes(size), f"{build:.1f} s", f"{1000 * seconds:.2f} ms"

    rows = [row("exact", true, known.nbytes, 0.0, far)]
    for bits in lengths:
        start = time.perf_counter()
        coder = learn_coder(known, bits)
        codes, build = coder.codes(known), time.perf_counter() - start
        queries = coder.codes(asked)
        found, seconds = timed(lambda n, q=queries, c=codes: hamming_nearest(q[n : n + 1], c, COUNT)[0][0], len(asked))
        rows.append(row(f"{bits} bits, Hamming", found, codes.nbytes, build, seconds))

        def decided(n: int, q: np.ndarray = queries, c: np.ndarray = codes) -> np.ndarray:
            chosen = np.sort(hamming_nearest(q[n : n + 1], c, LEAST_SHORTLIST)[0][0])
            return chosen[nearest(asked[n : n + 1], known[chosen], COUNT)[0][0]]

        found, seconds = timed(decided, len(asked))
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
    found, seconds = timed(lambda n: index.search(asked[n : n + 1], COUNT)[1][0], len(asked))
    rows.append(row(f"faiss, 16 of {lists} lists", found, known.nbytes, build, seconds))
    return rows


def made(count: int, folder: Path, values: int) -> list[ROW]:
    """A row for codes, and one for float16 vectors on disk where they fit (else for 10⁵ of them)."""
    random = np.random.default_rng(0)
    codes = random.integers(0, 256, (count, 32), np.uint8)
    queries = random.integers(0, 256, (20, 32), np.uint8)
    _, seconds = timed(lambda n: hamming_nearest(queries[n : n + 1], codes, COUNT)[0][0], len(queries))
    rows = [(f"{count:,} codes of 256 bits", "", "", in_bytes(codes.nbytes), "", f"{1000 * seconds:.1f} ms")]
    free = os.statvfs(folder)
    kept = count if 1.2 * count * values * 2 < free.f_bavail * free.f_frsize else 100_000
    path = folder / "made.npy"
    try:
        known = np.lib.format.open_memmap(path, "w+", np.float16, (kept, values))
        block = random.standard_normal((4096, values), np.float32).astype(np.float16)  # again and again: time is asked
        for first in range(0, kept, 4096):
            known[first : first + 4096] = block[: kept - first]
        known.flush()
        asked = random.standard_normal((3, values), np.float32)
        _, seconds = timed(lambda n: nearest(asked[n : n + 1], known, COUNT)[0][0], len(asked))
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
    parser.add_argument("--values", type=int, default=4096)
    parser.add_argument("--folder", type=Path, default=Path("."))
    given = parser.parse_args()
    table = (
        made(given.made, given.folder, given.values)
        if given.made
        else real(Run.open(given.places[0]), Store.open(given.places[1]), given.bits)
    )
    print(columns([HEAD, *table], left=1))
