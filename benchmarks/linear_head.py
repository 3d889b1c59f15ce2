"""`alexnet train --head linear` beside scikit-learn's logistic regression fitted by hand on the same features.

    python benchmarks/linear_head.py RUN STORE [STORE …]      RUN: the run whose frozen convolutions give the features

By hand: the centre of each training picture and its mirror through the network, about their mean and scaled to a mean
square of 1, then `LogisticRegression` with the C that our command chose. A row for each store and way: seconds for
features, for fitting (ours: the choice of C included) and in all, and the wrong pictures of the validation split. On a
machine that does other work too, take --cpu: seconds of the processor in place of seconds of the clock.
"""

import argparse
import functools
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from alexnet import text
from alexnet.data.batches import batches
from alexnet.data.store.read import Store, StoreSplit
from alexnet.features import linear_head
from alexnet.files.temporary import TemporaryFolder
from alexnet.measure.run import Run
from alexnet.measure.viewer import BATCH
from alexnet.train.frozen import Views, cached_features
from alexnet.train.options import TrainOptions

clock = time.perf_counter
HEAD = ("", "features", "fitting", "in all", "wrong")


def ours(run: Run, store: Store, threads: int) -> tuple[tuple[str, ...], float]:
    """Our row, and the C that was chosen."""
    spent = dict[str, float]()

    def timed(function):
        @functools.wraps(function)
        def call(*rest, **more):
            start = clock()
            found = function(*rest, **more)
            spent[function.__name__] = clock() - start
            return found

        return call

    linear_head.cached_features, linear_head.regression = timed(cached_features), timed(linear_head.regression)
    start = clock()
    with TemporaryFolder("alexnet-bench-") as place:
        options = TrainOptions(start_from=run.path, head="linear", threads=threads, device="cpu")
        made = linear_head.train_linear_head(store, place / "run", options, quiet=True)
        total = clock() - start
        wrong = Run.open(made.path, device="cpu").evaluate(store, views=1).counts.top1_errors
        strength = made.value("head", "C")
    return row(
        f"{store.path.name}: --head linear", spent["cached_features"], spent["regression"], total, wrong, store
    ), strength


def by_hand(run: Run, store: Store, layer: str, strength: float) -> tuple[str, ...]:
    start = clock()

    def features(split: StoreSplit, views: Views) -> np.ndarray:
        found = []
        with torch.inference_mode():
            for records, indices in batches(split, BATCH):
                maps = [
                    run.viewer.maps(x, [layer])[layer].flatten(1) for x in views.inputs(run.viewer, records, indices)
                ]
                found.append(torch.stack(maps, dim=1).flatten(0, 1))
        return torch.cat(found).numpy()

    x, asked = (features(store.splits[name], Views("centre", name == "train")) for name in ("train", "val"))
    centre = x.mean(axis=0)
    scale = np.sqrt(((x - centre) ** 2).sum(axis=1).mean())
    read = clock()
    labels = np.repeat(store.splits["train"].labels, 2)
    with threadpool_limits(torch.get_num_threads()):
        model = LogisticRegression(C=strength, max_iter=2000).fit((x - centre) / scale, labels)
    end = clock()
    wrong = int((model.predict((asked - centre) / scale) != store.splits["val"].labels).sum())
    return row(f"{store.path.name}: by hand", read - start, end - read, end - start, wrong, store)


def row(what: str, features: float, fitting: float, total: float, wrong: int, store: Store) -> tuple[str, ...]:
    times = (f"{seconds:.1f} s" for seconds in (features, fitting, total))
    return what, *times, f"{wrong} of {len(store.splits['val'])}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("stores", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--cpu", action="store_true")
    given = parser.parse_args()
    global clock
    clock = time.process_time if given.cpu else time.perf_counter
    torch.set_num_threads(given.threads)
    run, rows = Run.open(given.run, device="cpu", precision="fp32"), []
    layer = linear_head.FrozenLayers.of(run.folder, "").last
    for path in given.stores:
        store = Store.open(path)
        mine, strength = ours(run, store, given.threads)
        rows += [mine, by_hand(run, store, layer, strength)]
    print(text.table(HEAD, rows))


if __name__ == "__main__":
    main()
