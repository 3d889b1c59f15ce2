"""`alexnet similar build`."""

from alexnet.commands.options.features import SimilarBuild
from alexnet.data.store.read import Store
from alexnet.features.similar.index import build
from alexnet.measure.run import Run
from alexnet.terminal import progress


def run(options: SimilarBuild) -> None:
    opened = Run.open(options.run_folder, **vars(options.compute))
    with progress("steps") as report:
        folder = options.index_folder or options.run_folder / "similar"
        index = build(opened, Store.open(options.store), folder, options.options, report)
    codes = f", codes of {index.bits} bits" if index.bits else ""
    print(f"{index.folder}: {index.layer} of {len(index):,} pictures, {index.values.shape[1]:,} values each{codes}")
